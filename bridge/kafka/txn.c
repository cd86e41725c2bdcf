#include "txn.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "clock.h"

enum {
    CALL_MS = 2000, /* init, commit, abort: one call, repeated; a stop waits so long at most */
    METADATA_MS = 2000,
    GONE_MS = 700,
    FLUSH_SLICE_MS = 50, /* a failed delivery is noticed so late at most */
    QUEUE_FULL_MS = 100,
    KNOWN_TOPICS_MAX = 4096
};

struct txn {
    rd_kafka_t *rk;
    atomic_uint n_closed_sockets;
    unsigned closed_at_begin;
    bool has_failed_delivery; /* since the last begin */
    char **known_topics;
    size_t n_known_topics;
};

/* Called by librdkafka's broker threads. */
static int on_close_socket(int fd, void *opaque)
{
    struct txn *t = opaque;
    atomic_fetch_add(&t->n_closed_sockets, 1);
    return close(fd);
}

/* Errors that tell of the transaction's or a neighbour's trouble, not of the message's own. */
static bool is_consequence(rd_kafka_resp_err_t err)
{
    switch (err) {
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING:
    case RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID:
    case RD_KAFKA_RESP_ERR_INVALID_TXN_STATE:
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
        return true;
    default:
        return false;
    }
}

/* Called inside flush, poll, commit and abort: on the leader's thread. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk;
    struct txn *t = opaque;
    struct chunk *blame = m->_private;
    if (!m->err)
        return;
    t->has_failed_delivery = true;
    if (blame && !is_consequence(m->err) && blame->err.class == ERR_NONE) {
        (void)kafka_err(&blame->err, "delivery", m->err);
        (void)err_wrap(&blame->err, "topic %s", rd_kafka_topic_name(m->rkt));
    }
}

static int conf_for(const struct config *config, int partition, int64_t batch_bytes, struct txn *t,
                    rd_kafka_conf_t **ret, struct err *e)
{
    rd_kafka_conf_t *conf;
    char id[300], bytes[32], suffix[16], had[32];
    size_t had_size = sizeof had;
    (void)snprintf(id, sizeof id, "%s-%d", config->bridge.group_id, partition);
    (void)snprintf(suffix, sizeof suffix, "%d", partition);
    if (kafka_conf_new(config, KAFKA_PRODUCER, suffix, &conf, e))
        return -1;
    if (rd_kafka_conf_get(conf, "batch.size", had, &had_size) == RD_KAFKA_CONF_OK &&
        strtoll(had, NULL, 10) < batch_bytes)
        batch_bytes = strtoll(had, NULL, 10);
    (void)snprintf(bytes, sizeof bytes, "%lld", (long long)batch_bytes);
    if (kafka_conf_set(conf, "transactional.id", id, e) || kafka_conf_set(conf, "batch.size", bytes, e)) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    rd_kafka_conf_set_opaque(conf, t);
    rd_kafka_conf_set_closesocket_cb(conf, on_close_socket);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    *ret = conf;
    return 0;
}

/* Repeats a call while its error is RETRIABLE and the caller wants it. */
#define REPEAT(call, operation)                                                                              \
    for (;;) {                                                                                               \
        rd_kafka_error_t *error_ = (call);                                                                   \
        if (!error_)                                                                                         \
            return 0;                                                                                        \
        bool again_ = rd_kafka_error_is_retriable(error_);                                                   \
        (void)kafka_err_take(e, operation, error_);                                                          \
        if (!again_ || !atomic_load(keep_going))                                                             \
            return -1;                                                                                       \
    }

static int init_transactions(struct txn *t, const atomic_bool *keep_going, struct err *e)
{
    REPEAT(rd_kafka_init_transactions(t->rk, CALL_MS), "init_transactions")
}

int txn_open(const struct config *config, int partition, int64_t batch_bytes, const atomic_bool *keep_going,
             struct txn **ret, struct err *e)
{
    struct txn *t = xcalloc(1, sizeof *t);
    rd_kafka_conf_t *conf;
    if (conf_for(config, partition, batch_bytes, t, &conf, e) ||
        kafka_handle_new(conf, KAFKA_PRODUCER, &t->rk, e)) {
        free(t);
        return -1;
    }
    if (init_transactions(t, keep_going, e)) {
        txn_close(t);
        return -1;
    }
    *ret = t;
    return 0;
}

void txn_close(struct txn *t)
{
    if (!t)
        return;
    /* nothing of ours may be read by librdkafka's threads once the chunks are gone: purge, then wait for its
     * threads */
    (void)rd_kafka_purge(t->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    (void)rd_kafka_poll(t->rk, 0);
    rd_kafka_destroy(t->rk);
    for (size_t i = 0; i < t->n_known_topics; i++)
        free(t->known_topics[i]);
    free(t->known_topics);
    free(t);
}

/* What the broker says of the topic: 0 and its answer, or -1 when it can't be asked. */
static int ask_topic(struct txn *t, const char *topic, int timeout_ms, rd_kafka_resp_err_t *ret,
                     struct err *e)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(t->rk, topic, NULL);
    rd_kafka_resp_err_t err = rd_kafka_metadata(t->rk, 0, rkt, &md, timeout_ms);
    rd_kafka_topic_destroy(rkt);
    if (err)
        return kafka_err(e, "metadata", err);
    *ret = md->topic_cnt == 1 ? md->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
    rd_kafka_metadata_destroy(md);
    return 0;
}

int txn_topic_is_gone(struct txn *t, const char *topic, struct err *e)
{
    rd_kafka_resp_err_t err;
    struct err ignored;
    if (ask_topic(t, topic, GONE_MS, &err, &ignored))
        return -1;
    if (err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return 0;
    (void)err_set(e, ERR_RETRY, "topic %s has been deleted", topic);
    return 1;
}

int txn_know_topic(struct txn *t, const char *topic, struct err *e)
{
    rd_kafka_resp_err_t err;
    for (size_t i = 0; i < t->n_known_topics; i++)
        if (strcmp(t->known_topics[i], topic) == 0)
            return 0;
    if (ask_topic(t, topic, METADATA_MS, &err, e))
        return -1;
    if (err) {
        (void)kafka_err(e, "metadata", err);
        return err_wrap(e, "topic %s", topic);
    }
    if (t->n_known_topics < KNOWN_TOPICS_MAX) {
        t->known_topics = xrealloc(t->known_topics, (t->n_known_topics + 1) * sizeof *t->known_topics);
        t->known_topics[t->n_known_topics++] = xstrdup(topic);
    }
    return 0;
}

int txn_begin(struct txn *t, struct err *e)
{
    t->closed_at_begin = atomic_load(&t->n_closed_sockets);
    t->has_failed_delivery = false;
    rd_kafka_error_t *error = rd_kafka_begin_transaction(t->rk);
    return error ? kafka_err_take(e, "begin_transaction", error) : 0;
}

static void add_headers(rd_kafka_headers_t *to, const struct kafka_header *h, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)rd_kafka_header_add(to, h[i].name, -1, h[i].value.p, (ssize_t)h[i].value.len);
}

static rd_kafka_headers_t *headers_of(const struct kafka_message *m, struct kafka_headers common)
{
    if (!common.n && !m->n_headers)
        return NULL;
    rd_kafka_headers_t *h = rd_kafka_headers_new(common.n + m->n_headers);
    add_headers(h, common.items, common.n);
    add_headers(h, m->headers, m->n_headers);
    return h;
}

int txn_produce(struct txn *t, const struct kafka_message *m, int partition, struct kafka_headers common,
                struct chunk *blame, struct err *e)
{
    rd_kafka_headers_t *headers = headers_of(m, common);
    for (;;) {
        rd_kafka_vu_t vu[] = {
            {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = m->topic},
            {.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
            {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = 0},
            {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)m->key.p, m->key.len}},
            {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)m->value.p, m->value.len}},
            {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = blame},
            {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
        };
        rd_kafka_error_t *error = rd_kafka_produceva(t->rk, vu, ARRAY_LEN(vu) - (headers ? 0 : 1));
        if (!error)
            return 0; /* librdkafka has the headers now */
        rd_kafka_resp_err_t code = rd_kafka_error_code(error);
        rd_kafka_error_destroy(error);
        if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && !t->has_failed_delivery) {
            (void)rd_kafka_poll(t->rk, QUEUE_FULL_MS);
            continue;
        }
        if (headers)
            rd_kafka_headers_destroy(headers);
        (void)kafka_err(e, "produce", code);
        return err_wrap(e, "topic %s", m->topic);
    }
}

int txn_flush(struct txn *t, int patience_ms, const atomic_bool *keep_going, struct err *e)
{
    char text[256];
    int64_t until_ms = clock_mono_ms() + patience_ms;
    /* Once one has failed there is nothing to wait for: those behind it in its partition would be repeated
     * until message.timeout.ms, and then look as if they had failed by themselves. */
    while (!t->has_failed_delivery && !rd_kafka_fatal_error(t->rk, text, sizeof text) &&
           rd_kafka_flush(t->rk, FLUSH_SLICE_MS) == RD_KAFKA_RESP_ERR__TIMED_OUT) {
        if (!atomic_load(keep_going))
            return err_set(e, ERR_RETRY, "flush: no longer wanted");
        if (clock_mono_ms() > until_ms)
            return 1;
    }
    if (rd_kafka_fatal_error(t->rk, text, sizeof text))
        return err_set(e, ERR_FATAL, "flush: %s", text);
    if (t->has_failed_delivery)
        return err_set(e, ERR_ABORT_TXN, "flush: a delivery failed");
    return 0;
}

int txn_commit(struct txn *t, const atomic_bool *keep_going, struct err *e)
{
    REPEAT(rd_kafka_commit_transaction(t->rk, CALL_MS), "commit_transaction")
}

int txn_abort(struct txn *t, const atomic_bool *keep_going, struct err *e)
{
    REPEAT(rd_kafka_abort_transaction(t->rk, CALL_MS), "abort_transaction")
}

bool txn_lost_socket(const struct txn *t)
{
    return atomic_load(&t->n_closed_sockets) != t->closed_at_begin;
}
