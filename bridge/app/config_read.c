#include "config_read.h"

#include <math.h>
#include <stdarg.h>

#include "config_text.h"

static void add(struct cfg *c, enum config_severity severity, const config_setting_t *at, const char *fmt,
                va_list ap)
{
    const char *file = at ? config_setting_source_file(at) : NULL;
    cleanup_free char *path = cfg_source_path(&c->source, file);
    char text[1024];
    (void)vsnprintf(text, sizeof text, fmt, ap);
    config_report_add(c->report, severity, path, cfg_source_rank(&c->source, file),
                      at ? config_setting_source_line(at) : 1, "%s", text);
}

void cfg_error(struct cfg *c, const config_setting_t *at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(c, CONFIG_ERROR, at, fmt, ap);
    va_end(ap);
}

void cfg_warning(struct cfg *c, const config_setting_t *at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(c, CONFIG_WARNING, at, fmt, ap);
    va_end(ap);
}

void cfg_hint(struct cfg *c, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    config_report_hint(c->report, "%s", text);
}

const char *cfg_line_of(struct cfg *c, const config_setting_t *seen, const config_setting_t *from, char *ret,
                        size_t size)
{
    const char *file = config_setting_source_file(seen);
    cleanup_free char *path = cfg_source_path(&c->source, file);
    if (file == config_setting_source_file(from))
        (void)snprintf(ret, size, "line %u", config_setting_source_line(seen));
    else
        (void)snprintf(ret, size, "%s:%u", path, config_setting_source_line(seen));
    return ret;
}

const char *cfg_type_words(const config_setting_t *s)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        return "an integer";
    case CONFIG_TYPE_FLOAT:
        return "a float";
    case CONFIG_TYPE_STRING:
        return "a string";
    case CONFIG_TYPE_BOOL:
        return "a boolean";
    case CONFIG_TYPE_ARRAY:
        return "an array [ ]";
    case CONFIG_TYPE_LIST:
        return "a list ( )";
    default:
        return "a group { }";
    }
}

const config_setting_t *cfg_member(const config_setting_t *group, const char *name)
{
    return group ? config_setting_get_member(group, name) : NULL;
}

const config_setting_t *cfg_member_or_group(const config_setting_t *group, const char *name)
{
    const config_setting_t *member = cfg_member(group, name);
    return member ? member : group;
}

const char *cfg_get_string(struct cfg *c, const config_setting_t *s)
{
    const char *name = config_setting_name(s);
    const char *text = config_setting_get_string(s);
    if (!name) /* an element of an array */
        name = config_setting_name(config_setting_parent(s));
    if (config_setting_type(s) != CONFIG_TYPE_STRING) {
        cfg_error(c, s, "%s takes a string, not %s", name, cfg_type_words(s));
        if (config_setting_is_scalar(s))
            cfg_hint(c, "put it in double quotes");
        return NULL;
    }
    if (!text || !text[0]) {
        cfg_error(c, s, "%s is empty", name);
        return NULL;
    }
    if (!text_is_utf8(text, strlen(text))) {
        cfg_error(c, s, "%s is not UTF-8 text", name);
        return NULL;
    }
    return text;
}

void cfg_check_jq(struct cfg *c, const config_setting_t *at, const char *name, const char *program)
{
    struct err e = {0};
    bool is_project = strcmp(name, "project") == 0; /* its input is a record: it has other names */
    if (c->exprs && (is_project ? expr_check_project : expr_check)(c->exprs, program, &e))
        cfg_error(c, at, "%s: %s", name, e.msg);
}

/* True when the string may be what its rule says; else it was reported. */
static bool obeys_rule(struct cfg *c, const config_setting_t *s, const struct config_option *o,
                       const char *text)
{
    const char *problem = NULL;
    char range[256];
    switch (o->rule) {
    case RULE_URL:
        problem = text_url_problem(text);
        break;
    case RULE_NAME:
        problem = text_is_word(text, "_-", 200) ? NULL : "this is not a name that can be used";
        break;
    case RULE_GROUP_ID:
        problem = text_is_word(text, "._-", 200) ? NULL : "this is not an id that can be used";
        break;
    case RULE_TOPIC:
        problem = text_is_topic(text) ? NULL : "Kafka doesn't take this name for a topic";
        break;
    case RULE_ADDRESS:
        problem = text_address_problem(text);
        break;
    case RULE_JQ:
        cfg_check_jq(c, s, o->name, text);
        return true;
    default:
        return true;
    }
    if (problem) {
        config_option_range(o, range, sizeof range);
        cfg_error(c, s, "%s: %s", o->name, problem);
        cfg_hint(c, "%s", range);
    }
    return !problem;
}

static void set_string(char **field, const char *text)
{
    free(*field);
    *field = xstrdup(text);
}

static void read_string(struct cfg *c, const config_setting_t *s, const struct config_option *o, void *field)
{
    const char *text = cfg_get_string(c, s);
    if (text && obeys_rule(c, s, o, text) && field)
        set_string(field, text);
}

/* The place of `text` among the option's choices, or -1. */
static int choice_of(const struct config_option *o, const char *text)
{
    for (int i = 0; o->choices[i]; i++)
        if (strcmp(o->choices[i], text) == 0)
            return i;
    return -1;
}

static void read_choice(struct cfg *c, const config_setting_t *s, const struct config_option *o, void *field)
{
    char range[256];
    const char *text = cfg_get_string(c, s);
    if (!text)
        return;
    int choice = choice_of(o, text);
    if (choice < 0)
        cfg_error(c, s, "%s doesn't know \"%s\"", o->name, text);
    else if (o->type == OPT_CHOICE)
        set_string(field, text);
    else
        *(int *)field = choice;
    if (choice < 0) {
        config_option_range(o, range, sizeof range);
        cfg_hint(c, "allowed: %s", range);
    }
}

static void wrong_type(struct cfg *c, const config_setting_t *s, const struct config_option *o,
                       const char *wanted)
{
    cfg_error(c, s, "%s takes %s, not %s", o->name, wanted, cfg_type_words(s));
    if (config_setting_type(s) == CONFIG_TYPE_STRING)
        cfg_hint(c, "write it without quotes");
}

static void read_number(struct cfg *c, const config_setting_t *s, const struct config_option *o, void *field)
{
    int type = config_setting_type(s);
    char range[256];
    if (cfg_source_is_wrong_literal(&c->source, s))
        return;
    if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64 &&
        !(type == CONFIG_TYPE_FLOAT && o->type == OPT_SECONDS)) {
        wrong_type(c, s, o, o->type == OPT_SECONDS ? "an integer or a float" : "an integer");
        return;
    }
    long long integer = type == CONFIG_TYPE_INT ? config_setting_get_int(s) : config_setting_get_int64(s);
    double value = type == CONFIG_TYPE_FLOAT ? config_setting_get_float(s) : (double)integer;
    bool is_also = o->also != 0 && value == o->also;
    if (!is_also && (!isfinite(value) || value < o->min || value > o->max)) {
        config_option_range(o, range, sizeof range);
        if (type == CONFIG_TYPE_FLOAT)
            cfg_error(c, s, "%s: %.15g is out of range", o->name, value);
        else
            cfg_error(c, s, "%s: %lld is out of range", o->name, integer);
        cfg_hint(c, "allowed: %s", range);
    } else if (o->type == OPT_SECONDS) {
        *(double *)field = value;
    } else if (o->type == OPT_INT64) {
        *(int64_t *)field = integer;
    } else {
        *(int *)field = (int)integer;
    }
}

static void read_bool(struct cfg *c, const config_setting_t *s, const struct config_option *o, void *field)
{
    if (config_setting_type(s) != CONFIG_TYPE_BOOL) {
        wrong_type(c, s, o, "true or false");
        return;
    }
    *(bool *)field = config_setting_get_bool(s);
}

static void read_option(struct cfg *c, const config_setting_t *s, const struct config_option *o, void *target)
{
    void *field = o->offset == OPT_NO_FIELD ? NULL : (char *)target + o->offset;
    if (o->type == OPT_STRING)
        read_string(c, s, o, field); /* checked even if its group's own code sets the field */
    else if (!field)
        return; /* arrays and groups: read by the group's own code */
    else if (o->type == OPT_BOOL)
        read_bool(c, s, o, field);
    else if (o->choices)
        read_choice(c, s, o, field);
    else
        read_number(c, s, o, field);
}

static void set_initial(const struct config_option *o, void *target)
{
    void *field = (char *)target + o->offset;
    switch (o->type) {
    case OPT_INT:
        *(int *)field = (int)strtol(o->initial, NULL, 10);
        break;
    case OPT_INT64:
        *(int64_t *)field = strtoll(o->initial, NULL, 10);
        break;
    case OPT_SECONDS:
        *(double *)field = strtod(o->initial, NULL);
        break;
    case OPT_BOOL:
        *(bool *)field = strcmp(o->initial, "true") == 0;
        break;
    case OPT_ENUM:
        *(int *)field = choice_of(o, o->initial);
        break;
    default:
        set_string(field, o->initial);
    }
}

static void unknown_name(struct cfg *c, enum config_group group, const config_setting_t *s)
{
    char hint[128];
    config_option_hint(group, config_setting_name(s), hint, sizeof hint);
    cfg_error(c, s, "unknown name `%s` in %s", config_setting_name(s), config_group_name(group));
    if (hint[0])
        cfg_hint(c, "%s", hint);
}

static void read_members(struct cfg *c, enum config_group group, const config_setting_t *setting,
                         void *target)
{
    for (int i = 0; i < config_setting_length(setting); i++) {
        const config_setting_t *s = config_setting_get_elem(setting, (unsigned)i);
        const struct config_option *o = config_option_find(group, config_setting_name(s));
        if (!o) {
            unknown_name(c, group, s);
        } else if (o->alias_of && cfg_member(setting, o->alias_of)) {
            cfg_error(c, s, "%s and %s are the same thing", o->name, o->alias_of);
            cfg_hint(c, "leave one of them out");
        } else {
            read_option(c, s, o, target);
        }
    }
}

void cfg_read_group(struct cfg *c, enum config_group group, const config_setting_t *setting, void *target)
{
    size_t n;
    const struct config_option *all = config_options(&n);
    for (size_t i = 0; i < n; i++)
        if (all[i].group == group && all[i].initial && all[i].offset != OPT_NO_FIELD)
            set_initial(&all[i], target);
    if (setting)
        read_members(c, group, setting, target);
    for (size_t i = 0; i < n; i++)
        if (all[i].group == group && all[i].is_required && !cfg_member(setting, all[i].name))
            cfg_error(c, setting, "%s: %s is missing", config_group_name(group), all[i].name);
}
