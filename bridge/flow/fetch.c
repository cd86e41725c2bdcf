#include "fetch.h"

/* Who ends what: each side leaves with one exchange of `state` that tells it how far the other has come. */
enum fetch_state {
    FETCH_OUT,
    FETCH_PARKED, /* the run waits for it, without a worker */
    FETCH_COME,   /* the worker's alone */
    FETCH_DROPPED /* the prober's alone */
};

struct fetch {
    struct listener *listener;
    uint64_t id;
    atomic_int state;
    struct argilla_answer answer;
};

static void fetch_free(struct fetch *f)
{
    if (!f->answer.err.class)
        scan_page_free(f->answer.page);
    free(f);
}

/* On the prober's thread. */
static void on_page(void *arg, struct argilla_answer *answer)
{
    struct fetch *f = arg;
    struct listener *l = f->listener; /* not looked at when it was dropped: it may be gone */
    f->answer = *answer;
    switch (atomic_exchange(&f->state, FETCH_COME)) {
    case FETCH_PARKED:
        atomic_store(&l->parked_ms, 0);
        jobs_push(l->bridge, &l->job);
        break;
    case FETCH_DROPPED:
        fetch_free(f);
        break;
    default:
        break;
    }
}

struct fetch *fetch_start(struct listener *l, const char *query, const char *cursor, int limit)
{
    struct fetch *f = xcalloc(1, sizeof *f);
    f->listener = l;
    f->id = argilla_scan(l->bridge->argilla, &l->run_dataset, query, cursor, limit, on_page, f);
    atomic_store(&l->scan_id, f->id);
    return f;
}

bool fetch_has_come(struct fetch *f)
{
    return atomic_load(&f->state) == FETCH_COME;
}

void fetch_cancel(struct listener *l)
{
    http_cancel(l->bridge->http, atomic_load(&l->scan_id));
}

struct scan_page *fetch_take(struct fetch *f, struct err *e)
{
    struct scan_page *page = NULL;
    if (f->answer.err.class)
        *e = f->answer.err;
    else
        page = TAKE_PTR(f->answer.page);
    fetch_free(f);
    return page;
}

bool fetch_park(struct fetch *f)
{
    int out = FETCH_OUT;
    return atomic_compare_exchange_strong(&f->state, &out, FETCH_PARKED);
}

void fetch_drop(struct fetch *f)
{
    if (!f)
        return;
    struct http_engine *http = f->listener->bridge->http;
    uint64_t id = f->id;
    if (atomic_exchange(&f->state, FETCH_DROPPED) == FETCH_COME)
        fetch_free(f);
    else
        http_cancel(http, id); /* its answer ends it */
}
