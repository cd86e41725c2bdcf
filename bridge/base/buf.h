/* A growing byte buffer with a limit. `struct buf` is the caller's storage; buf_release frees what it holds.
 * Data is always followed by a NUL that is not counted, so that text can be handed on. Once an append would
 * pass the limit the buffer keeps what it had and is `overflow`; later appends do nothing, so that a long
 * chain of appends needs one check at its end. One thread at a time. */
#ifndef AB_BASE_BUF_H
#define AB_BASE_BUF_H

#include <stdarg.h>
#include <stdint.h>

#include "mem.h"

struct buf {
    char *data; /* NULL until the first append */
    size_t len, cap, limit;
    bool overflow;
};

/* An empty buffer of at most `limit` bytes; nothing is allocated yet. */
static inline struct buf buf_make(size_t limit)
{
    return (struct buf){.limit = limit};
}

void buf_release(struct buf *b);
/* Empties it and keeps its memory and limit. */
void buf_clear(struct buf *b);

/* Room for `n` more bytes. 0, or -1 with `overflow` set and the content as it was. */
int buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_addstr(struct buf *b, const char *s);
void buf_addslice(struct buf *b, struct slice s);
void buf_addch(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* `s` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void buf_addjson(struct buf *b, const char *s, size_t len);

/* The text, "" when empty; belongs to the buffer until the next append. */
const char *buf_str(const struct buf *b);
/* The memory itself, NUL-terminated and never NULL; the buffer is empty afterwards. The caller frees. */
char *buf_take(struct buf *b);

static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->data ? b->data : "", b->len};
}

#define cleanup_buf __attribute__((cleanup(buf_release)))

#endif
