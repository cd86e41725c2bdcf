/* librdkafka's properties in the config file. What librdkafka knows of them is asked through kafka/client.h;
 * this is the list of those that are not the user's to set. The list is constant; any thread. */
#ifndef AB_APP_CONFIG_KAFKA_H
#define AB_APP_CONFIG_KAFKA_H

#include <stddef.h>

struct config_kafka_owned {
    const char *name; /* with dots */
    const char *why;  /* what the bridge does with it; Markdown */
};
const struct config_kafka_owned *config_kafka_owned(size_t *ret_n);

#endif
