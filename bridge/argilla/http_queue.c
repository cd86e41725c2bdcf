#include "http_queue.h"

/* A gate exists while somebody holds it: the one who is in the ready line or on his way. */
struct http_gate {
    struct http_gate *next; /* of the bucket */
    struct http_line waiting;
    const struct http_ticket *holder;
    uint64_t hash;
    char name[];
};

static void line_init(struct http_line *l)
{
    *l = (struct http_line){.first = NULL, .last = &l->first};
}

static void line_push(struct http_line *l, struct http_ticket *t)
{
    t->next = NULL;
    *l->last = t;
    l->last = &t->next;
}

static bool line_remove(struct http_line *l, struct http_ticket *t)
{
    for (struct http_ticket **at = &l->first; *at; at = &(*at)->next) {
        if (*at != t)
            continue;
        *at = t->next;
        if (!*at)
            l->last = at;
        return true;
    }
    return false;
}

static struct http_ticket *line_pop(struct http_line *l)
{
    struct http_ticket *t = l->first;
    if (t && !(l->first = t->next))
        l->last = &l->first;
    return t;
}

void http_queue_init(struct http_queue *q)
{
    *q = (struct http_queue){0};
    line_init(&q->ready);
}

void http_queue_release(struct http_queue *q)
{
    for (size_t i = 0; i < HTTP_GATE_BUCKETS; i++) {
        for (struct http_gate *g = q->gates[i], *next; g; g = next) {
            next = g->next;
            free(g);
        }
    }
    http_queue_init(q);
}

/* FNV-1a. */
static uint64_t hash_of(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

static struct http_gate *gate_get(struct http_queue *q, const char *name)
{
    uint64_t hash = hash_of(name);
    struct http_gate **bucket = &q->gates[hash % HTTP_GATE_BUCKETS];
    for (struct http_gate *g = *bucket; g; g = g->next)
        if (g->hash == hash && strcmp(g->name, name) == 0)
            return g;
    size_t size = strlen(name) + 1;
    struct http_gate *g = xcalloc(1, sizeof *g + size);
    memcpy(g->name, name, size);
    g->hash = hash;
    line_init(&g->waiting);
    g->next = *bucket;
    *bucket = g;
    return g;
}

static void gate_drop(struct http_queue *q, struct http_gate *g)
{
    struct http_gate **at = &q->gates[g->hash % HTTP_GATE_BUCKETS];
    while (*at != g)
        at = &(*at)->next;
    *at = g->next;
    free(g);
}

void http_queue_enter(struct http_queue *q, struct http_ticket *t, const char *gate)
{
    t->gate = gate ? gate_get(q, gate) : NULL;
    if (t->gate && t->gate->holder) {
        line_push(&t->gate->waiting, t);
        return;
    }
    if (t->gate)
        t->gate->holder = t;
    line_push(&q->ready, t);
}

struct http_ticket *http_queue_next(struct http_queue *q)
{
    return line_pop(&q->ready);
}

void http_queue_leave(struct http_queue *q, struct http_ticket *t)
{
    struct http_gate *g = TAKE_PTR(t->gate);
    if (g && g->holder != t) {
        (void)line_remove(&g->waiting, t);
        return;
    }
    (void)line_remove(&q->ready, t); /* not there when it was on its way */
    if (!g)
        return;
    struct http_ticket *next = line_pop(&g->waiting);
    g->holder = next;
    if (next)
        line_push(&q->ready, next);
    else
        gate_drop(q, g);
}
