/* A bridge that takes commands on standard input, a line each: `KIND LISTENER FORCE TIMEOUT_MS`. It answers
 * with a line on standard output: what bridge_command has returned, and why when it has failed. The end of
 * the input stops it. The log goes to standard error. */
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "config_file.h"
#include "control.h"

static const char *const results[] = {"done", "sent", "already", "unknown", "failed"};

static int kind_of(const char *word)
{
    for (int kind = COMMAND_START; kind <= COMMAND_RESET; kind++)
        if (strcmp(command_kind_name((enum command_kind)kind), word) == 0)
            return kind;
    return -1;
}

static void obey(struct bridge *b, const char *line)
{
    char word[16], listener[256];
    int force, timeout_ms;
    struct err why = {0};
    if (sscanf(line, "%15s %255s %d %d", word, listener, &force, &timeout_ms) != 4 || kind_of(word) < 0) {
        printf("what?\n");
        return;
    }
    int64_t start_ms = clock_mono_ms();
    enum command_result result =
        bridge_command(b, (enum command_kind)kind_of(word), listener, force, timeout_ms, &why);
    printf("%s %lld %s\n", results[result], (long long)(clock_mono_ms() - start_ms), why.msg);
}

int main(int argc, char **argv)
{
    struct config *config = NULL;
    struct config_report report = {0};
    struct log log;
    struct bridge *b;
    struct err e;
    char line[512];
    if (argc != 2 || config_load_quick(argv[1], &config, &report)) {
        config_report_print(&report, stderr);
        return 2;
    }
    config_report_release(&report);
    log_init(&log, (enum log_level)config->log.level, (enum log_format)config->log.format, STDERR_FILENO);
    if (bridge_new(config, &log, NULL, &b, &e) || bridge_start(b, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        obey(b, line);
        (void)fflush(stdout);
    }
    bridge_stop(b, false);
    int rc = bridge_wait(b, &e);
    bridge_free(b);
    log_release(&log);
    config_free(config);
    return rc ? 1 : 0;
}
