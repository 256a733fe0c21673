/* Rows about this machine and this user. Nothing in them is a secret: keys are told by where they come from. */
#include "cli/check_impl.h"

#include "aws/client.h"
#include "aws/creds.h"
#include "aws/endpoint.h"
#include "aws/profile.h"
#include "aws/region.h"
#include "awsfs/store.h"
#include "cli/stack.h"
#include "fuse/machine.h"
#include "store/trials.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CLOCK_RIGHT_S = 2, CLOCK_LIMIT_S = 300 };

void check_machine(const struct options *o, struct check_report *out)
{
    struct err e = ERR_INIT;
    bool ok = machine_can_mount(&e) == ERR_OK;
    const char *how = geteuid() == 0 ? "/dev/fuse can be used by root" : machine_fusermount();

    check_add(out, CHECK_FACT, "FUSE", ok ? CHECK_YES : CHECK_NO, "%s", ok ? how : e.msg)->need = CHECK_REQUIRED;
    ok = machine_allows_other(&e) == ERR_OK;
    check_add(out, CHECK_FEATURE, "allow_other", ok ? CHECK_YES : CHECK_NO, "%s", ok ? "" : e.msg)->need =
        o->allow_other ? CHECK_REQUIRED : CHECK_OPTIONAL;
    ok = machine_passes_through(&e) == ERR_OK;
    check_add(out, CHECK_FEATURE, "passthrough", ok ? CHECK_YES : CHECK_NO, "%s", ok ? "" : e.msg);
}

/* Made as a mount makes it: what was written and could not be sent stays there. */
void check_state(const struct options *o, struct check_report *out)
{
    char root[PATH_MAX];
    struct err e = ERR_INIT;
    enum err_code code = ERR_OK;

    if (o->state)
        snprintf(root, sizeof(root), "%s", o->state);
    else
        code = state_default(root, &e);
    if (code == ERR_OK)
        code = state_make_root(root, &e);
    if (code != ERR_OK)
        check_add(out, CHECK_FACT, "state directory", CHECK_NO, "%s", e.msg)->need = CHECK_REQUIRED;
}

static void say_expiry(time_t expires, struct buf *out)
{
    long long left = (long long)expires - clock_now().tv_sec;

    if (!expires)
        buf_add_str(out, "they do not expire");
    else if (left <= 0)
        buf_add_str(out, "they have expired");
    else if (left < 3600)
        buf_addf(out, "they expire in %lld min", (left + 59) / 60);
    else
        buf_addf(out, "they expire in %lld h %lld min", left / 3600, left % 3600 / 60);
}

void check_source(void *report, const char *source, const char *why)
{
    check_add(report, CHECK_FEATURE, "credential source", CHECK_NO, "%s: %s", source, why);
}

void check_credentials(struct stack *s, enum err_code opened, const struct err *e, struct check_report *out)
{
    CLEANUP(creds_unref) struct creds *c = NULL;
    struct err why = ERR_INIT;
    BUF(text, 256);

    if (!s->creds) {
        check_add(out, CHECK_FACT, "credentials", CHECK_NO, "%s", opened ? e->msg : "none")->need = CHECK_REQUIRED;
        return;
    }
    if (creds_provider_anonymous(s->creds)) {
        check_add(out, CHECK_FACT, "credentials", CHECK_YES, "anonymous: nothing is signed");
    } else if (creds_get(s->creds, &c, &why) == ERR_OK) {
        say_expiry(c->expires, &text);
        check_add(out, CHECK_FACT, "credentials", CHECK_YES, "%s; %s", c->source, buf_str(&text));
    } else {
        check_add(out, CHECK_FACT, "credentials", CHECK_NO, "%s", why.msg)->need = CHECK_REQUIRED;
    }
}

void check_where(struct stack *s, enum err_code opened, const struct err *e, struct check_report *out)
{
    struct aws_client_why why;

    if (!s->client) {
        check_add(out, CHECK_FACT, "endpoint", CHECK_NO, "%s", opened ? e->msg : "unknown")->need = CHECK_REQUIRED;
        return;
    }
    aws_client_why(s->client, &why);
    check_add(out, CHECK_FACT, "region", CHECK_YES, "%s (%s)", why.region, why.region_why);
    check_add(out, CHECK_FACT, "endpoint", CHECK_YES, "%s (%s)", why.endpoint, why.endpoint_why);
    if (!s->store)
        check_add(out, CHECK_FACT, "options", CHECK_NO, "%s", e->msg)->need = CHECK_REQUIRED;
}

/* ---- Identity */

/* STS where it was configured, else AWS's own, unless the store is somebody else's: their keys are not for AWS, and
 * many of them answer at the same place. */
static struct aws_client *sts_client(struct stack *s, struct err *e)
{
    CLEANUP(profiles_free) struct profiles *p = profiles_load(s->options->profile, e);
    const char *url = NULL, *other = NULL;
    char region[AWS_REGION_SIZE];

    if (!p || endpoint_configured(p, "sts", NULL, &url, NULL, e) ||
        endpoint_configured(p, s->source->is_ssm ? "ssm" : "s3", s->options->endpoint, &other, NULL, e))
        return NULL;
    aws_client_region(s->client, region, sizeof(region));
    if (!url && other && !aws_client_is_aws(s->client))
        url = other;
    const struct aws_client_config config = {
        .service = "sts",
        .endpoint = url,
        .region = region,
        .profile = s->options->profile,
        .dualstack = options_given(s->options, "dualstack") ? (s->options->dualstack ? AWS_YES : AWS_NO) : AWS_AS_SET,
        .fips = options_given(s->options, "fips") ? (s->options->fips ? AWS_YES : AWS_NO) : AWS_AS_SET};
    return aws_client_new(s->engine, s->creds, &config, e);
}

struct asked {
    struct aws_client *sts;
    struct aws_identity who;
    struct err e;
};

static void ask(void *item, const struct store_call *call)
{
    struct asked *a = item;

    if (aws_identity_get(a->sts, call->timeout_ms, call->cancel, &a->who, &a->e) == ERR_CANCELED)
        err_set(&a->e, ERR_CANCELED, "no answer within 5 s");
}

void check_identity(struct stack *s, struct trials *t, uint64_t until_ms, struct aws_identity *who,
                    struct check_report *out)
{
    struct asked a = {.e = {.code = ERR_CANCELED, .msg = "not asked"}};

    if (creds_provider_anonymous(s->creds)) {
        check_add(out, CHECK_FACT, "identity", CHECK_YES, "anonymous");
        return;
    }
    CLEANUP(aws_client_free) struct aws_client *sts = sts_client(s, &a.e);
    a.sts = sts;
    if (sts) {
        a.e = (struct err)ERR_INIT;
        trials_run(t, until_ms, &a, 1, sizeof(a), ask);
    }
    *who = a.who;
    if (a.who.server_time) {
        out->clock_known = true;
        out->clock_ahead_s = clock_now().tv_sec - a.who.server_time;
    }
    if (a.e.code == ERR_OK)
        check_add(out, CHECK_FACT, "identity", CHECK_YES, "%s (account %s)", who->arn, who->account);
    else
        check_add(out, CHECK_FACT, "identity", CHECK_UNKNOWN, "%s", a.e.msg);
}

/* ---- The server */

struct traits {
    struct check_report *out;
    unsigned known, lacking;
};

static void add_trait(void *arg, const char *name, enum store_verdict verdict, const char *meaning)
{
    struct traits *t = arg;

    if (verdict == STORE_UNKNOWN)
        return;
    t->known++;
    t->lacking += verdict == STORE_NO;
    check_add(t->out, CHECK_FEATURE, name, verdict == STORE_YES ? CHECK_YES : CHECK_NO, "%s", meaning)->quiet = true;
}

static void learn(void *item, const struct store_call *call)
{
    struct store *store = *(struct store **)item;
    struct err e = ERR_INIT;

    if (store_learn(store, call, &e) != ERR_OK)
        LOG_INFO("check", "%s", e.msg);
}

void check_server(struct stack *s, struct trials *t, bool may_write, uint64_t until_ms, struct check_report *out)
{
    struct traits seen = {.out = out};

    if (s->source->is_ssm || !s->source->bucket)
        return;
    if (may_write)
        trials_run(t, until_ms, &s->store, 1, sizeof(s->store), learn);
    struct check_row *row = check_add(out, CHECK_FEATURE, "server", CHECK_YES, "it does all that awsfs makes use of");
    store_each_trait(s->store, add_trait, &seen);
    if (!seen.known) {
        row->verdict = CHECK_UNKNOWN;
        snprintf(row->detail, sizeof(row->detail), "what it lacks is found out only by writing and deleting");
    } else if (seen.lacking) {
        row->verdict = CHECK_NO;
        snprintf(row->detail, sizeof(row->detail), "it lacks %u of %u things that awsfs makes use of", seen.lacking,
                 seen.known);
    }
}

void check_clock(struct check_report *out)
{
    long long ahead = out->clock_ahead_s, off = llabs(ahead);
    const char *which = ahead > 0 ? "ahead of" : "behind";

    if (!out->clock_known)
        check_add(out, CHECK_FACT, "clock", CHECK_UNKNOWN, "the server told no time");
    else if (off <= CLOCK_RIGHT_S)
        check_add(out, CHECK_FACT, "clock", CHECK_YES, "right");
    else if (off <= CLOCK_LIMIT_S)
        check_add(out, CHECK_FACT, "clock", CHECK_YES, "%lld s %s the server's", off, which);
    else
        check_add(
            out, CHECK_FACT, "clock", CHECK_NO,
            "%lld s %s the server's: set it. Requests are signed with the server's time, so a mount works all the same",
            off, which);
}
