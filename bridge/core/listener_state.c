#include "listener_state.h"

#include <stdio.h>

#include "json_scan.h"

char *listener_state_key(const char *kind, const char *listener)
{
    return xasprintf("%s/%s", kind, listener);
}

static void add_float(struct buf *b, double f)
{
    /* the shortest text that reads back as the same number, and that stays a float */
    char text[40];
    for (int digits = 1; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, f);
        if (strtod(text, NULL) == f)
            break;
    }
    buf_addstr(b, text);
    if (!strpbrk(text, ".eE"))
        buf_addstr(b, ".0");
}

char *query_params_json(const struct listener_config *l)
{
    struct buf b = buf_make(STATE_JSON_MAX);
    buf_addch(&b, '{');
    for (size_t i = 0; i < l->n_query_params; i++) {
        const struct query_param *p = &l->query_params[i];
        buf_addstr(&b, i ? "," : "");
        buf_addjson(&b, p->name, strlen(p->name));
        buf_addch(&b, ':');
        switch (p->type) {
        case PARAM_INT:
            buf_addf(&b, "%lld", (long long)p->i);
            break;
        case PARAM_FLOAT:
            add_float(&b, p->f);
            break;
        case PARAM_STRING:
            buf_addjson(&b, p->s, strlen(p->s));
            break;
        case PARAM_BOOL:
            buf_addstr(&b, p->i ? "true" : "false");
            break;
        }
    }
    buf_addch(&b, '}');
    return buf_take(&b);
}

/* The member as text of its own, NULL when absent or null. */
static char *take_json(struct slice object, const char *name)
{
    struct slice v;
    if (!json_get(object, name, &v) || json_type_of(v) == JSON_NULL)
        return NULL;
    return xstrndup(v.p, v.len);
}

static int64_t take_int(struct slice object, const char *name)
{
    struct slice v;
    int64_t n = 0;
    return json_get(object, name, &v) && json_get_int64(v, &n) == 0 ? n : 0;
}

static int check_object(struct slice value, const char *what, struct err *e)
{
    struct err why;
    if (json_check(value, &why))
        return err_set(e, ERR_FATAL, "state: %s: %s", what, why.msg);
    if (json_type_of(value) != JSON_OBJECT)
        return err_set(e, ERR_FATAL, "state: %s: not an object", what);
    return 0;
}

void listener_state_release(struct listener_state *s)
{
    free(s->config_params);
    free(s->query_params);
    free(s->previous);
    *s = (struct listener_state){0};
}

int listener_state_read(struct slice value, const struct listener_config *l, struct listener_state *ret,
                        bool *ret_file_won, struct err *e)
{
    struct listener_state s = {.generation = 1};
    if (value.len && check_object(value, l->name, e))
        return -1;
    if (value.len) {
        s.generation = take_int(value, "generation");
        s.run = take_int(value, "run");
        s.config_params = take_json(value, "config_params");
        s.query_params = take_json(value, "query_params");
        s.previous = take_json(value, "previous");
    }
    cleanup_free char *file = query_params_json(l);
    bool is_new = !s.query_params || !s.config_params;
    bool file_won = !is_new && strcmp(file, s.config_params) != 0;
    if (is_new || file_won) {
        free(s.config_params);
        free(s.query_params);
        s.config_params = xstrdup(file);
        s.query_params = xstrdup(file);
    }
    *ret = s;
    *ret_file_won = file_won;
    return 0;
}

void listener_state_write(const struct listener_state *s, struct buf *ret)
{
    buf_addf(ret, "{\"generation\":%lld,\"run\":%lld,\"config_params\":", (long long)s->generation,
             (long long)s->run);
    buf_addstr(ret, s->config_params);
    buf_addstr(ret, ",\"query_params\":");
    buf_addstr(ret, s->query_params);
    buf_addstr(ret, ",\"previous\":");
    buf_addstr(ret, s->previous ? s->previous : "null");
    buf_addch(ret, '}');
}

void frozen_run_release(struct frozen_run *f)
{
    free(f->ctx);
    free(f->next_params);
    scan_plan_release(&f->plan);
    *f = (struct frozen_run){0};
}

int frozen_run_read(struct slice value, struct frozen_run *ret, struct err *e)
{
    if (check_object(value, "ctx", e))
        return -1;
    struct slice plan;
    struct frozen_run f = {.ctx = take_json(value, "ctx"), .next_params = take_json(value, "next_params")};
    if (!f.ctx || !f.next_params || (json_get(value, "plan", &plan) && scan_plan_read(plan, &f.plan))) {
        frozen_run_release(&f);
        return err_set(e, ERR_FATAL, "state: ctx: incomplete");
    }
    *ret = f;
    return 0;
}

void frozen_run_write(const struct frozen_run *f, struct buf *ret)
{
    buf_addstr(ret, "{\"ctx\":");
    buf_addstr(ret, f->ctx);
    buf_addstr(ret, ",\"next_params\":");
    buf_addstr(ret, f->next_params);
    if (f->plan.kind != PLAN_MATCHES) {
        buf_addstr(ret, ",\"plan\":");
        scan_plan_write(&f->plan, ret);
    }
    buf_addch(ret, '}');
}

void run_progress_release(struct run_progress *p)
{
    free(p->cursor);
    free(p->oversize_ids);
    *p = (struct run_progress){0};
}

int run_progress_read(struct slice value, struct run_progress *ret, struct err *e)
{
    if (check_object(value, "run", e))
        return -1;
    struct slice ids;
    *ret = (struct run_progress){
        .run = take_int(value, "run"),
        .started_ms = take_int(value, "started_ms"),
        .n_matched = take_int(value, "n_matched"),
        .n_published = take_int(value, "n_published"),
        .n_oversize = take_int(value, "n_oversize"),
        .n_batches = take_int(value, "n_batches"),
        .n_unchanged = take_int(value, "n_unchanged"),
        .n_deleted = take_int(value, "n_deleted"),
        .n_removed = take_int(value, "n_removed"),
        .cursor = take_json(value, "cursor"),
    };
    if (json_get(value, "oversize_ids", &ids) && json_type_of(ids) == JSON_ARRAY && ids.len > 2)
        ret->oversize_ids = xstrndup(ids.p + 1, ids.len - 2);
    return 0;
}

void run_progress_write(const struct run_progress *p, struct buf *ret)
{
    buf_addf(ret,
             "{\"run\":%lld,\"started_ms\":%lld,\"n_matched\":%lld,\"n_published\":%lld,\"n_oversize\":%lld,"
             "\"n_batches\":%lld,\"n_unchanged\":%lld,\"n_deleted\":%lld,\"n_removed\":%lld,\"cursor\":%s,"
             "\"oversize_ids\":[%s]}",
             (long long)p->run, (long long)p->started_ms, (long long)p->n_matched, (long long)p->n_published,
             (long long)p->n_oversize, (long long)p->n_batches, (long long)p->n_unchanged,
             (long long)p->n_deleted, (long long)p->n_removed, p->cursor ? p->cursor : "null",
             p->oversize_ids ? p->oversize_ids : "");
}

static void add_member(struct buf *b, const char *name, const char *text)
{
    buf_addf(b, ",\"%s\":", name);
    buf_addjson(b, text, strlen(text));
}

void ctx_write(const struct listener_config *l, int64_t run, const char *formatted_query, int64_t total,
               const char *metrics, const char *query_params, struct buf *ret)
{
    buf_addf(ret, "{\"run\":%lld", (long long)run);
    add_member(ret, "listener", l->name);
    add_member(ret, "dataset", l->dataset);
    add_member(ret, "workspace", l->workspace);
    if (formatted_query)
        add_member(ret, "query", formatted_query);
    else
        buf_addstr(ret, ",\"query\":null");
    if (total >= 0)
        buf_addf(ret, ",\"search\":{\"total\":%lld}", (long long)total);
    else
        buf_addstr(ret, ",\"search\":null");
    buf_addstr(ret, ",\"query_params\":");
    buf_addstr(ret, query_params);
    buf_addstr(ret, ",\"metrics\":");
    buf_addstr(ret, metrics);
    buf_addch(ret, '}');
}

void ctx_with_previous(const char *ctx, const char *previous, struct buf *ret)
{
    buf_add(ret, ctx, strlen(ctx) - 1);
    buf_addstr(ret, ",\"previous\":");
    buf_addstr(ret, previous ? previous : "null");
    buf_addch(ret, '}');
}
