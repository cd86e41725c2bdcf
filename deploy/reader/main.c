/* demo-reader: what a subscriber sees, in words, and whether all of it is there once. What deploy/demo shows.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include "clock.h"
#include "json_scan.h"
#include "reader.h"
#include "show.h"

enum { POLL_MS = 100, TO_END_MS = 20000, VALUE_MAX = 64 };

static const char USAGE[] =
    "demo-reader --brokers LIST --topics NAME,... [--runs N --enough FILE]\n"
    "Shows what argilla-bridge publishes. SIGTERM or SIGINT: reads on to the present end, tells what came,\n"
    "and exits with 0 if something was fired, nothing failed, was doubled or is missing; else with 1.\n"
    "  --runs N        after so many run messages\n"
    "  --enough FILE   makes this file, to tell who waits for it\n";

struct options {
    const char *brokers, *topics, *enough;
    int64_t runs;
};

struct demo {
    struct options options;
    struct reader *reader;
    struct tally *tally;
    struct show show;
    char first[VALUE_MAX], last[VALUE_MAX]; /* batch_id, as it was and as it will be next */
    int64_t n_runs, n_unreadable;
};

static int read_options(int argc, char **argv, struct options *ret)
{
    static const struct option known[] = {{"brokers", required_argument, NULL, 'b'},
                                          {"topics", required_argument, NULL, 't'},
                                          {"runs", required_argument, NULL, 'r'},
                                          {"enough", required_argument, NULL, 'e'},
                                          {0}};
    int c;
    *ret = (struct options){0};
    while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (c == 'b')
            ret->brokers = optarg;
        else if (c == 't')
            ret->topics = optarg;
        else if (c == 'e')
            ret->enough = optarg;
        else if (c != 'r' || json_check(slice_of(optarg), NULL) ||
                 json_get_int64(slice_of(optarg), &ret->runs))
            return -1;
    }
    return optind == argc && ret->brokers && ret->topics ? 0 : -1;
}

static void note_param(struct slice value, const char *member, char ret[VALUE_MAX])
{
    struct slice params, v;
    if (json_get(value, member, &params) && json_get(params, "batch_id", &v))
        (void)snprintf(ret, VALUE_MAX, "%.*s", (int)v.len, v.p);
}

static int tell_enough(const char *path, struct err *e)
{
    FILE *f = path ? fopen(path, "we") : NULL;
    if (path && (!f || fclose(f)))
        return err_errno(e, path, errno);
    return 0;
}

static int take(struct demo *d, const struct message *m, struct err *e)
{
    struct err why;
    show_message(&d->show, m);
    if (tally_add(d->tally, m, &why)) {
        (void)printf("not counted: %s\n", why.msg);
        d->n_unreadable++;
        return 0;
    }
    if (m->kind != MESSAGE_RUN)
        return 0;
    if (!d->first[0])
        note_param(m->value, "query_params", d->first);
    note_param(m->value, "next_query_params", d->last);
    return ++d->n_runs == d->options.runs ? tell_enough(d->options.enough, e) : 0;
}

static int one(struct demo *d, struct err *e)
{
    struct message m;
    int rc = reader_next(d->reader, POLL_MS, &m, e);
    return rc > 0 ? take(d, &m, e) : rc;
}

/* True once there is a signal. */
static bool must_end(const sigset_t *signals)
{
    const struct timespec at_once = {0};
    return sigtimedwait(signals, NULL, &at_once) > 0;
}

static int read_all(struct demo *d, const sigset_t *signals, struct err *e)
{
    while (!must_end(signals))
        if (one(d, e))
            return -1;
    if (reader_mark_end(d->reader, e))
        return -1;
    int64_t deadline = clock_mono_ms() + TO_END_MS;
    while (!reader_is_at_end(d->reader)) {
        if (clock_mono_ms() > deadline)
            return err_set(e, ERR_FATAL, "the topics' ends can't be reached");
        if (one(d, e))
            return -1;
    }
    return 0;
}

/* The exit status. */
static int tell(const struct demo *d)
{
    struct tally_sum sum;
    tally_get(d->tally, &sum);
    int64_t n_odd = d->n_unreadable + reader_n_foreign(d->reader);
    if (sum.n_failed)
        (void)printf("runs that failed: %lld\n", (long long)sum.n_failed);
    if (n_odd)
        (void)printf("messages that the bridge can't have sent: %lld\n", (long long)n_odd);
    show_sum(&sum, d->first[0] ? d->first : NULL, d->last[0] ? d->last : NULL);
    return sum.n_fired && !sum.n_failed && !sum.n_duplicates && !sum.n_missing && !n_odd ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct demo d = {0};
    struct err e = {0};
    sigset_t signals;
    if (read_options(argc, argv, &d.options)) {
        (void)fputs(USAGE, stderr);
        return 2;
    }
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before librdkafka's threads */
    d.tally = tally_new();
    int rc = reader_new(d.options.brokers, d.options.topics, &d.reader, &e);
    if (!rc)
        rc = read_all(&d, &signals, &e);
    int status = 1;
    if (rc)
        (void)fprintf(stderr, "demo-reader: %s\n", e.msg);
    if (d.reader)
        status = tell(&d);
    reader_free(d.reader);
    tally_free(d.tally);
    show_release(&d.show);
    return rc ? 1 : status;
}
