/* The text of a config file and what libconfig makes of it, with what libconfig 1.5 does silently made loud.
 * Internal to the config reader: libconfig's header stops at app/config_*. One thread at a time.
 *
 * Integers: libconfig wraps 3000000000 to a negative number and saturates what is too large for its `L`
 * without a word, and the setting shows neither. So the text is looked through a second time, for integer
 * literals beyond their type: that needs a lexer of comments, strings, names and numbers, but no grammar, and
 * finds those that no option would look at. */
#ifndef AB_APP_CONFIG_SOURCE_H
#define AB_APP_CONFIG_SOURCE_H

#include <libconfig.h>

#include "buf.h"
#include "config_report.h"

/* Of each file; a thousand listeners need half a MiB. */
enum { CONFIG_FILE_MAX = 4 * 1024 * 1024 };

/* An integer that doesn't fit, and what libconfig read instead. */
struct cfg_literal {
    const char *file; /* as config_setting_t has it: NULL is the file that was named */
    unsigned line;
    long long read_as;
};

struct cfg_source {
    const char *path;
    char *dir; /* its folder: what @include and the files named in it are relative to */
    config_t tree;
    struct cfg_literal *literals;
    size_t n_literals;
    struct config_report *report;
};

/* Reads and parses `path` (kept, not copied). Adds every error to `report`. 0 when there is a tree, even if
 * literals are wrong; -1 when there is none. Release it in either case. */
int cfg_source_read(struct cfg_source *s, const char *path, struct config_report *report);
/* Wipes the strings of the tree first: they may be secrets. */
void cfg_source_release(struct cfg_source *s);

/* `file`, as a setting or libconfig's error names it, as a path for people; the caller frees. */
char *cfg_source_path(const struct cfg_source *s, const char *file);
/* The same for a name found in a value: relative to the config file's folder. */
char *cfg_source_resolve(const struct cfg_source *s, const char *name);
unsigned cfg_source_rank(const struct cfg_source *s, const char *file);

/* Is the value of `setting` one of the integers that were already reported? */
bool cfg_source_is_wrong_literal(const struct cfg_source *s, const config_setting_t *setting);

/* config_literals.c: looks through `text` of `file` for integers beyond their type and for a comment that
 * never ends. */
void cfg_literals_scan(struct cfg_source *s, const char *file, const char *text, size_t len);

/* config_syntax.c: a hint for a syntax error at `line` of `text`, if the usual causes show; "" else. Repeats
 * names only, never values. */
void cfg_syntax_hint(const char *text, unsigned line, const char *error, char *ret, size_t size);

/* The names of properties and options whose value is a secret ("sasl_password", "api_key"). */
bool cfg_is_secret_name(const char *name);

#endif
