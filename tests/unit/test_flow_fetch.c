/* Does a page find its run, whether it comes before or after the run is parked, and does nothing stay behind
 * of one that isn't wanted any more? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fetch.h"
#include "http_fixture.h"

static void hold_and_answer(struct http_conn *c, const struct http_seen *r, void *arg)
{
    (void)r;
    (void)arg;
    http_hold(c);
    http_reply(c, 200, "", "{\"records\":[{\"id\":\"a\"}],\"next_page_cfg\":\"{}\"}");
}

static void refuse(struct http_conn *c, const struct http_seen *r, void *arg)
{
    (void)r;
    (void)arg;
    http_reply(c, 503, "", "{}");
}

/* As much of a bridge as a fetch has to do with. */
struct scene {
    struct fixture f;
    struct bridge bridge;
    struct listener listener;
};

static void begin(struct scene *s, http_server_fn *fn)
{
    *s = (struct scene){0};
    fixture_start(&s->f, fn, NULL);
    s->bridge.http = s->f.engine;
    s->bridge.argilla = argilla_new(&s->f.config, s->f.engine);
    s->bridge.jobs_tail = &s->bridge.jobs;
    (void)pthread_mutex_init(&s->bridge.mutex, NULL);
    (void)pthread_cond_init(&s->bridge.has_job, NULL);
    s->listener.bridge = &s->bridge;
    s->listener.run_dataset = (struct dataset_ref){"team", "reviews", "TextClassification", NULL};
    s->listener.job = (struct job){.kind = JOB_RUN, .listener = &s->listener};
}

static void end(struct scene *s)
{
    fixture_stop(&s->f);
    argilla_free(s->bridge.argilla);
    (void)pthread_mutex_destroy(&s->bridge.mutex);
    (void)pthread_cond_destroy(&s->bridge.has_job);
}

static bool is_held(struct scene *s)
{
    return http_server_numbers(s->f.server).n_held == 1;
}

static bool is_idle(struct scene *s)
{
    struct http_stats now;
    http_engine_stats(s->f.engine, &now);
    return now.n_requests && !now.n_active && !now.n_queued;
}

static void test_a_parked_run_is_given_to_a_worker_when_its_page_comes(void **state)
{
    struct scene s;
    struct err e;
    (void)state;
    begin(&s, hold_and_answer);
    struct fetch *f = fetch_start(&s.listener, NULL, NULL, 10);
    FIXTURE_UNTIL(&s.f, is_held(&s));
    assert_false(fetch_has_come(f));
    assert_true(fetch_park(f));
    assert_null(s.bridge.jobs);
    http_server_release(s.f.server);
    FIXTURE_UNTIL(&s.f, s.bridge.jobs);
    assert_ptr_equal(s.bridge.jobs, &s.listener.job);
    assert_null(s.bridge.jobs->next);
    assert_true(fetch_has_come(f));
    struct scan_page *page = fetch_take(f, &e);
    assert_non_null(page);
    assert_int_equal(page->n_records, 1);
    scan_page_free(page);
    end(&s);
}

static void test_a_page_that_came_first_is_not_waited_for(void **state)
{
    struct scene s;
    struct err e;
    (void)state;
    begin(&s, hold_and_answer);
    http_server_release(s.f.server);
    struct fetch *f = fetch_start(&s.listener, NULL, NULL, 10);
    FIXTURE_UNTIL(&s.f, fetch_has_come(f));
    assert_false(fetch_park(f));
    assert_null(s.bridge.jobs); /* nobody else goes on with it */
    scan_page_free(fetch_take(f, &e));
    end(&s);
}

static void test_a_failure_wakes_the_run_too(void **state)
{
    struct scene s;
    struct err e = {0};
    (void)state;
    begin(&s, refuse);
    struct fetch *f = fetch_start(&s.listener, NULL, NULL, 10);
    assert_true(fetch_park(f));
    FIXTURE_UNTIL(&s.f, s.bridge.jobs);
    assert_null(fetch_take(f, &e));
    assert_int_equal(e.class, ERR_RETRY);
    assert_int_equal(e.http_status, 503);
    end(&s);
}

static void test_a_dropped_one_is_cancelled_and_leaves_nothing(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, hold_and_answer);
    fetch_drop(fetch_start(&s.listener, NULL, NULL, 10)); /* before it is sent, */
    FIXTURE_UNTIL(&s.f, is_idle(&s));
    struct fetch *f = fetch_start(&s.listener, NULL, NULL, 10);
    FIXTURE_UNTIL(&s.f, is_held(&s)); /* while it is under way, */
    fetch_drop(f);
    FIXTURE_UNTIL(&s.f, is_idle(&s));
    http_server_release(s.f.server);
    f = fetch_start(&s.listener, NULL, NULL, 10);
    FIXTURE_UNTIL(&s.f, fetch_has_come(f)); /* and when it has come */
    fetch_drop(f);
    fetch_drop(NULL);
    assert_null(s.bridge.jobs);
    end(&s);
}

static void test_a_parked_one_ends_with_the_engine(void **state)
{
    struct scene s;
    (void)state;
    begin(&s, hold_and_answer);
    struct fetch *f = fetch_start(&s.listener, NULL, NULL, 10);
    FIXTURE_UNTIL(&s.f, is_held(&s));
    assert_true(fetch_park(f));
    end(&s);
    assert_true(fetch_has_come(f));
    fetch_drop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_parked_run_is_given_to_a_worker_when_its_page_comes),
        cmocka_unit_test(test_a_page_that_came_first_is_not_waited_for),
        cmocka_unit_test(test_a_failure_wakes_the_run_too),
        cmocka_unit_test(test_a_dropped_one_is_cancelled_and_leaves_nothing),
        cmocka_unit_test(test_a_parked_one_ends_with_the_engine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
