/* What operators read: a state change is one line, not one a retry. */
#include "bridge.h"

void health_argilla(struct bridge *b, const struct err *e)
{
    bool is_down = e && e->class == ERR_RETRY && e->http_status == 0;
    if ((e && !is_down) || atomic_load(&b->is_stopping))
        return; /* it answered, if with an error: the listener's matter */
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

void health_listener(struct listener *l, const struct err *e)
{
    struct bridge *b = l->bridge;
    if (!e) {
        if (l->told)
            log_info(b->log, "listener well again", KV("listener", l->config->name));
        free(TAKE_PTR(l->told));
        return;
    }
    if (l->told && strcmp(l->told, e->msg) == 0)
        return;
    /* a server that is away was already said, once, for all of its listeners */
    enum log_level level = e->class == ERR_RETRY && e->http_status == 0 ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN;
    log_at(b->log, level, e->class == ERR_AUTH ? "listener paused" : "listener failing",
           KV("listener", l->config->name), KV("class", err_class_name(e->class)), KV("error", e->msg));
    free(l->told);
    l->told = xstrdup(e->msg);
}
