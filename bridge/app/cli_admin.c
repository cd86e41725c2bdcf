#include "cli_admin.h"

#include <stdio.h>

#include "admin_client.h"
#include "admin_request.h"
#include "cli.h"
#include "json_scan.h"
#include "status_table.h"

static int complain(const char *text, int exit_code)
{
    fprintf(stderr, "argilla-bridge: %s\n", text);
    return exit_code;
}

/* NULL, or why there is nobody to ask. */
static const char *nothing_to_ask(const struct config *config)
{
    if (!config->admin.listen)
        return "the configuration has no group `admin`: a service can't be asked";
    if (config->admin.port == 0)
        return "admin.listen has port 0: where the service listens stands in its log only";
    return NULL;
}

/* The member's text, with nothing in it that would move a terminal's cursor. The caller frees. */
static char *text_of(struct slice object, const char *name)
{
    struct slice value;
    struct buf text = buf_make(64 << 10);
    if (json_get(object, name, &value) && json_type_of(value) == JSON_STRING)
        (void)json_decode_string(value, &text);
    char *s = buf_take(&text);
    status_table_clean(s);
    return s;
}

/* The document of the service, when it is the one of this configuration: at the same address may be
 * another's. -1: `e` and `ret_reach` say why not. */
static int get_status(const struct config *config, struct buf *ret, enum admin_reach *ret_reach,
                      struct err *e)
{
    int status = 0;
    struct err why;
    *ret_reach = admin_ask(config, "GET", "/listeners", &status, ret, e);
    if (*ret_reach != ADMIN_ANSWERED)
        return -1;
    if (status != 200 || json_check(buf_slice(ret), &why))
        return err_set(e, ERR_RETRY, "what answers at %s is no argilla-bridge (HTTP %d)",
                       config->admin.listen, status);
    cleanup_free char *group = text_of(buf_slice(ret), "group_id");
    if (strcmp(group, config->bridge.group_id) != 0)
        return err_set(e, ERR_RETRY, "what answers at %s is of group %s, not of %s", config->admin.listen,
                       group, config->bridge.group_id);
    return 0;
}

int cli_status(const struct config *config, const char *listener, bool as_json)
{
    cleanup_buf struct buf doc = buf_make(ADMIN_ANSWER_MAX);
    enum admin_reach reach;
    struct slice one = {0};
    struct err e;
    if (nothing_to_ask(config))
        return complain(nothing_to_ask(config), EXIT_CONFIG);
    if (get_status(config, &doc, &reach, &e))
        return complain(e.msg, EXIT_FAILED);
    if (listener && !status_table_find(buf_slice(&doc), listener, &one)) {
        fprintf(stderr, "argilla-bridge: the service has no listener %s\n", listener);
        return EXIT_USAGE;
    }
    if (as_json)
        printf("%.*s%s", (int)(one.p ? one.len : doc.len), one.p ? one.p : buf_str(&doc), one.p ? "\n" : "");
    else if (one.p)
        status_table_print_one(buf_slice(&doc), one, stdout);
    else
        status_table_print(buf_slice(&doc), stdout);
    return EXIT_OK;
}

static int tell_answer(enum command_kind kind, const char *listener, int status, struct slice body)
{
    static const char *const done[] = {[COMMAND_START] = "started",
                                       [COMMAND_STOP] = "stopped",
                                       [COMMAND_TRIGGER] = "the service polls it now",
                                       [COMMAND_RESET] = "starts over"};
    static const char *const already[] = {[COMMAND_START] = "is not stopped",
                                          [COMMAND_STOP] = "is stopped already",
                                          [COMMAND_TRIGGER] = "is polling or running already",
                                          [COMMAND_RESET] = "starts over already"};
    struct err why;
    bool is_json = json_check(body, &why) == 0;
    cleanup_free char *error = is_json ? text_of(body, "error") : xstrdup("");
    if (status == 200) {
        printf("%s: %s\n", listener, done[kind]);
        return EXIT_OK;
    }
    if (status == 202) {
        printf("%s: sent to the instance that owns it, where it takes effect\n", listener);
        return EXIT_OK;
    }
    if (status == 409) {
        printf("%s %s\n", listener, already[kind]);
        return EXIT_OK;
    }
    fprintf(stderr, "argilla-bridge: %s %s: %s (HTTP %d)\n", admin_command_word(kind), listener,
            error[0] ? error : "the service does not say why", status);
    return status == 401 || status == 403 ? EXIT_REFUSED : EXIT_FAILED;
}

int cli_ask_service(const struct config *config, enum command_kind kind, const char *listener, bool force)
{
    cleanup_buf struct buf doc = buf_make(ADMIN_ANSWER_MAX), body = buf_make(64 << 10);
    cleanup_free char *path =
        xasprintf("/listeners/%s/%s%s", listener, admin_command_word(kind), force ? "?force=true" : "");
    enum admin_reach reach;
    struct err e;
    int status;
    if (nothing_to_ask(config))
        return -1;
    if (get_status(config, &doc, &reach, &e))
        return reach == ADMIN_NOBODY ? -1 : complain(e.msg, EXIT_FAILED);
    if (admin_ask(config, "POST", path, &status, &body, &e) != ADMIN_ANSWERED)
        return complain(e.msg, EXIT_FAILED);
    return tell_answer(kind, listener, status, buf_slice(&body));
}
