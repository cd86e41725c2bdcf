/* A small HTTP server inside a test, on a free port of 127.0.0.1: a thread a connection, and what it answers
 * is a function of the test's. It is as rude as it is told to be: it holds requests, cuts answers, closes. */
#ifndef AB_TESTS_HTTP_SERVER_H
#define AB_TESTS_HTTP_SERVER_H

#include "mem.h"

struct http_server;
struct http_conn; /* one connection, within the handler */

struct http_seen {
    const char *method, *path, *headers, *body;
    int number;          /* of the request, from 1, over all connections */
    int connection;      /* of the connection, from 1 */
    int n_on_connection; /* from 1: above, the connection was used again */
};

/* Called on the connection's thread for each request; requests of different connections at the same time. */
typedef void http_server_fn(struct http_conn *c, const struct http_seen *r, void *arg);

struct http_server *http_server_start(http_server_fn *fn, void *arg);
/* Lets go of what is held, closes everything and waits for all threads. */
void http_server_stop(struct http_server *s);
const char *http_server_url(const struct http_server *s);
/* A connection without a request for so long is closed; 0: never. */
void http_server_set_idle_ms(struct http_server *s, int idle_ms);
/* The n-th request of a connection (1, 2, ...) is not read: when it begins to arrive, the connection is
 * reset. */
void http_server_set_reset_at(struct http_server *s, int n_on_connection);

/* For handlers. `headers`: whole lines, each with its \r\n, or "". */
void http_reply(struct http_conn *c, int status, const char *headers, const char *body);
void http_send(struct http_conn *c, const void *data, size_t len);
/* The connection is closed when the handler returns. */
void http_close(struct http_conn *c);
/* Waits for http_server_release or the client's going away. */
void http_hold(struct http_conn *c);

/* Lets go of all that is held and will be. */
void http_server_release(struct http_server *s);

struct http_server_numbers {
    int n_requests, n_connections, n_closed;
    int n_held, max_held;
};
struct http_server_numbers http_server_numbers(struct http_server *s);

#endif
