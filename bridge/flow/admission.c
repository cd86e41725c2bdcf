/* How many runs go on at once. Each holds what it has fetched until its chunk is committed, so memory is
 * bounded by their number, however many listeners fire at one moment; the others wait in order and hold
 * nothing. A run whose page doesn't come is not counted after a while, up to a hard limit: datasets that hang
 * must not keep the others waiting. Everything here is the prober's. */
#include "bridge.h"
#include "clock.h"

enum { RUNS_MIN = 32, STALLED_RUNS_MAX = 64, STALLED_MS = 2000 };

void admission_init(struct bridge *b)
{
    struct admission *a = &b->admission;
    a->n_slots = b->config->bridge.workers > RUNS_MIN ? (size_t)b->config->bridge.workers : RUNS_MIN;
    a->active = xcalloc(a->n_slots + STALLED_RUNS_MAX, sizeof(struct listener *));
    a->tail = &a->waiting;
}

static size_t n_stalled(const struct admission *a)
{
    int64_t now = clock_mono_ms();
    size_t n = 0;
    for (size_t i = 0; i < a->n_active; i++) {
        int64_t since = atomic_load(&a->active[i]->parked_ms);
        n += since && now - since > STALLED_MS;
    }
    return n < STALLED_RUNS_MAX ? n : STALLED_RUNS_MAX;
}

void admission_go_on(struct bridge *b)
{
    struct admission *a = &b->admission;
    if (!a->waiting)
        return;
    for (size_t room = a->n_slots + n_stalled(a); a->waiting && a->n_active < room;) {
        struct listener *l = a->waiting;
        a->waiting = l->next_waiting;
        if (!a->waiting)
            a->tail = &a->waiting;
        a->active[a->n_active++] = l;
        l->is_admitted = true;
        jobs_push(b, &l->job);
    }
}

void admission_ask(struct listener *l)
{
    struct bridge *b = l->bridge;
    struct admission *a = &b->admission;
    if (l->is_admitted) { /* it has only given its worker up for a moment */
        jobs_push(b, &l->job);
        return;
    }
    l->next_waiting = NULL;
    *a->tail = l;
    a->tail = &l->next_waiting;
    admission_go_on(b);
}

void admission_leave(struct listener *l)
{
    struct admission *a = &l->bridge->admission;
    size_t i = 0;
    while (i < a->n_active && a->active[i] != l)
        i++;
    if (i < a->n_active)
        a->active[i] = a->active[--a->n_active];
    l->is_admitted = false;
    admission_go_on(l->bridge);
}
