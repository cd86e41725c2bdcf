/* Are listeners due when their period says, and is the earliest always first? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mem.h"
#include "schedule.h"

static void the_next_tick_is_one_period_after_the_last_start(void **state)
{
    (void)state;
    assert_int_equal(schedule_next(1000, 500, 1000), 1500);
    assert_int_equal(schedule_next(1000, 500, 1001), 1500);
    assert_int_equal(schedule_next(1000, 500, 1499), 1500);
}

static void missed_ticks_are_skipped_and_the_grid_is_kept(void **state)
{
    (void)state;
    assert_int_equal(schedule_next(1000, 500, 1500), 2000);
    assert_int_equal(schedule_next(1000, 500, 7777), 8000);
    assert_int_equal(schedule_next(1000, 30000, INT64_C(1) << 52), 4503599627371000);
}

static void before_its_time_a_tick_is_still_the_next_one_on_the_grid(void **state)
{
    (void)state;
    assert_int_equal(schedule_next(1000, 500, 999), 1000);
    assert_int_equal(schedule_next(1000, 500, 501), 1000);
    assert_int_equal(schedule_next(1000, 500, 500), 1000);
    assert_int_equal(schedule_next(1000, 500, 499), 500);
}

static void an_interval_of_nothing_counts_as_a_millisecond(void **state)
{
    (void)state;
    assert_int_equal(schedule_next(1000, 0, 1000), 1001);
    assert_int_equal(schedule_next(1000, -5, 1234), 1235);
}

static void first_polls_are_spread_within_the_interval(void **state)
{
    (void)state;
    int64_t now = 1000000;
    size_t at_each[200] = {0};
    assert_int_equal(schedule_first(now, 1000, 0), now);
    assert_int_equal(schedule_first(now, 1000, 1), now + 5);
    assert_int_equal(schedule_first(now, 1000, 199), now + 995);
    assert_int_equal(schedule_first(now, 1000, 200), now);
    assert_int_equal(schedule_first(now, 1, 77), now);
    assert_int_equal(schedule_first(now, 0, 77), now);
    for (size_t i = 0; i < 1000; i++)
        at_each[(schedule_first(now, 1000, i) - now) / 5]++;
    for (size_t i = 0; i < ARRAY_LEN(at_each); i++)
        assert_int_equal(at_each[i], 5);
}

static void items_come_out_in_the_order_of_their_times(void **state)
{
    (void)state;
    static const int64_t due[] = {50, 10, 40, 10, 30, 20, 60, 0, -5, 35};
    struct schedule_item items[ARRAY_LEN(due)] = {0};
    struct schedule_heap h = {0};
    assert_null(schedule_peek(&h));
    for (size_t i = 0; i < ARRAY_LEN(due); i++)
        schedule_set(&h, &items[i], due[i]);
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < ARRAY_LEN(due); i++) {
        struct schedule_item *first = schedule_peek(&h);
        assert_true(first->due_ms >= last);
        last = first->due_ms;
        schedule_remove(&h, first);
        assert_int_equal(first->pos, 0);
    }
    assert_int_equal(last, 60);
    assert_null(schedule_peek(&h));
    schedule_release(&h);
}

static void setting_an_item_again_moves_it(void **state)
{
    (void)state;
    struct schedule_item a = {0}, b = {0};
    struct schedule_heap h = {0};
    schedule_set(&h, &a, 10);
    schedule_set(&h, &b, 20);
    schedule_set(&h, &a, 30);
    assert_ptr_equal(schedule_peek(&h), &b);
    schedule_set(&h, &a, 5);
    assert_ptr_equal(schedule_peek(&h), &a);
    assert_int_equal(h.n, 2);
    schedule_release(&h);
}

static void removing_what_is_not_in_it_does_nothing(void **state)
{
    (void)state;
    struct schedule_item a = {0}, b = {0};
    struct schedule_heap h = {0};
    schedule_set(&h, &a, 10);
    schedule_remove(&h, &b);
    schedule_remove(&h, &a);
    schedule_remove(&h, &a);
    assert_int_equal(h.n, 0);
    schedule_release(&h);
}

static void releasing_lets_the_items_go(void **state)
{
    (void)state;
    struct schedule_item a = {0};
    struct schedule_heap h = {0};
    schedule_set(&h, &a, 10);
    schedule_release(&h);
    assert_int_equal(a.pos, 0);
    schedule_set(&h, &a, 20);
    assert_ptr_equal(schedule_peek(&h), &a);
    schedule_release(&h);
}

static void check_heap(const struct schedule_heap *h, const struct schedule_item *items, size_t n)
{
    size_t in = 0;
    for (size_t i = 0; i < n; i++) {
        if (!items[i].pos)
            continue;
        in++;
        assert_ptr_equal(h->items[items[i].pos - 1], &items[i]);
        assert_true(items[i].due_ms >= schedule_peek(h)->due_ms);
        if (items[i].pos > 1)
            assert_true(h->items[items[i].pos / 2 - 1]->due_ms <= items[i].due_ms);
    }
    assert_int_equal(in, h->n);
}

static void thousands_of_random_moves_keep_the_heap_a_heap(void **state)
{
    (void)state;
    struct schedule_item items[60] = {0};
    struct schedule_heap h = {0};
    unsigned seed = 1;
    for (int i = 0; i < 20000; i++) {
        seed = seed * 1664525u + 1013904223u;
        struct schedule_item *item = &items[(seed >> 8) % ARRAY_LEN(items)];
        if ((seed >> 20) % 3)
            schedule_set(&h, item, (int64_t)((seed >> 4) % 100));
        else
            schedule_remove(&h, item);
        check_heap(&h, items, ARRAY_LEN(items));
    }
    schedule_release(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_tick_is_one_period_after_the_last_start),
        cmocka_unit_test(missed_ticks_are_skipped_and_the_grid_is_kept),
        cmocka_unit_test(before_its_time_a_tick_is_still_the_next_one_on_the_grid),
        cmocka_unit_test(an_interval_of_nothing_counts_as_a_millisecond),
        cmocka_unit_test(first_polls_are_spread_within_the_interval),
        cmocka_unit_test(items_come_out_in_the_order_of_their_times),
        cmocka_unit_test(setting_an_item_again_moves_it),
        cmocka_unit_test(removing_what_is_not_in_it_does_nothing),
        cmocka_unit_test(releasing_lets_the_items_go),
        cmocka_unit_test(thousands_of_random_moves_keep_the_heap_a_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
