#include "store.h"

#include <time.h>

enum { MAX_COUNTED = 1024, SCRATCH = 8 * GEN_MAX_RECORD_BYTES };

struct counted {
    char *text;
    uint64_t n;
};

int64_t store_now_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void held_free(struct held *h)
{
    free(h->blob);
    free(h);
}

static void dataset_free(struct dataset *ds)
{
    for (size_t i = 0; i < ds->n_held; i++)
        held_free(ds->held[i]);
    for (size_t i = 0; i < ds->n_counted; i++)
        free(ds->counted[i].text);
    free(ds->counted);
    free(ds->held);
    gen_release(&ds->gen);
    free(ds->name);
    free(ds->workspace);
    free(ds->tags);
    free(ds->metadata);
    free(ds);
}

void store_release(struct store *s)
{
    for (size_t i = 0; i < s->n; i++)
        dataset_free(s->datasets[i]);
    free(s->datasets);
    *s = (struct store){0};
}

struct dataset *store_find(const struct store *s, const char *workspace, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->datasets[i]->name, name) == 0 && strcmp(s->datasets[i]->workspace, workspace) == 0)
            return s->datasets[i];
    return NULL;
}

struct dataset *store_create(struct store *s, const char *workspace, const char *name, enum task task,
                             uint64_t n, size_t record_bytes, uint64_t batch, uint64_t seed)
{
    struct dataset *ds = xcalloc(1, sizeof *ds);
    int64_t now = store_now_us();
    *ds = (struct dataset){
        .name = xstrdup(name), .workspace = xstrdup(workspace), .task = task, .created_us = now};
    ds->updated_us = now;
    ds->tags = xstrdup("{}");
    ds->metadata = xstrdup("{}");
    ds->n_live = n;
    gen_init(&ds->gen, task, n, record_bytes, batch, seed, now);
    s->datasets = xrealloc(s->datasets, (s->n + 1) * sizeof *s->datasets);
    s->datasets[s->n++] = ds;
    return ds;
}

void store_remove(struct store *s, struct dataset *ds)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->datasets[i] == ds)
            s->datasets[i] = s->datasets[--s->n];
    dataset_free(ds);
}

/* ---- what is held ---- */

/* The place of the first held record that isn't before `key`. */
static size_t held_place(const struct dataset *ds, struct slice key)
{
    size_t lo = 0, hi = ds->n_held;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (key_compare(ds->held[mid]->d.key, key) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static struct held *held_find(const struct dataset *ds, struct slice key)
{
    size_t at = held_place(ds, key);
    return at < ds->n_held && key_compare(ds->held[at]->d.key, key) == 0 ? ds->held[at] : NULL;
}

static bool is_generated(const struct dataset *ds, struct slice key)
{
    int64_t index = gen_index(key);
    return index >= 0 && (uint64_t)index < ds->gen.n;
}

bool dataset_get(const struct dataset *ds, struct slice key, struct buf *scratch, struct doc *ret)
{
    const struct held *h = held_find(ds, key);
    if (h) {
        *ret = h->d;
        return !h->is_deleted;
    }
    if (!is_generated(ds, key))
        return false;
    gen_doc(&ds->gen, (uint64_t)gen_index(key), scratch, ret);
    return true;
}

static void copy_slice(char **to, struct slice *s)
{
    if (!s->p)
        return;
    memcpy(*to, s->p, s->len);
    s->p = *to;
    *to += s->len;
}

static struct held *held_new(const struct doc *d)
{
    size_t size = d->key.len;
    for (int f = 0; f < N_FIELDS; f++)
        size += d->f[f].len;
    struct held *h = xcalloc(1, sizeof *h);
    *h = (struct held){.d = *d, .blob = xcalloc(1, size)};
    char *to = h->blob;
    copy_slice(&to, &h->d.key);
    for (int f = 0; f < N_FIELDS; f++)
        copy_slice(&to, &h->d.f[f]);
    return h;
}

static void held_insert(struct dataset *ds, size_t at, struct held *h)
{
    if (ds->n_held == ds->cap_held) {
        ds->cap_held = ds->cap_held ? 2 * ds->cap_held : 64;
        ds->held = xrealloc(ds->held, ds->cap_held * sizeof *ds->held);
    }
    memmove(ds->held + at + 1, ds->held + at, (ds->n_held - at) * sizeof *ds->held);
    ds->held[at] = h;
    ds->n_held++;
}

static void held_remove(struct dataset *ds, size_t at)
{
    held_free(ds->held[at]);
    ds->n_held--;
    memmove(ds->held + at, ds->held + at + 1, (ds->n_held - at) * sizeof *ds->held);
}

void dataset_put(struct dataset *ds, const struct doc *d)
{
    struct held *h = held_new(d); /* first: `d` may point into what it replaces */
    size_t at = held_place(ds, h->d.key);
    bool is_held = at < ds->n_held && key_compare(ds->held[at]->d.key, h->d.key) == 0;
    bool was_there = is_held ? !ds->held[at]->is_deleted : is_generated(ds, h->d.key);
    if (is_held) {
        held_free(ds->held[at]);
        ds->held[at] = h;
    } else {
        held_insert(ds, at, h);
    }
    ds->n_live += !was_there;
    ds->version++;
}

void dataset_delete(struct dataset *ds, struct slice key)
{
    size_t at = held_place(ds, key);
    bool is_held = at < ds->n_held && key_compare(ds->held[at]->d.key, key) == 0;
    if (is_held ? ds->held[at]->is_deleted : !is_generated(ds, key))
        return;
    ds->n_live--;
    ds->version++;
    struct held *h = is_generated(ds, key) ? held_new(&(struct doc){.key = key}) : NULL;
    if (is_held)
        held_remove(ds, at);
    if (h) {
        h->is_deleted = true;
        held_insert(ds, at, h);
    }
}

/* ---- counting ---- */

static uint64_t count_generated(struct dataset *ds, const struct query *q, const char *text)
{
    for (size_t i = 0; i < ds->n_counted; i++)
        if (strcmp(ds->counted[i].text, text) == 0)
            return ds->counted[i].n;
    cleanup_buf struct buf scratch = buf_make(SCRATCH);
    uint64_t n = 0;
    for (uint64_t i = 0; i < ds->gen.n; i++) {
        struct doc d;
        gen_doc(&ds->gen, i, &scratch, &d);
        n += query_matches(q, &d, ds->task);
    }
    if (ds->n_counted == MAX_COUNTED) {
        free(ds->counted[0].text);
        memmove(ds->counted, ds->counted + 1, --ds->n_counted * sizeof *ds->counted);
    }
    ds->counted = xrealloc(ds->counted, (ds->n_counted + 1) * sizeof *ds->counted);
    ds->counted[ds->n_counted++] = (struct counted){xstrdup(text), n};
    return n;
}

uint64_t dataset_count(struct dataset *ds, const struct query *q, const char *text)
{
    if (query_is_all(q))
        return ds->n_live;
    cleanup_buf struct buf scratch = buf_make(SCRATCH);
    uint64_t n = ds->gen.n ? count_generated(ds, q, text) : 0;
    for (size_t i = 0; i < ds->n_held; i++) {
        const struct held *h = ds->held[i];
        struct doc before;
        if (is_generated(ds, h->d.key)) { /* it stands in the place of one that was counted */
            gen_doc(&ds->gen, (uint64_t)gen_index(h->d.key), &scratch, &before);
            n -= query_matches(q, &before, ds->task);
        }
        n += !h->is_deleted && query_matches(q, &h->d, ds->task);
    }
    return n;
}

/* ---- walking ---- */

static int by_stamp_then_key(const void *a, const void *b)
{
    const struct held *x = *(struct held *const *)a, *y = *(struct held *const *)b;
    if (x->d.stamp_us != y->d.stamp_us)
        return x->d.stamp_us < y->d.stamp_us ? -1 : 1;
    return key_compare(x->d.key, y->d.key);
}

static void sort_held(struct walk *w, const struct slice *after, int64_t after_us)
{
    w->order = xcalloc(w->ds->n_held, sizeof *w->order);
    for (size_t i = 0; i < w->ds->n_held; i++) {
        struct held *h = w->ds->held[i];
        bool is_after = !after || h->d.stamp_us > after_us ||
                        (h->d.stamp_us == after_us && key_compare(h->d.key, *after) > 0);
        if (!h->is_deleted && is_after)
            w->order[w->n++] = h;
    }
    qsort(w->order, w->n, sizeof *w->order, by_stamp_then_key);
}

void walk_init(struct walk *w, const struct dataset *ds, bool by_stamp, const struct slice *after,
               int64_t after_us)
{
    *w = (struct walk){.ds = ds, .by_stamp = by_stamp, .scratch = buf_make(SCRATCH)};
    if (after)
        w->index = gen_after(&ds->gen, *after, by_stamp, after_us);
    if (by_stamp) {
        sort_held(w, after, after_us);
        return;
    }
    w->n = ds->n_held;
    w->at = after ? held_place(ds, *after) : 0;
    if (after && w->at < w->n && key_compare(ds->held[w->at]->d.key, *after) == 0)
        w->at++;
}

void walk_release(struct walk *w)
{
    free(w->order);
    buf_release(&w->scratch);
}

/* Generated ones have the older stamps, and a held record with such a stamp (a PATCH, a discard) goes where
 * it belongs: the two are merged by (stamp, id). */
static bool next_by_stamp(struct walk *w, struct doc *ret)
{
    while (w->index < w->ds->gen.n) {
        gen_doc(&w->ds->gen, w->index, &w->scratch, ret);
        if (!held_find(w->ds, ret->key))
            break;
        w->index++;
    }
    bool has_generated = w->index < w->ds->gen.n;
    const struct held *h = w->at < w->n ? w->order[w->at] : NULL;
    if (!has_generated && !h)
        return false;
    if (has_generated && h)
        has_generated = ret->stamp_us < h->d.stamp_us ||
                        (ret->stamp_us == h->d.stamp_us && key_compare(ret->key, h->d.key) < 0);
    if (has_generated) {
        w->index++;
    } else {
        *ret = h->d;
        w->at++;
    }
    return true;
}

static bool next_by_key(struct walk *w, struct doc *ret)
{
    for (;;) {
        const struct held *h = w->at < w->n ? w->ds->held[w->at] : NULL;
        int c = -1;
        if (w->index >= w->ds->gen.n) {
            if (!h)
                return false;
            c = 1;
        } else {
            gen_doc(&w->ds->gen, w->index, &w->scratch, ret);
            if (h)
                c = key_compare(ret->key, h->d.key);
        }
        w->index += c <= 0;
        if (c < 0)
            return true;
        w->at++;
        if (h->is_deleted)
            continue;
        *ret = h->d;
        return true;
    }
}

bool walk_next(struct walk *w, struct doc *ret)
{
    return w->by_stamp ? next_by_stamp(w, ret) : next_by_key(w, ret);
}

/* ---- the simulator's own writers ---- */

void dataset_add(struct dataset *ds, uint64_t n)
{
    cleanup_buf struct buf scratch = buf_make(SCRATCH);
    int64_t now = store_now_us();
    for (; n && ds->gen.n + ds->n_added < GEN_MAX_RECORDS; n--) {
        struct doc d;
        gen_doc(&ds->gen, ds->gen.n + ds->n_added++, &scratch, &d);
        d.stamp_us = now;
        dataset_put(ds, &d);
        ds->updated_us = now;
    }
}

void dataset_change(struct dataset *ds, uint64_t n, uint64_t random)
{
    cleanup_buf struct buf scratch = buf_make(SCRATCH), metadata = buf_make(256);
    uint64_t known = ds->gen.n + ds->n_added;
    int64_t now = store_now_us();
    for (; n && known; n--, random = random * 6364136223846793005u + 1442695040888963407u) {
        cleanup_buf struct buf of_index = buf_make(SCRATCH);
        struct doc d;
        gen_doc(&ds->gen, (random >> 20) % known, &of_index, &d);
        if (!dataset_get(ds, d.key, &scratch, &d))
            continue; /* deleted meanwhile */
        buf_clear(&metadata);
        buf_addf(&metadata, "{\"batch_id\":%lld,\"changed\":%lld,\"split\":\"changed\"}",
                 (long long)((random >> 20) % known / ds->gen.batch), (long long)++ds->version);
        d.f[F_METADATA] = buf_slice(&metadata);
        d.stamp_us = now;
        dataset_put(ds, &d);
        ds->updated_us = now;
    }
}
