/* The commands that ask a running service: status, and start, stop, trigger, reset as far as a service
 * answers. What they return is an exit code (cli.h). Main thread. */
#ifndef AB_APP_CLI_ADMIN_H
#define AB_APP_CLI_ADMIN_H

#include "config.h"
#include "control.h"

/* Prints what the service says of all listeners as a table, or of one in full; `as_json`: as it came. */
int cli_status(const struct config *config, const char *listener, bool as_json);

/* Has the service carry the command out. -1 when none answers, or there is no admin interface to ask: then it
 * may be done without one. */
int cli_ask_service(const struct config *config, enum command_kind kind, const char *listener, bool force);

#endif
