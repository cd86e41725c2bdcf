/* Does the scanner find in real answers of Argilla, whole or damaged, what another parser finds, and stay
 * within the bytes it was given? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "json_scan.h"

static const char *const samples[] = {"scan-text-classification.json", "scan-token-classification.json",
                                      "scan-text2text.json"};

/* A real answer of Argilla's scan; the caller frees. */
static char *read_sample(const char *name)
{
    char path[1024];
    struct buf b = buf_make(1 << 20);
    (void)snprintf(path, sizeof path, "%s/data/%s", TEST_DIR, name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    for (int c; (c = fgetc(f)) != EOF;)
        buf_addch(&b, (char)c);
    (void)fclose(f);
    return buf_take(&b);
}

/* Of a copy that ends where its memory ends, so that a sanitizer sees a step too far. */
static int check_exactly(const char *text, size_t len, struct err *e)
{
    cleanup_free char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    return json_check((struct slice){copy, len}, e);
}

static void a_page_of_records_is_cut_into_its_bytes(void **state)
{
    (void)state;
    cleanup_free char *page = read_sample(samples[0]);
    struct slice records, record, id, cursor;
    assert_int_equal(json_check(slice_of(page), NULL), 0);
    assert_true(json_get(slice_of(page), "records", &records));
    struct json_iter it = json_iter(records);
    assert_true(json_next(&it, NULL, &record));
    assert_true(json_get(record, "id", &id));
    assert_true(slice_eq(id, "100"));
    assert_int_equal(json_type_of(record), JSON_OBJECT);
    assert_int_equal(record.len, records.len - 2);
    assert_false(json_next(&it, NULL, &record));
    /* the cursor is JSON inside a string, with a number that a double would break */
    cleanup_buf struct buf text = buf_make(1000);
    assert_true(json_get(slice_of(page), "next_page_cfg", &cursor));
    assert_int_equal(json_decode_string(cursor, &text), 0);
    assert_int_equal(json_check(buf_slice(&text), NULL), 0);
    assert_non_null(strstr(buf_str(&text), "[1795549625580291000, \"100\"]"));
}

static void same_as(struct slice v, const cJSON *other)
{
    struct slice key, value;
    cleanup_buf struct buf text = buf_make(1 << 20);
    switch (json_type_of(v)) {
    case JSON_STRING:
        assert_true(cJSON_IsString(other));
        assert_int_equal(json_decode_string(v, &text), 0);
        assert_string_equal(buf_str(&text), other->valuestring);
        return;
    case JSON_NUMBER:
        assert_true(cJSON_IsNumber(other));
        assert_true(strtod(v.p, NULL) == other->valuedouble);
        return;
    case JSON_OBJECT:
    case JSON_ARRAY:
        assert_true(json_type_of(v) == JSON_OBJECT ? cJSON_IsObject(other) : cJSON_IsArray(other));
        other = other->child;
        for (struct json_iter it = json_iter(v); json_next(&it, &key, &value); other = other->next) {
            assert_non_null(other);
            buf_clear(&text);
            assert_int_equal(json_decode_string(key, &text), it.is_object ? 0 : -1);
            if (it.is_object)
                assert_string_equal(buf_str(&text), other->string);
            same_as(value, other);
        }
        assert_null(other);
        return;
    default:
        assert_true(json_type_of(v) == JSON_NULL   ? cJSON_IsNull(other)
                    : json_type_of(v) == JSON_TRUE ? cJSON_IsTrue(other)
                                                   : cJSON_IsFalse(other));
    }
}

/* What we take, cJSON takes too (it takes more), and both see the same values in it. Half surrogates are the
 * exception: well formed for RFC 8259, an error for cJSON. */
static bool compare(const char *text, size_t len)
{
    cleanup_free char *copy = malloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (check_exactly(text, len, NULL))
        return false;
    if (strstr(copy, "\\ud") || strstr(copy, "\\uD"))
        return true;
    cJSON *json = cJSON_ParseWithLength(copy, len);
    if (!json)
        fail_msg("cJSON refuses %s", copy);
    const char *begin = copy + strspn(copy, " \t\r\n");
    same_as(slice_of(begin), json);
    cJSON_Delete(json);
    return true;
}

static const char hard[] =
    "{\"\\u00e9\\n\":[-0.5e+10,\"\xc3\xa9\xf0\x9f\x98\x80 \\\"}]\\\\\",{\"\":{}},[],true,false,null],"
    "\"long enough for some blocks of eight\":\"a text\\twith\\/escapes \\u20ac every\\r\\n now\"}";

static void real_answers_hold_what_another_parser_finds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(samples); i++) {
        cleanup_free char *text = read_sample(samples[i]);
        assert_true(compare(text, strlen(text)));
    }
    assert_true(compare(hard, sizeof hard - 1));
}

static void no_prefix_of_a_document_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i <= ARRAY_LEN(samples); i++) {
        cleanup_free char *text = i < ARRAY_LEN(samples) ? read_sample(samples[i]) : xstrdup(hard);
        size_t len = strlen(text);
        for (size_t n = 0; n < len; n++)
            assert_int_equal(check_exactly(text, n, NULL), -1);
        assert_int_equal(check_exactly(text, len, NULL), 0);
    }
}

static uint32_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*seed >> 33);
}

/* Bytes changed, put in or taken out; half of the new ones are such that they matter. */
static size_t mutate(char *text, size_t len, uint64_t *seed)
{
    static const char matters[] = "\"\\{}[],:0-.eEu\x80\xc3\xe2\xf0 \n1ntf";
    for (uint32_t n = 1 + next_random(seed) % 3; n; n--) {
        size_t at = next_random(seed) % len;
        uint32_t r = next_random(seed);
        char c = r & 1 ? matters[(r >> 8) % (sizeof matters - 1)] : (char)(r >> 8);
        if ((r >> 4) % 4 == 0) {
            memmove(text + at, text + at + 1, len - at - 1);
            len--;
        } else if ((r >> 4) % 4 == 1) {
            memmove(text + at + 1, text + at, len - at);
            text[at] = c;
            len++;
        } else {
            text[at] = c;
        }
    }
    return len;
}

static void damaged_documents_are_refused_or_still_the_same_for_both(void **state)
{
    (void)state;
    uint64_t seed = 20261124;
    int n_taken = 0, n_refused = 0;
    for (size_t i = 0; i <= ARRAY_LEN(samples); i++) {
        cleanup_free char *text = i < ARRAY_LEN(samples) ? read_sample(samples[i]) : xstrdup(hard);
        cleanup_free char *copy = malloc(strlen(text) + 8);
        for (int round = 0; round < 10000; round++) {
            memcpy(copy, text, strlen(text));
            size_t len = mutate(copy, strlen(text), &seed);
            *(compare(copy, len) ? &n_taken : &n_refused) += 1;
        }
    }
    assert_true(n_taken > 1000 && n_refused > 1000); /* both ways were gone */
}

/* Unchecked text breaks the contract, but must not break the process. */
static void iterating_what_is_not_json_stays_within_its_bytes(void **state)
{
    (void)state;
    uint64_t seed = 7;
    cleanup_buf struct buf b = buf_make(1 << 20);
    for (int round = 0; round < 20000; round++) {
        size_t len = 1 + next_random(&seed) % (sizeof hard - 1);
        cleanup_free char *copy = malloc(len);
        memcpy(copy, hard, len);
        for (uint32_t n = next_random(&seed) % 4; n; n--)
            copy[next_random(&seed) % len] = "\"\\{}[],:u"[next_random(&seed) % 9];
        struct slice key, value;
        for (struct json_iter it = json_iter((struct slice){copy, len}); json_next(&it, &key, &value);) {
            assert_true(value.p >= copy && value.p + value.len <= copy + len);
            buf_clear(&b);
            (void)json_decode_string(key, &b);
            (void)json_decode_string(value, &b);
            (void)json_get(value, "", NULL);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_of_records_is_cut_into_its_bytes),
        cmocka_unit_test(real_answers_hold_what_another_parser_finds),
        cmocka_unit_test(no_prefix_of_a_document_is_taken),
        cmocka_unit_test(damaged_documents_are_refused_or_still_the_same_for_both),
        cmocka_unit_test(iterating_what_is_not_json_stays_within_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
