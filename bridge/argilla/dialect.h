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
    const char *operation; /* literal: "count" */
    struct dataset_ref dataset;
    char *cursor; /* scan: the one it was asked with */
    /* Reads the body of a 2xx answer into `ret`; -1 with `e` set when it isn't what it should be. It may take
     * the body's memory and what the call holds. */
    int (*read)(struct call *c, struct http_response *resp, struct argilla_answer *ret, struct err *e);
};

struct dialect {
    /* Each sends the call, whose dataset says of which; resolve knows no task yet. */
    uint64_t (*resolve)(struct call *c);
    uint64_t (*count)(struct call *c, const char *query);
    uint64_t (*metric)(struct call *c, const char *query, const char *metric);
    uint64_t (*scan)(struct call *c, const char *query, int limit);
    uint64_t (*exists)(struct call *c, struct slice id);
    char *(*query_since)(const char *query, int64_t from_ms, int64_t to_ms);
    char *(*cursor_after)(struct slice id_token);
    /* Reclasses answer->err by what the server says in its body; clears it when that is an answer. */
    void (*judge)(const struct call *c, const struct http_response *resp, struct argilla_answer *answer);
};
extern const struct dialect dialect_v1;

/* Takes the memory of `path` and `body` (NULL: none). Its gate is the dataset. Returns the request's id. */
uint64_t call_send(struct call *c, const char *method, struct buf *path, struct buf *body, int timeout_ms);
/* `s` percent-encoded, appended: three bytes a byte at most. */
void add_encoded(struct buf *b, const char *s);
void add_encoded_bytes(struct buf *b, struct slice s);

#endif
