#include "status_table.h"

#include <inttypes.h>
#include <time.h>

#include "buf.h"
#include "json_scan.h"

enum { TEXT_MAX = 64 << 10, COLUMNS = 8 };

void status_table_clean(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            *s = '?';
}

static struct slice get(struct slice object, const char *name)
{
    struct slice v = {0};
    (void)json_get(object, name, &v);
    return v;
}

static bool is_null(struct slice v)
{
    return !v.p || slice_eq(v, "null");
}

/* A string decoded and cleaned, other values as JSON, "-" for null. The caller frees. */
static char *text(struct slice v)
{
    struct buf b = buf_make(TEXT_MAX);
    if (is_null(v))
        buf_addch(&b, '-');
    else if (json_type_of(v) == JSON_STRING)
        (void)json_decode_string(v, &b);
    else
        buf_addslice(&b, v);
    char *s = buf_take(&b);
    status_table_clean(s);
    return s;
}

/* Milliseconds of the RFC 3339 time that the service writes; -1: none. */
static int64_t time_ms(struct slice v)
{
    struct tm tm = {0};
    int ms = 0;
    cleanup_free char *s = text(v);
    if (sscanf(s, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour,
               &tm.tm_min, &tm.tm_sec, &ms) != 7)
        return -1;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return (int64_t)timegm(&tm) * 1000 + ms;
}

/* "12 s", "5 min": `at` from `from`. */
static char *distance(struct slice from, struct slice at, const char *before, const char *after)
{
    int64_t a = time_ms(from), b = time_ms(at);
    if (a < 0 || b < 0)
        return xstrdup("-");
    int64_t s = ((b > a ? b - a : a - b) + 500) / 1000;
    if (s < 90)
        return xasprintf("%s%" PRId64 " s%s", before, s, after);
    if (s < 5400)
        return xasprintf("%s%" PRId64 " min%s", before, (s + 30) / 60, after);
    return xasprintf("%s%" PRId64 " h%s", before, (s + 1800) / 3600, after);
}

/* Letters, not bytes. */
static size_t width(const char *s)
{
    size_t n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void pad(FILE *out, const char *s, size_t to, bool to_right)
{
    int spaces = (int)(to > width(s) ? to - width(s) : 0);
    if (to_right)
        fprintf(out, "%*s%s  ", spaces, "", s);
    else
        fprintf(out, "%s%*s  ", s, spaces, "");
}

struct line {
    char *cells[COLUMNS];
    char *error; /* or NULL */
};

static struct line line_of(struct slice doc, struct slice l)
{
    struct slice now = get(doc, "now"), error = get(l, "error");
    struct line line = {
        .cells = {text(get(l, "name")), text(get(l, "state")), distance(now, get(l, "last_poll"), "", " ago"),
                  distance(now, get(l, "next_poll"), "in ", ""), text(get(l, "total")),
                  is_null(get(l, "condition")) ? xstrdup("always") : text(get(l, "condition_value")),
                  text(get(l, "run")), text(get(get(l, "counters"), "published"))}};
    if (!is_null(error))
        line.error = text(get(error, "text"));
    return line;
}

static void line_release(struct line *line)
{
    for (int i = 0; i < COLUMNS; i++)
        free(line->cells[i]);
    free(line->error);
}

static void print_line(const struct line *line, const size_t widths[COLUMNS], FILE *out)
{
    for (int i = 0; i < COLUMNS - 1; i++)
        pad(out, line->cells[i], widths[i], i == 4 || i == 6);
    fprintf(out, "%*s\n", (int)widths[COLUMNS - 1], line->cells[COLUMNS - 1]);
    if (line->error)
        fprintf(out, "    %s\n", line->error);
}

static void print_head(struct slice doc, FILE *out)
{
    struct slice partitions = get(doc, "partitions");
    cleanup_free char *instance = text(get(doc, "instance")), *version = text(get(doc, "version")),
                      *group = text(get(doc, "group_id")),
                      *reload = text(get(get(doc, "config"), "reload_error")),
                      *owned = text(get(partitions, "owned")), *of = text(get(partitions, "of"));
    fprintf(out, "instance %s of group %s, version %s: %s of %s partitions, argilla %s, kafka %s\n", instance,
            group, version, owned, of, slice_eq(get(get(doc, "argilla"), "up"), "true") ? "up" : "down",
            slice_eq(get(get(doc, "kafka"), "up"), "true") ? "up" : "down");
    if (strcmp(reload, "-") != 0)
        fprintf(out, "the configuration was not reloaded: %s\n", reload);
}

void status_table_print(struct slice doc, FILE *out)
{
    static char *const titles[COLUMNS] = {"LISTENER", "STATE",     "LAST POLL", "NEXT POLL",
                                          "MATCHES",  "CONDITION", "RUN",       "PUBLISHED"};
    struct json_iter it = json_iter(get(doc, "listeners"));
    struct slice l;
    struct line head = {0}, *lines = NULL;
    size_t n = 0, cap = 0, widths[COLUMNS];
    for (int i = 0; i < COLUMNS; i++) {
        head.cells[i] = titles[i];
        widths[i] = width(titles[i]);
    }
    while (json_next(&it, NULL, &l)) {
        if (n == cap) {
            cap = cap ? cap * 2 : 16;
            lines = xrealloc(lines, cap * sizeof *lines);
        }
        lines[n] = line_of(doc, l);
        for (int i = 0; i < COLUMNS; i++)
            if (width(lines[n].cells[i]) > widths[i])
                widths[i] = width(lines[n].cells[i]);
        n++;
    }
    print_head(doc, out);
    print_line(&head, widths, out);
    for (size_t i = 0; i < n; i++) {
        print_line(&lines[i], widths, out);
        line_release(&lines[i]);
    }
    free(lines);
}

bool status_table_find(struct slice doc, const char *name, struct slice *ret)
{
    struct json_iter it = json_iter(get(doc, "listeners"));
    struct slice l;
    while (json_next(&it, NULL, &l)) {
        cleanup_free char *its = text(get(l, "name"));
        if (strcmp(its, name) != 0)
            continue;
        *ret = l;
        return true;
    }
    return false;
}

void status_table_print_one(struct slice doc, struct slice l, FILE *out)
{
    struct json_iter it = json_iter(l);
    struct slice key, value, now = get(doc, "now");
    while (json_next(&it, &key, &value)) {
        cleanup_free char *k = text(key), *v = text(value);
        bool is_time = strcmp(k, "last_poll") == 0 || strcmp(k, "next_poll") == 0;
        cleanup_free char *away = is_time ? distance(now, value, "", "") : NULL;
        if (is_time && !is_null(value))
            fprintf(out, "%-16s %s (%s)\n", k, v, away);
        else
            fprintf(out, "%-16s %s\n", k, v);
    }
}
