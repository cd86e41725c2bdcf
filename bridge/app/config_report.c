#include "config_report.h"

#include <stdarg.h>
#include <stdbool.h>

#include "buf.h"

enum { TEXT_MAX = 2048 };

void config_report_release(struct config_report *r)
{
    for (size_t i = 0; i < r->n; i++) {
        free(r->items[i].file);
        free(r->items[i].text);
        free(r->items[i].hint);
    }
    free(r->items);
    *r = (struct config_report){0};
}

/* One line of text: what jq and librdkafka say may hold newlines, a config's strings anything. */
static char *one_line(const char *fmt, va_list ap)
{
    char text[TEXT_MAX];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    for (char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = ' ';
    size_t len = strlen(text);
    while (len > 0 && text[len - 1] == ' ')
        text[--len] = '\0';
    return xstrdup(text);
}

void config_report_add(struct config_report *r, enum config_severity severity, const char *file,
                       unsigned rank, unsigned line, const char *fmt, ...)
{
    if (severity == CONFIG_ERROR)
        r->n_errors++;
    if (r->n == CONFIG_MESSAGES_MAX) {
        r->n_left_out++;
        return;
    }
    va_list ap;
    va_start(ap, fmt);
    r->items = xrealloc(r->items, (r->n + 1) * sizeof *r->items);
    r->items[r->n] = (struct config_message){.severity = severity,
                                             .file = xstrdup(file),
                                             .line = line,
                                             .rank = rank,
                                             .seq = r->n,
                                             .text = one_line(fmt, ap)};
    r->n++;
    va_end(ap);
}

void config_report_hint(struct config_report *r, const char *fmt, ...)
{
    if (r->n == 0 || r->n_left_out)
        return;
    va_list ap;
    va_start(ap, fmt);
    free(r->items[r->n - 1].hint);
    r->items[r->n - 1].hint = one_line(fmt, ap);
    va_end(ap);
}

static int by_place(const void *a, const void *b)
{
    const struct config_message *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    return x->seq < y->seq ? -1 : 1;
}

void config_report_sort(struct config_report *r)
{
    if (r->n > 1)
        qsort(r->items, r->n, sizeof *r->items, by_place);
}

void config_report_print(const struct config_report *r, FILE *out)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct config_message *m = &r->items[i];
        const char *severity = m->severity == CONFIG_ERROR ? "error" : "warning";
        if (m->line)
            (void)fprintf(out, "%s:%u: %s: %s\n", m->file, m->line, severity, m->text);
        else
            (void)fprintf(out, "%s: %s: %s\n", m->file, severity, m->text);
        if (m->hint)
            (void)fprintf(out, "  hint: %s\n", m->hint);
    }
    if (r->n_left_out)
        (void)fprintf(out, "and %zu more\n", r->n_left_out);
}
