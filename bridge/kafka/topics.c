#include "topics.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>

#include "buf.h"
#include "client.h"

enum { ASK_MS = 5000, CREATE_MS = 15000, KNOWN_STEP_MS = 20, KNOWN_STEPS = 100 };

struct kafka_admin {
    rd_kafka_t *rk;
    const struct config *config;
};

int kafka_admin_new(const struct config *config, struct kafka_admin **ret, struct err *e)
{
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    if (kafka_conf_new(config, KAFKA_PRODUCER, "admin", &conf, e) ||
        kafka_handle_new(conf, KAFKA_PRODUCER, &rk, e))
        return -1;
    struct kafka_admin *a = xcalloc(1, sizeof *a);
    *a = (struct kafka_admin){.rk = rk, .config = config};
    *ret = a;
    return 0;
}

void kafka_admin_free(struct kafka_admin *a)
{
    if (!a)
        return;
    rd_kafka_destroy(a->rk);
    free(a);
}

int kafka_admin_ping(struct kafka_admin *a, int timeout_ms, struct err *e)
{
    const struct rd_kafka_metadata *md;
    (void)rd_kafka_poll(a->rk, 0);
    rd_kafka_resp_err_t err = rd_kafka_metadata(a->rk, 0, NULL, &md, timeout_ms);
    if (err)
        return kafka_err(e, "kafka: metadata", err);
    rd_kafka_metadata_destroy(md);
    return 0;
}

/* 0 with the partition count, 0 when the topic isn't there, and a broker that lives. */
static int count_partitions(struct kafka_admin *a, const char *name, int *ret, int32_t *ret_broker,
                            struct err *e)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *t = rd_kafka_topic_new(a->rk, name, NULL);
    (void)rd_kafka_poll(a->rk, 0);
    rd_kafka_resp_err_t err = rd_kafka_metadata(a->rk, 0, t, &md, ASK_MS);
    rd_kafka_topic_destroy(t);
    if (err)
        return kafka_err(e, "kafka: metadata", err);
    const struct rd_kafka_metadata_topic *topic = md->topic_cnt == 1 ? &md->topics[0] : NULL;
    rd_kafka_resp_err_t topic_err = topic ? topic->err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    int n = topic ? topic->partition_cnt : 0;
    int32_t broker = md->broker_cnt ? md->brokers[0].id : -1;
    rd_kafka_metadata_destroy(md);
    if (topic_err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || topic_err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC)
        n = 0;
    else if (topic_err)
        return kafka_err(e, "kafka: metadata", topic_err);
    *ret = n;
    *ret_broker = broker;
    return 0;
}

/* The controller has made it; the brokers hear of it a little later. */
static int await_partitions(struct kafka_admin *a, const char *name, int *ret, int32_t *ret_broker,
                            struct err *e)
{
    for (int i = 0; i < KNOWN_STEPS; i++) {
        if (count_partitions(a, name, ret, ret_broker, e))
            return -1;
        if (*ret)
            return 0;
        (void)rd_kafka_poll(a->rk, KNOWN_STEP_MS);
    }
    return err_set(e, ERR_RETRY, "made, but not known to the broker yet");
}

/* Waits for the one event of an admin operation; the caller destroys it. NULL with `e` on a failure of the
 * whole. */
static rd_kafka_event_t *await_event(rd_kafka_queue_t *q, int timeout_ms, const char *operation,
                                     struct err *e)
{
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, timeout_ms);
    if (!ev) {
        (void)err_set(e, ERR_RETRY, "%s: no answer in %d ms", operation, timeout_ms);
        return NULL;
    }
    if (rd_kafka_event_error(ev)) {
        (void)kafka_err(e, operation, rd_kafka_event_error(ev));
        rd_kafka_event_destroy(ev);
        return NULL;
    }
    return ev;
}

static rd_kafka_AdminOptions_t *options_new(rd_kafka_t *rk, rd_kafka_admin_op_t op, int timeout_ms)
{
    char text[128];
    rd_kafka_AdminOptions_t *o = rd_kafka_AdminOptions_new(rk, op);
    (void)rd_kafka_AdminOptions_set_request_timeout(o, timeout_ms, text, sizeof text);
    return o;
}

static rd_kafka_NewTopic_t *new_topic(const struct topic_spec *spec, struct err *e)
{
    char text[256];
    rd_kafka_NewTopic_t *t =
        rd_kafka_NewTopic_new(spec->name, spec->partitions, spec->replication_factor, text, sizeof text);
    if (!t) {
        (void)err_set(e, ERR_CONFIG, "topic %s: %s", spec->name, text);
        return NULL;
    }
    (void)rd_kafka_NewTopic_set_config(t, "cleanup.policy", spec->cleanup_policy);
    if (spec->retention_ms) {
        (void)snprintf(text, sizeof text, "%lld", (long long)spec->retention_ms);
        (void)rd_kafka_NewTopic_set_config(t, "retention.ms", text);
    }
    if (spec->is_state) {
        (void)rd_kafka_NewTopic_set_config(t, "segment.bytes", "33554432");
        (void)rd_kafka_NewTopic_set_config(t, "segment.ms", "3600000");
        (void)rd_kafka_NewTopic_set_config(t, "min.cleanable.dirty.ratio", "0.1");
    }
    return t;
}

static int create_topic(struct kafka_admin *a, const struct topic_spec *spec, struct err *e)
{
    rd_kafka_NewTopic_t *t = new_topic(spec, e);
    if (!t)
        return -1;
    int rc = -1;
    rd_kafka_queue_t *q = rd_kafka_queue_new(a->rk);
    rd_kafka_AdminOptions_t *o = options_new(a->rk, RD_KAFKA_ADMIN_OP_CREATETOPICS, CREATE_MS);
    rd_kafka_CreateTopics(a->rk, &t, 1, o, q);
    rd_kafka_event_t *ev = await_event(q, CREATE_MS + 1000, "create topic", e);
    if (ev) {
        size_t n;
        const rd_kafka_topic_result_t **results =
            rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &n);
        rd_kafka_resp_err_t err = n ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__FAIL;
        if (!err || err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) /* another instance was quicker */
            rc = 0;
        else
            (void)kafka_err(e, "create topic", err);
        rd_kafka_event_destroy(ev);
    }
    rd_kafka_AdminOptions_destroy(o);
    rd_kafka_queue_destroy(q);
    rd_kafka_NewTopic_destroy(t);
    return rc;
}

static void read_entry(const rd_kafka_ConfigEntry_t *entry, struct topic_info *info)
{
    const char *name = rd_kafka_ConfigEntry_name(entry), *value = rd_kafka_ConfigEntry_value(entry);
    if (!value)
        return;
    if (strcmp(name, "max.message.bytes") == 0)
        info->max_message_bytes = strtoll(value, NULL, 10);
    else if (strcmp(name, "segment.bytes") == 0)
        info->segment_bytes = strtoll(value, NULL, 10);
    else if (strcmp(name, "cleanup.policy") == 0)
        info->is_compacted = strstr(value, "compact") != NULL;
}

/* Without the right to ask, the defaults stand. */
static int read_description(rd_kafka_event_t *ev, struct topic_info *info, struct err *e)
{
    size_t n, n_entries;
    const rd_kafka_ConfigResource_t **all =
        rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(ev), &n);
    rd_kafka_resp_err_t err = n ? rd_kafka_ConfigResource_error(all[0]) : RD_KAFKA_RESP_ERR__FAIL;
    if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        return 0;
    if (err)
        return kafka_err(e, "describe topic", err);
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(all[0], &n_entries);
    info->has_config = true;
    for (size_t i = 0; entries && i < n_entries; i++)
        read_entry(entries[i], info);
    return 0;
}

/* Fills what a broker tells of a topic's configuration. A broker that doesn't know the question (librdkafka's
 * mock) leaves the defaults. Any broker knows the answer, so one that lives is asked: librdkafka would ask
 * the controller, and wait for it where there is none. */
static int describe(struct kafka_admin *a, const char *name, int32_t broker, struct topic_info *info,
                    struct err *e)
{
    int rc = 0;
    char text[128];
    rd_kafka_ConfigResource_t *r = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name);
    rd_kafka_queue_t *q = rd_kafka_queue_new(a->rk);
    rd_kafka_AdminOptions_t *o = options_new(a->rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, ASK_MS);
    if (broker >= 0)
        (void)rd_kafka_AdminOptions_set_broker(o, broker, text, sizeof text);
    rd_kafka_DescribeConfigs(a->rk, &r, 1, o, q);
    rd_kafka_event_t *ev = rd_kafka_queue_poll(q, ASK_MS + 1000);
    rd_kafka_resp_err_t err = ev ? rd_kafka_event_error(ev) : RD_KAFKA_RESP_ERR__TIMED_OUT;
    if (!err)
        rc = read_description(ev, info, e);
    else if (err != RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE)
        rc = kafka_err(e, "describe topic", err);
    if (ev)
        rd_kafka_event_destroy(ev);
    rd_kafka_AdminOptions_destroy(o);
    rd_kafka_queue_destroy(q);
    rd_kafka_ConfigResource_destroy(r);
    return rc;
}

int kafka_admin_topic(struct kafka_admin *a, const struct topic_spec *spec, bool create,
                      struct topic_info *ret, struct err *e)
{
    struct topic_info info = {.max_message_bytes = 1048588}; /* Kafka's default */
    int32_t broker;
    if (count_partitions(a, spec->name, &info.partitions, &broker, e))
        return err_wrap(e, "topic %s", spec->name);
    if (info.partitions == 0) {
        if (!create)
            return err_set(e, ERR_CONFIG, "topic %s does not exist (and bridge.create_topics is false)",
                           spec->name);
        if (create_topic(a, spec, e) || await_partitions(a, spec->name, &info.partitions, &broker, e))
            return err_wrap(e, "topic %s", spec->name);
    }
    if (describe(a, spec->name, broker, &info, e))
        return err_wrap(e, "topic %s", spec->name);
    *ret = info;
    return 0;
}

int kafka_admin_group_members(struct kafka_admin *a, int *ret, struct err *e)
{
    const struct rd_kafka_group_list *list;
    rd_kafka_resp_err_t err = rd_kafka_list_groups(a->rk, a->config->bridge.group_id, &list, ASK_MS);
    if (err && err != RD_KAFKA_RESP_ERR__PARTIAL)
        return kafka_err(e, "kafka: list groups", err);
    int n = 0, n_groups = list->group_cnt;
    for (int i = 0; i < n_groups; i++)
        n += list->groups[i].member_cnt;
    rd_kafka_group_list_destroy(list);
    if (err && !n_groups) /* the broker that did not answer may be the one that knows */
        return kafka_err(e, "kafka: list groups", err);
    *ret = n;
    return 0;
}
