#include "arrivals.h"

#include "clock.h"

void arrivals_record(struct arrivals *a, size_t most)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->list[i].path);
    free(a->list);
    *a = (struct arrivals){.most = most < MAX_ARRIVALS ? most : MAX_ARRIVALS};
    if (a->most)
        a->list = xcalloc(a->most, sizeof *a->list);
}

void arrivals_add(struct arrivals *a, const char *path)
{
    if (a->n < a->most)
        a->list[a->n++] = (struct arrival){clock_mono_us(), xstrdup(path)};
}

void arrivals_write(const struct arrivals *a, struct buf *ret)
{
    buf_addch(ret, '[');
    for (size_t i = 0; i < a->n; i++) {
        buf_addf(ret, "%s[%lld,", i ? "," : "", (long long)a->list[i].at_us);
        buf_addjson(ret, a->list[i].path, strlen(a->list[i].path));
        buf_addch(ret, ']');
    }
    buf_addch(ret, ']');
}
