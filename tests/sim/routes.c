/* Which part of the API a request means. */
#include <stdio.h>

#include "json_scan.h"
#include "sim.h"

enum { MAX_PARTS = 8 };

/* The path's segments; an encoded slash separates too, as on the server. */
struct parts {
    char *text, *at[MAX_PARTS];
    size_t n;
};

static struct parts split(const char *path)
{
    struct parts p = {.text = xstrdup(path)};
    for (char *s = p.text; s && p.n < MAX_PARTS; s = strchr(s, '/')) {
        *s++ = 0;
        p.at[p.n++] = s;
    }
    return p;
}

static bool is_method(const struct request *r, const char *method, struct answer *a)
{
    if (strcmp(r->method, method) == 0)
        return true;
    answer_detail(a, 405, "Method Not Allowed");
    return false;
}

/* The dataset, open and of this task (-1: any); NULL with the answer. */
static struct dataset *dataset_of(struct sim *sim, const struct request *r, const char *name, int task,
                                  struct answer *a)
{
    if (!r->workspace) {
        answer_message(a, 400, "MissingInputParamError", "A workspace must be provided");
        return NULL;
    }
    struct dataset *ds = store_find(&sim->store, r->workspace, name);
    if (!ds) {
        answer_no_dataset(a, name);
    } else if (task >= 0 && ds->task != (enum task)task) {
        cleanup_free char *why =
            xasprintf("Provided task %s cannot be applied to dataset", task_name((enum task)task));
        answer_message(a, 400, "WrongTaskError", why);
        ds = NULL;
    } else if (ds->is_closed) {
        cleanup_free char *params = xasprintf("{\"name\":\"%s\"}", ds->name);
        answer_error(a, 400, "ClosedDatasetError", params);
        ds = NULL;
    }
    return ds;
}

static void delete_dataset(struct sim *sim, const struct request *r, const char *name, struct answer *a)
{
    struct dataset *ds = r->workspace ? store_find(&sim->store, r->workspace, name) : NULL;
    if (!r->workspace)
        answer_message(a, 400, "MissingInputParamError", "A workspace must be provided");
    else if (r->role != ROLE_OWNER && ds)
        answer_message(
            a, 403, "ForbiddenOperationError",
            "You don't have the necessary permissions to delete this dataset. Only administrators can delete "
            "datasets");
    else
        buf_addstr(&a->body, "null"); /* one that isn't there is gone already */
    if (ds && a->status == 200)
        store_remove(&sim->store, ds);
}

static void open_or_close(struct sim *sim, const struct request *r, char *name, bool close, struct answer *a)
{
    *strrchr(name, ':') = 0;
    struct dataset *ds = r->workspace ? store_find(&sim->store, r->workspace, name) : NULL;
    if (!ds) {
        answer_no_dataset(a, name);
        return;
    }
    ds->is_closed = close;
    ds->version++;
    buf_addstr(&a->body, "null");
}

/* /api/datasets/{name} */
static void one_dataset(struct sim *sim, const struct request *r, char *name, struct answer *a)
{
    struct dataset *ds;
    const char *verb = strrchr(name, ':');
    if (verb && (strcmp(verb, ":open") == 0 || strcmp(verb, ":close") == 0)) {
        if (is_method(r, "PUT", a))
            open_or_close(sim, r, name, verb[1] == 'c', a);
    } else if (strcmp(r->method, "DELETE") == 0) {
        delete_dataset(sim, r, name, a);
    } else if (is_method(r, "GET", a) && (ds = dataset_of(sim, r, name, -1, a))) {
        api_describe(ds, a);
    }
}

static void record_route(struct sim *sim, const struct request *r, const struct parts *p, struct answer *a)
{
    bool is_patch = strcmp(r->method, "PATCH") == 0;
    struct dataset *ds;
    if (!is_patch && !is_method(r, "GET", a))
        return;
    if (!(ds = dataset_of(sim, r, p->at[2], -1, a)))
        return;
    if (is_patch)
        api_patch_record(ds, r, p->at[4], a);
    else
        api_get_record(ds, p->at[4], a);
}

/* /api/datasets/{name}/{Task}:search, .../{Task}:bulk */
static bool task_route(struct sim *sim, const struct request *r, const struct parts *p, struct answer *a)
{
    const char *colon = strchr(p->at[3], ':');
    int task = colon ? task_of((struct slice){p->at[3], (size_t)(colon - p->at[3])}) : -1;
    bool is_search = colon && strcmp(colon, ":search") == 0, is_bulk = colon && strcmp(colon, ":bulk") == 0;
    struct dataset *ds;
    if (task < 0 || (!is_search && !is_bulk))
        return false;
    if (is_method(r, "POST", a) && (ds = dataset_of(sim, r, p->at[2], task, a))) {
        if (is_search)
            api_search(ds, r, a);
        else
            api_bulk(ds, r, a);
    }
    return true;
}

/* /api/datasets/{Task}/{name}/metrics[/{metric}:summary] */
static bool metrics_route(struct sim *sim, const struct request *r, const struct parts *p, struct answer *a)
{
    int task = task_of(slice_of(p->at[2]));
    struct dataset *ds;
    if (task < 0 || p->n < 5 || p->n > 6 || strcmp(p->at[4], "metrics") != 0)
        return false;
    char *colon = p->n == 6 ? strrchr(p->at[5], ':') : NULL;
    if (p->n == 6 && (!colon || strcmp(colon, ":summary") != 0))
        return false;
    if (!is_method(r, colon ? "POST" : "GET", a) || !(ds = dataset_of(sim, r, p->at[3], task, a)))
        return true;
    if (colon) {
        *colon = 0;
        api_metric(ds, r, p->at[5], a);
    } else {
        api_metrics_list(a);
    }
    return true;
}

static void datasets_route(struct sim *sim, const struct request *r, const struct parts *p, struct answer *a)
{
    struct dataset *ds;
    if (p->n == 2) {
        if (strcmp(r->method, "GET") == 0)
            api_list(sim, a);
        else if (is_method(r, "POST", a))
            api_create(sim, r, a);
    } else if (p->n == 3) {
        one_dataset(sim, r, p->at[2], a);
    } else if (p->n == 5 && strcmp(p->at[3], "records") == 0 && strcmp(p->at[4], ":search") == 0) {
        if (is_method(r, "POST", a) && (ds = dataset_of(sim, r, p->at[2], -1, a)))
            api_scan(sim, ds, r, a);
    } else if (p->n == 5 && strcmp(p->at[3], "records") == 0) {
        record_route(sim, r, p, a);
    } else if (p->n == 4 && strcmp(p->at[3], "data") == 0) {
        if (is_method(r, "DELETE", a) && (ds = dataset_of(sim, r, p->at[2], -1, a)))
            api_delete_data(ds, r, a);
    } else if (!(p->n == 4 && task_route(sim, r, p, a)) && !metrics_route(sim, r, p, a)) {
        answer_detail(a, 404, "Not Found");
    }
}

static void me(const struct request *r, const char *workspace, struct answer *a)
{
    const char *name = r->role == ROLE_OWNER ? "argilla" : "annotator",
               *role = r->role == ROLE_OWNER ? "owner" : "annotator";
    cleanup_free char *place = json_text(workspace);
    buf_addf(&a->body,
             "{\"id\":\"00000000-0000-4000-8000-00000000000%d\",\"first_name\":\"%s\",\"full_name\":\"%s\","
             "\"username\":\"%s\","
             "\"role\":\"%s\",\"workspaces\":[%s],\"api_key\":\"%s.apikey\",\"inserted_at\":\"2026-01-01T00:"
             "00:00.000001\","
             "\"updated_at\":\"2026-01-01T00:00:00.000001\"}",
             (int)r->role, name, name, name, role, place, name);
}

static void known_user(struct sim *sim, const struct request *r, const struct parts *p, struct answer *a)
{
    if (strcmp(p->at[1], "datasets") == 0) {
        datasets_route(sim, r, p, a);
    } else if (p->n == 2 && strcmp(p->at[1], "me") == 0) {
        if (is_method(r, "GET", a))
            me(r, sim->options.workspace, a);
    } else if (strcmp(r->path, "/api/v1/me/workspaces") == 0) {
        cleanup_free char *name = json_text(sim->options.workspace);
        buf_addf(&a->body, "{\"items\":[{\"id\":\"00000000-0000-4000-8000-0000000000a0\",\"name\":%s}]}",
                 name);
    } else {
        answer_detail(a, 404, "Not Found");
    }
}

void route(struct sim *sim, struct request *r, struct answer *a)
{
    if (strncmp(r->path, "/_sim/", 6) == 0) {
        control_route(sim, r, a);
        return;
    }
    struct parts p = split(r->path);
    if (check_body(r, a) == 0) {
        if (p.n < 2 || strcmp(p.at[0], "api") != 0)
            answer_detail(a, 404, "Not Found");
        else if (p.n == 2 && strcmp(p.at[1], "_info") == 0)
            buf_addstr(&a->body, "{\"version\":\"1.29.1\"}");
        else if (p.n == 2 && strcmp(p.at[1], "_status") == 0)
            buf_addstr(
                &a->body,
                "{\"version\":\"1.29.1\",\"elasticsearch\":{\"name\":\"argilla-sim\"},\"mem_info\":{}}");
        else if (r->role == ROLE_NONE)
            answer_message(a, 401, "UnauthorizedError", "Could not validate credentials");
        else
            known_user(sim, r, &p, a);
    }
    free(p.text);
}
