/* Does the reader of configs tell legal from illegal texts and near from far names at the very borders, and
 * is each default of the option table one of the values that it allows? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config_options.h"
#include "config_text.h"
#include "mem.h"

static const char *near_of(const char *name, const char *a, const char *b)
{
    struct near n = {.name = name};
    near_try(&n, a);
    near_try(&n, b);
    return n.best ? n.best : "none";
}

static void a_near_name_is_found_and_a_far_one_is_not(void **state)
{
    (void)state;
    assert_string_equal(near_of("kafak", "kafka", "log"), "kafka"); /* swapped */
    assert_string_equal(near_of("lgo", "kafka", "log"), "log");     /* one swap in three letters */
    assert_string_equal(near_of("lo", "kafka", "log"), "log");      /* one left out */
    assert_string_equal(near_of("x", "u", "y"), "none");            /* one letter is no hint at another */
    assert_string_equal(near_of("dog", "kafka", "log"), "log");
    assert_string_equal(near_of("dig", "kafka", "log"), "none");
    assert_string_equal(near_of("page_sizes", "page_size", "pages"), "page_size"); /* the nearer one */
    assert_string_equal(near_of("interval", "execution_interval_in_seconds", "url"),
                        "execution_interval_in_seconds");
    assert_string_equal(near_of("", "a", "b"), "none");
    char longest[80];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_string_equal(near_of(longest, longest, "b"), "none"); /* beyond the limit of the table */
}

static void topics_are_what_kafka_takes(void **state)
{
    (void)state;
    char name[251];
    memset(name, 't', 250);
    name[250] = '\0';
    assert_false(text_is_topic(name));
    name[249] = '\0';
    assert_true(text_is_topic(name));
    assert_true(text_is_topic("Argilla.team_a.uber-reviews0"));
    assert_false(text_is_topic(""));
    assert_false(text_is_topic("."));
    assert_false(text_is_topic(".."));
    assert_true(text_is_topic("..."));
    assert_false(text_is_topic("a b"));
    assert_false(text_is_topic("caf\xc3\xa9"));
    assert_true(text_topics_collide("a.b_c", "a_b.c"));
    assert_false(text_topics_collide("a.b", "a.b.c"));
}

static void utf8_is_checked_to_the_letter(void **state)
{
    static const char *const good[] = {
        "", "a", "\xc2\x80", "\xe2\x82\xac", "\xed\x9f\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\x80",             /* a continuation alone */
        "\xc3",             /* cut */
        "\xc0\xaf",         /* overlong */
        "\xe0\x9f\xbf",     /* overlong */
        "\xf0\x8f\xbf\xbf", /* overlong */
        "\xed\xa0\x80",     /* a surrogate */
        "\xf4\x90\x80\x80", /* beyond U+10FFFF */
        "\xff",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(text_is_utf8(good[i], strlen(good[i])));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(text_is_utf8(bad[i], strlen(bad[i])));
}

static void urls_are_http_host_port_and_path(void **state)
{
    static const char *const good[] = {"http://h", "HTTPS://argilla.example.com:8443/base/",
                                       "http://127.0.0.1:6900", "http://[::1]:6900/", "http://h/a@b"};
    static const char *const bad[] = {"",
                                      "h",
                                      "ftp://h",
                                      "http://",
                                      "http:///p",
                                      "http://:1",
                                      "http://h:",
                                      "http://h:0",
                                      "http://h:65536",
                                      "http://h:8x",
                                      "http://u@h",
                                      "http://h?q",
                                      "http://h/#f",
                                      "http://a b",
                                      "http://[::1",
                                      "http://[]",
                                      "http://[::1]x",
                                      "http://h:-1",
                                      "http://h\n"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (text_url_problem(good[i]))
            fail_msg("%s: %s", good[i], text_url_problem(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!text_url_problem(bad[i]))
            fail_msg("%s is taken", bad[i]);
}

/* The table is written by hand: each default must be one of the values that it allows. */
static void every_default_is_in_its_range(void **state)
{
    size_t n;
    const struct config_option *o = config_options(&n);
    (void)state;
    for (size_t i = 0; i < n; i++) {
        assert_true(o[i].text && o[i].text[0]);
        assert_ptr_equal(config_option_find(o[i].group, o[i].name), &o[i]); /* no name twice */
        bool is_number = o[i].type == OPT_INT || o[i].type == OPT_INT64 || o[i].type == OPT_SECONDS;
        assert_int_equal(is_number, o[i].max != 0);
        if (o[i].alias_of)
            assert_non_null(config_option_find(o[i].group, o[i].alias_of));
        if (!o[i].initial || !is_number)
            continue;
        double value = strtod(o[i].initial, NULL);
        assert_true((value >= o[i].min && value <= o[i].max) || (o[i].also != 0 && value == o[i].also));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_near_name_is_found_and_a_far_one_is_not),
        cmocka_unit_test(topics_are_what_kafka_takes),
        cmocka_unit_test(utf8_is_checked_to_the_letter),
        cmocka_unit_test(urls_are_http_host_port_and_path),
        cmocka_unit_test(every_default_is_in_its_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
