/* Does the mark of deliver = changes come back as it was written, and is a reconcile due when it must be? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "changes_mark.h"
#include "json_scan.h"
#include "listener_state.h"

static struct changes_mark mark(const char *query)
{
    return (struct changes_mark){.is_set = true,
                                 .generation = 3,
                                 .query = (char *)query,
                                 .dataset = (char *)"w.d \"2026\"",
                                 .at_ms = 1795556643000,
                                 .reconciled_ms = 1795556600123};
}

static void a_mark_comes_back(void **state)
{
    (void)state;
    static const char *const queries[] = {NULL, "", "metadata.x:\"a\\b\"\n"};
    for (size_t i = 0; i < ARRAY_LEN(queries); i++) {
        struct changes_mark m = mark(queries[i]), back;
        cleanup_buf struct buf b = buf_make(4096);
        struct err e;
        changes_mark_write(&m, &b);
        assert_int_equal(json_check(buf_slice(&b), NULL), 0);
        assert_int_equal(changes_mark_read(buf_slice(&b), &back, &e), 0);
        assert_true(back.is_set && back.generation == 3 && back.at_ms == m.at_ms);
        assert_true(back.reconciled_ms == m.reconciled_ms);
        assert_string_equal(back.dataset, m.dataset);
        assert_true(queries[i] ? back.query && strcmp(back.query, queries[i]) == 0 : !back.query);
        changes_mark_release(&back);
    }
}

static void no_mark_and_a_wrong_one(void **state)
{
    (void)state;
    struct changes_mark m;
    struct err e;
    assert_int_equal(changes_mark_read((struct slice){0}, &m, &e), 0);
    assert_false(m.is_set);
    assert_int_equal(changes_mark_read(slice_of("[]"), &m, &e), -1);
    assert_int_equal(e.class, ERR_FATAL);
}

static void assert_next(const char *why, const struct changes_mark *m, int64_t generation, const char *query,
                        int64_t now_ms)
{
    const char *got;
    enum plan_kind kind = changes_next(m, generation, query, 3600000, now_ms, &got);
    assert_int_equal(kind, why ? PLAN_RECONCILE : PLAN_CHANGES);
    if (why)
        assert_string_equal(got, why);
    else
        assert_null(got);
}

static void a_reconcile_is_due_at_first_after_a_reset_for_another_query_and_in_time(void **state)
{
    (void)state;
    struct changes_mark m = mark("q"), none = {0}, all = mark(NULL), unfinished = mark("q");
    int64_t at = m.reconciled_ms;
    assert_next("first", &none, 1, NULL, at);
    assert_next("reset", &m, 4, "q", at);
    assert_next("query", &m, 3, "other", at);
    assert_next("query", &m, 3, NULL, at);
    assert_next("query", &all, 3, "q", at);
    assert_next(NULL, &all, 3, NULL, at);
    assert_next(NULL, &m, 3, "q", at + 3599999);
    assert_next("due", &m, 3, "q", at + 3600000);
    assert_next(NULL, &m, 3, "q", at - 60000); /* another host's clock */
    assert_next("clock", &m, 3, "q", at - 86400000);
    unfinished.reconciled_ms = 0;
    assert_next("unfinished", &unfinished, 3, "q", at);
}

static void the_mark_moves_with_what_was_done(void **state)
{
    (void)state;
    struct changes_mark before = mark("q"), none = {0}, m;
    struct scan_plan changes = {.kind = PLAN_CHANGES, .at_ms = 1795556700000},
                     reconcile = {.kind = PLAN_RECONCILE, .dataset = (char *)"new", .at_ms = 1795556700000};
    m = changes_mark_after(&before, &changes, 3, "q", false, 7);
    assert_true(m.at_ms == changes.at_ms && m.reconciled_ms == before.reconciled_ms);
    assert_string_equal(m.dataset, before.dataset);
    changes_mark_release(&m);
    m = changes_mark_after(&before, &reconcile, 3, "q", true, 7);
    assert_true(m.reconciled_ms == 7);
    assert_string_equal(m.dataset, before.dataset); /* what the digests are of doesn't change by itself */
    changes_mark_release(&m);
    m = changes_mark_after(&before, &reconcile, 3, "q", false,
                           7); /* taken up again after a crash: not whole */
    assert_true(m.reconciled_ms == before.reconciled_ms);
    changes_mark_release(&m);
    m = changes_mark_after(&before, &reconcile, 3, "other", false,
                           7); /* and what it was to find is still due */
    assert_true(m.reconciled_ms == 0);
    assert_string_equal(m.query, "other");
    changes_mark_release(&m);
    m = changes_mark_after(&before, &reconcile, 4, "q", false, 7); /* reset: nothing follows */
    assert_true(m.reconciled_ms == 0 && m.generation == 4);
    assert_string_equal(m.dataset, "new");
    changes_mark_release(&m);
    m = changes_mark_after(&none, &reconcile, 1, NULL, true, 7);
    assert_true(m.is_set && m.reconciled_ms == 7 && !m.query);
    assert_string_equal(m.dataset, "new");
    changes_mark_release(&m);
}

static void a_frozen_plan_comes_back_and_matches_have_none(void **state)
{
    (void)state;
    struct frozen_run f = {.ctx = (char *)"{\"run\":1}", .next_params = (char *)"{}"}, back;
    cleanup_buf struct buf b = buf_make(4096), with = buf_make(4096);
    struct err e;
    frozen_run_write(&f, &b);
    assert_string_equal(buf_str(&b), "{\"ctx\":{\"run\":1},\"next_params\":{}}");
    assert_int_equal(frozen_run_read(buf_slice(&b), &back, &e), 0);
    assert_int_equal(back.plan.kind, PLAN_MATCHES);
    frozen_run_release(&back);
    f.plan = (struct scan_plan){
        .kind = PLAN_RECONCILE, .query = (char *)"(a) AND \"b\"", .dataset = (char *)"d", .at_ms = 5};
    frozen_run_write(&f, &with);
    assert_int_equal(frozen_run_read(buf_slice(&with), &back, &e), 0);
    assert_int_equal(back.plan.kind, PLAN_RECONCILE);
    assert_string_equal(back.plan.query, f.plan.query);
    assert_string_equal(back.plan.dataset, "d");
    assert_int_equal(back.plan.at_ms, 5);
    frozen_run_release(&back);
    assert_int_equal(
        frozen_run_read(slice_of("{\"ctx\":{},\"next_params\":{},\"plan\":{\"kind\":\"later\"}}"), &back, &e),
        -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_comes_back),
        cmocka_unit_test(no_mark_and_a_wrong_one),
        cmocka_unit_test(a_reconcile_is_due_at_first_after_a_reset_for_another_query_and_in_time),
        cmocka_unit_test(the_mark_moves_with_what_was_done),
        cmocka_unit_test(a_frozen_plan_comes_back_and_matches_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
