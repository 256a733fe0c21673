#include "creds_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct http_engine *engine;

int enter(void **state)
{
    const struct http_config config = {0};

    sandbox_enter();
    engine = http_engine_new(&config, NULL);
    return engine ? 0 : -1;
}

int leave(void **state)
{
    http_engine_free(engine);
    sandbox_leave();
    return 0;
}

struct creds_provider *provider(const char *profile, struct err *e)
{
    const struct creds_options o = {.profile = profile};

    return creds_provider_new(engine, &o, e);
}

struct creds *resolve(const char *profile)
{
    struct err e = ERR_INIT;
    CLEANUP(creds_provider_free) struct creds_provider *p = provider(profile, &e);
    struct creds *c;

    if (!p)
        fail_msg("%s", e.msg);
    assert_int_equal(creds_get(p, &c, &e), ERR_OK);
    return c;
}

static void note(void *arg, const char *source, const char *why)
{
    buf_addf(arg, "%s: %s\n", source, why);
}

struct creds_provider *provider_explained(const char *profile, struct buf *lines, struct err *e)
{
    const struct creds_options o = {.profile = profile, .explain = note, .explain_arg = lines};

    return creds_provider_new(engine, &o, e);
}

void expect_failure(const char *profile, enum err_code code, const char *says)
{
    struct err e = ERR_INIT;

    assert_null(provider(profile, &e));
    if (e.code != code || !strstr(e.msg, says) || strstr(e.msg, "MARKER"))
        fail_msg("%s: %s", err_name(e.code), e.msg);
}

void format_expiry(char out[40], int from_now_s)
{
    time_t t = time(NULL) + from_now_s;
    struct tm tm;

    strftime(out, 40, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
}

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

struct script *use_sts(struct sts_script *s)
{
    struct script *server = script_start(answer_sts, s);

    if (!atomic_load(&s->expires_s))
        atomic_store(&s->expires_s, 3600);
    setenv("AWS_ENDPOINT_URL_STS", script_url(server), 1);
    return server;
}
