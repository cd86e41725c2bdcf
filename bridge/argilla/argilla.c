#include "argilla.h"

#include <string.h>

#include "clock.h"
#include "dialect.h"

void dataset_ref_release(struct dataset_ref *d)
{
    free(d->workspace);
    free(d->name);
    free(d->task);
    free(d->identity);
    *d = (struct dataset_ref){0};
}

void scan_page_free(struct scan_page *p)
{
    if (!p)
        return;
    free(p->body);
    free(p->records);
    free(p->cursor);
    free(p);
}

struct argilla *argilla_new(const struct argilla_config *config, struct http_engine *h)
{
    struct argilla *a = xcalloc(1, sizeof *a);
    *a = (struct argilla){.config = config, .http = h, .dialect = &dialect_v1};
    return a;
}

void argilla_free(struct argilla *a)
{
    free(a);
}

static void call_free(struct call *c)
{
    dataset_ref_release(&c->dataset);
    free(c->cursor);
    free(c);
}

/* On the engine's thread. */
static void on_done(void *arg, struct http_response *resp, const struct err *e)
{
    struct call *c = arg;
    struct argilla_answer answer = {.date_ms = resp->date_ms};
    struct err why = {0};
    if (e) {
        answer.err = *e;
        if (e->http_status >= 400)
            c->argilla->dialect->judge(c, resp, &answer);
    } else if (c->read(c, resp, &answer, &why)) {
        (void)err_wrap(&why, "%s %s/%s", c->operation, c->dataset.workspace, c->dataset.name);
        why.http_status = resp->status; /* it did answer */
        answer.err = why;
    }
    c->done(c->arg, &answer);
    call_free(c);
}

uint64_t call_send(struct call *c, const char *method, struct buf *path, struct buf *body, int timeout_ms)
{
    struct http_request r = {.method = method,
                             .operation = c->operation,
                             .path = buf_take(path),
                             .gate = xasprintf("%s/%s", c->dataset.workspace, c->dataset.name),
                             .body_len = body ? body->len : 0,
                             .timeout_ms = timeout_ms,
                             .max_body_bytes = (size_t)c->argilla->config->max_page_bytes,
                             .done = on_done,
                             .arg = c};
    r.body = body ? buf_take(body) : NULL;
    return http_submit(c->argilla->http, &r);
}

void add_encoded(struct buf *b, const char *s)
{
    add_encoded_bytes(b, slice_of(s));
}

void add_encoded_bytes(struct buf *b, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        bool plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
                     (ch && strchr("-._~", ch));
        if (plain)
            buf_addch(b, (char)ch);
        else
            buf_addf(b, "%%%02X", ch);
    }
}

static struct call *call_new(struct argilla *a, const char *operation, const char *workspace,
                             const char *dataset, const char *task, argilla_done_fn *done, void *arg)
{
    struct call *c = xcalloc(1, sizeof *c);
    *c = (struct call){.argilla = a, .done = done, .arg = arg, .operation = operation};
    c->dataset =
        (struct dataset_ref){xstrdup(workspace), xstrdup(dataset), task ? xstrdup(task) : NULL, NULL};
    return c;
}

uint64_t argilla_resolve(struct argilla *a, const char *workspace, const char *dataset, argilla_done_fn *done,
                         void *arg)
{
    return a->dialect->resolve(call_new(a, "resolve", workspace, dataset, NULL, done, arg));
}

uint64_t argilla_count(struct argilla *a, const struct dataset_ref *d, const char *query,
                       argilla_done_fn *done, void *arg)
{
    return a->dialect->count(call_new(a, "count", d->workspace, d->name, d->task, done, arg), query);
}

uint64_t argilla_metric(struct argilla *a, const struct dataset_ref *d, const char *query, const char *metric,
                        argilla_done_fn *done, void *arg)
{
    return a->dialect->metric(call_new(a, "metric", d->workspace, d->name, d->task, done, arg), query,
                              metric);
}

uint64_t argilla_scan(struct argilla *a, const struct dataset_ref *d, const char *query, const char *cursor,
                      int limit, argilla_done_fn *done, void *arg)
{
    struct call *c = call_new(a, "scan", d->workspace, d->name, d->task, done, arg);
    c->cursor = cursor ? xstrdup(cursor) : NULL;
    return a->dialect->scan(c, query, limit);
}

uint64_t argilla_exists(struct argilla *a, const struct dataset_ref *d, struct slice id,
                        argilla_done_fn *done, void *arg)
{
    return a->dialect->exists(call_new(a, "read", d->workspace, d->name, d->task, done, arg), id);
}

char *argilla_query_since(struct argilla *a, const char *query, int64_t from_ms, int64_t to_ms)
{
    return a->dialect->query_since(query, from_ms, to_ms);
}

char *argilla_cursor_after(struct argilla *a, struct slice id_token)
{
    return a->dialect->cursor_after(id_token);
}

void argilla_wait_init(struct argilla_wait *w)
{
    *w = (struct argilla_wait){0};
    (void)pthread_mutex_init(&w->mutex, NULL);
    (void)pthread_cond_init(&w->cond, NULL);
}

void argilla_wait_done(void *wait, struct argilla_answer *answer)
{
    struct argilla_wait *w = wait;
    (void)pthread_mutex_lock(&w->mutex);
    w->answer = *answer;
    w->done = true;
    (void)pthread_cond_signal(&w->cond);
    (void)pthread_mutex_unlock(&w->mutex);
}

bool argilla_wait_for(struct argilla_wait *w, int64_t ms)
{
    struct timespec until = clock_deadline(ms);
    (void)pthread_mutex_lock(&w->mutex);
    while (!w->done)
        if (pthread_cond_clockwait(&w->cond, &w->mutex, CLOCK_MONOTONIC, &until))
            break;
    bool done = w->done;
    (void)pthread_mutex_unlock(&w->mutex);
    return done;
}

void argilla_wait(struct argilla_wait *w, struct argilla_answer *ret)
{
    (void)pthread_mutex_lock(&w->mutex);
    while (!w->done)
        (void)pthread_cond_wait(&w->cond, &w->mutex);
    *ret = w->answer;
    (void)pthread_mutex_unlock(&w->mutex);
    (void)pthread_cond_destroy(&w->cond);
    (void)pthread_mutex_destroy(&w->mutex);
}
