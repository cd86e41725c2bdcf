/* Memory: allocation that doesn't fail, cleanup attributes, slices. Small allocations end the process when
 * the system has none left (a bridge without memory can only be restarted, and its state is Kafka's); what a
 * server or a user can make large goes through `struct buf`, which has a limit. Any thread. */
#ifndef AB_BASE_MEM_H
#define AB_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

/* Never NULL. The caller frees with free(). */
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* `cleanup_free char *s = ...;` is freed at the end of its block; TAKE_PTR hands it on instead. */
static inline void cleanup_free_fn(void *p)
{
    free(*(void **)p);
}
#define cleanup_free __attribute__((cleanup(cleanup_free_fn)))
#define TAKE_PTR(p)                                                                                          \
    __extension__({                                                                                          \
        __typeof__(p) took_ = (p);                                                                           \
        (p) = NULL;                                                                                          \
        took_;                                                                                               \
    })

/* Bytes of somebody else's buffer; not NUL-terminated, valid as long as that buffer. */
struct slice {
    const char *p;
    size_t len;
};

static inline struct slice slice_of(const char *s)
{
    return (struct slice){s, s ? strlen(s) : 0};
}
static inline bool slice_eq(struct slice s, const char *text)
{
    size_t n = strlen(text);
    return s.len == n && memcmp(s.p, text, n) == 0;
}

#endif
