/* The admin interface: status, metrics, health, the status page and commands over HTTP/1.1. Without TLS: on
 * an address that others reach, a proxy before it has to bring that.
 *
 * A thread a connection (libmicrohttpd's), with a small stack, so that neither a slow client nor a command
 * that waits for Kafka keeps others waiting. Of 32 connections one more pushes out the one that has been
 * without a complete request for longest, unless a command is under way on it: those who hold connections
 * open and say nothing can't keep anybody out. A connection that is silent for 10 s is closed; 32 KiB hold a
 * request's head.
 *
 * What it answers is for anyone who reaches the address; what changes anything needs the token. Main makes
 * and frees it. */
#ifndef AB_APP_ADMIN_H
#define AB_APP_ADMIN_H

#include "bridge.h"

struct admin;

/* Listens as `config->admin` says; nothing is answered yet, clients wait. Both outlive it. -1: CONFIG (an
 * address that this machine hasn't got, a port that needs rights), FATAL (another process has it). */
int admin_new(const struct config *config, struct log *log, struct admin **ret, struct err *e);
/* Answers from now on, about `b`, which has been started. -1 FATAL. */
int admin_serve(struct admin *a, struct bridge *b, struct err *e);
/* Answers what is under way, closes the connections. Takes NULL. To be called before bridge_free. */
void admin_free(struct admin *a);

#endif
