/* Expressions: jq programs over a listener's ctx (libjq). The input is the ctx object; a prelude defines
 * `ctx`, `search`, `metrics`, `query_params` and `previous` as paths into it, so that the expressions of
 * Argilla's own guide run as they are. The environment is out of reach ($ENV and env are empty: they would
 * publish secrets), so are further inputs and stderr. Numbers are doubles in jq 1.6: what it can't hold
 * exactly is refused on its way out. What the config's author must answer for: a program isn't interrupted
 * (one that never ends keeps its thread), one that nests values thousands deep overflows the stack, and jq
 * itself reads definitions from ~/.jq when there is such a file.
 *
 * `struct expr_cache` keeps compiled programs by their text (compiling takes milliseconds, a run
 * microseconds), at most EXPR_IDLE_MAX of each text; a program is one caller's at a time, so any thread may
 * use the cache. 128 KiB of stack are enough. Owned by main. */
#ifndef AB_CORE_EXPR_H
#define AB_CORE_EXPR_H

#include "buf.h"
#include "err.h"

enum { EXPR_TEXT_MAX = 64 << 10, EXPR_IDLE_MAX = 16 };

struct expr_cache;
struct expr_cache *expr_cache_new(void);
/* When no thread uses it any more. */
void expr_cache_free(struct expr_cache *c);

/* How many programs lie ready, and how many were compiled so far. */
void expr_cache_count(struct expr_cache *c, size_t *ret_idle, uint64_t *ret_compiled);

/* Drops the programs that lie ready and whose text isn't among the `n` texts. */
void expr_cache_keep(struct expr_cache *c, const char *const *texts, size_t n);

/* Does it compile, over a ctx (condition, update_query_params) or over a record (project)? 0, or -1
 * ERR_CONFIG with jq's own words and the line, counted in `program`. */
int expr_check(struct expr_cache *c, const char *program, struct err *e);
int expr_check_project(struct expr_cache *c, const char *program, struct err *e);

/* Runs a condition on `ctx_json` (a checked JSON object): it must yield exactly one boolean. Anything else,
 * an error inside jq included, is -1 ERR_BAD_INPUT with a hint (`search.total` alone is no boolean: compare
 * it). */
int expr_condition(struct expr_cache *c, const char *program, struct slice ctx_json, bool *ret,
                   struct err *e);

/* Runs update_query_params: it must yield exactly one ctx, whose query_params is an object with the same
 * names as before and scalar values, its numbers exact (integers from 2^53 on refused: 2^53 + 1 would be the
 * same number, and the listener would never move on). Appends the new query_params (JSON object, in the order
 * of the old ones, integers written without fraction or exponent) to `ret`. Params that the program left
 * alone keep their token. -1 ERR_BAD_INPUT, `ret` as it was, also when it has no room. */
int expr_update_params(struct expr_cache *c, const char *program, struct slice ctx_json, struct buf *ret,
                       struct err *e);

/* Runs `project` with a record as its input (the prelude's names are not defined there) and appends the one
 * value it must yield, as JSON. Its numbers must be finite and its integers below 2^53: a larger one would
 * come out as another. -1 ERR_BAD_INPUT, `ret` as it was, also when it has no room. */
int expr_project(struct expr_cache *c, const char *program, struct slice record_json, struct buf *ret,
                 struct err *e);

#endif
