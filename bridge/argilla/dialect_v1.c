/* Argilla 1.x: the datasets API under /api. What stands here was read in argilla-server 1.29's sources and
 * seen on a live 1.29.1 (docs/argilla-1.md). */
#include <string.h>

#include "dialect.h"
#include "json_scan.h"

enum { BODY_MAX = 1 << 20, PATH_MAX_BYTES = 8192 };

static char *gate_of(const char *workspace, const char *dataset)
{
    return xasprintf("%s/%s", workspace, dataset);
}

/* /api/datasets/{name}{rest}?workspace={workspace}{more}, encoded. */
static char *dataset_path(const char *prefix, const char *workspace, const char *name, const char *rest,
                          const char *more)
{
    struct buf b = buf_make(PATH_MAX_BYTES);
    buf_addstr(&b, "/api/datasets/");
    buf_addstr(&b, prefix);
    add_encoded(&b, name);
    buf_addstr(&b, rest);
    buf_addstr(&b, "?workspace=");
    add_encoded(&b, workspace);
    buf_addstr(&b, more);
    return buf_take(&b);
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

/* An answer of 2xx that isn't the JSON object it should be comes from something in between (a proxy's page):
 * it may pass. */
static int check_object(const struct http_response *resp, struct slice *ret, struct err *e)
{
    struct err why;
    struct slice body = buf_slice(&resp->body);
    if (json_check(body, &why))
        return err_set(e, ERR_RETRY, "the answer is not JSON: %s", why.msg);
    while (body.len && strchr(" \t\r\n", body.p[0])) {
        body.p++;
        body.len--;
    }
    if (body.p[0] != '{')
        return err_set(e, ERR_RETRY, "the answer is not a JSON object");
    *ret = body;
    return 0;
}

static char *take_text(struct slice object, const char *name)
{
    struct slice v;
    struct buf b = buf_make(BODY_MAX);
    if (!json_get(object, name, &v) || json_decode_string(v, &b)) {
        buf_release(&b);
        return NULL;
    }
    return buf_take(&b);
}

static int read_dataset(struct call *c, struct http_response *resp, struct argilla_answer *ret)
{
    struct slice object;
    (void)c;
    if (check_object(resp, &object, &ret->err))
        return err_wrap(&ret->err, "dataset");
    struct dataset_ref d = {take_text(object, "workspace"), take_text(object, "name"),
                            take_text(object, "task")};
    if (!d.workspace || !d.name || !d.task) {
        dataset_ref_release(&d);
        return err_set(&ret->err, ERR_RETRY, "dataset: the answer has no workspace, name and task");
    }
    ret->dataset = d;
    return 0;
}

static uint64_t v1_resolve(struct argilla *a, const char *workspace, const char *dataset, struct call *c)
{
    c->read = read_dataset;
    return call_send(c, "GET", dataset_path("", workspace, dataset, "", ""), gate_of(workspace, dataset),
                     NULL, a->config->timeout_ms);
}

static int read_total(struct call *c, struct http_response *resp, struct argilla_answer *ret)
{
    struct slice object, total;
    (void)c;
    if (check_object(resp, &object, &ret->err))
        return err_wrap(&ret->err, "search");
    if (!json_get(object, "total", &total) || json_get_int64(total, &ret->total))
        return err_set(&ret->err, ERR_RETRY, "search: the answer has no total");
    return 0;
}

/* limit=0&from=1: the exact total without records; from=1 also leaves out nine aggregations. */
static uint64_t v1_count(struct argilla *a, const struct dataset_ref *d, const char *query, struct call *c)
{
    struct buf body = buf_make(BODY_MAX);
    cleanup_free char *rest = xasprintf("/%s:search", d->task);
    buf_addstr(&body, "{\"query\":");
    add_query(&body, query);
    buf_addch(&body, '}');
    c->read = read_total;
    return call_send(c, "POST", dataset_path("", d->workspace, d->name, rest, "&limit=0&from=1"),
                     gate_of(d->workspace, d->name), &body, a->config->timeout_ms);
}

static int read_metric(struct call *c, struct http_response *resp, struct argilla_answer *ret)
{
    struct err why;
    (void)c;
    if (json_check(buf_slice(&resp->body), &why))
        return err_set(&ret->err, ERR_RETRY, "metric: the answer is not JSON: %s", why.msg);
    ret->metric_json = buf_take(&resp->body);
    return 0;
}

/* The body is the bare query. A metric such as F1 reads all matches in Python: it has its own, long time-out.
 */
static uint64_t v1_metric(struct argilla *a, const struct dataset_ref *d, const char *query,
                          const char *metric, struct call *c)
{
    struct buf body = buf_make(BODY_MAX), rest = buf_make(PATH_MAX_BYTES);
    cleanup_free char *prefix = xasprintf("%s/", d->task);
    buf_addstr(&rest, "/metrics/");
    add_encoded(&rest, metric);
    buf_addstr(&rest, ":summary");
    add_query(&body, query);
    c->read = read_metric;
    uint64_t id = call_send(c, "POST", dataset_path(prefix, d->workspace, d->name, buf_str(&rest), ""),
                            gate_of(d->workspace, d->name), &body, a->config->metrics_timeout_ms);
    buf_release(&rest);
    return id;
}

static int add_record(struct scan_page *p, size_t *cap, struct slice json)
{
    struct slice id;
    if (!json_get(json, "id", &id) || (json_type_of(id) != JSON_STRING && json_type_of(id) != JSON_NUMBER))
        return -1;
    if (p->n_records == *cap) {
        *cap = *cap ? *cap * 2 : 512;
        p->records = xrealloc(p->records, *cap * sizeof *p->records);
    }
    p->records[p->n_records++] = (struct scan_record){json, id};
    return 0;
}

static int read_page(struct call *c, struct http_response *resp, struct argilla_answer *ret)
{
    struct slice object, records, cursor, key, record;
    size_t cap = 0;
    (void)c;
    if (check_object(resp, &object, &ret->err))
        return err_wrap(&ret->err, "scan");
    if (!json_get(object, "records", &records) || json_type_of(records) != JSON_ARRAY)
        return err_set(&ret->err, ERR_RETRY, "scan: the answer has no records");
    struct scan_page *p = xcalloc(1, sizeof *p);
    p->date_ms = resp->date_ms;
    struct json_iter it = json_iter(records);
    while (json_next(&it, &key, &record)) {
        if (add_record(p, &cap, record)) {
            scan_page_free(p);
            return err_set(&ret->err, ERR_RETRY, "scan: a record has no id");
        }
    }
    if (p->n_records) {
        /* a JSON string, sent back as it is: it can hold 19-digit numbers that a double would break */
        if (!json_get(object, "next_page_cfg", &cursor) || json_type_of(cursor) != JSON_STRING) {
            scan_page_free(p);
            return err_set(&ret->err, ERR_RETRY, "scan: the answer has no next_page_cfg");
        }
        p->cursor = xstrndup(cursor.p, cursor.len);
    }
    p->body_len = resp->body.len; /* moving the memory leaves the slices where they are */
    p->body = buf_take(&resp->body);
    ret->page = p;
    return 0;
}

/* fields "*" brings id with its type, and last_updated; the order of id alone never changes while records are
 * written. */
static uint64_t v1_scan(struct argilla *a, const struct dataset_ref *d, const char *query, const char *cursor,
                        int limit, struct call *c)
{
    struct buf body = buf_make(BODY_MAX);
    cleanup_free char *more = xasprintf("&limit=%d", limit);
    buf_addstr(&body, "{\"query\":");
    add_query(&body, query);
    buf_addstr(&body, ",\"fields\":[\"*\"],\"sort_by\":[{\"id\":\"id\",\"order\":\"asc\"}]");
    if (cursor)
        buf_addf(&body, ",\"next_page_cfg\":%s", cursor);
    buf_addch(&body, '}');
    c->read = read_page;
    return call_send(c, "POST", dataset_path("", d->workspace, d->name, "/records/:search", more),
                     gate_of(d->workspace, d->name), &body, a->config->timeout_ms);
}

/* next_page_cfg may be made by hand (seen live); ids sort as text, so the id goes in as a string. */
static char *v1_cursor_after(struct slice id_token)
{
    cleanup_buf struct buf inner = buf_make(BODY_MAX);
    struct buf outer = buf_make(BODY_MAX);
    bool is_string = json_type_of(id_token) == JSON_STRING;
    buf_addstr(&inner, "{\"sort_by\":[{\"id\":\"id\",\"order\":\"asc\"}],\"next_search_params\":[");
    buf_addstr(&inner, is_string ? "" : "\"");
    buf_addslice(&inner, id_token);
    buf_addstr(&inner, is_string ? "]}" : "\"]}");
    buf_addjson(&outer, buf_str(&inner), inner.len);
    return buf_take(&outer);
}

/* 1.x answers 500 where the request is at fault: a query that can't be parsed on the scan and the metrics,
 * and values that its models refuse. Waiting won't help those. */
static void v1_judge(const struct http_response *resp, struct err *e)
{
    static const char *const poison[] = {"RequestError(400", "pydantic", "builtins.ValueError",
                                         "InvalidSearchError"};
    if (resp->status != 500 || !resp->body.data)
        return;
    for (size_t i = 0; i < ARRAY_LEN(poison); i++)
        if (memmem(resp->body.data, resp->body.len, poison[i], strlen(poison[i])))
            e->class = ERR_BAD_INPUT;
}

const struct dialect dialect_v1 = {v1_resolve, v1_count, v1_metric, v1_scan, v1_cursor_after, v1_judge};
