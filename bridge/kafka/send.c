#include "send.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>

#include "client.h"

enum { GRACE_MS = 200 }; /* what has timed out is told then, with its cause */

struct delivery {
    bool is_told;
    rd_kafka_resp_err_t err;
};

/* Inside rd_kafka_flush. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    (void)rk, (void)opaque;
    *(struct delivery *)m->_private = (struct delivery){true, m->err};
}

static int producer_new(const struct config *config, int timeout_ms, rd_kafka_t **ret, struct err *e)
{
    rd_kafka_conf_t *conf;
    char ms[32];
    (void)snprintf(ms, sizeof ms, "%d", timeout_ms);
    if (kafka_conf_new(config, KAFKA_PRODUCER, "command", &conf, e))
        return -1;
    const char *const own[][2] = {
        {"enable.idempotence", "true"}, {"message.timeout.ms", ms}, {"linger.ms", "0"}};
    for (size_t i = 0; i < ARRAY_LEN(own); i++) {
        if (kafka_conf_set(conf, own[i][0], own[i][1], e)) {
            rd_kafka_conf_destroy(conf);
            return -1;
        }
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    return kafka_handle_new(conf, KAFKA_PRODUCER, ret, e);
}

int kafka_send(const struct config *config, const char *topic, int partition, struct slice key,
               struct slice value, int timeout_ms, struct err *e)
{
    rd_kafka_t *rk;
    struct delivery d = {0};
    if (producer_new(config, timeout_ms, &rk, e))
        return -1;
    rd_kafka_resp_err_t err =
        rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                          RD_KAFKA_V_KEY(key.p, key.len), RD_KAFKA_V_VALUE((void *)value.p, value.len),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(&d), RD_KAFKA_V_END);
    if (!err) {
        (void)rd_kafka_flush(rk, timeout_ms + GRACE_MS);
        err = d.is_told ? d.err : RD_KAFKA_RESP_ERR__MSG_TIMED_OUT;
    }
    rd_kafka_destroy(rk);
    return err ? kafka_err(e, "send", (int)err) : 0;
}
