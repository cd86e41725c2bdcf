/* What goes wrong with a request, as a class and a text: `POST /api/...: HTTP 503: detail`. Texts are one
 * printable line and never hold the API key, whatever a server sends back. Pure; any thread. */
#ifndef AB_ARGILLA_HTTP_ERROR_H
#define AB_ARGILLA_HTTP_ERROR_H

#include "err.h"
#include "mem.h"

struct http_request;

/* Of an error body so much is kept: enough for what Argilla says, which is JSON and can only be read whole.
 */
enum { HTTP_ERROR_BODY_MAX = 64 * 1024 };

/* A status that is not 2xx. `body` is what came with it, `redirect` its Location or NULL, `secret` the key or
 * NULL. retry_after_ms is the caller's to set. */
void http_error_status(struct err *ret, const struct http_request *r, int status, struct slice body,
                       const char *redirect, const char *secret);

/* No whole answer: why, in the words of `fmt`. Class RETRY. */
void http_error_transfer(struct err *ret, const struct http_request *r, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The answer is over the request's limit. */
void http_error_too_large(struct err *ret, const struct http_request *r, int status);

/* Retry-After, seconds or a date, counted from `now_ms` (the server's clock where it told it); at most an
 * hour; 0 when it says nothing that can be read. */
int64_t http_retry_after_ms(const char *value, int64_t now_ms);

#endif
