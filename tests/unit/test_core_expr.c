/* Do the expressions of Argilla's guide run as they stand, is what they must not do or yield refused in clear
 * words, and can many threads share the compiled programs? */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "expr.h"
#include "json_scan.h"

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

/* ---- conditions ---- */

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

/* ---- update_query_params ---- */

static void updates(void **state, const char *program, const char *ctx, const char *expected)
{
    struct err e = {0};
    cleanup_buf struct buf b = buf_make(1000);
    if (expr_update_params(*state, program, slice_of(ctx), &b, &e))
        fail_msg("%s: %s", program, e.msg);
    assert_string_equal(buf_str(&b), expected);
    assert_int_equal(json_check(buf_slice(&b), NULL), 0);
}

static void update_fails(void **state, const char *program, const char *ctx, const char *message)
{
    struct err e = {0};
    cleanup_buf struct buf b = buf_make(1000);
    buf_addstr(&b, "before");
    assert_int_equal(expr_update_params(*state, program, slice_of(ctx), &b, &e), -1);
    assert_string_equal(e.msg, message);
    assert_int_equal(e.class, ERR_BAD_INPUT);
    assert_string_equal(buf_str(&b), "before");
}

static void updates_of_argilla_s_guide_run_as_they_stand(void **state)
{
    updates(state, "ctx.query_params[\"batch_id\"] += 1", CTX("{\"batch_id\":0}"), "{\"batch_id\":1}");
    updates(state, "query_params.batch_id += search.total", CTX("{\"batch_id\":5}"), "{\"batch_id\":15}");
    updates(state, ".query_params = {batch_id: 7}", CTX("{\"batch_id\":5}"), "{\"batch_id\":7}");
    updates(state, ".", CTX("{}"), "{}");
}

static void params_that_stay_keep_their_text(void **state)
{
    updates(state, "ctx.query_params.batch_id += 1", CTX(PARAMS),
            "{\"batch_id\":1,\"lang\":\"d\\u00e9\",\"least\":0.50,\"big\":9007199254740991,\"on\":true}");
    updates(state, ".", CTX("{\"a\":1e3,\"b\":1.0,\"c\":9007199254740993,\"d\":1e300,\"e\":-0}"),
            "{\"a\":1e3,\"b\":1.0,\"c\":9007199254740993,\"d\":1e300,\"e\":-0}");
}

static void new_values_are_written_as_json_scalars(void **state)
{
    updates(state, "query_params.a = \"q\\\"\\u00e9\\n\"", CTX("{\"a\":1}"), "{\"a\":\"q\\\"\xc3\xa9\\n\"}");
    updates(state, "query_params.a = false", CTX("{\"a\":1}"), "{\"a\":false}");
    updates(state, "query_params.a |= not", CTX("{\"a\":false}"), "{\"a\":true}");
    updates(state, "query_params.a += 0.1", CTX("{\"a\":0.5}"), "{\"a\":0.6}");
    updates(state, "query_params.a /= 3", CTX("{\"a\":-1}"), "{\"a\":-0.3333333333333333}");
}

static void integers_have_no_fraction_and_no_exponent(void **state)
{
    updates(state, "query_params.a += 0.5", CTX("{\"a\":0.5}"), "{\"a\":1}");
    updates(state, "query_params.a = 1e15", CTX("{\"a\":1}"), "{\"a\":1000000000000000}");
    updates(state, "query_params.a += 1", CTX("{\"a\":9007199254740990}"), "{\"a\":9007199254740991}");
    updates(state, "query_params.a -= 1", CTX("{\"a\":-9007199254740990}"), "{\"a\":-9007199254740991}");
    updates(state, "query_params.a = (query_params.b * -1)", CTX("{\"a\":1,\"b\":0}"), "{\"a\":0,\"b\":0}");
}

/* 2^53 is where a counter would stand still for ever: 2^53 + 1 is the same double. */
static void numbers_that_are_not_exact_are_refused(void **state)
{
    update_fails(state, "query_params.a += 1", CTX("{\"a\":9007199254740991}"),
                 "query_params.a: has become 9007199254740992: jq's numbers aren't exact from 2^53 on");
    update_fails(state, "query_params.a = 1e17", CTX("{\"a\":1}"),
                 "query_params.a: has become 1e+17: jq's numbers aren't exact from 2^53 on");
    update_fails(state, "query_params.a = -9007199254740993", CTX("{\"a\":1}"),
                 "query_params.a: has become -9007199254740992: jq's numbers aren't exact from 2^53 on");
    update_fails(state, "query_params.a = nan", CTX("{\"a\":1}"), "query_params.a: has become NaN");
    update_fails(state, "query_params.a = infinite", CTX("{\"a\":1}"), "query_params.a: has become infinite");
    update_fails(state, "query_params.a = -infinite", CTX("{\"a\":1}"),
                 "query_params.a: has become infinite");
}

static void values_that_are_no_scalars_are_refused(void **state)
{
    update_fails(state, "query_params.a = null", CTX("{\"a\":1}"),
                 "query_params.a: has become null: it must be a number, string or boolean");
    update_fails(state, "query_params.a = [1]", CTX("{\"a\":1}"),
                 "query_params.a: has become an array: it must be a number, string or boolean");
    update_fails(state, "query_params.a = search", CTX("{\"a\":1}"),
                 "query_params.a: has become an object: it must be a number, string or boolean");
}

static void a_slip_in_a_name_is_told_with_the_name_that_was_meant(void **state)
{
    update_fails(state, "ctx.query_params.batch_Id += 1", CTX("{\"batch_id\":0,\"bitch\":0}"),
                 "query_params has got a new name `batch_Id`: did you mean `batch_id`?");
    update_fails(state, "ctx.query_params.bacth_id += 1", CTX("{\"other\":0,\"batch_id\":0}"),
                 "query_params has got a new name `bacth_id`: did you mean `batch_id`?");
    update_fails(state, "ctx.query_params.page += 1", CTX("{\"batch_id\":0}"),
                 "query_params has got a new name `page`");
}

static void a_name_that_is_lost_is_told(void **state)
{
    update_fails(state, "del(ctx.query_params.a)", CTX("{\"a\":1,\"b\":2}"),
                 "query_params has lost `a`: every name must stay");
    update_fails(state, ".query_params = {}", CTX("{\"b\":2}"),
                 "query_params has lost `b`: every name must stay");
}

static void what_is_no_ctx_is_refused_with_a_hint(void **state)
{
    update_fails(state, "query_params.a + 1", CTX("{\"a\":1}"),
                 "yields 2, not a ctx: assign to a param, as in `ctx.query_params[\"batch_id\"] += 1`");
    update_fails(state, "query_params", CTX("{\"a\":1}"),
                 "yields an object without query_params, not a ctx: assign to a param, as in "
                 "`ctx.query_params[\"batch_id\"] += 1`");
    update_fails(state, "query_params.a += (1, 2)", CTX("{\"a\":1}"),
                 "the expression yields more than one value: an object, then an object");
    update_fails(state, "empty", CTX("{\"a\":1}"), "the expression yields nothing: it must yield one value");
    update_fails(state, ".", "{\"query_params\":null}", "the ctx has no query_params");
}

static void names_may_hold_anything_that_json_can(void **state)
{
    updates(state, "query_params[\"a\\\"\\u00e9\"] += 1", CTX("{\"a\\\"\\u00e9\":1}"),
            "{\"a\\\"\\u00e9\":2}");
}

static void without_room_nothing_is_appended(void **state)
{
    struct err e;
    cleanup_buf struct buf b = buf_make(8);
    assert_int_equal(expr_update_params(*state, "query_params.a = 123", slice_of(CTX("{\"a\":1}")), &b, &e),
                     -1);
    assert_string_equal(e.msg, "the result has 9 bytes: there is room for 8");
    assert_false(b.overflow);
    assert_int_equal(expr_update_params(*state, "query_params.a = 12", slice_of(CTX("{\"a\":1}")), &b, &e),
                     0);
}

/* ---- project ---- */

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

/* ---- the cache ---- */

static void a_program_is_compiled_once(void **state)
{
    size_t idle;
    uint64_t compiled;
    assert_int_equal(expr_check(*state, "search.total == 10", NULL), 0);
    for (int i = 0; i < 10; i++)
        assert_true(holds(state, "search.total == 10"));
    expr_cache_count(*state, &idle, &compiled);
    assert_int_equal(idle, 1);
    assert_int_equal(compiled, 1);
    assert_true(holds(state, "search.total  == 10"));
    assert_int_equal(expr_check(*state, ".a", NULL), 0);
    assert_int_equal(expr_check_project(*state, ".a", NULL), 0);
    expr_cache_count(*state, &idle, &compiled);
    assert_int_equal(idle, 4);
    assert_int_equal(compiled, 4);
}

static void what_does_not_compile_is_not_kept(void **state)
{
    size_t idle;
    uint64_t compiled;
    assert_int_equal(expr_check(*state, "foo", NULL), -1);
    expr_cache_count(*state, &idle, &compiled);
    assert_int_equal(idle, 0);
    assert_int_equal(compiled, 0);
}

enum { THREADS = EXPR_IDLE_MAX + 4, STACK_BYTES = 128 << 10 };
struct crowd {
    struct expr_cache *cache;
    pthread_barrier_t barrier;
};

/* cmocka's assertions belong to the main thread: NULL says that all went well. */
static void *work(void *arg)
{
    struct crowd *crowd = arg;
    struct err e;
    bool ok = true, ret = false;
    (void)pthread_barrier_wait(&crowd->barrier);
    for (int i = 0; i < 20; i++) {
        cleanup_buf struct buf b = buf_make(1000);
        char ctx[300], expected[30];
        (void)snprintf(ctx, sizeof ctx, "{\"search\":{\"total\":%d},\"query_params\":{\"n\":%d}}", i, i);
        (void)snprintf(expected, sizeof expected, "{\"n\":%d}", i + 1);
        ok = ok && expr_condition(crowd->cache, "search.total % 2 == 0 and (\"ab\" | test(\"^a\"))",
                                  slice_of(ctx), &ret, &e) == 0;
        ok = ok && ret == (i % 2 == 0);
        ok = ok && expr_update_params(crowd->cache, "query_params.n += 1", slice_of(ctx), &b, &e) == 0;
        ok = ok && strcmp(buf_str(&b), expected) == 0;
    }
    return ok ? NULL : arg;
}

static void many_threads_with_small_stacks_share_the_programs(void **state)
{
    pthread_t threads[THREADS];
    pthread_attr_t attr;
    struct crowd crowd = {.cache = *state};
    size_t idle;
    uint64_t compiled;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, STACK_BYTES), 0);
    assert_int_equal(pthread_barrier_init(&crowd.barrier, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], &attr, work, &crowd), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    (void)pthread_barrier_destroy(&crowd.barrier);
    (void)pthread_attr_destroy(&attr);
    expr_cache_count(*state, &idle, &compiled);
    assert_in_range(idle, 2, 2 * EXPR_IDLE_MAX);
    assert_in_range(compiled, idle, 2 * THREADS);
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
        TEST(updates_of_argilla_s_guide_run_as_they_stand),
        TEST(params_that_stay_keep_their_text),
        TEST(new_values_are_written_as_json_scalars),
        TEST(integers_have_no_fraction_and_no_exponent),
        TEST(numbers_that_are_not_exact_are_refused),
        TEST(values_that_are_no_scalars_are_refused),
        TEST(a_slip_in_a_name_is_told_with_the_name_that_was_meant),
        TEST(a_name_that_is_lost_is_told),
        TEST(what_is_no_ctx_is_refused_with_a_hint),
        TEST(names_may_hold_anything_that_json_can),
        TEST(without_room_nothing_is_appended),
        TEST(a_projection_is_one_json_value),
        TEST(a_projection_without_exactly_one_value_is_refused),
        TEST(numbers_that_jq_would_change_are_refused),
        TEST(a_projection_nests_as_deep_as_json_may_here),
        TEST(input_as_deep_as_our_own_limit_is_read),
        TEST(a_program_is_compiled_once),
        TEST(what_does_not_compile_is_not_kept),
        TEST(many_threads_with_small_stacks_share_the_programs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
