#include "tally.h"

#include "json_scan.h"
#include "state_map.h"

enum { MAX_LISTENERS = 1000, MAX_OPEN_RUNS = 10000, NAME_MAX_BYTES = 2048 };

struct run {
    int64_t number;
    struct state_map seen; /* "c" ce_id, "b" batch index, "r" record id */
    int64_t n_records, n_batches;
    bool is_closed, is_settled;
    int64_t said_records, said_batches; /* by its run message */
};

struct listener_tally {
    char *name;
    int64_t settled;  /* all runs up to this one */
    struct run *runs; /* later ones that something was read of, in order */
    size_t n_runs;
};

struct tally {
    struct listener_tally *listeners;
    size_t n_listeners;
    struct tally_sum sum; /* without what is missing and open */
};

struct tally *tally_new(void)
{
    return xcalloc(1, sizeof(struct tally));
}

void tally_free(struct tally *t)
{
    for (size_t i = 0; t && i < t->n_listeners; i++) {
        struct listener_tally *l = &t->listeners[i];
        for (size_t k = 0; k < l->n_runs; k++)
            state_map_release(&l->runs[k].seen);
        free(l->runs);
        free(l->name);
    }
    if (t)
        free(t->listeners);
    free(t);
}

static struct listener_tally *listener_of(struct tally *t, struct slice name)
{
    for (size_t i = 0; i < t->n_listeners; i++)
        if (slice_eq(name, t->listeners[i].name))
            return &t->listeners[i];
    if (t->n_listeners == MAX_LISTENERS)
        return NULL;
    t->listeners = xrealloc(t->listeners, (t->n_listeners + 1) * sizeof *t->listeners);
    t->listeners[t->n_listeners] = (struct listener_tally){.name = xstrndup(name.p, name.len)};
    return &t->listeners[t->n_listeners++];
}

/* NULL when too many are open: then something is so wrong that counting on helps nobody. */
static struct run *run_of(struct listener_tally *l, int64_t number)
{
    size_t at = 0;
    while (at < l->n_runs && l->runs[at].number < number)
        at++;
    if (at < l->n_runs && l->runs[at].number == number)
        return &l->runs[at];
    if (l->n_runs == MAX_OPEN_RUNS)
        return NULL;
    l->runs = xrealloc(l->runs, (l->n_runs + 1) * sizeof *l->runs);
    memmove(&l->runs[at + 1], &l->runs[at], (l->n_runs - at) * sizeof *l->runs);
    l->runs[at] = (struct run){.number = number};
    l->n_runs++;
    return &l->runs[at];
}

/* True when it is new. */
static bool note(struct run *r, char kind, struct slice what)
{
    cleanup_buf struct buf key = buf_make(NAME_MAX_BYTES);
    buf_addch(&key, kind);
    buf_addslice(&key, what);
    if (state_map_get(&r->seen, buf_str(&key)).p)
        return false;
    state_map_set(&r->seen, buf_str(&key), slice_of(""));
    return true;
}

static int64_t number_of(struct slice object, const char *name, int64_t otherwise)
{
    struct slice v;
    int64_t n;
    return json_get(object, name, &v) && json_get_int64(v, &n) == 0 ? n : otherwise;
}

/* The records of a batch, or how many there are when `r` is NULL. Returns how many were there before. */
static int64_t add_records(struct run *r, struct slice records, int64_t *ret_n)
{
    struct slice record, id;
    int64_t n_before = 0;
    *ret_n = 0;
    for (struct json_iter it = json_iter(records); json_next(&it, NULL, &record); ++*ret_n)
        n_before += r && json_get(record, "id", &id) && !note(r, 'r', id);
    return n_before;
}

static int64_t add_batch(struct run *r, struct slice value, int64_t *ret_n)
{
    struct slice records = {"[]", 2}, batch = {"{}", 2}, index = {"", 0};
    (void)json_get(value, "records", &records);
    (void)json_get(value, "batch", &batch);
    (void)json_get(batch, "index", &index);
    if (r)
        r->n_batches += note(r, 'b', index);
    return add_records(r, records, ret_n);
}

static void close_run(struct run *r, struct slice value)
{
    r->is_closed = true;
    r->said_records = number_of(value, "n_records", 0);
    r->said_batches = number_of(value, "n_batches", 0);
}

static bool has_all(const struct run *r)
{
    return r->is_closed && r->n_records == r->said_records && r->n_batches == r->said_batches;
}

static void settle(struct listener_tally *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n_runs; i++) {
        if (l->runs[i].is_settled || !has_all(&l->runs[i]))
            continue;
        l->runs[i].is_settled = true;
        state_map_release(&l->runs[i].seen);
    }
    while (n < l->n_runs && l->runs[n].is_settled && l->runs[n].number == l->settled + 1) {
        l->settled++;
        n++;
    }
    l->n_runs -= n;
    if (n)
        memmove(l->runs, l->runs + n, l->n_runs * sizeof *l->runs);
}

static bool has_failed(struct slice value)
{
    struct slice status;
    return !json_get(value, "status", &status) || !slice_eq(status, "\"completed\"");
}

/* `r` NULL: its run has been settled, so all of it is there again. */
static void count(struct tally *t, struct run *r, const struct message *m)
{
    bool is_new = r && note(r, 'c', m->ce_id);
    int64_t n = 0, n_before = 0;
    if (m->kind == MESSAGE_BATCH) {
        n_before = add_batch(r, m->value, &n);
        t->sum.n_batches++;
    } else if (m->kind == MESSAGE_RECORD) {
        n = 1;
        n_before = r && !note(r, 'r', m->key);
    } else if (is_new) {
        close_run(r, m->value);
        t->sum.n_failed += has_failed(m->value);
        t->sum.n_fired += !has_failed(m->value);
    }
    t->sum.n_records += n;
    if (r)
        r->n_records += n - n_before;
    if (!r)
        n_before = n;
    if (!is_new && !n_before)
        n_before = 1;
    t->sum.n_duplicates += n_before;
}

int tally_add(struct tally *t, const struct message *m, struct err *e)
{
    if (!m->listener.len || !m->ce_id.len || m->run < 1 || json_type_of(m->value) != JSON_OBJECT)
        return err_set(e, ERR_BAD_INPUT, "no listener, run, ce_id or value");
    struct listener_tally *l = listener_of(t, m->listener);
    struct run *r = NULL;
    if (l && m->run > l->settled && !(r = run_of(l, m->run)))
        return err_set(e, ERR_BAD_INPUT, "over %d runs are open", MAX_OPEN_RUNS);
    if (!l)
        return err_set(e, ERR_BAD_INPUT, "over %d listeners", MAX_LISTENERS);
    count(t, r && !r->is_settled ? r : NULL, m);
    settle(l);
    return 0;
}

static int64_t above_zero(int64_t n)
{
    return n > 0 ? n : 0;
}

static void add_listener(const struct listener_tally *l, struct tally_sum *ret)
{
    int64_t expected = l->settled + 1;
    for (size_t i = 0; i < l->n_runs; i++) {
        const struct run *r = &l->runs[i];
        ret->n_missing += r->number - expected; /* runs of which nothing has come */
        expected = r->number + 1;
        if (r->is_closed) {
            ret->n_missing += above_zero(r->said_records - r->n_records);
            ret->n_missing += above_zero(r->said_batches - r->n_batches);
            ret->n_duplicates += r->is_settled ? 0 : above_zero(r->n_records - r->said_records);
        } else if (i + 1 < l->n_runs) {
            ret->n_missing++; /* its run message: a later run has begun */
        } else {
            ret->n_open++;
        }
    }
}

void tally_get(const struct tally *t, struct tally_sum *ret)
{
    *ret = t->sum;
    for (size_t i = 0; i < t->n_listeners; i++)
        add_listener(&t->listeners[i], ret);
}
