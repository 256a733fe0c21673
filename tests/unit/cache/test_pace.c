/* How fast work in the background may go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/pace.h"
#include "util/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FOR_EVER (UINT64_MAX / 2)

/* Processors that `path` tells of; "": unknown. */
static void start(struct pace *p, const char *text)
{
    pace_init(p);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
    if (*text) {
        char path[] = "/tmp/awsfs-pace-XXXXXX";
        p->fd = mkstemp(path);
        assert_true(p->fd >= 0);
        unlink(path);
        assert_int_equal(pwrite(p->fd, text, strlen(text), 0), strlen(text));
    }
}

static void then(struct pace *p, const char *text)
{
    p->sampled_ms = clock_mono_ms() - 200;
    assert_int_equal(ftruncate(p->fd, 0), 0);
    assert_int_equal(pwrite(p->fd, text, strlen(text), 0), strlen(text));
}

static void without_readers_nothing_waits(void **state)
{
    struct pace p;
    start(&p, "");
    assert_true(pace_is_quiet(&p, PACE_QUIET_MS));
    assert_int_equal(pace_wait_ms(&p, 1000000), 0);
    pace_reading(&p);
    p.read_ms -= 1000;
    assert_true(pace_is_quiet(&p, PACE_QUIET_MS));
    assert_int_equal(pace_wait_ms(&p, 1000000), 0);
    pace_release(&p);
}

static void while_somebody_reads_a_tenth_of_a_processor_is_left(void **state)
{
    struct pace p;
    start(&p, "");
    p.read_ms = FOR_EVER;
    assert_false(pace_is_quiet(&p, PACE_QUIET_MS));
    unsigned once = pace_wait_ms(&p, 20000);
    assert_true(once > 100 && once <= 180);
    assert_true(pace_wait_ms(&p, 20000) > once); /* what is owed adds up, */
    assert_true(pace_wait_ms(&p, 1000000000) <= 2000); /* but not for ever */
    p.read_ms = 1;
    assert_int_equal(pace_wait_ms(&p, 0), 0);
    p.read_ms = FOR_EVER;
    assert_int_equal(pace_wait_ms(&p, 0), 0); /* and is forgotten when they stop */
    pace_release(&p);
}

static void in_the_first_seconds_of_reading_nothing_is_left(void **state)
{
    struct pace p;
    start(&p, "");
    pace_reading(&p);
    assert_true(p.began_ms > 0);
    p.began_ms = clock_mono_ms() + 60000;
    p.read_ms = FOR_EVER;
    assert_true(pace_wait_ms(&p, 0) > 3000);
    pace_reading(&p); /* without a pause it is no beginning, */
    assert_true(p.began_ms > clock_mono_ms());
    p.began_ms = 1;
    p.read_ms = FOR_EVER;
    assert_int_equal(pace_wait_ms(&p, 0), 0);
    p.read_ms = 1;
    pace_reading(&p); /* after one it is */
    assert_true(p.began_ms > 1);
    pace_writing(&p); /* who writes leaves nothing in the kernel's pages */
    assert_int_equal(p.began_ms, 0);
    pace_release(&p);
}

static void once_something_was_lost_the_first_seconds_are_like_the_others(void **state)
{
    struct pace p;
    start(&p, "");
    pace_reading(&p);
    p.began_ms = clock_mono_ms() + 60000;
    p.read_ms = FOR_EVER;
    assert_true(pace_wait_ms(&p, 0) > 3000);
    pace_losing(&p);
    assert_int_equal(pace_wait_ms(&p, 0), 0);
    assert_true(pace_wait_ms(&p, 20000) > 100); /* a share, no more */
    pace_reading(&p); /* of the same reading */
    assert_int_equal(p.began_ms, 0);
    pace_release(&p);
}

static void processors_that_are_idle_may_be_used(void **state)
{
    struct pace p;
    start(&p, "cpu  1000 0 1000 1000 0 0 0 0 0 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n");
    p.read_ms = FOR_EVER;
    assert_true(pace_wait_ms(&p, 10000) > 0); /* one sample says nothing */
    then(&p, "cpu  1010 0 1000 1010 0 0 0 0 0 0\n");
    assert_int_equal(pace_wait_ms(&p, 10000), 0);
    then(&p, "cpu  1020 0 1010 1015 0 0 0 0 0 0\n");
    assert_true(pace_wait_ms(&p, 10000) > 0);
    then(&p, "cpu  1020 0 1010 1015 9 0 0 0 0 0\n"); /* who waits for the disk is idle too */
    assert_int_equal(pace_wait_ms(&p, 10000), 0);
    pace_release(&p);
}

static void what_says_nothing_of_processors_means_that_they_are_busy(void **state)
{
    static const char *const texts[] = {"cpu", "cpu 1 2 3", "intr 1 2 3 4 5 6 7 8", "\n", "cpu  a b c d e"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct pace p;
        start(&p, texts[i]);
        p.read_ms = FOR_EVER;
        assert_true(pace_wait_ms(&p, 10000) > 0);
        then(&p, texts[i]);
        assert_true(pace_wait_ms(&p, 10000) > 0);
        pace_release(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_readers_nothing_waits),
        cmocka_unit_test(while_somebody_reads_a_tenth_of_a_processor_is_left),
        cmocka_unit_test(in_the_first_seconds_of_reading_nothing_is_left),
        cmocka_unit_test(once_something_was_lost_the_first_seconds_are_like_the_others),
        cmocka_unit_test(processors_that_are_idle_may_be_used),
        cmocka_unit_test(what_says_nothing_of_processors_means_that_they_are_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
