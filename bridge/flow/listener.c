/* What a listener needs to know of its topics before it publishes. */
#include "bridge.h"
#include "client.h"
#include "clock.h"

enum {
    CHECK_EVERY_MS = 30000, /* a topic that was deleted or changed is noticed at the latest then, or by a
                               failed delivery */
    MESSAGE_OVERHEAD =
        4096 /* key, headers and the record batch's own bytes, at most (names and ids are short) */
};

static int check_one(struct listener *l, const char *name, int partitions, const char *cleanup_policy,
                     int64_t *min_bytes, struct err *e)
{
    struct bridge *b = l->bridge;
    const struct topic_spec spec = {.name = name,
                                    .partitions = partitions,
                                    .replication_factor = b->config->bridge.topic_replication_factor,
                                    .cleanup_policy = cleanup_policy};
    struct topic_info info;
    if (kafka_admin_topic(b->admin, &spec, b->config->bridge.create_topics, &info, e))
        return -1;
    if (info.is_compacted && l->config->publish == PUBLISH_BATCHES &&
        l->config->batch_key == BATCH_KEY_NONE && strcmp(name, l->config->topic) == 0)
        return err_set(e, ERR_CONFIG, "topic %s is compacted: it takes no batches without a key", name);
    if (info.max_message_bytes < *min_bytes)
        *min_bytes = info.max_message_bytes;
    return 0;
}

int listener_check_topics(struct listener *l, struct err *e)
{
    int64_t now = clock_mono_ms();
    if (l->topics_checked_ms && now - l->topics_checked_ms < CHECK_EVERY_MS)
        return 0;
    int64_t bytes = kafka_message_max_bytes(l->bridge->config), value;
    const struct listener_config *c = l->config;
    if ((c->query_records &&
         check_one(l, c->topic, c->topic_partitions, c->topic_cleanup_policy, &bytes, e)) ||
        check_one(l, c->metrics_topic, l->bridge->config->bridge.topic_partitions, "delete", &bytes, e)) {
        l->topics_checked_ms = 0;
        return -1;
    }
    value = bytes - MESSAGE_OVERHEAD < 1024 ? bytes / 2 : bytes - MESSAGE_OVERHEAD;
    l->max_value_bytes = value < c->max_message_bytes ? value : c->max_message_bytes;
    l->topics_checked_ms = now;
    partition_limit_batch(l->partition, bytes);
    return 0;
}
