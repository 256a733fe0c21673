#include "fuse/fatal.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define BIT(sig) (1ULL << ((sig)-1))

struct state {
    const char *sentence;
    uint64_t own, shared, blocked, ignored, caught;
    bool fatal;
};

static const struct state table[] = {
    {"nothing is pending", 0, 0, 0, 0, 0, false},
    {"a kill to the thread ends it", BIT(SIGKILL), 0, ~0ULL, ~0ULL, ~0ULL, true},
    {"a kill to the process ends it", 0, BIT(SIGKILL), 0, 0, 0, true},
    {"a termination that nobody handles ends it", 0, BIT(SIGTERM), 0, 0, 0, true},
    {"a termination that is handled does not", 0, BIT(SIGTERM), 0, 0, BIT(SIGTERM), false},
    {"an interrupt that is handled lets it go", 0, BIT(SIGINT), 0, 0, BIT(SIGINT), true},
    {"an interrupt that is ignored does not", 0, BIT(SIGINT), 0, BIT(SIGINT), 0, false},
    {"an interrupt that is blocked does not", BIT(SIGINT), 0, BIT(SIGINT), 0, 0, false},
    {"a timer that is handled does not", 0, BIT(SIGALRM), 0, 0, BIT(SIGALRM), false},
    {"a timer that nobody handles ends it", 0, BIT(SIGALRM), 0, 0, 0, true},
    {"children, urgent data and window sizes do not", 0, BIT(SIGCHLD) | BIT(SIGURG) | BIT(SIGWINCH), 0, 0, 0, false},
    {"a stop does not", 0, BIT(SIGTSTP), 0, 0, 0, false},
};

static void signals_decide_as_on_a_disk(void **state)
{
    for (size_t k = 0; k < sizeof(table) / sizeof(table[0]); k++) {
        const struct state *t = &table[k];
        char text[400];
        snprintf(text, sizeof(text),
                 "Name:\tcat\nSigQ:\t0/1\nSigPnd:\t%016llx\nShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
                 (unsigned long long)t->own, (unsigned long long)t->shared, (unsigned long long)t->blocked,
                 (unsigned long long)t->ignored, (unsigned long long)t->caught);
        if (fatal_in_status(text) != t->fatal)
            fail_msg("%s", t->sentence);
    }
}

static void what_cannot_be_told_lets_go(void **state)
{
    assert_true(fatal_in_status(""));
    assert_true(fatal_in_status("Name:\tx\nSigPnd:\tzz\n"));
    assert_true(fatal_pending(0));
    assert_false(fatal_pending(getpid()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals_decide_as_on_a_disk),
        cmocka_unit_test(what_cannot_be_told_lets_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
