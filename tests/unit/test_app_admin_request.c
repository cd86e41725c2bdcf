/* Does the admin interface know what a request asks for, and whether it may? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "admin_request.h"

static void fixed_paths_are_found_and_nothing_near_them(void **state)
{
    static const char *const not_found[] = {"",
                                            "/x",
                                            "/listeners/",
                                            "/Listeners",
                                            "/metrics/",
                                            "//metrics",
                                            "listeners",
                                            "/healthz?x=1",
                                            "/index.html",
                                            "/listeners/a",
                                            "/page.js.",
                                            "/listeners//stop",
                                            "/listeners/a/stop/",
                                            "/listeners/a/b/stop",
                                            "/listeners/a/fly",
                                            "/listeners/a b/stop",
                                            "/listeners/../stop",
                                            "/listeners/a/"};
    (void)state;
    assert_int_equal(admin_route("/listeners").route, ROUTE_LISTENERS);
    assert_int_equal(admin_route("/metrics").route, ROUTE_METRICS);
    assert_int_equal(admin_route("/healthz").route, ROUTE_HEALTH);
    assert_int_equal(admin_route("/readyz").route, ROUTE_READY);
    for (size_t i = 0; i < ARRAY_LEN(not_found); i++)
        assert_int_equal(admin_route(not_found[i]).route, ROUTE_NONE);
}

static void the_page_and_its_files_are_in_the_program(void **state)
{
    static const char *const files[][2] = {{"/", "text/html; charset=utf-8"},
                                           {"/page.css", "text/css; charset=utf-8"},
                                           {"/page.js", "text/javascript; charset=utf-8"},
                                           {"/icon.svg", "image/svg+xml; charset=utf-8"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct admin_target t = admin_route(files[i][0]);
        assert_int_equal(t.route, ROUTE_PAGE);
        assert_string_equal(t.page->content_type, files[i][1]);
        assert_true(t.page->len > 100);
    }
    assert_memory_equal(admin_route("/").page->data, "<!doctype html>", 15);
}

static void a_command_names_its_listener(void **state)
{
    char longest[ADMIN_NAME_MAX + 1] = "", path[ADMIN_NAME_MAX + 32];
    (void)state;
    struct admin_target t = admin_route("/listeners/reviews-ready_2/trigger");
    assert_int_equal(t.route, ROUTE_COMMAND);
    assert_int_equal(t.command, COMMAND_TRIGGER);
    assert_string_equal(t.listener, "reviews-ready_2");
    assert_int_equal(admin_route("/listeners/a/start").command, COMMAND_START);
    assert_int_equal(admin_route("/listeners/a/stop").command, COMMAND_STOP);
    assert_int_equal(admin_route("/listeners/a/reset").command, COMMAND_RESET);
    memset(longest, 'n', ADMIN_NAME_MAX);
    (void)snprintf(path, sizeof path, "/listeners/%s/stop", longest);
    assert_string_equal(admin_route(path).listener, longest);
    (void)snprintf(path, sizeof path, "/listeners/%sn/stop", longest);
    assert_int_equal(admin_route(path).route, ROUTE_NONE);
}

static void only_commands_take_post(void **state)
{
    (void)state;
    assert_true(admin_takes_method(ROUTE_COMMAND, "POST"));
    assert_false(admin_takes_method(ROUTE_COMMAND, "GET"));
    assert_false(admin_takes_method(ROUTE_COMMAND, "HEAD"));
    assert_true(admin_takes_method(ROUTE_LISTENERS, "GET"));
    assert_true(admin_takes_method(ROUTE_LISTENERS, "HEAD"));
    assert_false(admin_takes_method(ROUTE_LISTENERS, "POST"));
    assert_false(admin_takes_method(ROUTE_LISTENERS, "get"));
    assert_string_equal(admin_methods(ROUTE_COMMAND), "POST");
    assert_string_equal(admin_methods(ROUTE_READY), "GET, HEAD");
}

static void a_host_is_an_address_or_localhost(void **state)
{
    static const char *const ours[] = {"127.0.0.1",   "127.0.0.1:8642", "10.0.0.7",    "localhost",
                                       "LocalHost:1", "[::1]",          "[::1]:65535", "[fe80::1]:80"};
    static const char *const others[] = {"",
                                         "evil.example",
                                         "evil.example:8642",
                                         "127.0.0.1.evil.example",
                                         "localhost.",
                                         "127.1",
                                         "0x7f.0.0.1",
                                         "2130706433",
                                         "[evil]",
                                         "[::1",
                                         "[::1]x",
                                         "127.0.0.1:x",
                                         "127.0.0.1:",
                                         "127.0.0.1:123456",
                                         "::1",
                                         "127.0.0.1 "};
    (void)state;
    assert_true(admin_host_is_ours(NULL));
    for (size_t i = 0; i < ARRAY_LEN(ours); i++)
        if (!admin_host_is_ours(ours[i]))
            fail_msg("%s", ours[i]);
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (admin_host_is_ours(others[i]))
            fail_msg("%s", others[i]);
}

static void only_the_whole_token_passes(void **state)
{
    (void)state;
    assert_int_equal(admin_check_token("Bearer secret", "secret"), PASS_OK);
    assert_int_equal(admin_check_token("bearer  secret", "secret"), PASS_OK);
    assert_int_equal(admin_check_token("Bearer secre", "secret"), PASS_WRONG);
    assert_int_equal(admin_check_token("Bearer secretx", "secret"), PASS_WRONG);
    assert_int_equal(admin_check_token("Bearer xecret", "secret"), PASS_WRONG);
    assert_int_equal(admin_check_token("Bearer secret ", "secret"), PASS_WRONG);
    assert_int_equal(admin_check_token("Bearer ", "secret"), PASS_WRONG);
    assert_int_equal(admin_check_token("Basic secret", "secret"), PASS_MISSING);
    assert_int_equal(admin_check_token("secret", "secret"), PASS_MISSING);
    assert_int_equal(admin_check_token("", "secret"), PASS_MISSING);
    assert_int_equal(admin_check_token(NULL, "secret"), PASS_MISSING);
    assert_int_equal(admin_check_token("Bearer secret", NULL), PASS_NONE_CONFIGURED);
}

static void force_is_true_or_false(void **state)
{
    bool force = true;
    (void)state;
    assert_int_equal(admin_read_bool(NULL, &force), 0);
    assert_false(force);
    assert_int_equal(admin_read_bool("true", &force), 0);
    assert_true(force);
    assert_int_equal(admin_read_bool("1", &force), -1);
    assert_int_equal(admin_read_bool("", &force), -1);
    assert_true(force);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_paths_are_found_and_nothing_near_them),
        cmocka_unit_test(the_page_and_its_files_are_in_the_program),
        cmocka_unit_test(a_command_names_its_listener),
        cmocka_unit_test(only_commands_take_post),
        cmocka_unit_test(a_host_is_an_address_or_localhost),
        cmocka_unit_test(only_the_whole_token_passes),
        cmocka_unit_test(force_is_true_or_false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
