#include "creds_fixture.h"

#include "util/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct imds_script {
    int token_status; /* 200, or what is answered instead; 0: hangs up; -1: no answer for 3 s */
    char expiration[40];
    atomic_int generation;
    atomic_bool broken;
};

static void answer_imds(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    struct imds_script *s = arg;
    BUF(body, 4096);

    if (atomic_load(&s->broken)) {
        reply_add(out, 500, "", "");
        return;
    }
    if (!strcmp(r->target, "/latest/api/token")) {
        assert_string_equal(r->method, "PUT");
        assert_string_equal(seen_header(r, "X-aws-ec2-metadata-token-ttl-seconds"), "21600");
        if (s->token_status == -1)
            sleep(3);
        else if (s->token_status)
            reply_add(out, s->token_status, "", s->token_status == 200 ? "TOKEN" : "no");
        return;
    }
    assert_string_equal(seen_header(r, "X-aws-ec2-metadata-token"), s->token_status == 200 ? "TOKEN" : "");
    if (!strcmp(r->target, "/latest/meta-data/placement/region")) {
        reply_add(out, 200, "", "eu-south-2");
    } else if (!strcmp(r->target, "/latest/meta-data/iam/security-credentials/")) {
        reply_add(out, 200, "", "my-role\n");
    } else if (!strcmp(r->target, "/latest/meta-data/iam/security-credentials/my-role")) {
        buf_addf(
            &body,
            "{\"Code\":\"Success\",\"Type\":\"AWS-HMAC\",\"AccessKeyId\":\"ASIA%d\",\"SecretAccessKey\":\"MARKER\","
            "\"Token\":\"tok\",\"Expiration\":\"%s\"}",
            atomic_fetch_add(&s->generation, 1), s->expiration);
        reply_add(out, 200, "", buf_str(&body));
    } else {
        reply_add(out, 404, "", "");
    }
}

static void use_imds(const struct script *s)
{
    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", script_url(s), 1);
}

static void the_instances_role_is_used_with_a_token(void **state)
{
    struct imds_script i = {.token_status = 200};
    struct script *s = script_start(answer_imds, &i);

    format_expiry(i.expiration, 6 * 3600);
    use_imds(s);
    CLEANUP(creds_unref) struct creds *c = resolve(NULL);
    assert_string_equal(c->access_key_id, "ASIA0");
    assert_string_equal(c->secret_access_key, "MARKER");
    assert_string_equal(c->session_token, "tok");
    assert_in_range(c->expires, time(NULL) + 6 * 3600 - 10, time(NULL) + 6 * 3600);
    assert_non_null(strstr(c->source, "my-role"));
    assert_int_equal(script_count(s), 3);
    script_stop(s);
}

static void version_1_is_the_fallback_only_where_it_is_allowed(void **state)
{
    static const int statuses[] = {403, 404, 405};
    struct imds_script i = {0};
    struct script *s = script_start(answer_imds, &i);

    format_expiry(i.expiration, 6 * 3600);
    use_imds(s);
    for (size_t n = 0; n < ARRAY_LEN(statuses); n++) {
        i.token_status = statuses[n];
        CLEANUP(creds_unref) struct creds *c = resolve(NULL);
        assert_string_equal(c->secret_access_key, "MARKER");
    }
    setenv("AWS_EC2_METADATA_V1_DISABLED", "true", 1);
    expect_failure(NULL, ERR_ACCESS, "version 1 is switched off");
    unsetenv("AWS_EC2_METADATA_V1_DISABLED");
    i.token_status = 400;
    expect_failure(NULL, ERR_NET, "status 400");
    script_stop(s);
}

static void a_token_request_without_answer_falls_back_within_the_time(void **state)
{
    struct imds_script i = {.token_status = -1};
    struct script *s = script_start(answer_imds, &i);
    uint64_t begin = clock_mono_ms();
    struct err e = ERR_INIT;

    format_expiry(i.expiration, 3600);
    use_imds(s);
    /* The scripted server answers one after the other, so version 1 does not get its turn in time either. */
    assert_null(provider(NULL, &e));
    assert_in_range(clock_mono_ms() - begin, 900, 20000);
    script_stop(s);
}

static void a_machine_without_the_service_is_not_slow(void **state)
{
    uint64_t begin = clock_mono_ms();
    struct err e = ERR_INIT;
    BUF(lines, 8192);

    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
    setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "10", 1);
    assert_null(provider_explained(NULL, &lines, &e));
    assert_int_equal(e.code, ERR_AUTH);
    assert_non_null(strstr(buf_str(&lines), "instance metadata: no answer from http://127.0.0.1:1"));
    assert_true(clock_mono_ms() - begin < 8000);
}

static void what_the_service_answers_is_not_trusted(void **state)
{
    struct imds_script i = {.token_status = 200};
    struct script *s = script_start(answer_imds, &i);

    use_imds(s);
    strcpy(i.expiration, "tomorrow");
    expect_failure(NULL, ERR_PROTO, "malformed");
    strcpy(i.expiration, "\"} junk");
    expect_failure(NULL, ERR_PROTO, "malformed");
    script_stop(s);
}

static void nearly_expired_credentials_of_the_instance_are_extended(void **state)
{
    struct imds_script i = {.token_status = 200};
    struct script *s = script_start(answer_imds, &i);

    format_expiry(i.expiration, -60);
    use_imds(s);
    CLEANUP(creds_unref) struct creds *c = resolve(NULL);
    assert_in_range(c->expires, time(NULL) + 17 * 60 - 5, time(NULL) + 25 * 60 + 5);
    script_stop(s);
}

static void refused_credentials_of_the_instance_are_not_used_again_at_once(void **state)
{
    struct imds_script i = {.token_status = 200};
    struct script *s = script_start(answer_imds, &i);

    format_expiry(i.expiration, 6 * 3600);
    use_imds(s);
    CLEANUP(creds_provider_free) struct creds_provider *p = provider(NULL, NULL);
    CLEANUP(creds_unref) struct creds *c = NULL;
    assert_int_equal(creds_get(p, &c, NULL), ERR_OK);
    atomic_store(&i.broken, true);
    creds_refused(p, c, NULL);
    struct err e = ERR_INIT;
    struct creds *again = NULL;
    /* Until the service has answered, which it may do again: whoever asks waits, and does not get the refused ones. */
    while (!strstr(e.msg, "were refused"))
        assert_int_equal(creds_get(p, &again, &e), ERR_AGAIN);
    assert_non_null(strstr(e.msg, "status 500"));
    assert_null(again);
    script_stop(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_instances_role_is_used_with_a_token),
        T(version_1_is_the_fallback_only_where_it_is_allowed),
        T(a_token_request_without_answer_falls_back_within_the_time),
        T(a_machine_without_the_service_is_not_slow),
        T(what_the_service_answers_is_not_trusted),
        T(nearly_expired_credentials_of_the_instance_are_extended),
        T(refused_credentials_of_the_instance_are_not_used_again_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
