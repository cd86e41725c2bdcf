/* A state partition that this instance owns: its transactional producer, the state in memory, and group
 * commit.
 *
 * Life: membership says `partition_set_owned`; a worker calls partition_open: the fence first
 * (init_transactions shuts out the predecessor and ends what it left open), then the state is read to its
 * end, then it is READY. A run takes state by partition_get and hands chunks to partition_commit; whoever
 * finds the producer free commits all that wait, in one transaction. Any failure around a commit means: a new
 * handle, the fence, the state read again. It was written in that very transaction, so it says whether the
 * chunk has landed.
 *
 * kill -9 at any point: before EndTxn has been written by the broker, the next owner's init aborts it and its
 * state says that the chunk is still to be done; after, the state says that it is done. There is no second
 * place to disagree.
 *
 * Locks: `mutex` inside; never held over a call to Kafka. Any thread. */
#ifndef AB_KAFKA_PARTITION_H
#define AB_KAFKA_PARTITION_H

#include <stdatomic.h>

#include "buf.h"
#include "chunk.h"
#include "config.h"
#include "histogram.h"
#include "state_reader.h"

struct partition;

enum { STATE_VALUE_MAX = 1 << 20 };

/* For tests of the order of things; all may be NULL. */
struct partition_hooks {
    void (*fenced)(void *arg);        /* between init_transactions and the reading of the state */
    void (*before_commit)(void *arg); /* all delivered, EndTxn not sent */
    void *arg;
    bool keep_handle_after_lost_socket; /* shows what the rule prevents */
};

struct partition *partition_new(const struct config *config, int id, const struct partition_hooks *hooks);
/* Closes it too. Nobody may be inside. */
void partition_free(struct partition *p);
int partition_id(const struct partition *p);

/* Membership's word. Never waits: a commit in flight may end or be fenced, both are right. Turning false
 * makes blocking calls inside give up. */
void partition_set_owned(struct partition *p, bool owned);
bool partition_is_owned(const struct partition *p);
bool partition_is_ready(struct partition *p);
/* A new handle before the next transaction if `bytes` is below the present batch.size. */
void partition_limit_batch(struct partition *p, int64_t bytes);

/* Fence, then read. 0: READY. -1: CLOSED as before: RETRY, AUTH, FATAL (try again later), CONFIG (the state
 * is of another format or partition count: the process must not go on). Blocks as long as Kafka is away and
 * the partition is owned. */
int partition_open(struct partition *p, struct err *e);
/* Destroys the handle and forgets the state; chunks that wait become STALE. */
void partition_close(struct partition *p);

/* Appends the value of a state key to `ret` (nothing when there is none) and tells the epoch: the reading of
 * the state that it comes from. False when the partition isn't READY. */
bool partition_get(struct partition *p, const char *key, struct buf *ret, uint64_t *ret_epoch);
/* Calls `on_key` for each key, under the lock: it must not call back. False when not READY. */
bool partition_each_key(struct partition *p, void (*on_key)(void *arg, const char *key), void *arg);

/* The same for a partition that isn't open: reads its state topic as it stands, without a fence: somebody may
 * be writing it. Blocks; -1 as partition_open. */
int partition_peek_keys(struct partition *p, void (*on_key)(void *arg, const char *key), void *arg,
                        struct err *e);

/* Which versions of records a listener has published (partition_state.h): of one generation, as of one
 * reading of the state. They are set by a chunk's writes of `digest/...` keys, which also makes them seen. */
struct digests_ref {
    const char *listener;
    int64_t generation;
    uint64_t epoch;
};
struct digest_look {
    struct slice id; /* text */
    uint64_t digest;
    bool is_unchanged; /* filled in: this very version is known */
};
/* Which of the records are known as they are; those that are known in any version become seen. False when the
 * state has been read anew. */
bool partition_digests_look(struct partition *p, const struct digests_ref *r, struct digest_look *items,
                            size_t n);
/* A reconcile begins: nothing is seen. */
void partition_digests_see_none(struct partition *p, const struct digests_ref *r);
/* Is the record tracked and not seen? It is seen then: each is taken once. */
bool partition_digests_take_unseen(struct partition *p, const struct digests_ref *r, struct slice id);
/* Is it tracked? */
bool partition_digests_know(struct partition *p, const struct digests_ref *r, struct slice id);
struct digests_count {
    size_t n, n_unseen;
    size_t n_old; /* of other generations */
};
bool partition_digests_count(struct partition *p, const struct digests_ref *r, struct digests_count *ret);
/* Reads the partition's keys from Kafka, up to what is committed now: memory holds no ids. The caller frees.
 * -1 RETRY. */
int partition_walk(struct partition *p, struct state_walk **ret, struct err *e);

/* Hands over a chunk and waits for its outcome (in `c`, and returned). On COMMITTED the state in memory has
 * its writes. */
enum chunk_outcome partition_commit(struct partition *p, struct chunk *c);

struct partition_stats {
    uint64_t n_commits, n_failed, n_chunks, n_opens, n_fenced, n_replaced;
    struct histogram took; /* of those committed, from begin to the end of commit */
};
void partition_get_stats(struct partition *p, struct partition_stats *ret);

#endif
