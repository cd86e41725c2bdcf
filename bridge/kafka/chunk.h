/* What one listener wants in one transaction: messages for subscribers and the state that goes with them.
 * Made by a run, handed to its partition (partition.h), which tells the outcome. Every byte that it points to
 * belongs to the run and stays until partition_commit has returned: nothing is copied. */
#ifndef AB_KAFKA_CHUNK_H
#define AB_KAFKA_CHUNK_H

#include <stdint.h>

#include "err.h"
#include "mem.h"

struct kafka_header {
    const char *name;
    struct slice value;
};

struct kafka_headers {
    const struct kafka_header *items;
    size_t n;
};

enum { MESSAGE_OWN_HEADERS = 6 };
struct kafka_message {
    const char *topic;
    struct slice key;   /* p == NULL: no key */
    struct slice value; /* p == NULL: a tombstone */
    struct kafka_header headers[MESSAGE_OWN_HEADERS];
    size_t n_headers;
};

struct state_write {
    struct slice key;
    struct slice value; /* p == NULL: a tombstone */
};

enum chunk_outcome {
    CHUNK_PENDING,
    CHUNK_COMMITTED, /* messages and state are durable and visible */
    CHUNK_REFUSED, /* `err` says why these messages can't be had by Kafka now; nothing of it is visible, state
                      as it was */
    CHUNK_STALE /* the state was read again or the partition is lost: take the state anew and go on from there
                 */
};

struct chunk {
    struct kafka_message *messages;
    size_t n_messages;
    struct kafka_headers headers; /* those that all its messages carry */
    struct state_write *writes;   /* at least one, and one that changes the state: a chunk is known by it */
    size_t n_writes;
    size_t size_bytes; /* of keys, values and headers, for the bound of group commit */
    uint64_t epoch;    /* partition_get's: which reading of the state it builds on */

    enum chunk_outcome outcome;
    struct err err;
    enum chunk_outcome verdict; /* the partition's: what `outcome` will be once it is told */
    struct chunk *next;         /* the partition's */
};

#endif
