/* The commands topic's side: from a message to its listener, one after the other in each partition. */
#include "commands.h"

#include "clock.h"
#include "control_change.h"
#include "membership.h"
#include "state_map.h"

enum {
    QUEUE_MAX = 256, /* commands of a partition in memory; the topic keeps the others */
    AGAIN_MS = 500   /* after a failure the topic is read again so late */
};

void command_free(struct command *c)
{
    if (!c)
        return;
    command_message_release(&c->m);
    free((char *)c->raw.p);
    free(c);
}

void command_queue_push(struct command_queue *q, struct command *c)
{
    c->next = NULL;
    *(q->first ? q->tail : &q->first) = c;
    q->tail = &c->next;
    q->n++;
}

struct command *command_queue_pop(struct command_queue *q)
{
    struct command *c = q->first;
    if (!c)
        return NULL;
    q->first = c->next;
    q->n--;
    return c;
}

bool command_queue_remove(struct command_queue *q, struct command *c)
{
    for (struct command **at = &q->first; *at; at = &(*at)->next) {
        if (*at != c)
            continue;
        *at = c->next;
        if (q->tail == &c->next)
            q->tail = at;
        q->n--;
        return true;
    }
    return false;
}

void command_give(struct listener *l, struct command *c)
{
    struct bridge *b = l->bridge;
    (void)pthread_mutex_lock(&b->mutex);
    command_queue_push(&l->control.waiting, c);
    (void)pthread_mutex_unlock(&b->mutex);
    prober_post(l, false);
}

void commands_release(struct listener *l)
{
    command_free(l->control.running);
    for (struct command *c; (c = command_queue_pop(&l->control.waiting));)
        command_free(c);
}

/* With bridge->mutex. */
static void drop(struct owned_commands *oc)
{
    for (struct command *c; (c = command_queue_pop(&oc->queue));)
        command_free(c);
    oc->is_reading = false;
    oc->skipped_to = -1;
}

void commands_drop(struct owned *o)
{
    (void)pthread_mutex_lock(&o->bridge->mutex);
    drop(&o->commands);
    (void)pthread_mutex_unlock(&o->bridge->mutex);
}

void commands_assigned(struct bridge *b)
{
    (void)pthread_mutex_lock(&b->mutex);
    for (int i = 0; i < b->n_owned; i++)
        b->owned[i].commands.is_reading = false;
    (void)pthread_mutex_unlock(&b->mutex);
}

/* Where the state says that commands go on; -1: the partition isn't ready. */
static int64_t kept_offset(struct partition *p, uint64_t *ret_epoch)
{
    cleanup_buf struct buf value = buf_make(STATE_VALUE_MAX);
    if (!partition_get(p, COMMANDS_KEY, &value, ret_epoch))
        return -1;
    int64_t next = commands_offset_read(buf_slice(&value));
    return next < 0 ? 0 : next;
}

void commands_read(struct bridge *b)
{
    struct err ignored; /* the next round tries again */
    int64_t now = clock_mono_ms();
    for (int i = 0; i < b->n_owned; i++) {
        struct owned_commands *oc = &b->owned[i].commands;
        (void)pthread_mutex_lock(&b->mutex);
        bool wants =
            b->owned[i].is_open && !oc->is_reading && !oc->is_busy && !oc->queue.first && now >= oc->try_ms;
        (void)pthread_mutex_unlock(&b->mutex);
        if (!wants || !membership_has_commands(b->membership, i) ||
            !partition_is_ready(b->owned[i].partition))
            continue;
        int64_t next = kept_offset(b->owned[i].partition, NULL);
        if (next < 0 || membership_read_commands(b->membership, i, next, &ignored))
            continue;
        (void)pthread_mutex_lock(&b->mutex);
        oc->is_reading = true;
        oc->next_offset = next;
        (void)pthread_mutex_unlock(&b->mutex);
    }
}

static struct command *command_of(struct owned *o, int64_t offset, struct slice value)
{
    struct command *c = xcalloc(1, sizeof *c);
    c->owned = o;
    c->offset = offset;
    c->generation = -1;
    bool fits = value.p && value.len <= COMMAND_VALUE_MAX;
    c->raw = (struct slice){fits ? xstrndup(value.p, value.len) : NULL, value.len};
    return c;
}

bool commands_on_message(void *arg, int partition, int64_t offset, struct slice value)
{
    struct bridge *b = arg;
    struct owned *o = &b->owned[partition];
    struct owned_commands *oc = &o->commands;
    bool has_restarted = false, is_first = false;
    (void)pthread_mutex_lock(&b->mutex);
    bool takes = oc->is_reading && o->is_open && oc->queue.n < QUEUE_MAX;
    oc->is_reading = takes;
    if (takes) {
        has_restarted = offset < oc->next_offset;
        oc->has_restarted |= has_restarted;
        oc->next_offset = offset + 1;
        is_first = !oc->is_busy;
        oc->is_busy = true;
        command_queue_push(&oc->queue, command_of(o, offset, value));
    }
    (void)pthread_mutex_unlock(&b->mutex);
    if (has_restarted)
        log_warn(b->log, "the commands topic was made anew: read from its beginning",
                 KV("topic", b->config->bridge.commands_topic), KVI("partition", partition));
    if (is_first) {
        oc->job = (struct job){.kind = JOB_COMMANDS, .owned = o};
        jobs_push(b, &oc->job);
    }
    return takes;
}

/* With a command that failed: the topic has it still. */
static void read_again(struct owned *o)
{
    (void)pthread_mutex_lock(&o->bridge->mutex);
    drop(&o->commands);
    o->commands.is_busy = false;
    o->commands.try_ms = clock_mono_ms() + AGAIN_MS;
    (void)pthread_mutex_unlock(&o->bridge->mutex);
}

bool commands_is_done_already(const struct command *c)
{
    struct bridge *b = c->owned->bridge;
    int64_t next = kept_offset(c->owned->partition, NULL);
    (void)pthread_mutex_lock(&b->mutex);
    bool has_restarted = c->owned->commands.has_restarted;
    (void)pthread_mutex_unlock(&b->mutex);
    return c->offset < next && !has_restarted;
}

bool commands_is_news(const struct command *c)
{
    struct owned_commands *oc = &c->owned->commands;
    (void)pthread_mutex_lock(&c->owned->bridge->mutex);
    bool is_news = oc->told_offset != c->offset + 1;
    oc->told_offset = c->offset + 1;
    (void)pthread_mutex_unlock(&c->owned->bridge->mutex);
    return is_news;
}

void commands_offset_kept(struct owned *o)
{
    (void)pthread_mutex_lock(&o->bridge->mutex);
    o->commands.has_restarted = false;
    (void)pthread_mutex_unlock(&o->bridge->mutex);
}

void commands_go_behind(struct command *c, bool is_kept)
{
    struct owned *o = c->owned;
    (void)pthread_mutex_lock(&o->bridge->mutex);
    if (!is_kept)
        o->commands.skipped_to = c->offset + 1;
    (void)pthread_mutex_unlock(&o->bridge->mutex);
    command_free(c);
    jobs_push(o->bridge, &o->commands.job);
}

void commands_give_up(struct command *c)
{
    struct owned *o = c->owned;
    command_free(c);
    read_again(o);
}

/* Keeps the offset behind commands that had no effect. -1: not kept. */
static int keep_skipped(struct owned *o, int64_t to)
{
    struct control_change change;
    struct err e;
    struct buf value = buf_make(STATE_VALUE_MAX);
    control_change_init(&change);
    int64_t next = kept_offset(o->partition, &change.epoch);
    (void)pthread_mutex_lock(&o->bridge->mutex);
    bool is_behind = next >= to && !o->commands.has_restarted;
    (void)pthread_mutex_unlock(&o->bridge->mutex);
    if (next < 0)
        return -1;
    if (is_behind)
        return 0;
    commands_offset_write(to, &value);
    control_change_add(&change, COMMANDS_KEY, NULL, &value);
    bool kept = control_change_commit(o->partition, &change, &e) == CHUNK_COMMITTED;
    control_change_release(&change);
    if (kept)
        commands_offset_kept(o);
    return kept ? 0 : -1;
}

static void tell(const struct command *c, const char *event, const char *why)
{
    struct bridge *b = c->owned->bridge;
    const struct command_message *m = &c->m;
    bool is_read = m->id != NULL;
    log_warn(b->log, event, KV("listener", is_read ? m->listener : ""),
             KV("command", is_read ? command_kind_name(m->kind) : ""), KV("by", is_read ? m->source : ""),
             KV("error", why), KVI("partition", partition_id(c->owned->partition)), KVI("offset", c->offset));
}

/* Whose command it is, with the listeners' lock; NULL after it was told why it is nobody's. */
static struct listener *listener_of(struct command *c)
{
    struct bridge *b = c->owned->bridge;
    struct err e;
    if (command_message_read(c->raw, &c->m, &e)) {
        tell(c, "not a command", e.msg);
        return NULL;
    }
    struct listener *l = bridge_find_listener(b, c->m.listener);
    if (!l)
        tell(c, "command dropped", "the listener is not in the config");
    else if (l->partition != c->owned->partition)
        tell(c, "command dropped", "it belongs into another partition");
    else if (c->m.expires_at_ms && c->m.expires_at_ms < clock_wall_ms())
        tell(c, "command dropped", "too late");
    else
        return l;
    return NULL;
}

/* The next one, or NULL: then either there is an offset to keep, or this has come to its end. */
static struct command *take_next(struct owned *o, int64_t *ret_skipped_to)
{
    struct owned_commands *oc = &o->commands;
    (void)pthread_mutex_lock(&o->bridge->mutex);
    struct command *c = command_queue_pop(&oc->queue);
    *ret_skipped_to = c ? -1 : oc->skipped_to;
    if (!c && oc->skipped_to < 0)
        oc->is_busy = false;
    if (!c)
        oc->skipped_to = -1;
    (void)pthread_mutex_unlock(&o->bridge->mutex);
    return c;
}

void commands_go_on(struct owned *o)
{
    for (;;) {
        int64_t skipped_to;
        struct command *c = take_next(o, &skipped_to);
        if (!c && skipped_to < 0)
            return;
        if (!c) {
            if (keep_skipped(o, skipped_to)) {
                read_again(o);
                return;
            }
            continue;
        }
        if (!partition_is_ready(o->partition)) {
            commands_give_up(c);
            return;
        }
        bool is_old = commands_is_done_already(c);
        (void)pthread_rwlock_rdlock(&o->bridge->listeners_lock);
        struct listener *l = is_old ? NULL : listener_of(c);
        if (l)
            command_give(l, c);
        (void)pthread_rwlock_unlock(&o->bridge->listeners_lock);
        if (l)
            return;
        (void)pthread_mutex_lock(&o->bridge->mutex);
        o->commands.skipped_to = is_old ? o->commands.skipped_to : c->offset + 1;
        (void)pthread_mutex_unlock(&o->bridge->mutex);
        command_free(c);
    }
}
