#include "aws/settings.h"

#include "support.h"
#include "util/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int enter(void **state)
{
    sandbox_enter();
    return 0;
}

static int leave(void **state)
{
    sandbox_leave();
    return 0;
}

static enum err_code read_all(struct aws_settings *out, struct err *e)
{
    CLEANUP(profiles_free) struct profiles *p = profiles_load(NULL, e);

    return p ? aws_settings_read(p, out, e) : e->code;
}

static struct aws_settings read_good(void)
{
    struct aws_settings s;
    struct err e = ERR_INIT;

    if (read_all(&s, &e))
        fail_msg("%s", e.msg);
    return s;
}

static void nothing_set_is_the_defaults(void **state)
{
    const struct aws_settings s = read_good();

    assert_int_equal(s.addressing, AWS_ADDRESSING_AUTO);
    assert_true(s.foreign_arn_region);
    assert_false(s.dualstack || s.fips || s.s3_dualstack || s.accelerate || s.s3_global || s.sts_global);
    assert_false(s.no_multi_region || s.no_session);
    assert_int_equal(s.max_attempts, 0);
    assert_int_equal(s.connect_ms, 0);
}

static void the_profile_has_them_all(void **state)
{
    sandbox_write(".aws/config", "[default]\n"
                                 "use_dualstack_endpoint = true\n"
                                 "use_fips_endpoint = TRUE\n"
                                 "s3_use_arn_region = false\n"
                                 "s3_us_east_1_regional_endpoint = legacy\n"
                                 "s3_disable_multiregion_access_points = true\n"
                                 "s3_disable_express_session_auth = true\n"
                                 "sts_regional_endpoints = legacy\n"
                                 "max_attempts = 7\n"
                                 "retry_mode = adaptive\n"
                                 "defaults_mode = in-region\n"
                                 "s3 =\n"
                                 "  addressing_style = path\n"
                                 "  use_accelerate_endpoint = true\n"
                                 "  use_dualstack_endpoint = true\n");
    const struct aws_settings s = read_good();

    assert_int_equal(s.addressing, AWS_ADDRESSING_PATH);
    assert_true(s.dualstack && s.fips && s.s3_dualstack && s.accelerate && s.s3_global && s.sts_global);
    assert_true(s.no_multi_region && s.no_session);
    assert_false(s.foreign_arn_region);
    assert_int_equal(s.max_attempts, 7);
    assert_int_equal(s.connect_ms, 1100);
}

static void some_may_stand_in_the_block_s3_as_well(void **state)
{
    sandbox_write(".aws/config", "[default]\n"
                                 "s3 =\n"
                                 "  use_arn_region = false\n"
                                 "  us_east_1_regional_endpoint = legacy\n"
                                 "  s3_disable_multiregion_access_points = true\n");
    const struct aws_settings s = read_good();

    assert_false(s.foreign_arn_region);
    assert_true(s.s3_global && s.no_multi_region);
}

static void the_environment_goes_before_the_profile(void **state)
{
    sandbox_write(".aws/config", "[default]\n"
                                 "use_dualstack_endpoint = true\n"
                                 "use_fips_endpoint = true\n"
                                 "s3_use_arn_region = false\n"
                                 "s3_us_east_1_regional_endpoint = legacy\n"
                                 "sts_regional_endpoints = legacy\n"
                                 "max_attempts = 7\n"
                                 "defaults_mode = mobile\n");
    setenv("AWS_USE_DUALSTACK_ENDPOINT", "false", 1);
    setenv("AWS_USE_FIPS_ENDPOINT", "no", 1); /* only "true" is true */
    setenv("AWS_S3_USE_ARN_REGION", "True", 1);
    setenv("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "regional", 1);
    setenv("AWS_STS_REGIONAL_ENDPOINTS", "regional", 1);
    setenv("AWS_MAX_ATTEMPTS", "2", 1);
    setenv("AWS_DEFAULTS_MODE", "standard", 1);
    const struct aws_settings s = read_good();

    assert_false(s.dualstack || s.fips || s.s3_global || s.sts_global);
    assert_true(s.foreign_arn_region);
    assert_int_equal(s.max_attempts, 2);
    assert_int_equal(s.connect_ms, 3100);
}

static void a_value_that_is_not_legal_is_named_with_what_is(void **state)
{
    static const struct {
        const char *variable, *value, *says;
    } bad[] = {
        {"AWS_STS_REGIONAL_ENDPOINTS", "global", "AWS_STS_REGIONAL_ENDPOINTS is 'global'; legal are regional, legacy"},
        {"AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "x", "legal are regional, legacy"},
        {"AWS_RETRY_MODE", "fast", "legacy, standard, adaptive"},
        {"AWS_DEFAULTS_MODE", "fast", "in-region"},
        {"AWS_MAX_ATTEMPTS", "0", "from 1 to 1000"},
        {"AWS_MAX_ATTEMPTS", "many", "'many'"},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct aws_settings s;
        struct err e = ERR_INIT;

        setenv(bad[i].variable, bad[i].value, 1);
        assert_int_equal(read_all(&s, &e), ERR_INVAL);
        if (!strstr(e.msg, bad[i].says))
            fail_msg("%s: %s", bad[i].variable, e.msg);
        unsetenv(bad[i].variable);
    }
    sandbox_write(".aws/config", "[default]\ns3 =\n  addressing_style = host\n");
    struct aws_settings s;
    struct err e = ERR_INIT;
    assert_int_equal(read_all(&s, &e), ERR_INVAL);
    assert_non_null(strstr(e.msg, "addressing_style is 'host'"));
}

static void expect_bundle(const char *want)
{
    CLEANUP(profiles_free) struct profiles *p = profiles_load(NULL, NULL);
    BUF(bundle, 512);

    aws_settings_ca_bundle(p, &bundle);
    assert_string_equal(bundle.len ? buf_str(&bundle) : "", want);
}

static void the_first_of_three_bundles_is_trusted(void **state)
{
    unsetenv("REQUESTS_CA_BUNDLE");
    expect_bundle("");
    setenv("REQUESTS_CA_BUNDLE", "/requests.pem", 1);
    expect_bundle("/requests.pem");
    sandbox_write(".aws/config", "[default]\nca_bundle = /profile.pem\n");
    expect_bundle("/profile.pem");
    setenv("AWS_CA_BUNDLE", "/aws.pem", 1);
    expect_bundle("/aws.pem");
    unsetenv("REQUESTS_CA_BUNDLE");
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_set_is_the_defaults),
        T(the_profile_has_them_all),
        T(some_may_stand_in_the_block_s3_as_well),
        T(the_environment_goes_before_the_profile),
        T(a_value_that_is_not_legal_is_named_with_what_is),
        T(the_first_of_three_bundles_is_trusted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
