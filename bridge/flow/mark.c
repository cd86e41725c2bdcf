/* How far a listener of deliver = changes has come: in memory ahead of what is durable, so that polls without
 * news write nothing. A mark that is lost with the process only makes the next one look back further. */
#include "bridge.h"

enum { WRITE_EVERY_MS = 300000 };

void mark_release(struct listener *l)
{
    changes_mark_release(&l->mark.now);
    l->mark = (struct listener_mark){0};
}

int mark_load(struct listener *l, uint64_t epoch, struct err *e)
{
    cleanup_free char *key = listener_state_key("changes", l->config->name);
    cleanup_buf struct buf value = buf_make(STATE_VALUE_MAX);
    uint64_t now_epoch;
    if (l->mark.now.is_set && l->mark.epoch == epoch)
        return 0;
    mark_release(l);
    if (!partition_get(l->partition, key, &value, &now_epoch) || now_epoch != epoch)
        return err_set(e, ERR_RETRY, "its partition is being opened");
    if (changes_mark_read(buf_slice(&value), &l->mark.now, e))
        return -1;
    l->mark.epoch = epoch;
    l->mark.durable_at_ms = l->mark.now.at_ms;
    return 0;
}

void mark_keep(struct listener *l, const struct changes_mark *m, uint64_t epoch, bool is_durable)
{
    struct changes_mark copy = changes_mark_copy(m);
    changes_mark_release(&l->mark.now);
    l->mark.now = copy;
    l->mark.epoch = epoch;
    if (is_durable)
        l->mark.durable_at_ms = m->at_ms;
}

bool mark_is_due(const struct listener *l, int64_t at_ms)
{
    return !l->mark.durable_at_ms || at_ms - l->mark.durable_at_ms >= WRITE_EVERY_MS;
}
