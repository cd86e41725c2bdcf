/* A state partition's content in memory. Two kinds of keys:
 *  - `digest/NAME/GENERATION/ID`: which version of a record the listener NAME has published, in the
 * generation that its last `reset` began; ID is the id's text and may hold any byte. 16 hex digits. Of these
 * only hash -> digest is kept, in a map for each (NAME, GENERATION): whoever needs the ids reads the
 * partition (state_reader.h).
 *  - all others: short text, kept as they are.
 * Pure; its owner's lock protects it. */
#ifndef AB_KAFKA_PARTITION_STATE_H
#define AB_KAFKA_PARTITION_STATE_H

#include "digest_map.h"
#include "state_map.h"

struct digest_set {
    char *name;
    int64_t generation;
    struct digest_map map;
};
struct partition_state {
    struct state_map map;
    struct digest_set *sets; /* never empty ones, except when all of theirs was removed */
    size_t n_sets, last;     /* last: the one that was used last, a guess for the next key */
};

/* A key's parts; slices of it. */
struct digest_key {
    struct slice name, id;
    int64_t generation;
};
/* False when `key` isn't a digest's. */
bool digest_key_parse(struct slice key, struct digest_key *ret);

void partition_state_release(struct partition_state *s);
/* A value with p == NULL removes the key. What no argilla-bridge has written is ignored. */
void partition_state_set(struct partition_state *s, struct slice key, struct slice value);
/* By content; which records a reconcile has seen doesn't matter. */
bool partition_state_equal(const struct partition_state *a, const struct partition_state *b);
/* NULL when nothing of that generation is tracked. */
struct digest_map *partition_state_digests(const struct partition_state *s, const char *name,
                                           int64_t generation);
/* Digests of `name` in other generations than this one. */
size_t partition_state_n_old(const struct partition_state *s, const char *name, int64_t generation);

#endif
