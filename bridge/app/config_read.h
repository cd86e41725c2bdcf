/* Inside the config reader: the state of one config_load and what its parts share. Not for others: what the
 * rest may call stands in config_file.h. One thread. */
#ifndef AB_APP_CONFIG_READ_H
#define AB_APP_CONFIG_READ_H

#include <libconfig.h>

#include "config.h"
#include "config_options.h"
#include "config_report.h"
#include "config_source.h"
#include "expr.h"

struct cfg {
    struct cfg_source source;
    struct config_report *report;
    struct config *config;
    struct expr_cache *exprs;             /* NULL: expressions are not compiled */
    const config_setting_t **listener_at; /* for each listener of `config`, its group in the file */
};

/* Adds a message at `at` (NULL: something that is nowhere in the file); a hint may follow. */
void cfg_error(struct cfg *c, const config_setting_t *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void cfg_warning(struct cfg *c, const config_setting_t *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void cfg_hint(struct cfg *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* "line 7", or "parts/a.inc:7" when `seen` is in another file than `from`; returns `ret`. */
const char *cfg_line_of(struct cfg *c, const config_setting_t *seen, const config_setting_t *from, char *ret,
                        size_t size);

/* "an integer", "a string": what stands in the file. */
const char *cfg_type_words(const config_setting_t *s);

/* The string of `s`, the tree's; NULL (reported) when it is no string, empty or not UTF-8. */
const char *cfg_get_string(struct cfg *c, const config_setting_t *s);

/* A member of `group` (may be NULL), or NULL. Where the member would be, for messages: itself or its group.
 */
const config_setting_t *cfg_member(const config_setting_t *group, const char *name);
const config_setting_t *cfg_member_or_group(const config_setting_t *group, const char *name);

/* Fills the fields of `target`, the struct of `group`, with their defaults and then with what stands in
 * `setting` (NULL: the group is absent), reporting unknown names, wrong types and values, and missing ones.
 * Fields without default stay as they were; strings are the target's to free. */
void cfg_read_group(struct cfg *c, enum config_group group, const config_setting_t *setting, void *target);

/* Reports what jq says of a program that doesn't compile. */
void cfg_check_jq(struct cfg *c, const config_setting_t *at, const char *name, const char *program);

/* The groups. `setting` is NULL when the group is absent. */
void cfg_read_argilla(struct cfg *c, const config_setting_t *setting);
void cfg_read_kafka(struct cfg *c, const config_setting_t *setting);
void cfg_read_bridge(struct cfg *c, const config_setting_t *setting);
void cfg_read_listeners(struct cfg *c, const config_setting_t *setting);
void cfg_read_admin(struct cfg *c, const config_setting_t *setting);

/* The secret in the file that `s` names, on the heap; NULL: reported, in words that hold neither the secret
 * nor the name (somebody may have put the one in the place of the other). `what` is it in messages: "the API
 * key". A line break at its end is cut; others and control characters are refused. A file that every user can
 * read is warned about. */
char *cfg_read_secret(struct cfg *c, const config_setting_t *s, const char *what);

/* One listener, into `l`, which is empty. */
void cfg_read_listener(struct cfg *c, const config_setting_t *setting, struct listener_config *l);
/* The listener's query and query_params against each other. */
void cfg_check_query(struct cfg *c, const config_setting_t *setting, struct listener_config *l);

/* What the listeners' topics would do to each other and to the state topic. */
void cfg_check_topics(struct cfg *c);

#endif
