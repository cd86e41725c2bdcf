#include "command.h"

#include <stdio.h>
#include <time.h>

#include "clock.h"
#include "json_scan.h"

enum { NAME_MAX_BYTES = 255 };

static const char *const kind_names[] = {"start", "stop", "trigger", "reset"};
_Static_assert(COMMAND_START == 0 && COMMAND_RESET == 3, "order of names");

const char *command_kind_name(enum command_kind kind)
{
    return kind_names[kind];
}

/* A string member of 1 to 255 bytes without NUL; NULL: not so. The caller frees. */
static char *take_name(struct slice object, const char *member)
{
    struct slice v;
    cleanup_buf struct buf text = buf_make(NAME_MAX_BYTES);
    if (!json_get(object, member, &v) || json_decode_string(v, &text) || text.overflow || !text.len ||
        memchr(text.data, 0, text.len))
        return NULL;
    return buf_take(&text);
}

/* "2026-11-24T21:44:03.123Z", with or without the fraction. -1: not so. */
static int parse_time(const char *text, int64_t *ret_ms)
{
    struct tm tm = {0};
    const char *p = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    int64_t ms = 0;
    if (!p)
        return -1;
    if (*p == '.')
        for (int64_t unit = 100; *++p >= '0' && *p <= '9'; unit /= 10)
            ms += (*p - '0') * unit;
    if (strcmp(p, "Z") != 0)
        return -1;
    *ret_ms = (int64_t)timegm(&tm) * 1000 + ms;
    return 0;
}

static int take_time(struct slice object, const char *member, int64_t *ret_ms)
{
    cleanup_free char *text = take_name(object, member);
    return text ? parse_time(text, ret_ms) : -1;
}

static void add_time(struct buf *b, int64_t wall_ms)
{
    char text[RFC3339_SIZE];
    clock_rfc3339(wall_ms, text);
    buf_addf(b, "\"%s\"", text);
}

/* From the first character of the value on: JSON allows white space before it. */
static struct slice trim(struct slice s)
{
    while (s.len && strchr(" \t\r\n", s.p[0]) && s.p[0])
        s = (struct slice){s.p + 1, s.len - 1};
    return s;
}

static bool is_object(struct slice value)
{
    return value.len && !json_check(value, NULL) && json_type_of(value) == JSON_OBJECT;
}

static int read_kind(struct slice object, enum command_kind *ret)
{
    cleanup_free char *name = take_name(object, "kind");
    for (size_t i = 0; name && i < ARRAY_LEN(kind_names); i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *ret = (enum command_kind)i;
            return 0;
        }
    }
    return -1;
}

/* Absent: false. -1: something else than a boolean. */
static int read_force(struct slice object, bool *ret)
{
    struct slice v;
    *ret = false;
    if (!json_get(object, "force", &v))
        return 0;
    *ret = json_type_of(v) == JSON_TRUE;
    return *ret || json_type_of(v) == JSON_FALSE ? 0 : -1;
}

int command_message_read(struct slice value, struct command_message *ret, struct err *e)
{
    struct command_message m = {0};
    if (value.len > COMMAND_VALUE_MAX)
        return err_set(e, ERR_BAD_INPUT, "it has %zu bytes, at most %d", value.len, COMMAND_VALUE_MAX);
    if (!value.p)
        return err_set(e, ERR_BAD_INPUT, "no value");
    value = trim(value);
    if (!is_object(value))
        return err_set(e, ERR_BAD_INPUT, "not a JSON object");
    if (read_kind(value, &m.kind))
        return err_set(e, ERR_BAD_INPUT, "kind is none of start, stop, trigger and reset");
    if (read_force(value, &m.force))
        return err_set(e, ERR_BAD_INPUT, "force is no boolean");
    if (m.kind == COMMAND_TRIGGER && take_time(value, "expires_at", &m.expires_at_ms))
        return err_set(e, ERR_BAD_INPUT, "a trigger needs expires_at, such as 2026-11-24T21:44:03.123Z");
    m.listener = take_name(value, "listener");
    m.id = take_name(value, "id");
    m.source = take_name(value, "source");
    if (!m.listener || !m.id || !m.source) {
        command_message_release(&m);
        return err_set(e, ERR_BAD_INPUT, "listener, id and source must be texts of 1 to %d bytes",
                       NAME_MAX_BYTES);
    }
    *ret = m;
    return 0;
}

static void add_text(struct buf *b, const char *member, const char *text)
{
    buf_addf(b, ",\"%s\":", member);
    buf_addjson(b, text, strlen(text));
}

void command_message_write(const struct command_message *m, struct buf *ret)
{
    buf_addf(ret, "{\"kind\":\"%s\"", kind_names[m->kind]);
    add_text(ret, "listener", m->listener);
    buf_addf(ret, ",\"force\":%s", m->force ? "true" : "false");
    add_text(ret, "id", m->id);
    add_text(ret, "source", m->source);
    if (m->kind == COMMAND_TRIGGER) {
        buf_addstr(ret, ",\"expires_at\":");
        add_time(ret, m->expires_at_ms);
    }
    buf_addch(ret, '}');
}

void command_message_release(struct command_message *m)
{
    free(m->listener);
    free(m->id);
    free(m->source);
    *m = (struct command_message){0};
}

void pending_trigger_read(struct slice value, struct pending_trigger *ret)
{
    *ret = (struct pending_trigger){0};
    cleanup_free char *id = is_object(value) ? take_name(value, "id") : NULL;
    if (!id || read_force(value, &ret->force) || take_time(value, "expires_at", &ret->expires_at_ms))
        return;
    (void)snprintf(ret->id, sizeof ret->id, "%s", id);
}

void pending_trigger_write(const struct command_message *m, struct buf *ret)
{
    buf_addstr(ret, "{\"id\":");
    buf_addjson(ret, m->id, strlen(m->id));
    buf_addf(ret, ",\"force\":%s,\"expires_at\":", m->force ? "true" : "false");
    add_time(ret, m->expires_at_ms);
    buf_addch(ret, '}');
}

void stopped_write(int64_t since_ms, struct buf *ret)
{
    buf_addstr(ret, "{\"since\":");
    add_time(ret, since_ms);
    buf_addch(ret, '}');
}

int64_t stopped_read(struct slice value)
{
    int64_t ms = 0;
    return is_object(value) && take_time(value, "since", &ms) == 0 ? ms : 0;
}

void commands_offset_write(int64_t next_offset, struct buf *ret)
{
    buf_addf(ret, "{\"next_offset\":%lld}", (long long)next_offset);
}

int64_t commands_offset_read(struct slice value)
{
    struct slice v;
    int64_t n;
    if (!is_object(value) || !json_get(value, "next_offset", &v) || json_get_int64(v, &n) || n < 0)
        return -1;
    return n;
}
