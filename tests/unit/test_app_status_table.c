/* Does the table at the terminal show what the service says, and nothing that would move the cursor? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "status_table.h"

#define HEAD                                                                                                 \
    "{\"instance\":\"i\",\"version\":\"1\",\"group_id\":\"g\",\"now\":\"2026-11-25T00:00:10.000Z\","         \
    "\"config\":{\"reload_error\":null},"                                                                    \
    "\"argilla\":{\"up\":true},\"kafka\":{\"up\":false},\"partitions\":{\"owned\":1,\"open\":1,\"of\":2},"   \
    "\"listeners\":["

static const char doc[] =
    HEAD "{\"name\":\"r\\u00e9views\",\"state\":\"waiting\",\"last_poll\":\"2026-11-25T00:00:08.400Z\","
         "\"next_poll\":\"2026-11-25T02:00:08.400Z\",\"total\":10,\"condition\":\"x\",\"condition_value\":"
         "true,\"run\":3,"
         "\"counters\":{\"published\":7},\"error\":null},"
         "{\"name\":\"evil\",\"state\":\"failing\",\"last_poll\":null,\"next_poll\":null,\"total\":null,"
         "\"condition\":null,"
         "\"condition_value\":null,\"run\":null,\"counters\":{\"published\":0},"
         "\"error\":{\"text\":\"\\u001b[2Jgone\\r\\n\"}}]}";

/* What `print` writes; the caller frees. */
static char *printed(struct slice one)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    if (one.p)
        status_table_print_one(slice_of(doc), one, out);
    else
        status_table_print(slice_of(doc), out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void one_line_a_listener_and_its_error_under_it(void **state)
{
    (void)state;
    cleanup_free char *text = printed((struct slice){0});
    assert_string_equal(
        text, "instance i of group g, version 1: 1 of 2 partitions, argilla up, kafka down\n"
              "LISTENER  STATE    LAST POLL  NEXT POLL  MATCHES  CONDITION  RUN  PUBLISHED\n"
              "r\xc3\xa9views   waiting  2 s ago    in 2 h          10  true         3          7\n"
              "evil      failing  -          -                -  always       -          0\n"
              "    ?[2Jgone??\n");
}

static void one_listener_in_full(void **state)
{
    struct slice one = {0};
    (void)state;
    assert_false(status_table_find(slice_of(doc), "nobody", &one));
    assert_true(status_table_find(slice_of(doc), "r\xc3\xa9views", &one));
    cleanup_free char *text = printed(one);
    assert_non_null(strstr(text, "last_poll        2026-11-25T00:00:08.400Z (2 s)\n"));
    assert_non_null(strstr(text, "total            10\n"));
    assert_non_null(strstr(text, "error            -\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_line_a_listener_and_its_error_under_it),
        cmocka_unit_test(one_listener_in_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
