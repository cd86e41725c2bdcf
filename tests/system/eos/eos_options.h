/* The options of eos_driver: key=value words. Written once by main before any thread starts; strings belong
 * to argv. */
#ifndef AB_EOS_OPTIONS_H
#define AB_EOS_OPTIONS_H

#include "config.h"

enum { PRODUCER_PROPERTIES_MAX = 8 };

struct options {
    const char *bootstrap, *group, *instance_id, *state_topic, *data_topic;
    const char *name;      /* of this process, in each message */
    const char *hold;      /* the first place to hold at: "fenced" or "before_commit" */
    const char *odd_topic; /* where the first listener of each partition writes instead */
    int partitions, workers;
    int listeners;    /* per partition */
    int max_messages; /* a chunk has 1 to so many */
    int min_messages;
    int value_bytes, odd_value_bytes, state_bytes; /* padded to; 0: as short as it is */
    int limit_batch;                               /* partition_limit_batch; 0: not called */
    int session_ms, pause_ms, stop_grace_ms;
    int chunks;      /* stop after so many committed ones; 0: at SIGTERM or the end of standard input */
    int assume;      /* own all partitions without asking the group */
    int keep_handle; /* without the rule about lost sockets */
    struct kafka_property producer[PRODUCER_PROPERTIES_MAX];
    int n_producer;
};

/* 0, or -1 after a line to standard error. "producer.NAME=VALUE" gives a librdkafka property. */
int options_read(struct options *o, int argc, char **argv);

/* The part of a config that bridge/kafka needs. Points into `o` and `common`, `consumer`, which must outlive
 * it. */
enum { COMMON_PROPERTIES = 1, CONSUMER_PROPERTIES = 2, NUMBER_SIZE = 16 };
struct config options_config(struct options *o, struct kafka_property common[COMMON_PROPERTIES],
                             struct kafka_property consumer[CONSUMER_PROPERTIES], char session[NUMBER_SIZE]);

#endif
