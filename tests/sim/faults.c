#include "faults.h"

#include "json_scan.h"

const struct spoil NO_SPOIL = {-1, -1, -1, -1, -1, false, NULL};

static void fault_release(struct fault *f)
{
    free(f->match);
    free(f->method);
    free(f->dataset);
    free(f->spoil.body);
}

void faults_clear(struct faults *f)
{
    for (size_t i = 0; i < f->n; i++)
        fault_release(&f->list[i]);
    free(f->list);
    *f = (struct faults){0};
}

static int read_text(struct slice value, char **ret)
{
    struct buf text = buf_make(1 << 24);
    if (json_decode_string(value, &text)) {
        buf_release(&text);
        return -1;
    }
    free(*ret);
    *ret = buf_take(&text);
    return 0;
}

static int read_member(struct fault *f, struct slice key, struct slice value)
{
    const struct {
        const char *key;
        char **text;
        int64_t *number;
    } known[] = {{"\"match\"", &f->match, NULL},
                 {"\"method\"", &f->method, NULL},
                 {"\"dataset\"", &f->dataset, NULL},
                 {"\"body\"", &f->spoil.body, NULL},
                 {"\"after\"", NULL, &f->after},
                 {"\"times\"", NULL, &f->times},
                 {"\"status\"", NULL, &f->spoil.status},
                 {"\"retry_after\"", NULL, &f->spoil.retry_after_s},
                 {"\"delay_ms\"", NULL, &f->spoil.delay_ms},
                 {"\"cut_at\"", NULL, &f->spoil.cut_at},
                 {"\"truncate\"", NULL, &f->spoil.truncate}};
    if (json_type_of(value) == JSON_NULL)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (slice_eq(key, known[i].key))
            return known[i].text ? read_text(value, known[i].text) : json_get_int64(value, known[i].number);
    if (!slice_eq(key, "\"hang\""))
        return -1;
    f->spoil.is_hanging = json_type_of(value) == JSON_TRUE;
    return 0;
}

int faults_add(struct faults *f, struct slice json, struct err *e)
{
    struct fault new = {.times = -1, .spoil = NO_SPOIL};
    struct slice key, value;
    int rc = f->n < MAX_FAULTS ? 0 : err_set(e, ERR_BAD_INPUT, "no more than %d faults", MAX_FAULTS);
    if (!rc && (json_check(json, e) || json_type_of(json) != JSON_OBJECT))
        rc = err_set(e, ERR_BAD_INPUT, "a fault is a JSON object");
    for (struct json_iter it = json_iter(json); !rc && json_next(&it, &key, &value);)
        if (read_member(&new, key, value))
            rc = err_set(e, ERR_BAD_INPUT, "%.*s: unknown, or not a value for it", (int)key.len, key.p);
    if (!rc && (new.spoil.delay_ms > MAX_FAULT_DELAY_MS || new.spoil.status > 999 || new.spoil.status < -1 ||
                (new.spoil.status >= 0 && new.spoil.status < 200)))
        rc = err_set(e, ERR_BAD_INPUT, "a delay or status out of range");
    if (rc) {
        fault_release(&new);
        return -1;
    }
    f->list = xrealloc(f->list, (f->n + 1) * sizeof *f->list);
    f->list[f->n++] = new;
    return 0;
}

bool faults_meet(struct faults *f, const char *method, const char *path, const char *dataset,
                 struct spoil *ret)
{
    bool met = false;
    for (size_t i = 0; i < f->n; i++) {
        struct fault *one = &f->list[i];
        if ((one->match && !strstr(path, one->match)) || (one->method && strcmp(one->method, method) != 0) ||
            (one->dataset && strcmp(one->dataset, dataset) != 0))
            continue;
        int64_t n = (int64_t)one->n_met - one->after;
        bool is_due = n >= 0 && (one->times < 0 || n < one->times);
        if (is_due && met)
            continue; /* its turn comes with the next request */
        one->n_met++;
        if (!is_due)
            continue;
        met = true;
        *ret = one->spoil;
        ret->body = one->spoil.body ? xstrdup(one->spoil.body) : NULL;
    }
    return met;
}

void faults_write(const struct faults *f, struct buf *ret)
{
    buf_addch(ret, '[');
    for (size_t i = 0; i < f->n; i++) {
        const struct fault *one = &f->list[i];
        int64_t n = (int64_t)one->n_met - one->after;
        int64_t spoiled = n < 0 ? 0 : one->times >= 0 && n > one->times ? one->times : n;
        buf_addf(ret, "%s{\"match\":", i ? "," : "");
        buf_addjson(ret, one->match ? one->match : "", one->match ? strlen(one->match) : 0);
        buf_addf(ret, ",\"n_met\":%lld,\"n_spoiled\":%lld}", (long long)one->n_met, (long long)spoiled);
    }
    buf_addch(ret, ']');
}
