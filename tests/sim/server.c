#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>

#include "clock.h"

enum { BLOCK_BYTES = 1 << 16 };

struct exchange {
    struct server *server;
    struct MHD_Connection *connection;
    struct request r;
    char *dataset;
    struct spoil spoil;
    bool is_control, is_met; /* the faults have been asked */
    int64_t due_ms;          /* while it waits; INT64_MAX: hangs */
    struct exchange *next;
};

struct server {
    struct sim *sim;
    struct MHD_Daemon *daemon;
    void (*wake)(void *arg);
    void *arg;
    pthread_mutex_t lock; /* of the two below */
    struct exchange *waiting;
    bool is_stopping;
};

/* ---- requests ---- */

static char *argument(struct MHD_Connection *c, const char *name)
{
    const char *value = MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name);
    return value ? xstrdup(value) : NULL;
}

static enum role role_of(struct MHD_Connection *c)
{
    const char *key = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Argilla-Api-Key");
    if (key && strcmp(key, "argilla.apikey") == 0)
        return ROLE_OWNER;
    return key && strcmp(key, "annotator.apikey") == 0 ? ROLE_ANNOTATOR : ROLE_NONE;
}

/* The dataset that a path names, "" for none: the third segment, or the fourth where the third is a task
 * (metrics). */
static char *dataset_in(const char *path)
{
    static const char prefix[] = "/api/datasets/";
    if (strncmp(path, prefix, sizeof prefix - 1) != 0)
        return xstrdup("");
    const char *name = path + sizeof prefix - 1;
    size_t n = strcspn(name, "/");
    if (name[n] && task_of((struct slice){name, n}) >= 0) {
        name += n + 1;
        n = strcspn(name, "/");
    }
    return xstrndup(name, n);
}

static struct exchange *exchange_new(struct server *s, struct MHD_Connection *c, const char *path,
                                     const char *method)
{
    struct exchange *x = xcalloc(1, sizeof *x);
    *x = (struct exchange){.server = s, .connection = c, .spoil = NO_SPOIL, .dataset = dataset_in(path)};
    x->is_control = strncmp(path, "/_sim/", 6) == 0;
    x->r = (struct request){
        .method = method, .path = xstrdup(path), .role = role_of(c), .body = buf_make(MAX_BODY_BYTES)};
    x->r.workspace = argument(c, "workspace");
    x->r.limit = argument(c, "limit");
    x->r.from = argument(c, "from");
    x->r.discard = argument(c, "mark_as_discarded");
    (void)pthread_mutex_lock(&s->sim->lock);
    if (!x->is_control) {
        stats_begin(&s->sim->stats, x->dataset);
        arrivals_add(&s->sim->arrivals, path);
    }
    (void)pthread_mutex_unlock(&s->sim->lock);
    return x;
}

static void on_completed(void *arg, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *x = *state;
    (void)arg;
    (void)c;
    (void)code;
    if (!x)
        return;
    (void)pthread_mutex_lock(&x->server->sim->lock);
    if (!x->is_control)
        stats_end(&x->server->sim->stats, x->dataset);
    (void)pthread_mutex_unlock(&x->server->sim->lock);
    free(x->r.path);
    free(x->r.workspace);
    free(x->r.limit);
    free(x->r.from);
    free(x->r.discard);
    buf_release(&x->r.body);
    free(x->spoil.body);
    free(x->dataset);
    free(x);
    *state = NULL;
}

/* ---- answers ---- */

/* A body that ends too early. */
struct cut {
    struct page *page;
    uint64_t at;
};

static ssize_t read_cut(void *arg, uint64_t position, char *ret, size_t max)
{
    const struct cut *c = arg;
    if (position >= c->at)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    size_t n = c->at - position < max ? (size_t)(c->at - position) : max;
    memcpy(ret, c->page->bytes.data + position, n);
    return (ssize_t)n;
}

static void free_cut(void *arg)
{
    struct cut *c = arg;
    page_drop(c->page);
    free(c);
}

static struct MHD_Response *make_response(const struct exchange *x, struct page *p)
{
    size_t len = p->bytes.len;
    if (x->spoil.truncate >= 0 && (size_t)x->spoil.truncate < len)
        len = (size_t)x->spoil.truncate;
    if (x->spoil.cut_at >= 0 && (size_t)x->spoil.cut_at < len) {
        struct cut *c = xcalloc(1, sizeof *c);
        *c = (struct cut){p, (uint64_t)x->spoil.cut_at};
        return MHD_create_response_from_callback(len, BLOCK_BYTES, read_cut, c, free_cut);
    }
    return MHD_create_response_from_buffer_with_free_callback_cls(len, p->bytes.data, page_drop, p);
}

static enum MHD_Result reply(struct exchange *x, unsigned status, struct page *p)
{
    (void)buf_reserve(&p->bytes, 1);
    struct MHD_Response *response = make_response(x, p);
    if (!response)
        return MHD_NO;
    (void)MHD_add_response_header(response, "Content-Type", "application/json");
    (void)MHD_add_response_header(response, "Server", "argilla-sim");
    if (x->spoil.retry_after_s >= 0) {
        char text[32];
        (void)snprintf(text, sizeof text, "%lld", (long long)x->spoil.retry_after_s);
        (void)MHD_add_response_header(response, "Retry-After", text);
    }
    enum MHD_Result rc = MHD_queue_response(x->connection, status, response);
    MHD_destroy_response(response);
    return rc;
}

static void spoiled_answer(const struct exchange *x, struct answer *a)
{
    if (x->spoil.status >= 0)
        a->status = (unsigned)x->spoil.status;
    buf_clear(&a->body);
    if (x->spoil.body)
        buf_addstr(&a->body, x->spoil.body);
    else
        buf_addf(&a->body, "{\"detail\":{\"code\":\"argilla.api.errors::Scripted%u\",\"params\":{}}}",
                 a->status);
}

static enum MHD_Result answer(struct exchange *x)
{
    struct sim *sim = x->server->sim;
    struct answer a = {.status = 200, .body = buf_make(MAX_ANSWER_BYTES)};
    (void)pthread_mutex_lock(&sim->lock);
    if (x->r.body.overflow)
        answer_detail(&a, 413, "Request Entity Too Large");
    else if (x->spoil.status >= 0 || x->spoil.body)
        spoiled_answer(x, &a);
    else
        route(sim, &x->r, &a);
    struct page *p = a.page ? a.page : page_new(&a.body);
    if (!x->is_control)
        stats_answered(&sim->stats, x->r.method, x->r.path, a.status, p->bytes.len);
    (void)pthread_mutex_unlock(&sim->lock);
    buf_release(&a.body);
    if (x->is_control)
        x->server->wake(x->server->arg);
    return reply(x, a.status, p);
}

/* ---- waiting ---- */

/* True: the connection is suspended and comes back later. */
static bool begin_wait(struct exchange *x)
{
    struct server *s = x->server;
    if (!x->spoil.is_hanging && x->spoil.delay_ms <= 0)
        return false;
    (void)pthread_mutex_lock(&s->lock);
    bool waits = !s->is_stopping;
    if (waits) {
        x->due_ms = x->spoil.is_hanging ? INT64_MAX : clock_mono_ms() + x->spoil.delay_ms;
        x->next = s->waiting;
        s->waiting = x;
        MHD_suspend_connection(x->connection);
    }
    (void)pthread_mutex_unlock(&s->lock);
    s->wake(s->arg);
    return waits;
}

int64_t server_tick(struct server *s)
{
    int64_t now = clock_mono_ms(), next = INT64_MAX;
    (void)pthread_mutex_lock(&s->lock);
    for (struct exchange **at = &s->waiting; *at;) {
        struct exchange *x = *at;
        if (x->due_ms <= now || s->is_stopping) {
            *at = x->next;
            MHD_resume_connection(x->connection);
            continue;
        }
        next = x->due_ms < next ? x->due_ms : next;
        at = &x->next;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return next == INT64_MAX ? -1 : next - now;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *path, const char *method,
                                  const char *version, const char *data, size_t *data_len, void **state)
{
    struct server *s = arg;
    struct exchange *x = *state;
    (void)version;
    if (!x) {
        *state = exchange_new(s, c, path, method);
        return MHD_YES;
    }
    if (*data_len) {
        buf_add(&x->r.body, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    if (!x->is_met && !x->is_control) {
        x->is_met = true;
        (void)pthread_mutex_lock(&s->sim->lock);
        (void)faults_meet(&s->sim->faults, method, path, x->dataset, &x->spoil);
        (void)pthread_mutex_unlock(&s->sim->lock);
        if (begin_wait(x))
            return MHD_YES;
    }
    (void)pthread_mutex_lock(&s->lock);
    bool is_stopping = s->is_stopping;
    (void)pthread_mutex_unlock(&s->lock);
    return is_stopping ? MHD_NO : answer(x);
}

/* ---- life ---- */

int server_new(struct sim *sim, int port, void (*wake)(void *arg), void *arg, struct server **ret,
               struct err *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct server *s = xcalloc(1, sizeof *s);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *s = (struct server){.sim = sim, .wake = wake, .arg = arg};
    (void)pthread_mutex_init(&s->lock, NULL);
    s->daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, (uint16_t)port, NULL, NULL,
                         on_request, s, MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_NOTIFY_COMPLETED, on_completed,
                         NULL, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S, MHD_OPTION_CONNECTION_LIMIT,
                         4096u, MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
    if (!s->daemon) {
        (void)err_errno(e, "listen", errno);
        free(s);
        return -1;
    }
    *ret = s;
    return 0;
}

int server_port(const struct server *s)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    (void)pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    (void)pthread_mutex_unlock(&s->lock);
    (void)server_tick(s);
    MHD_stop_daemon(s->daemon);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}
