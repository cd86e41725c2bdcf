#include "arena.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

enum { BLOCK_BYTES = 16384 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    max_align_t data[];
};

void arena_release(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *next = a->blocks->next;
        free(a->blocks);
        a->blocks = next;
    }
    a->used = 0;
}

void arena_clear(struct arena *a)
{
    if (!a->blocks)
        return;
    struct arena keep = {.blocks = a->blocks};
    struct arena old = {.blocks = a->blocks->next};
    keep.blocks->next = NULL;
    arena_release(&old);
    *a = keep;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    if (!a->blocks || a->blocks->size - a->used < size) {
        size_t room = size > BLOCK_BYTES ? size : BLOCK_BYTES;
        struct arena_block *b = xrealloc(NULL, sizeof *b + room);
        b->size = room;
        b->next = a->blocks;
        a->blocks = b;
        a->used = 0;
    }
    char *p = (char *)a->blocks->data + a->used;
    a->used += size;
    return p;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.len + 1);
    memcpy(p, s.p, s.len);
    p[s.len] = '\0';
    return (struct slice){p, s.len};
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
    char small[512];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof small)
        return arena_copy(a, (struct slice){small, (size_t)n});
    char *p = arena_alloc(a, (size_t)n + 1);
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return (struct slice){p, (size_t)n};
}
