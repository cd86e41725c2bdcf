/* Is a program compiled once and then shared by many threads with small stacks, one at a time? */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "expr.h"

static int open_cache(void **state)
{
    *state = expr_cache_new();
    return 0;
}

static int close_cache(void **state)
{
    expr_cache_free(*state);
    return 0;
}

static bool holds(void **state, const char *program)
{
    bool ret = false;
    assert_int_equal(expr_condition(*state, program, slice_of("{\"search\":{\"total\":10}}"), &ret, NULL), 0);
    return ret;
}

static void a_program_is_compiled_once(void **state)
{
    size_t idle;
    uint64_t compiled;
    assert_int_equal(expr_check(*state, "search.total == 10", NULL), 0);
    for (int i = 0; i < 10; i++)
        assert_true(holds(state, "search.total == 10"));
    expr_cache_count(*state, &idle, &compiled);
    assert_int_equal(idle, 1);
    assert_int_equal(compiled, 1);
    assert_true(holds(state, "search.total  == 10"));
    assert_int_equal(expr_check(*state, ".a", NULL), 0);
    assert_int_equal(expr_check_project(*state, ".a", NULL), 0);
    expr_cache_count(*state, &idle, &compiled);
    assert_int_equal(idle, 4);
    assert_int_equal(compiled, 4);
}

static void what_does_not_compile_is_not_kept(void **state)
{
    size_t idle;
    uint64_t compiled;
    assert_int_equal(expr_check(*state, "foo", NULL), -1);
    expr_cache_count(*state, &idle, &compiled);
    assert_int_equal(idle, 0);
    assert_int_equal(compiled, 0);
}

static void a_program_that_halted_is_not_kept(void **state)
{
    size_t idle;
    uint64_t compiled;
    bool ret;
    assert_int_equal(expr_condition(*state, "\"bye\" | halt_error", slice_of("{}"), &ret, NULL), -1);
    expr_cache_count(*state, &idle, &compiled);
    assert_int_equal(idle, 0);
    assert_int_equal(compiled, 1);
}

enum { THREADS = EXPR_IDLE_MAX + 4, STACK_BYTES = 128 << 10 };
struct crowd {
    struct expr_cache *cache;
    const char *program;
    pthread_barrier_t barrier;
};

/* Runs `work` in all threads, each with a stack as small as a worker's, and waits until it is done. */
static void run_crowd(struct crowd *crowd, void *(*work)(void *))
{
    pthread_t threads[THREADS];
    pthread_attr_t attr;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, STACK_BYTES), 0);
    assert_int_equal(pthread_barrier_init(&crowd->barrier, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], &attr, work, crowd), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    (void)pthread_barrier_destroy(&crowd->barrier);
    (void)pthread_attr_destroy(&attr);
}

/* cmocka's assertions belong to the main thread: NULL says that all went well. */
static void *evaluate_much(void *arg)
{
    struct crowd *crowd = arg;
    bool ok = true, ret = false;
    (void)pthread_barrier_wait(&crowd->barrier);
    for (int i = 0; i < 20; i++) {
        cleanup_buf struct buf b = buf_make(1000);
        char ctx[300], expected[30];
        (void)snprintf(ctx, sizeof ctx, "{\"search\":{\"total\":%d},\"query_params\":{\"n\":%d}}", i, i);
        (void)snprintf(expected, sizeof expected, "{\"n\":%d}", i + 1);
        ok = ok && expr_condition(crowd->cache, "search.total % 2 == 0 and (\"ab\" | test(\"^a\"))",
                                  slice_of(ctx), &ret, NULL) == 0;
        ok = ok && ret == (i % 2 == 0);
        ok = ok && expr_update_params(crowd->cache, "query_params.n += 1", slice_of(ctx), &b, NULL) == 0;
        ok = ok && strcmp(buf_str(&b), expected) == 0;
    }
    return ok ? NULL : arg;
}

static void many_threads_with_small_stacks_share_the_programs(void **state)
{
    struct crowd crowd = {.cache = *state};
    size_t idle;
    uint64_t compiled;
    run_crowd(&crowd, evaluate_much);
    expr_cache_count(*state, &idle, &compiled);
    assert_in_range(idle, 2, 2 * EXPR_IDLE_MAX);
    assert_in_range(compiled, idle, 2 * THREADS);
}

static void *evaluate_once(void *arg)
{
    struct crowd *crowd = arg;
    bool ret = false;
    (void)pthread_barrier_wait(&crowd->barrier);
    return expr_condition(crowd->cache, crowd->program, slice_of("{}"), &ret, NULL) || !ret ? arg : NULL;
}

/* More threads than may leave a program behind, all at once; on a machine that runs them one by one it may
 * take another round until they meet. */
static void only_so_many_programs_of_a_text_lie_idle(void **state)
{
    uint64_t compiled = 0, before = 0;
    for (int round = 0; compiled - before <= EXPR_IDLE_MAX; round++) {
        char program[60];
        size_t idle_before, idle;
        assert_in_range(round, 0, 100);
        (void)snprintf(program, sizeof program, "[range(20000)] | length != %d", round);
        struct crowd crowd = {.cache = *state, .program = program};
        expr_cache_count(*state, &idle_before, &before);
        run_crowd(&crowd, evaluate_once);
        expr_cache_count(*state, &idle, &compiled);
        assert_in_range(idle - idle_before, 1, EXPR_IDLE_MAX);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_cache, close_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_program_is_compiled_once),
        TEST(what_does_not_compile_is_not_kept),
        TEST(a_program_that_halted_is_not_kept),
        TEST(many_threads_with_small_stacks_share_the_programs),
        TEST(only_so_many_programs_of_a_text_lie_idle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
