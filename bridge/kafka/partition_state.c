#include "partition_state.h"

#include "digest.h"

enum { KEY_LIMIT = 1024, GENERATION_DIGITS = 18 };
static const char digest_prefix[] = "digest/";

bool digest_key_parse(struct slice key, struct digest_key *ret)
{
    const size_t prefix = sizeof digest_prefix - 1;
    const char *end = key.p + key.len;
    if (key.len < prefix || memcmp(key.p, digest_prefix, prefix) != 0)
        return false;
    const char *name = key.p + prefix, *slash = memchr(name, '/', (size_t)(end - name)),
               *p = slash ? slash + 1 : end;
    int64_t generation = 0;
    for (; p < end && *p >= '0' && *p <= '9' && p - slash <= GENERATION_DIGITS; p++)
        generation = generation * 10 + (*p - '0');
    if (!slash || slash == name || p == slash + 1 || p == end || *p != '/')
        return false;
    *ret = (struct digest_key){{name, (size_t)(slash - name)}, {p + 1, (size_t)(end - p - 1)}, generation};
    return true;
}

void partition_state_release(struct partition_state *s)
{
    state_map_release(&s->map);
    for (size_t i = 0; i < s->n_sets; i++) {
        digest_map_release(&s->sets[i].map);
        free(s->sets[i].name);
    }
    free(s->sets);
    *s = (struct partition_state){0};
}

static struct digest_set *find(const struct partition_state *s, struct slice name, int64_t generation)
{
    for (size_t i = 0; i < s->n_sets; i++) {
        struct digest_set *set = &s->sets[(s->last + i) % s->n_sets];
        if (set->generation == generation && slice_eq(name, set->name))
            return set;
    }
    return NULL;
}

static void set_digest(struct partition_state *s, const struct digest_key *key, struct slice value)
{
    struct digest_set *set = find(s, key->name, key->generation);
    uint64_t digest;
    if (!value.p) {
        if (set)
            digest_map_remove(&set->map, digest_id(key->id));
        if (set && set->map.n == 0)
            digest_map_release(&set->map);
        return;
    }
    if (digest_read(value, &digest))
        return;
    if (!set) {
        s->sets = xrealloc(s->sets, (s->n_sets + 1) * sizeof *s->sets);
        set = &s->sets[s->n_sets++];
        *set =
            (struct digest_set){.name = xstrndup(key->name.p, key->name.len), .generation = key->generation};
    }
    s->last = (size_t)(set - s->sets);
    digest_map_put(&set->map, digest_id(key->id), digest);
}

void partition_state_set(struct partition_state *s, struct slice key, struct slice value)
{
    char text[KEY_LIMIT];
    struct digest_key digest;
    if (digest_key_parse(key, &digest)) {
        set_digest(s, &digest, value);
        return;
    }
    if (!key.p || key.len >= sizeof text || memchr(key.p, 0, key.len))
        return; /* not ours: our other keys are short text */
    memcpy(text, key.p, key.len);
    text[key.len] = '\0';
    state_map_set(&s->map, text, value);
}

static size_t n_digests(const struct partition_state *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_sets; i++)
        n += s->sets[i].map.n;
    return n;
}

/* As many, and each set of `a` is in `b`: then they have the same. A set that has been emptied is as good as
 * none. */
static bool digests_equal(const struct partition_state *a, const struct partition_state *b)
{
    static const struct digest_map none;
    if (n_digests(a) != n_digests(b))
        return false;
    for (size_t i = 0; i < a->n_sets; i++) {
        const struct digest_set *set = find(b, slice_of(a->sets[i].name), a->sets[i].generation);
        if (!digest_map_equal(&a->sets[i].map, set ? &set->map : &none))
            return false;
    }
    return true;
}

bool partition_state_equal(const struct partition_state *a, const struct partition_state *b)
{
    return state_map_equal(&a->map, &b->map) && digests_equal(a, b);
}

struct digest_map *partition_state_digests(const struct partition_state *s, const char *name,
                                           int64_t generation)
{
    struct digest_set *set = find(s, slice_of(name), generation);
    return set ? &set->map : NULL;
}

size_t partition_state_n_old(const struct partition_state *s, const char *name, int64_t generation)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_sets; i++)
        if (s->sets[i].generation != generation && strcmp(s->sets[i].name, name) == 0)
            n += s->sets[i].map.n;
    return n;
}
