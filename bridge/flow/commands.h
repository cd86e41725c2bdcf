/* Commands to listeners, below bridge_command (control.h): how they wait, meet their listener when nothing
 * else has it, and become state.
 *
 * One that comes from the topic belongs to its partition's queue; the first of it is handed to its listener,
 * the next one when that has been dealt with. One that was asked for here goes to its listener at once. The
 * prober gives it to a worker when the listener is idle: a poll is called off, a run gives its worker back
 * after its chunk. The worker writes what it changes, and the offset behind it, in one transaction.
 *
 * Whatever goes wrong on the way (the partition is lost, Kafka refuses): the queue is dropped, and the topic
 * is read again from the offset in the state. */
#ifndef AB_FLOW_COMMANDS_H
#define AB_FLOW_COMMANDS_H

#include "bridge.h"

struct command {
    struct command_message m;
    struct owned *owned;  /* whose queue it comes from; NULL: asked for here */
    int64_t offset;       /* in the topic */
    struct slice raw;     /* as it came, owned; p NULL: no value, or (len says so) too long a one */
    int64_t generation;   /* of the listener before the first attempt at a reset; -1: not tried */
    bool is_uncertain;    /* an attempt may have landed */
    struct command *next; /* in a queue */

    /* asked for here: told under bridge->mutex */
    bool is_done, is_abandoned;
    enum command_verdict {
        VERDICT_DONE,
        VERDICT_NOTHING,   /* there was nothing to do */
        VERDICT_ELSEWHERE, /* the partition is not ours (any more) */
        VERDICT_FAILED     /* `err` */
    } verdict;
    struct err err;
};
void command_free(struct command *c);

/* With bridge->mutex. */
void command_queue_push(struct command_queue *q, struct command *c);
struct command *command_queue_pop(struct command_queue *q);
/* False: it isn't in there (any more). */
bool command_queue_remove(struct command_queue *q, struct command *c);

/* Hands a command to its listener. Any thread. */
void command_give(struct listener *l, struct command *c);

/* Frees those that nobody will carry out any more. All threads have ended. */
void commands_release(struct listener *l);

/* membership's: reads commands of what is open, where nothing is under way. */
void commands_read(struct bridge *b);
bool commands_on_message(void *bridge, int partition, int64_t offset, struct slice value);
/* Nothing is being read after an assignment has changed. */
void commands_assigned(struct bridge *b);
/* Forgets what was read: the partition is closed. Any thread. */
void commands_drop(struct owned *o);

/* What has become of a command from the topic, told by whoever deals with it (a worker, the prober). Each of
 * the latter two frees it and goes on: behind it (`is_kept`: the state's offset is there already), or reading
 * from the state's offset once more. */
bool commands_is_done_already(const struct command *c);
/* Is its failure not in the log yet? It is from now on. */
bool commands_is_news(const struct command *c);
void commands_offset_kept(struct owned *o);
void commands_go_behind(struct command *c, bool is_kept);
void commands_give_up(struct command *c);

/* The prober's. control_learn: what the state says of the listener now. */
void control_learn(struct listener *l);
bool control_may_poll(const struct listener *l);
/* Gives a command or a duty that waits to a worker. False: nothing waits. `due_ms`: when the listener would
 * go on. */
bool control_take(struct listener *l, int64_t due_ms);
/* A trigger or a start that has nothing to do because a poll or a run is on is told so: true. */
bool control_answer_busy(struct listener *l);
/* Its partition has gone: so are its commands. */
void control_drop(struct listener *l);

/* A worker's: `l` has been given a command or a duty; the partition `o` has commands. */
void command_go_on(struct listener *l);
void commands_go_on(struct owned *o);

#endif
