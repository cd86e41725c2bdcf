/* GET /listeners. Its fields are part of the interface: added to, never changed. */
#include <stdio.h>

#include "bridge.h"
#include "clock.h"

static void add_str(struct buf *b, const char *key, const char *value)
{
    buf_addf(b, "\"%s\":", key);
    if (value)
        buf_addjson(b, value, strlen(value));
    else
        buf_addstr(b, "null");
}

static void add_time(struct buf *b, const char *key, int64_t wall_ms)
{
    char text[RFC3339_SIZE];
    if (wall_ms)
        clock_rfc3339(wall_ms, text);
    add_str(b, key, wall_ms ? text : NULL);
}

static void add_int(struct buf *b, const char *key, int64_t value)
{
    buf_addf(b, "\"%s\":%lld", key, (long long)value);
}

/* -1: null. */
static void add_count(struct buf *b, const char *key, int64_t value)
{
    if (value >= 0)
        add_int(b, key, value);
    else
        add_str(b, key, NULL);
}

/* The url as people may see it. The config takes none with a user or password; this is in case it ever does.
 */
static void add_url(struct buf *b, const char *key, const char *url)
{
    const char *host = strstr(url, "://");
    size_t scheme = host ? (size_t)(host - url) + 3 : 0, end = scheme + strcspn(url + scheme, "/");
    const char *at = memrchr(url + scheme, '@', end - scheme);
    cleanup_free char *shown = xasprintf("%.*s%s", (int)scheme, url, at ? at + 1 : url + scheme);
    add_str(b, key, shown);
}

static void add_progress(struct buf *b, const struct status_numbers *n)
{
    if (!n->has_run) {
        add_str(b, "progress", NULL);
        return;
    }
    buf_addstr(b, "\"progress\":{");
    add_int(b, "run", n->progress.run);
    buf_addch(b, ',');
    add_count(b, "total", n->progress.total);
    buf_addch(b, ',');
    add_int(b, "matched", n->progress.matched);
    buf_addch(b, ',');
    add_int(b, "published", n->progress.published);
    buf_addch(b, ',');
    add_time(b, "started", n->progress.started_ms);
    buf_addch(b, '}');
}

static void add_last_run(struct buf *b, const struct status_numbers *n)
{
    if (n->last_run.outcome == OUTCOME_NONE) {
        add_str(b, "last_run", NULL);
        return;
    }
    buf_addstr(b, "\"last_run\":{");
    add_int(b, "run", n->last_run.run);
    buf_addch(b, ',');
    add_str(b, "status", n->last_run.outcome == OUTCOME_COMPLETED ? "completed" : "failed");
    buf_addch(b, ',');
    add_int(b, "n_records", n->last_run.n_records);
    buf_addch(b, ',');
    add_int(b, "took_ms", n->last_run.took_ms);
    buf_addch(b, ',');
    add_time(b, "ended", n->last_run.ended_ms);
    buf_addch(b, '}');
}

static void add_counters(struct buf *b, const struct status_counters *c)
{
    int64_t failures = 0;
    for (size_t i = 0; i < ARRAY_LEN(c->failures); i++)
        failures += c->failures[i];
    buf_addf(
        b,
        "\"counters\":{\"polls\":%lld,\"fired\":%lld,\"completed\":%lld,\"failed\":%lld,\"failures\":%lld,"
        "\"matched\":%lld,\"published\":%lld,\"unchanged\":%lld,\"oversize\":%lld,\"deleted\":%lld,"
        "\"removed\":%lld,\"batches\":%lld,\"bytes\":%lld}",
        (long long)c->polls, (long long)c->fired, (long long)c->completed, (long long)c->failed,
        (long long)failures, (long long)c->matched, (long long)c->published, (long long)c->unchanged,
        (long long)c->oversize, (long long)c->deleted, (long long)c->removed, (long long)c->batches,
        (long long)c->bytes);
}

/* What keeps its reconcile from removing anything, for people; NULL: nothing does. */
static const char *hold_words(struct listener *l)
{
    switch ((enum reconcile_hold)atomic_load(&l->hold)) {
    case HOLD_SHARE:
        return "More records are missing than reconcile_max_missing_percent allows: none is taken for "
               "deleted.";
    case HOLD_DATASET:
        return "The dataset was made anew: nothing is taken for deleted. A reset starts over.";
    case HOLD_EMPTY:
        return "The dataset is empty: nothing is taken for deleted. A reset starts over.";
    default:
        return NULL;
    }
}

static void add_error(struct buf *b, const struct status_numbers *n, const char *text)
{
    if (n->error.class == ERR_NONE) {
        add_str(b, "error", NULL);
        return;
    }
    buf_addstr(b, "\"error\":{");
    add_str(b, "class", err_class_name(n->error.class));
    buf_addch(b, ',');
    add_str(b, "text", text);
    buf_addch(b, ',');
    add_time(b, "since", n->error.since_ms);
    buf_addch(b, ',');
    add_time(b, "next_try", n->next_poll_ms);
    buf_addch(b, '}');
}

/* What the configuration says of it. */
static void add_config(struct buf *b, const struct listener_config *c)
{
    add_str(b, "name", c->name);
    buf_addch(b, ',');
    add_str(b, "dataset", c->dataset);
    buf_addch(b, ',');
    add_str(b, "workspace", c->workspace);
    buf_addch(b, ',');
    add_str(b, "query", c->query);
    buf_addch(b, ',');
    add_str(b, "topic", c->query_records ? c->topic : NULL);
    buf_addch(b, ',');
    add_str(b, "metrics_topic", c->metrics_topic);
    buf_addch(b, ',');
    add_str(b, "deliver", c->deliver == DELIVER_MATCHES ? "matches" : "changes");
    buf_addch(b, ',');
    add_str(b, "publish", c->publish == PUBLISH_BATCHES ? "batches" : "records");
    buf_addf(b, ",\"interval_s\":%.15g,", c->interval_s);
}

struct writer {
    struct buf *ret;
    size_t n;
};

static void write_listener(struct listener *l, void *arg)
{
    static const char *const values[] = {"null", "false", "true"};
    struct writer *w = arg;
    struct buf *b = w->ret;
    (void)pthread_mutex_lock(&l->bridge->status.mutex);
    struct status_numbers n = l->status.n;
    cleanup_free char *params = l->status.query_params ? xstrdup(l->status.query_params) : NULL;
    cleanup_free char *error = l->status.error_text ? xstrdup(l->status.error_text) : NULL;
    (void)pthread_mutex_unlock(&l->bridge->status.mutex);
    const char *word = status_word(l, &n);
    if (strcmp(word, "elsewhere") == 0) /* what was seen when it was ours is another instance's to tell now */
        n = (struct status_numbers){.total = -1, .counters = n.counters};
    buf_addstr(b, w->n++ ? ",\n{" : "{");
    add_config(b, l->config);
    add_str(b, "state", word);
    buf_addf(b, ",\"stopped\":%s,", n.is_stopped ? "true" : "false");
    add_time(b, "last_poll", n.last_poll_ms);
    buf_addch(b, ',');
    add_time(b, "next_poll", n.next_poll_ms);
    buf_addch(b, ',');
    add_count(b, "total", n.total);
    buf_addch(b, ',');
    add_str(b, "condition", l->config->condition);
    buf_addf(b, ",\"condition_value\":%s,\"query_params\":%s,", values[n.condition],
             params && n.last_poll_ms ? params : "null");
    add_count(b, "run", n.run ? n.run : -1);
    buf_addch(b, ',');
    add_last_run(b, &n);
    buf_addch(b, ',');
    add_progress(b, &n);
    buf_addch(b, ',');
    add_counters(b, &n.counters);
    buf_addch(b, ',');
    add_str(b, "hold", hold_words(l));
    buf_addch(b, ',');
    add_error(b, &n, error);
    buf_addch(b, '}');
}

static void add_reload(struct buf *b, struct bridge *bridge)
{
    (void)pthread_mutex_lock(&bridge->mutex);
    int64_t loaded_ms = bridge->loaded_ms;
    cleanup_free char *error = bridge->reload_error ? xstrdup(bridge->reload_error) : NULL;
    (void)pthread_mutex_unlock(&bridge->mutex);
    add_time(b, "loaded_at", loaded_ms);
    buf_addch(b, ',');
    add_str(b, "reload_error", error);
}

void status_write_listeners(struct bridge *b, struct buf *ret)
{
    struct writer w = {.ret = ret};
    struct status_partitions p = status_partitions_of(b);
    buf_addch(ret, '{');
    add_str(ret, "instance", b->status.instance);
    buf_addch(ret, ',');
    add_str(ret, "version", AB_VERSION);
    buf_addch(ret, ',');
    add_str(ret, "group_id", b->config->bridge.group_id);
    buf_addch(ret, ',');
    add_time(ret, "now", clock_wall_ms());
    buf_addstr(ret, ",\"config\":{");
    add_str(ret, "path", b->config->path);
    buf_addch(ret, ',');
    add_reload(ret, b);
    buf_addstr(ret, "},\"argilla\":{");
    add_url(ret, "url", b->config->argilla.url);
    buf_addf(ret, ",\"up\":%s},\"kafka\":{\"up\":%s},\"partitions\":{\"owned\":%d,\"open\":%d,\"of\":%d},\n",
             atomic_load(&b->argilla_is_down) ? "false" : "true",
             atomic_load(&b->kafka_is_down) ? "false" : "true", p.owned, p.open, p.of);
    buf_addstr(ret, "\"listeners\":[\n");
    status_each_listener(b, write_listener, &w);
    buf_addstr(ret, "]}\n");
}
