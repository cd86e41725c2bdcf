/* GET /metrics, in Prometheus' text format 0.0.4. Names follow its conventions: base units, `_total` for
 * counters, process_* as every program has them. All numbers of a listener are taken at one moment, so that
 * the ledger (matched = published + unchanged + oversize) holds in each answer. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bridge.h"
#include "clock.h"

/* A listener's numbers at one moment. */
struct sample {
    char *name;
    const char *state;
    double interval_s;
    bool is_holding;
    struct status_numbers n;
};
struct samples {
    struct sample *items;
    size_t n, cap;
    int64_t now_ms, now_mono_ms;
    struct buf *ret;
};

static void take_sample(struct listener *l, void *arg)
{
    struct samples *s = arg;
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 16;
        s->items = xrealloc(s->items, s->cap * sizeof *s->items);
    }
    struct sample *item = &s->items[s->n++];
    *item = (struct sample){
        .name = xstrdup(l->config->name), .n = status_numbers_of(l), .interval_s = l->config->interval_s};
    item->is_holding = atomic_load(&l->hold) != HOLD_NONE;
    item->state = status_word(l, &item->n);
}

static void release_samples(struct samples *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->items[i].name);
    free(s->items);
}

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* As the format wants it: backslash, quote and line feed escaped. */
static void add_label(struct buf *b, const char *name, const char *value)
{
    buf_addf(b, "%s=\"", name);
    for (; *value; value++) {
        if (*value == '\n')
            buf_addstr(b, "\\n");
        else if (*value == '\\' || *value == '"')
            buf_addf(b, "\\%c", *value);
        else
            buf_addch(b, *value);
    }
    buf_addch(b, '"');
}

static void one(struct buf *b, const char *name, const char *type, const char *help, double value)
{
    head(b, name, type, help);
    buf_addf(b, "%s %.15g\n", name, value);
}

static void listener_sample(struct buf *b, const char *name, const struct sample *s, const char *label,
                            const char *label_value)
{
    buf_addf(b, "%s{", name);
    add_label(b, "listener", s->name);
    if (label && label_value) {
        buf_addch(b, ',');
        add_label(b, label, label_value);
    }
    buf_addstr(b, "} ");
}

static const struct {
    const char *name, *help;
    size_t offset;
} counters[] = {
#define COUNTER(field) offsetof(struct status_counters, field)
    {"polls_total", "Polls that began.", COUNTER(polls)},
    {"polls_fired_total", "Polls whose condition held, or that have none.", COUNTER(fired)},
    {"records_matched_total", "Records that runs found: published, unchanged or oversize.", COUNTER(matched)},
    {"records_published_total", "Records sent to Kafka and committed.", COUNTER(published)},
    {"records_unchanged_total", "Records not sent, because they were sent as they are.", COUNTER(unchanged)},
    {"records_oversize_total", "Records not sent, because they are larger than a message may be.",
     COUNTER(oversize)},
    {"records_deleted_total", "Tombstones of records that are gone.", COUNTER(deleted)},
    {"records_removed_total", "Tombstones of records that match no longer.", COUNTER(removed)},
    {"batches_total", "Batch messages committed.", COUNTER(batches)},
    {"published_bytes_total", "Bytes of keys and values committed, run messages included.", COUNTER(bytes)},
#undef COUNTER
};

static void write_counters(struct samples *s)
{
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        char name[96];
        (void)snprintf(name, sizeof name, "argilla_bridge_%s", counters[i].name);
        head(s->ret, name, "counter", counters[i].help);
        for (size_t k = 0; k < s->n; k++) {
            listener_sample(s->ret, name, &s->items[k], NULL, NULL);
            const char *at = (const char *)&s->items[k].n.counters + counters[i].offset;
            buf_addf(s->ret, "%lld\n", (long long)*(const int64_t *)(const void *)at);
        }
    }
}

static void write_runs_and_failures(struct samples *s)
{
    struct buf *b = s->ret;
    head(b, "argilla_bridge_runs_total", "counter", "Runs that ended, by how.");
    for (size_t i = 0; i < s->n; i++) {
        const struct status_counters *c = &s->items[i].n.counters;
        listener_sample(b, "argilla_bridge_runs_total", &s->items[i], "status", "completed");
        buf_addf(b, "%lld\n", (long long)c->completed);
        listener_sample(b, "argilla_bridge_runs_total", &s->items[i], "status", "failed");
        buf_addf(b, "%lld\n", (long long)c->failed);
    }
    head(b, "argilla_bridge_failures_total", "counter",
         "Polls and runs that failed, by class; what fails is tried again.");
    for (size_t i = 0; i < s->n; i++)
        for (int class = ERR_RETRY; class <= ERR_FATAL; class ++)
            if (s->items[i].n.counters.failures[class]) {
                listener_sample(b, "argilla_bridge_failures_total", &s->items[i], "class",
                                err_class_name((enum err_class) class));
                buf_addf(b, "%lld\n", (long long)s->items[i].n.counters.failures[class]);
            }
}

static bool is_here(const struct sample *s)
{
    return strcmp(s->state, "elsewhere") != 0;
}

static void write_gauge(struct samples *s, const char *name, const char *help,
                        bool (*value)(const struct samples *, const struct sample *, double *ret))
{
    head(s->ret, name, "gauge", help);
    for (size_t i = 0; i < s->n; i++) {
        double v;
        if (!is_here(&s->items[i]) || !value(s, &s->items[i], &v))
            continue;
        listener_sample(s->ret, name, &s->items[i], NULL, NULL);
        buf_addf(s->ret, "%.15g\n", v);
    }
}

static bool is_well(const struct samples *s, const struct sample *i, double *ret)
{
    (void)s;
    *ret = i->n.error.class == ERR_NONE;
    return true;
}

static bool is_stopped(const struct samples *s, const struct sample *i, double *ret)
{
    (void)s;
    *ret = i->n.is_stopped;
    return true;
}

static bool holds(const struct samples *s, const struct sample *i, double *ret)
{
    (void)s;
    *ret = i->is_holding;
    return true;
}

static bool matches(const struct samples *s, const struct sample *i, double *ret)
{
    (void)s;
    *ret = (double)i->n.total;
    return i->n.total >= 0;
}

static bool last_success(const struct samples *s, const struct sample *i, double *ret)
{
    (void)s;
    *ret = (double)i->n.last_success_ms / 1000;
    return i->n.last_success_ms != 0;
}

static bool since_success(const struct samples *s, const struct sample *i, double *ret)
{
    *ret = (double)(s->now_ms - i->n.last_success_ms) / 1000;
    return i->n.last_success_ms != 0;
}

static bool lag(const struct samples *s, const struct sample *i, double *ret)
{
    int64_t due = i->n.due_mono_ms;
    *ret = due && s->now_mono_ms > due ? (double)(s->now_mono_ms - due) / 1000 : 0;
    return true;
}

static bool interval(const struct samples *s, const struct sample *i, double *ret)
{
    (void)s;
    *ret = i->interval_s;
    return true;
}

static void write_gauges(struct samples *s)
{
    write_gauge(s, "argilla_bridge_listener_up", "1: its last poll went well, or none has failed yet.",
                is_well);
    write_gauge(s, "argilla_bridge_listener_stopped", "1: a stop holds it.", is_stopped);
    write_gauge(s, "argilla_bridge_listener_reconcile_holds",
                "1: its last reconcile took nothing that is missing for deleted; somebody must look.", holds);
    write_gauge(s, "argilla_bridge_listener_matches", "Records that matched at its last poll.", matches);
    write_gauge(s, "argilla_bridge_listener_last_success_timestamp_seconds", "When a poll last went well.",
                last_success);
    write_gauge(s, "argilla_bridge_listener_since_success_seconds", "How long ago that was.", since_success);
    write_gauge(s, "argilla_bridge_listener_lag_seconds", "How long its poll has been due.", lag);
    write_gauge(s, "argilla_bridge_listener_interval_seconds", "The interval that it is to keep.", interval);
}

static void write_states(struct samples *s)
{
    static const char *const words[] = {"waiting", "probing", "running",   "stopped",
                                        "paused",  "failing", "elsewhere", "opening"};
    head(s->ret, "argilla_bridge_listeners", "gauge", "Listeners of the configuration, by state.");
    for (size_t w = 0; w < ARRAY_LEN(words); w++) {
        size_t n = 0;
        for (size_t i = 0; i < s->n; i++)
            n += strcmp(s->items[i].state, words[w]) == 0;
        buf_addf(s->ret, "argilla_bridge_listeners{state=\"%s\"} %zu\n", words[w], n);
    }
}

/* `label` NULL: none. */
static void write_histogram(struct buf *b, const char *name, const char *label, const char *label_value,
                            const struct histogram *h)
{
    uint64_t n = 0;
    char labels[128] = "";
    if (label)
        (void)snprintf(labels, sizeof labels, "%s=\"%s\"", label, label_value);
    for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        n += h->counts[i];
        buf_addf(b, "%s_bucket{%s%sle=\"%.15g\"} %llu\n", name, labels, label ? "," : "",
                 (double)histogram_bounds_ms[i] / 1000, (unsigned long long)n);
    }
    n += h->counts[HISTOGRAM_BUCKETS];
    buf_addf(b, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, labels, label ? "," : "", (unsigned long long)n);
    const char *open = label ? "{" : "", *close = label ? "}" : "";
    buf_addf(b, "%s_sum%s%s%s %.15g\n", name, open, labels, close, (double)h->sum_ms / 1000);
    buf_addf(b, "%s_count%s%s%s %llu\n", name, open, labels, close, (unsigned long long)n);
}

static void write_lateness(struct bridge *b, struct buf *ret)
{
    (void)pthread_mutex_lock(&b->status.mutex);
    struct histogram lateness = b->status.lateness;
    (void)pthread_mutex_unlock(&b->status.mutex);
    head(ret, "argilla_bridge_poll_lateness_seconds", "histogram", "From when a poll was due to its start.");
    write_histogram(ret, "argilla_bridge_poll_lateness_seconds", NULL, NULL, &lateness);
}

static void http_counter(struct buf *b, const struct http_stats *s, const char *name, const char *help,
                         size_t offset)
{
    head(b, name, "counter", help);
    for (size_t i = 0; i < HTTP_OPERATIONS_MAX && s->operations[i].name; i++) {
        const char *at = (const char *)&s->operations[i] + offset;
        buf_addf(b, "%s{operation=\"%s\"} %llu\n", name, s->operations[i].name,
                 (unsigned long long)*(const uint64_t *)(const void *)at);
    }
}

static void write_http(struct bridge *bridge, struct buf *b)
{
    struct http_stats s;
    http_engine_stats(bridge->http, &s);
    http_counter(b, &s, "argilla_bridge_http_requests_total", "Requests to Argilla that ended.",
                 offsetof(struct http_operation_stats, n_requests));
    http_counter(b, &s, "argilla_bridge_http_request_errors_total", "Requests to Argilla that failed.",
                 offsetof(struct http_operation_stats, n_failed));
    http_counter(b, &s, "argilla_bridge_http_response_bytes_total", "Bytes of Argilla's answers.",
                 offsetof(struct http_operation_stats, n_bytes));
    head(b, "argilla_bridge_http_request_duration_seconds", "histogram",
         "From sending a request to its end.");
    for (size_t i = 0; i < HTTP_OPERATIONS_MAX && s.operations[i].name; i++)
        write_histogram(b, "argilla_bridge_http_request_duration_seconds", "operation", s.operations[i].name,
                        &s.operations[i].took);
    one(b, "argilla_bridge_http_requests_active", "gauge", "Requests to Argilla on their way.", s.n_active);
    one(b, "argilla_bridge_http_requests_queued", "gauge", "Requests to Argilla that wait.", s.n_queued);
    one(b, "argilla_bridge_argilla_up", "gauge", "0: Argilla does not answer.",
        !atomic_load(&bridge->argilla_is_down));
}

static void write_kafka(struct bridge *bridge, struct buf *b)
{
    struct partition_stats sum = {0}, s;
    struct status_partitions p = status_partitions_of(bridge);
    for (int i = 0; i < bridge->n_owned; i++) {
        partition_get_stats(bridge->owned[i].partition, &s);
        sum.n_commits += s.n_commits;
        sum.n_failed += s.n_failed;
        sum.n_chunks += s.n_chunks;
        sum.n_opens += s.n_opens;
        sum.n_fenced += s.n_fenced;
        sum.n_replaced += s.n_replaced;
        histogram_merge(&sum.took, &s.took);
    }
    head(b, "argilla_bridge_transactions_total", "counter", "Kafka transactions, by how they ended.");
    buf_addf(b, "argilla_bridge_transactions_total{result=\"committed\"} %llu\n",
             (unsigned long long)sum.n_commits);
    buf_addf(b, "argilla_bridge_transactions_total{result=\"failed\"} %llu\n",
             (unsigned long long)sum.n_failed);
    head(b, "argilla_bridge_transaction_duration_seconds", "histogram", "From begin to the end of commit.");
    write_histogram(b, "argilla_bridge_transaction_duration_seconds", NULL, NULL, &sum.took);
    one(b, "argilla_bridge_chunks_total", "counter", "Chunks of runs that were committed.",
        (double)sum.n_chunks);
    one(b, "argilla_bridge_partition_opens_total", "counter", "Fences with a reading of the state.",
        (double)sum.n_opens);
    one(b, "argilla_bridge_fenced_total", "counter", "Times another instance had taken a partition over.",
        (double)sum.n_fenced);
    one(b, "argilla_bridge_producers_replaced_total", "counter",
        "Producers replaced after a lost connection.", (double)sum.n_replaced);
    head(b, "argilla_bridge_partitions", "gauge", "State partitions of this instance.");
    buf_addf(b,
             "argilla_bridge_partitions{state=\"owned\"} %d\nargilla_bridge_partitions{state=\"open\"} %d\n",
             p.owned, p.open);
    one(b, "argilla_bridge_kafka_up", "gauge", "0: Kafka does not answer.",
        !atomic_load(&bridge->kafka_is_down));
}

static double resident_bytes(void)
{
    long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%*s %lld", &pages) != 1)
        pages = 0;
    if (f)
        (void)fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d)
        return 0;
    while (readdir(d))
        n++;
    (void)closedir(d);
    return n - 3; /* ".", ".." and the folder itself */
}

static void write_process(struct bridge *bridge, struct buf *b)
{
    struct timespec cpu = {0};
    struct rlimit fds = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    (void)getrlimit(RLIMIT_NOFILE, &fds);
    int64_t started_ms = bridge->status.started_ms;
    (void)pthread_mutex_lock(&bridge->mutex);
    int64_t loaded_ms = bridge->loaded_ms;
    bool is_loaded = !bridge->reload_error;
    (void)pthread_mutex_unlock(&bridge->mutex);
    head(b, "argilla_bridge_build_info", "gauge", "1, with the version.");
    buf_addstr(b, "argilla_bridge_build_info{version=\"" AB_VERSION "\"} 1\n");
    one(b, "argilla_bridge_config_last_reload_successful", "gauge",
        "0: the last reload failed, the old one goes on.", is_loaded);
    one(b, "argilla_bridge_config_last_reload_success_timestamp_seconds", "gauge",
        "When the configuration that holds was read.", (double)loaded_ms / 1000);
    one(b, "process_start_time_seconds", "gauge", "When the process started.", (double)started_ms / 1000);
    one(b, "process_cpu_seconds_total", "counter", "CPU time, user and system.",
        (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    one(b, "process_resident_memory_bytes", "gauge", "Memory in use.", resident_bytes());
    one(b, "process_open_fds", "gauge", "Open files and connections.", open_fds());
    one(b, "process_max_fds", "gauge", "The most of them that may be.", (double)fds.rlim_cur);
}

void status_write_metrics(struct bridge *b, struct buf *ret)
{
    struct samples s = {.ret = ret};
    status_each_listener(b, take_sample, &s);
    s.now_ms = clock_wall_ms();
    s.now_mono_ms = clock_mono_ms();
    write_counters(&s);
    write_runs_and_failures(&s);
    write_gauges(&s);
    write_states(&s);
    release_samples(&s);
    write_lateness(b, ret);
    write_http(b, ret);
    write_kafka(b, ret);
    write_process(b, ret);
}
