#include "config_file.h"

#include "config_read.h"
#include "config_text.h"

static int group_of(const char *name)
{
    for (int g = 0; g < GROUP_COUNT; g++)
        if (strcmp(config_group_name((enum config_group)g), name) == 0)
            return g;
    return -1;
}

/* Returns the group that was meant, or -1. */
static int unknown_group(struct cfg *c, const config_setting_t *s)
{
    char hint[128] = "";
    struct near near = {.name = config_setting_name(s)};
    for (int g = 0; g < GROUP_COUNT; g++)
        near_try(&near, config_group_name((enum config_group)g));
    for (int g = 0; g < GROUP_COUNT && !near.best; g++)
        if (config_option_find((enum config_group)g, config_setting_name(s)))
            (void)snprintf(hint, sizeof hint, "it belongs in `%s`", config_group_name((enum config_group)g));
    if (near.best)
        (void)snprintf(hint, sizeof hint, "did you mean `%s`?", near.best);
    cfg_error(c, s, "unknown name `%s`", config_setting_name(s));
    if (hint[0])
        cfg_hint(c, "%s", hint);
    return near.best ? group_of(near.best) : -1;
}

/* Finds the groups; `ret` has NULL for those that are absent. `ret_wrong`: it is there
 * under another name or of another type (reported), so that nothing is missing. */
static void find_groups(struct cfg *c, const config_setting_t *ret[GROUP_COUNT], bool ret_wrong[GROUP_COUNT])
{
    const config_setting_t *root = config_root_setting(&c->source.tree);
    for (int i = 0; i < config_setting_length(root); i++) {
        const config_setting_t *s = config_setting_get_elem(root, (unsigned)i);
        int g = group_of(config_setting_name(s));
        int wanted = g == GROUP_LISTENERS ? CONFIG_TYPE_LIST : CONFIG_TYPE_GROUP;
        if (g < 0) {
            int meant = unknown_group(c, s);
            if (meant >= 0)
                ret_wrong[meant] = true;
        } else if (config_setting_type(s) == wanted) {
            ret[g] = s;
        } else {
            ret_wrong[g] = true;
            cfg_error(c, s, "%s takes %s, not %s", config_group_name((enum config_group)g),
                      g == GROUP_LISTENERS ? "a list ( )" : "a group { }", cfg_type_words(s));
            if (g == GROUP_LISTENERS)
                cfg_hint(c, "listeners: ( { dataset = \"...\"; }, { dataset = \"...\"; } );");
        }
    }
}

static void read_all(struct cfg *c)
{
    const config_setting_t *groups[GROUP_COUNT] = {NULL};
    bool is_wrong[GROUP_COUNT] = {false};
    find_groups(c, groups, is_wrong);
    if (groups[GROUP_ARGILLA] || !is_wrong[GROUP_ARGILLA])
        cfg_read_argilla(c, groups[GROUP_ARGILLA]);
    if (groups[GROUP_KAFKA] || !is_wrong[GROUP_KAFKA])
        cfg_read_kafka(c, groups[GROUP_KAFKA]);
    cfg_read_bridge(c, groups[GROUP_BRIDGE]);
    if (groups[GROUP_ADMIN])
        cfg_read_admin(c, groups[GROUP_ADMIN]);
    cfg_read_group(c, GROUP_LOG, groups[GROUP_LOG], &c->config->log);
    if (groups[GROUP_LISTENERS] || !is_wrong[GROUP_LISTENERS])
        cfg_read_listeners(c, groups[GROUP_LISTENERS]);
    cfg_check_topics(c);
}

int config_load_into(const char *path, struct expr_cache *exprs, struct config **ret,
                     struct config_report *report)
{
    struct cfg c = {.report = report, .exprs = exprs};
    int r = -1;
    if (cfg_source_read(&c.source, path, report) == 0) {
        c.config = xcalloc(1, sizeof *c.config);
        c.config->path = xstrdup(path);
        read_all(&c);
        if (report->n_errors == 0) {
            *ret = TAKE_PTR(c.config);
            r = 0;
        }
    }
    config_report_sort(report);
    config_free(c.config);
    free(c.listener_at);
    cfg_source_release(&c.source);
    return r;
}

int config_load(const char *path, struct config **ret, struct config_report *report)
{
    struct expr_cache *exprs = expr_cache_new();
    int r = config_load_into(path, exprs, ret, report);
    expr_cache_free(exprs);
    return r;
}

int config_load_quick(const char *path, struct config **ret, struct config_report *report)
{
    return config_load_into(path, NULL, ret, report);
}
