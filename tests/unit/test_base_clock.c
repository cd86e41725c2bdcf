/* Are times written as RFC 3339 has them, and do clocks go forward? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clock.h"

static void wall_times_are_written_in_utc_with_milliseconds(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {7, "1970-01-01T00:00:00.007Z"},
        {951782399999, "2000-02-28T23:59:59.999Z"},
        {951782400000, "2000-02-29T00:00:00.000Z"},
        {1795556643123, "2026-11-24T21:44:03.123Z"},
        {4294967296000, "2106-02-07T06:28:16.000Z"}, /* past 32 bits */
        {253402300799999, "9999-12-31T23:59:59.999Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[RFC3339_SIZE];
        clock_rfc3339(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void the_monotonic_clock_never_goes_back(void **state)
{
    (void)state;
    int64_t last = clock_mono_us();
    for (int i = 0; i < 10000; i++) {
        int64_t now = clock_mono_us();
        assert_true(now >= last);
        last = now;
    }
    assert_in_range(clock_mono_ms(), last / 1000, last / 1000 + 60000);
}

static void a_deadline_is_that_far_ahead_with_valid_nanoseconds(void **state)
{
    (void)state;
    for (int64_t ms = 0; ms < 2500; ms += 333) {
        int64_t before = clock_mono_us();
        struct timespec t = clock_deadline(ms);
        int64_t after = clock_mono_us();
        int64_t us = t.tv_sec * 1000000 + t.tv_nsec / 1000;
        assert_in_range(t.tv_nsec, 0, 999999999);
        assert_true(us >= before + ms * 1000 && us <= after + ms * 1000);
    }
}

static void the_wall_clock_counts_from_1970(void **state)
{
    (void)state;
    int64_t ms = clock_wall_ms();
    int64_t s = (int64_t)time(NULL);
    assert_in_range(ms / 1000, s - 60, s + 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wall_times_are_written_in_utc_with_milliseconds),
        cmocka_unit_test(the_monotonic_clock_never_goes_back),
        cmocka_unit_test(a_deadline_is_that_far_ahead_with_valid_nanoseconds),
        cmocka_unit_test(the_wall_clock_counts_from_1970),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
