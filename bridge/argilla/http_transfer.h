/* One request on its way: a curl easy handle between start and end, and what came back. Internal to the http
 * engine, on its owner's thread only; no locks. */
#ifndef AB_ARGILLA_HTTP_TRANSFER_H
#define AB_ARGILLA_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "http.h"
#include "http_queue.h"

struct transfer {
    struct http_ticket ticket;     /* the engine's: first, so that a ticket is its transfer */
    struct transfer *next, **from; /* the engine's list */
    uint64_t id;
    struct http_request r;
    struct http_response response;
    CURL *easy; /* while it is on its way */
    int64_t started_ms, progress_ms;
    curl_off_t n_uploaded; /* when that was last looked at */
    char *retry_after, *redirect;
    bool is_body_cut, is_resent;
    char curl_text[CURL_ERROR_SIZE];
};

/* Takes the strings of `r`. */
struct transfer *transfer_new(uint64_t id, const struct http_request *r);
void transfer_free(struct transfer *t);

/* A handle with all that is the same for each request. NULL without memory. `headers` outlives it. */
CURL *transfer_handle(const struct argilla_config *config, struct curl_slist *headers);

/* Sets `easy` up for this request; the caller adds it to a multi handle. */
void transfer_prepare(struct transfer *t, CURL *easy, const char *base_url);

/* Bytes have gone either way since `since_ms`? */
bool transfer_has_progress(struct transfer *t, int64_t since_ms);

/* It ended with `rc` on a kept connection that the server was just closing: no error, send it once more. */
bool transfer_was_stale(const struct transfer *t, CURLcode rc);

/* Takes the status; 0 for 2xx, or -1 with what went wrong. `secret` is kept out of the text. */
int transfer_judge(struct transfer *t, CURLcode rc, const char *secret, struct err *e);

#endif
