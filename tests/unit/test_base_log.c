/* Is every event one whole line that a logfmt or JSON reader takes, whatever its values hold? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "buf.h"
#include "log.h"

struct fixture {
    struct log log;
    struct buf text; /* of read_lines */
};

static void setup(struct fixture *f, enum log_format format)
{
    int fd = memfd_create("log", MFD_CLOEXEC);
    assert_true(fd >= 0);
    log_init(&f->log, LOG_LEVEL_INFO, format, fd);
    f->text = buf_make(4 << 20);
}

static void teardown(struct fixture *f)
{
    (void)close(f->log.fd);
    log_release(&f->log);
    buf_release(&f->text);
}
#define cleanup_fixture __attribute__((cleanup(teardown)))

/* All that was logged so far. */
static const char *logged(struct fixture *f)
{
    char part[4096];
    ssize_t n;
    buf_clear(&f->text);
    for (off_t at = 0; (n = pread(f->log.fd, part, sizeof part, at)) > 0; at += n)
        buf_add(&f->text, part, (size_t)n);
    assert_int_equal(n, 0);
    return buf_str(&f->text);
}

/* The logfmt line without its time, which is checked for its shape alone. */
static const char *without_time(const char *line)
{
    assert_memory_equal(line, "ts=", 3);
    assert_int_equal(strcspn(line + 3, " "), strlen("2026-11-24T21:44:03.123Z"));
    return line + 3 + strcspn(line + 3, " ") + 1;
}

static void logfmt_quotes_only_what_needs_it(void **state)
{
    (void)state;
    cleanup_fixture struct fixture f;
    setup(&f, LOG_FORMAT_LOGFMT);
    log_info(&f.log, "poll", KV("plain", "a-b/c:d"), KV("space", "a b"), KV("quote", "say \"hi\""),
             KV("equals", "a=b"), KV("empty", ""), KV("null", NULL), KV("lines", "a\nb\tc"),
             KV("back", "a\\b"), KV("utf8", "\xc3\xa9"), KVI("n", -5), KVI("big", INT64_MAX));
    assert_string_equal(without_time(logged(&f)),
                        "level=info event=poll plain=a-b/c:d space=\"a b\" quote=\"say \\\"hi\\\"\" "
                        "equals=\"a=b\" empty=\"\" null=\"\" lines=\"a\\nb\\tc\" back=\"a\\\\b\" "
                        "utf8=\"\xc3\xa9\" n=-5 big=9223372036854775807\n");
}

static void an_event_without_values_is_a_line_too(void **state)
{
    (void)state;
    cleanup_fixture struct fixture f;
    setup(&f, LOG_FORMAT_LOGFMT);
    log_error(&f.log, "going down");
    assert_string_equal(without_time(logged(&f)), "level=error event=\"going down\"\n");
}

static void json_lines_hold_their_values_exactly(void **state)
{
    (void)state;
    cleanup_fixture struct fixture f;
    setup(&f, LOG_FORMAT_JSON);
    log_warn(&f.log, "an \"event\"", KV("s", "a\"b\\c\nd"), KV("bad", "x\xff\x01y"), KVI("n", -7));
    const char *line = logged(&f);
    assert_int_equal(line[strlen(line) - 1], '\n');
    assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
    cJSON *json = cJSON_ParseWithOpts(line, NULL, 1);
    assert_non_null(json);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "level")), "warn");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "event")), "an \"event\"");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "s")), "a\"b\\c\nd");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(json, "bad")), "x\xef\xbf\xbd\x01y");
    assert_int_equal(cJSON_GetObjectItem(json, "n")->valueint, -7);
    assert_int_equal(cJSON_GetArraySize(json), 6);
    cJSON_Delete(json);
}

static void a_value_too_long_for_the_line_is_left_out_and_the_rest_stays(void **state)
{
    (void)state;
    cleanup_free char *huge = xcalloc(1, 100001);
    memset(huge, 'x', 100000);
    for (enum log_format format = LOG_FORMAT_LOGFMT; format <= LOG_FORMAT_JSON; format++) {
        cleanup_fixture struct fixture f;
        setup(&f, format);
        log_info(&f.log, "e", KV("before", "1"), KV("huge", huge), KV("after", "2"));
        const char *line = logged(&f);
        assert_null(strstr(line, "xxx"));
        assert_int_equal(line[strlen(line) - 1], '\n');
        assert_non_null(strstr(line, format == LOG_FORMAT_JSON ? "\"before\":\"1\"" : " before=1"));
        assert_non_null(strstr(line, format == LOG_FORMAT_JSON ? "\"after\":\"2\"}" : " after=2\n"));
        if (format == LOG_FORMAT_JSON) {
            cJSON *json = cJSON_ParseWithOpts(line, NULL, 1);
            assert_non_null(json);
            cJSON_Delete(json);
        }
    }
}

/* Every length around the line's limit: the closing brace and the newline always have their room. */
static void lines_around_the_limit_are_whole(void **state)
{
    (void)state;
    cleanup_free char *text = xcalloc(1, 8200);
    memset(text, 'x', 8199);
    for (size_t len = 8050; len < 8199; len++) {
        cleanup_fixture struct fixture f;
        setup(&f, LOG_FORMAT_JSON);
        log_info(&f.log, "e", KV("v", text + 8199 - len), KVI("n", 1));
        const char *line = logged(&f);
        assert_true(strlen(line) <= 8192);
        assert_int_equal(line[strlen(line) - 1], '\n');
        cJSON *json = cJSON_ParseWithOpts(line, NULL, 1);
        assert_non_null(json);
        cJSON_Delete(json);
    }
}

static void levels_above_the_set_one_are_silent(void **state)
{
    (void)state;
    cleanup_fixture struct fixture f;
    setup(&f, LOG_FORMAT_LOGFMT);
    log_debug(&f.log, "hidden");
    assert_string_equal(logged(&f), "");
    f.log.level = LOG_LEVEL_ERROR;
    log_warn(&f.log, "hidden");
    assert_string_equal(logged(&f), "");
    log_error(&f.log, "shown");
    assert_non_null(strstr(logged(&f), "event=shown"));
}

static void without_a_log_nothing_is_written(void **state)
{
    (void)state;
    cleanup_fixture struct fixture f;
    setup(&f, LOG_FORMAT_LOGFMT);
    log_error(NULL, "nowhere", KV("k", "v"));
    assert_string_equal(logged(&f), "");
}

enum { THREADS = 4, LINES = 300 };

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_info(arg, "line", KV("text", "some text that is long enough to be torn apart"), KVI("i", i));
    return NULL;
}

static void lines_of_many_threads_do_not_mix(void **state)
{
    (void)state;
    cleanup_fixture struct fixture f;
    pthread_t threads[THREADS];
    int n = 0;
    setup(&f, LOG_FORMAT_JSON);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &f.log), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (const char *line = logged(&f); *line; line += strcspn(line, "\n") + 1, n++) {
        cJSON *json = cJSON_ParseWithLength(line, strcspn(line, "\n"));
        assert_non_null(cJSON_GetObjectItem(json, "i"));
        cJSON_Delete(json);
    }
    assert_int_equal(n, THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logfmt_quotes_only_what_needs_it),
        cmocka_unit_test(an_event_without_values_is_a_line_too),
        cmocka_unit_test(json_lines_hold_their_values_exactly),
        cmocka_unit_test(a_value_too_long_for_the_line_is_left_out_and_the_rest_stays),
        cmocka_unit_test(lines_around_the_limit_are_whole),
        cmocka_unit_test(levels_above_the_set_one_are_silent),
        cmocka_unit_test(without_a_log_nothing_is_written),
        cmocka_unit_test(lines_of_many_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
