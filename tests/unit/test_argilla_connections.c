/* Many requests over few connections: which are used again, which are sent again, who waits for whom, what
 * hangs and whom that holds up, and how it all ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "http_fixture.h"

static void answer(struct http_conn *c, const struct http_seen *r, void *arg)
{
    (void)r;
    (void)arg;
    http_reply(c, 200, "", "{}");
}

/* /hang: no answer before the release. All others at once. */
static void answer_or_hang(struct http_conn *c, const struct http_seen *r, void *arg)
{
    (void)arg;
    if (strcmp(r->path, "/hang") == 0)
        http_hold(c);
    http_reply(c, 200, "", "{}");
}

static void assert_ok(struct outcome *o)
{
    if (o->err.class)
        fail_msg("%s", o->err.msg);
    outcome_release(o);
}

static void get_ok(struct fixture *f, const char *path)
{
    struct outcome o;
    fixture_get(f, path, &o);
    assert_ok(&o);
}

static void test_a_connection_is_used_again(void **state)
{
    struct fixture f;
    (void)state;
    fixture_start(&f, answer, NULL);
    for (int i = 0; i < 5; i++)
        get_ok(&f, "/x");
    assert_int_equal(http_server_numbers(f.server).n_requests, 5);
    assert_int_equal(http_server_numbers(f.server).n_connections, 1);
    fixture_stop(&f);
}

static void test_a_server_that_closes_idle_connections_makes_no_error(void **state)
{
    struct fixture f;
    (void)state;
    fixture_start(&f, answer, NULL);
    http_server_set_idle_ms(f.server, 300);
    for (int i = 1; i <= 3; i++) {
        get_ok(&f, "/x");
        FIXTURE_UNTIL(&f, http_server_numbers(f.server).n_closed == i);
    }
    assert_int_equal(http_server_numbers(f.server).n_requests, 3);
    assert_int_equal(http_server_numbers(f.server).n_connections, 3);
    fixture_stop(&f);
}

static void test_a_connection_idle_for_4_s_is_not_used_again(void **state)
{
    struct fixture f;
    struct outcome o;
    (void)state;
    fixture_start(&f, answer, NULL);
    get_ok(&f, "/x");
    int64_t from = clock_mono_ms();
    FIXTURE_UNTIL(&f, clock_mono_ms() - from >= 4000);
    (void)fixture_submit(&f, "/x", NULL, "{}", &o);
    fixture_await(&f, &o);
    assert_ok(&o);
    assert_int_equal(http_server_numbers(f.server).n_connections, 2);
    fixture_stop(&f);
}

/* Each connection answers one request and, at the second, closes. */
static void close_at_reuse(struct http_conn *c, const struct http_seen *r, void *arg)
{
    (void)arg;
    if (r->n_on_connection > 1)
        http_close(c);
    else
        http_reply(c, 200, "", "{}");
}

static void test_a_connection_closed_at_its_reuse_makes_no_error(void **state)
{
    struct fixture f;
    struct outcome o;
    (void)state;
    fixture_start(&f, close_at_reuse, NULL);
    for (int i = 0; i < 20; i++) {
        (void)fixture_submit(&f, "/x", NULL, i % 2 ? "{\"q\":1}" : NULL, &o);
        fixture_await(&f, &o);
        assert_ok(&o);
    }
    assert_int_equal(http_server_numbers(f.server).n_requests, 39); /* all but the first sent twice */
    assert_int_equal(http_server_numbers(f.server).n_connections, 20);
    fixture_stop(&f);
}

static void test_a_connection_reset_within_a_large_body_makes_no_error(void **state)
{
    enum { SIZE = 8 << 20 };
    cleanup_free char *body = xcalloc(1, SIZE + 1);
    struct fixture f;
    struct outcome o;
    (void)state;
    memset(body, ' ', SIZE);
    fixture_start(&f, answer, NULL);
    http_server_set_reset_at(f.server, 2);
    for (int i = 0; i < 3; i++) {
        (void)fixture_submit(&f, "/x", NULL, body, &o);
        fixture_await(&f, &o);
        assert_ok(&o);
    }
    assert_int_equal(http_server_numbers(f.server).n_requests, 3);
    assert_int_equal(http_server_numbers(f.server).n_connections, 3);
    fixture_stop(&f);
}

/* Something in between (a NAT, a load balancer) has forgotten all connections at once: curl repeats a request
 * by itself on one kept connection after the other, and gives up after five. */
static void test_many_connections_closed_at_their_reuse_make_no_error(void **state)
{
    struct outcome o[12];
    struct fixture f;
    (void)state;
    fixture_start(&f, answer_or_hang, NULL);
    http_server_set_reset_at(f.server, 2);
    for (size_t i = 0; i < ARRAY_LEN(o); i++)
        (void)fixture_submit(&f, "/hang", NULL, NULL, &o[i]);
    FIXTURE_UNTIL(&f, http_server_numbers(f.server).n_held == ARRAY_LEN(o));
    http_server_release(f.server);
    for (size_t i = 0; i < ARRAY_LEN(o); i++) {
        fixture_await(&f, &o[i]);
        assert_ok(&o[i]);
    }
    get_ok(&f, "/x");
    assert_int_equal(http_server_numbers(f.server).n_connections, ARRAY_LEN(o) + 1);
    fixture_stop(&f);
}

/* Answers the first request, and closes at all others, whichever connection they come on. */
static void close_at_all_but_the_first(struct http_conn *c, const struct http_seen *r, void *arg)
{
    (void)arg;
    if (r->number > 1)
        http_close(c);
    else
        http_reply(c, 200, "", "{}");
}

static void test_a_request_is_not_sent_for_ever(void **state)
{
    struct fixture f;
    struct outcome o;
    (void)state;
    fixture_start(&f, close_at_all_but_the_first, NULL);
    get_ok(&f, "/x");
    fixture_get(&f, "/x", &o);
    assert_int_equal(o.err.class, ERR_RETRY);
    assert_string_equal(o.err.msg, "GET /x: the connection was closed before an answer");
    assert_int_equal(http_server_numbers(f.server).n_requests, 3); /* on the kept connection, on a new one */
    outcome_release(&o);
    fixture_stop(&f);
}

static void close_at_all(struct http_conn *c, const struct http_seen *r, void *arg)
{
    (void)r;
    (void)arg;
    http_close(c);
}

static void test_a_new_connection_that_closes_is_an_error_at_once(void **state)
{
    struct fixture f;
    struct outcome o;
    (void)state;
    fixture_start(&f, close_at_all, NULL);
    fixture_get(&f, "/x", &o);
    assert_int_equal(o.err.class, ERR_RETRY);
    assert_int_equal(http_server_numbers(f.server).n_requests, 1);
    outcome_release(&o);
    fixture_stop(&f);
}

/* ---- gates ---- */

struct order {
    pthread_mutex_t mutex;
    char paths[256]; /* of the requests as they came */
    int n_inside, max_inside;
};

static void note_order(struct http_conn *c, const struct http_seen *r, void *arg)
{
    struct order *o = arg;
    (void)pthread_mutex_lock(&o->mutex);
    (void)snprintf(o->paths + strlen(o->paths), sizeof o->paths - strlen(o->paths), "%s ", r->path);
    if (++o->n_inside > o->max_inside)
        o->max_inside = o->n_inside;
    (void)pthread_mutex_unlock(&o->mutex);
    if (strcmp(r->path, "/hang") == 0)
        http_hold(c);
    (void)pthread_mutex_lock(&o->mutex);
    o->n_inside--;
    (void)pthread_mutex_unlock(&o->mutex);
    http_reply(c, 200, "", "{}");
}

static void test_requests_of_one_gate_go_one_at_a_time_in_order(void **state)
{
    static const char *const paths[] = {"/1", "/2", "/3", "/4", "/5"};
    struct order order = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    struct outcome o[ARRAY_LEN(paths)];
    struct fixture f;
    (void)state;
    fixture_start(&f, note_order, &order);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        (void)fixture_submit(&f, paths[i], "team/reviews", NULL, &o[i]);
    fixture_await(&f, &o[ARRAY_LEN(paths) - 1]);
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        assert_int_equal(o[i].order, i + 1);
        assert_ok(&o[i]);
    }
    assert_string_equal(order.paths, "/1 /2 /3 /4 /5 ");
    assert_int_equal(order.max_inside, 1);
    fixture_stop(&f);
}

static void test_a_gate_that_hangs_holds_up_no_other(void **state)
{
    struct outcome hung, behind, other, none;
    struct fixture f;
    struct http_stats stats;
    (void)state;
    fixture_start(&f, answer_or_hang, NULL);
    (void)fixture_submit(&f, "/hang", "a", NULL, &hung);
    (void)fixture_submit(&f, "/x", "a", NULL, &behind);
    (void)fixture_submit(&f, "/x", "b", NULL, &other);
    (void)fixture_submit(&f, "/x", NULL, NULL, &none);
    FIXTURE_UNTIL(&f, other.is_done && none.is_done && http_server_numbers(f.server).n_held == 1);
    assert_false(hung.is_done);
    assert_false(behind.is_done);
    http_engine_stats(f.engine, &stats);
    assert_int_equal(stats.n_active, 1);
    assert_int_equal(stats.n_queued, 1);
    http_server_release(f.server);
    fixture_await(&f, &behind);
    assert_true(hung.is_done);
    http_engine_stats(f.engine, &stats);
    assert_int_equal(stats.n_active, 0);
    assert_int_equal(stats.n_queued, 0);
    assert_int_equal(stats.n_requests, 4);
    assert_int_equal(stats.n_failed, 0);
    assert_int_equal(stats.n_bytes, 8);
    assert_ok(&hung);
    assert_ok(&behind);
    assert_ok(&other);
    assert_ok(&none);
    fixture_stop(&f);
}

static void test_a_gate_opens_after_an_error_too(void **state)
{
    struct outcome first, second;
    struct fixture f;
    (void)state;
    fixture_start(&f, close_at_all, NULL);
    (void)fixture_submit(&f, "/x", "a", NULL, &first);
    (void)fixture_submit(&f, "/x", "a", NULL, &second);
    fixture_await(&f, &second);
    assert_true(first.is_done);
    outcome_release(&first);
    outcome_release(&second);
    fixture_stop(&f);
}

/* ---- at most 16, of which those that hang don't count, at most 64 ---- */

static void test_sixteen_that_hang_hold_the_next_up_for_2_s(void **state)
{
    struct outcome hung[16], next;
    struct fixture f;
    (void)state;
    fixture_start(&f, answer_or_hang, NULL);
    for (size_t i = 0; i < ARRAY_LEN(hung); i++)
        (void)fixture_submit(&f, "/hang", NULL, NULL, &hung[i]);
    FIXTURE_UNTIL(&f, http_server_numbers(f.server).n_held == 16);
    int64_t from = clock_mono_ms();
    (void)fixture_submit(&f, "/x", NULL, NULL, &next);
    while (!next.is_done && clock_mono_ms() - from < 10000)
        http_engine_poll(f.engine, 15000); /* it wakes by itself when a place comes free */
    assert_in_range(clock_mono_ms() - from, 1500, 10000);
    assert_ok(&next);
    http_server_release(f.server);
    for (size_t i = 0; i < ARRAY_LEN(hung); i++) {
        fixture_await(&f, &hung[i]);
        assert_ok(&hung[i]);
    }
    fixture_stop(&f);
}

static void test_no_more_than_sixty_four_however_many_hang(void **state)
{
    enum { N = 80 };
    struct outcome hung[N];
    struct fixture f;
    struct http_stats stats = {0};
    (void)state;
    fixture_start(&f, answer_or_hang, NULL);
    for (size_t i = 0; i < N; i++)
        (void)fixture_submit(&f, "/hang", NULL, NULL, &hung[i]);
    FIXTURE_UNTIL(&f, http_server_numbers(f.server).n_held == 64);
    int64_t from = clock_mono_ms();
    FIXTURE_UNTIL(&f, clock_mono_ms() - from > 2500); /* all 64 have hung for 2 s by now */
    http_engine_stats(f.engine, &stats);
    assert_int_equal(stats.n_active, 64);
    assert_int_equal(stats.n_queued, N - 64);
    assert_int_equal(http_server_numbers(f.server).max_held, 64);
    http_server_release(f.server);
    for (size_t i = 0; i < N; i++) {
        fixture_await(&f, &hung[i]);
        assert_ok(&hung[i]);
    }
    fixture_stop(&f);
}

/* A byte each 100 ms until the release: slow, but it moves. */
static void trickle(struct http_conn *c, const struct http_seen *r, void *arg)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    const bool *is_over = arg;
    if (strcmp(r->path, "/x") == 0) {
        http_reply(c, 200, "", "{}");
        return;
    }
    http_send(c, head, sizeof head - 1);
    while (!__atomic_load_n(is_over, __ATOMIC_SEQ_CST)) {
        struct timespec t = {.tv_nsec = 100000000}; /* its pace is what is tested */
        http_send(c, " ", 1);
        (void)nanosleep(&t, NULL);
    }
    http_close(c);
}

static void test_one_that_is_slow_but_moves_keeps_its_place(void **state)
{
    struct outcome slow, next;
    struct fixture f;
    bool is_over = false;
    (void)state;
    fixture_start(&f, trickle, &is_over);
    f.config.max_connections = 1;
    (void)fixture_submit(&f, "/slow", NULL, NULL, &slow);
    (void)fixture_submit(&f, "/x", NULL, NULL, &next);
    int64_t from = clock_mono_ms();
    FIXTURE_UNTIL(&f, clock_mono_ms() - from > 3000);
    assert_false(next.is_done);
    __atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST);
    fixture_await(&f, &next);
    assert_true(slow.is_done);
    assert_int_equal(slow.err.class, ERR_RETRY);
    outcome_release(&slow);
    assert_ok(&next);
    fixture_stop(&f);
}

/* ---- cancelling and the end ---- */

static void test_cancelling_ends_what_waits_and_what_is_on_its_way(void **state)
{
    struct outcome hung, behind, after;
    struct fixture f;
    (void)state;
    fixture_start(&f, answer_or_hang, NULL);
    uint64_t hung_id = fixture_submit(&f, "/hang", "a", NULL, &hung);
    uint64_t behind_id = fixture_submit(&f, "/x", "a", NULL, &behind);
    (void)fixture_submit(&f, "/x", "a", NULL, &after);
    FIXTURE_UNTIL(&f, http_server_numbers(f.server).n_held == 1);
    http_cancel(f.engine, behind_id);
    fixture_await(&f, &behind);
    assert_false(hung.is_done);
    http_cancel(f.engine, hung_id);
    fixture_await(&f, &after);
    assert_true(hung.is_done);
    assert_int_equal(hung.err.class, ERR_RETRY);
    assert_string_equal(hung.err.msg, "GET /hang: cancelled");
    assert_string_equal(behind.err.msg, "GET /x: cancelled");
    http_cancel(f.engine, hung_id); /* it has ended: nothing */
    http_cancel(f.engine, 4711);
    http_cancel(f.engine, 0);
    outcome_release(&hung);
    outcome_release(&behind);
    assert_ok(&after);
    get_ok(&f, "/x");
    fixture_stop(&f);
}

struct chain {
    struct fixture *f;
    struct outcome *o;
    int n;
};

static void test_the_end_answers_everything(void **state)
{
    struct outcome hung, behind, fresh;
    struct fixture f;
    (void)state;
    fixture_start(&f, answer_or_hang, NULL);
    (void)fixture_submit(&f, "/hang", "a", NULL, &hung);
    (void)fixture_submit(&f, "/x", "a", NULL, &behind);
    FIXTURE_UNTIL(&f, http_server_numbers(f.server).n_held == 1);
    (void)fixture_submit(&f, "/x", NULL, NULL, &fresh); /* never polled for */
    http_engine_free(f.engine);
    f.engine = NULL;
    assert_true(hung.is_done && behind.is_done && fresh.is_done);
    assert_int_equal(hung.err.class, ERR_RETRY);
    assert_string_equal(hung.err.msg, "GET /hang: stopping");
    assert_string_equal(behind.err.msg, "GET /x: stopping");
    assert_string_equal(fresh.err.msg, "GET /x: stopping");
    outcome_release(&hung);
    outcome_release(&behind);
    outcome_release(&fresh);
    fixture_stop(&f);
}

static void submit_another(void *arg, struct http_response *resp, const struct err *e)
{
    struct chain *c = arg;
    (void)resp;
    if (e)
        fail_msg("%s", e->msg);
    (void)fixture_submit(c->f, "/second", "a", NULL, c->o);
    c->n++;
}

static void test_a_receiver_may_submit_more(void **state)
{
    struct outcome second = {0};
    struct fixture f;
    struct chain chain = {.f = &f, .o = &second};
    (void)state;
    fixture_start(&f, answer, NULL);
    struct http_request r = {.method = "GET",
                             .path = xstrdup("/first"),
                             .gate = xstrdup("a"),
                             .timeout_ms = 1000,
                             .max_body_bytes = 100,
                             .done = submit_another,
                             .arg = &chain};
    assert_true(http_submit(f.engine, &r) > 0);
    FIXTURE_UNTIL(&f, chain.n == 1 && second.is_done);
    assert_ok(&second);
    fixture_stop(&f);
}

/* ---- other threads ---- */

struct waker {
    struct fixture *f;
    struct outcome o;
    bool submits;
};

static void *wake_later(void *arg)
{
    struct waker *w = arg;
    struct timespec t = {.tv_nsec = 200000000}; /* so that the owner is most likely in its wait */
    (void)nanosleep(&t, NULL);
    if (w->submits)
        (void)fixture_submit(w->f, "/x", NULL, NULL, &w->o);
    else
        http_engine_wake(w->f->engine);
    return NULL;
}

static void test_a_wake_or_a_request_ends_the_owners_wait(void **state)
{
    struct fixture f;
    (void)state;
    fixture_start(&f, answer, NULL);
    for (int i = 0; i < 2; i++) {
        struct waker w = {.f = &f, .submits = i == 1};
        pthread_t thread;
        int64_t from = clock_mono_ms();
        assert_int_equal(pthread_create(&thread, NULL, wake_later, &w), 0);
        http_engine_poll(f.engine, 20000);
        assert_true(clock_mono_ms() - from < 10000);
        (void)pthread_join(thread, NULL);
        if (w.submits) {
            fixture_await(&f, &w.o);
            assert_ok(&w.o);
        }
    }
    /* one that comes before the wait ends it as well */
    int64_t from = clock_mono_ms();
    http_engine_wake(f.engine);
    http_engine_poll(f.engine, 20000);
    assert_true(clock_mono_ms() - from < 10000);
    fixture_stop(&f);
}

enum { THREADS = 4, EACH = 50 };

struct submitter {
    struct fixture *f;
    struct outcome o[EACH];
};

static void *submit_many(void *arg)
{
    struct submitter *s = arg;
    for (int i = 0; i < EACH; i++) {
        const char gate[] = {(char)('a' + i % 3), '\0'};
        uint64_t id = fixture_submit(s->f, "/x", gate, NULL, &s->o[i]);
        if (i % 10 == 0)
            http_cancel(s->f->engine, id);
    }
    return NULL;
}

static void test_many_threads_submit_and_cancel(void **state)
{
    static struct submitter s[THREADS];
    struct http_stats stats = {0};
    pthread_t threads[THREADS];
    struct fixture f;
    (void)state;
    fixture_start(&f, answer, NULL);
    for (int i = 0; i < THREADS; i++) {
        s[i].f = &f;
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &s[i]), 0);
    }
    FIXTURE_UNTIL(&f, (http_engine_stats(f.engine, &stats), stats.n_requests) == THREADS * EACH);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(f.n_done, THREADS * EACH);
    assert_int_equal(stats.n_queued, 0);
    assert_int_equal(stats.n_active, 0);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < EACH; k++) {
            if (k % 10 != 0 && s[i].o[k].err.class)
                fail_msg("%s", s[i].o[k].err.msg);
            outcome_release(&s[i].o[k]);
        }
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_connection_is_used_again),
        cmocka_unit_test(test_a_server_that_closes_idle_connections_makes_no_error),
        cmocka_unit_test(test_a_connection_idle_for_4_s_is_not_used_again),
        cmocka_unit_test(test_a_connection_closed_at_its_reuse_makes_no_error),
        cmocka_unit_test(test_a_connection_reset_within_a_large_body_makes_no_error),
        cmocka_unit_test(test_many_connections_closed_at_their_reuse_make_no_error),
        cmocka_unit_test(test_a_request_is_not_sent_for_ever),
        cmocka_unit_test(test_a_new_connection_that_closes_is_an_error_at_once),
        cmocka_unit_test(test_requests_of_one_gate_go_one_at_a_time_in_order),
        cmocka_unit_test(test_a_gate_that_hangs_holds_up_no_other),
        cmocka_unit_test(test_a_gate_opens_after_an_error_too),
        cmocka_unit_test(test_sixteen_that_hang_hold_the_next_up_for_2_s),
        cmocka_unit_test(test_no_more_than_sixty_four_however_many_hang),
        cmocka_unit_test(test_one_that_is_slow_but_moves_keeps_its_place),
        cmocka_unit_test(test_cancelling_ends_what_waits_and_what_is_on_its_way),
        cmocka_unit_test(test_the_end_answers_everything),
        cmocka_unit_test(test_a_receiver_may_submit_more),
        cmocka_unit_test(test_a_wake_or_a_request_ends_the_owners_wait),
        cmocka_unit_test(test_many_threads_submit_and_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
