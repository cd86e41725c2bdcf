/* One run, from the decision (probe.c) to its run message: the matches are scanned page by page in the order
 * of id; each page becomes a chunk, whose transaction carries messages and state; the last one carries the
 * run message and the next query_params. Straight-line code on a worker, except that it gives the worker up
 * between chunks when others wait, and while a page is on its way: then the step is begun again, with the
 * page.
 *
 * kill -9 anywhere: what the last committed chunk wrote is all there is. A run with a chunk in it goes on
 * behind its cursor with the ctx that it began with; a run without one never was, and the next poll decides
 * anew.
 *
 * deliver = changes goes the same way, with pages from which all that is known is left out; see changes.h. */
#include "changes.h"
#include "clock.h"
#include "fetch.h"
#include "json_scan.h"

struct run {
    struct publish_run p;
    char *query;             /* what the scan asks for, as frozen; NULL: all records */
    int64_t total;           /* as frozen; -1 when it was not asked for */
    struct scan_page *held;  /* goes out when it is known whether it is the last one */
    char *at;                /* the cursor behind the last page that was read, or NULL; `held` is before it */
    struct changes *changes; /* NULL: all matches are published */
    struct page_filter known; /* of `held` */
    int64_t n_skipped;        /* records with nothing new, of pages since the last chunk */
    bool is_removing, is_silent;
    struct fetch *fetch; /* the page behind `at`, on its way, or NULL */
    int64_t asked_ms;
    int limit;
};

enum step {
    STEP_ON,
    STEP_WAIT, /* for `fetch`: the same step once more then */
    STEP_DONE,
    STEP_STALE,
    STEP_FAILED
};

/* A stop, or a command to its listener: no further chunk, and nothing to wait for. */
static bool is_called_back(const struct listener *l)
{
    return atomic_load(&l->bridge->is_stopping) || atomic_load(&l->control.is_called);
}

static void start_fetch(struct run *r, const char *cursor)
{
    r->asked_ms = clock_mono_ms();
    r->fetch = fetch_start(r->p.listener, r->query, cursor, r->limit);
    if (is_called_back(r->p.listener)) /* who did so may have looked for the request before it was there */
        fetch_cancel(r->p.listener);
}

/* The page behind `cursor`, which may be on its way already. One that is over max_page_bytes is asked for
 * again in halves, down to one record. */
static enum step fetch(struct run *r, const char *cursor, struct scan_page **ret, struct err *e)
{
    for (;; r->limit /= 2) {
        if (!r->fetch)
            start_fetch(r, cursor);
        if (!fetch_has_come(r->fetch))
            return STEP_WAIT;
        struct scan_page *page = fetch_take(TAKE_PTR(r->fetch), e);
        if (page || !is_called_back(r->p.listener)) /* else it was cancelled: says nothing of the server */
            health_argilla(r->p.listener->bridge, page ? NULL : e, r->asked_ms);
        if (page) {
            *ret = page;
            return STEP_ON;
        }
        if (e->class != ERR_BAD_INPUT || e->http_status != 200 || r->limit <= 1)
            return STEP_FAILED;
    }
}

static void run_free(struct run *r)
{
    if (!r)
        return;
    fetch_drop(r->fetch);
    scan_page_free(r->held);
    page_filter_release(&r->known);
    changes_free(r->changes);
    free(r->at);
    listener_state_release(&r->p.state);
    frozen_run_release(&r->p.frozen);
    run_progress_release(&r->p.progress);
    free(r->query);
    free(r);
}

void run_drop(struct listener *l)
{
    run_free(TAKE_PTR(l->run));
    if (l->fired)
        frozen_run_release(&l->fired->frozen);
    free(TAKE_PTR(l->fired));
}

/* The value of kind/NAME; false when the partition isn't ready or its state was read anew since `epoch`. */
static bool get_state(struct listener *l, const char *kind, struct buf *ret, uint64_t *epoch)
{
    cleanup_free char *key = listener_state_key(kind, l->config->name);
    uint64_t now_epoch = 0;
    if (!partition_get(l->partition, key, ret, &now_epoch))
        return false;
    bool same = *epoch == 0 || *epoch == now_epoch;
    *epoch = now_epoch;
    return same;
}

/* What the scan needs of what was frozen. */
static void read_ctx(struct run *r)
{
    const struct scan_plan *plan = &r->p.frozen.plan;
    struct slice ctx = slice_of(r->p.frozen.ctx), v;
    struct buf query = buf_make(STATE_VALUE_MAX);
    r->at = r->p.progress.cursor ? xstrdup(r->p.progress.cursor) : NULL;
    if (plan->kind != PLAN_MATCHES)
        r->query = plan->query ? xstrdup(plan->query) : NULL;
    else if (json_get(ctx, "query", &v) && json_decode_string(v, &query) == 0)
        r->query = buf_take(&query);
    buf_release(&query);
    r->total = -1;
    if (json_get(ctx, "search", &v) && json_get(v, "total", &v))
        (void)json_get_int64(v, &r->total);
}

/* Takes what the prober has fired, if it still follows from the state; else what the state says is in
 * progress. 0 with `ret` NULL: neither, so look again. */
static int begin(struct listener *l, struct run **ret, struct err *e)
{
    cleanup_buf struct buf state = buf_make(STATE_VALUE_MAX), progress = buf_make(STATE_VALUE_MAX),
                           ctx = buf_make(STATE_VALUE_MAX), trigger = buf_make(STATE_VALUE_MAX);
    struct fired *fired = l->fired;
    struct run *r = xcalloc(1, sizeof *r);
    int rc = -1;
    r->p.listener = l;
    r->limit = l->config->page_size;
    *ret = NULL;
    if (!get_state(l, "listener", &state, &r->p.epoch) || !get_state(l, "run", &progress, &r->p.epoch) ||
        !get_state(l, "ctx", &ctx, &r->p.epoch) || !get_state(l, "trigger", &trigger, &r->p.epoch))
        goto nothing;
    r->p.has_trigger = trigger.len > 0;
    if (listener_state_read(buf_slice(&state), l->config, &r->p.state, &r->p.file_won, e))
        goto fail;
    if (progress.len) {
        if (run_progress_read(buf_slice(&progress), &r->p.progress, e) ||
            frozen_run_read(buf_slice(&ctx), &r->p.frozen, e))
            goto fail;
        r->p.is_durable = true;
    } else if (fired && fired->run == r->p.state.run + 1 && fired->epoch == r->p.epoch) {
        r->p.progress = (struct run_progress){.run = fired->run, .started_ms = fired->fired_ms};
        r->p.frozen = fired->frozen;
        fired->frozen = (struct frozen_run){0};
        r->p.file_won = false; /* the params that fired are the file's already */
    } else {
        goto nothing;
    }
    read_ctx(r);
    if (r->p.frozen.plan.kind != PLAN_MATCHES && changes_new(&r->p, &r->changes, e))
        goto fail;
    status_run_begins(l, &r->p.progress, r->total);
    *ret = r;
    return 0;
nothing:
    rc = 0;
fail:
    run_free(r);
    return rc;
}

/* One chunk to Kafka: durable together with the state that says so, or not at all. */
static enum step commit(struct run *r, struct publish_part *part, struct err *e)
{
    struct publish_chunk c;
    part->n_skipped = r->n_skipped;
    part->cursor = r->at;
    if (publish_build(&r->p, part, &c, e))
        return STEP_FAILED;
    enum chunk_outcome outcome = partition_commit(r->p.listener->partition, &c.chunk);
    if (outcome == CHUNK_REFUSED)
        *e = c.chunk.err;
    if (outcome == CHUNK_COMMITTED) {
        run_progress_release(&r->p.progress);
        r->p.progress = c.after;
        c.after = (struct run_progress){0};
        r->p.is_durable = true;
        r->n_skipped = 0;
        status_committed(r->p.listener, &r->p.progress, c.chunk.size_bytes);
    }
    publish_chunk_release(&c);
    return outcome == CHUNK_COMMITTED ? (part->is_end ? STEP_DONE : STEP_ON)
           : outcome == CHUNK_STALE   ? STEP_STALE
                                      : STEP_FAILED;
}

static void tell_progress(const struct run *r)
{
    struct bridge *b = r->p.listener->bridge;
    if (b->options.on_progress)
        b->options.on_progress(b->options.arg, r->p.listener->config->name, r->p.progress.n_matched,
                               r->total);
}

static enum step commit_held(struct run *r, bool is_last_batch, bool is_end, struct err *e)
{
    struct publish_part part = {.page = r->held,
                                .filter = r->changes ? &r->known : NULL,
                                .mark = r->changes && is_end ? changes_end_mark(r->changes) : NULL,
                                .is_last_batch = is_last_batch,
                                .is_end = is_end};
    enum step step = commit(r, &part, e);
    if (step != STEP_ON && step != STEP_DONE)
        return step;
    if (r->held)
        tell_progress(r);
    scan_page_free(TAKE_PTR(r->held));
    page_filter_release(&r->known);
    return step;
}

static enum step step_of(enum changes_rc rc)
{
    return rc == CHANGES_FAILED ? STEP_FAILED : rc == CHANGES_STALE ? STEP_STALE : STEP_DONE;
}

/* By a run message; but a run of changes that has published nothing never was one. */
static enum step finish(struct run *r, struct err *e)
{
    r->is_silent = r->changes && !r->held && !r->p.is_durable;
    if (r->is_silent)
        return step_of(changes_done_silently(r->changes, r->n_skipped, e));
    enum step step = commit_held(r, true, true, e);
    if (step == STEP_DONE && r->changes)
        changes_done(r->changes);
    return step;
}

static enum step end_of_scan(struct run *r, struct err *e)
{
    enum changes_rc rc = r->changes ? changes_look_back(r->changes) : CHANGES_NONE;
    if (rc == CHANGES_NONE)
        return finish(r, e);
    if (rc != CHANGES_SOME)
        return step_of(rc);
    r->is_removing = true;
    return r->held ? commit_held(r, true, false, e) : STEP_ON;
}

/* The tombstones of what a reconcile has found gone, a chunk of them. */
static enum step one_removal(struct run *r, struct err *e)
{
    struct publish_part part = {.is_last_batch = true};
    enum changes_rc rc = changes_next_gone(r->changes, &part.gone, &part.n_gone, e);
    if (rc == CHANGES_SOME && part.n_gone == 0)
        return STEP_ON;
    return rc == CHANGES_NONE ? finish(r, e) : rc == CHANGES_SOME ? commit(r, &part, e) : step_of(rc);
}

/* Takes `page`, which has records; it is held until it is known what follows. */
static enum step take_page(struct run *r, struct scan_page *page, struct err *e)
{
    struct page_filter known = {0};
    enum changes_rc news = r->changes ? changes_filter(r->changes, page, &known) : CHANGES_SOME;
    enum step step = news == CHANGES_STALE             ? STEP_STALE
                     : news == CHANGES_SOME && r->held ? commit_held(r, false, false, e)
                                                       : STEP_ON;
    if (step != STEP_ON) {
        page_filter_release(&known);
        scan_page_free(page);
        return step;
    }
    free(r->at);
    r->at = xstrdup(page->cursor);
    if (news == CHANGES_SOME) {
        r->held = page;
        r->known = known;
    } else {
        r->n_skipped += (int64_t)page->n_records;
        page_filter_release(&known);
        scan_page_free(page);
    }
    return STEP_ON;
}

/* What was read before a page that can't be had is published all the same. */
static enum step page_failed(struct run *r, struct err *e)
{
    struct err why = *e;
    if (!r->held || e->class != ERR_BAD_INPUT)
        return STEP_FAILED; /* what passes: the page in hand is fetched again then, to know whether it is the
                               last */
    enum step step = commit_held(r, false, false, e);
    if (step != STEP_ON)
        return step;
    *e = why;
    return STEP_FAILED;
}

/* While a page is being committed the one after the next is on its way. */
static enum step one_page(struct run *r, struct err *e)
{
    struct scan_page *page;
    enum step step = fetch(r, r->at, &page, e);
    if (step == STEP_FAILED)
        return page_failed(r, e);
    if (step != STEP_ON)
        return step;
    if (page->n_records) {
        start_fetch(r, page->cursor);
        return take_page(r, page, e);
    }
    scan_page_free(page);
    return end_of_scan(r, e);
}

/* What can't go on by waiting (the dataset is gone, the query refused, a record can't be projected) ends in a
 * run message that says so, if subscribers have seen any of the run. */
static enum step give_up(struct run *r, struct err *e)
{
    struct err why = *e;
    if (why.class != ERR_BAD_INPUT || !r->p.is_durable)
        return STEP_FAILED;
    struct publish_part part = {.is_end = true,
                                .is_last_batch = true,
                                .failure = why.msg,
                                .mark = r->changes ? changes_failed_mark(r->changes) : NULL};
    enum step step = commit(r, &part, e);
    if (step == STEP_FAILED && e->class == ERR_BAD_INPUT) {
        r->p.is_mute = true; /* even that doesn't fit any more: the log has it, and the run ends */
        step = commit(r, &part, e);
    }
    if (step != STEP_DONE)
        return step;
    status_run_ended(r->p.listener, OUTCOME_FAILED);
    *e = why;
    return STEP_FAILED;
}

static void tell_done(const struct run *r)
{
    const struct run_progress *p = &r->p.progress;
    status_run_ended(r->p.listener, r->is_silent ? OUTCOME_NONE : OUTCOME_COMPLETED);
    if (r->is_silent)
        return;
    log_info(r->p.listener->bridge->log, "run", KV("listener", r->p.listener->config->name),
             KVI("run", p->run), KVI("total", r->total), KVI("n_records", p->n_published),
             KVI("n_batches", p->n_batches), KVI("n_unchanged", p->n_unchanged),
             KVI("n_deleted", p->n_deleted), KVI("n_removed", p->n_removed), KVI("n_oversize", p->n_oversize),
             KVI("took_ms", clock_wall_ms() - p->started_ms));
}

static enum step steps(struct run *r, struct err *e)
{
    struct bridge *b = r->p.listener->bridge;
    for (;;) {
        if (listener_check_topics(r->p.listener, e))
            return STEP_FAILED;
        bool has_scan = r->p.listener->config->query_records && r->p.frozen.plan.kind != PLAN_MARK;
        enum step step = r->is_removing ? one_removal(r, e) : has_scan ? one_page(r, e) : finish(r, e);
        if (step == STEP_FAILED)
            step = give_up(r, e);
        if (step != STEP_ON || jobs_wait(b) || is_called_back(r->p.listener) ||
            atomic_load(&r->p.listener->must_yield))
            return step;
    }
}

bool run_go_on(struct listener *l)
{
    struct run *r = TAKE_PTR(l->run);
    enum step step = STEP_STALE;
    status_taken(l);
    if (!r && begin(l, &r, &l->err))
        step = STEP_FAILED;
    while (r && !is_called_back(l) && (step = steps(r, &l->err)) == STEP_WAIT) {
        l->run = r;
        atomic_store(&l->parked_ms, clock_mono_ms());
        if (fetch_park(r->fetch))
            return false;
        atomic_store(&l->parked_ms, 0);
        l->run = NULL;
    }
    if (step == STEP_FAILED && l->err.class == ERR_RETRY &&
        (atomic_load(&l->control.is_called) || atomic_load(&l->must_yield)))
        step = STEP_STALE; /* its request was cancelled: the state says where it goes on */
    /* a reload that is about to change it: the run goes on from its state then, as after a restart */
    if (step == STEP_ON && !is_called_back(l) && !atomic_load(&l->must_yield)) {
        l->run = r;
        l->end = RUN_YIELD;
        return true;
    }
    if (step == STEP_DONE)
        tell_done(r);
    if (step == STEP_FAILED)
        l->topics_checked_ms = 0; /* a delivery may have failed because of them */
    run_free(r);
    run_drop(l);
    l->end = step == STEP_DONE ? RUN_DONE : step == STEP_FAILED ? RUN_FAILED : RUN_AGAIN;
    return true;
}
