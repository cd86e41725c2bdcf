/* Do waits grow, stay within their bounds and honour what the server asked for? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backoff.h"

static void waits_double_up_to_the_maximum(void **state)
{
    (void)state;
    static const int64_t most[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000};
    struct backoff longest = {0}, shortest = {0};
    for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
        assert_int_equal(backoff_fail(&longest, 0, UINT32_MAX), most[i]);
        assert_int_equal(backoff_fail(&shortest, 0, 0), most[i] / 2);
        assert_int_equal(longest.attempts, i + 1);
    }
}

static void jitter_fills_the_range_between_half_and_all(void **state)
{
    (void)state;
    int seen[4] = {0};
    for (uint32_t i = 0; i < 64; i++) {
        struct backoff b = {0};
        int64_t wait = backoff_fail(&b, 0, i << 26);
        assert_in_range(wait, 250, 500);
        seen[(wait - 250) * 4 / 251]++;
    }
    for (int i = 0; i < 4; i++)
        assert_in_range(seen[i], 15, 17);
}

static void the_server_s_wait_is_the_least(void **state)
{
    (void)state;
    struct backoff b = {0};
    assert_int_equal(backoff_fail(&b, 7000, 0), 7000);
    assert_int_equal(backoff_fail(&b, 100, 0), 500);
    assert_int_equal(backoff_fail(&b, -100, 0), 1000);
}

static void the_server_can_ask_for_an_hour_and_no_more(void **state)
{
    (void)state;
    struct backoff b = {0};
    assert_int_equal(backoff_fail(&b, 3600000, 0), 3600000);
    assert_int_equal(backoff_fail(&b, INT64_MAX, 0), 3600000);
}

static void success_starts_over(void **state)
{
    (void)state;
    struct backoff b = {0};
    for (int i = 0; i < 5; i++)
        (void)backoff_fail(&b, 0, 0);
    backoff_reset(&b);
    assert_int_equal(b.attempts, 0);
    assert_int_equal(backoff_fail(&b, 0, UINT32_MAX), BACKOFF_FIRST_MS);
}

static void the_count_of_failures_does_not_wrap(void **state)
{
    (void)state;
    struct backoff b = {.attempts = UINT32_MAX};
    assert_int_equal(backoff_fail(&b, 0, UINT32_MAX), BACKOFF_MAX_MS);
    assert_int_equal(b.attempts, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_up_to_the_maximum),
        cmocka_unit_test(jitter_fills_the_range_between_half_and_all),
        cmocka_unit_test(the_server_s_wait_is_the_least),
        cmocka_unit_test(the_server_can_ask_for_an_hour_and_no_more),
        cmocka_unit_test(success_starts_over),
        cmocka_unit_test(the_count_of_failures_does_not_wrap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
