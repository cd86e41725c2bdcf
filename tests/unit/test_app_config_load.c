/* Does config_load fill the model as the file says, and what no file of tests/config can hold: defaults, the
 * API key's sources, limits of size, secrets? Is docs/configuration.md what the option table says? */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "config_file.h"
#include "log.h"

#define ARGILLA  "argilla: { url = \"http://localhost:6900\"; workspace = \"team\"; };\n"
#define KAFKA    "kafka: { bootstrap_servers = \"localhost:9092\"; };\n"
#define LISTENER "listeners: ( { dataset = \"uber-reviews\"; } );\n"
#define MARK     "SECRET"

/* A folder of its own for each test, and what the last load said. */
struct fixture {
    char dir[64];
    struct config *config;
    char *said;
    size_t n_errors;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof *f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/ab-config-XXXXXX");
    *state = f;
    return mkdtemp(f->dir) && setenv("ARGILLA_API_KEY", MARK "-environment", 1) == 0 ? 0 : -1;
}

static void forget(struct fixture *f)
{
    config_free(f->config);
    free(f->said);
    f->config = NULL;
    f->said = NULL;
}

static int teardown(void **state)
{
    static const char *const names[] = {"a.cfg", "key", "token"};
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        cleanup_free char *path = xasprintf("%s/%s", f->dir, names[i]);
        (void)unlink(path);
    }
    forget(f);
    int r = rmdir(f->dir);
    free(f);
    return r;
}

static void write_file(const struct fixture *f, const char *name, const char *text, size_t len, mode_t mode)
{
    cleanup_free char *path = xasprintf("%s/%s", f->dir, name);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, text + done, len - done);
        assert_true(n > 0);
        done += (size_t)n;
    }
    assert_int_equal(close(fd), 0);
}

static int load_path(struct fixture *f, const char *path)
{
    struct config_report report = {0};
    size_t size;
    forget(f);
    FILE *out = open_memstream(&f->said, &size);
    assert_non_null(out);
    int r = config_load(path, &f->config, &report);
    config_report_print(&report, out);
    assert_int_equal(fclose(out), 0);
    f->n_errors = report.n_errors;
    config_report_release(&report);
    assert_null(strstr(f->said, MARK));
    return r;
}

static int load(struct fixture *f, const char *text)
{
    cleanup_free char *path = xasprintf("%s/a.cfg", f->dir);
    write_file(f, "a.cfg", text, strlen(text), 0600);
    return load_path(f, path);
}

static void a_minimal_file_gets_every_default(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, ARGILLA KAFKA LISTENER), 0);
    assert_string_equal(f->said, "");
    const struct argilla_config *a = &f->config->argilla;
    assert_string_equal(a->url, "http://localhost:6900");
    assert_string_equal(a->api_key, MARK "-environment");
    assert_string_equal(a->workspace, "team");
    assert_null(a->ca_file);
    assert_int_equal(a->timeout_ms, 30000);
    assert_int_equal(a->metrics_timeout_ms, 300000);
    assert_int_equal(a->page_size, 500);
    assert_int_equal(a->max_connections, 16);
    assert_int_equal(a->auth_retry_s, 300);
    assert_int_equal(a->max_page_bytes, 64 << 20);
    const struct bridge_config *b = &f->config->bridge;
    assert_string_equal(b->group_id, "argilla-bridge");
    assert_null(b->instance_id);
    assert_string_equal(b->state_topic, "argilla-bridge.state");
    assert_string_equal(b->commands_topic, "argilla-bridge.commands");
    assert_int_equal(b->state_partitions, 8);
    assert_int_equal(b->workers, 16);
    assert_true(b->create_topics);
    assert_int_equal(b->topic_partitions, 1);
    assert_int_equal(b->topic_replication_factor, -1);
    assert_string_equal(b->topic_cleanup_policy, "delete");
    assert_int_equal(f->config->log.level, LOG_LEVEL_INFO);
    assert_int_equal(f->config->log.format, LOG_FORMAT_LOGFMT);
    assert_int_equal(f->config->kafka.common.n, 1);
    assert_string_equal(f->config->kafka.common.items[0].name, "bootstrap.servers");
}

static void a_minimal_listener_gets_every_default(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, ARGILLA KAFKA LISTENER), 0);
    assert_int_equal(f->config->n_listeners, 1);
    const struct listener_config *l = config_find_listener(f->config, "uber-reviews");
    assert_non_null(l);
    assert_string_equal(l->dataset, "uber-reviews");
    assert_string_equal(l->workspace, "team");
    assert_null(l->query);
    assert_null(l->condition);
    assert_null(l->update_query_params);
    assert_null(l->project);
    assert_int_equal(l->n_query_params, 0);
    assert_int_equal(l->n_metrics, 0);
    assert_true(l->query_records);
    assert_true(l->interval_s == 30.0);
    assert_int_equal(l->deliver, DELIVER_MATCHES);
    assert_int_equal(l->publish, PUBLISH_BATCHES);
    assert_int_equal(l->batch_key, BATCH_KEY_LISTENER);
    assert_string_equal(l->topic, "argilla.team.uber-reviews");
    assert_string_equal(l->metrics_topic, "argilla.team.uber-reviews.runs");
    assert_int_equal(l->topic_partitions, 1);
    assert_string_equal(l->topic_cleanup_policy, "delete");
    assert_int_equal(l->page_size, 500);
    assert_int_equal(l->batch_records, 500);
    assert_int_equal(l->batch_bytes, 900000);
    assert_int_equal(l->max_message_bytes, 1000000);
}

static void assert_property(const struct kafka_properties *p, const char *name, const char *value)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i].name, name) == 0) {
            assert_string_equal(p->items[i].value, value);
            return;
        }
    fail_msg("no property %s", name);
}

static void every_option_reaches_its_field(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load_path(f, TEST_DIR "/../config/good/everything.cfg"), 0);
    const struct argilla_config *a = &f->config->argilla;
    assert_string_equal(a->url, "https://argilla.example.com:8443/base");
    assert_string_equal(a->ca_file, TEST_DIR "/../config/good/../keys/ca.pem");
    assert_int_equal(a->timeout_ms, 20000);
    assert_int_equal(a->metrics_timeout_ms, 200000);
    assert_int_equal(a->page_size, 250);
    assert_int_equal(a->max_page_bytes, 0x4000000);
    assert_int_equal(a->max_connections, 8);
    assert_int_equal(a->auth_retry_s, 60);
    const struct kafka_config *k = &f->config->kafka;
    assert_property(&k->common, "bootstrap.servers", "a:9092,b:9092");
    assert_property(&k->common, "log_level", "5"); /* a name that has an underscore itself */
    assert_property(&k->common, "socket.keepalive.enable", "true");
    assert_property(&k->common, "sasl.password", MARK "-sasl");
    assert_property(&k->producer, "linger.ms", "0.5");
    assert_property(&k->producer, "message.timeout.ms", "20000");
    assert_property(&k->consumer, "session.timeout.ms", "6000");
    const struct bridge_config *b = &f->config->bridge;
    assert_string_equal(b->group_id, "bridge.1");
    assert_string_equal(b->instance_id, "host-1");
    assert_string_equal(b->state_topic, "bridge.1.listeners");
    assert_string_equal(b->commands_topic, "bridge.1.orders");
    assert_int_equal(b->state_partitions, 4);
    assert_int_equal(b->workers, 4);
    assert_false(b->create_topics);
    assert_int_equal(b->topic_partitions, -1);
    assert_int_equal(b->topic_replication_factor, 3);
    assert_string_equal(b->topic_cleanup_policy, "compact");
    assert_int_equal(f->config->log.level, LOG_LEVEL_DEBUG);
    assert_int_equal(f->config->log.format, LOG_FORMAT_JSON);
}

static void every_listener_option_reaches_its_field(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load_path(f, TEST_DIR "/../config/good/everything.cfg"), 0);
    const struct listener_config *l = config_find_listener(f->config, "ready");
    assert_non_null(l);
    assert_string_equal(l->workspace, "other");
    assert_string_equal(l->query, "metadata.batch_id:{batch_id} AND score:{{0.5 TO {least}]");
    assert_non_null(l->condition);
    assert_string_equal(l->update_query_params, "ctx.query_params[\"batch_id\"] += 1");
    assert_string_equal(l->project, "{id, metadata}");
    assert_int_equal(l->n_metrics, 2);
    assert_string_equal(l->metrics[1], "status_distribution");
    assert_true(l->interval_s == 0.5);
    assert_int_equal(l->batch_key, BATCH_KEY_NONE);
    assert_int_equal(l->batch_records, 100);
    assert_int_equal(l->batch_bytes, 500000);
    assert_int_equal(l->max_message_bytes, 600000);
    assert_string_equal(l->topic, "reviews");
    assert_string_equal(l->metrics_topic, "reviews-runs");
    assert_int_equal(l->page_size, 100);
    assert_int_equal(l->topic_partitions, 6);
    assert_string_equal(l->topic_cleanup_policy, "delete");
    l = config_find_listener(f->config, "records");
    assert_non_null(l);
    assert_int_equal(l->publish, PUBLISH_RECORDS);
    assert_int_equal(l->page_size, 250); /* argilla.page_size */
    assert_int_equal(l->topic_partitions, -1);
    assert_string_equal(l->topic_cleanup_policy, "compact");
    assert_string_equal(l->metrics_topic, "records.runs");
}

static void query_params_keep_type_order_and_value(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load_path(f, TEST_DIR "/../config/good/everything.cfg"), 0);
    const struct listener_config *l = config_find_listener(f->config, "ready");
    assert_non_null(l);
    assert_int_equal(l->n_query_params, 4);
    const struct query_param *p = l->query_params;
    assert_string_equal(p[0].name, "batch_id");
    assert_int_equal(p[0].type, PARAM_INT);
    assert_true(p[0].i == 1LL << 53);
    assert_int_equal(p[1].type, PARAM_FLOAT);
    assert_true(p[1].f == 0.75);
    assert_int_equal(p[2].type, PARAM_STRING);
    assert_string_equal(p[2].s, "pos");
    assert_int_equal(p[3].type, PARAM_BOOL);
    assert_true(p[3].i == 1);
}

static void batch_bytes_follow_a_smaller_message_limit(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load_path(f, TEST_DIR "/../config/good/small_messages.cfg"), 0);
    assert_int_equal(f->config->listeners[0].batch_bytes, 100000);
}

static void with_records_is_query_records(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, ARGILLA KAFKA "listeners: ( { dataset = \"d\"; with_records = false; } );"), 0);
    assert_false(f->config->listeners[0].query_records);
}

#define KEY_FILE                                                                                             \
    "argilla: { url = \"http://h\"; workspace = \"w\"; api_key_file = \"key\"; };\n" KAFKA LISTENER

static void the_key_file_is_beside_the_config_and_loses_one_newline(void **state)
{
    struct fixture *f = *state;
    write_file(f, "key", MARK "-file\n", strlen(MARK "-file\n"), 0600);
    assert_int_equal(load(f, KEY_FILE), 0);
    assert_string_equal(f->config->argilla.api_key, MARK "-file");
    assert_string_equal(f->said, "");
    write_file(f, "key", MARK "-file\r\n", strlen(MARK "-file\r\n"), 0600);
    assert_int_equal(load(f, KEY_FILE), 0);
    assert_string_equal(f->config->argilla.api_key, MARK "-file");
    write_file(f, "key", MARK "-file\n\n", strlen(MARK "-file\n\n"), 0600);
    assert_int_equal(load(f, KEY_FILE), -1);
    assert_non_null(strstr(f->said, "control character"));
}

static void a_key_file_that_all_can_read_is_warned_about(void **state)
{
    struct fixture *f = *state;
    write_file(f, "key", MARK, strlen(MARK), 0644);
    assert_int_equal(load(f, KEY_FILE), 0);
    assert_non_null(strstr(f->said, "a.cfg:1: warning: api_key_file can be read by every user of "
                                    "this machine\n  hint: chmod 0640 or 0600\n"));
    write_file(f, "key", MARK, strlen(MARK), 0640);
    assert_int_equal(load(f, KEY_FILE), 0);
    assert_string_equal(f->said, "");
}

static void a_key_file_has_a_limit(void **state)
{
    struct fixture *f = *state;
    char key[4098];
    memset(key, 'k', sizeof key);
    write_file(f, "key", key, 4096, 0600);
    assert_int_equal(load(f, KEY_FILE), 0);
    assert_int_equal(strlen(f->config->argilla.api_key), 4096);
    write_file(f, "key", key, 4097, 0600);
    assert_int_equal(load(f, KEY_FILE), -1);
    assert_non_null(strstr(f->said, "more than 4096 bytes"));
    memcpy(key, "a\0b", 3);
    write_file(f, "key", key, 3, 0600);
    assert_int_equal(load(f, KEY_FILE), -1);
    assert_non_null(strstr(f->said, "control character"));
}

#define ADMIN_FILE ARGILLA KAFKA LISTENER "admin: { token_file = \"token\"; };\n"

static void a_token_is_one_word_that_a_header_can_carry(void **state)
{
    struct fixture *f = *state;
    write_file(f, "token", MARK "-0123456789abcdef\n", strlen(MARK "-0123456789abcdef\n"), 0600);
    assert_int_equal(load(f, ADMIN_FILE), 0);
    assert_string_equal(f->config->admin.token, MARK "-0123456789abcdef");
    assert_string_equal(f->said, "");
    write_file(f, "token", MARK "-word", strlen(MARK "-word"), 0644);
    assert_int_equal(load(f, ADMIN_FILE), 0);
    assert_non_null(strstr(f->said, "warning: the token has fewer than 16 letters"));
    assert_non_null(strstr(f->said, "warning: token_file can be read by every user of this machine"));
    write_file(f, "token", MARK " two words of it", strlen(MARK " two words of it"), 0600);
    assert_int_equal(load(f, ADMIN_FILE), -1);
    assert_non_null(strstr(f->said, "a.cfg:4: error: the token holds a space"));
    assert_null(strstr(f->said, MARK));
}

static void the_admin_address_is_taken_apart(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load(f, ARGILLA KAFKA LISTENER), 0);
    assert_null(f->config->admin.listen);
    assert_int_equal(load(f, ARGILLA KAFKA LISTENER "admin: { };"), 0);
    assert_string_equal(f->config->admin.host, "127.0.0.1");
    assert_int_equal(f->config->admin.port, 8642);
    assert_int_equal(load(f, ARGILLA KAFKA LISTENER "admin: { listen = \"[::1]:0\"; };"), 0);
    assert_string_equal(f->config->admin.host, "::1");
    assert_int_equal(f->config->admin.port, 0);
}

static void without_any_key_the_default_variable_is_named(void **state)
{
    struct fixture *f = *state;
    unsetenv("ARGILLA_API_KEY");
    assert_int_equal(load(f, ARGILLA KAFKA LISTENER), -1);
    assert_non_null(strstr(f->said,
                           "a.cfg:1: error: no API key: the environment variable ARGILLA_API_KEY is not set\n"
                           "  hint: set it, or give api_key_env or api_key_file\n"));
    const char *named =
        "argilla: { url = \"http://h\"; workspace = \"w\"; api_key_env = \"ARGILLA_API_KEY\"; };\n";
    cleanup_free char *text = xasprintf("%s" KAFKA LISTENER, named);
    assert_int_equal(load(f, text), -1);
    assert_non_null(strstr(f->said, "a.cfg:1: error: the environment variable ARGILLA_API_KEY is not set"));
    setenv("ARGILLA_API_KEY", "", 1);
    assert_int_equal(load(f, ARGILLA KAFKA LISTENER), -1);
    setenv("ARGILLA_API_KEY", MARK "\n" MARK, 1);
    assert_int_equal(load(f, ARGILLA KAFKA LISTENER), -1);
    assert_non_null(strstr(f->said, "control character"));
}

static void a_quick_load_compiles_no_expression_and_checks_all_else(void **state)
{
    struct fixture *f = *state;
    struct config_report report = {0};
    cleanup_free char *path = xasprintf("%s/a.cfg", f->dir);
    const char *text = ARGILLA KAFKA "listeners: ( { dataset = \"d\"; condition = \"search.total >\"; } );";
    assert_int_equal(load(f, text), -1);
    assert_non_null(strstr(f->said, "condition: jq"));
    assert_int_equal(config_load_quick(path, &f->config, &report), 0);
    assert_string_equal(f->config->listeners[0].condition, "search.total >");
    assert_int_equal(report.n, 0);
    write_file(f, "a.cfg", ARGILLA LISTENER, strlen(ARGILLA LISTENER), 0600);
    forget(f);
    assert_int_equal(config_load_quick(path, &f->config, &report), -1);
    assert_int_equal(report.n_errors, 1);
    config_report_release(&report);
}

static void a_file_that_is_not_there_is_one_error(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load_path(f, "none.cfg"), -1);
    assert_string_equal(f->said, "none.cfg: error: No such file or directory\n");
    assert_int_equal(load_path(f, f->dir), -1);
    assert_non_null(strstr(f->said, "it is a folder"));
}

static void a_nul_or_too_large_a_file_is_an_error(void **state)
{
    static const char nul[] = ARGILLA "# a\0b\n" KAFKA LISTENER;
    struct fixture *f = *state;
    cleanup_free char *path = xasprintf("%s/a.cfg", f->dir);
    write_file(f, "a.cfg", nul, sizeof nul - 1, 0600);
    assert_int_equal(load_path(f, path), -1);
    assert_non_null(strstr(f->said, "a.cfg:2: error: this line is not UTF-8 text"));
    size_t size = (4 << 20) + 1;
    cleanup_free char *large = xcalloc(1, size);
    memset(large, '\n', size);
    write_file(f, "a.cfg", large, size, 0600);
    assert_int_equal(load_path(f, path), -1);
    assert_non_null(strstr(f->said, "larger than 4 MiB"));
}

static void deep_nesting_is_an_error_and_no_crash(void **state)
{
    enum { DEPTH = 100000 };
    struct fixture *f = *state;
    struct buf text = buf_make(1 << 20);
    buf_addstr(&text, "a = ");
    for (int i = 0; i < DEPTH; i++)
        buf_addch(&text, '(');
    assert_int_equal(load(f, buf_str(&text)), -1);
    assert_non_null(strstr(f->said, "a.cfg:1: error:"));
    buf_release(&text);
}

/* A shell's <(...): the text can be read only once, and has no size. */
static void a_pipe_is_as_good_as_a_file(void **state)
{
    static const char text[] = ARGILLA KAFKA LISTENER;
    struct fixture *f = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], text, sizeof text - 1), (ssize_t)sizeof text - 1);
    assert_int_equal(close(ends[1]), 0);
    cleanup_free char *path = xasprintf("/dev/fd/%d", ends[0]);
    assert_int_equal(load_path(f, path), 0);
    assert_int_equal(f->config->n_listeners, 1);
    assert_int_equal(close(ends[0]), 0);
}

static void thousands_of_mistakes_are_cut_and_counted(void **state)
{
    struct fixture *f = *state;
    struct buf text = buf_make(1 << 20);
    buf_addstr(&text, ARGILLA KAFKA LISTENER "bridge: {\n");
    for (int i = 0; i < 1500; i++)
        buf_addf(&text, "zz%d = 1;\n", i);
    buf_addstr(&text, "};\n");
    assert_int_equal(load(f, buf_str(&text)), -1);
    assert_int_equal(f->n_errors, 1500);
    assert_non_null(strstr(f->said, "and 500 more\n"));
    buf_release(&text);
}

static void load_listeners(struct fixture *f, int n)
{
    struct buf text = buf_make(1 << 20);
    buf_addstr(&text, ARGILLA KAFKA "listeners: (");
    for (int i = 0; i < n; i++)
        buf_addf(&text, "%s{ dataset = \"d%d\"; }", i ? ",\n" : "", i);
    buf_addstr(&text, ");");
    (void)load(f, buf_str(&text));
    buf_release(&text);
}

static void ten_thousand_listeners_are_taken_and_no_more(void **state)
{
    struct fixture *f = *state;
    load_listeners(f, CONFIG_LISTENERS_MAX);
    assert_string_equal(f->said, "");
    assert_int_equal(f->config->n_listeners, CONFIG_LISTENERS_MAX);
    load_listeners(f, CONFIG_LISTENERS_MAX + 1);
    assert_non_null(strstr(f->said, "there are more than 10000 listeners"));
}

static char *generated_part(const char *path)
{
    static const char begin[] = "<!-- generated: argilla-bridge config-reference -->\n",
                      end[] = "<!-- end -->\n";
    char chunk[4096];
    struct buf text = buf_make(1 << 20);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buf_add(&text, chunk, n);
    (void)fclose(f);
    char *from = strstr(text.data, begin);
    assert_non_null(from);
    from += strlen(begin);
    char *to = strstr(from, end);
    assert_non_null(to);
    char *part = xstrndup(from, (size_t)(to - from));
    buf_release(&text);
    return part;
}

static void the_reference_in_the_docs_is_the_tables(void **state)
{
    (void)state;
    char *printed = NULL, *documented = generated_part(TEST_DIR "/../../docs/configuration.md");
    size_t size;
    FILE *out = open_memstream(&printed, &size);
    config_reference_print(out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(documented,
                        printed); /* else: put what `argilla-bridge config-reference` prints there */
    free(printed);
    free(documented);
}

static void the_examples_are_valid(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(load_path(f, TEST_DIR "/../../deploy/examples/minimal.cfg"), 0);
    assert_string_equal(f->said, "");
    assert_int_equal(load_path(f, TEST_DIR "/../../deploy/examples/guide.cfg"), 0);
    assert_string_equal(f->said, "");
    assert_int_equal(f->config->n_listeners, 6);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_minimal_file_gets_every_default),
        T(a_minimal_listener_gets_every_default),
        T(every_option_reaches_its_field),
        T(every_listener_option_reaches_its_field),
        T(query_params_keep_type_order_and_value),
        T(batch_bytes_follow_a_smaller_message_limit),
        T(with_records_is_query_records),
        T(the_key_file_is_beside_the_config_and_loses_one_newline),
        T(a_key_file_that_all_can_read_is_warned_about),
        T(a_key_file_has_a_limit),
        T(a_token_is_one_word_that_a_header_can_carry),
        T(the_admin_address_is_taken_apart),
        T(without_any_key_the_default_variable_is_named),
        T(a_quick_load_compiles_no_expression_and_checks_all_else),
        T(a_file_that_is_not_there_is_one_error),
        T(a_nul_or_too_large_a_file_is_an_error),
        T(deep_nesting_is_an_error_and_no_crash),
        T(a_pipe_is_as_good_as_a_file),
        T(thousands_of_mistakes_are_cut_and_counted),
        T(ten_thousand_listeners_are_taken_and_no_more),
        T(the_reference_in_the_docs_is_the_tables),
        T(the_examples_are_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
