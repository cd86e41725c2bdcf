/* How long things took, counted in buckets: one fixed set of bounds, so that all histograms of the process
 * look the same. The caller's storage, {0} is empty; whoever owns it holds its lock. */
#ifndef AB_BASE_HISTOGRAM_H
#define AB_BASE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 15 };
/* Upper bounds in ms, inclusive: 1 ms to 60 s. */
extern const int64_t histogram_bounds_ms[HISTOGRAM_BUCKETS];

struct histogram {
    uint64_t
        counts[HISTOGRAM_BUCKETS + 1]; /* each bucket's own; the last one holds what is above all bounds */
    uint64_t sum_ms;
};

/* A negative time counts as 0. */
void histogram_add(struct histogram *h, int64_t ms);
void histogram_merge(struct histogram *into, const struct histogram *from);
uint64_t histogram_count(const struct histogram *h);

#endif
