/* The log: one line an event on stderr, logfmt or JSON. `struct log` is main's and outlives every thread; any
 * thread may write. Keys are literals of ours; values are quoted as needed. Passwords and API keys are never
 * given to it. */
#ifndef AB_BASE_LOG_H
#define AB_BASE_LOG_H

#include <pthread.h>
#include <stdint.h>

#include "err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

struct log {
    enum log_level level;
    enum log_format format;
    int fd;
    pthread_mutex_t mutex; /* one write(2) a line, in the order of the events */
};

/* One value of an event. Made by the KV_ macros; ends at the first with a NULL key. */
struct log_kv {
    const char *key;
    enum { LOG_KV_STR, LOG_KV_INT } type;
    const char *s;
    int64_t i;
};
#define KV(k, v)  ((struct log_kv){.key = (k), .type = LOG_KV_STR, .s = (v)})
#define KVI(k, v) ((struct log_kv){.key = (k), .type = LOG_KV_INT, .i = (v)})

void log_init(struct log *log, enum log_level level, enum log_format format, int fd);
void log_release(struct log *log);

/* Writes `ts=... level=... event="..." key=value ...`. `log` may be NULL: nothing is written. */
void log_event(struct log *log, enum log_level level, const char *event, const struct log_kv *kv);

#define log_at(log, level, event, ...)                                                                       \
    log_event((log), (level), (event), (const struct log_kv[]){__VA_ARGS__ __VA_OPT__(, ){.key = NULL}})
#define log_error(log, event, ...) log_at(log, LOG_LEVEL_ERROR, event __VA_OPT__(, ) __VA_ARGS__)
#define log_warn(log, event, ...)  log_at(log, LOG_LEVEL_WARN, event __VA_OPT__(, ) __VA_ARGS__)
#define log_info(log, event, ...)  log_at(log, LOG_LEVEL_INFO, event __VA_OPT__(, ) __VA_ARGS__)
#define log_debug(log, event, ...) log_at(log, LOG_LEVEL_DEBUG, event __VA_OPT__(, ) __VA_ARGS__)

#endif
