/* An instance of the bridge without Argilla: the real membership, partitions and producers, and made-up
 * listeners that publish numbered messages and keep the last number as their state. What may not happen then
 * shows in the topics: a number twice, a number missing, a state that differs from the data.
 *
 * Standard output tells what happens, a line an event. Standard input takes commands: `hold fenced` and
 * `hold before_commit` stop the next thread that comes by that place (see partition_hooks) until `go`;
 * `disown` is what the membership says when the group takes everything away; any other, such as `count`, is
 * only answered with the number of committed chunks, as these are. The input's end stops the process as
 * SIGTERM does, so that nothing is left behind when a test is killed.
 *
 * Exit status: 0 stopped; 1 the state in memory is not what was committed; 2 bad options; 3 ERR_CONFIG from
 * opening; 4 this member is shut out for good. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "eos_options.h"
#include "membership.h"
#include "partition.h"
#include "topics.h"

enum { EXIT_MISMATCH = 1, EXIT_OPTIONS = 2, EXIT_CONFIG = 3, EXIT_SHUT_OUT = 4 };
enum { NAME_SIZE = 32, LATENCIES_MAX = 1 << 18, REOPEN_MS = 100, TICK_MS = 20, POLL_MS = 100 };

struct listener {
    struct part *part;
    char name[NAME_SIZE], key[NAME_SIZE + 16];
    bool is_odd;
    atomic_bool is_taken; /* by the worker that is on it; what follows is that worker's */
    bool has_state;
    int64_t seq; /* the last committed */
    uint64_t epoch;
};

struct part {
    struct driver *driver;
    struct partition *partition;
    struct listener *listeners;
    /* under the driver's mutex */
    bool is_wanted, is_open, has_job;
    int64_t assigned_ms, next_try_ms;
};

struct driver {
    struct options o;
    struct config config;
    struct part *parts;
    atomic_bool is_stopping, is_settled;
    atomic_int exit_status, n_workers;
    atomic_long n_committed, n_stale, n_refused;

    pthread_mutex_t mutex; /* what is wanted and open; the gate */
    pthread_cond_t changed;
    const char *hold; /* the place where the next one is held; "": nowhere */
    bool may_go;

    atomic_uint n_latencies;
    unsigned *latencies_us;
};

static volatile sig_atomic_t got_signal;

static void on_signal(int number)
{
    got_signal = number;
}

__attribute__((format(printf, 1, 2))) static void say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    flockfile(stdout);
    (void)printf("%lld ", (long long)clock_wall_ms());
    (void)vprintf(fmt, ap);
    (void)putchar('\n');
    (void)fflush(stdout);
    funlockfile(stdout);
    va_end(ap);
}

static void stop(struct driver *d, int exit_status)
{
    int zero = 0;
    if (exit_status)
        (void)atomic_compare_exchange_strong(&d->exit_status, &zero, exit_status);
    atomic_store(&d->is_stopping, true);
}

/* ---- the gate ---- */

static void pass(struct part *p, const char *place)
{
    struct driver *d = p->driver;
    (void)pthread_mutex_lock(&d->mutex);
    if (strcmp(d->hold, place) == 0) {
        d->hold = "";
        d->may_go = false;
        say("held %s partition=%d", place, partition_id(p->partition));
        while (!d->may_go)
            (void)pthread_cond_wait(&d->changed, &d->mutex);
    }
    (void)pthread_mutex_unlock(&d->mutex);
}

static void on_fenced(void *arg)
{
    pass(arg, "fenced");
}

static void on_before_commit(void *arg)
{
    pass(arg, "before_commit");
}

/* ---- ownership ---- */

static void on_assignment(void *arg, const bool *is_owned, int n, bool is_settled)
{
    struct driver *d = arg;
    char text[512] = "";
    size_t used = 0;
    (void)pthread_mutex_lock(&d->mutex);
    for (int i = 0; i < n && i < d->o.partitions; i++) {
        struct part *p = &d->parts[i];
        partition_set_owned(p->partition, is_owned[i]);
        if (is_settled) {
            p->is_wanted = is_owned[i];
            p->assigned_ms = clock_mono_ms();
            p->next_try_ms = 0;
        }
        if (is_owned[i] && used < sizeof text - NUMBER_SIZE)
            used += (size_t)snprintf(text + used, sizeof text - used, " %d", i);
    }
    (void)pthread_mutex_unlock(&d->mutex);
    say("%s%s", is_settled ? "assigned" : "revoked", text);
}

static void disown(struct driver *d)
{
    cleanup_free bool *none = xcalloc((size_t)d->o.partitions, sizeof *none);
    on_assignment(d, none, d->o.partitions, true);
}

static void own_all(struct driver *d)
{
    cleanup_free bool *all = xcalloc((size_t)d->o.partitions, sizeof *all);
    memset(all, 1, (size_t)d->o.partitions * sizeof *all);
    on_assignment(d, all, d->o.partitions, true);
}

static void *membership_main(void *arg)
{
    struct driver *d = arg;
    struct membership *m;
    struct err e;
    if (membership_new(&d->config, on_assignment, d, &m, &e)) {
        say("member error=%s", e.msg);
        stop(d, EXIT_SHUT_OUT);
        return NULL;
    }
    while (!atomic_load(&d->is_settled)) { /* a member until nothing is in flight any more */
        if (membership_poll(m, POLL_MS, &e) == 0)
            continue;
        say("member class=%s error=%s", err_class_name(e.class), e.msg);
        if (e.class == ERR_FATAL) {
            stop(d, EXIT_SHUT_OUT);
            break;
        }
    }
    membership_free(m);
    return NULL;
}

enum job { JOB_NONE, JOB_OPEN, JOB_CLOSE };

static enum job take_job(struct part *p)
{
    struct driver *d = p->driver;
    enum job job = JOB_NONE;
    (void)pthread_mutex_lock(&d->mutex);
    if (p->is_open && !partition_is_ready(p->partition) && partition_is_owned(p->partition))
        p->is_open = false; /* an open within a commit has failed */
    bool may_open = partition_is_owned(p->partition) && clock_mono_ms() >= p->next_try_ms;
    if (!p->has_job && p->is_wanted != p->is_open && (!p->is_wanted || may_open))
        job = p->is_wanted ? JOB_OPEN : JOB_CLOSE;
    p->has_job |= job != JOB_NONE;
    (void)pthread_mutex_unlock(&d->mutex);
    return job;
}

static void do_job(struct part *p, enum job job)
{
    struct driver *d = p->driver;
    struct err e;
    bool is_open = false;
    int64_t start_us = clock_mono_us();
    if (job == JOB_CLOSE)
        partition_close(p->partition);
    else if (!(is_open = partition_open(p->partition, &e) == 0))
        say("open-failed partition=%d class=%s error=%s", partition_id(p->partition), err_class_name(e.class),
            e.msg);
    if (job == JOB_OPEN && !is_open && e.class == ERR_CONFIG)
        stop(d, EXIT_CONFIG);
    (void)pthread_mutex_lock(&d->mutex);
    p->has_job = false;
    p->is_open = is_open;
    p->next_try_ms = clock_mono_ms() + REOPEN_MS;
    int64_t assigned_ms = p->assigned_ms;
    (void)pthread_mutex_unlock(&d->mutex);
    if (is_open || job == JOB_CLOSE)
        say("%s partition=%d took_us=%lld since_assigned_ms=%lld", is_open ? "open" : "closed",
            partition_id(p->partition), (long long)(clock_mono_us() - start_us),
            (long long)(clock_mono_ms() - assigned_ms));
}

/* ---- listeners ---- */

/* All that one chunk points to, in one piece that is overwritten when the chunk is over: if anybody still
 * reads it, the topic shows it (and a sanitizer says who). */
struct parcel {
    struct chunk chunk;
    struct kafka_message *messages;
    struct state_write write;
    struct kafka_header header;
    char *bytes;
    size_t n_bytes;
};

static size_t write_padded(char *to, size_t size, size_t min, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static size_t write_padded(char *to, size_t size, size_t min, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t n = (size_t)vsnprintf(to, size, fmt, ap);
    va_end(ap);
    if (n < min) {
        memset(to + n, '.', min - n);
        to[n] = ' ';
        n = min;
    }
    return n;
}

static void pack(struct listener *l, int n, struct parcel *ret)
{
    enum { TEXT_MAX = 160 };
    const struct options *o = &l->part->driver->o;
    size_t value_bytes = (size_t)(l->is_odd ? o->odd_value_bytes : o->value_bytes);
    size_t room = TEXT_MAX + (value_bytes > (size_t)o->state_bytes ? value_bytes : (size_t)o->state_bytes);
    *ret = (struct parcel){.n_bytes = (size_t)(n + 1) * room};
    ret->bytes = xcalloc(ret->n_bytes, 1);
    ret->messages = xcalloc((size_t)n, sizeof *ret->messages);
    ret->header = (struct kafka_header){"instance", slice_of(o->name)};
    for (int i = 0; i < n; i++) {
        char *to = ret->bytes + (size_t)i * room;
        size_t len =
            write_padded(to, room, value_bytes, "%s %lld %s", l->name, (long long)(l->seq + i + 1), o->name);
        /* every other listener has no key: its messages go to any partition */
        bool has_key = l->name[strlen(l->name) - 1] % 2;
        ret->messages[i] = (struct kafka_message){.topic = l->is_odd ? o->odd_topic : o->data_topic,
                                                  .key = has_key ? slice_of(l->name) : (struct slice){0},
                                                  .value = {to, len}};
    }
    char *to = ret->bytes + (size_t)n * room;
    size_t len = write_padded(to, room, (size_t)o->state_bytes, "%lld", (long long)(l->seq + n));
    ret->write = (struct state_write){.key = slice_of(l->key), .value = {to, len}};
    ret->chunk = (struct chunk){.messages = ret->messages,
                                .n_messages = (size_t)n,
                                .headers = {&ret->header, 1},
                                .writes = &ret->write,
                                .n_writes = 1,
                                .size_bytes = ret->n_bytes,
                                .epoch = l->epoch};
}

static void unpack(struct parcel *p)
{
    memset(p->bytes, '#', p->n_bytes);
    free(p->bytes);
    free(p->messages);
}

static bool read_state(struct listener *l, int64_t *ret_seq, uint64_t *ret_epoch)
{
    cleanup_buf struct buf value = buf_make(STATE_VALUE_MAX);
    if (!partition_get(l->part->partition, l->key, &value, ret_epoch))
        return false;
    *ret_seq = strtoll(buf_str(&value), NULL, 10);
    return true;
}

static void check_memory(struct listener *l)
{
    int64_t seq;
    uint64_t epoch;
    if (!read_state(l, &seq, &epoch) || epoch != l->epoch || seq == l->seq)
        return;
    say("mismatch listener=%s committed=%lld state=%lld", l->name, (long long)l->seq, (long long)seq);
    stop(l->part->driver, EXIT_MISMATCH);
}

static void measure(struct driver *d, int64_t took_us)
{
    unsigned i = atomic_fetch_add(&d->n_latencies, 1);
    if (i < LATENCIES_MAX)
        d->latencies_us[i] = (unsigned)took_us;
}

static void settle(struct listener *l, const struct chunk *c, int n)
{
    struct driver *d = l->part->driver;
    switch (c->outcome) {
    case CHUNK_COMMITTED:
        l->seq += n;
        check_memory(l);
        if (atomic_fetch_add(&d->n_committed, 1) + 1 == d->o.chunks)
            stop(d, 0);
        break;
    case CHUNK_STALE:
        (void)atomic_fetch_add(&d->n_stale, 1);
        say("stale listener=%s first=%lld n=%d", l->name, (long long)(l->seq + 1), n);
        l->has_state = false;
        break;
    case CHUNK_REFUSED:
        (void)atomic_fetch_add(&d->n_refused, 1);
        say("refused listener=%s first=%lld n=%d class=%s error=%s", l->name, (long long)(l->seq + 1), n,
            err_class_name(c->err.class), c->err.msg);
        break;
    case CHUNK_PENDING:
        say("mismatch listener=%s pending", l->name);
        stop(d, EXIT_MISMATCH);
    }
}

/* One chunk of one listener. False: its partition isn't there. */
static bool go_on(struct listener *l, unsigned random)
{
    const struct options *o = &l->part->driver->o;
    if (!l->has_state) {
        if (!partition_is_ready(l->part->partition) || !read_state(l, &l->seq, &l->epoch))
            return false;
        l->has_state = true;
        say("state listener=%s seq=%lld epoch=%llu", l->name, (long long)l->seq,
            (unsigned long long)l->epoch);
    }
    int n = o->min_messages + (int)(random % (unsigned)(o->max_messages - o->min_messages + 1));
    struct parcel parcel;
    pack(l, n, &parcel);
    int64_t start_us = clock_mono_us();
    (void)partition_commit(l->part->partition, &parcel.chunk);
    if (parcel.chunk.outcome == CHUNK_COMMITTED)
        measure(l->part->driver, clock_mono_us() - start_us);
    settle(l, &parcel.chunk, n);
    unpack(&parcel);
    return true;
}

/* ---- workers ---- */

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void nap(int ms)
{
    (void)poll(NULL, 0, ms);
}

static void *worker_main(void *arg)
{
    struct driver *d = arg;
    unsigned seed = (unsigned)clock_mono_us() ^ ((unsigned)getpid() << 16);
    while (!atomic_load(&d->is_stopping)) {
        struct part *p = &d->parts[next_random(&seed) % (unsigned)d->o.partitions];
        struct listener *l = &p->listeners[next_random(&seed) % (unsigned)d->o.listeners];
        enum job job = take_job(p);
        bool went_on = false;
        if (job != JOB_NONE) {
            do_job(p, job);
            continue;
        }
        if (!atomic_exchange(&l->is_taken, true)) {
            went_on = go_on(l, next_random(&seed));
            atomic_store(&l->is_taken, false);
        }
        if (!went_on)
            nap(1);
        else if (d->o.pause_ms)
            nap((int)(next_random(&seed) % (2 * (unsigned)d->o.pause_ms)));
    }
    (void)atomic_fetch_sub(&d->n_workers, 1);
    return NULL;
}

/* ---- main ---- */

static void command(struct driver *d, const char *line)
{
    (void)pthread_mutex_lock(&d->mutex);
    if (strcmp(line, "hold fenced") == 0)
        d->hold = "fenced";
    else if (strcmp(line, "hold before_commit") == 0)
        d->hold = "before_commit";
    else if (strcmp(line, "go") == 0)
        d->may_go = true;
    (void)pthread_cond_broadcast(&d->changed);
    (void)pthread_mutex_unlock(&d->mutex);
    if (strcmp(line, "disown") == 0)
        disown(d);
    say("did %s committed=%ld", line, atomic_load(&d->n_committed));
}

/* Commands until it is time to stop. */
static void serve(struct driver *d)
{
    char line[256];
    size_t used = 0;
    while (!atomic_load(&d->is_stopping) && !got_signal) {
        struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(&in, 1, POLL_MS) <= 0)
            continue;
        ssize_t n = read(STDIN_FILENO, line + used, sizeof line - 1 - used);
        if (n <= 0)
            break;
        line[used + (size_t)n] = '\0';
        char *start = line, *end;
        while ((end = strchr(start, '\n'))) {
            *end = '\0';
            command(d, start);
            start = end + 1;
        }
        used = strlen(start);
        memmove(line, start, used);
    }
}

/* Lets the workers end what they are at; after the grace time everything is disowned, so that calls give up.
 */
static void settle_workers(struct driver *d, pthread_t *workers)
{
    stop(d, 0);
    command(d, "go");
    int64_t deadline_ms = clock_mono_ms() + d->o.stop_grace_ms;
    while (atomic_load(&d->n_workers)) {
        nap(TICK_MS);
        if (deadline_ms && clock_mono_ms() > deadline_ms) {
            disown(d);
            deadline_ms = 0;
        }
    }
    for (int i = 0; i < d->o.workers; i++)
        (void)pthread_join(workers[i], NULL);
}

static int compare_latencies(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void report(struct driver *d, int64_t stop_ms)
{
    struct partition_stats sum = {0};
    for (int i = 0; i < d->o.partitions; i++) {
        struct partition_stats s;
        partition_get_stats(d->parts[i].partition, &s);
        sum.n_commits += s.n_commits;
        sum.n_chunks += s.n_chunks;
        sum.n_opens += s.n_opens;
        sum.n_fenced += s.n_fenced;
        sum.n_replaced += s.n_replaced;
    }
    unsigned n = atomic_load(&d->n_latencies);
    n = n < LATENCIES_MAX ? n : LATENCIES_MAX;
    unsigned *us = d->latencies_us;
    qsort(us, n, sizeof *us, compare_latencies);
    say("end commits=%llu chunks=%llu committed=%ld stale=%ld refused=%ld opens=%llu fenced=%llu "
        "replaced=%llu p50_us=%u p90_us=%u max_us=%u stop_ms=%lld",
        (unsigned long long)sum.n_commits, (unsigned long long)sum.n_chunks, atomic_load(&d->n_committed),
        atomic_load(&d->n_stale), atomic_load(&d->n_refused), (unsigned long long)sum.n_opens,
        (unsigned long long)sum.n_fenced, (unsigned long long)sum.n_replaced, n ? us[n / 2] : 0,
        n ? us[(size_t)n * 9 / 10] : 0, n ? us[n - 1] : 0, (long long)stop_ms);
}

static void make_parts(struct driver *d)
{
    d->latencies_us = xcalloc(LATENCIES_MAX, sizeof *d->latencies_us);
    d->parts = xcalloc((size_t)d->o.partitions, sizeof *d->parts);
    for (int i = 0; i < d->o.partitions; i++) {
        struct part *p = &d->parts[i];
        struct partition_hooks hooks = {.fenced = on_fenced,
                                        .before_commit = on_before_commit,
                                        .arg = p,
                                        .keep_handle_after_lost_socket = d->o.keep_handle};
        p->driver = d;
        p->partition = partition_new(&d->config, i, &hooks);
        if (d->o.limit_batch)
            partition_limit_batch(p->partition, d->o.limit_batch);
        p->listeners = xcalloc((size_t)d->o.listeners, sizeof *p->listeners);
        for (int j = 0; j < d->o.listeners; j++) {
            struct listener *l = &p->listeners[j];
            l->part = p;
            l->is_odd = d->o.odd_topic && j == 0;
            (void)snprintf(l->name, sizeof l->name, "l%d.%d", i, j);
            (void)snprintf(l->key, sizeof l->key, "listener/%s", l->name);
        }
    }
}

static void free_parts(struct driver *d)
{
    for (int i = 0; i < d->o.partitions; i++) {
        partition_free(d->parts[i].partition);
        free(d->parts[i].listeners);
    }
    free(d->parts);
    free(d->latencies_us);
}

/* The state topic, as the bridge itself looks at it or makes it. */
static int await_state_topic(struct driver *d)
{
    struct kafka_admin *admin;
    struct topic_info info;
    struct err e;
    struct topic_spec spec = {.name = d->o.state_topic,
                              .partitions = d->o.partitions,
                              .replication_factor = -1,
                              .cleanup_policy = "compact",
                              .is_state = true};
    int rc = kafka_admin_new(&d->config, &admin, &e);
    if (!rc) {
        while ((rc = kafka_admin_topic(admin, &spec, true, &info, &e)) && e.class == ERR_RETRY && !got_signal)
            say("topic error=%s", e.msg);
        kafka_admin_free(admin);
    }
    if (rc)
        say("topic class=%s error=%s", err_class_name(e.class), e.msg);
    return rc;
}

static void run(struct driver *d)
{
    pthread_t member, *workers = xcalloc((size_t)d->o.workers, sizeof *workers);
    make_parts(d);
    if (d->o.assume)
        own_all(d);
    else
        (void)pthread_create(&member, NULL, membership_main, d);
    atomic_store(&d->n_workers, d->o.workers);
    for (int i = 0; i < d->o.workers; i++)
        (void)pthread_create(&workers[i], NULL, worker_main, d);
    serve(d);
    int64_t start_ms = clock_mono_ms();
    settle_workers(d, workers);
    atomic_store(&d->is_settled, true);
    if (!d->o.assume)
        (void)pthread_join(member, NULL);
    report(d, clock_mono_ms() - start_ms);
    free_parts(d);
    free(workers);
}

int main(int argc, char **argv)
{
    struct kafka_property common[COMMON_PROPERTIES], consumer[CONSUMER_PROPERTIES];
    char session[NUMBER_SIZE];
    struct driver d = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    if (options_read(&d.o, argc, argv))
        return EXIT_OPTIONS;
    d.config = options_config(&d.o, common, consumer, session);
    d.hold = d.o.hold;
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    if (await_state_topic(&d))
        return EXIT_CONFIG;
    say("up pid=%d", (int)getpid());
    run(&d);
    return atomic_load(&d.exit_status);
}
