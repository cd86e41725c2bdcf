/* Questions about topics and the group, and making topics: one plain handle for the whole process, never part
 * of a transaction. Calls block (bounded by their time-outs): workers and commands only. Any thread. */
#ifndef AB_KAFKA_TOPICS_H
#define AB_KAFKA_TOPICS_H

#include "config.h"
#include "err.h"

struct kafka_admin;
int kafka_admin_new(const struct config *config, struct kafka_admin **ret, struct err *e);
void kafka_admin_free(struct kafka_admin *a);

struct topic_spec {
    const char *name;
    int partitions, replication_factor; /* -1: the broker's default */
    const char *cleanup_policy;
    int64_t retention_ms; /* 0: the broker's default */
    bool is_state; /* small segments, so that what is superseded can be cleaned and a restore stays short */
};
struct topic_info {
    int partitions;
    int64_t max_message_bytes;
    bool has_config; /* the broker told: without the right to ask, what follows is unknown */
    bool is_compacted;
    int64_t segment_bytes; /* 0 when the broker doesn't tell */
};

/* Looks a topic up, makes it when it is missing and `create` is set. -1: RETRY when Kafka can't be asked now,
 * CONFIG when the topic is missing or can't be made as wished, AUTH without the right. */
int kafka_admin_topic(struct kafka_admin *a, const struct topic_spec *spec, bool create,
                      struct topic_info *ret, struct err *e);

/* Is any broker there? 0, or -1 RETRY after at most `timeout_ms`. */
int kafka_admin_ping(struct kafka_admin *a, int timeout_ms, struct err *e);

/* The number of members of the bridge's group now; -1 RETRY. */
int kafka_admin_group_members(struct kafka_admin *a, int *ret, struct err *e);

#endif
