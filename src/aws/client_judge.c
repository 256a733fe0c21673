/* What a reply means: the answer, a reason to try again, or something learnt (clock, region, credentials). */
#include "aws/client_impl.h"

#include "util/clock.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A reply to HEAD has no body; beyond this difference its 403 is taken for that of a wrong clock (S3 allows 15
 * minutes). */
enum { SKEW_SUSPECT_S = 4 * 60 };

static const char *header(const struct http_reply_view *v, const char *name)
{
    const char *value = http_reply_header(v->transfer, name);

    return value && *value ? value : NULL;
}

static void decode(struct aws_job *job, const struct http_reply_view *v, struct aws_error *error)
{
    const char *type = header(v, "x-amzn-errortype"), *id = header(v, "x-amz-request-id");

    *error = (struct aws_error){.recognised = true};
    if (v->status >= 300 || job->r.xml_error_in_200)
        aws_error_parse(v->body, v->body_len, error);
    if (type && !*error->code)
        aws_error_set_code(error, type);
    if (!id)
        id = header(v, "x-amzn-requestid");
    job->reply.status = v->status;
    job->reply.body = v->body;
    job->reply.body_len = v->body_len;
    job->reply.transfer = v->transfer;
    snprintf(job->reply.error_code, sizeof(job->reply.error_code), "%s", error->code);
    snprintf(job->reply.request_id, sizeof(job->reply.request_id), "%s", id ? id : error->request_id);
}

/* "GetObject: AccessDenied: Access Denied (HTTP 403, request id X), key 'a/b'". The server's words are left out where
 * they may quote a secret; STS quotes none, and says which permission is missing. */
static enum err_code describe(const struct aws_job *job, const struct aws_decision *d, const struct aws_error *error,
                              struct err *e)
{
    const struct aws_reply *r = &job->reply;
    bool quotes = job->r.secret && strcmp(job->c->service, "sts");
    const char *text = d->text ? d->text : quotes ? "" : error->message;
    const char *key = job->r.key ? job->r.key : "";

    return err_set(e, d->code, "%s: %s%s%s (HTTP %d%s%s)%s%s%s", job->r.what, error->code,
                   *error->code && *text ? ": " : "", *error->code || *text ? text : "failed", r->status,
                   *r->request_id ? ", request id " : "", r->request_id, *key ? ", key '" : "", key, *key ? "'" : "");
}

static enum verdict malformed(struct aws_job *job)
{
    return ++job->malformed < MALFORMED_MAX ? VERDICT_RETRY : VERDICT_DONE;
}

static enum verdict judge_failure(struct aws_job *job, const struct http_reply_view *v, struct err *e)
{
    err_set(e, v->code, "%s: %s", job->r.what, v->msg);
    job->reply = (struct aws_reply){0};
    switch (v->code) {
    case ERR_NET:
    case ERR_TIMEOUT:
        return VERDICT_RETRY;
    case ERR_PROTO:
        return malformed(job);
    default:
        return VERDICT_DONE;
    }
}

static bool server_time(const struct http_reply_view *v, time_t *out)
{
    const char *date = header(v, "date");
    struct timespec t;

    if (!date || !time_parse_http(date, &t))
        return false;
    *out = t.tv_sec;
    return true;
}

/* Takes the server's clock if it differs from the one that this attempt was signed with. */
static bool learn_clock(struct aws_job *job, const struct http_reply_view *v, long long at_least_s)
{
    time_t now;

    if (!job->used || job->skews >= SKEWS_MAX || !server_time(v, &now) ||
        llabs((long long)now - (long long)job->state.now) < at_least_s)
        return false;
    job->skews++;
    client_learn_clock(job->c, now);
    return true;
}

static bool refresh(struct aws_job *job, const char *code)
{
    if (!job->used || job->refreshes >= REFRESHES_MAX)
        return false;
    job->refreshes++;
    if (job->with_session)
        client_session_refused(job->c, job->used);
    else
        creds_refused(job->c->creds, job->used, code);
    return true;
}

/* True when the request can be made again: in another region, or after the bucket was asked where it is. */
static bool learn_region(struct aws_job *job, const struct http_reply_view *v, const struct aws_error *error)
{
    const char *region = header(v, "x-amz-bucket-region");
    char now[AWS_REGION_SIZE];

    if (!region && *error->region)
        region = error->region;
    if (!job->c->s3 || !job->c->bucket || job->state.endpoint.fixed)
        return false;
    if (!region) {
        if (job->asked_region)
            return false;
        job->asked_region = true;
        job->step = STEP_FIND_REGION;
        return true;
    }
    if (!strcmp(region, job->state.region) || job->redirects >= REDIRECTS_MAX)
        return false;
    job->redirects++;
    if (client_learn_region(job->c, region))
        return true;
    aws_client_region(job->c, now, sizeof(now));
    return strcmp(now, job->state.region) != 0; /* another request has learnt it meanwhile */
}

static void note_region(struct aws_job *job, const struct http_reply_view *v)
{
    const char *region = header(v, "x-amz-bucket-region");

    if (!job->state.region_confirmed && (v->status < 300 || (region && !strcmp(region, job->state.region))))
        client_confirm_region(job->c, job->state.region);
}

static bool has_key(const struct aws_job *job)
{
    return job->r.key && *job->r.key;
}

/* The status of a HEAD does not say which of several things it is. */
static bool is_ambiguous_head(struct aws_job *job, const struct http_reply_view *v)
{
    if (!job->c->s3 || job->r.method != HTTP_HEAD)
        return false;
    if (v->status == 403)
        return learn_clock(job, v, SKEW_SUSPECT_S);
    if (v->status != 400)
        return false;
    const struct aws_error none = {0};
    const char *region = header(v, "x-amz-bucket-region");
    if ((!job->state.region_confirmed || (region && strcmp(region, job->state.region))) && learn_region(job, v, &none))
        return true;
    /* Without a session token the bucket itself has nothing to explain that its region does not. */
    bool may_expire = job->used && job->used->session_token;
    if (job->explained || !job->c->bucket || (!has_key(job) && !may_expire))
        return false;
    job->explained = true;
    job->step = STEP_EXPLAIN;
    return true;
}

static enum verdict act(struct aws_job *job, const struct http_reply_view *v, const struct aws_error *error,
                        enum aws_class class)
{
    switch (class) {
    case AWS_TRANSIENT:
        if (!strcmp(job->reply.error_code, "BadDigest") || str_starts(job->reply.error_code, "XAmzContent"))
            *job->body_sha256 = '\0'; /* the file may have changed after it was hashed */
        return VERDICT_RETRY;
    case AWS_THROTTLED:
        return VERDICT_THROTTLED;
    case AWS_SKEW:
        return learn_clock(job, v, 2) ? VERDICT_AGAIN : VERDICT_DONE;
    case AWS_EXPIRED:
        return refresh(job, error->code) ? VERDICT_AGAIN : VERDICT_DONE;
    case AWS_REGION:
        return learn_region(job, v, error) ? VERDICT_AGAIN : VERDICT_DONE;
    case AWS_FINAL:
        break;
    }
    return VERDICT_DONE;
}

static enum verdict judge_error(struct aws_job *job, const struct http_reply_view *v, const struct aws_error *error,
                                int status, struct err *e)
{
    const struct aws_decision d = aws_error_decide(job->c->service, status, error);

    describe(job, &d, error, e);
    note_region(job, v);
    if (is_ambiguous_head(job, v))
        return VERDICT_AGAIN;
    return act(job, v, error, d.class);
}

/* Whatever the answer, what can be learnt from it counts; then the request itself is made again. But what a GET of the same
 * key says with the status of the HEAD is what that HEAD had to say. */
static enum verdict judge_step(struct aws_job *job, const struct http_reply_view *v, const struct aws_error *error,
                               struct err *e)
{
    const struct aws_decision d = aws_error_decide(job->c->service, v->status, error);
    bool explains = job->step == STEP_EXPLAIN && has_key(job) && v->status == 400 && *error->code;

    job->step = STEP_REQUEST;
    describe(job, &d, error, e);
    note_region(job, v);
    if (v->status >= 300 && (d.class == AWS_TRANSIENT || d.class == AWS_THROTTLED)) {
        job->asked_region = job->explained = false;
        return act(job, v, error, d.class);
    }
    if (v->status >= 300 && (d.class == AWS_SKEW || d.class == AWS_EXPIRED))
        return act(job, v, error, d.class);
    if (explains)
        return act(job, v, error, d.class);
    (void)learn_region(job, v, error);
    job->step = STEP_REQUEST;
    return VERDICT_AGAIN;
}

/* A copy or complete that failed after its 200 was sent, or whose document was cut off. */
static bool is_hidden_error(const struct aws_job *job, const struct http_reply_view *v)
{
    if (!job->r.xml_error_in_200)
        return false;
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(v->body, v->body_len, NULL);
    return !doc || !strcmp(xml_name(xml_root(doc)), "Error");
}

static enum verdict judge_success(struct aws_job *job, const struct http_reply_view *v, struct err *e)
{
    enum err_code code = ERR_OK;

    note_region(job, v);
    if (job->r.accept)
        code = job->r.accept(job->r.arg, &job->reply, e);
    if (code && e->code != code)
        err_set(e, code, "%s: the reply is not acceptable", job->r.what);
    return code == ERR_PROTO ? malformed(job) : VERDICT_DONE;
}

/* data() ended it, because it is not what was asked for, and another attempt may be. (Who cancels a request ends all of it:
 * that is not judged.) */
static bool is_turned_down(struct aws_job *job, const struct http_reply_view *v, struct err *e)
{
    struct err local = ERR_INIT;

    if (v->code != ERR_CANCELED || job->step != STEP_REQUEST || !job->r.data || !job->r.accept)
        return false;
    job->reply = (struct aws_reply){.status = v->status, .body = "", .transfer = v->transfer};
    return job->r.accept(job->r.arg, &job->reply, &local) == ERR_PROTO && err_copy(e, &local) == ERR_PROTO;
}

static enum verdict judge_reply(struct aws_job *job, const struct http_reply_view *v, struct err *e)
{
    struct aws_error error;

    if (is_turned_down(job, v, e))
        return malformed(job);
    if (v->code != ERR_OK)
        return judge_failure(job, v, e);
    decode(job, v, &error);
    if (job->step != STEP_REQUEST)
        return judge_step(job, v, &error, e);
    if (v->status >= 300 || is_hidden_error(job, v))
        return judge_error(job, v, &error, v->status >= 300 ? v->status : 500, e);
    return judge_success(job, v, e);
}

void job_part(void *arg, const void *p, size_t len)
{
    const struct aws_job *job = arg;

    if (job->step == STEP_REQUEST && job->r.part)
        job->r.part(job->r.arg, p, len);
}

/* done() follows while the reply still exists only when it is the answer. */
enum verdict job_judge(void *arg, const struct http_reply_view *v, struct err *e)
{
    struct aws_job *job = arg;
    enum verdict verdict = judge_reply(job, v, e);

    if (verdict != VERDICT_DONE) {
        job->reply.body = NULL;
        job->reply.body_len = 0;
        job->reply.transfer = NULL;
    }
    client_note_trouble(job->c, verdict == VERDICT_DONE ? NULL : e);
    return verdict;
}
