/* Commands to listeners: start, stop, trigger, reset. They are state, not signals: each takes effect exactly
 * once, in one transaction of the listener's state partition, whichever instance was asked. The owner of the
 * partition executes a command; another instance writes it to the topic `bridge.commands_topic`, whose
 * partition i the owner of state partition i reads.
 *
 * Here stands what app/ may call. flow's own part is in commands.h. */
#ifndef AB_FLOW_CONTROL_H
#define AB_FLOW_CONTROL_H

#include "bridge.h"
#include "command.h" /* enum command_kind: COMMAND_START, COMMAND_STOP, COMMAND_TRIGGER, COMMAND_RESET */

enum command_result {
    COMMAND_DONE, /* took effect and is durable (a trigger: its poll begins) */
    COMMAND_SENT, /* another instance owns it, or will: durable in the commands topic, takes effect there */
    COMMAND_ALREADY, /* nothing to do: stop of a stopped one, start of a running one, trigger while a poll or
                        a run is on */
    COMMAND_UNKNOWN_LISTENER,
    COMMAND_FAILED /* nothing is promised: `ret_why`. A command that could not be settled within the time may
                      still take effect; its repetition does no harm (a trigger polls once more) */
};

/* Gives the listener a command and waits, at most about `timeout_ms`, until it has taken effect or is durably
 * on its way to who owns it. `force`: a trigger runs even if the condition is false; the others ignore it.
 * `ret_why` is set with COMMAND_FAILED only: RETRY (Kafka can't be reached, or not in time; the bridge is
 * stopping), CONFIG (another instance owns it and there is no commands topic), AUTH. Any thread but the
 * bridge's own (membership, prober, workers); several may call at the same time. Between bridge_start and
 * bridge_wait's return. */
enum command_result bridge_command(struct bridge *b, enum command_kind kind, const char *listener, bool force,
                                   int timeout_ms, struct err *ret_why);

#endif
