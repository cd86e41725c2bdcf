#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>

#include "json_scan.h"
#include "query.h"

/* ---- one value ---- */

/* The text of a token: a string's without quotes and escapes, else as it is. `b` may hold it. */
static struct slice text_of(struct slice token, struct buf *b)
{
    if (json_type_of(token) != JSON_STRING)
        return token;
    struct slice inner = {token.p + 1, token.len - 2};
    if (!memchr(inner.p, '\\', inner.len))
        return inner;
    buf_clear(b);
    (void)json_decode_string(token, b);
    return buf_slice(b);
}

static bool number_of(struct slice text, double *ret)
{
    char copy[64], *end;
    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = 0;
    *ret = strtod(copy, &end);
    return *end == 0;
}

static bool is_wild_match(const char *pattern, struct slice text)
{
    char copy[512];
    size_t n = text.len < sizeof copy - 1 ? text.len : sizeof copy - 1;
    memcpy(copy, text.p, n);
    copy[n] = 0;
    return fnmatch(pattern, copy, 0) == 0;
}

static int ends_compare(struct slice value, const char *end, bool as_number)
{
    double v = 0, e = 0;
    if (as_number && number_of(value, &v) && number_of(slice_of(end), &e))
        return (v > e) - (v < e);
    return key_compare(value, slice_of(end));
}

static bool in_range(const struct query *q, struct slice value, bool as_number)
{
    int low = q->text ? ends_compare(value, q->text, as_number) : 1;
    int high = q->upper ? ends_compare(value, q->upper, as_number) : -1;
    return (low > 0 || (low == 0 && q->has_lower)) && (high < 0 || (high == 0 && q->has_upper));
}

static bool date_matches(const struct query *q, int64_t us)
{
    int64_t first = 0, last = 0, first2 = 0, last2 = 0;
    if (q->kind == Q_EXISTS)
        return true;
    if (q->kind == Q_TERM)
        return !parse_date(slice_of(q->text), &first, &last) && us >= first && us <= last;
    bool low = !q->text || (parse_date(slice_of(q->text), &first, &last) == 0 &&
                            (q->has_lower ? us >= first : us > last));
    bool high = !q->upper || (parse_date(slice_of(q->upper), &first2, &last2) == 0 &&
                              (q->has_upper ? us <= last2 : us < first2));
    return low && high;
}

/* A keyword, number or truth value: whole and exact. */
static bool value_matches(const struct query *q, struct slice token)
{
    cleanup_buf struct buf decoded = buf_make(QUERY_MAX_BYTES);
    bool is_number = json_type_of(token) == JSON_NUMBER;
    double v, t;
    if (json_type_of(token) == JSON_NULL)
        return false;
    if (q->kind == Q_EXISTS)
        return true;
    struct slice text = text_of(token, &decoded);
    if (q->kind == Q_RANGE)
        return in_range(q, text, is_number);
    if (q->is_wild)
        return is_wild_match(q->text, text);
    if (is_number && number_of(text, &v) && number_of(slice_of(q->text), &t))
        return v == t;
    return slice_eq(text, q->text);
}

/* ---- text: words, in lower case ---- */

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || c == '\'' || c == '_';
}

static struct slice next_word(struct slice *rest)
{
    const char *p = rest->p, *end = rest->p + rest->len;
    while (p < end && !is_word_char(*p))
        p++;
    const char *start = p;
    while (p < end && is_word_char(*p))
        p++;
    *rest = (struct slice){p, (size_t)(end - p)};
    return (struct slice){start, (size_t)(p - start)};
}

static bool word_eq(const struct query *q, struct slice word, struct slice sought)
{
    if (q->is_wild) {
        char lower[128];
        size_t n = word.len < sizeof lower ? word.len : sizeof lower - 1;
        for (size_t i = 0; i < n; i++)
            lower[i] = (char)tolower((unsigned char)word.p[i]);
        return is_wild_match(q->text, (struct slice){lower, n});
    }
    return word.len == sought.len && strncasecmp(word.p, sought.p, word.len) == 0;
}

static bool has_word(const struct query *q, struct slice text, struct slice sought)
{
    for (struct slice word; (word = next_word(&text)).len;)
        if (word_eq(q, word, sought))
            return true;
    return false;
}

static bool has_phrase(const struct query *q, struct slice text)
{
    for (struct slice at = text; at.len; (void)next_word(&at)) {
        struct slice here = at, sought = slice_of(q->text), word;
        bool same = true;
        while (same && (word = next_word(&sought)).len)
            same = word_eq(q, next_word(&here), word);
        if (same)
            return true;
    }
    return false;
}

static bool text_matches(const struct query *q, struct slice token)
{
    cleanup_buf struct buf decoded = buf_make(QUERY_MAX_BYTES);
    struct slice text = text_of(token, &decoded), sought = slice_of(q->text), word;
    if (q->kind == Q_EXISTS)
        return true;
    if (q->kind == Q_RANGE)
        return in_range(q, text, false);
    if (q->is_wild)
        return has_word(q, text, sought);
    if (q->is_phrase)
        return has_phrase(q, text);
    while ((word = next_word(&sought)).len)
        if (!has_word(q, text, word))
            return false;
    return true;
}

/* ---- fields ---- */

static bool list_matches(const struct query *q, struct slice list)
{
    struct slice value;
    if (json_type_of(list) != JSON_ARRAY)
        return value_matches(q, list);
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &value);)
        if (value_matches(q, value))
            return true;
    return false;
}

static bool member_matches(const struct query *q, struct slice object, const char *name, bool as_text)
{
    struct slice value;
    if (!object.p || !json_get(object, name, &value))
        return false;
    return as_text ? text_matches(q, value) : list_matches(q, value);
}

/* What the server computes of predictions and annotations. */
static bool derived_matches(const struct query *q, const struct doc *d, enum task task)
{
    const char *f = q->field;
    struct slice seen, gold, agent, values, first, score;
    bool is_predicted = d->has_predicted && doc_has(d, F_PREDICTION);
    bool is_annotated = d->has_annotated && doc_has(d, F_ANNOTATION);
    if (strcmp(f, "predicted_by") == 0)
        return is_predicted && json_get(d->f[F_PREDICTION], "agent", &agent) && value_matches(q, agent);
    if (strcmp(f, "annotated_by") == 0)
        return is_annotated && json_get(d->f[F_ANNOTATION], "agent", &agent) && value_matches(q, agent);
    if (strcmp(f, "predicted_as") == 0)
        return is_predicted && doc_label(d->f[F_PREDICTION], task, &seen) && value_matches(q, seen);
    if (strcmp(f, "annotated_as") == 0)
        return is_annotated && doc_label(d->f[F_ANNOTATION], task, &gold) && value_matches(q, gold);
    if (strcmp(f, "predicted") == 0)
        return is_predicted && is_annotated && doc_label(d->f[F_PREDICTION], task, &seen) &&
               doc_label(d->f[F_ANNOTATION], task, &gold) &&
               value_matches(q, slice_of(key_compare(seen, gold) ? "\"ko\"" : "\"ok\""));
    if (strcmp(f, "score") == 0 && is_predicted && json_get(d->f[F_PREDICTION], task_values(task), &values)) {
        struct json_iter it = json_iter(values);
        return json_next(&it, NULL, &first) && json_get(first, "score", &score) && value_matches(q, score);
    }
    return false;
}

static bool leaf_matches(const struct query *q, const struct doc *d, enum task task)
{
    const char *f = q->field;
    int64_t first, last;
    if (!f || strcmp(f, "text") == 0)
        return doc_has(d, F_TEXT) && text_matches(q, d->f[F_TEXT]);
    if (strncmp(f, "metadata.", 9) == 0)
        return member_matches(q, d->f[F_METADATA], f + 9, false);
    if (strncmp(f, "inputs.", 7) == 0)
        return member_matches(q, d->f[F_INPUTS], f + 7, true);
    if (strcmp(f, "id") == 0) { /* by its text, whatever its type */
        if (q->kind == Q_EXISTS)
            return true;
        if (q->kind == Q_RANGE)
            return in_range(q, d->key, false);
        return q->is_wild ? is_wild_match(q->text, d->key) : slice_eq(d->key, q->text);
    }
    if (strcmp(f, "status") == 0)
        return value_matches(q, d->f[F_STATUS]);
    if (strcmp(f, "last_updated") == 0)
        return date_matches(q, d->stamp_us);
    if (strcmp(f, "event_timestamp") == 0)
        return doc_has(d, F_EVENT) &&
               parse_date((struct slice){d->f[F_EVENT].p + 1, d->f[F_EVENT].len - 2}, &first, &last) == 0 &&
               date_matches(q, first);
    if (strcmp(f, "tokens") == 0)
        return doc_has(d, F_TOKENS) && list_matches(q, d->f[F_TOKENS]);
    return derived_matches(q, d, task);
}

bool query_matches(const struct query *q, const struct doc *d, enum task task)
{
    switch (q->kind) {
    case Q_ALL:
        return true;
    case Q_AND:
        return query_matches(q->left, d, task) && query_matches(q->right, d, task);
    case Q_OR:
        return query_matches(q->left, d, task) || query_matches(q->right, d, task);
    case Q_NOT:
        return !query_matches(q->left, d, task);
    default:
        return leaf_matches(q, d, task);
    }
}
