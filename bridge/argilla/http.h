/* HTTP to one Argilla server: every request of the process goes through one engine on curl's multi interface,
 * so that a thousand idle listeners cost one thread, and the rules that protect the server stand in one
 * place:
 *  - one request in flight per gate (the dataset): 1.x answers one at a time anyway; others wait in order;
 *  - at most `max_connections` at once, of which one without progress for 2 s no longer counts (hard cap 64):
 * what hangs delays nobody else;
 *  - idle connections are not reused after 4 s (both generations close them after 5 s).
 *
 * Threads: the engine's owner (the prober) calls http_engine_poll, and callbacks run there. Any thread may
 * submit, cancel and perform. */
#ifndef AB_ARGILLA_HTTP_H
#define AB_ARGILLA_HTTP_H

#include "buf.h"
#include "config.h"
#include "err.h"

struct http_engine;

struct http_response {
    int status;
    int64_t date_ms; /* the server's Date header as wall ms, 0 without one */
    struct buf body; /* the receiver may take its memory */
};

/* Called once per request, on the engine's thread, never under its lock: `resp` is valid during the call,
 * with e == NULL for 2xx; otherwise `e` says what happened (classes below) and `resp` holds what came (maybe
 * empty). */
typedef void http_done_fn(void *arg, struct http_response *resp, const struct err *e);

struct http_request {
    const char *method; /* literal: "GET", "POST", ... */
    char *path;         /* from "/api", query string included, encoded; taken */
    char *gate;         /* requests of one gate go one at a time, in order; NULL: none; taken */
    char *body;         /* JSON or NULL; taken */
    size_t body_len;
    int timeout_ms; /* for the whole request once it is sent */
    size_t max_body_bytes;
    http_done_fn *done;
    void *arg;
};

/* Error classes: no connection, time-out, cut off, 5xx, 408, 425, 429 -> RETRY (with retry_after_ms); 401,
 * 403 -> AUTH; other statuses -> BAD_INPUT; body over the limit -> BAD_INPUT with http_status 200 and
 * class-specific text; TLS verification failures -> RETRY too, saying so. The dialect may reclass by reading
 * the body. Texts are `POST path: HTTP 503` and never hold the key. */
int http_engine_new(const struct argilla_config *config, struct http_engine **ret, struct err *e);
/* Requests under way end with RETRY "stopping" on the calling thread; nobody may be in http_perform any more.
 */
void http_engine_free(struct http_engine *h);

/* Moves transfers on, waiting up to `timeout_ms` for something to happen; http_engine_wake ends the wait
 * early. */
void http_engine_poll(struct http_engine *h, int timeout_ms);
void http_engine_wake(struct http_engine *h);

/* Queues the request (the struct is copied, its taken strings belong to the engine). Returns its id (> 0). */
uint64_t http_submit(struct http_engine *h, const struct http_request *r);
/* Ends it soon with RETRY "cancelled" through `done`; unknown ids are ignored (it has just ended). */
void http_cancel(struct http_engine *h, uint64_t id);

/* Numbers for metrics and tests. */
struct http_stats {
    uint64_t n_requests, n_failed, n_bytes;
    int n_active, n_queued;
};
void http_engine_stats(struct http_engine *h, struct http_stats *ret);

#endif
