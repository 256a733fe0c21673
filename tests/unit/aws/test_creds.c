#include "aws/creds_source.h"

#include "support.h"
#include "util/clock.h"
#include "util/str.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct http_engine *engine;

static int enter(void **state)
{
    const struct http_config config = {0};

    sandbox_enter();
    engine = http_engine_new(&config, NULL);
    return engine ? 0 : -1;
}

static int leave(void **state)
{
    http_engine_free(engine);
    sandbox_leave();
    return 0;
}

static struct creds_provider *provider(const char *profile, struct err *e)
{
    const struct creds_options o = {.profile = profile};

    return creds_provider_new(engine, &o, e);
}

/* The set that the chain gives; a failure fails the test. */
static struct creds *resolve(const char *profile)
{
    struct err e = ERR_INIT;
    CLEANUP(creds_provider_free) struct creds_provider *p = provider(profile, &e);
    struct creds *c;

    if (!p)
        fail_msg("%s", e.msg);
    assert_int_equal(creds_get(p, &c, &e), ERR_OK);
    return c;
}

static void expect_failure(const char *profile, enum err_code code, const char *says)
{
    struct err e = ERR_INIT;

    assert_null(provider(profile, &e));
    if (e.code != code || !strstr(e.msg, says) || strstr(e.msg, "MARKER"))
        fail_msg("%s: %s", err_name(e.code), e.msg);
}

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

static void without_any_credentials_the_message_says_where_it_looked(void **state)
{
    struct err e = ERR_INIT;

    assert_null(provider(NULL, &e));
    assert_int_equal(e.code, ERR_AUTH);
    assert_non_null(strstr(e.msg, "environment: AWS_ACCESS_KEY_ID is not set"));
    assert_non_null(strstr(e.msg, "credentials file: "));
    assert_non_null(strstr(e.msg, "config file: "));
    assert_non_null(strstr(e.msg, "instance metadata: switched off"));
}

static void anonymous_has_none_and_asks_nobody(void **state)
{
    const struct creds_options o = {.anonymous = true};
    CLEANUP(creds_provider_free) struct creds_provider *p = creds_provider_new(engine, &o, NULL);
    struct creds *c;

    assert_true(creds_provider_anonymous(p));
    assert_int_equal(creds_get(p, &c, NULL), ERR_AUTH);
}

/* ---- the instance metadata service ---- */

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

static void format_expiry(char out[40], int from_now_s)
{
    time_t t = time(NULL) + from_now_s;
    struct tm tm;

    strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
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
    assert_in_range(clock_mono_ms() - begin, 900, 2600);
    script_stop(s);
}

static void a_machine_without_the_service_is_not_slow(void **state)
{
    uint64_t begin = clock_mono_ms();
    struct err e = ERR_INIT;

    unsetenv("AWS_EC2_METADATA_DISABLED");
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1", 1);
    setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "5", 1);
    assert_null(provider(NULL, &e));
    assert_int_equal(e.code, ERR_AUTH);
    assert_non_null(strstr(e.msg, "no answer from http://127.0.0.1:1"));
    assert_true(clock_mono_ms() - begin < 2500);
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

/* ---- assume role ---- */

struct sts_script {
    atomic_int calls, expires_s;
    atomic_bool refuse;
};

static void answer_sts(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    struct sts_script *s = arg;
    char expiration[40];
    BUF(body, 4096);
    int n = atomic_fetch_add(&s->calls, 1);

    if (atomic_load(&s->refuse)) {
        reply_add(out, 403, "",
                  "<ErrorResponse><Error><Code>AccessDenied</Code><Message>User is not authorized</Message></Error>"
                  "<RequestId>REQ</RequestId></ErrorResponse>");
        return;
    }
    format_expiry(expiration, atomic_load(&s->expires_s));
    buf_addf(
        &body,
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>"
        "<AccessKeyId>ROLE%d</AccessKeyId><SecretAccessKey>MARKER%d</SecretAccessKey><SessionToken>T%d</SessionToken>"
        "<Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
        n, n, n, expiration);
    reply_add(out, 200, "", buf_str(&body));
}

static struct script *use_sts(struct sts_script *s)
{
    struct script *server = script_start(answer_sts, s);

    if (!atomic_load(&s->expires_s))
        atomic_store(&s->expires_s, 3600);
    setenv("AWS_ENDPOINT_URL_STS", script_url(server), 1);
    return server;
}

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
        {"loop1", ERR_INVAL, "circle: profile loop1"},
        {"mfa", ERR_UNSUPPORTED, "mfa_serial"},
        {"via-mfa", ERR_UNSUPPORTED, "profile mfa wants an MFA code"},
        {"no-source", ERR_INVAL, "no source_profile"},
        {"both", ERR_INVAL, "both source_profile and credential_source"},
        {"cs", ERR_UNSUPPORTED, "credential_source"},
        {"dangling", ERR_INVAL, "source_profile = nowhere"},
        {"keyless", ERR_AUTH, "has no keys"},
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

/* ---- refreshing ---- */

static void refreshes_are_early_spread_out_and_never_before_half_of_a_short_life(void **state)
{
    const time_t now = 1000000;

    assert_int_equal(creds_refresh_time(now, now + 3600, 0), now + 3600 - CREDS_ADVISORY_S);
    assert_in_range(creds_refresh_time(now, now + 3600, UINT32_MAX), now + 3600 - CREDS_MANDATORY_S - 1,
                    now + 3600 - CREDS_MANDATORY_S);
    assert_int_equal(creds_refresh_time(now, now + 900, 0), now + 450);
    assert_int_equal(creds_refresh_time(now, now + 2, 0), now + 1);
}

static bool wait_for_key(struct creds_provider *p, const char *key, unsigned ms)
{
    uint64_t end = clock_mono_ms() + ms;

    while (clock_mono_ms() < end) {
        struct creds *c = NULL;
        bool found = !creds_get(p, &c, NULL) && !strcmp(c->access_key_id, key);

        creds_unref(c);
        if (found)
            return true;
        usleep(10000);
    }
    return false;
}

static struct creds_provider *role_provider(void)
{
    struct err e = ERR_INIT;

    sandbox_write(".aws/config", "[profile r]\nrole_arn = arn:R\nsource_profile = base\n"
                                 "[profile base]\naws_access_key_id = BASE\naws_secret_access_key = MARKER\n");
    struct creds_provider *p = provider("r", &e);
    if (!p)
        fail_msg("%s", e.msg);
    return p;
}

static void credentials_are_refreshed_before_they_expire(void **state)
{
    struct sts_script sts = {.expires_s = 4};
    struct script *s = use_sts(&sts);
    struct creds_provider *p = role_provider();

    atomic_store(&sts.expires_s, 3600);
    assert_true(wait_for_key(p, "ROLE1", 3500));
    creds_provider_free(p);
    script_stop(s);
}

static void a_refresh_that_fails_leaves_the_old_ones_until_they_expire(void **state)
{
    struct sts_script sts = {.expires_s = 4};
    struct script *s = use_sts(&sts);
    struct creds_provider *p = role_provider();
    struct creds *c = NULL;
    struct err e = ERR_INIT;

    atomic_store(&sts.refuse, true);
    usleep(3000000);
    assert_true(atomic_load(&sts.calls) > 1);
    assert_int_equal(creds_get(p, &c, &e), ERR_OK);
    creds_unref(c);
    usleep(1500000);
    assert_int_equal(creds_get(p, &c, &e), ERR_AUTH);
    assert_non_null(strstr(e.msg, "have expired"));
    assert_null(strstr(e.msg, "MARKER"));
    atomic_store(&sts.refuse, false);
    creds_provider_free(p);
    script_stop(s);
}

struct storm {
    struct creds_provider *p;
    struct creds *bad;
};

static void *refuse_once(void *arg)
{
    struct storm *s = arg;

    creds_refused(s->p, s->bad);
    return NULL;
}

static void any_number_of_refusals_make_one_refresh(void **state)
{
    struct sts_script sts = {0};
    struct script *s = use_sts(&sts);
    struct storm storm = {.p = role_provider()};
    pthread_t threads[100];

    assert_int_equal(creds_get(storm.p, &storm.bad, NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, refuse_once, &storm), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    assert_true(wait_for_key(storm.p, "ROLE1", 3000));
    creds_refused(storm.p, storm.bad);
    usleep(200000);
    assert_int_equal(atomic_load(&sts.calls), 2);
    creds_unref(storm.bad);
    creds_provider_free(storm.p);
    script_stop(s);
}

static void refused_keys_of_a_file_are_read_again(void **state)
{
    sandbox_write(".aws/credentials", "[default]\naws_access_key_id = OLD\naws_secret_access_key = MARKER\n");
    CLEANUP(creds_provider_free) struct creds_provider *p = provider(NULL, NULL);
    CLEANUP(creds_unref) struct creds *old = NULL;
    struct creds *c = NULL;
    struct err e = ERR_INIT;

    assert_int_equal(creds_get(p, &old, NULL), ERR_OK);
    creds_refused(p, old);
    while (creds_get(p, &c, &e) == ERR_AGAIN)
        usleep(1000);
    assert_int_equal(e.code, ERR_AUTH);
    assert_non_null(strstr(e.msg, "were refused, and there are no newer ones"));
    assert_null(strstr(e.msg, "MARKER"));
    CLEANUP(creds_provider_free) struct creds_provider *q = provider(NULL, NULL);
    CLEANUP(creds_unref) struct creds *first = NULL;
    assert_int_equal(creds_get(q, &first, NULL), ERR_OK);
    sandbox_write(".aws/credentials", "[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n");
    creds_refused(q, first);
    assert_true(wait_for_key(q, "NEW", 2000));
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
    creds_refused(p, c);
    struct err e = ERR_INIT;
    struct creds *again = NULL;
    while (creds_get(p, &again, &e) == ERR_AGAIN)
        usleep(1000);
    assert_int_equal(e.code, ERR_AUTH);
    script_stop(s);
}

static void freeing_a_provider_ends_a_refresh_that_hangs(void **state)
{
    struct sts_script sts = {.expires_s = 2};
    struct script *s = use_sts(&sts);
    struct creds_provider *p = role_provider();

    script_stop(s); /* nobody listens any more: the refresh goes on trying */
    usleep(1500000);
    uint64_t begin = clock_mono_ms();
    creds_provider_free(p);
    assert_true(clock_mono_ms() - begin < 1000);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_environment_goes_first_unless_a_profile_is_asked_for),
        T(half_a_pair_of_keys_is_an_error_that_ends_the_chain),
        T(keys_with_characters_that_no_key_has_are_refused_and_not_shown),
        T(the_credentials_file_goes_before_the_config_file),
        T(without_any_credentials_the_message_says_where_it_looked),
        T(anonymous_has_none_and_asks_nobody),
        T(the_instances_role_is_used_with_a_token),
        T(version_1_is_the_fallback_only_where_it_is_allowed),
        T(a_token_request_without_answer_falls_back_within_the_time),
        T(a_machine_without_the_service_is_not_slow),
        T(what_the_service_answers_is_not_trusted),
        T(nearly_expired_credentials_of_the_instance_are_extended),
        T(a_role_is_assumed_with_the_keys_of_its_source_profile),
        T(roles_are_chained),
        T(a_profile_may_be_its_own_source_only_with_keys),
        T(role_profiles_that_cannot_work_are_refused_with_the_reason),
        T(a_role_that_is_refused_ends_the_chain_with_the_servers_reason),
        T(refreshes_are_early_spread_out_and_never_before_half_of_a_short_life),
        T(credentials_are_refreshed_before_they_expire),
        T(a_refresh_that_fails_leaves_the_old_ones_until_they_expire),
        T(any_number_of_refusals_make_one_refresh),
        T(refused_keys_of_a_file_are_read_again),
        T(refused_credentials_of_the_instance_are_not_used_again_at_once),
        T(freeing_a_provider_ends_a_refresh_that_hangs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
