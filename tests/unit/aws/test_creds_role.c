#include "creds_fixture.h"

#include "util/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_role_is_assumed_with_the_keys_of_its_source_profile(void **state)
{
    struct sts_script sts = {0};
    struct script *s = use_sts(&sts);

    sandbox_write(".aws/config", "[profile r]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = base\n"
                                 "external_id = e+1\nrole_session_name = me@home\nduration_seconds = 900\n"
                                 "region = eu-west-3\n");
    sandbox_write(".aws/credentials", "[base]\naws_access_key_id = BASE\naws_secret_access_key = MARKER\n");
    CLEANUP(creds_unref) struct creds *c = resolve("r");
    assert_string_equal(c->access_key_id, "ROLE0");
    assert_string_equal(c->session_token, "T0");
    assert_in_range(c->expires, time(NULL) + 3590, time(NULL) + 3601);
    assert_non_null(strstr(c->source, "arn:aws:iam::1:role/x"));
    struct seen r = script_seen(s, 1);
    assert_string_equal(r.method, "POST");
    assert_string_equal(r.target, "/");
    assert_string_equal(r.body, "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fx"
                                "&RoleSessionName=me%40home&ExternalId=e%2B1&DurationSeconds=900");
    assert_non_null(strstr(seen_header(&r, "Authorization"), "Credential=BASE/"));
    assert_non_null(strstr(seen_header(&r, "Authorization"), "/eu-west-3/sts/aws4_request"));
    assert_null(strstr(r.head, "MARKER"));
    script_stop(s);
}

static void roles_are_chained(void **state)
{
    struct sts_script sts = {0};
    struct script *s = use_sts(&sts);

    sandbox_write(".aws/config", "[profile c]\nrole_arn = arn:C\nsource_profile = b\n"
                                 "[profile b]\nrole_arn = arn:B\nsource_profile = a\n"
                                 "[profile a]\naws_access_key_id = BASE\naws_secret_access_key = s\n"
                                 "role_arn = arn:unused\nsource_profile = c\n");
    CLEANUP(creds_unref) struct creds *c = resolve("c");
    assert_string_equal(c->access_key_id, "ROLE1");
    struct seen first = script_seen(s, 1), second = script_seen(s, 2);
    assert_non_null(strstr(first.body, "RoleArn=arn%3AB"));
    assert_non_null(strstr(seen_header(&first, "Authorization"), "Credential=BASE/"));
    assert_non_null(strstr(second.body, "RoleArn=arn%3AC"));
    assert_non_null(strstr(seen_header(&second, "Authorization"), "Credential=ROLE0/"));
    assert_string_equal(seen_header(&second, "X-Amz-Security-Token"), "T0");
    assert_int_equal(script_count(s), 2);
    script_stop(s);
}

static void a_profile_may_be_its_own_source_only_with_keys(void **state)
{
    struct sts_script sts = {0};
    struct script *s = use_sts(&sts);

    sandbox_write(".aws/config", "[profile a]\nrole_arn = arn:A\nsource_profile = a\n"
                                 "[profile b]\nrole_arn = arn:B\nsource_profile = b\n");
    sandbox_write(".aws/credentials", "[a]\naws_access_key_id = BASE\naws_secret_access_key = s\n");
    CLEANUP(creds_unref) struct creds *c = resolve("a");
    assert_string_equal(c->access_key_id, "ROLE0");
    expect_failure("b", ERR_INVAL, "circle");
    script_stop(s);
}

static void role_profiles_that_cannot_work_are_refused_with_the_reason(void **state)
{
    static const struct {
        const char *profile;
        enum err_code code;
        const char *says;
    } table[] = {
        {"loop1", ERR_INVAL, "circle: loop1 -> loop2 -> loop3 -> loop1"},
        {"mfa", ERR_UNSUPPORTED, "mfa_serial"},
        {"via-mfa", ERR_UNSUPPORTED, "profile mfa wants an MFA code"},
        {"no-source", ERR_INVAL, "no source_profile and no credential_source"},
        {"both", ERR_INVAL, "both source_profile and credential_source"},
        {"cs", ERR_AUTH, "credential_source = Environment: AWS_ACCESS_KEY_ID is not set"},
        {"cs-unknown", ERR_INVAL, "credential_source = Sun is unknown, legal are Environment"},
        {"dangling", ERR_INVAL, "source_profile = nowhere"},
        {"keyless", ERR_AUTH, "profile empty, the source_profile of keyless, has no credentials"},
    };

    sandbox_write(".aws/config",
                  "[profile loop1]\nrole_arn = a\nsource_profile = loop2\n"
                  "[profile loop2]\nrole_arn = a\nsource_profile = loop3\n"
                  "[profile loop3]\nrole_arn = a\nsource_profile = loop1\n"
                  "[profile mfa]\nrole_arn = a\nsource_profile = empty\nmfa_serial = MARKER\n"
                  "[profile via-mfa]\nrole_arn = a\nsource_profile = mfa\n"
                  "[profile no-source]\nrole_arn = a\n"
                  "[profile both]\nrole_arn = a\nsource_profile = empty\ncredential_source = Environment\n"
                  "[profile cs]\nrole_arn = a\ncredential_source = Environment\n"
                  "[profile cs-unknown]\nrole_arn = a\ncredential_source = Sun\n"
                  "[profile dangling]\nrole_arn = a\nsource_profile = nowhere\n"
                  "[profile keyless]\nrole_arn = a\nsource_profile = empty\n"
                  "[profile empty]\nregion = eu-west-1\n");
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        expect_failure(table[i].profile, table[i].code, table[i].says);
}

static void a_role_that_is_refused_ends_the_chain_with_the_servers_reason(void **state)
{
    struct sts_script sts = {.refuse = true};
    struct script *s = use_sts(&sts);

    sandbox_write(".aws/config", "[profile r]\nrole_arn = arn:R\nsource_profile = base\n"
                                 "[profile base]\naws_access_key_id = BASE\naws_secret_access_key = MARKER\n");
    expect_failure("r", ERR_ACCESS, "AccessDenied: User is not authorized");
    assert_int_equal(script_count(s), 1);
    script_stop(s);
}

/* An hour from 2020-01-01 12:00, the time that this server believes it is. */
static void answer_in_2020(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    static const char date[] = "Date: Wed, 01 Jan 2020 12:00:00 GMT\r\n";

    if (!str_starts(seen_header(r, "X-Amz-Date"), "20200101T12"))
        reply_add(out, 403, date,
                  "<ErrorResponse><Error><Code>RequestExpired</Code><Message>m</Message></Error></ErrorResponse>");
    else
        reply_add(
            out, 200, date,
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ROLE</AccessKeyId>"
            "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
            "<Expiration>2020-01-01T13:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>");
}

static void an_expiry_is_understood_although_our_clock_is_wrong(void **state)
{
    struct script *s = script_start(answer_in_2020, NULL);

    setenv("AWS_ENDPOINT_URL_STS", script_url(s), 1);
    sandbox_write(".aws/config", "[profile r]\nrole_arn = arn:R\nsource_profile = base\n"
                                 "[profile base]\naws_access_key_id = BASE\naws_secret_access_key = s\n");
    CLEANUP(creds_unref) struct creds *c = resolve("r");
    assert_in_range(c->expires, time(NULL) + 3590, time(NULL) + 3605);
    script_stop(s);
}

static void no_key_is_in_the_log_at_any_level(void **state)
{
    struct sts_script sts = {0};
    struct script *s = use_sts(&sts);

    sandbox_write(".aws/config", "[profile r]\nrole_arn = arn:R\nsource_profile = base\n");
    sandbox_write(".aws/credentials", "[base]\naws_access_key_id = BASE\naws_secret_access_key = MARKER\n");
    log_watch();
    creds_unref(resolve("r"));
    atomic_store(&sts.refuse, true);
    expect_failure("r", ERR_ACCESS, "AccessDenied");
    log_expect_no_marker();
    script_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_role_is_assumed_with_the_keys_of_its_source_profile),
        T(roles_are_chained),
        T(a_profile_may_be_its_own_source_only_with_keys),
        T(role_profiles_that_cannot_work_are_refused_with_the_reason),
        T(an_expiry_is_understood_although_our_clock_is_wrong),
        T(a_role_that_is_refused_ends_the_chain_with_the_servers_reason),
        T(no_key_is_in_the_log_at_any_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
