/* Datasets: list, create, describe. */
#include <ctype.h>
#include <stdio.h>

#include "json_scan.h"
#include "sim.h"

static void write_dataset(const struct dataset *ds, struct buf *b)
{
    buf_addf(b, "{\"tags\":%s,\"metadata\":%s,\"name\":\"%s\",\"task\":\"%s\",\"workspace\":", ds->tags,
             ds->metadata, ds->name, task_name(ds->task));
    buf_addjson(b, ds->workspace, strlen(ds->workspace));
    buf_addf(b, ",\"id\":\"%s.%s\",\"owner\":\"%s\",\"created_at\":\"", ds->workspace, ds->name,
             ds->workspace);
    add_stamp(b, ds->created_us);
    buf_addstr(b, "\",\"created_by\":\"argilla\",\"last_updated\":\"");
    add_stamp(b, ds->updated_us);
    buf_addstr(b, "\"}");
}

void api_describe(const struct dataset *ds, struct answer *a)
{
    write_dataset(ds, &a->body);
}

void api_list(struct sim *sim, struct answer *a)
{
    buf_addch(&a->body, '[');
    for (size_t i = 0; i < sim->store.n; i++) {
        buf_addstr(&a->body, i ? "," : "");
        write_dataset(sim->store.datasets[i], &a->body);
    }
    buf_addch(&a->body, ']');
}

static bool is_name(const char *s)
{
    if (!*s || *s == '-' || *s == '_')
        return false;
    for (; *s; s++)
        if (!islower((unsigned char)*s) && !isdigit((unsigned char)*s) && *s != '-' && *s != '_')
            return false;
    return true;
}

static char *get_object(struct slice body, const char *name)
{
    struct slice value;
    if (!json_get(body, name, &value) || json_type_of(value) != JSON_OBJECT)
        return xstrdup("{}");
    return xstrndup(value.p, value.len);
}

static void answer_exists(const struct dataset *ds, struct answer *a)
{
    cleanup_free char *workspace = json_text(ds->workspace);
    cleanup_free char *params =
        xasprintf("{\"name\":\"%s\",\"type\":\"ServiceDataset\",\"workspace\":%s}", ds->name, workspace);
    answer_error(a, 409, "EntityAlreadyExistsError", params);
}

void api_create(struct sim *sim, const struct request *r, struct answer *a)
{
    struct slice body = buf_slice(&r->body);
    if (r->role != ROLE_OWNER) {
        answer_message(a, 403, "ForbiddenOperationError",
                       "You don't have the necessary permissions to create datasets. Only administrators can "
                       "create datasets");
        return;
    }
    cleanup_free char *name = get_text(body, "name"), *task = get_text(body, "task"),
                      *workspace = get_text(body, "workspace");
    const char *place = workspace ? workspace : r->workspace;
    if (!name || !task) {
        answer_invalid(a, name ? "[\"body\",\"task\"]" : "[\"body\",\"name\"]", "field required",
                       "value_error.missing", "");
    } else if (!is_name(name)) {
        answer_invalid(a, "[\"body\",\"name\"]", "string does not match regex \"^(?!-|_)[a-z0-9-_]+$\"",
                       "value_error.str.regex", ",\"ctx\":{\"pattern\":\"^(?!-|_)[a-z0-9-_]+$\"}");
    } else if (task_of(slice_of(task)) < 0) {
        answer_invalid(
            a, "[\"body\",\"task\"]",
            "value is not a valid enumeration member; permitted: 'TextClassification', "
            "'TokenClassification', "
            "'Text2Text'",
            "type_error.enum",
            ",\"ctx\":{\"enum_values\":[\"TextClassification\",\"TokenClassification\",\"Text2Text\"]}");
    } else if (!place) {
        answer_message(a, 400, "MissingInputParamError", "A workspace must be provided");
    } else if (store_find(&sim->store, place, name)) {
        answer_exists(store_find(&sim->store, place, name), a);
    } else {
        struct dataset *ds = store_create(&sim->store, place, name, (enum task)task_of(slice_of(task)), 0, 0,
                                          0, sim->options.seed);
        free(ds->tags);
        free(ds->metadata);
        ds->tags = get_object(body, "tags");
        ds->metadata = get_object(body, "metadata");
        write_dataset(ds, &a->body);
    }
}
