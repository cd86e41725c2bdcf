/* Which version of which record is known: hash of the id -> digest of the version and a "seen" bit for the
 * reconcile under way. 16 bytes an entry, at most 3/4 full, so at most 43 bytes a record. Ids aren't here:
 * the state partition has them. Two ids of one listener that share a hash would be taken for one: with a
 * million records the chance is 3 in 10^8. Pure; its owner's lock protects it. */
#ifndef AB_CORE_DIGEST_MAP_H
#define AB_CORE_DIGEST_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct digest_entry {
    uint64_t id;   /* digest_id: never 0, which marks a free place */
    uint64_t word; /* the digest, and the seen bit */
};
struct digest_map {
    struct digest_entry *entries;
    size_t n, cap; /* cap is 0 or a power of two */
};

void digest_map_release(struct digest_map *m);
/* Sets the digest (63 bits) of an id, seen. */
void digest_map_put(struct digest_map *m, uint64_t id, uint64_t digest);
/* False when it isn't there. */
bool digest_map_get(const struct digest_map *m, uint64_t id, uint64_t *ret_digest);
void digest_map_remove(struct digest_map *m, uint64_t id);

void digest_map_clear_seen(struct digest_map *m);
/* Marks an id that is there as seen. True when it was there and not seen before. */
bool digest_map_see(struct digest_map *m, uint64_t id);
size_t digest_map_unseen(const struct digest_map *m);

/* The same ids with the same digests? Seen bits don't matter. */
bool digest_map_equal(const struct digest_map *a, const struct digest_map *b);

#endif
