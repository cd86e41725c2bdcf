/* Reads a state partition from its start to its end (read_committed). The end is true only after every writer
 * has been shut out by init_transactions: then no transaction is open and PARTITION_EOF is the last word.
 * Blocks; any thread. */
#ifndef AB_KAFKA_STATE_READER_H
#define AB_KAFKA_STATE_READER_H

#include <stdatomic.h>

#include "config.h"
#include "err.h"
#include "state_map.h"

/* Fills `ret` (empty before). Ends with RETRY when `keep_going` turns false or nothing comes for
 * `timeout_ms`; `ret` is empty then. */
int state_read(const struct config *config, int partition, const atomic_bool *keep_going, int timeout_ms,
               struct state_map *ret, struct err *e);

#endif
