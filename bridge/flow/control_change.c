#include "control_change.h"

#include <stdio.h>

#include "clock.h"
#include "listener_state.h"

void control_change_init(struct control_change *c)
{
    *c = (struct control_change){0};
}

void control_change_release(struct control_change *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->keys[i]);
        buf_release(&c->values[i]);
    }
    c->n = 0;
}

void control_change_add(struct control_change *c, const char *kind, const char *name, struct buf *value)
{
    struct buf *kept = &c->values[c->n];
    *kept = value ? *value : buf_make(0);
    if (value)
        *value = buf_make(value->limit);
    c->keys[c->n] = name ? listener_state_key(kind, name) : xstrdup(kind);
    c->writes[c->n] =
        (struct state_write){slice_of(c->keys[c->n]), value ? buf_slice(kept) : (struct slice){0}};
    c->n++;
}

enum chunk_outcome control_change_commit(struct partition *p, struct control_change *c, struct err *e)
{
    struct chunk chunk = {.writes = c->writes, .n_writes = c->n, .epoch = c->epoch};
    enum chunk_outcome outcome = partition_commit(p, &chunk);
    if (outcome == CHUNK_REFUSED)
        *e = chunk.err;
    return outcome;
}

bool control_get(struct partition *p, const char *kind, const char *name, struct buf *ret,
                 uint64_t *ret_epoch)
{
    cleanup_free char *key = listener_state_key(kind, name);
    return partition_get(p, key, ret, ret_epoch);
}

static void stop(struct control_change *c, const char *name, bool is_stopped, bool has_trigger)
{
    struct buf value = buf_make(STATE_VALUE_MAX);
    if (!is_stopped) {
        stopped_write(clock_wall_ms(), &value);
        control_change_add(c, "stopped", name, &value);
    }
    if (has_trigger)
        control_change_add(c, "trigger", name, NULL);
}

static void trigger(struct control_change *c, const struct command_message *m)
{
    struct buf value = buf_make(STATE_VALUE_MAX);
    pending_trigger_write(m, &value);
    control_change_add(c, "trigger", m->listener, &value);
}

/* query_params as in the file, no `previous`, a run in progress dropped; the generation is raised and run
 * numbers go on, so that no id is used twice. */
static void reset(struct control_change *c, const struct listener_config *l, struct listener_state *s,
                  bool is_in_run, bool has_trigger)
{
    struct buf value = buf_make(STATE_VALUE_MAX);
    s->generation++;
    s->run += is_in_run; /* the dropped run's number isn't used again */
    free(s->query_params);
    s->query_params = query_params_json(l);
    free(TAKE_PTR(s->previous));
    listener_state_write(s, &value);
    control_change_add(c, "listener", l->name, &value);
    if (is_in_run) {
        control_change_add(c, "run", l->name, NULL);
        control_change_add(c, "ctx", l->name, NULL);
    }
    if (has_trigger)
        control_change_add(c, "trigger", l->name, NULL);
}

int control_change_make(struct partition *p, const struct listener_config *l, const struct command_message *m,
                        struct control_change *ret, struct err *e)
{
    cleanup_buf struct buf state = buf_make(STATE_VALUE_MAX), run = buf_make(STATE_VALUE_MAX),
                           stopped = buf_make(STATE_VALUE_MAX), pending = buf_make(STATE_VALUE_MAX);
    struct listener_state s = {0};
    struct pending_trigger t;
    bool file_won;
    control_change_init(ret);
    /* the first reading's epoch: if the state is read anew between these, the commit tells */
    if (!control_get(p, "listener", l->name, &state, &ret->epoch) ||
        !control_get(p, "run", l->name, &run, NULL) || !control_get(p, "stopped", l->name, &stopped, NULL) ||
        !control_get(p, "trigger", l->name, &pending, NULL))
        return err_set(e, ERR_RETRY, "partition %d is not open", partition_id(p));
    if (listener_state_read(buf_slice(&state), l, &s, &file_won, e))
        return -1;
    ret->generation = s.generation;
    pending_trigger_read(buf_slice(&pending), &t);
    (void)snprintf(ret->trigger_id, sizeof ret->trigger_id, "%s", t.id);
    switch (m->kind) {
    case COMMAND_START:
        if (stopped.len)
            control_change_add(ret, "stopped", l->name, NULL);
        break;
    case COMMAND_STOP:
        stop(ret, l->name, stopped.len > 0, pending.len > 0);
        break;
    case COMMAND_TRIGGER:
        trigger(ret, m);
        break;
    case COMMAND_RESET:
        reset(ret, l, &s, run.len > 0, pending.len > 0);
        break;
    }
    listener_state_release(&s);
    return 0;
}
