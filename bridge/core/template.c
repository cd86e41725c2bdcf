#include "template.h"

#include "json_scan.h"

enum { NAME_SHOWN = 64 }; /* bytes of a name in an error message */

enum piece_type { PIECE_TEXT, PIECE_NAME, PIECE_END };
struct piece {
    enum piece_type type;
    struct slice text; /* of a name: what stands between the braces */
    size_t at;         /* its place in the template, from 1 */
};

static int shown(struct slice name)
{
    return (int)(name.len < NAME_SHOWN ? name.len : NAME_SHOWN);
}

static int bad(struct err *e, size_t at, const char *what, const char *hint)
{
    return err_set(e, ERR_CONFIG, "%s at character %zu: %s", what, at, hint);
}

static bool is_name_char(char c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') || strchr("_-*", c);
}

/* Python would take nearly anything between braces for a name and then not find it. The names of a config are
 * letters, digits and "_-*", so whatever else stands there is a mistake that can be told: most likely a range
 * of Lucene, `{0.5 TO 0.6}`, with its braces not doubled. */
static int check_name(struct slice name, size_t at, struct err *e)
{
    size_t digits = 0, word = 0;
    if (name.len == 0)
        return bad(e, at, "{} without a name", "write {name}");
    while (digits < name.len && name.p[digits] >= '0' && name.p[digits] <= '9')
        digits++;
    while (word < name.len && is_name_char(name.p[word]))
        word++;
    if (digits == name.len)
        return bad(e, at, "a position instead of a name", "write {name}");
    if (word == name.len)
        return 0;
    if (digits || memchr(name.p, ' ', name.len) || !strchr("!:.[", name.p[word]))
        return err_set(e, ERR_CONFIG, "{%.*s} at character %zu is no name: a literal { is written {{",
                       shown(name), name.p, at - 1);
    return bad(e, at + word,
               name.p[word] == '!'   ? "a conversion (!)"
               : name.p[word] == ':' ? "a format spec (:)"
                                     : "an attribute or index",
               "only {name} is possible; a literal { is written {{");
}

/* The piece of `text` at `*pos`, which is moved behind it. */
static int next_piece(const char *text, size_t *pos, struct piece *ret, struct err *e)
{
    const char *p = text + *pos;
    size_t n = strcspn(p, "{}");
    *ret = (struct piece){PIECE_TEXT, {p, n}, *pos + 1};
    if (!p[0]) {
        ret->type = PIECE_END;
    } else if (n == 0 && p[1] == p[0]) {
        ret->text.len = 1;
        n = 2;
    } else if (n == 0 && p[0] == '}') {
        return bad(e, ret->at, "a single }", "a literal } is written }}");
    } else if (n == 0) {
        ret->type = PIECE_NAME;
        ret->text = (struct slice){p + 1, strcspn(p + 1, "}")};
        if (p[1 + ret->text.len] != '}')
            return bad(e, ret->at, "a { that is not closed", "a literal { is written {{");
        if (check_name(ret->text, ret->at + 1, e))
            return -1;
        n = ret->text.len + 2;
    }
    *pos += n;
    return 0;
}

static int undefined(struct err *e, enum err_class class, const struct piece *p)
{
    return err_set(e, class, "{%.*s} at character %zu is not in query_params", shown(p->text), p->text.p,
                   p->at);
}

int template_names(const char *text, int (*on_name)(void *arg, struct slice name), void *arg, struct err *e)
{
    struct piece piece = {.type = PIECE_TEXT};
    for (size_t pos = 0; piece.type != PIECE_END;) {
        if (next_piece(text, &pos, &piece, e))
            return -1;
        if (piece.type == PIECE_NAME && on_name(arg, piece.text))
            return undefined(e, ERR_CONFIG, &piece);
    }
    return 0;
}

static bool find_param(struct slice params, struct slice name, struct slice *ret)
{
    struct json_iter it = json_iter(params);
    struct slice key;
    while (it.is_object && json_next(&it, &key, ret))
        if (key.len == name.len + 2 && memcmp(key.p + 1, name.p, name.len) == 0)
            return true;
    return false;
}

static int add_param(const struct piece *p, struct slice params, struct buf *ret, struct err *e)
{
    struct slice value;
    if (!find_param(params, p->text, &value))
        return undefined(e, ERR_BAD_INPUT, p);
    switch (json_type_of(value)) {
    case JSON_STRING:
        return json_decode_string(value, ret);
    case JSON_NUMBER:
        buf_addslice(ret, value);
        return 0;
    case JSON_TRUE:
        buf_addstr(ret, "True");
        return 0;
    case JSON_FALSE:
        buf_addstr(ret, "False");
        return 0;
    case JSON_NULL:
        buf_addstr(ret, "None");
        return 0;
    default:
        return err_set(e, ERR_BAD_INPUT,
                       "query_params.%.*s is an object or array: a query takes single values", shown(p->text),
                       p->text.p);
    }
}

int template_format(const char *text, struct slice params_json, struct buf *ret, struct err *e)
{
    struct piece piece = {.type = PIECE_TEXT};
    for (size_t pos = 0; piece.type != PIECE_END;) {
        if (next_piece(text, &pos, &piece, e))
            return -1;
        if (piece.type == PIECE_TEXT)
            buf_addslice(ret, piece.text);
        else if (piece.type == PIECE_NAME && add_param(&piece, params_json, ret, e))
            return -1;
    }
    if (ret->overflow)
        return err_set(e, ERR_BAD_INPUT, "the query is longer than %zu bytes", ret->limit);
    return 0;
}
