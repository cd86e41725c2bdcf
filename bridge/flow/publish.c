#include "publish.h"

#include <stdio.h>

#include "clock.h"
#include "digest.h"
#include "envelope.h"
#include "json_scan.h"

enum {
    VALUE_LIMIT = 128 << 20,
    ID_MAX = 1024,
    CE_ID_HEAD_MAX = 320 /* a name has at most 200 */,
    RUN_FIXED_MAX = 640 /* names, counts and times of a run message */
};

struct value {
    struct value *next;
    struct buf buf;
};

void publish_chunk_release(struct publish_chunk *c)
{
    for (struct value *v = c->values; v; v = v->next)
        buf_release(&v->buf);
    free(c->chunk.messages);
    free(c->chunk.writes);
    run_progress_release(&c->after);
    arena_release(&c->arena);
    *c = (struct publish_chunk){0};
}

void page_filter_release(struct page_filter *f)
{
    free(f->items);
    arena_release(&f->arena);
    *f = (struct page_filter){0};
}

static struct buf *new_value(struct publish_chunk *c)
{
    struct value *v = arena_alloc(&c->arena, sizeof *v);
    *v = (struct value){.buf = buf_make(VALUE_LIMIT), .next = c->values};
    c->values = v;
    return &v->buf;
}

static void add_header(struct kafka_message *m, const char *name, struct slice value)
{
    m->headers[m->n_headers++] = (struct kafka_header){name, value};
}

/* What a message is, by its schema (schemas/). */
struct message_kind {
    const char *name, *ce_type, *ce_dataschema;
};
#define MESSAGE_KIND(name)                                                                                   \
    {                                                                                                        \
        name, "argilla-bridge." name, "urn:argilla-bridge:schema:" name ":1"                                 \
    }
static const struct message_kind kind_batch = MESSAGE_KIND("batch");
static const struct message_kind kind_record = MESSAGE_KIND("record");
/* a record that `project` has made into something else: its shape is the configuration's matter */
static const struct message_kind kind_projection = {"record", "argilla-bridge.record",
                                                    "urn:argilla-bridge:schema:projection:1"};
static const struct message_kind kind_run = MESSAGE_KIND("run");
/* tombstones: no value, so no schema */
static const struct message_kind kind_deleted = {"deleted", "argilla-bridge.record.deleted", NULL};
static const struct message_kind kind_removed = {"removed", "argilla-bridge.record.removed", NULL};

/* The same whenever this run is published, from wherever it went on. `what` may be a record's id, which may
 * hold NUL: printf would end there. */
static struct slice ce_id(const struct publish_run *r, struct publish_chunk *c,
                          const struct message_kind *kind, struct slice what)
{
    char head[CE_ID_HEAD_MAX];
    int n = snprintf(head, sizeof head, "%s.%lld.%lld.%s.", r->listener->config->name,
                     (long long)r->state.generation, (long long)r->progress.run, kind->name);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof head ? (size_t)n : sizeof head - 1;
    char *id = arena_alloc(&c->arena, len + what.len);
    memcpy(id, head, len);
    memcpy(id + len, what.p, what.len);
    return (struct slice){id, len + what.len};
}

static struct kafka_message *add_message(const struct publish_run *r, struct publish_chunk *c,
                                         const struct message_kind *kind, const char *topic,
                                         struct slice what, struct slice subject)
{
    if (c->chunk.n_messages == c->cap_messages) {
        c->cap_messages = c->cap_messages ? c->cap_messages * 2 : 16;
        c->chunk.messages = xrealloc(c->chunk.messages, c->cap_messages * sizeof *c->chunk.messages);
    }
    struct kafka_message *m = &c->chunk.messages[c->chunk.n_messages++];
    *m = (struct kafka_message){.topic = topic};
    add_header(m, "ce_id", ce_id(r, c, kind, what));
    add_header(m, "ce_type", slice_of(kind->ce_type));
    add_header(m, "ce_subject", subject);
    if (kind->ce_dataschema)
        add_header(m, "ce_dataschema", slice_of(kind->ce_dataschema));
    return m;
}

/* Tombstones have no content, so no type of it: it stands last, and is left out of a chunk of those. */
static void add_common_headers(const struct publish_run *r, const struct publish_part *part,
                               struct publish_chunk *c)
{
    const struct listener_config *l = r->listener->config;
    char now[RFC3339_SIZE];
    clock_rfc3339(clock_wall_ms(), now);
    const struct kafka_header common[] = {
        {"ce_specversion", slice_of("1.0")},
        {"ce_source", arena_printf(&c->arena, "%s/datasets/%s/%s", r->listener->bridge->config->argilla.url,
                                   l->workspace, l->dataset)},
        {"ce_time", arena_copy(&c->arena, slice_of(now))},
        {"ce_argillalistener", slice_of(l->name)},
        {"ce_argillarun", arena_printf(&c->arena, "%lld", (long long)r->progress.run)},
        {"content-type", slice_of("application/json")},
    };
    _Static_assert(ARRAY_LEN(common) == ARRAY_LEN(c->headers), "room for the common headers");
    memcpy(c->headers, common, sizeof common);
    c->chunk.headers = (struct kafka_headers){c->headers, ARRAY_LEN(common) - (part->n_gone > 0)};
}

struct slice publish_id_text(struct arena *a, struct slice token)
{
    cleanup_buf struct buf b = buf_make(ID_MAX);
    if (json_type_of(token) != JSON_STRING || json_decode_string(token, &b))
        return token;
    return arena_copy(a, buf_slice(&b));
}

struct slice publish_digest_key(struct arena *a, const char *listener, int64_t generation, struct slice id)
{
    char head[CE_ID_HEAD_MAX];
    int n = snprintf(head, sizeof head, "digest/%s/%lld/", listener, (long long)generation);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof head ? (size_t)n : sizeof head - 1;
    char *key = arena_alloc(a, len + id.len);
    memcpy(key, head, len);
    memcpy(key + len, id.p, id.len);
    return (struct slice){key, len + id.len};
}

void publish_add_write(struct publish_chunk *c, struct slice key, struct slice value)
{
    if (c->chunk.n_writes == c->cap_writes) {
        c->cap_writes = c->cap_writes ? c->cap_writes * 2 : 8;
        c->chunk.writes = xrealloc(c->chunk.writes, c->cap_writes * sizeof *c->chunk.writes);
    }
    c->chunk.writes[c->chunk.n_writes++] = (struct state_write){key, value};
}

/* Published, or too large for it: either way this version is not looked at again. */
static void write_digest(const struct publish_run *r, struct publish_chunk *c, const struct digest_look *item)
{
    char *hex = arena_alloc(&c->arena, DIGEST_HEX);
    digest_write(item->digest, hex);
    publish_add_write(c,
                      publish_digest_key(&c->arena, r->listener->config->name, r->state.generation, item->id),
                      (struct slice){hex, DIGEST_HEX});
}

static size_t max_value(const struct publish_run *r)
{
    return (size_t)atomic_load(&r->listener->max_value_bytes);
}

/* At most so large is the run message with so many bytes of oversize ids. */
static size_t run_message_bytes(const struct publish_run *r, size_t ids_bytes)
{
    return strlen(r->frozen.ctx) + strlen(r->frozen.next_params) + ids_bytes + RUN_FIXED_MAX;
}

static void note_oversize(const struct publish_run *r, struct publish_chunk *c,
                          const struct scan_record *record)
{
    struct run_progress *p = &c->after;
    char *ids = NULL;
    size_t len = (p->oversize_ids ? strlen(p->oversize_ids) : 0) + record->id.len + 1;
    if (p->n_oversize < OVERSIZE_IDS_MAX && run_message_bytes(r, len) <= max_value(r)) {
        ids = xasprintf("%s%s%.*s", p->oversize_ids ? p->oversize_ids : "", p->oversize_ids ? "," : "",
                        (int)record->id.len, record->id.p);
        free(p->oversize_ids);
        p->oversize_ids = ids;
    }
    p->n_oversize++;
    struct slice id = publish_id_text(&c->arena, record->id);
    cleanup_free char *text = xstrndup(id.p, id.len);
    log_warn(r->listener->bridge->log, "record too large, not sent",
             KV("listener", r->listener->config->name), KV("id", text),
             KVI("bytes", (int64_t)record->json.len),
             KVI("limit_bytes", atomic_load(&r->listener->max_value_bytes)), KVI("run", p->run));
}

/* What goes out for each record, in order: as it came or projected; those that are new and fit. */
static int choose(const struct publish_run *r, const struct publish_part *part, size_t room,
                  struct publish_chunk *c, struct slice *ret_json, struct slice *ret_ids, size_t *ret_n,
                  struct err *e)
{
    const struct listener_config *l = r->listener->config;
    const struct scan_page *page = part->page;
    size_t n = 0;
    for (size_t i = 0; i < page->n_records; i++) {
        const struct scan_record *record = &page->records[i];
        struct slice json = record->json;
        if (part->filter && part->filter->items[i].is_unchanged) {
            c->after.n_matched++;
            c->after.n_unchanged++;
            continue;
        }
        if (l->project) {
            struct buf *b = new_value(c);
            if (expr_project(r->listener->bridge->exprs, l->project, json, b, e))
                return err_wrap(e, "project: record %.*s", (int)record->id.len, record->id.p);
            json = buf_slice(b);
        }
        c->after.n_matched++;
        if (part->filter)
            write_digest(r, c, &part->filter->items[i]);
        if (json.len > room) {
            note_oversize(r, c, record);
            continue;
        }
        ret_json[n] = json;
        ret_ids[n++] = record->id;
    }
    c->after.n_published += (int64_t)n;
    *ret_n = n;
    return 0;
}

static void add_batches(const struct publish_run *r, struct publish_chunk *c, const struct buf *envelope,
                        const struct slice *records, size_t n, bool is_last)
{
    const struct listener_config *l = r->listener->config;
    size_t fixed = envelope->len + ENVELOPE_END_MAX;
    size_t bytes = (size_t)l->batch_bytes < (size_t)atomic_load(&r->listener->max_value_bytes)
                       ? (size_t)l->batch_bytes
                       : (size_t)atomic_load(&r->listener->max_value_bytes);
    bytes = bytes > fixed ? bytes - fixed : 1;
    for (size_t at = 0, taken, used; at < n; at += taken) {
        taken = envelope_cut(records + at, n - at, (size_t)l->batch_records, bytes, &used);
        struct buf *value = new_value(c);
        (void)buf_reserve(value, fixed + used);
        buf_addslice(value, buf_slice(envelope));
        envelope_end(records + at, taken, c->after.n_batches, is_last && at + taken == n, value);
        struct slice index = arena_printf(&c->arena, "%lld", (long long)c->after.n_batches++);
        struct kafka_message *m = add_message(r, c, &kind_batch, l->topic, index, slice_of(l->name));
        m->value = buf_slice(value);
        if (l->batch_key == BATCH_KEY_LISTENER)
            m->key = slice_of(l->name);
    }
}

static void add_records(const struct publish_run *r, struct publish_chunk *c, const struct slice *records,
                        const struct slice *ids, size_t n)
{
    const struct listener_config *l = r->listener->config;
    const struct message_kind *kind = l->project ? &kind_projection : &kind_record;
    for (size_t i = 0; i < n; i++) {
        struct slice id = publish_id_text(&c->arena, ids[i]);
        struct kafka_message *m = add_message(r, c, kind, l->topic, id, id);
        m->key = id;
        m->value = records[i];
    }
}

static int add_page(const struct publish_run *r, const struct publish_part *part, struct publish_chunk *c,
                    struct err *e)
{
    const struct scan_page *page = part->page;
    bool in_batches = r->listener->config->publish == PUBLISH_BATCHES;
    size_t max = (size_t)atomic_load(&r->listener->max_value_bytes), n = 0;
    cleanup_buf struct buf envelope = buf_make(CTX_MAX + 1024);
    envelope_begin(slice_of(r->frozen.ctx), &envelope);
    size_t fixed = in_batches ? envelope.len + ENVELOPE_END_MAX : 0;
    if (fixed >= max)
        return err_set(e, ERR_BAD_INPUT,
                       "the run's ctx has %zu bytes: no room for records in messages of %zu bytes",
                       envelope.len, max);
    cleanup_free struct slice *json = xcalloc(page->n_records, sizeof *json);
    cleanup_free struct slice *ids = xcalloc(page->n_records, sizeof *ids);
    if (choose(r, part, max - fixed, c, json, ids, &n, e))
        return -1;
    if (in_batches)
        add_batches(r, c, &envelope, json, n, part->is_last_batch);
    else
        add_records(r, c, json, ids, n);
    return 0;
}

/* Tombstones for subscribers, and for what we know of the records. */
static void add_gone(const struct publish_run *r, const struct publish_part *part, struct publish_chunk *c)
{
    const struct listener_config *l = r->listener->config;
    for (size_t i = 0; i < part->n_gone; i++) {
        const struct gone_record *gone = &part->gone[i];
        struct kafka_message *m =
            add_message(r, c, gone->is_removed ? &kind_removed : &kind_deleted, l->topic, gone->id, gone->id);
        m->key = gone->id;
        publish_add_write(c, publish_digest_key(&c->arena, l->name, r->state.generation, gone->id),
                          (struct slice){0});
        c->after.n_removed += gone->is_removed;
        c->after.n_deleted += !gone->is_removed;
    }
}

static void add_run_message(const struct publish_run *r, const char *failure, struct publish_chunk *c)
{
    const struct listener_config *l = r->listener->config;
    struct run_report report = {.progress = &c->after,
                                .next_params = failure ? NULL : r->frozen.next_params,
                                .ended_ms = clock_wall_ms(),
                                .error = failure};
    struct buf *value = new_value(c);
    envelope_run(slice_of(r->frozen.ctx), &report, value);
    struct kafka_message *m =
        add_message(r, c, &kind_run, l->metrics_topic, slice_of("end"), slice_of(l->name));
    m->key = slice_of(l->name);
    m->value = buf_slice(value);
}

static void add_write(struct publish_chunk *c, const char *kind, const char *listener, struct buf *value)
{
    publish_add_write(c, arena_printf(&c->arena, "%s/%s", kind, listener),
                      value ? buf_slice(value) : (struct slice){0});
}

/* The run goes on after this chunk: the cursor, and once its ctx. */
static void write_progress(const struct publish_run *r, struct publish_chunk *c)
{
    struct buf *value = new_value(c);
    run_progress_write(&c->after, value);
    add_write(c, "run", r->listener->config->name, value);
    if (r->is_durable)
        return;
    value = new_value(c);
    frozen_run_write(&r->frozen, value);
    add_write(c, "ctx", r->listener->config->name, value);
    /* with the file's params that this run began with: else they would win once more when it goes on */
    value = new_value(c);
    listener_state_write(&r->state, value);
    add_write(c, "listener", r->listener->config->name, value);
}

/* The run is over: the listener moves on, and nothing of the run is left. A failed run moves no params. */
static void write_end(const struct publish_run *r, const struct publish_part *part, struct publish_chunk *c)
{
    bool has_failed = part->failure != NULL;
    const char *name = r->listener->config->name;
    struct listener_state s = r->state;
    s.run = r->progress.run;
    if (!has_failed) {
        if (!r->file_won)
            s.query_params = r->frozen.next_params;
        s.previous = r->frozen.ctx;
    }
    struct buf *value = new_value(c);
    listener_state_write(&s, value);
    add_write(c, "listener", name, value);
    if (part->mark) {
        value = new_value(c);
        changes_mark_write(part->mark, value);
        add_write(c, "changes", name, value);
    }
    if (r->has_trigger)
        add_write(c, "trigger", name, NULL);
    if (!r->is_durable)
        return;
    add_write(c, "run", name, NULL);
    add_write(c, "ctx", name, NULL);
}

static struct run_progress copy_progress(const struct run_progress *p)
{
    struct run_progress copy = *p;
    copy.cursor = p->cursor ? xstrdup(p->cursor) : NULL;
    copy.oversize_ids = p->oversize_ids ? xstrdup(p->oversize_ids) : NULL;
    return copy;
}

static size_t bytes_of(const struct chunk *c)
{
    size_t bytes = 0;
    for (size_t i = 0; i < c->n_messages; i++)
        bytes += c->messages[i].key.len + c->messages[i].value.len;
    for (size_t i = 0; i < c->n_writes; i++)
        bytes += c->writes[i].key.len + c->writes[i].value.len;
    return bytes;
}

int publish_build(const struct publish_run *r, const struct publish_part *part, struct publish_chunk *ret,
                  struct err *e)
{
    struct publish_chunk *c = ret;
    *c = (struct publish_chunk){.after = copy_progress(&r->progress)};
    add_common_headers(r, part, c);
    /* a run that could not be closed must not begin */
    if (!r->is_durable && run_message_bytes(r, 0) > max_value(r)) {
        publish_chunk_release(c);
        return err_set(e, ERR_BAD_INPUT, "the run message would have %zu bytes, a message may have %zu",
                       run_message_bytes(r, 0), max_value(r));
    }
    if (part->page && part->page->n_records && add_page(r, part, c, e)) {
        publish_chunk_release(c);
        return -1;
    }
    add_gone(r, part, c);
    c->after.n_matched += part->n_skipped;
    c->after.n_unchanged += part->n_skipped;
    if (part->cursor) {
        free(c->after.cursor);
        c->after.cursor = xstrdup(part->cursor);
    }
    if (part->is_end) {
        if (!r->is_mute)
            add_run_message(r, part->failure, c);
        write_end(r, part, c);
    } else {
        write_progress(r, c);
    }
    c->chunk.epoch = r->epoch;
    c->chunk.size_bytes = bytes_of(&c->chunk);
    return 0;
}
