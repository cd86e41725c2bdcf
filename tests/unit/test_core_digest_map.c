/* Does the map of digests keep what it is given, within its bytes a record, and tell what a reconcile has not
 * seen? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "digest.h"
#include "digest_map.h"

/* Spread like hashes, never 0, the same each time. */
static uint64_t id_of(uint64_t i)
{
    return digest_id((struct slice){(const char *)&i, sizeof i});
}

static void what_is_put_is_found_and_what_is_removed_is_not(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct digest_map m = {0};
    uint64_t d = 99;
    assert_false(digest_map_get(&m, id_of(1), &d));
    digest_map_remove(&m, id_of(1));
    for (uint64_t i = 0; i < N; i++)
        digest_map_put(&m, id_of(i), i);
    for (uint64_t i = 0; i < N; i += 2)
        digest_map_put(&m, id_of(i), i + N); /* replaces */
    assert_int_equal(m.n, N);
    for (uint64_t i = 0; i < N; i += 3)
        digest_map_remove(&m, id_of(i));
    for (uint64_t i = 0; i < N; i++) {
        bool is_there = digest_map_get(&m, id_of(i), &d);
        assert_true(is_there == (i % 3 != 0));
        assert_true(!is_there || d == (i % 2 ? i : i + N));
    }
    assert_int_equal(m.n, N - (N + 2) / 3);
    digest_map_release(&m);
}

/* Ids that want the same place, across the end of the table: removing one hides none of the others. */
static void neighbours_survive_a_removal(void **state)
{
    (void)state;
    static const uint64_t ids[] = {15, 31, 47, 16, 63, 1, 32, 2};
    for (size_t gone = 0; gone < ARRAY_LEN(ids); gone++) {
        struct digest_map m = {0};
        uint64_t d;
        for (size_t i = 0; i < ARRAY_LEN(ids); i++)
            digest_map_put(&m, ids[i], i);
        digest_map_remove(&m, ids[gone]);
        for (size_t i = 0; i < ARRAY_LEN(ids); i++)
            assert_true(digest_map_get(&m, ids[i], &d) == (i != gone));
        digest_map_release(&m);
    }
}

static void a_million_records_take_at_most_48_bytes_each(void **state)
{
    (void)state;
    struct digest_map m = {0};
    double most = 0;
    for (uint64_t i = 0; i < 1000000; i++) {
        digest_map_put(&m, id_of(i), i);
        double bytes = (double)(m.cap * sizeof *m.entries) / (double)m.n;
        if (m.n > 1000 && bytes > most)
            most = bytes;
    }
    print_message("%.1f bytes a record at 1,000,000, %.1f at most from 1,000 on\n",
                  (double)(m.cap * sizeof *m.entries) / (double)m.n, most);
    assert_true(most <= 48);
    assert_true(m.n * 4 <= m.cap * 3);
    digest_map_release(&m);
}

static void what_a_reconcile_has_not_seen_is_told(void **state)
{
    (void)state;
    struct digest_map m = {0};
    uint64_t d;
    assert_int_equal(digest_map_unseen(&m), 0);
    for (uint64_t i = 0; i < 100; i++)
        digest_map_put(&m, id_of(i), i);
    assert_int_equal(digest_map_unseen(&m), 0); /* what is published is seen */
    digest_map_clear_seen(&m);
    assert_int_equal(digest_map_unseen(&m), 100);
    assert_true(digest_map_see(&m, id_of(5)));
    assert_false(digest_map_see(&m, id_of(5)));
    assert_false(digest_map_see(&m, id_of(1000)));
    digest_map_put(&m, id_of(6), 66);
    assert_int_equal(digest_map_unseen(&m), 98);
    assert_true(digest_map_get(&m, id_of(5), &d) && d == 5);
    for (uint64_t i = 100; i < 10000; i++) /* growing keeps the bits */
        digest_map_put(&m, id_of(i), i);
    assert_int_equal(digest_map_unseen(&m), 98);
    digest_map_remove(&m, id_of(7));
    assert_int_equal(digest_map_unseen(&m), 97);
    digest_map_release(&m);
}

static void maps_are_equal_by_content(void **state)
{
    (void)state;
    struct digest_map a = {0}, b = {0};
    assert_true(digest_map_equal(&a, &b));
    for (uint64_t i = 0; i < 1000; i++)
        digest_map_put(&a, id_of(i), i);
    for (uint64_t i = 2000; i-- > 0;)
        digest_map_put(&b, id_of(i), i);
    for (uint64_t i = 1000; i < 2000; i++)
        digest_map_remove(&b, id_of(i));
    digest_map_clear_seen(&b);
    assert_true(digest_map_equal(&a, &b) && digest_map_equal(&b, &a));
    digest_map_put(&b, id_of(3), 4);
    assert_false(digest_map_equal(&a, &b));
    digest_map_remove(&b, id_of(3));
    assert_false(digest_map_equal(&a, &b));
    digest_map_put(&b, id_of(5000), 3);
    assert_false(digest_map_equal(&a, &b));
    digest_map_release(&a);
    digest_map_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found_and_what_is_removed_is_not),
        cmocka_unit_test(neighbours_survive_a_removal),
        cmocka_unit_test(a_million_records_take_at_most_48_bytes_each),
        cmocka_unit_test(what_a_reconcile_has_not_seen_is_told),
        cmocka_unit_test(maps_are_equal_by_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
