#include "membership.h"

#include <librdkafka/rdkafka.h>

#include "client.h"
#include "mem.h"

enum { SEEK_MS = 1000 };

struct membership {
    const struct config *config;
    rd_kafka_t *rk;
    on_assignment_fn *on_assignment;
    on_command_fn *on_command; /* NULL: without commands */
    void *arg;
    bool *is_owned, *has_commands;
    int n;
};

/* Paused, and without committed offsets to look up. */
static void start_anywhere(const struct membership *m, rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        bool is_state = strcmp(list->elems[i].topic, m->config->bridge.state_topic) == 0;
        list->elems[i].offset = is_state ? RD_KAFKA_OFFSET_END : 0;
    }
}

static void note_assigned(struct membership *m, const rd_kafka_topic_partition_list_t *list)
{
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *p = &list->elems[i];
        bool *has = strcmp(p->topic, m->config->bridge.state_topic) == 0 ? m->is_owned : m->has_commands;
        if (p->partition >= 0 && p->partition < m->n)
            has[p->partition] = true;
    }
}

/* Inside rd_kafka_consumer_poll. Never waits: a commit in flight may end or be fenced, both are right. */
static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t err, rd_kafka_topic_partition_list_t *list,
                         void *opaque)
{
    struct membership *m = opaque;
    memset(m->is_owned, 0, (size_t)m->n * sizeof *m->is_owned);
    memset(m->has_commands, 0, (size_t)m->n * sizeof *m->has_commands);
    if (err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
        start_anywhere(m, list);
        (void)rd_kafka_assign(rk, list);
        (void)rd_kafka_pause_partitions(rk, list);
        note_assigned(m, list);
        m->on_assignment(m->arg, m->is_owned, m->n, true);
    } else {
        m->on_assignment(m->arg, m->is_owned, m->n, false);
        (void)rd_kafka_assign(rk, NULL);
    }
}

static int configure(rd_kafka_conf_t *conf, const struct config *config, struct err *e)
{
    const char *const own[][2] = {
        {"group.id", config->bridge.group_id}, {"enable.auto.commit", "false"},
        {"auto.offset.reset", "earliest"}, /* commands: the oldest that is kept */
        {"fetch.wait.max.ms", "500"},      /* it answers as soon as there is one; idle, it costs CPU */
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

static int subscribe(struct membership *m, struct err *e)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(2);
    (void)rd_kafka_topic_partition_list_add(list, m->config->bridge.state_topic, RD_KAFKA_PARTITION_UA);
    if (m->on_command)
        (void)rd_kafka_topic_partition_list_add(list, m->config->bridge.commands_topic,
                                                RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t err = rd_kafka_subscribe(m->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err ? kafka_err(e, "subscribe", err) : 0;
}

int membership_new(const struct config *config, on_assignment_fn *on_assignment, void *arg,
                   struct membership **ret, struct err *e)
{
    return membership_new_with_commands(config, on_assignment, NULL, arg, ret, e);
}

int membership_new_with_commands(const struct config *config, on_assignment_fn *on_assignment,
                                 on_command_fn *on_command, void *arg, struct membership **ret, struct err *e)
{
    rd_kafka_conf_t *conf;
    if (kafka_conf_new(config, KAFKA_CONSUMER, "member", &conf, e))
        return -1;
    if (configure(conf, config, e)) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    struct membership *m = xcalloc(1, sizeof *m);
    *m = (struct membership){.config = config,
                             .on_assignment = on_assignment,
                             .on_command = on_command,
                             .arg = arg,
                             .n = config->bridge.state_partitions};
    m->is_owned = xcalloc((size_t)m->n, sizeof *m->is_owned);
    m->has_commands = xcalloc((size_t)m->n, sizeof *m->has_commands);
    rd_kafka_conf_set_opaque(conf, m);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    if (kafka_handle_new(conf, KAFKA_CONSUMER, &m->rk, e))
        goto fail;
    (void)rd_kafka_poll_set_consumer(m->rk);
    if (subscribe(m, e))
        goto fail;
    *ret = m;
    return 0;
fail:
    membership_free(m);
    return -1;
}

bool membership_has_commands(const struct membership *m, int partition)
{
    return m->has_commands[partition];
}

static rd_kafka_topic_partition_list_t *commands_list(const struct membership *m, int partition)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    (void)rd_kafka_topic_partition_list_add(list, m->config->bridge.commands_topic, partition);
    return list;
}

int membership_read_commands(struct membership *m, int partition, int64_t offset, struct err *e)
{
    rd_kafka_topic_partition_list_t *list = commands_list(m, partition);
    list->elems[0].offset = offset;
    rd_kafka_error_t *error = rd_kafka_seek_partitions(m->rk, list, SEEK_MS);
    rd_kafka_resp_err_t err = error ? rd_kafka_error_code(error) : list->elems[0].err;
    if (error)
        rd_kafka_error_destroy(error);
    if (!err)
        (void)rd_kafka_resume_partitions(m->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return err ? kafka_err(e, "seek", err) : 0;
}

static void take_command(struct membership *m, const rd_kafka_message_t *msg)
{
    if (!m->on_command || strcmp(rd_kafka_topic_name(msg->rkt), m->config->bridge.commands_topic) != 0 ||
        msg->partition < 0 || msg->partition >= m->n)
        return;
    if (m->on_command(m->arg, msg->partition, msg->offset,
                      (struct slice){msg->payload, msg->payload ? msg->len : 0}))
        return;
    rd_kafka_topic_partition_list_t *list = commands_list(m, msg->partition);
    (void)rd_kafka_pause_partitions(m->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
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
    } else if (!msg->err) {
        take_command(m, msg);
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
    free(m->has_commands);
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
