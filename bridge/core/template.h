/* A listener's query: text with {names} as Python's str.format reads it. `{name}` is replaced, `{{` and `}}`
 * are literal braces (Lucene's exclusive ranges); conversions, format specs, positions and attributes are
 * refused with a hint. Pure; any thread. */
#ifndef AB_CORE_TEMPLATE_H
#define AB_CORE_TEMPLATE_H

#include "buf.h"
#include "err.h"

/* Calls `on_name(arg, name)` for each placeholder, in order. -1 (ERR_CONFIG, with the position) when `text`
 * is not a valid template or the callback returns non-zero. */
int template_names(const char *text, int (*on_name)(void *arg, struct slice name), void *arg, struct err *e);

/* Appends `text` to `ret` with each {name} replaced by what the JSON object `params_json` holds for it,
 * written as Python's str() writes it: strings bare, numbers as their JSON token, True, False, None. -1
 * ERR_CONFIG for a bad template, ERR_BAD_INPUT for an undefined name or a value that is an object or array;
 * `ret` may then hold a part. */
int template_format(const char *text, struct slice params_json, struct buf *ret, struct err *e);

#endif
