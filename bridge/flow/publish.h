/* From a page of records to the chunk that carries it: messages with their headers, the counts, the state
 * writes. No Kafka calls here; used by run.c on a worker. */
#ifndef AB_FLOW_PUBLISH_H
#define AB_FLOW_PUBLISH_H

#include "arena.h"
#include "bridge.h"

/* The run as publishing sees it; belongs to run.c. */
struct publish_run {
    struct listener *listener;
    struct listener_state state; /* before the run */
    struct frozen_run frozen;
    struct run_progress progress; /* what is durable */
    bool file_won;                /* the file's query_params replace what would follow */
    bool is_durable;              /* its ctx is in the state partition: some chunk of it has been committed */
    bool has_trigger;             /* somebody asked for it: trigger/NAME goes with its end */
    bool is_mute;                 /* its run message is refused: only the state ends it */
    uint64_t epoch;
};

struct value;
/* A chunk and everything that it points to. Stays where it is: the chunk points into it. */
struct publish_chunk {
    struct arena arena;
    struct value *values; /* what the messages' values are, in the arena */
    size_t cap_messages;
    struct chunk chunk;
    struct kafka_header headers[6];
    struct state_write writes[4];
    struct run_progress after; /* progress once it is committed */
};
void publish_chunk_release(struct publish_chunk *c);

/* Builds the chunk for `page` (NULL or empty: no records). `is_last`: the run ends with it, by a run message;
 * `failure` (or NULL) is then why it failed. -1 BAD_INPUT when a record can't be projected or the ctx leaves
 * no room for one. */
int publish_build(const struct publish_run *r, const struct scan_page *page, bool is_last,
                  const char *failure, struct publish_chunk *ret, struct err *e);

#endif
