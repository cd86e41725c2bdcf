#include "buf.h"

#include <stdio.h>

void buf_release(struct buf *b)
{
    free(b->data);
    *b = buf_make(b->limit);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->data)
        b->data[0] = '\0';
}

int buf_reserve(struct buf *b, size_t n)
{
    if (b->overflow || n > b->limit || b->len > b->limit - n) {
        b->overflow = true;
        return -1;
    }
    size_t need = b->len + n + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = b->cap < 256 ? 256 : b->cap * 2;
    if (cap > b->limit + 1)
        cap = b->limit + 1;
    if (cap < need)
        cap = need;
    b->data = xrealloc(b->data, cap);
    b->cap = cap;
    b->data[b->len] = '\0';
    return 0;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (len == 0 || buf_reserve(b, len))
        return;
    memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_addstr(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_addslice(struct buf *b, struct slice s)
{
    buf_add(b, s.p, s.len);
}

void buf_addch(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    char small[256];
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof small) {
        buf_add(b, small, (size_t)n);
    } else if (n >= 0 && buf_reserve(b, (size_t)n) == 0) {
        (void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

/* The length of the UTF-8 sequence at `p` (RFC 3629: no overlong forms, no surrogates), 0 when it is none. */
static size_t utf8_len(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 && p[0] <= 0xf4  ? 4
               : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
               : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
                                             : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
        (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static void add_escaped(struct buf *b, unsigned char c)
{
    static const char *const names = "\bb\ff\nn\rr\tt\"\"\\\\";
    for (const char *n = names; *n; n += 2) {
        if ((unsigned char)n[0] == c) {
            buf_addch(b, '\\');
            buf_addch(b, n[1]);
            return;
        }
    }
    buf_addf(b, "\\u%04x", c);
}

void buf_addjson(struct buf *b, const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    buf_addch(b, '"');
    for (size_t i = 0; i < len;) {
        size_t run = i;
        while (run < len && p[run] >= 0x20 && p[run] < 0x80 && p[run] != '"' && p[run] != '\\')
            run++;
        buf_add(b, s + i, run - i);
        i = run;
        if (i == len)
            break;
        size_t n = utf8_len(p + i, len - i);
        if (n == 0)
            buf_addstr(b, "\\ufffd");
        else if (n == 1)
            add_escaped(b, p[i]);
        else
            buf_add(b, s + i, n);
        i += n ? n : 1;
    }
    buf_addch(b, '"');
}

const char *buf_str(const struct buf *b)
{
    return b->data ? b->data : "";
}

char *buf_take(struct buf *b)
{
    char *data = b->data ? b->data : xstrdup("");
    *b = buf_make(b->limit);
    return data;
}
