/* What expr.c is made of: compiled jq programs, their cache, one run of one. For expr.c alone; jq's values
 * are the only thing that it shares with it. A program is one caller's at a time, and so is a value. */
#ifndef AB_CORE_EXPR_PROGRAM_H
#define AB_CORE_EXPR_PROGRAM_H

#include <jv.h>

#include "expr.h"

/* What a program's input is: it decides which names are defined. */
enum expr_kind { OVER_CTX, OVER_RECORD };
enum { EXPR_SHOWN = 120 }; /* bytes of a program or value in an error */

/* Compiles (or takes from the cache) and runs `program` on `input`, which it takes. 0 with the one value it
 * yielded (the caller frees it), or -1: ERR_CONFIG, it doesn't compile; ERR_BAD_INPUT, it failed or yielded
 * none or several. */
int expr_evaluate(struct expr_cache *c, enum expr_kind kind, const char *program, jv input, jv *ret,
                  struct err *e);

/* A value in words, for an error: scalars as they are (in `text`), of others only what they are. */
const char *expr_describe(jv v, char text[EXPR_SHOWN]);

#endif
