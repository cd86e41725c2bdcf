/* Is a record taken for gone only when Argilla 1.x says so of that record, and is each id asked for in a way
 * that means it? Are those that were written in a time asked for? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "argilla.h"
#include "http_fixture.h"

struct bench {
    int status;
    char *body;
    char method[16], path[2048], sent[2048];
    struct fixture f;
    struct argilla *a;
    bool is_answered;
    struct argilla_answer answer;
};

static void serve(struct http_conn *c, const struct http_seen *r, void *arg)
{
    struct bench *b = arg;
    (void)snprintf(b->method, sizeof b->method, "%s", r->method);
    (void)snprintf(b->path, sizeof b->path, "%s", r->path);
    (void)snprintf(b->sent, sizeof b->sent, "%s", r->body);
    http_reply(c, b->status, "Date: Tue, 24 Nov 2026 21:44:03 GMT\r\n", b->body);
}

static void on_answer(void *arg, struct argilla_answer *a)
{
    struct bench *b = arg;
    b->answer = *a;
    b->is_answered = true;
}

static void ask(struct bench *b, int status, const char *body, struct slice id)
{
    static const struct dataset_ref tc = {"argilla", "tc", "TextClassification", NULL};
    *b = (struct bench){.status = status, .body = xstrdup(body)};
    fixture_start(&b->f, serve, b);
    b->a = argilla_new(&b->f.config, b->f.engine);
    (void)argilla_exists(b->a, &tc, id, on_answer, b);
    FIXTURE_UNTIL(&b->f, b->is_answered);
    fixture_stop(&b->f);
    argilla_free(b->a);
    free(b->body);
}

static char *sample(const char *name)
{
    char text[4096];
    cleanup_free char *path = xasprintf("%s/data/argilla-1.29/%s.json", TEST_DIR, name);
    FILE *file = fopen(path, "re");
    if (!file)
        fail_msg("%s is missing", path);
    size_t n = fread(text, 1, sizeof text, file);
    (void)fclose(file);
    return xstrndup(text, n);
}

static void a_record_that_is_there(void **state)
{
    struct bench b;
    (void)state;
    cleanup_free char *body = sample("record");
    ask(&b, 200, body, slice_of("7"));
    assert_int_equal(b.answer.err.class, ERR_NONE);
    assert_true(b.answer.is_there);
    assert_string_equal(b.method, "GET");
    assert_string_equal(b.path, "/api/datasets/tc/records/7?workspace=argilla");
}

static void a_record_that_is_not(void **state)
{
    struct bench b;
    (void)state;
    cleanup_free char *body = sample("record-unknown");
    ask(&b, 404, body, slice_of("nope"));
    assert_int_equal(b.answer.err.class, ERR_NONE);
    assert_false(b.answer.is_there);
}

static void nothing_else_is_a_no(void **state)
{
    (void)state;
    cleanup_free char *dataset = sample("dataset-unknown"), *route = sample("route-unknown"),
                      *key = sample("key-wrong"), *down = sample("search-engine-down");
    const struct {
        int status;
        const char *body;
        enum err_class class;
    } answers[] = {
        {404, dataset, ERR_BAD_INPUT},
        {404, route, ERR_BAD_INPUT},
        {404, "", ERR_BAD_INPUT},
        {404,
         "{\"detail\":{\"code\":\"argilla.api.errors::EntityNotFoundError\",\"params\":{\"type\":\"Records\"}"
         "}}",
         ERR_BAD_INPUT},
        {401, key, ERR_AUTH},
        {403, "{}", ERR_AUTH},
        {500, down, ERR_RETRY},
        {503, "", ERR_RETRY},
        {429, "", ERR_RETRY},
        {200, "<html>", ERR_RETRY},
        {200, "{}", ERR_RETRY},
        {302, "", ERR_BAD_INPUT},
    };
    for (size_t i = 0; i < ARRAY_LEN(answers); i++) {
        struct bench b;
        ask(&b, answers[i].status, answers[i].body, slice_of("x"));
        if (b.answer.err.class != answers[i].class)
            fail_msg("%d %s: %s", answers[i].status, answers[i].body, b.answer.err.msg);
    }
}

static void an_id_in_a_path_is_escaped(void **state)
{
    struct bench b;
    (void)state;
    ask(&b, 200, "{\"id\":1}", slice_of("a b?c#d%\"\xc3\xa9:search"));
    assert_string_equal(b.path,
                        "/api/datasets/tc/records/a%20b%3Fc%23d%25%22%C3%A9%3Asearch?workspace=argilla");
}

static void what_a_path_can_t_hold_is_searched_for(void **state)
{
    (void)state;
    static const struct {
        struct slice id;
        const char *json;
    } ids[] = {{{"a/b", 3}, "\"a/b\""},        {{".", 1}, "\".\""},    {{"..", 2}, "\"..\""},
               {{"a\0b", 3}, "\"a\\u0000b\""}, {{"\n", 1}, "\"\\n\""}, {{"/\"", 2}, "\"/\\\"\""}};
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct bench b;
        cleanup_free char *body = xasprintf("{\"query\":{\"ids\":[%s]}}", ids[i].json);
        ask(&b, 200, i % 2 ? "{\"total\":1,\"records\":[]}" : "{\"total\":0,\"records\":[]}", ids[i].id);
        assert_string_equal(b.method, "POST");
        assert_string_equal(b.path,
                            "/api/datasets/tc/TextClassification:search?workspace=argilla&limit=0&from=1");
        assert_string_equal(b.sent, body);
        assert_int_equal(b.answer.err.class, ERR_NONE);
        assert_true(b.answer.is_there == (i % 2 == 1));
    }
}

static void a_time_is_a_part_of_the_query(void **state)
{
    struct argilla_config config = {0};
    struct argilla *a = argilla_new(&config, NULL);
    (void)state;
    cleanup_free char *all = argilla_query_since(a, NULL, 1795556643123, 1795556703000),
                      *some = argilla_query_since(a, "x OR y", 1795556643123, 1795556703000),
                      *open = argilla_query_since(a, "x", 1795556643000, -1);
    assert_string_equal(all, "last_updated:[2026-11-24T21:44:03.123Z TO 2026-11-24T21:45:03.000Z]");
    assert_string_equal(some,
                        "(x OR y) AND last_updated:[2026-11-24T21:44:03.123Z TO 2026-11-24T21:45:03.000Z]");
    assert_string_equal(open, "(x) AND last_updated:[2026-11-24T21:44:03.000Z TO *]");
    argilla_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_that_is_there),
        cmocka_unit_test(a_record_that_is_not),
        cmocka_unit_test(nothing_else_is_a_no),
        cmocka_unit_test(an_id_in_a_path_is_escaped),
        cmocka_unit_test(what_a_path_can_t_hold_is_searched_for),
        cmocka_unit_test(a_time_is_a_part_of_the_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
