/* The engine. Other threads meet its owner in the inbox, the cancelled ids and the wake flag, under the
 * mutex; everything else is the owner's alone: requests wait in the queue (http_queue.h), go out on easy
 * handles (http_transfer.h) and end in a callback. */
#include "http.h"

#include <pthread.h>

#include "clock.h"
#include "http_error.h"
#include "http_transfer.h"

enum {
    CONNECTIONS_HARD_CAP = 64,
    STALL_MS = 2000 /* without progress for so long it no longer counts against max_connections */
};

struct http_engine {
    const struct argilla_config *config;
    CURLM *multi;
    struct curl_slist *headers; /* the key is in here and in config, nowhere else */
    CURL *idle[CONNECTIONS_HARD_CAP];
    int n_idle, n_active;
    struct transfer *all; /* that have left the inbox: waiting in `queue` or, with `easy`, on their way */
    struct http_queue queue;

    pthread_mutex_t mutex;
    uint64_t last_id;
    struct transfer *inbox, **inbox_last;
    uint64_t *cancelled;
    size_t n_cancelled, cancelled_cap;
    bool is_waiting, is_woken; /* is the owner in a wait that must be ended; must the next one be none */
    struct http_stats stats;
};

/* ---- making one ---- */

static int check_url(const char *url, struct err *e)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    bool ok = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
              (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0) &&
              curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0];
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return ok ? 0 : err_set(e, ERR_CONFIG, "argilla.url: not an http or https URL");
}

/* A line break in the key would make headers of its own; the text must not show it. */
static int check_key(const char *key, struct err *e)
{
    for (; key && *key; key++)
        if ((unsigned char)*key < ' ' || *key == 0x7f)
            return err_set(e, ERR_CONFIG, "argilla: the API key holds a control character");
    return 0;
}

static int make_headers(struct http_engine *h, struct err *e)
{
    const char *key = h->config->api_key;
    cleanup_free char *key_line = xasprintf("X-Argilla-Api-Key: %s", key ? key : "");
    const char *const lines[] = {key_line, "Content-Type: application/json", "Accept: application/json",
                                 "Expect:"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct curl_slist *more = curl_slist_append(h->headers, lines[i]);
        if (!more)
            return err_set(e, ERR_FATAL, "http: out of memory");
        h->headers = more;
    }
    explicit_bzero(key_line, strlen(key_line));
    return 0;
}

int http_engine_new(const struct argilla_config *config, struct http_engine **ret, struct err *e)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return err_set(e, ERR_FATAL, "http: curl_global_init failed");
    struct http_engine *h = xcalloc(1, sizeof *h);
    h->config = config;
    h->inbox_last = &h->inbox;
    http_queue_init(&h->queue);
    (void)pthread_mutex_init(&h->mutex, NULL);
    if (check_url(config->url, e) || check_key(config->api_key, e) || make_headers(h, e)) {
        http_engine_free(h);
        return -1;
    }
    h->multi = curl_multi_init();
    if (!h->multi) {
        http_engine_free(h);
        return err_set(e, ERR_FATAL, "http: out of memory");
    }
    (void)curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_HARD_CAP);
    *ret = h;
    return 0;
}

/* ---- what any thread may call ---- */

/* Under the mutex. It costs a system call: none while the owner is awake and will look by himself. */
static void end_wait(struct http_engine *h)
{
    if (h->is_waiting)
        (void)curl_multi_wakeup(h->multi);
    h->is_waiting = false;
}

void http_engine_wake(struct http_engine *h)
{
    (void)pthread_mutex_lock(&h->mutex);
    h->is_woken = true;
    end_wait(h);
    (void)pthread_mutex_unlock(&h->mutex);
}

uint64_t http_submit(struct http_engine *h, const struct http_request *r)
{
    (void)pthread_mutex_lock(&h->mutex);
    uint64_t id = ++h->last_id;
    struct transfer *t = transfer_new(id, r);
    *h->inbox_last = t;
    h->inbox_last = &t->next;
    h->stats.n_queued++;
    end_wait(h);
    (void)pthread_mutex_unlock(&h->mutex);
    return id;
}

void http_cancel(struct http_engine *h, uint64_t id)
{
    if (!id)
        return;
    (void)pthread_mutex_lock(&h->mutex);
    if (h->n_cancelled == h->cancelled_cap) {
        h->cancelled_cap = h->cancelled_cap ? h->cancelled_cap * 2 : 16;
        h->cancelled = xrealloc(h->cancelled, h->cancelled_cap * sizeof *h->cancelled);
    }
    h->cancelled[h->n_cancelled++] = id;
    end_wait(h);
    (void)pthread_mutex_unlock(&h->mutex);
}

void http_engine_stats(struct http_engine *h, struct http_stats *ret)
{
    (void)pthread_mutex_lock(&h->mutex);
    *ret = h->stats;
    (void)pthread_mutex_unlock(&h->mutex);
}

/* ---- the owner's ---- */

static void list_add(struct http_engine *h, struct transfer *t)
{
    t->next = h->all;
    t->from = &h->all;
    if (t->next)
        t->next->from = &t->next;
    h->all = t;
}

static void list_remove(struct transfer *t)
{
    *t->from = t->next;
    if (t->next)
        t->next->from = t->from;
}

static void take_inbox(struct http_engine *h)
{
    (void)pthread_mutex_lock(&h->mutex);
    struct transfer *t = TAKE_PTR(h->inbox);
    h->inbox_last = &h->inbox;
    (void)pthread_mutex_unlock(&h->mutex);
    for (struct transfer *next; t; t = next) {
        next = t->next;
        list_add(h, t);
        http_queue_enter(&h->queue, &t->ticket, t->r.gate);
    }
}

static void put_back(struct http_engine *h, struct transfer *t)
{
    CURL *easy = TAKE_PTR(t->easy);
    (void)curl_multi_remove_handle(h->multi, easy);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, NULL); /* it goes with `t` */
    h->idle[h->n_idle++] = easy; /* there is room: at most so many are ever on their way */
    h->n_active--;
}

/* Under the mutex. */
static void count_operation(struct http_stats *s, const struct transfer *t, bool was_active, bool has_failed)
{
    const char *name = t->r.operation ? t->r.operation : "other";
    struct http_operation_stats *o = s->operations, *last = o + HTTP_OPERATIONS_MAX - 1;
    while (o < last && o->name && strcmp(o->name, name) != 0)
        o++;
    o->name = o->name ? o->name : name;
    o->n_requests++;
    o->n_failed += has_failed;
    o->n_bytes += t->response.body.len;
    if (was_active)
        histogram_add(&o->took, clock_mono_ms() - t->started_ms);
}

/* Tells the receiver; `t` ends here. `e` NULL: it went well. */
static void end(struct http_engine *h, struct transfer *t, const struct err *e)
{
    bool was_active = t->easy;
    if (was_active)
        put_back(h, t);
    http_queue_leave(&h->queue, &t->ticket);
    list_remove(t);
    (void)pthread_mutex_lock(&h->mutex);
    h->stats.n_requests++;
    h->stats.n_failed += e != NULL;
    h->stats.n_bytes += t->response.body.len;
    h->stats.n_active = h->n_active;
    h->stats.n_queued -= !was_active;
    count_operation(&h->stats, t, was_active, e != NULL);
    (void)pthread_mutex_unlock(&h->mutex);
    t->r.done(t->r.arg, &t->response, e);
    transfer_free(t);
}

static void end_early(struct http_engine *h, struct transfer *t, const char *why)
{
    struct err e;
    http_error_transfer(&e, &t->r, "%s", why);
    end(h, t, &e);
}

static struct transfer *find(struct http_engine *h, uint64_t id)
{
    struct transfer *t = h->all;
    while (t && t->id != id)
        t = t->next;
    return t;
}

static void apply_cancels(struct http_engine *h)
{
    (void)pthread_mutex_lock(&h->mutex);
    uint64_t *ids = TAKE_PTR(h->cancelled);
    size_t n = h->n_cancelled;
    h->n_cancelled = h->cancelled_cap = 0;
    (void)pthread_mutex_unlock(&h->mutex);
    take_inbox(h); /* a request that is to be cancelled may have come since the last look */
    for (size_t i = 0; i < n; i++) {
        struct transfer *t = find(h, ids[i]);
        if (t)
            end_early(h, t, "cancelled");
    }
    free(ids);
}

/* Those that count against max_connections, and when the first of them stops to. */
static int count_lively(struct http_engine *h, int64_t now, int64_t *ret_until)
{
    int n = 0;
    *ret_until = INT64_MAX;
    for (struct transfer *t = h->all; t; t = t->next) {
        if (!t->easy || !transfer_has_progress(t, now - STALL_MS))
            continue;
        n++;
        if (t->progress_ms + STALL_MS < *ret_until)
            *ret_until = t->progress_ms + STALL_MS;
    }
    return n;
}

static void start(struct http_engine *h, struct transfer *t)
{
    CURL *easy = h->n_idle ? h->idle[--h->n_idle] : transfer_handle(h->config, h->headers);
    if (!easy)
        abort(); /* out of memory: as everywhere (base/mem.h) */
    transfer_prepare(t, easy, h->config->url);
    (void)curl_multi_add_handle(h->multi, easy);
    h->n_active++;
    (void)pthread_mutex_lock(&h->mutex);
    h->stats.n_active = h->n_active;
    h->stats.n_queued--;
    (void)pthread_mutex_unlock(&h->mutex);
}

/* Starts what may start. Returns when more may although nothing happens, INT64_MAX for never. */
static int64_t start_ready(struct http_engine *h)
{
    while (h->queue.ready.first) {
        int64_t until = INT64_MAX;
        if (h->n_active >= CONNECTIONS_HARD_CAP)
            return until;
        if (h->n_active >= h->config->max_connections &&
            count_lively(h, clock_mono_ms(), &until) >= h->config->max_connections)
            return until;
        start(h, (struct transfer *)http_queue_next(&h->queue));
    }
    return INT64_MAX;
}

static void finish(struct http_engine *h, struct transfer *t, CURLcode rc)
{
    struct err e;
    if (rc != CURLE_OK && transfer_was_stale(t, rc)) {
        (void)curl_multi_remove_handle(h->multi, t->easy);
        t->is_resent = true;
        transfer_prepare(t, t->easy, h->config->url);
        (void)curl_multi_add_handle(h->multi, t->easy);
        return;
    }
    end(h, t, transfer_judge(t, rc, h->config->api_key, &e) ? &e : NULL);
}

/* Returns how many have ended. */
static int move_on(struct http_engine *h)
{
    int left, running, n = 0;
    CURLMsg *m;
    (void)curl_multi_perform(h->multi, &running);
    for (; (m = curl_multi_info_read(h->multi, &left)); n++) {
        struct transfer *t = NULL;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
        finish(h, t, m->data.result);
    }
    return n;
}

static void wait_for_something(struct http_engine *h, int timeout_ms)
{
    (void)pthread_mutex_lock(&h->mutex);
    if (h->is_woken || h->inbox || h->n_cancelled || timeout_ms < 0)
        timeout_ms = 0;
    h->is_woken = false;
    h->is_waiting = timeout_ms > 0;
    (void)pthread_mutex_unlock(&h->mutex);
    (void)curl_multi_poll(h->multi, NULL, 0, timeout_ms, NULL);
    (void)pthread_mutex_lock(&h->mutex);
    h->is_waiting = false;
    (void)pthread_mutex_unlock(&h->mutex);
}

void http_engine_poll(struct http_engine *h, int timeout_ms)
{
    take_inbox(h);
    apply_cancels(h);
    int64_t until = start_ready(h);
    if (move_on(h))
        return; /* the caller has something to do, and gates have opened */
    if (until != INT64_MAX && until - clock_mono_ms() < timeout_ms)
        timeout_ms = (int)(until - clock_mono_ms()) + 1;
    wait_for_something(h, timeout_ms);
    (void)move_on(h);
}

void http_engine_free(struct http_engine *h)
{
    if (!h)
        return;
    for (take_inbox(h); h->all; take_inbox(h)) /* receivers may submit more from there, which ends too */
        end_early(h, h->all, "stopping");
    http_queue_release(&h->queue);
    while (h->n_idle)
        curl_easy_cleanup(h->idle[--h->n_idle]);
    if (h->multi)
        (void)curl_multi_cleanup(h->multi);
    for (struct curl_slist *line = h->headers; line; line = line->next)
        explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(h->headers);
    free(h->cancelled);
    (void)pthread_mutex_destroy(&h->mutex);
    free(h);
    curl_global_cleanup();
}
