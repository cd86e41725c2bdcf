/* Does a chunk of deliver = changes carry the versions that are new and only those, with what makes them
 * known, and tombstones that are tombstones? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <unistd.h>

#include "digest.h"
#include "publish.h"

#define SLICE(text) ((struct slice){(text), sizeof(text) - 1})

/* A listener with a page of three records, of which the second is known. */
struct bench {
    struct config config;
    struct listener_config lc;
    struct log log;
    struct bridge bridge;
    struct listener l;
    struct publish_run run;
    struct scan_record records[3];
    struct scan_page page;
    struct digest_look items[3];
    struct page_filter filter;
    struct publish_part part;
};

static void bench_init(struct bench *b)
{
    memset(b, 0, sizeof *b);
    b->lc = (struct listener_config){.name = (char *)"n",
                                     .dataset = (char *)"d",
                                     .workspace = (char *)"w",
                                     .topic = (char *)"t",
                                     .metrics_topic = (char *)"t.runs",
                                     .query_records = true,
                                     .deliver = DELIVER_CHANGES,
                                     .publish = PUBLISH_RECORDS,
                                     .batch_records = 10,
                                     .batch_bytes = 100000};
    b->config.argilla.url = (char *)"http://h";
    log_init(&b->log, LOG_LEVEL_ERROR, LOG_FORMAT_JSON, STDERR_FILENO);
    b->bridge.config = &b->config;
    b->bridge.log = &b->log;
    b->l.bridge = &b->bridge;
    b->l.config = &b->lc;
    atomic_store(&b->l.max_value_bytes, 1000);
    b->run = (struct publish_run){
        .listener = &b->l,
        .state = {.generation = 2, .run = 4, .config_params = (char *)"{}", .query_params = (char *)"{}"},
        .frozen = {.ctx = (char *)"{\"run\":5}",
                   .next_params = (char *)"{}",
                   .plan = {.kind = PLAN_CHANGES, .query = (char *)"q"}},
        .progress = {.run = 5},
        .epoch = 3};
    b->records[0] = (struct scan_record){SLICE("{\"id\":1}"), SLICE("1")};
    b->records[1] = (struct scan_record){SLICE("{\"id\":\"b\"}"), SLICE("\"b\"")};
    b->records[2] = (struct scan_record){SLICE("{\"id\":\"c/\\u0000\"}"), SLICE("\"c/\\u0000\"")};
    b->page = (struct scan_page){.records = b->records, .n_records = 3};
    b->items[0] = (struct digest_look){SLICE("1"), 0xa, false};
    b->items[1] = (struct digest_look){SLICE("b"), 0xb, true};
    b->items[2] = (struct digest_look){SLICE("c/\0"), 0xc, false};
    b->filter = (struct page_filter){.items = b->items, .n_changed = 2};
    b->part = (struct publish_part){.page = &b->page, .filter = &b->filter, .cursor = "\"after c\""};
}

static void build(struct bench *b, struct publish_chunk *c)
{
    struct err e;
    if (publish_build(&b->run, &b->part, c, &e))
        fail_msg("%s", e.msg);
}

/* The write of this key: p == NULL when there is none. */
static const struct state_write *write_of(const struct publish_chunk *c, struct slice key)
{
    for (size_t i = 0; i < c->chunk.n_writes; i++)
        if (c->chunk.writes[i].key.len == key.len && memcmp(c->chunk.writes[i].key.p, key.p, key.len) == 0)
            return &c->chunk.writes[i];
    return NULL;
}

static bool has_header(const struct kafka_header *items, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(items[i].name, name) == 0)
            return true;
    return false;
}

static void new_versions_go_out_with_their_digests(void **state)
{
    struct bench b;
    struct publish_chunk c;
    (void)state;
    bench_init(&b);
    b.part.n_skipped = 7;
    build(&b, &c);
    assert_int_equal(c.chunk.n_messages, 2);
    assert_true(slice_eq(c.chunk.messages[0].key, "1"));
    assert_true(c.chunk.messages[1].key.len == 3 && memcmp(c.chunk.messages[1].key.p, "c/\0", 3) == 0);
    assert_true(slice_eq(write_of(&c, SLICE("digest/n/2/1"))->value, "000000000000000a"));
    assert_true(slice_eq(write_of(&c, SLICE("digest/n/2/c/\0"))->value, "000000000000000c"));
    assert_null(write_of(&c, SLICE("digest/n/2/b")));
    assert_int_equal(c.after.n_matched, 10);
    assert_int_equal(c.after.n_unchanged, 8);
    assert_int_equal(c.after.n_published, 2);
    assert_string_equal(c.after.cursor, "\"after c\"");
    assert_non_null(write_of(&c, SLICE("run/n")));
    assert_non_null(strstr(write_of(&c, SLICE("ctx/n"))->value.p, "\"plan\":{\"kind\":\"changes\""));
    assert_null(write_of(&c, SLICE("changes/n"))); /* the mark moves at the end only */
    size_t bytes = 0;
    for (size_t i = 0; i < c.chunk.n_writes; i++)
        bytes += c.chunk.writes[i].key.len + c.chunk.writes[i].value.len;
    assert_true(c.chunk.size_bytes > bytes); /* for the bound of a transaction */
    publish_chunk_release(&c);
}

static void a_version_that_is_too_large_is_known_too(void **state)
{
    struct bench b;
    struct publish_chunk c;
    (void)state;
    bench_init(&b);
    atomic_store(&b.l.max_value_bytes, 900);
    cleanup_free char *large = xasprintf("{\"id\":1,\"x\":\"%0900d\"}", 0);
    b.records[0].json = slice_of(large);
    build(&b, &c);
    assert_int_equal(c.chunk.n_messages, 1);
    assert_int_equal(c.after.n_oversize, 1);
    assert_int_equal(c.after.n_matched, c.after.n_published + c.after.n_unchanged + c.after.n_oversize);
    assert_non_null(write_of(&c, SLICE("digest/n/2/1")));
    publish_chunk_release(&c);
}

static void batches_hold_what_is_new_and_the_last_one_says_so(void **state)
{
    struct bench b;
    struct publish_chunk c;
    (void)state;
    bench_init(&b);
    b.lc.publish = PUBLISH_BATCHES;
    b.part.is_last_batch = true; /* the run goes on with tombstones */
    build(&b, &c);
    assert_int_equal(c.chunk.n_messages, 1);
    assert_non_null(
        strstr(c.chunk.messages[0].value.p,
               "\"batch\":{\"index\":0,\"last\":true},\"records\":[{\"id\":1},{\"id\":\"c/\\u0000\"}]}"));
    assert_non_null(write_of(&c, SLICE("run/n")));
    publish_chunk_release(&c);
}

static void tombstones_have_a_key_and_nothing_else(void **state)
{
    struct bench b;
    struct publish_chunk c;
    const struct gone_record gone[] = {{SLICE("x"), false}, {SLICE("y\0"), true}};
    (void)state;
    bench_init(&b);
    b.part = (struct publish_part){.gone = gone, .n_gone = 2, .is_last_batch = true};
    build(&b, &c);
    assert_int_equal(c.chunk.n_messages, 2);
    for (size_t i = 0; i < 2; i++) {
        const struct kafka_message *m = &c.chunk.messages[i];
        assert_null(m->value.p);
        assert_string_equal(m->topic, "t");
        assert_true(m->key.len == gone[i].id.len && memcmp(m->key.p, gone[i].id.p, m->key.len) == 0);
        assert_false(has_header(m->headers, m->n_headers, "ce_dataschema"));
        assert_true(has_header(m->headers, m->n_headers, "ce_type"));
    }
    assert_true(slice_eq(c.chunk.messages[0].headers[1].value, "argilla-bridge.record.deleted"));
    assert_true(slice_eq(c.chunk.messages[0].headers[0].value, "n.2.5.deleted.x"));
    assert_true(slice_eq(c.chunk.messages[1].headers[1].value, "argilla-bridge.record.removed"));
    assert_false(has_header(c.chunk.headers.items, c.chunk.headers.n, "content-type"));
    assert_true(has_header(c.chunk.headers.items, c.chunk.headers.n, "ce_argillarun"));
    assert_non_null(write_of(&c, SLICE("digest/n/2/x")));
    assert_null(write_of(&c, SLICE("digest/n/2/y\0"))->value.p);
    assert_int_equal(c.after.n_deleted, 1);
    assert_int_equal(c.after.n_removed, 1);
    assert_int_equal(c.after.n_matched, 0);
    publish_chunk_release(&c);
}

static void the_end_writes_the_mark_that_it_is_given(void **state)
{
    struct changes_mark mark = {.is_set = true, .generation = 2, .query = (char *)"q", .at_ms = 77};
    struct bench b;
    struct publish_chunk c;
    (void)state;
    bench_init(&b);
    b.run.is_durable = true;
    b.part = (struct publish_part){.mark = &mark, .is_end = true, .is_last_batch = true};
    build(&b, &c);
    assert_int_equal(c.chunk.n_messages, 1);
    assert_true(has_header(c.chunk.headers.items, c.chunk.headers.n, "content-type"));
    assert_non_null(strstr(write_of(&c, SLICE("changes/n"))->value.p, "\"at_ms\":77"));
    assert_null(write_of(&c, SLICE("run/n"))->value.p);
    publish_chunk_release(&c);
    b.part.failure = "why"; /* then the mark stays where it was: none is given */
    b.part.mark = NULL;
    build(&b, &c);
    assert_null(write_of(&c, SLICE("changes/n")));
    publish_chunk_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_versions_go_out_with_their_digests),
        cmocka_unit_test(a_version_that_is_too_large_is_known_too),
        cmocka_unit_test(batches_hold_what_is_new_and_the_last_one_says_so),
        cmocka_unit_test(tombstones_have_a_key_and_nothing_else),
        cmocka_unit_test(the_end_writes_the_mark_that_it_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
