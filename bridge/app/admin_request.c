#include "admin_request.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

#include "config_text.h"

static const char *const command_words[] = {[COMMAND_START] = "start",
                                            [COMMAND_STOP] = "stop",
                                            [COMMAND_TRIGGER] = "trigger",
                                            [COMMAND_RESET] = "reset"};

int admin_command_of(const char *word)
{
    for (size_t i = 0; i < ARRAY_LEN(command_words); i++)
        if (strcmp(command_words[i], word) == 0)
            return (int)i;
    return -1;
}

const char *admin_command_word(enum command_kind kind)
{
    return command_words[kind];
}

/* listeners/NAME/VERB, what follows "/listeners/". */
static void route_command(const char *rest, struct admin_target *ret)
{
    size_t len = strcspn(rest, "/");
    int command = rest[len] ? admin_command_of(rest + len + 1) : -1;
    if (command < 0 || len > ADMIN_NAME_MAX)
        return;
    (void)snprintf(ret->listener, sizeof ret->listener, "%.*s", (int)len, rest);
    if (!text_is_word(ret->listener, "_-", ADMIN_NAME_MAX))
        return;
    ret->command = (enum command_kind)command;
    ret->route = ROUTE_COMMAND;
}

struct admin_target admin_route(const char *path)
{
    static const struct {
        const char *path;
        enum admin_route route;
    } fixed[] = {{"/listeners", ROUTE_LISTENERS},
                 {"/metrics", ROUTE_METRICS},
                 {"/healthz", ROUTE_HEALTH},
                 {"/readyz", ROUTE_READY}};
    static const char commands[] = "/listeners/";
    struct admin_target t = {.route = ROUTE_NONE};
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        if (strcmp(fixed[i].path, path) == 0)
            t.route = fixed[i].route;
    for (size_t i = 0; i < admin_n_pages; i++)
        if (strcmp(admin_pages[i].path, path) == 0) {
            t.route = ROUTE_PAGE;
            t.page = &admin_pages[i];
        }
    if (strncmp(path, commands, sizeof commands - 1) == 0)
        route_command(path + sizeof commands - 1, &t);
    return t;
}

const char *admin_methods(enum admin_route route)
{
    return route == ROUTE_COMMAND ? "POST" : "GET, HEAD";
}

bool admin_takes_method(enum admin_route route, const char *method)
{
    if (route == ROUTE_COMMAND)
        return strcmp(method, "POST") == 0;
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static bool is_port(const char *s)
{
    if (!*s)
        return true;
    size_t n = *s == ':' ? strspn(s + 1, "0123456789") : 0;
    return n >= 1 && n <= 5 && !s[n + 1];
}

bool admin_host_is_ours(const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    char name[ADDRESS_HOST_SIZE];
    if (!host)
        return true;
    const char *close = *host == '[' ? strchr(host, ']') : NULL, *start = close ? host + 1 : host;
    size_t len = close ? (size_t)(close - start) : strcspn(host, ":");
    if (len >= sizeof name || !is_port(close ? close + 1 : host + len))
        return false;
    (void)snprintf(name, sizeof name, "%.*s", (int)len, start);
    if (close)
        return inet_pton(AF_INET6, name, address) == 1;
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, address) == 1;
}

enum admin_pass admin_check_token(const char *authorization, const char *token)
{
    static const char scheme[] = "Bearer ";
    if (!token)
        return PASS_NONE_CONFIGURED;
    if (!authorization || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return PASS_MISSING;
    const char *given = authorization + sizeof scheme - 1;
    given += strspn(given, " ");
    size_t n = strlen(token), n_given = strlen(given);
    volatile unsigned char differs = n != n_given;
    for (size_t i = 0; i < n; i++)
        differs |= (unsigned char)(token[i] ^ (i < n_given ? given[i] : 0));
    return differs ? PASS_WRONG : PASS_OK;
}

int admin_read_bool(const char *value, bool *ret)
{
    bool is_true = value && strcmp(value, "true") == 0;
    if (value && !is_true && strcmp(value, "false") != 0)
        return -1;
    *ret = is_true;
    return 0;
}
