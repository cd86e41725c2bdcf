#include <ctype.h>
#include <stdio.h>

#include "query.h"

struct parser {
    const char *p;
    int depth;
};

static struct query *parse_or(struct parser *s, const char *field);

static struct query *node(enum node_kind kind, struct query *left, struct query *right)
{
    struct query *q = xcalloc(1, sizeof *q);
    *q = (struct query){.kind = kind, .left = left, .right = right};
    return q;
}

void query_free(struct query *q)
{
    if (!q)
        return;
    query_free(q->left);
    query_free(q->right);
    free(q->field);
    free(q->text);
    free(q->upper);
    free(q);
}

static void skip_blanks(struct parser *s)
{
    while (isspace((unsigned char)*s->p))
        s->p++;
}

/* A word operator stands alone. */
static bool at_word(const struct parser *s, const char *word)
{
    size_t n = strlen(word);
    unsigned char after = strncmp(s->p, word, n) ? 'x' : (unsigned char)s->p[n];
    return after == 0 || isspace(after) || after == '(' || after == ')';
}

static bool take_operator(struct parser *s, const char *word, const char *sign)
{
    skip_blanks(s);
    size_t n = at_word(s, word) ? strlen(word) : strncmp(s->p, sign, strlen(sign)) == 0 ? strlen(sign) : 0;
    s->p += n;
    return n > 0;
}

/* ---- values ---- */

/* A bare word up to blank or sign; wildcards stay, and with them the escapes (fnmatch's are the same). */
static char *take_term(struct parser *s, bool *ret_wild)
{
    struct buf raw = buf_make(QUERY_MAX_BYTES);
    bool wild = false;
    for (; *s->p && !isspace((unsigned char)*s->p) && !strchr("()[]{}:\"/~^", *s->p); s->p++) {
        wild |= *s->p == '*' || *s->p == '?';
        buf_addch(&raw, *s->p);
        if (*s->p == '\\') {
            if (!s->p[1])
                break;
            buf_addch(&raw, *++s->p);
        }
    }
    char *text = buf_take(&raw);
    if (!wild) { /* the escapes go */
        char *to = text;
        for (const char *from = text; *from; from++)
            *to++ = *from == '\\' && from[1] ? *++from : *from;
        *to = 0;
    }
    *ret_wild = wild;
    return text;
}

/* NULL: no end. */
static char *take_quoted(struct parser *s)
{
    struct buf text = buf_make(QUERY_MAX_BYTES);
    for (s->p++; *s->p && *s->p != '"'; s->p++)
        buf_addch(&text, *s->p == '\\' && s->p[1] ? *++s->p : *s->p);
    if (*s->p != '"') {
        buf_release(&text);
        return NULL;
    }
    s->p++;
    return buf_take(&text);
}

/* One end of a range: dates hold colons. "*" is open: NULL with 0. */
static int take_end(struct parser *s, char **ret)
{
    skip_blanks(s);
    if (*s->p == '"')
        return (*ret = take_quoted(s)) ? 0 : -1;
    const char *start = s->p;
    while (*s->p && !isspace((unsigned char)*s->p) && !strchr("[]{}()\"", *s->p))
        s->p++;
    if (s->p == start)
        return -1;
    *ret = s->p - start == 1 && *start == '*' ? NULL : xstrndup(start, (size_t)(s->p - start));
    return 0;
}

static struct query *parse_range(struct parser *s, const char *field)
{
    struct query *q = node(Q_RANGE, NULL, NULL);
    q->field = field ? xstrdup(field) : NULL;
    q->has_lower = *s->p++ == '[';
    bool ok = take_end(s, &q->text) == 0;
    skip_blanks(s);
    ok = ok && at_word(s, "TO");
    s->p += ok ? 2 : 0;
    ok = ok && take_end(s, &q->upper) == 0;
    skip_blanks(s);
    ok = ok && (*s->p == ']' || *s->p == '}');
    if (!ok) {
        query_free(q);
        return NULL;
    }
    q->has_upper = *s->p++ == ']';
    return q;
}

static struct query *parse_comparison(struct parser *s, const char *field)
{
    struct query *q = node(Q_RANGE, NULL, NULL);
    bool is_greater = *s->p++ == '>', with_equal = *s->p == '=';
    s->p += with_equal;
    bool wild;
    char *end = take_term(s, &wild);
    q->field = xstrdup(field);
    if (!*end || *s->p == ':' || wild) { /* >= and a date is an error on the server too */
        free(end);
        query_free(q);
        return NULL;
    }
    if (is_greater) {
        q->text = end;
        q->has_lower = with_equal;
    } else {
        q->upper = end;
        q->has_upper = with_equal;
    }
    return q;
}

static struct query *term_node(const char *field, char *text, bool wild, bool phrase)
{
    bool is_any = wild && strcmp(text, "*") == 0;
    struct query *q = node(Q_TERM, NULL, NULL);
    *q = (struct query){.kind = Q_TERM, .text = text, .is_wild = wild, .is_phrase = phrase};
    if (is_any && (!field || strcmp(field, "*") == 0))
        q->kind = Q_ALL;
    else if (is_any || (field && strcmp(field, "_exists_") == 0))
        q->kind = Q_EXISTS;
    q->field = q->kind == Q_EXISTS && !is_any ? xstrdup(text) : field ? xstrdup(field) : NULL;
    return q;
}

static struct query *parse_group(struct parser *s, const char *field)
{
    s->p++;
    struct query *q = parse_or(s, field);
    skip_blanks(s);
    if (!q || *s->p != ')') {
        query_free(q);
        return NULL;
    }
    s->p++;
    return q;
}

static struct query *parse_value(struct parser *s, const char *field)
{
    bool wild = false;
    char *text;
    skip_blanks(s);
    if (*s->p == '(')
        return parse_group(s, field);
    if (*s->p == '[' || *s->p == '{')
        return parse_range(s, field);
    if (field && (*s->p == '>' || *s->p == '<'))
        return parse_comparison(s, field);
    if (*s->p == '"')
        return (text = take_quoted(s)) ? term_node(field, text, false, true) : NULL;
    if (at_word(s, "AND") || at_word(s, "OR") || at_word(s, "NOT") || strncmp(s->p, "&&", 2) == 0 ||
        strncmp(s->p, "||", 2) == 0)
        return NULL;
    text = take_term(s, &wild);
    if (!*text || (*s->p && strchr("[]{}\"/~^", *s->p)) || (field && *s->p == ':')) {
        free(text);
        return NULL;
    }
    if (*s->p != ':')
        return term_node(field, text, wild, false);
    s->p++;
    struct query *q = parse_value(s, text); /* the word was a field's name */
    free(text);
    return q;
}

/* ---- operators ---- */

static struct query *parse_not(struct parser *s, const char *field)
{
    struct query *q;
    if (++s->depth > QUERY_MAX_DEPTH)
        return NULL;
    if (take_operator(s, "NOT", "!") || take_operator(s, "-", "-")) {
        q = parse_not(s, field);
        q = q ? node(Q_NOT, q, NULL) : NULL;
    } else {
        (void)take_operator(s, "+", "+");
        q = parse_value(s, field);
    }
    s->depth--;
    return q;
}

static struct query *join(enum node_kind kind, struct query *left, struct query *right)
{
    if (left && right)
        return node(kind, left, right);
    query_free(left);
    query_free(right);
    return NULL;
}

static struct query *parse_and(struct parser *s, const char *field)
{
    struct query *q = parse_not(s, field);
    while (q) {
        bool said = take_operator(s, "AND", "&&");
        skip_blanks(s);
        if (!said && (!*s->p || *s->p == ')' || at_word(s, "OR") || strncmp(s->p, "||", 2) == 0))
            break;
        q = join(Q_AND, q, parse_not(s, field));
    }
    return q;
}

static struct query *parse_or(struct parser *s, const char *field)
{
    struct query *q = parse_and(s, field);
    while (q && take_operator(s, "OR", "||"))
        q = join(Q_OR, q, parse_and(s, field));
    return q;
}

/* The first end of a range over dates that is none, for the server's other error. */
static const char *bad_date(const struct query *q)
{
    int64_t first, last;
    if (!q)
        return NULL;
    bool is_date =
        q->field && (strcmp(q->field, "last_updated") == 0 || strcmp(q->field, "event_timestamp") == 0);
    if (is_date && (q->kind == Q_RANGE || (q->kind == Q_TERM && !q->is_wild))) {
        if (q->text && parse_date(slice_of(q->text), &first, &last))
            return q->text;
        if (q->upper && parse_date(slice_of(q->upper), &first, &last))
            return q->upper;
    }
    const char *bad = bad_date(q->left);
    return bad ? bad : bad_date(q->right);
}

struct query *query_parse(const char *text, char **ret_why)
{
    struct parser s = {.p = text ? text : ""};
    skip_blanks(&s);
    if (!*s.p)
        return node(Q_ALL, NULL, NULL);
    struct query *q = parse_or(&s, NULL);
    skip_blanks(&s);
    const char *bad = q ? bad_date(q) : NULL;
    if (q && !*s.p && !bad)
        return q;
    if (bad) {
        const char *format =
            "failed to parse date field [%s] with format [strict_date_optional_time||epoch_millis]";
        cleanup_free char *once = xasprintf(format, bad);
        *ret_why = xasprintf("%s: [%s]", once, once);
    } else {
        *ret_why = xasprintf("Failed to parse query [%s]", text);
    }
    query_free(q);
    return NULL;
}

bool query_is_all(const struct query *q)
{
    return q->kind == Q_ALL;
}
