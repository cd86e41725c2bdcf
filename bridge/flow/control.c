/* A listener's side of commands: meeting it when it is idle, writing what the command changes, telling who
 * asked. */
#include "control.h"

#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "commands.h"
#include "control_change.h"
#include "send.h"
#include "state_map.h"

enum { ATTEMPTS = 10 };

struct listener *bridge_find_listener(struct bridge *b, const char *name)
{
    for (size_t i = 0; i < b->n_listeners; i++)
        if (strcmp(b->listeners[i]->config->name, name) == 0)
            return b->listeners[i];
    return NULL;
}

/* ---- telling how it went */

static void tell_asker(struct bridge *b, struct command *c)
{
    (void)pthread_mutex_lock(&b->mutex);
    c->is_done = true;
    bool is_abandoned = c->is_abandoned;
    (void)pthread_cond_broadcast(&b->command_done);
    (void)pthread_mutex_unlock(&b->mutex);
    if (is_abandoned)
        command_free(c);
}

/* `is_kept`: of one from the topic, the offset behind it is in the state. */
static void command_end(struct bridge *b, struct command *c, enum command_verdict verdict, bool is_kept)
{
    c->verdict = verdict;
    if (!c->owned)
        tell_asker(b, c);
    else if (verdict == VERDICT_DONE || verdict == VERDICT_NOTHING ||
             (verdict == VERDICT_FAILED && (c->err.class == ERR_FATAL || c->err.class == ERR_BAD_INPUT)))
        commands_go_behind(c, is_kept);
    else
        commands_give_up(c);
}

static void log_end(struct listener *l, const struct command *c, enum command_verdict verdict)
{
    static const char *const done[] = {"listener started", "listener stopped", "listener triggered",
                                       "listener reset"};
    struct log *log = l->bridge->log;
    const char *by = c->owned ? c->m.source : "admin", *name = l->config->name;
    if (verdict == VERDICT_DONE)
        log_info(log, done[c->m.kind], KV("listener", name), KV("by", by), KV("id", c->m.id));
    else if (verdict == VERDICT_NOTHING)
        log_info(log, "command had nothing to do", KV("listener", name),
                 KV("command", command_kind_name(c->m.kind)), KV("by", by), KV("id", c->m.id));
    else if (verdict == VERDICT_FAILED && (!c->owned || commands_is_news(c)))
        log_warn(log, "command failed", KV("listener", name), KV("command", command_kind_name(c->m.kind)),
                 KV("by", by), KV("id", c->m.id), KV("error", c->err.msg));
}

/* ---- the prober's */

void control_learn(struct listener *l)
{
    struct listener_control *c = &l->control;
    cleanup_buf struct buf stopped = buf_make(STATE_VALUE_MAX), pending = buf_make(STATE_VALUE_MAX);
    struct pending_trigger t;
    if (l->bridge->options.once_listener || /* that is asked for by hand: it polls in any case */
        !control_get(l->partition, "stopped", l->config->name, &stopped, NULL) ||
        !control_get(l->partition, "trigger", l->config->name, &pending, NULL))
        return;
    pending_trigger_read(buf_slice(&pending), &t);
    c->is_stopped = stopped.len > 0;
    c->has_trigger = t.id[0] != '\0';
    c->is_forced = t.force;
    c->trigger_expires_at_ms = t.expires_at_ms;
}

bool control_may_poll(const struct listener *l)
{
    return !l->control.is_stopped || l->control.has_trigger;
}

bool control_take(struct listener *l, int64_t due_ms)
{
    struct listener_control *c = &l->control;
    struct command *first = NULL;
    atomic_store(&c->is_called, false);
    if (c->duty == DUTY_NONE) {
        (void)pthread_mutex_lock(&l->bridge->mutex);
        first = command_queue_pop(&c->waiting);
        (void)pthread_mutex_unlock(&l->bridge->mutex);
        if (!first)
            return false;
    }
    c->running = first;
    c->due_ms = due_ms;
    l->phase = PHASE_COMMAND;
    l->job = (struct job){.kind = JOB_COMMAND, .listener = l};
    jobs_push(l->bridge, &l->job);
    return true;
}

/* A trigger while a run is on, or a poll. Not a forced one while the poll isn't: its condition may be false.
 */
static bool is_being_done(const struct listener *l, const struct command *c)
{
    bool is_forced = l->control.has_trigger && l->control.is_forced;
    return c->m.kind == COMMAND_TRIGGER && (l->phase == PHASE_RUNNING || !c->m.force || is_forced);
}

bool control_answer_busy(struct listener *l)
{
    struct bridge *b = l->bridge;
    for (;;) {
        (void)pthread_mutex_lock(&b->mutex);
        struct command *c = l->control.waiting.first;
        bool is_moot = c && (is_being_done(l, c) || (c->m.kind == COMMAND_START && !l->control.is_stopped));
        if (is_moot)
            (void)command_queue_pop(&l->control.waiting);
        (void)pthread_mutex_unlock(&b->mutex);
        if (!is_moot)
            return !c;
        log_end(l, c, VERDICT_NOTHING);
        command_end(b, c, VERDICT_NOTHING, false);
    }
}

void control_drop(struct listener *l)
{
    struct bridge *b = l->bridge;
    l->control.duty = DUTY_NONE;
    atomic_store(&l->control.is_called, false);
    for (;;) {
        (void)pthread_mutex_lock(&b->mutex);
        struct command *c = command_queue_pop(&l->control.waiting);
        (void)pthread_mutex_unlock(&b->mutex);
        if (!c)
            return;
        command_end(b, c, VERDICT_ELSEWHERE, false);
    }
}

/* ---- a worker's */

/* Of one that was asked for here: has an attempt landed whose outcome nobody told? */
static bool has_landed(const struct command *c, const struct control_change *now)
{
    if (!c->is_uncertain)
        return false;
    switch (c->m.kind) {
    case COMMAND_TRIGGER:
        return strcmp(now->trigger_id, c->m.id) == 0;
    case COMMAND_RESET:
        return now->generation > c->generation;
    default:
        return now->n == 0;
    }
}

/* One attempt. True: `ret` is the verdict; false: the state was read anew, look again. */
static bool attempt(struct listener *l, struct command *c, enum command_verdict *ret, bool *ret_kept)
{
    struct control_change change;
    struct buf offset = buf_make(STATE_VALUE_MAX);
    bool is_over = true;
    if (control_change_make(l->partition, l->config, &c->m, &change, &c->err)) {
        *ret = c->err.class == ERR_RETRY ? VERDICT_ELSEWHERE : VERDICT_FAILED;
        goto out;
    }
    /* after the reading: what had landed by then shows in the offset, what comes later makes the commit stale
     */
    if (c->owned && commands_is_done_already(c)) {
        *ret = c->is_uncertain ? VERDICT_DONE : VERDICT_NOTHING;
        *ret_kept = true;
        goto out;
    }
    *ret = change.n ? VERDICT_DONE : VERDICT_NOTHING;
    if (c->generation < 0)
        c->generation = change.generation;
    if (!c->owned && (!change.n || has_landed(c, &change))) {
        *ret = has_landed(c, &change) ? VERDICT_DONE : VERDICT_NOTHING;
        goto out;
    }
    if (c->owned) {
        commands_offset_write(c->offset + 1, &offset);
        control_change_add(&change, COMMANDS_KEY, NULL, &offset);
    }
    switch (control_change_commit(l->partition, &change, &c->err)) {
    case CHUNK_COMMITTED:
        *ret_kept = true;
        break;
    case CHUNK_REFUSED:
        *ret = VERDICT_FAILED;
        break;
    default:
        c->is_uncertain = true;
        is_over = false;
        break;
    }
out:
    control_change_release(&change);
    return is_over;
}

static void carry_out(struct listener *l, struct command *c)
{
    enum command_verdict verdict = VERDICT_FAILED;
    bool is_kept = false;
    (void)err_set(&c->err, ERR_RETRY, "the state of partition %d changes again and again",
                  partition_id(l->partition));
    for (int i = 0; i < ATTEMPTS && !attempt(l, c, &verdict, &is_kept); i++)
        verdict = VERDICT_FAILED;
    if (is_kept && c->owned)
        commands_offset_kept(c->owned);
    l->control.has_changed = verdict == VERDICT_DONE;
    if (verdict == VERDICT_DONE && (c->m.kind == COMMAND_STOP || c->m.kind == COMMAND_START))
        status_stopped(l, c->m.kind == COMMAND_STOP); /* before whoever asked may look */
    log_end(l, c, verdict);
    command_end(l->bridge, c, verdict, is_kept);
}

/* A failure is no harm: the trigger's poll is made once more, and what is not verified is so at the next
 * assignment. */
static void do_duty(struct listener *l)
{
    const char *name = l->config->name;
    const char *kind = l->control.duty == DUTY_VERIFY ? "stopped" : "trigger";
    struct control_change change;
    struct err ignored;
    struct buf value = buf_make(STATE_VALUE_MAX);
    control_change_init(&change);
    if (control_get(l->partition, kind, name, &value, &change.epoch) && value.len) {
        control_change_add(&change, kind, name, l->control.duty == DUTY_VERIFY ? &value : NULL);
        (void)control_change_commit(l->partition, &change, &ignored);
    }
    control_change_release(&change);
    buf_release(&value);
    l->control.has_changed = false;
    l->control.duty = DUTY_NONE;
}

void command_go_on(struct listener *l)
{
    struct command *c = TAKE_PTR(l->control.running);
    if (c)
        carry_out(l, c);
    else
        do_duty(l);
}

/* ---- who asks */

static struct command *command_new(struct bridge *b, enum command_kind kind, const char *listener, bool force)
{
    struct command *c = xcalloc(1, sizeof *c);
    char host[128] = "?";
    (void)gethostname(host, sizeof host - 1);
    const char *instance = b->config->bridge.instance_id;
    c->generation = -1;
    c->m = (struct command_message){
        .kind = kind,
        .force = force && kind == COMMAND_TRIGGER,
        .listener = xstrdup(listener),
        .source = instance ? xstrdup(instance) : xasprintf("%s:%d", host, (int)getpid()),
        .id = xasprintf("%s-%d-%lld-%llu", host, (int)getpid(), (long long)clock_wall_ms(),
                        atomic_fetch_add(&b->n_commands, 1)),
        .expires_at_ms = kind == COMMAND_TRIGGER ? clock_wall_ms() + COMMAND_EXPIRES_MS : 0};
    return c;
}

/* Waits for its end, at most until the deadline. True: it is there, and `c` still ours. */
static bool await_end(struct bridge *b, struct listener *l, struct command *c,
                      const struct timespec *deadline)
{
    bool is_late = false, is_ours = true;
    (void)pthread_mutex_lock(&b->mutex);
    while (!c->is_done && !is_late) {
        if (atomic_load(&b->is_stopping) && command_queue_remove(&l->control.waiting, c))
            break;
        is_late = pthread_cond_clockwait(&b->command_done, &b->mutex, CLOCK_MONOTONIC, deadline) != 0;
    }
    if (!c->is_done && (!is_late || command_queue_remove(&l->control.waiting, c))) {
        c->verdict = VERDICT_FAILED;
        (void)err_set(&c->err, ERR_RETRY, "%s, the command was not begun",
                      is_late ? "not in time" : "the bridge is stopping");
    } else if (!c->is_done) {
        c->is_abandoned = true;
        is_ours = false;
    }
    (void)pthread_mutex_unlock(&b->mutex);
    return is_ours;
}

/* What has become of a command that its listener was given; frees it. ELSEWHERE: it may be sent to the topic.
 */
static enum command_verdict ask_here(struct bridge *b, struct listener *l, struct command *c,
                                     const struct timespec *deadline, struct err *e)
{
    if (!await_end(b, l, c, deadline)) {
        (void)err_set(e, ERR_RETRY, "not in time: it may still take effect");
        return VERDICT_FAILED;
    }
    enum command_verdict verdict = c->verdict;
    bool may_repeat = !c->is_uncertain || c->m.kind == COMMAND_START || c->m.kind == COMMAND_STOP;
    if (verdict == VERDICT_ELSEWHERE && !may_repeat) {
        (void)err_set(e, ERR_RETRY,
                      "the partition went to another instance meanwhile: it may have taken effect");
        verdict = VERDICT_FAILED;
    } else if (verdict == VERDICT_FAILED) {
        *e = c->err;
    }
    command_free(c);
    return verdict;
}

static enum command_result send_away(struct bridge *b, const struct command *c, int64_t until_ms,
                                     struct err *e)
{
    int topic = atomic_load(&b->commands_topic);
    int64_t left = until_ms - clock_mono_ms();
    cleanup_buf struct buf value = buf_make(COMMAND_VALUE_MAX);
    const struct bridge_config *config = &b->config->bridge;
    if (topic != COMMANDS_TOPIC_THERE)
        (void)err_set(e, topic == COMMANDS_TOPIC_MISSING ? ERR_CONFIG : ERR_RETRY,
                      topic == COMMANDS_TOPIC_MISSING
                          ? "another instance owns the listener, and topic %s can't be used to tell it"
                          : "Kafka has not answered yet (topic %s)",
                      config->commands_topic);
    else if (atomic_load(&b->is_stopping))
        (void)err_set(e, ERR_RETRY, "the bridge is stopping");
    else if (left <= 0)
        (void)err_set(e, ERR_RETRY, "not in time");
    else {
        command_message_write(&c->m, &value);
        if (kafka_send(b->config, config->commands_topic,
                       state_partition_of(c->m.listener, config->state_partitions), slice_of(c->m.listener),
                       buf_slice(&value), (int)left, e) == 0)
            return COMMAND_SENT;
        (void)err_wrap(e, "topic %s", config->commands_topic);
    }
    return COMMAND_FAILED;
}

/* Hands `c` to its listener if that is ours: then the listener stays as long as the command isn't done. */
static bool give_here(struct bridge *b, struct command *c, struct listener **ret, bool *ret_is_known)
{
    (void)pthread_rwlock_rdlock(&b->listeners_lock);
    struct listener *l = bridge_find_listener(b, c->m.listener);
    bool is_ours = l && partition_is_ready(l->partition);
    if (is_ours)
        command_give(l, c);
    (void)pthread_rwlock_unlock(&b->listeners_lock);
    *ret = l;
    *ret_is_known = l != NULL;
    return is_ours;
}

enum command_result bridge_command(struct bridge *b, enum command_kind kind, const char *listener, bool force,
                                   int timeout_ms, struct err *ret_why)
{
    struct timespec deadline = clock_deadline(timeout_ms);
    int64_t until_ms = clock_mono_ms() + timeout_ms;
    enum command_verdict verdict = VERDICT_ELSEWHERE;
    struct listener *l;
    struct err why = {0};
    bool is_known;
    struct command *c = command_new(b, kind, listener, force);
    if (give_here(b, c, &l, &is_known)) {
        verdict = ask_here(b, l, c, &deadline, &why); /* takes it */
        c = verdict == VERDICT_ELSEWHERE ? command_new(b, kind, listener, force) : NULL;
    }
    enum command_result result = !is_known                      ? COMMAND_UNKNOWN_LISTENER
                                 : verdict == VERDICT_DONE      ? COMMAND_DONE
                                 : verdict == VERDICT_NOTHING   ? COMMAND_ALREADY
                                 : verdict == VERDICT_ELSEWHERE ? send_away(b, c, until_ms, &why)
                                                                : COMMAND_FAILED;
    command_free(c);
    if (result == COMMAND_FAILED) {
        *ret_why = why;
        (void)err_wrap(ret_why, "%s %s", command_kind_name(kind), listener);
    }
    return result;
}
