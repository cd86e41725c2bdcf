/* Answers and errors as the server words them, and pages that are kept. */
#include <stdio.h>

#include "json_scan.h"
#include "sim.h"

char *json_text(const char *s)
{
    struct buf b = buf_make(6 * strlen(s) + 16);
    buf_addjson(&b, s, strlen(s));
    return buf_take(&b);
}

void answer_error(struct answer *a, unsigned status, const char *class, const char *params)
{
    a->status = status;
    buf_clear(&a->body);
    buf_addf(&a->body, "{\"detail\":{\"code\":\"argilla.api.errors::%s\",\"params\":%s}}", class, params);
}

void answer_message(struct answer *a, unsigned status, const char *class, const char *message)
{
    cleanup_free char *text = json_text(message);
    cleanup_free char *params =
        xasprintf("{\"%s\":%s}", status == 401 || status == 403 ? "detail" : "message", text);
    answer_error(a, status, class, params);
}

void answer_invalid(struct answer *a, const char *loc, const char *msg, const char *type, const char *more)
{
    cleanup_free char *text = json_text(msg);
    cleanup_free char *params =
        xasprintf("{\"errors\":[{\"loc\":%s,\"msg\":%s,\"type\":\"%s\"%s}]}", loc, text, type, more);
    answer_error(a, 422, "ValidationError", params);
}

void answer_exception(struct answer *a, const char *type, const char *message)
{
    cleanup_free char *text = json_text(message);
    cleanup_free char *params = xasprintf("{\"type\":\"%s\",\"message\":%s}", type, text);
    answer_error(a, 500, "GenericServerError", params);
}

void answer_no_dataset(struct answer *a, const char *name)
{
    cleanup_free char *text = json_text(name);
    cleanup_free char *params = xasprintf("{\"name\":%s,\"type\":\"ServiceDataset\"}", text);
    answer_error(a, 404, "EntityNotFoundError", params);
}

void answer_detail(struct answer *a, unsigned status, const char *text)
{
    cleanup_free char *quoted = json_text(text);
    a->status = status;
    buf_clear(&a->body);
    buf_addf(&a->body, "{\"detail\":%s}", quoted);
}

int check_body(const struct request *r, struct answer *a)
{
    if (r->body.len == 0 || json_check(buf_slice(&r->body), NULL) == 0)
        return 0;
    answer_error(a, 422, "ValidationError",
                 "{\"errors\":[{\"type\":\"json_invalid\",\"loc\":[\"body\",0],\"msg\":\"JSON decode "
                 "error\",\"input\":{},"
                 "\"ctx\":{\"error\":\"Expecting value\"}}]}");
    return -1;
}

char *get_text(struct slice object, const char *name)
{
    struct slice token;
    struct buf text = buf_make(MAX_BODY_BYTES);
    if (!object.len || !json_get(object, name, &token) || json_decode_string(token, &text)) {
        buf_release(&text);
        return NULL;
    }
    return buf_take(&text);
}

/* ---- queries of bodies ---- */

static void answer_bad_query(const char *why, bool is_search, struct answer *a)
{
    if (is_search) {
        answer_message(a, 400, "InvalidTextSearchError", why);
        return;
    }
    cleanup_free char *message =
        xasprintf("RequestError(400, 'search_phase_execution_exception', '%s')", why);
    answer_exception(a, "opensearchpy.exceptions.RequestError", message);
}

struct slice body_ids(const struct request *r)
{
    struct slice query, ids, one;
    if (!r->body.len || !json_get(buf_slice(&r->body), "query", &query) || !json_get(query, "ids", &ids) ||
        json_type_of(ids) != JSON_ARRAY)
        return (struct slice){0};
    struct json_iter it = json_iter(ids);
    return json_next(&it, NULL, &one) ? ids : (struct slice){0};
}

struct query *body_query(const struct request *r, bool bare, bool is_search, char **ret_text,
                         struct answer *a)
{
    struct slice query = buf_slice(&r->body);
    char *why = NULL;
    if (query.len && !bare && !json_get(query, "query", &query))
        query.len = 0;
    char *text = query.len && json_type_of(query) == JSON_OBJECT ? get_text(query, "query_text") : NULL;
    struct query *q = query_parse(text, &why);
    if (!q) {
        answer_bad_query(why, is_search, a);
        free(why);
        free(text);
        return NULL;
    }
    *ret_text = text ? text : xstrdup("");
    return q;
}

/* ---- pages that are kept ---- */

struct page *page_new(struct buf *takes)
{
    struct page *p = xcalloc(1, sizeof *p);
    atomic_init(&p->refs, 1);
    p->bytes = *takes;
    *takes = buf_make(takes->limit);
    return p;
}

void page_drop(void *page)
{
    struct page *p = page;
    if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
        return;
    buf_release(&p->bytes);
    free(p);
}

enum { CANNED_SLOTS = 1 << 16 };

struct canned {
    size_t n_bytes;
    struct canned_slot {
        char *key;
        uint64_t version;
        struct page *page;
    } slots[CANNED_SLOTS]; /* one page each: a collision only costs a page made anew */
};

struct canned *canned_new(void)
{
    return xcalloc(1, sizeof(struct canned));
}

static void slot_empty(struct canned *c, struct canned_slot *s)
{
    c->n_bytes -= s->page ? s->page->bytes.len : 0;
    free(s->key);
    page_drop(s->page);
    *s = (struct canned_slot){0};
}

static void canned_clear(struct canned *c)
{
    for (size_t i = 0; i < CANNED_SLOTS; i++)
        slot_empty(c, &c->slots[i]);
}

void canned_free(struct canned *c)
{
    if (!c)
        return;
    canned_clear(c);
    free(c);
}

static struct canned_slot *slot_of(struct canned *c, const char *key)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    return &c->slots[(h ^ h >> 32) % CANNED_SLOTS];
}

struct page *canned_find(struct canned *c, const char *key, uint64_t version)
{
    struct canned_slot *s = slot_of(c, key);
    if (!s->page || s->version != version || strcmp(s->key, key) != 0)
        return NULL;
    (void)atomic_fetch_add(&s->page->refs, 1);
    return s->page;
}

void canned_put(struct canned *c, const char *key, uint64_t version, struct page *p)
{
    struct canned_slot *s = slot_of(c, key);
    if (c->n_bytes + p->bytes.len > MAX_CANNED_BYTES)
        canned_clear(c);
    slot_empty(c, s);
    (void)atomic_fetch_add(&p->refs, 1);
    *s = (struct canned_slot){xstrdup(key), version, p};
    c->n_bytes += p->bytes.len;
}
