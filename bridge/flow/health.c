/* What operators read: a state change is one line, not one a retry. */
#include "bridge.h"
#include "clock.h"

/* One request that times out while others are answered is its dataset's matter: the server is down when
 * nothing at all has been answered since that request was made. */
void health_argilla(struct bridge *b, const struct err *e, int64_t asked_ms)
{
    bool is_answer = !e || e->http_status;
    if (is_answer)
        atomic_store(&b->argilla_answered_ms, clock_mono_ms());
    bool is_down = !is_answer && atomic_load(&b->argilla_answered_ms) < asked_ms;
    if ((!is_answer && !is_down) || atomic_load(&b->is_stopping))
        return;
    if (atomic_exchange(&b->argilla_is_down, is_down) == is_down)
        return;
    if (is_down)
        log_warn(b->log, "argilla down", KV("url", b->config->argilla.url), KV("error", e->msg));
    else
        log_info(b->log, "argilla up", KV("url", b->config->argilla.url));
}

void health_kafka(struct bridge *b, const struct err *e)
{
    if (atomic_exchange(&b->kafka_is_down, e != NULL) == (e != NULL))
        return;
    if (e)
        log_warn(b->log, "kafka down", KV("error", e->msg));
    else
        log_info(b->log, "kafka up");
}

void health_reconcile(struct listener *l, enum reconcile_hold hold, const char *text)
{
    if (atomic_exchange(&l->hold, (int)hold) == (int)hold)
        return;
    if (hold == HOLD_NONE)
        log_info(l->bridge->log, "reconcile goes on", KV("listener", l->config->name));
    else
        log_warn(l->bridge->log, "reconcile holds", KV("listener", l->config->name), KV("why", text));
}

void health_listener(struct listener *l, const struct err *e)
{
    struct bridge *b = l->bridge;
    if (!e) {
        if (l->told)
            log_info(b->log, "listener well again", KV("listener", l->config->name));
        free(TAKE_PTR(l->told));
        return;
    }
    /* what passes by itself may be worded differently at each attempt: that is no change of state */
    bool is_told = l->told && l->told_class == e->class && l->told_status == e->http_status &&
                   (e->class == ERR_RETRY || strcmp(l->told, e->msg) == 0);
    if (is_told || atomic_load(&b->is_stopping)) /* a stop cancels what is under way: no failure */
        return;
    /* a server that is away was already said, once, for all of its listeners */
    bool is_said = e->class == ERR_RETRY && e->http_status == 0 &&
                   (atomic_load(&b->argilla_is_down) || atomic_load(&b->kafka_is_down));
    enum log_level level = is_said ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN;
    log_at(b->log, level, e->class == ERR_AUTH ? "listener paused" : "listener failing",
           KV("listener", l->config->name), KV("class", err_class_name(e->class)), KV("error", e->msg));
    free(l->told);
    l->told = xstrdup(e->msg);
    l->told_class = e->class;
    l->told_status = e->http_status;
}
