/* HTTP on 127.0.0.1, one thread, as the real server has one; keep-alive, idle connections are closed after 5
 * s. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "sim.h"

enum { IDLE_S = 5 };

struct server;
/* `wake` is called, from the server's thread, when server_tick has something new to wait for. */
int server_new(struct sim *sim, int port, void (*wake)(void *arg), void *arg, struct server **ret,
               struct err *e);
int server_port(const struct server *s);
/* Lets go on what has waited long enough. Milliseconds until the next one is due; -1: none. */
int64_t server_tick(struct server *s);
/* Ends all connections, those that hang too. */
void server_free(struct server *s);

#endif
