/* A message in a line or two, for people: what it is, its key, run, query_params, counts, a shortened record
 * and the metrics. Writes to stdout. One thread. */
#ifndef DEMO_SHOW_H
#define DEMO_SHOW_H

#include "tally.h"

/* Of a run published as records, the first few are shown; its run message tells how many there were. */
struct show {
    char *listener; /* of the run whose records were last shown, */
    int64_t run, n_shown;
};
void show_message(struct show *s, const struct message *m);
void show_release(struct show *s);

/* The summary: one line. `first` and `last` are values of batch_id, NULL for none. */
void show_sum(const struct tally_sum *sum, const char *first, const char *last);

#endif
