/* Holds what a subscriber has read to what the bridge promises: per listener runs without a gap, per run each
 * batch and each record once, as many as its run message says. It counts; it reads nothing and shows nothing.
 *
 * Messages may come in any order (batches and run messages are in different topics). A run that has all it
 * should have is settled and forgotten but for its number, so that the memory is that of the runs under way.
 * Pure; one thread. */
#ifndef DEMO_TALLY_H
#define DEMO_TALLY_H

#include <stdint.h>

#include "err.h"
#include "mem.h"

enum message_kind { MESSAGE_BATCH, MESSAGE_RECORD, MESSAGE_RUN };

/* One message as it was read; the bytes are the caller's. */
struct message {
    enum message_kind kind;
    struct slice listener, ce_id, time, key;
    int64_t run;
    struct slice value; /* checked JSON */
};

struct tally_sum {
    int64_t n_fired;  /* run messages of completed runs */
    int64_t n_failed; /* run messages that tell of a failure */
    int64_t n_batches, n_records;
    int64_t n_duplicates; /* records (or messages without any) that were there before */
    int64_t n_missing;    /* runs, batches and records that must be there and aren't */
    int64_t n_open;       /* runs whose run message is still to come, at most one a listener: no fault */
};

struct tally;
struct tally *tally_new(void);
/* Takes NULL. */
void tally_free(struct tally *t);

/* Counts a message. -1 BAD_INPUT, with nothing counted, when it lacks what it must have. */
int tally_add(struct tally *t, const struct message *m, struct err *e);

/* What all of it comes to by now. */
void tally_get(const struct tally *t, struct tally_sum *ret);

#endif
