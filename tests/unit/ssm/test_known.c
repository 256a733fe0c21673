#include "backends/ssm/known.h"
#include "backends/ssm/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define T0 1795255260000

static struct ssm_param seen(int64_t version, int64_t ms, size_t len)
{
    return (struct ssm_param){.version = version, .modified_ms = ms, .len = len};
}

static const char *etag_of_seen(struct known *k, const char *name, int64_t version, int64_t ms)
{
    static struct store_version v;
    const struct ssm_param p = seen(version, ms, 5);
    known_saw(k, name, &p, &v);
    return v.etag;
}

static void a_version_has_number_time_and_size(void **state)
{
    struct known *k = known_new(10);
    struct store_version v;
    const struct ssm_param p = seen(3, T0 + 877, 5);
    known_saw(k, "/x", &p, &v);
    assert_string_equal(v.etag, "3-1795255260877");
    assert_int_equal(v.size, 5);
    assert_int_equal(v.mtime.tv_sec, 1795255260);
    assert_int_equal(v.mtime.tv_nsec, 877000000);
    known_free(k);
}

static void what_was_deleted_and_made_again_is_another_version(void **state)
{
    struct known *k = known_new(10);
    assert_string_equal(etag_of_seen(k, "/x", 1, T0), "1-1795255260000");
    assert_string_equal(etag_of_seen(k, "/x", 1, T0 + 31000), "1-1795255291000");
    known_free(k);
}

static void our_own_write_keeps_its_version_when_it_is_seen(void **state)
{
    struct known *k = known_new(10);
    struct store_version v;
    known_wrote(k, "/x", 4, 5, T0, NULL, &v);
    assert_string_equal(v.etag, "4-1795255260000");
    assert_string_equal(etag_of_seen(k, "/x", 4, T0 + 877), v.etag);
    assert_string_equal(etag_of_seen(k, "/x", 4, T0 + 877), v.etag);
    /* Once its time is known, any other is somebody else's. */
    assert_string_not_equal(etag_of_seen(k, "/x", 4, T0 + 878), v.etag);
    known_free(k);
}

static void another_write_with_our_number_is_told_apart(void **state)
{
    struct known *k = known_new(10);
    struct store_version v;
    known_wrote(k, "/x", 1, 5, T0, NULL, &v);
    assert_string_not_equal(etag_of_seen(k, "/x", 1, T0 + 30000), v.etag);
    known_free(k);
}

static void a_late_reply_does_not_undo_our_write(void **state)
{
    struct known *k = known_new(10);
    struct store_version v;
    (void)etag_of_seen(k, "/x", 3, T0 - 5000);
    known_wrote(k, "/x", 4, 5, T0, NULL, &v);
    assert_string_equal(etag_of_seen(k, "/x", 3, T0 - 5000), "3-1795255255000");
    assert_string_equal(etag_of_seen(k, "/x", 4, T0 + 100), v.etag);
    known_free(k);
}

static struct ssm_described described(int64_t version, char *tier)
{
    static char type[] = "String", none[] = "";
    return (struct ssm_described){.version = version,
                                  .type = type,
                                  .tier = tier,
                                  .key_id = none,
                                  .data_type = none,
                                  .description = none,
                                  .allowed_pattern = none,
                                  .policies = none,
                                  .user = none};
}

static void a_description_is_kept_for_its_version(void **state)
{
    struct known *k = known_new(10);
    char tier[] = "Advanced";
    struct ssm_described d = described(3, tier);
    known_describe(k, "/x", &d);
    assert_null(known_described(k, "/x", 3));
    (void)etag_of_seen(k, "/x", 3, T0);
    known_describe(k, "/x", &d);
    struct ssm_described *back = known_described(k, "/x", 3);
    assert_string_equal(back->tier, "Advanced");
    ssm_described_free(back);
    assert_null(known_described(k, "/x", 2));
    (void)etag_of_seen(k, "/x", 4, T0 + 1);
    assert_null(known_described(k, "/x", 3));
    assert_null(known_described(k, "/x", 4));
    known_free(k);
}

static void a_write_carries_its_description_on(void **state)
{
    struct known *k = known_new(10);
    char tier[] = "Standard";
    struct ssm_described d = described(3, tier);
    struct store_version v;
    known_wrote(k, "/x", 4, 5, T0, &d, &v);
    struct ssm_described *back = known_described(k, "/x", 4);
    assert_int_equal(back->version, 4);
    ssm_described_free(back);
    (void)etag_of_seen(k, "/x", 4, T0 + 100);
    back = known_described(k, "/x", 4);
    assert_non_null(back);
    ssm_described_free(back);
    known_free(k);
}

static void the_tier_decides_how_long_a_value_may_be(void **state)
{
    struct known *k = known_new(10);
    assert_int_equal(known_value_max(k, "/x"), 0);
    (void)etag_of_seen(k, "/x", 1, T0);
    assert_int_equal(known_value_max(k, "/x"), SSM_VALUE_ADVANCED);
    char standard[] = "Standard", advanced[] = "Advanced";
    struct ssm_described d = described(1, standard);
    known_describe(k, "/x", &d);
    assert_int_equal(known_value_max(k, "/x"), SSM_VALUE_STANDARD);
    d = described(1, advanced);
    known_describe(k, "/x", &d);
    assert_int_equal(known_value_max(k, "/x"), SSM_VALUE_ADVANCED);
    known_forget(k, "/x");
    assert_int_equal(known_value_max(k, "/x"), 0);
    known_forget(k, "/x");
    known_free(k);
}

static void the_longest_untouched_gives_way(void **state)
{
    struct known *k = known_new(3);
    (void)etag_of_seen(k, "/a", 1, T0);
    (void)etag_of_seen(k, "/b", 1, T0);
    (void)etag_of_seen(k, "/c", 1, T0);
    (void)etag_of_seen(k, "/a", 1, T0);
    (void)etag_of_seen(k, "/d", 1, T0);
    assert_true(known_value_max(k, "/a") > 0);
    assert_true(known_value_max(k, "/b") == 0);
    assert_true(known_value_max(k, "/c") > 0);
    assert_true(known_value_max(k, "/d") > 0);
    for (int i = 0; i < 1000; i++) {
        char name[16];
        snprintf(name, sizeof(name), "/n%d", i);
        (void)etag_of_seen(k, name, 1, T0);
    }
    assert_true(known_value_max(k, "/n999") > 0);
    assert_true(known_value_max(k, "/n996") == 0);
    known_free(k);
}

static void the_number_is_read_from_an_etag(void **state)
{
    assert_int_equal(known_version_number("3-1795255260877"), 3);
    assert_int_equal(known_version_number("0-0"), 0);
    assert_int_equal(known_version_number(""), -1);
    assert_int_equal(known_version_number("-"), -1);
    assert_int_equal(known_version_number("abc"), -1);
    assert_int_equal(known_version_number("x-1"), -1);
    assert_int_equal(known_version_number("99999999999999999999999999999-1"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_has_number_time_and_size),
        cmocka_unit_test(what_was_deleted_and_made_again_is_another_version),
        cmocka_unit_test(our_own_write_keeps_its_version_when_it_is_seen),
        cmocka_unit_test(another_write_with_our_number_is_told_apart),
        cmocka_unit_test(a_late_reply_does_not_undo_our_write),
        cmocka_unit_test(a_description_is_kept_for_its_version),
        cmocka_unit_test(a_write_carries_its_description_on),
        cmocka_unit_test(the_tier_decides_how_long_a_value_may_be),
        cmocka_unit_test(the_longest_untouched_gives_way),
        cmocka_unit_test(the_number_is_read_from_an_etag),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
