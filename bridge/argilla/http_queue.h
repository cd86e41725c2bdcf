/* The order in which requests go out: those of one gate one at a time, first come first served; between gates
 * in the order in which each became free to go, so that a gate with many waiting takes turns with the others.
 * Belongs to the http engine and to its owner's thread; no I/O, no allocation but one small one a gate in
 * use. */
#ifndef AB_ARGILLA_HTTP_QUEUE_H
#define AB_ARGILLA_HTTP_QUEUE_H

#include <stdint.h>

#include "mem.h"

struct http_gate;

/* A place in the queue, inside of what waits; it belongs to the caller and stays where it is until
 * http_queue_leave. */
struct http_ticket {
    struct http_ticket *next;
    struct http_gate *gate; /* NULL: none */
};

struct http_line {
    struct http_ticket *first, **last; /* where the next one's address goes */
};

enum { HTTP_GATE_BUCKETS = 256 };
struct http_queue {
    struct http_line ready; /* may go out as soon as there is a connection */
    struct http_gate *gates[HTTP_GATE_BUCKETS];
};

void http_queue_init(struct http_queue *q);
/* Frees what it still holds; tickets are the caller's. */
void http_queue_release(struct http_queue *q);

/* `gate` NULL: it waits for a connection only. */
void http_queue_enter(struct http_queue *q, struct http_ticket *t, const char *gate);
/* The next one to go out, or NULL. It keeps its gate shut until http_queue_leave. */
struct http_ticket *http_queue_next(struct http_queue *q);
/* It has ended, or gives up waiting: the next of its gate may go. */
void http_queue_leave(struct http_queue *q, struct http_ticket *t);

#endif
