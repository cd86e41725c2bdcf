#include "backoff.h"

#include <limits.h>

int64_t backoff_fail(struct backoff *b, int64_t retry_after_ms, uint32_t random)
{
    int64_t most = BACKOFF_FIRST_MS;
    if (b->attempts < UINT_MAX)
        b->attempts++;
    for (unsigned i = 1; i < b->attempts && most < BACKOFF_MAX_MS; i++)
        most *= 2;
    if (most > BACKOFF_MAX_MS)
        most = BACKOFF_MAX_MS;
    int64_t least = most / 2;
    int64_t wait = least + (int64_t)((uint64_t)(most - least + 1) * random >> 32);
    if (retry_after_ms > BACKOFF_RETRY_AFTER_MAX_MS)
        retry_after_ms = BACKOFF_RETRY_AFTER_MAX_MS;
    return wait > retry_after_ms ? wait : retry_after_ms;
}

void backoff_reset(struct backoff *b)
{
    b->attempts = 0;
}
