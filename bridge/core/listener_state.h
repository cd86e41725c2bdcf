/* What is durable about a listener, as it stands in the state partition: JSON values under these keys.
 *
 * - listener/NAME: generation, number of the last run, query_params, the ctx of the last run that completed.
 * - ctx/NAME: of the run in progress, its frozen ctx and the query_params that follow it; written once a run.
 * - run/NAME: of the run in progress, cursor and counts; written with each chunk.
 * - changes/NAME: how far deliver = changes has come (changes_mark.h).
 * - digest/NAME/GENERATION/ID: which version of a record was published (kafka/partition_state.h).
 *
 * A run that fits into one chunk writes neither ctx nor run. Pure; any thread. */
#ifndef AB_CORE_LISTENER_STATE_H
#define AB_CORE_LISTENER_STATE_H

#include "buf.h"
#include "changes_mark.h"
#include "config.h"
#include "err.h"

struct listener_state {
    int64_t generation;  /* raised by `reset` */
    int64_t run;         /* the last run's number; 0 before the first */
    char *config_params; /* JSON: query_params of the config file that this state began with */
    char *query_params;  /* JSON: what the next run uses */
    char *previous;      /* JSON: ctx of the last completed run, or NULL */
};

struct frozen_run {
    char *ctx;         /* JSON, without `previous` */
    char *next_params; /* JSON */
    struct scan_plan plan;
};

enum { OVERSIZE_IDS_MAX = 100, CTX_MAX = 256 << 10, STATE_JSON_MAX = 1 << 20 };
struct run_progress {
    int64_t run, started_ms;
    int64_t n_matched, n_published, n_oversize,
        n_batches;                /* n_matched = n_published + n_unchanged + n_oversize */
    int64_t n_unchanged;          /* deliver = changes: versions that were published before */
    int64_t n_deleted, n_removed; /* and tombstones: of records that are gone, that no longer match */
    char *cursor;                 /* what follows the last committed record; NULL before the first */
    char *oversize_ids; /* JSON tokens with commas between, the first OVERSIZE_IDS_MAX; NULL when none */
};

char *listener_state_key(const char *kind, const char *listener);

/* JSON object of the start values. The caller frees. */
char *query_params_json(const struct listener_config *l);

/* A listener's state from its value; an empty slice gives a new one for `l`. When the file's query_params
 * differ from those that the state began with, the file wins and `ret_file_won` is set. -1 FATAL: the value
 * is not ours. */
int listener_state_read(struct slice value, const struct listener_config *l, struct listener_state *ret,
                        bool *ret_file_won, struct err *e);
void listener_state_write(const struct listener_state *s, struct buf *ret);
void listener_state_release(struct listener_state *s);

int frozen_run_read(struct slice value, struct frozen_run *ret, struct err *e);
void frozen_run_write(const struct frozen_run *f, struct buf *ret);
void frozen_run_release(struct frozen_run *f);

int run_progress_read(struct slice value, struct run_progress *ret, struct err *e);
void run_progress_write(const struct run_progress *p, struct buf *ret);
void run_progress_release(struct run_progress *p);

/* A ctx object: `total` < 0 gives "search": null. `metrics` is a JSON object. Without `previous`. */
void ctx_write(const struct listener_config *l, int64_t run, const char *formatted_query, int64_t total,
               const char *metrics, const char *query_params, struct buf *ret);
/* The ctx that expressions see: `ctx` with "previous" (null when NULL) put in. */
void ctx_with_previous(const char *ctx, const char *previous, struct buf *ret);

#endif
