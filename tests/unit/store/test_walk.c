#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/walk.h"

/* Pages that pass until one is refused, where every `period`th brings something (0: none does). */
static unsigned pages_until_refused(unsigned period)
{
    struct store_walk w = {0};
    struct err e = ERR_INIT;
    unsigned n = 0;
    while (n < 2 * STORE_WALK_MAX && store_walk_on(&w, "d/", period > 0 && (n + 1) % period == 0, &e) == ERR_OK)
        n++;
    return n;
}

static void pages_that_bring_nothing_are_a_thousand_at_most(void **state)
{
    assert_int_equal(pages_until_refused(0), STORE_WALK_IDLE_MAX - 1);
}

static void one_page_that_brings_something_is_a_new_beginning(void **state)
{
    assert_int_equal(pages_until_refused(STORE_WALK_IDLE_MAX), STORE_WALK_MAX - 1);
    assert_int_equal(pages_until_refused(STORE_WALK_IDLE_MAX + 1), STORE_WALK_IDLE_MAX - 1);
}

static void a_listing_of_pages_that_all_bring_something_ends_too(void **state)
{
    assert_int_equal(pages_until_refused(1), STORE_WALK_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_that_bring_nothing_are_a_thousand_at_most),
        cmocka_unit_test(one_page_that_brings_something_is_a_new_beginning),
        cmocka_unit_test(a_listing_of_pages_that_all_bring_something_ends_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
