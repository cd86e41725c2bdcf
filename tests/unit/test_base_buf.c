/* Does a buffer hold what was appended, up to its limit and not a byte more, and are its JSON strings
 * strings? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "buf.h"

static void appends_follow_each_other_and_end_in_nul(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(100);
    buf_add(&b, "ab\0c", 4);
    buf_addstr(&b, "def");
    buf_addch(&b, '-');
    buf_addslice(&b, (struct slice){"ghi", 2});
    buf_addf(&b, "%05d", 42);
    assert_int_equal(b.len, 15);
    assert_memory_equal(b.data, "ab\0cdef-gh00042", 16);
}

static void an_empty_buffer_is_empty_text(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(10);
    assert_string_equal(buf_str(&b), "");
    assert_int_equal(buf_slice(&b).len, 0);
    assert_non_null(buf_slice(&b).p);
    cleanup_free char *taken = buf_take(&b);
    assert_string_equal(taken, "");
}

static void the_limit_itself_still_fits(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(5);
    buf_addstr(&b, "12345");
    assert_false(b.overflow);
    assert_string_equal(buf_str(&b), "12345");
}

static void past_the_limit_it_keeps_what_it_had_and_takes_no_more(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(5);
    buf_addstr(&b, "1234");
    buf_addstr(&b, "56");
    assert_true(b.overflow);
    buf_addstr(&b, "5"); /* would fit, but a hole before it would be worse */
    buf_addf(&b, "%d", 5);
    assert_string_equal(buf_str(&b), "1234");
}

static void formatted_text_larger_than_the_small_buffer_fits_up_to_the_limit(void **state)
{
    (void)state;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cleanup_buf struct buf b = buf_make(1002), small = buf_make(1000);
    buf_addf(&b, "<%s>%s", text, "!");
    assert_int_equal(b.len, 1002);
    assert_int_equal(b.data[1001], '!');
    buf_addf(&small, "<%s>", text);
    assert_true(small.overflow);
    assert_int_equal(small.len, 0);
}

static void a_size_that_wraps_around_is_an_overflow(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(100);
    buf_addstr(&b, "x");
    assert_int_equal(buf_reserve(&b, SIZE_MAX), -1);
    assert_int_equal(buf_reserve(&b, SIZE_MAX - 1), -1);
    assert_string_equal(buf_str(&b), "x");
}

static void growth_goes_up_to_the_limit_only(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(1000);
    for (int i = 0; i < 1000; i++)
        buf_addch(&b, 'a');
    assert_int_equal(b.len, 1000);
    assert_int_equal(b.cap, 1001);
}

static void clearing_makes_an_overflowing_buffer_usable_again(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(3);
    buf_addstr(&b, "abcd");
    buf_clear(&b);
    buf_addstr(&b, "abc");
    assert_string_equal(buf_str(&b), "abc");
    assert_false(b.overflow);
}

static void taking_empties_it_and_keeps_the_limit(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(3);
    buf_addstr(&b, "abc");
    cleanup_free char *taken = buf_take(&b);
    assert_string_equal(taken, "abc");
    assert_int_equal(b.len, 0);
    buf_addstr(&b, "abcd");
    assert_true(b.overflow);
}

static void json_of(const char *text, size_t len, const char *expected)
{
    cleanup_buf struct buf b = buf_make(1000);
    buf_addjson(&b, text, len);
    assert_string_equal(buf_str(&b), expected);
}

static void json_strings_escape_what_must_be_escaped(void **state)
{
    (void)state;
    json_of("", 0, "\"\"");
    json_of("plain /", 7, "\"plain /\"");
    json_of("\"\\\b\f\n\r\t", 7, "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
    json_of("\0\x1f\x7f", 3, "\"\\u0000\\u001f\x7f\"");
}

static void json_strings_keep_utf8(void **state)
{
    (void)state;
    json_of("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    json_of("\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80", 13,
            "\"\xef\xbf\xbf\xf4\x8f\xbf\xbf\xed\x9f\xbf\xee\x80\x80\"");
}

static void bytes_that_are_no_utf8_become_replacement_characters(void **state)
{
    (void)state;
    json_of("a\x80z", 3, "\"a\\ufffdz\"");
    json_of("\xc3", 1, "\"\\ufffd\"");
    json_of("\xe2\x82z", 3, "\"\\ufffd\\ufffdz\"");
    json_of("\xc3\xa9", 1, "\"\\ufffd\""); /* what would complete it isn't part of it */
    json_of("\xc0\xaf", 2, "\"\\ufffd\\ufffd\"");
    json_of("\xe0\x9f\xbf", 3, "\"\\ufffd\\ufffd\\ufffd\"");
    json_of("\xf0\x8f\xbf\xbf", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    json_of("\xed\xa0\x80", 3, "\"\\ufffd\\ufffd\\ufffd\"");
    json_of("\xf4\x90\x80\x80", 4, "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
    json_of("\xff\xfe", 2, "\"\\ufffd\\ufffd\"");
}

/* Whatever the bytes, a JSON parser reads it. */
static void any_two_bytes_make_a_json_string(void **state)
{
    (void)state;
    for (int i = 0; i < 0x10000; i++) {
        const char text[2] = {(char)(i >> 8), (char)i};
        cleanup_buf struct buf b = buf_make(100);
        buf_addjson(&b, text, sizeof text);
        cJSON *json = cJSON_ParseWithOpts(buf_str(&b), NULL, 1);
        assert_true(cJSON_IsString(json));
        cJSON_Delete(json);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_follow_each_other_and_end_in_nul),
        cmocka_unit_test(an_empty_buffer_is_empty_text),
        cmocka_unit_test(the_limit_itself_still_fits),
        cmocka_unit_test(past_the_limit_it_keeps_what_it_had_and_takes_no_more),
        cmocka_unit_test(formatted_text_larger_than_the_small_buffer_fits_up_to_the_limit),
        cmocka_unit_test(a_size_that_wraps_around_is_an_overflow),
        cmocka_unit_test(growth_goes_up_to_the_limit_only),
        cmocka_unit_test(clearing_makes_an_overflowing_buffer_usable_again),
        cmocka_unit_test(taking_empties_it_and_keeps_the_limit),
        cmocka_unit_test(json_strings_escape_what_must_be_escaped),
        cmocka_unit_test(json_strings_keep_utf8),
        cmocka_unit_test(bytes_that_are_no_utf8_become_replacement_characters),
        cmocka_unit_test(any_two_bytes_make_a_json_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
