#include "gen.h"

#include <ctype.h>

#include "json_scan.h"

enum { ANNOTATED_EVERY = 4 };

/* splitmix64's finalizer: well mixed bits of (seed, index). */
static uint64_t mix(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static char *make_filler(size_t n)
{
    static const char words[] = " the service was quick and the staff kind but the room smelled of paint";
    char *s = xcalloc(1, n + 1);
    for (size_t i = 0; i < n; i++)
        s[i] = words[i % (sizeof words - 1)];
    return s;
}

int64_t gen_stamp(const struct gen *g, uint64_t index)
{
    return g->base_us + (int64_t)(index / GEN_BULK) * 1000;
}

static void put_key(char key[1 + GEN_ID_DIGITS], uint64_t index)
{
    key[0] = 'r';
    for (int i = GEN_ID_DIGITS; i >= 1; i--, index /= 10)
        key[i] = (char)('0' + index % 10);
}

int64_t gen_index(struct slice key)
{
    int64_t n = 0;
    if (key.len != 1 + GEN_ID_DIGITS || key.p[0] != 'r')
        return -1;
    for (size_t i = 1; i < key.len; i++) {
        if (!isdigit((unsigned char)key.p[i]))
            return -1;
        n = n * 10 + (key.p[i] - '0');
    }
    return n;
}

uint64_t gen_after(const struct gen *g, struct slice key, bool by_stamp, int64_t stamp_us)
{
    uint64_t lo = 0, hi = g->n;
    while (lo < hi) {
        uint64_t mid = lo + (hi - lo) / 2;
        char text[1 + GEN_ID_DIGITS];
        put_key(text, mid);
        int c = key_compare((struct slice){text, sizeof text}, key);
        if (by_stamp && gen_stamp(g, mid) != stamp_us)
            c = gen_stamp(g, mid) < stamp_us ? -1 : 1;
        if (c <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* ---- the parts of a record ---- */

struct maker {
    const struct gen *g;
    struct buf *b;
    struct doc *d;
    uint64_t index;
    bool is_good, is_hit; /* what it is, and whether the model saw it */
};

static void token(struct maker *m, enum field f, size_t start)
{
    m->d->f[f] = (struct slice){m->b->data + start, m->b->len - start};
}

static void text_part(struct maker *m)
{
    size_t start = m->b->len;
    buf_addstr(m->b, m->g->task == TOKEN_CLASSIFICATION ? "\"Peter lives in Paris as number " : "\"record ");
    add_u64(m->b, m->index);
    buf_addstr(m->b, m->is_good ? " is good" : " is bad");
    buf_add(m->b, m->g->filler, m->g->fill[m->index % ANNOTATED_EVERY == 0]);
    buf_addch(m->b, '"');
    token(m, F_TEXT, start);
}

static void tokens_part(struct maker *m)
{
    struct slice text = m->d->f[F_TEXT];
    size_t start = m->b->len;
    buf_addstr(m->b, "[\"");
    for (size_t i = 1; i + 1 < text.len; i++) {
        if (text.p[i] == ' ' && i + 2 < text.len)
            buf_addstr(m->b, "\",\"");
        else if (text.p[i] != ' ')
            buf_addch(m->b, text.p[i]);
    }
    buf_addstr(m->b, "\"]");
    token(m, F_TOKENS, start);
}

/* {"agent":A,VALUES} and {A:{VALUES}} */
static void values_part(struct maker *m, const char *agent, const char *values, enum field one,
                        enum field by_agent)
{
    size_t start = m->b->len;
    buf_addstr(m->b, "{\"agent\":\"");
    buf_addstr(m->b, agent);
    buf_addstr(m->b, "\",");
    buf_addstr(m->b, values);
    buf_addch(m->b, '}');
    token(m, one, start);
    start = m->b->len;
    buf_addstr(m->b, "{\"");
    buf_addstr(m->b, agent);
    buf_addstr(m->b, "\":{");
    buf_addstr(m->b, values);
    buf_addstr(m->b, "}}");
    token(m, by_agent, start);
}

static void annotations_part(struct maker *m, bool is_annotated)
{
    static const char *const GOLD[N_TASKS][2] = {
        {"\"labels\":[{\"score\":1.0,\"class_label\":\"NEG\"}]",
         "\"labels\":[{\"score\":1.0,\"class_label\":\"POS\"}]"},
        {"\"entities\":[{\"score\":1.0,\"start\":0,\"end\":5,\"label\":\"PER\"}]",
         "\"entities\":[{\"score\":1.0,\"start\":15,\"end\":20,\"label\":\"LOC\"}]"},
        {"\"sentences\":[{\"score\":1.0,\"text\":\"bad\"}]",
         "\"sentences\":[{\"score\":1.0,\"text\":\"good\"}]"}};
    static const char *const SEEN[N_TASKS][2] = {
        {"\"labels\":[{\"score\":0.9,\"class_label\":\"NEG\"},{\"score\":0.1,\"class_label\":\"POS\"}]",
         "\"labels\":[{\"score\":0.9,\"class_label\":\"POS\"},{\"score\":0.1,\"class_label\":\"NEG\"}]"},
        {"\"entities\":[{\"score\":0.8,\"start\":0,\"end\":5,\"label\":\"PER\"}]",
         "\"entities\":[{\"score\":0.8,\"start\":15,\"end\":20,\"label\":\"LOC\"}]"},
        {"\"sentences\":[{\"score\":0.6,\"text\":\"bad\"}]",
         "\"sentences\":[{\"score\":0.6,\"text\":\"good\"}]"}};
    values_part(m, "m1", SEEN[m->g->task][m->is_good == m->is_hit], F_PREDICTION, F_PREDICTIONS);
    m->d->has_predicted = true;
    m->d->has_annotated = is_annotated;
    if (is_annotated)
        values_part(m, "argilla", GOLD[m->g->task][m->is_good], F_ANNOTATION, F_ANNOTATIONS);
}

static void fixed_parts(struct maker *m, bool is_annotated)
{
    size_t start = m->b->len;
    buf_addch(m->b, '"');
    char key[1 + GEN_ID_DIGITS];
    put_key(key, m->index);
    buf_add(m->b, key, sizeof key);
    buf_addch(m->b, '"');
    token(m, F_ID, start);
    m->d->key = (struct slice){m->d->f[F_ID].p + 1, sizeof key};
    start = m->b->len;
    buf_addstr(m->b, "{\"batch_id\":");
    add_u64(m->b, m->index / m->g->batch);
    buf_addstr(m->b, ",\"n\":");
    add_u64(m->b, m->index);
    buf_addstr(m->b, m->index % 5 ? ",\"split\":\"train\"}" : ",\"split\":\"test\"}");
    token(m, F_METADATA, start);
    m->d->f[F_STATUS] = slice_of(is_annotated ? "\"Validated\"" : "\"Default\"");
}

void gen_doc(const struct gen *g, uint64_t index, struct buf *scratch, struct doc *ret)
{
    uint64_t bits = mix(g->seed, index);
    bool is_annotated = index % ANNOTATED_EVERY == 0;
    struct maker m = {g, scratch, ret, index, bits & 1, (bits >> 1 & 7) != 0};
    *ret = (struct doc){.stamp_us = gen_stamp(g, index)};
    buf_clear(scratch);
    (void)buf_reserve(scratch, 2048 + 6 * (g->fill[0] + g->fill[1])); /* nothing moves from here on */
    fixed_parts(&m, is_annotated);
    text_part(&m);
    annotations_part(&m, is_annotated);
    if (g->task == TOKEN_CLASSIFICATION)
        tokens_part(&m);
    if (g->task == TEXT_CLASSIFICATION) {
        size_t start = scratch->len;
        buf_addstr(scratch, "{\"text\":");
        buf_addslice(scratch, ret->f[F_TEXT]);
        buf_addch(scratch, '}');
        token(&m, F_INPUTS, start);
        ret->f[F_MULTI_LABEL] = slice_of("false");
    }
}

/* How much text record `index` lacks to be `record_bytes` long. */
static size_t missing_text(const struct gen *g, uint64_t index, size_t record_bytes)
{
    cleanup_buf struct buf scratch = buf_make(8 * GEN_MAX_RECORD_BYTES),
                           record = buf_make(8 * GEN_MAX_RECORD_BYTES);
    struct doc d;
    gen_doc(g, index, &scratch, &d);
    doc_write_scan(&d, g->task, &record);
    if (record_bytes <= record.len)
        return 0;
    size_t missing = record_bytes - record.len;
    /* the text stands twice in a text classification's record, and its words once more, as tokens, in the
     * other */
    return g->task == TEXT2TEXT ? missing : g->task == TEXT_CLASSIFICATION ? missing / 2 : missing * 10 / 24;
}

void gen_init(struct gen *g, enum task task, uint64_t n, size_t record_bytes, uint64_t batch, uint64_t seed,
              int64_t now_us)
{
    *g = (struct gen){
        .task = task, .n = n, .seed = seed, .batch = batch ? batch : 100, .filler = make_filler(0)};
    g->base_us = now_us - (int64_t)(n / GEN_BULK + 1) * 1000;
    uint64_t annotated = n / 2 / ANNOTATED_EVERY * ANNOTATED_EVERY;
    size_t fill[2] = {missing_text(g, annotated + 1, record_bytes), missing_text(g, annotated, record_bytes)};
    memcpy(g->fill, fill, sizeof fill);
    free(g->filler);
    g->filler = make_filler(fill[0] > fill[1] ? fill[0] : fill[1]);
}

void gen_release(struct gen *g)
{
    free(g->filler);
    g->filler = NULL;
}
