/* Records that are computed from (seed, index) when somebody asks, so that a million of them take no memory.
 * Their ids
 * ("r000000042") sort as text in the order of their indexes, and so do their stamps, as if they had come in
 * bulks of 500. Pure; any thread. */
#ifndef SIM_GEN_H
#define SIM_GEN_H

#include "doc.h"

enum { GEN_ID_DIGITS = 9, GEN_MAX_RECORDS = 999999999, GEN_MAX_RECORD_BYTES = 1 << 20, GEN_BULK = 500 };

struct gen {
    enum task task;
    uint64_t n, seed;
    uint64_t batch;  /* records of one metadata.batch_id */
    int64_t base_us; /* the first record's last_updated */
    size_t fill[2];  /* bytes of text to add, so that a record has its size: without annotation, with */
    char *filler;    /* words, enough for either */
};

/* `record_bytes` 0: as they come. gen_release frees the filler. */
void gen_init(struct gen *g, enum task task, uint64_t n, size_t record_bytes, uint64_t batch, uint64_t seed,
              int64_t now_us);
void gen_release(struct gen *g);

/* The record `index` (it may be n or more: that's how additions are made). `scratch` holds its bytes until
 * the next call. */
void gen_doc(const struct gen *g, uint64_t index, struct buf *scratch, struct doc *ret);
int64_t gen_stamp(const struct gen *g, uint64_t index);
/* The index of a generated id; -1 when `key` isn't one. It may be n or more. */
int64_t gen_index(struct slice key);
/* The least index whose record comes after `key` in the order of ids, or after (stamp, key) when by_stamp. */
uint64_t gen_after(const struct gen *g, struct slice key, bool by_stamp, int64_t stamp_us);

#endif
