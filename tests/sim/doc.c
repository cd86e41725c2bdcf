#include "doc.h"

#include <stdio.h>

#include "json_scan.h"

static const struct {
    const char *name, *values;
} TASKS[N_TASKS] = {
    {"TextClassification", "labels"}, {"TokenClassification", "entities"}, {"Text2Text", "sentences"}};

const char *task_name(enum task t)
{
    return TASKS[t].name;
}

const char *task_values(enum task t)
{
    return TASKS[t].values;
}

int task_of(struct slice name)
{
    for (int t = 0; t < N_TASKS; t++)
        if (slice_eq(name, TASKS[t].name))
            return t;
    return -1;
}

int key_compare(struct slice a, struct slice b)
{
    int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

/* ---- writing ---- */

static void add_member(struct buf *b, const char *name, struct slice value)
{
    buf_addstr(b, name); /* ,"name": */
    buf_addslice(b, value);
}

static void add_if(struct buf *b, const struct doc *d, const char *name, enum field f)
{
    if (doc_has(d, f))
        add_member(b, name, d->f[f]);
}

/* How many characters the text of a string token has. */
static size_t text_length(struct slice token)
{
    size_t n = 0;
    for (size_t i = 1; i + 1 < token.len; i++) {
        unsigned char c = (unsigned char)token.p[i];
        if (c == '\\')
            i += token.p[i + 1] == 'u' ? 5 : 1;
        n += (c & 0xC0) != 0x80;
    }
    return n;
}

static void add_metrics(struct buf *b, const struct doc *d)
{
    buf_addstr(b, ",\"metrics\":{\"text_length\":");
    add_u64(b, doc_has(d, F_TEXT) ? text_length(d->f[F_TEXT]) : 0);
    buf_addch(b, '}');
}

void doc_write_scan(const struct doc *d, enum task task, struct buf *ret)
{
    buf_addstr(ret, "{\"last_updated\":\"");
    add_stamp(ret, d->stamp_us);
    buf_addch(ret, '"');
    add_if(ret, d, ",\"annotation\":", F_ANNOTATION);
    add_if(ret, d, ",\"metadata\":", F_METADATA);
    add_if(ret, d, ",\"inputs\":", F_INPUTS);
    add_if(ret, d, ",\"annotations\":", F_ANNOTATIONS);
    add_if(ret, d, ",\"event_timestamp\":", F_EVENT);
    if (task == TEXT_CLASSIFICATION)
        add_if(ret, d, ",\"multi_label\":", F_MULTI_LABEL);
    add_if(ret, d, ",\"predictions\":", F_PREDICTIONS);
    add_if(ret, d, ",\"prediction\":", F_PREDICTION);
    add_if(ret, d, ",\"tokens\":", F_TOKENS);
    add_if(ret, d, ",\"vectors\":", F_VECTORS);
    add_if(ret, d, ",\"id\":", F_ID);
    add_metrics(ret, d);
    add_if(ret, d, ",\"text\":", F_TEXT);
    add_if(ret, d, ",\"status\":", F_STATUS);
    buf_addch(ret, '}');
}

/* The values in the shape of the Python client: "class", not "class_label"; the agent as the caller wants it.
 */
static void add_values(struct buf *b, struct slice holder, enum task task, bool with_agent, bool null_agent)
{
    struct slice values, value, part;
    bool first = true;
    buf_addch(b, '{');
    if (with_agent && json_get(holder, "agent", &part)) {
        add_member(b, "\"agent\":", part);
        buf_addch(b, ',');
    } else if (null_agent) {
        buf_addstr(b, "\"agent\":null,");
    }
    buf_addf(b, "\"%s\":[", task_values(task));
    if (json_get(holder, task_values(task), &values)) {
        for (struct json_iter it = json_iter(values); json_next(&it, NULL, &value); first = false) {
            buf_addstr(b, first ? "" : ",");
            if (task == TEXT_CLASSIFICATION && json_get(value, "class_label", &part)) {
                add_member(b, "{\"class\":", part);
                if (json_get(value, "score", &part))
                    add_member(b, ",\"score\":", part);
                buf_addch(b, '}');
            } else {
                buf_addslice(b, value);
            }
        }
    }
    buf_addstr(b, "]}");
}

static void add_by_agent(struct buf *b, struct slice map, enum task task, bool null_agent)
{
    struct slice key, value;
    bool first = true;
    buf_addch(b, '{');
    for (struct json_iter it = json_iter(map); json_next(&it, &key, &value); first = false) {
        buf_addstr(b, first ? "" : ",");
        buf_addslice(b, key);
        buf_addch(b, ':');
        add_values(b, value, task, false, null_agent);
    }
    buf_addch(b, '}');
}

/* `nulls`: write what isn't there as null. */
static void add_holder(struct buf *b, const struct doc *d, enum task task, enum field f, const char *name,
                       bool nulls)
{
    if (!doc_has(d, f) && !nulls)
        return;
    buf_addf(b, ",\"%s\":", name);
    if (!doc_has(d, f))
        buf_addstr(b, "null");
    else if (f == F_PREDICTION || f == F_ANNOTATION)
        add_values(b, d->f[f], task, true, false);
    else
        add_by_agent(b, d->f[f], task, nulls);
}

static void add_or_null(struct buf *b, const struct doc *d, const char *name, enum field f, bool nulls)
{
    if (doc_has(d, f))
        add_member(b, name, d->f[f]);
    else if (nulls)
        add_member(b, name, slice_of("null"));
}

static void write_record(const struct doc *d, enum task task, bool nulls, struct buf *b)
{
    add_member(b, "{\"id\":", d->f[F_ID]);
    add_or_null(b, d, ",\"metadata\":", F_METADATA, nulls);
    add_or_null(b, d, ",\"event_timestamp\":", F_EVENT, nulls);
    add_if(b, d, ",\"status\":", F_STATUS);
    add_holder(b, d, task, F_PREDICTION, "prediction", nulls);
    add_holder(b, d, task, F_ANNOTATION, "annotation", nulls);
    add_or_null(b, d, ",\"vectors\":", F_VECTORS, nulls);
    add_holder(b, d, task, F_PREDICTIONS, "predictions", nulls);
    add_holder(b, d, task, F_ANNOTATIONS, "annotations", nulls);
    if (nulls) {
        add_metrics(b, d);
        buf_addstr(b, ",\"search_keywords\":null");
    } else {
        buf_addstr(b, ",\"metrics\":{}");
    }
    buf_addstr(b, ",\"last_updated\":\"");
    add_stamp(b, d->stamp_us);
    buf_addch(b, '"');
    if (task == TEXT_CLASSIFICATION) {
        add_if(b, d, ",\"inputs\":", F_INPUTS);
        add_if(b, d, ",\"multi_label\":", F_MULTI_LABEL);
        buf_addstr(b, nulls ? ",\"explanation\":null" : "");
    } else {
        add_if(b, d, ",\"text\":", F_TEXT);
        add_if(b, d, ",\"tokens\":", F_TOKENS);
    }
    buf_addch(b, '}');
}

void doc_write_search(const struct doc *d, enum task task, struct buf *ret)
{
    write_record(d, task, false, ret);
}

void doc_write_get(const struct doc *d, enum task task, struct buf *ret)
{
    write_record(d, task, true, ret);
}

bool doc_label(struct slice values, enum task task, struct slice *ret)
{
    struct slice list, first;
    const char *name = task == TEXT_CLASSIFICATION ? "class_label" : task == TEXT2TEXT ? "text" : "label";
    if (!values.p || !json_get(values, task_values(task), &list))
        return false;
    struct json_iter it = json_iter(list);
    return json_next(&it, NULL, &first) && json_get(first, name, ret);
}
