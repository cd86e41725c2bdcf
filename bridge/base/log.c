#include "log.h"

#include <unistd.h>

#include "buf.h"
#include "clock.h"

enum { LINE_LIMIT = 8192 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(struct log *log, enum log_level level, enum log_format format, int fd)
{
    *log = (struct log){.level = level, .format = format, .fd = fd};
    (void)pthread_mutex_init(&log->mutex, NULL);
}

void log_release(struct log *log)
{
    (void)pthread_mutex_destroy(&log->mutex);
}

static bool is_bare(const char *s)
{
    if (!*s)
        return false;
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || (unsigned char)*s >= 0x7f)
            return false;
    return true;
}

static void add_value(struct buf *b, enum log_format format, const struct log_kv *kv)
{
    if (kv->type == LOG_KV_INT)
        buf_addf(b, "%lld", (long long)kv->i);
    else if (format == LOG_FORMAT_LOGFMT && kv->s && is_bare(kv->s))
        buf_addstr(b, kv->s);
    else
        buf_addjson(b, kv->s ? kv->s : "", kv->s ? strlen(kv->s) : 0);
}

static void add_pair(struct buf *b, enum log_format format, const struct log_kv *kv)
{
    if (format == LOG_FORMAT_JSON) {
        buf_addstr(b, b->len > 1 ? "," : "");
        buf_addjson(b, kv->key, strlen(kv->key));
        buf_addch(b, ':');
    } else {
        buf_addstr(b, b->len ? " " : "");
        buf_addstr(b, kv->key);
        buf_addch(b, '=');
    }
    add_value(b, format, kv);
}

void log_event(struct log *log, enum log_level level, const char *event, const struct log_kv *kv)
{
    if (!log || level > log->level)
        return;
    char ts[RFC3339_SIZE];
    clock_rfc3339(clock_wall_ms(), ts);
    cleanup_buf struct buf b = buf_make(LINE_LIMIT - 2);
    if (log->format == LOG_FORMAT_JSON)
        buf_addch(&b, '{');
    const struct log_kv head[] = {KV("ts", ts), KV("level", level_names[level]), KV("event", event)};
    for (size_t i = 0; i < ARRAY_LEN(head); i++)
        add_pair(&b, log->format, &head[i]);
    for (; kv->key; kv++) {
        size_t before = b.len;
        add_pair(&b, log->format, kv);
        if (b.overflow) { /* a value past the line's limit is left out whole: the line stays well formed */
            b.len = before;
            b.overflow = false;
        }
    }
    b.limit += 2; /* the room that was kept for these */
    buf_addstr(&b, log->format == LOG_FORMAT_JSON ? "}\n" : "\n");
    (void)pthread_mutex_lock(&log->mutex);
    (void)!write(log->fd, b.data, b.len);
    (void)pthread_mutex_unlock(&log->mutex);
}
