/* Reads a state partition from its start to its end (read_committed). The end is true only after every writer
 * has been shut out by init_transactions: then no transaction is open and PARTITION_EOF is the last word.
 * Blocks; any thread. */
#ifndef AB_KAFKA_STATE_READER_H
#define AB_KAFKA_STATE_READER_H

#include <stdatomic.h>

#include "config.h"
#include "err.h"
#include "partition_state.h"

/* Fills `ret` (empty before). Ends with RETRY when `keep_going` turns false or nothing comes for
 * `timeout_ms`; `ret` is empty then. */
int state_read(const struct config *config, int partition, const atomic_bool *keep_going, int timeout_ms,
               struct partition_state *ret, struct err *e);

/* The same, a key at a time: for whoever needs what memory doesn't hold. One thread at a time. */
struct state_walk;
/* It ends at what the partition's end is now; the owner may write on meanwhile. -1 RETRY. */
int state_walk_new(const struct config *config, int partition, const atomic_bool *keep_going, int timeout_ms,
                   struct state_walk **ret, struct err *e);
/* The next key, in the order of writing: one key may come several times, with each of its values (p == NULL:
 * it was removed) or the last of them only. Slices are valid until the next call. 1; 0 at the end; -1 as
 * state_read. */
int state_walk_next(struct state_walk *w, struct slice *ret_key, struct slice *ret_value, struct err *e);
/* Takes NULL. */
void state_walk_free(struct state_walk *w);

#endif
