/* Does update_query_params move a listener on, exactly, and is what would stop it for ever refused? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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
    update_fails(state, "ctx.query_params.BATCH_ID += 1", CTX("{\"batch_id\":0}"),
                 "query_params has got a new name `BATCH_ID`: did you mean `batch_id`?");
    update_fails(state, "ctx.query_params.batch += 1", CTX("{\"batch_id\":0}"),
                 "query_params has got a new name `batch`: did you mean `batch_id`?");
    update_fails(state, "ctx.query_params.batch_i += 1", CTX("{\"batch_no\":0,\"batch_id\":0}"),
                 "query_params has got a new name `batch_i`: did you mean `batch_id`?");
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_cache, close_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
