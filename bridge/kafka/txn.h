/* One transactional producer: `transactional.id = <group_id>-<partition>`, as Kafka Streams' first
 * exactly-once design. Used by the partition's leader alone (any thread, one at a time; librdkafka has no
 * thread affinity). Calls block, in slices short enough to notice that `keep_going` has turned false. */
#ifndef AB_KAFKA_TXN_H
#define AB_KAFKA_TXN_H

#include <stdatomic.h>

#include "chunk.h"
#include "config.h"

struct txn;

/* Makes the handle and calls init_transactions: what a predecessor left open is aborted, and the predecessor
 * is shut out (its next call fails with a fatal FENCED). Called again while RETRIABLE and `keep_going`. -1:
 * RETRY (given up: no longer wanted), AUTH, CONFIG, FATAL. `batch_bytes`: at most the smallest
 * max.message.bytes of its topics. */
int txn_open(const struct config *config, int partition, int64_t batch_bytes, const atomic_bool *keep_going,
             struct txn **ret, struct err *e);
/* Destroys the handle; an open transaction is left to the broker (the next init aborts it). Takes NULL. */
void txn_close(struct txn *t);

/* Asks for a topic's metadata, once a handle: otherwise its first transaction takes 1 s, and one on a topic
 * that isn't there takes the message time-out from every neighbour. -1 RETRY or AUTH; nothing has been
 * produced. */
int txn_know_topic(struct txn *t, const char *topic, struct err *e);

int txn_begin(struct txn *t, struct err *e);
/* Enqueues without copying. A delivery that fails later is written to `blame->err` (unless it has one), if
 * the failure is not merely the consequence of another. `partition` -1: by the key. */
int txn_produce(struct txn *t, const struct kafka_message *m, int partition, struct kafka_headers common,
                struct chunk *blame, struct err *e);
/* Waits until every message has its delivery report. -1 when one failed or the transaction is void; 1 when
 * some are still on their way after `patience_ms`: call it again. */
int txn_flush(struct txn *t, int patience_ms, const atomic_bool *keep_going, struct err *e);
/* Has the topic been deleted? Then 1, with RETRY in `e`; messages to it would be repeated until
 * message.timeout.ms. 0: it is there. -1: no broker can be asked. */
int txn_topic_is_gone(struct txn *t, const char *topic, struct err *e);
/* 0: committed. -1: whatever the class, nobody knows whether it was (the answer may have been lost): replace
 * the handle. */
int txn_commit(struct txn *t, const atomic_bool *keep_going, struct err *e);
/* 0: nothing of it will be seen and no message of it is in memory. */
int txn_abort(struct txn *t, const atomic_bool *keep_going, struct err *e);

/* Did the handle lose a socket since the last begin? Then it must be replaced before the next begin:
 * librdkafka repeats an EndTxn after a lost connection in silence, and keeps its epoch; the first one,
 * arriving late, would end a later transaction (measured with a proxy that holds EndTxn: duplicates and
 * gaps). init_transactions of a new handle raises the epoch. */
bool txn_lost_socket(const struct txn *t);

#endif
