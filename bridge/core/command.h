/* Commands as they are written down: the message in the commands topic (schemas/command.schema.json), and
 * what commands leave in a listener's state partition:
 *
 * - stopped/NAME: the listener is stopped, and since when.
 * - trigger/NAME: a poll that somebody asked for; it goes with the end of its run, or with a condition that
 * is false.
 * - commands: the offset of the next command to be read, in the commands topic's partition of the same
 * number.
 *
 * Pure; any thread. */
#ifndef AB_CORE_COMMAND_H
#define AB_CORE_COMMAND_H

#include "buf.h"
#include "err.h"

enum command_kind {
    COMMAND_START,   /* polls again; a run that a stop has suspended goes on behind its cursor */
    COMMAND_STOP,    /* no polls until COMMAND_START, across restarts; a run in progress is suspended after
                        its current chunk */
    COMMAND_TRIGGER, /* polls now, also a stopped listener, which stays stopped */
    COMMAND_RESET    /* starts over: query_params as in the file, a run in progress is dropped; a stopped
                        listener stays stopped */
};
/* "start" and so on. */
const char *command_kind_name(enum command_kind kind);

enum { COMMAND_VALUE_MAX = 4096, COMMAND_EXPIRES_MS = 60000 };
struct command_message {
    enum command_kind kind;
    bool force;            /* a trigger runs even if the condition is false */
    char *listener;        /* at most 255 bytes, as the two that follow */
    char *id;              /* tells it from any other command */
    char *source;          /* who was asked: an instance */
    int64_t expires_at_ms; /* wall time; a trigger that is read later is dropped. 0: never (the others) */
};

/* BAD_INPUT: not a command. Members that it doesn't know are ignored: a later version may add some. */
int command_message_read(struct slice value, struct command_message *ret, struct err *e);
void command_message_write(const struct command_message *m, struct buf *ret);
void command_message_release(struct command_message *m);

/* trigger/NAME. The id is empty when the value is not ours: then nothing was asked for. */
struct pending_trigger {
    char id[256];
    bool force;
    int64_t expires_at_ms;
};
void pending_trigger_read(struct slice value, struct pending_trigger *ret);
void pending_trigger_write(const struct command_message *m, struct buf *ret);

void stopped_write(int64_t since_ms, struct buf *ret);
/* Since when, wall time; 0 when the value doesn't tell. */
int64_t stopped_read(struct slice value);

#define COMMANDS_KEY "commands"
void commands_offset_write(int64_t next_offset, struct buf *ret);
/* -1 when none is kept. */
int64_t commands_offset_read(struct slice value);

#endif
