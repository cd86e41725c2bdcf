/* The group `admin`: what the table can't say. */
#include "config_read.h"
#include "config_text.h"

enum { TOKEN_LEAST = 16 };

/* What a header can carry as a bearer token. */
static bool is_token(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s >= 0x7f)
            return false;
    return true;
}

static void check_token(struct cfg *c, const config_setting_t *s, const char *token)
{
    if (!is_token(token)) {
        cfg_error(c, s, "the token holds a space or a letter that a header can't carry");
        cfg_hint(c, "openssl rand -hex 32 makes a good one");
    } else if (strlen(token) < TOKEN_LEAST) {
        cfg_warning(c, s, "the token has fewer than %d letters: it can be guessed", TOKEN_LEAST);
        cfg_hint(c, "openssl rand -hex 32 makes a good one");
    }
}

void cfg_read_admin(struct cfg *c, const config_setting_t *setting)
{
    struct admin_config *a = &c->config->admin;
    const config_setting_t *file = cfg_member(setting, "token_file");
    char host[ADDRESS_HOST_SIZE];
    cfg_read_group(c, GROUP_ADMIN, setting, a);
    text_address_split(a->listen, host, &a->port);
    a->host = xstrdup(host);
    if (!text_is_loopback(a->host)) {
        cfg_warning(c, cfg_member_or_group(setting, "listen"),
                    "the admin interface can be reached from other machines, and it speaks no TLS");
        cfg_hint(c, "listen on 127.0.0.1 and put a proxy with TLS before it");
    }
    if (file && config_setting_get_string(file) && config_setting_get_string(file)[0])
        a->token = cfg_read_secret(c, file, "the token");
    if (a->token)
        check_token(c, file, a->token);
}
