/* Argilla, whichever generation: what listeners ask of it, behind one small interface. Each generation is one
 * dialect file. Calls are asynchronous (the prober must never wait) and answer on the http engine's thread;
 * argilla_wait turns one into a blocking call for workers and commands. */
#ifndef AB_ARGILLA_ARGILLA_H
#define AB_ARGILLA_ARGILLA_H

#include <pthread.h>

#include "http.h"

/* A dataset as the server knows it; found once, then cached by the caller. `task` is 1.x's
 * ("TextClassification"). */
struct dataset_ref {
    char *workspace, *name, *task;
    char *identity; /* resolve: another one when a dataset of the same name was made anew */
};
void dataset_ref_release(struct dataset_ref *d);

/* One page of a scan: `records` are slices of `body`. The page owns both. */
struct scan_page {
    char *body;
    size_t body_len;
    struct scan_record {
        struct slice json; /* the record, byte for byte */
        struct slice id;   /* its id's JSON token: "a", or 7 */
    } * records;
    size_t n_records; /* 0: the scan has ended */
    char *cursor;     /* opaque, for the following page (valid JSON text); NULL when n_records is 0 */
    int64_t date_ms;  /* the server's clock */
};
void scan_page_free(struct scan_page *p);

/* The one answer of any call; only the field of that call is set, and belongs to the receiver. On failure
 * `err.class` is not ERR_NONE and nothing else is set. */
struct argilla_answer {
    struct err err;
    struct dataset_ref dataset; /* resolve */
    int64_t total;              /* count: exact */
    bool is_there;              /* exists */
    char *metric_json;          /* metric: the summary, checked JSON */
    struct scan_page *page;     /* scan */
    int64_t date_ms;
};
typedef void argilla_done_fn(void *arg, struct argilla_answer *answer);

struct argilla;
/* `config` outlives it. `h` may be freed before it, which answers every call; nobody calls afterwards. */
struct argilla *argilla_new(const struct argilla_config *config, struct http_engine *h);
/* Takes NULL. No call may be under way. */
void argilla_free(struct argilla *a);

/* Each returns the http request's id for http_cancel. Strings are copied. All calls of one dataset share a
 * gate. Errors that a dialect knows better than the bare status: a query that the server can't parse (1.x:
 * 400 InvalidTextSearchError on search; 500 with "RequestError(400" on scan and metrics) is BAD_INPUT; a
 * dataset or a metric that isn't there is BAD_INPUT with http_status 404; an answer that isn't the JSON it
 * should be is RETRY with http_status 200 (a proxy's page). */
uint64_t argilla_resolve(struct argilla *a, const char *workspace, const char *dataset, argilla_done_fn *done,
                         void *arg);
/* `query` NULL: all records. */
uint64_t argilla_count(struct argilla *a, const struct dataset_ref *d, const char *query,
                       argilla_done_fn *done, void *arg);
uint64_t argilla_metric(struct argilla *a, const struct dataset_ref *d, const char *query, const char *metric,
                        argilla_done_fn *done, void *arg);
/* All matches in the order of id, `limit` a page (1..1000). `cursor`: a page's, or one made by
 * argilla_cursor_after, or NULL for the start. A page over max_page_bytes is BAD_INPUT with http_status 200:
 * the caller may ask for fewer. */
uint64_t argilla_scan(struct argilla *a, const struct dataset_ref *d, const char *query, const char *cursor,
                      int limit, argilla_done_fn *done, void *arg);

/* Is there a record with this id (its text), whatever the query? Asked for by a direct read: what a scan
 * doesn't find may be an index's mood. Only a definite no of the dataset, which is there, gives is_there =
 * false. */
uint64_t argilla_exists(struct argilla *a, const struct dataset_ref *d, struct slice id,
                        argilla_done_fn *done, void *arg);
/* Those matches of `query` that the server wrote between two moments of its clock, in its query language, for
 * count and scan. `to_ms` < 0: until now. The caller frees. */
char *argilla_query_since(struct argilla *a, const char *query, int64_t from_ms, int64_t to_ms);

/* The cursor that continues right after the record with this id token, whether or not that still exists (1.x:
 * ids sort as text). The caller frees. */
char *argilla_cursor_after(struct argilla *a, struct slice id_token);

/* Blocking calls: `struct argilla_wait w; argilla_wait_init(&w); argilla_count(a, ..., argilla_wait_done,
 * &w); argilla_wait(&w, &answer)`. Waits until the answer is there (the request's own time-out bounds it).
 * Not on the engine's thread. */
struct argilla_wait {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
    struct argilla_answer answer;
};
void argilla_wait_init(struct argilla_wait *w);
void argilla_wait_done(void *wait, struct argilla_answer *answer);
/* Waits for at most so long; is it there? */
bool argilla_wait_for(struct argilla_wait *w, int64_t ms);
/* Moves the answer to `ret` and releases `w`. */
void argilla_wait(struct argilla_wait *w, struct argilla_answer *ret);

#endif
