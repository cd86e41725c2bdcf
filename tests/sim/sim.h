/* The simulator's parts, and what a request and its answer are among them. One thread serves HTTP, one ticks;
 * `lock` guards everything here but `options` and `kafka`, which don't change. */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include <pthread.h>
#include <stdatomic.h>

#include "arrivals.h"
#include "faults.h"
#include "kafka_mock.h"
#include "options.h"
#include "stats.h"
#include "store.h"

enum { MAX_BODY_BYTES = 64 << 20, MAX_ANSWER_BYTES = 1 << 30, MAX_CANNED_BYTES = 1 << 30 };

/* Bytes of an answer that more than one connection may be sending. page_drop may come from any thread. */
struct page {
    atomic_int refs;
    struct buf bytes;
};
struct page *page_new(struct buf *takes);
void page_drop(void *page);

struct canned;
struct canned *canned_new(void);
void canned_free(struct canned *c);
/* The page of this key made at this version, with a reference for the caller; NULL when there is none. */
struct page *canned_find(struct canned *c, const char *key, uint64_t version);
void canned_put(struct canned *c, const char *key, uint64_t version, struct page *p);

struct sim {
    struct options options;
    struct kafka_mock *kafka; /* NULL: none was asked for */
    pthread_mutex_t lock;
    struct store store;
    struct faults faults;
    struct stats stats;
    struct arrivals arrivals;
    struct canned *canned; /* NULL: pages are made anew each time */
    double changes_per_s, adds_per_s;
};

enum role { ROLE_NONE, ROLE_OWNER, ROLE_ANNOTATOR };

struct request {
    const char *method;
    char *path;                               /* decoded */
    char *workspace, *limit, *from, *discard; /* of the query; NULL: not there */
    enum role role;
    struct buf body;
};

/* Begins as {.status = 200} with an empty body. */
struct answer {
    unsigned status;
    struct buf body;
    struct page *page; /* instead of body */
};

/* {"detail":{"code":"argilla.api.errors::CLASS","params":PARAMS}} */
void answer_error(struct answer *a, unsigned status, const char *class, const char *params);
void answer_message(struct answer *a, unsigned status, const char *class, const char *message);
/* 422 for one mistake; `loc` is JSON, `more` is text behind the type ("" or ",\"ctx\":{...}"). */
void answer_invalid(struct answer *a, const char *loc, const char *msg, const char *type, const char *more);
/* 500 as the server words an exception of its own. */
void answer_exception(struct answer *a, const char *type, const char *message);
void answer_no_dataset(struct answer *a, const char *name);
void answer_detail(struct answer *a, unsigned status, const char *text);
char *json_text(const char *s);

/* `body` is checked JSON or empty; 0, or -1 with the 422 in `a`. */
int check_body(const struct request *r, struct answer *a);
/* A member's decoded text; NULL when it isn't a string. The caller frees. */
char *get_text(struct slice object, const char *name);

/* Fills the answer of a request to Argilla or to /_sim. The lock is held. */
void route(struct sim *sim, struct request *r, struct answer *a);
void control_route(struct sim *sim, struct request *r, struct answer *a);

/* ---- the parts of the API ---- */
void api_list(struct sim *sim, struct answer *a);
void api_create(struct sim *sim, const struct request *r, struct answer *a);
void api_describe(const struct dataset *ds, struct answer *a);
void api_search(struct dataset *ds, const struct request *r, struct answer *a);
void api_scan(struct sim *sim, struct dataset *ds, const struct request *r, struct answer *a);
void api_bulk(struct dataset *ds, const struct request *r, struct answer *a);
void api_get_record(const struct dataset *ds, const char *id, struct answer *a);
void api_patch_record(struct dataset *ds, const struct request *r, const char *id, struct answer *a);
void api_delete_data(struct dataset *ds, const struct request *r, struct answer *a);
void api_metrics_list(struct answer *a);
void api_metric(struct dataset *ds, const struct request *r, const char *metric, struct answer *a);

/* Is it one of these ids? 7 and "7" are the same. */
bool doc_is_named(struct slice ids, const struct doc *d);
/* The list `ids` of a body's query; empty when there is none: then all. With ids nothing else of a query
 * counts. */
struct slice body_ids(const struct request *r);

/* The query of a body: of its member "query", or (`bare`) the body itself. NULL with the server's error in
 * `a`, whose status depends on who asks. `ret_text` ("" for none) is the caller's to free. */
struct query *body_query(const struct request *r, bool bare, bool is_search, char **ret_text,
                         struct answer *a);

#endif
