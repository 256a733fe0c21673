#include "aws/profile.h"

#include "aws/endpoint.h"
#include "aws/region.h"
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
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

static struct profiles *load(const char *option)
{
    struct err e = ERR_INIT;
    struct profiles *p = profiles_load(option, &e);

    if (!p)
        fail_msg("%s", e.msg);
    return p;
}

static void the_credentials_file_wins_over_the_config_file(void **state)
{
    sandbox_write(".aws/config", "[profile a]\nregion = from-config\noutput = json\n[default]\nregion = dflt\n");
    sandbox_write(".aws/credentials", "[a]\nregion = from-credentials\n");
    CLEANUP(profiles_free) struct profiles *p = load(NULL);

    assert_string_equal(profiles_active(p), "default");
    assert_string_equal(profiles_get(p, "a", "region", NULL), "from-credentials");
    assert_string_equal(profiles_get(p, "a", "output", NULL), "json");
    assert_string_equal(profiles_get_from(p, PROFILE_CONFIG, "a", "region"), "from-config");
    assert_null(profiles_get(p, "b", "region", NULL));
    assert_true(profiles_has(p, "default"));
    assert_false(profiles_has(p, "b"));
}

static void section_names_are_split_as_a_shell_does(void **state)
{
    sandbox_write(".aws/config", "[profile \"two words\"]\nregion = a-1\n"
                                 "[profile   three\\ words ]\nregion = b-1\n"
                                 "[profile 'un closed]\nregion = c-1\n"
                                 "[profile x y]\nregion = d-1\n"
                                 "[profile default]\nregion = e-1\n"
                                 "[default]\nregion = f-1\n"
                                 "[plain]\nregion = g-1\n");
    CLEANUP(profiles_free) struct profiles *p = load(NULL);

    assert_string_equal(profiles_get(p, "two words", "region", NULL), "a-1");
    assert_string_equal(profiles_get(p, "three words", "region", NULL), "b-1");
    assert_string_equal(profiles_get(p, "default", "region", NULL), "e-1");
    assert_false(profiles_has(p, "un closed"));
    assert_false(profiles_has(p, "x y"));
    assert_false(profiles_has(p, "x"));
    assert_false(profiles_has(p, "plain"));
}

static void the_active_profile_is_the_option_then_aws_default_profile_then_aws_profile(void **state)
{
    sandbox_write(".aws/config", "[profile a]\n[profile b]\n[profile c]\n");
    setenv("AWS_PROFILE", "a", 1);
    CLEANUP(profiles_free) struct profiles *first = load(NULL);
    setenv("AWS_DEFAULT_PROFILE", "b", 1);
    CLEANUP(profiles_free) struct profiles *second = load(NULL);
    CLEANUP(profiles_free) struct profiles *third = load("c");

    assert_string_equal(profiles_active(first), "a");
    assert_string_equal(profiles_active(second), "b");
    assert_string_equal(profiles_active(third), "c");
    assert_false(profiles_explicit(second));
    assert_true(profiles_explicit(third));
}

static void a_profile_that_is_asked_for_must_exist(void **state)
{
    struct err e = ERR_INIT;

    assert_null(profiles_load("nope", &e));
    assert_int_equal(e.code, ERR_INVAL);
    assert_non_null(strstr(e.msg, "profile 'nope' (option profile=)"));
    assert_non_null(strstr(e.msg, "which does not exist"));
    setenv("AWS_PROFILE", "other", 1);
    assert_null(profiles_load(NULL, &e));
    assert_non_null(strstr(e.msg, "profile 'other' (AWS_PROFILE)"));
}

static void a_malformed_file_is_an_error_with_its_path_and_line(void **state)
{
    struct err e = ERR_INIT;
    char place[128];

    sandbox_write(".aws/credentials", "[default]\naws_access_key_id = A\naws_secret_access_key MARKER\n");
    assert_null(profiles_load(NULL, &e));
    snprintf(place, sizeof(place), "%s/.aws/credentials line 3: ", sandbox_dir());
    assert_memory_equal(e.msg, place, strlen(place));
    assert_null(strstr(e.msg, "MARKER"));
}

static void paths_from_the_environment_are_expanded(void **state)
{
    sandbox_write("my.conf", "[default]\nregion = eu-x-1\n");
    setenv("AWS_CONFIG_FILE", "$AWS_TEST_DIR/${AWS_TEST_NAME}.conf", 1);
    setenv("AWS_TEST_DIR", sandbox_dir(), 1);
    setenv("AWS_TEST_NAME", "my", 1);
    CLEANUP(profiles_free) struct profiles *p = load(NULL);
    assert_string_equal(profiles_get(p, "default", "region", NULL), "eu-x-1");
    setenv("AWS_CONFIG_FILE", "~/my.conf", 1);
    CLEANUP(profiles_free) struct profiles *q = load(NULL);
    assert_string_equal(profiles_get(q, "default", "region", NULL), "eu-x-1");
}

static void what_cannot_be_expanded_stays(void **state)
{
    static const char *const table[][2] = {
        {"$AWS_UNSET/x", "$AWS_UNSET/x"},
        {"${AWS_UNSET}", "${AWS_UNSET}"},
        {"${AWS_A", "${AWS_A"},
        {"$", "$"},
        {"a$AWS_A.b", "aV.b"},
        {"${AWS_A}b", "Vb"},
        {"~no-such-user-here/x", "~no-such-user-here/x"},
        {"x~", "x~"},
        {"~root", "/root"},
    };

    setenv("AWS_A", "V", 1);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        BUF(out, 512);

        profile_expand_path(&out, table[i][0]);
        assert_string_equal(buf_str(&out), table[i][1]);
    }
}

static void a_service_section_is_followed_and_must_exist(void **state)
{
    const char *value;
    struct err e = ERR_INIT;

    sandbox_write(".aws/config", "[default]\nservices = local\n[profile bad]\nservices = nope\n[profile none]\n"
                                 "[services local]\ns3 =\n  endpoint_url = http://h:1\nssm =\n  endpoint_url =\n");
    CLEANUP(profiles_free) struct profiles *p = load(NULL);

    assert_int_equal(profiles_service_get(p, "default", "s3", "endpoint_url", &value, &e), ERR_OK);
    assert_string_equal(value, "http://h:1");
    assert_int_equal(profiles_service_get(p, "default", "ssm", "endpoint_url", &value, &e), ERR_OK);
    assert_null(value);
    assert_int_equal(profiles_service_get(p, "none", "s3", "endpoint_url", &value, &e), ERR_OK);
    assert_null(value);
    assert_int_equal(profiles_service_get(p, "bad", "s3", "endpoint_url", &value, &e), ERR_INVAL);
    assert_non_null(strstr(e.msg, "[services nope]"));
}

static void check_endpoint(const char *option, const char *expected)
{
    CLEANUP(profiles_free) struct profiles *p = load(NULL);
    const char *url;

    assert_int_equal(endpoint_configured(p, "s3", option, &url, NULL, NULL), ERR_OK);
    if (expected)
        assert_string_equal(url ? url : "(none)", expected);
    else
        assert_null(url);
}

static void the_configured_endpoint_follows_the_documented_order(void **state)
{
    check_endpoint(NULL, NULL);
    sandbox_write(".aws/config", "[default]\nendpoint_url = http://profile\n");
    check_endpoint(NULL, "http://profile");
    sandbox_write(".aws/config", "[default]\nendpoint_url = http://profile\nservices = s\n"
                                 "[services s]\ns3 =\n  endpoint_url = http://service\n");
    check_endpoint(NULL, "http://service");
    setenv("AWS_ENDPOINT_URL", "http://env", 1);
    check_endpoint(NULL, "http://env");
    setenv("AWS_ENDPOINT_URL_SSM", "http://other", 1);
    check_endpoint(NULL, "http://env");
    setenv("AWS_ENDPOINT_URL_S3", "http://env-s3", 1);
    check_endpoint(NULL, "http://env-s3");
    check_endpoint("http://option", "http://option");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "TRUE", 1);
    check_endpoint(NULL, NULL);
    check_endpoint("http://option", "http://option");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "1", 1);
    check_endpoint(NULL, "http://env-s3");
    unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    sandbox_write(".aws/config", "[default]\nignore_configured_endpoint_urls = true\n");
    check_endpoint(NULL, NULL);
}

static void check_region(const char *option, const char *expected, const char *why)
{
    CLEANUP(profiles_free) struct profiles *p = load(NULL);
    struct aws_region r;

    assert_int_equal(aws_region_find(p, option, NULL, NULL, &r, NULL), ERR_OK);
    assert_string_equal(r.name, expected);
    assert_string_equal(r.why, why);
}

static void the_region_follows_the_documented_order_and_says_why(void **state)
{
    CLEANUP(profiles_free) struct profiles *p = load(NULL);
    struct aws_region r;
    struct err e = ERR_INIT;

    assert_int_equal(aws_region_find(p, NULL, NULL, NULL, &r, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "AWS_REGION"));
    sandbox_write(".aws/config", "[default]\nregion = eu-central-1\n");
    check_region(NULL, "eu-central-1", "profile default");
    setenv("AWS_DEFAULT_REGION", "us-west-2", 1);
    check_region(NULL, "us-west-2", "AWS_DEFAULT_REGION");
    setenv("AWS_REGION", "ap-south-1", 1);
    check_region(NULL, "ap-south-1", "AWS_REGION");
    check_region("sa-east-1", "sa-east-1", "option region=");
}

static void what_is_no_region_is_refused_wherever_it_stands(void **state)
{
    static const char *const bad[] = {"",        "123",
                                      "-a",      "a-",
                                      "eu.west", "a/b",
                                      "a b",     "evil.example.com#",
                                      "a\n",     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct err e = ERR_INIT;
    struct aws_region r;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(aws_region_valid(bad[i]));
    assert_true(aws_region_valid("us-iso-east-1"));
    assert_true(aws_region_valid("1a"));
    setenv("AWS_REGION", "eu west", 1);
    CLEANUP(profiles_free) struct profiles *p = load(NULL);
    assert_int_equal(aws_region_find(p, NULL, NULL, NULL, &r, &e), ERR_INVAL);
    assert_non_null(strstr(e.msg, "'eu west' (AWS_REGION)"));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_credentials_file_wins_over_the_config_file),
        T(section_names_are_split_as_a_shell_does),
        T(the_active_profile_is_the_option_then_aws_default_profile_then_aws_profile),
        T(a_profile_that_is_asked_for_must_exist),
        T(a_malformed_file_is_an_error_with_its_path_and_line),
        T(paths_from_the_environment_are_expanded),
        T(what_cannot_be_expanded_stays),
        T(a_service_section_is_followed_and_must_exist),
        T(the_configured_endpoint_follows_the_documented_order),
        T(the_region_follows_the_documented_order_and_says_why),
        T(what_is_no_region_is_refused_wherever_it_stands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
