/* put, check, copy: what they demand before put.c writes. */
#include "backends/ssm/impl.h"
#include "backends/ssm/known.h"
#include "backends/ssm/put.h"
#include "util/secret.h"

#include <string.h>

/* How long a value may be, as far as it is known without asking. */
static uint64_t value_max(struct ssm *s, const char *name)
{
    uint64_t max = known_value_max(s->known, name);
    return max ? max : known_tier_max(s->tier);
}

static enum err_code name_for_write(struct ssm *s, const char *key, bool is_dir, struct ssm_name *out, struct err *e)
{
    return ssm_name_for_write(s->path, key, is_dir, atomic_load_explicit(&s->arn_prefix, memory_order_relaxed), out, e);
}

/* What is put, as it is to be stored. */
struct value {
    char *p; /* secret memory */
    size_t len;
};

static void value_release(struct value *value)
{
    secret_free(value->p);
}

/* Reads the bytes, without the newline that is not stored, and holds them against the rules. */
static enum err_code take_value(struct ssm *s, const struct ssm_name *name, const struct store_body *body, uint64_t max,
                                struct value *out, struct err *e)
{
    if (body->size > max + (s->newline != SSM_NEWLINE_KEEP))
        return err_set(e, ERR_TOO_BIG, "%s: a value of %llu bytes, at most %llu in its tier", name->text,
                       (unsigned long long)body->size, (unsigned long long)max);
    CLEANUP_RELEASE(value_release) struct value value = {.len = body->size};
    enum err_code code = ssm_body_read(body, &value.p, e);
    if (code == ERR_OK && s->newline != SSM_NEWLINE_KEEP && value.len > 0 && value.p[value.len - 1] == '\n')
        value.len--;
    if (code == ERR_OK)
        code = ssm_value_check(name->text, value.p, value.len, max, e);
    if (code != ERR_OK)
        return code;
    *out = value;
    value.p = NULL;
    return ERR_OK;
}

enum err_code ssm_check(void *impl, const char *key, bool is_dir, const struct store_body *body, struct err *e)
{
    struct ssm *s = impl;
    struct ssm_name name;
    enum err_code code = name_for_write(s, key, is_dir, &name, e);
    if (code != ERR_OK || body == NULL || is_dir)
        return code;
    CLEANUP_RELEASE(value_release) struct value value = {0};
    return take_value(s, &name, body, value_max(s, name.text), &value, e);
}

enum err_code ssm_put(void *impl, const char *key, const struct store_body *body, const struct store_meta *meta,
                      const struct store_cond *cond, const struct store_call *call, struct store_version *out,
                      struct err *e)
{
    struct ssm *s = impl;
    struct ssm_name name;
    enum err_code code = name_for_write(s, key, false, &name, e);
    if (code != ERR_OK)
        return code;
    /* Whoever knows a version knows that it is there, also where this store has forgotten it. */
    uint64_t max = cond->kind == STORE_IF_MATCH && known_value_max(s->known, name.text) == 0
                       ? SSM_VALUE_ADVANCED
                       : value_max(s, name.text);
    CLEANUP_RELEASE(value_release) struct value value = {0};
    code = take_value(s, &name, body, max, &value, e);
    if (code != ERR_OK)
        return code;
    struct put_job job = {.s = s, .name = &name, .value = value.p, .len = value.len, .cond = cond, .call = call, .meta = meta};
    code = put_job_run(&job, out, e);
    if (code == ERR_OK)
        ssm_shown_size(s, value.p, value.len, out);
    return code;
}

/* What a copy is to be like where its target is new. The source's type is always known; where the rest cannot be asked
 * for, the options say it. */
static enum err_code like_source(struct ssm *s, const struct ssm_name *from, const struct ssm_param *source,
                                 const struct store_call *call, struct ssm_described **out, struct err *e)
{
    struct ssm_name base = *from;
    base.text[strcspn(base.text, ":")] = '\0';
    CLEANUP(ssm_described_free) struct ssm_described *d = NULL;
    struct err why = ERR_INIT;
    enum err_code code = ssm_describe(s, base.text, source->version, call, &d, &why);
    if (code != ERR_OK && code != ERR_ACCESS)
        return err_copy(e, &why);
    if (d == NULL) {
        bool secure = strcmp(source->type, "SecureString") == 0;
        if (secure && s->key_id[0] == '\0')
            return err_set(
                e, ERR_ACCESS,
                "%s is kept under a key that only DescribeParameters tells: allow it, or give ssm_key=", base.text);
        char none[] = "";
        char *tier = source->len > SSM_VALUE_STANDARD ? (char[]){"Advanced"} : s->tier;
        const struct ssm_described guess = {.version = source->version,
                                            .type = source->type,
                                            .tier = tier,
                                            .key_id = s->key_id,
                                            .data_type = source->data_type,
                                            .description = none,
                                            .allowed_pattern = none,
                                            .policies = none,
                                            .user = none};
        d = ssm_described_copy(&guess);
    }
    *out = TAKE(d);
    return *out ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

/* Whether the target's condition would create or replace: only a new one needs to know what the source is like. */
static enum err_code put_copy(struct ssm *s, const struct store_copy *c, const struct ssm_name *from,
                              const struct ssm_param *source, const struct ssm_name *to, const struct store_call *call,
                              struct store_version *out, struct err *e)
{
    CLEANUP(ssm_described_free) struct ssm_described *like = NULL;
    struct ssm_name base = *from;
    base.text[strcspn(base.text, ":")] = '\0';
    if (c->cond.kind != STORE_IF_MATCH) {
        enum err_code code = like_source(s, from, source, call, &like, e);
        if (code != ERR_OK)
            return code;
    }
    struct put_job job = {
        .s = s, .name = to, .value = source->value, .len = source->len, .cond = &c->cond, .call = call, .like = like, .tags_of = base.text};
    return put_job_run(&job, out, e);
}

/* This changes metadata, of which a parameter keeps none. */
static enum err_code copy_onto_itself(const struct store_copy *c, const struct ssm_name *name,
                                      const struct store_version *now, struct store_version *out, struct err *e)
{
    if (c->cond.kind == STORE_IF_ABSENT || (c->cond.kind == STORE_IF_MATCH && strcmp(c->cond.etag, now->etag) != 0))
        return err_set(e, ERR_CONFLICT, "%s has another version now", name->text);
    *out = *now;
    return ERR_OK;
}

enum err_code ssm_copy(void *impl, const struct store_copy *c, const struct store_call *call, struct store_version *out,
                       struct err *e)
{
    struct ssm *s = impl;
    struct ssm_name from, to;
    enum err_code code = name_for_write(s, c->to, false, &to, e);
    if (code == ERR_OK)
        code = ssm_name_for_read(s->path, c->from, &from, e);
    if (code != ERR_OK)
        return code;
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param source = {0};
    code = ssm_read(s, &from, call, &source, e);
    if (code != ERR_OK)
        return code;
    struct store_version version;
    ssm_version_of(s, &from, &source, &version);
    if (c->from_etag != NULL && strcmp(c->from_etag, version.etag) != 0)
        return err_set(e, ERR_CONFLICT, "%s has another version now", from.text);
    if (strcmp(from.text, to.text) == 0)
        code = copy_onto_itself(c, &to, &version, out, e);
    else
        code = put_copy(s, c, &from, &source, &to, call, out, e);
    if (code == ERR_OK)
        ssm_shown_size(s, source.value, source.len, out);
    return code;
}

enum err_code ssm_check_move(void *impl, const char *key, const struct store_version *version, struct err *e)
{
    const struct ssm *s = impl;
    int64_t number = known_version_number(version->etag);
    if (number == 1 || s->rename_copy)
        return ERR_OK;
    return err_set(e, ERR_CROSS, "%s has %lld versions, of which a rename keeps the last: ssm_rename=copy allows it", key,
                   (long long)number);
}
