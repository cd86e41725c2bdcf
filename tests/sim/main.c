/* argilla-sim: what the demo, fault tests and benchmarks run on. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "clock.h"
#include "server.h"

enum { WRITES_EVERY_MS = 20, IDLE_MS = 60000 };

static void wake(void *main_thread)
{
    (void)pthread_kill(*(pthread_t *)main_thread, SIGUSR1);
}

static int make_topics(const struct sim *sim, struct err *e)
{
    for (size_t i = 0; i < sim->options.n_topics; i++)
        if (kafka_mock_topic(sim->kafka, sim->options.topics[i].name, sim->options.topics[i].partitions, e))
            return err_wrap(e, "topic %s", sim->options.topics[i].name);
    return 0;
}

static int start(struct sim *sim, struct err *e)
{
    const struct options *o = &sim->options;
    if (o->n_topics && !o->brokers)
        return err_set(e, ERR_CONFIG, "--topics needs --kafka-brokers");
    if (o->brokers && (kafka_mock_new(o->brokers, &sim->kafka, e) || make_topics(sim, e)))
        return -1;
    for (size_t i = 0; i < o->n_datasets; i++) {
        const struct dataset_option *d = &o->datasets[i];
        if (store_find(&sim->store, o->workspace, d->name))
            return err_set(e, ERR_CONFIG, "dataset %s is there twice", d->name);
        (void)store_create(&sim->store, o->workspace, d->name, d->task, d->n, d->record_bytes, d->batch,
                           o->seed);
    }
    sim->canned = o->canned ? canned_new() : NULL;
    sim->changes_per_s = o->changes_per_s;
    sim->adds_per_s = o->adds_per_s;
    return 0;
}

/* The line goes to stdout, and to the file by a rename, so that it is never read half. */
static int tell_ready(const struct sim *sim, int port, struct err *e)
{
    cleanup_free char *kafka =
        sim->kafka ? xasprintf(" KAFKA_BOOTSTRAP=%s", kafka_mock_bootstrap(sim->kafka)) : xstrdup("");
    cleanup_free char *line = xasprintf("export ARGILLA1_URL=http://127.0.0.1:%d%s\n", port, kafka);
    (void)fputs(line, stdout);
    (void)fflush(stdout);
    if (!sim->options.ready_file)
        return 0;
    cleanup_free char *part = xasprintf("%s.part", sim->options.ready_file);
    FILE *f = fopen(part, "we");
    if (!f)
        return err_errno(e, part, errno);
    int failed = fputs(line, f) < 0;
    failed |= fclose(f) != 0;
    return failed || rename(part, sim->options.ready_file) ? err_errno(e, sim->options.ready_file, errno) : 0;
}

/* What is due of a rate since the last time; the rest is kept. */
static uint64_t due(double rate, double elapsed_s, double *kept)
{
    *kept += rate * elapsed_s;
    uint64_t n = (uint64_t)*kept;
    *kept -= (double)n;
    return n;
}

/* Round the datasets, so that the rates are those of all together. */
static void write_some(struct sim *sim, double elapsed_s, double *kept_changes, double *kept_adds,
                       uint64_t *turn)
{
    (void)pthread_mutex_lock(&sim->lock);
    uint64_t changes = due(sim->changes_per_s, elapsed_s, kept_changes),
             adds = due(sim->adds_per_s, elapsed_s, kept_adds);
    for (; sim->store.n && (changes || adds); ++*turn) {
        struct dataset *ds = sim->store.datasets[*turn % sim->store.n];
        dataset_change(ds, changes > 0, (*turn + sim->options.seed) * 0x9E3779B97F4A7C15u);
        dataset_add(ds, adds > 0);
        changes -= changes > 0;
        adds -= adds > 0;
    }
    (void)pthread_mutex_unlock(&sim->lock);
}

static int64_t wait_ms(struct sim *sim, struct server *server)
{
    int64_t ms = server_tick(server);
    (void)pthread_mutex_lock(&sim->lock);
    bool is_writing = sim->changes_per_s > 0 || sim->adds_per_s > 0;
    (void)pthread_mutex_unlock(&sim->lock);
    if (ms < 0)
        ms = IDLE_MS;
    return is_writing && ms > WRITES_EVERY_MS ? WRITES_EVERY_MS : ms;
}

static void run(struct sim *sim, struct server *server, const sigset_t *signals)
{
    double kept_changes = 0, kept_adds = 0;
    uint64_t turn = 0;
    int64_t last_us = clock_mono_us();
    for (;;) {
        int64_t ms = wait_ms(sim, server);
        struct timespec t = {ms / 1000, ms % 1000 * 1000000};
        int number = sigtimedwait(signals, NULL, &t);
        if (number == SIGTERM || number == SIGINT)
            return;
        int64_t now_us = clock_mono_us();
        write_some(sim, (double)(now_us - last_us) / 1e6, &kept_changes, &kept_adds, &turn);
        last_us = now_us;
    }
}

int main(int argc, char **argv)
{
    struct sim sim = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct server *server = NULL;
    struct err e = {0};
    sigset_t signals;
    pthread_t self = pthread_self();
    int rc = options_read(argc, argv, &sim.options);
    if (rc) {
        options_release(&sim.options);
        return rc > 0 ? 0 : 2;
    }
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGUSR1);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread starts */
    (void)signal(SIGPIPE, SIG_IGN);
    rc = start(&sim, &e) || server_new(&sim, sim.options.port, wake, &self, &server, &e) ||
         tell_ready(&sim, server_port(server), &e);
    if (rc)
        (void)fprintf(stderr, "argilla-sim: %s\n", e.msg);
    else
        run(&sim, server, &signals);
    server_free(server);
    kafka_mock_free(sim.kafka);
    store_release(&sim.store);
    faults_clear(&sim.faults);
    stats_release(&sim.stats);
    arrivals_record(&sim.arrivals, 0);
    canned_free(sim.canned);
    options_release(&sim.options);
    return rc ? 1 : 0;
}
