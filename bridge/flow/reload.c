#include "reload.h"

#include "clock.h"
#include "expr.h"

/* What becomes of one listener of the new config. */
struct plan {
    struct listener *listener; /* that is there; NULL: it is new */
    const struct listener_config *to;
    bool is_same;
};

struct reload {
    struct config_ref *ref;
    struct plan *plans;
    size_t n;
};

void reload_free(struct reload *r)
{
    if (!r)
        return;
    config_ref_drop(&r->ref);
    free(r->plans);
    free(r);
}

static int by_name(const void *a, const void *b)
{
    struct listener *const *x = a, *const *y = b;
    return strcmp((*x)->config->name, (*y)->config->name);
}

static int name_to_listener(const void *name, const void *listener)
{
    struct listener *const *l = listener;
    return strcmp(name, (*l)->config->name);
}

/* With the listeners' lock. Compares with what each listener has now, not with a change that is still
 * pending: that one is replaced. */
static struct reload *make_plans(struct bridge *b, struct config *config,
                                 bool (*is_same)(const struct listener_config *,
                                                 const struct listener_config *),
                                 struct reload_counts *ret)
{
    struct reload *r = xcalloc(1, sizeof *r);
    config_ref_take(&r->ref, xcalloc(1, sizeof *r->ref));
    r->ref->config = config;
    r->n = config->n_listeners;
    r->plans = xcalloc(r->n, sizeof *r->plans);
    *ret = (struct reload_counts){0};
    cleanup_free struct listener **sorted = xcalloc(b->n_listeners, sizeof(struct listener *));
    memcpy(sorted, b->listeners, b->n_listeners * sizeof *sorted);
    qsort(sorted, b->n_listeners, sizeof *sorted, by_name);
    for (size_t i = 0; i < r->n; i++) {
        const struct listener_config *to = &config->listeners[i];
        struct listener **found = bsearch(to->name, sorted, b->n_listeners, sizeof *sorted, name_to_listener);
        bool same = found && is_same((*found)->config, to);
        r->plans[i] = (struct plan){.listener = found ? *found : NULL, .to = to, .is_same = same};
        ret->n_same += same;
        ret->n_changed += found && !same;
        ret->n_added += !found;
    }
    ret->n_removed = b->n_listeners - ret->n_same - ret->n_changed;
    return r;
}

/* Programs that no listener has any more would gather over many reloads. */
static void drop_unused_programs(struct bridge *b, const struct config *c)
{
    cleanup_free const char **texts = xcalloc(3 * c->n_listeners, sizeof *texts);
    size_t n = 0;
    for (size_t i = 0; i < c->n_listeners; i++) {
        const struct listener_config *l = &c->listeners[i];
        const char *const own[] = {l->condition, l->update_query_params, l->project};
        for (size_t k = 0; k < ARRAY_LEN(own); k++)
            if (own[k])
                texts[n++] = own[k];
    }
    expr_cache_keep(b->exprs, texts, n);
}

void bridge_reload(struct bridge *b, struct config *config,
                   bool (*is_same)(const struct listener_config *, const struct listener_config *),
                   struct reload_counts *ret)
{
    drop_unused_programs(b, config);
    /* until the prober has the plans, none of their listeners may go: one that an earlier reload removes
     * would */
    (void)pthread_rwlock_rdlock(&b->listeners_lock);
    struct reload *r = make_plans(b, config, is_same, ret);
    (void)pthread_mutex_lock(&b->mutex);
    b->reload = r;
    (void)pthread_mutex_unlock(&b->mutex);
    (void)pthread_rwlock_unlock(&b->listeners_lock);
    http_engine_wake(b->http);
    (void)pthread_mutex_lock(&b->mutex);
    while (b->reload)
        (void)pthread_cond_wait(&b->reload_taken, &b->mutex);
    (void)pthread_mutex_unlock(&b->mutex);
}

struct expr_cache *bridge_exprs(struct bridge *b)
{
    return b->exprs;
}

void bridge_note_reload(struct bridge *b, const char *error)
{
    (void)pthread_mutex_lock(&b->mutex);
    free(b->reload_error);
    b->reload_error = error ? xstrdup(error) : NULL;
    if (!error)
        b->loaded_ms = clock_wall_ms();
    (void)pthread_mutex_unlock(&b->mutex);
}

/* ---- the prober, with the listeners' lock for writing ---- */

static void set_change(struct listener *l, struct config_ref *ref, const struct plan *p)
{
    config_ref_drop(&l->change.config);
    l->change = (struct listener_change){.to = p->to, .is_same = p->is_same};
    config_ref_take(&l->change.config, ref);
    atomic_store(&l->must_yield, !p->is_same);
}

static void add(struct bridge *b, const struct plan *p, struct config_ref *ref)
{
    struct listener *l = listener_new(b, p->to, ref);
    b->listeners[b->n_listeners++] = l;
    if (partition_is_ready(l->partition))
        prober_start_listener(l);
}

/* The new list: what is gone stays in it until it is idle. */
static void take(struct bridge *b, struct reload *r)
{
    const struct plan gone = {0};
    size_t n_old = b->n_listeners;
    for (size_t i = 0; i < r->n; i++)
        if (r->plans[i].listener)
            set_change(r->plans[i].listener, r->ref, &r->plans[i]);
    for (size_t i = 0; i < n_old; i++)
        if (b->listeners[i]->change.config != r->ref)
            set_change(b->listeners[i], r->ref, &gone);
    b->listeners = xrealloc(b->listeners, (n_old + r->n + 1) * sizeof(struct listener *));
    for (size_t i = 0; i < r->n; i++)
        if (!r->plans[i].listener)
            add(b, &r->plans[i], r->ref);
    b->has_changes = true;
}

/* Nobody but the prober has it, and nothing of it is under way. */
static bool is_idle(struct listener *l)
{
    (void)pthread_mutex_lock(&l->bridge->mutex);
    bool is_posted = l->is_posted;
    (void)pthread_mutex_unlock(&l->bridge->mutex);
    return !is_posted && (l->phase == PHASE_WAITING || l->phase == PHASE_STOPPED || l->phase == PHASE_OFF);
}

static void apply(struct listener *l)
{
    l->config = l->change.to;
    config_ref_drop(&l->config_ref);
    l->config_ref = TAKE_PTR(l->change.config);
    if (l->change.is_same)
        return;
    atomic_store(&l->must_yield, false);
    dataset_ref_release(&l->dataset);
    atomic_store(&l->topics_checked_ms, 0);
    l->told_file_won = false;
    if (atomic_load(&l->hold) != HOLD_NONE) /* it may be what the change is for */
        l->mark.now.reconciled_ms = 0;
    if (l->phase == PHASE_WAITING)
        prober_start_listener(l);
}

static void remove_listener(struct bridge *b, size_t at)
{
    struct listener *l = b->listeners[at];
    schedule_remove(&b->heap, &l->due);
    memmove(&b->listeners[at], &b->listeners[at + 1], (b->n_listeners - at - 1) * sizeof(struct listener *));
    b->n_listeners--;
    log_info(b->log, "listener removed, its state is kept (`forget` drops it)",
             KV("listener", l->config->name));
    listener_free(l);
}

static void apply_all(struct bridge *b)
{
    b->has_changes = false;
    for (size_t i = 0; i < b->n_listeners;) {
        struct listener *l = b->listeners[i];
        bool is_ready = l->change.config && is_idle(l);
        b->has_changes |= l->change.config && !is_ready;
        if (is_ready && !l->change.to) {
            remove_listener(b, i);
            continue;
        }
        if (is_ready)
            apply(l);
        i++;
    }
}

bool reload_go_on(struct bridge *b)
{
    (void)pthread_mutex_lock(&b->mutex);
    struct reload *r = b->reload;
    (void)pthread_mutex_unlock(&b->mutex);
    if (!r && !b->has_changes)
        return true;
    if (pthread_rwlock_trywrlock(&b->listeners_lock)) /* never waits: polls are due */
        return false;
    (void)pthread_mutex_lock(&b->mutex);
    r = b->reload; /* again: plans that were made meanwhile come before changes that they know nothing of */
    (void)pthread_mutex_unlock(&b->mutex);
    if (r)
        take(b, r);
    apply_all(b);
    (void)pthread_rwlock_unlock(&b->listeners_lock);
    if (!r)
        return true;
    reload_free(r);
    (void)pthread_mutex_lock(&b->mutex);
    b->reload = NULL;
    (void)pthread_cond_broadcast(&b->reload_taken);
    (void)pthread_mutex_unlock(&b->mutex);
    return true;
}
