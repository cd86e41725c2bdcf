/* Scripted faults: of the requests whose path holds `match` (and whose dataset is `dataset`), the first
 * `after` pass, the next `times` are spoiled. The caller's lock. */
#ifndef SIM_FAULTS_H
#define SIM_FAULTS_H

#include "buf.h"
#include "err.h"

enum { MAX_FAULTS = 1024, MAX_FAULT_DELAY_MS = 3600000 };

/* What happens to a spoiled request; members at -1 (or NULL) do nothing. */
struct spoil {
    int64_t status, retry_after_s, delay_ms;
    int64_t cut_at;   /* the connection ends after so many bytes of the body that was announced whole */
    int64_t truncate; /* the body is so many bytes, and says so */
    bool is_hanging;  /* no answer as long as the simulator runs */
    char *body;       /* instead of the right one */
};
extern const struct spoil NO_SPOIL;

struct fault {
    char *match, *method, *dataset; /* NULL: any */
    int64_t after, times;           /* times -1: for ever */
    uint64_t n_met;
    struct spoil spoil;
};
struct faults {
    struct fault *list;
    size_t n;
};

/* From one JSON object
 * ({"match","method","dataset","after","times","status","retry_after","delay_ms","cut_at","truncate",
 * "hang","body"}): 0, or -1 for an unknown or wrong member. */
int faults_add(struct faults *f, struct slice json, struct err *e);
void faults_clear(struct faults *f);
/* Counts a request; the first fault that meets it has its say. `ret.body` is the caller's to free. */
bool faults_meet(struct faults *f, const char *method, const char *path, const char *dataset,
                 struct spoil *ret);
void faults_write(const struct faults *f, struct buf *ret);

#endif
