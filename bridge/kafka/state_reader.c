#include "state_reader.h"

#include <librdkafka/rdkafka.h>
#include <malloc.h>

#include "client.h"
#include "clock.h"

enum { WATERMARK_MS = 5000 };

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
static int assign_from_start(rd_kafka_t *rk, const char *topic, int partition, int64_t *ret_end,
                             struct err *e)
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
    *ret_end = high;
    return err ? kafka_err(e, "assign", err) : 0;
}

struct state_walk {
    rd_kafka_t *rk;
    const char *topic;
    int partition, timeout_ms;
    const atomic_bool *keep_going;
    int64_t end;         /* what the partition's end was at the beginning */
    bool is_whole;       /* nobody else writes: nothing may be left when it ends */
    int64_t last_ms;     /* when something came */
    int64_t hidden_from; /* PARTITION_EOF before the true end; -1: none */
    rd_kafka_message_t *message;
};

void state_walk_free(struct state_walk *w)
{
    if (!w)
        return;
    if (w->message)
        rd_kafka_message_destroy(w->message);
    (void)rd_kafka_consumer_close(w->rk);
    rd_kafka_destroy(w->rk);
    free(w);
}

int state_walk_new(const struct config *config, int partition, const atomic_bool *keep_going, int timeout_ms,
                   struct state_walk **ret, struct err *e)
{
    struct state_walk *w = xcalloc(1, sizeof *w);
    *w = (struct state_walk){.topic = config->bridge.state_topic,
                             .partition = partition,
                             .timeout_ms = timeout_ms,
                             .keep_going = keep_going,
                             .hidden_from = -1};
    if (reader_new(config, &w->rk, e)) {
        free(w);
        return err_wrap(e, "read state %s[%d]", config->bridge.state_topic, partition);
    }
    if (assign_from_start(w->rk, w->topic, partition, &w->end, e)) {
        state_walk_free(w);
        return err_wrap(e, "read state %s[%d]", config->bridge.state_topic, partition);
    }
    w->last_ms = clock_mono_ms();
    *ret = w;
    return 0;
}

/* PARTITION_EOF comes where the first open transaction begins. There should be none after the fence, but a
 * broker forgets the markers of a transaction whose partition has no leader at that moment (seen with Apache
 * Kafka 4.3, one broker killed: TransactionMarkerChannelManager takes such a partition for deleted), and what
 * is committed then stays hidden. To take that for the end would mean to publish it again. */
static bool is_true_end(const struct state_walk *w, int64_t eof)
{
    int64_t low, high;
    if (!w->is_whole)
        return eof >= w->end;
    return !rd_kafka_get_watermark_offsets(w->rk, w->topic, w->partition, &low, &high) && eof >= high;
}

static int check_patience(const struct state_walk *w, struct err *e)
{
    if (!atomic_load(w->keep_going))
        return err_set(e, ERR_RETRY, "given up: no longer wanted");
    if (clock_mono_ms() - w->last_ms <= w->timeout_ms)
        return 0;
    if (w->hidden_from >= 0)
        return err_set(e, ERR_RETRY,
                       "what follows offset %lld is hidden by a transaction that nobody ends "
                       "(kafka-transactions.sh find-hanging)",
                       (long long)w->hidden_from);
    return err_set(e, ERR_RETRY, "nothing came in %d ms", w->timeout_ms);
}

static int next(struct state_walk *w, struct slice *ret_key, struct slice *ret_value, struct err *e)
{
    if (w->message) { /* between two calls the caller may have worked for long */
        rd_kafka_message_destroy(TAKE_PTR(w->message));
        w->last_ms = clock_mono_ms();
    }
    for (;;) {
        if (check_patience(w, e))
            return -1;
        rd_kafka_message_t *m = rd_kafka_consumer_poll(w->rk, 100);
        if (!m)
            continue;
        rd_kafka_resp_err_t err = m->err;
        int64_t offset = m->offset;
        if (!err && !w->is_whole && offset >= w->end) {
            rd_kafka_message_destroy(m);
            return 0;
        }
        if (!err) {
            *ret_key = (struct slice){m->key, m->key ? m->key_len : 0};
            *ret_value = (struct slice){m->payload, m->payload ? m->len : 0};
            w->message = m;
            return 1;
        }
        rd_kafka_message_destroy(m);
        if (err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            if (is_true_end(w, offset))
                return 0;
            w->hidden_from = offset;
        }
        if (err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED ||
            err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            return kafka_err(e, "fetch", err);
        /* other errors (a broker that went away) pass; the time-out above is the bound */
    }
}

int state_walk_next(struct state_walk *w, struct slice *ret_key, struct slice *ret_value, struct err *e)
{
    int rc = next(w, ret_key, ret_value, e);
    return rc < 0 ? err_wrap(e, "read state %s[%d]", w->topic, w->partition) : rc;
}

/* A million digests leave 50 MiB of freed messages behind; this gets a part of them back (measured: 20 to
 * 45). */
static void give_back_memory(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}

int state_read(const struct config *config, int partition, const atomic_bool *keep_going, int timeout_ms,
               struct partition_state *ret, struct err *e)
{
    struct state_walk *w;
    struct partition_state state = {0};
    struct slice key, value;
    int rc;
    if (state_walk_new(config, partition, keep_going, timeout_ms, &w, e))
        return -1;
    w->is_whole = true;
    while ((rc = state_walk_next(w, &key, &value, e)) > 0)
        partition_state_set(&state, key, value);
    state_walk_free(w);
    give_back_memory();
    if (rc) {
        partition_state_release(&state);
        return -1;
    }
    *ret = state;
    return 0;
}
