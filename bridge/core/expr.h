/* Expressions: jq programs over a listener's ctx (libjq). The input is the ctx object; a prelude defines
 * `ctx`, `search`, `metrics`, `query_params` and `previous` as paths into it, so that the expressions of
 * Argilla's own guide run as they are. The environment is out of reach ($ENV and env are empty: they would
 * publish secrets). Numbers are doubles in jq 1.6.
 *
 * `struct expr_cache` keeps compiled programs by their text (compiling costs 13 ms, a run microseconds);
 * programs are handed to one caller at a time, so any thread may use it. Owned by main. */
#ifndef AB_CORE_EXPR_H
#define AB_CORE_EXPR_H

#include "buf.h"
#include "err.h"

struct expr_cache;
struct expr_cache *expr_cache_new(void);
void expr_cache_free(struct expr_cache *c);

/* Does it compile? 0, or -1 ERR_CONFIG with jq's own words. */
int expr_check(struct expr_cache *c, const char *program, struct err *e);

/* Runs a condition on `ctx_json` (a checked JSON object): it must yield exactly one boolean. Anything else,
 * an error inside jq included, is -1 ERR_BAD_INPUT with a hint (`search.total` alone is no boolean: compare
 * it). */
int expr_condition(struct expr_cache *c, const char *program, struct slice ctx_json, bool *ret,
                   struct err *e);

/* Runs update_query_params: it must yield exactly one ctx, whose query_params is an object with the same
 * names as before and scalar values, its numbers exact (integers beyond 2^53 refused). Appends the new
 * query_params (JSON object, integers written without fraction or exponent) to `ret`. Integer params that the
 * program left alone keep their token. -1 ERR_BAD_INPUT. */
int expr_update_params(struct expr_cache *c, const char *program, struct slice ctx_json, struct buf *ret,
                       struct err *e);

/* Runs `project` with a record as its input (the prelude's names are not defined there) and appends the one
 * value it must yield, as JSON. -1 ERR_BAD_INPUT. */
int expr_project(struct expr_cache *c, const char *program, struct slice record_json, struct buf *ret,
                 struct err *e);

#endif
