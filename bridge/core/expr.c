#include "expr.h"

#include <ctype.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "expr_program.h"
#include "json_scan.h"
#include "near.h"

/* Integers below this have a double of their own; 2^53 itself is also what 2^53 + 1 becomes. */
#define EXACT_END 9007199254740992.0

/* Not jv_parse_sized: its error message reads on to a NUL that a slice doesn't have. */
static int parse(struct slice json, jv *ret, struct err *e)
{
    if (json.len > INT_MAX)
        return err_set(e, ERR_BAD_INPUT, "jq: the input has %zu bytes, at most %d", json.len, INT_MAX);
    jv_parser *parser = jv_parser_new(0);
    jv_parser_set_buf(parser, json.p, (int)json.len, 0);
    jv v = jv_parser_next(parser);
    jv_parser_free(parser);
    if (!jv_is_valid(v)) {
        jv msg = jv_invalid_get_msg(v);
        (void)err_set(e, ERR_BAD_INPUT, "jq can't read its input: %.400s",
                      jv_get_kind(msg) == JV_KIND_STRING ? jv_string_value(msg) : "it is empty");
        jv_free(msg);
        return -1;
    }
    *ret = v;
    return 0;
}

int expr_condition(struct expr_cache *c, const char *program, struct slice ctx_json, bool *ret, struct err *e)
{
    char text[EXPR_SHOWN];
    jv ctx, v;
    if (parse(ctx_json, &ctx, e) || expr_evaluate(c, OVER_CTX, program, ctx, &v, e))
        return -1;
    jv_kind kind = jv_get_kind(v);
    bool is_bool = kind == JV_KIND_TRUE || kind == JV_KIND_FALSE;
    if (is_bool)
        *ret = kind == JV_KIND_TRUE;
    else
        (void)err_set(e, ERR_BAD_INPUT, "the condition yields %s, not true or false: %s",
                      expr_describe(v, text),
                      kind == JV_KIND_NULL ? "is the name right? compare it, as in `search.total == 10`"
                                           : "compare it, as in `search.total == 10`");
    jv_free(v);
    return is_bool ? 0 : -1;
}

static int append(struct buf *ret, struct slice text, struct err *e)
{
    if (ret->overflow || text.len > ret->limit - ret->len)
        return err_set(e, ERR_BAD_INPUT, "the result has %zu bytes: there is room for %zu", text.len,
                       ret->limit - ret->len);
    buf_addslice(ret, text);
    return 0;
}

/* ---- update_query_params ---- */

enum { PARAMS_MAX = 1 << 20 };

/* A name that wasn't there before: most likely a slip of the one that was meant. */
static int refuse_new_name(const char *name, jv old, struct err *e)
{
    struct near near = {.name = name};
    jv_object_foreach(old, key, value)
    {
        near_try(&near, jv_string_value(key)); /* `old` keeps the string */
        jv_free(key);
        jv_free(value);
    }
    return err_set(e, ERR_BAD_INPUT, "query_params has got a new name `%.64s`%s%s%s", name,
                   near.best ? ": did you mean `" : "", near.best ? near.best : "", near.best ? "`?" : "");
}

static int check_names(jv old, jv new, struct err *e)
{
    int rc = 0;
    jv_object_foreach(new, key, value)
    {
        if (!rc && !jv_object_has(jv_copy(old), jv_copy(key)))
            rc = refuse_new_name(jv_string_value(key), old, e);
        jv_free(key);
        jv_free(value);
    }
    jv_object_foreach(old, key, value)
    {
        if (!rc && !jv_object_has(jv_copy(new), jv_copy(key)))
            rc = err_set(e, ERR_BAD_INPUT, "query_params has lost `%.64s`: every name must stay",
                         jv_string_value(key));
        jv_free(key);
        jv_free(value);
    }
    return rc;
}

static int add_number(double d, struct buf *ret, struct err *e)
{
    if (isnan(d) || isinf(d))
        return err_set(e, ERR_BAD_INPUT, "has become %s", isnan(d) ? "NaN" : "infinite");
    if (fabs(d) >= EXACT_END)
        return err_set(e, ERR_BAD_INPUT, "has become %.17g: jq's numbers aren't exact from 2^53 on", d);
    if (d == floor(d)) {
        buf_addf(ret, "%lld", (long long)d);
        return 0;
    }
    jv text = jv_dump_string(jv_number(d), 0);
    buf_addstr(ret, jv_string_value(text));
    jv_free(text);
    return 0;
}

/* The new value of a param as JSON; its old `token` when it is the same. */
static int add_param(jv old, jv new, struct slice token, struct buf *ret, struct err *e)
{
    char text[EXPR_SHOWN];
    if (jv_equal(jv_copy(old), jv_copy(new))) {
        buf_addslice(ret, token);
        return 0;
    }
    switch (jv_get_kind(new)) {
    case JV_KIND_NUMBER:
        return add_number(jv_number_value(new), ret, e);
    case JV_KIND_STRING:
        buf_addjson(ret, jv_string_value(new), (size_t)jv_string_length_bytes(jv_copy(new)));
        return 0;
    case JV_KIND_TRUE:
        buf_addstr(ret, "true");
        return 0;
    case JV_KIND_FALSE:
        buf_addstr(ret, "false");
        return 0;
    default:
        return err_set(e, ERR_BAD_INPUT, "has become %s: it must be a number, string or boolean",
                       expr_describe(new, text));
    }
}

/* Writes `new`'s params in the order of the old ones, `old_json`. */
static int add_params(struct slice old_json, jv old, jv new, struct buf *ret, struct err *e)
{
    struct json_iter it = json_iter(old_json);
    struct slice key, token;
    char before = '{';
    for (; json_next(&it, &key, &token); before = ',') {
        cleanup_buf struct buf name = buf_make(key.len * 3);
        (void)json_decode_string(key, &name);
        jv k = jv_string_sized(buf_str(&name), (int)name.len);
        jv was = jv_object_get(jv_copy(old), jv_copy(k)), is = jv_object_get(jv_copy(new), k);
        buf_addch(ret, before);
        buf_addslice(ret, key);
        buf_addch(ret, ':');
        int rc = add_param(was, is, token, ret, e);
        jv_free(was);
        jv_free(is);
        if (rc)
            return err_wrap(e, "query_params.%s", buf_str(&name));
    }
    buf_addstr(ret, before == '{' ? "{}" : "}");
    if (ret->overflow)
        return err_set(e, ERR_BAD_INPUT, "query_params have grown over %zu bytes", ret->limit);
    return 0;
}

/* The query_params of what the program yielded; takes it. */
static int take_params(jv result, jv *ret, struct err *e)
{
    char text[EXPR_SHOWN];
    static const char hint[] = "assign to a param, as in `ctx.query_params[\"batch_id\"] += 1`";
    if (jv_get_kind(result) != JV_KIND_OBJECT) {
        (void)err_set(e, ERR_BAD_INPUT, "yields %s, not a ctx: %s", expr_describe(result, text), hint);
        jv_free(result);
        return -1;
    }
    jv params = jv_object_get(result, jv_string("query_params"));
    if (jv_get_kind(params) != JV_KIND_OBJECT) {
        (void)err_set(e, ERR_BAD_INPUT, "yields an object without query_params, not a ctx: %s", hint);
        jv_free(params);
        return -1;
    }
    *ret = params;
    return 0;
}

int expr_update_params(struct expr_cache *c, const char *program, struct slice ctx_json, struct buf *ret,
                       struct err *e)
{
    struct slice old_json;
    jv ctx, result, new;
    cleanup_buf struct buf params = buf_make(PARAMS_MAX);
    if (!json_get(ctx_json, "query_params", &old_json) || json_type_of(old_json) != JSON_OBJECT)
        return err_set(e, ERR_BAD_INPUT, "the ctx has no query_params");
    if (parse(ctx_json, &ctx, e))
        return -1;
    jv old = jv_object_get(jv_copy(ctx), jv_string("query_params"));
    int rc = expr_evaluate(c, OVER_CTX, program, ctx, &result, e);
    if (!rc)
        rc = take_params(result, &new, e);
    if (!rc) {
        rc = check_names(old, new, e) || add_params(old_json, old, new, &params, e) ? -1 : 0;
        jv_free(new);
    }
    jv_free(old);
    return rc ? -1 : append(ret, buf_slice(&params), e);
}

/* ---- project ---- */

static int check_number(double d, struct err *e)
{
    if (isnan(d) || isinf(d))
        return err_set(e, ERR_BAD_INPUT, "yields %s: JSON has no such number", isnan(d) ? "NaN" : "infinity");
    if (fabs(d) >= EXACT_END && d == floor(d))
        return err_set(e, ERR_BAD_INPUT, "yields %.17g: jq's numbers aren't exact from 2^53 on, leave it out",
                       d);
    return 0;
}

/* Numbers and depth are what jq can hold and JSON, or who reads it, can't. Recursive: JSON_MAX_DEPTH small
 * frames. */
static int check_output(jv v, int depth, struct err *e)
{
    jv_kind kind = jv_get_kind(v);
    int rc = 0;
    if (kind == JV_KIND_NUMBER)
        return check_number(jv_number_value(v), e);
    if ((kind == JV_KIND_ARRAY || kind == JV_KIND_OBJECT) && depth == JSON_MAX_DEPTH)
        return err_set(e, ERR_BAD_INPUT, "yields a value nested more than %d deep", JSON_MAX_DEPTH);
    if (kind == JV_KIND_ARRAY) {
        for (int i = 0, n = jv_array_length(jv_copy(v)); i < n && !rc; i++) {
            jv item = jv_array_get(jv_copy(v), i);
            rc = check_output(item, depth + 1, e);
            jv_free(item);
        }
    } else if (kind == JV_KIND_OBJECT) {
        for (int i = jv_object_iter(v); jv_object_iter_valid(v, i) && !rc; i = jv_object_iter_next(v, i)) {
            jv item = jv_object_iter_value(v, i);
            rc = check_output(item, depth + 1, e);
            jv_free(item);
        }
    }
    return rc;
}

int expr_project(struct expr_cache *c, const char *program, struct slice record_json, struct buf *ret,
                 struct err *e)
{
    jv record, v;
    if (parse(record_json, &record, e) || expr_evaluate(c, OVER_RECORD, program, record, &v, e))
        return -1;
    if (check_output(v, 0, e)) {
        jv_free(v);
        return -1;
    }
    jv text = jv_dump_string(v, 0);
    int rc =
        append(ret, (struct slice){jv_string_value(text), (size_t)jv_string_length_bytes(jv_copy(text))}, e);
    jv_free(text);
    return rc;
}
