/* Is a listener found by its name, and is every part of a config freed (run under a leak checker)? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config.h"
#include "mem.h"

static struct kafka_properties one_property(void)
{
    struct kafka_properties p = {.items = xcalloc(1, sizeof *p.items), .n = 1};
    p.items[0] = (struct kafka_property){xstrdup("sasl.password"), xstrdup("secret")};
    return p;
}

static void fill_listener(struct listener_config *l, const char *name)
{
    char **const texts[] = {&l->dataset,   &l->workspace,     &l->query,
                            &l->condition, &l->topic,         &l->update_query_params,
                            &l->project,   &l->metrics_topic, &l->topic_cleanup_policy};
    l->name = xstrdup(name);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = xstrdup("text");
    l->n_query_params = 2;
    l->query_params = xcalloc(2, sizeof *l->query_params);
    l->query_params[0] = (struct query_param){.name = xstrdup("a"), .type = PARAM_STRING, .s = xstrdup("b")};
    l->query_params[1] = (struct query_param){.name = xstrdup("n"), .type = PARAM_INT, .i = 1};
    l->n_metrics = 1;
    l->metrics = xcalloc(1, sizeof *l->metrics);
    l->metrics[0] = xstrdup("F1");
}

static struct config *full_config(void)
{
    struct config *c = xcalloc(1, sizeof *c);
    char **const texts[] = {&c->path,
                            &c->argilla.url,
                            &c->argilla.api_key,
                            &c->argilla.workspace,
                            &c->argilla.ca_file,
                            &c->bridge.group_id,
                            &c->bridge.instance_id,
                            &c->bridge.state_topic,
                            &c->bridge.commands_topic,
                            &c->bridge.topic_cleanup_policy};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        *texts[i] = xstrdup("text");
    c->kafka = (struct kafka_config){one_property(), one_property(), one_property()};
    c->n_listeners = 2;
    c->listeners = xcalloc(2, sizeof *c->listeners);
    fill_listener(&c->listeners[0], "one");
    fill_listener(&c->listeners[1], "two");
    return c;
}

static void a_listener_is_found_by_its_whole_name(void **state)
{
    (void)state;
    struct config *c = full_config();
    assert_ptr_equal(config_find_listener(c, "one"), &c->listeners[0]);
    assert_ptr_equal(config_find_listener(c, "two"), &c->listeners[1]);
    assert_null(config_find_listener(c, "tw"));
    assert_null(config_find_listener(c, "twoo"));
    assert_null(config_find_listener(c, "Two"));
    assert_null(config_find_listener(c, ""));
    config_free(c);
}

static void half_made_configs_are_freed_and_searched(void **state)
{
    (void)state;
    struct config *c = xcalloc(1, sizeof *c);
    c->listeners = xcalloc(1, sizeof *c->listeners);
    c->n_listeners = 1;
    assert_null(config_find_listener(c, "one"));
    config_free(c);
    config_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_is_found_by_its_whole_name),
        cmocka_unit_test(half_made_configs_are_freed_and_searched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
