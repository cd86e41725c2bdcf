/* One message to one partition, outside of any transaction: a command to another instance. */
#ifndef AB_KAFKA_SEND_H
#define AB_KAFKA_SEND_H

#include "config.h"
#include "err.h"
#include "mem.h"

/* Sends it by an idempotent producer of its own, made for this call (commands are rare, a handle costs memory
 * and threads), and waits until all in-sync replicas have it. 0: it is durable. -1: RETRY (not within
 * `timeout_ms`: it may still have arrived), AUTH, BAD_INPUT. Any thread. */
int kafka_send(const struct config *config, const char *topic, int partition, struct slice key,
               struct slice value, int timeout_ms, struct err *e);

#endif
