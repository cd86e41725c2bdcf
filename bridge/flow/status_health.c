/* Is the bridge getting on? For those who restart it (healthz) and those who send it work (readyz). */
#include <stdio.h>

#include "bridge.h"
#include "clock.h"

enum {
    ROUND_MS = 30000,   /* the prober and membership come round each second, a look at Kafka included */
    OVERDUE_MS = 60000, /* what is due may wait so long, or three intervals */
    WHY_MAX = 1024,
    NAMED_MAX = 5 /* listeners in one answer; the others are counted */
};

static void add(struct buf *ret, const char *text)
{
    buf_addstr(ret, ret->len ? "," : "");
    buf_addjson(ret, text, strlen(text));
}

static void add_stuck(struct buf *ret, const char *thread, atomic_llong *mono_ms, bool *is_stuck)
{
    char text[128];
    int64_t ms = clock_mono_ms() - atomic_load(mono_ms);
    if (ms <= ROUND_MS)
        return;
    (void)snprintf(text, sizeof text, "the %s thread has not come round for %lld s", thread,
                   (long long)ms / 1000);
    add(ret, text);
    *is_stuck = true;
}

struct overdue {
    struct buf *ret;
    size_t n;
    int64_t now;
};

/* Since when it should be doing something, 0: it isn't waiting. */
static int64_t waits_since(struct listener *l, const struct status_numbers *n, const char **ret_for)
{
    *ret_for = "its poll";
    if (n->handed_mono_ms) {
        *ret_for = "a worker";
        return n->handed_mono_ms;
    }
    return l->phase == PHASE_WAITING ? n->due_mono_ms : 0;
}

static void look_at(struct listener *l, void *arg)
{
    struct overdue *o = arg;
    struct status_numbers n = status_numbers_of(l);
    const char *what;
    int64_t since = waits_since(l, &n, &what), most = (int64_t)(l->config->interval_s * 3000);
    most = most > OVERDUE_MS ? most : OVERDUE_MS;
    if (!since || o->now - since <= most || n.error.class != ERR_NONE)
        return;
    if (o->n++ < NAMED_MAX) {
        cleanup_free char *text = xasprintf("listener %s has been waiting for %s for %lld s", l->config->name,
                                            what, (long long)(o->now - since) / 1000);
        add(o->ret, text);
    }
}

bool status_is_alive(struct bridge *b)
{
    cleanup_buf struct buf ignored = buf_make(WHY_MAX);
    bool is_stuck = false;
    add_stuck(&ignored, "prober", &b->status.prober_mono_ms, &is_stuck);
    add_stuck(&ignored, "membership", &b->status.membership_mono_ms, &is_stuck);
    return !is_stuck || atomic_load(&b->is_stopping);
}

bool status_is_healthy(struct bridge *b, struct buf *why)
{
    struct overdue overdue = {.ret = why, .now = clock_mono_ms()};
    bool is_stuck = false;
    if (atomic_load(&b->is_stopping))
        return true;
    add_stuck(why, "prober", &b->status.prober_mono_ms, &is_stuck);
    add_stuck(why, "membership", &b->status.membership_mono_ms, &is_stuck);
    if (!atomic_load(&b->argilla_is_down) &&
        !atomic_load(&b->kafka_is_down)) /* else workers wait for those */
        status_each_listener(b, look_at, &overdue);
    if (overdue.n > NAMED_MAX) {
        cleanup_free char *text = xasprintf("and %zu other listeners", overdue.n - NAMED_MAX);
        add(why, text);
    }
    return !is_stuck && !overdue.n;
}

bool status_is_ready(struct bridge *b, struct buf *why)
{
    struct status_partitions p = status_partitions_of(b);
    bool is_settled = atomic_load(&b->status.is_settled), is_down = atomic_load(&b->kafka_is_down);
    if (atomic_load(&b->is_stopping)) {
        add(why, "stopping");
        return false;
    }
    if (is_down)
        add(why, "kafka does not answer");
    if (!is_settled)
        add(why, "the group has not assigned partitions yet");
    if (p.wanted_open < p.wanted) {
        cleanup_free char *text =
            xasprintf("%d of %d partitions are not open yet", p.wanted - p.wanted_open, p.wanted);
        add(why, text);
    }
    return !is_down && is_settled && p.wanted_open == p.wanted;
}

void status_notes(struct bridge *b, struct buf *ret)
{
    (void)pthread_mutex_lock(&b->mutex);
    cleanup_free char *error =
        b->reload_error ? xasprintf("config reload failed: %s", b->reload_error) : NULL;
    (void)pthread_mutex_unlock(&b->mutex);
    if (error)
        add(ret, error);
    if (atomic_load(&b->argilla_is_down))
        add(ret, "argilla does not answer");
}
