#include "bridge.h"

#include "clock.h"
#include "commands.h"
#include "state_map.h"

enum {
    WORKER_STACK_BYTES = 256 << 10, /* touched pages count, not this; sanitizers need more */
    WORKER_STACK_SANITIZED = 2 << 20,
    SETTLE_MS = 10000 /* a stop waits so long for what is in flight before Kafka is left to abort it */
};

void config_ref_take(struct config_ref **to, struct config_ref *ref)
{
    *to = ref;
    ref->n_users++;
}

void config_ref_drop(struct config_ref **ref)
{
    struct config_ref *r = TAKE_PTR(*ref);
    if (!r || --r->n_users > 0)
        return;
    config_free(r->config);
    free(r);
}

struct listener *listener_new(struct bridge *b, const struct listener_config *c, struct config_ref *ref)
{
    struct listener *l = xcalloc(1, sizeof *l);
    struct owned *o = &b->owned[state_partition_of(c->name, b->n_owned)];
    l->bridge = b;
    l->config = c;
    config_ref_take(&l->config_ref, ref);
    l->partition = o->partition;
    l->status.n.total = -1;
    (void)pthread_mutex_lock(&b->mutex);
    o->n_listeners++;
    (void)pthread_mutex_unlock(&b->mutex);
    return l;
}

void listener_free(struct listener *l)
{
    struct bridge *b = l->bridge;
    (void)pthread_mutex_lock(&b->mutex);
    b->owned[partition_id(l->partition)].n_listeners--;
    (void)pthread_mutex_unlock(&b->mutex);
    run_drop(l);
    commands_release(l);
    dataset_ref_release(&l->dataset);
    dataset_ref_release(&l->run_dataset);
    config_ref_drop(&l->config_ref);
    config_ref_drop(&l->change.config);
    free(l->told);
    mark_release(l);
    listener_status_release(&l->status);
    free(l);
}

static void add_listeners(struct bridge *b)
{
    const struct config *c = b->config;
    struct config_ref *ref = xcalloc(1, sizeof *ref), *own;
    config_ref_take(&own, ref);
    b->listeners = xcalloc(c->n_listeners, sizeof *b->listeners);
    for (size_t i = 0; i < c->n_listeners; i++)
        if (!b->options.once_listener || strcmp(b->options.once_listener, c->listeners[i].name) == 0)
            b->listeners[b->n_listeners++] = listener_new(b, &c->listeners[i], ref);
    config_ref_drop(&own);
}

static int connect_all(struct bridge *b, struct err *e)
{
    if (http_engine_new(&b->config->argilla, &b->http, e))
        return -1;
    b->argilla = argilla_new(&b->config->argilla, b->http);
    b->exprs = expr_cache_new();
    return kafka_admin_new(b->config, &b->admin, e);
}

int bridge_new(const struct config *config, struct log *log, const struct bridge_options *options,
               struct bridge **ret, struct err *e)
{
    struct bridge *b = xcalloc(1, sizeof *b);
    b->config = config;
    b->log = log;
    b->loaded_ms = clock_wall_ms();
    if (options)
        b->options = *options;
    (void)pthread_mutex_init(&b->mutex, NULL);
    (void)pthread_cond_init(&b->has_job, NULL);
    (void)pthread_cond_init(&b->stopped, NULL);
    (void)pthread_cond_init(&b->reload_taken, NULL);
    (void)pthread_rwlock_init(&b->listeners_lock, NULL);
    (void)pthread_cond_init(&b->command_done, NULL);
    status_init(&b->status, config->bridge.instance_id);
    b->jobs_tail = &b->jobs;
    b->n_owned = config->bridge.state_partitions;
    b->owned = xcalloc((size_t)b->n_owned, sizeof *b->owned);
    for (int i = 0; i < b->n_owned; i++)
        b->owned[i] = (struct owned){
            .bridge = b, .partition = partition_new(config, i, NULL), .commands.skipped_to = -1};
    admission_init(b);
    add_listeners(b);
    if (connect_all(b, e)) {
        bridge_free(b);
        return -1;
    }
    *ret = b;
    return 0;
}

static int start_thread(pthread_t *thread, size_t stack_bytes, void *(*run)(void *), struct bridge *b,
                        struct err *e)
{
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    if (stack_bytes)
        (void)pthread_attr_setstacksize(&attr, stack_bytes);
    int rc = pthread_create(thread, &attr, run, b);
    (void)pthread_attr_destroy(&attr);
    return rc ? err_errno(e, "pthread_create", rc) : 0;
}

static size_t worker_stack(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return WORKER_STACK_SANITIZED;
#else
    return WORKER_STACK_BYTES;
#endif
}

int bridge_start(struct bridge *b, struct err *e)
{
    int n = b->config->bridge.workers;
    b->workers = xcalloc((size_t)n, sizeof *b->workers);
    for (; b->n_workers < n; b->n_workers++)
        if (start_thread(&b->workers[b->n_workers], worker_stack(), worker_main, b, e))
            return -1;
    if (start_thread(&b->prober_thread, 0, prober_main, b, e))
        return -1;
    b->has_prober = true;
    if (start_thread(&b->membership_thread, 0, membership_main, b, e))
        return -1;
    b->has_membership = true;
    return 0;
}

void bridge_nudge(struct bridge *b)
{
    (void)pthread_mutex_lock(&b->mutex);
    (void)pthread_cond_broadcast(&b->stopped);
    (void)pthread_cond_broadcast(&b->command_done);
    (void)pthread_mutex_unlock(&b->mutex);
}

void bridge_stop(struct bridge *b, bool fast)
{
    atomic_store(&b->is_stopping, true);
    if (fast)
        atomic_store(&b->is_stopping_fast, true);
    for (int i = 0; fast && i < b->n_owned; i++)
        partition_set_owned(b->owned[i].partition, false);
    bridge_nudge(b);
    http_engine_wake(b->http);
}

bool bridge_await(struct bridge *b, const atomic_bool *interrupt, int64_t timeout_ms)
{
    struct timespec until = clock_deadline(timeout_ms < 0 ? 0 : timeout_ms);
    (void)pthread_mutex_lock(&b->mutex);
    while (!atomic_load(&b->is_stopping) && !atomic_load(interrupt)) {
        if (timeout_ms < 0)
            (void)pthread_cond_wait(&b->stopped, &b->mutex);
        else if (pthread_cond_clockwait(&b->stopped, &b->mutex, CLOCK_MONOTONIC, &until))
            break;
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return atomic_load(&b->is_stopping);
}

bool bridge_wait_for_stop(struct bridge *b, int64_t ms)
{
    struct timespec until = clock_deadline(ms);
    (void)pthread_mutex_lock(&b->mutex);
    while (!atomic_load(&b->is_stopping))
        if (pthread_cond_clockwait(&b->stopped, &b->mutex, CLOCK_MONOTONIC, &until))
            break;
    (void)pthread_mutex_unlock(&b->mutex);
    return atomic_load(&b->is_stopping);
}

void bridge_end_once(struct bridge *b, enum once_result result, const struct err *why)
{
    if (!b->options.once_listener)
        return;
    (void)pthread_mutex_lock(&b->mutex);
    if (b->once == ONCE_NOTHING) {
        b->once = result;
        if (why)
            b->once_why = *why;
    }
    (void)pthread_mutex_unlock(&b->mutex);
    bridge_stop(b, false);
}

void bridge_fail(struct bridge *b, const struct err *e)
{
    (void)pthread_mutex_lock(&b->mutex);
    if (b->fatal.class == ERR_NONE)
        b->fatal = *e;
    (void)pthread_mutex_unlock(&b->mutex);
    bridge_stop(b, false);
}

static bool join_until(pthread_t thread, int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_mono_ms();
    int64_t until_ms =
        clock_wall_ms() + (left > 0 ? left : 0); /* TSan doesn't know the call with a monotonic clock */
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    return pthread_timedjoin_np(thread, NULL, &until) == 0;
}

static void end_workers(struct bridge *b)
{
    int64_t deadline = clock_mono_ms() + SETTLE_MS;
    (void)pthread_mutex_lock(&b->mutex);
    b->workers_must_end = true;
    (void)pthread_cond_broadcast(&b->has_job);
    (void)pthread_mutex_unlock(&b->mutex);
    for (int i = 0; i < b->n_workers; i++) {
        if (join_until(b->workers[i], deadline))
            continue;
        bridge_stop(b, true);
        (void)pthread_join(b->workers[i], NULL);
    }
    b->n_workers = 0;
}

int bridge_wait(struct bridge *b, struct err *e)
{
    const atomic_bool never = false;
    (void)bridge_await(b, &never, -1);
    end_workers(b);
    atomic_store(&b->is_settled, true);
    if (b->has_membership)
        (void)pthread_join(b->membership_thread, NULL);
    b->has_membership = false;
    atomic_store(&b->prober_must_end, true);
    http_engine_wake(b->http);
    if (b->has_prober)
        (void)pthread_join(b->prober_thread, NULL);
    b->has_prober = false;
    if (b->fatal.class == ERR_NONE)
        return 0;
    *e = b->fatal;
    return -1;
}

enum once_result bridge_once_result(struct bridge *b, struct err *ret_why)
{
    *ret_why = b->once_why;
    return b->once;
}

void bridge_free(struct bridge *b)
{
    if (!b)
        return;
    http_engine_free(b->http); /* answers what is under way: probes and fetches end by it */
    schedule_release(&b->heap);
    for (size_t i = 0; i < b->n_listeners; i++)
        listener_free(b->listeners[i]);
    reload_free(b->reload);
    free(b->reload_error);
    for (int i = 0; i < b->n_owned; i++) {
        commands_drop(&b->owned[i]);
        partition_free(b->owned[i].partition);
    }
    argilla_free(b->argilla);
    kafka_admin_free(b->admin);
    expr_cache_free(b->exprs);
    free(b->admission.active);
    status_release(&b->status);
    free(b->owned);
    free(b->listeners);
    free(b->workers);
    (void)pthread_cond_destroy(&b->has_job);
    (void)pthread_cond_destroy(&b->stopped);
    (void)pthread_cond_destroy(&b->reload_taken);
    (void)pthread_rwlock_destroy(&b->listeners_lock);
    (void)pthread_cond_destroy(&b->command_done);
    (void)pthread_mutex_destroy(&b->mutex);
    free(b);
}
