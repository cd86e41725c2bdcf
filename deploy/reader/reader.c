#include "reader.h"

#include <librdkafka/rdkafka.h>

#include "json_scan.h"

enum { ANSWER_MS = 5000 };

struct reader {
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *partitions; /* `offset`: read up to here */
    int64_t *ends;                               /* by the same index */
    rd_kafka_message_t *last;
    int64_t n_foreign;
};

static int configure(rd_kafka_conf_t *conf, const char *brokers, struct err *e)
{
    const char *const own[][2] = {
        {"bootstrap.servers", brokers},
        {"group.id", "demo-reader"}, /* asked for, not used: nothing is subscribed */
        {"isolation.level", "read_committed"},
        {"enable.auto.commit", "false"},
        {"auto.offset.reset", "earliest"},
        {"enable.partition.eof", "true"},
        {"fetch.wait.max.ms", "50"},
        {"log_level", "4"}};
    char text[256];
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (rd_kafka_conf_set(conf, own[i][0], own[i][1], text, sizeof text) != RD_KAFKA_CONF_OK)
            return err_set(e, ERR_FATAL, "%s: %s", own[i][0], text);
    return 0;
}

static int fail(struct err *e, const char *what, rd_kafka_resp_err_t err)
{
    return err_set(e, ERR_FATAL, "%s: %s", what, rd_kafka_err2str(err));
}

static int add_partitions(struct reader *r, const char *topic, const struct rd_kafka_metadata *m,
                          struct err *e)
{
    for (int i = 0; i < m->topic_cnt; i++) {
        if (strcmp(m->topics[i].topic, topic) != 0)
            continue;
        for (int k = 0; k < m->topics[i].partition_cnt; k++)
            rd_kafka_topic_partition_list_add(r->partitions, topic, m->topics[i].partitions[k].id)->offset =
                0;
        return 0;
    }
    return err_set(e, ERR_FATAL, "topic %s: not there", topic);
}

static int assign(struct reader *r, const char *topics, struct err *e)
{
    const struct rd_kafka_metadata *metadata;
    cleanup_free char *names = xstrdup(topics);
    char *rest = names, *name;
    rd_kafka_resp_err_t err = rd_kafka_metadata(r->rk, 1, NULL, &metadata, ANSWER_MS);
    int rc = 0;
    if (err)
        return fail(e, "metadata", err);
    r->partitions = rd_kafka_topic_partition_list_new(16);
    while (!rc && (name = strsep(&rest, ",")))
        rc = add_partitions(r, name, metadata, e);
    rd_kafka_metadata_destroy(metadata);
    if (!rc && (err = rd_kafka_assign(r->rk, r->partitions)))
        rc = fail(e, "assign", err);
    r->ends = xcalloc((size_t)r->partitions->cnt + 1, sizeof *r->ends);
    return rc;
}

int reader_new(const char *brokers, const char *topics, struct reader **ret, struct err *e)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (configure(conf, brokers, e)) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, text, sizeof text);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return err_set(e, ERR_FATAL, "%s", text);
    }
    struct reader *r = xcalloc(1, sizeof *r);
    r->rk = rk;
    (void)rd_kafka_poll_set_consumer(rk);
    if (assign(r, topics, e)) {
        reader_free(r);
        return -1;
    }
    *ret = r;
    return 0;
}

void reader_free(struct reader *r)
{
    if (!r)
        return;
    if (r->last)
        rd_kafka_message_destroy(r->last);
    if (r->partitions)
        rd_kafka_topic_partition_list_destroy(r->partitions);
    (void)rd_kafka_consumer_close(r->rk);
    rd_kafka_destroy(r->rk);
    free(r->ends);
    free(r);
}

static struct slice header(const rd_kafka_headers_t *headers, const char *name)
{
    const void *value = NULL;
    size_t len = 0;
    if (!headers || rd_kafka_header_get_last(headers, name, &value, &len))
        return (struct slice){0};
    return (struct slice){value, len};
}

/* False: not a message of the bridge. */
static bool read_message(const rd_kafka_message_t *m, struct message *ret)
{
    static const char *const types[] = {"argilla-bridge.batch", "argilla-bridge.record",
                                        "argilla-bridge.run"};
    rd_kafka_headers_t *headers = NULL;
    if (!m->payload || rd_kafka_message_headers(m, &headers))
        return false;
    struct slice type = header(headers, "ce_type"), run = header(headers, "ce_argillarun");
    size_t kind = 0;
    while (kind < ARRAY_LEN(types) && !slice_eq(type, types[kind]))
        kind++;
    *ret = (struct message){.listener = header(headers, "ce_argillalistener"),
                            .ce_id = header(headers, "ce_id"),
                            .time = header(headers, "ce_time"),
                            .key = {m->key, m->key_len},
                            .value = {m->payload, m->len}};
    if (kind == ARRAY_LEN(types) || !run.len || json_check(run, NULL) || json_get_int64(run, &ret->run))
        return false;
    ret->kind = (enum message_kind)kind;
    return json_check(ret->value, NULL) == 0;
}

/* A message's own offset is read with it; the end's is that of what comes next. */
static void note_offset(struct reader *r, const rd_kafka_message_t *m)
{
    rd_kafka_topic_partition_t *p =
        rd_kafka_topic_partition_list_find(r->partitions, rd_kafka_topic_name(m->rkt), m->partition);
    int64_t next = m->offset + (m->err == RD_KAFKA_RESP_ERR_NO_ERROR);
    if (p && p->offset < next)
        p->offset = next;
}

int reader_next(struct reader *r, int timeout_ms, struct message *ret, struct err *e)
{
    if (r->last)
        rd_kafka_message_destroy(r->last);
    rd_kafka_message_t *m = r->last = rd_kafka_consumer_poll(r->rk, timeout_ms);
    if (!m)
        return 0;
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        note_offset(r, m);
        return 0;
    }
    if (m->err == RD_KAFKA_RESP_ERR__TRANSPORT || m->err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        return 0; /* it connects again by itself */
    if (m->err)
        return fail(e, "read", m->err);
    note_offset(r, m);
    if (read_message(m, ret))
        return 1;
    r->n_foreign++;
    return 0;
}

int64_t reader_n_foreign(const struct reader *r)
{
    return r->n_foreign;
}

/* By the call for time stamps, where the newest one stands for the end: rd_kafka_query_watermark_offsets
 * keeps no time-out once the brokers are gone (2.0.2). */
int reader_mark_end(struct reader *r, struct err *e)
{
    rd_kafka_topic_partition_list_t *ends = rd_kafka_topic_partition_list_copy(r->partitions);
    for (int i = 0; i < ends->cnt; i++)
        ends->elems[i].offset = RD_KAFKA_OFFSET_END;
    rd_kafka_resp_err_t err = rd_kafka_offsets_for_times(r->rk, ends, ANSWER_MS);
    for (int i = 0; i < ends->cnt && !err; i++) {
        err = ends->elems[i].err;
        r->ends[i] = ends->elems[i].offset;
    }
    rd_kafka_topic_partition_list_destroy(ends);
    return err ? fail(e, "the topics' ends", err) : 0;
}

bool reader_is_at_end(const struct reader *r)
{
    for (int i = 0; i < r->partitions->cnt; i++)
        if (r->partitions->elems[i].offset < r->ends[i])
            return false;
    return true;
}
