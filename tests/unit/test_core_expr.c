/* Do conditions of Argilla's guide run as they stand, is what they must not do or yield refused in clear
 * words, and is the environment out of their reach? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "expr.h"

#define PARAMS "{\"batch_id\":0,\"lang\":\"d\\u00e9\",\"least\":0.50,\"big\":9007199254740991,\"on\":true}"
#define CTX(params)                                                                                          \
    "{\"run\":3,\"listener\":\"r\",\"dataset\":\"d\",\"workspace\":\"w\",\"query\":\"q\",\"search\":{"       \
    "\"total\":10},"                                                                                         \
    "\"query_params\":" params                                                                               \
    ",\"metrics\":{\"F1\":{\"f1_macro\":0.75}},\"previous\":{\"search\":{\"total\":9}}}"

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

static bool holds(void **state, const char *program)
{
    struct err e = {0};
    bool ret = false;
    if (expr_condition(*state, program, slice_of(CTX(PARAMS)), &ret, &e))
        fail_msg("%s: %s", program, e.msg);
    return ret;
}

static void condition_fails(void **state, const char *program, const char *message)
{
    struct err e = {0};
    bool ret = true;
    assert_int_equal(expr_condition(*state, program, slice_of(CTX(PARAMS)), &ret, &e), -1);
    assert_string_equal(e.msg, message);
    assert_int_equal(e.class, ERR_BAD_INPUT);
    assert_true(ret);
}

static void conditions_of_argilla_s_guide_run_as_they_stand(void **state)
{
    assert_true(holds(state, "search.total == 10"));
    assert_false(holds(state, "search.total > 10"));
    assert_true(holds(state, "ctx.search.total==10 and metrics.F1.f1_macro > 0.7"));
    assert_true(holds(state, "search.total != previous.search.total"));
    assert_true(holds(state, "query_params[\"batch_id\"] == 0"));
    assert_true(holds(state, "search.total > query_params.least"));
    assert_true(holds(state, ".dataset == \"d\" and .run == 3"));
}

static void a_comment_may_end_a_condition(void **state)
{
    assert_true(holds(state, "search.total == 10 # all of a batch"));
    assert_true(holds(state, "# all of a batch\nsearch.total\n  == 10 # )"));
}

static void what_is_not_one_boolean_is_refused_with_a_hint(void **state)
{
    condition_fails(state, "search.total",
                    "the condition yields 10, not true or false: compare it, as in `search.total == 10`");
    condition_fails(state, "search",
                    "the condition yields an object, not true or false: compare it, as in "
                    "`search.total == 10`");
    condition_fails(state, "[1]",
                    "the condition yields an array, not true or false: compare it, as in "
                    "`search.total == 10`");
    condition_fails(state, "\"true\"",
                    "the condition yields \"true\", not true or false: compare it, as in "
                    "`search.total == 10`");
    condition_fails(state, "nan",
                    "the condition yields NaN, not true or false: compare it, as in `search.total == 10`");
    condition_fails(
        state, "-infinite",
        "the condition yields an infinite number, not true or false: compare it, as in `search.total == 10`");
    condition_fails(state, "search.totl",
                    "the condition yields null, not true or false: is the name right? compare it, as in "
                    "`search.total == 10`");
}

static void nothing_and_too_much_are_refused(void **state)
{
    condition_fails(state, "empty", "the expression yields nothing: it must yield one value");
    condition_fails(state, "true, false", "the expression yields more than one value: true, then false");
    condition_fails(state, ".run, .search", "the expression yields more than one value: 3, then an object");
    condition_fails(state, "repeat(true)", "the expression yields more than one value: true, then true");
}

static void errors_inside_jq_are_told_in_its_words(void **state)
{
    condition_fails(state, "error(\"no batch\")", "jq: no batch");
    condition_fails(state, "error({a: 1})", "jq: error with an object");
    condition_fails(state, "true, error(\"late\")", "jq: late");
    condition_fails(state, "search.total.x == 1", "jq: Cannot index number with string \"x\"");
}

static void halting_and_further_inputs_are_refused(void **state)
{
    condition_fails(state, "halt", "the expression calls halt: it must yield a value");
    condition_fails(state, "\"bye\" | halt_error", "the expression calls halt: it must yield a value");
    condition_fails(state, "true, halt", "the expression calls halt: it must yield a value");
    condition_fails(state, "input", "jq: there is no further input");
    condition_fails(state, "[inputs] == []", "jq: there is no further input");
    condition_fails(state, "\"m\" | modulemeta", "jq: there are no modules");
}

static void a_program_works_again_after_it_failed(void **state)
{
    static const char *const programs[] = {
        "if search.total == 10 then true else error(\"x\") end",
        "if search.total == 10 then true else halt end",
        "if search.total == 10 then true else \"a message\" | halt_error end",
        "if search.total == 10 then true else (1, 2) end",
        "if search.total == 10 then true else empty end",
    };
    for (size_t i = 0; i < 3 * ARRAY_LEN(programs); i++) {
        const char *program = programs[i % ARRAY_LEN(programs)];
        bool ret = false;
        assert_int_equal(expr_condition(*state, program, slice_of("{\"search\":{\"total\":1}}"), &ret, NULL),
                         -1);
        assert_true(holds(state, program));
    }
}

static void input_that_is_no_json_is_an_error(void **state)
{
    static const char *const inputs[] = {"", "{", "{\"a\":}", "   "};
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        struct err e = {0};
        bool ret;
        assert_int_equal(expr_condition(*state, "true", slice_of(inputs[i]), &ret, &e), -1);
        assert_int_equal(e.class, ERR_BAD_INPUT);
        assert_memory_equal(e.msg, "jq can't read its input: ", 25);
    }
}

/* A slice isn't NUL-terminated: what follows it is not looked at, not even for an error's text. */
static void no_byte_behind_the_input_is_read(void **state)
{
    struct err e = {0};
    bool ret = false;
    cleanup_free char *exact = malloc(5);
    memcpy(exact, "[1,2}", 5);
    assert_int_equal(expr_condition(*state, "true", (struct slice){exact, 5}, &ret, &e), -1);
    assert_int_equal(expr_condition(*state, ". == [1]", (struct slice){"[1]]", 3}, &ret, &e), 0);
    assert_true(ret);
}

/* ---- the environment ---- */

static void the_environment_is_empty(void **state)
{
    assert_int_equal(setenv("BRIDGE_TEST_SECRET", "hunter2", 1), 0);
    assert_true(holds(state, "$ENV == {} and env == {}"));
    assert_true(holds(state, "env.BRIDGE_TEST_SECRET == null and $ENV.BRIDGE_TEST_SECRET == null"));
    assert_true(holds(state, "def f: $ENV; [f, env] == [{}, {}]"));
    assert_true(holds(state, "[$ENV, env | tostring | contains(\"hunter2\")] == [false, false]"));
    cleanup_buf struct buf b = buf_make(1000);
    assert_int_equal(expr_project(*state, "[$ENV, env]", slice_of("{}"), &b, NULL), 0);
    assert_string_equal(buf_str(&b), "[{},{}]");
}

static void no_program_gets_out_from_behind_the_prelude(void **state)
{
    static const char *const programs[] = {"1) | $ENV | (1",      "true) , ($ENV", "import \"a\" as $a; $a",
                                           "include \"a\"; true", "$__prog_args",  "module {}; true"};
    for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
        struct err e;
        assert_int_equal(expr_check(*state, programs[i], &e), -1);
        assert_int_equal(e.class, ERR_CONFIG);
    }
}

/* jq reads ~/.jq by itself, and there is no way to forbid it: it must not be able to undo the prelude. */
static void definitions_of_the_user_s_own_do_not_replace_ours(void **state)
{
    char home[256], file[300];
    const char *temp = getenv("TMPDIR"), *before = getenv("HOME");
    cleanup_free char *old_home = before ? xstrdup(before) : NULL;
    (void)snprintf(home, sizeof home, "%s/expr-XXXXXX", temp ? temp : P_tmpdir);
    assert_non_null(mkdtemp(home));
    (void)snprintf(file, sizeof file, "%s/.jq", home);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fputs("def env: $ENV; def search: {total: 99}; def own: 1;", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(setenv("HOME", home, 1), 0);
    bool ok = holds(state, "env == {} and $ENV == {} and search.total == 10 and (1 | true)");
    assert_int_equal(old_home ? setenv("HOME", old_home, 1) : unsetenv("HOME"), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(home), 0);
    assert_true(ok);
}

static void a_program_writes_nothing_on_stderr(void **state)
{
    int saved = dup(2), ends[2];
    char text[100];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[1], 2), 2);
    bool ok = holds(state, "stderr | debug | search.total == 10");
    struct err e;
    (void)expr_check(*state, "1 +", &e);
    assert_int_equal(dup2(saved, 2), 2);
    (void)close(saved);
    (void)close(ends[1]);
    assert_true(ok);
    assert_int_equal(read(ends[0], text, sizeof text), 0);
    (void)close(ends[0]);
}

/* ---- compiling ---- */

static void check_fails(void **state, const char *program, const char *message)
{
    struct err e = {0};
    assert_int_equal(expr_check(*state, program, &e), -1);
    assert_string_equal(e.msg, message);
    assert_int_equal(e.class, ERR_CONFIG);
}

static void what_does_not_compile_is_told_in_jq_s_words(void **state)
{
    check_fails(state, "search.total = = 10", "jq: syntax error, unexpected '=': `search.total = = 10`");
    check_fails(state, "search.total ==", "jq: syntax error, unexpected $end: `search.total ==`");
    check_fails(state, "total == 10", "jq: total/0 is not defined: `total == 10`");
    check_fails(state, "$batch", "jq: $batch is not defined: `$batch`");
    check_fails(state, "if true then 1", "jq: Possibly unterminated 'if' statement: `if true then 1`");
    check_fails(state, "(1", "jq: syntax error, unexpected $end: `(1`");
    check_fails(state, "def f: 1;", "jq: syntax error, unexpected $end: `def f: 1;`");
}

static void lines_are_counted_in_the_program(void **state)
{
    check_fails(state, "search.total\n  == foo", "jq: foo/0 is not defined in line 2: `  == foo`");
    check_fails(state, "foo\n|\n1", "jq: foo/0 is not defined in line 1: `foo`");
    check_fails(state, "1 |\n2 |\n\n3 = = 4\n", "jq: syntax error, unexpected '=' in line 4: `3 = = 4`");
}

static void nothing_at_all_is_no_program(void **state)
{
    struct err e;
    check_fails(state, "", "the expression is empty");
    check_fails(state, " \n\t", "the expression is empty");
    assert_int_equal(expr_check(*state, "# nothing but a comment", &e), -1);
    assert_null(strstr(e.msg, "ENV")); /* the prelude is not the user's */
}

static void python_s_words_get_jq_s(void **state)
{
    check_fails(state, "True", "jq: True/0 is not defined: `True` (jq writes true)");
    check_fails(
        state, "search.total == 1 && true",
        "jq: syntax error, unexpected INVALID_CHARACTER, expecting $end: `search.total == 1 && true` (jq "
        "writes and)");
    check_fails(state, ".dataset == 'd'",
                "jq: syntax error, unexpected INVALID_CHARACTER: `.dataset == 'd'` (jq's "
                "strings stand in double quotes)");
    check_fails(state, "lambda search: search.total == 1",
                "jq: syntax error, unexpected IDENT, expecting $end: `lambda search: search.total == 1` (the "
                "expression alone, without lambda)");
}

static void a_program_past_the_limit_is_refused(void **state)
{
    cleanup_free char *program = xcalloc(1, EXPR_TEXT_MAX + 2);
    memset(program, ' ', EXPR_TEXT_MAX + 1);
    program[0] = '1';
    check_fails(state, program, "the expression has more than 65536 bytes");
    program[EXPR_TEXT_MAX] = '\0';
    assert_int_equal(expr_check(*state, program, NULL), 0);
}

static void a_projection_has_its_own_names(void **state)
{
    struct err e;
    assert_int_equal(expr_check_project(*state, "search", &e), -1);
    assert_string_equal(e.msg, "jq: search/0 is not defined: `search`");
    assert_int_equal(expr_check_project(*state, "{id, text}", &e), 0);
    assert_int_equal(expr_check(*state, "search", &e), 0);
}

static void a_condition_that_does_not_compile_is_the_config_s_fault(void **state)
{
    struct err e;
    bool ret;
    assert_int_equal(expr_condition(*state, "foo", slice_of("{}"), &ret, &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_cache, close_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(conditions_of_argilla_s_guide_run_as_they_stand),
        TEST(a_comment_may_end_a_condition),
        TEST(what_is_not_one_boolean_is_refused_with_a_hint),
        TEST(nothing_and_too_much_are_refused),
        TEST(errors_inside_jq_are_told_in_its_words),
        TEST(halting_and_further_inputs_are_refused),
        TEST(a_program_works_again_after_it_failed),
        TEST(input_that_is_no_json_is_an_error),
        TEST(no_byte_behind_the_input_is_read),
        TEST(the_environment_is_empty),
        TEST(no_program_gets_out_from_behind_the_prelude),
        TEST(definitions_of_the_user_s_own_do_not_replace_ours),
        TEST(a_program_writes_nothing_on_stderr),
        TEST(what_does_not_compile_is_told_in_jq_s_words),
        TEST(lines_are_counted_in_the_program),
        TEST(nothing_at_all_is_no_program),
        TEST(python_s_words_get_jq_s),
        TEST(a_program_past_the_limit_is_refused),
        TEST(a_projection_has_its_own_names),
        TEST(a_condition_that_does_not_compile_is_the_config_s_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
