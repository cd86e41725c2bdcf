/* {Task}:search and the scan, records/:search. */
#include <errno.h>
#include <stdio.h>

#include "json_scan.h"
#include "sim.h"

enum { MAX_LIMIT = 1000, MAX_WINDOW = 10000, SCAN_LIMIT_0 = 500 };

/* A whole number of the URL; -1 with the answer set. */
static int number_of(const char *text, const char *name, long most, long *ret, struct answer *a)
{
    char *end;
    cleanup_free char *loc = xasprintf("[\"query\",\"%s\"]", name);
    if (!text)
        return 0;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || *end || end == text) {
        answer_invalid(a, loc, "value is not a valid integer", "type_error.integer", "");
        return -1;
    }
    if (n > most) {
        cleanup_free char *msg = xasprintf("ensure this value is less than or equal to %ld", most);
        cleanup_free char *more = xasprintf(",\"ctx\":{\"limit_value\":%ld}", most);
        answer_invalid(a, loc, msg, "value_error.number.not_le", more);
        return -1;
    }
    *ret = n;
    return 0;
}

/* ---- sorting: by id or by (last_updated, id), ascending ---- */

static int judge_sort(struct slice id, struct slice order, bool is_first, bool *ret_by_stamp,
                      struct answer *a)
{
    static const char *const known[] = {"id",           "metadata",     "score",          "predicted",
                                        "predicted_as", "predicted_by", "annotated_as",   "annotated_by",
                                        "status",       "last_updated", "event_timestamp"};
    size_t i = 0;
    struct slice name = {id.p + 1, id.len - 2};
    while (i < ARRAY_LEN(known) && !slice_eq(name, known[i]))
        i++;
    if (i == ARRAY_LEN(known)) {
        cleanup_free char *why = xasprintf(
            "Wrong sort id %.*s. Valid values are: ['id', 'metadata', 'score', 'predicted', 'predicted_as', "
            "'predicted_by', 'annotated_as', 'annotated_by', 'status', 'last_updated', 'event_timestamp']",
            (int)name.len, name.p);
        answer_message(a, 400, "BadRequestError", why);
        return -1;
    }
    bool is_stamp = slice_eq(name, "last_updated"), is_id = slice_eq(name, "id");
    if ((order.len && slice_eq(order, "\"desc\"")) || (!is_id && !(is_stamp && is_first))) {
        answer_detail(a, 501, "argilla-sim sorts by id, or by last_updated and id, ascending");
        return -1;
    }
    *ret_by_stamp |= is_stamp;
    return 0;
}

static int read_sort(struct slice list, bool *ret_by_stamp, struct answer *a)
{
    struct slice one, id, order;
    bool by_stamp = false, is_first = true;
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &one); is_first = false) {
        if (!json_get(one, "id", &id) || json_type_of(id) != JSON_STRING) {
            answer_invalid(a, "[\"body\",\"sort\",0,\"id\"]", "field required", "value_error.missing", "");
            return -1;
        }
        if (!json_get(one, "order", &order))
            order.len = 0;
        if (judge_sort(id, order, is_first, &by_stamp, a))
            return -1;
    }
    *ret_by_stamp = by_stamp;
    return 0;
}

/* ---- {Task}:search ---- */

static bool is_match(const struct query *q, struct slice ids, const struct doc *d, enum task task)
{
    return ids.len ? doc_is_named(ids, d) : query_matches(q, d, task);
}

static uint64_t count_named(struct dataset *ds, struct slice ids)
{
    struct walk w;
    struct doc d;
    uint64_t n = 0;
    walk_init(&w, ds, false, NULL, 0);
    while (walk_next(&w, &d))
        n += doc_is_named(ids, &d);
    walk_release(&w);
    return n;
}

static void add_matches(struct dataset *ds, const struct query *q, struct slice ids, bool by_stamp, long from,
                        long limit, struct buf *b)
{
    struct walk w;
    struct doc d;
    long n = 0;
    walk_init(&w, ds, by_stamp, NULL, 0);
    while (n < from + limit && walk_next(&w, &d)) {
        if (!is_match(q, ids, &d, ds->task) || n++ < from)
            continue;
        buf_addstr(b, n - 1 > from ? "," : "");
        doc_write_search(&d, ds->task, b);
    }
    walk_release(&w);
}

/* With from=0 the server also aggregates; listeners don't ask for that. */
static void write_search(struct dataset *ds, const struct query *q, const char *text, struct slice ids,
                         bool by_stamp, long from, long limit, struct answer *a)
{
    uint64_t total = ids.len ? count_named(ds, ids) : dataset_count(ds, q, text);
    buf_addf(&a->body, "{\"total\":%llu,\"records\":[", (unsigned long long)total);
    if (limit)
        add_matches(ds, q, ids, by_stamp, from, limit, &a->body);
    buf_addstr(&a->body, from ? "]}" : "],\"aggregations\":{}}");
}

void api_search(struct dataset *ds, const struct request *r, struct answer *a)
{
    long limit = 50, from = 0;
    bool by_stamp = false;
    struct slice value;
    if (number_of(r->limit, "limit", MAX_LIMIT, &limit, a) ||
        number_of(r->from, "from", MAX_WINDOW, &from, a))
        return;
    if (r->body.len && json_get(buf_slice(&r->body), "sort", &value) && json_type_of(value) == JSON_ARRAY &&
        read_sort(value, &by_stamp, a))
        return;
    if (limit < 0 || from < 0) {
        answer_exception(a, "argilla_server.daos.backend.base.InvalidSearchError",
                         "RequestError(400, 'illegal_argument_exception', 'a parameter cannot be negative')");
        return;
    }
    if (from + limit > MAX_WINDOW) {
        cleanup_free char *why =
            xasprintf("Result window is too large, from + size must be less than or equal to: [%d] but "
                      "was [%ld].",
                      MAX_WINDOW, from + limit);
        answer_message(a, 400, "InvalidTextSearchError", why);
        return;
    }
    if (r->body.len && json_get(buf_slice(&r->body), "query", &value) && json_type_of(value) == JSON_NULL) {
        answer_invalid(a, "[\"body\",\"query\"]", "none is not an allowed value",
                       "type_error.none.not_allowed", "");
        return;
    }
    cleanup_free char *text = NULL;
    struct query *q = body_query(r, false, true, &text, a);
    if (q)
        write_search(ds, q, text, body_ids(r), by_stamp, from, limit, a);
    query_free(q);
}

/* ---- the scan ---- */

struct scan {
    long limit;
    bool by_stamp, is_continued;
    char *key; /* with is_continued: where it goes on */
    int64_t stamp_us;
};

/* A stamp of a cursor: nanoseconds, as the server writes it, or a date. */
static int read_stamp(struct slice token, int64_t *ret)
{
    int64_t last;
    if (json_get_int64(token, ret) == 0) {
        *ret /= 1000;
        return 0;
    }
    return json_type_of(token) == JSON_STRING
               ? parse_date((struct slice){token.p + 1, token.len - 2}, ret, &last)
               : -1;
}

static int read_params(struct slice params, struct scan *s)
{
    struct slice token;
    struct json_iter it = json_iter(params);
    if (s->by_stamp && (!json_next(&it, NULL, &token) || read_stamp(token, &s->stamp_us)))
        return -1;
    if (!json_next(&it, NULL, &token))
        return -1;
    struct buf key = buf_make(MAX_BODY_BYTES);
    if (json_type_of(token) == JSON_STRING)
        (void)json_decode_string(token, &key);
    else
        buf_addslice(&key, token); /* ids sort as text */
    s->key = buf_take(&key);
    s->is_continued = true;
    return 0;
}

/* The cursor's own order wins over sort_by. What isn't a cursor is ignored: the scan begins again. */
static void read_cursor(const char *text, struct scan *s)
{
    struct slice cfg = slice_of(text), sort, params;
    struct answer ignored = {.body = buf_make(4096)};
    bool by_stamp = false;
    if (json_check(cfg, NULL) == 0 && json_get(cfg, "sort_by", &sort) && json_type_of(sort) == JSON_ARRAY &&
        json_get(cfg, "next_search_params", &params) && json_type_of(params) == JSON_ARRAY &&
        read_sort(sort, &by_stamp, &ignored) == 0) {
        struct scan read = *s;
        read.by_stamp = by_stamp;
        if (read_params(params, &read) == 0)
            *s = read;
    }
    buf_release(&ignored.body);
}

static int scan_read(const struct request *r, struct scan *s, struct answer *a)
{
    struct slice body = buf_slice(&r->body), sort, cfg;
    *s = (struct scan){.limit = 100};
    if (number_of(r->limit, "limit", MAX_LIMIT, &s->limit, a))
        return -1;
    if (s->limit < 0) {
        answer_exception(
            a, "opensearchpy.exceptions.RequestError",
            "RequestError(400, 'illegal_argument_exception', '[size] parameter cannot be negative')");
        return -1;
    }
    s->limit = s->limit ? s->limit : SCAN_LIMIT_0;
    if (!body.len || json_type_of(body) != JSON_OBJECT)
        return 0;
    if (json_get(body, "sort_by", &sort) && json_type_of(sort) == JSON_ARRAY &&
        read_sort(sort, &s->by_stamp, a))
        return -1;
    if (!json_get(body, "next_page_cfg", &cfg) || json_type_of(cfg) == JSON_NULL)
        return 0;
    cleanup_free char *text = get_text(body, "next_page_cfg");
    if (!text) {
        answer_invalid(a, "[\"body\",\"next_page_cfg\"]", "str type expected", "type_error.str", "");
        return -1;
    }
    read_cursor(text, s);
    return 0;
}

static void add_cursor(const struct scan *s, struct slice key, int64_t stamp_us, struct buf *b)
{
    cleanup_buf struct buf cfg = buf_make(MAX_BODY_BYTES);
    buf_addstr(&cfg, "{\"shuffle\": false, \"sort_by\": [");
    if (s->by_stamp)
        buf_addstr(&cfg, "{\"id\": \"last_updated\", \"order\": \"asc\"}, ");
    buf_addstr(&cfg, "{\"id\": \"id\", \"order\": \"asc\"}], \"next_search_params\": ");
    if (!key.p) {
        buf_addstr(&cfg, "null}");
    } else {
        buf_addch(&cfg, '[');
        if (s->by_stamp)
            buf_addf(&cfg, "%lld, ", (long long)stamp_us * 1000);
        buf_addjson(&cfg, key.p, key.len);
        buf_addstr(&cfg, "]}");
    }
    buf_addjson(b, buf_str(&cfg), cfg.len);
}

/* An empty page's cursor is the one that it was asked with. */
static void write_page(const struct dataset *ds, const struct query *q, struct slice ids,
                       const struct scan *s, struct buf *b)
{
    struct walk w;
    struct doc d;
    struct slice start = slice_of(s->key);
    cleanup_buf struct buf last = buf_make(MAX_BODY_BYTES);
    bool has_last = s->is_continued;
    int64_t stamp_us = s->stamp_us;
    buf_addslice(&last, start);
    walk_init(&w, ds, s->by_stamp, s->is_continued ? &start : NULL, s->stamp_us);
    buf_addstr(b, "{\"records\":[");
    for (long n = 0; n < s->limit && walk_next(&w, &d);) {
        if (!is_match(q, ids, &d, ds->task))
            continue;
        buf_addstr(b, n++ ? "," : "");
        doc_write_scan(&d, ds->task, b);
        buf_clear(&last);
        buf_addslice(&last, d.key);
        stamp_us = d.stamp_us;
        has_last = true;
    }
    walk_release(&w);
    buf_addstr(b, "],\"next_idx\":null,\"next_page_cfg\":");
    add_cursor(s, has_last ? buf_slice(&last) : (struct slice){0}, stamp_us, b);
    buf_addch(b, '}');
}

static void scan_write(const struct dataset *ds, const struct request *r, struct answer *a)
{
    struct scan s;
    cleanup_free char *text = NULL;
    if (scan_read(r, &s, a))
        return;
    cleanup_free char *key = s.key;
    struct query *q = body_query(r, false, false, &text, a);
    if (q)
        write_page(ds, q, body_ids(r), &s, &a->body);
    query_free(q);
}

void api_scan(struct sim *sim, struct dataset *ds, const struct request *r, struct answer *a)
{
    if (!sim->canned) {
        scan_write(ds, r, a);
        return;
    }
    cleanup_free char *key =
        xasprintf("%s/%s %s %s", ds->workspace, ds->name, r->limit ? r->limit : "", buf_str(&r->body));
    a->page = canned_find(sim->canned, key, ds->version);
    if (a->page)
        return;
    scan_write(ds, r, a);
    if (a->status != 200)
        return;
    a->page = page_new(&a->body);
    canned_put(sim->canned, key, ds->version, a->page);
}
