#include "util/cancel.h"

#include "util/cleanup.h"

#include <pthread.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned add(unsigned *p)
{
    return __atomic_add_fetch(p, 1, __ATOMIC_SEQ_CST);
}

static unsigned load(const unsigned *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void count(void *arg)
{
    add(arg);
}

static void firing_calls_every_hook_once(void **state)
{
    struct cancel *c = cancel_new();
    struct cancel_hook hooks[3] = {{0}};
    unsigned calls = 0;
    for (int i = 0; i < 3; i++)
        cancel_hook_add(c, &hooks[i], count, &calls);
    assert_false(cancel_fired(c));
    cancel_fire(c);
    assert_true(cancel_fired(c));
    assert_int_equal(calls, 3);
    cancel_fire(c);
    assert_int_equal(calls, 3);
    for (int i = 0; i < 3; i++)
        cancel_hook_remove(c, &hooks[i]);
    cancel_unref(c);
}

static void a_removed_hook_is_not_called(void **state)
{
    struct cancel *c = cancel_new();
    struct cancel_hook a = {0}, b = {0}, d = {0};
    unsigned a_calls = 0, b_calls = 0, d_calls = 0;
    cancel_hook_add(c, &a, count, &a_calls);
    cancel_hook_add(c, &b, count, &b_calls);
    cancel_hook_add(c, &d, count, &d_calls);
    cancel_hook_remove(c, &b);
    cancel_hook_remove(c, &b);
    cancel_fire(c);
    assert_int_equal(a_calls, 1);
    assert_int_equal(b_calls, 0);
    assert_int_equal(d_calls, 1);
    cancel_unref(c);
}

static void a_late_hook_is_called_at_once(void **state)
{
    struct cancel *c = cancel_new();
    struct cancel_hook h = {0};
    unsigned calls = 0;
    cancel_fire(c);
    cancel_hook_add(c, &h, count, &calls);
    assert_int_equal(calls, 1);
    cancel_hook_remove(c, &h);
    cancel_unref(c);
}

static void no_token_does_nothing(void **state)
{
    struct cancel_hook h = {0};
    unsigned calls = 0;
    cancel_hook_add(NULL, &h, count, &calls);
    cancel_hook_remove(NULL, &h);
    cancel_unref(NULL);
    assert_null(cancel_ref(NULL));
    assert_false(cancel_fired(NULL));
    assert_int_equal(calls, 0);
}

static void references_keep_the_token(void **state)
{
    struct cancel *c = cancel_new();
    assert_ptr_equal(cancel_ref(c), c);
    cancel_unref(c);
    cancel_fire(c);
    assert_true(cancel_fired(c));
    cancel_unref(c);
}

struct slow {
    unsigned begun, ended;
};

static void run_slowly(void *arg)
{
    struct slow *s = arg;
    add(&s->begun);
    usleep(30000);
    add(&s->ended);
}

static void *fire(void *arg)
{
    cancel_fire(arg);
    return NULL;
}

static void removing_waits_for_a_running_hook(void **state)
{
    struct cancel *c = cancel_new();
    struct cancel_hook h = {0};
    struct slow s = {0};
    cancel_hook_add(c, &h, run_slowly, &s);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, fire, c), 0);
    while (!load(&s.begun))
        usleep(100);
    cancel_hook_remove(c, &h);
    assert_int_equal(load(&s.ended), 1);
    pthread_join(thread, NULL);
    cancel_unref(c);
}

/* Hooks that come and go on the heap while the token fires: none may be called after its removal. */
static void *come_and_go(void *arg)
{
    struct cancel *c = arg;
    for (int i = 0; i < 50 || !cancel_fired(c); i++) {
        struct cancel_hook *h = calloc(1, sizeof(*h));
        unsigned *calls = calloc(1, sizeof(*calls));
        cancel_hook_add(c, h, count, calls);
        cancel_hook_remove(c, h);
        free(calls);
        free(h);
    }
    return NULL;
}

static void hooks_come_and_go_while_it_fires(void **state)
{
    for (int round = 0; round < 30; round++) {
        struct cancel *c = cancel_new();
        pthread_t threads[3];
        for (int i = 0; i < 3; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, c), 0);
        usleep(500);
        cancel_fire(c);
        for (int i = 0; i < 3; i++)
            pthread_join(threads[i], NULL);
        cancel_unref(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(firing_calls_every_hook_once),     cmocka_unit_test(a_removed_hook_is_not_called),
        cmocka_unit_test(a_late_hook_is_called_at_once),    cmocka_unit_test(no_token_does_nothing),
        cmocka_unit_test(references_keep_the_token),        cmocka_unit_test(removing_waits_for_a_running_hook),
        cmocka_unit_test(hooks_come_and_go_while_it_fires),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
