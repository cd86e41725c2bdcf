/* Do times fall into the buckets that they belong to, bounds included? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "histogram.h"

static void a_bound_belongs_to_its_bucket(void **state)
{
    struct histogram h = {0};
    (void)state;
    histogram_add(&h, 1);
    histogram_add(&h, 2);
    histogram_add(&h, 3);
    histogram_add(&h, 60000);
    assert_int_equal(h.counts[0], 1);
    assert_int_equal(h.counts[1], 1);
    assert_int_equal(h.counts[2], 1);
    assert_int_equal(h.counts[HISTOGRAM_BUCKETS - 1], 1);
    assert_int_equal(h.counts[HISTOGRAM_BUCKETS], 0);
    assert_int_equal(h.sum_ms, 60006);
}

static void what_is_above_all_bounds_and_below_none_is_counted(void **state)
{
    struct histogram h = {0}, sum = {0};
    (void)state;
    histogram_add(&h, -5);
    histogram_add(&h, 60001);
    assert_int_equal(h.counts[0], 1);
    assert_int_equal(h.counts[HISTOGRAM_BUCKETS], 1);
    assert_int_equal(h.sum_ms, 60001);
    histogram_merge(&sum, &h);
    histogram_merge(&sum, &h);
    assert_int_equal(histogram_count(&sum), 4);
    assert_int_equal(sum.sum_ms, 120002);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bound_belongs_to_its_bucket),
        cmocka_unit_test(what_is_above_all_bounds_and_below_none_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
