/* The running bridge: what its threads share. Public to app/ are the functions at the top; the structures are
 * flow's own.
 *
 * Threads: membership (ownership.c) polls the group and keeps partitions open or closed as it says; prober
 * (probe.c) owns the schedule, the HTTP engine and each listener's `phase`; workers (worker.c) take jobs:
 * open or close a partition, or go on with a listener's run (run.c). They meet in the partitions
 * (kafka/partition.h), in the job queue and in the prober's mailbox. */
#ifndef AB_FLOW_BRIDGE_H
#define AB_FLOW_BRIDGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "argilla.h"
#include "backoff.h"
#include "command.h"
#include "expr.h"
#include "listener_state.h"
#include "log.h"
#include "partition.h"
#include "schedule.h"
#include "status.h"
#include "topics.h"

struct bridge;

struct bridge_options {
    const char *once_listener; /* only this listener, one poll, then stop; NULL: a service */
    bool force;                /* once: run even if the condition is false */
    /* once: called by a worker after each chunk; `total` -1 when unknown */
    void (*on_progress)(void *arg, const char *listener, int64_t n_records, int64_t total);
    void *arg;
};

/* `config` and `log` outlive it; a reload brings further configs. Nothing is connected yet. */
int bridge_new(const struct config *config, struct log *log, const struct bridge_options *options,
               struct bridge **ret, struct err *e);
/* Starts the threads. -1 FATAL when the system has no more threads. */
int bridge_start(struct bridge *b, struct err *e);
/* Asks for the end: intake stops, chunks in flight are settled, the group is left. `fast`: give up on what is
 * in flight (Kafka aborts it). Any thread. */
void bridge_stop(struct bridge *b, bool fast);
/* Waits for a stop, or until `*interrupt` is set by who then calls bridge_nudge, at most `timeout_ms` (-1:
 * for ever). True: the bridge is stopping. */
bool bridge_await(struct bridge *b, const atomic_bool *interrupt, int64_t timeout_ms);
void bridge_nudge(struct bridge *b);
/* Waits for the end of all threads. 0; -1 with what ended it: FATAL or CONFIG. */
int bridge_wait(struct bridge *b, struct err *e);
void bridge_free(struct bridge *b);

/* What `once` has come to, after bridge_wait. */
enum once_result { ONCE_NOTHING, ONCE_FALSE, ONCE_FIRED, ONCE_FAILED };
enum once_result bridge_once_result(struct bridge *b, struct err *ret_why);

/* ---- flow's own ---- */

enum phase {
    PHASE_OFF,     /* its partition is not ours or not ready */
    PHASE_WAITING, /* in the heap */
    PHASE_STOPPED, /* by a command: no polls */
    PHASE_PROBING, /* requests are out */
    PHASE_RUNNING, /* a worker has it, or it waits for one, or for a page of its scan */
    PHASE_COMMAND  /* a worker carries a command out */
};

/* How a worker gave a listener back. */
enum run_end {
    RUN_DONE,  /* completed (or ended as failed, told in a run message) */
    RUN_YIELD, /* others wait: the next chunk at the end of the queue */
    RUN_AGAIN, /* its state was read anew: look at once what there is to do */
    RUN_FAILED /* `err`: wait as its class says, then go on */
};

/* What the prober found when the condition held. */
struct fired {
    struct frozen_run frozen;
    int64_t run, total; /* total -1: not asked */
    uint64_t epoch;     /* of the state that it was decided on */
    int64_t fired_ms;
};

/* Why a reconcile takes no missing record for deleted. */
enum reconcile_hold {
    HOLD_NONE,
    HOLD_SHARE,   /* too many are missing */
    HOLD_DATASET, /* it is another dataset of the same name */
    HOLD_EMPTY    /* there is nothing in it any more */
};

/* mark.c */
struct listener_mark {
    struct changes_mark now;
    uint64_t epoch;        /* of the state that it builds on */
    int64_t durable_at_ms; /* `at_ms` of the durable one, 0: none */
};

struct run;
struct listener;
struct owned;

/* What a reload wants of a listener; taken up when it is between two polls (reload.c). */
struct listener_change {
    struct config_ref *config;        /* NULL: nothing is pending */
    const struct listener_config *to; /* in `config`; NULL: the listener is to go */
    bool is_same;                     /* only the config around it is new: its schedule isn't touched */
};

enum job_kind {
    JOB_OPEN,
    JOB_CLOSE,
    JOB_LOOK,
    JOB_RUN,
    JOB_COMMAND /* of a listener */,
    JOB_COMMANDS /* of a partition */
};

/* Which runs may go on (admission.c). The prober's. */
struct admission {
    struct listener **active;
    size_t n_active, n_slots;
    struct listener *waiting, **tail;
};

struct job {
    enum job_kind kind;
    struct listener *listener;
    struct owned *owned;
    struct job *next;
};

/* What has to be written to a listener's state without a command. */
enum control_duty {
    DUTY_NONE,
    DUTY_END_TRIGGER, /* its poll has been made, or comes too late */
    DUTY_VERIFY       /* are we still the one who may write it, or was somebody in between? */
};

struct command;
struct command_queue {
    struct command *first, **tail;
    size_t n;
};

/* A listener and its commands (commands.c). */
struct listener_control {
    struct command_queue waiting; /* under bridge->mutex */

    /* the prober's; the first four as the state says */
    bool is_stopped, has_trigger, is_forced;
    int64_t trigger_expires_at_ms;
    enum control_duty duty;
    int64_t due_ms; /* when it would go on, without the command */

    /* from the prober to the worker and back, in turns */
    struct command *running; /* NULL: the duty */
    bool has_changed;

    atomic_bool is_called; /* a command waits: a run gives its worker back after its chunk */
    atomic_bool must_verify;
};

struct listener {
    struct bridge *bridge;
    const struct listener_config *config; /* changes only between polls, under the listeners' lock */
    struct config_ref *config_ref;        /* what keeps it */
    struct partition *partition;
    struct listener_change change;
    atomic_bool must_yield; /* a run gives its worker up at the next chunk */

    /* the prober's */
    struct schedule_item due;
    int64_t grid_ms;          /* the true period's next tick */
    _Atomic enum phase phase; /* the prober's; others look */
    struct listener_control control;
    struct dataset_ref dataset; /* workspace NULL: to be found */
    struct probe *probe;
    struct backoff backoff;
    enum err_class told_class; /* of `told` */
    int told_status;
    char *told; /* the failure that is known to the log, NULL when well */
    bool told_file_won;

    /* from the prober to the worker and back, in turns */
    struct fired *fired; /* a run to begin; NULL: go on with what the state says */
    struct run *run;     /* a run that yielded, or is parked until a page comes */
    struct dataset_ref run_dataset;
    struct listener_mark mark; /* deliver = changes */
    atomic_ullong scan_id;     /* the last page's request: what a command cancels */
    enum run_end end;
    struct err err;

    atomic_int hold; /* enum reconcile_hold, as the last reconcile ended; anybody may read it */

    struct job job;
    struct listener *next_waiting; /* for a run to be admitted; the prober's, as the next */
    bool is_admitted;
    atomic_llong
        parked_ms; /* since when its run waits for a page without a worker, monotonic; 0: it doesn't */

    /* the worker's: what is known of its topics */
    atomic_llong topics_checked_ms,
        max_value_bytes; /* also set when its partition is opened, by another worker */

    struct listener *next_posted; /* in the mailbox, under bridge->mutex */
    bool is_posted, has_ended;

    struct listener_status status; /* under bridge->status.mutex */
};

/* The commands of one partition, as they come from their topic: one after the other (commands.c). Under
 * bridge->mutex. */
struct owned_commands {
    struct command_queue queue;
    bool is_reading;    /* they come, in order and without a gap */
    bool is_busy;       /* the first is being dealt with: by a job, or by its listener */
    bool has_restarted; /* the topic was made anew: offsets below the one that is kept are new ones */
    int64_t next_offset, skipped_to; /* to come; to be kept in the state, -1: nothing */
    int64_t try_ms, told_offset;     /* told: behind the one whose failure is in the log */
    struct job job;
};

/* One state partition and what membership wants of it. Under bridge->mutex. */
struct owned {
    struct bridge *bridge;
    struct partition *partition;
    size_t n_listeners;
    bool is_assigned; /* by the group, now; membership's own */
    bool is_kept;     /* by the group's last complete word; with listeners it is to be open */
    bool is_open, has_job, is_looked_at;
    bool must_close; /* somebody else may have had it since it was opened */
    unsigned attempts;
    int64_t next_try_ms;
    struct job job;
    struct owned_commands commands;
};

/* A config file's model that several listeners use: freed with the last. The prober counts. */
struct config_ref {
    struct config *config; /* NULL: the start's, which is main's */
    size_t n_users;
};

enum commands_topic { COMMANDS_TOPIC_UNKNOWN, COMMANDS_TOPIC_THERE, COMMANDS_TOPIC_MISSING };

struct bridge {
    const struct config *config; /* the start's: all but its listeners holds as long as the process */
    struct log *log;
    struct bridge_options options;
    struct http_engine *http;
    struct argilla *argilla;
    struct kafka_admin *admin;
    struct expr_cache *exprs;
    /* Any thread reads the list and each listener's config with this lock held; only the prober writes, and
     * only when it gets the lock at once. It is taken before `mutex`. */
    pthread_rwlock_t listeners_lock;
    struct listener **listeners;
    size_t n_listeners;
    struct reload *reload; /* a new list for the prober to take, or NULL; under mutex */
    pthread_cond_t reload_taken;
    bool has_changes;   /* the prober's: some listener's change is pending */
    char *reload_error; /* why the last reload was refused, or NULL; under mutex */
    int64_t loaded_ms;  /* wall; when the configuration in force was read; under mutex */
    struct owned *owned;
    int n_owned;

    atomic_bool is_stopping, is_stopping_fast, is_settled, prober_must_end;
    pthread_mutex_t mutex;
    pthread_cond_t has_job, stopped, command_done;
    struct job *jobs, **jobs_tail, *urgent_jobs;
    bool workers_must_end;
    struct listener *posted;
    struct err fatal; /* what ended it; class ERR_NONE when it was asked to */
    enum once_result once;
    struct err once_why;

    atomic_bool argilla_is_down, kafka_is_down;
    atomic_llong argilla_answered_ms; /* the last time, monotonic */
    pthread_t membership_thread, prober_thread, *workers;
    int n_workers;
    bool has_membership, has_prober;
    atomic_int commands_topic; /* enum commands_topic */
    atomic_ullong n_commands;
    struct membership *membership; /* its thread's own */
    struct schedule_heap heap;     /* the prober's */
    struct admission admission;
    struct status status;
    size_t n_started;
};

/* The one line that ends everything: first come, first kept. */
void bridge_fail(struct bridge *b, const struct err *e);

/* A listener for `c`, not yet polled; counts for its partition. Start, or the prober with the listeners'
 * lock. */
struct listener *listener_new(struct bridge *b, const struct listener_config *c, struct config_ref *ref);
/* Idle and unknown to every other thread. */
void listener_free(struct listener *l);
void config_ref_take(struct config_ref **to, struct config_ref *ref);
void config_ref_drop(struct config_ref **ref);

/* Waits for a stop, at most so long. True when there is one. */
bool bridge_wait_for_stop(struct bridge *b, int64_t ms);
/* `once` has come to an end, with why it failed (or NULL): the bridge stops. Does nothing in a service. Any
 * thread. */
void bridge_end_once(struct bridge *b, enum once_result result, const struct err *why);

/* ownership.c */
void *membership_main(void *bridge);
void ownership_open(struct owned *o);  /* a worker's */
void ownership_close(struct owned *o); /* a worker's */
/* A worker's: a partition without listeners is ours and stays closed; does it hold state all the same? */
void ownership_look(struct owned *o);

/* worker.c */
void *worker_main(void *bridge);
void jobs_push(struct bridge *b, struct job *job);
/* Do others wait for a worker? Then a run gives its worker up between chunks. */
bool jobs_wait(struct bridge *b);

/* probe.c */
void *prober_main(void *bridge);
/* Puts a listener into the prober's mailbox: its partition has come or gone, or (has_ended) a worker gives it
 * back. Any thread. */
void prober_post(struct listener *l, bool has_ended);

/* Its partition is ready: in the schedule, at once. */
void prober_start_listener(struct listener *l);

/* admission.c; the prober */
void admission_init(struct bridge *b);
/* Pushes the listener's job, now or when there is room. */
void admission_ask(struct listener *l);
/* Its run has ended. */
void admission_leave(struct listener *l);
/* Runs may have stalled meanwhile: lets others in. */
void admission_go_on(struct bridge *b);

/* reload.c; the prober, between polls. False: the listeners' lock was taken, call again soon. */
bool reload_go_on(struct bridge *b);
void reload_free(struct reload *r);

/* run.c. Gives the listener back between chunks, and what it has fetched for the next, when
 * control.is_called. */
/* A worker's. False: the run waits for a page, whose arrival pushes the listener's job again; the listener
 * isn't the caller's any more. */
bool run_go_on(struct listener *l);
void run_drop(struct listener *l);

/* The one way from a name to its listener; NULL: none. With the listeners' lock: once it is let go, the
 * listener may go too, unless a command was handed to it (command_give). Any thread. */
struct listener *bridge_find_listener(struct bridge *b, const char *name);

/* topics of a listener: makes them when missing, learns their limits. Worker. */
int listener_check_topics(struct listener *l, struct err *e);

/* health.c: a state change is logged once */
/* What became of a request made at `asked_ms` (monotonic); `e` NULL: it was answered. */
void health_argilla(struct bridge *b, const struct err *e, int64_t asked_ms);
void health_kafka(struct bridge *b, const struct err *e);
void health_listener(struct listener *l, const struct err *e /* NULL: well */);

/* A reconcile holds (`text` says why and what to do), or has ended well. */
void health_reconcile(struct listener *l, enum reconcile_hold hold, const char *text);

/* mark.c: the mark of deliver = changes. Whoever has the listener now: prober or worker. */
/* Makes l->mark the one that belongs to this reading of the state. -1 RETRY or FATAL. */
int mark_load(struct listener *l, uint64_t epoch, struct err *e);
void mark_keep(struct listener *l, const struct changes_mark *m, uint64_t epoch, bool is_durable);
/* Is the durable one so old that a restart would look back for long? */
bool mark_is_due(const struct listener *l, int64_t at_ms);
void mark_release(struct listener *l);

#endif
