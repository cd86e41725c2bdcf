/* A new configuration for a running bridge. Only its listeners may differ from the old one's: the caller sees
 * to that. Listeners that are the same keep their schedule and their run; one that has changed is polled anew
 * at once, going on from its state as after a restart; one that is gone stops after the chunk that it is at,
 * and its state is kept. */
#ifndef AB_FLOW_RELOAD_H
#define AB_FLOW_RELOAD_H

#include "bridge.h"

struct reload_counts {
    size_t n_same, n_changed, n_added, n_removed;
};

/* Takes `config`. Returns when the prober has the new list, which takes milliseconds; listeners that are in
 * the middle of a poll or a chunk follow when it ends. `is_same` tells whether two configs of a listener mean
 * the same. One thread (main's), while the bridge runs. */
void bridge_reload(struct bridge *b, struct config *config,
                   bool (*is_same)(const struct listener_config *, const struct listener_config *),
                   struct reload_counts *ret);

/* The bridge's compiled expressions: compile a new config's into them before it is taken, so that no poll
 * waits. */
struct expr_cache *bridge_exprs(struct bridge *b);

/* How the last reload went, for people: `error` NULL when it was taken. Copied. Any thread. */
void bridge_note_reload(struct bridge *b, const char *error);

#endif
