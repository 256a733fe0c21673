#include "net/due.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N 200

static void entries_come_in_the_order_of_their_times_whatever_is_moved_or_removed(void **state)
{
    srand(7);
    for (int round = 0; round < 50; round++) {
        struct due_heap h = {0};
        struct due d[N];
        memset(d, 0, sizeof(d));
        unsigned armed = 0;
        for (int i = 0; i < N; i++)
            due_arm(&h, &d[i], (uint64_t)rand() % 100);
        for (int i = 0; i < N; i++) {
            if (rand() % 3 == 0)
                due_disarm(&h, &d[i]);
            else if (rand() % 2 == 0)
                due_arm(&h, &d[i], (uint64_t)rand() % 100);
        }
        for (int i = 0; i < N; i++)
            armed += d[i].armed;
        uint64_t last = 0;
        struct due *next;
        while ((next = due_pop(&h, 1000))) {
            assert_true(next->at_ms >= last);
            assert_false(next->armed);
            last = next->at_ms;
            armed--;
            if (rand() % 4 == 0 && h.root && h.root->child) {
                due_disarm(&h, h.root->child);
                armed--;
            }
        }
        assert_int_equal(armed, 0);
        assert_true(due_next_ms(&h) == UINT64_MAX);
    }
}

static void nothing_comes_before_its_time(void **state)
{
    struct due_heap h = {0};
    struct due a = {0}, b = {0};
    due_disarm(&h, &a);
    due_arm(&h, &a, 10);
    due_arm(&h, &b, 5);
    assert_int_equal(due_next_ms(&h), 5);
    assert_null(due_pop(&h, 4));
    assert_ptr_equal(due_pop(&h, 5), &b);
    assert_null(due_pop(&h, 9));
    due_arm(&h, &a, 20);
    assert_null(due_pop(&h, 19));
    assert_ptr_equal(due_pop(&h, 20), &a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_in_the_order_of_their_times_whatever_is_moved_or_removed),
        cmocka_unit_test(nothing_comes_before_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
