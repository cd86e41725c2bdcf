/* One record, as the simulator knows it: the JSON tokens of its fields, verbatim, in the scan's shape (labels
 * carry class_label). A doc owns nothing: its slices live in a held record's blob or in a generator's scratch
 * buffer. Pure; any thread. */
#ifndef SIM_DOC_H
#define SIM_DOC_H

#include "buf.h"

enum task { TEXT_CLASSIFICATION, TOKEN_CLASSIFICATION, TEXT2TEXT, N_TASKS };
/* Argilla's name of a task; -1 for a name that it doesn't have. */
const char *task_name(enum task t);
int task_of(struct slice name);
/* "labels", "entities" or "sentences". */
const char *task_values(enum task t);

enum field {
    F_ID,
    F_INPUTS,
    F_TEXT,
    F_TOKENS,
    F_METADATA,
    F_EVENT,
    F_STATUS,
    F_PREDICTION,
    F_ANNOTATION,
    F_PREDICTIONS,
    F_ANNOTATIONS,
    F_VECTORS,
    F_MULTI_LABEL,
    N_FIELDS
};

struct doc {
    struct slice key;         /* the id as text: what the order goes by */
    struct slice f[N_FIELDS]; /* p is NULL: not there */
    int64_t stamp_us;         /* last_updated */
    /* predicted*, score and annotated_* are in the index: 1.x loses them with a bulk that leaves the field
     * out */
    bool has_predicted, has_annotated;
};

static inline bool doc_has(const struct doc *d, enum field f)
{
    return d->f[f].p != NULL;
}

/* The record as the scan, :search and GET records/{id} give it. */
void doc_write_scan(const struct doc *d, enum task task, struct buf *ret);
void doc_write_search(const struct doc *d, enum task task, struct buf *ret);
void doc_write_get(const struct doc *d, enum task task, struct buf *ret);

/* The best label of a prediction or annotation (its first), with quotes; false when it has none. */
bool doc_label(struct slice values, enum task task, struct slice *ret);

/* Order of ids: bytes. */
int key_compare(struct slice a, struct slice b);

/* "2026-11-24T19:47:05.580291", without the fraction when it is 0, as the server writes it. */
void add_stamp(struct buf *b, int64_t us);
void add_u64(struct buf *b, uint64_t n);
/* Both ends of what a date text covers, in microseconds; -1 when it is none. */
int parse_date(struct slice text, int64_t *ret_first, int64_t *ret_last);

#endif
