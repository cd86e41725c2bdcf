/* What the bridge was told to do: the model that the config file is read into (app/config_file.c) and that
 * everything else reads. It is complete and valid once made: defaults are filled in, names resolved, ranges
 * checked. Immutable while the bridge runs; owned by main, freed after every thread has ended. Any thread may
 * read it. */
#ifndef AB_CORE_CONFIG_H
#define AB_CORE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One librdkafka property, name as librdkafka spells it ("linger.ms"). */
struct kafka_property {
    char *name, *value;
};
struct kafka_properties {
    struct kafka_property *items;
    size_t n;
};

struct argilla_config {
    char *url;       /* without a trailing '/' */
    char *api_key;   /* the secret itself, read from the environment, a file or the config; never shown */
    char *workspace; /* default workspace, or NULL */
    char *ca_file;   /* NULL: the system's */
    int timeout_ms, metrics_timeout_ms, page_size, max_connections, auth_retry_s;
    int64_t max_page_bytes;
};

struct kafka_config {
    struct kafka_properties common, producer, consumer; /* what the user set; defaults are added by kafka/ */
};

struct bridge_config {
    char *group_id, *instance_id /* NULL: a dynamic member */, *state_topic, *commands_topic;
    int state_partitions, workers;
    bool create_topics;
    int topic_partitions, topic_replication_factor; /* -1: the broker's default */
    char *topic_cleanup_policy; /* of record topics: "delete", "compact", "compact,delete" */
};

enum param_type { PARAM_INT, PARAM_FLOAT, PARAM_STRING, PARAM_BOOL };
/* One start value of query_params. */
struct query_param {
    char *name;
    enum param_type type;
    int64_t i; /* PARAM_INT (at most 2^53 in size: jq's numbers are doubles) and PARAM_BOOL */
    double f;
    char *s;
};

enum deliver { DELIVER_MATCHES, DELIVER_CHANGES };
enum publish { PUBLISH_BATCHES, PUBLISH_RECORDS };
enum batch_key { BATCH_KEY_LISTENER, BATCH_KEY_NONE };

struct listener_config {
    char *name, *dataset, *workspace;
    char *query; /* Python's format rules; NULL: all records */
    struct query_param *query_params;
    size_t n_query_params;
    char *condition, *update_query_params, *project; /* jq, or NULL */
    char **metrics;
    size_t n_metrics;
    bool query_records;
    double interval_s;
    enum deliver deliver;
    double reconcile_interval_s, overlap_s; /* deliver = changes */
    int reconcile_max_missing_percent;
    enum publish publish;
    enum batch_key batch_key;
    char *topic, *metrics_topic;
    int topic_partitions; /* -1: the broker's default */
    char *topic_cleanup_policy;
    int page_size;     /* records a scan page, 1..1000 */
    int batch_records; /* at most so many records a batch message */
    int64_t
        batch_bytes; /* and so many bytes; a single larger record still goes alone, up to max_message_bytes */
    int64_t max_message_bytes; /* a message above is not sent: the record counts as oversize */
};

/* The admin interface; `listen` NULL: none. */
struct admin_config {
    char *listen; /* as given */
    char *host;   /* its address, without brackets */
    int port;     /* 0: the system's choice */
    char *token;  /* a secret; NULL: nothing can be changed through it */
};

struct log_config {
    int level, format; /* enum log_level, enum log_format of base/log.h */
};

struct config {
    char *path;
    struct argilla_config argilla;
    struct kafka_config kafka;
    struct bridge_config bridge;
    struct admin_config admin;
    struct log_config log;
    struct listener_config *listeners;
    size_t n_listeners;
};

/* Frees all of it, the secrets wiped; takes NULL and half-made ones. */
void config_free(struct config *c);

/* The listener of that name, or NULL. Belongs to `c`. */
const struct listener_config *config_find_listener(const struct config *c, const char *name);

#endif
