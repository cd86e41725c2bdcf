#define XXH_STATIC_LINKING_ONLY /* a streaming state on the stack */
#include "digest.h"

#include <xxhash.h>

#include "json_scan.h"

/* Seeds keep kinds apart: the string "1" is not the number 1. They are durable, as the digests are. */
enum {
    SEED_STRING = 0x61,
    SEED_NUMBER,
    SEED_LITERAL,
    SEED_MEMBER,
    SEED_OBJECT,
    SEED_ITEM,
    SEED_ARRAY,
    SEED_ID
};
enum { NUMBER_DIGITS = 64, EXPONENT_DIGITS = 15, PIECE = 256 };

static const uint64_t digest_mask = ~(1ull << 63);

static uint64_t hash(const void *p, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(p, len, seed);
}

static uint64_t hash_pair(uint64_t a, uint64_t b, uint64_t seed)
{
    const uint64_t pair[2] = {a, b};
    return hash(pair, sizeof pair, seed);
}

/* ---- strings ---- */

static unsigned hex4(const char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        unsigned c = (unsigned char)p[i];
        v = v << 4 | (c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    return v;
}

/* A half of a pair that stands alone is three bytes of its own. */
static size_t put_utf8(unsigned c, char *ret)
{
    if (c < 0x80) {
        ret[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        ret[0] = (char)(0xc0 | c >> 6);
        ret[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        ret[0] = (char)(0xe0 | c >> 12);
        ret[1] = (char)(0x80 | (c >> 6 & 0x3f));
        ret[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    ret[0] = (char)(0xf0 | c >> 18);
    ret[1] = (char)(0x80 | (c >> 12 & 0x3f));
    ret[2] = (char)(0x80 | (c >> 6 & 0x3f));
    ret[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Decodes the escape at `p` (behind the backslash). Returns what follows it. */
static const char *unescape(const char *p, const char *end, char *ret, size_t *ret_len)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    if (*p != 'u') {
        const char *at = strchr(from, *p);
        ret[0] = at ? to[at - from] : *p;
        *ret_len = 1;
        return p + 1;
    }
    unsigned c = hex4(p + 1);
    p += 5;
    if (c >= 0xd800 && c < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        unsigned low = hex4(p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
            p += 6;
        }
    }
    *ret_len = put_utf8(c, ret);
    return p;
}

/* `p`..`end`: between the quotes. Streaming gives what one call over the decoded bytes would. */
static uint64_t hash_string(const char *p, const char *end)
{
    const char *escape = memchr(p, '\\', (size_t)(end - p));
    if (!escape)
        return hash(p, (size_t)(end - p), SEED_STRING);
    XXH3_state_t state;
    char piece[PIECE];
    XXH3_INITSTATE(&state);
    (void)XXH3_64bits_reset_withSeed(&state, SEED_STRING);
    while (escape) {
        size_t n = 0, len;
        (void)XXH3_64bits_update(&state, p, (size_t)(escape - p));
        for (p = escape; p < end && *p == '\\' && n + 4 <= sizeof piece; n += len)
            p = unescape(p + 1, end, piece + n, &len);
        (void)XXH3_64bits_update(&state, piece, n);
        escape = memchr(p, '\\', (size_t)(end - p));
    }
    (void)XXH3_64bits_update(&state, p, (size_t)(end - p));
    return XXH3_64bits_digest(&state);
}

/* ---- numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The number as digits without zeros at either end, times ten to some power: each value has one such form.
 * Longer ones than anybody calculates with count by their text. */
static uint64_t hash_number(struct slice token)
{
    struct {
        char digits[NUMBER_DIGITS];
        int64_t exponent;
        char sign;
    } n;
    const char *p = token.p, *end = p + token.len;
    size_t len = 0;
    bool is_fraction = false;
    memset(&n, 0, sizeof n);
    n.sign = *p == '-' ? '-' : '+';
    p += *p == '-';
    for (; p < end && (is_digit(*p) || *p == '.'); p++) {
        if (*p == '.') {
            is_fraction = true;
            continue;
        }
        n.exponent -= is_fraction;
        if (len == 0 && *p == '0')
            continue;
        if (len == sizeof n.digits)
            return hash(token.p, token.len, SEED_NUMBER);
        n.digits[len++] = *p;
    }
    if (p < end) { /* e */
        bool is_negative = p[1] == '-';
        int64_t exponent = 0;
        p += 1 + (p[1] == '-' || p[1] == '+');
        if (end - p > EXPONENT_DIGITS)
            return hash(token.p, token.len, SEED_NUMBER);
        for (; p < end; p++)
            exponent = exponent * 10 + (*p - '0');
        n.exponent += is_negative ? -exponent : exponent;
    }
    for (; len && n.digits[len - 1] == '0'; n.exponent++)
        n.digits[--len] = 0;
    if (len == 0) { /* 0, 0.0, -0 */
        n.exponent = 0;
        n.sign = '+';
    }
    uint64_t parts = hash_pair((uint64_t)n.exponent, (uint64_t)n.sign, SEED_NUMBER);
    return hash_pair(hash(n.digits, len, SEED_NUMBER), parts, SEED_NUMBER);
}

/* ---- the walk ---- */

struct level {
    bool is_object;
    uint64_t sum, n, key;
};

struct walk {
    const char *p, *end;
    size_t depth;
    bool is_key; /* what comes next in an object */
    struct level levels[JSON_MAX_DEPTH];
};

static const char *string_end(const char *p, const char *end)
{
    for (; p < end && *p != '"'; p++)
        p += *p == '\\';
    return p;
}

/* What stands between values; the others begin one. */
static inline bool is_between(char c)
{
    return c == ',' || c == ':' || c == '}' || c == ']' || c == ' ' || c == '\n' || c == '\t' || c == '\r' ||
           c == '\0';
}

static struct slice take_scalar(struct walk *w)
{
    const char *start = w->p;
    while (w->p < w->end && !is_between(*w->p))
        w->p++;
    return (struct slice){start, (size_t)(w->p - start)};
}

/* Past a container, whatever its depth. */
static struct slice skip_container(struct walk *w)
{
    const char *start = w->p;
    size_t depth = 0;
    do {
        if (*w->p == '"')
            w->p = string_end(w->p + 1, w->end);
        depth += *w->p == '{' || *w->p == '[';
        depth -= *w->p == '}' || *w->p == ']';
        w->p++;
    } while (depth && w->p < w->end);
    return (struct slice){start, (size_t)(w->p - start)};
}

/* Members are added up, so their order doesn't matter; items are chained, so theirs does. */
static void add_value(struct walk *w, uint64_t value)
{
    struct level *l = &w->levels[w->depth - 1];
    if (l->is_object)
        l->sum += hash_pair(l->key, value, SEED_MEMBER);
    else
        l->sum = hash_pair(l->sum, value, SEED_ITEM);
    l->n++;
    w->is_key = l->is_object;
}

static void add_string(struct walk *w)
{
    const char *start = w->p + 1, *end = string_end(start, w->end);
    uint64_t value = hash_string(start, end);
    w->p = end + 1;
    if (!w->is_key) {
        add_value(w, value);
        return;
    }
    w->levels[w->depth - 1].key = value;
    w->is_key = false;
}

static void open_container(struct walk *w)
{
    if (w->depth == JSON_MAX_DEPTH) {
        struct slice deep = skip_container(w);
        add_value(w, hash(deep.p, deep.len, SEED_LITERAL));
        return;
    }
    w->is_key = *w->p++ == '{';
    w->levels[w->depth++] = (struct level){.is_object = w->is_key};
}

static uint64_t close_container(struct walk *w)
{
    const struct level *l = &w->levels[--w->depth];
    w->p++;
    return hash_pair(l->sum, l->n, l->is_object ? SEED_OBJECT : SEED_ARRAY);
}

/* The server's own members of a record. */
static void skip_value(struct walk *w)
{
    if (*w->p == '"')
        w->p = string_end(w->p + 1, w->end) + 1;
    else if (*w->p == '{' || *w->p == '[')
        (void)skip_container(w);
    else
        (void)take_scalar(w);
    w->is_key = true;
}

uint64_t digest_record(struct slice record)
{
    static const char stamp[] = "last_updated", metrics[] = "metrics";
    const uint64_t stamp_key = hash(stamp, sizeof stamp - 1, SEED_STRING),
                   metrics_key = hash(metrics, sizeof metrics - 1, SEED_STRING);
    struct walk w; /* its levels are set when they are opened: clearing 5 KiB each time would show */
    w.p = record.p;
    w.end = record.p + record.len;
    w.depth = 0;
    w.is_key = false;
    if (!record.len || *record.p != '{')
        return 0;
    while (w.p < w.end) {
        char c = *w.p;
        bool is_value = !w.is_key && !is_between(c);
        if (is_value && w.depth == 1 && w.levels[0].is_object &&
            (w.levels[0].key == stamp_key || w.levels[0].key == metrics_key)) {
            skip_value(&w);
        } else if (c == '"') {
            add_string(&w);
        } else if (c == '{' || c == '[') {
            open_container(&w);
        } else if (c == '}' || c == ']') {
            uint64_t value = close_container(&w);
            if (w.depth == 0)
                return value & digest_mask;
            add_value(&w, value);
        } else if (is_value) {
            struct slice token = take_scalar(&w);
            bool is_number = *token.p == '-' || is_digit(*token.p);
            add_value(&w, is_number ? hash_number(token) : hash(token.p, token.len, SEED_LITERAL));
        } else {
            w.p++;
        }
    }
    return 0; /* no whole value: not what json_check has passed */
}

uint64_t digest_id(struct slice id)
{
    uint64_t h = hash(id.p, id.len, SEED_ID);
    return h ? h : 1;
}

void digest_write(uint64_t digest, char ret[DIGEST_HEX])
{
    for (int i = DIGEST_HEX; i-- > 0; digest >>= 4)
        ret[i] = "0123456789abcdef"[digest & 15];
}

int digest_read(struct slice text, uint64_t *ret)
{
    uint64_t v = 0;
    if (text.len != DIGEST_HEX)
        return -1;
    for (size_t i = 0; i < DIGEST_HEX; i++) {
        char c = text.p[i];
        if (!is_digit(c) && !(c >= 'a' && c <= 'f'))
            return -1;
        v = v << 4 | (uint64_t)(is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    if (v & ~digest_mask)
        return -1;
    *ret = v;
    return 0;
}
