/* Time. Monotonic milliseconds for intervals and deadlines, wall time for what people and messages see. Pure
 * code takes the time as an argument; only flows and wrappers of sockets call these. Any thread. */
#ifndef AB_BASE_CLOCK_H
#define AB_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Milliseconds and microseconds since some fixed moment, never going back. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);
/* The same, going on while the machine sleeps. */
int64_t clock_boot_ms(void);
/* Milliseconds since 1970-01-01T00:00:00Z. */
int64_t clock_wall_ms(void);

#define RFC3339_SIZE 32
/* "2026-11-24T21:44:03.123Z" into `ret`. */
void clock_rfc3339(int64_t wall_ms, char ret[RFC3339_SIZE]);

/* An absolute CLOCK_MONOTONIC time `ms` from now, for pthread_cond_clockwait. */
struct timespec clock_deadline(int64_t ms);

#endif
