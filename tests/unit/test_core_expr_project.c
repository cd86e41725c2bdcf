/* Is a projection one JSON value that says what the record said? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "expr.h"
#include "json_scan.h"

static int open_cache(void **state)
{
    *state = expr_cache_new();
    return 0;
}

static int close_cache(void **state)
{
    expr_cache_free(*state);
    return 0;
}

static void projects(void **state, const char *program, const char *record, const char *expected)
{
    struct err e = {0};
    cleanup_buf struct buf b = buf_make(10000);
    if (expr_project(*state, program, slice_of(record), &b, &e))
        fail_msg("%s: %s", program, e.msg);
    assert_string_equal(buf_str(&b), expected);
    assert_int_equal(json_check(buf_slice(&b), NULL), 0);
}

static void project_fails(void **state, const char *program, const char *record, const char *message)
{
    struct err e = {0};
    cleanup_buf struct buf b = buf_make(10000);
    assert_int_equal(expr_project(*state, program, slice_of(record), &b, &e), -1);
    assert_string_equal(e.msg, message);
    assert_int_equal(e.class, ERR_BAD_INPUT);
    assert_int_equal(b.len, 0);
}

static void a_projection_is_one_json_value(void **state)
{
    projects(state, "{id, t: .inputs.text}", "{\"id\":7,\"inputs\":{\"text\":\"\\u00e9\\n\"},\"x\":1}",
             "{\"id\":7,\"t\":\"\xc3\xa9\\n\"}");
    projects(state, "del(.metrics)", "{\"b\":0.1,\"metrics\":{},\"a\":[1,2.5,null,true]}",
             "{\"b\":0.1,\"a\":[1,2.5,null,true]}");
    projects(state, ".id", "{\"id\":\"x\"}", "\"x\"");
    projects(state, ".a", "{\"a\":9007199254740991}", "9007199254740991");
}

static void a_projection_without_exactly_one_value_is_refused(void **state)
{
    project_fails(state, "select(.a)", "{}", "the expression yields nothing: it must yield one value");
    project_fails(state, ".a[]", "{\"a\":[1,2]}", "the expression yields more than one value: 1, then 2");
}

/* An id of 19 digits would otherwise go out as another record's. */
static void numbers_that_jq_would_change_are_refused(void **state)
{
    project_fails(state, "{id}", "{\"id\":1234567890123456789}",
                  "yields 1.2345678901234568e+18: jq's numbers aren't exact from 2^53 on, leave it out");
    project_fails(state, "[{a: [.a]}]", "{\"a\":9007199254740993}",
                  "yields 9007199254740992: jq's numbers aren't exact from 2^53 on, leave it out");
    projects(state, "del(.id)", "{\"id\":1234567890123456789,\"a\":1}", "{\"a\":1}");
    project_fails(state, "{a: nan}", "{}", "yields NaN: JSON has no such number");
    project_fails(state, "[infinite]", "{}", "yields infinity: JSON has no such number");
}

static void a_projection_nests_as_deep_as_json_may_here(void **state)
{
    char program[100];
    struct err e;
    cleanup_buf struct buf b = buf_make(1000);
    (void)snprintf(program, sizeof program, "reduce range(%d) as $i (1; [.])", JSON_MAX_DEPTH);
    assert_int_equal(expr_project(*state, program, slice_of("{}"), &b, &e), 0);
    assert_int_equal(json_check(buf_slice(&b), &e), 0);
    (void)snprintf(program, sizeof program, "reduce range(%d) as $i (1; {a: .})", JSON_MAX_DEPTH + 1);
    project_fails(state, program, "{}", "yields a value nested more than 128 deep");
}

static void input_as_deep_as_our_own_limit_is_read(void **state)
{
    cleanup_buf struct buf b = buf_make(1000), out = buf_make(1000);
    for (int i = 0; i < JSON_MAX_DEPTH; i++)
        buf_addch(&b, '[');
    for (int i = 0; i < JSON_MAX_DEPTH; i++)
        buf_addch(&b, ']');
    assert_int_equal(expr_project(*state, ".", buf_slice(&b), &out, NULL), 0);
    assert_string_equal(buf_str(&out), buf_str(&b));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_cache, close_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_projection_is_one_json_value),
        TEST(a_projection_without_exactly_one_value_is_refused),
        TEST(numbers_that_jq_would_change_are_refused),
        TEST(a_projection_nests_as_deep_as_json_may_here),
        TEST(input_as_deep_as_our_own_limit_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
