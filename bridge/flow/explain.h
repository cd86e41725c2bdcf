/* `explain LISTENER`: what a poll would do now, written to `out` for a person. Asks Argilla and reads the
 * state in Kafka; writes nothing anywhere. Main thread of a command. */
#ifndef AB_FLOW_EXPLAIN_H
#define AB_FLOW_EXPLAIN_H

#include <stdio.h>

#include "config.h"
#include "err.h"

/* -1 with what could not be found out; `out` has what was found until then. Kafka being away is no failure:
 * the start values of query_params are used, and it says so. */
int explain(const struct config *config, const struct listener_config *l, FILE *out, struct err *e);

#endif
