/* In which order do requests go out? One at a time and in order within a gate, taking turns between gates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "http_queue.h"

enum { N = 8 };

struct queue_state {
    struct http_queue q;
    struct http_ticket t[N];
};

/* Tickets 0, 1, ... enter the gates named by the letters; '-' is none. */
static void enter(struct queue_state *s, const char *gates)
{
    http_queue_init(&s->q);
    for (int i = 0; gates[i]; i++) {
        const char name[2] = {gates[i], '\0'};
        http_queue_enter(&s->q, &s->t[i], gates[i] == '-' ? NULL : name);
    }
}

/* All that may go now, as digits. */
static const char *ready(struct queue_state *s, char ret[N + 1])
{
    int n = 0;
    struct http_ticket *t;
    while ((t = http_queue_next(&s->q)))
        ret[n++] = (char)('0' + (t - s->t));
    ret[n] = '\0';
    return ret;
}

static void leave(struct queue_state *s, int i)
{
    http_queue_leave(&s->q, &s->t[i]);
}

static void assert_empty(struct queue_state *s)
{
    assert_null(http_queue_next(&s->q));
    for (size_t i = 0; i < HTTP_GATE_BUCKETS; i++)
        assert_null(s->q.gates[i]);
}

static void test_one_of_a_gate_goes_at_a_time_in_order(void **state)
{
    struct queue_state s;
    char out[N + 1];
    (void)state;
    enter(&s, "aaa");
    for (int i = 0; i < 3; i++) {
        const char want[] = {(char)('0' + i), '\0'};
        assert_string_equal(ready(&s, out), want);
        leave(&s, i);
    }
    assert_empty(&s);
}

static void test_gates_and_those_without_one_go_side_by_side(void **state)
{
    struct queue_state s;
    char out[N + 1];
    (void)state;
    enter(&s, "a-b-");
    assert_string_equal(ready(&s, out), "0123");
    for (int i = 0; i < 4; i++)
        leave(&s, i);
    assert_empty(&s);
}

static void test_a_gate_with_many_takes_turns_with_the_others(void **state)
{
    struct queue_state s;
    char out[N + 1];
    (void)state;
    enter(&s, "aaabc");
    assert_ptr_equal(http_queue_next(&s.q), &s.t[0]);
    leave(&s, 0);
    assert_string_equal(ready(&s, out), "341");
    leave(&s, 3);
    leave(&s, 4);
    leave(&s, 1);
    assert_string_equal(ready(&s, out), "2");
    leave(&s, 2);
    assert_empty(&s);
}

static void test_who_gives_up_waiting_holds_nobody_up(void **state)
{
    struct queue_state s;
    char out[N + 1];
    (void)state;
    enter(&s, "aaaab");
    leave(&s, 2); /* from within its gate */
    leave(&s, 0); /* first of its gate, ready and not gone yet: 1 takes over */
    assert_string_equal(ready(&s, out), "41");
    leave(&s, 1);
    assert_string_equal(ready(&s, out), "3");
    leave(&s, 3);
    leave(&s, 4);
    assert_empty(&s);
}

static void test_the_last_in_line_can_give_up_and_others_come_after(void **state)
{
    struct queue_state s;
    char out[N + 1];
    (void)state;
    enter(&s, "aa-");
    leave(&s, 1);
    leave(&s, 2);
    http_queue_enter(&s.q, &s.t[3], "a");
    http_queue_enter(&s.q, &s.t[4], NULL);
    assert_string_equal(ready(&s, out), "04");
    leave(&s, 0);
    assert_string_equal(ready(&s, out), "3");
    leave(&s, 3);
    leave(&s, 4);
    assert_empty(&s);
}

static void test_more_gates_than_buckets(void **state)
{
    enum { MANY = 3 * HTTP_GATE_BUCKETS };
    struct http_queue q;
    struct http_ticket *t = xcalloc((size_t)2 * MANY, sizeof *t);
    (void)state;
    http_queue_init(&q);
    for (int i = 0; i < 2 * MANY; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "w/%d", i % MANY);
        http_queue_enter(&q, &t[i], name);
    }
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(http_queue_next(&q), &t[i]);
    assert_null(http_queue_next(&q));
    for (int i = 0; i < MANY; i++) {
        http_queue_leave(&q, &t[i]);
        assert_ptr_equal(http_queue_next(&q), &t[MANY + i]);
    }
    http_queue_release(&q); /* with gates still held */
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_of_a_gate_goes_at_a_time_in_order),
        cmocka_unit_test(test_gates_and_those_without_one_go_side_by_side),
        cmocka_unit_test(test_a_gate_with_many_takes_turns_with_the_others),
        cmocka_unit_test(test_who_gives_up_waiting_holds_nobody_up),
        cmocka_unit_test(test_the_last_in_line_can_give_up_and_others_come_after),
        cmocka_unit_test(test_more_gates_than_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
