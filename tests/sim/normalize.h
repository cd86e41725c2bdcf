/* What :bulk makes of a record: checked, in the scan's shape, merged over what is there. Pure. */
#ifndef SIM_NORMALIZE_H
#define SIM_NORMALIZE_H

#include "sim.h"

/* The checks that the server makes before it looks at any record's neighbours (422), then those of its own
 * models (500). 0, or -1 with the answer. */
int record_check(struct slice record, enum task task, size_t index, struct answer *a);
int record_check_models(struct slice record, enum task task, struct answer *a);

/* `record` over `old` (NULL: a new one). `ret`'s slices are in `out`, which must be empty; they are good as
 * long as it and `record` are. */
void record_merge(struct slice record, const struct doc *old, enum task task, int64_t now_us, struct buf *out,
                  struct doc *ret);

/* The members of `old` (may be empty) with those of `more` over them. `flat`: nested objects become a.b.c,
 * long texts keep their last 128 characters. */
void merge_objects(struct slice old, struct slice more, bool flat, struct buf *ret);
/* How many members a flattened object has. */
size_t flat_count(struct slice object);
int status_check(struct slice token, const char *loc, struct answer *a);

#endif
