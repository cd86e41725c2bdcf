#include "histogram.h"

const int64_t histogram_bounds_ms[HISTOGRAM_BUCKETS] = {1,   2,    5,    10,   20,    50,    100,  200,
                                                        500, 1000, 2000, 5000, 10000, 30000, 60000};

void histogram_add(struct histogram *h, int64_t ms)
{
    int i = 0;
    ms = ms < 0 ? 0 : ms;
    while (i < HISTOGRAM_BUCKETS && ms > histogram_bounds_ms[i])
        i++;
    h->counts[i]++;
    h->sum_ms += (uint64_t)ms;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (int i = 0; i <= HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->sum_ms += from->sum_ms;
}

uint64_t histogram_count(const struct histogram *h)
{
    uint64_t n = 0;
    for (int i = 0; i <= HISTOGRAM_BUCKETS; i++)
        n += h->counts[i];
    return n;
}
