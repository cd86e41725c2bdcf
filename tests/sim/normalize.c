#include "normalize.h"

#include <stdio.h>

#include "json_scan.h"

enum { METADATA_CHARS = 128, MAX_VALUES = 1000 };

/* ---- objects, member by member ---- */

static bool get_member(struct slice object, struct slice key, struct slice *ret)
{
    struct slice k, v;
    if (!object.len)
        return false;
    for (struct json_iter it = json_iter(object); json_next(&it, &k, &v);)
        if (key_compare(k, key) == 0) {
            *ret = v;
            return true;
        }
    return false;
}

/* {"a":{"b":1}} becomes {"a.b":1}; a long text keeps its end. `prefix` is raw, without quotes. */
static void flatten_into(struct slice object, const char *prefix, struct buf *b, bool *is_first)
{
    struct slice key, value;
    for (struct json_iter it = json_iter(object); json_next(&it, &key, &value);) {
        cleanup_free char *name = xasprintf("%s%.*s", prefix, (int)key.len - 2, key.p + 1);
        if (json_type_of(value) == JSON_OBJECT) {
            cleanup_free char *inner = xasprintf("%s.", name);
            flatten_into(value, inner, b, is_first);
            continue;
        }
        buf_addf(b, "%s\"%s\":", *is_first ? "" : ",", name);
        *is_first = false;
        if (json_type_of(value) == JSON_STRING && value.len - 2 > METADATA_CHARS &&
            !memchr(value.p, '\\', value.len)) {
            const char *end = value.p + value.len - 1, *start = end;
            for (int n = 0; n < METADATA_CHARS && start > value.p + 1; n++)
                while (((unsigned char)*--start & 0xC0) == 0x80) {
                }
            buf_addch(b, '"');
            buf_add(b, start, (size_t)(end - start));
            buf_addch(b, '"');
        } else {
            buf_addslice(b, value);
        }
    }
}

static struct buf flattened(struct slice object)
{
    struct buf b = buf_make(MAX_BODY_BYTES);
    bool is_first = true;
    buf_addch(&b, '{');
    flatten_into(object, "", &b, &is_first);
    buf_addch(&b, '}');
    return b;
}

size_t flat_count(struct slice object)
{
    cleanup_buf struct buf flat = flattened(object);
    size_t n = 0;
    for (struct json_iter it = json_iter(buf_slice(&flat)); json_next(&it, NULL, NULL);)
        n++;
    return n;
}

static void add_pair(struct buf *b, bool *is_first, struct slice key, struct slice value)
{
    buf_addstr(b, *is_first ? "" : ",");
    buf_addslice(b, key);
    buf_addch(b, ':');
    buf_addslice(b, value);
    *is_first = false;
}

void merge_objects(struct slice old, struct slice more, bool flat, struct buf *ret)
{
    struct slice key, value, other;
    cleanup_buf struct buf flat_more = flat ? flattened(more) : buf_make(0);
    bool is_first = true;
    if (flat)
        more = buf_slice(&flat_more);
    buf_addch(ret, '{');
    if (old.len)
        for (struct json_iter it = json_iter(old); json_next(&it, &key, &value);)
            add_pair(ret, &is_first, key, get_member(more, key, &other) ? other : value);
    for (struct json_iter it = json_iter(more); json_next(&it, &key, &value);)
        if (!get_member(old, key, &other))
            add_pair(ret, &is_first, key, value);
    buf_addch(ret, '}');
}

/* ---- predictions and annotations ---- */

static double score_of(struct slice value)
{
    struct slice score;
    char copy[64] = "1";
    if (json_get(value, "score", &score) && score.len < sizeof copy) {
        memcpy(copy, score.p, score.len);
        copy[score.len] = 0;
    }
    return strtod(copy, NULL);
}

/* Scores are floats: 1 is written 1.0. */
static void add_score(struct slice value, struct buf *b)
{
    struct slice score;
    bool has = json_get(value, "score", &score) && json_type_of(score) == JSON_NUMBER;
    buf_addstr(b, "{\"score\":");
    buf_addslice(b, has ? score : slice_of("1.0"));
    if (has && !memchr(score.p, '.', score.len) && !memchr(score.p, 'e', score.len))
        buf_addstr(b, ".0");
}

static void add_value(struct slice value, enum task task, struct buf *b)
{
    struct slice key, part;
    add_score(value, b);
    for (struct json_iter it = json_iter(value); json_next(&it, &key, &part);) {
        if (slice_eq(key, "\"score\"") || json_type_of(part) == JSON_NULL)
            continue;
        buf_addch(b, ',');
        if (task == TEXT_CLASSIFICATION && slice_eq(key, "\"class\""))
            buf_addstr(b, "\"class_label\"");
        else
            buf_addslice(b, key);
        buf_addch(b, ':');
        buf_addslice(b, part);
    }
    buf_addch(b, '}');
}

/* "labels":[...] as stored: labels by falling score. */
static void add_values(struct slice holder, enum task task, struct buf *b)
{
    struct slice list, value, all[MAX_VALUES];
    size_t n = 0;
    buf_addf(b, "\"%s\":[", task_values(task));
    if (json_get(holder, task_values(task), &list))
        for (struct json_iter it = json_iter(list); n < MAX_VALUES && json_next(&it, NULL, &value);)
            all[n++] = value;
    for (size_t i = 1; task == TEXT_CLASSIFICATION && i < n; i++)
        for (size_t k = i; k && score_of(all[k - 1]) < score_of(all[k]); k--) {
            value = all[k];
            all[k] = all[k - 1];
            all[k - 1] = value;
        }
    for (size_t i = 0; i < n; i++) {
        buf_addstr(b, i ? "," : "");
        add_value(all[i], task, b);
    }
    buf_addch(b, ']');
}

/* ---- merging a record ---- */

struct draft {
    struct slice record;
    const struct doc *old;
    enum task task;
    struct buf *out;
    size_t start[N_FIELDS], len[N_FIELDS]; /* of what stands in `out`, which may move while it grows */
    struct doc *ret;
};

static void begin(struct draft *m, enum field f)
{
    m->start[f] = m->out->len;
}

static void end(struct draft *m, enum field f)
{
    m->len[f] = m->out->len - m->start[f];
}

static void keep(struct draft *m, enum field f)
{
    if (m->old)
        m->ret->f[f] = m->old->f[f];
}

/* Replaced when given, else kept, else `otherwise`. */
static void take(struct draft *m, enum field f, const char *name, const char *otherwise)
{
    struct slice value;
    keep(m, f);
    if (json_get(m->record, name, &value) && json_type_of(value) != JSON_NULL)
        m->ret->f[f] = value;
    else if (otherwise)
        m->ret->f[f] = slice_of(otherwise);
}

static void merge(struct draft *m, enum field f, const char *name)
{
    struct slice value, none = {"", 0};
    keep(m, f);
    if (!json_get(m->record, name, &value) || json_type_of(value) != JSON_OBJECT)
        return;
    begin(m, f);
    merge_objects(doc_has(m->ret, f) ? m->ret->f[f] : none, value, f == F_METADATA, m->out);
    end(m, f);
}

/* The newest agent's goes to `one`; all agents' stay in `by_agent`. Left out or null, both stay, but the
 * index loses what it had computed of them: false. */
static bool take_values(struct draft *m, const char *name, enum field one, enum field by_agent)
{
    struct slice holder, agent, none = {"", 0};
    keep(m, one);
    keep(m, by_agent);
    if (!json_get(m->record, name, &holder) || json_type_of(holder) != JSON_OBJECT ||
        !json_get(holder, "agent", &agent))
        return false;
    begin(m, one);
    buf_addstr(m->out, "{\"agent\":");
    buf_addslice(m->out, agent);
    buf_addch(m->out, ',');
    add_values(holder, m->task, m->out);
    buf_addch(m->out, '}');
    end(m, one);
    cleanup_buf struct buf map = buf_make(MAX_BODY_BYTES);
    buf_addch(&map, '{');
    buf_addslice(&map, agent);
    buf_addstr(&map, ":{");
    add_values(holder, m->task, &map);
    buf_addstr(&map, "}}");
    begin(m, by_agent);
    merge_objects(doc_has(m->ret, by_agent) ? m->ret->f[by_agent] : none, buf_slice(&map), false, m->out);
    end(m, by_agent);
    return true;
}

/* A text classification's text is its inputs, a line each. */
static void text_of_inputs(struct draft *m)
{
    struct slice value, inputs = {m->out->data + m->start[F_INPUTS], m->len[F_INPUTS]};
    cleanup_buf struct buf text = buf_make(MAX_BODY_BYTES);
    for (struct json_iter it = json_iter(inputs); json_next(&it, NULL, &value);) {
        buf_addstr(&text, text.len ? "\\n" : "");
        if (json_type_of(value) == JSON_STRING)
            buf_add(&text, value.p + 1, value.len - 2);
    }
    begin(m, F_TEXT);
    buf_addch(m->out, '"');
    buf_addslice(m->out, buf_slice(&text));
    buf_addch(m->out, '"');
    end(m, F_TEXT);
}

static void take_id(struct draft *m)
{
    struct slice id;
    begin(m, F_ID);
    if (json_get(m->record, "id", &id) && json_type_of(id) != JSON_NULL)
        buf_addslice(m->out, id);
    else /* a new one each time, as the server makes a UUID */
        buf_addf(m->out, "\"%08llx-%04llx-4000-8000-%012llx\"", (unsigned long long)m->ret->stamp_us >> 16,
                 (unsigned long long)m->ret->stamp_us & 0xFFFF,
                 (unsigned long long)(uintptr_t)m->record.p & 0xFFFFFFFFFFFF);
    end(m, F_ID);
}

void record_merge(struct slice record, const struct doc *old, enum task task, int64_t now_us, struct buf *out,
                  struct doc *ret)
{
    struct draft m = {.record = record, .old = old, .task = task, .out = out, .ret = ret};
    *ret = (struct doc){.stamp_us = now_us};
    take_id(&m);
    merge(&m, F_METADATA, "metadata");
    merge(&m, F_VECTORS, "vectors");
    take(&m, F_EVENT, "event_timestamp", NULL);
    take(&m, F_STATUS, "status", NULL);
    struct slice status;
    if (!json_get(record, "status", &status) || json_type_of(status) == JSON_NULL)
        ret->f[F_STATUS] = slice_of("\"Default\"");
    ret->has_predicted = take_values(&m, "prediction", F_PREDICTION, F_PREDICTIONS);
    ret->has_annotated = take_values(&m, "annotation", F_ANNOTATION, F_ANNOTATIONS);
    if (task == TEXT_CLASSIFICATION) {
        merge(&m, F_INPUTS, "inputs");
        text_of_inputs(&m);
        ret->f[F_MULTI_LABEL] = slice_of("false");
        if (json_get(record, "multi_label", &status) && json_type_of(status) == JSON_TRUE)
            ret->f[F_MULTI_LABEL] = slice_of("true");
    } else {
        take(&m, F_TEXT, "text", NULL);
        take(&m, F_TOKENS, "tokens", NULL);
    }
    for (int f = 0; f < N_FIELDS; f++)
        if (m.len[f])
            ret->f[f] = (struct slice){out->data + m.start[f], m.len[f]};
}
