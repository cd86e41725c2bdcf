/* librdkafka's mock cluster. Any thread: the cluster locks itself. */
#ifndef SIM_KAFKA_MOCK_H
#define SIM_KAFKA_MOCK_H

#include "err.h"

struct kafka_mock;
int kafka_mock_new(int brokers, struct kafka_mock **ret, struct err *e);
void kafka_mock_free(struct kafka_mock *k);
/* The bootstrap list; it lives as long as the cluster. */
const char *kafka_mock_bootstrap(const struct kafka_mock *k);
/* The mock answers no CreateTopics: topics are made here. */
int kafka_mock_topic(struct kafka_mock *k, const char *name, int partitions, struct err *e);
/* Takes a broker (1..) away or brings it back; delays what it answers. */
int kafka_mock_set_up(struct kafka_mock *k, int broker, int is_up, struct err *e);
int kafka_mock_set_delay(struct kafka_mock *k, int broker, int ms, struct err *e);

#endif
