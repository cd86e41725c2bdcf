#include "explain.h"

#include <pthread.h>
#include <stdatomic.h>

#include "argilla.h"
#include "clock.h"
#include "envelope.h"
#include "expr.h"
#include "json_scan.h"
#include "offline.h"
#include "template.h"

enum { TEXT_MAX = 8 << 20, PUMP_MS = 200, SAMPLE_MAX = 2000 };

/* The engine needs a thread that moves it on while the command waits. */
struct explain {
    const struct config *config;
    const struct listener_config *l;
    FILE *out;
    struct http_engine *http;
    struct argilla *argilla;
    struct expr_cache *exprs;
    pthread_t pump;
    atomic_bool must_end;

    struct listener_state state;
    struct peeked peeked;
    struct dataset_ref dataset;
    struct buf query, metrics, ctx, eval;
    int64_t total;
    bool holds;
};

static void *pump_main(void *arg)
{
    struct explain *x = arg;
    while (!atomic_load(&x->must_end))
        http_engine_poll(x->http, PUMP_MS);
    return NULL;
}

static int explain_init(struct explain *x, const struct config *config, const struct listener_config *l,
                        FILE *out, struct err *e)
{
    *x = (struct explain){.config = config, .l = l, .out = out, .total = -1, .holds = true};
    x->query = x->metrics = x->ctx = x->eval = buf_make(TEXT_MAX);
    if (http_engine_new(&config->argilla, &x->http, e))
        return -1;
    int rc = pthread_create(&x->pump, NULL, pump_main, x);
    if (rc) {
        http_engine_free(x->http);
        return err_errno(e, "pthread_create", rc);
    }
    x->argilla = argilla_new(&config->argilla, x->http);
    x->exprs = expr_cache_new();
    return 0;
}

static void explain_release(struct explain *x)
{
    atomic_store(&x->must_end, true);
    http_engine_wake(x->http);
    (void)pthread_join(x->pump, NULL);
    http_engine_free(x->http);
    argilla_free(x->argilla);
    expr_cache_free(x->exprs);
    listener_state_release(&x->state);
    peeked_release(&x->peeked);
    dataset_ref_release(&x->dataset);
    buf_release(&x->query);
    buf_release(&x->metrics);
    buf_release(&x->ctx);
    buf_release(&x->eval);
}

static int take(struct argilla_wait *w, struct argilla_answer *ret, struct err *e)
{
    argilla_wait(w, ret);
    if (ret->err.class == ERR_NONE)
        return 0;
    *e = ret->err;
    return -1;
}

static int show_state(struct explain *x, struct err *e)
{
    struct err why;
    bool file_won = false, is_known = offline_peek(x->config, x->l->name, &x->peeked, &why) == 0;
    const char *state = x->peeked.state, *progress = x->peeked.progress;
    if (listener_state_read(is_known ? slice_of(state) : (struct slice){0}, x->l, &x->state, &file_won, e))
        return -1;
    fprintf(x->out, "listener      %s\n", x->l->name);
    fprintf(x->out, "dataset       %s (workspace %s)\n", x->l->dataset, x->l->workspace);
    fprintf(x->out, "state         ");
    if (!is_known)
        fprintf(x->out, "can't be read (%s): start values are used\n", why.msg);
    else if (!*state)
        fprintf(x->out, "none yet: the next run is the first\n");
    else
        fprintf(x->out, "after run %lld%s\n", (long long)x->state.run,
                file_won ? "; the file's query_params have changed and replace it" : "");
    if (is_known && *progress)
        fprintf(x->out, "in progress   %s\n", progress);
    fprintf(x->out, "query_params  %s\n", x->state.query_params);
    return 0;
}

static int show_query(struct explain *x, struct err *e)
{
    if (x->l->query && template_format(x->l->query, slice_of(x->state.query_params), &x->query, e))
        return -1;
    fprintf(x->out, "query         %s\n", x->l->query ? buf_str(&x->query) : "(all records)");
    return 0;
}

static const char *query_of(const struct explain *x)
{
    return x->l->query ? buf_str(&x->query) : NULL;
}

/* deliver = changes: how far back the next poll looks, when the next reconcile is due, what is tracked. A
 * running service may be further than what it has written. */
static int show_changes(struct explain *x, struct err *e)
{
    const struct listener_config *l = x->l;
    const struct changes_mark *m = &x->peeked.mark;
    char text[RFC3339_SIZE];
    const char *why;
    (void)e;
    if (l->deliver != DELIVER_CHANGES)
        return 0;
    int64_t interval_ms = (int64_t)(l->reconcile_interval_s * 1000), now = clock_wall_ms();
    bool is_due = changes_next(m, x->state.generation, query_of(x), interval_ms, now, &why) == PLAN_RECONCILE;
    fprintf(x->out, "tracked       %zu records", x->peeked.n_tracked);
    if (x->peeked.n_tracked_before)
        fprintf(x->out, " (and %zu from before the last reset, dropped by the next reconcile)",
                x->peeked.n_tracked_before);
    fputc('\n', x->out);
    if (is_due) {
        fprintf(x->out, "looks back    at all records: a reconcile is due (%s)\n", why);
        return 0;
    }
    clock_rfc3339(m->at_ms - (int64_t)(l->overlap_s * 1000), text);
    fprintf(x->out, "looks back    to %s by the server's clock\n", text);
    clock_rfc3339(m->reconciled_ms + interval_ms, text);
    fprintf(x->out, "reconcile     due at %s, in %lld s\n", text,
            (long long)(m->reconciled_ms + interval_ms - now) / 1000);
    return 0;
}

static int ask_argilla(struct explain *x, struct err *e)
{
    struct argilla_wait w;
    struct argilla_answer a;
    argilla_wait_init(&w);
    argilla_resolve(x->argilla, x->l->workspace, x->l->dataset, argilla_wait_done, &w);
    if (take(&w, &a, e))
        return -1;
    x->dataset = a.dataset;
    if (x->dataset.task)
        fprintf(x->out, "task          %s\n", x->dataset.task);
    argilla_wait_init(&w);
    argilla_count(x->argilla, &x->dataset, query_of(x), argilla_wait_done, &w);
    if (take(&w, &a, e))
        return -1;
    x->total = a.total;
    fprintf(x->out, "total         %lld\n", (long long)x->total);
    return 0;
}

static int ask_metrics(struct explain *x, struct err *e)
{
    struct argilla_wait w;
    struct argilla_answer a;
    buf_addch(&x->metrics, '{');
    for (size_t i = 0; i < x->l->n_metrics; i++) {
        argilla_wait_init(&w);
        argilla_metric(x->argilla, &x->dataset, query_of(x), x->l->metrics[i], argilla_wait_done, &w);
        if (take(&w, &a, e))
            return -1;
        fprintf(x->out, "metric        %s = %s\n", x->l->metrics[i], a.metric_json);
        buf_addstr(&x->metrics, i ? "," : "");
        buf_addjson(&x->metrics, x->l->metrics[i], strlen(x->l->metrics[i]));
        buf_addch(&x->metrics, ':');
        buf_addstr(&x->metrics, a.metric_json);
        free(a.metric_json);
    }
    buf_addch(&x->metrics, '}');
    return 0;
}

static int show_condition(struct explain *x, struct err *e)
{
    const struct listener_config *l = x->l;
    bool is_probed = l->condition || l->n_metrics;
    cleanup_buf struct buf next = buf_make(STATE_JSON_MAX);
    ctx_write(l, x->state.run + 1, query_of(x), is_probed ? x->total : -1, buf_str(&x->metrics),
              x->state.query_params, &x->ctx);
    ctx_with_previous(buf_str(&x->ctx), x->state.previous, &x->eval);
    if (l->condition) {
        if (expr_condition(x->exprs, l->condition, buf_slice(&x->eval), &x->holds, e))
            return err_wrap(e, "condition");
        fprintf(x->out, "condition     %s -> %s\n", l->condition, x->holds ? "true" : "false");
    } else {
        fprintf(x->out, "condition     none: every poll fires\n");
    }
    if (!l->update_query_params)
        return 0;
    if (expr_update_params(x->exprs, l->update_query_params, buf_slice(&x->eval), &next, e))
        return err_wrap(e, "update_query_params");
    fprintf(x->out, "then          query_params %s\n", buf_str(&next));
    return 0;
}

static void show_sample(struct explain *x, const struct scan_page *page)
{
    cleanup_buf struct buf value = buf_make(TEXT_MAX), projected = buf_make(TEXT_MAX);
    struct slice record = page->records[0].json;
    struct err e;
    if (x->l->project) {
        if (expr_project(x->exprs, x->l->project, record, &projected, &e)) {
            fprintf(x->out, "project       %s\n", e.msg);
            return;
        }
        record = buf_slice(&projected);
    }
    if (x->l->publish == PUBLISH_BATCHES) {
        envelope_begin(buf_slice(&x->ctx), &value);
        envelope_end(&record, 1, 0, false, &value);
    } else {
        buf_addslice(&value, record);
    }
    fprintf(x->out, "sample        %.*s%s\n", SAMPLE_MAX, buf_str(&value),
            value.len > SAMPLE_MAX ? "..." : "");
}

static int show_messages(struct explain *x, struct err *e)
{
    const struct listener_config *l = x->l;
    struct argilla_wait w;
    struct argilla_answer a;
    fprintf(x->out, "would send    %s", x->holds ? "" : "nothing now; if the condition held: ");
    if (!l->query_records) {
        fprintf(x->out, "1 run message to %s\n", l->metrics_topic);
        return 0;
    }
    if (l->deliver == DELIVER_CHANGES) /* which of them are new is known once they are read */
        fprintf(x->out, "what of %lld records was not sent before, as ", (long long)x->total);
    else
        fprintf(x->out, "%lld %s", (long long)x->total, l->publish == PUBLISH_RECORDS ? "" : "records in ");
    if (l->publish == PUBLISH_RECORDS)
        fprintf(x->out, "record messages to %s", l->topic);
    else
        fprintf(x->out, "batches of up to %d to %s", l->batch_records, l->topic);
    fprintf(x->out, ", and 1 run message to %s%s\n", l->metrics_topic,
            l->deliver == DELIVER_CHANGES ? " if there is any" : "");
    argilla_wait_init(&w);
    argilla_scan(x->argilla, &x->dataset, query_of(x), NULL, 1, argilla_wait_done, &w);
    if (take(&w, &a, e))
        return -1;
    if (a.page->n_records)
        show_sample(x, a.page);
    scan_page_free(a.page);
    return 0;
}

int explain(const struct config *config, const struct listener_config *l, FILE *out, struct err *e)
{
    struct explain x;
    if (explain_init(&x, config, l, out, e))
        return -1;
    int rc = show_state(&x, e) || show_query(&x, e) || show_changes(&x, e) || ask_argilla(&x, e) ||
             ask_metrics(&x, e) || show_condition(&x, e) || show_messages(&x, e);
    explain_release(&x);
    return rc ? -1 : 0;
}
