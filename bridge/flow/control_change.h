/* What a command makes of a listener's state: the same writes whether its owner does it while the service
 * runs (commands.c) or a command line while none does (offline.c). Any thread; blocks for nothing. */
#ifndef AB_FLOW_CONTROL_CHANGE_H
#define AB_FLOW_CONTROL_CHANGE_H

#include "command.h"
#include "partition.h"

enum { CONTROL_WRITES_MAX = 6 };
/* Stays where it is: the writes point into it. */
struct control_change {
    struct state_write writes[CONTROL_WRITES_MAX];
    char *keys[CONTROL_WRITES_MAX];
    struct buf values[CONTROL_WRITES_MAX];
    size_t n;
    uint64_t epoch;       /* the reading of the state that it follows from */
    int64_t generation;   /* of the listener, before it */
    char trigger_id[256]; /* of the trigger that waits, before it; "": none */
};

/* The writes of `m` on the listener `l`; none (`n` 0) when there is nothing to do: a stop of a stopped one, a
 * start of one that isn't. -1: RETRY when the partition is not ready, FATAL when the state is not ours.
 * Release it in any case. */
int control_change_make(struct partition *p, const struct listener_config *l, const struct command_message *m,
                        struct control_change *ret, struct err *e);
/* Nothing yet. */
void control_change_init(struct control_change *c);
/* Adds a write; `value` NULL: a tombstone; else its memory is taken. `name` NULL: the key is `kind` alone. */
void control_change_add(struct control_change *c, const char *kind, const char *name, struct buf *value);
void control_change_release(struct control_change *c);

/* Hands the writes to the partition and waits: `e` is set when it is REFUSED. */
enum chunk_outcome control_change_commit(struct partition *p, struct control_change *c, struct err *e);

/* The value of kind/NAME, appended; false when the partition isn't ready. */
bool control_get(struct partition *p, const char *kind, const char *name, struct buf *ret,
                 uint64_t *ret_epoch);

#endif
