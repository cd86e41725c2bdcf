/* When requests arrived: what lateness is measured by. Records nothing until it is asked to. The caller's
 * lock. */
#ifndef SIM_ARRIVALS_H
#define SIM_ARRIVALS_H

#include "buf.h"

enum { MAX_ARRIVALS = 1 << 20 };

struct arrival {
    int64_t at_us; /* CLOCK_MONOTONIC */
    char *path;
};
struct arrivals {
    struct arrival *list;
    size_t n, most; /* `most` 0: off */
};

/* Forgets what there is, and records the next `most`; 0: none any more. */
void arrivals_record(struct arrivals *a, size_t most);
void arrivals_add(struct arrivals *a, const char *path);
/* [[at_us,"path"],...] */
void arrivals_write(const struct arrivals *a, struct buf *ret);

#endif
