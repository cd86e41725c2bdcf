#include "clock.h"

#include <stdio.h>

static int64_t us_of(clockid_t id)
{
    struct timespec t;
    (void)clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t clock_mono_us(void)
{
    return us_of(CLOCK_MONOTONIC);
}

int64_t clock_mono_ms(void)
{
    return clock_mono_us() / 1000;
}

int64_t clock_boot_ms(void)
{
    return us_of(CLOCK_BOOTTIME) / 1000;
}

int64_t clock_wall_ms(void)
{
    return us_of(CLOCK_REALTIME) / 1000;
}

void clock_rfc3339(int64_t wall_ms, char ret[RFC3339_SIZE])
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    char text[RFC3339_SIZE - 6];
    (void)gmtime_r(&s, &tm);
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)snprintf(ret, RFC3339_SIZE, "%s.%03dZ", text, (int)(wall_ms % 1000));
}

struct timespec clock_deadline(int64_t ms)
{
    int64_t us = clock_mono_us() + ms * 1000;
    return (struct timespec){.tv_sec = us / 1000000, .tv_nsec = (us % 1000000) * 1000};
}
