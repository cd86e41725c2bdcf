#include "changes.h"

#include <stdio.h>

#include "clock.h"
#include "digest.h"
#include "json_scan.h"

enum {
    LOOK_EVERY_MS = 200, /* for a stop, while an answer is awaited */
    ASKS_MAX = 50,       /* direct reads, 9 ms each, before others get a turn */
    GONE_MAX = ASKS_MAX,
    OLD_MAX = 500,          /* keys of earlier generations a chunk */
    HOLD_ABOVE_RECORDS = 10 /* so few may always be missing */
};

struct changes {
    const struct publish_run *run;
    struct listener *listener;
    const struct scan_plan *plan;
    struct digests_ref ref;
    struct changes_mark before, after;
    char *query;   /* the user's, formatted; NULL: all records */
    bool is_whole; /* a reconcile that saw everything from its beginning */
    enum reconcile_hold hold;
    struct digests_count count; /* at the end of the scan */

    struct state_walk *walk;
    struct arena arena; /* of what changes_next_gone returned */
    struct gone_record gone[GONE_MAX];
    struct state_write old[OLD_MAX];
    size_t n_gone, n_old, n_asked;
};

int changes_new(const struct publish_run *r, struct changes **ret, struct err *e)
{
    struct listener *l = r->listener;
    struct slice query;
    if (mark_load(l, r->epoch, e))
        return -1;
    struct changes *c = xcalloc(1, sizeof *c);
    c->run = r;
    c->listener = l;
    c->plan = &r->frozen.plan;
    c->ref = (struct digests_ref){l->config->name, r->state.generation, r->epoch};
    c->before = changes_mark_copy(&l->mark.now);
    c->is_whole = c->plan->kind == PLAN_RECONCILE && !r->is_durable;
    if (json_get(slice_of(r->frozen.ctx), "query", &query)) {
        struct buf text = buf_make(STATE_VALUE_MAX);
        if (json_decode_string(query, &text) == 0)
            c->query = buf_take(&text);
        buf_release(&text);
    }
    if (c->is_whole)
        partition_digests_see_none(l->partition, &c->ref);
    *ret = c;
    return 0;
}

void changes_free(struct changes *c)
{
    if (!c)
        return;
    state_walk_free(c->walk);
    arena_release(&c->arena);
    changes_mark_release(&c->before);
    changes_mark_release(&c->after);
    free(c->query);
    free(c);
}

enum changes_rc changes_filter(struct changes *c, const struct scan_page *page, struct page_filter *ret)
{
    struct page_filter f = {.items = xcalloc(page->n_records, sizeof *f.items)};
    for (size_t i = 0; i < page->n_records; i++) {
        f.items[i].id = publish_id_text(&f.arena, page->records[i].id);
        f.items[i].digest = digest_record(page->records[i].json);
    }
    if (!partition_digests_look(c->listener->partition, &c->ref, f.items, page->n_records)) {
        page_filter_release(&f);
        return CHANGES_STALE;
    }
    for (size_t i = 0; i < page->n_records; i++)
        f.n_changed += !f.items[i].is_unchanged;
    *ret = f;
    return f.n_changed ? CHANGES_SOME : CHANGES_NONE;
}

/* ---- what is missing ---- */

static void hold(struct changes *c, enum reconcile_hold why, const char *text)
{
    c->hold = why;
    health_reconcile(c->listener, why, text);
}

/* May what is missing be taken for gone at all? */
static void judge(struct changes *c)
{
    const struct listener_config *l = c->listener->config;
    const struct digests_count *n = &c->count;
    char text[320];
    bool follows = c->before.is_set && c->before.generation == c->ref.generation;
    if (n->n_unseen == 0)
        return;
    if (follows && c->before.dataset && c->plan->dataset &&
        strcmp(c->before.dataset, c->plan->dataset) != 0) {
        hold(c, HOLD_DATASET,
             "the dataset has been made anew since its records were first published: none is taken for "
             "deleted; "
             "`reset` starts over");
    } else if (n->n_unseen > HOLD_ABOVE_RECORDS &&
               (double)n->n_unseen * 100 > (double)l->reconcile_max_missing_percent * (double)n->n) {
        (void)snprintf(
            text, sizeof text,
            "%zu of %zu records are missing, more than reconcile_max_missing_percent (%d): none is taken "
            "for deleted; raise it if they are gone indeed, or `reset`",
            n->n_unseen, n->n, l->reconcile_max_missing_percent);
        hold(c, HOLD_SHARE, text);
    }
}

enum changes_rc changes_look_back(struct changes *c)
{
    if (!c->is_whole)
        return CHANGES_NONE;
    if (!partition_digests_count(c->listener->partition, &c->ref, &c->count))
        return CHANGES_STALE;
    judge(c);
    bool may_remove = c->count.n_unseen && c->hold == HOLD_NONE;
    return may_remove || c->count.n_old ? CHANGES_SOME : CHANGES_NONE;
}

/* ---- direct questions ---- */

/* A stop, a command or a reload: they don't wait for a reconcile, which will be made again. */
static bool is_wanted_elsewhere(struct listener *l)
{
    return atomic_load(&l->bridge->is_stopping) || atomic_load(&l->control.is_called) ||
           atomic_load(&l->must_yield);
}

/* Takes the worker along while it waits. */
static int take_answer(struct changes *c, struct argilla_wait *w, uint64_t id, struct argilla_answer *ret,
                       struct err *e)
{
    struct listener *l = c->listener;
    int64_t asked_ms = clock_mono_ms();
    while (!argilla_wait_for(w, LOOK_EVERY_MS) && !is_wanted_elsewhere(l))
        ;
    bool is_called_off = is_wanted_elsewhere(l);
    if (is_called_off)
        http_cancel(l->bridge->http, id);
    argilla_wait(w, ret);
    if (!is_called_off)
        health_argilla(l->bridge, ret->err.class ? &ret->err : NULL, asked_ms);
    if (ret->err.class == ERR_NONE)
        return 0;
    *e = ret->err;
    return err_wrap(e, "reconcile");
}

static int ask_exists(struct changes *c, struct slice id, bool *ret, struct err *e)
{
    struct argilla_wait w;
    struct argilla_answer a;
    argilla_wait_init(&w);
    if (take_answer(c, &w,
                    argilla_exists(c->listener->bridge->argilla, &c->listener->run_dataset, id,
                                   argilla_wait_done, &w),
                    &a, e))
        return -1;
    *ret = a.is_there;
    return 0;
}

static int ask_identity(struct changes *c, char **ret, struct err *e)
{
    const struct dataset_ref *d = &c->listener->run_dataset;
    struct argilla_wait w;
    struct argilla_answer a;
    argilla_wait_init(&w);
    if (take_answer(
            c, &w,
            argilla_resolve(c->listener->bridge->argilla, d->workspace, d->name, argilla_wait_done, &w), &a,
            e))
        return -1;
    *ret = TAKE_PTR(a.dataset.identity);
    dataset_ref_release(&a.dataset);
    return 0;
}

static int ask_total(struct changes *c, int64_t *ret, struct err *e)
{
    struct argilla_wait w;
    struct argilla_answer a;
    argilla_wait_init(&w);
    if (take_answer(c, &w,
                    argilla_count(c->listener->bridge->argilla, &c->listener->run_dataset, NULL,
                                  argilla_wait_done, &w),
                    &a, e))
        return -1;
    *ret = a.total;
    return 0;
}

/* The last look before tombstones: is it still that dataset, and is there anything in it? A "no such record"
 * of one that was emptied or made anew meanwhile says nothing. */
static int confirm_dataset(struct changes *c, struct err *e)
{
    cleanup_free char *identity = NULL;
    int64_t total;
    if (ask_identity(c, &identity, e) || ask_total(c, &total, e))
        return -1;
    if (c->plan->dataset && strcmp(identity, c->plan->dataset) != 0)
        hold(c, HOLD_DATASET,
             "the dataset was made anew during the reconcile: no record is taken for deleted");
    else if (total == 0)
        hold(c, HOLD_EMPTY, "the dataset is empty: no record is taken for deleted; `reset` starts over");
    return 0;
}

/* ---- removing ---- */

/* Digests of earlier generations: for nobody's eyes but ours, so without any message. */
static enum changes_rc drop_old(struct changes *c, struct err *e)
{
    struct chunk chunk = {.writes = c->old, .n_writes = c->n_old, .epoch = c->ref.epoch};
    if (c->n_old == 0)
        return CHANGES_NONE;
    c->n_old = 0;
    enum chunk_outcome outcome = partition_commit(c->listener->partition, &chunk);
    if (outcome == CHUNK_REFUSED)
        *e = chunk.err;
    return outcome == CHUNK_COMMITTED ? CHANGES_NONE
           : outcome == CHUNK_STALE   ? CHANGES_STALE
                                      : CHANGES_FAILED;
}

static bool is_known(struct changes *c, const struct digest_key *key)
{
    const struct digests_ref ref = {c->ref.listener, key->generation, c->ref.epoch};
    return partition_digests_know(c->listener->partition, &ref, key->id);
}

/* One key of the state: an old one goes, a missing record is asked for. */
static int take_key(struct changes *c, struct slice text, struct err *e)
{
    struct digest_key key;
    bool is_there;
    if (!digest_key_parse(text, &key) || !slice_eq(key.name, c->ref.listener))
        return 0;
    if (key.generation != c->ref.generation) {
        if (is_known(c, &key))
            c->old[c->n_old++] = (struct state_write){.key = arena_copy(&c->arena, text)};
        return 0;
    }
    if (c->hold != HOLD_NONE || !partition_digests_take_unseen(c->listener->partition, &c->ref, key.id))
        return 0;
    c->n_asked++;
    if (ask_exists(c, key.id, &is_there, e))
        return -1;
    if (is_there && !c->query)
        return 0; /* all records match: it came or was written while the scan went by */
    c->gone[c->n_gone++] = (struct gone_record){arena_copy(&c->arena, key.id), is_there};
    return 0;
}

/* Until there is enough for a chunk, or the state ends. */
static enum changes_rc walk_on(struct changes *c, struct err *e)
{
    struct slice key, value;
    int rc = 1;
    if (!c->walk && partition_walk(c->listener->partition, &c->walk, e))
        return CHANGES_FAILED;
    while (c->n_asked < ASKS_MAX && c->n_old < OLD_MAX &&
           (rc = state_walk_next(c->walk, &key, &value, e)) > 0)
        if (value.p && take_key(c, key, e))
            return CHANGES_FAILED;
    return rc < 0 ? CHANGES_FAILED : rc ? CHANGES_SOME : CHANGES_NONE;
}

enum changes_rc changes_next_gone(struct changes *c, const struct gone_record **ret, size_t *ret_n,
                                  struct err *e)
{
    enum changes_rc more, rc;
    c->n_gone = c->n_asked = 0;
    arena_clear(&c->arena);
    more = walk_on(c, e);
    if (more == CHANGES_FAILED)
        return more;
    if ((rc = drop_old(c, e)) != CHANGES_NONE)
        return rc;
    if (c->n_gone && confirm_dataset(c, e))
        return CHANGES_FAILED;
    if (c->hold != HOLD_NONE && c->n_gone)
        c->n_gone = 0;
    *ret = c->gone;
    *ret_n = c->n_gone;
    return c->n_gone ? CHANGES_SOME : more;
}

/* ---- the end ---- */

const struct changes_mark *changes_end_mark(struct changes *c)
{
    changes_mark_release(&c->after);
    c->after = changes_mark_after(&c->before, c->plan, c->ref.generation, c->query, c->is_whole,
                                  c->run->progress.started_ms);
    if (c->is_whole && c->count.n_unseen == 0 &&
        c->plan->dataset) { /* all is there: it takes the old one's place */
        free(c->after.dataset);
        c->after.dataset = xstrdup(c->plan->dataset);
    }
    return &c->after;
}

const struct changes_mark *changes_failed_mark(struct changes *c)
{
    if (c->before.is_set && c->before.generation == c->ref.generation)
        return NULL;
    changes_mark_release(&c->after);
    c->after = changes_mark_after(&c->before, c->plan, c->ref.generation, c->query, false, 0);
    return &c->after;
}

static void keep(struct changes *c, bool is_durable)
{
    struct listener *l = c->listener;
    mark_keep(l, &c->after, c->ref.epoch, is_durable);
    if (!c->is_whole)
        return;
    if (c->hold == HOLD_NONE)
        health_reconcile(l, HOLD_NONE, NULL);
    log_info(l->bridge->log, "reconciled", KV("listener", l->config->name),
             KVI("n_tracked", (int64_t)c->count.n), KVI("n_missing", (int64_t)c->count.n_unseen),
             KVI("n_deleted", c->run->progress.n_deleted), KVI("n_removed", c->run->progress.n_removed),
             KVI("took_ms", clock_wall_ms() - c->run->progress.started_ms));
}

void changes_done(struct changes *c)
{
    keep(c, true);
}

/* A small write, so that a restart doesn't look back for hours. */
static enum changes_rc write_mark(struct changes *c, struct err *e)
{
    cleanup_free char *key = listener_state_key("changes", c->ref.listener);
    cleanup_buf struct buf value = buf_make(STATE_VALUE_MAX);
    changes_mark_write(&c->after, &value);
    struct state_write write = {slice_of(key), buf_slice(&value)};
    struct chunk chunk = {.writes = &write, .n_writes = 1, .epoch = c->ref.epoch};
    enum chunk_outcome outcome = partition_commit(c->listener->partition, &chunk);
    if (outcome == CHUNK_REFUSED)
        *e = chunk.err;
    return outcome == CHUNK_COMMITTED ? CHANGES_NONE
           : outcome == CHUNK_STALE   ? CHANGES_STALE
                                      : CHANGES_FAILED;
}

enum changes_rc changes_done_silently(struct changes *c, int64_t n_unchanged, struct err *e)
{
    struct listener *l = c->listener;
    bool is_due = mark_is_due(l, changes_end_mark(c)->at_ms);
    enum changes_rc rc = is_due ? write_mark(c, e) : CHANGES_NONE;
    if (rc != CHANGES_NONE)
        return rc;
    keep(c, is_due);
    log_debug(l->bridge->log, "nothing new", KV("listener", l->config->name), KVI("n_unchanged", n_unchanged),
              KVI("took_ms", clock_wall_ms() - c->run->progress.started_ms));
    return CHANGES_NONE;
}
