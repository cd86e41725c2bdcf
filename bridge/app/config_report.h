/* What reading a config file found: errors and warnings, each with its place and, where there is one, a hint.
 * The caller's storage: start with {0}, end with config_report_release. One thread at a time. The texts never
 * hold a secret. */
#ifndef AB_APP_CONFIG_REPORT_H
#define AB_APP_CONFIG_REPORT_H

#include <stddef.h>
#include <stdio.h>

enum config_severity { CONFIG_ERROR, CONFIG_WARNING };

struct config_message {
    enum config_severity severity;
    char *file;
    unsigned line; /* 0: the file as a whole */
    unsigned rank; /* the order in which the files were opened: 0 is the one that was named */
    size_t seq;    /* the order in which it was found */
    char *text;    /* what is wrong: one line */
    char *hint;    /* what would be right: one line, or NULL */
};

/* Beyond this many a file is no config file any more; the rest is counted in `n_left_out`. */
enum { CONFIG_MESSAGES_MAX = 1000 };

struct config_report {
    struct config_message *items;
    size_t n, n_errors, n_left_out;
};

void config_report_release(struct config_report *r);

/* Adds a message. `file` is copied. Control characters in what is formatted become spaces. */
void config_report_add(struct config_report *r, enum config_severity severity, const char *file,
                       unsigned rank, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));

/* Gives the last added message its hint. */
void config_report_hint(struct config_report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* In the order of files and lines, so that they are met as one reads. */
void config_report_sort(struct config_report *r);

/* "file:line: error: text" or "file:line: warning: text", each followed by "  hint: text" if it has one. */
void config_report_print(const struct config_report *r, FILE *out);

#endif
