/* Asking the admin interface of a service from its command line: one blocking request at a time, over no
 * proxy. Main thread of a command. */
#ifndef AB_APP_ADMIN_CLIENT_H
#define AB_APP_ADMIN_CLIENT_H

#include "buf.h"
#include "config.h"
#include "err.h"

enum admin_reach {
    ADMIN_ANSWERED, /* `ret_status` and `ret_body` */
    ADMIN_NOBODY,   /* nothing listens there: `e` says so */
    ADMIN_BROKEN    /* something does, and gave no answer in time or none that is HTTP: `e` */
};

enum { ADMIN_ANSWER_MAX = 64 << 20 };

/* `method` "GET" or "POST" (with the token, if there is one) at `config->admin`, where 0.0.0.0 and :: mean
 * this machine. `ret_body` is the caller's buffer, whose limit holds. */
enum admin_reach admin_ask(const struct config *config, const char *method, const char *path, int *ret_status,
                           struct buf *ret_body, struct err *e);

#endif
