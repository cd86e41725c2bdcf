/* The group `argilla`: what the table can't say, above all where the API key comes from. No message repeats
 * the key, nor the name of a variable or file: somebody may have put the key there by mistake. */
#include <errno.h>
#include <unistd.h>

#include "config_read.h"
#include "config_text.h"

#define DEFAULT_KEY_ENV "ARGILLA_API_KEY"

/* The key in the variable; `s` is NULL for the default's. */
static char *key_of_env(struct cfg *c, const config_setting_t *s, const config_setting_t *group,
                        const char *name)
{
    const char *value = getenv(name);
    if (value && value[0])
        return xstrdup(value);
    if (!s) {
        cfg_error(c, group, "no API key: the environment variable " DEFAULT_KEY_ENV " is not set");
        cfg_hint(c, "set it, or give api_key_env or api_key_file");
    } else if (text_is_word(name, "_", 64) && strcmp(name, DEFAULT_KEY_ENV) == 0) {
        cfg_error(c, s, "the environment variable " DEFAULT_KEY_ENV " is not set");
    } else {
        cfg_error(c, s, "the environment variable that api_key_env names is not set");
        cfg_hint(c, "api_key_env takes the name of a variable, not the key itself");
    }
    return NULL;
}

static char *find_key(struct cfg *c, const config_setting_t *group)
{
    const config_setting_t *env = cfg_member(group, "api_key_env"), *file = cfg_member(group, "api_key_file"),
                           *literal = cfg_member(group, "api_key");
    if (!!env + !!file + !!literal > 1) {
        cfg_error(c, literal ? literal : file,
                  "api_key_env, api_key_file and api_key: only one may be given");
        return NULL;
    }
    const config_setting_t *s = env ? env : file ? file : literal;
    if (!s)
        return key_of_env(c, NULL, group, DEFAULT_KEY_ENV);
    const char *text = config_setting_get_string(s);
    if (!text || !text[0])
        return NULL; /* reported with the group */
    if (env)
        return key_of_env(c, env, group, text);
    if (file)
        return cfg_read_secret(c, file, "the API key");
    cfg_warning(c, literal, "the API key stands in the config file");
    cfg_hint(c, "better: api_key_env or api_key_file");
    return xstrdup(text);
}

static void check_ca_file(struct cfg *c, const config_setting_t *s, struct argilla_config *a)
{
    if (!s || !a->ca_file)
        return;
    char *path = cfg_source_resolve(&c->source, a->ca_file);
    free(a->ca_file);
    a->ca_file = path;
    if (access(path, R_OK))
        cfg_error(c, s, "ca_file can't be read: %s", strerror(errno));
    else if (a->url && strncasecmp(a->url, "https", 5) != 0)
        cfg_warning(c, s, "ca_file is of no use: the url is not https");
}

void cfg_read_argilla(struct cfg *c, const config_setting_t *setting)
{
    struct argilla_config *a = &c->config->argilla;
    cfg_read_group(c, GROUP_ARGILLA, setting, a);
    if (a->url)
        for (size_t n = strlen(a->url); n > 0 && a->url[n - 1] == '/'; n--)
            a->url[n - 1] = '\0';
    check_ca_file(c, cfg_member(setting, "ca_file"), a);
    a->api_key = find_key(c, setting);
    if (a->api_key && text_has_control(a->api_key)) {
        const config_setting_t *literal = cfg_member(setting, "api_key");
        cfg_error(c, literal ? literal : cfg_member_or_group(setting, "api_key_env"),
                  "the API key holds a control character");
        cfg_hint(c, "it must be one line, without anything around it");
    }
}
