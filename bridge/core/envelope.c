#include "envelope.h"

#include "clock.h"
#include "json_scan.h"

void envelope_begin(struct slice ctx, struct buf *ret)
{
    buf_add(ret, ctx.p, ctx.len - 1);
}

size_t envelope_cut(const struct slice *records, size_t n, size_t max_records, size_t max_bytes,
                    size_t *ret_bytes)
{
    size_t taken = 0, bytes = 0;
    while (taken < n && taken < max_records) {
        size_t more = records[taken].len + (taken ? 1 : 0);
        if (taken && bytes + more > max_bytes)
            break;
        bytes += more;
        taken++;
    }
    *ret_bytes = bytes;
    return taken;
}

void envelope_end(const struct slice *records, size_t n, int64_t index, bool is_last, struct buf *ret)
{
    buf_addf(ret, ",\"batch\":{\"index\":%lld,\"last\":%s},\"records\":[", (long long)index,
             is_last ? "true" : "false");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_addch(ret, ',');
        buf_addslice(ret, records[i]);
    }
    buf_addstr(ret, "]}");
}

void envelope_run(struct slice ctx, const struct run_report *r, struct buf *ret)
{
    const struct run_progress *p = r->progress;
    char started[RFC3339_SIZE], ended[RFC3339_SIZE];
    clock_rfc3339(p->started_ms, started);
    clock_rfc3339(r->ended_ms, ended);
    buf_add(ret, ctx.p, ctx.len - 1);
    if (r->next_params) {
        buf_addstr(ret, ",\"next_query_params\":");
        buf_addstr(ret, r->next_params);
    }
    buf_addf(ret, ",\"status\":\"%s\"", r->error ? "failed" : "completed");
    if (r->error) {
        buf_addstr(ret, ",\"error\":");
        buf_addjson(ret, r->error, strlen(r->error));
    }
    buf_addf(
        ret,
        ",\"n_matched\":%lld,\"n_records\":%lld,\"n_batches\":%lld,\"n_unchanged\":%lld,\"n_deleted\":%lld,"
        "\"n_removed\":%lld,\"n_oversize\":%lld,\"oversize_ids\":[%s]",
        (long long)p->n_matched, (long long)p->n_published, (long long)p->n_batches,
        (long long)p->n_unchanged, (long long)p->n_deleted, (long long)p->n_removed, (long long)p->n_oversize,
        p->oversize_ids ? p->oversize_ids : "");
    buf_addf(ret, ",\"started_at\":\"%s\",\"ended_at\":\"%s\"}", started, ended);
}
