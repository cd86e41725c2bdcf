#include "membership.h"

#include <librdkafka/rdkafka.h>

#include "client.h"
#include "mem.h"

struct membership {
    const struct config *config;
    rd_kafka_t *rk;
    on_assignment_fn *on_assignment;
    void *arg;
    bool *is_owned;
    int n;
};

static void start_at_end(rd_kafka_topic_partition_list_t *list)
{
    /* paused, and without committed offsets to look up: this consumer only stands for membership */
    for (int i = 0; i < list->cnt; i++)
        list->elems[i].offset = RD_KAFKA_OFFSET_END;
}

/* Inside rd_kafka_consumer_poll. Never waits: a commit in flight may end or be fenced, both are right. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
                         void *opaque)
{
    struct membership *m = opaque;
    memset(m->is_owned, 0, (size_t)m->n * sizeof *m->is_owned);
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        start_at_end(list);
        (void)rd_kafka_assign(rk, list);
        (void)rd_kafka_pause_partitions(rk, list);
        for (int i = 0; i < list->cnt; i++)
            if (list->elems[i].partition >= 0 && list->elems[i].partition < m->n)
                m->is_owned[list->elems[i].partition] = true;
        m->on_assignment(m->arg, m->is_owned, m->n, true);
    } else {
        m->on_assignment(m->arg, m->is_owned, m->n, false);
        (void)rd_kafka_assign(rk, NULL);
    }
}

static int configure(rd_kafka_conf_t *conf, const struct config *config, struct err *e)
{
    const char *const own[][2] = {
        {"group.id", config->bridge.group_id},
        {"enable.auto.commit", "false"},
        {"auto.offset.reset", "latest"},
        {"isolation.level", "read_committed"},
    };
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (kafka_conf_set(conf, own[i][0], own[i][1], e))
            return -1;
    if (config->bridge.instance_id &&
        kafka_conf_set(conf, "group.instance.id", config->bridge.instance_id, e))
        return -1;
    return 0;
}

static int subscribe(rd_kafka_t *rk, const char *topic, struct err *e)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err ? kafka_err(e, "subscribe", err) : 0;
}

int membership_new(const struct config *config, on_assignment_fn *on_assignment, void *arg,
                   struct membership **ret, struct err *e)
{
    rd_kafka_conf_t *conf;
    if (kafka_conf_new(config, KAFKA_CONSUMER, "member", &conf, e))
        return -1;
    if (configure(conf, config, e)) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    struct membership *m = xcalloc(1, sizeof *m);
    *m = (struct membership){
        .config = config, .on_assignment = on_assignment, .arg = arg, .n = config->bridge.state_partitions};
    m->is_owned = xcalloc((size_t)m->n, sizeof *m->is_owned);
    rd_kafka_conf_set_opaque(conf, m);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    if (kafka_handle_new(conf, KAFKA_CONSUMER, &m->rk, e))
        goto fail;
    (void)rd_kafka_poll_set_consumer(m->rk);
    if (subscribe(m->rk, config->bridge.state_topic, e))
        goto fail;
    *ret = m;
    return 0;
fail:
    membership_free(m);
    return -1;
}

int membership_poll(struct membership *m, int timeout_ms, struct err *e)
{
    char text[256];
    int rc = 0;
    rd_kafka_message_t *msg = rd_kafka_consumer_poll(m->rk, timeout_ms);
    if (!msg)
        return 0;
    if (rd_kafka_fatal_error(m->rk, text, sizeof text))
        rc = err_set(e, ERR_FATAL, "group %s: %s", m->config->bridge.group_id, text);
    else if (msg->err && msg->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        (void)kafka_err(e, "group", msg->err);
        rc = err_wrap(e, "group %s", m->config->bridge.group_id);
    }
    rd_kafka_message_destroy(msg);
    return rc;
}

static void release(struct membership *m, int destroy_flags)
{
    if (!m)
        return;
    if (m->rk)
        rd_kafka_destroy_flags(m->rk, destroy_flags);
    free(m->is_owned);
    free(m);
}

void membership_abandon(struct membership *m)
{
    release(m, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void membership_free(struct membership *m)
{
    if (m && m->rk)
        (void)rd_kafka_consumer_close(m->rk);
    release(m, 0);
}
