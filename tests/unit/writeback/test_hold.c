/* How long what was journaled waits while more of it comes. */
#include "support.h"

#include "util/clock.h"

#include <stdio.h>
#include <unistd.h>

#define LINGER_MS 300
#define STEP_MS   10
#define ATTEMPTS  50

static void put_next(struct fixture *f, unsigned *n)
{
    char key[32];
    (void)snprintf(key, sizeof(key), "k%u", (*n)++);
    put_ok(f->s, key, "text", "");
}

enum outcome { HELD, SENT, DISTURBED };

/* Puts files one after another for `ms`, or until something is sent. DISTURBED: the machine has made a pause in which it had to be. */
static enum outcome put_on(struct fixture *f, unsigned *n, uint64_t ms)
{
    uint64_t before = clock_mono_ms(), until = before + ms;
    put_next(f, n);
    while (before < until) {
        usleep(STEP_MS * 1000);
        uint64_t next = clock_mono_ms();
        put_next(f, n);
        bool any = sent(f, MEM_PUT) > 0;
        if (clock_mono_ms() - before >= LINGER_MS)
            return DISTURBED;
        if (any)
            return SENT;
        before = next;
    }
    return HELD;
}

static enum outcome try_for(unsigned hold_ms, uint64_t ms)
{
    unsigned n = 0;
    struct fixture f = {.linger_ms = LINGER_MS, .hold_ms = hold_ms};
    fixture_make(&f);
    enum outcome outcome = put_on(&f, &n, ms);
    while (sent(&f, MEM_PUT) == 0) /* after a pause it is, whatever came before */
        usleep(STEP_MS * 1000);
    drain_ok(&f);
    assert_int_equal(sent(&f, MEM_PUT), n);
    fixture_remove(&f);
    return outcome;
}

static enum outcome try_undisturbed(unsigned hold_ms, uint64_t ms)
{
    enum outcome outcome = DISTURBED;
    for (int k = 0; outcome == DISTURBED && k < ATTEMPTS; k++)
        outcome = try_for(hold_ms, ms);
    return outcome;
}

static void nothing_is_sent_while_more_comes(void **state)
{
    assert_int_equal(try_undisturbed(3600000, 4 * LINGER_MS), HELD);
}

static void what_has_waited_long_enough_is_sent_whatever_comes(void **state)
{
    assert_int_equal(try_undisturbed(2 * LINGER_MS, 60000), SENT);
}

static void a_drain_waits_for_no_pause(void **state)
{
    struct fixture f = {.linger_ms = 3600000, .hold_ms = 3600000};
    fixture_make(&f);
    put_ok(f.s, "k", "text", "");
    drain_ok(&f);
    assert_int_equal(sent(&f, MEM_PUT), 1);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sent_while_more_comes),
        cmocka_unit_test(what_has_waited_long_enough_is_sent_whatever_comes),
        cmocka_unit_test(a_drain_waits_for_no_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
