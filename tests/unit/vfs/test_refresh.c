/* When a listing is renewed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vfs/refresh.h"

static void a_listing_is_renewed_before_it_is_too_old_with_time_to_be_done(void **state)
{
    static const struct {
        uint64_t ttl_ms, took_ms, earliest, latest;
    } cases[] = {
        {60000, 0, 39000, 54000}, {60000, 5000, 29000, 44000}, {60000, 15000, 9000, 24000}, {5000, 100, 3050, 4300}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(refresh_after_ms(cases[i].ttl_ms, cases[i].took_ms, UINT32_MAX), cases[i].earliest);
        assert_int_equal(refresh_after_ms(cases[i].ttl_ms, cases[i].took_ms, 0), cases[i].latest);
        assert_true(cases[i].latest + cases[i].took_ms < cases[i].ttl_ms);
    }
}

static void what_is_asked_for_each_time_or_never_or_takes_long_is_not_renewed(void **state)
{
    assert_int_equal(refresh_after_ms(0, 0, 7), 0);
    assert_int_equal(refresh_after_ms(4999, 0, 7), 0);
    assert_int_equal(refresh_after_ms(VFS_TTL_INF, 0, 7), 0);
    assert_int_equal(refresh_after_ms(60000, 15001, 7), 0);
}

static void fifty_mounts_that_began_together_go_on_apart(void **state)
{
    unsigned slices[15] = {0};
    uint32_t chance = 1;
    for (int i = 0; i < 50; i++) {
        chance = chance * 1664525u + 1013904223u;
        slices[(refresh_after_ms(60000, 0, chance) - 39000) / 1001]++;
    }
    for (size_t k = 0; k < sizeof(slices) / sizeof(slices[0]); k++)
        assert_true(slices[k] <= 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listing_is_renewed_before_it_is_too_old_with_time_to_be_done),
        cmocka_unit_test(what_is_asked_for_each_time_or_never_or_takes_long_is_not_renewed),
        cmocka_unit_test(fifty_mounts_that_began_together_go_on_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
