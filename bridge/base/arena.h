/* Memory that goes all at once: the small strings of one chunk or one run. Allocations don't move and are
 * freed together. One thread at a time. */
#ifndef AB_BASE_ARENA_H
#define AB_BASE_ARENA_H

#include "mem.h"

struct arena_block;
struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used;                /* of the newest */
};

void arena_release(struct arena *a);
/* Empties it and keeps its newest block. */
void arena_clear(struct arena *a);
/* Aligned for any type; not zeroed; never NULL. */
void *arena_alloc(struct arena *a, size_t size);
struct slice arena_copy(struct arena *a, struct slice s);
struct slice arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
