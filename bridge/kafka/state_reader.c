#include "state_reader.h"

#include <librdkafka/rdkafka.h>

#include "client.h"
#include "clock.h"

enum { KEY_LIMIT = 1024, WATERMARK_MS = 5000 };

static int reader_new(const struct config *config, rd_kafka_t **ret, struct err *e)
{
    rd_kafka_conf_t *conf;
    if (kafka_conf_new(config, KAFKA_CONSUMER, "state-reader", &conf, e))
        return -1;
    /* It assigns itself and commits nothing, so the group's name only satisfies librdkafka.
     * fetch.wait.max.ms: the empty fetch before EOF would else wait half a second (measured: 100,000 keys in
     * 0.04 s instead of 1 s). */
    cleanup_free char *group = xasprintf("%s.reader", config->bridge.group_id);
    const char *const own[][2] = {
        {"group.id", group},         {"isolation.level", "read_committed"}, {"enable.partition.eof", "true"},
        {"fetch.wait.max.ms", "10"}, {"enable.auto.commit", "false"},       {"auto.offset.reset", "earliest"},
    };
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (kafka_conf_set(conf, own[i][0], own[i][1], e)) {
            rd_kafka_conf_destroy(conf);
            return -1;
        }
    }
    if (kafka_handle_new(conf, KAFKA_CONSUMER, ret, e))
        return -1;
    (void)rd_kafka_poll_set_consumer(*ret);
    return 0;
}

/* From the absolute low watermark: the logical offset's lookup would cost half a second. */
static int assign_from_start(rd_kafka_t *rk, const char *topic, int partition, struct err *e)
{
    int64_t low, high;
    rd_kafka_resp_err_t err =
        rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, WATERMARK_MS);
    if (err)
        return kafka_err(e, "watermark", err);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, partition)->offset = low;
    err = rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err ? kafka_err(e, "assign", err) : 0;
}

static void take(const rd_kafka_message_t *m, struct state_map *map)
{
    char key[KEY_LIMIT];
    if (!m->key || m->key_len >= sizeof key || memchr(m->key, 0, m->key_len))
        return; /* not ours: our keys are short text */
    memcpy(key, m->key, m->key_len);
    key[m->key_len] = '\0';
    state_map_set(map, key, (struct slice){m->payload, m->payload ? m->len : 0});
}

/* PARTITION_EOF comes where the first open transaction begins. There should be none after the fence, but a
 * broker forgets the markers of a transaction whose partition has no leader at that moment (seen with Apache
 * Kafka 4.3, one broker killed: TransactionMarkerChannelManager takes such a partition for deleted), and what
 * is committed then stays hidden. To take that for the end would mean to publish it again. */
static bool is_true_end(rd_kafka_t *rk, const char *topic, int partition, int64_t eof)
{
    int64_t low, high;
    return !rd_kafka_get_watermark_offsets(rk, topic, partition, &low, &high) && eof >= high;
}

static int read_to_end(rd_kafka_t *rk, const char *topic, int partition, const atomic_bool *keep_going,
                       int timeout_ms, struct state_map *map, struct err *e)
{
    int64_t last_ms = clock_mono_ms(), hidden_from = -1;
    for (;;) {
        if (!atomic_load(keep_going))
            return err_set(e, ERR_RETRY, "given up: no longer wanted");
        if (clock_mono_ms() - last_ms > timeout_ms && hidden_from >= 0)
            return err_set(e, ERR_RETRY,
                           "what follows offset %lld is hidden by a transaction that nobody ends "
                           "(kafka-transactions.sh find-hanging)",
                           (long long)hidden_from);
        if (clock_mono_ms() - last_ms > timeout_ms)
            return err_set(e, ERR_RETRY, "nothing came in %d ms", timeout_ms);
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 100);
        if (!m)
            continue;
        rd_kafka_resp_err_t err = m->err;
        int64_t offset = m->offset;
        if (!err) {
            take(m, map);
            last_ms = clock_mono_ms();
        }
        rd_kafka_message_destroy(m);
        if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            if (is_true_end(rk, topic, partition, offset))
                return 0;
            hidden_from = offset;
        }
        if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
            err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            return kafka_err(e, "fetch", err);
        /* other errors (a broker that went away) pass; the time-out above is the bound */
    }
}

int state_read(const struct config *config, int partition, const atomic_bool *keep_going, int timeout_ms,
               struct state_map *ret, struct err *e)
{
    rd_kafka_t *rk;
    if (reader_new(config, &rk, e))
        return -1;
    struct state_map map = {0};
    int rc = assign_from_start(rk, config->bridge.state_topic, partition, e);
    if (!rc)
        rc = read_to_end(rk, config->bridge.state_topic, partition, keep_going, timeout_ms, &map, e);
    (void)rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    if (rc) {
        state_map_release(&map);
        return err_wrap(e, "read state %s[%d]", config->bridge.state_topic, partition);
    }
    *ret = map;
    return 0;
}
