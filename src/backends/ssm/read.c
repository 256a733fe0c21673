#include "backends/ssm/call.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/known.h"
#include "backends/ssm/requests.h"
#include "store/meta.h"
#include "util/cancel.h"
#include "util/digest.h"
#include "util/pool.h"
#include "util/secret.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define DESCRIBE_PAGES_MAX 10 /* a page may be empty and not the last */

void ssm_learn_arn(struct ssm *s, const char *arn)
{
    size_t len = ssm_arn_prefix_of_arn(arn);
    if (len > 0)
        atomic_store_explicit(&s->arn_prefix, len, memory_order_relaxed);
}

/* What stands for a secret of Secrets Manager. */
static bool is_reference(const char *name)
{
    return str_starts(name, "/aws/reference/");
}

/* Whether the reply is about what was asked: its name is the one in front of a selector. A secret's is another one. */
static bool answers(const struct ssm_name *asked, const struct ssm_param *p)
{
    if (is_reference(asked->text))
        return true;
    char base[SSM_NAME_SIZE];
    size_t len = strcspn(asked->text, ":");
    memcpy(base, asked->text, len);
    base[len] = '\0';
    return ssm_name_equal(base, p->name);
}

bool ssm_is_secret(const struct ssm_param *p)
{
    return strcmp(p->type, "String") != 0 && strcmp(p->type, "StringList") != 0;
}

static enum err_code read_param(struct ssm *s, const struct ssm_name *name, bool decrypt, const struct store_call *call,
                                struct ssm_param *out, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_get(&request, name->text, decrypt);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, "GetParameter", name->text, &request, call, &reply, e);
    if (code == ERR_NOT_FOUND && !name->selector)
        known_forget(s->known, name->text);
    if (code != ERR_OK)
        return code;
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param p = {0};
    code = ssm_parse_param(buf_str(&reply.body), reply.body.len, &p, e);
    if (code == ERR_OK && !answers(name, &p))
        code = err_set(e, ERR_PROTO, "it is about another parameter");
    if (code != ERR_OK)
        return err_prefix(e, code, "GetParameter %s: reply (request %s)", name->text, reply.request_id);
    ssm_learn_arn(s, p.arn);
    if (!decrypt && ssm_is_secret(&p))
        ssm_param_seal(&p);
    *out = p;
    p = (struct ssm_param){0};
    return ERR_OK;
}

enum err_code ssm_read(struct ssm *s, const struct ssm_name *name, const struct store_call *call, struct ssm_param *out,
                       struct err *e)
{
    return read_param(s, name, true, call, out, e);
}

enum err_code ssm_read_sealed(struct ssm *s, const struct ssm_name *name, const struct store_call *call, struct ssm_param *out,
                              struct err *e)
{
    return read_param(s, name, false, call, out, e);
}

void ssm_version_plain(const struct ssm_param *p, struct store_version *out)
{
    known_version_plain(p, out);
}

/* A secret's version is always 0, and its date need not change with it. What tells two apart is the value: its digest with
 * something in front that only this process knows. */
static void version_of_secret(struct ssm *s, const struct ssm_param *p, struct store_version *out)
{
    uint8_t digest[32];
    char hex[2 * 8 + 1];
    known_version_plain(p, out);
    size_t len = strlen(out->etag);
    if (hmac_sha256(s->salt, sizeof(s->salt), p->value, p->len, digest, NULL) != ERR_OK)
        return;
    hex_encode(digest, 8, hex);
    snprintf(out->etag + len, sizeof(out->etag) - len, "-%s", hex);
}

void ssm_version_of(struct ssm *s, const struct ssm_name *name, const struct ssm_param *p, struct store_version *out)
{
    if (is_reference(name->text))
        version_of_secret(s, p, out);
    else if (name->selector)
        known_version_plain(p, out);
    else
        known_saw(s->known, name->text, p, out);
}

static enum err_code set_props(struct store_meta *m, const struct ssm_param *p, struct err *e)
{
    BUF(number, 32);
    buf_addf(&number, "%lld", (long long)p->version);
    const char *const props[][2] = {{"type", p->type},
                                    {"version", buf_str(&number)},
                                    {"arn", p->arn},
                                    {"data-type", p->data_type},
                                    {"selector", p->selector + (p->selector[0] == ':')}};
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < ARRAY_LEN(props); i++)
        if (props[i][1][0])
            code = store_meta_set_prop(m, props[i][0], props[i][1], strlen(props[i][1]), e);
    return code;
}

static bool gets_newline(const struct ssm *s, const char *value, size_t len)
{
    return s->newline == SSM_NEWLINE_ADD && len > 0 && value[len - 1] != '\n';
}

void ssm_shown_size(const struct ssm *s, const char *value, size_t len, struct store_version *out)
{
    out->size = len + gets_newline(s, value, len);
}

/* The value as it is shown, in the place of the one that is stored. */
static enum err_code show(const struct ssm *s, char **value, size_t len, struct err *e)
{
    if (!gets_newline(s, *value, len))
        return ERR_OK;
    char *shown = secret_alloc(len + 2);
    if (shown == NULL)
        return err_set(e, ERR_NOMEM, "no memory that can be locked for a value");
    memcpy(shown, *value, len);
    shown[len] = '\n';
    secret_free(*value);
    *value = shown;
    return ERR_OK;
}

enum err_code ssm_object_of(const struct ssm *s, const struct ssm_param *from, const struct store_version *version, char **value,
                            struct store_object *out, struct err *e)
{
    CLEANUP(store_meta_unref) struct store_meta *m = store_meta_new();
    if (m == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    /* Only what is known to be no secret may be read by others. */
    m->mode = S_IFREG | (ssm_is_secret(from) ? 0600 : 0644);
    m->has = STORE_HAS_MODE;
    enum err_code code = set_props(m, from, e);
    struct store_version shown = *version;
    if (from->sealed) {
        shown.size = 0;
        if (code == ERR_OK)
            *out = (struct store_object){.version = shown, .meta = TAKE(m), .sealed = true};
        return code;
    }
    ssm_shown_size(s, *value, from->len, &shown);
    if (code == ERR_OK)
        code = show(s, value, from->len, e);
    if (code == ERR_OK)
        *out = (struct store_object){.version = shown, .meta = TAKE(m), .content = TAKE(*value)};
    return code;
}

/* Reads what a key names, as an object. */
static enum err_code read_object(struct ssm *s, const char *key, const struct store_call *call,
                                 struct store_object *out, struct err *e)
{
    struct ssm_name name;
    enum err_code code = ssm_name_for_read(s->path, key, &name, e);
    if (code != ERR_OK)
        return code;
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param p = {0};
    bool unseal = call != NULL && call->unseal;
    struct err why = ERR_INIT;
    code = s->seal && !unseal ? ssm_read_sealed(s, &name, call, &p, &why) : ssm_read(s, &name, call, &p, &why);
    /* A key that cannot be used keeps the value from being read, not the parameter from being seen. */
    if ((code == ERR_KEY_REJECTED || code == ERR_ACCESS) && !s->seal && !unseal && !name.selector) {
        struct err plain = ERR_INIT;
        if (ssm_read_sealed(s, &name, call, &p, &plain) == ERR_OK)
            code = ssm_is_secret(&p) ? ERR_OK : code;
    }
    if (code != ERR_OK)
        return err_copy(e, &why);
    struct store_version version;
    ssm_version_of(s, &name, &p, &version);
    return ssm_object_of(s, &p, &version, &p.value, out, e);
}

enum err_code ssm_stat(void *impl, const char *key, const struct store_call *call, struct store_object *out,
                       struct err *e)
{
    return read_object(impl, key, call, out, e);
}

/* A get on its way through the pool, because the rate limit may make it wait. */
struct get_job {
    struct ssm *s;
    struct store_get get; /* key and etag are own copies, the cancel token has a reference */
};

static void get_job_free(struct get_job *job)
{
    if (job == NULL)
        return;
    cancel_unref(job->get.call.cancel);
    free((char *)job->get.key);
    free((char *)job->get.etag);
    free(job);
}
CLEANUP_DEFINE(struct get_job, get_job_free)

static enum err_code deliver(const struct store_get *g, const struct store_object *object, struct err *e)
{
    if (g->etag != NULL && strcmp(g->etag, object->version.etag) != 0)
        return err_set(e, ERR_CONFLICT, "%s has another version now", g->key);
    if (g->whole && g->length != object->version.size)
        return err_set(e, ERR_CONFLICT, "%s has %llu bytes now", g->key, (unsigned long long)object->version.size);
    if (g->offset > object->version.size || g->length > object->version.size - g->offset)
        return err_set(e, ERR_INVAL, "%s has only %llu bytes", g->key, (unsigned long long)object->version.size);
    if (cancel_fired(g->call.cancel) || !g->data(g->arg, (const char *)object->content + g->offset, g->length))
        return err_set(e, ERR_CANCELED, "%s: interrupted", g->key);
    return ERR_OK;
}

static void run_get(void *arg)
{
    CLEANUP(get_job_free) struct get_job *job = arg;
    const struct store_get *g = &job->get;
    struct err e = ERR_INIT;
    CLEANUP_RELEASE(store_object_release) struct store_object object = {0};
    enum err_code code = read_object(job->s, g->key, &g->call, &object, &e);
    if (code == ERR_OK)
        code = deliver(g, &object, &e);
    g->done(g->arg, code, code == ERR_OK ? &object : NULL, &e);
}

enum err_code ssm_get(void *impl, const struct store_get *g, struct err *e)
{
    struct ssm *s = impl;
    CLEANUP(get_job_free) struct get_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return err_set(e, ERR_NOMEM, "get %s", g->key);
    job->s = s;
    job->get = *g;
    job->get.call.cancel = cancel_ref(g->call.cancel);
    job->get.key = strdup(g->key);
    job->get.etag = g->etag ? strdup(g->etag) : NULL;
    if (job->get.key == NULL || (g->etag && job->get.etag == NULL))
        return err_set(e, ERR_NOMEM, "get %s", g->key);
    enum err_code code = pool_submit(s->pool, run_get, job, e);
    if (code == ERR_OK)
        job = NULL;
    return code;
}

/* One page of DescribeParameters. */
static enum err_code describe_page(struct ssm *s, const char *name, const struct store_call *call, char **token,
                                   struct ssm_described **out, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_describe(&request, name, *token);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, "DescribeParameters", name, &request, call, &reply, e);
    if (code != ERR_OK)
        return code;
    free(TAKE(*token));
    code = ssm_parse_described(buf_str(&reply.body), reply.body.len, name, out, token, e);
    if (code != ERR_OK)
        return err_prefix(e, code, "DescribeParameters %s: reply (request %s)", name, reply.request_id);
    return ERR_OK;
}

enum err_code ssm_describe(struct ssm *s, const char *name, int64_t number, const struct store_call *call,
                           struct ssm_described **out, struct err *e)
{
    CLEANUP(ssm_described_free) struct ssm_described *d = known_described(s->known, name, number);
    CLEANUP(free) char *token = NULL;
    for (unsigned page = 0; d == NULL && (page == 0 || token != NULL); page++) {
        if (page == DESCRIBE_PAGES_MAX)
            return err_set(e, ERR_PROTO, "DescribeParameters %s: the reply has no end", name);
        enum err_code code = describe_page(s, name, call, &token, &d, e);
        if (code != ERR_OK)
            return code;
    }
    if (d != NULL)
        known_describe(s->known, name, d);
    *out = TAKE(d);
    return ERR_OK;
}

enum err_code ssm_body_read(const struct store_body *body, char **out, struct err *e)
{
    if (body->size > SSM_VALUE_ADVANCED + 1)
        return err_set(e, ERR_TOO_BIG, "%llu bytes, at most %d", (unsigned long long)body->size, SSM_VALUE_ADVANCED);
    CLEANUP(secret_free) char *value = secret_alloc(body->size + 1);
    if (value == NULL)
        return err_set(e, ERR_NOMEM, "no memory that can be locked for a value");
    for (uint64_t done = 0; done < body->size;) {
        ssize_t n = body->read(body->arg, done, value + done, body->size - done);
        if (n <= 0)
            return err_set(e, ERR_IO, "the bytes to be put cannot be read");
        done += (uint64_t)n;
    }
    *out = TAKE(value);
    return ERR_OK;
}
