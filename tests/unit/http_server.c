#include "http_server.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"

enum { CONNECTIONS_MAX = 256, REQUEST_MAX = 16 << 20, TICK_MS = 20 };

struct http_conn {
    struct http_server *server;
    pthread_t thread;
    int fd, number, n_requests;
    bool must_close;
};

struct http_server {
    http_server_fn *fn;
    void *arg;
    int fd;
    char url[64];
    pthread_t thread;
    struct http_conn conns[CONNECTIONS_MAX];

    pthread_mutex_t mutex; /* what follows */
    int idle_ms, reset_at;
    bool is_stopping, is_released;
    struct http_server_numbers n;
};

static void fail(const char *what)
{
    perror(what);
    abort();
}

static bool is_stopping(struct http_server *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    bool stopping = s->is_stopping;
    (void)pthread_mutex_unlock(&s->mutex);
    return stopping;
}

/* Waits for bytes, or the end of the connection; false when the server stops or the time is over. */
static bool wait_readable(struct http_conn *c, int idle_ms)
{
    int64_t end = clock_mono_ms() + idle_ms;
    for (;;) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        if (poll(&p, 1, TICK_MS) > 0)
            return true;
        if (is_stopping(c->server) || (idle_ms && clock_mono_ms() >= end))
            return false;
    }
}

/* Closing with bytes unread and nothing lingering sends a RST. */
static void reset(struct http_conn *c)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(c->fd);
    c->fd = -1;
}

/* One more piece of the request; false at its end. */
static bool read_more(struct http_conn *c, struct buf *b, int idle_ms)
{
    char piece[65536];
    if (!wait_readable(c, idle_ms))
        return false;
    ssize_t n = recv(c->fd, piece, sizeof piece, 0);
    if (n <= 0)
        return false;
    buf_add(b, piece, (size_t)n);
    return !b->overflow;
}

static size_t content_length(const char *headers)
{
    const char *at = strcasestr(headers, "\r\ncontent-length:");
    return at ? (size_t)strtoul(at + 17, NULL, 10) : 0;
}

/* Serves one request out of `b`; false when there is none any more. */
static bool serve_one(struct http_conn *c, struct buf *b)
{
    struct http_server *s = c->server;
    char *end;
    (void)pthread_mutex_lock(&s->mutex);
    int idle_ms = s->idle_ms;
    bool must_reset = s->reset_at == c->n_requests + 1;
    (void)pthread_mutex_unlock(&s->mutex);
    if (must_reset) {
        if (wait_readable(c, idle_ms))
            reset(c);
        return false;
    }
    while (!b->data || !(end = strstr(b->data, "\r\n\r\n")))
        if (!read_more(c, b, b->len ? 0 : idle_ms))
            return false;
    size_t head = (size_t)(end - b->data) + 4, len = content_length(b->data);
    while (b->len < head + len)
        if (!read_more(c, b, 0))
            return false;
    cleanup_free char *headers = xstrndup(b->data, head), *body = xstrndup(b->data + head, len);
    char *rest = headers, *method = strsep(&rest, " "), *path = strsep(&rest, " ");
    (void)pthread_mutex_lock(&s->mutex);
    struct http_seen r = {method,    path,           rest ? rest : "", body, ++s->n.n_requests,
                          c->number, ++c->n_requests};
    (void)pthread_mutex_unlock(&s->mutex);
    buf_clear(b);
    s->fn(c, &r, s->arg);
    return !c->must_close;
}

static void *serve(void *arg)
{
    struct http_conn *c = arg;
    struct buf b = buf_make(REQUEST_MAX);
    while (serve_one(c, &b)) {
    }
    buf_release(&b);
    if (c->fd >= 0)
        (void)shutdown(c->fd, SHUT_RDWR);
    (void)pthread_mutex_lock(&c->server->mutex);
    c->server->n.n_closed++;
    (void)pthread_mutex_unlock(&c->server->mutex);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct http_server *s = arg;
    while (!is_stopping(s)) {
        struct pollfd p = {.fd = s->fd, .events = POLLIN};
        if (poll(&p, 1, TICK_MS) <= 0)
            continue;
        int fd = accept(s->fd, NULL, NULL), one = 1;
        if (fd < 0)
            continue;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        (void)pthread_mutex_lock(&s->mutex);
        int i = s->n.n_connections++;
        (void)pthread_mutex_unlock(&s->mutex);
        if (i >= CONNECTIONS_MAX)
            fail("too many connections");
        s->conns[i] = (struct http_conn){.server = s, .fd = fd, .number = i + 1};
        if (pthread_create(&s->conns[i].thread, NULL, serve, &s->conns[i]))
            fail("pthread_create");
    }
    return NULL;
}

struct http_server *http_server_start(http_server_fn *fn, void *arg)
{
    struct http_server *s = xcalloc(1, sizeof *s);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    s->fn = fn;
    s->arg = arg;
    (void)pthread_mutex_init(&s->mutex, NULL);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, sizeof a) || listen(s->fd, CONNECTIONS_MAX) ||
        getsockname(s->fd, (struct sockaddr *)&a, &len))
        fail("listen");
    (void)snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(a.sin_port));
    if (pthread_create(&s->thread, NULL, accept_all, s))
        fail("pthread_create");
    return s;
}

void http_server_stop(struct http_server *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->is_stopping = s->is_released = true;
    (void)pthread_mutex_unlock(&s->mutex);
    (void)pthread_join(s->thread, NULL);
    for (int i = 0; i < s->n.n_connections; i++) {
        (void)pthread_join(s->conns[i].thread, NULL);
        if (s->conns[i].fd >= 0)
            (void)close(s->conns[i].fd);
    }
    (void)close(s->fd);
    (void)pthread_mutex_destroy(&s->mutex);
    free(s);
}

const char *http_server_url(const struct http_server *s)
{
    return s->url;
}

void http_server_set_idle_ms(struct http_server *s, int idle_ms)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->idle_ms = idle_ms;
    (void)pthread_mutex_unlock(&s->mutex);
}

void http_server_set_reset_at(struct http_server *s, int n_on_connection)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->reset_at = n_on_connection;
    (void)pthread_mutex_unlock(&s->mutex);
}

void http_send(struct http_conn *c, const void *data, size_t len)
{
    for (const char *p = data; len > 0;) {
        ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the client has gone: that is its right */
        p += n;
        len -= (size_t)n;
    }
}

void http_reply(struct http_conn *c, int status, const char *headers, const char *body)
{
    cleanup_free char *text = xasprintf("HTTP/1.1 %d Status\r\nContent-Type: application/json\r\n"
                                        "Content-Length: %zu\r\n%s\r\n%s",
                                        status, strlen(body), headers, body);
    http_send(c, text, strlen(text));
}

void http_close(struct http_conn *c)
{
    c->must_close = true;
}

/* A client that waits for an answer sends nothing: bytes or an end here mean that it has gone. */
void http_hold(struct http_conn *c)
{
    struct http_server *s = c->server;
    bool over = false;
    (void)pthread_mutex_lock(&s->mutex);
    if (++s->n.n_held > s->n.max_held)
        s->n.max_held = s->n.n_held;
    while (!s->is_released && !over) {
        (void)pthread_mutex_unlock(&s->mutex);
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        over = poll(&p, 1, TICK_MS) > 0;
        (void)pthread_mutex_lock(&s->mutex);
    }
    s->n.n_held--;
    (void)pthread_mutex_unlock(&s->mutex);
}

void http_server_release(struct http_server *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    s->is_released = true;
    (void)pthread_mutex_unlock(&s->mutex);
}

struct http_server_numbers http_server_numbers(struct http_server *s)
{
    (void)pthread_mutex_lock(&s->mutex);
    struct http_server_numbers n = s->n;
    (void)pthread_mutex_unlock(&s->mutex);
    return n;
}
