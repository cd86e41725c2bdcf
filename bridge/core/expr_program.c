#include "expr_program.h"

#include <ctype.h>
#include <jq.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

/* A line of its own before the program: jq's line numbers are off by one then, and a comment in the program
 * swallows nothing. No parentheses around the program, so that unbalanced ones in it are an error. */
#define SHUT_OFF                                                                                             \
    "{} as $ENV | def env: {}; def stderr: .; def debug: .; "                                                \
    "def input: error(\"there is no further input\"); def inputs: input; "                                   \
    "def modulemeta: error(\"there are no modules\");\n"
enum { PRELUDE_LINES = 1 };
static const char *const preludes[] = {
    [OVER_CTX] = "def ctx: .; def search: .search; def metrics: .metrics; "
                 "def query_params: .query_params; def previous: .previous; " SHUT_OFF,
    [OVER_RECORD] = SHUT_OFF,
};

enum { BUCKETS = 256 };

struct program {
    enum expr_kind kind;
    uint64_t hash;
    char *text;
    jq_state *jq;
    struct program *next; /* in its bucket, while idle */
};

struct expr_cache {
    pthread_mutex_t mutex; /* guards what follows; not held while jq works */
    struct program *buckets[BUCKETS];
    size_t n_idle;
    uint64_t n_compiled;
};

/* ---- compiling ---- */

static void swallow(void *arg, jv message)
{
    (void)arg;
    jv_free(message);
}

/* Keeps jq's first complaint; a later one about what isn't terminated says more than "unexpected $end". */
static void keep_complaint(void *arg, jv message)
{
    struct buf *kept = arg;
    if (jv_get_kind(message) == JV_KIND_STRING) {
        const char *text = jv_string_value(message);
        if (kept->len == 0 || strstr(text, "unterminated")) {
            buf_clear(kept);
            buf_addf(kept, "%.2000s", text);
        }
    }
    jv_free(message);
}

/* What people write who have Python in their fingers. */
static const char *hint_for(const char *complaint, const char *program)
{
    static const struct {
        const char *in_complaint, *in_program, *hint;
    } hints[] = {
        {"True/0 is not defined", "", " (jq writes true)"},
        {"False/0 is not defined", "", " (jq writes false)"},
        {"None/0 is not defined", "", " (jq writes null)"},
        {"len/1 is not defined", "", " (jq writes (...) | length)"},
        {"syntax error", "lambda", " (the expression alone, without lambda)"},
        {"syntax error", "&&", " (jq writes and)"},
        {"syntax error", "||", " (jq writes or)"},
        {"syntax error", "===", " (jq writes ==)"},
        {"syntax error", "not ", " (jq writes (...) | not)"},
        {"INVALID_CHARACTER", "'", " (jq's strings stand in double quotes)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(hints); i++)
        if (strstr(complaint, hints[i].in_complaint) && strstr(program, hints[i].in_program))
            return hints[i].hint;
    return "";
}

static void cut_out(char *text, const char *word)
{
    char *at = strstr(text, word);
    if (at)
        memmove(at, at + strlen(word), strlen(at + strlen(word)) + 1);
}

/* "jq: error: WORDS (Unix shell quoting issues?) at <top-level>, line 2:\nTHE LINE", told shorter. */
static int explain_complaint(char *text, const char *program, struct err *e)
{
    static const char place[] = " at <top-level>, line ";
    char where[32] = "";
    int shown = 0;
    cut_out(text, "jq: error: ");
    cut_out(text, " (Unix shell quoting issues?)");
    char *at = strstr(text, place), *line = text;
    if (at) {
        long n = strtol(at + strlen(place), &line, 10) - PRELUDE_LINES;
        *at = '\0';
        line += strspn(line, ":\n");
        if (n > 0)
            shown = (int)strcspn(line, "\n");
        if (n > 0 && strchr(program, '\n'))
            (void)snprintf(where, sizeof where, " in line %ld", n);
    }
    while (shown && isspace((unsigned char)line[shown - 1]))
        shown--;
    return err_set(e, ERR_CONFIG, "jq: %s%s%s%.*s%s%s", text, where, shown ? ": `" : "",
                   shown < EXPR_SHOWN ? shown : EXPR_SHOWN, line, shown ? "`" : "", hint_for(text, program));
}

static void program_free(struct program *p)
{
    jq_teardown(&p->jq);
    free(p->text);
    free(p);
}

static int program_compile(const struct program *key, struct program **ret, struct err *e)
{
    if (!key->text[strspn(key->text, " \t\r\n")])
        return err_set(e, ERR_CONFIG, "the expression is empty");
    if (strlen(key->text) > EXPR_TEXT_MAX)
        return err_set(e, ERR_CONFIG, "the expression has more than %d bytes", EXPR_TEXT_MAX);
    jq_state *jq = jq_init();
    if (!jq)
        return err_set(e, ERR_FATAL, "jq: no memory");
    cleanup_buf struct buf complaint = buf_make(4096);
    cleanup_free char *whole = xasprintf("%s%s", preludes[key->kind], key->text);
    jq_set_error_cb(jq, keep_complaint, &complaint);
    int ok = jq_compile_args(jq, whole, jv_object());
    jq_set_error_cb(jq, swallow, NULL);
    if (!ok) {
        jq_teardown(&jq);
        if (complaint.len == 0)
            return err_set(e, ERR_CONFIG, "jq: can't compile it, and doesn't say why");
        return explain_complaint(complaint.data, key->text, e);
    }
    struct program *p = xcalloc(1, sizeof *p);
    *p = (struct program){.kind = key->kind, .hash = key->hash, .text = xstrdup(key->text), .jq = jq};
    *ret = p;
    return 0;
}

/* ---- running ---- */

const char *expr_describe(jv v, char ret[EXPR_SHOWN])
{
    switch (jv_get_kind(v)) {
    case JV_KIND_OBJECT:
        return "an object";
    case JV_KIND_ARRAY:
        return "an array";
    case JV_KIND_NUMBER:
        if (isnan(jv_number_value(v)))
            return "NaN";
        if (isinf(jv_number_value(v)))
            return "an infinite number";
        break;
    default:
        break;
    }
    return jv_dump_string_trunc(jv_copy(v), ret, EXPR_SHOWN);
}

/* Why jq gave no (further) value. Takes `v`. 0: it just ended. */
static int explain_end(jq_state *jq, jv v, struct err *e)
{
    char text[EXPR_SHOWN];
    if (jq_halted(jq)) {
        jv_free(v);
        return err_set(e, ERR_BAD_INPUT, "the expression calls halt: it must yield a value");
    }
    if (!jv_invalid_has_msg(jv_copy(v))) {
        jv_free(v);
        return 0;
    }
    jv msg = jv_invalid_get_msg(v);
    if (jv_get_kind(msg) == JV_KIND_STRING)
        (void)err_set(e, ERR_BAD_INPUT, "jq: %.400s", jv_string_value(msg));
    else
        (void)err_set(e, ERR_BAD_INPUT, "jq: error with %s", expr_describe(msg, text));
    jv_free(msg);
    return -1;
}

/* Runs it on `input`, which it takes; `ret` is the one value that it yielded. */
static int program_run(struct program *p, jv input, jv *ret, struct err *e)
{
    char a[EXPR_SHOWN], b[EXPR_SHOWN];
    jq_start(p->jq, input, 0);
    jv value = jq_next(p->jq);
    if (!jv_is_valid(value)) {
        if (explain_end(p->jq, value, e))
            return -1;
        return err_set(e, ERR_BAD_INPUT, "the expression yields nothing: it must yield one value");
    }
    jv more = jq_next(p->jq);
    if (jv_is_valid(more)) {
        (void)err_set(e, ERR_BAD_INPUT, "the expression yields more than one value: %s, then %s",
                      expr_describe(value, a), expr_describe(more, b));
        jv_free(more);
    } else if (explain_end(p->jq, more, e) == 0) {
        *ret = value;
        return 0;
    }
    jv_free(value);
    return -1;
}

/* ---- the cache ---- */

static struct program make_key(enum expr_kind kind, const char *text)
{
    uint64_t h = 14695981039346656037u ^ (uint64_t)kind; /* FNV-1a */
    for (const char *p = text; *p; p++)
        h = (h ^ (unsigned char)*p) * 1099511628211u;
    return (struct program){.kind = kind, .hash = h, .text = (char *)text};
}

static bool is_same(const struct program *a, const struct program *b)
{
    return a->hash == b->hash && a->kind == b->kind && strcmp(a->text, b->text) == 0;
}

/* An idle program of that text, or a new one: the caller's until program_release. */
static int program_acquire(struct expr_cache *c, enum expr_kind kind, const char *text, struct program **ret,
                           struct err *e)
{
    const struct program key = make_key(kind, text);
    (void)pthread_mutex_lock(&c->mutex);
    struct program **at = &c->buckets[key.hash % BUCKETS];
    while (*at && !is_same(*at, &key))
        at = &(*at)->next;
    struct program *p = *at;
    if (p) {
        *at = p->next;
        c->n_idle--;
    }
    (void)pthread_mutex_unlock(&c->mutex);
    if (!p) {
        if (program_compile(&key, &p, e))
            return -1;
        (void)pthread_mutex_lock(&c->mutex);
        c->n_compiled++;
        (void)pthread_mutex_unlock(&c->mutex);
    }
    *ret = p;
    return 0;
}

static void program_release(struct expr_cache *c, struct program *p)
{
    size_t n = 0;
    bool is_kept = !jq_halted(p->jq); /* jq 1.6 would free halt_error's message at each start from now on */
    if (is_kept)
        jq_start(p->jq, jv_null(), 0); /* lets go of the last input */
    (void)pthread_mutex_lock(&c->mutex);
    struct program **bucket = &c->buckets[p->hash % BUCKETS];
    for (struct program *other = *bucket; other; other = other->next)
        n += is_same(other, p);
    is_kept = is_kept && n < EXPR_IDLE_MAX;
    if (is_kept) {
        p->next = *bucket;
        *bucket = p;
        c->n_idle++;
    }
    (void)pthread_mutex_unlock(&c->mutex);
    if (!is_kept)
        program_free(p);
}

static int check(struct expr_cache *c, enum expr_kind kind, const char *text, struct err *e)
{
    struct program *p;
    if (program_acquire(c, kind, text, &p, e))
        return -1;
    program_release(c, p);
    return 0;
}

/* The regular expressions behind `test` set themselves up at their first use, and not in a way that two
 * threads survive for certain: here there is only one yet. */
static void warm_up_regex(void)
{
    const struct program key = make_key(OVER_RECORD, "test(\"\")");
    struct program *p;
    jv v;
    if (program_compile(&key, &p, NULL))
        return;
    if (program_run(p, jv_string(""), &v, NULL) == 0)
        jv_free(v);
    program_free(p);
}

struct expr_cache *expr_cache_new(void)
{
    struct expr_cache *c = xcalloc(1, sizeof *c);
    (void)pthread_mutex_init(&c->mutex, NULL);
    warm_up_regex();
    return c;
}

void expr_cache_free(struct expr_cache *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct program *p = c->buckets[i], *next; p; p = next) {
            next = p->next;
            program_free(p);
        }
    }
    (void)pthread_mutex_destroy(&c->mutex);
    free(c);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void expr_cache_keep(struct expr_cache *c, const char *const *texts, size_t n)
{
    struct program *unused = NULL;
    cleanup_free const char **sorted = xcalloc(n, sizeof *sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = texts[i];
    qsort(sorted, n, sizeof *sorted, by_text);
    (void)pthread_mutex_lock(&c->mutex);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct program **at = &c->buckets[i], *p; (p = *at);) {
            const char *text = p->text;
            if (bsearch(&text, sorted, n, sizeof *sorted, by_text)) {
                at = &p->next;
                continue;
            }
            *at = p->next;
            p->next = unused;
            unused = p;
            c->n_idle--;
        }
    }
    (void)pthread_mutex_unlock(&c->mutex);
    for (struct program *next; unused; unused = next) {
        next = unused->next;
        program_free(unused);
    }
}

void expr_cache_count(struct expr_cache *c, size_t *ret_idle, uint64_t *ret_compiled)
{
    (void)pthread_mutex_lock(&c->mutex);
    *ret_idle = c->n_idle;
    *ret_compiled = c->n_compiled;
    (void)pthread_mutex_unlock(&c->mutex);
}

int expr_check(struct expr_cache *c, const char *program, struct err *e)
{
    return check(c, OVER_CTX, program, e);
}

int expr_check_project(struct expr_cache *c, const char *program, struct err *e)
{
    return check(c, OVER_RECORD, program, e);
}

int expr_evaluate(struct expr_cache *c, enum expr_kind kind, const char *text, jv input, jv *ret,
                  struct err *e)
{
    struct program *p;
    if (program_acquire(c, kind, text, &p, e)) {
        jv_free(input);
        return -1;
    }
    int rc = program_run(p, input, ret, e);
    program_release(c, p);
    return rc;
}
