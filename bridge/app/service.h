/* `run` and `once`: the bridge's life between its signals. Main thread. */
#ifndef AB_APP_SERVICE_H
#define AB_APP_SERVICE_H

#include "bridge.h"

/* Runs until SIGTERM or SIGINT (a second one gives up on what is in flight), or until the bridge ends itself.
 * Returns the exit code. */
int service_run(const struct config *config, struct log *log);

/* One poll of one listener. Progress on stderr: a bar on a terminal, plain lines elsewhere. Returns the exit
 * code. */
int service_once(const struct config *config, struct log *log, const char *listener, bool force);

#endif
