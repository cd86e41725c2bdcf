#include "changes_mark.h"

#include "json_scan.h"

static const char *const kind_names[] = {"matches", "changes", "reconcile", "mark"};
enum { TEXT_MAX = 1 << 20 };

static char *take_text(struct slice object, const char *name)
{
    struct slice v;
    struct buf b = buf_make(TEXT_MAX);
    if (json_get(object, name, &v) && json_decode_string(v, &b) == 0)
        return buf_take(&b);
    buf_release(&b);
    return NULL;
}

static int64_t take_int(struct slice object, const char *name)
{
    struct slice v;
    int64_t n = 0;
    return json_get(object, name, &v) && json_get_int64(v, &n) == 0 ? n : 0;
}

static void add_text(struct buf *b, const char *name, const char *text)
{
    buf_addf(b, ",\"%s\":", name);
    if (text)
        buf_addjson(b, text, strlen(text));
    else
        buf_addstr(b, "null");
}

static char *copy(const char *s)
{
    return s ? xstrdup(s) : NULL;
}

void changes_mark_release(struct changes_mark *m)
{
    free(m->query);
    free(m->dataset);
    *m = (struct changes_mark){0};
}

struct changes_mark changes_mark_copy(const struct changes_mark *m)
{
    struct changes_mark c = *m;
    c.query = copy(m->query);
    c.dataset = copy(m->dataset);
    return c;
}

int changes_mark_read(struct slice value, struct changes_mark *ret, struct err *e)
{
    *ret = (struct changes_mark){0};
    if (!value.len)
        return 0;
    if (json_check(value, NULL) || json_type_of(value) != JSON_OBJECT)
        return err_set(e, ERR_FATAL, "state: changes: not an object");
    *ret = (struct changes_mark){.is_set = true,
                                 .generation = take_int(value, "generation"),
                                 .query = take_text(value, "query"),
                                 .dataset = take_text(value, "dataset"),
                                 .at_ms = take_int(value, "at_ms"),
                                 .reconciled_ms = take_int(value, "reconciled_ms")};
    return 0;
}

void changes_mark_write(const struct changes_mark *m, struct buf *ret)
{
    buf_addf(ret, "{\"generation\":%lld,\"at_ms\":%lld,\"reconciled_ms\":%lld", (long long)m->generation,
             (long long)m->at_ms, (long long)m->reconciled_ms);
    add_text(ret, "query", m->query);
    add_text(ret, "dataset", m->dataset);
    buf_addch(ret, '}');
}

void scan_plan_release(struct scan_plan *p)
{
    free(p->query);
    free(p->dataset);
    *p = (struct scan_plan){0};
}

void scan_plan_write(const struct scan_plan *p, struct buf *ret)
{
    buf_addf(ret, "{\"kind\":\"%s\",\"at_ms\":%lld", kind_names[p->kind], (long long)p->at_ms);
    add_text(ret, "query", p->query);
    add_text(ret, "dataset", p->dataset);
    buf_addch(ret, '}');
}

int scan_plan_read(struct slice value, struct scan_plan *ret)
{
    cleanup_free char *kind = take_text(value, "kind");
    for (int i = PLAN_CHANGES; kind && i <= PLAN_RECONCILE; i++) {
        if (strcmp(kind, kind_names[i]) != 0)
            continue;
        *ret = (struct scan_plan){.kind = (enum plan_kind)i,
                                  .query = take_text(value, "query"),
                                  .dataset = take_text(value, "dataset"),
                                  .at_ms = take_int(value, "at_ms")};
        return 0;
    }
    return -1;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

enum plan_kind changes_next(const struct changes_mark *m, int64_t generation, const char *query,
                            int64_t interval_ms, int64_t now_ms, const char **ret_why)
{
    int64_t since_ms = now_ms - m->reconciled_ms;
    *ret_why = !m->is_set                    ? "first"
               : m->generation != generation ? "reset"
               : !same(m->query, query)      ? "query"
               : m->reconciled_ms == 0       ? "unfinished"
               : since_ms >= interval_ms     ? "due"
               : since_ms < -2 * interval_ms ? "clock" /* it has been set back by far */
                                             : NULL;
    return *ret_why ? PLAN_RECONCILE : PLAN_CHANGES;
}

struct changes_mark changes_mark_after(const struct changes_mark *before, const struct scan_plan *plan,
                                       int64_t generation, const char *query, bool is_whole,
                                       int64_t started_ms)
{
    bool follows = before->is_set && before->generation == generation;
    bool same_query = follows && same(before->query, query);
    struct changes_mark m = {
        .is_set = true, .generation = generation, .query = copy(query), .at_ms = plan->at_ms};
    /* the identity of what the digests are of: a dataset that was made anew doesn't take its place by itself
     */
    m.dataset = copy(follows && before->dataset ? before->dataset : plan->dataset);
    m.reconciled_ms = is_whole ? started_ms : same_query ? before->reconciled_ms : 0;
    return m;
}
