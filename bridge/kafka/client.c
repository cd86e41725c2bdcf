#include "client.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>

#include "buf.h"
#include "near.h"

struct default_property {
    const char *name, *value;
};

/* Measured against Apache Kafka 4.3 with librdkafka 2.0.2 (docs/kafka.md tells each number). */
static const struct default_property common_defaults[] = {
    {"client.id", "argilla-bridge"},     {"reconnect.backoff.ms", "50"},
    {"reconnect.backoff.max.ms", "500"}, /* the default 10 s is added to every broker restart */
    {"socket.timeout.ms", "4000"},       /* a broker that hangs is left after 4 s, not 60 */
    {"socket.nagle.disable", "true"},    {"log.connection.close", "false"},
};
static const struct default_property producer_defaults[] = {
    {"retry.backoff.ms", "10"}, /* AddPartitions meets CONCURRENT_TRANSACTIONS: the default waits 100 ms */
    {"transaction.timeout.ms", "15000"},
    {"message.timeout.ms", "12000"}, /* below transaction.timeout.ms */
    {"topic.metadata.propagation.max.ms", "3000"},
    {"linger.ms", "20"},
    {"compression.type", "lz4"},
    {"partitioner", "murmur2_random"}, /* as the Java client: one key, one partition, whoever produces */
};
static const struct default_property consumer_defaults[] = {
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "1000"},
    {"partition.assignment.strategy", "range"}, /* cooperative-sticky in 2.0.2 loses assignments */
    {"queued.max.messages.kbytes", "4096"},
    {"fetch.wait.max.ms", "100"},
};

static void to_dots(const char *name, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s", name);
    for (char *p = ret; *p; p++)
        if (*p == '_')
            *p = '.';
}

int kafka_property_check(enum kafka_role role, const char *name, const char *value, char *ret_name,
                         size_t ret_size, struct err *e)
{
    (void)role; /* librdkafka takes a producer's property on a consumer and ignores it */
    char dotted[128], text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    to_dots(name, dotted, sizeof dotted);
    const char *found = name;
    rd_kafka_conf_res_t res = rd_kafka_conf_set(conf, name, value, text, sizeof text);
    if (res == RD_KAFKA_CONF_UNKNOWN) {
        found = dotted;
        res = rd_kafka_conf_set(conf, dotted, value, text, sizeof text);
    }
    rd_kafka_conf_destroy(conf);
    if (res == RD_KAFKA_CONF_UNKNOWN)
        return err_set(e, ERR_CONFIG, "%s: unknown property", name);
    if (res != RD_KAFKA_CONF_OK)
        return err_set(e, ERR_CONFIG, "%s: %s", found, text);
    (void)snprintf(ret_name, ret_size, "%s", found);
    return 0;
}

const char *kafka_property_nearest(const char *name)
{
    static _Thread_local char nearest[128];
    char dotted[128];
    size_t n = 0;
    to_dots(name, dotted, sizeof dotted);
    struct near near = {.name = dotted};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    const char **all = rd_kafka_conf_dump(conf, &n);
    for (size_t i = 0; i + 1 < n; i += 2)
        near_try(&near, all[i]);
    (void)snprintf(nearest, sizeof nearest, "%s", near.best ? near.best : "");
    rd_kafka_conf_dump_free(all, n);
    rd_kafka_conf_destroy(conf);
    return nearest[0] ? nearest : NULL;
}

int kafka_conf_set(struct rd_kafka_conf_s *conf, const char *name, const char *value, struct err *e)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        return err_set(e, ERR_CONFIG, "kafka: %s: %s", name, text);
    return 0;
}

static int set_defaults(rd_kafka_conf_t *conf, const struct default_property *d, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (kafka_conf_set(conf, d[i].name, d[i].value, e))
            return -1;
    return 0;
}

static int set_users(rd_kafka_conf_t *conf, const struct kafka_properties *p, struct err *e)
{
    for (size_t i = 0; i < p->n; i++)
        if (kafka_conf_set(conf, p->items[i].name, p->items[i].value, e))
            return -1;
    return 0;
}

/* librdkafka's own log would repeat each failed connection; what matters reaches us as errors of calls and
 * events. */
static void log_nothing(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk, (void)level, (void)facility, (void)text;
}

static int set_client_id(rd_kafka_conf_t *conf, const char *suffix, struct err *e)
{
    char id[256];
    size_t size = sizeof id;
    if (!suffix || rd_kafka_conf_get(conf, "client.id", id, &size) != RD_KAFKA_CONF_OK)
        return 0;
    cleanup_free char *full = xasprintf("%s-%s", id, suffix);
    return kafka_conf_set(conf, "client.id", full, e);
}

int kafka_conf_new(const struct config *config, enum kafka_role role, const char *client_suffix,
                   struct rd_kafka_conf_s **ret, struct err *e)
{
    const struct kafka_config *k = &config->kafka;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, log_nothing);
    if (set_defaults(conf, common_defaults, ARRAY_LEN(common_defaults), e))
        goto fail;
    if (role == KAFKA_PRODUCER && set_defaults(conf, producer_defaults, ARRAY_LEN(producer_defaults), e))
        goto fail;
    if (role == KAFKA_CONSUMER && set_defaults(conf, consumer_defaults, ARRAY_LEN(consumer_defaults), e))
        goto fail;
    if (set_users(conf, &k->common, e))
        goto fail;
    if (role == KAFKA_PRODUCER && set_users(conf, &k->producer, e))
        goto fail;
    if (role == KAFKA_CONSUMER && set_users(conf, &k->consumer, e))
        goto fail;
    if (set_client_id(conf, client_suffix, e))
        goto fail;
    *ret = conf;
    return 0;
fail:
    rd_kafka_conf_destroy(conf);
    return -1;
}

int kafka_handle_new(struct rd_kafka_conf_s *conf, enum kafka_role role, struct rd_kafka_s **ret,
                     struct err *e)
{
    char text[256];
    rd_kafka_t *rk =
        rd_kafka_new(role == KAFKA_CONSUMER ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!rk) {
        rd_kafka_conf_destroy(conf); /* rd_kafka_new takes it only when it succeeds */
        return err_set(e, ERR_CONFIG, "kafka: %s", text);
    }
    *ret = rk;
    return 0;
}

static int try_handle(const struct config *config, enum kafka_role role, const char *own, const char *value,
                      struct err *e)
{
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;
    if (kafka_conf_new(config, role, NULL, &conf, e))
        return -1;
    if (kafka_conf_set(conf, own, value, e)) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    /* a handle connects at once: nothing may leave this machine because of `check` */
    (void)rd_kafka_conf_set(conf, "bootstrap.servers", "", NULL, 0);
    if (kafka_handle_new(conf, role, &rk, e))
        return -1;
    rd_kafka_destroy(rk);
    return 0;
}

int kafka_config_check(const struct config *config, struct err *e)
{
    if (try_handle(config, KAFKA_PRODUCER, "transactional.id", config->bridge.group_id, e))
        return err_wrap(e, "producer");
    if (try_handle(config, KAFKA_CONSUMER, "group.id", config->bridge.group_id, e))
        return err_wrap(e, "consumer");
    return 0;
}

int64_t kafka_message_max_bytes(const struct config *config)
{
    rd_kafka_conf_t *conf;
    char text[32] = "1000000";
    size_t size = sizeof text;
    if (kafka_conf_new(config, KAFKA_PRODUCER, NULL, &conf, NULL))
        return 1000000;
    (void)rd_kafka_conf_get(conf, "message.max.bytes", text, &size);
    rd_kafka_conf_destroy(conf);
    return strtoll(text, NULL, 10);
}

static enum err_class class_of(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
        return ERR_AUTH;
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR_INVALID_MSG:
        return ERR_BAD_INPUT;
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
    case RD_KAFKA_RESP_ERR_INVALID_PARTITIONS:
    case RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT:
    case RD_KAFKA_RESP_ERR_POLICY_VIOLATION:
    case RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE: /* the broker doesn't know the request */
        return ERR_CONFIG;
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__FENCED:
        return ERR_FATAL;
    default:
        return ERR_RETRY;
    }
}

int kafka_err(struct err *e, const char *operation, int resp_err)
{
    rd_kafka_resp_err_t code = (rd_kafka_resp_err_t)resp_err;
    return err_set(e, class_of(code), "%s: %s (%s)", operation, rd_kafka_err2str(code),
                   rd_kafka_err2name(code));
}

int kafka_err_take(struct err *e, const char *operation, struct rd_kafka_error_s *error)
{
    enum err_class class = rd_kafka_error_is_fatal(error)             ? ERR_FATAL
                           : rd_kafka_error_txn_requires_abort(error) ? ERR_ABORT_TXN
                           : rd_kafka_error_is_retriable(error)       ? ERR_RETRY
                                                                      : ERR_FATAL;
    if (class == ERR_FATAL && class_of(rd_kafka_error_code(error)) == ERR_AUTH)
        class = ERR_AUTH;
    (void)err_set(e, class, "%s: %s (%s)", operation, rd_kafka_error_string(error),
                  rd_kafka_error_name(error));
    rd_kafka_error_destroy(error);
    return -1;
}
