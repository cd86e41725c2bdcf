#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, enum err_class class, const char *fmt, ...)
{
    if (!e)
        return -1;
    e->class = class;
    e->http_status = 0;
    e->retry_after_ms = 0;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return -1;
}

int err_wrap(struct err *e, const char *fmt, ...)
{
    if (!e)
        return -1;
    char context[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(context, sizeof context - 2, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : strlen(context);
    memcpy(context + len, ": ", 2);
    len += 2;
    memmove(e->msg + len, e->msg, sizeof e->msg - len);
    memcpy(e->msg, context, len);
    e->msg[sizeof e->msg - 1] = '\0';
    return -1;
}

int err_errno(struct err *e, const char *operation, int errnum)
{
    char text[128];
    return err_set(e, ERR_FATAL, "%s: %s", operation, strerror_r(errnum, text, sizeof text));
}

const char *err_class_name(enum err_class class)
{
    static const char *const names[] = {"none", "retry", "abort_txn", "bad_input", "config", "auth", "fatal"};
    return (unsigned)class < sizeof names / sizeof *names ? names[class] : "unknown";
}
