/* Does an error say what happened, outermost context first, and keep what decides about it? */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "err.h"

static void each_wrap_goes_in_front_of_what_was_said(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_set(&e, ERR_RETRY, "HTTP %d", 503), -1);
    assert_int_equal(err_wrap(&e, "POST %s", "/records"), -1);
    assert_int_equal(err_wrap(&e, "listener reviews"), -1);
    assert_string_equal(e.msg, "listener reviews: POST /records: HTTP 503");
}

static void a_wrap_keeps_the_class_the_status_and_the_wait(void **state)
{
    (void)state;
    struct err e;
    (void)err_set(&e, ERR_AUTH, "no");
    e.http_status = 403;
    e.retry_after_ms = 7000;
    (void)err_wrap(&e, "GET");
    assert_int_equal(e.class, ERR_AUTH);
    assert_int_equal(e.http_status, 403);
    assert_int_equal(e.retry_after_ms, 7000);
}

static void a_new_error_forgets_the_old_status_and_wait(void **state)
{
    (void)state;
    struct err e;
    memset(&e, 0x5a, sizeof e);
    (void)err_set(&e, ERR_FATAL, "gone");
    assert_int_equal(e.http_status, 0);
    assert_int_equal(e.retry_after_ms, 0);
}

/* `size` bytes of 'x' and a NUL. */
static const char *long_text(char *text, size_t size)
{
    memset(text, 'x', size);
    text[size] = '\0';
    return text;
}

static void a_message_too_long_is_cut_at_its_end(void **state)
{
    (void)state;
    struct err e;
    char text[2 * sizeof e.msg];
    (void)err_set(&e, ERR_RETRY, "begin %s end", long_text(text, sizeof text - 1));
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    assert_memory_equal(e.msg, "begin xxx", 9);
    assert_int_equal(e.msg[sizeof e.msg - 2], 'x');
}

static void wrapping_a_full_message_cuts_the_inner_end(void **state)
{
    (void)state;
    struct err e;
    char text[2 * sizeof e.msg];
    (void)err_set(&e, ERR_RETRY, "%s", long_text(text, sizeof text - 1));
    (void)err_wrap(&e, "outer");
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    assert_memory_equal(e.msg, "outer: xxx", 10);
}

static void a_context_too_long_is_cut_too(void **state)
{
    (void)state;
    struct err e;
    char text[2 * sizeof e.msg];
    (void)err_set(&e, ERR_RETRY, "inner");
    (void)err_wrap(&e, "%s", long_text(text, sizeof text - 1));
    assert_int_equal(strlen(e.msg), sizeof e.msg - 1);
    assert_int_equal(e.msg[0], 'x');
    assert_null(strstr(e.msg, "inner"));
}

static void a_caller_who_does_not_care_passes_null(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, ERR_RETRY, "x"), -1);
    assert_int_equal(err_wrap(NULL, "x"), -1);
    assert_int_equal(err_errno(NULL, "open", ENOENT), -1);
}

static void errno_becomes_the_operation_and_its_text(void **state)
{
    (void)state;
    struct err e;
    assert_int_equal(err_errno(&e, "open x", ENOENT), -1);
    assert_int_equal(e.class, ERR_FATAL);
    assert_string_equal(e.msg, "open x: No such file or directory");
}

static void every_class_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int a = ERR_NONE; a <= ERR_FATAL; a++)
        for (int b = ERR_NONE; b < a; b++)
            assert_string_not_equal(err_class_name((enum err_class)a), err_class_name((enum err_class)b));
    assert_string_equal(err_class_name(ERR_BAD_INPUT), "bad_input");
    assert_string_equal(err_class_name((enum err_class)99), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_wrap_goes_in_front_of_what_was_said),
        cmocka_unit_test(a_wrap_keeps_the_class_the_status_and_the_wait),
        cmocka_unit_test(a_new_error_forgets_the_old_status_and_wait),
        cmocka_unit_test(a_message_too_long_is_cut_at_its_end),
        cmocka_unit_test(wrapping_a_full_message_cuts_the_inner_end),
        cmocka_unit_test(a_context_too_long_is_cut_too),
        cmocka_unit_test(a_caller_who_does_not_care_passes_null),
        cmocka_unit_test(errno_becomes_the_operation_and_its_text),
        cmocka_unit_test(every_class_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
