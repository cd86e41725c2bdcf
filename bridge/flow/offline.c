#include "offline.h"

#include "arena.h"
#include "clock.h"
#include "control_change.h"
#include "json_scan.h"
#include "listener_state.h"
#include "membership.h"
#include "partition.h"
#include "state_map.h"
#include "state_reader.h"
#include "topics.h"

enum { JOIN_MS = 30000, POLL_MS = 100, PEEK_MS = 10000 };

int offline_service_runs(const struct config *config, bool *ret, struct err *e)
{
    struct kafka_admin *admin;
    int n = 0;
    if (kafka_admin_new(config, &admin, e))
        return -1;
    int rc = kafka_admin_group_members(admin, &n, e);
    kafka_admin_free(admin);
    if (rc)
        return -1;
    *ret = n > 0;
    return 0;
}

/* Nothing to do is told at once: the group would never assign a partition of a topic that isn't there. */
static int need_state_topic(const struct config *config, struct err *e)
{
    struct kafka_admin *admin;
    struct topic_info info;
    struct topic_spec spec = {.name = config->bridge.state_topic};
    if (kafka_admin_new(config, &admin, e))
        return -1;
    int rc = kafka_admin_topic(admin, &spec, false, &info, e);
    kafka_admin_free(admin);
    if (rc && e->class == ERR_CONFIG)
        return err_set(e, ERR_BAD_INPUT, "topic %s does not exist: no listener has run yet",
                       config->bridge.state_topic);
    return rc;
}

struct owner {
    struct partition *partition;
    struct membership *membership;
};

/* Inside membership_poll. */
static void on_assignment(void *arg, const bool *is_owned, int n, bool is_settled)
{
    struct owner *o = arg;
    (void)is_settled;
    int id = partition_id(o->partition);
    partition_set_owned(o->partition, id < n && is_owned[id]);
}

static void owner_release(struct owner *o)
{
    membership_free(o->membership);
    partition_free(o->partition);
}

/* Joins the group and opens the partition of `listener`. */
static int owner_init(struct owner *o, const struct config *config, const char *listener, struct err *e)
{
    int id = state_partition_of(listener, config->bridge.state_partitions);
    int64_t deadline = clock_mono_ms() + JOIN_MS;
    if (need_state_topic(config, e))
        return -1;
    *o = (struct owner){.partition = partition_new(config, id, NULL)};
    if (membership_new(config, on_assignment, o, &o->membership, e))
        goto fail;
    while (!partition_is_owned(o->partition)) {
        if (membership_poll(o->membership, POLL_MS, e) && e->class != ERR_RETRY)
            goto fail;
        if (clock_mono_ms() > deadline) {
            (void)err_set(e, ERR_RETRY, "group %s did not give us partition %d in %d s",
                          config->bridge.group_id, id, JOIN_MS / 1000);
            goto fail;
        }
    }
    if (partition_open(o->partition, e))
        goto fail;
    return 0;
fail:
    owner_release(o);
    return -1;
}

static int commit(struct owner *o, struct state_write *writes, size_t n, uint64_t epoch, struct err *e)
{
    struct chunk c = {.writes = writes, .n_writes = n, .epoch = epoch};
    switch (partition_commit(o->partition, &c)) {
    case CHUNK_COMMITTED:
        return 0;
    case CHUNK_REFUSED:
        *e = c.err;
        return -1;
    default:
        return err_set(e, ERR_RETRY,
                       "another instance took the partition over: a service has started meanwhile");
    }
}

/* What the owner would do (control.c), done here. */
static int carry_out(const struct config *config, const struct listener_config *l, enum command_kind kind,
                     bool *ret_changed, struct err *e)
{
    struct owner o;
    struct control_change change;
    const struct command_message m = {.kind = kind, .listener = l->name};
    if (owner_init(&o, config, l->name, e))
        return -1;
    int rc = control_change_make(o.partition, l, &m, &change, e);
    bool changes = change.n > 0;
    if (!rc && changes)
        rc = commit(&o, change.writes, change.n, change.epoch, e);
    control_change_release(&change);
    owner_release(&o);
    if (!rc && ret_changed)
        *ret_changed = changes;
    return rc;
}

int offline_reset(const struct config *config, const struct listener_config *l, struct err *e)
{
    return carry_out(config, l, COMMAND_RESET, NULL, e);
}

int offline_stop(const struct config *config, const struct listener_config *l, bool *ret_changed,
                 struct err *e)
{
    return carry_out(config, l, COMMAND_STOP, ret_changed, e);
}

int offline_start(const struct config *config, const struct listener_config *l, bool *ret_changed,
                  struct err *e)
{
    return carry_out(config, l, COMMAND_START, ret_changed, e);
}

/* Tombstones for the digests of `name`, of all generations: their keys are read from the partition, since
 * memory knows only hashes. Killed in between: what is left goes with the next `forget`. */
enum { FORGET_CHUNK = 500 };

struct digest_keys {
    struct arena arena;
    struct state_write writes[FORGET_CHUNK];
    size_t n;
    uint64_t n_all;
};

static bool is_tracked(struct owner *o, const char *name, const struct digest_key *key, uint64_t epoch)
{
    const struct digests_ref ref = {name, key->generation, epoch};
    return slice_eq(key->name, name) && partition_digests_know(o->partition, &ref, key->id);
}

static int forget_chunk(struct owner *o, struct digest_keys *keys, uint64_t epoch, struct err *e)
{
    int rc = keys->n ? commit(o, keys->writes, keys->n, epoch, e) : 0;
    keys->n_all += keys->n;
    keys->n = 0;
    arena_clear(&keys->arena);
    return rc;
}

static int forget_digests(struct owner *o, const char *name, uint64_t epoch, uint64_t *ret_n, struct err *e)
{
    cleanup_free struct digest_keys *keys = xcalloc(1, sizeof *keys);
    struct state_walk *walk;
    struct slice key, value;
    struct digest_key parsed;
    int rc = 0, more;
    if (partition_walk(o->partition, &walk, e))
        return -1;
    while (!rc && (more = state_walk_next(walk, &key, &value, e)) != 0) {
        if (more < 0) {
            rc = -1;
        } else if (value.p && digest_key_parse(key, &parsed) && is_tracked(o, name, &parsed, epoch)) {
            keys->writes[keys->n++] = (struct state_write){.key = arena_copy(&keys->arena, key)};
            rc = keys->n == FORGET_CHUNK ? forget_chunk(o, keys, epoch, e) : 0;
        }
    }
    if (!rc)
        rc = forget_chunk(o, keys, epoch, e);
    *ret_n = keys->n_all;
    arena_release(&keys->arena);
    state_walk_free(walk);
    return rc;
}

int offline_forget(const struct config *config, const char *name, struct err *e)
{
    static const char *const kinds[] = {"listener", "run", "ctx", "stopped", "trigger", "changes"};
    struct owner o;
    struct control_change change;
    uint64_t n_digests = 0;
    cleanup_buf struct buf value = buf_make((size_t)STATE_VALUE_MAX * ARRAY_LEN(kinds));
    _Static_assert((int)ARRAY_LEN(kinds) <= CONTROL_WRITES_MAX, "room for the writes");
    control_change_init(&change);
    if (owner_init(&o, config, name, e))
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        (void)control_get(o.partition, kinds[i], name, &value, i ? NULL : &change.epoch);
        control_change_add(&change, kinds[i], name, NULL);
    }
    int rc = forget_digests(&o, name, change.epoch, &n_digests, e);
    if (!rc && value.len)
        rc = commit(&o, change.writes, change.n, change.epoch, e);
    else if (!rc && !n_digests)
        rc = err_set(e, ERR_BAD_INPUT, "there is no state of a listener %s", name);
    control_change_release(&change);
    owner_release(&o);
    return rc;
}

int offline_peek(const struct config *config, const char *listener, struct peeked *ret, struct err *e)
{
    struct partition_state state = {0};
    struct changes_mark mark = {0};
    atomic_bool keep_going = true;
    int id = state_partition_of(listener, config->bridge.state_partitions), rc = 0;
    if (state_read(config, id, &keep_going, PEEK_MS, &state, e))
        return -1;
    cleanup_free char *key = listener_state_key("listener", listener),
                      *run = listener_state_key("run", listener),
                      *changes = listener_state_key("changes", listener);
    struct slice s = state_map_get(&state.map, key), progress = state_map_get(&state.map, run);
    struct slice token;
    int64_t generation = 1; /* as listener_state_read has it without a state */
    if (s.p && json_check(s, NULL) == 0 && json_get(s, "generation", &token))
        (void)json_get_int64(token, &generation);
    rc = changes_mark_read(state_map_get(&state.map, changes), &mark, e);
    if (!rc)
        *ret = (struct peeked){.state = xstrndup(s.p ? s.p : "", s.len),
                               .progress = xstrndup(progress.p ? progress.p : "", progress.len),
                               .mark = mark};
    for (size_t i = 0; !rc && i < state.n_sets; i++) {
        const struct digest_set *set = &state.sets[i];
        if (strcmp(set->name, listener) == 0)
            *(set->generation == generation ? &ret->n_tracked : &ret->n_tracked_before) += set->map.n;
    }
    partition_state_release(&state);
    return rc;
}

void peeked_release(struct peeked *p)
{
    free(p->state);
    free(p->progress);
    changes_mark_release(&p->mark);
    *p = (struct peeked){0};
}
