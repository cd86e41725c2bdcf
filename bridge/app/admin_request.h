/* What a request to the admin interface asks for, and whether it may: the part that needs no socket. Pure;
 * any thread. */
#ifndef AB_APP_ADMIN_REQUEST_H
#define AB_APP_ADMIN_REQUEST_H

#include "admin_pages.h"
#include "control.h"

enum admin_route {
    ROUTE_NONE, /* 404 */
    ROUTE_PAGE,
    ROUTE_LISTENERS,
    ROUTE_METRICS,
    ROUTE_HEALTH,
    ROUTE_READY,
    ROUTE_COMMAND
};

enum { ADMIN_NAME_MAX = 200 };
struct admin_target {
    enum admin_route route;
    const struct admin_page *page;     /* ROUTE_PAGE */
    enum command_kind command;         /* ROUTE_COMMAND */
    char listener[ADMIN_NAME_MAX + 1]; /* ROUTE_COMMAND */
};

/* `path` without its query, decoded. */
struct admin_target admin_route(const char *path);
/* What goes into Allow: "GET, HEAD" or "POST". */
const char *admin_methods(enum admin_route route);
/* Is `method` one of them? */
bool admin_takes_method(enum admin_route route, const char *method);

/* A page elsewhere can have its own name resolve to our address and then read us through its reader's
 * browser: it can't make that browser send another Host. So Host must be an address as numbers, or localhost.
 * NULL (no header): no browser. */
bool admin_host_is_ours(const char *host);

/* Authorization against the token, in a time that doesn't depend on where they differ. */
enum admin_pass { PASS_OK, PASS_NONE_CONFIGURED, PASS_MISSING, PASS_WRONG };
enum admin_pass admin_check_token(const char *authorization, const char *token);

/* "true" or "false"; NULL (it isn't there) is false. -1: neither. */
int admin_read_bool(const char *value, bool *ret);

/* "start", "stop", "trigger", "reset"; -1: none of them. */
int admin_command_of(const char *word);
const char *admin_command_word(enum command_kind kind);

#endif
