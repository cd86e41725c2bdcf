/* Two configurations against each other, by the one table of options: what a reload may change and what it
 * would. Pure; any thread. */
#ifndef AB_APP_CONFIG_DIFF_H
#define AB_APP_CONFIG_DIFF_H

#include "config.h"

/* The first option outside the listeners in which they differ, "argilla.url"; NULL when there is none. Names
 * of librdkafka's properties come as "kafka.producer". The text is constant or in `ret`. */
const char *config_fixed_difference(const struct config *a, const struct config *b, char *ret, size_t size);

bool listener_config_same(const struct listener_config *a, const struct listener_config *b);

#endif
