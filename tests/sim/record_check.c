#include <stdio.h>

#include "json_scan.h"
#include "normalize.h"

enum { MAX_AGENT = 64, MAX_LABEL = 128, MAX_LOC = 256 };

/* One record's place in the body, and what is said of it. */
struct check {
    enum task task;
    size_t index;
    struct answer *a;
};

static int invalid(const struct check *c, const char *where, const char *msg, const char *type,
                   const char *more)
{
    cleanup_free char *loc = xasprintf("[\"body\",\"records\",%zu,%s]", c->index, where);
    answer_invalid(c->a, loc, msg, type, more);
    return -1;
}

static bool is_given(struct slice object, const char *name, struct slice *ret)
{
    return json_get(object, name, ret) && json_type_of(*ret) != JSON_NULL;
}

int status_check(struct slice token, const char *loc, struct answer *a)
{
    static const char *const known[] = {"\"Default\"", "\"Edited\"", "\"Discarded\"", "\"Validated\""};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_eq(token, known[i]))
            return 0;
    answer_invalid(
        a, loc,
        "value is not a valid enumeration member; permitted: 'Default', 'Edited', 'Discarded', 'Validated'",
        "type_error.enum", ",\"ctx\":{\"enum_values\":[\"Default\",\"Edited\",\"Discarded\",\"Validated\"]}");
    return -1;
}

static int check_id(const struct check *c, struct slice record)
{
    struct slice id;
    int64_t n;
    if (!is_given(record, "id", &id) || json_type_of(id) == JSON_STRING)
        return 0;
    bool is_whole =
        json_type_of(id) == JSON_NUMBER && !memchr(id.p, '.', id.len) && !memchr(id.p, 'e', id.len);
    if (is_whole || json_get_int64(id, &n) == 0)
        return 0;
    return invalid(c, "\"id\"", "str type expected", "type_error.str", "");
}

/* What a task can't be without. */
static int check_content(const struct check *c, struct slice record)
{
    struct slice value;
    bool is_classification = c->task == TEXT_CLASSIFICATION;
    const char *where = is_classification ? "\"inputs\"" : "\"text\"";
    if (!json_get(record, is_classification ? "inputs" : "text", &value))
        return invalid(c, where, "field required", "value_error.missing", "");
    if (is_classification && json_type_of(value) != JSON_OBJECT)
        return invalid(c, where, "value is not a valid dict", "type_error.dict", "");
    if (c->task == TOKEN_CLASSIFICATION && !json_get(record, "tokens", &value))
        return invalid(c, "\"tokens\"", "field required", "value_error.missing", "");
    return 0;
}

static int check_label(const struct check *c, const char *holder, size_t i, struct slice value)
{
    struct slice label;
    char where[MAX_LOC];
    if (!is_given(value, "class", &label) && !is_given(value, "class_label", &label))
        return 0;
    (void)snprintf(where, sizeof where, "\"%s\",\"labels\",%zu,\"class\"", holder, i);
    if (label.len <= 2)
        return invalid(c, where, "Class name must not be empty", "assertion_error", "");
    if (label.len - 2 > MAX_LABEL) {
        cleanup_free char *msg =
            xasprintf("Class name '%.*s' exceeds max length of 128", (int)label.len - 2, label.p + 1);
        return invalid(c, where, msg, "assertion_error", "");
    }
    return 0;
}

static double number_in(struct slice object, const char *name, double otherwise)
{
    struct slice token;
    char copy[64];
    if (!is_given(object, name, &token) || token.len >= sizeof copy)
        return otherwise;
    memcpy(copy, token.p, token.len);
    copy[token.len] = 0;
    return strtod(copy, NULL);
}

static int check_holder(const struct check *c, struct slice record, const char *name)
{
    struct slice holder, agent, list, value;
    char where[MAX_LOC];
    size_t i = 0;
    if (!is_given(record, name, &holder) || json_type_of(holder) != JSON_OBJECT)
        return 0;
    if (!is_given(holder, "agent", &agent))
        return invalid(c, "\"__root__\"", "Agent must be defined!", "assertion_error", "");
    (void)snprintf(where, sizeof where, "\"%s\",\"agent\"", name);
    if (agent.len - 2 > MAX_AGENT)
        return invalid(c, where, "ensure this value has at most 64 characters",
                       "value_error.any_str.max_length", ",\"ctx\":{\"limit_value\":64}");
    if (!json_get(holder, task_values(c->task), &list) || json_type_of(list) != JSON_ARRAY)
        return 0;
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &value); i++) {
        if (c->task == TEXT_CLASSIFICATION && check_label(c, name, i, value))
            return -1;
        (void)snprintf(where, sizeof where, "\"%s\",\"%s\",%zu,\"score\"", name, task_values(c->task), i);
        if (number_in(value, "score", 1) > 1)
            return invalid(c, where, "ensure this value is less than or equal to 1.0",
                           "value_error.number.not_le", ",\"ctx\":{\"limit_value\":1.0}");
    }
    return 0;
}

int record_check(struct slice record, enum task task, size_t index, struct answer *a)
{
    struct check c = {task, index, a};
    struct slice value;
    int64_t first, last;
    if (json_type_of(record) != JSON_OBJECT)
        return invalid(&c, "\"__root__\"", "value is not a valid dict", "type_error.dict", "");
    if (check_id(&c, record) || check_content(&c, record))
        return -1;
    if (is_given(record, "status", &value)) {
        cleanup_free char *loc = xasprintf("[\"body\",\"records\",%zu,\"status\"]", index);
        if (status_check(value, loc, a))
            return -1;
    }
    if (is_given(record, "event_timestamp", &value) &&
        (json_type_of(value) != JSON_STRING ||
         parse_date((struct slice){value.p + 1, value.len - 2}, &first, &last)))
        return invalid(&c, "\"event_timestamp\"", "invalid datetime format", "value_error.datetime", "");
    return check_holder(&c, record, "prediction") || check_holder(&c, record, "annotation") ? -1 : 0;
}

/* ---- the server's own models ---- */

static int model_error(struct answer *a, const char *why)
{
    cleanup_free char *message = xasprintf(
        "1 validation error for ServiceTextClassificationRecord\n__root__\n  %s (type=assertion_error)", why);
    answer_exception(a, "pydantic.error_wrappers.ValidationError", message);
    return -1;
}

static size_t values_in(struct slice record, const char *name, double *ret_sum)
{
    struct slice holder, list, value;
    size_t n = 0;
    *ret_sum = 0;
    if (!is_given(record, name, &holder) || !is_given(holder, "labels", &list))
        return 0;
    for (struct json_iter it = json_iter(list); json_next(&it, NULL, &value); n++)
        *ret_sum += number_in(value, "score", 1);
    return n;
}

static int check_classification(struct slice record, struct answer *a)
{
    struct slice value;
    double predicted, annotated;
    bool is_multi = json_get(record, "multi_label", &value) && json_type_of(value) == JSON_TRUE;
    (void)values_in(record, "prediction", &predicted);
    size_t n_labels = values_in(record, "annotation", &annotated);
    struct json_iter inputs = json_iter((struct slice){"{}", 2});
    if (json_get(record, "inputs", &value))
        inputs = json_iter(value);
    if (!json_next(&inputs, NULL, NULL))
        return model_error(a, "No inputs provided");
    if (!is_multi && predicted > 1.0 + 1e-6)
        return model_error(a, "Wrong score distributions");
    if (!is_multi && n_labels > 1)
        return model_error(a, "Single label record must include only one annotation label");
    if (is_given(record, "status", &value) && slice_eq(value, "\"Validated\"") && !is_multi && n_labels == 0)
        return model_error(a, "Annotation must include some label for validated records");
    return 0;
}

int record_check_models(struct slice record, enum task task, struct answer *a)
{
    struct slice id;
    if (is_given(record, "id", &id) && json_type_of(id) == JSON_STRING && (id.len == 2 || id.len - 2 > 512)) {
        answer_exception(a, "opensearchpy.exceptions.RequestError", "id is too short or too long");
        return -1;
    }
    return task == TEXT_CLASSIFICATION ? check_classification(record, a) : 0;
}
