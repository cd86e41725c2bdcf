/* How long to wait before the next attempt: exponential with full jitter above a floor, at least what the
 * server asked for by Retry-After (up to an hour). Pure: randomness is passed in. One thread at a time. */
#ifndef AB_CORE_BACKOFF_H
#define AB_CORE_BACKOFF_H

#include <stdint.h>

enum { BACKOFF_FIRST_MS = 500, BACKOFF_MAX_MS = 30000, BACKOFF_RETRY_AFTER_MAX_MS = 3600000 };

struct backoff {
    unsigned attempts; /* failures in a row */
};

/* Counts one failure and tells the wait in ms: between half and all of min(first * 2^(attempts-1), max), and
 * never less than `retry_after_ms` (capped). `random` is any uniformly random number. */
int64_t backoff_fail(struct backoff *b, int64_t retry_after_ms, uint32_t random);
void backoff_reset(struct backoff *b);

#endif
