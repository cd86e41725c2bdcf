#include "config_diff.h"

#include <stdio.h>
#include <string.h>

#include "config_options.h"

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

/* The field of `o` in two structs of its group. */
static bool same_field(const struct config_option *o, const void *a, const void *b)
{
    const char *x = (const char *)a + o->offset, *y = (const char *)b + o->offset;
    switch (o->type) {
    case OPT_STRING:
    case OPT_CHOICE:
        return same_text(*(char *const *)x, *(char *const *)y);
    case OPT_INT:
    case OPT_ENUM:
        return *(const int *)x == *(const int *)y;
    case OPT_INT64:
        return *(const int64_t *)x == *(const int64_t *)y;
    case OPT_SECONDS:
        return *(const double *)x == *(const double *)y;
    case OPT_BOOL:
        return *(const bool *)x == *(const bool *)y;
    default:
        return true; /* no field: compared by name */
    }
}

/* The first option of `group` in which `a` and `b` differ, or NULL. */
static const struct config_option *first_difference(enum config_group group, const void *a, const void *b)
{
    size_t n;
    const struct config_option *all = config_options(&n);
    for (size_t i = 0; i < n; i++)
        if (all[i].group == group && all[i].offset != OPT_NO_FIELD && !same_field(&all[i], a, b))
            return &all[i];
    return NULL;
}

static bool same_properties(const struct kafka_properties *a, const struct kafka_properties *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same =
            same_text(a->items[i].name, b->items[i].name) && same_text(a->items[i].value, b->items[i].value);
    return same;
}

const char *config_fixed_difference(const struct config *a, const struct config *b, char *ret, size_t size)
{
    const struct {
        enum config_group group;
        const void *a, *b;
    } groups[] = {{GROUP_ARGILLA, &a->argilla, &b->argilla},
                  {GROUP_BRIDGE, &a->bridge, &b->bridge},
                  {GROUP_ADMIN, &a->admin, &b->admin},
                  {GROUP_LOG, &a->log, &b->log}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        const struct config_option *o = first_difference(groups[i].group, groups[i].a, groups[i].b);
        if (o) {
            (void)snprintf(ret, size, "%s.%s", config_group_name(o->group), o->name);
            return ret;
        }
    }
    return !same_text(a->argilla.api_key, b->argilla.api_key)         ? "argilla's API key"
           : !same_text(a->admin.token, b->admin.token)               ? "the admin interface's token"
           : !same_properties(&a->kafka.common, &b->kafka.common)     ? "kafka"
           : !same_properties(&a->kafka.producer, &b->kafka.producer) ? "kafka.producer"
           : !same_properties(&a->kafka.consumer, &b->kafka.consumer) ? "kafka.consumer"
                                                                      : NULL;
}

static bool same_param(const struct query_param *a, const struct query_param *b)
{
    return a->type == b->type && same_text(a->name, b->name) && a->i == b->i && a->f == b->f &&
           same_text(a->s, b->s);
}

bool listener_config_same(const struct listener_config *a, const struct listener_config *b)
{
    bool same = a->n_metrics == b->n_metrics && a->n_query_params == b->n_query_params &&
                !first_difference(GROUP_LISTENERS, a, b);
    for (size_t i = 0; same && i < a->n_metrics; i++)
        same = same_text(a->metrics[i], b->metrics[i]);
    for (size_t i = 0; same && i < a->n_query_params; i++)
        same = same_param(&a->query_params[i], &b->query_params[i]);
    return same;
}
