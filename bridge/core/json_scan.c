#include "json_scan.h"

#include <stdint.h>

/* Every byte of every page passes here twice: once checked, once iterated. Both loops avoid recursion
 * (workers have small stacks), look at strings a block at a time and at everything else by a table. */

#define INLINE static inline __attribute__((always_inline))

enum { C_SPACE = 1, C_DIGIT = 2, C_HEX = 4, C_ESCAPE = 8, C_DELIMITER = 16, C_STRUCTURE = 32 };

/* DELIMITER: ends a number or literal. STRUCTURE: what a skipped container's end is found by. */
static const unsigned char classes[256] = {
    [' '] = C_SPACE | C_DELIMITER,
    ['\t'] = C_SPACE | C_DELIMITER,
    ['\n'] = C_SPACE | C_DELIMITER,
    ['\r'] = C_SPACE | C_DELIMITER,
    [','] = C_DELIMITER,
    [':'] = C_DELIMITER,
    ['['] = C_STRUCTURE | C_DELIMITER,
    [']'] = C_STRUCTURE | C_DELIMITER,
    ['{'] = C_STRUCTURE | C_DELIMITER,
    ['}'] = C_STRUCTURE | C_DELIMITER,
    ['"'] = C_STRUCTURE | C_DELIMITER | C_ESCAPE,
    ['\\'] = C_ESCAPE,
    ['/'] = C_ESCAPE,
    ['n'] = C_ESCAPE,
    ['r'] = C_ESCAPE,
    ['t'] = C_ESCAPE,
    ['b'] = C_ESCAPE | C_HEX,
    ['f'] = C_ESCAPE | C_HEX,
    ['0' ... '9'] = C_DIGIT | C_HEX,
    ['A' ... 'F'] = C_HEX,
    ['a'] = C_HEX,
    ['c'] = C_HEX,
    ['d'] = C_HEX,
    ['e'] = C_HEX,
};

INLINE bool is(unsigned char c, int class)
{
    return classes[c] & class;
}

/* `p` is where scanning has got to; after a failure, the byte that is wrong. */
struct cursor {
    const unsigned char *p, *end;
};

INLINE bool at(const struct cursor *c, unsigned char byte)
{
    return c->p < c->end && *c->p == byte;
}

INLINE void skip_space(struct cursor *c)
{
    while (c->p < c->end && is(*c->p, C_SPACE))
        c->p++;
}

/* ---- strings, eight bytes at a time ---- */

/* Sixteen with SSE2 was tried: 10 % more, which isn't worth a second way through the code. */

enum { BLOCK = 8 };
#define EACH(byte) (0x0101010101010101u * (uint64_t)(byte))

/* The top bit of each zero byte; what borrows make of the bytes above the first one doesn't matter here. */
INLINE uint64_t zero_bytes(uint64_t x)
{
    return (x - EACH(1)) & ~x & EACH(0x80);
}

INLINE uint64_t block_mask(const unsigned char *p, bool all)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    uint64_t hit = zero_bytes(x ^ EACH('"')) | zero_bytes(x ^ EACH('\\'));
    if (all)
        hit |= ((x - EACH(' ')) | x) & EACH(0x80);
    return hit;
}

INLINE unsigned block_first(uint64_t mask)
{
    return (unsigned)__builtin_ctzll(mask) / 8;
}

/* The first byte from `p` on that needs a look: a quote, a backslash and, with `all`, control characters and
 * what isn't ASCII. `end` when there is none. */
INLINE const unsigned char *next_special(const unsigned char *p, const unsigned char *end, bool all)
{
    for (; end - p >= BLOCK; p += BLOCK)
        if (block_mask(p, all))
            return p + block_first(block_mask(p, all));
    for (; p < end; p++)
        if (*p == '"' || *p == '\\' || (all && (*p < ' ' || *p >= 0x80)))
            return p;
    return end;
}

/* ---- checking ---- */

/* Past one sequence that isn't ASCII (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF). */
INLINE bool check_utf8(struct cursor *c)
{
    const unsigned char *p = c->p;
    size_t left = (size_t)(c->end - p);
    if (p[0] >= 0xc2 && p[0] < 0xe0 && left >= 2 && (p[1] & 0xc0) == 0x80) {
        c->p += 2;
        return true;
    }
    if (p[0] >= 0xe0 && p[0] < 0xf0 && left >= 3 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 &&
        !(p[0] == 0xe0 && p[1] < 0xa0) && !(p[0] == 0xed && p[1] > 0x9f)) {
        c->p += 3;
        return true;
    }
    if (p[0] >= 0xf0 && p[0] < 0xf5 && left >= 4 && (p[1] & 0xc0) == 0x80 && (p[2] & 0xc0) == 0x80 &&
        (p[3] & 0xc0) == 0x80 && !(p[0] == 0xf0 && p[1] < 0x90) && !(p[0] == 0xf4 && p[1] > 0x8f)) {
        c->p += 4;
        return true;
    }
    return false;
}

/* Past one escape; lone surrogates are well formed (RFC 8259, 8.2). */
INLINE bool check_escape(struct cursor *c)
{
    const unsigned char *p = c->p + 1;
    if (p < c->end && is(*p, C_ESCAPE)) {
        c->p += 2;
        return true;
    }
    if (c->end - p < 5 || *p != 'u')
        return false;
    for (int i = 1; i <= 4; i++)
        if (!is(p[i], C_HEX))
            return false;
    c->p += 6;
    return true;
}

/* Past a string, from its opening quote. */
INLINE bool check_string(struct cursor *c)
{
    c->p++;
    for (;;) {
        c->p = next_special(c->p, c->end, true);
        if (c->p == c->end)
            return false;
        if (*c->p == '"') {
            c->p++;
            return true;
        }
        if (*c->p == '\\') {
            if (!check_escape(c))
                return false;
            continue;
        }
        do {
            if (!check_utf8(c)) /* a control character is none either */
                return false;
        } while (c->p < c->end && *c->p >= 0x80);
    }
}

INLINE bool check_digits(struct cursor *c)
{
    const unsigned char *from = c->p;
    while (c->p < c->end && is(*c->p, C_DIGIT))
        c->p++;
    return c->p > from;
}

INLINE bool check_number(struct cursor *c)
{
    if (at(c, '-'))
        c->p++;
    if (at(c, '0'))
        c->p++;
    else if (!check_digits(c))
        return false;
    if (at(c, '.')) {
        c->p++;
        if (!check_digits(c))
            return false;
    }
    if (at(c, 'e') || at(c, 'E')) {
        c->p++;
        if (at(c, '+') || at(c, '-'))
            c->p++;
        if (!check_digits(c))
            return false;
    }
    return true;
}

static bool check_literal(struct cursor *c, const char *word, size_t len)
{
    if ((size_t)(c->end - c->p) < len || memcmp(c->p, word, len) != 0)
        return false;
    c->p += len;
    return true;
}

INLINE bool check_scalar(struct cursor *c)
{
    switch (*c->p) {
    case '"':
        return check_string(c);
    case 't':
        return check_literal(c, "true", 4);
    case 'f':
        return check_literal(c, "false", 5);
    case 'n':
        return check_literal(c, "null", 4);
    default:
        return check_number(c);
    }
}

/* Past a key and its colon, up to the value. */
INLINE bool check_key(struct cursor *c)
{
    if (!at(c, '"') || !check_string(c))
        return false;
    skip_space(c);
    if (!at(c, ':'))
        return false;
    c->p++;
    skip_space(c);
    return true;
}

/* The containers that are open: the closing bracket of each. */
struct open_containers {
    unsigned char closing[JSON_MAX_DEPTH];
    size_t n;
};

/* From an opening bracket to its first value, or past an empty container, which leaves `is_open` false. */
INLINE bool check_open(struct cursor *c, struct open_containers *o, bool *is_open)
{
    if (o->n == JSON_MAX_DEPTH)
        return false;
    unsigned char closing = *c->p == '{' ? '}' : ']';
    c->p++;
    skip_space(c);
    if (at(c, closing)) {
        c->p++;
        *is_open = false;
        return true;
    }
    o->closing[o->n++] = closing;
    *is_open = true;
    return closing == ']' || check_key(c);
}

/* From the end of a value to the next one: past the brackets that close behind it and a comma. True with no
 * container left: that was all. */
INLINE bool check_after(struct cursor *c, struct open_containers *o)
{
    while (o->n) {
        skip_space(c);
        unsigned char closing = o->closing[o->n - 1];
        if (at(c, ',')) {
            c->p++;
            skip_space(c);
            return closing == ']' || check_key(c);
        }
        if (!at(c, closing))
            return false;
        c->p++;
        o->n--;
    }
    return true;
}

static bool check_value(struct cursor *c, struct open_containers *o)
{
    do {
        bool is_open = false;
        if (c->p == c->end)
            return false;
        if (*c->p == '{' || *c->p == '[') {
            if (!check_open(c, o, &is_open))
                return false;
        } else if (!check_scalar(c)) {
            return false;
        }
        if (!is_open && !check_after(c, o))
            return false;
    } while (o->n);
    return true;
}

int json_check(struct slice text, struct err *e)
{
    const unsigned char *begin = (const unsigned char *)text.p;
    struct cursor c = {begin, begin + text.len};
    struct open_containers o;
    o.n = 0;
    skip_space(&c);
    bool ok = check_value(&c, &o);
    if (ok) {
        skip_space(&c);
        if (c.p == c.end)
            return 0;
    }
    size_t offset = (size_t)(c.p - begin);
    if (c.p == c.end)
        return err_set(e, ERR_BAD_INPUT, "not JSON: it ends too early, after %zu bytes", offset);
    if (o.n == JSON_MAX_DEPTH && (*c.p == '{' || *c.p == '['))
        return err_set(e, ERR_BAD_INPUT, "JSON nested more than %d deep, at offset %zu", JSON_MAX_DEPTH,
                       offset);
    return err_set(e, ERR_BAD_INPUT, "not JSON: byte 0x%02x at offset %zu doesn't belong there", *c.p,
                   offset);
}

/* ---- iterating ---- what is read here was checked: no judging, but never past the end either */

/* Past a string, from its opening quote. */
INLINE const unsigned char *skip_string(const unsigned char *p, const unsigned char *end)
{
    for (p++;;) {
        p = next_special(p, end, false);
        if (p == end)
            return end;
        if (*p == '"')
            return p + 1;
        p += end - p < 2 ? 1 : 2;
    }
}

static const unsigned char *skip_container(const unsigned char *p, const unsigned char *end)
{
    for (size_t depth = 0; p < end;) {
        if (!is(*p, C_STRUCTURE)) {
            p++;
        } else if (*p == '"') {
            p = skip_string(p, end);
        } else {
            bool opens = *p == '{' || *p == '[';
            p++;
            depth += opens ? 1 : (size_t)-1;
            if (depth == 0)
                return p;
        }
    }
    return end;
}

INLINE const unsigned char *skip_value(const unsigned char *p, const unsigned char *end)
{
    if (p < end && *p == '"')
        return skip_string(p, end);
    if (p < end && (*p == '{' || *p == '['))
        return skip_container(p, end);
    while (p < end && !is(*p, C_DELIMITER))
        p++;
    return p;
}

enum json_type json_type_of(struct slice v)
{
    switch (v.len ? v.p[0] : 'n') {
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case '"':
        return JSON_STRING;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return JSON_NUMBER;
    }
}

static struct cursor cursor_of(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    return (struct cursor){p, p + s.len};
}

static struct slice slice_between(const unsigned char *from, const unsigned char *to)
{
    return (struct slice){(const char *)from, (size_t)(to - from)};
}

struct json_iter json_iter(struct slice container)
{
    struct cursor c = cursor_of(container);
    skip_space(&c);
    bool is_object = at(&c, '{');
    if (!is_object && !at(&c, '['))
        return (struct json_iter){.rest = {container.p, 0}};
    return (struct json_iter){.rest = slice_between(c.p + 1, c.end), .is_object = is_object};
}

bool json_next(struct json_iter *it, struct slice *ret_key, struct slice *ret_value)
{
    struct cursor c = cursor_of(it->rest);
    const unsigned char *from;
    skip_space(&c);
    if (it->started) {
        if (!at(&c, ','))
            return false;
        c.p++;
        skip_space(&c);
    }
    struct slice key = {(const char *)c.p, 0};
    if (it->is_object) {
        from = c.p;
        if (!at(&c, '"'))
            return false;
        c.p = skip_string(c.p, c.end);
        key = slice_between(from, c.p);
        skip_space(&c);
        c.p += at(&c, ':');
        skip_space(&c);
    }
    from = c.p;
    c.p = skip_value(c.p, c.end);
    if (c.p == from)
        return false;
    if (ret_key)
        *ret_key = key;
    if (ret_value)
        *ret_value = slice_between(from, c.p);
    it->rest = slice_between(c.p, c.end);
    it->started = true;
    return true;
}

bool json_get(struct slice object, const char *name, struct slice *ret_value)
{
    size_t n = strlen(name);
    struct json_iter it = json_iter(object);
    struct slice key, value;
    while (json_next(&it, &key, &value)) {
        if (key.len == n + 2 && memcmp(key.p + 1, name, n) == 0) {
            if (ret_value)
                *ret_value = value;
            return true;
        }
    }
    return false;
}

/* ---- tokens ---- */

static unsigned hex4(const unsigned char *p)
{
    unsigned v = 0;
    for (int i = 0; i < 4; i++)
        v = v << 4 | (unsigned)(is(p[i], C_DIGIT) ? p[i] - '0' : (p[i] | 0x20) - 'a' + 10);
    return v;
}

static void add_code_point(struct buf *b, unsigned u)
{
    char text[4];
    size_t n = u < 0x80 ? 1 : u < 0x800 ? 2 : u < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1; u >>= 6)
        text[i] = (char)(0x80 | (u & 0x3f));
    text[0] = (char)(lead[n] | u);
    buf_add(b, text, n);
}

/* Past a \u escape or a surrogate pair of them; half a pair becomes U+FFFD. */
static const unsigned char *decode_unicode(const unsigned char *p, const unsigned char *end, struct buf *ret)
{
    if (end - p < 6)
        return end;
    unsigned u = hex4(p + 2);
    p += 6;
    if (u >= 0xd800 && u < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u') {
        unsigned low = hex4(p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            add_code_point(ret, 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00));
            return p + 6;
        }
    }
    add_code_point(ret, u >= 0xd800 && u < 0xe000 ? 0xfffd : u);
    return p;
}

int json_decode_string(struct slice token, struct buf *ret)
{
    static const char plain[256] = {['b'] = '\b', ['f'] = '\f', ['n'] = '\n', ['r'] = '\r', ['t'] = '\t'};
    if (token.len < 2 || token.p[0] != '"' || token.p[token.len - 1] != '"')
        return -1;
    struct cursor c = cursor_of((struct slice){token.p + 1, token.len - 2});
    while (c.p < c.end) {
        const unsigned char *from = c.p;
        c.p = next_special(c.p, c.end, false);
        buf_addslice(ret, slice_between(from, c.p));
        if (c.end - c.p < 2)
            break;
        if (c.p[1] == 'u') {
            c.p = decode_unicode(c.p, c.end, ret);
        } else {
            buf_addch(ret, plain[c.p[1]] ? plain[c.p[1]] : (char)c.p[1]);
            c.p += 2;
        }
    }
    return 0;
}

int json_get_int64(struct slice token, int64_t *ret)
{
    bool negative = token.len && token.p[0] == '-';
    size_t i = negative ? 1 : 0;
    int64_t v = 0;
    if (i == token.len)
        return -1;
    for (; i < token.len; i++) {
        int digit = token.p[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, digit, &v))
            return -1;
    }
    if (!negative && __builtin_sub_overflow(0, v, &v))
        return -1;
    *ret = v;
    return 0;
}
