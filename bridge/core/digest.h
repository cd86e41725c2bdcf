/* What a version of a record is known by: 64 bits over its canonical content. Two texts of one record have
 * the same digest when they say the same: object keys in any order, numbers by value (1 = 1.0 = 1e0, exactly,
 * never through a double), strings by their decoded bytes, arrays in order. Left out at the top:
 * `last_updated` and `metrics`, which are the server's.
 *
 * Digests are durable (the state partition holds them): another algorithm or seed would publish everything
 * once more. Two versions of one record that share a digest would be taken for one: 1 in 2^63. Pure; any
 * thread; no allocation. */
#ifndef AB_CORE_DIGEST_H
#define AB_CORE_DIGEST_H

#include <stdint.h>

#include "mem.h"

enum { DIGEST_HEX = 16 };

/* Of a record's text (an object, checked). At most 63 bits: the highest is free for others' use. What lies
 * deeper than JSON_MAX_DEPTH counts by its bytes. */
uint64_t digest_record(struct slice record);

/* What an id's text is known by in memory; never 0, and never durable. */
uint64_t digest_id(struct slice id);

/* 16 hex digits, no NUL. */
void digest_write(uint64_t digest, char ret[DIGEST_HEX]);
/* -1 when `text` isn't 16 lower-case hex digits of at most 63 bits. */
int digest_read(struct slice text, uint64_t *ret);

#endif
