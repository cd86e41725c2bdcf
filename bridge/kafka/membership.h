/* Membership in the bridge's consumer group, subscribed to the state topic: the partitions that the group
 * assigns are the listeners that this instance runs. The consumer is paused and fetches nothing. With an
 * instance_id the member is static: a restart within the session is back at once and nobody else rebalances.
 * One thread owns it (it must poll all the time); `on_assignment` runs there, inside the poll, and must not
 * wait. */
#ifndef AB_KAFKA_MEMBERSHIP_H
#define AB_KAFKA_MEMBERSHIP_H

#include "config.h"
#include "err.h"

struct membership;

/* The whole assignment after each change: `is_owned[i]` for partition i of `n`. At a revocation nothing is
 * owned until the next assignment: then `is_settled` is false, and what was owned should keep its producer
 * open, since it mostly comes back. */
typedef void on_assignment_fn(void *arg, const bool *is_owned, int n, bool is_settled);

int membership_new(const struct config *config, on_assignment_fn *on_assignment, void *arg,
                   struct membership **ret, struct err *e);

/* Serves the group for up to `timeout_ms`. 0; -1 FATAL when this member is shut out for good (another process
 * has our instance_id), RETRY or AUTH for what the group's coordinator says and which may pass. */
int membership_poll(struct membership *m, int timeout_ms, struct err *e);

/* Frees without leaving the group, which could take as long as a broker that hangs: it finds out when the
 * session ends. Takes NULL. */
void membership_abandon(struct membership *m);

/* Leaves the group (a static member stays in it until its session ends) and frees. Takes NULL. */
void membership_free(struct membership *m);

#endif
