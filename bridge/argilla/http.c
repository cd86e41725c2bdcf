#include "http.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <strings.h>

#include "clock.h"

enum {
    CONNECTIONS_HARD_CAP = 64,
    STALL_MS = 2000,     /* without progress for so long it no longer counts against max_connections */
    STALL_LOOK_MS = 100, /* how often that is looked at while others wait */
    CONNECT_MS = 10000,
    IDLE_REUSE_S = 4, /* both generations close idle connections after 5 s */
    DETAIL_MAX = 200
};

struct transfer {
    uint64_t id, gate_hash; /* gate_hash 0: no gate */
    struct http_request r;
    struct http_response response;
    CURL *easy;
    int64_t last_progress_ms, retry_after_ms;
    bool is_too_large, is_resent, is_cancelled;
    struct transfer *next;
};

struct http_engine {
    const struct argilla_config *config;
    CURLM *multi;
    struct curl_slist *headers; /* the key is in here and nowhere else */
    CURL *idle[CONNECTIONS_HARD_CAP];
    int n_idle;
    struct transfer *active; /* the owner's */

    pthread_mutex_t mutex;
    uint64_t last_id;
    struct transfer *queue, **queue_tail;
    uint64_t *cancelled;
    size_t n_cancelled;
    struct http_stats stats;
};

static uint64_t hash_gate(const char *gate)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; gate && *gate; gate++)
        h = (h ^ (unsigned char)*gate) * 0x100000001b3u;
    return gate ? h | 1 : 0;
}

static int make_headers(struct http_engine *h, struct err *e)
{
    cleanup_free char *key = xasprintf("X-Argilla-Api-Key: %s", h->config->api_key ? h->config->api_key : "");
    const char *const lines[] = {key, "Content-Type: application/json", "Accept: application/json",
                                 "Expect:"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct curl_slist *more = curl_slist_append(h->headers, lines[i]);
        if (!more)
            return err_set(e, ERR_FATAL, "http: out of memory");
        h->headers = more;
    }
    return 0;
}

int http_engine_new(const struct argilla_config *config, struct http_engine **ret, struct err *e)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return err_set(e, ERR_FATAL, "http: curl_global_init failed");
    struct http_engine *h = xcalloc(1, sizeof *h);
    h->config = config;
    h->queue_tail = &h->queue;
    (void)pthread_mutex_init(&h->mutex, NULL);
    h->multi = curl_multi_init();
    if (!h->multi || make_headers(h, e)) {
        http_engine_free(h);
        return err_set(e, ERR_FATAL, "http: out of memory");
    }
    (void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_HARD_CAP);
    *ret = h;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    t->last_progress_ms = clock_mono_ms();
    buf_add(&t->response.body, data, size * n);
    if (!t->response.body.overflow)
        return size * n;
    t->is_too_large = true;
    return 0; /* ends the transfer */
}

static int64_t retry_after(const char *value)
{
    char *end;
    long long s = strtoll(value, &end, 10);
    if (end != value)
        return s > 0 ? s * 1000 : 0;
    time_t at = curl_getdate(value, NULL);
    int64_t left = at > 0 ? (int64_t)at * 1000 - clock_wall_ms() : 0;
    return left > 0 ? left : 0;
}

static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
    struct transfer *t = arg;
    char line[256];
    size_t len = size * n;
    t->last_progress_ms = clock_mono_ms();
    if (len >= sizeof line)
        return len;
    memcpy(line, data, len);
    line[len] = '\0';
    if (strncasecmp(line, "date:", 5) == 0)
        t->response.date_ms = (int64_t)curl_getdate(line + 5, NULL) * 1000;
    else if (strncasecmp(line, "retry-after:", 12) == 0)
        t->retry_after_ms = retry_after(line + 12 + strspn(line + 12, " "));
    return len;
}

static void set_options(struct http_engine *h, struct transfer *t)
{
    CURL *c = t->easy;
    cleanup_free char *url = xasprintf("%s%s", h->config->url, t->r.path);
    long connect_ms = t->r.timeout_ms < CONNECT_MS ? t->r.timeout_ms : CONNECT_MS;
    curl_easy_reset(c);
    (void)curl_easy_setopt(c, CURLOPT_URL, url);
    (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, t->r.method);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, h->headers);
    (void)curl_easy_setopt(c, CURLOPT_USERAGENT, "argilla-bridge");
    (void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)t->r.timeout_ms);
    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, connect_ms);
    (void)curl_easy_setopt(c, CURLOPT_MAXAGE_CONN, (long)IDLE_REUSE_S);
    (void)curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, t->is_resent ? 1L : 0L);
    (void)curl_easy_setopt(c, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)t->r.max_body_bytes);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, t);
    (void)curl_easy_setopt(c, CURLOPT_PRIVATE, t);
    if (h->config->ca_file)
        (void)curl_easy_setopt(c, CURLOPT_CAINFO, h->config->ca_file);
    if (t->r.body) {
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDS, t->r.body);
        (void)curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->r.body_len);
    }
}

static void transfer_start(struct http_engine *h, struct transfer *t)
{
    buf_clear(&t->response.body);
    t->response.body.limit = t->r.max_body_bytes;
    t->last_progress_ms = clock_mono_ms();
    t->easy = h->n_idle ? h->idle[--h->n_idle] : curl_easy_init();
    t->next = h->active;
    h->active = t;
    if (!t->easy)
        abort(); /* out of memory: as everywhere (base/mem.h) */
    set_options(h, t);
    (void)curl_multi_add_handle(h->multi, t->easy);
}

static void transfer_detach(struct http_engine *h, struct transfer *t)
{
    for (struct transfer **at = &h->active; *at; at = &(*at)->next) {
        if (*at == t) {
            *at = t->next;
            break;
        }
    }
    if (!t->easy)
        return;
    (void)curl_multi_remove_handle(h->multi, t->easy);
    if (h->n_idle < CONNECTIONS_HARD_CAP)
        h->idle[h->n_idle++] = t->easy;
    else
        curl_easy_cleanup(t->easy);
    t->easy = NULL;
}

static void transfer_free(struct transfer *t)
{
    buf_release(&t->response.body);
    free(t->r.path);
    free(t->r.gate);
    free(t->r.body);
    free(t);
}

/* What the server said of its error: printable, one line, short. */
static void add_detail(const struct transfer *t, struct err *e)
{
    char text[DETAIL_MAX + 1];
    size_t n = 0;
    const struct buf *body = &t->response.body;
    for (size_t i = 0; i < body->len && n < DETAIL_MAX; i++)
        text[n++] = (unsigned char)body->data[i] < ' ' || body->data[i] == 0x7f ? ' ' : body->data[i];
    text[n] = '\0';
    if (n)
        (void)snprintf(e->msg + strlen(e->msg), sizeof e->msg - strlen(e->msg), ": %s", text);
}

static void judge_status(const struct transfer *t, struct err *e)
{
    int s = t->response.status;
    enum err_class class = s == 401 || s == 403                           ? ERR_AUTH
                           : s >= 500 || s == 408 || s == 425 || s == 429 ? ERR_RETRY
                                                                          : ERR_BAD_INPUT;
    (void)err_set(e, class, "%s %s: HTTP %d", t->r.method, t->r.path, s);
    e->http_status = s;
    e->retry_after_ms = t->retry_after_ms;
    add_detail(t, e);
}

static void judge_curl(const struct transfer *t, CURLcode rc, struct err *e)
{
    if (t->is_too_large || rc == CURLE_FILESIZE_EXCEEDED) {
        (void)err_set(e, ERR_BAD_INPUT, "%s %s: the answer is over %zu bytes", t->r.method, t->r.path,
                      t->r.max_body_bytes);
        e->http_status = 200;
    } else if (t->is_cancelled) {
        (void)err_set(e, ERR_RETRY, "%s %s: cancelled", t->r.method, t->r.path);
    } else if (rc == CURLE_OPERATION_TIMEDOUT) {
        (void)err_set(e, ERR_RETRY, "%s %s: timed out after %d ms", t->r.method, t->r.path, t->r.timeout_ms);
    } else {
        (void)err_set(e, ERR_RETRY, "%s %s: %s", t->r.method, t->r.path, curl_easy_strerror(rc));
    }
}

/* Tells the receiver; `t` ends here. */
static void transfer_end(struct http_engine *h, struct transfer *t, CURLcode rc)
{
    struct err e = {0};
    if (rc != CURLE_OK || t->is_cancelled)
        judge_curl(t, rc, &e);
    else if (t->response.status < 200 || t->response.status > 299)
        judge_status(t, &e);
    (void)pthread_mutex_lock(&h->mutex);
    h->stats.n_requests++;
    h->stats.n_failed += e.class != ERR_NONE;
    h->stats.n_bytes += t->response.body.len;
    (void)pthread_mutex_unlock(&h->mutex);
    t->r.done(t->r.arg, &t->response, e.class == ERR_NONE ? NULL : &e);
    transfer_free(t);
}

/* A kept connection may have been closed by the server at the moment of its reuse: no error, once more on a
 * new one. */
static bool is_stale_connection(const struct transfer *t, CURLcode rc)
{
    long n_new = 1;
    (void)curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &n_new);
    return !t->is_resent && n_new == 0 && t->response.status == 0 &&
           (rc == CURLE_SEND_ERROR || rc == CURLE_RECV_ERROR || rc == CURLE_GOT_NOTHING);
}

static void finish_some(struct http_engine *h)
{
    int left, running;
    CURLMsg *m;
    (void)curl_multi_perform(h->multi, &running);
    while ((m = curl_multi_info_read(h->multi, &left))) {
        struct transfer *t = NULL;
        long status = 0;
        CURLcode rc = m->data.result;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_RESPONSE_CODE, &status);
        t->response.status = (int)status;
        bool again = rc != CURLE_OK && is_stale_connection(t, rc);
        transfer_detach(h, t);
        if (again) {
            t->is_resent = true;
            transfer_start(h, t);
        } else {
            transfer_end(h, t, rc);
        }
    }
}

static bool has_gate(const struct http_engine *h, uint64_t gate_hash)
{
    for (const struct transfer *t = h->active; gate_hash && t; t = t->next)
        if (t->gate_hash == gate_hash)
            return true;
    return false;
}

static void count_active(const struct http_engine *h, int64_t now, int *ret_active, int *ret_counted)
{
    *ret_active = *ret_counted = 0;
    for (const struct transfer *t = h->active; t; t = t->next) {
        (*ret_active)++;
        *ret_counted += now - t->last_progress_ms < STALL_MS;
    }
}

/* Starts what may start, in order. Returns how many still wait for a place. */
static int start_some(struct http_engine *h)
{
    int n_active, n_counted, n_left = 0;
    count_active(h, clock_mono_ms(), &n_active, &n_counted);
    (void)pthread_mutex_lock(&h->mutex);
    for (struct transfer **at = &h->queue; *at;) {
        struct transfer *t = *at;
        if (n_active >= CONNECTIONS_HARD_CAP || n_counted >= h->config->max_connections) {
            n_left++;
            break;
        }
        if (has_gate(h, t->gate_hash)) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        transfer_start(h, t);
        n_active++;
        n_counted++;
    }
    h->queue_tail = &h->queue;
    while (*h->queue_tail)
        h->queue_tail = &(*h->queue_tail)->next;
    h->stats.n_active = n_active;
    (void)pthread_mutex_unlock(&h->mutex);
    return n_left;
}

static struct transfer *take_queued(struct http_engine *h, uint64_t id)
{
    for (struct transfer **at = &h->queue; *at; at = &(*at)->next) {
        struct transfer *t = *at;
        if (t->id != id)
            continue;
        *at = t->next;
        if (!*at)
            h->queue_tail = at;
        return t;
    }
    return NULL;
}

static void cancel_some(struct http_engine *h)
{
    for (;;) {
        struct transfer *t = NULL;
        (void)pthread_mutex_lock(&h->mutex);
        uint64_t id = h->n_cancelled ? h->cancelled[--h->n_cancelled] : 0;
        if (id)
            t = take_queued(h, id);
        (void)pthread_mutex_unlock(&h->mutex);
        if (!id)
            return;
        if (!t) {
            for (t = h->active; t && t->id != id;)
                t = t->next;
            if (t)
                transfer_detach(h, t);
        }
        if (t) {
            t->is_cancelled = true;
            transfer_end(h, t, CURLE_ABORTED_BY_CALLBACK);
        }
    }
}

void http_engine_poll(struct http_engine *h, int timeout_ms)
{
    cancel_some(h);
    int n_left = start_some(h);
    finish_some(h);
    if (n_left && timeout_ms > STALL_LOOK_MS)
        timeout_ms = STALL_LOOK_MS;
    (void)curl_multi_poll(h->multi, NULL, 0, timeout_ms, NULL);
    cancel_some(h);
    finish_some(h);
    (void)start_some(h);
}

void http_engine_wake(struct http_engine *h)
{
    (void)curl_multi_wakeup(h->multi);
}

uint64_t http_submit(struct http_engine *h, const struct http_request *r)
{
    struct transfer *t = xcalloc(1, sizeof *t);
    t->r = *r;
    t->gate_hash = hash_gate(r->gate);
    (void)pthread_mutex_lock(&h->mutex);
    uint64_t id = t->id = ++h->last_id;
    *h->queue_tail = t;
    h->queue_tail = &t->next;
    (void)pthread_mutex_unlock(&h->mutex);
    http_engine_wake(h);
    return id;
}

void http_cancel(struct http_engine *h, uint64_t id)
{
    if (!id)
        return;
    (void)pthread_mutex_lock(&h->mutex);
    h->cancelled = xrealloc(h->cancelled, (h->n_cancelled + 1) * sizeof *h->cancelled);
    h->cancelled[h->n_cancelled++] = id;
    (void)pthread_mutex_unlock(&h->mutex);
    http_engine_wake(h);
}

void http_engine_stats(struct http_engine *h, struct http_stats *ret)
{
    (void)pthread_mutex_lock(&h->mutex);
    *ret = h->stats;
    ret->n_queued = 0;
    for (const struct transfer *t = h->queue; t; t = t->next)
        ret->n_queued++;
    (void)pthread_mutex_unlock(&h->mutex);
}

/* Everything under way ends; receivers may submit more from there, which ends too. */
static void end_all(struct http_engine *h)
{
    struct transfer *t;
    for (;;) {
        (void)pthread_mutex_lock(&h->mutex);
        t = h->queue;
        if (t && !(h->queue = t->next))
            h->queue_tail = &h->queue;
        (void)pthread_mutex_unlock(&h->mutex);
        if (!t && (t = h->active))
            transfer_detach(h, t);
        if (!t)
            return;
        t->is_cancelled = true;
        transfer_end(h, t, CURLE_ABORTED_BY_CALLBACK);
    }
}

void http_engine_free(struct http_engine *h)
{
    if (!h)
        return;
    end_all(h);
    while (h->n_idle)
        curl_easy_cleanup(h->idle[--h->n_idle]);
    if (h->multi)
        (void)curl_multi_cleanup(h->multi);
    curl_slist_free_all(h->headers);
    free(h->cancelled);
    (void)pthread_mutex_destroy(&h->mutex);
    free(h);
    curl_global_cleanup();
}
