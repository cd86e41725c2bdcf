/* /_sim/...: what tests, demos and benchmarks do to the simulator while it runs. No key is asked for. */
#include <stdio.h>

#include "json_scan.h"
#include "sim.h"

static void refuse(struct answer *a, const char *why)
{
    answer_detail(a, 400, why);
}

static int64_t get_number(struct slice body, const char *name, int64_t otherwise)
{
    struct slice token;
    int64_t n;
    return json_get(body, name, &token) && json_get_int64(token, &n) == 0 ? n : otherwise;
}

static double get_rate(struct slice body, const char *name, double otherwise)
{
    struct slice token;
    char copy[64];
    if (!json_get(body, name, &token) || json_type_of(token) != JSON_NUMBER || token.len >= sizeof copy)
        return otherwise;
    memcpy(copy, token.p, token.len);
    copy[token.len] = 0;
    double rate = strtod(copy, NULL);
    return rate >= 0 && rate <= 1e6 ? rate : otherwise;
}

static void ok(struct answer *a)
{
    buf_addstr(&a->body, "{\"ok\":true}");
}

static void control_faults(struct sim *sim, const struct request *r, struct slice body, struct answer *a)
{
    struct err e = {0};
    if (strcmp(r->method, "GET") == 0) {
        faults_write(&sim->faults, &a->body);
    } else if (strcmp(r->method, "DELETE") == 0) {
        faults_clear(&sim->faults);
        ok(a);
    } else if (faults_add(&sim->faults, body, &e)) {
        refuse(a, e.msg);
    } else {
        ok(a);
    }
}

static void control_stats(struct sim *sim, const struct request *r, struct answer *a)
{
    stats_write(&sim->stats, &a->body);
    if (strcmp(r->method, "DELETE") == 0)
        stats_clear(&sim->stats);
}

/* {"record": n} */
static void control_arrivals(struct sim *sim, const struct request *r, struct slice body, struct answer *a)
{
    if (strcmp(r->method, "GET") == 0) {
        arrivals_write(&sim->arrivals, &a->body);
        return;
    }
    int64_t n = get_number(body, "record", 0);
    arrivals_record(&sim->arrivals, n > 0 ? (size_t)n : 0);
    ok(a);
}

/* {"name","task","records","record_bytes","batch"} */
static void control_datasets(struct sim *sim, struct slice body, struct answer *a)
{
    cleanup_free char *name = get_text(body, "name"), *task = get_text(body, "task"),
                      *workspace = get_text(body, "workspace");
    int64_t n = get_number(body, "records", 0), bytes = get_number(body, "record_bytes", 0),
            batch = get_number(body, "batch", 0);
    const char *place = workspace ? workspace : sim->options.workspace;
    int t = task_of(slice_of(task ? task : "TextClassification"));
    if (!name || t < 0 || n < 0 || n > GEN_MAX_RECORDS || bytes < 0 || bytes > GEN_MAX_RECORD_BYTES ||
        batch < 0) {
        refuse(a, "a dataset is {\"name\", \"task\", \"records\", \"record_bytes\", \"batch\"}");
        return;
    }
    if (store_find(&sim->store, place, name))
        store_remove(&sim->store, store_find(&sim->store, place, name));
    (void)store_create(&sim->store, place, name, (enum task)t, (uint64_t)n, (size_t)bytes, (uint64_t)batch,
                       sim->options.seed);
    ok(a);
}

/* {"dataset","changes","adds"}: so many, now */
static void control_writes(struct sim *sim, struct slice body, struct answer *a)
{
    cleanup_free char *name = get_text(body, "dataset");
    struct dataset *ds = name ? store_find(&sim->store, sim->options.workspace, name) : NULL;
    int64_t changes = get_number(body, "changes", 0), adds = get_number(body, "adds", 0);
    if (!ds || changes < 0 || adds < 0) {
        refuse(a, "writes are {\"dataset\", \"changes\", \"adds\"}, the dataset one that is there");
        return;
    }
    dataset_add(ds, (uint64_t)adds);
    dataset_change(ds, (uint64_t)changes, (uint64_t)store_now_us() * 2654435761u);
    ok(a);
}

/* {"name","partitions"} */
static void control_topics(struct sim *sim, struct slice body, struct answer *a)
{
    struct err e = {0};
    cleanup_free char *name = get_text(body, "name");
    int64_t partitions = get_number(body, "partitions", 1);
    if (!sim->kafka || !name || partitions < 1 || partitions > 10000)
        refuse(a, "a topic is {\"name\", \"partitions\"}, and needs --kafka-brokers");
    else if (kafka_mock_topic(sim->kafka, name, (int)partitions, &e))
        refuse(a, e.msg);
    else
        ok(a);
}

/* {"broker","up":true or false,"delay_ms"} */
static void control_brokers(struct sim *sim, struct slice body, struct answer *a)
{
    struct err e = {0};
    struct slice up;
    int broker = (int)get_number(body, "broker", 1), delay = (int)get_number(body, "delay_ms", -1);
    if (!sim->kafka)
        refuse(a, "no --kafka-brokers");
    else if (json_get(body, "up", &up) &&
             kafka_mock_set_up(sim->kafka, broker, json_type_of(up) == JSON_TRUE, &e))
        refuse(a, e.msg);
    else if (delay >= 0 && kafka_mock_set_delay(sim->kafka, broker, delay, &e))
        refuse(a, e.msg);
    else
        ok(a);
}

void control_route(struct sim *sim, struct request *r, struct answer *a)
{
    const char *what = r->path + strlen("/_sim/");
    struct slice body = r->body.len ? buf_slice(&r->body) : slice_of("{}");
    if (json_check(body, NULL) || json_type_of(body) != JSON_OBJECT) {
        refuse(a, "the body is no JSON object");
    } else if (strcmp(what, "faults") == 0) {
        control_faults(sim, r, body, a);
    } else if (strcmp(what, "stats") == 0) {
        control_stats(sim, r, a);
    } else if (strcmp(what, "arrivals") == 0) {
        control_arrivals(sim, r, body, a);
    } else if (strcmp(r->method, "POST") != 0) {
        answer_detail(a, 405, "Method Not Allowed");
    } else if (strcmp(what, "datasets") == 0) {
        control_datasets(sim, body, a);
    } else if (strcmp(what, "writes") == 0) {
        control_writes(sim, body, a);
    } else if (strcmp(what, "rates") == 0) {
        sim->changes_per_s = get_rate(body, "changes", sim->changes_per_s);
        sim->adds_per_s = get_rate(body, "adds", sim->adds_per_s);
        ok(a);
    } else if (strcmp(what, "topics") == 0) {
        control_topics(sim, body, a);
    } else if (strcmp(what, "brokers") == 0) {
        control_brokers(sim, body, a);
    } else {
        answer_detail(a, 404, "Not Found");
    }
}
