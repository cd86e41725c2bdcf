/* Does each config of tests/config/good and tests/config/bad give exactly the messages of the .expected file
 * beside it, and never a secret? One test a file: a config added there is tested without a word here. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "buf.h"
#include "config_file.h"

#define MARK "SECRET" /* every secret in tests/config holds it */

/* What config_load says about `path`, and what it returned. */
static char *load(const char *path, int *ret_result, struct config **ret_config)
{
    struct config_report report = {0};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    *ret_config = NULL;
    *ret_result = config_load(path, ret_config, &report);
    assert_int_equal(*ret_result == 0, report.n_errors == 0);
    config_report_print(&report, out);
    config_report_release(&report);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *read_expected(const char *path)
{
    char chunk[4096];
    struct buf text = buf_make(1 << 20);
    cleanup_free char *name = xasprintf("%.*s.expected", (int)(strlen(path) - strlen(".cfg")), path);
    FILE *f = fopen(name, "re");
    if (!f)
        fail_msg("%s is missing", name);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buf_add(&text, chunk, n);
    (void)fclose(f);
    return buf_take(&text);
}

static void check(const char *path, bool is_good)
{
    struct config *config;
    int result;
    char *said = load(path, &result, &config);
    char *expected = read_expected(path);
    assert_string_equal(said, expected);
    assert_null(strstr(said, MARK));
    assert_int_equal(result, is_good ? 0 : -1);
    assert_int_equal(config != NULL, is_good); /* untouched on failure */
    config_free(config);
    free(said);
    free(expected);
}

static void says_what_is_expected_and_loads(void **state)
{
    check(*state, true);
}

static void says_what_is_expected_and_fails(void **state)
{
    check(*state, false);
}

static int is_config(const struct dirent *d)
{
    size_t len = strlen(d->d_name);
    return len > 4 && strcmp(d->d_name + len - 4, ".cfg") == 0;
}

/* A test for each .cfg of `folder` into `tests`, which has room for `max`; returns how many. */
static size_t list(const char *folder, CMUnitTestFunction function, struct CMUnitTest *tests, size_t max)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, is_config, alphasort);
    if (n < 0 || (size_t)n > max)
        return 0;
    for (int i = 0; i < n; i++) {
        char *path = xasprintf("%s/%s", folder, entries[i]->d_name);
        tests[i] = (struct CMUnitTest){.name = path, .test_func = function, .initial_state = path};
        free(entries[i]);
    }
    free(entries);
    return (size_t)n;
}

int main(void)
{
    enum { MAX = 500, LEAST_BAD = 40 };
    static struct CMUnitTest tests[MAX];
    setenv("ARGILLA_API_KEY", MARK "-environment", 1);
    unsetenv("AB_TEST_NOT_SET");
    if (chdir(TEST_DIR "/../config"))
        return perror("tests/config"), 1;
    size_t n_good = list("good", says_what_is_expected_and_loads, tests, MAX);
    size_t n_bad = list("bad", says_what_is_expected_and_fails, tests + n_good, MAX - n_good);
    if (n_good == 0 || n_bad < LEAST_BAD)
        return (void)fprintf(stderr, "only %zu good and %zu bad configs found\n", n_good, n_bad), 1;
    int failed = _cmocka_run_group_tests("config files", tests, n_good + n_bad, NULL, NULL);
    for (size_t i = 0; i < n_good + n_bad; i++)
        free(tests[i].initial_state);
    return failed;
}
