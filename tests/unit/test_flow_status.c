/* Do operators see what has happened: counters that add up, health that notices what stands still, texts that
 * no name can break? The threads of a bridge are played by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cJSON.h>
#include <cmocka.h>

#include "bridge.h"
#include "clock.h"

/* A bridge of two listeners that nobody runs. */
struct fixture {
    struct config config;
    struct listener_config listeners[2];
    struct listener l[2], *all[2];
    struct owned owned[1];
    struct bridge b;
    struct buf out;
};

static int setup(void **state)
{
    static char evil[] = "a\"b\\c\nd", name[] = "reviews", dataset[] = "d", topic[] = "t", group[] = "g",
                path[] = "p", query[] = "</script>\"", url[] = "http://user:PASSWORD@host:1/x@y",
                topics[] = "s";
    struct fixture *f = xcalloc(1, sizeof *f);
    struct err e;
    for (int i = 0; i < 2; i++)
        f->listeners[i] = (struct listener_config){.name = i ? evil : name,
                                                   .dataset = dataset,
                                                   .workspace = dataset,
                                                   .query = query,
                                                   .topic = topic,
                                                   .metrics_topic = topic,
                                                   .query_records = true,
                                                   .interval_s = i ? 100 : 1};
    f->config = (struct config){.path = path, .listeners = f->listeners, .n_listeners = 2};
    f->config.argilla.url = url;
    f->config.argilla.max_connections = 1;
    f->config.bridge.group_id = group;
    f->config.bridge.state_topic = topics;
    f->config.bridge.state_partitions = 1;
    f->owned[0] = (struct owned){.bridge = &f->b, .partition = partition_new(&f->config, 0, NULL)};
    f->b = (struct bridge){
        .config = &f->config, .listeners = f->all, .n_listeners = 2, .owned = f->owned, .n_owned = 1};
    (void)pthread_mutex_init(&f->b.mutex, NULL);
    (void)pthread_rwlock_init(&f->b.listeners_lock, NULL);
    status_init(&f->b.status, "me");
    assert_int_equal(http_engine_new(&f->config.argilla, &f->b.http, &e), 0);
    for (int i = 0; i < 2; i++) {
        f->l[i] = (struct listener){
            .bridge = &f->b, .config = &f->listeners[i], .partition = f->owned[0].partition};
        f->l[i].status.n.total = -1;
        f->all[i] = &f->l[i];
    }
    f->out = buf_make(1 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++)
        listener_status_release(&f->l[i].status);
    http_engine_free(f->b.http);
    partition_free(f->owned[0].partition);
    status_release(&f->b.status);
    (void)pthread_mutex_destroy(&f->b.mutex);
    (void)pthread_rwlock_destroy(&f->b.listeners_lock);
    buf_release(&f->out);
    free(f);
    return 0;
}

static const struct status_counters *counters(const struct fixture *f)
{
    return &f->l[0].status.n.counters;
}

static void what_a_run_publishes_is_counted_once(void **state)
{
    struct fixture *f = *state;
    struct run_progress p = {.run = 1, .started_ms = clock_wall_ms()};
    status_run_begins(&f->l[0], &p, 10);
    p.n_matched = 5, p.n_published = 4, p.n_oversize = 1, p.n_batches = 1;
    status_committed(&f->l[0], &p, 100);
    status_run_begins(&f->l[0], &p, 10); /* the state was read anew: nothing new in it */
    p.n_matched = 10, p.n_published = 9, p.n_batches = 2;
    status_committed(&f->l[0], &p, 50);
    status_run_ended(&f->l[0], OUTCOME_COMPLETED);
    p = (struct run_progress){.run = 2};
    status_run_begins(&f->l[0], &p, 1);
    p.n_matched = p.n_published = 1;
    status_committed(&f->l[0], &p, 1);
    status_run_ended(&f->l[0], OUTCOME_FAILED);
    const struct status_counters *c = counters(f);
    assert_int_equal(c->matched, 11);
    assert_int_equal(c->published, 10);
    assert_int_equal(c->oversize, 1);
    assert_int_equal(c->matched, c->published + c->unchanged + c->oversize);
    assert_int_equal(c->batches, 2);
    assert_int_equal(c->bytes, 151);
    assert_int_equal(c->completed, 1);
    assert_int_equal(c->failed, 1);
}

static void a_run_that_another_process_began_counts_from_here(void **state)
{
    struct fixture *f = *state;
    struct run_progress p = {.run = 7, .n_matched = 500, .n_published = 500, .n_batches = 5};
    status_run_begins(&f->l[0], &p, 1000);
    assert_int_equal(counters(f)->published, 0);
    p.n_matched = p.n_published = 1000;
    status_committed(&f->l[0], &p, 1);
    assert_int_equal(counters(f)->published, 500);
}

/* A commit in doubt: the state, read again, says that it landed. */
static void a_chunk_found_in_the_state_is_counted(void **state)
{
    struct fixture *f = *state;
    struct run_progress p = {.run = 1};
    status_run_begins(&f->l[0], &p, -1);
    p.n_matched = p.n_published = 5;
    status_run_begins(&f->l[0], &p, -1);
    assert_int_equal(counters(f)->published, 5);
}

static void health_names_the_thread_that_stands_still(void **state)
{
    struct fixture *f = *state;
    assert_true(status_is_healthy(&f->b, &f->out));
    assert_int_equal(f->out.len, 0);
    atomic_store(&f->b.status.prober_mono_ms, clock_mono_ms() - 29000);
    assert_true(status_is_healthy(&f->b, &f->out));
    atomic_store(&f->b.status.prober_mono_ms, clock_mono_ms() - 31000);
    assert_false(status_is_healthy(&f->b, &f->out));
    assert_string_equal(buf_str(&f->out), "\"the prober thread has not come round for 31 s\"");
    buf_clear(&f->out);
    status_beat(&f->b.status.prober_mono_ms);
    atomic_store(&f->b.status.membership_mono_ms, clock_mono_ms() - 40000);
    assert_false(status_is_healthy(&f->b, &f->out));
    assert_non_null(strstr(buf_str(&f->out), "the membership thread"));
    atomic_store(&f->b.is_stopping, true); /* then it has other things to do */
    assert_true(status_is_healthy(&f->b, &f->out));
}

static void health_names_the_listener_that_waits_for_nothing(void **state)
{
    struct fixture *f = *state;
    int64_t now = clock_mono_ms();
    f->l[0].phase = PHASE_WAITING;
    status_waits(&f->l[0], now - 59000);
    f->l[1].phase = PHASE_WAITING;
    status_waits(&f->l[1], now - 250000); /* its interval is 100 s: three of them may pass */
    assert_true(status_is_healthy(&f->b, &f->out));
    status_waits(&f->l[0], now - 61500);
    assert_false(status_is_healthy(&f->b, &f->out));
    assert_string_equal(buf_str(&f->out), "\"listener reviews has been waiting for its poll for 61 s\"");
    buf_clear(&f->out);
    struct err e;
    (void)err_set(&e, ERR_RETRY, "HTTP 503"); /* that is why, and it is shown */
    status_failed(&f->l[0], &e);
    assert_true(status_is_healthy(&f->b, &f->out));
    status_well(&f->l[0]);
    f->l[0].phase = PHASE_RUNNING;
    status_handed(&f->l[0]);
    f->l[0].status.n.handed_mono_ms -= 62000;
    assert_false(status_is_healthy(&f->b, &f->out));
    assert_non_null(strstr(buf_str(&f->out), "reviews has been waiting for a worker for 62 s"));
    atomic_store(&f->b.argilla_is_down, true); /* the workers wait for it */
    assert_true(status_is_healthy(&f->b, &f->out));
    atomic_store(&f->b.argilla_is_down, false);
    status_taken(&f->l[0]);
    assert_true(status_is_healthy(&f->b, &f->out));
}

static void readiness_says_what_is_missing_and_a_failed_reload_is_a_note(void **state)
{
    struct fixture *f = *state;
    assert_false(status_is_ready(&f->b, &f->out));
    assert_string_equal(buf_str(&f->out), "\"the group has not assigned partitions yet\"");
    buf_clear(&f->out);
    atomic_store(&f->b.status.is_settled, true);
    assert_true(status_is_ready(&f->b, &f->out));
    f->owned[0].is_kept = true;
    f->owned[0].n_listeners = 2;
    atomic_store(&f->b.kafka_is_down, true);
    assert_false(status_is_ready(&f->b, &f->out));
    assert_string_equal(buf_str(&f->out), "\"kafka does not answer\",\"1 of 1 partitions are not open yet\"");
    buf_clear(&f->out);
    f->b.reload_error = xstrdup("a.cfg:1: \"x\"");
    status_notes(&f->b, &f->out);
    assert_string_equal(buf_str(&f->out), "\"config reload failed: a.cfg:1: \\\"x\\\"\"");
    buf_clear(&f->out);
    free(TAKE_PTR(f->b.reload_error));
    status_notes(&f->b, &f->out);
    assert_int_equal(f->out.len, 0);
}

static void the_document_is_json_whatever_the_names_and_tells_no_password(void **state)
{
    struct fixture *f = *state;
    struct err e;
    bool holds = false;
    (void)err_set(&e, ERR_AUTH, "HTTP 401: \"who\tare\\you\"");
    status_failed(&f->l[1], &e);
    atomic_store(&f->b.status.is_settled, true);
    partition_set_owned(f->owned[0].partition, true);
    status_poll_begins(&f->l[1], clock_mono_ms());
    status_probed(&f->l[1], 9007199254740993, &holds, "{\"n\":9007199254740991}", 3);
    status_write_listeners(&f->b, &f->out);
    cJSON *doc = cJSON_Parse(buf_str(&f->out));
    assert_non_null(doc);
    const cJSON *l = cJSON_GetArrayItem(cJSON_GetObjectItem(doc, "listeners"), 1);
    assert_string_equal(cJSON_GetObjectItem(l, "name")->valuestring, f->listeners[1].name);
    assert_string_equal(cJSON_GetObjectItem(l, "query")->valuestring, f->listeners[1].query);
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetObjectItem(l, "error"), "text")->valuestring, e.msg);
    assert_non_null(strstr(buf_str(&f->out), "\"total\":9007199254740993,"));
    assert_non_null(strstr(buf_str(&f->out), "\"query_params\":{\"n\":9007199254740991}"));
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(l, "condition_value")));
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetObjectItem(doc, "argilla"), "url")->valuestring,
                        "http://host:1/x@y");
    assert_null(strstr(buf_str(&f->out), "PASSWORD"));
    cJSON_Delete(doc);
}

static void labels_are_escaped_as_the_format_wants_it(void **state)
{
    struct fixture *f = *state;
    status_write_metrics(&f->b, &f->out);
    assert_false(f->out.overflow);
    assert_non_null(strstr(buf_str(&f->out), "argilla_bridge_polls_total{listener=\"a\\\"b\\\\c\\nd\"} 0\n"));
    assert_non_null(
        strstr(buf_str(&f->out), "argilla_bridge_poll_lateness_seconds_bucket{le=\"0.001\"} 0\n"));
    assert_non_null(strstr(buf_str(&f->out), "argilla_bridge_poll_lateness_seconds_bucket{le=\"60\"} 0\n"));
}

static void lateness_falls_into_the_histogram(void **state)
{
    struct fixture *f = *state;
    status_poll_begins(&f->l[0], clock_mono_ms() + 1000); /* early is not late */
    status_poll_begins(&f->l[0], clock_mono_ms() - 3000);
    assert_in_range(f->l[0].status.n.lateness_ms, 3000, 3100);
    assert_int_equal(f->b.status.lateness.counts[0], 1);
    assert_int_equal(f->b.status.lateness.counts[11], 1); /* up to 5 s */
    assert_int_equal(counters(f)->polls, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_run_publishes_is_counted_once),
        TEST(a_run_that_another_process_began_counts_from_here),
        TEST(a_chunk_found_in_the_state_is_counted),
        TEST(health_names_the_thread_that_stands_still),
        TEST(health_names_the_listener_that_waits_for_nothing),
        TEST(readiness_says_what_is_missing_and_a_failed_reload_is_a_note),
        TEST(the_document_is_json_whatever_the_names_and_tells_no_password),
        TEST(labels_are_escaped_as_the_format_wants_it),
        TEST(lateness_falls_into_the_histogram),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
