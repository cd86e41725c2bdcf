/* What might have been meant by a name that is unknown: for hints. Pure; any thread. */
#ifndef AB_BASE_NEAR_H
#define AB_BASE_NEAR_H

#include <stddef.h>

/* The nearest of some names: `struct near n = {.name = "kafak"}; near_try(&n, "kafka"); n.best`. Letters left
 * out, added, changed or swapped count one each, their case nothing; a name may be off by one letter in four,
 * at most 3. A long candidate that contains `name` is taken when nothing is nearer. */
struct near {
    const char *name, *best; /* best: a candidate that was tried, or NULL */
    size_t distance;
};
void near_try(struct near *n, const char *candidate);

#endif
