#include "kafka_mock.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mem.h"

enum { MAX_FD = 4096 };

struct kafka_mock {
    rd_kafka_t *rk; /* its threads run the cluster */
    rd_kafka_mock_cluster_t *cluster;
};

/* A real broker disables Nagle's algorithm; the mock has no option for it, and so a transaction takes 45 ms
 * of waiting for delayed ACKs instead of two. What is accepted inherits it from the socket that listens. */
static void disable_nagle(void)
{
    const int on = 1;
    for (int fd = 3, most = (int)sysconf(_SC_OPEN_MAX); fd < most && fd < MAX_FD; fd++)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* fails where it is none */
}

int kafka_mock_new(int brokers, struct kafka_mock **ret, struct err *e)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "log_level", "4", text, sizeof text); /* it warns that it has no servers */
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!rk) {
        rd_kafka_conf_destroy(conf);
        return err_set(e, ERR_FATAL, "mock cluster: %s", text);
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(rk, brokers);
    if (!cluster) {
        rd_kafka_destroy(rk);
        return err_set(e, ERR_FATAL, "mock cluster: %d brokers could not be started", brokers);
    }
    disable_nagle();
    *ret = xcalloc(1, sizeof **ret);
    **ret = (struct kafka_mock){rk, cluster};
    return 0;
}

void kafka_mock_free(struct kafka_mock *k)
{
    if (!k)
        return;
    rd_kafka_mock_cluster_destroy(k->cluster);
    rd_kafka_destroy(k->rk);
    free(k);
}

const char *kafka_mock_bootstrap(const struct kafka_mock *k)
{
    return rd_kafka_mock_cluster_bootstraps(k->cluster);
}

static int checked(rd_kafka_resp_err_t err, const char *what, struct err *e)
{
    return err ? err_set(e, ERR_BAD_INPUT, "%s: %s", what, rd_kafka_err2str(err)) : 0;
}

int kafka_mock_topic(struct kafka_mock *k, const char *name, int partitions, struct err *e)
{
    return checked(rd_kafka_mock_topic_create(k->cluster, name, partitions, 1), name, e);
}

int kafka_mock_set_up(struct kafka_mock *k, int broker, int is_up, struct err *e)
{
    int rc = checked(is_up ? rd_kafka_mock_broker_set_up(k->cluster, broker)
                           : rd_kafka_mock_broker_set_down(k->cluster, broker),
                     "broker", e);
    disable_nagle();
    return rc;
}

int kafka_mock_set_delay(struct kafka_mock *k, int broker, int ms, struct err *e)
{
    return checked(rd_kafka_mock_broker_set_rtt(k->cluster, broker, ms), "broker", e);
}
