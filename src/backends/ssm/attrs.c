#include "backends/ssm/attrs.h"

#include "backends/ssm/impl.h"
#include "backends/ssm/known.h"
#include "backends/ssm/put.h"
#include "backends/ssm/rules.h"
#include "store/meta.h"
#include "util/json.h"
#include "util/str.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX     1024 /* characters of a description or a pattern */
#define POLICIES_MAX 4096
#define KEY_ID_MAX   256
#define TAG_MAX      128
#define TAG_VALUE_MAX 256

static const char *const types[] = {"SecureString", "String", "StringList", NULL};
static const char *const tiers[] = {"Standard", "Advanced", "Intelligent-Tiering", NULL};
static const char *const data_types[] = {"text", "aws:ec2:image", "aws:ssm:integration", NULL};

/* An attribute: where it is in a description, and what it may be. */
static const struct attr {
    const char *name;
    size_t offset;
    size_t max;
    const char *const *legal; /* NULL: any text */
    bool removable;
} attrs[] = {
    {"type", offsetof(struct ssm_described, type), 16, types, false},
    {"tier", offsetof(struct ssm_described, tier), 32, tiers, false},
    {"key_id", offsetof(struct ssm_described, key_id), KEY_ID_MAX, NULL, false},
    {"data_type", offsetof(struct ssm_described, data_type), 32, data_types, false},
    {"description", offsetof(struct ssm_described, description), TEXT_MAX, NULL, true},
    {"allowed_pattern", offsetof(struct ssm_described, allowed_pattern), TEXT_MAX, NULL, true},
    {"policies", offsetof(struct ssm_described, policies), POLICIES_MAX, NULL, true},
};

static const struct attr *find(const char *name)
{
    if (strcmp(name, "data-type") == 0)
        name = "data_type";
    for (size_t i = 0; i < ARRAY_LEN(attrs); i++)
        if (strcmp(attrs[i].name, name) == 0)
            return &attrs[i];
    return NULL;
}

static char **member(struct ssm_described *d, const struct attr *a)
{
    return (char **)((char *)d + a->offset);
}

bool attrs_known(const char *name)
{
    return find(name) != NULL || (str_starts(name, SSM_TAG_PREFIX) && name[strlen(SSM_TAG_PREFIX)] != '\0');
}

static enum err_code one_of(const char *key, const char *name, const char *value, const char *const *legal, struct err *e)
{
    BUF(all, 128);
    for (size_t i = 0; legal[i] != NULL; i++) {
        if (strcmp(legal[i], value) == 0)
            return ERR_OK;
        buf_addf(&all, "%s%s", i ? ", " : "", legal[i]);
    }
    return err_set(e, ERR_INVAL, "%s: %s must be one of %s", key, name, buf_str(&all));
}

static enum err_code check_policies(const char *key, const char *text, size_t len, struct err *e)
{
    struct err why = ERR_INIT;
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(text, len, &why);
    if (doc == NULL || !json_list(json_root(doc)))
        return err_set(e, ERR_INVAL, "%s: policies must be a JSON array, as in [{\"Type\":\"Expiration\",...}]", key);
    return ERR_OK;
}

/* The service's limits count characters. Of UTF-8. */
static size_t characters(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

/* The value as text that may be sent, owned by the caller. `value` NULL removes: "". */
static enum err_code take_value(const char *key, const struct attr *a, const char *value, size_t len, char **out, struct err *e)
{
    if (value == NULL && !a->removable)
        return err_set(e, ERR_PERM, "%s: a parameter always has a %s", key, a->name);
    CLEANUP(free) char *text = str_ndup(value ? value : "", value ? len : 0);
    if (text == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    enum err_code code = ERR_OK;
    if (strlen(text) != (value ? len : 0) || !utf8_valid(text, strlen(text)))
        code = err_set(e, ERR_INVAL, "%s: %s must be UTF-8 text", key, a->name);
    else if (characters(text, strlen(text)) > a->max)
        code = err_set(e, ERR_INVAL, "%s: %s has %zu characters, at most %zu", key, a->name, characters(text, len), a->max);
    else if (a->legal != NULL)
        code = one_of(key, a->name, text, a->legal, e);
    else if (strcmp(a->name, "policies") == 0 && text[0])
        code = check_policies(key, text, len, e);
    else if (strcmp(a->name, "key_id") == 0 && !ssm_key_id_legal(text))
        code = err_set(e, ERR_INVAL, "%s: key_id must be a key's id, ARN or alias/NAME", key);
    if (code == ERR_OK)
        *out = TAKE(text);
    return code;
}

/* Changes that the service refuses, or that would not be what was meant. */
static enum err_code check_change(const char *key, const struct attr *a, const struct ssm_described *d, const char *value,
                                  struct err *e)
{
    if (a->legal == types)
        return err_set(e, ERR_PERM, "%s is a %s: a parameter's type is chosen with its first value, remove it to choose again",
                       key, d->type);
    if (a->legal == tiers && strcmp(d->tier, "Advanced") == 0)
        return err_set(e, ERR_PERM, "%s: the tier Advanced cannot be taken back", key);
    if (strcmp(a->name, "key_id") == 0 && strcmp(d->type, "SecureString") != 0)
        return err_set(e, ERR_PERM, "%s: only a SecureString has a key", key);
    return ERR_OK;
}

static enum err_code set_described(struct ssm *s, const struct ssm_name *name, const struct attr *a, const char *value,
                                   const struct store_call *call, struct err *e)
{
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param now = {0};
    CLEANUP(ssm_described_free) struct ssm_described *d = NULL;
    enum err_code code = ssm_read(s, name, call, &now, e);
    if (code == ERR_OK)
        code = ssm_describe(s, name->text, now.version, call, &d, e);
    if (code == ERR_OK && d == NULL)
        code = err_set(e, ERR_ACCESS, "DescribeParameters %s: not in the reply", name->text);
    if (code != ERR_OK || strcmp(*member(d, a), value) == 0)
        return code;
    code = check_change(name->text, a, d, value, e);
    char *text = code == ERR_OK ? strdup(value) : NULL;
    if (text == NULL)
        return code != ERR_OK ? code : err_set(e, ERR_NOMEM, "out of memory");
    free(*member(d, a));
    *member(d, a) = text;
    struct store_cond always = {.kind = STORE_ALWAYS};
    struct put_job job = {.s = s, .name = name, .value = now.value, .len = now.len, .cond = &always, .call = call, .like = d,
                          .policies = strcmp(a->name, "policies") == 0};
    struct store_version version;
    return put_job_again(&job, now.version, &version, e);
}

enum err_code attrs_set(struct ssm *s, const char *key, const struct store_meta *meta, const char *name, const char *value,
                        size_t len, const struct store_call *call, struct err *e)
{
    struct ssm_name its;
    enum err_code code =
        ssm_name_for_write(s->path, key, false, atomic_load_explicit(&s->arn_prefix, memory_order_relaxed), &its, e);
    if (code != ERR_OK)
        return code == ERR_BAD_NAME ? err_set(e, ERR_PERM, "%s: %s cannot be changed here", key, name) : code;
    if (str_starts(name, SSM_TAG_PREFIX))
        return tags_set(s, its.text, name + strlen(SSM_TAG_PREFIX), value, len, call, e);
    const struct attr *a = find(name);
    CLEANUP(free) char *text = NULL;
    code = take_value(key, a, value, len, &text, e);
    const char *type = a->legal == types ? store_meta_prop(meta, "type", NULL) : NULL;
    if (code == ERR_OK && type != NULL && strcmp(type, text) != 0) {
        const struct ssm_described known = {.type = (char *)type};
        return check_change(key, a, &known, text, e);
    }
    return code == ERR_OK ? set_described(s, &its, a, text, call, e) : code;
}

/* The mode shows whether others may read it, from the first moment. */
static void show_type(struct store_meta *m, const char *type)
{
    m->mode = (m->mode & ~(mode_t)07777) | (strcmp(type, "SecureString") == 0 ? 0600 : 0644);
    m->has |= STORE_HAS_MODE;
}

enum err_code attrs_prepare(void *impl, const char *key, const struct store_meta *meta, const char *name, const void *value,
                            size_t len, struct store_meta **meta_out, struct err *e)
{
    const struct attr *a = find(name);
    CLEANUP(free) char *text = NULL;
    enum err_code code = ERR_OK;
    if (a == NULL && !attrs_known(name))
        return err_set(e, ERR_PERM, "%s: %s cannot be chosen", key, name);
    if (a != NULL)
        code = take_value(key, a, value, len, &text, e);
    else if (value != NULL && (!utf8_valid(name, strlen(name)) || !utf8_valid(value, len) || memchr(value, '\0', len) != NULL))
        code = err_set(e, ERR_INVAL, "%s: a tag is UTF-8 text", key);
    else if (value != NULL && (characters(name, strlen(name)) > TAG_MAX + strlen(SSM_TAG_PREFIX) || characters(value, len) > TAG_VALUE_MAX))
        code = err_set(e, ERR_INVAL, "%s: a tag has at most %d characters, its value %d", key, TAG_MAX, TAG_VALUE_MAX);
    if (code != ERR_OK)
        return code;
    CLEANUP(store_meta_unref) struct store_meta *m = store_meta_copy(meta);
    CLEANUP(free) char *prop = str_printf(ATTRS_NEW_PREFIX "%s", a ? a->name : name);
    if (m == NULL || prop == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = store_meta_set_prop(m, prop, value, len, e);
    if (code != ERR_OK)
        return code;
    if (a != NULL && a->legal == types)
        show_type(m, text);
    struct ssm *s = impl;
    struct ssm_name its;
    if (a != NULL && a->legal == tiers && ssm_name_join(s->path, key, strlen(key), &its, NULL) == ERR_OK)
        known_expect(s->known, its.text, known_tier_max(text));
    *meta_out = TAKE(m);
    return ERR_OK;
}

const char *attrs_prepared(const struct store_meta *meta, const char *name)
{
    char prop[16 + TAG_MAX];
    const struct attr *a = find(name);
    int n = snprintf(prop, sizeof(prop), ATTRS_NEW_PREFIX "%s", a ? a->name : name);
    return n > 0 && (size_t)n < sizeof(prop) ? store_meta_prop(meta, prop, NULL) : NULL;
}

/* Replaces a member by a copy of `value`, unless that is NULL. */
static bool give(char **at, const char *value)
{
    char *copy = value ? strdup(value) : NULL;
    if (value != NULL && copy != NULL) {
        free(*at);
        *at = copy;
    }
    return value == NULL || copy != NULL;
}

struct ssm_described *attrs_of_new(const struct ssm *s, const char *key, const struct store_meta *meta)
{
    char none[] = "";
    const char *rule = rules_type(s->rules, key);
    const struct ssm_described from_options = {.type = s->type,
                                               .tier = s->tier,
                                               .key_id = s->key_id,
                                               .data_type = none,
                                               .description = none,
                                               .allowed_pattern = none,
                                               .policies = none,
                                               .user = none};
    CLEANUP(ssm_described_free) struct ssm_described *d = ssm_described_copy(&from_options);
    bool whole = d != NULL && give(&d->type, rule);
    for (size_t i = 0; whole && i < ARRAY_LEN(attrs); i++)
        whole = give(member(d, &attrs[i]), attrs_prepared(meta, attrs[i].name));
    return whole ? TAKE(d) : NULL;
}
