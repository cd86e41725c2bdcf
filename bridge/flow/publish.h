/* From a page of records to the chunk that carries it: messages with their headers, the counts, the state
 * writes. No Kafka calls here; used by run.c on a worker. */
#ifndef AB_FLOW_PUBLISH_H
#define AB_FLOW_PUBLISH_H

#include "arena.h"
#include "bridge.h"

/* deliver = changes: what is published of a page, and what becomes known by it. */
struct page_filter {
    struct digest_look *items; /* one a record; ids are in the arena */
    size_t n_changed;
    struct arena arena;
};
void page_filter_release(struct page_filter *f);

/* A record whose tombstone goes out. */
struct gone_record {
    struct slice id;
    bool is_removed; /* it is there, but matches no longer; else it is deleted */
};

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

/* What one chunk of it carries. */
struct publish_part {
    const struct scan_page *page;     /* NULL: no records */
    const struct page_filter *filter; /* NULL: all of them are published */
    const struct gone_record *gone;
    size_t n_gone;
    int64_t n_skipped;               /* records of pages around it with nothing new */
    const char *cursor;              /* where the scan goes on after all that; NULL: as before */
    const struct changes_mark *mark; /* to be written with is_end; NULL: it stays */
    bool is_last_batch;              /* no records follow in this run */
    bool is_end;                     /* the run ends with it, by a run message */
    const char *failure;             /* why it failed, or NULL */
};

struct value;
/* A chunk and everything that it points to. Stays where it is: the chunk points into it. */
struct publish_chunk {
    struct arena arena;
    struct value *values; /* what the messages' values are, in the arena */
    size_t cap_messages, cap_writes;
    struct chunk chunk;
    struct kafka_header headers[6];
    struct run_progress after; /* progress once it is committed */
};
void publish_chunk_release(struct publish_chunk *c);

/* -1 BAD_INPUT when a record can't be projected or the ctx leaves no room for one. */
int publish_build(const struct publish_run *r, const struct publish_part *part, struct publish_chunk *ret,
                  struct err *e);

/* Appends the value-less or valued write of a state key; `key` and `value` stay the caller's. */
void publish_add_write(struct publish_chunk *c, struct slice key, struct slice value);
/* `digest/...` of the record with this id. Lives in the arena. */
struct slice publish_digest_key(struct arena *a, const char *listener, int64_t generation, struct slice id);
/* The id as text: what a record's key and subject are. Its bytes are the page's or the arena's. */
struct slice publish_id_text(struct arena *a, struct slice token);

#endif
