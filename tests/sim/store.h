/* The datasets. A dataset is a generator and what differs from it: records that were written, changed or
 * deleted are held, in the order of their ids. Not locked: struct sim's lock is the caller's. */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "gen.h"
#include "query.h"

struct held {
    struct doc d;
    char *blob;      /* the doc's bytes */
    bool is_deleted; /* hides the generated record of this id */
};

struct counted; /* of the generated records, which don't change */

struct dataset {
    char *name, *workspace, *tags, *metadata; /* the latter two are JSON */
    enum task task;
    int64_t created_us, updated_us;
    struct gen gen;
    uint64_t n_added; /* by the simulator: indexes from gen.n on */
    struct held **held;
    size_t n_held, cap_held;
    uint64_t n_live;
    uint64_t version; /* moves with each change: what was canned before is void */
    bool is_multi_label, is_closed;
    struct counted *counted;
    size_t n_counted;
};

struct store {
    struct dataset **datasets;
    size_t n;
};

void store_release(struct store *s);
struct dataset *store_find(const struct store *s, const char *workspace, const char *name);
/* A new one; its name must be free. `record_bytes`, `batch` 0: defaults. */
struct dataset *store_create(struct store *s, const char *workspace, const char *name, enum task task,
                             uint64_t n, size_t record_bytes, uint64_t batch, uint64_t seed);
void store_remove(struct store *s, struct dataset *ds);

/* Microseconds since 1970. */
int64_t store_now_us(void);

/* The record of an id; `scratch` may hold its bytes until the next use. */
bool dataset_get(const struct dataset *ds, struct slice key, struct buf *scratch, struct doc *ret);
/* Copies `d` over whatever has its key. */
void dataset_put(struct dataset *ds, const struct doc *d);
void dataset_delete(struct dataset *ds, struct slice key);
/* Exact, and quick when asked again: only what is held is looked at again. `text` is the query's. */
uint64_t dataset_count(struct dataset *ds, const struct query *q, const char *text);

/* All records in the order of id, or of (last_updated, id). */
struct walk {
    const struct dataset *ds;
    uint64_t index;
    size_t at, n;
    struct held **order; /* by_stamp: what is held, sorted */
    bool by_stamp;
    struct buf scratch;
};
/* From the start (`after` NULL) or right behind that key (and stamp). walk_release frees. */
void walk_init(struct walk *w, const struct dataset *ds, bool by_stamp, const struct slice *after,
               int64_t after_us);
void walk_release(struct walk *w);
/* `ret` is good until the next call. */
bool walk_next(struct walk *w, struct doc *ret);

/* The simulator's own writers: `n` records changed (metadata.changed counts up) or added. */
void dataset_change(struct dataset *ds, uint64_t n, uint64_t random);
void dataset_add(struct dataset *ds, uint64_t n);

#endif
