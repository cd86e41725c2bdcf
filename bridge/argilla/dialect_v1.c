/* Argilla 1.x: the datasets API under /api. What stands here was read in argilla-server 1.29's sources and
 * seen on a live 1.29.1. */
#include <string.h>

#include "clock.h"
#include "dialect.h"
#include "json_scan.h"

/* Room for the longest text that `s` can become: \u00XX in JSON, %XX in a path. NULL: null. */
static size_t room_for(const char *s)
{
    return s ? 6 * strlen(s) + 2 : 4;
}

enum { FIXED_BYTES = 512 }; /* room for the literal parts of any path or body */

/* The common beginning of all paths, with room for the rest, of which `more` may be a part. */
static struct buf path_begin(const struct call *c, const char *more)
{
    const struct dataset_ref *d = &c->dataset;
    struct buf b = buf_make(FIXED_BYTES + room_for(d->workspace) + room_for(d->name) + room_for(d->task) +
                            room_for(more));
    buf_addstr(&b, "/api/datasets/");
    return b;
}

static void add_workspace(struct buf *b, const struct call *c)
{
    buf_addstr(b, "?workspace=");
    add_encoded(b, c->dataset.workspace);
}

static void add_query(struct buf *b, const char *query)
{
    buf_addstr(b, "{\"query_text\":");
    if (query)
        buf_addjson(b, query, strlen(query));
    else
        buf_addstr(b, "null");
    buf_addch(b, '}');
}

/* An answer of 2xx that isn't what it should be comes from something in between (a proxy's page): it may
 * pass. */
static int check_json(const struct http_response *resp, struct err *e)
{
    struct err why;
    if (json_check(buf_slice(&resp->body), &why) == 0)
        return 0;
    return err_set(e, ERR_RETRY, "the answer is %s", why.msg);
}

/* ---- resolve ---- */

/* `id` is made of workspace and name: only the time says that it is another one. */
static char *identity_of(struct slice dataset)
{
    struct slice id, created;
    if (!json_get(dataset, "id", &id))
        id = slice_of("");
    if (!json_get(dataset, "created_at", &created))
        created = slice_of("");
    return xasprintf("%.*s %.*s", (int)id.len, id.p, (int)created.len, created.p);
}

static int read_dataset(struct call *c, struct http_response *resp, struct argilla_answer *ret, struct err *e)
{
    struct slice task;
    struct buf text = buf_make(resp->body.len);
    if (check_json(resp, e))
        return -1;
    if (!json_get(buf_slice(&resp->body), "task", &task) || json_decode_string(task, &text)) {
        buf_release(&text);
        return err_set(e, ERR_RETRY, "the answer has no task");
    }
    ret->dataset = c->dataset;
    ret->dataset.task = buf_take(&text);
    ret->dataset.identity = identity_of(buf_slice(&resp->body));
    c->dataset = (struct dataset_ref){0};
    return 0;
}

static uint64_t v1_resolve(struct call *c)
{
    struct buf path = path_begin(c, NULL);
    add_encoded(&path, c->dataset.name);
    add_workspace(&path, c);
    c->read = read_dataset;
    return call_send(c, "GET", &path, NULL, c->argilla->config->timeout_ms);
}

/* ---- count ---- */

static int read_total(struct call *c, struct http_response *resp, struct argilla_answer *ret, struct err *e)
{
    struct slice token;
    int64_t total;
    (void)c;
    if (check_json(resp, e))
        return -1;
    if (!json_get(buf_slice(&resp->body), "total", &token) || json_get_int64(token, &total) || total < 0)
        return err_set(e, ERR_RETRY, "the answer has no total");
    ret->total = total;
    return 0;
}

/* limit=0&from=1: the exact total without records; from=1 also leaves out nine aggregations. Takes `body`. */
static uint64_t search_total(struct call *c, struct buf *body)
{
    struct buf path = path_begin(c, NULL);
    add_encoded(&path, c->dataset.name);
    buf_addch(&path, '/');
    add_encoded(&path, c->dataset.task);
    buf_addstr(&path, ":search");
    add_workspace(&path, c);
    buf_addstr(&path, "&limit=0&from=1");
    return call_send(c, "POST", &path, body, c->argilla->config->timeout_ms);
}

static uint64_t v1_count(struct call *c, const char *query)
{
    struct buf body = buf_make(FIXED_BYTES + room_for(query));
    buf_addstr(&body, "{\"query\":");
    add_query(&body, query);
    buf_addch(&body, '}');
    c->read = read_total;
    return search_total(c, &body);
}

/* ---- metric ---- */

static int read_metric(struct call *c, struct http_response *resp, struct argilla_answer *ret, struct err *e)
{
    (void)c;
    if (check_json(resp, e))
        return -1;
    ret->metric_json = buf_take(&resp->body);
    return 0;
}

/* The body is the bare query. A metric such as F1 reads all matches in Python: it has its own, long time-out.
 */
static uint64_t v1_metric(struct call *c, const char *query, const char *metric)
{
    struct buf path = path_begin(c, metric);
    struct buf body = buf_make(FIXED_BYTES + room_for(query));
    add_encoded(&path, c->dataset.task);
    buf_addch(&path, '/');
    add_encoded(&path, c->dataset.name);
    buf_addstr(&path, "/metrics/");
    add_encoded(&path, metric);
    buf_addstr(&path, ":summary");
    add_workspace(&path, c);
    add_query(&body, query);
    c->read = read_metric;
    return call_send(c, "POST", &path, &body, c->argilla->config->metrics_timeout_ms);
}

/* ---- scan ---- */

static int read_records(struct slice records, struct scan_page *ret, struct err *e)
{
    struct slice record, id;
    size_t cap = 0;
    struct json_iter it = json_iter(records);
    while (json_next(&it, NULL, &record)) {
        if (!json_get(record, "id", &id) ||
            (json_type_of(id) != JSON_STRING && json_type_of(id) != JSON_NUMBER))
            return err_set(e, ERR_RETRY, "a record of the answer has no id");
        if (ret->n_records == cap) {
            cap = cap ? cap * 2 : 64;
            ret->records = xrealloc(ret->records, cap * sizeof *ret->records);
        }
        ret->records[ret->n_records++] = (struct scan_record){record, id};
    }
    return 0;
}

/* next_page_cfg is a JSON string and is sent back as it is: it can hold 19-digit numbers that a double would
 * break. One that doesn't move on would have the same page sent for ever. */
static int read_cursor(const struct call *c, struct slice body, struct scan_page *ret, struct err *e)
{
    struct slice cursor;
    if (!json_get(body, "next_page_cfg", &cursor) || json_type_of(cursor) != JSON_STRING)
        return err_set(e, ERR_RETRY, "the answer has no next_page_cfg");
    if (c->cursor && slice_eq(cursor, c->cursor))
        return err_set(e, ERR_RETRY, "the page after a cursor ends at that cursor");
    ret->cursor = xstrndup(cursor.p, cursor.len);
    return 0;
}

static int read_page(struct call *c, struct http_response *resp, struct argilla_answer *ret, struct err *e)
{
    struct slice body = buf_slice(&resp->body), records;
    if (check_json(resp, e))
        return -1;
    if (!json_get(body, "records", &records) || json_type_of(records) != JSON_ARRAY)
        return err_set(e, ERR_RETRY, "the answer has no records");
    struct scan_page *p = xcalloc(1, sizeof *p);
    p->date_ms = resp->date_ms;
    if (read_records(records, p, e) || (p->n_records && read_cursor(c, body, p, e))) {
        scan_page_free(p);
        return -1;
    }
    p->body_len = body.len;
    p->body = buf_take(&resp->body); /* it doesn't move: the slices stay right */
    ret->page = p;
    return 0;
}

/* "**" brings all fields, id with its type and last_updated too. With "*" the server also highlights: it adds
 * search_keywords in an order that changes from call to call, and works longer. The order of id alone doesn't
 * change while records are written. */
static uint64_t v1_scan(struct call *c, const char *query, int limit)
{
    struct buf path = path_begin(c, NULL);
    struct buf body = buf_make(FIXED_BYTES + room_for(query) + room_for(c->cursor));
    add_encoded(&path, c->dataset.name);
    buf_addstr(&path, "/records/:search");
    add_workspace(&path, c);
    buf_addf(&path, "&limit=%d", limit);
    buf_addstr(&body, "{\"query\":");
    add_query(&body, query);
    buf_addstr(&body, ",\"fields\":[\"**\"],\"sort_by\":[{\"id\":\"id\",\"order\":\"asc\"}]");
    if (c->cursor) {
        buf_addstr(&body, ",\"next_page_cfg\":");
        buf_addstr(&body, c->cursor);
    }
    buf_addch(&body, '}');
    c->read = read_page;
    return call_send(c, "POST", &path, &body, c->argilla->config->timeout_ms);
}

/* ---- records one by one ---- */

static int read_record(struct call *c, struct http_response *resp, struct argilla_answer *ret, struct err *e)
{
    struct slice id;
    (void)c;
    if (check_json(resp, e))
        return -1;
    if (!json_get(buf_slice(&resp->body), "id", &id))
        return err_set(e, ERR_RETRY, "the answer is no record");
    ret->is_there = true;
    return 0;
}

static int read_found(struct call *c, struct http_response *resp, struct argilla_answer *ret, struct err *e)
{
    if (read_total(c, resp, ret, e))
        return -1;
    ret->is_there = ret->total > 0;
    ret->total = 0;
    return 0;
}

/* What a path can't hold: "/" (404, as if there were no such route), the dot segments that clients and
 * servers take away, and bytes that proxies stumble over. */
static bool fits_path(struct slice id)
{
    for (size_t i = 0; i < id.len; i++)
        if (id.p[i] == '/' || (unsigned char)id.p[i] < ' ' || id.p[i] == 0x7f)
            return false;
    return id.len > 0 && !slice_eq(id, ".") && !slice_eq(id, "..");
}

/* With `ids` the server looks at nothing else of a query. */
static uint64_t search_id(struct call *c, struct slice id)
{
    struct buf body = buf_make(FIXED_BYTES + 6 * id.len);
    buf_addstr(&body, "{\"query\":{\"ids\":[");
    buf_addjson(&body, id.p, id.len);
    buf_addstr(&body, "]}}");
    c->read = read_found;
    return search_total(c, &body);
}

static uint64_t v1_exists(struct call *c, struct slice id)
{
    if (!fits_path(id))
        return search_id(c, id);
    struct buf path = path_begin(c, NULL);
    path.limit += 3 * id.len;
    add_encoded(&path, c->dataset.name);
    buf_addstr(&path, "/records/");
    add_encoded_bytes(&path, id);
    add_workspace(&path, c);
    c->read = read_record;
    return call_send(c, "GET", &path, NULL, c->argilla->config->timeout_ms);
}

/* last_updated is exact to the microsecond, and both brackets include their ends. */
static char *v1_query_since(const char *query, int64_t from_ms, int64_t to_ms)
{
    char from[RFC3339_SIZE], to[RFC3339_SIZE] = "*";
    clock_rfc3339(from_ms, from);
    if (to_ms >= 0)
        clock_rfc3339(to_ms, to);
    return query ? xasprintf("(%s) AND last_updated:[%s TO %s]", query, from, to)
                 : xasprintf("last_updated:[%s TO %s]", from, to);
}

/* next_page_cfg may be made by hand; ids sort as text, so the id goes in as a string. */
static char *v1_cursor_after(struct slice id_token)
{
    cleanup_buf struct buf cfg = buf_make(FIXED_BYTES + id_token.len);
    struct buf cursor = buf_make(FIXED_BYTES + 6 * (FIXED_BYTES + id_token.len));
    bool is_string = json_type_of(id_token) == JSON_STRING;
    buf_addstr(&cfg, "{\"sort_by\":[{\"id\":\"id\",\"order\":\"asc\"}],\"next_search_params\":[");
    buf_addstr(&cfg, is_string ? "" : "\"");
    buf_addslice(&cfg, id_token);
    buf_addstr(&cfg, is_string ? "]}" : "\"]}");
    buf_addjson(&cursor, buf_str(&cfg), cfg.len);
    return buf_take(&cursor);
}

/* ---- errors ---- */

/* detail.params.{name} of an error body, decoded; "" when it isn't there. */
static struct buf error_param(const struct http_response *resp, const char *name)
{
    struct slice body = buf_slice(&resp->body), detail, params, value;
    struct buf text = buf_make(body.len);
    if (json_check(body, NULL) == 0 && json_get(body, "detail", &detail) &&
        json_get(detail, "params", &params) && json_get(params, name, &value))
        (void)json_decode_string(value, &text);
    return text;
}

/* 500 where the request is at fault: a query that the search engine can't parse (on the scan and the metrics;
 * :search answers 400), or one that the server's own models refuse. Waiting won't help those. */
static bool is_our_fault(const struct http_response *resp)
{
    cleanup_buf struct buf type = error_param(resp, "type"), message = error_param(resp, "message");
    const char *t = buf_str(&type), *m = buf_str(&message);
    return strncmp(m, "RequestError(400", 16) == 0 || strncmp(m, "BadRequestError(400", 19) == 0 ||
           strstr(t, "ValidationError") || strstr(t, "InvalidSearchError") ||
           strcmp(t, "builtins.ValueError") == 0;
}

static void v1_judge(const struct call *c, const struct http_response *resp, struct argilla_answer *answer)
{
    struct err *e = &answer->err;
    if (e->http_status == 500 && is_our_fault(resp))
        e->class = ERR_BAD_INPUT;
    if (e->http_status != 404)
        return;
    cleanup_buf struct buf type = error_param(resp, "type");
    if (c->read == read_record && strcmp(buf_str(&type), "Record") == 0)
        e->class = ERR_NONE; /* RecordNotFound: the dataset is there, and it isn't in it */
    else if (strcmp(buf_str(&type), "ServiceDataset") == 0)
        (void)err_wrap(e, "no dataset %s in workspace %s", c->dataset.name, c->dataset.workspace);
    else if (strcmp(buf_str(&type), "ServiceBaseMetric") == 0)
        (void)err_wrap(e, "no such metric for %s", c->dataset.task);
    else
        (void)err_wrap(e, "no such path, is it Argilla 1.x?");
}

const struct dialect dialect_v1 = {v1_resolve, v1_count,       v1_metric,       v1_scan,
                                   v1_exists,  v1_query_since, v1_cursor_after, v1_judge};
