/* Is a command that was written read back the same, and is anything else told apart from one? Does what
 * commands leave in the state come back, and do no harm when it isn't ours? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "command.h"

#define MEMBERS "\"listener\":\"l\",\"id\":\"1\",\"source\":\"s\""

static int read_text(const char *text, struct command_message *ret, struct err *e)
{
    return command_message_read(slice_of(text), ret, e);
}

static void a_command_comes_back_as_it_was_written(void **state)
{
    (void)state;
    for (int kind = COMMAND_START; kind <= COMMAND_RESET; kind++) {
        struct command_message m = {.kind = (enum command_kind)kind,
                                    .force = kind == COMMAND_TRIGGER,
                                    .listener = (char *)"a \"b\"",
                                    .id = (char *)"1",
                                    .source = (char *)"host:\xc3\xa9",
                                    .expires_at_ms = kind == COMMAND_TRIGGER ? 1795565043123 : 0},
                               back;
        struct err e;
        cleanup_buf struct buf b = buf_make(COMMAND_VALUE_MAX);
        command_message_write(&m, &b);
        assert_int_equal(command_message_read(buf_slice(&b), &back, &e), 0);
        assert_int_equal(back.kind, m.kind);
        assert_int_equal(back.force, m.force);
        assert_string_equal(back.listener, m.listener);
        assert_string_equal(back.id, m.id);
        assert_string_equal(back.source, m.source);
        assert_int_equal(back.expires_at_ms, m.expires_at_ms);
        command_message_release(&back);
    }
}

static void times_are_read_with_and_without_a_fraction(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } times[] = {{"1970-01-01T00:00:00Z", 0},
                 {"2026-11-24T21:44:03Z", 1795556643000},
                 {"2026-11-24T21:44:03.1Z", 1795556643100},
                 {"2026-11-24T21:44:03.123Z", 1795556643123},
                 {"2026-11-24T21:44:03.123456Z", 1795556643123}};
    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        struct command_message m;
        struct err e;
        cleanup_free char *text =
            xasprintf("{\"kind\":\"trigger\"," MEMBERS ",\"expires_at\":\"%s\"}", times[i].text);
        assert_int_equal(read_text(text, &m, &e), 0);
        assert_int_equal(m.expires_at_ms, times[i].ms);
        command_message_release(&m);
    }
}

static void members_of_later_versions_are_ignored(void **state)
{
    (void)state;
    struct command_message m;
    struct err e;
    assert_int_equal(read_text(" {\"kind\":\"stop\"," MEMBERS ",\"why\":[{}]} ", &m, &e), 0);
    assert_false(m.force);
    command_message_release(&m);
}

static void what_is_no_command_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "\"stop\"",
        "{}",
        "\xff",
        "{\"kind\":\"stop\"}",
        "{\"kind\":\"Stop\"," MEMBERS "}",
        "{\"kind\":1," MEMBERS "}",
        "{\"kind\":\"stop\"," MEMBERS ",\"force\":1}",
        "{\"kind\":\"stop\"," MEMBERS ",\"force\":null}",
        "{\"kind\":\"trigger\"," MEMBERS "}",
        "{\"kind\":\"trigger\"," MEMBERS ",\"expires_at\":1795556643123}",
        "{\"kind\":\"trigger\"," MEMBERS ",\"expires_at\":\"2026-11-24T21:44:03\"}",
        "{\"kind\":\"trigger\"," MEMBERS ",\"expires_at\":\"2026-11-24T21:44:03+01:00\"}",
        "{\"kind\":\"trigger\"," MEMBERS ",\"expires_at\":\"2026-11-24\"}",
        "{\"kind\":\"stop\",\"listener\":\"\",\"id\":\"1\",\"source\":\"s\"}",
        "{\"kind\":\"stop\",\"listener\":\"a\\u0000b\",\"id\":\"1\",\"source\":\"s\"}",
        "{\"kind\":\"stop\",\"listener\":null,\"id\":\"1\",\"source\":\"s\"}",
        "{\"kind\":\"stop\",\"listener\":\"l\",\"id\":1,\"source\":\"s\"}",
        "{\"kind\":\"stop\",\"listener\":\"l\",\"id\":\"1\"}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct command_message m = {0};
        struct err e = {0};
        if (read_text(bad[i], &m, &e) == 0)
            fail_msg("taken: %s", bad[i]);
        assert_int_equal(e.class, ERR_BAD_INPUT);
        assert_null(m.listener);
    }
    struct command_message m;
    struct err e;
    assert_int_equal(command_message_read((struct slice){NULL, 0}, &m, &e), -1);
    assert_int_equal(command_message_read((struct slice){NULL, 1 << 20}, &m, &e), -1);
    assert_non_null(strstr(e.msg, "1048576 bytes"));
}

static void lengths_have_limits(void **state)
{
    (void)state;
    char name[257] = "";
    struct command_message m;
    struct err e;
    for (size_t len = 255; len <= 256; len++) {
        memset(name, 'x', len);
        cleanup_free char *text =
            xasprintf("{\"kind\":\"stop\",\"listener\":\"%s\",\"id\":\"1\",\"source\":\"s\"}", name);
        assert_int_equal(read_text(text, &m, &e), len == 255 ? 0 : -1);
        if (len == 255)
            command_message_release(&m);
    }
    cleanup_free char *fill = xcalloc(1, COMMAND_VALUE_MAX + 1);
    memset(fill, ' ', COMMAND_VALUE_MAX);
    cleanup_free char *text = xasprintf("{\"kind\":\"stop\"," MEMBERS "}%s", fill);
    assert_int_equal(command_message_read((struct slice){text, COMMAND_VALUE_MAX + 1}, &m, &e), -1);
    assert_int_equal(command_message_read((struct slice){text, COMMAND_VALUE_MAX}, &m, &e), 0);
    command_message_release(&m);
}

static void a_pending_trigger_comes_back(void **state)
{
    (void)state;
    struct command_message m = {
        .kind = COMMAND_TRIGGER, .id = (char *)"a\"1", .force = true, .expires_at_ms = 1795556643123};
    struct pending_trigger t;
    cleanup_buf struct buf b = buf_make(COMMAND_VALUE_MAX);
    pending_trigger_write(&m, &b);
    pending_trigger_read(buf_slice(&b), &t);
    assert_string_equal(t.id, "a\"1");
    assert_true(t.force);
    assert_int_equal(t.expires_at_ms, 1795556643123);
    static const char *const none[] = {"", "{}", "x", "{\"id\":\"1\"}", "{\"id\":\"1\",\"expires_at\":1}"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        pending_trigger_read(slice_of(none[i]), &t);
        assert_string_equal(t.id, "");
    }
}

static void stopped_and_the_offset_come_back(void **state)
{
    (void)state;
    cleanup_buf struct buf b = buf_make(64), o = buf_make(64);
    stopped_write(1795556643123, &b);
    assert_string_equal(buf_str(&b), "{\"since\":\"2026-11-24T21:44:03.123Z\"}");
    assert_int_equal(stopped_read(buf_slice(&b)), 1795556643123);
    assert_int_equal(stopped_read(slice_of("{}")), 0);
    commands_offset_write(INT64_MAX, &o);
    assert_int_equal(commands_offset_read(buf_slice(&o)), INT64_MAX);
    assert_int_equal(commands_offset_read(slice_of("{\"next_offset\":0}")), 0);
    assert_int_equal(commands_offset_read(slice_of("{\"next_offset\":-1}")), -1);
    assert_int_equal(commands_offset_read(slice_of("{\"next_offset\":1.0}")), -1);
    assert_int_equal(commands_offset_read(slice_of("")), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_comes_back_as_it_was_written),
        cmocka_unit_test(times_are_read_with_and_without_a_fraction),
        cmocka_unit_test(members_of_later_versions_are_ignored),
        cmocka_unit_test(what_is_no_command_is_refused),
        cmocka_unit_test(lengths_have_limits),
        cmocka_unit_test(a_pending_trigger_comes_back),
        cmocka_unit_test(stopped_and_the_offset_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
