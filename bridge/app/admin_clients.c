#include "admin_clients.h"

#include <microhttpd.h>
#include <sys/socket.h>

#include "clock.h"

enum { RUSH_NS = 5000000 };

void admin_clients_init(struct admin_clients *c)
{
    *c = (struct admin_clients){0};
    (void)pthread_mutex_init(&c->mutex, NULL);
}

void admin_clients_release(struct admin_clients *c)
{
    (void)pthread_mutex_destroy(&c->mutex);
}

struct admin_client *admin_clients_oldest(struct admin_clients *c)
{
    struct admin_client *oldest = NULL;
    for (int i = 0; i < ADMIN_CLIENTS_HARD_MAX; i++) {
        struct admin_client *at = &c->all[i];
        if (at->is_here && !at->is_busy && !at->must_go && (!oldest || at->since_ms < oldest->since_ms))
            oldest = at;
    }
    return oldest;
}

static int count(const struct admin_clients *c, bool with_those_that_go)
{
    int n = 0;
    for (int i = 0; i < ADMIN_CLIENTS_HARD_MAX; i++)
        n += c->all[i].is_here && (with_those_that_go || !c->all[i].must_go);
    return n;
}

/* On the thread that accepts. Over its limit libmicrohttpd resets whoever comes, and it frees those that have
 * gone between two that come: so in a rush, threads that are on their way out get a moment to end. */
static void slow_down(struct admin_clients *c)
{
    (void)pthread_mutex_lock(&c->mutex);
    bool is_rush = count(c, true) > ADMIN_CLIENTS_MAX + (ADMIN_CLIENTS_HARD_MAX - ADMIN_CLIENTS_MAX) / 4;
    (void)pthread_mutex_unlock(&c->mutex);
    if (is_rush)
        (void)nanosleep(&(struct timespec){.tv_nsec = RUSH_NS}, NULL);
}

/* The socket is still open as long as its client is in the list: libmicrohttpd closes it after it has said so
 * (on_connection). */
void admin_clients_enter(struct admin_clients *c, struct MHD_Connection *connection, void **context)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    (void)pthread_mutex_lock(&c->mutex);
    struct admin_client *oldest = count(c, false) >= ADMIN_CLIENTS_MAX ? admin_clients_oldest(c) : NULL;
    if (oldest) {
        oldest->must_go = true;
        (void)shutdown(oldest->fd, SHUT_RDWR); /* its thread sees the end */
    }
    struct admin_client *at = c->all;
    while (at < c->all + ADMIN_CLIENTS_HARD_MAX && at->is_here)
        at++;
    if (info && at < c->all + ADMIN_CLIENTS_HARD_MAX) {
        *at = (struct admin_client){.fd = info->connect_fd, .since_ms = clock_mono_ms(), .is_here = true};
        *context = at;
    }
    (void)pthread_mutex_unlock(&c->mutex);
    slow_down(c);
}

void admin_clients_leave(struct admin_clients *c, void **context)
{
    struct admin_client *at = *context;
    if (!at)
        return;
    (void)pthread_mutex_lock(&c->mutex);
    at->is_here = false;
    (void)pthread_mutex_unlock(&c->mutex);
    *context = NULL;
}

static struct admin_client *client_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

void admin_clients_completed(struct admin_clients *c, struct MHD_Connection *connection)
{
    struct admin_client *at = client_of(connection);
    if (!at)
        return;
    (void)pthread_mutex_lock(&c->mutex);
    at->since_ms = clock_mono_ms();
    (void)pthread_mutex_unlock(&c->mutex);
}

void admin_clients_set_busy(struct admin_clients *c, struct MHD_Connection *connection, bool is_busy)
{
    struct admin_client *at = client_of(connection);
    if (!at)
        return;
    (void)pthread_mutex_lock(&c->mutex);
    at->is_busy = is_busy;
    (void)pthread_mutex_unlock(&c->mutex);
}
