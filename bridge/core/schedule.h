/* When a listener is due: a heap of due times and the arithmetic of periods. Pure: the time is passed in
 * (monotonic ms). One thread at a time (the prober's). */
#ifndef AB_CORE_SCHEDULE_H
#define AB_CORE_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The next due time after `now` on the grid `due + k * interval`: the period is true from start to start,
 * ticks missed meanwhile are skipped. */
int64_t schedule_next(int64_t due_ms, int64_t interval_ms, int64_t now_ms);

/* The first due time of the `index`-th listener (from 0) to start: practically at once, spread so that many
 * listeners don't meet at one moment: 5 ms apart, wrapped within the interval. */
int64_t schedule_first(int64_t now_ms, int64_t interval_ms, size_t index);

/* A binary heap of items by due time; an item is in it at most once. */
struct schedule_item {
    int64_t due_ms;
    size_t pos; /* 1-based place in the heap; 0: not in it. The heap's own */
};
struct schedule_heap {
    struct schedule_item **items;
    size_t n, cap;
};
void schedule_release(struct schedule_heap *h);
/* Puts it in, or moves it, at `due_ms`. */
void schedule_set(struct schedule_heap *h, struct schedule_item *item, int64_t due_ms);
void schedule_remove(struct schedule_heap *h, struct schedule_item *item);
/* The earliest item, still in the heap; NULL when empty. */
struct schedule_item *schedule_peek(const struct schedule_heap *h);

#endif
