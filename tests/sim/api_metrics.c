/* Metrics: F1 and the distributions that listeners ask for. */
#include <stdio.h>

#include "json_scan.h"
#include "sim.h"

enum { MAX_LABELS = 512, MAX_LABEL_BYTES = 160 };

static const char *const KNOWN[] = {"text_length",
                                    "error_distribution",
                                    "status_distribution",
                                    "words_cloud",
                                    "metadata",
                                    "predicted_by",
                                    "annotated_by",
                                    "score",
                                    "F1",
                                    "MultiLabelF1",
                                    "predicted_as",
                                    "annotated_as",
                                    "dataset_labels"};

void api_metrics_list(struct answer *a)
{
    buf_addch(&a->body, '[');
    for (size_t i = 0; i < ARRAY_LEN(KNOWN); i++)
        buf_addf(&a->body, "%s{\"id\":\"%s\",\"name\":\"%s\",\"description\":null}", i ? "," : "", KNOWN[i],
                 KNOWN[i]);
    buf_addch(&a->body, ']');
}

/* Labels (tokens without quotes) and what was counted of each. */
struct tally {
    struct label {
        char name[MAX_LABEL_BYTES];
        uint64_t n, predicted, annotated, right;
    } labels[MAX_LABELS];
    size_t n;
};

static struct label *label_of(struct tally *t, struct slice token)
{
    struct slice name =
        json_type_of(token) == JSON_STRING ? (struct slice){token.p + 1, token.len - 2} : token;
    if (name.len >= MAX_LABEL_BYTES)
        name.len = MAX_LABEL_BYTES - 1;
    for (size_t i = 0; i < t->n; i++)
        if (slice_eq(name, t->labels[i].name))
            return &t->labels[i];
    if (t->n == MAX_LABELS)
        return NULL;
    struct label *l = &t->labels[t->n++];
    memcpy(l->name, name.p, name.len);
    return l;
}

static double ratio(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0.0;
}

static double f1_of(double precision, double recall)
{
    return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0.0;
}

/* ---- F1 ---- */

static void tally_pair(struct tally *t, struct slice seen, struct slice gold)
{
    struct label *s = label_of(t, seen), *g = label_of(t, gold);
    if (s)
        s->predicted++;
    if (g)
        g->annotated++;
    if (s && s == g)
        s->right++;
}

static bool is_in(struct slice list, struct slice start, struct slice end, struct slice label)
{
    struct slice one, s, e, l;
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &one);)
        if (json_get(one, "start", &s) && json_get(one, "end", &e) && json_get(one, "label", &l) &&
            key_compare(s, start) == 0 && key_compare(e, end) == 0 && key_compare(l, label) == 0)
            return true;
    return false;
}

/* An entity is right when both have it with the same ends. */
static void tally_entities(struct tally *t, struct slice seen, struct slice gold)
{
    struct slice one, s, e, l;
    for (struct json_iter it = json_iter(gold); json_next(&it, NULL, &one);)
        if (json_get(one, "label", &l) && label_of(t, l))
            label_of(t, l)->annotated++;
    for (struct json_iter it = json_iter(seen); json_next(&it, NULL, &one);) {
        struct label *label = json_get(one, "label", &l) ? label_of(t, l) : NULL;
        if (!label || !json_get(one, "start", &s) || !json_get(one, "end", &e))
            continue;
        label->predicted++;
        label->right += is_in(gold, s, e, l);
    }
}

static void tally_f1(struct tally *t, const struct doc *d, enum task task)
{
    struct slice seen, gold;
    if (!d->has_predicted || !d->has_annotated)
        return;
    if (task == TOKEN_CLASSIFICATION) {
        if (json_get(d->f[F_PREDICTION], "entities", &seen) &&
            json_get(d->f[F_ANNOTATION], "entities", &gold))
            tally_entities(t, seen, gold);
    } else if (doc_label(d->f[F_PREDICTION], task, &seen) && doc_label(d->f[F_ANNOTATION], task, &gold)) {
        tally_pair(t, seen, gold);
    }
}

static void write_f1(const struct tally *t, enum task task, struct buf *b)
{
    double precision = 0, recall = 0, f1 = 0;
    uint64_t right = 0, predicted = 0, annotated = 0;
    cleanup_buf struct buf each = buf_make(MAX_LABELS * 8 * MAX_LABEL_BYTES);
    for (size_t i = 0; i < t->n; i++) {
        const struct label *l = &t->labels[i];
        double p = ratio(l->right, l->predicted), r = ratio(l->right, l->annotated);
        precision += p;
        recall += r;
        f1 += f1_of(p, r);
        right += l->right;
        predicted += l->predicted;
        annotated += l->annotated;
        buf_addf(&each, ",\"%s_precision\":%.17g,\"%s_recall\":%.17g,\"%s_f1\":%.17g", l->name, p, l->name, r,
                 l->name, f1_of(p, r));
        if (task == TEXT_CLASSIFICATION)
            buf_addf(&each, ",\"%s_support\":%llu", l->name, (unsigned long long)l->annotated);
    }
    if (t->n == 0) {
        buf_addstr(b, "{}");
        return;
    }
    double n = (double)t->n, p = ratio(right, predicted), r = ratio(right, annotated);
    buf_addf(b, "{\"precision_macro\":%.17g,\"recall_macro\":%.17g,\"f1_macro\":%.17g", precision / n,
             recall / n, f1 / n);
    buf_addf(b, ",\"precision_micro\":%.17g,\"recall_micro\":%.17g,\"f1_micro\":%.17g%s}", p, r, f1_of(p, r),
             buf_str(&each));
}

/* ---- distributions ---- */

static bool agent_of(const struct doc *d, enum field f, bool is_indexed, struct slice *ret)
{
    return is_indexed && doc_has(d, f) && json_get(d->f[f], "agent", ret);
}

static bool value_of(const char *metric, const struct doc *d, enum task task, struct slice *ret)
{
    struct slice seen, gold;
    *ret = d->f[F_STATUS];
    if (strcmp(metric, "status_distribution") == 0)
        return true;
    if (strcmp(metric, "predicted_by") == 0)
        return agent_of(d, F_PREDICTION, d->has_predicted, ret);
    if (strcmp(metric, "annotated_by") == 0)
        return agent_of(d, F_ANNOTATION, d->has_annotated, ret);
    if (strcmp(metric, "predicted_as") == 0)
        return d->has_predicted && doc_label(d->f[F_PREDICTION], task, ret);
    if (strcmp(metric, "annotated_as") == 0)
        return d->has_annotated && doc_label(d->f[F_ANNOTATION], task, ret);
    if (strcmp(metric, "error_distribution") != 0)
        return false;
    bool both = d->has_predicted && d->has_annotated && doc_label(d->f[F_PREDICTION], task, &seen) &&
                doc_label(d->f[F_ANNOTATION], task, &gold);
    *ret = slice_of(!both ? "\"unknown\"" : key_compare(seen, gold) ? "\"ko\"" : "\"ok\"");
    return true;
}

static int by_count(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    return x->n == y->n ? strcmp(x->name, y->name) : x->n > y->n ? -1 : 1;
}

static void write_distribution(struct tally *t, struct buf *b)
{
    qsort(t->labels, t->n, sizeof *t->labels, by_count);
    buf_addch(b, '{');
    for (size_t i = 0; i < t->n; i++)
        buf_addf(b, "%s\"%s\":%llu", i ? "," : "", t->labels[i].name, (unsigned long long)t->labels[i].n);
    buf_addch(b, '}');
}

static void measure(struct dataset *ds, const struct query *q, const char *metric, struct answer *a)
{
    struct tally *t = xcalloc(1, sizeof *t);
    bool is_f1 = strcmp(metric, "F1") == 0 || strcmp(metric, "MultiLabelF1") == 0;
    struct walk w;
    struct doc d;
    struct slice value;
    walk_init(&w, ds, false, NULL, 0);
    while (walk_next(&w, &d)) {
        if (!query_matches(q, &d, ds->task))
            continue;
        struct label *l = !is_f1 && value_of(metric, &d, ds->task, &value) ? label_of(t, value) : NULL;
        if (is_f1)
            tally_f1(t, &d, ds->task);
        else if (l)
            l->n++;
    }
    walk_release(&w);
    if (is_f1)
        write_f1(t, ds->task, &a->body);
    else
        write_distribution(t, &a->body);
    free(t);
}

void api_metric(struct dataset *ds, const struct request *r, const char *metric, struct answer *a)
{
    static const char *const measured[] = {
        "F1",           "MultiLabelF1", "status_distribution", "error_distribution",
        "predicted_by", "annotated_by", "predicted_as",        "annotated_as"};
    size_t known = 0, i = 0;
    while (known < ARRAY_LEN(KNOWN) && strcmp(KNOWN[known], metric) != 0)
        known++;
    while (i < ARRAY_LEN(measured) && strcmp(measured[i], metric) != 0)
        i++;
    if (r->body.len == 0) {
        answer_invalid(a, "[\"body\"]", "field required", "value_error.missing", "");
        return;
    }
    if (known == ARRAY_LEN(KNOWN)) {
        cleanup_free char *text = json_text(metric);
        cleanup_free char *params = xasprintf("{\"name\":%s,\"type\":\"ServiceBaseMetric\"}", text);
        answer_error(a, 404, "EntityNotFoundError", params);
        return;
    }
    if (i == ARRAY_LEN(measured)) {
        answer_detail(a, 501, "argilla-sim does not compute this metric");
        return;
    }
    cleanup_free char *text = NULL;
    bool is_aggregated = i > 1; /* by a search; the F1s scan, and fail as the scan does */
    struct query *q = body_query(r, true, is_aggregated, &text, a);
    if (q)
        measure(ds, q, metric, a);
    query_free(q);
}
