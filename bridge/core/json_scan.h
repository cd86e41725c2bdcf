/* A JSON scanner over bytes that stay where they are: it finds values, it builds nothing. Records are slices
 * of the page that Argilla sent and go out byte for byte; ids and numbers stay the tokens that they were.
 * Depth is limited (JSON_MAX_DEPTH). Pure; any thread. */
#ifndef AB_CORE_JSON_SCAN_H
#define AB_CORE_JSON_SCAN_H

#include "buf.h"
#include "err.h"

enum { JSON_MAX_DEPTH = 128 };
enum json_type { JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_NUMBER, JSON_TRUE, JSON_FALSE, JSON_NULL };

/* The whole of `text` is one well-formed JSON value (RFC 8259, UTF-8 checked, white space around allowed)?
 * 0, or -1 ERR_BAD_INPUT with the offset. */
int json_check(struct slice text, struct err *e);

/* The type of a value by its first byte; `v` is one value without white space around. */
enum json_type json_type_of(struct slice v);

/* `for (it = json_iter(object_or_array); json_next(&it, &key, &value);)`: the members of an object or array
 * whose text has passed json_check. `key` is the raw token with its quotes (empty in arrays); `value` has no
 * white space around. Either may be NULL. */
struct json_iter {
    struct slice rest;
    bool is_object, started;
};
struct json_iter json_iter(struct slice container);
bool json_next(struct json_iter *it, struct slice *ret_key, struct slice *ret_value);

/* The value of the first member `name` (no escapes in it) of a checked object. False when absent or not an
 * object. */
bool json_get(struct slice object, const char *name, struct slice *ret_value);

/* Appends the decoded text of a checked string token. A NUL (\u0000) is kept as a byte. -1 when `token` is no
 * string. */
int json_decode_string(struct slice token, struct buf *ret);

/* A checked integer token that fits: 0; else -1 (fractions, exponents and overflow included). */
int json_get_int64(struct slice token, int64_t *ret);

#endif
