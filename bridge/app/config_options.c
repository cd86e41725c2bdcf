#include "config_options.h"

#include <string.h>

#include "config.h"
#include "config_text.h"
#include "log.h"
#include "mem.h"

static const char *const level_choices[] = {"error", "warn", "info", "debug", NULL};
static const char *const format_choices[] = {"logfmt", "json", NULL};
static const char *const cleanup_choices[] = {"delete", "compact", "compact,delete", NULL};
static const char *const deliver_choices[] = {"matches", "changes", NULL};
static const char *const publish_choices[] = {"batches", "records", NULL};
static const char *const batch_key_choices[] = {"listener", "none", NULL};

_Static_assert(LOG_LEVEL_ERROR == 0 && LOG_LEVEL_DEBUG == 3 && LOG_FORMAT_JSON == 1, "order of choices");
_Static_assert(DELIVER_MATCHES == 0 && DELIVER_CHANGES == 1 && PUBLISH_RECORDS == 1 && BATCH_KEY_NONE == 1,
               "order of choices");

#define ARGILLA(field)  offsetof(struct argilla_config, field)
#define BRIDGE(field)   offsetof(struct bridge_config, field)
#define LISTENER(field) offsetof(struct listener_config, field)
#define ADMIN(field)    offsetof(struct admin_config, field)
#define LOGGING(field)  offsetof(struct log_config, field)

/* clang-format off */
static const struct config_option options[] = {
    {GROUP_ARGILLA, OPT_STRING, "url", ARGILLA(url), .rule = RULE_URL, .is_required = true,
     .text = "Where Argilla's server answers; a path before `/api` belongs to it."},
    {GROUP_ARGILLA, OPT_STRING, "api_key_env", OPT_NO_FIELD, .initial_words = "`ARGILLA_API_KEY`",
     .text = "The environment variable that holds the API key."},
    {GROUP_ARGILLA, OPT_STRING, "api_key_file", OPT_NO_FIELD,
     .text = "A file that holds the API key and nothing else (a newline at its end is cut)."},
    {GROUP_ARGILLA, OPT_STRING, "api_key", OPT_NO_FIELD,
     .text = "The API key itself: accepted with a warning. Only one of the three may be given."},
    {GROUP_ARGILLA, OPT_STRING, "workspace", ARGILLA(workspace),
     .text = "The workspace of listeners that name none."},
    {GROUP_ARGILLA, OPT_STRING, "ca_file", ARGILLA(ca_file), .initial_words = "the system's",
     .text = "Certificates (PEM) to trust for an `https` url."},
    {GROUP_ARGILLA, OPT_INT, "timeout_ms", ARGILLA(timeout_ms), .initial = "30000", .min = 100, .max = 3600000,
     .text = "How long a request may take."},
    {GROUP_ARGILLA, OPT_INT, "metrics_timeout_ms", ARGILLA(metrics_timeout_ms), .initial = "300000", .min = 100,
     .max = 3600000, .text = "The same for a metric: F1 over 100,000 records takes Argilla half a minute."},
    {GROUP_ARGILLA, OPT_INT, "page_size", ARGILLA(page_size), .initial = "500", .min = 1, .max = 1000,
     .text = "Records a page of a scan, for listeners that don't say."},
    {GROUP_ARGILLA, OPT_INT64, "max_page_bytes", ARGILLA(max_page_bytes), .initial = "67108864", .min = 65536,
     .max = 1073741824, .text = "The largest answer that is taken: a larger page is an error of that run."},
    {GROUP_ARGILLA, OPT_INT, "max_connections", ARGILLA(max_connections), .initial = "16", .min = 1, .max = 64,
     .text = "Requests to Argilla at the same time."},
    {GROUP_ARGILLA, OPT_INT, "auth_retry_s", ARGILLA(auth_retry_s), .initial = "300", .min = 1, .max = 86400,
     .text = "How long a listener pauses after a 401 or 403 before it tries again."},

    {GROUP_BRIDGE, OPT_STRING, "group_id", BRIDGE(group_id), .initial = "argilla-bridge", .rule = RULE_GROUP_ID,
     .text = "The consumer group of the instances that share the work; also the prefix of transactional ids."},
    {GROUP_BRIDGE, OPT_STRING, "instance_id", BRIDGE(instance_id), .rule = RULE_GROUP_ID,
     .text = "A name of this instance that lasts: a restart within the session timeout then moves nothing."},
    {GROUP_BRIDGE, OPT_STRING, "state_topic", BRIDGE(state_topic), .initial_words = "`<group_id>.state`",
     .rule = RULE_TOPIC, .text = "The compacted topic that holds the listeners' state."},
    {GROUP_BRIDGE, OPT_STRING, "commands_topic", BRIDGE(commands_topic), .initial_words = "`<group_id>.commands`",
     .rule = RULE_TOPIC, .text = "The topic that takes a command (`stop`, say) to the instance that runs the listener."},
    {GROUP_BRIDGE, OPT_INT, "state_partitions", BRIDGE(state_partitions), .initial = "8", .min = 1, .max = 1024,
     .text = "Its partitions: the most instances that can share the work. It can't be changed later."},
    {GROUP_BRIDGE, OPT_INT, "workers", BRIDGE(workers), .initial = "16", .min = 1, .max = 256,
     .text = "Threads that carry out runs."},
    {GROUP_BRIDGE, OPT_BOOL, "create_topics", BRIDGE(create_topics), .initial = "true",
     .text = "Make topics that are missing. If `false`, a missing topic is an error of its listener."},
    {GROUP_BRIDGE, OPT_INT, "topic_partitions", BRIDGE(topic_partitions), .initial = "1", .min = 1, .max = 10000,
     .also = -1, .text = "Partitions of the topics that are made; `-1`: the broker's default."},
    {GROUP_BRIDGE, OPT_INT, "topic_replication_factor", BRIDGE(topic_replication_factor), .initial = "-1",
     .min = 1, .max = 100, .also = -1, .text = "Their replicas; `-1`: the broker's default."},
    {GROUP_BRIDGE, OPT_CHOICE, "topic_cleanup_policy", BRIDGE(topic_cleanup_policy), .initial = "delete",
     .choices = cleanup_choices, .text = "Their `cleanup.policy`, for listeners that don't say."},

    {GROUP_LISTENERS, OPT_STRING, "name", LISTENER(name), .initial_words = "the dataset's name",
     .rule = RULE_NAME, .text = "The listener's name, unique: its state is kept under it."},
    {GROUP_LISTENERS, OPT_STRING, "dataset", LISTENER(dataset), .is_required = true,
     .text = "The dataset to listen to."},
    {GROUP_LISTENERS, OPT_STRING, "workspace", LISTENER(workspace), .initial_words = "`argilla.workspace`",
     .text = "The dataset's workspace."},
    {GROUP_LISTENERS, OPT_STRING, "query", LISTENER(query), .initial_words = "all records",
     .text = "As in Argilla's search bar. `{name}` stands for that query param, `{{` and `}}` for braces."},
    {GROUP_LISTENERS, OPT_PARAMS, "query_params", OPT_NO_FIELD,
     .text = "Start values of the query's names: integers (at most 2^53 in size), floats, strings, booleans."},
    {GROUP_LISTENERS, OPT_STRING, "condition", LISTENER(condition), .initial_words = "always fires",
     .rule = RULE_JQ, .text = "Fires only if this yields `true`, e.g. `search.total > 10`."},
    {GROUP_LISTENERS, OPT_STRING, "update_query_params", LISTENER(update_query_params), .rule = RULE_JQ,
     .text = "The query params of the next run, e.g. `ctx.query_params[\"batch_id\"] += 1`."},
    {GROUP_LISTENERS, OPT_STRINGS, "metrics", OPT_NO_FIELD, .initial_words = "none",
     .text = "Metrics of Argilla to ask for at each poll, e.g. `[ \"F1\" ]`."},
    {GROUP_LISTENERS, OPT_BOOL, "query_records", LISTENER(query_records), .initial = "true",
     .text = "If `false`, no records are read: a run is its run message only."},
    {GROUP_LISTENERS, OPT_BOOL, "with_records", LISTENER(query_records), .alias_of = "query_records",
     .text = "Another name of `query_records`."},
    {GROUP_LISTENERS, OPT_SECONDS, "execution_interval_in_seconds", LISTENER(interval_s), .initial = "30",
     .min = 0.1, .max = 2678400, .text = "From the start of one poll to the start of the next."},
    {GROUP_LISTENERS, OPT_ENUM, "deliver", LISTENER(deliver), .initial = "matches", .choices = deliver_choices,
     .text = "`matches`: each run publishes all records that match. `changes`: each version of a record once, and a tombstone when it is gone or no longer matches."},
    {GROUP_LISTENERS, OPT_SECONDS, "reconcile_interval_in_seconds", LISTENER(reconcile_interval_s), .initial = "3600",
     .min = 1, .max = 2678400, .text = "`changes`: from one full scan to the next; it finds what no time stamp shows (deletes, `PATCH`es, discards)."},
    {GROUP_LISTENERS, OPT_SECONDS, "overlap_in_seconds", LISTENER(overlap_s), .initial = "60", .min = 1, .max = 86400,
     .text = "`changes`: how far a poll looks back behind the one before; more than the longest `:bulk` takes."},
    {GROUP_LISTENERS, OPT_INT, "reconcile_max_missing_percent", LISTENER(reconcile_max_missing_percent), .initial = "20",
     .min = 0, .max = 100, .text = "`changes`: when a full scan misses a larger share of the known records (and more than 10), none is taken for deleted; `100`: never mind."},
    {GROUP_LISTENERS, OPT_ENUM, "publish", LISTENER(publish), .initial = "batches", .choices = publish_choices,
     .text = "Messages that hold many records with their context, or one message a record, keyed by its id."},
    {GROUP_LISTENERS, OPT_STRING, "project", LISTENER(project), .initial_words = "the record as it is",
     .rule = RULE_JQ, .text = "What to publish of each record, e.g. `{id, metadata}`. Numbers pass a double here."},
    {GROUP_LISTENERS, OPT_STRING, "topic", LISTENER(topic), .initial_words = "`argilla.<workspace>.<dataset>`",
     .rule = RULE_TOPIC, .text = "Where the records go."},
    {GROUP_LISTENERS, OPT_STRING, "metrics_topic", LISTENER(metrics_topic), .initial_words = "`<topic>.runs`",
     .rule = RULE_TOPIC, .text = "Where the run messages go."},
    {GROUP_LISTENERS, OPT_ENUM, "batch_key", LISTENER(batch_key), .initial = "listener",
     .choices = batch_key_choices, .text = "The key of batches: the listener's name keeps their order, `none` spreads them."},
    {GROUP_LISTENERS, OPT_INT, "batch_records", LISTENER(batch_records), .initial = "500", .min = 1, .max = 10000,
     .text = "The most records in a batch."},
    {GROUP_LISTENERS, OPT_INT64, "batch_bytes", LISTENER(batch_bytes), .initial = "900000",
     .initial_words = "`900000`, at most `max_message_bytes`", .min = 1000, .max = 1000000000,
     .text = "The most bytes in a batch; a larger record goes alone."},
    {GROUP_LISTENERS, OPT_INT64, "max_message_bytes", LISTENER(max_message_bytes), .initial = "1000000",
     .min = 1000, .max = 1000000000,
     .text = "A record beyond this (or what the topic takes, if less) isn't sent: it is logged, counted and named in the run."},
    {GROUP_LISTENERS, OPT_INT, "page_size", LISTENER(page_size), .initial_words = "`argilla.page_size`", .min = 1,
     .max = 1000, .text = "Records a page of this listener's scans."},
    {GROUP_LISTENERS, OPT_INT, "topic_partitions", LISTENER(topic_partitions),
     .initial_words = "`bridge.topic_partitions`", .min = 1, .max = 10000, .also = -1,
     .text = "Partitions of `topic`, if it is made."},
    {GROUP_LISTENERS, OPT_CHOICE, "topic_cleanup_policy", LISTENER(topic_cleanup_policy),
     .initial_words = "`bridge.topic_cleanup_policy`", .choices = cleanup_choices,
     .text = "`cleanup.policy` of `topic`, if it is made."},

    {GROUP_ADMIN, OPT_STRING, "listen", ADMIN(listen), .initial = "127.0.0.1:8642", .rule = RULE_ADDRESS,
     .text = "Where status, metrics and the status page are served; without the group `admin` nowhere. Port 0: any that is free."},
    {GROUP_ADMIN, OPT_STRING, "token_file", OPT_NO_FIELD,
     .text = "A file that holds the token which start, stop, trigger and reset ask for; without one they are refused."},

    {GROUP_LOG, OPT_ENUM, "level", LOGGING(level), .initial = "info", .choices = level_choices,
     .text = "What is logged."},
    {GROUP_LOG, OPT_ENUM, "format", LOGGING(format), .initial = "logfmt", .choices = format_choices,
     .text = "How each line looks."},
};
/* clang-format on */

static const char *const group_names[GROUP_COUNT] = {"argilla",   "kafka", "bridge",
                                                     "listeners", "admin", "log"};

const struct config_option *config_options(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(options);
    return options;
}

const char *config_group_name(enum config_group group)
{
    return group_names[group];
}

const struct config_option *config_option_find(enum config_group group, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (options[i].group == group && strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

void config_option_hint(enum config_group group, const char *name, char *ret, size_t size)
{
    struct near near = {.name = name};
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (options[i].group == group)
            near_try(&near, options[i].name);
    ret[0] = '\0';
    for (int g = 0; g < GROUP_COUNT && !near.best; g++)
        if (config_option_find((enum config_group)g, name)) {
            (void)snprintf(ret, size, "it belongs in `%s`", group_names[g]);
            return;
        }
    if (near.best)
        (void)snprintf(ret, size, "did you mean `%s`?", near.best);
}
