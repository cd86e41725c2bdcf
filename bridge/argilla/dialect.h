/* A dialect: one generation of Argilla's API. Adding a generation means one more file that fills this table.
 * Requests are built and answers read here; nothing waits. Internal to argilla/. */
#ifndef AB_ARGILLA_DIALECT_H
#define AB_ARGILLA_DIALECT_H

#include "argilla.h"

struct argilla {
    const struct argilla_config *config;
    struct http_engine *http;
    const struct dialect *dialect;
};

/* One call on its way: what its answer will be read with. */
struct call {
    struct argilla *argilla;
    argilla_done_fn *done;
    void *arg;
    /* Reads the body of a 2xx answer into `ret`, whose err is ERR_NONE; -1 with ret->err set when it isn't
     * what it should be. It may take the body's memory. */
    int (*read)(struct call *c, struct http_response *resp, struct argilla_answer *ret);
};

struct dialect {
    uint64_t (*resolve)(struct argilla *a, const char *workspace, const char *dataset, struct call *c);
    uint64_t (*count)(struct argilla *a, const struct dataset_ref *d, const char *query, struct call *c);
    uint64_t (*metric)(struct argilla *a, const struct dataset_ref *d, const char *query, const char *metric,
                       struct call *c);
    uint64_t (*scan)(struct argilla *a, const struct dataset_ref *d, const char *query, const char *cursor,
                     int limit, struct call *c);
    char *(*cursor_after)(struct slice id_token);
    /* Reclasses an error by what the server says in its body. */
    void (*judge)(const struct http_response *resp, struct err *e);
};
extern const struct dialect dialect_v1;

/* Sends it; takes path, gate, body. */
uint64_t call_send(struct call *c, const char *method, char *path, char *gate, struct buf *body,
                   int timeout_ms);
/* `s` percent-encoded, appended. */
void add_encoded(struct buf *b, const char *s);

#endif
