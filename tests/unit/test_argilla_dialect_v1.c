/* What is Argilla 1.x asked, and what is made of its answers? The answers are those of a real 1.29.1
 * (data/argilla-1.29), and what something in between could send instead. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>

#include "argilla.h"
#include "http_fixture.h"

/* The server of a test: one canned answer, and the last request. */
struct canned {
    int status;
    char *body;
    char method[16], path[512], sent[2048];
    size_t n_sent;
};

static void answer(struct http_conn *c, const struct http_seen *r, void *arg)
{
    struct canned *s = arg;
    s->n_sent = strlen(r->body);
    (void)snprintf(s->method, sizeof s->method, "%s", r->method);
    (void)snprintf(s->path, sizeof s->path, "%s", r->path);
    (void)snprintf(s->sent, sizeof s->sent, "%s", r->body);
    http_reply(c, s->status, "Date: Tue, 24 Nov 2026 21:44:03 GMT\r\n", s->body);
}

struct bench {
    struct canned server;
    struct fixture f;
    struct argilla *a;
    bool is_answered;
    struct argilla_answer answer;
};

static char *sample(const char *name)
{
    cleanup_free char *path = xasprintf("%s/data/argilla-1.29/%s.json", TEST_DIR, name);
    struct buf b = buf_make(1 << 20);
    char piece[4096];
    size_t n;
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("%s is missing", path);
    while ((n = fread(piece, 1, sizeof piece, file)) > 0)
        buf_add(&b, piece, n);
    (void)fclose(file);
    return buf_take(&b);
}

static void bench_text(struct bench *b, int status, const char *body)
{
    *b = (struct bench){.server = {.status = status, .body = xstrdup(body)}};
    fixture_start(&b->f, answer, &b->server);
    b->a = argilla_new(&b->f.config, b->f.engine);
}

static void bench_sample(struct bench *b, int status, const char *name)
{
    cleanup_free char *body = sample(name);
    bench_text(b, status, body);
}

static void bench_end(struct bench *b)
{
    dataset_ref_release(&b->answer.dataset);
    free(b->answer.metric_json);
    scan_page_free(b->answer.page);
    fixture_stop(&b->f);
    argilla_free(b->a);
    free(b->server.body);
}

static void on_answer(void *arg, struct argilla_answer *a)
{
    struct bench *b = arg;
    assert_false(b->is_answered);
    b->answer = *a;
    b->is_answered = true;
}

static const struct dataset_ref tc = {"argilla", "tc", "TextClassification", NULL};

enum call_kind { RESOLVE, COUNT, METRIC, SCAN };

static void call_with(struct bench *b, enum call_kind kind, const struct dataset_ref *d, const char *query,
                      const char *cursor)
{
    b->is_answered = false;
    if (kind == RESOLVE)
        (void)argilla_resolve(b->a, d->workspace, d->name, on_answer, b);
    else if (kind == COUNT)
        (void)argilla_count(b->a, d, query, on_answer, b);
    else if (kind == METRIC)
        (void)argilla_metric(b->a, d, query, "F1", on_answer, b);
    else
        (void)argilla_scan(b->a, d, query, cursor, 500, on_answer, b);
    FIXTURE_UNTIL(&b->f, b->is_answered);
}

static void call(struct bench *b, enum call_kind kind)
{
    call_with(b, kind, &tc, "status:Validated", NULL);
}

static void assert_no_error(const struct bench *b)
{
    if (b->answer.err.class)
        fail_msg("%s", b->answer.err.msg);
}

/* ---- good answers ---- */

static void test_resolve_finds_the_task(void **state)
{
    struct bench b;
    (void)state;
    bench_sample(&b, 200, "dataset");
    call(&b, RESOLVE);
    assert_no_error(&b);
    assert_string_equal(b.server.method, "GET");
    assert_string_equal(b.server.path, "/api/datasets/tc?workspace=argilla");
    assert_string_equal(b.answer.dataset.workspace, "argilla");
    assert_string_equal(b.answer.dataset.name, "tc");
    assert_string_equal(b.answer.dataset.task, "TextClassification");
    assert_non_null(strstr(b.answer.dataset.identity, "\"argilla.tc\" \"20"));
    assert_int_equal(b.answer.date_ms, 1795556643000);
    bench_end(&b);
}

static void test_count_asks_for_no_records(void **state)
{
    struct bench b;
    (void)state;
    bench_sample(&b, 200, "count");
    call(&b, COUNT);
    assert_no_error(&b);
    assert_string_equal(b.server.method, "POST");
    assert_string_equal(b.server.path,
                        "/api/datasets/tc/TextClassification:search?workspace=argilla&limit=0&from=1");
    assert_string_equal(b.server.sent, "{\"query\":{\"query_text\":\"status:Validated\"}}");
    assert_int_equal(b.answer.total, 250);
    bench_end(&b);
}

static void test_metric_is_passed_on_as_it_is(void **state)
{
    struct bench b;
    (void)state;
    bench_sample(&b, 200, "metric-f1");
    call(&b, METRIC);
    assert_no_error(&b);
    assert_string_equal(b.server.path,
                        "/api/datasets/TextClassification/tc/metrics/F1:summary?workspace=argilla");
    assert_string_equal(b.server.sent, "{\"query_text\":\"status:Validated\"}");
    assert_string_equal(b.answer.metric_json, b.server.body);
    bench_end(&b);
}

static void assert_slice(struct slice s, const char *text)
{
    if (!slice_eq(s, text))
        fail_msg("%.*s is not %s", (int)s.len, s.p, text);
}

static void test_scan_gives_records_and_ids_byte_for_byte(void **state)
{
    static const char *const ids[] = {"7", "\"quo\\\"te\"", "\"sl/ash\"", "\"\xc3\xbcn\xc3\xaf\""};
    struct bench b;
    (void)state;
    bench_sample(&b, 200, "scan");
    call(&b, SCAN);
    assert_no_error(&b);
    assert_string_equal(b.server.path, "/api/datasets/tc/records/:search?workspace=argilla&limit=500");
    assert_string_equal(
        b.server.sent,
        "{\"query\":{\"query_text\":\"status:Validated\"},\"fields\":[\"**\"],\"sort_by\":[{\"id\":"
        "\"id\",\"order\":\"asc\"}]}");
    const struct scan_page *p = b.answer.page;
    assert_int_equal(p->n_records, ARRAY_LEN(ids));
    assert_int_equal(p->date_ms, 1795556643000);
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        assert_slice(p->records[i].id, ids[i]);
        assert_true(p->records[i].json.p >= p->body &&
                    p->records[i].json.p + p->records[i].json.len <= p->body + p->body_len);
    }
    assert_slice(
        p->records[0].json,
        "{\"metadata\":{\"n\":2},\"last_updated\":\"2026-11-24T23:08:06.786512\",\"inputs\":{\"text\":\"text "
        "2\"},\"id\":7,\"metrics\":{\"text_length\":6},\"text\":\"text 2\",\"multi_label\":false,\"status\":"
        "\"Default\"}");
    bench_end(&b);
}

static void test_the_next_page_is_asked_for_with_what_the_last_one_said(void **state)
{
    struct bench b;
    (void)state;
    bench_sample(&b, 200, "scan-one");
    call(&b, SCAN);
    cleanup_free char *cursor = xstrdup(b.answer.page->cursor);
    assert_string_equal(cursor, "\"{\\\"shuffle\\\": false, \\\"sort_by\\\": [{\\\"id\\\": \\\"id\\\", "
                                "\\\"order\\\": \\\"asc\\\"}], \\\"next_search_params\\\": [\\\"100\\\"]}\"");
    scan_page_free(TAKE_PTR(b.answer.page));
    free(b.server.body);
    b.server.body = sample("scan");
    call_with(&b, SCAN, &tc, NULL, cursor);
    assert_no_error(&b);
    cleanup_free char *sent =
        xasprintf("{\"query\":{\"query_text\":null},\"fields\":[\"**\"],\"sort_by\":[{\"id\":"
                  "\"id\",\"order\":\"asc\"}],\"next_page_cfg\":%s}",
                  cursor);
    assert_string_equal(b.server.sent, sent);
    bench_end(&b);
}

static void test_an_empty_page_ends_the_scan(void **state)
{
    struct bench b;
    (void)state;
    bench_sample(&b, 200, "scan-empty"); /* its next_page_cfg would start again */
    call(&b, SCAN);
    assert_no_error(&b);
    assert_int_equal(b.answer.page->n_records, 0);
    assert_null(b.answer.page->cursor);
    bench_end(&b);
}

static void test_a_cursor_can_be_made_from_any_id(void **state)
{
    static const char *const cases[][2] = {
        {"7", "\\\"7\\\""},
        {"9223372036854775808", "\\\"9223372036854775808\\\""},
        {"\"a/b\"", "\\\"a/b\\\""},
        {"\"quo\\\"te\\n\"", "\\\"quo\\\\\\\"te\\\\n\\\""},
        {"\"\xc3\xbc\\u2028\"", "\\\"\xc3\xbc\\\\u2028\\\""},
    };
    struct bench b;
    (void)state;
    bench_text(&b, 200, "{}");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        cleanup_free char *cursor = argilla_cursor_after(b.a, slice_of(cases[i][0]));
        cleanup_free char *want =
            xasprintf("\"{\\\"sort_by\\\":[{\\\"id\\\":\\\"id\\\",\\\"order\\\":\\\"asc\\\"}],"
                      "\\\"next_search_params\\\":[%s]}\"",
                      cases[i][1]);
        assert_string_equal(cursor, want);
    }
    bench_end(&b);
}

static void test_names_and_queries_of_any_kind_are_escaped(void **state)
{
    static const struct dataset_ref odd = {"t\xc3\xa9"
                                           "am",
                                           "a b/c?d&e#f", "Te:xt", NULL};
    struct bench b;
    (void)state;
    bench_sample(&b, 200, "count");
    call_with(&b, COUNT, &odd, "metadata.x:\"a\\b\" \n\xe2\x82\xac", NULL);
    assert_no_error(&b);
    assert_string_equal(
        b.server.path,
        "/api/datasets/a%20b%2Fc%3Fd%26e%23f/Te%3Axt:search?workspace=t%C3%A9am&limit=0&from=1");
    assert_string_equal(b.server.sent,
                        "{\"query\":{\"query_text\":\"metadata.x:\\\"a\\\\b\\\" \\n\xe2\x82\xac\"}}");
    bench_end(&b);
}

static void test_a_query_of_any_length_arrives_whole(void **state)
{
    enum { SIZE = 2 << 20 };
    cleanup_free char *query = xcalloc(1, SIZE + 1);
    struct bench b;
    (void)state;
    memset(query, '\x01', SIZE); /* the longest way to write a byte */
    bench_sample(&b, 200, "count");
    call_with(&b, COUNT, &tc, query, NULL);
    assert_no_error(&b);
    assert_int_equal(b.server.n_sent, strlen("{\"query\":{\"query_text\":\"\"}}") + (size_t)SIZE * 6);
    bench_end(&b);
}

/* ---- errors ---- */

static void test_errors_of_argilla_have_classes(void **state)
{
    static const struct {
        enum call_kind kind;
        int status;
        const char *sample;
        enum err_class class;
        const char *text; /* how it begins */
    } cases[] = {
        {RESOLVE, 404, "dataset-unknown", ERR_BAD_INPUT,
         "no dataset tc in workspace argilla: GET /api/datasets/tc?workspace=argilla: HTTP 404: "},
        {RESOLVE, 401, "key-wrong", ERR_AUTH, "GET /api/datasets/tc?workspace=argilla: HTTP 401: "},
        {RESOLVE, 404, "route-unknown", ERR_BAD_INPUT, "no such path, is it Argilla 1.x?: GET "},
        {COUNT, 404, "dataset-unknown", ERR_BAD_INPUT, "no dataset tc in workspace argilla: POST "},
        {COUNT, 400, "count-bad-query", ERR_BAD_INPUT, "POST "},
        {COUNT, 400, "count-wrong-task", ERR_BAD_INPUT, "POST "},
        {METRIC, 500, "metric-bad-query", ERR_BAD_INPUT, "POST "},
        {METRIC, 404, "metric-unknown", ERR_BAD_INPUT, "no such metric for TextClassification: POST "},
        {SCAN, 500, "scan-bad-query", ERR_BAD_INPUT, "POST "},
        {SCAN, 404, "dataset-unknown", ERR_BAD_INPUT, "no dataset tc in workspace argilla: POST "},
        {SCAN, 500, "search-engine-down", ERR_RETRY, "POST "},
        {COUNT, 500, "search-engine-down", ERR_RETRY, "POST "},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bench b;
        bench_sample(&b, cases[i].status, cases[i].sample);
        call(&b, cases[i].kind);
        const struct err *e = &b.answer.err;
        if (e->class != cases[i].class || e->http_status != cases[i].status ||
            strncmp(e->msg, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("%s: %s %d %s", cases[i].sample, err_class_name(e->class), e->http_status, e->msg);
        assert_null(b.answer.page);
        bench_end(&b);
    }
}

static void test_a_query_that_quotes_an_error_does_not_make_it_one(void **state)
{
    struct bench b;
    (void)state;
    bench_text(&b, 500,
               "{\"detail\":{\"code\":\"argilla.api.errors::GenericServerError\",\"params\":{\"type\":\"x."
               "ConnectionError\",\"message\":\"no connection for [RequestError(400]\"}}}");
    call(&b, SCAN);
    assert_int_equal(b.answer.err.class, ERR_RETRY);
    bench_end(&b);
}

static void test_an_answer_that_is_not_what_it_should_be_is_to_be_tried_again(void **state)
{
    static const struct {
        enum call_kind kind;
        const char *body, *text;
    } cases[] = {
        {RESOLVE, "<html>Sign in</html>", "resolve argilla/tc: the answer is not JSON: "},
        {RESOLVE, "", "resolve argilla/tc: the answer is not JSON: "},
        {RESOLVE, "{\"name\":\"tc\"}", "resolve argilla/tc: the answer has no task"},
        {RESOLVE, "{\"task\":null}", "resolve argilla/tc: the answer has no task"},
        {RESOLVE, "[]", "resolve argilla/tc: the answer has no task"},
        {COUNT, "{\"total\":2", "count argilla/tc: the answer is not JSON: "},
        {COUNT, "{\"total\":\"2\"}", "count argilla/tc: the answer has no total"},
        {COUNT, "{\"total\":2.5}", "count argilla/tc: the answer has no total"},
        {COUNT, "{\"total\":-1}", "count argilla/tc: the answer has no total"},
        {COUNT, "7", "count argilla/tc: the answer has no total"},
        {METRIC, "NaN", "metric argilla/tc: the answer is not JSON: "},
        {SCAN, "{\"records\":[]} x", "scan argilla/tc: the answer is not JSON: "},
        {SCAN, "{\"total\":1}", "scan argilla/tc: the answer has no records"},
        {SCAN, "{\"records\":{}}", "scan argilla/tc: the answer has no records"},
        {SCAN, "{\"records\":[7],\"next_page_cfg\":\"{}\"}",
         "scan argilla/tc: a record of the answer has no id"},
        {SCAN, "{\"records\":[{\"id\":null}],\"next_page_cfg\":\"{}\"}",
         "scan argilla/tc: a record of the answer has no id"},
        {SCAN, "{\"records\":[{\"id\":1}]}", "scan argilla/tc: the answer has no next_page_cfg"},
        {SCAN, "{\"records\":[{\"id\":1}],\"next_page_cfg\":null}",
         "scan argilla/tc: the answer has no next_page_cfg"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct bench b;
        bench_text(&b, 200, cases[i].body);
        call(&b, cases[i].kind);
        const struct err *e = &b.answer.err;
        if (e->class != ERR_RETRY || e->http_status != 200 ||
            strncmp(e->msg, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("%s: %s %d %s", cases[i].body, err_class_name(e->class), e->http_status, e->msg);
        assert_null(b.answer.page);
        bench_end(&b);
    }
}

static void test_a_scan_that_stands_still_does_not_go_on_for_ever(void **state)
{
    struct bench b;
    (void)state;
    bench_sample(&b, 200, "scan-one");
    call(&b, SCAN);
    cleanup_free char *cursor = xstrdup(b.answer.page->cursor);
    scan_page_free(TAKE_PTR(b.answer.page));
    call_with(&b, SCAN, &tc, NULL, cursor);
    assert_int_equal(b.answer.err.class, ERR_RETRY);
    assert_null(b.answer.page);
    bench_end(&b);
}

static void test_a_page_over_the_limit_can_be_asked_for_in_smaller_ones(void **state)
{
    struct bench b;
    (void)state;
    bench_sample(&b, 200, "scan");
    b.f.config.max_page_bytes = 100;
    call(&b, SCAN);
    assert_int_equal(b.answer.err.class, ERR_BAD_INPUT);
    assert_int_equal(b.answer.err.http_status, 200);
    bench_end(&b);
}

/* ---- time-outs, waiting, cancelling ---- */

static void hold(struct http_conn *c, const struct http_seen *r, void *arg)
{
    (void)r;
    (void)arg;
    http_hold(c);
    http_close(c);
}

static void test_metrics_have_a_time_out_of_their_own(void **state)
{
    struct bench b = {0};
    (void)state;
    fixture_start(&b.f, hold, NULL);
    b.f.config.timeout_ms = 500;
    b.f.config.metrics_timeout_ms = 1000;
    b.a = argilla_new(&b.f.config, b.f.engine);
    call(&b, COUNT);
    assert_non_null(strstr(b.answer.err.msg, "timed out after 500 ms"));
    call(&b, METRIC);
    assert_non_null(strstr(b.answer.err.msg, "timed out after 1000 ms"));
    call(&b, SCAN);
    assert_non_null(strstr(b.answer.err.msg, "timed out after 500 ms"));
    bench_end(&b);
}

struct owner {
    struct http_engine *engine;
    bool must_end;
};

static void *own(void *arg)
{
    struct owner *o = arg;
    while (!__atomic_load_n(&o->must_end, __ATOMIC_SEQ_CST))
        http_engine_poll(o->engine, 10000);
    return NULL;
}

static void test_a_call_can_be_waited_for(void **state)
{
    struct argilla_answer answer = {0};
    struct argilla_wait w;
    struct bench b;
    pthread_t thread;
    (void)state;
    bench_sample(&b, 200, "count");
    struct owner o = {.engine = b.f.engine};
    assert_int_equal(pthread_create(&thread, NULL, own, &o), 0);
    for (int i = 0; i < 20; i++) {
        argilla_wait_init(&w);
        (void)argilla_count(b.a, &tc, NULL, argilla_wait_done, &w);
        argilla_wait(&w, &answer);
        assert_int_equal(answer.err.class, ERR_NONE);
        assert_int_equal(answer.total, 250);
    }
    __atomic_store_n(&o.must_end, true, __ATOMIC_SEQ_CST);
    http_engine_wake(b.f.engine);
    (void)pthread_join(thread, NULL);
    bench_end(&b);
}

static void test_the_end_of_the_engine_answers_calls(void **state)
{
    struct bench b = {0};
    (void)state;
    fixture_start(&b.f, hold, NULL);
    b.a = argilla_new(&b.f.config, b.f.engine);
    (void)argilla_scan(b.a, &tc, NULL, NULL, 500, on_answer, &b);
    FIXTURE_UNTIL(&b.f, http_server_numbers(b.f.server).n_requests == 1);
    http_engine_free(b.f.engine);
    b.f.engine = NULL;
    assert_true(b.is_answered);
    assert_int_equal(b.answer.err.class, ERR_RETRY);
    bench_end(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolve_finds_the_task),
        cmocka_unit_test(test_count_asks_for_no_records),
        cmocka_unit_test(test_metric_is_passed_on_as_it_is),
        cmocka_unit_test(test_scan_gives_records_and_ids_byte_for_byte),
        cmocka_unit_test(test_the_next_page_is_asked_for_with_what_the_last_one_said),
        cmocka_unit_test(test_an_empty_page_ends_the_scan),
        cmocka_unit_test(test_a_cursor_can_be_made_from_any_id),
        cmocka_unit_test(test_names_and_queries_of_any_kind_are_escaped),
        cmocka_unit_test(test_a_query_of_any_length_arrives_whole),
        cmocka_unit_test(test_errors_of_argilla_have_classes),
        cmocka_unit_test(test_a_query_that_quotes_an_error_does_not_make_it_one),
        cmocka_unit_test(test_an_answer_that_is_not_what_it_should_be_is_to_be_tried_again),
        cmocka_unit_test(test_a_scan_that_stands_still_does_not_go_on_for_ever),
        cmocka_unit_test(test_a_page_over_the_limit_can_be_asked_for_in_smaller_ones),
        cmocka_unit_test(test_metrics_have_a_time_out_of_their_own),
        cmocka_unit_test(test_a_call_can_be_waited_for),
        cmocka_unit_test(test_the_end_of_the_engine_answers_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
