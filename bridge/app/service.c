#include "service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "admin.h"
#include "cli.h"
#include "clock.h"
#include "config_diff.h"
#include "config_file.h"
#include "reload.h"
#include "status.h"
#include "supervisor.h"

enum { STOP_FAST_S = 5 };

/* Signals come to one thread, which waits for them: no handler, no global flag. */
struct signals {
    sigset_t set;
    struct bridge *bridge;
    atomic_bool is_ending, wants_reload;
    pthread_t thread;
};

static void *signals_main(void *arg)
{
    struct signals *s = arg;
    for (int n_stops = 0;;) {
        int sig = 0;
        if (sigwait(&s->set, &sig) ||
            atomic_load(&s->is_ending)) /* SIGUSR2 wakes it then; from others it means nothing */
            return NULL;
        if (sig == SIGTERM || sig == SIGINT)
            bridge_stop(s->bridge, n_stops++ > 0);
        if (n_stops == 2)
            (void)alarm(STOP_FAST_S); /* librdkafka may wait for a broker that hangs; nothing would be lost */
        if (sig == SIGHUP) {
            atomic_store(&s->wants_reload, true);
            bridge_nudge(s->bridge);
        }
    }
}

/* Before any other thread is made: they inherit the mask. */
static void signals_block(struct signals *s, bool is_service)
{
    (void)sigemptyset(&s->set);
    (void)sigaddset(&s->set, SIGTERM);
    (void)sigaddset(&s->set, SIGINT);
    if (is_service)
        (void)sigaddset(&s->set, SIGHUP);
    (void)sigaddset(&s->set, SIGUSR2);
    (void)pthread_sigmask(SIG_BLOCK, &s->set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* Every mistake is a line of the log; the first is what /readyz and the page show. */
static void tell_mistakes(struct bridge *b, struct log *log, const struct config_report *report)
{
    bool is_noted = false;
    for (size_t i = 0; i < report->n; i++) {
        const struct config_message *m = &report->items[i];
        if (m->severity != CONFIG_ERROR)
            continue;
        cleanup_free char *text = xasprintf("%s:%u: %s", m->file, m->line, m->text);
        log_error(log, "mistake in the configuration", KV("error", text), KV("hint", m->hint ? m->hint : ""));
        if (!is_noted)
            bridge_note_reload(b, text);
        is_noted = true;
    }
}

static void refuse_reload(struct bridge *b, struct log *log, const char *why)
{
    bridge_note_reload(b, why);
    log_error(log, "reload refused, the old configuration stays", KV("error", why));
}

/* The new configuration whole, or the old one as it is. */
static void reload(struct bridge *b, const struct config *start, struct log *log)
{
    struct config_report report = {0};
    struct reload_counts n;
    struct config *config = NULL;
    char name[128];
    const char *fixed;
    cleanup_free char *why = NULL;
    int rc = config_load_into(start->path, bridge_exprs(b), &config, &report);
    if (rc) {
        refuse_reload(b, log, "the file has mistakes");
        tell_mistakes(b, log, &report);
    } else if ((fixed = config_fixed_difference(start, config, name, sizeof name))) {
        why = xasprintf("%s has changed: that takes a restart", fixed);
        refuse_reload(b, log, why);
        config_free(config);
    } else {
        bridge_reload(b, config, listener_config_same, &n);
        bridge_note_reload(b, NULL);
        log_info(log, "reloaded", KVI("n_same", (int64_t)n.n_same), KVI("n_changed", (int64_t)n.n_changed),
                 KVI("n_added", (int64_t)n.n_added), KVI("n_removed", (int64_t)n.n_removed));
    }
    config_report_release(&report);
}

/* On SIGHUP, until the bridge stops. */
static void serve_reloads(struct signals *s, const struct config *start, struct log *log)
{
    int64_t watchdog_ms = supervisor_watchdog_ms();
    supervisor_ready(); /* not later: a start with Kafka away is a start */
    while (!bridge_await(s->bridge, &s->wants_reload, watchdog_ms)) {
        if (watchdog_ms >= 0 && status_is_alive(s->bridge))
            supervisor_alive();
        if (!atomic_exchange(&s->wants_reload, false))
            continue;
        supervisor_reloading();
        reload(s->bridge, start, log);
        supervisor_ready();
    }
    supervisor_stopping();
}

/* The whole life of a bridge; `options` NULL: a service, with its admin interface. 0; -1 with why it ended
 * itself. */
static int live(const struct config *config, struct log *log, const struct bridge_options *options,
                enum once_result *ret_once, struct err *ret_why, struct err *e)
{
    struct signals s = {0};
    struct admin *admin = NULL;
    signals_block(&s, !options);
    if (!options && config->admin.listen && admin_new(config, log, &admin, e))
        return -1;
    if (bridge_new(config, log, options, &s.bridge, e)) {
        admin_free(admin);
        return -1;
    }
    int rc = pthread_create(&s.thread, NULL, signals_main, &s);
    if (rc) {
        admin_free(admin);
        bridge_free(s.bridge);
        return err_errno(e, "pthread_create", rc);
    }
    struct err start_err;
    if (bridge_start(s.bridge, &start_err) || (admin && admin_serve(admin, s.bridge, &start_err)))
        bridge_fail(s.bridge, &start_err);
    else if (!options)
        serve_reloads(&s, config, log);
    rc = bridge_wait(s.bridge, e);
    admin_free(admin); /* it answers to the end: a stop may take a while */
    atomic_store(&s.is_ending, true);
    (void)pthread_kill(s.thread, SIGUSR2);
    (void)pthread_join(s.thread, NULL);
    *ret_once = bridge_once_result(s.bridge, ret_why);
    bridge_free(s.bridge);
    return rc;
}

static int exit_code_of(const struct err *e)
{
    return e->class == ERR_CONFIG ? EXIT_CONFIG : EXIT_FATAL;
}

int service_run(const struct config *config, struct log *log)
{
    struct err e, ignored;
    enum once_result once;
    log_info(log, "start", KV("version", AB_VERSION), KV("config", config->path),
             KV("group_id", config->bridge.group_id), KVI("n_listeners", (int64_t)config->n_listeners),
             KVI("pid", getpid()));
    if (live(config, log, NULL, &once, &ignored, &e)) {
        log_error(log, "end", KV("class", err_class_name(e.class)), KV("error", e.msg));
        return exit_code_of(&e);
    }
    log_info(log, "stop");
    return EXIT_OK;
}

enum { BAR_WIDTH = 40, BAR_EVERY_MS = 100, LINE_EVERY_MS = 1000 };

struct progress {
    bool is_terminal;
    int64_t last_ms;
};

/* Called by a worker; only one listener runs, so only one at a time. */
static void show_progress(void *arg, const char *listener, int64_t n_records, int64_t total)
{
    struct progress *p = arg;
    int64_t now = clock_mono_ms();
    bool is_end = total >= 0 && n_records >= total;
    if (!is_end && now - p->last_ms < (p->is_terminal ? BAR_EVERY_MS : LINE_EVERY_MS))
        return;
    p->last_ms = now;
    if (!p->is_terminal || total <= 0) {
        fprintf(stderr, p->is_terminal ? "\r%s: %lld records" : "%s: %lld records\n", listener,
                (long long)n_records);
        return;
    }
    int done = (int)(n_records * BAR_WIDTH / total);
    done = done > BAR_WIDTH ? BAR_WIDTH : done;
    fprintf(stderr, "\r%s [%.*s%*s] %lld/%lld", listener, done, "########################################",
            BAR_WIDTH - done, "", (long long)n_records, (long long)total);
}

int service_once(const struct config *config, struct log *log, const char *listener, bool force)
{
    struct progress progress = {.is_terminal = isatty(STDERR_FILENO)};
    struct bridge_options options = {
        .once_listener = listener, .force = force, .on_progress = show_progress, .arg = &progress};
    struct err e, why;
    enum once_result once;
    if (progress.is_terminal && log->level > LOG_LEVEL_WARN)
        log->level = LOG_LEVEL_WARN; /* lines would break the bar */
    if (live(config, log, &options, &once, &why, &e)) {
        fprintf(stderr, "argilla-bridge: %s\n", e.msg);
        return exit_code_of(&e);
    }
    if (progress.is_terminal && progress.last_ms)
        fputc('\n', stderr);
    switch (once) {
    case ONCE_FIRED:
        printf("%s: done\n", listener);
        return EXIT_OK;
    case ONCE_FALSE:
        printf("%s: the condition is false, nothing was sent (--force runs it all the same)\n", listener);
        return EXIT_OK;
    case ONCE_FAILED:
        fprintf(stderr, "argilla-bridge: %s: %s\n", listener, why.msg);
        return EXIT_FAILED;
    default:
        fprintf(stderr, "argilla-bridge: %s: stopped before it was done\n", listener);
        return EXIT_FAILED;
    }
}
