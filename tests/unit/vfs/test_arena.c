#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vfs/arena.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FRAME (128u * 1024)

/* Bytes of [p, p + len) that have memory behind them. */
static size_t resident(void *p, size_t len)
{
    unsigned char pages[FRAME / 4096];
    size_t n = 0;
    assert_true(len <= FRAME);
    assert_int_equal(mincore(p, len, pages), 0);
    for (size_t i = 0; i < len / 4096; i++)
        n += pages[i] & 1 ? 4096 : 0;
    return n;
}

static void frames_do_not_overlap_and_run_out(void **state)
{
    struct arena *a = arena_new(5, FRAME);
    char *frames[5];
    for (int i = 0; i < 5; i++) {
        frames[i] = arena_take(a);
        assert_non_null(frames[i]);
        memset(frames[i], i, FRAME);
    }
    assert_null(arena_take(a));
    for (int i = 0; i < 5; i++)
        for (size_t k = 0; k < FRAME; k += 4095)
            assert_int_equal(frames[i][k], i);
    for (int i = 0; i < 5; i++)
        arena_give(a, frames[i]);
    arena_free(a);
}

static void the_last_one_given_back_is_the_next_one_taken(void **state)
{
    struct arena *a = arena_new(8, FRAME);
    void *x = arena_take(a), *y = arena_take(a);
    assert_int_equal(arena_warm(a), 0);
    arena_give(a, x);
    arena_give(a, y);
    assert_int_equal(arena_warm(a), 2 * FRAME);
    assert_ptr_equal(arena_take(a), y);
    assert_ptr_equal(arena_take(a), x);
    arena_give(a, x);
    arena_give(a, y);
    arena_free(a);
}

static void only_what_a_whole_period_did_not_need_is_given_back(void **state)
{
    struct arena *a = arena_new(8, FRAME);
    char *frames[4];
    for (int i = 0; i < 4; i++)
        memset(frames[i] = arena_take(a), 1, FRAME);
    assert_null(arena_rest(a)); /* all were needed */
    for (int i = 0; i < 4; i++)
        arena_give(a, frames[i]);
    assert_null(arena_rest(a)); /* none was free all the time */
    assert_ptr_equal(arena_take(a), frames[3]);
    arena_give(a, frames[3]);
    struct arena_rest *r = arena_rest(a); /* one was needed */
    assert_non_null(r);
    assert_int_equal(arena_warm(a), FRAME);
    arena_rest_free(a, r);
    for (int i = 0; i < 4; i++)
        assert_int_equal(resident(frames[i], FRAME), i == 3 ? FRAME : 0);
    arena_rest_end(a, r);
    assert_ptr_equal(arena_take(a), frames[3]);
    for (int i = 0; i < 7; i++) /* all the others are still there to be taken */
        assert_non_null(arena_take(a));
    assert_null(arena_take(a));
    for (int i = 0; i < 8; i++)
        arena_give(a, frames[0] + i * FRAME);
    arena_free(a);
}

static void one_frame_is_given_back_at_once(void **state)
{
    struct arena *a = arena_new(2, FRAME);
    assert_false(arena_shrink(a));
    char *p = arena_take(a);
    memset(p, 1, FRAME);
    arena_give(a, p);
    assert_true(arena_shrink(a));
    assert_int_equal(resident(p, FRAME), 0);
    assert_false(arena_shrink(a));
    assert_ptr_equal(arena_take(a), p);
    assert_int_equal(p[FRAME - 1], 0);
    arena_give(a, p);
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_do_not_overlap_and_run_out),
        cmocka_unit_test(the_last_one_given_back_is_the_next_one_taken),
        cmocka_unit_test(only_what_a_whole_period_did_not_need_is_given_back),
        cmocka_unit_test(one_frame_is_given_back_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
