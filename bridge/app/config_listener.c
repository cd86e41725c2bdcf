/* The groups `bridge` and `listeners`: what the table can't say. */
#include "config_file.h"
#include "config_read.h"
#include "config_text.h"

void cfg_read_bridge(struct cfg *c, const config_setting_t *setting)
{
    struct bridge_config *b = &c->config->bridge;
    cfg_read_group(c, GROUP_BRIDGE, setting, b);
    if (!b->state_topic)
        b->state_topic = xasprintf("%s.state", b->group_id);
    if (!b->commands_topic)
        b->commands_topic = xasprintf("%s.commands", b->group_id);
    if (strcmp(b->state_topic, b->commands_topic) == 0) {
        cfg_error(c, cfg_member_or_group(setting, "commands_topic"), "%s is bridge.state_topic too",
                  b->commands_topic);
        cfg_hint(c, "a topic for each");
    }
}

static bool has_metric(const struct listener_config *l, const char *name)
{
    for (size_t i = 0; i < l->n_metrics; i++)
        if (strcmp(l->metrics[i], name) == 0)
            return true;
    return false;
}

static void read_metric(struct cfg *c, const config_setting_t *s, struct listener_config *l)
{
    const char *name = cfg_get_string(c, s);
    if (!name)
        return;
    if (!text_is_word(name, "_-", 100)) { /* it becomes a part of a path */
        cfg_error(c, s, "metrics: \"%s\" can't be the name of a metric", name);
        cfg_hint(c, "names of metrics are as Argilla lists them: \"F1\", \"status_distribution\"");
    } else if (has_metric(l, name)) {
        cfg_error(c, s, "metrics: \"%s\" stands there twice", name);
    } else {
        l->metrics = xrealloc(l->metrics, (l->n_metrics + 1) * sizeof *l->metrics);
        l->metrics[l->n_metrics++] = xstrdup(name);
    }
}

static void read_metrics(struct cfg *c, const config_setting_t *s, struct listener_config *l)
{
    if (!s)
        return;
    if (!config_setting_is_array(s) && !config_setting_is_list(s)) {
        cfg_error(c, s, "metrics takes an array of strings, not %s", cfg_type_words(s));
        cfg_hint(c, "metrics = [ \"F1\" ];");
        return;
    }
    for (int i = 0; i < config_setting_length(s); i++)
        read_metric(c, config_setting_get_elem(s, (unsigned)i), l);
}

/* The default of `field`: `text`, if `rule` takes it; else it must be given. */
static void derive(struct cfg *c, const config_setting_t *setting, const char *name, char **field, char *text,
                   bool is_legal)
{
    if (!*field && !cfg_member(setting, name) && !is_legal) {
        cfg_error(c, setting, "%s is missing: \"%s\" can't be one", name, text);
        cfg_hint(c, "give %s", name);
    } else if (!*field) {
        *field = TAKE_PTR(text);
    }
    free(text);
}

static void derive_names(struct cfg *c, const config_setting_t *setting, struct listener_config *l)
{
    const char *workspace = c->config->argilla.workspace;
    if (!l->workspace && workspace)
        l->workspace = xstrdup(workspace);
    if (!l->workspace && !cfg_member(setting, "workspace")) {
        cfg_error(c, setting, "listeners: workspace is missing, and argilla.workspace too");
        cfg_hint(c, "give one of them");
    }
    if (l->dataset)
        derive(c, setting, "name", &l->name, xstrdup(l->dataset), text_is_word(l->dataset, "_-", 200));
    if (l->dataset && l->workspace) {
        char *topic = xasprintf("argilla.%s.%s", l->workspace, l->dataset);
        derive(c, setting, "topic", &l->topic, topic, text_is_topic(topic));
    }
    if (l->topic) {
        char *runs = xasprintf("%s.runs", l->topic);
        derive(c, setting, "metrics_topic", &l->metrics_topic, runs, text_is_topic(runs));
    }
}

static void derive_sizes(struct cfg *c, const config_setting_t *setting, struct listener_config *l)
{
    const struct bridge_config *b = &c->config->bridge;
    if (!l->page_size)
        l->page_size = c->config->argilla.page_size;
    if (!l->topic_partitions)
        l->topic_partitions = b->topic_partitions;
    if (!l->topic_cleanup_policy)
        l->topic_cleanup_policy = xstrdup(b->topic_cleanup_policy);
    if (l->batch_bytes <= l->max_message_bytes)
        return;
    if (cfg_member(setting, "batch_bytes")) {
        cfg_error(c, cfg_member(setting, "batch_bytes"),
                  "batch_bytes (%lld) is more than max_message_bytes (%lld)", (long long)l->batch_bytes,
                  (long long)l->max_message_bytes);
        cfg_hint(c, "a batch is one message");
    } else {
        l->batch_bytes = l->max_message_bytes;
    }
}

/* Versions are followed through one query, and they are of records. */
static void check_changes(struct cfg *c, const config_setting_t *setting, const struct listener_config *l)
{
    if (l->deliver != DELIVER_CHANGES)
        return;
    if (l->update_query_params) {
        cfg_error(c, cfg_member(setting, "update_query_params"),
                  "update_query_params can't go with deliver = \"changes\": each step would be another "
                  "query, whose "
                  "records all look missing to the one before");
        cfg_hint(c, "leave it out, or deliver = \"matches\"");
    }
    if (!l->query_records) {
        cfg_error(c,
                  cfg_member_or_group(setting,
                                      cfg_member(setting, "with_records") ? "with_records" : "query_records"),
                  "query_records = false can't go with deliver = \"changes\": what changes are records");
        cfg_hint(c, "leave it out, or deliver = \"matches\"");
    }
}

/* What is said but changes nothing is a misunderstanding that nobody would notice. */
static void warn_useless(struct cfg *c, const config_setting_t *setting, const struct listener_config *l)
{
    static const char *const of_records[] = {"publish", "project", "topic_cleanup_policy", "page_size", NULL};
    static const char *const of_changes[] = {"reconcile_interval_in_seconds", "overlap_in_seconds",
                                             "reconcile_max_missing_percent", NULL};
    static const char *const of_batches[] = {"batch_key", "batch_records", "batch_bytes", NULL};
    for (size_t i = 0; !l->query_records && of_records[i]; i++)
        if (cfg_member(setting, of_records[i]))
            cfg_warning(c, cfg_member(setting, of_records[i]), "%s does nothing: query_records is false",
                        of_records[i]);
    for (size_t i = 0; l->deliver != DELIVER_CHANGES && of_changes[i]; i++)
        if (cfg_member(setting, of_changes[i]))
            cfg_warning(c, cfg_member(setting, of_changes[i]), "%s does nothing: deliver is \"matches\"",
                        of_changes[i]);
    bool has_batches = l->query_records && l->publish == PUBLISH_BATCHES;
    for (size_t i = 0; !has_batches && of_batches[i]; i++)
        if (cfg_member(setting, of_batches[i]))
            cfg_warning(c, cfg_member(setting, of_batches[i]), "%s does nothing: no batches are published",
                        of_batches[i]);
    if (l->update_query_params && l->n_query_params == 0 && !cfg_member(setting, "query_params"))
        cfg_warning(c, cfg_member(setting, "update_query_params"),
                    "update_query_params does nothing: there are no query_params");
}

void cfg_read_listener(struct cfg *c, const config_setting_t *setting, struct listener_config *l)
{
    cfg_read_group(c, GROUP_LISTENERS, setting, l);
    read_metrics(c, cfg_member(setting, "metrics"), l);
    cfg_check_query(c, setting, l);
    derive_names(c, setting, l);
    derive_sizes(c, setting, l);
    check_changes(c, setting, l);
    warn_useless(c, setting, l);
}

struct named {
    const char *name;
    size_t index;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int r = strcmp(x->name, y->name);
    return r ? r : x->index < y->index ? -1 : 1;
}

static void check_names(struct cfg *c)
{
    size_t n = 0;
    char where[512];
    cleanup_free struct named *names = xcalloc(c->config->n_listeners + 1, sizeof *names);
    for (size_t i = 0; i < c->config->n_listeners; i++)
        if (c->config->listeners[i].name)
            names[n++] = (struct named){c->config->listeners[i].name, i};
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(names[i - 1].name, names[i].name) != 0)
            continue;
        const config_setting_t *at = c->listener_at[names[i].index],
                               *first = c->listener_at[names[i - 1].index];
        cfg_error(c, cfg_member_or_group(at, "name"), "two listeners have the name \"%s\": see %s",
                  names[i].name, cfg_line_of(c, first, at, where, sizeof where));
        if (!cfg_member(at, "name"))
            cfg_hint(c, "the name is the dataset's unless another is given: name = \"...\";");
    }
}

void cfg_read_listeners(struct cfg *c, const config_setting_t *setting)
{
    int n = setting ? config_setting_length(setting) : 0;
    if (n == 0 || n > CONFIG_LISTENERS_MAX) {
        cfg_error(c, setting, n ? "there are more than %d listeners" : "there are no listeners",
                  CONFIG_LISTENERS_MAX);
        if (n == 0)
            cfg_hint(c, "listeners: ( { dataset = \"...\"; } );");
        return;
    }
    c->config->listeners = xcalloc((size_t)n, sizeof *c->config->listeners);
    c->listener_at = xcalloc((size_t)n, sizeof(const config_setting_t *));
    for (int i = 0; i < n; i++) {
        const config_setting_t *s = config_setting_get_elem(setting, (unsigned)i);
        if (!config_setting_is_group(s)) {
            cfg_error(c, s, "a listener is a group { }, not %s", cfg_type_words(s));
            continue;
        }
        c->listener_at[c->config->n_listeners] = s;
        cfg_read_listener(c, s, &c->config->listeners[c->config->n_listeners++]);
    }
    check_names(c);
}
