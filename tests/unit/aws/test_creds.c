#include "creds_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void the_environment_goes_first_unless_a_profile_is_asked_for(void **state)
{
    sandbox_write(".aws/credentials", "[default]\naws_access_key_id = FILE\naws_secret_access_key = s\n"
                                      "[p]\naws_access_key_id = P\naws_secret_access_key = s\n");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    setenv("AWS_SESSION_TOKEN", "second", 1);
    CLEANUP(creds_unref) struct creds *env = resolve(NULL);
    CLEANUP(creds_unref) struct creds *asked = resolve("p");
    setenv("AWS_PROFILE", "p", 1);
    setenv("AWS_SECURITY_TOKEN", "first", 1);
    CLEANUP(creds_unref) struct creds *by_variable = resolve(NULL);

    assert_string_equal(env->access_key_id, "ENV");
    assert_string_equal(env->session_token, "second");
    assert_int_equal(env->expires, 0);
    assert_string_equal(asked->access_key_id, "P");
    assert_non_null(strstr(asked->source, "profile p of "));
    assert_string_equal(by_variable->access_key_id, "ENV");
    assert_string_equal(by_variable->session_token, "first");
}

static void half_a_pair_of_keys_is_an_error_that_ends_the_chain(void **state)
{
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    expect_failure(NULL, ERR_AUTH, "AWS_SECRET_ACCESS_KEY is not");
    unsetenv("AWS_ACCESS_KEY_ID");
    sandbox_write(".aws/credentials", "[default]\naws_access_key_id = A\n");
    expect_failure(NULL, ERR_AUTH, "no aws_secret_access_key");
}

static void keys_with_characters_that_no_key_has_are_refused_and_not_shown(void **state)
{
    sandbox_write(".aws/credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = MARKER two\n");
    expect_failure(NULL, ERR_INVAL, "characters that no key has");
    sandbox_write(".aws/credentials",
                  "[default]\naws_access_key_id = A\naws_secret_access_key = s\naws_session_token = MAR\n  KER\n");
    expect_failure(NULL, ERR_INVAL, "characters that no key has");
}

static void the_credentials_file_goes_before_the_config_file(void **state)
{
    sandbox_write(".aws/config", "[default]\naws_access_key_id = CONFIG\naws_secret_access_key = s\n");
    CLEANUP(creds_unref) struct creds *config = resolve(NULL);
    sandbox_write(".aws/credentials",
                  "[default]\naws_access_key_id = SHARED\naws_secret_access_key = s\naws_session_token = t\n");
    CLEANUP(creds_unref) struct creds *shared = resolve(NULL);

    assert_string_equal(config->access_key_id, "CONFIG");
    assert_null(config->session_token);
    assert_string_equal(shared->access_key_id, "SHARED");
    assert_string_equal(shared->session_token, "t");
}

static void without_any_credentials_each_source_says_in_one_line_why(void **state)
{
    static const char *const says[] = {
        "environment: AWS_ACCESS_KEY_ID is not set\n",
        "role: profile default has no role_arn\n",
        "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set, and profile default has no web_identity_token_file\n",
        "SSO: profile default has no sso_role_name\n",
        "credentials file: ",
        "/.aws/credentials does not exist\n",
        "login: profile default has no login_session\n",
        "process: profile default has no credential_process\n",
        "config file: ",
        "file of the EC2 tools: AWS_CREDENTIAL_FILE is not set\n",
        "file of Boto 2: neither /etc/boto.cfg nor ~/.boto has keys in [Credentials]\n",
        "container: neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor AWS_CONTAINER_CREDENTIALS_FULL_URI is set\n",
        "instance metadata: switched off by AWS_EC2_METADATA_DISABLED\n",
    };
    struct err e = ERR_INIT;
    BUF(lines, 8192);
    size_t n = 0;

    assert_null(provider_explained(NULL, &lines, &e));
    assert_int_equal(e.code, ERR_AUTH);
    assert_non_null(strstr(e.msg, "no credentials: none of 12 sources has any"));
    for (const char *p = buf_str(&lines), *before = p; n < ARRAY_LEN(says); n++, before = p) {
        p = strstr(p, says[n]);
        if (!p)
            fail_msg("'%s' does not follow in '%s'", says[n], before);
    }
    n = 0;
    for (const char *p = buf_str(&lines); (p = strchr(p, '\n')); p++)
        n++;
    assert_int_equal(n, creds_sources_count);
}

static void a_file_that_is_there_and_cannot_be_read_ends_the_chain(void **state)
{
    char path[256];

    sandbox_write(".aws/config", "[default]\naws_access_key_id = CONFIG\naws_secret_access_key = s\n");
    /* A link to itself fails to open for root too. */
    snprintf(path, sizeof(path), "%s/.aws/credentials", sandbox_dir());
    assert_int_equal(symlink(path, path), 0);
    expect_failure(NULL, ERR_ACCESS, ".aws/credentials cannot be read");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    CLEANUP(creds_unref) struct creds *env = resolve(NULL);
    assert_string_equal(env->access_key_id, "ENV");
}

static void anonymous_has_none_and_asks_nobody(void **state)
{
    const struct creds_options o = {.anonymous = true};
    CLEANUP(creds_provider_free) struct creds_provider *p = creds_provider_new(engine, &o, NULL);
    struct creds *c;

    assert_true(creds_provider_anonymous(p));
    assert_int_equal(creds_get(p, &c, NULL), ERR_AUTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_environment_goes_first_unless_a_profile_is_asked_for),
        T(half_a_pair_of_keys_is_an_error_that_ends_the_chain),
        T(keys_with_characters_that_no_key_has_are_refused_and_not_shown),
        T(the_credentials_file_goes_before_the_config_file),
        T(without_any_credentials_each_source_says_in_one_line_why),
        T(a_file_that_is_there_and_cannot_be_read_ends_the_chain),
        T(anonymous_has_none_and_asks_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
