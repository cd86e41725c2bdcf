/* What a state partition holds, in memory: key -> value, the latest of each key. Pure; its owner's lock
 * protects it. */
#ifndef AB_CORE_STATE_MAP_H
#define AB_CORE_STATE_MAP_H

#include "mem.h"

struct state_entry {
    char *key; /* NULL: a free place */
    char *value;
    size_t value_len;
};
struct state_map {
    struct state_entry *entries;
    size_t n, cap; /* cap is 0 or a power of two, at most 3/4 full */
};

void state_map_release(struct state_map *m);
/* Copies both. A value with p == NULL removes the key (a tombstone). */
void state_map_set(struct state_map *m, const char *key, struct slice value);
/* The value, p == NULL when there is none; valid until the next set. */
struct slice state_map_get(const struct state_map *m, const char *key);
bool state_map_equal(const struct state_map *a, const struct state_map *b);

/* The state partition that a listener belongs to: a hash of its name, the same for ever (FNV-1a, 64 bits). */
int state_partition_of(const char *listener, int n_partitions);

#endif
