/* Membership in the bridge's consumer group, subscribed to the state topic: the partitions that the group
 * assigns are the listeners that this instance runs. Of the state topic nothing is fetched. With an
 * instance_id the member is static: a restart within the session is back at once and nobody else rebalances.
 *
 * It also carries the commands topic, if there is one: the range assignor gives partition i of two topics
 * with the same number of partitions and the same subscribers to the same member. Commands are fetched only
 * from where membership_read_commands says.
 *
 * One thread owns it (it must poll all the time); the callbacks run there, inside the poll, and must not
 * wait.
 */
#ifndef AB_KAFKA_MEMBERSHIP_H
#define AB_KAFKA_MEMBERSHIP_H

#include "config.h"
#include "err.h"
#include "mem.h"

struct membership;

/* The whole assignment after each change: `is_owned[i]` for partition i of `n`. At a revocation nothing is
 * owned until the next assignment: then `is_settled` is false, and what was owned should keep its producer
 * open, since it mostly comes back. */
typedef void on_assignment_fn(void *arg, const bool *is_owned, int n, bool is_settled);

/* A message of the commands topic; `value` (p NULL: none) is valid during the call. False: no more of this
 * partition until membership_read_commands asks again; this one is to come once more then. */
typedef bool on_command_fn(void *arg, int partition, int64_t offset, struct slice value);

/* Subscribes to the state topic, and with `on_command` to bridge.commands_topic, which must be there, with as
 * many partitions. */
int membership_new_with_commands(const struct config *config, on_assignment_fn *on_assignment,
                                 on_command_fn *on_command, void *arg, struct membership **ret,
                                 struct err *e);
/* The same without commands. */
int membership_new(const struct config *config, on_assignment_fn *on_assignment, void *arg,
                   struct membership **ret, struct err *e);

/* Serves the group for up to `timeout_ms`. 0; -1 FATAL when this member is shut out for good (another process
 * has our instance_id), RETRY or AUTH for what the group's coordinator says and which may pass. */
int membership_poll(struct membership *m, int timeout_ms, struct err *e);

/* Has the group given us this partition of the commands topic? */
bool membership_has_commands(const struct membership *m, int partition);
/* Fetches commands of this partition from `offset` on; those that the topic no longer has are passed over. An
 * assignment ends it. -1 RETRY: not yet, ask again. */
int membership_read_commands(struct membership *m, int partition, int64_t offset, struct err *e);

/* Frees without leaving the group, which could take as long as a broker that hangs: it finds out when the
 * session ends. Takes NULL. */
void membership_abandon(struct membership *m);

/* Leaves the group (a static member stays in it until its session ends) and frees. Takes NULL. */
void membership_free(struct membership *m);

#endif
