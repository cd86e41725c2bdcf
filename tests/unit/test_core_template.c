/* Does a query come out as Python's str.format would write it, and is what it can't be refused with a hint?
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "template.h"

#define PARAMS                                                                                               \
    "{\"batch_id\":7,\"big\":9007199254740991,\"f\":0.50,\"e\":1e-7,\"s\":\"a \\\"b\\\" "                    \
    "\\u00e9\",\"yes\":true,"                                                                                \
    "\"no\":false,\"none\":null,\"list\":[1],\"obj\":{\"batch_id\":8},\"x-y\":1}"

static void formats(const char *text, const char *expected)
{
    struct err e = {0};
    cleanup_buf struct buf b = buf_make(1000);
    if (template_format(text, slice_of(PARAMS), &b, &e))
        fail_msg("%s: %s", text, e.msg);
    assert_string_equal(buf_str(&b), expected);
}

static void fails(const char *text, enum err_class class, const char *message)
{
    struct err e = {0};
    cleanup_buf struct buf b = buf_make(1000);
    assert_int_equal(template_format(text, slice_of(PARAMS), &b, &e), -1);
    assert_string_equal(e.msg, message);
    assert_int_equal(e.class, class);
}

static void names_are_replaced_by_their_values(void **state)
{
    (void)state;
    formats("metadata.batch_id:{batch_id}", "metadata.batch_id:7");
    formats("{batch_id}{batch_id} AND {x-y}", "77 AND 1");
    formats("", "");
    formats("status:Validated", "status:Validated");
}

static void values_are_written_as_python_writes_them(void **state)
{
    (void)state;
    formats("{big} {f} {e}", "9007199254740991 0.50 1e-7");
    formats("{yes} {no} {none}", "True False None");
    formats("text:{s}", "text:a \"b\" \xc3\xa9");
}

static void doubled_braces_are_literal(void **state)
{
    (void)state;
    formats("score:{{0.5 TO 0.6}}", "score:{0.5 TO 0.6}");
    formats("{{{batch_id}}}", "{7}");
    formats("{{{{}}}}", "{{}}");
    formats("{{batch_id}}", "{batch_id}");
    formats("}}{{", "}{");
}

static void a_value_is_not_read_as_a_template(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(100);
    assert_int_equal(template_format("{a}", slice_of("{\"a\":\"{b}}\"}"), &b, NULL), 0);
    assert_string_equal(buf_str(&b), "{b}}");
}

static void unbalanced_braces_are_refused_with_their_place(void **state)
{
    (void)state;
    fails("ab}", ERR_CONFIG, "a single } at character 3: a literal } is written }}");
    fails("{batch_id}}", ERR_CONFIG, "a single } at character 11: a literal } is written }}");
    fails("ab {batch_id", ERR_CONFIG, "a { that is not closed at character 4: a literal { is written {{");
    fails("{", ERR_CONFIG, "a { that is not closed at character 1: a literal { is written {{");
    fails("{{{", ERR_CONFIG, "a { that is not closed at character 3: a literal { is written {{");
}

static void what_only_python_could_do_is_refused(void **state)
{
    (void)state;
    fails("{}", ERR_CONFIG, "{} without a name at character 2: write {name}");
    fails("a {0}", ERR_CONFIG, "a position instead of a name at character 4: write {name}");
    fails("{batch_id!r}", ERR_CONFIG,
          "a conversion (!) at character 10: only {name} is possible; a literal { is written {{");
    fails("{batch_id:>5}", ERR_CONFIG,
          "a format spec (:) at character 10: only {name} is possible; a literal { is written {{");
    fails("{obj.batch_id}", ERR_CONFIG,
          "an attribute or index at character 5: only {name} is possible; a literal { is written {{");
    fails("{list[0]}", ERR_CONFIG,
          "an attribute or index at character 6: only {name} is possible; a literal { is written {{");
}

/* Lucene's exclusive range, braces not doubled: the most likely mistake. */
static void text_between_braces_is_no_name(void **state)
{
    (void)state;
    fails("score:{0.5 TO 0.6}", ERR_CONFIG,
          "{0.5 TO 0.6} at character 7 is no name: a literal { is written {{");
    fails("score:{0.5}", ERR_CONFIG, "{0.5} at character 7 is no name: a literal { is written {{");
    fails("year:{2023 TO 2024}", ERR_CONFIG,
          "{2023 TO 2024} at character 6 is no name: a literal { is written {{");
    fails("{a {batch_id}", ERR_CONFIG, "{a {batch_id} at character 1 is no name: a literal { is written {{");
}

static void an_unknown_name_is_named(void **state)
{
    (void)state;
    fails("metadata.batch_id:{batch}", ERR_BAD_INPUT, "{batch} at character 19 is not in query_params");
    fails("{Batch_id}", ERR_BAD_INPUT, "{Batch_id} at character 1 is not in query_params");
}

static void objects_and_arrays_have_no_place_in_a_query(void **state)
{
    (void)state;
    fails("{list}", ERR_BAD_INPUT, "query_params.list is an object or array: a query takes single values");
    fails("{obj}", ERR_BAD_INPUT, "query_params.obj is an object or array: a query takes single values");
}

static void a_query_past_the_buffer_s_limit_is_an_error(void **state)
{
    (void)state;
    struct err e;
    cleanup_buf struct buf b = buf_make(10);
    assert_int_equal(template_format("0123456789{batch_id}", slice_of(PARAMS), &b, &e), -1);
    assert_int_equal(e.class, ERR_BAD_INPUT);
    assert_string_equal(e.msg, "the query is longer than 10 bytes");
}

static int collect(void *arg, struct slice name)
{
    buf_addslice(arg, name);
    buf_addch(arg, ';');
    return slice_eq(name, "stop");
}

static void names_are_told_in_order(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(100);
    struct err e;
    assert_int_equal(template_names("{a} {{no}} {b}{a}", collect, &b, &e), 0);
    assert_string_equal(buf_str(&b), "a;b;a;");
}

static void a_callback_that_refuses_ends_it(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(100);
    struct err e;
    assert_int_equal(template_names("{a} {stop} {b}", collect, &b, &e), -1);
    assert_string_equal(buf_str(&b), "a;stop;");
    assert_string_equal(e.msg, "{stop} at character 5 is not in query_params");
    assert_int_equal(e.class, ERR_CONFIG);
    assert_int_equal(template_names("{a}{", collect, &b, &e), -1);
    assert_int_equal(e.class, ERR_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_replaced_by_their_values),
        cmocka_unit_test(values_are_written_as_python_writes_them),
        cmocka_unit_test(doubled_braces_are_literal),
        cmocka_unit_test(a_value_is_not_read_as_a_template),
        cmocka_unit_test(unbalanced_braces_are_refused_with_their_place),
        cmocka_unit_test(what_only_python_could_do_is_refused),
        cmocka_unit_test(text_between_braces_is_no_name),
        cmocka_unit_test(an_unknown_name_is_named),
        cmocka_unit_test(objects_and_arrays_have_no_place_in_a_query),
        cmocka_unit_test(a_query_past_the_buffer_s_limit_is_an_error),
        cmocka_unit_test(names_are_told_in_order),
        cmocka_unit_test(a_callback_that_refuses_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
