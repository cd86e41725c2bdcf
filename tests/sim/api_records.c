/* Writing and reading single records: :bulk, GET and PATCH of a record, DELETE data. */
#include <stdio.h>

#include "json_scan.h"
#include "normalize.h"

enum { MAX_METADATA = 50 };

/* ---- :bulk ---- */

static int check_multi_label(struct dataset *ds, struct slice record, struct answer *a)
{
    struct slice value;
    bool is_multi = json_get(record, "multi_label", &value) && json_type_of(value) == JSON_TRUE;
    if (ds->task == TEXT_CLASSIFICATION && ds->n_live == 0)
        ds->is_multi_label = is_multi;
    if (ds->task != TEXT_CLASSIFICATION || is_multi == ds->is_multi_label)
        return 0;
    answer_message(
        a, 400, "BadRequestError",
        is_multi ? "You cannot pass multi-label records for this dataset. Stored records are single-label"
                 : "You cannot pass single-label records for this dataset. Stored records are multi-label");
    return -1;
}

static int check_metadata(struct slice record, struct answer *a)
{
    struct slice metadata;
    if (!json_get(record, "metadata", &metadata) || json_type_of(metadata) != JSON_OBJECT)
        return 0;
    size_t n = flat_count(metadata);
    if (n <= MAX_METADATA)
        return 0;
    cleanup_free char *params = xasprintf("{\"len\":%zu,\"limit\":%d}", n, MAX_METADATA);
    answer_error(a, 400, "MetadataLimitExceededError", params);
    return -1;
}

static int check_records(struct dataset *ds, struct slice records, struct answer *a)
{
    struct slice record;
    size_t i = 0;
    for (struct json_iter it = json_iter(records); json_next(&it, NULL, &record); i++)
        if (record_check(record, ds->task, i, a))
            return -1;
    for (struct json_iter it = json_iter(records); json_next(&it, NULL, &record);)
        if (record_check_models(record, ds->task, a) || check_multi_label(ds, record, a) ||
            check_metadata(record, a))
            return -1;
    return 0;
}

/* The text that orders ids: 7 and "7" are the same record. */
static void id_text(struct slice token, struct buf *ret)
{
    if (json_type_of(token) == JSON_STRING)
        (void)json_decode_string(token, ret);
    else
        buf_addslice(ret, token);
}

static void upsert(struct dataset *ds, struct slice record, int64_t now_us)
{
    cleanup_buf struct buf key = buf_make(MAX_BODY_BYTES), scratch = buf_make(MAX_BODY_BYTES),
                           out = buf_make(MAX_BODY_BYTES);
    struct doc old, new;
    struct slice id;
    bool is_known = false;
    if (json_get(record, "id", &id) && json_type_of(id) != JSON_NULL) {
        id_text(id, &key);
        is_known = dataset_get(ds, buf_slice(&key), &scratch, &old);
    }
    record_merge(record, is_known ? &old : NULL, ds->task, now_us, &out, &new);
    buf_clear(&key);
    id_text(new.f[F_ID], &key);
    new.key = buf_slice(&key);
    dataset_put(ds, &new);
}

void api_bulk(struct dataset *ds, const struct request *r, struct answer *a)
{
    struct slice records, record, body = buf_slice(&r->body);
    size_t n = 0;
    int64_t now = store_now_us(); /* one stamp for all of a bulk */
    if (!body.len || !json_get(body, "records", &records) || json_type_of(records) != JSON_ARRAY) {
        answer_invalid(a, "[\"body\",\"records\"]", "field required", "value_error.missing", "");
        return;
    }
    if (check_records(ds, records, a)) {
        if (a->status != 422)
            ds->updated_us = now; /* a failed bulk moves it too */
        return;
    }
    for (struct json_iter it = json_iter(records); json_next(&it, NULL, &record); n++)
        upsert(ds, record, now);
    ds->updated_us = now;
    buf_addf(&a->body, "{\"dataset\":\"%s\",\"processed\":%zu,\"failed\":0}", ds->name, n);
}

/* ---- one record ---- */

static void answer_no_record(const struct dataset *ds, const char *id, struct answer *a)
{
    cleanup_free char *full = xasprintf("%s.%s", ds->workspace, ds->name);
    cleanup_free char *long_id = xasprintf("%s.%s", full, id);
    cleanup_free char *d = json_text(full), *i = json_text(id), *n = json_text(long_id);
    cleanup_free char *params =
        xasprintf("{\"dataset\":%s,\"id\":%s,\"name\":%s,\"type\":\"Record\"}", d, i, n);
    answer_error(a, 404, "RecordNotFound", params);
}

void api_get_record(const struct dataset *ds, const char *id, struct answer *a)
{
    cleanup_buf struct buf scratch = buf_make(MAX_BODY_BYTES);
    struct doc d;
    if (dataset_get(ds, slice_of(id), &scratch, &d))
        doc_write_get(&d, ds->task, &a->body);
    else
        answer_no_record(ds, id, a);
}

/* Metadata is merged, last_updated stays; a status is echoed and not stored. */
void api_patch_record(struct dataset *ds, const struct request *r, const char *id, struct answer *a)
{
    cleanup_buf struct buf scratch = buf_make(MAX_BODY_BYTES), merged = buf_make(MAX_BODY_BYTES);
    struct slice body = buf_slice(&r->body), metadata, status, none = {"", 0};
    struct doc d;
    bool has_status = body.len && json_get(body, "status", &status) && json_type_of(status) != JSON_NULL;
    if (has_status && status_check(status, "[\"body\",\"status\"]", a))
        return;
    if (!dataset_get(ds, slice_of(id), &scratch, &d)) {
        answer_no_record(ds, id, a);
        return;
    }
    struct slice stored_status = d.f[F_STATUS];
    bool has_metadata =
        body.len && json_get(body, "metadata", &metadata) && json_type_of(metadata) == JSON_OBJECT;
    if (has_metadata) {
        merge_objects(doc_has(&d, F_METADATA) ? d.f[F_METADATA] : none, metadata, true, &merged);
        d.f[F_METADATA] = buf_slice(&merged);
    }
    struct doc echo = d;
    echo.f[F_STATUS] = has_status ? status : slice_of("\"Default\"");
    if (!has_metadata)
        echo.f[F_METADATA] = (struct slice){0};
    doc_write_get(&echo, ds->task, &a->body);
    d.f[F_STATUS] = stored_status;
    dataset_put(ds, &d);
}

/* ---- DELETE data ---- */

bool doc_is_named(struct slice ids, const struct doc *d)
{
    struct slice id;
    for (struct json_iter it = json_iter(ids); json_next(&it, NULL, &id);) {
        cleanup_buf struct buf text = buf_make(MAX_BODY_BYTES);
        id_text(id, &text);
        if (key_compare(buf_slice(&text), d->key) == 0)
            return true;
    }
    return false;
}

static void discard_one(struct dataset *ds, const struct doc *d)
{
    struct doc gone = *d;
    gone.f[F_STATUS] = slice_of("\"Discarded\"");
    gone.has_predicted = gone.has_annotated = false;
    dataset_put(ds, &gone);
}

/* The keys of all that match, in one buffer, a NUL behind each. */
static size_t gather(struct dataset *ds, const struct query *q, struct slice ids, struct buf *ret)
{
    struct walk w;
    struct doc d;
    size_t n = 0;
    walk_init(&w, ds, false, NULL, 0);
    while (walk_next(&w, &d)) {
        if (!query_matches(q, &d, ds->task) || (ids.len > 2 && !doc_is_named(ids, &d)))
            continue;
        buf_addslice(ret, d.key);
        buf_addch(ret, 0);
        n++;
    }
    walk_release(&w);
    return n;
}

/* No ids and no query is everything, as on the server. */
void api_delete_data(struct dataset *ds, const struct request *r, struct answer *a)
{
    cleanup_buf struct buf keys = buf_make(MAX_ANSWER_BYTES);
    struct slice body = buf_slice(&r->body), ids = {0};
    bool is_discard = r->discard && (strcmp(r->discard, "true") == 0 || strcmp(r->discard, "1") == 0);
    if (!is_discard && r->role != ROLE_OWNER) {
        answer_message(a, 403, "ForbiddenOperationError",
                       "You don't have the necessary permissions to delete records on this dataset. Only "
                       "administrators can "
                       "delete datasets");
        return;
    }
    if (!body.len || !json_get(body, "ids", &ids) || json_type_of(ids) != JSON_ARRAY)
        ids.len = 0;
    cleanup_free char *text = NULL;
    struct query *q = body_query(r, true, true, &text, a);
    if (!q)
        return;
    size_t n = gather(ds, q, ids, &keys);
    query_free(q);
    for (size_t at = 0; at < keys.len;) {
        cleanup_buf struct buf scratch = buf_make(MAX_BODY_BYTES);
        struct slice key = slice_of(keys.data + at);
        struct doc d;
        if (!is_discard)
            dataset_delete(ds, key);
        else if (dataset_get(ds, key, &scratch, &d))
            discard_one(ds, &d);
        at += key.len + 1;
    }
    buf_addf(&a->body, "{\"matched\":%zu,\"processed\":%zu}", n, n);
}
