/* The one error type. A `struct err` lives on the caller's stack, is filled by whoever fails, gains context
 * on the way up and is logged once, by the flow that handles it. Its class decides what happens next; the
 * text is for people and never holds a secret. Any thread; one `struct err` belongs to one thread at a time.
 */
#ifndef AB_BASE_ERR_H
#define AB_BASE_ERR_H

#include <stdint.h>

enum err_class {
    ERR_NONE = 0,
    ERR_RETRY,     /* the world's fault and passing: the same again later, with backoff */
    ERR_ABORT_TXN, /* the transaction is void, nothing of it will be seen: abort, then again */
    ERR_BAD_INPUT, /* what we were given can't work and won't by waiting: query, record, answer */
    ERR_CONFIG,    /* the configuration is wrong: only a person can mend it */
    ERR_AUTH,      /* 401 or 403, or Kafka's authorization errors: pause and show it */
    ERR_FATAL      /* this handle or process can't go on */
};

struct err {
    enum err_class class;
    int http_status;        /* when Argilla answered, else 0 */
    int64_t retry_after_ms; /* what the server asked for, else 0 */
    char msg[640];          /* always ends in NUL; cut at the end when too long */
};

/* Fills `e` (may be NULL) and returns -1, so that `return err_set(...)` reads well. */
int err_set(struct err *e, enum err_class class, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " before what `e` says; class and the rest stay. Returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ERR_FATAL with the operation's name and errno's text. Returns -1. */
int err_errno(struct err *e, const char *operation, int errnum);

/* "retry", "bad_input" and so on: for logs and messages. */
const char *err_class_name(enum err_class class);

#endif
