/* A read_committed subscriber of some topics from their start, without a group: it reads and commits nothing.
 * Owns its librdkafka handle; one thread. */
#ifndef DEMO_READER_H
#define DEMO_READER_H

#include "tally.h"

struct reader;

/* Waits until the brokers have told the topics' partitions, 5 s at most. `topics`: NAME,NAME. */
int reader_new(const char *brokers, const char *topics, struct reader **ret, struct err *e);
/* Takes NULL. */
void reader_free(struct reader *r);

/* Waits for a message, `timeout_ms` at most. 1: `ret` is one of the bridge's, valid until the next call. 0:
 * none, or another's (counted). -1: FATAL. */
int reader_next(struct reader *r, int timeout_ms, struct message *ret, struct err *e);
int64_t reader_n_foreign(const struct reader *r);

/* Asks for the partitions' ends as they are now: reader_is_at_end compares with those. */
int reader_mark_end(struct reader *r, struct err *e);
bool reader_is_at_end(const struct reader *r);

#endif
