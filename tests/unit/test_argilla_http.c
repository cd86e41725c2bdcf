/* What does one request become: its answer, or an error with which class and which text? Answers of all
 * kinds, limits, time-outs and what a server or something in between can do wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http_fixture.h"

/* What the server of a test answers to every request. */
struct script {
    int status;
    const char *headers, *body, *raw; /* raw: instead of all of that */
    char seen[4096];                  /* the last request: "METHOD PATH headers body" */
};

static void answer(struct http_conn *c, const struct http_seen *r, void *arg)
{
    struct script *s = arg;
    (void)snprintf(s->seen, sizeof s->seen, "%s %s %s %s", r->method, r->path, r->headers, r->body);
    if (s->raw) {
        http_send(c, s->raw, strlen(s->raw));
        http_close(c);
    } else {
        http_reply(c, s->status, s->headers ? s->headers : "", s->body ? s->body : "{}");
    }
}

static void ask(struct script *s, struct outcome *ret)
{
    struct fixture f;
    fixture_start(&f, answer, s);
    (void)fixture_submit_limited(&f, "/api/x", NULL, "{\"q\":1}", 20000, 1000, ret);
    fixture_await(&f, ret);
    assert_null(strstr(ret->err.msg, FIXTURE_KEY));
    fixture_stop(&f);
}

static void assert_err(const struct outcome *o, enum err_class class, int status, const char *text)
{
    assert_string_equal(err_class_name(o->err.class), err_class_name(class));
    assert_int_equal(o->err.http_status, status);
    assert_string_equal(o->err.msg, text);
}

static void test_a_request_carries_key_body_and_agent(void **state)
{
    struct script s = {
        .status = 200, .headers = "Date: Tue, 24 Nov 2026 21:44:03 GMT\r\n", .body = "{\"total\":7}"};
    struct outcome o;
    (void)state;
    ask(&s, &o);
    assert_int_equal(o.err.class, ERR_NONE);
    assert_int_equal(o.status, 200);
    assert_string_equal(buf_str(&o.body), "{\"total\":7}");
    assert_int_equal(o.date_ms, 1795556643000);
    assert_int_equal(strncmp(s.seen, "POST /api/x ", 12), 0);
    assert_non_null(strstr(s.seen, "X-Argilla-Api-Key: " FIXTURE_KEY "\r\n"));
    assert_non_null(strstr(s.seen, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(s.seen, "User-Agent: argilla-bridge/"));
    assert_non_null(strstr(s.seen, " {\"q\":1}"));
    outcome_release(&o);
}

static void test_a_get_after_a_post_has_no_body(void **state)
{
    struct script s = {.status = 200};
    struct fixture f;
    struct outcome o;
    (void)state;
    fixture_start(&f, answer, &s);
    (void)fixture_submit(&f, "/api/a", NULL, "{}", &o);
    fixture_await(&f, &o);
    outcome_release(&o);
    fixture_get(&f, "/api/b", &o);
    assert_int_equal(strncmp(s.seen, "GET /api/b ", 11), 0);
    assert_null(strcasestr(s.seen, "content-length"));
    outcome_release(&o);
    fixture_stop(&f);
}

static void test_a_large_body_is_sent_without_asking_first(void **state)
{
    enum { SIZE = 2 << 20 }; /* curl would ask above 1 MiB, and wait for a second */
    cleanup_free char *body = xcalloc(1, SIZE + 1);
    struct script s = {.status = 200};
    struct fixture f;
    struct outcome o;
    (void)state;
    memset(body, ' ', SIZE);
    fixture_start(&f, answer, &s);
    (void)fixture_submit(&f, "/api/x", NULL, body, &o);
    fixture_await(&f, &o);
    assert_int_equal(o.err.class, ERR_NONE);
    assert_null(strcasestr(s.seen, "Expect:"));
    outcome_release(&o);
    fixture_stop(&f);
}

static void test_statuses_have_classes(void **state)
{
    static const struct {
        int status;
        enum err_class class;
    } cases[] = {{204, ERR_NONE},      {302, ERR_BAD_INPUT}, {400, ERR_BAD_INPUT}, {401, ERR_AUTH},
                 {403, ERR_AUTH},      {404, ERR_BAD_INPUT}, {408, ERR_RETRY},     {409, ERR_BAD_INPUT},
                 {422, ERR_BAD_INPUT}, {425, ERR_RETRY},     {429, ERR_RETRY},     {500, ERR_RETRY},
                 {502, ERR_RETRY},     {503, ERR_RETRY},     {504, ERR_RETRY}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s = {.status = cases[i].status, .body = cases[i].status == 204 ? "" : "{}"};
        struct outcome o;
        ask(&s, &o);
        if (o.err.class != cases[i].class)
            fail_msg("%d is %s", cases[i].status, err_class_name(o.err.class));
        assert_int_equal(o.status, cases[i].status);
        outcome_release(&o);
    }
}

static void test_an_error_names_request_status_and_what_argilla_says(void **state)
{
    static const char *const cases[][2] = {
        {"{\"detail\":{\"code\":\"argilla.api.errors::InvalidTextSearchError\",\"params\":{\"message\":"
         "\"Failed "
         "to parse query [a(]\"}}}",
         "InvalidTextSearchError: Failed to parse query [a(]"},
        {"{\"detail\":{\"code\":\"argilla.api.errors::EntityNotFoundError\",\"params\":{\"name\":\"nope\"}}}",
         "EntityNotFoundError: {\"name\":\"nope\"}"},
        {"{\"detail\":\"Not Found\"}", "Not Found"},
        {"{\"detail\":7}", "{\"detail\":7}"},
        {"<html>\r\n<h1>Bad\tGateway</h1>\x1b[31m\x01\xff</html>",
         "<html> <h1>Bad Gateway</h1> [31m </html>"},
        {"na\xc3\xafve \xe2\x82\xac \xc2\x9b", "na\xc3\xafve \xe2\x82\xac"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s = {.status = 503, .body = cases[i][0]};
        struct outcome o;
        cleanup_free char *want = xasprintf("POST /api/x: HTTP 503: %s", cases[i][1]);
        ask(&s, &o);
        assert_err(&o, ERR_RETRY, 503, want);
        outcome_release(&o);
    }
}

static void test_an_error_without_a_body_is_its_status(void **state)
{
    struct script s = {.status = 500, .body = ""};
    struct outcome o;
    (void)state;
    ask(&s, &o);
    assert_err(&o, ERR_RETRY, 500, "POST /api/x: HTTP 500");
    outcome_release(&o);
}

static void test_a_long_error_is_cut_and_leaves_room_for_the_status(void **state)
{
    struct script s = {.status = 500};
    struct outcome o;
    cleanup_free char *body = xcalloc(1, 100001);
    (void)state;
    memset(body, 'x', 100000); /* more than is read of an error, and far over the request's limit */
    s.body = body;
    ask(&s, &o);
    assert_int_equal(o.err.http_status, 500);
    assert_int_equal(strncmp(o.err.msg, "POST /api/x: HTTP 500: xxx", 26), 0);
    assert_in_range(strlen(o.err.msg), 200, 300);
    outcome_release(&o);
}

static void test_a_server_that_tells_the_key_is_not_repeated(void **state)
{
    struct script s = {.status = 400, .body = "{\"detail\":\"bad X-Argilla-Api-Key: " FIXTURE_KEY "!\"}"};
    struct outcome o;
    (void)state;
    ask(&s, &o);
    assert_err(&o, ERR_BAD_INPUT, 400, "POST /api/x: HTTP 400: bad X-Argilla-Api-Key: ***!");
    outcome_release(&o);
    s = (struct script){.status = 302, .headers = "Location: http://h/?key=" FIXTURE_KEY "\r\n"};
    ask(&s, &o);
    assert_err(&o, ERR_BAD_INPUT, 302, "POST /api/x: HTTP 302 (redirect to http://h/?key=***, not followed)");
    outcome_release(&o);
}

static void test_retry_after_is_seconds_or_a_date_by_the_servers_clock(void **state)
{
    static const struct {
        int status;
        const char *headers;
        int64_t ms;
    } cases[] = {
        {503, "Retry-After: 7\r\n", 7000},
        {429, "retry-after:  1 \r\n", 1000},
        {503, "Date: Tue, 24 Nov 2020 21:44:03 GMT\r\nRetry-After: Tue, 24 Nov 2020 21:44:33 GMT\r\n", 30000},
        {503, "Retry-After: Tue, 24 Nov 2020 21:44:33 GMT\r\nDate: Tue, 24 Nov 2020 21:44:03 GMT\r\n", 30000},
        {503, "Retry-After: Tue, 24 Nov 2020 21:44:33 GMT\r\n", 0}, /* gone by */
        {503, "Retry-After: 99999999999999999999\r\n", 3600000},
        {503, "Retry-After: Tue, 24 Nov 2099 21:44:33 GMT\r\n", 3600000},
        {503, "Retry-After: -1\r\n", 0},
        {503, "Retry-After: soon\r\n", 0},
        {503, "", 0},
        {400, "Retry-After: 7\r\n", 0}, /* it won't be tried again */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s = {.status = cases[i].status, .headers = cases[i].headers};
        struct outcome o;
        ask(&s, &o);
        if (o.err.retry_after_ms != cases[i].ms)
            fail_msg("%s: %lld ms", cases[i].headers, (long long)o.err.retry_after_ms);
        outcome_release(&o);
    }
}

static void test_an_answer_over_the_limit_is_refused(void **state)
{
    cleanup_free char *body = xcalloc(1, 1002);
    struct script s = {.status = 200};
    struct outcome o;
    (void)state;
    memset(body, ' ', 1000);
    s.body = body;
    ask(&s, &o); /* the limit itself is allowed */
    assert_int_equal(o.err.class, ERR_NONE);
    assert_int_equal(o.body.len, 1000);
    outcome_release(&o);
    body[1000] = ' ';
    ask(&s, &o);
    assert_err(&o, ERR_BAD_INPUT, 200, "POST /api/x: the answer is over 1000 bytes");
    outcome_release(&o);
    /* without Content-Length it shows only on the way */
    cleanup_free char *raw = xasprintf("HTTP/1.1 200 OK\r\n\r\n%s", body);
    s = (struct script){.raw = raw};
    ask(&s, &o);
    assert_err(&o, ERR_BAD_INPUT, 200, "POST /api/x: the answer is over 1000 bytes");
    assert_true(o.body.len <= 1000);
    outcome_release(&o);
}

static void announce_and_hold(struct http_conn *c, const struct http_seen *r, void *arg)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n";
    (void)r;
    (void)arg;
    http_send(c, text, sizeof text - 1);
    http_hold(c);
}

static void test_a_content_length_over_the_limit_is_refused_before_the_body(void **state)
{
    struct fixture f;
    struct outcome o;
    (void)state;
    fixture_start(&f, announce_and_hold, NULL);
    (void)fixture_submit_limited(&f, "/api/x", NULL, "{}", 20000, 1000, &o);
    fixture_await(&f, &o);
    assert_err(&o, ERR_BAD_INPUT, 200, "POST /api/x: the answer is over 1000 bytes");
    outcome_release(&o);
    fixture_stop(&f);
}

static void test_what_is_cut_off_is_to_be_tried_again(void **state)
{
    static const char *const cases[][2] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "the answer was cut off after 5 bytes"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n123",
         "the answer was cut off after 3 bytes"},
        {"", "the connection was closed before an answer"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct script s = {.raw = cases[i][0]};
        struct outcome o;
        cleanup_free char *want = xasprintf("POST /api/x: %s", cases[i][1]);
        ask(&s, &o);
        assert_err(&o, ERR_RETRY, 0, want);
        outcome_release(&o);
    }
}

static void test_an_error_that_is_cut_off_is_still_that_error(void **state)
{
    struct script s = {.raw = "HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nno"};
    struct outcome o;
    (void)state;
    ask(&s, &o);
    assert_err(&o, ERR_AUTH, 403, "POST /api/x: HTTP 403: no");
    outcome_release(&o);
}

static void test_an_interim_answer_is_passed_over(void **state)
{
    struct script s = {.raw = "HTTP/1.1 103 Early Hints\r\nDate: Tue, 24 Nov 2020 21:44:03 GMT\r\n\r\n"
                              "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"};
    struct outcome o;
    (void)state;
    ask(&s, &o);
    assert_int_equal(o.err.class, ERR_NONE);
    assert_int_equal(o.status, 200);
    assert_int_equal(o.date_ms, 0);
    outcome_release(&o);
}

static void test_what_is_not_http_is_to_be_tried_again(void **state)
{
    struct script s = {.raw = "SSH-2.0-OpenSSH_9.2\r\n"};
    struct outcome o;
    (void)state;
    ask(&s, &o);
    assert_int_equal(o.err.class, ERR_RETRY);
    assert_int_equal(o.err.http_status, 0);
    assert_int_equal(strncmp(o.err.msg, "POST /api/x: ", 13), 0);
    outcome_release(&o);
}

static void hold(struct http_conn *c, const struct http_seen *r, void *arg)
{
    (void)r;
    (void)arg;
    http_hold(c);
    http_close(c);
}

static void test_a_server_that_hangs_times_out(void **state)
{
    struct fixture f;
    struct outcome o;
    (void)state;
    fixture_start(&f, hold, NULL);
    int64_t from = clock_mono_ms();
    (void)fixture_submit_limited(&f, "/api/x", NULL, NULL, 500, 0, &o);
    fixture_await(&f, &o);
    assert_err(&o, ERR_RETRY, 0, "GET /api/x: timed out after 500 ms");
    assert_in_range(clock_mono_ms() - from, 450, 15000); /* curl counts in whole milliseconds */
    outcome_release(&o);
    fixture_stop(&f);
}

static void trickle(struct http_conn *c, const struct http_seen *r, void *arg)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    const bool *is_over = arg;
    (void)r;
    http_send(c, head, sizeof head - 1);
    for (int i = 0; i < 1000 && !__atomic_load_n(is_over, __ATOMIC_SEQ_CST); i++) {
        http_send(c, " ", 1);
        (void)usleep(10000); /* it is slow: that is what is tested */
    }
    http_close(c);
}

static void test_an_answer_that_trickles_has_no_more_time_than_others(void **state)
{
    struct fixture f;
    struct outcome o;
    bool is_over = false;
    (void)state;
    fixture_start(&f, trickle, &is_over);
    (void)fixture_submit_limited(&f, "/api/x", NULL, NULL, 800, 0, &o);
    fixture_await(&f, &o);
    __atomic_store_n(&is_over, true, __ATOMIC_SEQ_CST);
    assert_err(&o, ERR_RETRY, 0, "GET /api/x: timed out after 800 ms");
    assert_true(o.body.len > 0);
    outcome_release(&o);
    fixture_stop(&f);
}

/* A port of 127.0.0.1 that refuses: bound, not listening. */
static int refusing_port(int *ret_fd)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    *ret_fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(*ret_fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(*ret_fd, (struct sockaddr *)&a, &len), 0);
    return ntohs(a.sin_port);
}

static void test_a_refused_connection_says_so(void **state)
{
    struct fixture f;
    struct outcome o;
    struct err e;
    int fd;
    (void)state;
    cleanup_free char *url = xasprintf("http://127.0.0.1:%d", refusing_port(&fd));
    fixture_start(&f, answer, NULL);
    http_engine_free(f.engine);
    f.config.url = url;
    assert_int_equal(http_engine_new(&f.config, &f.engine, &e), 0);
    fixture_get(&f, "/api/x", &o);
    assert_err(&o, ERR_RETRY, 0, "GET /api/x: connection refused");
    outcome_release(&o);
    fixture_stop(&f);
    (void)close(fd);
}

/* A port of 127.0.0.1 that does not answer at all: its backlog is full, so that the kernel drops what comes.
 */
static int mute_port(int ret_fds[4])
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    for (int i = 0; i < 4; i++)
        ret_fds[i] = socket(AF_INET, SOCK_STREAM | (i ? SOCK_NONBLOCK : 0), 0);
    assert_int_equal(bind(ret_fds[0], (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(ret_fds[0], 0), 0);
    assert_int_equal(getsockname(ret_fds[0], (struct sockaddr *)&a, &len), 0);
    for (int i = 1; i < 4; i++)
        (void)connect(ret_fds[i], (struct sockaddr *)&a, sizeof a);
    return ntohs(a.sin_port);
}

static void test_a_connection_that_is_not_made_in_time_says_so(void **state)
{
    struct fixture f;
    struct outcome o;
    struct err e;
    int fds[4];
    (void)state;
    cleanup_free char *url = xasprintf("http://127.0.0.1:%d", mute_port(fds));
    fixture_start(&f, answer, NULL);
    http_engine_free(f.engine);
    f.config.url = url;
    assert_int_equal(http_engine_new(&f.config, &f.engine, &e), 0);
    (void)fixture_submit_limited(&f, "/api/x", NULL, NULL, 300, 0, &o);
    fixture_await(&f, &o);
    assert_err(&o, ERR_RETRY, 0, "GET /api/x: no connection after 300 ms");
    outcome_release(&o);
    fixture_stop(&f);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        (void)close(fds[i]);
}

static void test_tls_to_what_speaks_none_says_so(void **state)
{
    struct script s = {.raw = "HTTP/1.1 400 Bad Request\r\n\r\n"};
    struct fixture f;
    struct outcome o;
    struct err e;
    (void)state;
    fixture_start(&f, answer, &s);
    cleanup_free char *url = xasprintf("https%s", http_server_url(f.server) + 4);
    http_engine_free(f.engine);
    f.config.url = url;
    assert_int_equal(http_engine_new(&f.config, &f.engine, &e), 0);
    (void)fixture_submit_limited(&f, "/api/x", NULL, NULL, 500, 0, &o);
    fixture_await(&f, &o);
    assert_int_equal(o.err.class, ERR_RETRY);
    outcome_release(&o);
    fixture_stop(&f);
}

static void test_an_engine_needs_a_proper_url_and_key(void **state)
{
    struct argilla_config config = {.url = "ftp://h", .api_key = "k", .max_connections = 1};
    struct http_engine *h = NULL;
    struct err e;
    (void)state;
    assert_int_equal(http_engine_new(&config, &h, &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
    config.url = "http://";
    assert_int_equal(http_engine_new(&config, &h, &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
    config.url = "http://127.0.0.1:1";
    config.api_key = "secret\r\nX-Other: 1";
    assert_int_equal(http_engine_new(&config, &h, &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
    assert_null(strstr(e.msg, "secret"));
    assert_null(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_carries_key_body_and_agent),
        cmocka_unit_test(test_a_get_after_a_post_has_no_body),
        cmocka_unit_test(test_a_large_body_is_sent_without_asking_first),
        cmocka_unit_test(test_statuses_have_classes),
        cmocka_unit_test(test_an_error_names_request_status_and_what_argilla_says),
        cmocka_unit_test(test_an_error_without_a_body_is_its_status),
        cmocka_unit_test(test_a_long_error_is_cut_and_leaves_room_for_the_status),
        cmocka_unit_test(test_a_server_that_tells_the_key_is_not_repeated),
        cmocka_unit_test(test_retry_after_is_seconds_or_a_date_by_the_servers_clock),
        cmocka_unit_test(test_an_answer_over_the_limit_is_refused),
        cmocka_unit_test(test_a_content_length_over_the_limit_is_refused_before_the_body),
        cmocka_unit_test(test_what_is_cut_off_is_to_be_tried_again),
        cmocka_unit_test(test_an_error_that_is_cut_off_is_still_that_error),
        cmocka_unit_test(test_an_interim_answer_is_passed_over),
        cmocka_unit_test(test_what_is_not_http_is_to_be_tried_again),
        cmocka_unit_test(test_a_server_that_hangs_times_out),
        cmocka_unit_test(test_an_answer_that_trickles_has_no_more_time_than_others),
        cmocka_unit_test(test_a_refused_connection_says_so),
        cmocka_unit_test(test_a_connection_that_is_not_made_in_time_says_so),
        cmocka_unit_test(test_tls_to_what_speaks_none_says_so),
        cmocka_unit_test(test_an_engine_needs_a_proper_url_and_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
