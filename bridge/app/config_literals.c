#include <ctype.h>
#include <errno.h>
#include <limits.h>

#include "config_source.h"

/* A lexer of libconfig's text that knows comments, strings, names and numbers. */
struct lexer {
    struct cfg_source *source;
    const char *file;
    const char *p, *end;
    unsigned line;
    char name[64]; /* the last name met: the one whose value a number is */
};

bool cfg_is_secret_name(const char *name)
{
    static const char *const marks[] = {"password", "secret",      "api_key", "pem",
                                        "key",      "oauthbearer", "token"};
    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (strcasestr(name, marks[i]))
            return true;
    return false;
}

static char peek(const struct lexer *x, size_t ahead)
{
    return (size_t)(x->end - x->p) > ahead ? x->p[ahead] : '\0';
}

/* Over `n` bytes, counting lines. */
static void advance(struct lexer *x, size_t n)
{
    for (; n > 0 && x->p < x->end; n--, x->p++)
        if (*x->p == '\n')
            x->line++;
}

static void add(struct lexer *x, unsigned line, const char *fmt, const char *token)
{
    cleanup_free char *path = cfg_source_path(x->source, x->file);
    config_report_add(x->source->report, CONFIG_ERROR, path, cfg_source_rank(x->source, x->file), line, fmt,
                      token);
}

static void skip_comment(struct lexer *x)
{
    unsigned begin = x->line;
    const char *close = memmem(x->p + 2, (size_t)(x->end - x->p) - 2, "*/", 2);
    if (!close) {
        add(x, begin, "this comment never ends: libconfig ignores the rest of the file%s", "");
        config_report_hint(x->source->report, "close it with */");
    }
    advance(x, close ? (size_t)(close + 2 - x->p) : (size_t)(x->end - x->p));
}

static void skip_line(struct lexer *x)
{
    const char *newline = memchr(x->p, '\n', (size_t)(x->end - x->p));
    advance(x, newline ? (size_t)(newline - x->p) : (size_t)(x->end - x->p));
}

static void skip_string(struct lexer *x)
{
    advance(x, 1);
    while (x->p < x->end && *x->p != '"')
        advance(x, *x->p == '\\' ? 2 : 1);
    advance(x, 1);
}

static void read_name(struct lexer *x)
{
    size_t n = 0;
    while (isalnum((unsigned char)peek(x, n)) || (peek(x, n) && strchr("-_*", peek(x, n))))
        n++;
    (void)snprintf(x->name, sizeof x->name, "%.*s", (int)n, x->p);
    advance(x, n);
}

/* `token` is the literal; `has_l` its 64-bit mark. Nothing when it fits. */
static void judge(struct lexer *x, const char *token, bool is_hex, bool has_l)
{
    errno = 0;
    /* hexadecimal digits are read as unsigned and then kept in a signed integer */
    long long value = is_hex ? (long long)strtoull(token, NULL, 16) : strtoll(token, NULL, 10);
    bool is_beyond = errno == ERANGE || (is_hex && value < 0);
    bool fits = has_l ? !is_beyond : !is_beyond && value >= INT_MIN && value <= INT_MAX;
    if (fits)
        return;
    struct cfg_literal literal = {x->file, x->line, has_l ? value : (int)value};
    struct cfg_source *s = x->source;
    s->literals = xrealloc(s->literals, (s->n_literals + 1) * sizeof literal);
    s->literals[s->n_literals++] = literal;
    bool is_secret = cfg_is_secret_name(x->name);
    cleanup_free char *shown = is_secret    ? xasprintf("%s: this", x->name)
                               : x->name[0] ? xasprintf("%s: %s", x->name, token)
                                            : xstrdup(token);
    if (is_beyond) {
        add(x, x->line, "%s does not fit into 64 bits", shown);
        config_report_hint(s->report, "integers go from -9223372036854775808L to 9223372036854775807L");
    } else {
        add(x, x->line, "%s does not fit into 32 bits: libconfig would read another number", shown);
        if (!is_secret)
            config_report_hint(s->report, "write %sL", token);
        else
            config_report_hint(s->report, "write it as a string, in double quotes");
    }
}

/* A number as libconfig cuts it: the longest of integer, hexadecimal and float. */
static void read_number(struct lexer *x)
{
    size_t n = peek(x, 0) == '-' || peek(x, 0) == '+';
    bool is_hex =
        peek(x, n) == '0' && (peek(x, n + 1) | 32) == 'x' && isxdigit((unsigned char)peek(x, n + 2));
    size_t first = is_hex ? n + 2 : n;
    for (n = first; is_hex ? isxdigit((unsigned char)peek(x, n)) : isdigit((unsigned char)peek(x, n));)
        n++;
    bool is_float = !is_hex && (peek(x, n) == '.' || (peek(x, n) | 32) == 'e');
    if (is_float) {
        while (isalnum((unsigned char)peek(x, n)) || peek(x, n) == '.' ||
               ((peek(x, n) == '-' || peek(x, n) == '+') && (x->p[n - 1] | 32) == 'e'))
            n++;
    } else if (n > first) {
        cleanup_free char *token = xstrndup(x->p, n);
        bool has_l = peek(x, n) == 'L';
        judge(x, token, is_hex, has_l);
        n += has_l ? (peek(x, n + 1) == 'L' ? 2 : 1) : 0;
    }
    advance(x, n > 0 ? n : 1);
}

void cfg_literals_scan(struct cfg_source *s, const char *file, const char *text, size_t len)
{
    struct lexer x = {.source = s, .file = file, .p = text, .end = text + len, .line = 1};
    while (x.p < x.end) {
        char c = peek(&x, 0), next = peek(&x, 1);
        if (c == '/' && next == '*')
            skip_comment(&x);
        else if (c == '#' || (c == '/' && next == '/'))
            skip_line(&x);
        else if (c == '"')
            skip_string(&x);
        else if (isalpha((unsigned char)c) || c == '*')
            read_name(&x);
        else if (isdigit((unsigned char)c) || c == '-' || c == '+' || c == '.')
            read_number(&x);
        else
            advance(&x, 1);
    }
}
