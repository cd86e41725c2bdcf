#include "admin.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin_clients.h"
#include "admin_request.h"
#include "config_text.h"

enum {
    HEAD_BYTES = 32 << 10,
    BODY_MAX = 4 << 10,
    BODY_IGNORED_MAX = 64 << 10, /* read and thrown away, so that a client that writes first reads the 413 */
    DOCUMENT_MAX = 64 << 20,
    COMMAND_MS = 9000,
    BACKLOG = 64
};
static const size_t stack_bytes =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    2 << 20;
#else
    256 << 10;
#endif

struct admin {
    const struct config *config;
    struct log *log;
    struct bridge *bridge;
    int fd; /* -1: the daemon has it */
    struct MHD_Daemon *daemon;
    struct admin_clients clients;
};

/* One request, from its head to its answer. */
struct exchange {
    struct admin *admin;
    struct MHD_Connection *connection;
    size_t n_body;
};

/* ---- answers ---- */

static void add_headers(struct MHD_Response *r, const char *content_type)
{
    static const char *const always[][2] = {
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy",
         "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
         "img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'; form-action 'none'"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
    };
    (void)MHD_add_response_header(r, "Content-Type", content_type);
    for (size_t i = 0; i < ARRAY_LEN(always); i++)
        (void)MHD_add_response_header(r, always[i][0], always[i][1]);
}

static enum MHD_Result send_response(struct exchange *x, unsigned status, const char *content_type,
                                     struct MHD_Response *r, const char *name, const char *value)
{
    if (!r)
        return MHD_NO;
    add_headers(r, content_type);
    if (name)
        (void)MHD_add_response_header(r, name, value);
    enum MHD_Result rc = MHD_queue_response(x->connection, status, r);
    MHD_destroy_response(r);
    return rc;
}

/* Takes what is in `body`. */
static enum MHD_Result send_text(struct exchange *x, unsigned status, const char *content_type,
                                 struct buf *body, const char *name, const char *value)
{
    size_t len = body->len;
    char *text = buf_take(body);
    struct MHD_Response *r = MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
    if (!r)
        free(text);
    return send_response(x, status, content_type, r, name, value);
}

/* {"error": text}, with one more header if `name` isn't NULL. */
static enum MHD_Result send_error_with(struct exchange *x, unsigned status, const char *text,
                                       const char *name, const char *value)
{
    struct buf body = buf_make(8 << 10);
    buf_addstr(&body, "{\"error\":");
    buf_addjson(&body, text, strlen(text));
    buf_addstr(&body, "}\n");
    return send_text(x, status, "application/json", &body, name, value);
}

static enum MHD_Result send_error(struct exchange *x, unsigned status, const char *text)
{
    return send_error_with(x, status, text, NULL, NULL);
}

static enum MHD_Result send_document(struct exchange *x, const char *content_type,
                                     void (*write)(struct bridge *b, struct buf *ret))
{
    struct buf body = buf_make(DOCUMENT_MAX);
    write(x->admin->bridge, &body);
    if (!body.overflow)
        return send_text(x, MHD_HTTP_OK, content_type, &body, NULL, NULL);
    buf_release(&body);
    return send_error(x, MHD_HTTP_INTERNAL_SERVER_ERROR, "the answer is over 64 MiB");
}

static enum MHD_Result send_page(struct exchange *x, const struct admin_page *page)
{
    /* the data is constant: PERSISTENT neither writes nor frees it */
    return send_response(
        x, MHD_HTTP_OK, page->content_type,
        MHD_create_response_from_buffer(page->len, (void *)(uintptr_t)page->data, MHD_RESPMEM_PERSISTENT),
        NULL, NULL);
}

static enum MHD_Result send_judgement(struct exchange *x, bool (*judge)(struct bridge *b, struct buf *why),
                                      const char *yes, const char *no)
{
    cleanup_buf struct buf why = buf_make(64 << 10), notes = buf_make(16 << 10);
    struct buf body = buf_make(128 << 10);
    bool is_good = judge(x->admin->bridge, &why);
    status_notes(x->admin->bridge, &notes);
    buf_addf(&body, "{\"status\":\"%s\",\"reasons\":[%s],\"notes\":[%s]}\n", is_good ? yes : no,
             buf_str(&why), buf_str(&notes));
    return send_text(x, is_good ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "application/json", &body, NULL,
                     NULL);
}

/* ---- commands ---- */

static enum MHD_Result send_result(struct exchange *x, const struct admin_target *t,
                                   enum command_result result, const struct err *why)
{
    static const struct {
        unsigned status;
        const char *body;
    } answers[] = {[COMMAND_DONE] = {MHD_HTTP_OK, "{\"result\":\"done\"}\n"},
                   [COMMAND_SENT] = {MHD_HTTP_ACCEPTED, "{\"result\":\"sent\"}\n"},
                   [COMMAND_ALREADY] = {MHD_HTTP_CONFLICT, "{\"result\":\"already\"}\n"}};
    if (result == COMMAND_UNKNOWN_LISTENER) {
        cleanup_free char *text = xasprintf("no listener %s in the configuration", t->listener);
        return send_error(x, MHD_HTTP_NOT_FOUND, text);
    }
    if (result == COMMAND_FAILED)
        return send_error(x, MHD_HTTP_SERVICE_UNAVAILABLE, why->msg);
    struct buf body = buf_make(128);
    buf_addstr(&body, answers[result].body);
    return send_text(x, answers[result].status, "application/json", &body, NULL, NULL);
}

/* What took effect here is logged where it did (flow); from where it was asked is for whoever debugs. */
static void tell_command(struct exchange *x, const struct admin_target *t, enum command_result result,
                         const struct err *why)
{
    static const char *const words[] = {[COMMAND_DONE] = "done",
                                        [COMMAND_SENT] = "sent",
                                        [COMMAND_ALREADY] = "already",
                                        [COMMAND_UNKNOWN_LISTENER] = "unknown listener",
                                        [COMMAND_FAILED] = "failed"};
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(x->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    char from[INET6_ADDRSTRLEN] = "";
    if (info && info->client_addr->sa_family == AF_INET6)
        (void)inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)info->client_addr)->sin6_addr,
                        from, sizeof from);
    else if (info)
        (void)inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)info->client_addr)->sin_addr,
                        from, sizeof from);
    if (result == COMMAND_FAILED)
        log_warn(x->admin->log, "admin command", KV("command", admin_command_word(t->command)),
                 KV("listener", t->listener), KV("from", from), KV("result", words[result]),
                 KV("error", why->msg));
    else
        log_at(x->admin->log, result == COMMAND_SENT ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG, "admin command",
               KV("command", admin_command_word(t->command)), KV("listener", t->listener), KV("from", from),
               KV("result", words[result]));
}

static enum MHD_Result command(struct exchange *x, const struct admin_target *t)
{
    struct err why = {0};
    bool force = false;
    switch (admin_check_token(MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Authorization"),
                              x->admin->config->admin.token)) {
    case PASS_NONE_CONFIGURED:
        return send_error(x, MHD_HTTP_FORBIDDEN,
                          "no token configured: admin.token_file names the file that holds it");
    case PASS_MISSING:
        return send_error_with(x, MHD_HTTP_UNAUTHORIZED, "this needs the token: Authorization: Bearer TOKEN",
                               "WWW-Authenticate", "Bearer");
    case PASS_WRONG:
        return send_error(x, MHD_HTTP_FORBIDDEN, "the token is wrong");
    case PASS_OK:
        break;
    }
    if (admin_read_bool(MHD_lookup_connection_value(x->connection, MHD_GET_ARGUMENT_KIND, "force"), &force))
        return send_error(x, MHD_HTTP_BAD_REQUEST, "force takes true or false");
    admin_clients_set_busy(&x->admin->clients, x->connection, true);
    enum command_result result =
        bridge_command(x->admin->bridge, t->command, t->listener, force, COMMAND_MS, &why);
    admin_clients_set_busy(&x->admin->clients, x->connection, false);
    tell_command(x, t, result, &why);
    return send_result(x, t, result, &why);
}

/* ---- requests ---- */

static enum MHD_Result answer(struct exchange *x, const char *path, const char *method)
{
    struct admin_target t = admin_route(path);
    if (!admin_host_is_ours(MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, "Host")))
        return send_error(
            x, MHD_HTTP_MISDIRECTED_REQUEST,
            "Host must be an address as numbers, or localhost: ask by that, or have the proxy send it");
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0 && strcmp(method, "POST") != 0)
        return send_error_with(x, MHD_HTTP_METHOD_NOT_ALLOWED, "GET, HEAD and POST are known here", "Allow",
                               t.route == ROUTE_NONE ? "GET, HEAD, POST" : admin_methods(t.route));
    if (t.route == ROUTE_NONE)
        return send_error(x, MHD_HTTP_NOT_FOUND, "there is no such path");
    if (!admin_takes_method(t.route, method))
        return send_error_with(x, MHD_HTTP_METHOD_NOT_ALLOWED, "this path takes another method", "Allow",
                               admin_methods(t.route));
    switch (t.route) {
    case ROUTE_PAGE:
        return send_page(x, t.page);
    case ROUTE_LISTENERS:
        return send_document(x, "application/json", status_write_listeners);
    case ROUTE_METRICS:
        return send_document(x, "text/plain; version=0.0.4; charset=utf-8", status_write_metrics);
    case ROUTE_HEALTH:
        return send_judgement(x, status_is_healthy, "ok", "failing");
    case ROUTE_READY:
        return send_judgement(x, status_is_ready, "ready", "not ready");
    default:
        return command(x, &t);
    }
}

static bool announces_too_much(struct MHD_Connection *c)
{
    const char *length = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Content-Length");
    return length && strtoull(length, NULL, 10) > BODY_IGNORED_MAX;
}

/* libmicrohttpd calls it with the head, with each piece of the body, and at the end of the request. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *path, const char *method,
                                  const char *version, const char *body, size_t *body_len, void **state)
{
    struct exchange *x = *state;
    (void)version;
    (void)body; /* no command has one */
    if (!x) {
        *state = x = xcalloc(1, sizeof *x);
        *x = (struct exchange){.admin = arg, .connection = c};
        return announces_too_much(c) ? send_error(x, MHD_HTTP_CONTENT_TOO_LARGE, "a body takes at most 4 KiB")
                                     : MHD_YES;
    }
    if (*body_len) {
        x->n_body += *body_len;
        *body_len = 0;
        return x->n_body > BODY_IGNORED_MAX ? MHD_NO : MHD_YES;
    }
    if (x->n_body > BODY_MAX)
        return send_error(x, MHD_HTTP_CONTENT_TOO_LARGE, "a body takes at most 4 KiB");
    return answer(x, path, method);
}

static void on_completed(void *arg, struct MHD_Connection *c, void **state,
                         enum MHD_RequestTerminationCode code)
{
    struct admin *a = arg;
    (void)code;
    free(*state);
    *state = NULL;
    admin_clients_completed(&a->clients, c);
}

static void on_connection(void *arg, struct MHD_Connection *c, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct admin *a = arg;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        admin_clients_enter(&a->clients, c, context);
    else
        admin_clients_leave(&a->clients, context);
}

/* ---- life ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t make_address(const struct admin_config *c, union address *ret)
{
    *ret = (union address){0};
    if (inet_pton(AF_INET, c->host, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons((uint16_t)c->port);
        return sizeof ret->v4;
    }
    (void)inet_pton(AF_INET6, c->host, &ret->v6.sin6_addr);
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons((uint16_t)c->port);
    return sizeof ret->v6;
}

static int listen_on(const struct admin_config *c, struct err *e)
{
    union address address;
    const int yes = 1;
    socklen_t len = make_address(c, &address);
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        bind(fd, &address.any, len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    int errnum = errno;
    if (fd >= 0)
        (void)close(fd);
    return err_set(e, errnum == EADDRNOTAVAIL || errnum == EACCES ? ERR_CONFIG : ERR_FATAL,
                   "admin.listen %s: %s", c->listen, strerror(errnum));
}

/* With the port that the system chose. */
static void tell_address(struct admin *a)
{
    const struct admin_config *c = &a->config->admin;
    union address address = {0};
    socklen_t len = sizeof address;
    if (getsockname(a->fd, &address.any, &len))
        return;
    int port = ntohs(address.any.sa_family == AF_INET ? address.v4.sin_port : address.v6.sin6_port);
    cleanup_free char *text =
        xasprintf(address.any.sa_family == AF_INET ? "%s:%d" : "[%s]:%d", c->host, port);
    log_info(a->log, "admin listening", KV("address", text));
}

int admin_new(const struct config *config, struct log *log, struct admin **ret, struct err *e)
{
    int fd = listen_on(&config->admin, e);
    if (fd < 0)
        return -1;
    struct admin *a = xcalloc(1, sizeof *a);
    *a = (struct admin){.config = config, .log = log, .fd = fd};
    admin_clients_init(&a->clients);
    *ret = a;
    return 0;
}

int admin_serve(struct admin *a, struct bridge *b, struct err *e)
{
    a->bridge = b;
    tell_address(a);
    a->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL | MHD_USE_ITC, 0, NULL,
        NULL, on_request, a, MHD_OPTION_LISTEN_SOCKET, a->fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)ADMIN_CLIENTS_HARD_MAX, MHD_OPTION_CONNECTION_TIMEOUT, 10u,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES, MHD_OPTION_THREAD_STACK_SIZE, stack_bytes,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, a, MHD_OPTION_NOTIFY_CONNECTION, on_connection, a,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (!a->daemon)
        return err_set(e, ERR_FATAL, "admin.listen %s: the server can't be started: %s",
                       a->config->admin.listen, strerror(errno));
    a->fd = -1;
    return 0;
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    if (a->daemon)
        MHD_stop_daemon(a->daemon);
    if (a->fd >= 0)
        (void)close(a->fd);
    admin_clients_release(&a->clients);
    free(a);
}
