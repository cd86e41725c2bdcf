/* Does a state partition's content in memory keep texts by key, and digests by hash alone, whatever bytes an
 * id has? */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "digest.h"
#include "partition_state.h"

#define SLICE(text) ((struct slice){text, sizeof text - 1})

static void set(struct partition_state *s, struct slice key, const char *value)
{
    partition_state_set(s, key, slice_of(value));
}

/* The digest that is known of the id; -1 for none. */
static int64_t known(const struct partition_state *s, const char *name, int64_t generation, struct slice id)
{
    const struct digest_map *m = partition_state_digests(s, name, generation);
    uint64_t d;
    return m && digest_map_get(m, digest_id(id), &d) ? (int64_t)d : -1;
}

static void keys_are_taken_apart(void **state)
{
    (void)state;
    struct digest_key k;
    assert_true(digest_key_parse(SLICE("digest/a-b_1/12/x/y\0z"), &k));
    assert_true(slice_eq(k.name, "a-b_1") && k.generation == 12);
    assert_true(k.id.len == 5 && memcmp(k.id.p, "x/y\0z", 5) == 0);
    assert_true(digest_key_parse(SLICE("digest/n/1/"), &k) && k.id.len == 0);
    assert_true(digest_key_parse(SLICE("digest/n/999999999999999999/1"), &k) &&
                k.generation == 999999999999999999);
    static const struct slice others[] = {{"", 0},
                                          {"digest", 6},
                                          {"digest/", 7},
                                          {"digest/n", 8},
                                          {"digest/n/", 9},
                                          {"digest/n/1", 10},
                                          {"digest//1/x", 11},
                                          {"digest/n//x", 11},
                                          {"digest/n/a/x", 12},
                                          {"digest/n/-1/x", 13},
                                          {"listener/n", 10},
                                          {"digests/n/1/x", 13},
                                          {"digest/n/1234567890123456789/x", 30}};
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (digest_key_parse(others[i], &k))
            fail_msg("%s was taken for a digest's", others[i].p);
}

static void digests_are_kept_by_listener_and_generation(void **state)
{
    (void)state;
    struct partition_state s = {0};
    set(&s, SLICE("listener/a"), "{}");
    set(&s, SLICE("digest/a/1/x"), "000000000000000a");
    set(&s, SLICE("digest/a/2/x"), "000000000000000b");
    set(&s, SLICE("digest/b/1/x"), "000000000000000c");
    set(&s, SLICE("digest/a/1/x\0y"), "000000000000000d");
    set(&s, SLICE("digest/a/1/x"), "000000000000000e");
    assert_int_equal(known(&s, "a", 1, SLICE("x")), 0xe);
    assert_int_equal(known(&s, "a", 2, SLICE("x")), 0xb);
    assert_int_equal(known(&s, "b", 1, SLICE("x")), 0xc);
    assert_int_equal(known(&s, "a", 1, SLICE("x\0y")), 0xd);
    assert_int_equal(known(&s, "a", 3, SLICE("x")), -1);
    assert_int_equal(s.map.n, 1); /* memory has no ids */
    assert_int_equal(partition_state_n_old(&s, "a", 2), 2);
    partition_state_set(&s, SLICE("digest/a/1/x"), (struct slice){0});
    partition_state_set(&s, SLICE("digest/nobody/1/x"), (struct slice){0});
    assert_int_equal(known(&s, "a", 1, SLICE("x")), -1);
    assert_int_equal(known(&s, "a", 1, SLICE("x\0y")), 0xd);
    assert_int_equal(partition_state_n_old(&s, "a", 2), 1);
    partition_state_release(&s);
}

static void what_isn_t_ours_is_ignored(void **state)
{
    (void)state;
    struct partition_state s = {0};
    char longest[2000];
    memset(longest, 'k', sizeof longest);
    set(&s, (struct slice){longest, sizeof longest}, "v");
    set(&s, (struct slice){0}, "v");
    set(&s, SLICE("a\0b"), "v");
    set(&s, SLICE("digest/a/1/x"), "no digest");
    assert_int_equal(s.map.n, 0);
    assert_int_equal(known(&s, "a", 1, SLICE("x")), -1);
    partition_state_release(&s);
}

static void states_are_equal_by_content(void **state)
{
    (void)state;
    struct partition_state a = {0}, b = {0};
    for (int i = 0; i < 500; i++) {
        cleanup_free char *key = xasprintf("digest/a/%d/%d", i % 3, i),
                          *other = xasprintf("digest/a/%d/%d", (499 - i) % 3, 499 - i);
        set(&a, slice_of(key), "000000000000000a");
        set(&b, slice_of(other), "000000000000000a");
    }
    set(&b, SLICE("digest/gone/1/x"), "000000000000000a");
    assert_false(partition_state_equal(&a, &b) || partition_state_equal(&b, &a));
    partition_state_set(&b, SLICE("digest/gone/1/x"), (struct slice){0});
    digest_map_clear_seen(
        partition_state_digests(&b, "a", 1)); /* what a reconcile has seen is nobody's content */
    assert_true(partition_state_equal(&a, &b) && partition_state_equal(&b, &a));
    set(&b, SLICE("digest/a/1/4"), "000000000000000b");
    assert_false(partition_state_equal(&a, &b) || partition_state_equal(&b, &a));
    set(&b, SLICE("digest/a/1/4"), "000000000000000a");
    set(&b, SLICE("run/a"), "{}");
    assert_false(partition_state_equal(&a, &b) || partition_state_equal(&b, &a));
    partition_state_release(&a);
    partition_state_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_taken_apart),
        cmocka_unit_test(digests_are_kept_by_listener_and_generation),
        cmocka_unit_test(what_isn_t_ours_is_ignored),
        cmocka_unit_test(states_are_equal_by_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
