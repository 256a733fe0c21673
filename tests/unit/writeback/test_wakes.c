/* How often the thread that sends is woken. */
#include "support.h"

#include "util/lock.h"

#include <stdatomic.h>
#include <stdio.h>

static atomic_uint signals;

void __real_cond_signal(struct cond *c);
void __wrap_cond_signal(struct cond *c);

void __wrap_cond_signal(struct cond *c)
{
    atomic_fetch_add(&signals, 1);
    __real_cond_signal(c);
}

static void what_may_wait_wakes_nobody_while_more_comes(void **state)
{
    char key[16];
    struct fixture f = {.linger_ms = 3600000, .hold_ms = 3600000};
    fixture_make(&f);
    put_ok(f.s, "first", "text", "");
    unsigned before = atomic_load(&signals);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        put_ok(f.s, key, "text", "");
    }
    assert_in_range(atomic_load(&signals) - before, 0, 20); /* a sync may be due in between */
    drain_ok(&f);
    assert_int_equal(sent(&f, MEM_PUT), 101);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_wait_wakes_nobody_while_more_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
