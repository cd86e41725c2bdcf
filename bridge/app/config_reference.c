#include <string.h>

#include "buf.h"
#include "config_kafka.h"
#include "config_options.h"

/* What a rule asks for; shown as the range of the option and as the hint of a value that breaks it. */
static const char *const rule_words[RULE_COUNT] = {
    [RULE_TEXT] = "",
    [RULE_URL] = "`http://host` or `https://host`, with a port and a path if need be",
    [RULE_NAME] = "1..200 of letters, digits, `_` and `-`",
    [RULE_GROUP_ID] = "1..200 of letters, digits, `.`, `_` and `-`",
    [RULE_TOPIC] = "a topic name: 1..249 of letters, digits, `.`, `_` and `-`",
    [RULE_JQ] = "a jq program",
    [RULE_ADDRESS] = "`address:port`, the address as numbers, IPv6 in brackets",
};

static const char *const type_words[] = {[OPT_STRING] = "string",          [OPT_INT] = "integer",
                                         [OPT_INT64] = "integer",          [OPT_SECONDS] = "integer or float",
                                         [OPT_BOOL] = "boolean",           [OPT_ENUM] = "string",
                                         [OPT_CHOICE] = "string",          [OPT_STRINGS] = "array of strings",
                                         [OPT_PARAMS] = "group of scalars"};

void config_option_range(const struct config_option *o, char *ret, size_t size)
{
    struct buf text = buf_make(size);
    if (o->choices) {
        for (size_t i = 0; o->choices[i]; i++)
            buf_addf(&text, "%s`%s`", i == 0 ? "" : o->choices[i + 1] ? ", " : " or ", o->choices[i]);
    } else if (o->max != 0) {
        buf_addf(&text, "%.15g..%.15g", o->min, o->max);
        if (o->also != 0)
            buf_addf(&text, " or %.15g", o->also);
    } else {
        buf_addstr(&text, rule_words[o->rule]);
    }
    (void)snprintf(ret, size, "%s", buf_str(&text));
    buf_release(&text);
}

static bool is_text_type(enum config_type type)
{
    return type == OPT_STRING || type == OPT_ENUM || type == OPT_CHOICE;
}

static void print_row(FILE *out, const struct config_option *o)
{
    char range[256];
    config_option_range(o, range, sizeof range);
    (void)fprintf(out, "| `%s` | %s | ", o->name, type_words[o->type]);
    if (o->initial_words)
        (void)fputs(o->initial_words, out);
    else if (o->initial)
        (void)fprintf(out, is_text_type(o->type) ? "`\"%s\"`" : "`%s`", o->initial);
    else if (o->is_required)
        (void)fputs("required", out);
    (void)fprintf(out, " | %s | %s |\n", range, o->text);
}

static void print_table(FILE *out, enum config_group group)
{
    size_t n;
    const struct config_option *all = config_options(&n);
    (void)fputs("| name | type | default | values | what it does |\n|---|---|---|---|---|\n", out);
    for (size_t i = 0; i < n; i++)
        if (all[i].group == group)
            print_row(out, &all[i]);
}

static void print_kafka(FILE *out)
{
    size_t n;
    const struct config_kafka_owned *owned = config_kafka_owned(&n);
    (void)fputs("Any property of librdkafka, its dots written as underscores; in the groups `producer` and\n"
                "`consumer` inside, for those only. `bootstrap_servers` is required. The bridge keeps these\n"
                "for itself:\n\n| property | why |\n|---|---|\n",
                out);
    for (size_t i = 0; i < n; i++)
        (void)fprintf(out, "| `%s` | %s |\n", owned[i].name, owned[i].why);
}

void config_reference_print(FILE *out)
{
    for (int g = 0; g < GROUP_COUNT; g++) {
        (void)fprintf(out, "%s### %s\n\n", g ? "\n" : "", config_group_name((enum config_group)g));
        if (g == GROUP_KAFKA)
            print_kafka(out);
        else
            print_table(out, (enum config_group)g);
    }
}
