/* The values of the messages that subscribers get (schemas/), and how records are cut into batches. Pure; any
 * thread. */
#ifndef AB_CORE_ENVELOPE_H
#define AB_CORE_ENVELOPE_H

#include "listener_state.h"

/* The part of a batch's value that all batches of a run share: `{"listener":...,"metrics":{...}` without its
 * end, from the run's frozen ctx (checked JSON). */
void envelope_begin(struct slice ctx, struct buf *ret);

/* How many of the records go into the next batch: as many as fit into both limits, at least one; records are
 * JSON texts. `ret_bytes`: of those records with the commas between. The first record must fit by itself (see
 * envelope_fits). */
size_t envelope_cut(const struct slice *records, size_t n, size_t max_records, size_t max_bytes,
                    size_t *ret_bytes);

/* The rest of a batch's value behind envelope_begin: `,"batch":{"index":0,"last":false},"records":[...]}`. */
void envelope_end(const struct slice *records, size_t n, int64_t index, bool is_last, struct buf *ret);
enum { ENVELOPE_END_MAX = 96 }; /* bytes that envelope_end adds besides the records, at most */

struct run_report {
    const struct run_progress *progress;
    const char *next_params; /* JSON; NULL: they stay as they are */
    int64_t ended_ms;
    const char *error; /* NULL: completed */
};
/* The value of the run message: the ctx with counts, times and status. */
void envelope_run(struct slice ctx, const struct run_report *r, struct buf *ret);

#endif
