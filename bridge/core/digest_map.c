#include "digest_map.h"

#include "mem.h"

enum { CAP_FIRST = 16 };
static const uint64_t seen_bit = 1ull << 63;

void digest_map_release(struct digest_map *m)
{
    free(m->entries);
    *m = (struct digest_map){0};
}

/* The place of `id`, or the free place where it would go. */
static struct digest_entry *find(const struct digest_map *m, uint64_t id)
{
    size_t i = id & (m->cap - 1);
    while (m->entries[i].id && m->entries[i].id != id)
        i = (i + 1) & (m->cap - 1);
    return &m->entries[i];
}

static void grow(struct digest_map *m)
{
    struct digest_map bigger = {.cap = m->cap ? m->cap * 2 : CAP_FIRST, .n = m->n};
    bigger.entries = xcalloc(bigger.cap, sizeof *bigger.entries);
    for (size_t i = 0; i < m->cap; i++)
        if (m->entries[i].id)
            *find(&bigger, m->entries[i].id) = m->entries[i];
    free(m->entries);
    *m = bigger;
}

void digest_map_put(struct digest_map *m, uint64_t id, uint64_t digest)
{
    if ((m->n + 1) * 4 > m->cap * 3)
        grow(m);
    struct digest_entry *e = find(m, id);
    m->n += e->id == 0;
    *e = (struct digest_entry){id, digest | seen_bit};
}

bool digest_map_get(const struct digest_map *m, uint64_t id, uint64_t *ret_digest)
{
    const struct digest_entry *e = m->cap ? find(m, id) : NULL;
    if (!e || !e->id)
        return false;
    *ret_digest = e->word & ~seen_bit;
    return true;
}

/* What stands behind the hole moves up, so that no search ends there. */
void digest_map_remove(struct digest_map *m, uint64_t id)
{
    struct digest_entry *e = m->cap ? find(m, id) : NULL;
    if (!e || !e->id)
        return;
    *e = (struct digest_entry){0};
    m->n--;
    for (size_t i = (size_t)(e - m->entries + 1) & (m->cap - 1); m->entries[i].id;
         i = (i + 1) & (m->cap - 1)) {
        struct digest_entry moved = m->entries[i];
        m->entries[i] = (struct digest_entry){0};
        *find(m, moved.id) = moved;
    }
}

void digest_map_clear_seen(struct digest_map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        m->entries[i].word &= ~seen_bit;
}

bool digest_map_see(struct digest_map *m, uint64_t id)
{
    struct digest_entry *e = m->cap ? find(m, id) : NULL;
    if (!e || !e->id || (e->word & seen_bit))
        return false;
    e->word |= seen_bit;
    return true;
}

size_t digest_map_unseen(const struct digest_map *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->cap; i++)
        n += m->entries[i].id && !(m->entries[i].word & seen_bit);
    return n;
}

bool digest_map_equal(const struct digest_map *a, const struct digest_map *b)
{
    uint64_t other;
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->cap; i++) {
        const struct digest_entry *e = &a->entries[i];
        if (e->id && (!digest_map_get(b, e->id, &other) || other != (e->word & ~seen_bit)))
            return false;
    }
    return true;
}
