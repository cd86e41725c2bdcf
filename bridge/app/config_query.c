/* A listener's query and query_params. */
#include <math.h>

#include "config_read.h"
#include "config_text.h"
#include "template.h"

/* jq 1.6 has doubles only: beyond this an integer would come back as another one. */
#define PARAM_INT_MAX (1LL << 53)

static bool is_param_name(const config_setting_t *s)
{
    return text_is_word(config_setting_name(s), "_", 100);
}

static bool param_value(struct cfg *c, const config_setting_t *s, struct query_param *p)
{
    const char *text;
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        p->type = PARAM_INT;
        p->i = config_setting_type(s) == CONFIG_TYPE_INT ? config_setting_get_int(s)
                                                         : config_setting_get_int64(s);
        if (cfg_source_is_wrong_literal(&c->source, s))
            return false;
        if (p->i <= PARAM_INT_MAX && p->i >= -PARAM_INT_MAX)
            return true;
        cfg_error(c, s, "query_params.%s: %lld is beyond 2^53, where jq's numbers end",
                  config_setting_name(s), (long long)p->i);
        cfg_hint(c, "write it as a string, in double quotes");
        return false;
    case CONFIG_TYPE_FLOAT:
        p->type = PARAM_FLOAT;
        p->f = config_setting_get_float(s);
        if (!isfinite(p->f))
            cfg_error(c, s, "query_params.%s is too large for a float", config_setting_name(s));
        return isfinite(p->f);
    case CONFIG_TYPE_BOOL:
        p->type = PARAM_BOOL;
        p->i = config_setting_get_bool(s);
        return true;
    case CONFIG_TYPE_STRING:
        p->type = PARAM_STRING;
        text = config_setting_get_string(s);
        if (text && !text_is_utf8(text, strlen(text))) {
            cfg_error(c, s, "query_params.%s is not UTF-8 text", config_setting_name(s));
            return false;
        }
        p->s = xstrdup(text ? text : "");
        return true;
    default:
        cfg_error(c, s, "query_params.%s takes an integer, a float, a string or a boolean, not %s",
                  config_setting_name(s), cfg_type_words(s));
        return false;
    }
}

static void read_params(struct cfg *c, const config_setting_t *group, struct listener_config *l)
{
    if (!config_setting_is_group(group)) {
        cfg_error(c, group, "query_params takes a group { }, not %s", cfg_type_words(group));
        cfg_hint(c, "query_params: { batch_id = 0; };");
        return;
    }
    l->query_params = xcalloc((size_t)config_setting_length(group) + 1, sizeof *l->query_params);
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *s = config_setting_get_elem(group, (unsigned)i);
        struct query_param p = {0};
        if (!is_param_name(s)) {
            cfg_error(c, s, "query_params: `%s` can't be a name in a query", config_setting_name(s));
            cfg_hint(c, "letters, digits and `_`");
        } else if (param_value(c, s, &p)) {
            p.name = xstrdup(config_setting_name(s));
            l->query_params[l->n_query_params++] = p;
        }
    }
}

/* The placeholders of a query, while they are looked at. */
struct names {
    struct cfg *c;
    const config_setting_t *query, *params;
    bool *is_used; /* for each member of `params` */
    char **missing;
    size_t n_missing;
};

static bool already_missing(const struct names *n, const char *name)
{
    for (size_t i = 0; i < n->n_missing; i++)
        if (strcmp(n->missing[i], name) == 0)
            return true;
    return false;
}

static int on_name(void *arg, struct slice name)
{
    struct names *n = arg;
    int n_params = n->params ? config_setting_length(n->params) : 0;
    cleanup_free char *text = xstrndup(name.p, name.len);
    struct near near = {.name = text};
    for (int i = 0; i < n_params; i++) {
        const char *param = config_setting_name(config_setting_get_elem(n->params, (unsigned)i));
        if (strcmp(param, text) == 0) {
            n->is_used[i] = true;
            return 0;
        }
        near_try(&near, param);
    }
    if (already_missing(n, text))
        return 0;
    cfg_error(n->c, n->query, "query: {%s} is not in query_params", text);
    if (near.best)
        cfg_hint(n->c, "did you mean {%s}?", near.best);
    else
        cfg_hint(n->c, "query_params: { %s = ...; };, or {{%s}} for braces that are meant as such", text,
                 text);
    n->missing = xrealloc(n->missing, (n->n_missing + 1) * sizeof *n->missing);
    n->missing[n->n_missing++] = TAKE_PTR(text);
    return 0;
}

/* Expressions may use a param that the query doesn't: `search.total > query_params.least`. */
static bool is_in_expressions(const struct listener_config *l, const char *name)
{
    return (l->condition && strstr(l->condition, name)) ||
           (l->update_query_params && strstr(l->update_query_params, name));
}

static void warn_unused(const struct names *n, const struct listener_config *l)
{
    for (int i = 0; n->params && i < config_setting_length(n->params); i++) {
        const config_setting_t *s = config_setting_get_elem(n->params, (unsigned)i);
        if (n->is_used[i] || is_in_expressions(l, config_setting_name(s)) || !is_param_name(s))
            continue;
        cfg_warning(n->c, s, "query_params.%s is used nowhere", config_setting_name(s));
        cfg_hint(n->c, "in the query it is {%s}", config_setting_name(s));
    }
}

void cfg_check_query(struct cfg *c, const config_setting_t *setting, struct listener_config *l)
{
    struct names names = {.c = c, .query = cfg_member(setting, "query")};
    struct err e = {0};
    const config_setting_t *params = cfg_member(setting, "query_params");
    bool is_group = params && config_setting_is_group(params);
    if (params)
        read_params(c, params, l);
    names.params = is_group ? params : NULL;
    names.is_used = xcalloc(is_group ? (size_t)config_setting_length(params) + 1 : 1, sizeof *names.is_used);
    bool is_valid = !l->query || template_names(l->query, on_name, &names, &e) == 0;
    if (!is_valid)
        cfg_error(c, names.query, "query: %s", e.msg);
    else if (names.n_missing == 0)
        warn_unused(&names, l);
    for (size_t i = 0; i < names.n_missing; i++)
        free(names.missing[i]);
    free(names.missing);
    free(names.is_used);
}
