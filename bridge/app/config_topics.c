/* What the listeners' topics would do to each other: found at `check`, not when records are gone. */
#include "config_read.h"
#include "config_text.h"

enum { LINE_SIZE = 512 };

/* One use of a topic. */
struct use {
    const char *topic;
    const struct listener_config *listener;
    const config_setting_t *at;
    bool is_runs; /* run messages; else records or batches */
};

static bool is_compacted(const struct listener_config *l)
{
    return strstr(l->topic_cleanup_policy, "compact") != NULL;
}

static const config_setting_t *place(const struct use *u)
{
    return cfg_member_or_group(u->at, u->is_runs ? "metrics_topic" : "topic");
}

static const char *where(struct cfg *c, const struct use *seen, const struct use *from, char ret[LINE_SIZE])
{
    return cfg_line_of(c, seen->at, from->at, ret, LINE_SIZE);
}

static int by_topic(const void *a, const void *b)
{
    const struct use *x = a, *y = b;
    int r = strcmp(x->topic, y->topic);
    if (r)
        return r;
    if (x->listener != y->listener)
        return x->listener < y->listener ? -1 : 1;
    return (int)x->is_runs - (int)y->is_runs;
}

/* Batches replace each other where only the last message of a key is kept, or have no key at all. */
static void check_batches(struct cfg *c, const struct use *u)
{
    const struct listener_config *l = u->listener;
    if (u->is_runs || l->publish != PUBLISH_BATCHES || !is_compacted(l))
        return;
    const config_setting_t *own = cfg_member(u->at, "topic_cleanup_policy");
    cfg_error(c, own ? own : place(u), "batches can't go to a compacted topic (%s): %s", l->topic,
              l->batch_key == BATCH_KEY_NONE ? "they have no key" : "each would replace the one before");
    cfg_hint(c, "publish = \"records\", or topic_cleanup_policy = \"delete\"%s",
             own ? "" : " (this one is bridge.topic_cleanup_policy)");
}

static void check_state(struct cfg *c, const struct use *u)
{
    static const char *const internal[] = {"__consumer_offsets", "__transaction_state", "__cluster_metadata"};
    if (strcmp(u->topic, c->config->bridge.state_topic) == 0) {
        cfg_error(c, place(u), "%s is bridge.state_topic: nothing else may be written there", u->topic);
        cfg_hint(c, "give it a topic of its own");
    }
    if (strcmp(u->topic, c->config->bridge.commands_topic) == 0) {
        cfg_error(c, place(u), "%s is bridge.commands_topic: nothing but commands may be written there",
                  u->topic);
        cfg_hint(c, "give it a topic of its own");
    }
    for (size_t i = 0; i < ARRAY_LEN(internal); i++)
        if (strcmp(u->topic, internal[i]) == 0)
            cfg_error(c, place(u), "%s is a topic of Kafka's own", u->topic);
}

/* Two listeners, the same topic, which can only have one policy and one number of partitions. */
static void check_same_settings(struct cfg *c, const struct use *first, const struct use *u)
{
    const struct listener_config *a = first->listener, *b = u->listener;
    char line[LINE_SIZE];
    if (strcmp(a->topic_cleanup_policy, b->topic_cleanup_policy) != 0) {
        cfg_error(c, cfg_member_or_group(u->at, "topic_cleanup_policy"),
                  "%s is \"%s\" here and \"%s\" for listener %s (%s)", u->topic, b->topic_cleanup_policy,
                  a->topic_cleanup_policy, a->name, where(c, first, u, line));
        cfg_hint(c, "one topic has one topic_cleanup_policy");
    } else if (a->publish == PUBLISH_RECORDS && b->publish == PUBLISH_RECORDS && is_compacted(b)) {
        cfg_error(c, place(u), "%s is compacted, and listener %s (%s) publishes records there too", u->topic,
                  a->name, where(c, first, u, line));
        cfg_hint(c, "records of one id would replace each other: a topic for each");
    }
    if (a->topic_partitions != b->topic_partitions) {
        cfg_error(c, cfg_member_or_group(u->at, "topic_partitions"),
                  "%s has %d partitions here and %d for listener %s (%s)", u->topic, b->topic_partitions,
                  a->topic_partitions, a->name, where(c, first, u, line));
        cfg_hint(c, "one topic has one topic_partitions");
    }
}

/* Does `a` write tombstones that mean records which `b` published under the same key? Also for readers of a
 * topic that isn't compacted: they fold it by key themselves. The same query on both sides doesn't help: a
 * scan of one may publish a record that the other has just buried, and nobody would bury it again. Batches
 * have no record's key. */
static bool buries(const struct listener_config *a, const struct listener_config *b)
{
    return a->deliver == DELIVER_CHANGES && a->query_records && b->publish == PUBLISH_RECORDS &&
           b->query_records;
}

/* Against those before it: the first that doesn't go with it. */
static void check_tombstones(struct cfg *c, const struct use *uses, const struct use *u)
{
    const struct listener_config *b = u->listener;
    char line[LINE_SIZE];
    for (const struct use *first = uses; first < u && !u->is_runs; first++) {
        const struct listener_config *a = first->listener;
        bool is_said = a->publish == PUBLISH_RECORDS && b->publish == PUBLISH_RECORDS && is_compacted(b);
        if (first->is_runs || is_said || (!buries(a, b) && !buries(b, a)))
            continue;
        cfg_error(c, place(u),
                  "%s is the topic of listener %s (%s) too: the tombstones of deliver = \"changes\" %s",
                  u->topic, a->name, where(c, first, u, line),
                  buries(a, b) && buries(b, a) ? "would delete each other's records"
                  : buries(a, b)               ? "there would delete the records from here"
                                               : "from here would delete its records");
        cfg_hint(c, "a topic for each");
        return;
    }
}

/* Run messages, keyed by listener, beside records that are kept for ever or compacted. */
static void check_runs(struct cfg *c, const struct use *records, const struct use *runs)
{
    char line[LINE_SIZE];
    if (!is_compacted(records->listener))
        return;
    cfg_error(c, place(runs), "%s takes run messages, but is compacted for listener %s (%s)", runs->topic,
              records->listener->name, where(c, records, runs, line));
    cfg_hint(c, "only the last run would be kept: give metrics_topic a topic of its own");
}

/* The uses of one topic: each against the first of its kind, runs against the first records. */
static void check_uses(struct cfg *c, const struct use *uses, size_t n)
{
    const struct use *records = NULL;
    for (size_t i = 0; i < n; i++) {
        check_state(c, &uses[i]);
        check_batches(c, &uses[i]);
        if (!uses[i].is_runs && records)
            check_same_settings(c, records, &uses[i]);
        if (!uses[i].is_runs && !records)
            records = &uses[i];
        check_tombstones(c, uses, &uses[i]);
    }
    for (size_t i = 0; records && i < n; i++)
        if (uses[i].is_runs)
            check_runs(c, records, &uses[i]);
}

/* The broker refuses to make a topic that differs from another by '.' and '_' only (they name the same
 * metrics). `uses` is sorted by name; those that collide need not be neighbours, so by the folded name. */
static int by_folded(const void *a, const void *b)
{
    const struct use *const *x = a, *const *y = b;
    const char *s = (*x)->topic, *t = (*y)->topic;
    while (*s && (*s == '.' ? '_' : *s) == (*t == '.' ? '_' : *t))
        s++, t++;
    int r = (*s == '.' ? '_' : *s) - (*t == '.' ? '_' : *t);
    return r ? r : (*x > *y) - (*x < *y);
}

static void check_collisions(struct cfg *c, const struct use *uses, size_t n)
{
    cleanup_free const struct use **sorted = xcalloc(n + 1, sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = &uses[i];
    qsort(sorted, n, sizeof *sorted, by_folded);
    for (size_t i = 1; i < n; i++) {
        const struct use *a = sorted[i - 1], *b = sorted[i];
        char line[LINE_SIZE];
        if (strcmp(a->topic, b->topic) == 0 || !text_topics_collide(a->topic, b->topic))
            continue;
        if (b->listener < a->listener)
            a = sorted[i], b = sorted[i - 1];
        cfg_error(c, place(b), "topic %s collides with %s (%s): Kafka takes . and _ for the same", b->topic,
                  a->topic, where(c, a, b, line));
        cfg_hint(c, "rename one of them");
    }
}

/* The topics of the listeners that are complete; the others were reported. */
static size_t list_uses(const struct cfg *c, struct use *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < c->config->n_listeners; i++) {
        const struct listener_config *l = &c->config->listeners[i];
        if (!l->name || !l->topic_cleanup_policy)
            continue;
        if (l->topic && l->query_records)
            ret[n++] = (struct use){l->topic, l, c->listener_at[i], false};
        if (l->metrics_topic)
            ret[n++] = (struct use){l->metrics_topic, l, c->listener_at[i], true};
    }
    return n;
}

void cfg_check_topics(struct cfg *c)
{
    cleanup_free struct use *uses = xcalloc(2 * c->config->n_listeners + 1, sizeof *uses);
    size_t n = list_uses(c, uses), end;
    qsort(uses, n, sizeof *uses, by_topic);
    for (size_t i = 0; i < n; i = end) {
        for (end = i + 1; end < n && strcmp(uses[end].topic, uses[i].topic) == 0;)
            end++;
        check_uses(c, uses + i, end - i);
    }
    if (c->config->bridge.create_topics)
        check_collisions(c, uses, n);
}
