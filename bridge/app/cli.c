#include "cli.h"

#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "cli_admin.h"
#include "client.h"
#include "config_file.h"
#include "explain.h"
#include "offline.h"
#include "service.h"

static const char usage[] =
    "usage: argilla-bridge COMMAND [-c FILE] [LISTENER]\n"
    "\n"
    "  run                poll the listeners and publish what they find, until SIGTERM\n"
    "  check              read the configuration and tell every mistake\n"
    "  explain LISTENER   show what a poll would find and send now; writes nothing\n"
    "  once LISTENER      one poll now, and its run if the condition holds [--force: in any case]\n"
    "  status [LISTENER]  what a running service says of its listeners [--json: as JSON]\n"
    "  trigger LISTENER   has a running service poll it now [--force: run it in any case]\n"
    "  stop LISTENER      no more polls until it is started, across restarts; a run is suspended\n"
    "  start LISTENER     polls again; a suspended run goes on where it was\n"
    "  reset LISTENER     start the listener over: query_params as in the file\n"
    "  forget LISTENER    drop the state of a listener\n"
    "\n"
    "  -c, --config FILE  the configuration (default: /etc/argilla-bridge/argilla-bridge.cfg)\n"
    "  -h, --help         this text\n"
    "  -V, --version      the version\n"
    "\n"
    "Exit status: 0 done; 1 failed; 2 usage; 3 configuration; 4 refused by the service that runs; 5 the "
    "service\n"
    "could not go on. More in argilla-bridge(1).\n";

struct cli {
    const char *command, *listener, *config_path;
    bool force, as_json;
    struct config *config;
    struct log log;
};

static int complain(const struct err *e)
{
    fprintf(stderr, "argilla-bridge: %s\n", e->msg);
    return e->class == ERR_CONFIG ? EXIT_CONFIG : EXIT_FAILED;
}

static int do_check(struct cli *c)
{
    struct err e;
    if (kafka_config_check(c->config, &e))
        return complain(&e);
    printf("%s: ok, %zu listener%s\n", c->config_path, c->config->n_listeners,
           c->config->n_listeners == 1 ? "" : "s");
    return EXIT_OK;
}

static int do_run(struct cli *c)
{
    return service_run(c->config, &c->log);
}

/* The listener's configuration, or NULL after a complaint. */
static const struct listener_config *find_listener(const struct cli *c)
{
    const struct listener_config *l = config_find_listener(c->config, c->listener);
    if (!l) {
        fprintf(stderr, "argilla-bridge: no listener %s in %s; there %s", c->listener, c->config_path,
                c->config->n_listeners == 1 ? "is" : "are");
        for (size_t i = 0; i < c->config->n_listeners; i++)
            fprintf(stderr, "%s %s", i ? "," : "", c->config->listeners[i].name);
        fputc('\n', stderr);
    }
    return l;
}

/* State is its owner's while a service runs: two hands would fence each other. */
static int refuse_if_service_runs(const struct cli *c)
{
    struct err e;
    bool runs;
    if (offline_service_runs(c->config, &runs, &e))
        return complain(&e);
    if (!runs)
        return EXIT_OK;
    fprintf(stderr,
            "argilla-bridge: %s %s: a service runs as group %s and owns the listener's state; stop it first "
            "(every instance), "
            "then try again\n",
            c->command, c->listener, c->config->bridge.group_id);
    return EXIT_REFUSED;
}

static int do_explain(struct cli *c)
{
    struct err e;
    const struct listener_config *l = find_listener(c);
    if (!l)
        return EXIT_USAGE;
    if (explain(c->config, l, stdout, &e)) {
        (void)fflush(stdout);
        return complain(&e);
    }
    return EXIT_OK;
}

static int do_once(struct cli *c)
{
    if (!find_listener(c))
        return EXIT_USAGE;
    int rc = cli_ask_service(c->config, COMMAND_TRIGGER, c->listener, c->force);
    if (rc >= 0)
        return rc;
    rc = refuse_if_service_runs(c);
    return rc ? rc : service_once(c->config, &c->log, c->listener, c->force);
}

/* A command to a listener: done by the service that runs, or here when none does. */
static int by_service_or_offline(struct cli *c, enum command_kind kind,
                                 int (*offline)(struct cli *c, const struct listener_config *l))
{
    const struct listener_config *l = find_listener(c);
    if (!l)
        return EXIT_USAGE;
    int rc = cli_ask_service(c->config, kind, c->listener, false);
    if (rc >= 0)
        return rc;
    rc = refuse_if_service_runs(c);
    return rc ? rc : offline(c, l);
}

static int reset_offline(struct cli *c, const struct listener_config *l)
{
    struct err e;
    if (offline_reset(c->config, l, &e))
        return complain(&e);
    printf("%s: starts over\n", c->listener);
    return EXIT_OK;
}

static int stop_offline(struct cli *c, const struct listener_config *l)
{
    struct err e;
    bool changed;
    if (offline_stop(c->config, l, &changed, &e))
        return complain(&e);
    printf("%s: %s\n", c->listener, changed ? "stopped" : "stopped already");
    return EXIT_OK;
}

static int start_offline(struct cli *c, const struct listener_config *l)
{
    struct err e;
    bool changed;
    if (offline_start(c->config, l, &changed, &e))
        return complain(&e);
    printf("%s: %s\n", c->listener, changed ? "polls again, once a service runs" : "was not stopped");
    return EXIT_OK;
}

static int do_reset(struct cli *c)
{
    return by_service_or_offline(c, COMMAND_RESET, reset_offline);
}

static int do_stop(struct cli *c)
{
    return by_service_or_offline(c, COMMAND_STOP, stop_offline);
}

static int do_start(struct cli *c)
{
    return by_service_or_offline(c, COMMAND_START, start_offline);
}

static int do_trigger(struct cli *c)
{
    if (!find_listener(c))
        return EXIT_USAGE;
    int rc = cli_ask_service(c->config, COMMAND_TRIGGER, c->listener, c->force);
    if (rc >= 0)
        return rc;
    fprintf(stderr, "argilla-bridge: trigger %s: no service answers%s%s; `once` polls without one\n",
            c->listener, c->config->admin.listen ? " at " : "",
            c->config->admin.listen ? c->config->admin.listen : "");
    return EXIT_FAILED;
}

static int do_status(struct cli *c)
{
    return cli_status(c->config, c->listener, c->as_json);
}

static int do_forget(struct cli *c)
{
    struct err e;
    int rc = refuse_if_service_runs(c);
    if (rc)
        return rc;
    if (offline_forget(c->config, c->listener, &e))
        return complain(&e);
    printf("%s: forgotten\n", c->listener);
    return EXIT_OK;
}

enum takes { TAKES_NONE, TAKES_LISTENER, MAY_TAKE_LISTENER };
struct command {
    const char *name;
    enum takes takes;
    int (*run)(struct cli *);
};
static const struct command commands[] = {
    {"run", TAKES_NONE, do_run},
    {"check", TAKES_NONE, do_check},
    {"explain", TAKES_LISTENER, do_explain},
    {"once", TAKES_LISTENER, do_once},
    {"status", MAY_TAKE_LISTENER, do_status},
    {"stop", TAKES_LISTENER, do_stop},
    {"start", TAKES_LISTENER, do_start},
    {"trigger", TAKES_LISTENER, do_trigger},
    {"reset", TAKES_LISTENER, do_reset},
    {"forget", TAKES_LISTENER, do_forget},
};

static int usage_error(const char *fmt, const char *what)
{
    fprintf(stderr, "argilla-bridge: ");
    fprintf(stderr, fmt, what);
    fprintf(stderr, "\n%s", usage);
    return EXIT_USAGE;
}

/* -1: go on; else the exit code. */
static int read_options(struct cli *c, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"force", no_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},         {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "c:hV", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            c->config_path = optarg;
            break;
        case 'f':
            c->force = true;
            break;
        case 'j':
            c->as_json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_OK;
        case 'V':
            printf("argilla-bridge %s\n", AB_VERSION);
            return EXIT_OK;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    return -1;
}

/* Reads the file and tells what it found. Warnings are told too, and stand in nobody's way. */
static int load(struct cli *c)
{
    struct config_report report = {0};
    bool is_check = strcmp(c->command, "check") == 0; /* the others compile an expression when they need it */
    int rc = (is_check ? config_load : config_load_quick)(c->config_path, &c->config, &report);
    config_report_print(&report, stderr);
    config_report_release(&report);
    return rc ? EXIT_CONFIG : EXIT_OK;
}

static int run_command(struct cli *c, const struct command *command)
{
    int rc = load(c);
    if (rc)
        return rc;
    log_init(&c->log, (enum log_level)c->config->log.level, (enum log_format)c->config->log.format,
             STDERR_FILENO);
    rc = command->run(c);
    log_release(&c->log);
    config_free(c->config);
    return rc;
}

int cli_main(int argc, char **argv)
{
    struct cli c = {.config_path = "/etc/argilla-bridge/argilla-bridge.cfg"};
    int rc = read_options(&c, argc, argv);
    if (rc >= 0)
        return rc;
    if (optind >= argc)
        return usage_error("%s", "no command");
    c.command = argv[optind++];
    if (strcmp(c.command, "config-reference") == 0) { /* for docs/configuration.md */
        config_reference_print(stdout);
        return EXIT_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, c.command) != 0)
            continue;
        if (c.force && commands[i].run != do_once && commands[i].run != do_trigger)
            return usage_error("%s", "--force goes with once and trigger");
        if (c.as_json && commands[i].run != do_status)
            return usage_error("%s", "--json goes with status");
        if (commands[i].takes == TAKES_LISTENER && optind >= argc)
            return usage_error("%s needs the name of a listener", c.command);
        if (commands[i].takes != TAKES_NONE && optind < argc)
            c.listener = argv[optind++];
        if (optind < argc)
            return usage_error("too many words: %s", argv[optind]);
        return run_command(&c, &commands[i]);
    }
    return usage_error("unknown command %s", c.command);
}
