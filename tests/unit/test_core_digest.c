/* Do two texts of a record have one digest exactly when they say the same? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "digest.h"
#include "json_scan.h"

static uint64_t digest(const char *text)
{
    struct err e;
    if (json_check(slice_of(text), &e))
        fail_msg("%s: %s", text, e.msg);
    uint64_t d = digest_record(slice_of(text));
    assert_true(d >> 63 == 0);
    return d;
}

static void assert_same(const char *a, const char *b)
{
    if (digest(a) != digest(b))
        fail_msg("%s and %s say the same", a, b);
}

static void assert_differ(const char *a, const char *b)
{
    if (digest(a) == digest(b))
        fail_msg("%s and %s differ", a, b);
}

/* Each of them inside of a record, at some depth. */
static void assert_values(bool same, const char *a, const char *b)
{
    cleanup_free char *x = xasprintf("{\"id\":1,\"metadata\":{\"v\":[0,%s]}}", a),
                      *y = xasprintf("{\"id\":1,\"metadata\":{\"v\":[0,%s]}}", b);
    (same ? assert_same : assert_differ)(x, y);
}

static void key_order_and_white_space_say_nothing(void **state)
{
    (void)state;
    assert_same("{\"id\":7,\"inputs\":{\"a\":\"x\",\"b\":\"y\"}}",
                "{ \"inputs\" : {\"b\":\"y\", \"a\":\"x\"},\n\t\"id\":7 } ");
    assert_same("{}", "{ }");
    assert_differ("{\"a\":{\"b\":1},\"c\":2}", "{\"a\":{\"b\":2},\"c\":1}");
    assert_differ("{\"a\":1,\"b\":2}", "{\"a\":2,\"b\":1}");
    assert_differ("{\"a\":{\"b\":1}}", "{\"b\":{\"a\":1}}");
    assert_differ("{\"a\":1}", "{\"a\":1,\"b\":null}");
    assert_differ("{\"a\":{}}", "{\"a\":[]}");
    assert_differ("{\"a\":{}}", "{}");
}

static void items_stay_in_their_order(void **state)
{
    (void)state;
    assert_values(true, "[1,2]", "[ 1 , 2 ]");
    assert_values(false, "[1,2]", "[2,1]");
    assert_values(false, "[[1],2]", "[1,[2]]");
    assert_values(false, "[[],[]]", "[[[]]]");
    assert_values(false, "[]", "[null]");
    assert_values(false, "[1]", "1");
}

static void numbers_count_by_value(void **state)
{
    (void)state;
    static const char *const ones[] = {"1", "1.0", "1e0", "1E+0", "1.000", "10e-1", "0.1e1", "100E-2"};
    for (size_t i = 0; i < ARRAY_LEN(ones); i++)
        assert_values(true, "1", ones[i]);
    assert_values(true, "0", "-0.0e5");
    assert_values(true, "1200", "1.2e3");
    assert_values(true, "0.0012", "12E-4");
    assert_values(false, "1", "-1");
    assert_values(false, "1", "10");
    assert_values(false, "1", "0.1");
    assert_values(false, "101", "11");
    assert_values(false, "0", "1");
    assert_values(false, "1", "true");
}

static void integers_are_exact_beyond_doubles(void **state)
{
    (void)state;
    assert_values(false, "9007199254740992", "9007199254740993");
    assert_values(false, "9223372036854775807", "9223372036854775806");
    assert_values(false, "18446744073709551615", "18446744073709551616");
    assert_values(true, "9223372036854775807", "9223372036854775807.0");
    static const char *const nines = "9999999999999999999999999999999999999999999999999999999999999999999";
    cleanup_free char *longer = xasprintf("%s9", nines);
    assert_values(true, nines, nines);
    assert_values(false, nines, longer);
    assert_values(false, "1e999999999999999", "1e999999999999998");
    assert_values(false, "1e9999999999999999999", "1e9999999999999999998");
}

static void strings_count_by_their_bytes(void **state)
{
    (void)state;
    assert_values(true, "\"a/b\"", "\"a\\/b\"");
    assert_values(true, "\"\\u00e9\"", "\"\xc3\xa9\"");
    assert_values(true, "\"\\uD83D\\uDE00!\"", "\"\xf0\x9f\x98\x80!\"");
    assert_values(true, "\"x\\n\\t\\\"\\\\\"", "\"x\\u000a\\u0009\\u0022\\u005c\"");
    assert_values(false, "\"\\u0000\"", "\"\"");
    assert_values(false, "\"a\"", "\"b\"");
    assert_values(false, "\"1\"", "1");
    assert_values(false, "\"true\"", "true");
    assert_values(false, "\"\\\\n\"", "\"\\n\"");
    assert_same("{\"\\u0061\":1}", "{\"a\":1}");
    char escaped[2000 * 6 + 3], plain[2003];
    for (size_t i = 0; i < 2000; i++) { /* more than one piece */
        memcpy(escaped + 1 + i * 6, "\\u0041", 6);
        plain[1 + i] = 'A';
    }
    escaped[0] = escaped[sizeof escaped - 2] = plain[0] = plain[2001] = '"';
    escaped[sizeof escaped - 1] = plain[2002] = 0;
    assert_values(true, escaped, plain);
}

static void the_server_s_own_members_don_t_count(void **state)
{
    (void)state;
    assert_same("{\"id\":1,\"last_updated\":\"2026-01-01\",\"metrics\":{\"text_length\":[3,{\"a\":\"}\"}]},"
                "\"status\":\"Default\"}",
                "{\"metrics\":null,\"status\":\"Default\",\"id\":1,\"last_updated\":17}");
    assert_same("{\"id\":1,\"metrics\":true}", "{\"id\":1}");
    /* the user's, deeper down, do */
    assert_differ("{\"metadata\":{\"last_updated\":1}}", "{\"metadata\":{\"last_updated\":2}}");
    assert_differ("{\"metadata\":{\"metrics\":1}}", "{\"metadata\":{}}");
    assert_differ("{\"id\":1,\"metric\":1}", "{\"id\":1}");
}

/* Nested arrays around `core`. */
static char *nested(size_t depth, const char *core)
{
    struct buf b = buf_make(1 << 16);
    buf_addstr(&b, "{\"a\":");
    for (size_t i = 0; i < depth; i++)
        buf_addch(&b, '[');
    buf_addstr(&b, core);
    for (size_t i = 0; i < depth; i++)
        buf_addch(&b, ']');
    buf_addch(&b, '}');
    return buf_take(&b);
}

static void depth_is_bounded_and_what_is_deeper_counts_by_its_bytes(void **state)
{
    (void)state;
    cleanup_free char *a = nested(JSON_MAX_DEPTH - 1, "1"), *same = nested(JSON_MAX_DEPTH - 1, "1.0");
    assert_same(a, same);
    cleanup_free char *deep = nested(JSON_MAX_DEPTH + 50, "1"), *other = nested(JSON_MAX_DEPTH + 50, "2");
    assert_true(digest_record(slice_of(deep)) != 0);
    assert_true(digest_record(slice_of(deep)) != digest_record(slice_of(other)));
}

/* Digests are in people's Kafka: a version that computes others sends everything again. */
static void digests_stay_what_they_are(void **state)
{
    (void)state;
    char hex[DIGEST_HEX];
    digest_write(digest("{\"id\":\"a\",\"inputs\":{\"text\":\"h\\u00e9\"},\"n\":[1.50,true,null]}"), hex);
    assert_memory_equal(hex, "62bf80de84c825eb", DIGEST_HEX);
}

static void hex_comes_back(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 0x0123456789abcdef, ~(1ull << 63)};
    static const char *const bad[] = {
        "", "0", "00000000000000000", "000000000000000g", "000000000000000A", "8000000000000000"};
    uint64_t back = 7;
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        char hex[DIGEST_HEX];
        digest_write(values[i], hex);
        assert_int_equal(digest_read((struct slice){hex, sizeof hex}, &back), 0);
        assert_true(back == values[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(digest_read(slice_of(bad[i]), &back), -1);
    assert_true(back == values[3]);
    assert_true(digest_id((struct slice){"a\0b", 3}) != digest_id((struct slice){"a\0c", 3}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_order_and_white_space_say_nothing),
        cmocka_unit_test(items_stay_in_their_order),
        cmocka_unit_test(numbers_count_by_value),
        cmocka_unit_test(integers_are_exact_beyond_doubles),
        cmocka_unit_test(strings_count_by_their_bytes),
        cmocka_unit_test(the_server_s_own_members_don_t_count),
        cmocka_unit_test(depth_is_bounded_and_what_is_deeper_counts_by_its_bytes),
        cmocka_unit_test(digests_stay_what_they_are),
        cmocka_unit_test(hex_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
