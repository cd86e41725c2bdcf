/* The part of Lucene's query language that listeners use: words, field:value, field:"value", field:(a OR b),
 * wildcards, ranges [A TO B] {A TO B}, > >= < <=, AND OR NOT && || ! + -, parentheses, escapes. Words side by
 * side are joined by AND; AND binds more than OR (Lucene's own rule for the two without parentheses is
 * another: write them). Pure; any thread. */
#ifndef SIM_QUERY_H
#define SIM_QUERY_H

#include "doc.h"

enum { QUERY_MAX_DEPTH = 64, QUERY_MAX_BYTES = 1 << 20 };

enum node_kind { Q_ALL, Q_AND, Q_OR, Q_NOT, Q_TERM, Q_RANGE, Q_EXISTS };

struct query {
    enum node_kind kind;
    struct query *left, *right;
    char *field; /* NULL: the text */
    char *text;  /* a term, or a range's lower end; NULL: open */
    char *upper; /* a range's upper end; NULL: open */
    bool is_wild, is_phrase, has_lower, has_upper;
};

/* `text` NULL or blank: all. NULL with the server's own words in `ret_why` (the caller frees) when it can't
 * be parsed. query_free frees. */
struct query *query_parse(const char *text, char **ret_why);
void query_free(struct query *q);
bool query_is_all(const struct query *q);
bool query_matches(const struct query *q, const struct doc *d, enum task task);

#endif
