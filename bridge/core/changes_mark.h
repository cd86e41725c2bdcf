/* How far a listener of deliver = changes has come, and what its next scan is. Durable under `changes/NAME`
 * in the state partition, the plan of a run in progress beside its ctx. Times are wall ms: of the server's
 * clock where records are asked for by them, of ours where only intervals matter. Pure; any thread. */
#ifndef AB_CORE_CHANGES_MARK_H
#define AB_CORE_CHANGES_MARK_H

#include "buf.h"
#include "err.h"

struct changes_mark {
    bool is_set; /* false: nothing has been completed yet */
    int64_t generation;
    char *query;           /* the formatted query that the digests follow; NULL: all records */
    char *dataset;         /* its identity, by which one that was made anew is told */
    int64_t at_ms;         /* the server's clock at the beginning of the last completed poll */
    int64_t reconciled_ms; /* ours, at the beginning of the last whole reconcile; 0: none */
};
/* An empty slice: is_set stays false. -1 FATAL: the value is not ours. */
int changes_mark_read(struct slice value, struct changes_mark *ret, struct err *e);
void changes_mark_write(const struct changes_mark *m, struct buf *ret);
struct changes_mark changes_mark_copy(const struct changes_mark *m);
void changes_mark_release(struct changes_mark *m);

enum plan_kind {
    PLAN_MATCHES,   /* not deliver = changes: all matches */
    PLAN_CHANGES,   /* what was written since the mark */
    PLAN_RECONCILE, /* all matches, held against the digests: finds what no mark shows */
    PLAN_MARK       /* nothing to scan: only the mark is made durable */
};
/* What a run scans; frozen when it begins. */
struct scan_plan {
    enum plan_kind kind;
    char *query;   /* what the scan asks for; NULL: all records */
    char *dataset; /* reconcile: its identity at the beginning */
    int64_t at_ms; /* what the mark will be */
};
void scan_plan_release(struct scan_plan *p);
void scan_plan_write(const struct scan_plan *p, struct buf *ret);
/* -1: not one of ours. */
int scan_plan_read(struct slice value, struct scan_plan *ret);

/* Changes or reconcile? Reconcile: at first, after a reset, when the query has become another, and every
 * `interval_ms`. `ret_why`: a word for the log. */
enum plan_kind changes_next(const struct changes_mark *m, int64_t generation, const char *query,
                            int64_t interval_ms, int64_t now_ms, const char **ret_why);

/* The mark once `plan` is done. `is_whole`: a reconcile that looked at everything, begun at `started_ms`. The
 * caller releases. */
struct changes_mark changes_mark_after(const struct changes_mark *before, const struct scan_plan *plan,
                                       int64_t generation, const char *query, bool is_whole,
                                       int64_t started_ms);

#endif
