#include "partition.h"

#include <pthread.h>
#include <stdio.h>

#include "client.h"
#include "clock.h"
#include "digest.h"
#include "json_scan.h"
#include "partition_state.h"
#include "state_reader.h"
#include "txn.h"

enum {
    READ_IDLE_MS = 10000,
    GROUP_BYTES = 16 << 20, /* a transaction takes more chunks only below this */
    GROUP_MESSAGES = 50000, /* and this: queue.buffering.max.messages is 100,000 */
    ATTEMPTS = 3,      /* transactions that fail with nobody to blame, before the chunks are given back */
    PATIENCE_MS = 700, /* deliveries take milliseconds; after this, topics are looked at */
    STATE_FORMAT = 1
};
static const char header_key[] = "header";

struct partition {
    const struct config *config;
    int id;
    struct partition_hooks hooks;
    atomic_bool owned;

    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool is_ready, is_busy; /* busy: somebody leads, opens or closes */
    bool wants_new_handle;
    uint64_t epoch;
    struct partition_state state;
    struct chunk *waiting, **waiting_tail;
    struct partition_stats stats;

    struct txn *txn; /* whoever has set busy */
    int64_t batch_bytes;
    char header[64]; /* the header record's value: librdkafka reads it until its delivery report */
};

struct partition *partition_new(const struct config *config, int id, const struct partition_hooks *hooks)
{
    struct partition *p = xcalloc(1, sizeof *p);
    p->config = config;
    p->id = id;
    if (hooks)
        p->hooks = *hooks;
    p->batch_bytes = 1000000; /* librdkafka's default */
    p->waiting_tail = &p->waiting;
    (void)snprintf(p->header, sizeof p->header, "{\"format\":%d,\"partitions\":%d}", STATE_FORMAT,
                   config->bridge.state_partitions);
    (void)pthread_mutex_init(&p->mutex, NULL);
    (void)pthread_cond_init(&p->cond, NULL);
    return p;
}

void partition_free(struct partition *p)
{
    if (!p)
        return;
    partition_close(p);
    (void)pthread_cond_destroy(&p->cond);
    (void)pthread_mutex_destroy(&p->mutex);
    free(p);
}

int partition_id(const struct partition *p)
{
    return p->id;
}

void partition_set_owned(struct partition *p, bool owned)
{
    atomic_store(&p->owned, owned);
}

bool partition_is_owned(const struct partition *p)
{
    return atomic_load(&p->owned);
}

static void lock(struct partition *p)
{
    (void)pthread_mutex_lock(&p->mutex);
}

static void unlock(struct partition *p)
{
    (void)pthread_mutex_unlock(&p->mutex);
}

bool partition_is_ready(struct partition *p)
{
    lock(p);
    bool ready = p->is_ready;
    unlock(p);
    return ready && partition_is_owned(p);
}

/* With the lock: waits for the producer and takes it. */
static void take_busy(struct partition *p)
{
    while (p->is_busy)
        (void)pthread_cond_wait(&p->cond, &p->mutex);
    p->is_busy = true;
}

static void give_busy(struct partition *p)
{
    p->is_busy = false;
    (void)pthread_cond_broadcast(&p->cond);
}

void partition_limit_batch(struct partition *p, int64_t bytes)
{
    lock(p);
    take_busy(p);
    if (bytes < p->batch_bytes) {
        p->batch_bytes = bytes;
        p->wants_new_handle = p->is_ready;
    }
    give_busy(p);
    unlock(p);
}

static int check_header(const struct partition *p, const struct state_map *state, struct err *e)
{
    struct slice header = state_map_get(state, header_key), format, partitions;
    int64_t n = 0, f = 0;
    if (!header.p)
        return 0; /* new: the first transaction writes it */
    if (json_check(header, NULL) || !json_get(header, "format", &format) || json_get_int64(format, &f) ||
        !json_get(header, "partitions", &partitions) || json_get_int64(partitions, &n))
        return err_set(e, ERR_CONFIG, "state %s[%d]: its header is not one of argilla-bridge",
                       p->config->bridge.state_topic, p->id);
    if (f != STATE_FORMAT)
        return err_set(e, ERR_CONFIG, "state %s[%d]: format %lld, this version knows %d",
                       p->config->bridge.state_topic, p->id, (long long)f, STATE_FORMAT);
    if (n != p->config->bridge.state_partitions)
        return err_set(
            e, ERR_CONFIG,
            "state %s[%d]: begun with %lld partitions, bridge.state_partitions is %d: listeners would lose "
            "their state; set it back, or use another state_topic",
            p->config->bridge.state_topic, p->id, (long long)n, p->config->bridge.state_partitions);
    return 0;
}

/* Holding busy, not the lock: fence, then read. The order is the point: a state read before the fence could
 * still be moved on by the predecessor. READY afterwards, or closed. */
static int open_handle(struct partition *p, struct err *e)
{
    struct partition_state state = {0};
    txn_close(p->txn);
    p->txn = NULL;
    int rc = 0;
    if (!partition_is_owned(p)) /* nobody fences what the group has not assigned to it */
        rc = err_set(e, ERR_RETRY, "partition %d is not ours", p->id);
    if (!rc)
        rc = txn_open(p->config, p->id, p->batch_bytes, &p->owned, &p->txn, e);
    if (!rc && p->hooks.fenced)
        p->hooks.fenced(p->hooks.arg);
    if (!rc)
        rc = state_read(p->config, p->id, &p->owned, READ_IDLE_MS, &state, e);
    if (!rc)
        rc = check_header(p, &state.map, e);
    if (rc) {
        txn_close(p->txn);
        p->txn = NULL;
    }
    lock(p);
    p->stats.n_opens++;
    /* what was handed over on the ground of a state that still stands, stands too; then the one in memory is
     * kept, which also knows what a reconcile has seen */
    if (rc || !p->is_ready || !partition_state_equal(&state, &p->state)) {
        p->epoch++;
        partition_state_release(&p->state);
        if (!rc) {
            p->state = state;
            state = (struct partition_state){0};
        }
    }
    p->is_ready = !rc;
    p->wants_new_handle = false;
    unlock(p);
    partition_state_release(&state);
    return rc;
}

int partition_open(struct partition *p, struct err *e)
{
    int rc = 0;
    lock(p);
    take_busy(p);
    if (!p->is_ready) {
        unlock(p);
        rc = open_handle(p, e);
        lock(p);
    }
    give_busy(p);
    unlock(p);
    return rc;
}

void partition_close(struct partition *p)
{
    lock(p);
    take_busy(p);
    p->is_ready = false;
    p->epoch++;
    partition_state_release(&p->state);
    for (struct chunk *c = p->waiting, *next; c; c = next) {
        next = c->next;
        c->outcome = CHUNK_STALE;
    }
    p->waiting = NULL;
    p->waiting_tail = &p->waiting;
    unlock(p);
    txn_close(p->txn);
    p->txn = NULL;
    lock(p);
    give_busy(p);
    unlock(p);
}

bool partition_get(struct partition *p, const char *key, struct buf *ret, uint64_t *ret_epoch)
{
    lock(p);
    bool ready = p->is_ready;
    if (ready) {
        struct slice value = state_map_get(&p->state.map, key);
        if (value.p)
            buf_addslice(ret, value);
        if (ret_epoch)
            *ret_epoch = p->epoch;
    }
    unlock(p);
    return ready;
}

bool partition_each_key(struct partition *p, void (*on_key)(void *arg, const char *key), void *arg)
{
    lock(p);
    bool ready = p->is_ready;
    for (size_t i = 0; ready && i < p->state.map.cap; i++)
        if (p->state.map.entries[i].key)
            on_key(arg, p->state.map.entries[i].key);
    unlock(p);
    return ready;
}

int partition_peek_keys(struct partition *p, void (*on_key)(void *arg, const char *key), void *arg,
                        struct err *e)
{
    struct partition_state state = {0};
    if (state_read(p->config, p->id, &p->owned, READ_IDLE_MS, &state, e))
        return -1;
    for (size_t i = 0; i < state.map.cap; i++)
        if (state.map.entries[i].key)
            on_key(arg, state.map.entries[i].key);
    partition_state_release(&state);
    return 0;
}

/* With the lock. NULL when there is none, or the state is another reading than `epoch`. */
static struct digest_map *digests_of(struct partition *p, const struct digests_ref *r)
{
    return p->is_ready && p->epoch == r->epoch
               ? partition_state_digests(&p->state, r->listener, r->generation)
               : NULL;
}

bool partition_digests_look(struct partition *p, const struct digests_ref *r, struct digest_look *items,
                            size_t n)
{
    lock(p);
    bool ok = p->is_ready && p->epoch == r->epoch;
    struct digest_map *map = digests_of(p, r);
    for (size_t i = 0; ok && i < n; i++) {
        uint64_t id = digest_id(items[i].id), known;
        items[i].is_unchanged = map && digest_map_get(map, id, &known) && known == items[i].digest;
        if (map)
            (void)digest_map_see(map, id);
    }
    unlock(p);
    return ok;
}

void partition_digests_see_none(struct partition *p, const struct digests_ref *r)
{
    lock(p);
    struct digest_map *map = digests_of(p, r);
    if (map)
        digest_map_clear_seen(map);
    unlock(p);
}

bool partition_digests_take_unseen(struct partition *p, const struct digests_ref *r, struct slice id)
{
    lock(p);
    struct digest_map *map = digests_of(p, r);
    bool taken = map && digest_map_see(map, digest_id(id));
    unlock(p);
    return taken;
}

bool partition_digests_know(struct partition *p, const struct digests_ref *r, struct slice id)
{
    uint64_t digest;
    lock(p);
    struct digest_map *map = digests_of(p, r);
    bool known = map && digest_map_get(map, digest_id(id), &digest);
    unlock(p);
    return known;
}

bool partition_digests_count(struct partition *p, const struct digests_ref *r, struct digests_count *ret)
{
    lock(p);
    bool ok = p->is_ready && p->epoch == r->epoch;
    struct digest_map *map = digests_of(p, r);
    *ret = (struct digests_count){0};
    if (map) {
        ret->n = map->n;
        ret->n_unseen = digest_map_unseen(map);
    }
    if (ok)
        ret->n_old = partition_state_n_old(&p->state, r->listener, r->generation);
    unlock(p);
    return ok;
}

int partition_walk(struct partition *p, struct state_walk **ret, struct err *e)
{
    return state_walk_new(p->config, p->id, &p->owned, READ_IDLE_MS, ret, e);
}

static int produce_state(struct partition *p, struct slice key, struct slice value, struct chunk *blame,
                         struct err *e)
{
    struct kafka_message m = {.topic = p->config->bridge.state_topic, .key = key, .value = value};
    return txn_produce(p->txn, &m, p->id, (struct kafka_headers){0}, blame, e);
}

static int produce_chunk(struct partition *p, struct chunk *c, struct err *e)
{
    for (size_t i = 0; i < c->n_messages; i++) {
        if (txn_produce(p->txn, &c->messages[i], -1, c->headers, c, e)) {
            if (e->class == ERR_BAD_INPUT || e->class == ERR_AUTH)
                c->err = *e; /* this message, on this handle, never: its own fault */
            return -1;
        }
    }
    for (size_t i = 0; i < c->n_writes; i++)
        if (produce_state(p, c->writes[i].key, c->writes[i].value, c, e))
            return -1;
    return 0;
}

/* Deliveries that take long: is it because a topic is gone? Its neighbours shall not wait for
 * message.timeout.ms. */
static bool blame_deleted_topics(struct partition *p, struct chunk *chunks)
{
    bool any = false;
    for (struct chunk *c = chunks; c; c = c->next) {
        for (size_t i = 0; i < c->n_messages && c->err.class == ERR_NONE; i++) {
            if (i > 0 && c->messages[i].topic == c->messages[i - 1].topic)
                continue;
            int gone = txn_topic_is_gone(p->txn, c->messages[i].topic, &c->err);
            if (gone < 0) /* it is the broker, then, that keeps the deliveries waiting */
                return any;
            any |= gone;
        }
    }
    return any;
}

static int produce_all(struct partition *p, struct chunk *chunks, bool with_header, struct err *e)
{
    if (with_header && produce_state(p, slice_of(header_key), slice_of(p->header), NULL, e))
        return -1;
    for (struct chunk *c = chunks; c; c = c->next)
        if (produce_chunk(p, c, e))
            return -1;
    /* the chunks are read by librdkafka until the last delivery report */
    int rc;
    while ((rc = txn_flush(p->txn, PATIENCE_MS, &p->owned, e)) > 0)
        if (blame_deleted_topics(p, chunks))
            return err_set(e, ERR_ABORT_TXN, "a topic has been deleted");
    return rc;
}

/* Topics that this handle doesn't know yet, before begin: a bad one is its listener's trouble, not its
 * neighbours'. */
static int know_topics(struct partition *p, struct chunk *chunks)
{
    int n_bad = 0;
    for (struct chunk *c = chunks; c; c = c->next) {
        for (size_t i = 0; i < c->n_messages && c->err.class == ERR_NONE && partition_is_owned(p); i++)
            if (i == 0 || c->messages[i].topic != c->messages[i - 1].topic)
                n_bad += txn_know_topic(p->txn, c->messages[i].topic, &c->err) != 0;
    }
    struct err ignored; /* the state topic's trouble shows when it is written */
    (void)txn_know_topic(p->txn, p->config->bridge.state_topic, &ignored);
    return n_bad;
}

/* One transaction. 0: committed. -1: the handle must be replaced; chunks whose own fault it was have `err`.
 */
static int transact(struct partition *p, struct chunk *chunks, bool with_header, struct err *e)
{
    struct err ignored;
    if (txn_begin(p->txn, e))
        return -1;
    if (produce_all(p, chunks, with_header, e)) {
        /* The abort also waits until librdkafka holds none of the chunks' memory. If it fails, the handle's
         * end does. */
        (void)txn_abort(p->txn, &p->owned, &ignored);
        return -1;
    }
    if (p->hooks.before_commit)
        p->hooks.before_commit(p->hooks.arg);
    return txn_commit(p->txn, &p->owned, e);
}

static void move(struct chunk **from, struct chunk **to, enum chunk_outcome verdict)
{
    struct chunk *c = *from;
    *from = c->next;
    c->verdict = verdict;
    c->next = *to;
    *to = c;
}

/* Sorts out those that can't go into the next transaction: of an older reading of the state, or with a fault
 * of their own. */
static void sort_out(struct partition *p, struct chunk **chunks, struct chunk **done)
{
    for (struct chunk **at = chunks; *at;) {
        if (!p->is_ready || (*at)->epoch != p->epoch)
            move(at, done, CHUNK_STALE);
        else if ((*at)->err.class != ERR_NONE)
            move(at, done, CHUNK_REFUSED);
        else
            at = &(*at)->next;
    }
}

static void settle_committed(struct partition *p, struct chunk **chunks, struct chunk **done,
                             bool with_header, int64_t took_ms)
{
    lock(p);
    if (with_header)
        partition_state_set(&p->state, slice_of(header_key), slice_of(p->header));
    p->stats.n_commits++;
    histogram_add(&p->stats.took, took_ms);
    while (*chunks) {
        for (size_t i = 0; i < (*chunks)->n_writes; i++)
            partition_state_set(&p->state, (*chunks)->writes[i].key, (*chunks)->writes[i].value);
        p->stats.n_chunks++;
        move(chunks, done, CHUNK_COMMITTED);
    }
    if (txn_lost_socket(p->txn) && !p->hooks.keep_handle_after_lost_socket) {
        p->wants_new_handle = true;
        p->stats.n_replaced++;
    }
    unlock(p);
}

static void refuse_all(struct chunk **chunks, struct chunk **done, const struct err *e)
{
    while (*chunks) {
        (*chunks)->err = *e;
        move(chunks, done, CHUNK_REFUSED);
    }
}

/* Holding busy, not the lock: brings every chunk to an outcome, collected in `done`. */
static void settle(struct partition *p, struct chunk *chunks, struct chunk **done)
{
    struct err e;
    for (int attempt = 1;; attempt++) {
        if (p->wants_new_handle)
            (void)open_handle(p, &e); /* a failure leaves it closed: sort_out makes all STALE */
        sort_out(p, &chunks, done);
        if (!chunks)
            return;
        if (know_topics(p, chunks))
            sort_out(p, &chunks, done);
        if (!chunks)
            return;
        bool with_header = !state_map_get(&p->state.map, header_key).p;
        int64_t start_ms = clock_mono_ms();
        if (transact(p, chunks, with_header, &e) == 0) {
            settle_committed(p, &chunks, done, with_header, clock_mono_ms() - start_ms);
            return;
        }
        lock(p);
        p->wants_new_handle = true;
        p->stats.n_failed++;
        p->stats.n_fenced += e.class == ERR_FATAL;
        unlock(p);
        bool has_culprit = false;
        for (struct chunk *c = chunks; c; c = c->next)
            has_culprit |= c->err.class != ERR_NONE;
        if (!has_culprit && attempt >= ATTEMPTS && partition_is_owned(p)) {
            /* a transaction that keeps failing: is it written or not? only the state can tell, before
             * anything is given back */
            if (open_handle(p, &e) == 0)
                (void)err_set(&e, ERR_RETRY, "the transaction failed %d times", attempt);
            sort_out(p, &chunks, done);
            refuse_all(&chunks, done, &e);
            return;
        }
    }
}

/* With the lock: takes what waits, as far as one transaction should hold. */
static struct chunk *take_waiting(struct partition *p)
{
    struct chunk *first = p->waiting, **end = &first;
    size_t bytes = 0, messages = 0;
    while (*end && (end == &first || (bytes < GROUP_BYTES && messages < GROUP_MESSAGES))) {
        bytes += (*end)->size_bytes;
        messages += (*end)->n_messages + (*end)->n_writes;
        end = &(*end)->next;
    }
    p->waiting = *end;
    *end = NULL;
    if (!p->waiting)
        p->waiting_tail = &p->waiting;
    return first;
}

/* With the lock and the producer: commits what waits. Outcomes are told under the lock and at the end: from
 * then on a chunk belongs to its run again, and may be gone. */
static void lead(struct partition *p)
{
    struct chunk *chunks = take_waiting(p), *done = NULL;
    if (p->is_ready && partition_is_owned(p)) {
        unlock(p);
        settle(p, chunks, &done);
        lock(p);
    } else {
        while (chunks)
            move(&chunks, &done, CHUNK_STALE);
    }
    while (done) {
        struct chunk *c = done;
        done = c->next;
        c->outcome = c->verdict;
    }
}

enum chunk_outcome partition_commit(struct partition *p, struct chunk *c)
{
    c->outcome = CHUNK_PENDING;
    c->err.class = ERR_NONE;
    c->next = NULL;
    lock(p);
    *p->waiting_tail = c;
    p->waiting_tail = &c->next;
    while (c->outcome == CHUNK_PENDING) {
        if (p->is_busy) {
            (void)pthread_cond_wait(&p->cond, &p->mutex);
        } else {
            p->is_busy = true;
            lead(p);
            give_busy(p);
        }
    }
    unlock(p);
    return c->outcome;
}

void partition_get_stats(struct partition *p, struct partition_stats *ret)
{
    lock(p);
    *ret = p->stats;
    unlock(p);
}
