/* The command line. */
#ifndef SIM_OPTIONS_H
#define SIM_OPTIONS_H

#include "doc.h"

enum { MAX_NAMED = 4096 };

struct topic_option {
    char *name;
    int partitions;
};
struct dataset_option {
    char *name;
    enum task task;
    uint64_t n, record_bytes, batch;
};
struct options {
    int port, brokers;
    struct topic_option *topics;
    size_t n_topics;
    struct dataset_option *datasets;
    size_t n_datasets;
    char *workspace, *ready_file;
    bool canned;
    double changes_per_s, adds_per_s;
    uint64_t seed;
};

/* 0; 1 when help was asked for and given; -1 when something is wrong, which was said on stderr.
 * options_release also after a failure. */
int options_read(int argc, char **argv, struct options *ret);
void options_release(struct options *o);

#endif
