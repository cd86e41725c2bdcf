/* Who is connected to the admin interface, and who goes when one too many comes. Made for libmicrohttpd's
 * threads: each function is called by any of them. */
#ifndef AB_APP_ADMIN_CLIENTS_H
#define AB_APP_ADMIN_CLIENTS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct MHD_Connection;

enum {
    ADMIN_CLIENTS_MAX = 32,
    ADMIN_CLIENTS_HARD_MAX = 64 /* with those that were told to go and have not gone yet */
};

struct admin_client {
    int fd;
    int64_t since_ms; /* its last complete request, or when it came; monotonic */
    bool is_here, is_busy, must_go;
};
struct admin_clients {
    pthread_mutex_t mutex;
    struct admin_client all[ADMIN_CLIENTS_HARD_MAX];
};

void admin_clients_init(struct admin_clients *c);
void admin_clients_release(struct admin_clients *c);
/* `context` is libmicrohttpd's place for what belongs to the connection. */
void admin_clients_enter(struct admin_clients *c, struct MHD_Connection *connection, void **context);
void admin_clients_leave(struct admin_clients *c, void **context);
void admin_clients_completed(struct admin_clients *c, struct MHD_Connection *connection);
void admin_clients_set_busy(struct admin_clients *c, struct MHD_Connection *connection, bool is_busy);

/* With nobody else in it, for tests: the one that would go next, or NULL. */
struct admin_client *admin_clients_oldest(struct admin_clients *c);

#endif
