/* deliver = changes, the worker's part: each version of a record once. Which versions are known is in the
 * partition's digests; a page's are looked up before it is published, and become known by the very
 * transaction that publishes them.
 *
 * A reconcile scans all matches. What is tracked and was not seen at its end is missing: each such record is
 * asked for by a direct read, and only a definite answer makes a tombstone. An index that is being rebuilt, a
 * dataset that was made anew or a server that refuses must not delete the world: then the reconcile holds,
 * and says so.
 *
 * kill -9 anywhere: a version's message and its digest are one transaction, so it is neither lost nor sent
 * twice; a record's tombstone and its digest's too. The mark (what needs no more looking at) moves in the
 * transaction that ends the run, or later: a scan that is repeated finds digests and sends nothing. What a
 * reconcile has seen lives in memory only: one that is taken up again from its cursor can't know what is
 * missing, so it removes nothing and stays due. Used by run.c on a worker. */
#ifndef AB_FLOW_CHANGES_H
#define AB_FLOW_CHANGES_H

#include "publish.h"

struct changes;

enum changes_rc {
    CHANGES_FAILED = -1, /* with the error */
    CHANGES_NONE,
    CHANGES_SOME,
    CHANGES_STALE /* the state has been read anew */
};

/* For a run whose plan isn't PLAN_MATCHES; `r` outlives it. -1 with `e`. */
int changes_new(const struct publish_run *r, struct changes **ret, struct err *e);
/* Takes NULL. */
void changes_free(struct changes *c);

/* What of the page is new: `ret->n_changed`. NONE, SOME or STALE; `ret` is the caller's to release then. */
enum changes_rc changes_filter(struct changes *c, const struct scan_page *page, struct page_filter *ret);

/* All has been scanned: SOME when there may be records to remove. */
enum changes_rc changes_look_back(struct changes *c);
/* The next records that are gone, each confirmed: SOME, with as many as a short while has shown (perhaps none
 * yet), valid until the next call; NONE at the end. None come when the reconcile holds. Digests of earlier
 * generations are dropped on the way. */
enum changes_rc changes_next_gone(struct changes *c, const struct gone_record **ret, size_t *ret_n,
                                  struct err *e);

/* What the mark will be when the run ends now; belongs to `c`. */
const struct changes_mark *changes_end_mark(struct changes *c);
/* The same when the run ends as failed: of a first run only that its records are of this dataset, so that one
 * that is made anew under its name is told. NULL: the mark stays as it is. */
const struct changes_mark *changes_failed_mark(struct changes *c);
/* The run has ended, its mark in its last transaction. */
void changes_done(struct changes *c);
/* Nothing was published: no message, and at most the mark is written, seldom. FAILED, STALE or NONE. */
enum changes_rc changes_done_silently(struct changes *c, int64_t n_unchanged, struct err *e);

#endif
