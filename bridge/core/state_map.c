#include "state_map.h"

#include <stdint.h>

static uint64_t hash_of(const char *key)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 0x100000001b3u;
    return h;
}

void state_map_release(struct state_map *m)
{
    for (size_t i = 0; i < m->cap; i++) {
        free(m->entries[i].key);
        free(m->entries[i].value);
    }
    free(m->entries);
    *m = (struct state_map){0};
}

/* The place of `key`, or the free place where it would go. */
static struct state_entry *find(const struct state_map *m, const char *key)
{
    size_t i = hash_of(key) & (m->cap - 1);
    while (m->entries[i].key && strcmp(m->entries[i].key, key) != 0)
        i = (i + 1) & (m->cap - 1);
    return &m->entries[i];
}

static void grow(struct state_map *m)
{
    struct state_map bigger = {.cap = m->cap ? m->cap * 2 : 16, .n = m->n};
    bigger.entries = xcalloc(bigger.cap, sizeof *bigger.entries);
    for (size_t i = 0; i < m->cap; i++)
        if (m->entries[i].key)
            *find(&bigger, m->entries[i].key) = m->entries[i];
    free(m->entries);
    *m = bigger;
}

/* Takes an entry out and moves those behind it up, so that no search ends at the hole. */
static void remove_entry(struct state_map *m, struct state_entry *e)
{
    free(e->key);
    free(e->value);
    *e = (struct state_entry){0};
    m->n--;
    for (size_t i = (size_t)(e - m->entries + 1) & (m->cap - 1); m->entries[i].key;
         i = (i + 1) & (m->cap - 1)) {
        struct state_entry moved = m->entries[i];
        m->entries[i] = (struct state_entry){0};
        *find(m, moved.key) = moved;
    }
}

void state_map_set(struct state_map *m, const char *key, struct slice value)
{
    if ((m->n + 1) * 4 > m->cap * 3)
        grow(m);
    struct state_entry *e = find(m, key);
    if (!value.p) {
        if (e->key)
            remove_entry(m, e);
        return;
    }
    if (!e->key) {
        e->key = xstrdup(key);
        m->n++;
    }
    char *copy = xcalloc(value.len + 1, 1);
    memcpy(copy, value.p, value.len);
    free(e->value);
    e->value = copy;
    e->value_len = value.len;
}

struct slice state_map_get(const struct state_map *m, const char *key)
{
    if (!m->cap)
        return (struct slice){0};
    const struct state_entry *e = find(m, key);
    return (struct slice){e->value, e->value_len};
}

bool state_map_equal(const struct state_map *a, const struct state_map *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->cap; i++) {
        const struct state_entry *e = &a->entries[i];
        if (!e->key)
            continue;
        struct slice other = state_map_get(b, e->key);
        if (!other.p || other.len != e->value_len || memcmp(other.p, e->value, other.len) != 0)
            return false;
    }
    return true;
}

int state_partition_of(const char *listener, int n_partitions)
{
    return (int)(hash_of(listener) % (uint64_t)n_partitions);
}
