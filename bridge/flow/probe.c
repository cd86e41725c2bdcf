/* One poll, from its due time to the decision: the metrics and the exact count are asked for, and when all
 * have answered, the condition is evaluated on them. If it holds, the run's ctx is frozen here, with the
 * query_params that will follow it, and a worker goes on (run.c). A listener without condition and metrics
 * has nothing to ask: it fires.
 *
 * Everything in this file runs on the prober's thread, except prober_post. Nothing here waits. */
#include <stdlib.h>
#include <unistd.h>

#include "bridge.h"
#include "clock.h"
#include "commands.h"
#include "fetch.h"
#include "template.h"

enum { QUERY_MAX = 64 << 10, METRICS_MAX = 4 << 20, EVAL_MAX = 8 << 20, IDLE_MS = 1000, RELOAD_AGAIN_MS = 5 };

struct probe {
    struct listener *listener;
    struct listener_state state;
    char *query; /* formatted; NULL: all records */
    int64_t total;
    char **metrics; /* answers, in the order of the config */
    size_t n_waiting;
    int64_t start_ms;
    uint64_t epoch;     /* of the state that is looked at */
    uint64_t *requests; /* what http_cancel takes: the dataset's or the total's, one a metric, the range's */
    bool is_called_off;
    struct err err;
    struct scan_plan plan; /* deliver = changes; its query once it is decided */
    int64_t range_total, range_date_ms;
    const char *why; /* it is to reconcile; a literal */
};

#define PROBE_REQUESTS(config) (2 + (config)->n_metrics)

/* The argument of a metric's answer: which one it is. */
struct metric_slot {
    struct probe *probe;
    size_t index;
};

static void start_requests(struct probe *p);
static void decide(struct probe *p);

static void probe_free(struct probe *p)
{
    for (size_t i = 0; p->metrics && i < p->listener->config->n_metrics; i++)
        free(p->metrics[i]);
    free(p->metrics);
    free(p->requests);
    free(p->query);
    scan_plan_release(&p->plan);
    listener_state_release(&p->state);
    free(p);
}

void prober_post(struct listener *l, bool has_ended)
{
    struct bridge *b = l->bridge;
    (void)pthread_mutex_lock(&b->mutex);
    l->has_ended |= has_ended;
    if (!l->is_posted) {
        l->is_posted = true;
        l->next_posted = b->posted;
        b->posted = l;
    }
    (void)pthread_mutex_unlock(&b->mutex);
    http_engine_wake(b->http);
}

/* Nothing has it any more: a command, if one waits; else it rests until `due_ms`, or for good when it is
 * stopped, or off when its partition has gone meanwhile. */
static void rest(struct listener *l, int64_t due_ms)
{
    schedule_remove(&l->bridge->heap, &l->due);
    status_stopped(l, l->control.is_stopped);
    if (!partition_is_ready(l->partition) || atomic_load(&l->bridge->is_stopping)) {
        l->phase = PHASE_OFF;
        status_off(l);
        control_drop(l);
    } else if (control_take(l, due_ms)) {
        return;
    } else if (!control_may_poll(l)) {
        l->phase = PHASE_STOPPED;
        status_off(l);
    } else {
        l->phase = PHASE_WAITING;
        schedule_set(&l->bridge->heap, &l->due, due_ms);
        status_waits(l, due_ms);
    }
}

static int64_t interval_ms(const struct listener *l)
{
    return (int64_t)(l->config->interval_s * 1000);
}

static void poll_done(struct listener *l)
{
    backoff_reset(&l->backoff);
    health_listener(l, NULL);
    status_well(l);
    l->grid_ms = schedule_next(l->grid_ms, interval_ms(l), clock_mono_ms());
    rest(l, l->grid_ms);
}

/* As the class says: RETRY soon, with backoff; a bad query, condition or dataset at the next tick; AUTH is
 * paused for long. */
static void poll_failed(struct listener *l, const struct err *e)
{
    int64_t now = clock_mono_ms();
    int64_t wait = backoff_fail(&l->backoff, e->retry_after_ms, (uint32_t)random());
    health_listener(l, e);
    status_failed(l, e);
    dataset_ref_release(&l->dataset); /* it may have been deleted, or made anew with another task */
    l->grid_ms = schedule_next(l->grid_ms, interval_ms(l), now);
    if (l->control.has_trigger && e->class == ERR_BAD_INPUT) /* the next one would fail in the same way */
        l->control.duty = DUTY_END_TRIGGER;
    if (e->class == ERR_AUTH)
        rest(l, now + (int64_t)l->bridge->config->argilla.auth_retry_s * 1000);
    else if (e->class == ERR_BAD_INPUT && l->grid_ms > now + wait)
        rest(l, l->grid_ms);
    else
        rest(l, now + wait);
    bridge_end_once(l->bridge, ONCE_FAILED, e);
}

static void give_to_worker(struct listener *l)
{
    l->phase = PHASE_RUNNING;
    dataset_ref_release(&l->run_dataset);
    l->run_dataset = (struct dataset_ref){xstrdup(l->config->workspace), xstrdup(l->config->dataset),
                                          l->dataset.task ? xstrdup(l->dataset.task) : NULL, NULL};
    status_handed(l);
    l->job = (struct job){.kind = JOB_RUN, .listener = l};
    admission_ask(l);
}

/* For the sake of a command: what it has asked for is of no use any more. */
static void probe_call_off(struct probe *p)
{
    p->is_called_off = true;
    for (size_t i = 0; i < PROBE_REQUESTS(p->listener->config); i++)
        http_cancel(p->listener->bridge->http, p->requests[i]);
}

static void probe_called_off(struct probe *p)
{
    struct listener *l = p->listener;
    l->probe = NULL;
    probe_free(p);
    rest(l, clock_mono_ms());
}

static void probe_failed(struct probe *p, const struct err *why)
{
    struct listener *l = p->listener;
    struct err e = *why;
    l->probe = NULL;
    probe_free(p);
    poll_failed(l, &e);
}

static void on_answer(struct probe *p, struct argilla_answer *a)
{
    struct bridge *b = p->listener->bridge;
    if (!p->is_called_off)
        health_argilla(b, a->err.class ? &a->err : NULL, p->start_ms);
    if (a->err.class && !p->err.class)
        p->err = a->err;
    if (--p->n_waiting > 0)
        return;
    if (p->is_called_off)
        probe_called_off(p);
    else if (p->err.class)
        probe_failed(p, &p->err);
    else
        decide(p);
}

static void on_total(void *arg, struct argilla_answer *a)
{
    struct probe *p = arg;
    p->total = a->total;
    on_answer(p, a);
}

/* What the mark will be: the server's clock when the poll began, by its answer's. -1: a server without clock.
 */
static int set_mark_time(struct probe *p, int64_t date_ms, struct err *e)
{
    if (!date_ms)
        return err_set(e, ERR_RETRY, "the answer has no Date, which deliver = \"changes\" goes by");
    p->plan.at_ms = date_ms - (clock_mono_ms() - p->start_ms);
    return 0;
}

static void on_range(void *arg, struct argilla_answer *a)
{
    struct probe *p = arg;
    p->range_total = a->total;
    p->range_date_ms = a->date_ms;
    if (!a->err.class)
        (void)set_mark_time(p, a->date_ms, &a->err);
    on_answer(p, a);
}

static void on_metric(void *arg, struct argilla_answer *a)
{
    struct metric_slot *slot = arg;
    struct probe *p = slot->probe;
    p->metrics[slot->index] = a->err.class ? NULL : TAKE_PTR(a->metric_json);
    free(slot);
    on_answer(p, a);
}

static void on_dataset(void *arg, struct argilla_answer *a)
{
    struct probe *p = arg;
    if (p->is_called_off) {
        dataset_ref_release(&a->dataset);
        probe_called_off(p);
        return;
    }
    health_argilla(p->listener->bridge, a->err.class ? &a->err : NULL, p->start_ms);
    if (a->err.class) {
        probe_failed(p, &a->err);
        return;
    }
    dataset_ref_release(&p->listener->dataset);
    p->listener->dataset = a->dataset;
    a->dataset = (struct dataset_ref){0};
    if (p->plan.kind == PLAN_RECONCILE) {
        p->plan.dataset = xstrdup(p->listener->dataset.identity);
        if (set_mark_time(p, a->date_ms, &a->err)) {
            probe_failed(p, &a->err);
            return;
        }
    }
    start_requests(p);
}

static char *query_since(const struct probe *p, int64_t to_ms)
{
    const struct listener *l = p->listener;
    return argilla_query_since(l->bridge->argilla, p->query,
                               l->mark.now.at_ms - (int64_t)(l->config->overlap_s * 1000), to_ms);
}

static void start_requests(struct probe *p)
{
    struct listener *l = p->listener;
    struct bridge *b = l->bridge;
    const struct listener_config *c = l->config;
    bool has_questions = c->condition || c->n_metrics, has_range = p->plan.kind == PLAN_CHANGES;
    if (!l->dataset.workspace || (p->plan.kind == PLAN_RECONCILE && !p->plan.dataset)) {
        p->requests[0] = argilla_resolve(b->argilla, c->workspace, c->dataset, on_dataset, p);
        return;
    }
    p->n_waiting = (has_questions ? 1 + c->n_metrics : 0) + has_range;
    if (!p->n_waiting) {
        decide(p);
        return;
    }
    if (has_range) {
        cleanup_free char *range = query_since(p, -1);
        p->requests[1 + c->n_metrics] = argilla_count(b->argilla, &l->dataset, range, on_range, p);
    }
    if (!has_questions)
        return;
    for (size_t i = 0; i < c->n_metrics; i++) {
        struct metric_slot *slot = xcalloc(1, sizeof *slot);
        *slot = (struct metric_slot){p, i};
        p->requests[1 + i] =
            argilla_metric(b->argilla, &l->dataset, p->query, c->metrics[i], on_metric, slot);
    }
    p->requests[0] = argilla_count(b->argilla, &l->dataset, p->query, on_total, p);
}

static void write_metrics(const struct probe *p, struct buf *ret)
{
    const struct listener_config *c = p->listener->config;
    buf_addch(ret, '{');
    for (size_t i = 0; i < c->n_metrics; i++) {
        buf_addstr(ret, i ? "," : "");
        buf_addjson(ret, c->metrics[i], strlen(c->metrics[i]));
        buf_addch(ret, ':');
        buf_addstr(ret, p->metrics[i]);
    }
    buf_addch(ret, '}');
}

/* Freezes what the run will be: its ctx and the query_params after it. */
static int freeze(struct probe *p, const char *ctx, const char *eval_ctx, struct fired **ret, struct err *e)
{
    const struct listener_config *c = p->listener->config;
    struct slice eval = slice_of(eval_ctx);
    cleanup_buf struct buf next = buf_make(STATE_JSON_MAX);
    if (strlen(ctx) > CTX_MAX)
        return err_set(e, ERR_BAD_INPUT, "the run's ctx has %zu bytes, at most %d: ask for fewer metrics",
                       strlen(ctx), CTX_MAX);
    if (!c->update_query_params)
        buf_addstr(&next, p->state.query_params);
    else if (expr_update_params(p->listener->bridge->exprs, c->update_query_params, eval, &next, e))
        return err_wrap(e, "update_query_params");
    if (next.overflow)
        return err_set(e, ERR_BAD_INPUT, "query_params have grown over %d bytes", STATE_JSON_MAX);
    struct fired *f = xcalloc(1, sizeof *f);
    *f = (struct fired){
        .run = p->state.run + 1, .total = p->total, .epoch = p->epoch, .fired_ms = clock_wall_ms()};
    f->frozen = (struct frozen_run){.ctx = xstrdup(ctx), .next_params = buf_take(&next)};
    *ret = f;
    return 0;
}

/* 0 with `ret` NULL when the condition is false. */
static int evaluate(struct probe *p, struct fired **ret, struct err *e)
{
    struct listener *l = p->listener;
    const struct listener_config *c = l->config;
    cleanup_buf struct buf metrics = buf_make(METRICS_MAX), ctx = buf_make(EVAL_MAX),
                           eval = buf_make(EVAL_MAX);
    bool holds = true;
    write_metrics(p, &metrics);
    ctx_write(c, p->state.run + 1, p->query, p->total, buf_str(&metrics), p->state.query_params, &ctx);
    ctx_with_previous(buf_str(&ctx), p->state.previous, &eval);
    if (metrics.overflow || ctx.overflow || eval.overflow)
        return err_set(e, ERR_BAD_INPUT, "the metrics' answers are over %d bytes", METRICS_MAX);
    if (c->condition && expr_condition(l->bridge->exprs, c->condition, buf_slice(&eval), &holds, e))
        return err_wrap(e, "condition");
    status_probed(l, p->total, c->condition ? &holds : NULL, p->state.query_params, p->state.run);
    if (!holds && !l->bridge->options.force && !(l->control.has_trigger && l->control.is_forced)) {
        *ret = NULL;
        return 0;
    }
    return freeze(p, buf_str(&ctx), buf_str(&eval), ret, e);
}

enum { STEP_OF_DATE_MS = 1000 };

/* deliver = changes: what the run will scan. A closed range: what is written meanwhile is the next poll's.
 * False when there is nothing to scan and nothing to write: the poll is done. */
static bool plan_scan(struct probe *p, struct fired *fired)
{
    struct listener *l = p->listener;
    struct scan_plan *plan = &p->plan;
    if (plan->kind == PLAN_RECONCILE)
        plan->query = p->query ? xstrdup(p->query) : NULL;
    else if (p->range_total)
        plan->query = query_since(p, p->range_date_ms + STEP_OF_DATE_MS);
    else
        plan->kind = PLAN_MARK;
    if (plan->kind == PLAN_MARK && !mark_is_due(l, plan->at_ms)) {
        struct changes_mark after =
            changes_mark_after(&l->mark.now, plan, p->state.generation, p->query, false, 0);
        mark_keep(l, &after, p->epoch, false);
        changes_mark_release(&after);
        return false;
    }
    fired->frozen.plan = *plan;
    *plan = (struct scan_plan){0};
    return true;
}

static void decide(struct probe *p)
{
    struct listener *l = p->listener;
    struct fired *fired = NULL;
    struct err e;
    enum once_result once = ONCE_FALSE;
    int rc = evaluate(p, &fired, &e);
    if (rc) {
        probe_failed(p, &e);
        return;
    }
    if (fired && p->plan.kind != PLAN_MATCHES && !plan_scan(p, fired)) {
        frozen_run_release(&fired->frozen);
        free(TAKE_PTR(fired));
        once = ONCE_FIRED;
    }
    log_debug(l->bridge->log, "poll", KV("listener", l->config->name), KV("query", p->query ? p->query : ""),
              KVI("total", p->total), KV("fired", fired ? "true" : "false"),
              KV("reconcile", p->why ? p->why : ""), KVI("took_ms", clock_mono_ms() - p->start_ms));
    l->probe = NULL;
    probe_free(p);
    if (!fired) {
        if (l->control.has_trigger)
            l->control.duty = DUTY_END_TRIGGER;
        poll_done(l);
        bridge_end_once(l->bridge, once, NULL);
        return;
    }
    l->fired = fired;
    status_fired(l);
    give_to_worker(l);
}

static bool has_run_in_progress(struct listener *l)
{
    cleanup_free char *key = listener_state_key("run", l->config->name);
    cleanup_buf struct buf value = buf_make(STATE_VALUE_MAX);
    return partition_get(l->partition, key, &value, NULL) && value.len > 0;
}

static int read_mark(struct listener *l, struct probe *p, struct err *e)
{
    if (l->config->deliver != DELIVER_CHANGES)
        return 0;
    if (mark_load(l, p->epoch, e))
        return -1;
    p->plan.kind = changes_next(&l->mark.now, p->state.generation, p->query,
                                (int64_t)(l->config->reconcile_interval_s * 1000), clock_wall_ms(), &p->why);
    return 0;
}

static int read_query(struct listener *l, struct probe *p, struct err *e)
{
    cleanup_buf struct buf query = buf_make(QUERY_MAX);
    if (!l->config->query)
        return 0;
    if (template_format(l->config->query, slice_of(p->state.query_params), &query, e))
        return -1;
    if (query.overflow)
        return err_set(e, ERR_BAD_INPUT, "the query is over %d bytes", QUERY_MAX);
    p->query = buf_take(&query);
    return 0;
}

static int read_state(struct listener *l, struct probe *p, struct err *e)
{
    cleanup_free char *key = listener_state_key("listener", l->config->name);
    cleanup_free char *params = NULL;
    cleanup_buf struct buf value = buf_make(STATE_VALUE_MAX);
    bool file_won = false;
    if (!partition_get(l->partition, key, &value, &p->epoch))
        return err_set(e, ERR_RETRY, "its partition is being opened");
    if (listener_state_read(buf_slice(&value), l->config, &p->state, &file_won, e))
        return -1;
    if (file_won && !l->told_file_won) {
        log_info(l->bridge->log, "query_params in the file have changed: they replace the listener's state",
                 KV("listener", l->config->name), KV("query_params", p->state.query_params));
        l->told_file_won = true;
    }
    return read_query(l, p, e) || read_mark(l, p, e) ? -1 : 0;
}

static void start_poll(struct listener *l)
{
    struct err e;
    bool is_in_run = has_run_in_progress(l);
    control_learn(l);
    if (l->control.has_trigger && !is_in_run && l->control.trigger_expires_at_ms < clock_wall_ms()) {
        log_warn(l->bridge->log, "trigger dropped", KV("listener", l->config->name), KV("error", "too late"));
        l->control.duty = DUTY_END_TRIGGER;
    }
    if (!partition_is_ready(l->partition) || l->control.duty || !control_may_poll(l)) {
        l->phase = PHASE_OFF;
        rest(l, clock_mono_ms());
        return;
    }
    if (is_in_run) {
        give_to_worker(l);
        return;
    }
    struct probe *p = xcalloc(1, sizeof *p);
    p->listener = l;
    p->total = -1;
    p->start_ms = clock_mono_ms();
    p->metrics = xcalloc(l->config->n_metrics, sizeof *p->metrics);
    p->requests = xcalloc(PROBE_REQUESTS(l->config), sizeof *p->requests);
    l->phase = PHASE_PROBING;
    l->probe = p;
    status_poll_begins(l, l->due.due_ms);
    if (!partition_is_ready(l->partition)) { /* since the look above: there is no state to go by */
        l->probe = NULL;
        probe_free(p);
        rest(l, clock_mono_ms());
        return;
    }
    if (read_state(l, p, &e))
        probe_failed(p, &e);
    else
        start_requests(p);
}

static void run_ended(struct listener *l)
{
    if (l->end != RUN_YIELD)
        admission_leave(l);
    switch (l->end) {
    case RUN_YIELD:
        give_to_worker(l);
        break;
    case RUN_AGAIN:
        rest(l, clock_mono_ms());
        break;
    case RUN_DONE:
        control_learn(l);           /* its trigger went with its end... */
        if (l->control.has_trigger) /* ...but a run that found nothing new writes none */
            l->control.duty = DUTY_END_TRIGGER;
        poll_done(l);
        bridge_end_once(l->bridge, ONCE_FIRED, NULL);
        break;
    case RUN_FAILED:
        poll_failed(l, &l->err);
        break;
    }
}

void prober_start_listener(struct listener *l)
{
    control_learn(l);
    l->grid_ms = schedule_first(clock_mono_ms(), interval_ms(l), l->bridge->n_started++);
    backoff_reset(&l->backoff);
    rest(l, l->grid_ms);
}

/* A command has changed it: it polls at once, if it may. */
static void command_ended(struct listener *l)
{
    bool has_changed = l->control.has_changed;
    int64_t now = clock_mono_ms();
    control_learn(l);
    if (has_changed) {
        backoff_reset(&l->backoff);
        l->grid_ms = l->grid_ms > now ? l->grid_ms : now;
    }
    rest(l, has_changed ? now : l->control.due_ms);
}

static void partition_changed(struct listener *l)
{
    bool is_ready = partition_is_ready(l->partition);
    bool must_verify = atomic_exchange(&l->control.must_verify, false);
    int64_t now = clock_mono_ms();
    if (l->phase == PHASE_OFF && is_ready) {
        prober_start_listener(l);
    } else if ((l->phase == PHASE_WAITING || l->phase == PHASE_STOPPED) && !is_ready) {
        rest(l, now);
    } else if (l->phase == PHASE_STOPPED && must_verify) { /* another instance may have started it */
        l->control.duty = DUTY_VERIFY;
        rest(l, now);
    }
    /* the others find out at their end */
}

static bool has_commands(struct listener *l)
{
    (void)pthread_mutex_lock(&l->bridge->mutex);
    bool has = l->control.waiting.first;
    (void)pthread_mutex_unlock(&l->bridge->mutex);
    return has;
}

/* Commands wait: it takes one when nothing else has it, and whoever has it is called back. */
static void serve_commands(struct listener *l)
{
    bool is_busy = l->phase == PHASE_PROBING || l->phase == PHASE_RUNNING;
    if (!has_commands(l) || l->phase == PHASE_COMMAND || (is_busy && control_answer_busy(l)))
        return;
    if (l->phase == PHASE_PROBING) {
        probe_call_off(l->probe);
    } else if (l->phase == PHASE_RUNNING) {
        atomic_store(&l->control.is_called, true);
        fetch_cancel(l);
    } else {
        int64_t due_ms = l->phase == PHASE_WAITING ? l->due.due_ms : clock_mono_ms();
        rest(l, due_ms);
    }
}

static void read_mailbox(struct bridge *b)
{
    (void)pthread_mutex_lock(&b->mutex);
    struct listener *l = b->posted, *next;
    b->posted = NULL;
    for (; l; l = next) {
        next = l->next_posted;
        bool has_ended = l->has_ended;
        l->has_ended = l->is_posted = false;
        (void)pthread_mutex_unlock(&b->mutex);
        if (has_ended && l->phase == PHASE_COMMAND)
            command_ended(l);
        else if (has_ended)
            run_ended(l);
        partition_changed(l);
        serve_commands(l);
        (void)pthread_mutex_lock(&b->mutex);
    }
    (void)pthread_mutex_unlock(&b->mutex);
}

static struct listener *listener_of(struct schedule_item *due)
{
    return (struct listener *)((char *)due - offsetof(struct listener, due));
}

void *prober_main(void *arg)
{
    struct bridge *b = arg;
    srandom((unsigned)(clock_mono_us() ^ getpid())); /* jitter that differs between instances */
    while (!atomic_load(&b->prober_must_end)) {
        status_beat(&b->status.prober_mono_ms);
        read_mailbox(b);
        admission_go_on(b);
        int64_t idle_ms = reload_go_on(b) ? IDLE_MS : RELOAD_AGAIN_MS;
        int64_t now = clock_mono_ms();
        struct schedule_item *due;
        while ((due = schedule_peek(&b->heap)) && due->due_ms <= now && !atomic_load(&b->is_stopping)) {
            schedule_remove(&b->heap, due);
            start_poll(listener_of(due));
        }
        due = schedule_peek(&b->heap);
        int64_t wait = due && !atomic_load(&b->is_stopping) ? due->due_ms - clock_mono_ms() : idle_ms;
        http_engine_poll(b->http, (int)(wait < 0 ? 0 : wait > idle_ms ? idle_ms : wait));
    }
    return NULL;
}
