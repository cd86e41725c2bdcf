#include "config.h"

#include <stdlib.h>
#include <string.h>

static void free_secret(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

/* Passwords stand among them; which ones is librdkafka's business, so all are wiped. */
static void release_properties(struct kafka_properties *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->items[i].name);
        free_secret(p->items[i].value);
    }
    free(p->items);
}

static void release_listener(struct listener_config *l)
{
    for (size_t i = 0; i < l->n_query_params; i++) {
        free(l->query_params[i].name);
        free(l->query_params[i].s);
    }
    for (size_t i = 0; i < l->n_metrics; i++)
        free(l->metrics[i]);
    free(l->query_params);
    free(l->metrics);
    free(l->name);
    free(l->dataset);
    free(l->workspace);
    free(l->query);
    free(l->condition);
    free(l->update_query_params);
    free(l->project);
    free(l->topic);
    free(l->metrics_topic);
    free(l->topic_cleanup_policy);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_listeners; i++)
        release_listener(&c->listeners[i]);
    free(c->listeners);
    free(c->argilla.url);
    free_secret(c->argilla.api_key);
    free(c->argilla.workspace);
    free(c->argilla.ca_file);
    release_properties(&c->kafka.common);
    release_properties(&c->kafka.producer);
    release_properties(&c->kafka.consumer);
    free(c->bridge.group_id);
    free(c->bridge.instance_id);
    free(c->bridge.state_topic);
    free(c->bridge.commands_topic);
    free(c->bridge.topic_cleanup_policy);
    free(c->admin.listen);
    free(c->admin.host);
    free_secret(c->admin.token);
    free(c->path);
    free(c);
}

const struct listener_config *config_find_listener(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_listeners; i++)
        if (c->listeners[i].name && strcmp(c->listeners[i].name, name) == 0)
            return &c->listeners[i];
    return NULL;
}
