/* What was asked: requests and bytes by operation, and how many were under way for a dataset at once. The
 * caller's lock. */
#ifndef SIM_STATS_H
#define SIM_STATS_H

#include "buf.h"

enum { MAX_STATS = 8192 };

struct path_stats {
    char *method, *path;
    uint64_t n, n_bytes, n_failed;
};
struct flight_stats {
    char *dataset;
    int now, max;
};
struct stats {
    struct path_stats *paths;
    size_t n_paths;
    struct flight_stats *flights;
    size_t n_flights;
    int now, max;
};

/* The path's dataset ("" for none) begins and ends. */
void stats_begin(struct stats *s, const char *dataset);
void stats_end(struct stats *s, const char *dataset);
void stats_answered(struct stats *s, const char *method, const char *path, unsigned status, size_t n_bytes);
/* Forgets all but what is under way. */
void stats_clear(struct stats *s);
void stats_write(const struct stats *s, struct buf *ret);
void stats_release(struct stats *s);

#endif
