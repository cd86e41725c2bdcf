/* Does a listener's state come back from Kafka as it was written, and does the file win when its query_params
 * change? Are records cut into batches within both limits? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "envelope.h"
#include "json_scan.h"
#include "state_map.h"

static struct query_param params[] = {
    {.name = (char *)"batch_id", .type = PARAM_INT, .i = 0},
    {.name = (char *)"share", .type = PARAM_FLOAT, .f = 0.1},
    {.name = (char *)"whole", .type = PARAM_FLOAT, .f = 2},
    {.name = (char *)"word", .type = PARAM_STRING, .s = (char *)"a\"b"},
    {.name = (char *)"flag", .type = PARAM_BOOL, .i = 1},
};
static struct listener_config listener = {.name = (char *)"l",
                                          .dataset = (char *)"d",
                                          .workspace = (char *)"w",
                                          .query_params = params,
                                          .n_query_params = 5};

static void start_values_are_written_as_json(void **state)
{
    (void)state;
    cleanup_free char *json = query_params_json(&listener);
    assert_string_equal(json,
                        "{\"batch_id\":0,\"share\":0.1,\"whole\":2.0,\"word\":\"a\\\"b\",\"flag\":true}");
}

static void a_new_listener_starts_with_the_files_params(void **state)
{
    (void)state;
    struct listener_state s;
    struct err e;
    bool file_won = true;
    assert_int_equal(listener_state_read((struct slice){"", 0}, &listener, &s, &file_won, &e), 0);
    cleanup_free char *json = query_params_json(&listener);
    assert_string_equal(s.query_params, json);
    assert_int_equal(s.run, 0);
    assert_null(s.previous);
    assert_false(file_won);
    listener_state_release(&s);
}

static void state_comes_back_as_it_was_written(void **state)
{
    (void)state;
    cleanup_free char *file = query_params_json(&listener);
    struct listener_state s = {.generation = 3,
                               .run = 1LL << 60,
                               .config_params = file,
                               .query_params = (char *)"{\"batch_id\":7}",
                               .previous = (char *)"{\"run\":1}"},
                          back;
    cleanup_buf struct buf b = buf_make(1 << 16);
    struct err e;
    bool file_won = true;
    listener_state_write(&s, &b);
    assert_int_equal(listener_state_read(buf_slice(&b), &listener, &back, &file_won, &e), 0);
    assert_int_equal(back.generation, 3);
    assert_true(back.run == 1LL << 60);
    assert_string_equal(back.query_params, "{\"batch_id\":7}");
    assert_string_equal(back.previous, "{\"run\":1}");
    assert_false(file_won);
    listener_state_release(&back);
}

static void changed_params_in_the_file_replace_the_state(void **state)
{
    (void)state;
    struct listener_state s = {.run = 5,
                               .config_params = (char *)"{\"batch_id\":1}",
                               .query_params = (char *)"{\"batch_id\":9}"},
                          back;
    cleanup_buf struct buf b = buf_make(1 << 16);
    cleanup_free char *file = query_params_json(&listener);
    struct err e;
    bool file_won = false;
    listener_state_write(&s, &b);
    assert_int_equal(listener_state_read(buf_slice(&b), &listener, &back, &file_won, &e), 0);
    assert_true(file_won);
    assert_string_equal(back.query_params, file);
    assert_int_equal(back.run, 5);
    listener_state_release(&back);
}

static void garbage_in_the_state_is_fatal_and_touches_nothing(void **state)
{
    (void)state;
    const char *const garbage[] = {"{", "[]", "7", "{\"run\":1}x"};
    for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
        struct listener_state s;
        struct err e;
        bool file_won;
        assert_int_equal(listener_state_read(slice_of(garbage[i]), &listener, &s, &file_won, &e), -1);
        assert_int_equal(e.class, ERR_FATAL);
    }
}

static void progress_comes_back_with_its_cursor_and_oversize_ids(void **state)
{
    (void)state;
    struct run_progress p = {.run = 4,
                             .started_ms = 1795556643123,
                             .n_matched = 5,
                             .n_published = 3,
                             .n_oversize = 2,
                             .n_batches = 1,
                             .cursor = (char *)"\"{\\\"a\\\":1}\"",
                             .oversize_ids = (char *)"7,\"x\""},
                        back;
    cleanup_buf struct buf b = buf_make(1 << 16);
    struct err e;
    run_progress_write(&p, &b);
    assert_int_equal(json_check(buf_slice(&b), &e), 0);
    assert_int_equal(run_progress_read(buf_slice(&b), &back, &e), 0);
    assert_string_equal(back.cursor, p.cursor);
    assert_string_equal(back.oversize_ids, p.oversize_ids);
    assert_true(back.started_ms == p.started_ms);
    assert_int_equal(back.n_matched, 5);
    assert_int_equal(back.n_published + back.n_oversize, 5);
    run_progress_release(&back);
}

static void a_ctx_that_asked_nothing_has_a_null_search(void **state)
{
    (void)state;
    cleanup_buf struct buf ctx = buf_make(1 << 16), eval = buf_make(1 << 16);
    struct slice v;
    ctx_write(&listener, 2, NULL, -1, "{}", "{}", &ctx);
    ctx_with_previous(buf_str(&ctx), NULL, &eval);
    assert_int_equal(json_check(buf_slice(&eval), NULL), 0);
    assert_true(json_get(buf_slice(&eval), "search", &v) && slice_eq(v, "null"));
    assert_true(json_get(buf_slice(&eval), "previous", &v) && slice_eq(v, "null"));
    assert_true(json_get(buf_slice(&eval), "query", &v) && slice_eq(v, "null"));
}

static void batches_keep_both_limits_and_a_large_record_goes_alone(void **state)
{
    (void)state;
    struct slice r[] = {{"1111", 4}, {"2222", 4}, {"333333333333", 12}, {"4", 1}, {"5", 1}, {"6", 1}};
    size_t bytes;
    assert_int_equal(envelope_cut(r, 6, 10, 9, &bytes), 2); /* 4 + comma + 4 */
    assert_int_equal(bytes, 9);
    assert_int_equal(envelope_cut(r, 6, 10, 8, &bytes), 1);
    assert_int_equal(envelope_cut(r + 2, 4, 10, 5, &bytes), 1);
    assert_int_equal(bytes, 12);
    assert_int_equal(envelope_cut(r + 3, 3, 2, 100, &bytes), 2);
}

static void a_batch_is_well_formed_and_within_its_stated_overhead(void **state)
{
    (void)state;
    struct slice r[] = {{"{\"id\":1}", 8}, {"{\"id\":2}", 8}}, v;
    cleanup_buf struct buf b = buf_make(1 << 16);
    envelope_begin(slice_of("{\"run\":1}"), &b);
    size_t before = b.len;
    envelope_end(r, 2, INT64_MAX, false, &b);
    assert_int_equal(json_check(buf_slice(&b), NULL), 0);
    assert_true(b.len - before <= ENVELOPE_END_MAX + 17);
    assert_true(json_get(buf_slice(&b), "records", &v) && slice_eq(v, "[{\"id\":1},{\"id\":2}]"));
}

static void the_map_keeps_the_latest_and_forgets_tombstones(void **state)
{
    (void)state;
    struct state_map m = {0}, same = {0};
    char key[32], value[32];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 1000; i++) {
            (void)snprintf(key, sizeof key, "k%d", i);
            (void)snprintf(value, sizeof value, "%d", i * (round + 1));
            state_map_set(&m, key, slice_of(value));
        }
    }
    for (int i = 0; i < 1000; i += 2) {
        (void)snprintf(key, sizeof key, "k%d", i);
        state_map_set(&m, key, (struct slice){0});
    }
    assert_int_equal(m.n, 500);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        (void)snprintf(value, sizeof value, "%d", i * 3);
        struct slice v = state_map_get(&m, key);
        assert_true(i % 2 ? v.p && slice_eq(v, value) : !v.p);
        if (i % 2)
            state_map_set(&same, key, slice_of(value));
    }
    assert_true(state_map_equal(&m, &same));
    state_map_set(&same, "k1", slice_of("x"));
    assert_false(state_map_equal(&m, &same));
    state_map_release(&m);
    state_map_release(&same);
}

/* The partition of a name is stored state: it must never change. */
static void a_listeners_partition_is_the_same_for_ever(void **state)
{
    (void)state;
    assert_int_equal(state_partition_of("reviews-ready", 8), 0);
    assert_int_equal(state_partition_of("a", 1), 0);
    assert_int_equal(state_partition_of("a", 8), 4); /* FNV-1a of "a" is af63dc4c8601ec8c */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_values_are_written_as_json),
        cmocka_unit_test(a_new_listener_starts_with_the_files_params),
        cmocka_unit_test(state_comes_back_as_it_was_written),
        cmocka_unit_test(changed_params_in_the_file_replace_the_state),
        cmocka_unit_test(garbage_in_the_state_is_fatal_and_touches_nothing),
        cmocka_unit_test(progress_comes_back_with_its_cursor_and_oversize_ids),
        cmocka_unit_test(a_ctx_that_asked_nothing_has_a_null_search),
        cmocka_unit_test(batches_keep_both_limits_and_a_large_record_goes_alone),
        cmocka_unit_test(a_batch_is_well_formed_and_within_its_stated_overhead),
        cmocka_unit_test(the_map_keeps_the_latest_and_forgets_tombstones),
        cmocka_unit_test(a_listeners_partition_is_the_same_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
