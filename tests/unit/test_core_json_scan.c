/* Does the scanner take exactly what RFC 8259 takes, and find the values and the text that are there? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "json_scan.h"

/* Of a copy that ends where its memory ends, so that a sanitizer sees a step too far. */
static int check_exactly(const char *text, size_t len, struct err *e)
{
    cleanup_free char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    return json_check((struct slice){copy, len}, e);
}

static void takes(const char *text)
{
    struct err e = {0};
    if (check_exactly(text, strlen(text), &e))
        fail_msg("%s: %s", text, e.msg);
}

static void refuses(const char *text)
{
    struct err e = {0};
    if (check_exactly(text, strlen(text), &e) == 0)
        fail_msg("%s was taken", text);
    assert_int_equal(e.class, ERR_BAD_INPUT);
}

static void well_formed_values_are_taken(void **state)
{
    (void)state;
    static const char *const values[] = {
        "{}",
        "[]",
        "\"\"",
        "0",
        "-0",
        "10",
        "-1.5",
        "1e5",
        "1E+5",
        "0.1e-7",
        "true",
        "false",
        "null",
        "[[],{}]",
        " \t\r\n{ \"a\" : [ 1 , 2 ] , \"b\" : { } }\n",
        "[1,\"x\",null,true,false,{\"k\":[]}]",
        "{\"a\":1,\"a\":2}",
        "{\"\":\"\"}",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\uD83D\\ude00\"",
        "\"\\ud800\"",
        "\"\\u4abc\\u1DEf\\u0ABC\\u0DEF\"",
        "\"\x7f\"",
        "123456789012345678901234567890",
        "1e999",
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        takes(values[i]);
}

static const char *const not_json[] = {
    "",
    " ",
    "{",
    "}",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{\"a\":1]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{a:1}",
    "{1:2}",
    "{\"a\" 1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\"::1}",
    "1 2",
    "{} {}",
    "[]]",
    "01",
    "-",
    "+1",
    "1.",
    ".5",
    "1e",
    "1e+",
    "0x1",
    "1_0",
    "- 1",
    "NaN",
    "Infinity",
    "-Infinity",
    "tru",
    "truee",
    "True",
    "nul",
    "nulll",
    "'a'",
    "\"",
    "\"\\",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\\u\"",
    "\"a\nb\"",
    "\"\t\"",
    "\"\x01\"",
    "\xef\xbb\xbf{}",
    "//\n1",
    "/**/1",
    "[1]\v",
    "\"abc\\\"",
    "[\"a\",\"b]",
    "undefined",
};

static void what_is_not_json_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(not_json); i++)
        refuses(not_json[i]);
    struct err e;
    assert_int_equal(check_exactly("[1]\0", 4, &e), -1);
    assert_int_equal(check_exactly("\"a\0b\"", 5, &e), -1);
    assert_int_equal(json_check((struct slice){NULL, 0}, &e), -1);
}

static void utf8_is_checked_inside_strings(void **state)
{
    (void)state;
    static const char *const good[] = {"\xc2\x80",         "\xdf\xbf",        "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",     "\xee\x80\x80",    "\xef\xbf\xbf",
                                       "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {"\x80",
                                      "\xbf",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xc3",
                                      "\xc3(",
                                      "\xe0\x9f\xbf",
                                      "\xe2\x82",
                                      "\xe2\x28\xa1",
                                      "\xed\xa0\x80",
                                      "\xed\xbf\xbf",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf0\x9f\x98",
                                      "\xf0\x28\x8c\xbc",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xfe",
                                      "\xff"};
    char text[64];
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        (void)snprintf(text, sizeof text, "[\"%s\",\"long before it %s and after\"]", good[i], good[i]);
        takes(text);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        (void)snprintf(text, sizeof text, "\"%s\"", bad[i]);
        refuses(text);
        (void)snprintf(text, sizeof text, "[\"long before it %s and after\"]", bad[i]);
        refuses(text);
    }
}

/* Strings are looked at in blocks: what is special must be seen at each place of a block. */
static void what_is_special_is_seen_at_every_place_of_a_string(void **state)
{
    (void)state;
    char text[64];
    for (size_t len = 1; len < 40; len++) {
        for (size_t at = 0; at < len; at++) {
            for (int c = 0; c < 256; c++) {
                text[0] = '"';
                memset(text + 1, 'x', len);
                text[len + 1] = '"';
                text[1 + at] = (char)c;
                bool is_plain = c >= ' ' && c < 0x80 && c != '"' && c != '\\';
                assert_int_equal(check_exactly(text, len + 2, NULL), is_plain ? 0 : -1);
            }
        }
    }
}

static void the_error_tells_where(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[1,]", "not JSON: byte 0x5d at offset 3 doesn't belong there"},
        {"{\"a\":tru}", "not JSON: byte 0x74 at offset 5 doesn't belong there"},
        {"\"ab\x01\"", "not JSON: byte 0x01 at offset 3 doesn't belong there"},
        {"\"a long text and then \xff\"", "not JSON: byte 0xff at offset 22 doesn't belong there"},
        {"{} x", "not JSON: byte 0x78 at offset 3 doesn't belong there"},
        {"{\"a\":[", "not JSON: it ends too early, after 6 bytes"},
        {"", "not JSON: it ends too early, after 0 bytes"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e;
        assert_int_equal(check_exactly(cases[i].text, strlen(cases[i].text), &e), -1);
        assert_string_equal(e.msg, cases[i].message);
    }
}

static void nest(struct buf *b, const char *open, const char *inside, const char *close, int depth)
{
    for (int i = 0; i < depth; i++)
        buf_addstr(b, open);
    buf_addstr(b, inside);
    for (int i = 0; i < depth; i++)
        buf_addstr(b, close);
}

static void nesting_goes_to_the_limit_and_not_further(void **state)
{
    (void)state;
    static const struct {
        const char *open, *inside, *close;
    } kinds[] = {{"[", "1", "]"}, {"[", "", "]"}, {"{\"a\":", "null", "}"}, {"[{\"a\":", "1", "}]"}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        cleanup_buf struct buf b = buf_make(1 << 20);
        int per_level = kinds[i].open[0] == '[' && kinds[i].open[1] ? 2 : 1;
        nest(&b, kinds[i].open, kinds[i].inside, kinds[i].close, JSON_MAX_DEPTH / per_level);
        takes(buf_str(&b));
        buf_clear(&b);
        nest(&b, kinds[i].open, kinds[i].inside, kinds[i].close, JSON_MAX_DEPTH / per_level + 1);
        struct err e;
        assert_int_equal(json_check(buf_slice(&b), &e), -1);
        assert_memory_equal(e.msg, "JSON nested more than 128 deep", 30);
    }
}

static void a_million_open_brackets_are_no_danger(void **state)
{
    (void)state;
    cleanup_free char *text = malloc(1000000);
    memset(text, '[', 1000000);
    assert_int_equal(json_check((struct slice){text, 1000000}, NULL), -1);
}

/* ---- iterating ---- */

static void members_are_found_in_order_with_raw_keys_and_bare_values(void **state)
{
    (void)state;
    struct slice key, value;
    struct json_iter it =
        json_iter(slice_of(" { \"a\" : 1 ,\n\"b\\\"c\":\"x,}]\" , \"c\" : [1, {\"a\":2}] , \"d\":{ } } "));
    static const char *const expected[][2] = {
        {"\"a\"", "1"}, {"\"b\\\"c\"", "\"x,}]\""}, {"\"c\"", "[1, {\"a\":2}]"}, {"\"d\"", "{ }"}};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_true(json_next(&it, &key, &value));
        assert_true(slice_eq(key, expected[i][0]));
        assert_true(slice_eq(value, expected[i][1]));
    }
    assert_false(json_next(&it, &key, &value));
    assert_false(json_next(&it, &key, &value));
}

static void items_of_arrays_have_no_key(void **state)
{
    (void)state;
    struct slice key, value;
    struct json_iter it = json_iter(slice_of("[ -1.5e3 ,null,\"\\\\\",[[]]\t]"));
    static const char *const expected[] = {"-1.5e3", "null", "\"\\\\\"", "[[]]"};
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_true(json_next(&it, &key, &value));
        assert_int_equal(key.len, 0);
        assert_true(slice_eq(value, expected[i]));
    }
    assert_false(json_next(&it, NULL, NULL));
}

static void nothing_is_in_what_is_empty_or_no_container(void **state)
{
    (void)state;
    static const char *const texts[] = {"[]", "{ }", " [\n] ", "1", "\"[1]\"", "null", ""};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct json_iter it = json_iter(slice_of(texts[i]));
        assert_false(json_next(&it, NULL, NULL));
    }
}

static void types_are_told_by_the_first_byte(void **state)
{
    (void)state;
    assert_int_equal(json_type_of(slice_of("{}")), JSON_OBJECT);
    assert_int_equal(json_type_of(slice_of("[]")), JSON_ARRAY);
    assert_int_equal(json_type_of(slice_of("\"\"")), JSON_STRING);
    assert_int_equal(json_type_of(slice_of("-1")), JSON_NUMBER);
    assert_int_equal(json_type_of(slice_of("7")), JSON_NUMBER);
    assert_int_equal(json_type_of(slice_of("true")), JSON_TRUE);
    assert_int_equal(json_type_of(slice_of("false")), JSON_FALSE);
    assert_int_equal(json_type_of(slice_of("null")), JSON_NULL);
    assert_int_equal(json_type_of(slice_of("")), JSON_NULL);
}

static void the_first_member_of_a_name_is_got(void **state)
{
    (void)state;
    struct slice v = {0};
    struct slice o =
        slice_of("{\"x\":{\"id\":1},\"i\":2,\"idx\":3,\"id\":4,\"id\":5,\"s\":\"\\\"id\\\":6\"}");
    assert_true(json_get(o, "id", &v));
    assert_true(slice_eq(v, "4"));
    assert_true(json_get(o, "s", NULL));
    assert_false(json_get(o, "absent", &v));
    assert_false(json_get(o, "", &v));
    assert_false(json_get(slice_of("[\"id\",1]"), "id", &v));
    assert_false(json_get(slice_of("\"id\""), "id", &v));
    assert_true(slice_eq(v, "4"));
}

/* ---- tokens ---- */

static void decodes(const char *token, const char *expected, size_t len)
{
    cleanup_buf struct buf b = buf_make(100);
    assert_int_equal(json_decode_string(slice_of(token), &b), 0);
    assert_int_equal(b.len, len);
    assert_memory_equal(buf_str(&b), expected, len);
}

static void strings_are_decoded(void **state)
{
    (void)state;
    decodes("\"\"", "", 0);
    decodes("\"abc\"", "abc", 3);
    decodes("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8);
    decodes("\"\\u0041\\u00e9\\u20AC\\uffff\"", "A\xc3\xa9\xe2\x82\xac\xef\xbf\xbf", 9);
    decodes("\"\\u4abc\\u1DEf\\u0ABC\\u0DEF\"", "\xe4\xaa\xbc\xe1\xb7\xaf\xe0\xaa\xbc\xe0\xb7\xaf", 12);
    decodes("\"\\u007f\\u0080\\u07ff\\u0800\"", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80", 8);
    decodes("\"\\ud83d\\ude00\\uDBFF\\uDFFF\"", "\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", 8);
    decodes("\"a\\u0000b\"", "a\0b", 3);
    decodes("\"\xc3\xa9\"", "\xc3\xa9", 2);
}

static void half_surrogates_become_replacement_characters(void **state)
{
    (void)state;
    decodes("\"\\ud800\"", "\xef\xbf\xbd", 3);
    decodes("\"\\udc00x\"", "\xef\xbf\xbdx", 4);
    decodes("\"\\ud800\\u0041\"",
            "\xef\xbf\xbd"
            "A",
            4);
    decodes("\"\\ud800\\ud83d\\ude00\"", "\xef\xbf\xbd\xf0\x9f\x98\x80", 7);
    decodes("\"\\ud800abde00\"",
            "\xef\xbf\xbd"
            "abde00",
            9);
    decodes("\"\\ud800\\n\"", "\xef\xbf\xbd\n", 4);
}

static void what_is_no_string_is_not_decoded(void **state)
{
    (void)state;
    static const char *const tokens[] = {"", "\"", "1", "null", "{\"a\":\"b\"}", "abc\""};
    cleanup_buf struct buf b = buf_make(100);
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        assert_int_equal(json_decode_string(slice_of(tokens[i]), &b), -1);
    assert_int_equal(b.len, 0);
}

static void decoding_past_the_buffer_s_limit_shows(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(3);
    assert_int_equal(json_decode_string(slice_of("\"abcd\""), &b), 0);
    assert_true(b.overflow);
}

static void integers_are_read_exactly_to_their_ends(void **state)
{
    (void)state;
    static const struct {
        const char *token;
        int64_t value;
    } cases[] = {
        {"0", 0},
        {"-0", 0},
        {"7", 7},
        {"-12", -12},
        {"9007199254740993", 9007199254740993},
        {"9223372036854775807", INT64_MAX},
        {"-9223372036854775808", INT64_MIN},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t v = 99;
        assert_int_equal(json_get_int64(slice_of(cases[i].token), &v), 0);
        assert_true(v == cases[i].value);
    }
}

static void what_is_no_integer_that_fits_is_left_alone(void **state)
{
    (void)state;
    static const char *const tokens[] = {"9223372036854775808",
                                         "-9223372036854775809",
                                         "99999999999999999999",
                                         "1.0",
                                         "1e3",
                                         "\"1\"",
                                         "",
                                         "-",
                                         "null",
                                         "true",
                                         "{}"};
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        int64_t v = 99;
        assert_int_equal(json_get_int64(slice_of(tokens[i]), &v), -1);
        assert_int_equal(v, 99);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_values_are_taken),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(utf8_is_checked_inside_strings),
        cmocka_unit_test(what_is_special_is_seen_at_every_place_of_a_string),
        cmocka_unit_test(the_error_tells_where),
        cmocka_unit_test(nesting_goes_to_the_limit_and_not_further),
        cmocka_unit_test(a_million_open_brackets_are_no_danger),
        cmocka_unit_test(members_are_found_in_order_with_raw_keys_and_bare_values),
        cmocka_unit_test(items_of_arrays_have_no_key),
        cmocka_unit_test(nothing_is_in_what_is_empty_or_no_container),
        cmocka_unit_test(types_are_told_by_the_first_byte),
        cmocka_unit_test(the_first_member_of_a_name_is_got),
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(half_surrogates_become_replacement_characters),
        cmocka_unit_test(what_is_no_string_is_not_decoded),
        cmocka_unit_test(decoding_past_the_buffer_s_limit_shows),
        cmocka_unit_test(integers_are_read_exactly_to_their_ends),
        cmocka_unit_test(what_is_no_integer_that_fits_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
