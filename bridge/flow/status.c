#include "status.h"

#include <stdio.h>
#include <unistd.h>

#include "bridge.h"
#include "clock.h"

enum { SHOWN_PARAMS_MAX = 4096 };

void status_init(struct status *s, const char *instance_id)
{
    char host[64] = "";
    (void)pthread_mutex_init(&s->mutex, NULL);
    s->started_ms = clock_wall_ms();
    status_beat(&s->prober_mono_ms);
    status_beat(&s->membership_mono_ms);
    (void)gethostname(host, sizeof host - 1);
    if (instance_id)
        (void)snprintf(s->instance, sizeof s->instance, "%s", instance_id);
    else
        (void)snprintf(s->instance, sizeof s->instance, "%s:%d", host, (int)getpid());
}

void status_release(struct status *s)
{
    (void)pthread_mutex_destroy(&s->mutex);
}

void listener_status_release(struct listener_status *s)
{
    free(s->query_params);
    free(s->error_text);
}

static struct status_numbers *lock(struct listener *l)
{
    (void)pthread_mutex_lock(&l->bridge->status.mutex);
    return &l->status.n;
}

static void unlock(struct listener *l)
{
    (void)pthread_mutex_unlock(&l->bridge->status.mutex);
}

/* With the lock; NULL takes it away. A text that stays is not copied again. */
static void set_text(char **at, const char *text)
{
    if (*at && text && strcmp(*at, text) == 0)
        return;
    free(*at);
    *at = text ? xstrdup(text) : NULL;
}

void status_beat(atomic_llong *mono_ms)
{
    atomic_store_explicit(mono_ms, clock_mono_ms(), memory_order_relaxed);
}

void status_waits(struct listener *l, int64_t due_mono_ms)
{
    int64_t next_ms = clock_wall_ms() + due_mono_ms - clock_mono_ms();
    struct status_numbers *n = lock(l);
    n->due_mono_ms = due_mono_ms;
    n->next_poll_ms = next_ms;
    unlock(l);
}

void status_off(struct listener *l)
{
    struct status_numbers *n = lock(l);
    n->due_mono_ms = n->next_poll_ms = n->handed_mono_ms = 0;
    unlock(l);
}

void status_poll_begins(struct listener *l, int64_t due_mono_ms)
{
    int64_t late_ms = clock_mono_ms() - due_mono_ms, now_ms = clock_wall_ms();
    struct status_numbers *n = lock(l);
    n->due_mono_ms = n->next_poll_ms = 0;
    n->last_poll_ms = now_ms;
    n->lateness_ms = late_ms > 0 ? late_ms : 0;
    n->has_run = false; /* else it would go on with that */
    n->counters.polls++;
    histogram_add(&l->bridge->status.lateness, late_ms);
    unlock(l);
}

void status_handed(struct listener *l)
{
    int64_t now = clock_mono_ms();
    struct status_numbers *n = lock(l);
    n->due_mono_ms = n->next_poll_ms = 0;
    n->handed_mono_ms = now;
    unlock(l);
}

void status_probed(struct listener *l, int64_t total, const bool *holds, const char *query_params,
                   int64_t run)
{
    struct status_numbers *n = lock(l);
    n->total = total;
    n->condition = !holds ? CONDITION_UNKNOWN : *holds ? CONDITION_TRUE : CONDITION_FALSE;
    n->run = run;
    set_text(&l->status.query_params, strlen(query_params) <= SHOWN_PARAMS_MAX ? query_params : NULL);
    unlock(l);
}

void status_fired(struct listener *l)
{
    lock(l)->counters.fired++;
    unlock(l);
}

void status_well(struct listener *l)
{
    int64_t now_ms = clock_wall_ms();
    struct status_numbers *n = lock(l);
    n->last_success_ms = now_ms;
    n->error.class = ERR_NONE;
    n->error.since_ms = 0;
    set_text(&l->status.error_text, NULL);
    unlock(l);
}

void status_failed(struct listener *l, const struct err *e)
{
    int64_t now_ms = clock_wall_ms();
    if (atomic_load(&l->bridge->is_stopping)) /* a stop cancels what is under way: no failure */
        return;
    struct status_numbers *n = lock(l);
    if (n->error.class == ERR_NONE)
        n->error.since_ms = now_ms;
    n->error.class = e->class;
    n->counters.failures[e->class]++;
    set_text(&l->status.error_text, e->msg);
    unlock(l);
}

void status_stopped(struct listener *l, bool is_stopped)
{
    lock(l)->is_stopped = is_stopped;
    unlock(l);
}

void status_taken(struct listener *l)
{
    lock(l)->handed_mono_ms = 0;
    unlock(l);
}

/* With the lock: what is new since the last look at this run is counted. */
static void move_progress(struct status_numbers *n, const struct run_progress *p)
{
    struct status_counters *c = &n->counters;
    c->matched += p->n_matched - n->progress.matched;
    c->published += p->n_published - n->progress.published;
    c->unchanged += p->n_unchanged - n->progress.unchanged;
    c->oversize += p->n_oversize - n->progress.oversize;
    c->deleted += p->n_deleted - n->progress.deleted;
    c->removed += p->n_removed - n->progress.removed;
    c->batches += p->n_batches - n->progress.batches;
    n->progress.matched = p->n_matched;
    n->progress.published = p->n_published;
    n->progress.unchanged = p->n_unchanged;
    n->progress.oversize = p->n_oversize;
    n->progress.deleted = p->n_deleted;
    n->progress.removed = p->n_removed;
    n->progress.batches = p->n_batches;
}

/* A run that goes on may be one that another process began: that counts from here only. */
void status_run_begins(struct listener *l, const struct run_progress *p, int64_t total)
{
    struct status_numbers *n = lock(l);
    struct status_counters before = n->counters;
    bool is_new_here = n->progress.run != p->run;
    move_progress(n, p);
    if (is_new_here)
        n->counters = before;
    n->run = n->progress.run = p->run;
    n->progress.started_ms = p->started_ms;
    n->progress.total = total;
    n->has_run = true;
    unlock(l);
}

void status_committed(struct listener *l, const struct run_progress *p, size_t n_bytes)
{
    struct status_numbers *n = lock(l);
    move_progress(n, p);
    n->counters.bytes += (int64_t)n_bytes;
    unlock(l);
}

void status_run_ended(struct listener *l, enum run_outcome outcome)
{
    int64_t now_ms = clock_wall_ms();
    struct status_numbers *n = lock(l);
    n->has_run = false;
    if (outcome == OUTCOME_NONE) {
        unlock(l);
        return;
    }
    n->counters.completed += outcome == OUTCOME_COMPLETED;
    n->counters.failed += outcome == OUTCOME_FAILED;
    n->last_run.outcome = outcome;
    n->last_run.run = n->progress.run;
    n->last_run.n_records = n->progress.published;
    n->last_run.ended_ms = now_ms;
    n->last_run.took_ms = now_ms - n->progress.started_ms;
    unlock(l);
}

void status_each_listener(struct bridge *b, void (*each)(struct listener *l, void *arg), void *arg)
{
    (void)pthread_rwlock_rdlock(&b->listeners_lock);
    for (size_t i = 0; i < b->n_listeners; i++)
        each(b->listeners[i], arg);
    (void)pthread_rwlock_unlock(&b->listeners_lock);
}

struct status_numbers status_numbers_of(struct listener *l)
{
    struct status_numbers copy = *lock(l);
    unlock(l);
    return copy;
}

const char *status_word(struct listener *l, const struct status_numbers *n)
{
    enum phase phase = l->phase;
    if (!partition_is_owned(l->partition))
        return atomic_load(&l->bridge->status.is_settled) ? "elsewhere" : "opening";
    if (!partition_is_ready(l->partition))
        return "opening";
    if (phase == PHASE_RUNNING) /* a stopped one too, when it was triggered */
        return "running";
    if (n->is_stopped && phase != PHASE_PROBING)
        return "stopped";
    if (n->error.class != ERR_NONE)
        return n->error.class == ERR_AUTH ? "paused" : "failing";
    return phase == PHASE_PROBING ? "probing" : "waiting";
}

struct status_partitions status_partitions_of(struct bridge *b)
{
    struct status_partitions p = {.of = b->n_owned};
    (void)pthread_mutex_lock(&b->mutex);
    for (int i = 0; i < b->n_owned; i++) {
        const struct owned *o = &b->owned[i];
        bool is_open = partition_is_ready(o->partition);
        p.owned += o->is_assigned;
        p.open += is_open;
        p.wanted += o->is_kept && o->n_listeners;
        p.wanted_open += o->is_kept && o->n_listeners && is_open;
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return p;
}
