#include "show.h"

#include <stdio.h>

#include "json_scan.h"

enum {
    LINE_MAX_BYTES = 4096,
    RECORD_WIDTH = 112,
    METRIC_WIDTH = 40,
    RECORDS_SHOWN = 2,
    LISTENER_WIDTH = 10,
    DATE_BYTES = 11
};

#define INDENT "\n               "

/* At most `width` bytes, cut between characters. */
static void add_cut(struct buf *b, struct slice s, size_t width)
{
    size_t n = s.len;
    if (n > width)
        for (n = width; n && ((unsigned char)s.p[n] & 0xC0) == 0x80;)
            n--;
    buf_add(b, s.p, n);
    if (n < s.len)
        buf_addstr(b, "…");
}

/* The members that tell people most, as they came. */
static void add_record(struct buf *b, struct slice record)
{
    static const char *const names[] = {"id", "status", "text", "metadata", "annotation"};
    cleanup_buf struct buf text = buf_make(1 << 20);
    struct slice v;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (json_get(record, names[i], &v)) {
            buf_addf(&text, "%s\"%s\":", text.len ? "," : "{", names[i]);
            buf_addslice(&text, v);
        }
    if (text.len)
        buf_addstr(&text, ",…}");
    else
        buf_addslice(&text, record); /* a projection may hold anything */
    add_cut(b, buf_slice(&text), RECORD_WIDTH);
}

/* {"batch_id":3} as batch_id 3, and with the next ones as batch_id 3 → 4 */
static void add_params(struct buf *b, struct slice value)
{
    struct slice params, next, key, v, next_key, next_v;
    if (!json_get(value, "query_params", &params) || json_type_of(params) != JSON_OBJECT)
        return;
    bool has_next = json_get(value, "next_query_params", &next) && json_type_of(next) == JSON_OBJECT;
    for (struct json_iter it = json_iter(params); json_next(&it, &key, &v);) {
        buf_addf(b, "  %.*s %.*s", (int)key.len - 2, key.p + 1, (int)v.len, v.p);
        for (struct json_iter to = json_iter(has_next ? next : slice_of("{}"));
             json_next(&to, &next_key, &next_v);)
            if (next_key.len == key.len && memcmp(next_key.p, key.p, key.len) == 0)
                buf_addf(b, " → %.*s", (int)next_v.len, next_v.p);
    }
}

/* F1's macro average, or how the metric's answer begins. */
static void add_metrics(struct buf *b, struct slice value)
{
    struct slice metrics, key, v, f1;
    if (!json_get(value, "metrics", &metrics) || json_type_of(metrics) != JSON_OBJECT)
        return;
    for (struct json_iter it = json_iter(metrics); json_next(&it, &key, &v);) {
        buf_addf(b, "  %.*s ", (int)key.len - 2, key.p + 1);
        if (json_get(v, "f1_macro", &f1))
            buf_addf(b, "f1_macro %.*s", f1.len < 5 ? (int)f1.len : 5, f1.p);
        else
            add_cut(b, v, METRIC_WIDTH);
    }
}

static void add_member(struct buf *b, const char *before, struct slice value, const char *name)
{
    struct slice v;
    if (json_get(value, name, &v))
        buf_addf(b, "%s%.*s", before, (int)v.len, v.p);
}

static void add_total(struct buf *b, struct slice value)
{
    struct slice search;
    if (json_get(value, "search", &search))
        add_member(b, "  total ", search, "total");
}

static size_t count_of(struct slice array)
{
    size_t n = 0;
    for (struct json_iter it = json_iter(array); json_next(&it, NULL, NULL);)
        n++;
    return n;
}

static void add_batch(struct buf *b, struct slice value)
{
    struct slice batch, records, first, last;
    add_params(b, value);
    add_total(b, value);
    if (json_get(value, "batch", &batch)) {
        add_member(b, "  batch ", batch, "index");
        buf_addstr(b, json_get(batch, "last", &last) && json_type_of(last) == JSON_TRUE ? ", the last" : "");
    }
    if (json_get(value, "records", &records)) {
        buf_addf(b, "  %zu records", count_of(records));
        add_metrics(b, value);
        struct json_iter it = json_iter(records);
        if (json_next(&it, NULL, &first)) {
            buf_addstr(b, INDENT);
            add_record(b, first);
        }
    }
}

static void add_run(struct buf *b, struct slice value)
{
    struct slice error;
    add_params(b, value);
    add_total(b, value);
    add_member(b, "  n_records ", value, "n_records");
    add_metrics(b, value);
    if (json_get(value, "error", &error))
        buf_addf(b, "  FAILED: %.*s", (int)error.len, error.p);
}

static bool shows_record(struct show *s, const struct message *m)
{
    if (!s->listener || !slice_eq(m->listener, s->listener) || m->run != s->run) {
        free(s->listener);
        s->listener = xstrndup(m->listener.p, m->listener.len);
        s->run = m->run;
        s->n_shown = 0;
    }
    return ++s->n_shown <= RECORDS_SHOWN + 1;
}

static void add_head(struct buf *b, const struct message *m)
{
    static const char *const kinds[] = {"batch ", "record", "run   "};
    struct slice time = m->time; /* 2026-11-24T21:44:03.123Z */
    if (time.len > DATE_BYTES)
        time = (struct slice){time.p + DATE_BYTES, time.len - DATE_BYTES};
    buf_addf(b, "%.*s  %s  %-*.*s  run %lld", (int)time.len, time.p, kinds[m->kind], LISTENER_WIDTH,
             (int)m->listener.len, m->listener.p, (long long)m->run);
    if (m->key.p)
        buf_addf(b, "  key %.*s", (int)m->key.len, m->key.p);
}

void show_message(struct show *s, const struct message *m)
{
    cleanup_buf struct buf line = buf_make(LINE_MAX_BYTES);
    if (m->kind == MESSAGE_RECORD && !shows_record(s, m))
        return;
    if (m->kind == MESSAGE_RECORD && s->n_shown > RECORDS_SHOWN) {
        (void)puts("               … and so on, one message a record");
        return;
    }
    add_head(&line, m);
    if (m->kind == MESSAGE_BATCH)
        add_batch(&line, m->value);
    if (m->kind == MESSAGE_RUN)
        add_run(&line, m->value);
    if (m->kind == MESSAGE_RECORD) {
        buf_addstr(&line, INDENT);
        add_record(&line, m->value);
    }
    (void)puts(buf_str(&line));
    (void)fflush(stdout);
}

void show_release(struct show *s)
{
    free(TAKE_PTR(s->listener));
}

void show_sum(const struct tally_sum *sum, const char *first, const char *last)
{
    (void)printf(
        "\nfired %lld, batches %lld, records %lld, batch_id %s -> %s, duplicates %lld, missing %lld\n",
        (long long)sum->n_fired, (long long)sum->n_batches, (long long)sum->n_records, first ? first : "?",
        last ? last : "?", (long long)sum->n_duplicates, (long long)sum->n_missing);
    (void)fflush(stdout);
}
