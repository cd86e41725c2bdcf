#include "schedule.h"

#include "mem.h"

enum { SPREAD_MS = 5 };

int64_t schedule_next(int64_t due_ms, int64_t interval_ms, int64_t now_ms)
{
    if (interval_ms < 1)
        interval_ms = 1;
    int64_t behind = now_ms - due_ms;
    int64_t ticks = behind / interval_ms - (behind % interval_ms < 0); /* rounded down, also before `due` */
    return due_ms + (ticks + 1) * interval_ms;
}

int64_t schedule_first(int64_t now_ms, int64_t interval_ms, size_t index)
{
    if (interval_ms < 1)
        return now_ms;
    return now_ms + (int64_t)(index % (size_t)interval_ms * SPREAD_MS % (size_t)interval_ms);
}

void schedule_release(struct schedule_heap *h)
{
    for (size_t i = 0; i < h->n; i++)
        h->items[i]->pos = 0;
    free(h->items);
    *h = (struct schedule_heap){0};
}

static void place(struct schedule_heap *h, size_t pos, struct schedule_item *item)
{
    h->items[pos - 1] = item;
    item->pos = pos;
}

/* Moves `item` from the free place `pos` towards the root, as far as it is due before what stands there. */
static void sift_up(struct schedule_heap *h, size_t pos, struct schedule_item *item)
{
    for (; pos > 1 && item->due_ms < h->items[pos / 2 - 1]->due_ms; pos /= 2)
        place(h, pos, h->items[pos / 2 - 1]);
    place(h, pos, item);
}

static void sift_down(struct schedule_heap *h, size_t pos, struct schedule_item *item)
{
    for (size_t child; (child = pos * 2) <= h->n; pos = child) {
        if (child < h->n && h->items[child]->due_ms < h->items[child - 1]->due_ms)
            child++;
        if (item->due_ms <= h->items[child - 1]->due_ms)
            break;
        place(h, pos, h->items[child - 1]);
    }
    place(h, pos, item);
}

static void settle(struct schedule_heap *h, size_t pos, struct schedule_item *item)
{
    if (pos > 1 && item->due_ms < h->items[pos / 2 - 1]->due_ms)
        sift_up(h, pos, item);
    else
        sift_down(h, pos, item);
}

void schedule_set(struct schedule_heap *h, struct schedule_item *item, int64_t due_ms)
{
    item->due_ms = due_ms;
    if (item->pos) {
        settle(h, item->pos, item);
        return;
    }
    if (h->n == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 16;
        h->items = xrealloc(h->items, h->cap * sizeof *h->items);
    }
    h->n++;
    sift_up(h, h->n, item);
}

void schedule_remove(struct schedule_heap *h, struct schedule_item *item)
{
    size_t pos = item->pos;
    if (!pos)
        return;
    struct schedule_item *last = h->items[--h->n];
    item->pos = 0;
    if (last != item)
        settle(h, pos, last);
}

struct schedule_item *schedule_peek(const struct schedule_heap *h)
{
    return h->n ? h->items[0] : NULL;
}
