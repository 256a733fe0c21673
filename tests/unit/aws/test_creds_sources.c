#include "creds_fixture.h"

#include "aws/creds_container.h"
#include "aws/creds_process.h"
#include "aws/creds_sso.h"
#include "util/cancel.h"
#include "util/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void a_container_is_asked_only_where_the_answer_cannot_be_overheard(void **state)
{
    /* `says` NULL: `expected` is the URL. */
    static const struct {
        const char *relative, *full, *expected, *says;
    } table[] = {
        {"/v2/credentials?id=1", NULL, "http://169.254.170.2/v2/credentials?id=1", NULL},
        {"/a", "https://ignored/", "http://169.254.170.2/a", NULL},
        {"a", NULL, NULL, "begins with '/'"},
        {".evil.example/a", NULL, NULL, "begins with '/'"},
        {"@evil.example/", NULL, NULL, "begins with '/'"},
        {"/a b", NULL, NULL, "begins with '/'"},
        {"/a\r\nHost: b", NULL, NULL, "begins with '/'"},
        {NULL, "https://any.example/x?y=z", "https://any.example/x?y=z", NULL},
        {NULL, "https://any.example:8443", "https://any.example:8443/", NULL},
        {NULL, "https://any.example?q", "https://any.example/?q", NULL},
        {NULL, "http://localhost:81/x", "http://localhost:81/x", NULL},
        {NULL, "http://127.0.0.1/x", "http://127.0.0.1/x", NULL},
        {NULL, "http://127.255.3.4:1/x", "http://127.255.3.4:1/x", NULL},
        {NULL, "http://[::1]:99/x", "http://[::1]:99/x", NULL},
        {NULL, "http://169.254.170.2/x", "http://169.254.170.2/x", NULL},
        {NULL, "http://169.254.170.23/v1/credentials", "http://169.254.170.23/v1/credentials", NULL},
        {NULL, "http://[fd00:ec2::23]/v1/credentials", "http://[fd00:ec2::23]/v1/credentials", NULL},
        {NULL, "http://169.254.169.254/x", NULL, "169.254.169.254 over plain http"},
        {NULL, "http://any.example/x", NULL, "any.example over plain http"},
        {NULL, "http://localhost.evil.example/x", NULL, "over plain http"},
        {NULL, "http://[fd00:ec2::24]/x", NULL, "over plain http"},
        {NULL, "http://localhost@evil.example/x", NULL, "FULL_URI"},
        {NULL, "http://evil.example\\@localhost/x", NULL, "FULL_URI"},
        {NULL, "http://user:MARKER@localhost/x", NULL, "FULL_URI"},
        {NULL, "ftp://localhost/x", NULL, "FULL_URI"},
        {NULL, "localhost/x", NULL, "no http or https URL"},
        {NULL, "http://localhost/a\nb", NULL, "no http or https URL"},
        {NULL, "http://localhost/a#b", NULL, "no http or https URL"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct err e = ERR_INIT;
        BUF(url, 512);
        enum err_code code = creds_container_url(table[i].relative, table[i].full, &url, &e);

        if (table[i].says && (code != ERR_INVAL || !strstr(e.msg, table[i].says) || strstr(e.msg, "MARKER")))
            fail_msg("%s: %s %s", table[i].full ? table[i].full : table[i].relative, e.msg, buf_str(&url));
        if (!table[i].says && (code || strcmp(buf_str(&url), table[i].expected)))
            fail_msg("%s: %s %s", table[i].expected, e.msg, buf_str(&url));
    }
}

static void a_process_that_prints_no_credentials_is_named_and_not_quoted(void **state)
{
    static const struct {
        const char *command;
        enum err_code code;
        const char *says;
    } table[] = {
        {"printf 'MARKER garbage'", ERR_PROTO, "'printf' prints something that is no JSON"},
        {"true", ERR_PROTO, "'true' prints something that is no JSON"},
        {"echo '[\"MARKER\"]'", ERR_PROTO, "prints no \"Version\": 1"},
        {"echo '{\"Version\":2,\"AccessKeyId\":\"MARKER\"}'", ERR_PROTO, "prints no \"Version\": 1"},
        {"echo '{\"Version\":\"1\",\"AccessKeyId\":\"MARKER\"}'", ERR_PROTO, "prints no \"Version\": 1"},
        {"echo '{\"Version\":1,\"SecretAccessKey\":\"MARKER\"}'", ERR_PROTO, "prints no AccessKeyId"},
        {"echo '{\"Version\":1,\"AccessKeyId\":\"MARKER\"}'", ERR_PROTO, "prints no SecretAccessKey"},
        {"echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"MARKER two\"}'", ERR_INVAL,
         "characters that no key has"},
        {"echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"MARKER\",\"Expiration\":\"soon\"}'",
         ERR_PROTO, "no ISO 8601 time"},
        {"echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"MARKER\",\"Expiration\":7}'", ERR_PROTO,
         "no ISO 8601 time"},
        {"echo '{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"MARKER\",\"Expiration\":"
         "\"2020-01-01T00:00:00Z\"}'",
         ERR_AUTH, "the credentials have expired, Wed, 01 Jan 2020 00:00:00 GMT (it is "},
        {"sh -c 'echo MARKER >&2; exit 7'", ERR_AUTH, "'sh' failed with status 7 (what it says is not kept"},
        {"yes MARKER", ERR_TOO_BIG, "'yes' prints more than 65536 bytes"},
        {"/nonexistent/helper MARKER", ERR_AUTH, "no program '/nonexistent/helper'"},
        {"helper 'MARKER", ERR_INVAL, "quote that is not closed"},
        {"helper MARKER\\", ERR_INVAL, "ends with a backslash"},
        {"''", ERR_INVAL, "the command is empty"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        BUF(config, 4096);

        buf_addf(&config, "[default]\ncredential_process = %s\n", table[i].command);
        sandbox_write(".aws/config", buf_str(&config));
        expect_failure(NULL, table[i].code, table[i].says);
    }
}

static void a_process_is_split_like_a_shell_and_run_without_one(void **state)
{
    static const char print[] = "#!/bin/sh\n"
                                "printf '{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"MARKER\","
                                "\"SessionToken\":\"%s\",\"Expiration\":\"2099-01-01T00:00:00Z\"}' \"$1\" \"$#\"\n";
    char path[256];
    BUF(config, 1024);

    sandbox_write(".aws/my helper", print);
    snprintf(path, sizeof(path), "%s/.aws/my helper", sandbox_dir());
    assert_int_equal(chmod(path, 0700), 0);
    buf_addf(&config, "[profile p]\ncredential_process = '%s' \"$HOME;true\" a\\ b >file '*'\n", path);
    sandbox_write(".aws/config", buf_str(&config));
    CLEANUP(creds_unref) struct creds *c = resolve("p");
    assert_string_equal(c->access_key_id, "$HOME;true");
    assert_string_equal(c->session_token, "4");
    assert_string_equal(c->secret_access_key, "MARKER");
    assert_int_equal(c->expires, 4070908800);
    assert_string_equal(c->source, "credential_process of profile p");
}

static void a_process_that_hangs_is_given_up(void **state)
{
    struct creds *c = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(creds_process_run("sleep 1000", 200, "x", NULL, &c, &e), ERR_TIMEOUT);
    assert_non_null(strstr(e.msg, "'sleep' did not end in time"));
}

static void single_sign_on_is_asked_where_the_endpoint_rules_say(void **state)
{
    /* As the rules in botocore give it. */
    static const struct {
        const char *region, *variable, *value, *url;
    } table[] = {
        {"eu-west-1", "HOME", "/", "https://portal.sso.eu-west-1.amazonaws.com"},
        {"cn-north-1", "HOME", "/", "https://portal.sso.cn-north-1.amazonaws.com.cn"},
        {"us-east-1", "AWS_USE_FIPS_ENDPOINT", "true", "https://portal.sso-fips.us-east-1.amazonaws.com"},
        {"us-gov-west-1", "AWS_USE_FIPS_ENDPOINT", "true", "https://portal.sso.us-gov-west-1.amazonaws.com"},
        {"us-east-1", "AWS_USE_DUALSTACK_ENDPOINT", "true", "https://portal.sso.us-east-1.api.aws"},
        {"us-east-1", "AWS_ENDPOINT_URL_SSO", "https://sso.example:8443/base/", "https://sso.example:8443/base"},
        {"us-east-1", "AWS_ENDPOINT_URL", "http://all.example", "http://all.example"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        CLEANUP(profiles_free) struct profiles *p = NULL;
        struct err e = ERR_INIT;
        BUF(url, 512);

        setenv(table[i].variable, table[i].value, 1);
        p = profiles_load(NULL, &e);
        assert_non_null(p);
        const struct creds_context ctx = {.profiles = p, .profile = "default"};
        const struct sso sso = {.region = table[i].region};
        assert_int_equal(sso_url(&ctx, &sso, "sso", "portal.sso", &url, &e), ERR_OK);
        assert_string_equal(buf_str(&url), table[i].url);
        unsetenv(table[i].variable);
    }
}

static void the_two_old_files_are_read(void **state)
{
    sandbox_write(".boto", "[Boto]\nx = 1\n[Credentials]\naws_access_key_id = BOTO\naws_secret_access_key = s\n");
    CLEANUP(creds_unref) struct creds *boto = resolve(NULL);
    sandbox_write("ec2", "# comment\n AWSAccessKeyId = EC2 \nAWSSecretKey=a=b\n");
    setenv("AWS_CREDENTIAL_FILE", "~/ec2", 1);
    CLEANUP(creds_unref) struct creds *ec2 = resolve(NULL);

    assert_string_equal(boto->access_key_id, "BOTO");
    assert_string_equal(ec2->access_key_id, "EC2");
    assert_string_equal(ec2->secret_access_key, "a=b");
    sandbox_write("ec2", "AWSAccessKeyId=MARKER\n");
    expect_failure(NULL, ERR_AUTH, "no AWSSecretKey");
    setenv("AWS_CREDENTIAL_FILE", "~/absent", 1);
    expect_failure(NULL, ERR_AUTH, "absent does not exist");
    unsetenv("AWS_CREDENTIAL_FILE");
    sandbox_write(".boto", "[Credentials]\naws_access_key_id = MARKER\n");
    expect_failure(NULL, ERR_AUTH, "no aws_secret_access_key");
}

static void *wait_and_cancel(void *cancel)
{
    usleep(100000);
    cancel_fire(cancel);
    return NULL;
}

static void a_process_is_not_waited_for_when_the_mount_ends(void **state)
{
    CLEANUP(cancel_unref) struct cancel *cancel = cancel_new();
    struct creds *c = NULL;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, wait_and_cancel, cancel), 0);
    assert_int_equal(creds_process_run("sleep 1000", 600000, "x", cancel, &c, NULL), ERR_CANCELED);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_container_is_asked_only_where_the_answer_cannot_be_overheard),
        T(a_process_that_prints_no_credentials_is_named_and_not_quoted),
        T(a_process_is_split_like_a_shell_and_run_without_one),
        T(a_process_that_hangs_is_given_up),
        T(a_process_is_not_waited_for_when_the_mount_ends),
        T(single_sign_on_is_asked_where_the_endpoint_rules_say),
        T(the_two_old_files_are_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
