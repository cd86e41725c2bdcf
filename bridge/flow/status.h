/* What operators see of the bridge and of each listener: kept by the prober, the workers and membership in
 * few places, read by the admin interface (status_json.c, status_metrics.c, status_health.c).
 *
 * All of it is under one lock, held for some assignments at a time; the counters are of this process since
 * its start. A chunk whose commit was in doubt counts once the state read anew says that it landed, except a
 * run's last one. Writers: the thread named at each function. Readers: any thread between bridge_new and
 * bridge_free. */
#ifndef AB_FLOW_STATUS_H
#define AB_FLOW_STATUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "buf.h"
#include "err.h"
#include "histogram.h"

struct bridge;
struct listener;
struct run_progress;

struct status_counters {
    int64_t polls, fired, completed, failed;         /* the latter two: runs */
    int64_t matched, published, unchanged, oversize; /* matched = the sum of the others */
    int64_t deleted, removed, batches, bytes;        /* published */
    int64_t failures[ERR_FATAL + 1];                 /* of polls and runs, by class */
};

enum condition_seen { CONDITION_UNKNOWN, CONDITION_FALSE, CONDITION_TRUE };
enum run_outcome { OUTCOME_NONE, OUTCOME_COMPLETED, OUTCOME_FAILED };

/* What can be copied as it stands. `_ms` without more: wall time, 0: never; `_mono_ms`: monotonic, 0: not
 * now. */
struct status_numbers {
    int64_t last_poll_ms, next_poll_ms, last_success_ms;
    int64_t due_mono_ms;    /* while it waits in the schedule */
    int64_t handed_mono_ms; /* while it waits for a worker */
    int64_t lateness_ms;    /* of the last poll's start */
    int64_t total;          /* at the last poll; -1: not asked */
    enum condition_seen condition;
    bool is_stopped;
    int64_t run; /* the last run's number that is known here */
    struct {
        int64_t run, total, started_ms, matched, published, unchanged, oversize, deleted, removed, batches;
    } progress;   /* of the run under way, or of the last one */
    bool has_run; /* `progress` is of a run under way */
    struct {
        enum run_outcome outcome;
        int64_t run, n_records, took_ms, ended_ms;
    } last_run;
    struct {
        enum err_class class; /* ERR_NONE: well */
        int64_t since_ms;
    } error;
    struct status_counters counters;
};

struct listener_status {
    struct status_numbers n;
    char *query_params; /* JSON; NULL: not known, or too long to show */
    char *error_text;
};

struct status {
    pthread_mutex_t mutex; /* of all listener_status and of what follows */
    struct histogram lateness;
    int64_t started_ms;

    atomic_llong prober_mono_ms, membership_mono_ms; /* the last round of each thread */
    atomic_bool is_settled;                          /* the group has said what is ours */
    char instance[128];
};

/* bridge_new and bridge_free. */
void status_init(struct status *s, const char *instance_id);
void status_release(struct status *s);
void listener_status_release(struct listener_status *s);

/* ---- what the threads tell ---- */

/* A thread has come round. */
void status_beat(atomic_llong *mono_ms);

/* Prober. It waits until `due_mono_ms` | it doesn't wait any more, nothing has begun | its poll begins, which
 * was due then | a run is handed to the workers. */
void status_waits(struct listener *l, int64_t due_mono_ms);
void status_off(struct listener *l);
void status_poll_begins(struct listener *l, int64_t due_mono_ms);
void status_handed(struct listener *l);
/* Prober. All has answered: what was seen. `holds` NULL: there is no condition. */
void status_probed(struct listener *l, int64_t total, const bool *holds, const char *query_params,
                   int64_t run);
void status_fired(struct listener *l);
/* Prober. A poll, with its run if it fired, went well | failed. */
void status_well(struct listener *l);
void status_failed(struct listener *l, const struct err *e);
/* Any thread. Whether a `stop` holds it. */
void status_stopped(struct listener *l, bool is_stopped);

/* Worker. It has the listener | a run begins or goes on, from there | a chunk of it is committed | it has
 * ended; OUTCOME_NONE: it found nothing new and never was one. */
void status_taken(struct listener *l);
void status_run_begins(struct listener *l, const struct run_progress *p, int64_t total);
void status_committed(struct listener *l, const struct run_progress *p, size_t n_bytes);
void status_run_ended(struct listener *l, enum run_outcome outcome);

/* ---- what the admin interface asks ---- */

/* GET /listeners: one JSON object. */
void status_write_listeners(struct bridge *b, struct buf *ret);
/* GET /metrics: Prometheus' text format 0.0.4. */
void status_write_metrics(struct bridge *b, struct buf *ret);
/* Progress: threads come round, and what is due is done or has an error to show for it. What is wrong is
 * appended to `why` as JSON strings with commas between. */
bool status_is_healthy(struct bridge *b, struct buf *why);
/* Only that the threads come round: what a watchdog goes by, which ends the process. */
bool status_is_alive(struct bridge *b);
/* The group has assigned, what is ours is open, Kafka answers. `why` as above. */
bool status_is_ready(struct bridge *b, struct buf *why);
/* What is worth a word and stops nothing (a reload that failed), as above. */
void status_notes(struct bridge *b, struct buf *ret);

/* ---- between the parts of status ---- */

/* Calls `each` for every listener, in the order of the configuration, with the listeners' lock
 * held: a reload waits. It may take the status lock. */
void status_each_listener(struct bridge *b, void (*each)(struct listener *l, void *arg), void *arg);
/* In one word. `n` is its listener's, copied. */
const char *status_word(struct listener *l, const struct status_numbers *n);
struct status_numbers status_numbers_of(struct listener *l);
struct status_partitions {
    int owned, open, wanted, wanted_open, of;
};
struct status_partitions status_partitions_of(struct bridge *b);

#endif
