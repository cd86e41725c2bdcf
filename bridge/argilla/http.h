/* HTTP to one Argilla server: every request of the process goes through one engine on curl's multi interface,
 * so that a thousand idle listeners cost one thread, and the rules that protect the server stand in one
 * place:
 *  - one request in flight per gate (the dataset): 1.x answers one at a time anyway; others wait in order;
 *  - at most `max_connections` at once, of which one without progress for 2 s no longer counts (hard cap 64):
 * what hangs delays nobody else;
 *  - a connection that was idle for 4 s is not used again (both generations close it after 5 s), and a
 * request on a kept connection that ends before any answer is sent once more on a new one: Argilla 1.x also
 * closes after each 500. So a request can reach the server twice; all that is sent here may.
 *
 * HTTP/1.1 over http or https with the certificate verified; no redirects, no compression; curl's proxy
 * variables (http_proxy, https_proxy, no_proxy) hold.
 *
 * Threads: the engine's owner (the prober) makes it, polls it and frees it, and callbacks run there. Any
 * thread may submit, cancel and wake. */
#ifndef AB_ARGILLA_HTTP_H
#define AB_ARGILLA_HTTP_H

#include "buf.h"
#include "config.h"
#include "err.h"
#include "histogram.h"

struct http_engine;

struct http_response {
    int status;
    int64_t date_ms; /* the server's Date header as wall ms, 0 without one */
    struct buf body; /* the receiver may take its memory */
};

/* Called once per request, on the owner's thread, never under the engine's lock: `resp` is valid during the
 * call, with e == NULL for 2xx; otherwise `e` says what happened (classes below) and `resp` holds what came
 * (maybe nothing; at most 64 KiB of an error's body). It may submit and cancel, not poll. */
typedef void http_done_fn(void *arg, struct http_response *resp, const struct err *e);

struct http_request {
    const char *method;    /* literal: "GET", "POST", ... */
    const char *operation; /* literal: what it is counted as ("scan"); NULL: "other" */
    char *path;            /* from "/api", query string included, encoded; taken */
    char *gate;            /* requests of one gate go one at a time, in order; NULL: none; taken */
    char *body;            /* JSON or NULL; taken */
    size_t body_len;
    int timeout_ms; /* for the whole request once it goes out (10 s of it at most for connecting) */
    size_t max_body_bytes;
    http_done_fn *done;
    void *arg;
};

/* Error classes: no connection, time-out, cut off, TLS, not HTTP, 5xx, 408, 425, 429 -> RETRY (with
 * retry_after_ms, an hour at most); 401, 403 -> AUTH; other statuses, redirects too -> BAD_INPUT; body over
 * the limit -> BAD_INPUT with the status, 200. http_status is 0 when no answer came. The dialect may reclass
 * by reading the body. Texts are `POST path: HTTP 503: up to 200 bytes of what the server says`, one
 * printable line, and never hold the key, even if the server sends it back. */

/* `config` outlives it. -1: ERR_CONFIG (url, a key that can't be a header) or ERR_FATAL. */
int http_engine_new(const struct argilla_config *config, struct http_engine **ret, struct err *e);
/* Takes NULL. All requests end with RETRY "stopping" on the calling thread, those too that a receiver submits
 * meanwhile. No other thread may be in a function of this header, or come later. */
void http_engine_free(struct http_engine *h);

/* Moves transfers on; waits up to `timeout_ms` for something to happen unless something already has.
 * Submitting, cancelling and http_engine_wake end the wait; a wake before it makes it none. */
void http_engine_poll(struct http_engine *h, int timeout_ms);
void http_engine_wake(struct http_engine *h);

/* Queues the request (the struct is copied, its taken strings belong to the engine). Returns its id (> 0). */
uint64_t http_submit(struct http_engine *h, const struct http_request *r);
/* Ends it soon with RETRY "cancelled" through `done`; 0 and unknown ids are ignored (it has just ended). */
void http_cancel(struct http_engine *h, uint64_t id);

/* Numbers for metrics and tests: what has ended, of that with an error, the bytes of all bodies; what is on
 * its way, what waits; the same by operation, and from going out to the end how long it took. */
struct http_operation_stats {
    const char *name; /* NULL: no more */
    uint64_t n_requests, n_failed, n_bytes;
    struct histogram took;
};
enum { HTTP_OPERATIONS_MAX = 12 }; /* further ones are counted as the last */
struct http_stats {
    uint64_t n_requests, n_failed, n_bytes;
    int n_active, n_queued;
    struct http_operation_stats operations[HTTP_OPERATIONS_MAX];
};
void http_engine_stats(struct http_engine *h, struct http_stats *ret);

#endif
