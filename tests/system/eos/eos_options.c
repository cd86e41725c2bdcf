#include "eos_options.h"

#include <stdio.h>

#include "mem.h"

struct place {
    const char *name;
    const char **text; /* one of both */
    int *number;
};

static int set_number(const char *name, const char *value, int *ret)
{
    char *end;
    long n = strtol(value, &end, 10);
    if (!*value || *end || n < 0 || n > 1000000000) {
        (void)fprintf(stderr, "%s: not a number\n", name);
        return -1;
    }
    *ret = (int)n;
    return 0;
}

static int set_producer(struct options *o, char *name, char *value)
{
    if (o->n_producer == PRODUCER_PROPERTIES_MAX) {
        (void)fprintf(stderr, "producer.%s: too many\n", name);
        return -1;
    }
    o->producer[o->n_producer++] = (struct kafka_property){.name = name, .value = value};
    return 0;
}

static int set(struct options *o, char *name, char *value)
{
    static const char producer[] = "producer.";
    const struct place places[] = {
        {"bootstrap", &o->bootstrap, NULL},
        {"group", &o->group, NULL},
        {"instance_id", &o->instance_id, NULL},
        {"state_topic", &o->state_topic, NULL},
        {"data_topic", &o->data_topic, NULL},
        {"odd_topic", &o->odd_topic, NULL},
        {"name", &o->name, NULL},
        {"hold", &o->hold, NULL},
        {"partitions", NULL, &o->partitions},
        {"workers", NULL, &o->workers},
        {"listeners", NULL, &o->listeners},
        {"min_messages", NULL, &o->min_messages},
        {"max_messages", NULL, &o->max_messages},
        {"value_bytes", NULL, &o->value_bytes},
        {"odd_value_bytes", NULL, &o->odd_value_bytes},
        {"state_bytes", NULL, &o->state_bytes},
        {"limit_batch", NULL, &o->limit_batch},
        {"session_ms", NULL, &o->session_ms},
        {"pause_ms", NULL, &o->pause_ms},
        {"stop_grace_ms", NULL, &o->stop_grace_ms},
        {"chunks", NULL, &o->chunks},
        {"assume", NULL, &o->assume},
        {"keep_handle", NULL, &o->keep_handle},
    };
    if (strncmp(name, producer, sizeof producer - 1) == 0)
        return set_producer(o, name + sizeof producer - 1, value);
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        if (strcmp(name, places[i].name) != 0)
            continue;
        if (places[i].number)
            return set_number(name, value, places[i].number);
        *places[i].text = value;
        return 0;
    }
    (void)fprintf(stderr, "%s: unknown option\n", name);
    return -1;
}

int options_read(struct options *o, int argc, char **argv)
{
    *o = (struct options){.name = "driver",
                          .hold = "",
                          .partitions = 4,
                          .workers = 4,
                          .listeners = 4,
                          .min_messages = 1,
                          .max_messages = 5,
                          .session_ms = 3000,
                          .stop_grace_ms = 10000};
    for (int i = 1; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals) {
            (void)fprintf(stderr, "%s: not key=value\n", argv[i]);
            return -1;
        }
        *equals = '\0';
        if (set(o, argv[i], equals + 1))
            return -1;
    }
    if (!o->bootstrap || !o->group || !o->state_topic || !o->data_topic || o->partitions < 1 ||
        o->workers < 1 || o->listeners < 1 || o->min_messages < 1 || o->max_messages < o->min_messages) {
        (void)fprintf(stderr, "bootstrap, group, state_topic and data_topic are needed; numbers from 1\n");
        return -1;
    }
    return 0;
}

struct config options_config(struct options *o, struct kafka_property common[COMMON_PROPERTIES],
                             struct kafka_property consumer[CONSUMER_PROPERTIES], char session[NUMBER_SIZE])
{
    (void)snprintf(session, NUMBER_SIZE, "%d", o->session_ms);
    common[0] = (struct kafka_property){.name = "bootstrap.servers", .value = (char *)o->bootstrap};
    consumer[0] = (struct kafka_property){.name = "session.timeout.ms", .value = session};
    consumer[1] = (struct kafka_property){.name = "heartbeat.interval.ms", .value = "500"};
    return (struct config){
        .kafka = {.common = {common, COMMON_PROPERTIES},
                  .producer = {o->producer, (size_t)o->n_producer},
                  .consumer = {consumer, CONSUMER_PROPERTIES}},
        .bridge = {.group_id = (char *)o->group,
                   .instance_id = (char *)o->instance_id,
                   .state_topic = (char *)o->state_topic,
                   .state_partitions = o->partitions,
                   .create_topics = true,
                   .topic_partitions = -1,
                   .topic_replication_factor = -1},
    };
}
