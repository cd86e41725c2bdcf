/* The one table of what may stand in a config file. It drives reading (config_read.c), the hints for unknown
 * names and the reference in docs/configuration.md, so that none can drift from the others. librdkafka's
 * properties (group `kafka`) are librdkafka's to know: config_kafka.c. The table is constant; any thread. */
#ifndef AB_APP_CONFIG_OPTIONS_H
#define AB_APP_CONFIG_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum config_group {
    GROUP_ARGILLA,
    GROUP_KAFKA,
    GROUP_BRIDGE,
    GROUP_LISTENERS,
    GROUP_ADMIN,
    GROUP_LOG,
    GROUP_COUNT
};

enum config_type {
    OPT_STRING,  /* char * */
    OPT_INT,     /* int */
    OPT_INT64,   /* int64_t */
    OPT_SECONDS, /* double; an integer or a float in the file */
    OPT_BOOL,    /* bool */
    OPT_ENUM,    /* int: the place in `choices` */
    OPT_CHOICE,  /* char *: one of `choices` */
    OPT_STRINGS, /* an array of strings: read by the group's own code */
    OPT_PARAMS   /* a group of scalars: read by the group's own code */
};

/* What a string must be, beyond not empty and UTF-8. */
enum config_rule {
    RULE_TEXT,
    RULE_URL,
    RULE_NAME,
    RULE_GROUP_ID,
    RULE_TOPIC,
    RULE_JQ,
    RULE_ADDRESS,
    RULE_COUNT
};

#define OPT_NO_FIELD ((size_t)-1)

struct config_option {
    enum config_group group;
    enum config_type type;
    const char *name;
    size_t offset;             /* of the field in the group's struct, or OPT_NO_FIELD: its own code sets it */
    const char *initial;       /* the default as one would write it (strings bare); NULL: none */
    const char *initial_words; /* what the reference says instead, when the default follows from others */
    double min, max;           /* of numbers */
    double also;               /* one more number that is allowed, when it isn't 0 */
    const char *const *choices; /* ends in NULL */
    const char *alias_of;       /* the other name of the same option */
    const char *text;           /* one line for the reference, Markdown */
    enum config_rule rule;
    bool is_required;
};

const struct config_option *config_options(size_t *ret_n);
const char *config_group_name(enum config_group group);
const struct config_option *config_option_find(enum config_group group, const char *name);

/* A hint for a name that isn't in `group`: "did you mean `x`?", or that it belongs elsewhere; "" when nothing
 * is near. At most `size` bytes to `ret`. */
void config_option_hint(enum config_group group, const char *name, char *ret, size_t size);

/* What values the option takes, in words: "1..1000", "`a` or `b`"; "" when its type says it all. */
void config_option_range(const struct config_option *o, char *ret, size_t size);

/* The reference in Markdown: a table for each group, and the properties of librdkafka that the bridge owns.
 */
void config_reference_print(FILE *out);

#endif
