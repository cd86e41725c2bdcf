#include "stats.h"

void stats_release(struct stats *s)
{
    for (size_t i = 0; i < s->n_paths; i++) {
        free(s->paths[i].method);
        free(s->paths[i].path);
    }
    for (size_t i = 0; i < s->n_flights; i++)
        free(s->flights[i].dataset);
    free(s->paths);
    free(s->flights);
    *s = (struct stats){0};
}

void stats_clear(struct stats *s)
{
    for (size_t i = 0; i < s->n_paths; i++) {
        free(s->paths[i].method);
        free(s->paths[i].path);
    }
    s->n_paths = 0;
    s->max = s->now;
    for (size_t i = 0; i < s->n_flights; i++)
        s->flights[i].max = s->flights[i].now;
}

static struct flight_stats *flight_of(struct stats *s, const char *dataset)
{
    for (size_t i = 0; i < s->n_flights; i++)
        if (strcmp(s->flights[i].dataset, dataset) == 0)
            return &s->flights[i];
    if (s->n_flights == MAX_STATS)
        return NULL;
    s->flights = xrealloc(s->flights, (s->n_flights + 1) * sizeof *s->flights);
    s->flights[s->n_flights] = (struct flight_stats){.dataset = xstrdup(dataset)};
    return &s->flights[s->n_flights++];
}

void stats_begin(struct stats *s, const char *dataset)
{
    struct flight_stats *f = *dataset ? flight_of(s, dataset) : NULL;
    if (f && ++f->now > f->max)
        f->max = f->now;
    if (++s->now > s->max)
        s->max = s->now;
}

void stats_end(struct stats *s, const char *dataset)
{
    struct flight_stats *f = *dataset ? flight_of(s, dataset) : NULL;
    if (f)
        f->now--;
    s->now--;
}

static struct path_stats *path_of(struct stats *s, const char *method, const char *path)
{
    for (size_t i = 0; i < s->n_paths; i++)
        if (strcmp(s->paths[i].path, path) == 0 && strcmp(s->paths[i].method, method) == 0)
            return &s->paths[i];
    if (s->n_paths == MAX_STATS)
        return NULL;
    s->paths = xrealloc(s->paths, (s->n_paths + 1) * sizeof *s->paths);
    s->paths[s->n_paths] = (struct path_stats){.method = xstrdup(method), .path = xstrdup(path)};
    return &s->paths[s->n_paths++];
}

void stats_answered(struct stats *s, const char *method, const char *path, unsigned status, size_t n_bytes)
{
    struct path_stats *p = path_of(s, method, path);
    if (!p)
        return;
    p->n++;
    p->n_bytes += n_bytes;
    p->n_failed += status >= 400;
}

void stats_write(const struct stats *s, struct buf *ret)
{
    buf_addf(ret, "{\"in_flight\":%d,\"max_in_flight\":%d,\"requests\":[", s->now, s->max);
    for (size_t i = 0; i < s->n_paths; i++) {
        const struct path_stats *p = &s->paths[i];
        buf_addf(ret, "%s{\"method\":\"%s\",\"path\":", i ? "," : "", p->method);
        buf_addjson(ret, p->path, strlen(p->path));
        buf_addf(ret, ",\"n\":%llu,\"n_failed\":%llu,\"n_bytes\":%llu}", (unsigned long long)p->n,
                 (unsigned long long)p->n_failed, (unsigned long long)p->n_bytes);
    }
    buf_addstr(ret, "],\"datasets\":{");
    for (size_t i = 0; i < s->n_flights; i++) {
        buf_addstr(ret, i ? "," : "");
        buf_addjson(ret, s->flights[i].dataset, strlen(s->flights[i].dataset));
        buf_addf(ret, ":{\"in_flight\":%d,\"max_in_flight\":%d}", s->flights[i].now, s->flights[i].max);
    }
    buf_addstr(ret, "}}");
}
