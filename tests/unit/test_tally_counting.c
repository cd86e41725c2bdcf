/* Does the demo's subscriber count what is there twice and what is not there at all, in whatever order it
 * came? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tally.h"

static int begin(void **state)
{
    *state = tally_new();
    return 0;
}

static int finish(void **state)
{
    tally_free(*state);
    return 0;
}

static void add(struct tally *t, enum message_kind kind, int64_t run, const char *what, const char *value)
{
    cleanup_free char *ce_id = xasprintf("l.0.%lld.%d.%s", (long long)run, (int)kind, what);
    const struct message m = {.kind = kind,
                              .listener = slice_of("l"),
                              .ce_id = slice_of(ce_id),
                              .key = slice_of(what),
                              .run = run,
                              .value = slice_of(value)};
    struct err e;
    assert_int_equal(tally_add(t, &m, &e), 0);
}

static void add_batch(struct tally *t, int64_t run, int index, const char *records)
{
    cleanup_free char *what = xasprintf("%d", index);
    cleanup_free char *value = xasprintf("{\"batch\":{\"index\":%d},\"records\":%s}", index, records);
    add(t, MESSAGE_BATCH, run, what, value);
}

static void add_end(struct tally *t, int64_t run, int n_records, int n_batches, const char *status)
{
    cleanup_free char *value =
        xasprintf("{\"n_records\":%d,\"n_batches\":%d,\"status\":\"%s\"}", n_records, n_batches, status);
    add(t, MESSAGE_RUN, run, "end", value);
}

static void is(const struct tally *t, int64_t fired, int64_t records, int64_t duplicates, int64_t missing,
               int64_t open)
{
    struct tally_sum sum;
    tally_get(t, &sum);
    assert_int_equal(sum.n_fired, fired);
    assert_int_equal(sum.n_records, records);
    assert_int_equal(sum.n_duplicates, duplicates);
    assert_int_equal(sum.n_missing, missing);
    assert_int_equal(sum.n_open, open);
}

#define TWO       "[{\"id\":\"a\"},{\"id\":7}]"
#define OTHER_TWO "[{\"id\":\"b\"},{\"id\":\"7\"}]"

static void what_is_complete_is_complete(void **state)
{
    add_batch(*state, 1, 0, TWO);
    add_batch(*state, 1, 1, OTHER_TWO);
    add_end(*state, 1, 4, 2, "completed");
    add_end(*state, 2, 0, 0, "completed");
    is(*state, 2, 4, 0, 0, 0);
}

static void the_run_message_may_come_first(void **state)
{
    add_end(*state, 2, 2, 1, "completed");
    is(*state, 1, 0, 0, 1 + 2 + 1, 0); /* run 1; two records and a batch of run 2 */
    add_batch(*state, 2, 0, TWO);
    add_end(*state, 1, 0, 0, "completed");
    is(*state, 2, 2, 0, 0, 0);
}

static void the_same_records_in_another_run_are_no_duplicates(void **state)
{
    for (int run = 1; run <= 2; run++) {
        add_batch(*state, run, 0, TWO);
        add_end(*state, run, 2, 1, "completed");
    }
    is(*state, 2, 4, 0, 0, 0);
}

static void a_batch_that_comes_again_counts_by_its_records(void **state)
{
    add_batch(*state, 1, 0, TWO);
    add_batch(*state, 1, 0, TWO);
    add_end(*state, 1, 2, 1, "completed");
    is(*state, 1, 4, 2, 0, 0);
}

static void it_counts_after_the_run_has_ended_too(void **state)
{
    add_batch(*state, 1, 0, TWO);
    add_end(*state, 1, 2, 1, "completed");
    add_batch(*state, 1, 0, TWO);
    add_end(*state, 1, 2, 1, "completed");
    is(*state, 1, 4, 2 + 1, 0, 0);
}

static void a_settled_run_behind_a_gap_is_remembered(void **state)
{
    add_end(*state, 2, 0, 0, "completed");
    add_end(*state, 2, 0, 0, "completed");
    is(*state, 1, 0, 1, 1, 0);
}

static void a_record_in_two_batches_is_a_duplicate(void **state)
{
    add_batch(*state, 1, 0, TWO);
    add_batch(*state, 1, 1, "[{\"id\":\"b\"},{\"id\":\"a\"}]");
    add_end(*state, 1, 3, 2, "completed");
    is(*state, 1, 4, 1, 0, 0);
}

static void a_record_message_that_comes_again(void **state)
{
    add(*state, MESSAGE_RECORD, 1, "a", "{}");
    add(*state, MESSAGE_RECORD, 1, "b", "{}");
    add(*state, MESSAGE_RECORD, 1, "a", "{}");
    add_end(*state, 1, 2, 0, "completed");
    is(*state, 1, 3, 1, 0, 0);
}

static void more_records_than_the_run_had(void **state)
{
    add_batch(*state, 1, 0, TWO);
    add_end(*state, 1, 1, 1, "completed");
    is(*state, 1, 2, 1, 0, 0);
}

static void a_record_a_batch_and_a_run_that_are_missing(void **state)
{
    add_batch(*state, 1, 0, TWO);
    add_end(*state, 1, 3, 1, "completed");
    is(*state, 1, 2, 0, 1, 0);
    add_batch(*state, 2, 1, TWO);
    add_end(*state, 2, 4, 2, "completed");
    is(*state, 2, 4, 0, 1 + 2 + 1, 0);
    add_end(*state, 5, 0, 0, "completed");
    is(*state, 3, 4, 0, 4 + 2, 0);
}

static void a_run_without_an_end_is_missing_it_once_the_next_begins(void **state)
{
    add_batch(*state, 1, 0, TWO);
    is(*state, 0, 2, 0, 0, 1);
    add_end(*state, 2, 0, 0, "completed");
    is(*state, 1, 2, 0, 1, 0);
}

static void a_failed_run_is_none_that_fired(void **state)
{
    struct tally_sum sum;
    add_end(*state, 1, 0, 0, "failed");
    is(*state, 0, 0, 0, 0, 0);
    tally_get(*state, &sum);
    assert_int_equal(sum.n_failed, 1);
}

static void a_message_without_what_counts_is_refused(void **state)
{
    struct err e = {0};
    struct message m = {.kind = MESSAGE_RUN, .listener = slice_of("l"), .run = 1, .value = slice_of("{}")};
    assert_int_equal(tally_add(*state, &m, &e), -1);
    m.ce_id = slice_of("x");
    m.run = 0;
    assert_int_equal(tally_add(*state, &m, &e), -1);
    assert_int_equal(e.class, ERR_BAD_INPUT);
    is(*state, 0, 0, 0, 0, 0);
}

static void ten_thousand_runs_are_counted(void **state)
{
    for (int run = 1; run <= 10500; run++) {
        add_batch(*state, run, 0, TWO);
        add_end(*state, run, 2, 1, "completed");
    }
    is(*state, 10500, 21000, 0, 0, 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_is_complete_is_complete),
        T(the_run_message_may_come_first),
        T(the_same_records_in_another_run_are_no_duplicates),
        T(a_batch_that_comes_again_counts_by_its_records),
        T(it_counts_after_the_run_has_ended_too),
        T(a_settled_run_behind_a_gap_is_remembered),
        T(a_record_in_two_batches_is_a_duplicate),
        T(a_record_message_that_comes_again),
        T(more_records_than_the_run_had),
        T(a_record_a_batch_and_a_run_that_are_missing),
        T(a_run_without_an_end_is_missing_it_once_the_next_begins),
        T(a_failed_run_is_none_that_fired),
        T(a_message_without_what_counts_is_refused),
        T(ten_thousand_runs_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
