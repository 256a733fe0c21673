#include "backends/ssm/put.h"

#include "backends/ssm/attrs.h"
#include "backends/ssm/call.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/known.h"
#include "backends/ssm/requests.h"
#include "util/log.h"

#include <string.h>

#define CONFIRM_MS 5000 /* to ask what became of a write without an answer */

/* What is written, and onto what. */
struct write {
    struct put_job *job;
    bool overwrite;
    bool again;                    /* the value stays, what goes with it changes */
    int64_t base;                  /* the version to be replaced; 0: none, -1: not known */
    const struct ssm_described *d; /* type, tier, key and so on */
};

static bool is_secure(const char *type)
{
    return strcmp(type, "SecureString") == 0;
}

static bool holds_our_value(const struct put_job *job, const struct ssm_param *p)
{
    return p->len == job->len && memcmp(p->value, job->value, job->len) == 0;
}

/* A request without an answer may have been executed: it was when our value is there, in a version after the base. */
static bool confirm(const struct write *w, struct store_version *out)
{
    struct put_job *job = w->job;
    struct store_call call = {.cancel = job->call ? job->call->cancel : NULL, .timeout_ms = CONFIRM_MS, .urgent = true};
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param p = {0};
    struct err e = ERR_INIT;
    if (ssm_read(job->s, job->name, &call, &p, &e) != ERR_OK)
        return false;
    bool done = holds_our_value(job, &p) && p.version > w->base && (w->overwrite || p.version == 1);
    if (done)
        ssm_version_of(job->s, job->name, &p, out);
    return done;
}

/* Whether a write with that outcome may have been executed nevertheless. */
static bool in_doubt(enum err_code code, const struct ssm_reply *r)
{
    if (code == ERR_EXISTS)
        return r->unanswered > 0;
    return (r->status == 0 || r->unanswered > 0) &&
           (code == ERR_NET || code == ERR_TIMEOUT || code == ERR_IO || code == ERR_PROTO || code == ERR_THROTTLED);
}

/* Each attempt without an answer may have made a version of its own. */
static void tell_of_others(const struct write *w, int64_t number, const struct ssm_reply *r)
{
    int64_t expected = w->base + 1 + r->unanswered;
    if (w->base >= 0 && number > expected)
        LOG_WARN("ssm", "%s: somebody else wrote version %lld while version %lld was written here: it is %s@%lld",
                 w->job->name->text, (long long)number - 1, (long long)number, w->job->name->text,
                 (long long)number - 1);
}

static enum err_code send_put(const struct write *w, struct ssm_reply *reply, struct err *e)
{
    struct put_job *job = w->job;
    const struct ssm_put put = {
        .name = job->name->text,
        .value = job->value,
        .len = job->len,
        .overwrite = w->overwrite,
        .type = w->d->type,
        .key_id = is_secure(w->d->type) ? w->d->key_id : NULL,
        .tier = w->d->tier,
        .data_type = w->d->data_type,
        .description = w->d->description,
        .allowed_pattern = w->d->allowed_pattern,
        .policies = !w->overwrite || !job->policies ? (w->overwrite ? NULL : w->d->policies)
                    : w->d->policies[0]             ? w->d->policies
                                                    : "[{}]", /* clears them */
        .tell_empty = w->again,
    };
    BUF_SECRET(request, SSM_BODY_MAX);
    ssm_request_put(&request, &put);
    return ssm_call(job->s, "PutParameter", job->name->text, &request, job->call, reply, e);
}

static enum err_code write_value(const struct write *w, struct store_version *out, struct err *e)
{
    struct put_job *job = w->job;
    SSM_REPLY(reply);
    enum err_code code = send_put(w, &reply, e);
    int64_t number = 0;
    if (code == ERR_OK) {
        code = ssm_parse_put(buf_str(&reply.body), reply.body.len, &number, e);
        if (code != ERR_OK)
            code = err_prefix(e, code, "PutParameter %s: reply (request %s)", job->name->text, reply.request_id);
    }
    if (code == ERR_OK) {
        tell_of_others(w, number, &reply);
        known_wrote(job->s->known, job->name->text, number, job->len, reply.date_ms, w->d, out);
        return ERR_OK;
    }
    if ((code == ERR_PROTO || in_doubt(code, &reply)) && confirm(w, out))
        return ERR_OK;
    if (code == ERR_EXISTS)
        return err_set(e, ERR_CONFLICT, "%s exists already", job->name->text);
    return code;
}

/* A new parameter. Never with Overwrite, so that a request that is sent again makes no second version. */
static enum err_code put_new(struct put_job *job, struct store_version *out, struct err *e)
{
    struct ssm *s = job->s;
    const char *key = ssm_key_of(s->path, job->name->text);
    CLEANUP(ssm_described_free) struct ssm_described *own = job->like ? NULL : attrs_of_new(s, key ? key : "", job->meta);
    struct write w = {.job = job, .d = job->like ? job->like : own};
    if (w.d == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    enum err_code code = ssm_value_check(job->name->text, job->value, job->len, known_tier_max(w.d->tier), e);
    if (code == ERR_OK)
        code = write_value(&w, out, e);
    if (code == ERR_OK && job->tags_of)
        return tags_copy(s, job->tags_of, job->name->text, job->call, e);
    return code == ERR_OK ? tags_put(s, job->name->text, job->meta, job->call, e) : code;
}

/* Where DescribeParameters is not allowed: the type is known from the value's reply, and the tier may stay unsaid, for
 * a higher one is never taken back. But a SecureString written without its key would silently get the account's
 * default. */
static enum err_code describe_without_asking(struct put_job *job, const struct ssm_param *now,
                                             struct ssm_described **out, struct err *e)
{
    struct ssm *s = job->s;
    if (is_secure(now->type) && s->key_id[0] == '\0')
        return err_prefix(
            e, ERR_ACCESS,
            "%s is kept under a key that only DescribeParameters tells: allow it, or give ssm_key=", job->name->text);
    char none[] = "";
    const struct ssm_described d = {.version = now->version,
                                    .type = now->type,
                                    .tier = none,
                                    .key_id = s->key_id,
                                    .data_type = now->data_type,
                                    .description = none,
                                    .allowed_pattern = none,
                                    .policies = none,
                                    .user = none};
    *out = ssm_described_copy(&d);
    return *out ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

/* `now` is what is there; its name is NULL where reading it is not allowed. */
static enum err_code put_over(struct put_job *job, const struct ssm_param *now, struct store_version *out,
                              struct err *e)
{
    struct ssm *s = job->s;
    CLEANUP(ssm_described_free) struct ssm_described *d = NULL;
    int64_t number = now->name ? now->version : -1;
    enum err_code code = ssm_describe(s, job->name->text, number, job->call, &d, e);
    if (code == ERR_OK && d == NULL)
        code = err_set(e, ERR_ACCESS, "DescribeParameters %s: not in the reply", job->name->text);
    if (code == ERR_ACCESS && now->name)
        code = describe_without_asking(job, now, &d, e);
    if (code != ERR_OK)
        return code;
    if (job->cond->kind == STORE_IF_MATCH && d->version > number)
        return err_set(e, ERR_CONFLICT, "%s has another version now", job->name->text);
    uint64_t max =
        now->len > SSM_VALUE_STANDARD ? SSM_VALUE_ADVANCED : known_tier_max(d->tier[0] ? d->tier : "Standard");
    code = ssm_value_check(job->name->text, job->value, job->len, max, e);
    if (code != ERR_OK)
        return code;
    struct write w = {.job = job, .overwrite = true, .base = now->name ? now->version : d->version, .d = d};
    return write_value(&w, out, e);
}

enum err_code put_job_again(struct put_job *job, int64_t base, struct store_version *out, struct err *e)
{
    uint64_t max = known_tier_max(job->like->tier[0] ? job->like->tier : "Standard");
    enum err_code code = ssm_value_check(job->name->text, job->value, job->len, max, e);
    struct write w = {.job = job, .overwrite = true, .again = true, .base = base, .d = job->like};
    return code == ERR_OK ? write_value(&w, out, e) : code;
}

/* Who may not decrypt what is there may replace it all the same: then nothing tells whether the value is another one. */
static enum err_code read_now(struct put_job *job, struct ssm_param *now, struct err *e)
{
    struct err why = ERR_INIT;
    enum err_code code = ssm_read(job->s, job->name, job->call, now, &why);
    bool refused = code == ERR_ACCESS || code == ERR_KEY_REJECTED;
    if (refused && ssm_read_sealed(job->s, job->name, job->call, now, NULL) == ERR_OK)
        return ERR_OK;
    return code == ERR_OK ? code : err_copy(e, &why);
}

/* Onto what is there. ERR_NOT_FOUND: nothing is. */
static enum err_code put_existing(struct put_job *job, struct store_version *out, struct err *e)
{
    bool must_match = job->cond->kind == STORE_IF_MATCH;
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param now = {0};
    enum err_code code = read_now(job, &now, e);
    if (code == ERR_ACCESS && !must_match)
        return put_over(job, &now, out, e);
    if (code != ERR_OK)
        return code;
    struct store_version version;
    ssm_version_of(job->s, job->name, &now, &version);
    if (must_match && strcmp(job->cond->etag, version.etag) != 0)
        return err_set(e, ERR_CONFLICT, "%s has another version now", job->name->text);
    if (holds_our_value(job, &now)) {
        *out = version;
        return ERR_OK;
    }
    return put_over(job, &now, out, e);
}

enum err_code put_job_run(struct put_job *job, struct store_version *out, struct err *e)
{
    if (job->cond->kind == STORE_IF_ABSENT)
        return put_new(job, out, e);
    enum err_code code = put_existing(job, out, e);
    if (code != ERR_NOT_FOUND)
        return code;
    if (job->cond->kind == STORE_IF_MATCH)
        return err_set(e, ERR_CONFLICT, "%s is gone", job->name->text);
    code = put_new(job, out, e);
    if (code != ERR_CONFLICT)
        return code;
    /* Somebody made it meanwhile; if it is gone again by now, two others are at work on it. */
    code = put_existing(job, out, e);
    return code == ERR_NOT_FOUND ? err_set(e, ERR_CONFLICT, "%s comes and goes", job->name->text) : code;
}
