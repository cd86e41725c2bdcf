#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>

static const char USAGE[] = "argilla-sim: a small Argilla 1.x in memory, beside librdkafka's mock cluster\n"
                            "  --port N               of HTTP on 127.0.0.1; 0 (default): a free one\n"
                            "  --kafka-brokers N      brokers of the mock cluster; 0 (default): none\n"
                            "  --topics NAME:N,...    its topics with their partitions\n"
                            "  --dataset NAME:TASK:N[:RECORD_BYTES[:BATCH]]   a dataset of N generated "
                            "records; BATCH share a metadata.batch_id\n"
                            "  --workspace NAME       of the datasets (default: argilla)\n"
                            "  --canned               scan pages are made once and then served from memory\n"
                            "  --changes N, --adds N  records changed and added a second, over all datasets\n"
                            "  --seed N               another seed, other records\n"
                            "  --ready-file FILE      gets the line of exports that is printed when ready\n";

static int number(const char *text, double most, double *ret)
{
    char *end;
    errno = 0;
    *ret = strtod(text, &end);
    return errno || end == text || *end || !(*ret >= 0 && *ret <= most) ? -1 : 0;
}

static int whole(const char *text, uint64_t most, uint64_t *ret)
{
    double d;
    if (number(text, (double)most, &d))
        return -1;
    *ret = (uint64_t)d;
    return 0;
}

/* NAME:N,NAME:N */
static int read_topics(struct options *o, const char *text)
{
    for (const char *p = text; *p;) {
        size_t n = strcspn(p, ",");
        cleanup_free char *one = xstrndup(p, n);
        char *colon = strrchr(one, ':');
        uint64_t partitions = 1;
        if (colon && whole(colon + 1, 10000, &partitions))
            return -1;
        if (colon)
            *colon = 0;
        if (!*one || !partitions || o->n_topics == MAX_NAMED)
            return -1;
        o->topics = xrealloc(o->topics, (o->n_topics + 1) * sizeof *o->topics);
        o->topics[o->n_topics++] = (struct topic_option){xstrdup(one), (int)partitions};
        p += n + (p[n] == ',');
    }
    return 0;
}

static int read_dataset(struct options *o, const char *text)
{
    cleanup_free char *copy = xstrdup(text);
    char *part[5] = {copy}, *rest = copy;
    size_t n = 1;
    for (; n < 5 && (rest = strchr(rest, ':')); n++) {
        *rest++ = 0;
        part[n] = rest;
    }
    struct dataset_option d = {0};
    int task = n >= 3 ? task_of(slice_of(part[1])) : -1;
    if (!*part[0] || task < 0 || whole(part[2], 999999999, &d.n) ||
        (n > 3 && whole(part[3], 1 << 20, &d.record_bytes)) ||
        (n > 4 && whole(part[4], 999999999, &d.batch)) || o->n_datasets == MAX_NAMED)
        return -1;
    d.name = xstrdup(part[0]);
    d.task = (enum task)task;
    o->datasets = xrealloc(o->datasets, (o->n_datasets + 1) * sizeof *o->datasets);
    o->datasets[o->n_datasets++] = d;
    return 0;
}

static int read_one(struct options *o, int c, const char *value)
{
    uint64_t n = 0;
    int rc = 0;
    switch (c) {
    case 'p':
        rc = whole(value, 65535, &n);
        o->port = (int)n;
        return rc;
    case 'k':
        rc = whole(value, 10, &n);
        o->brokers = (int)n;
        return rc;
    case 't':
        return read_topics(o, value);
    case 'd':
        return read_dataset(o, value);
    case 'w':
        free(o->workspace);
        o->workspace = xstrdup(value);
        return 0;
    case 'c':
        o->canned = true;
        return 0;
    case 'C':
        return number(value, 1e6, &o->changes_per_s);
    case 'A':
        return number(value, 1e6, &o->adds_per_s);
    case 's':
        return whole(value, 1u << 31, &o->seed);
    case 'r':
        free(o->ready_file);
        o->ready_file = xstrdup(value);
        return 0;
    default:
        return -1;
    }
}

int options_read(int argc, char **argv, struct options *ret)
{
    static const struct option known[] = {{"port", required_argument, NULL, 'p'},
                                          {"kafka-brokers", required_argument, NULL, 'k'},
                                          {"topics", required_argument, NULL, 't'},
                                          {"dataset", required_argument, NULL, 'd'},
                                          {"canned", no_argument, NULL, 'c'},
                                          {"changes", required_argument, NULL, 'C'},
                                          {"adds", required_argument, NULL, 'A'},
                                          {"seed", required_argument, NULL, 's'},
                                          {"workspace", required_argument, NULL, 'w'},
                                          {"ready-file", required_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    *ret = (struct options){.workspace = xstrdup("argilla"), .seed = 1};
    int c, index = 0;
    while ((c = getopt_long(argc, argv, "", known, &index)) != -1) {
        if (c == 'h') {
            (void)fputs(USAGE, stdout);
            return 1;
        }
        if (c == '?' || read_one(ret, c, optarg)) {
            if (c != '?')
                (void)fprintf(stderr, "argilla-sim: --%s %s: not a value for it\n", known[index].name,
                              optarg);
            return -1;
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "argilla-sim: %s: what is that?\n", argv[optind]);
        return -1;
    }
    return 0;
}

void options_release(struct options *o)
{
    for (size_t i = 0; i < o->n_topics; i++)
        free(o->topics[i].name);
    for (size_t i = 0; i < o->n_datasets; i++)
        free(o->datasets[i].name);
    free(o->topics);
    free(o->datasets);
    free(o->workspace);
    free(o->ready_file);
    *o = (struct options){0};
}
