/*
 * Keeps one set of credentials current. A thread of its own fetches; whoever asks only reads what is there.
 *
 * States of the set: none asked for (anonymous) | current | refused (the server said so; a refresh is under way or has
 * brought nothing better) | expired. `wanted` is set when a refresh is due at once, `busy` while one runs, so that any
 * number of callers cause one. A failed refresh leaves the old set in use until it expires.
 */
#include "aws/creds_source.h"

#include "util/cancel.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/secret.h"

#include <stdio.h>
#include <string.h>

enum { RETRY_FIRST_MS = 1000, RETRY_MAX_MS = 30000, RECHECK_MS = 5000 };

/* In the order of the SDK for Python. */
const struct creds_source creds_sources[] = {
    {"environment", "Environment", .load = creds_env_load},
    {"role", .load = creds_assume_role_load},
    {"web identity", .of_profile = true, .load = creds_web_identity_load},
    {"SSO", .of_profile = true, .load = creds_sso_load},
    {"credentials file", .of_profile = true, .load = creds_shared_file_load},
    {"login", .of_profile = true, .load = creds_login_load},
    {"process", .of_profile = true, .load = creds_process_load},
    {"config file", .of_profile = true, .load = creds_config_file_load},
    {"file of the EC2 tools", .load = creds_ec2_file_load},
    {"file of Boto 2", .load = creds_boto_file_load},
    {"container", "EcsContainer", .load = creds_container_load},
    {"instance metadata", "Ec2InstanceMetadata", .extends = true, .load = creds_imds_load},
};
const size_t creds_sources_count = ARRAY_LEN(creds_sources);

struct creds_provider {
    struct http_engine *engine;
    char *profile, *region; /* options, may be NULL */
    bool anonymous;
    const struct creds_source *source; /* where `current` comes from; NULL: fixed */

    struct lock lock; /* all below */
    struct cond changed;
    struct creds *current;
    struct err failure;        /* of the last refresh, ERR_OK after a good one */
    uint64_t refused_until_ms; /* `current` was refused and nothing better was found; 0: not so */
    bool refused, wanted, busy, stop;
    char said[64]; /* the code of the refusal; "": not known */
    unsigned retry_ms;
    uint64_t next_ms; /* clock_mono_ms() of the next refresh; UINT64_MAX: none is due */
    bool has_thread;
    pthread_t thread;
    struct cancel *cancel;
};

static uint32_t random_u32(void)
{
    uint32_t r;

    random_bytes(&r, sizeof(r));
    return r;
}

/* A set that has ended already is none; mostly it is the clock that is wrong. */
static enum err_code check_expiry(struct creds **c, struct err *e)
{
    time_t now = clock_now().tv_sec, expires = (*c)->expires;
    char ended[30], here[30];

    if (!expires || expires > now)
        return ERR_OK;
    time_format_http(expires, ended);
    time_format_http(now, here);
    err_set(e, ERR_AUTH, "%s: the credentials have expired, %s (it is %s by the clock of this machine)", (*c)->source,
            ended, here);
    creds_unref(*c);
    *c = NULL;
    return ERR_AUTH;
}

/* Who is told why each source has nothing. */
struct listener {
    void (*fn)(void *arg, const char *source, const char *why);
    void *arg;
};

/* One source after the other; *from is the one that had some. */
static enum err_code ask_all(const struct creds_context *ctx, const struct listener *to,
                             const struct creds_source **from, struct creds **out, struct err *e)
{
    struct err why[ARRAY_LEN(creds_sources)];

    for (size_t i = 0; i < creds_sources_count; i++) {
        const struct creds_source *s = &creds_sources[i];

        why[i] = (struct err)ERR_INIT;
        enum err_code code = s->load(ctx, out, &why[i]);
        if (!code) {
            *from = s;
            return check_expiry(out, e);
        }
        LOG_DEBUG("aws", "credentials: %s: %s", s->name, why[i].msg);
        if (code != ERR_NOT_FOUND)
            return err_set(e, code, "credentials: %s: %s", s->name, why[i].msg);
    }
    for (size_t i = 0; to->fn && i < creds_sources_count; i++)
        to->fn(to->arg, creds_sources[i].name, why[i].msg);
    return err_set(
        e, ERR_AUTH,
        "no credentials: none of %zu sources has any (docs/credentials.md); for a public bucket use the option "
        "anonymous",
        creds_sources_count);
}

static enum err_code load_now(struct creds_provider *p, const struct creds_source *only, const struct listener *to,
                              const struct creds_source **from, struct creds **out, struct err *e)
{
    CLEANUP(profiles_free) struct profiles *profiles = profiles_load(p->profile, e);
    struct err local = ERR_INIT;

    if (!profiles)
        return e->code;
    const struct creds_context ctx = {.engine = p->engine,
                                      .cancel = p->cancel,
                                      .profiles = profiles,
                                      .profile = profiles_active(profiles),
                                      .use_env = !profiles_explicit(profiles),
                                      .region = p->region};
    if (!only)
        return ask_all(&ctx, to, from, out, e);
    enum err_code code = only->load(&ctx, out, &local);
    return code ? err_set(e, code, "%s: %s", only->name, local.msg) : check_expiry(out, e);
}

/* Asks `only`, or where it is NULL all. */
static enum err_code load(struct creds_provider *p, const struct creds_source *only, const struct listener *to,
                          const struct creds_source **from, struct creds **out, struct err *e)
{
    enum err_code code = load_now(p, only, to, from, out, e);

    secret_wipe_stack(65536);
    return code;
}

static bool same_keys(const struct creds *a, const struct creds *b)
{
    const char *x = a->session_token ? a->session_token : "", *y = b->session_token ? b->session_token : "";

    return !strcmp(a->access_key_id, b->access_key_id) && !strcmp(a->secret_access_key, b->secret_access_key) &&
           !strcmp(x, y);
}

/* When the set that is there must be refreshed. */
static uint64_t next_refresh(const struct creds *c)
{
    time_t now = clock_now().tv_sec;

    if (!c->expires)
        return UINT64_MAX;
    time_t due = creds_refresh_time(now, c->expires, random_u32());
    return clock_mono_ms() + 1000 * (uint64_t)(due > now ? due - now : 1);
}

static void take_fresh_locked(struct creds_provider *p, struct creds *fresh)
{
    lock_assert_held(&p->lock);
    bool same = same_keys(p->current, fresh);
    struct creds *old = p->current;

    p->current = fresh;
    p->failure = (struct err)ERR_INIT;
    p->retry_ms = RETRY_FIRST_MS;
    p->next_ms = next_refresh(fresh);
    p->refused_until_ms = p->refused && same ? clock_mono_ms() + RECHECK_MS : 0;
    p->refused = false;
    if (!same)
        LOG_INFO("aws", "fresh credentials from %s", fresh->source);
    creds_unref(old);
}

/* Goes on with what there is for a while where the source allows it. */
static void extend_locked(struct creds_provider *p)
{
    const struct creds *c = p->current;
    time_t now = clock_now().tv_sec;
    struct creds *longer;

    lock_assert_held(&p->lock);
    if (!p->source->extends || !c->expires || c->expires - now > CREDS_MANDATORY_S)
        return;
    longer = creds_new(c->access_key_id, c->secret_access_key, c->session_token, creds_extended_expiry(now), c->source,
                       NULL);
    if (!longer)
        return;
    LOG_WARN("aws", "credentials from %s are used beyond their expiry until it answers", c->source);
    creds_unref(p->current);
    p->current = longer;
}

static void take_failure_locked(struct creds_provider *p, const struct err *why)
{
    lock_assert_held(&p->lock);
    if (!p->stop)
        LOG_WARN("aws", "credentials could not be refreshed: %s", why->msg);
    p->failure = *why;
    p->refused_until_ms = p->refused ? clock_mono_ms() + RECHECK_MS : 0;
    p->refused = false;
    extend_locked(p);
    unsigned delay = p->retry_ms / 2 + random_u32() % (p->retry_ms / 2 + 1);
    p->next_ms = p->current->expires ? clock_mono_ms() + delay : UINT64_MAX;
    p->retry_ms = p->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : p->retry_ms * 2;
}

/* The source has the same set still, as one that hands out a cached set until shortly before its end: it is asked again
 * when half of what is left is over. */
static void take_same_locked(struct creds_provider *p)
{
    long long left = (long long)(p->current->expires - clock_now().tv_sec);

    lock_assert_held(&p->lock);
    p->failure = (struct err)ERR_INIT;
    p->retry_ms = RETRY_FIRST_MS;
    p->next_ms = clock_mono_ms() + (left > 2 ? 500 * (uint64_t)left : RETRY_FIRST_MS);
}

/* The lock is dropped while the source is asked. */
static void refresh_locked(struct creds_provider *p)
{
    const struct listener nobody = {0};
    struct creds *fresh = NULL;
    struct err why = ERR_INIT;

    lock_assert_held(&p->lock);
    p->wanted = false;
    p->busy = true;
    lock_drop(&p->lock);
    enum err_code code = load(p, p->source, &nobody, NULL, &fresh, &why);
    lock_take(&p->lock);
    p->busy = false;
    if (!code && fresh->expires && fresh->expires == p->current->expires && same_keys(fresh, p->current)) {
        code = err_set(&why, ERR_AUTH, "%s has no newer ones", fresh->source);
        creds_unref(fresh);
        if (!p->refused && p->current->expires > clock_now().tv_sec) {
            take_same_locked(p);
            return;
        }
    }
    if (code)
        take_failure_locked(p, &why);
    else
        take_fresh_locked(p, fresh);
}

static void *refresh_thread(void *arg)
{
    struct creds_provider *p = arg;

    LOCK_SCOPE(&p->lock);
    while (!p->stop) {
        if (p->wanted || clock_mono_ms() >= p->next_ms)
            refresh_locked(p);
        else
            (void)cond_wait(&p->changed, &p->lock, p->next_ms);
    }
    return NULL;
}

static struct creds_provider *provider_new(struct err *e)
{
    struct creds_provider *p = calloc(1, sizeof(*p));

    if (!p || !(p->cancel = cancel_new())) {
        err_set(e, ERR_NOMEM, "no memory for credentials");
        free(p);
        return NULL;
    }
    lock_init(&p->lock, "credentials", LOCK_AWS_CREDS);
    cond_init(&p->changed);
    p->retry_ms = RETRY_FIRST_MS;
    p->next_ms = UINT64_MAX;
    return p;
}

static enum err_code copy_options(struct creds_provider *p, const struct creds_options *o, struct err *e)
{
    if ((o->profile && !(p->profile = strdup(o->profile))) || (o->region && !(p->region = strdup(o->region))))
        return err_set(e, ERR_NOMEM, "no memory for credentials");
    p->anonymous = o->anonymous;
    return ERR_OK;
}

struct creds_provider *creds_provider_new(struct http_engine *engine, const struct creds_options *o, struct err *e)
{
    CLEANUP(creds_provider_free) struct creds_provider *p = provider_new(e);
    const struct listener to = {o->explain, o->explain_arg};
    struct err why = ERR_INIT;

    if (!p || copy_options(p, o, e))
        return NULL;
    if (p->anonymous)
        return TAKE(p);
    p->engine = engine;
    if (load(p, NULL, &to, &p->source, &p->current, &why)) {
        err_copy(e, &why);
        return NULL;
    }
    p->next_ms = next_refresh(p->current);
    int rc = pthread_create(&p->thread, NULL, refresh_thread, p);
    if (rc) {
        err_sys(e, rc, "credentials thread");
        return NULL;
    }
    p->has_thread = true;
    return TAKE(p);
}

struct creds_provider *creds_provider_static(struct creds *c, struct err *e)
{
    struct creds_provider *p = provider_new(e);

    if (p)
        p->current = creds_ref(c);
    return p;
}

void creds_provider_free(struct creds_provider *p)
{
    if (!p)
        return;
    lock_take(&p->lock);
    p->stop = true;
    cond_broadcast(&p->changed);
    lock_drop(&p->lock);
    cancel_fire(p->cancel);
    if (p->has_thread)
        pthread_join(p->thread, NULL);
    creds_unref(p->current);
    cancel_unref(p->cancel);
    cond_release(&p->changed);
    lock_release(&p->lock);
    free(p->profile);
    free(p->region);
    free(p);
}

bool creds_provider_anonymous(const struct creds_provider *p)
{
    return p->anonymous;
}

static void want_locked(struct creds_provider *p)
{
    lock_assert_held(&p->lock);
    if (p->wanted || p->busy || !p->has_thread)
        return;
    p->wanted = true;
    cond_broadcast(&p->changed);
}

/* No set can be used. Where the refresh failed for what may pass, whoever asks waits for the next try, up to the end of its own
 * time: that is no refusal. */
static enum err_code refuse_locked(const struct creds_provider *p, const char *what, struct err *e)
{
    lock_assert_held(&p->lock);
    return err_set(e, creds_may_pass(p->failure.code) ? ERR_AGAIN : ERR_AUTH, "the credentials of %s %s%s%s",
                   p->current->source, what, *p->failure.msg ? ": " : "", p->failure.msg);
}

static const char *text_of_refusal_locked(const struct creds_provider *p, char *text, size_t size)
{
    lock_assert_held(&p->lock);
    snprintf(text, size, "were refused%s%s, and there are no newer ones", *p->said ? " as " : "", p->said);
    return text;
}

enum err_code creds_get(struct creds_provider *p, struct creds **out, struct err *e)
{
    char text[128];

    LOCK_SCOPE(&p->lock);
    if (p->anonymous)
        return err_set(e, ERR_AUTH, "anonymous: there are no credentials");
    bool expired = p->current->expires && p->current->expires <= clock_now().tv_sec;

    if (p->refused)
        return err_set(e, ERR_AGAIN, "credentials are being fetched");
    if (p->refused_until_ms > clock_mono_ms())
        return refuse_locked(p, text_of_refusal_locked(p, text, sizeof(text)), e);
    if (!expired || !p->source) {
        *out = creds_ref(p->current);
        return ERR_OK;
    }
    if (p->failure.code && !p->wanted)
        return refuse_locked(p, "have expired", e);
    want_locked(p);
    return err_set(e, ERR_AGAIN, "credentials are being fetched");
}

void creds_refused(struct creds_provider *p, const struct creds *c, const char *said)
{
    LOCK_SCOPE(&p->lock);
    if (!p->has_thread || c != p->current || p->refused)
        return;
    p->refused = true;
    snprintf(p->said, sizeof(p->said), "%s", said ? said : "");
    want_locked(p);
}
