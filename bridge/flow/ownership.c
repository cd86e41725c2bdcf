/* Who runs what: the membership thread keeps this instance in the group, and the partitions that the group
 * assigns open.
 *
 * A revocation only marks: a commit in flight may end or be fenced, both are right. A partition that comes
 * back with the next assignment goes on with its state and its producer: the broker would have fenced them,
 * had anybody been in between. One that doesn't is closed by a worker. */
#include "bridge.h"

#include "clock.h"
#include "commands.h"
#include "membership.h"

enum {
    STATE_TOPIC_EVERY_MS = 500,
    POLL_MS = 100,
    PING_EVERY_MS = 5000,
    PING_DOWN_EVERY_MS = 1000,
    PINGS_TO_BE_DOWN = 2,
    PING_MS = 1500,
    RETRY_FIRST_MS = 100,
    RETRY_MAX_MS = 5000,
    STALL_MS = 3000, /* a round of the membership thread takes POLL_MS, and PING_MS at times */
    TRUST_MS = 2000, /* the next heartbeat's answer has come by then: it is overdue, so it goes out at once */
    ORPHANS_TEXT_MAX = 4096,
    STATE_NAMES_MAX = 4 << 20,
    COMMANDS_RETENTION_MS = 24 * 3600 * 1000
};
static const int64_t segment_bytes_max = 64
                                         << 20; /* larger segments are compacted late: a restore gets long */

/* Listeners of a partition that came back open were put off, if they were due in between. */
static void post_owned(struct bridge *b)
{
    (void)pthread_rwlock_rdlock(&b->listeners_lock);
    for (size_t i = 0; i < b->n_listeners; i++)
        if (partition_is_owned(b->listeners[i]->partition)) {
            atomic_store(&b->listeners[i]->control.must_verify, true);
            prober_post(b->listeners[i], false);
        }
    (void)pthread_rwlock_unlock(&b->listeners_lock);
}

/* On the membership thread, inside its poll. */
static void on_assignment(void *arg, const bool *is_owned, int n, bool is_settled)
{
    struct bridge *b = arg;
    int n_owned = 0;
    (void)pthread_mutex_lock(&b->mutex);
    for (int i = 0; i < n && i < b->n_owned; i++) {
        struct owned *o = &b->owned[i];
        n_owned += is_owned[i];
        o->is_assigned = is_owned[i];
        partition_set_owned(o->partition, is_owned[i] && !atomic_load(&b->is_stopping_fast));
        if (is_settled) {
            o->is_kept = is_owned[i];
            o->must_close |= !is_owned[i] && (o->is_open || o->has_job);
            o->next_try_ms = 0;
        }
    }
    (void)pthread_mutex_unlock(&b->mutex);
    commands_assigned(b);
    atomic_store(&b->status.is_settled, is_settled);
    if (!is_settled)
        return;
    log_info(b->log, "partitions assigned", KVI("n_partitions", n_owned), KVI("of", n));
    if (b->options.once_listener && n_owned < n) {
        struct err why;
        (void)err_set(&why, ERR_RETRY, "a service has started meanwhile: it goes on with the listener");
        bridge_end_once(b, ONCE_FAILED, &why);
        return;
    }
    post_owned(b);
}

/* With the mutex. What is to be done about it now; false: nothing. */
static bool next_job(struct owned *o, enum job_kind *ret)
{
    bool is_wanted = o->is_kept && o->n_listeners > 0;
    /* between a revocation and the next assignment nothing is ours to open */
    bool may_open = clock_mono_ms() >= o->next_try_ms && partition_is_owned(o->partition);
    o->is_looked_at &= o->is_kept;
    o->must_close &= o->is_open || o->has_job;
    if (o->has_job)
        return false;
    if (is_wanted != o->is_open || o->must_close) {
        *ret = is_wanted && !o->is_open ? JOB_OPEN : JOB_CLOSE;
        return *ret == JOB_CLOSE || may_open;
    }
    *ret = JOB_LOOK;
    return o->is_kept && !o->is_open && !o->is_looked_at && may_open && !o->bridge->options.once_listener;
}

/* Gives out the jobs that bring what is open to what is wanted. */
static void reconcile(struct bridge *b)
{
    for (int i = 0; i < b->n_owned; i++) {
        struct owned *o = &b->owned[i];
        struct job *job = NULL;
        enum job_kind kind;
        (void)pthread_mutex_lock(&b->mutex);
        bool has_closed_itself = /* an open after a failure did not succeed */
            o->is_open && !partition_is_ready(o->partition) && partition_is_owned(o->partition);
        if (has_closed_itself)
            o->is_open = false;
        if (next_job(o, &kind)) {
            job = &o->job;
            *job = (struct job){.kind = kind, .owned = o};
            o->has_job = true;
            o->must_close = false;
        }
        (void)pthread_mutex_unlock(&b->mutex);
        if (has_closed_itself) {
            commands_drop(o);
            log_info(b->log, "partition closed", KVI("partition", i));
        }
        if (job)
            jobs_push(b, job);
    }
}

static void post_listeners(struct owned *o)
{
    struct bridge *b = o->bridge;
    (void)pthread_rwlock_rdlock(&b->listeners_lock);
    for (size_t i = 0; i < b->n_listeners; i++)
        if (b->listeners[i]->partition == o->partition)
            prober_post(b->listeners[i], false);
    (void)pthread_rwlock_unlock(&b->listeners_lock);
}

/* Before the producer is made: batch.size must suit the smallest of its topics. A topic that can't be had is
 * its listener's matter, later. */
static void look_at_topics(struct owned *o)
{
    struct bridge *b = o->bridge;
    struct err e;
    bool is_away = false; /* Kafka: opening waits for it */
    (void)pthread_rwlock_rdlock(&b->listeners_lock);
    for (size_t i = 0; i < b->n_listeners && !is_away; i++) {
        struct listener *l = b->listeners[i];
        is_away = l->partition == o->partition && listener_check_topics(l, &e) && e.class == ERR_RETRY;
    }
    (void)pthread_rwlock_unlock(&b->listeners_lock);
}

/* Perhaps with the partition's lock: only notes. */
static void note_name(void *names, const char *key)
{
    static const char kind[] = "listener/";
    if (strncmp(key, kind, sizeof kind - 1) == 0)
        buf_addf(names, "%s\n", key + sizeof kind - 1);
}

static bool is_configured(struct bridge *b, const char *name)
{
    bool is = false;
    (void)pthread_rwlock_rdlock(&b->listeners_lock);
    for (size_t i = 0; i < b->n_listeners && !is; i++)
        is = strcmp(b->listeners[i]->config->name, name) == 0;
    (void)pthread_rwlock_unlock(&b->listeners_lock);
    return is;
}

/* State of listeners that the config no longer has is kept: it may be a mistake. */
static void tell_orphans(struct owned *o)
{
    struct bridge *b = o->bridge;
    struct err ignored; /* it is only to be told */
    cleanup_buf struct buf names = buf_make(STATE_NAMES_MAX), orphans = buf_make(ORPHANS_TEXT_MAX);
    if (b->options.once_listener)
        return;
    if (!partition_each_key(o->partition, note_name, &names))
        (void)partition_peek_keys(o->partition, note_name, &names, &ignored);
    char *rest = names.data, *name;
    while ((name = strsep(&rest, "\n")) && *name)
        if (!is_configured(b, name))
            buf_addf(&orphans, "%s%s", orphans.len ? ", " : "", name);
    if (orphans.len)
        log_info(b->log, "state of listeners that are not in the config (`forget` drops it)",
                 KVI("partition", partition_id(o->partition)), KV("listeners", buf_str(&orphans)));
    (void)pthread_mutex_lock(&b->mutex);
    o->is_looked_at = true;
    (void)pthread_mutex_unlock(&b->mutex);
}

void ownership_look(struct owned *o)
{
    tell_orphans(o);
    (void)pthread_mutex_lock(&o->bridge->mutex);
    o->has_job = false;
    (void)pthread_mutex_unlock(&o->bridge->mutex);
}

void ownership_open(struct owned *o)
{
    struct bridge *b = o->bridge;
    struct err e;
    int64_t start_ms = clock_mono_ms();
    look_at_topics(o);
    int rc = partition_open(o->partition, &e);
    (void)pthread_mutex_lock(&b->mutex);
    o->has_job = false;
    o->is_open = !rc;
    o->attempts = rc ? o->attempts + 1 : 0;
    int64_t wait = RETRY_FIRST_MS << (o->attempts < 7 ? o->attempts : 6);
    o->next_try_ms = clock_mono_ms() + (wait < RETRY_MAX_MS ? wait : RETRY_MAX_MS);
    unsigned attempts = o->attempts;
    (void)pthread_mutex_unlock(&b->mutex);
    if (!rc) {
        log_info(b->log, "partition open", KVI("partition", partition_id(o->partition)),
                 KVI("took_ms", clock_mono_ms() - start_ms));
        tell_orphans(o);
        post_listeners(o);
    } else if (e.class == ERR_CONFIG) {
        bridge_fail(b, &e);
    } else if (attempts == 1 && partition_is_owned(o->partition)) {
        log_warn(b->log, "partition can't be opened", KVI("partition", partition_id(o->partition)),
                 KV("error", e.msg));
    }
}

void ownership_close(struct owned *o)
{
    struct bridge *b = o->bridge;
    partition_close(o->partition);
    commands_drop(o);
    (void)pthread_mutex_lock(&b->mutex);
    o->has_job = false;
    o->is_open = false;
    (void)pthread_mutex_unlock(&b->mutex);
    log_info(b->log, "partition closed", KVI("partition", partition_id(o->partition)));
    post_listeners(o);
}

/* The state topic, with the partition count that the configuration says; waits for Kafka. -1: stopping or not
 * to be mended. */
static int await_state_topic(struct bridge *b, struct err *e)
{
    const struct bridge_config *c = &b->config->bridge;
    struct topic_spec spec = {.name = c->state_topic,
                              .partitions = c->state_partitions,
                              .replication_factor = c->topic_replication_factor,
                              .cleanup_policy = "compact",
                              .is_state = true};
    struct topic_info info;
    while (kafka_admin_topic(b->admin, &spec, c->create_topics, &info, e)) {
        status_beat(&b->status.membership_mono_ms);
        if (bridge_wait_for_stop(b, STATE_TOPIC_EVERY_MS))
            return -1;
        if (e->class == ERR_CONFIG)
            return -1;
        health_kafka(b, e);
    }
    health_kafka(b, NULL);
    if (info.partitions != c->state_partitions)
        return err_set(e, ERR_CONFIG,
                       "topic %s has %d partitions, bridge.state_partitions is %d: a listener's place is the "
                       "hash of its "
                       "name, so they must agree; set it to %d or use another state_topic",
                       c->state_topic, info.partitions, c->state_partitions, info.partitions);
    if (info.has_config && !info.is_compacted)
        log_warn(b->log, "the state topic is not compacted", KV("topic", c->state_topic));
    if (info.segment_bytes > segment_bytes_max)
        log_warn(b->log, "the state topic has large segments: a restore takes long",
                 KV("topic", c->state_topic), KVI("segment_bytes", info.segment_bytes),
                 KVI("at_most", segment_bytes_max));
    return 0;
}

/* The topic that brings commands from other instances. Without it the bridge goes on: commands reach a
 * listener at its owner only. */
static void await_commands_topic(struct bridge *b)
{
    const struct bridge_config *c = &b->config->bridge;
    struct topic_spec spec = {.name = c->commands_topic,
                              .partitions = c->state_partitions,
                              .replication_factor = c->topic_replication_factor,
                              .cleanup_policy = "delete",
                              .retention_ms = COMMANDS_RETENTION_MS};
    struct topic_info info;
    struct err e;
    int rc;
    while ((rc = kafka_admin_topic(b->admin, &spec, c->create_topics, &info, &e)) && e.class == ERR_RETRY) {
        status_beat(&b->status.membership_mono_ms);
        if (bridge_wait_for_stop(b, STATE_TOPIC_EVERY_MS))
            return;
    }
    if (!rc && info.partitions != c->state_partitions)
        rc = err_set(&e, ERR_CONFIG, "topic %s has %d partitions, bridge.state_partitions is %d",
                     c->commands_topic, info.partitions, c->state_partitions);
    if (rc)
        log_warn(b->log, "no commands topic: commands work only at the instance that owns the listener",
                 KV("topic", c->commands_topic), KV("error", e.msg));
    atomic_store(&b->commands_topic, rc ? COMMANDS_TOPIC_MISSING : COMMANDS_TOPIC_THERE);
}

struct watch {
    int64_t next_ms;
    int n_failed;
};

/* librdkafka tells a consumer nothing of brokers that are away: so somebody has to ask. One failure may be a
 * moment's, two are an outage. */
static void watch_kafka(struct bridge *b, struct watch *w)
{
    struct err e;
    int64_t now = clock_mono_ms();
    if (now < w->next_ms)
        return;
    w->n_failed = kafka_admin_ping(b->admin, PING_MS, &e) ? w->n_failed + 1 : 0;
    w->next_ms = clock_mono_ms() +
                 (w->n_failed || atomic_load(&b->kafka_is_down) ? PING_DOWN_EVERY_MS : PING_EVERY_MS);
    if (w->n_failed == 0)
        health_kafka(b, NULL);
    else if (w->n_failed >= PINGS_TO_BE_DOWN)
        health_kafka(b, &e);
}

struct stall {
    int64_t last_ms, trust_ms; /* trust_ms 0: nothing to wait for */
};

/* A process that stood still (SIGSTOP, a machine without CPU) may have been taken for dead: its partitions
 * have new owners, and nobody has told it yet. It must not fence those, as it would when it replaces a
 * handle: so it owns nothing until the group had the time to say so. */
static void distrust_after_stall(struct bridge *b, struct stall *s)
{
    int64_t now = clock_boot_ms(), stood_ms = now - s->last_ms;
    bool trusts = s->trust_ms && now >= s->trust_ms;
    s->last_ms = now;
    if (stood_ms <= STALL_MS && !trusts)
        return;
    s->trust_ms = trusts && stood_ms <= STALL_MS ? 0 : now + TRUST_MS;
    for (int i = 0; i < b->n_owned; i++)
        partition_set_owned(b->owned[i].partition,
                            !s->trust_ms && b->owned[i].is_assigned && !atomic_load(&b->is_stopping_fast));
    if (s->trust_ms)
        log_warn(b->log, "stood still, asking the group what is still ours", KVI("ms", stood_ms));
    else
        post_owned(b);
}

static void serve(struct bridge *b, struct membership *m)
{
    struct err e;
    struct stall stall = {.last_ms = clock_boot_ms()};
    struct watch watch = {0};
    while (!atomic_load(&b->is_stopping)) {
        status_beat(&b->status.membership_mono_ms);
        if (membership_poll(m, POLL_MS, &e)) {
            if (e.class == ERR_FATAL) {
                bridge_fail(b, &e);
                return;
            }
            health_kafka(b, &e);
        }
        distrust_after_stall(b, &stall);
        watch_kafka(b, &watch);
        reconcile(b);
        if (atomic_load(&b->commands_topic) == COMMANDS_TOPIC_THERE)
            commands_read(b);
    }
}

/* While the workers settle what is in flight the member stays one: nobody else should open what we still
 * write. */
static void serve_until_settled(struct bridge *b, struct membership *m)
{
    struct err e;
    while (!atomic_load(&b->is_settled))
        if (membership_poll(m, POLL_MS, &e) && e.class == ERR_FATAL)
            return;
}

void *membership_main(void *arg)
{
    struct bridge *b = arg;
    struct membership *m = NULL;
    struct err e;
    if (await_state_topic(b, &e)) {
        if (!atomic_load(&b->is_stopping))
            bridge_fail(b, &e);
        return NULL;
    }
    if (!b->options.once_listener) /* `once` takes no commands: they wait for a service */
        await_commands_topic(b);
    on_command_fn *on_command =
        atomic_load(&b->commands_topic) == COMMANDS_TOPIC_THERE ? commands_on_message : NULL;
    if (membership_new_with_commands(b->config, on_assignment, on_command, b, &m, &e)) {
        bridge_fail(b, &e);
        return NULL;
    }
    b->membership = m;
    serve(b, m);
    serve_until_settled(b, m);
    if (atomic_load(&b->is_stopping_fast))
        membership_abandon(m);
    else
        membership_free(m);
    return NULL;
}
