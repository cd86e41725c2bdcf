#include "http_transfer.h"

#include <errno.h>
#include <strings.h>

#include "clock.h"
#include "http_error.h"

enum {
    CONNECT_MS = 10000,
    /* Both generations close idle connections after 5 s. curl compares whole seconds and takes "more than 3":
     * one that was idle for 4 s is not used again. */
    MAX_IDLE_S = 3,
    RECEIVE_BYTES = 64 * 1024 /* a page is half a megabyte: fewer reads */
};

struct transfer *transfer_new(uint64_t id, const struct http_request *r)
{
    struct transfer *t = xcalloc(1, sizeof *t);
    t->id = id;
    t->r = *r;
    return t;
}

void transfer_free(struct transfer *t)
{
    if (!t)
        return;
    buf_release(&t->response.body);
    free(t->retry_after);
    free(t->redirect);
    free(t->r.path);
    free(t->r.gate);
    free(t->r.body);
    free(t);
}

static int status_of(const struct transfer *t)
{
    long status = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static bool is_ok(int status)
{
    return status >= 200 && status <= 299;
}

/* What an error's body says is only read up to a limit of ours: it never makes the status unknown. */
static size_t body_limit(const struct transfer *t)
{
    return is_ok(status_of(t)) ? t->r.max_body_bytes : HTTP_ERROR_BODY_MAX;
}

/* The value of `name` when the line is that header, as a string of its own; else NULL. */
static char *header_value(const char *line, size_t len, const char *name)
{
    size_t n = strlen(name);
    if (len <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
        return NULL;
    line += n + 1;
    len -= n + 1;
    while (len && strchr(" \t\r\n", line[len - 1]))
        len--;
    while (len && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    return xstrndup(line, len);
}

static void keep_header(char **at, char *value)
{
    if (!value)
        return;
    free(*at);
    *at = value;
}

/* The blank line: all that is known before the body. -1 when it would be over the limit. */
static int headers_ended(struct transfer *t)
{
    curl_off_t length = -1;
    (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    t->response.body.limit = body_limit(t);
    if (length <= 0 || !is_ok(status_of(t)))
        return 0;
    return buf_reserve(&t->response.body, (size_t)length);
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    size_t len = size * n;
    t->progress_ms = clock_mono_ms();
    if (len > 5 && memcmp(line, "HTTP/", 5) == 0) { /* the last of several holds: 100, then 200 */
        free(TAKE_PTR(t->retry_after));
        free(TAKE_PTR(t->redirect));
        t->response.date_ms = 0;
        return len;
    }
    if (len <= 2 && (len == 0 || line[0] == '\r' || line[0] == '\n')) {
        t->is_body_cut = headers_ended(t) != 0;
        return t->is_body_cut ? 0 : len;
    }
    cleanup_free char *date = header_value(line, len, "Date");
    if (date) {
        time_t at = curl_getdate(date, NULL);
        t->response.date_ms = at > 0 ? (int64_t)at * 1000 : 0;
        return len;
    }
    keep_header(&t->retry_after, header_value(line, len, "Retry-After"));
    keep_header(&t->redirect, header_value(line, len, "Location"));
    return len;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    struct buf *body = &t->response.body;
    size_t len = size * n;
    t->progress_ms = clock_mono_ms();
    body->limit = body_limit(t);
    if (len <= body->limit - body->len) {
        buf_add(body, data, len);
        return len;
    }
    buf_add(body, data, body->limit - body->len);
    t->is_body_cut = true;
    return 0; /* ends the transfer */
}

CURL *transfer_handle(const struct argilla_config *config, struct curl_slist *headers)
{
    CURL *c = curl_easy_init();
    if (!c)
        return NULL;
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "argilla-bridge/" AB_VERSION);
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(c, CURLOPT_MAXAGE_CONN, (long)MAX_IDLE_S);
    (void)curl_easy_setopt(c, CURLOPT_BUFFERSIZE, (long)RECEIVE_BYTES);
    (void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    (void)curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    if (config->ca_file)
        (void)curl_easy_setopt(c, CURLOPT_CAINFO, config->ca_file);
    return c;
}

/* Everything that differs between requests is set each time: handles are used again without a reset, which
 * would cost each of them all the allocations of transfer_handle. */
void transfer_prepare(struct transfer *t, CURL *c, const char *base_url)
{
    cleanup_free char *url = xasprintf("%s%s", base_url, t->r.path);
    t->progress_ms = clock_mono_ms();
    if (!t->is_resent)
        t->started_ms = t->progress_ms;
    int64_t left = t->started_ms + t->r.timeout_ms - t->progress_ms;
    long timeout_ms = left > 1 ? (long)left : 1; /* 0 would be none */
    t->easy = c;
    t->n_uploaded = 0;
    t->is_body_cut = false;
    t->curl_text[0] = '\0';
    buf_clear(&t->response.body);
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, timeout_ms);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS);
    (void)curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, t->is_resent ? 1L : 0L);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_PRIVATE, t);
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, t->curl_text);
    (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, NULL); /* makes it a POST, so it comes first */
    (void)curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
    if (t->r.body) {
        (void)curl_easy_setopt(c, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->r.body_len);
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, t->r.body);
    }
    (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, t->r.method);
}

bool transfer_has_progress(struct transfer *t, int64_t since_ms)
{
    curl_off_t n = 0;
    if (t->progress_ms > since_ms)
        return true;
    (void)curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &n);
    if (n == t->n_uploaded)
        return false;
    t->n_uploaded = n;
    t->progress_ms = clock_mono_ms();
    return true;
}

/* curl repeats such a request by itself, but gives up after the fifth kept connection, and counts over the
 * life of a handle. Argilla 1.x closes a connection after each 500 without announcing it. */
bool transfer_was_stale(const struct transfer *t, CURLcode rc)
{
    long n_new = 1;
    (void)curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &n_new);
    return !t->is_resent && n_new == 0 && status_of(t) == 0 &&
           (rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR || rc == CURLE_GOT_NOTHING);
}

static void judge_status(const struct transfer *t, const char *secret, struct err *e)
{
    http_error_status(e, &t->r, t->response.status, buf_slice(&t->response.body), t->redirect, secret);
    int64_t now = t->response.date_ms ? t->response.date_ms : clock_wall_ms();
    if (t->retry_after && e->class == ERR_RETRY)
        e->retry_after_ms = http_retry_after_ms(t->retry_after, now);
}

static void judge_time_out(const struct transfer *t, struct err *e)
{
    curl_off_t connected_us = 0;
    (void)curl_easy_getinfo(t->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    if (connected_us == 0)
        http_error_transfer(e, &t->r, "no connection after %d ms",
                            t->r.timeout_ms < CONNECT_MS ? t->r.timeout_ms : CONNECT_MS);
    else
        http_error_transfer(e, &t->r, "timed out after %d ms", t->r.timeout_ms);
}

static void judge_connect(const struct transfer *t, struct err *e)
{
    long errnum = 0;
    char text[128];
    (void)curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &errnum);
    if (errnum == ECONNREFUSED)
        http_error_transfer(e, &t->r, "connection refused");
    else if (errnum)
        http_error_transfer(e, &t->r, "no connection: %s", strerror_r((int)errnum, text, sizeof text));
    else
        http_error_transfer(e, &t->r, "no connection: %s", t->curl_text);
}

static void judge_curl(const struct transfer *t, CURLcode rc, struct err *e)
{
    const char *text = t->curl_text[0] ? t->curl_text : curl_easy_strerror(rc);
    switch (rc) {
    case CURLE_OPERATION_TIMEDOUT:
        judge_time_out(t, e);
        return;
    case CURLE_COULDNT_CONNECT:
        judge_connect(t, e);
        return;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        if (t->response.status == 0)
            http_error_transfer(e, &t->r, "the connection was closed before an answer");
        else
            http_error_transfer(e, &t->r, "the answer was cut off after %zu bytes", t->response.body.len);
        return;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        http_error_transfer(e, &t->r, "TLS: %s", text);
        return;
    default:
        http_error_transfer(e, &t->r, "%s", text);
    }
}

int transfer_judge(struct transfer *t, CURLcode rc, const char *secret, struct err *e)
{
    t->response.status = status_of(t);
    if (t->response.status >= 300) /* whatever became of its body */
        judge_status(t, secret, e);
    else if (t->is_body_cut)
        http_error_too_large(e, &t->r, t->response.status);
    else if (rc != CURLE_OK)
        judge_curl(t, rc, e);
    else
        return 0;
    return -1;
}
