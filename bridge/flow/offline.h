/* What commands do to a listener's state while no service runs: they join the group themselves, own the
 * listener's partition for the moment, and write with its transactional.id, as every writer of a state
 * partition. Main thread of a command. */
#ifndef AB_FLOW_OFFLINE_H
#define AB_FLOW_OFFLINE_H

#include "config.h"
#include "err.h"
#include "listener_state.h"

/* Does a service run, that is: has the group a member now? 0 with the answer; -1 RETRY when Kafka can't be
 * asked. */
int offline_service_runs(const struct config *config, bool *ret, struct err *e);

/* Starts a listener over: query_params as in the file, no `previous`, a run in progress is dropped; its
 * generation is raised and run numbers go on, so that no id is used twice. `l` must be in the config. */
int offline_reset(const struct config *config, const struct listener_config *l, struct err *e);

/* Stops a listener, or starts it: as the commands of a running service (control.h). `ret_changed`: false when
 * there was nothing to do. */
int offline_stop(const struct config *config, const struct listener_config *l, bool *ret_changed,
                 struct err *e);
int offline_start(const struct config *config, const struct listener_config *l, bool *ret_changed,
                  struct err *e);

/* Drops all state of the listener `name`, whether it is in the config or not. BAD_INPUT when there is none.
 */
int offline_forget(const struct config *config, const char *name, struct err *e);

struct peeked {
    char *state, *progress; /* "" when there is none */
    struct changes_mark mark;
    size_t n_tracked, n_tracked_before; /* records, in the present generation and in others */
};
/* Reads the state of `listener` without owning anything: what was committed by now (a service may move it
 * on). The caller releases. */
int offline_peek(const struct config *config, const char *listener, struct peeked *ret, struct err *e);
void peeked_release(struct peeked *p);

#endif
