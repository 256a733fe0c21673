#include "backends/ssm/replies.h"

#include "backends/ssm/names.h"
#include "backends/ssm/replies_impl.h"
#include "util/json.h"
#include "util/secret.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES  2048           /* of a name and of an ARN, far above the service's own limits */
#define TEXT_MAX_BYTES  4096           /* of any other text */
#define VALUE_MAX_BYTES (64 << 10)     /* a value that stands for a secret of another service may be so long */
#define YEAR_10000      253402300800.0 /* seconds since the epoch */

/* The text of a member as an own string: "" when it is absent and need not be there. */
static enum err_code take_text(const struct json *v, const char *name, size_t max, bool needed, char **out,
                               struct err *e)
{
    const struct json *member = json_get(v, name);
    const char *text = json_str(member, NULL);
    if (text == NULL && (needed || member != NULL))
        return err_set(e, ERR_PROTO, "%s is %s", name, member ? "no text" : "missing");
    size_t len = text ? strlen(text) : 0;
    if (len > max || (needed && len == 0))
        return err_set(e, ERR_PROTO, "%s has %zu bytes", name, len);
    *out = str_ndup(text ? text : "", len);
    return *out ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code take_value(const struct json *v, struct ssm_param *out, struct err *e)
{
    size_t len;
    const char *value = json_str(json_get(v, "Value"), &len);
    if (value == NULL)
        return err_set(e, ERR_PROTO, "Value is missing or no text");
    if (len > VALUE_MAX_BYTES)
        return err_set(e, ERR_PROTO, "Value has %zu bytes", len);
    out->value = secret_dup(value, len);
    out->len = len;
    return out->value ? ERR_OK : err_set(e, ERR_NOMEM, "no memory that can be locked for a value");
}

static enum err_code take_version(const struct json *v, const char *name, int64_t *out, struct err *e)
{
    int64_t version;
    if (!json_int(json_get(v, name), &version) || version < 0)
        return err_set(e, ERR_PROTO, "%s is missing or no version", name);
    *out = version;
    return ERR_OK;
}

/* Seconds since the epoch, with a fraction. */
static enum err_code take_date(const struct json *v, int64_t *out, struct err *e)
{
    const struct json *member = json_get(v, "LastModifiedDate");
    double seconds = 0;
    if (member != NULL && (!json_real(member, &seconds) || !(seconds >= 0 && seconds < YEAR_10000)))
        return err_set(e, ERR_PROTO, "LastModifiedDate is no date");
    *out = (int64_t)(seconds * 1000.0 + 0.5);
    return ERR_OK;
}

void ssm_param_release(struct ssm_param *p)
{
    free(p->name);
    free(p->type);
    free(p->arn);
    free(p->data_type);
    free(p->selector);
    secret_free(p->value);
    *p = (struct ssm_param){0};
}

void ssm_param_seal(struct ssm_param *p)
{
    secret_wipe(p->value, p->len);
    p->len = 0;
    p->sealed = true;
}

static enum err_code parse_param(const struct json *v, bool value, struct ssm_param *out, struct err *e)
{
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param p = {.sealed = !value};
    enum err_code code = take_text(v, "Name", NAME_MAX_BYTES, true, &p.name, e);
    if (code == ERR_OK)
        code = take_text(v, "Type", TEXT_MAX_BYTES, true, &p.type, e);
    if (code == ERR_OK)
        code = take_text(v, "ARN", NAME_MAX_BYTES, false, &p.arn, e);
    if (code == ERR_OK)
        code = take_text(v, "DataType", TEXT_MAX_BYTES, false, &p.data_type, e);
    if (code == ERR_OK)
        code = take_text(v, "Selector", TEXT_MAX_BYTES, false, &p.selector, e);
    if (code == ERR_OK)
        code = take_version(v, "Version", &p.version, e);
    if (code == ERR_OK)
        code = take_date(v, &p.modified_ms, e);
    if (code == ERR_OK && value)
        code = take_value(v, &p, e);
    if (code != ERR_OK)
        return code;
    *out = p;
    p = (struct ssm_param){0};
    return ERR_OK;
}

enum err_code ssm_parse_one(const struct json *v, struct ssm_param *out, struct err *e)
{
    return parse_param(v, true, out, e);
}

enum err_code ssm_parse_param(const char *reply, size_t len, struct ssm_param *out, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(reply, len, e);
    if (doc == NULL)
        return e ? e->code : ERR_PROTO;
    const struct json *v = json_get(json_root(doc), "Parameter");
    if (v == NULL)
        return err_set(e, ERR_PROTO, "Parameter is missing");
    return ssm_parse_one(v, out, e);
}

void ssm_page_release(struct ssm_page *p)
{
    for (size_t i = 0; i < p->n; i++)
        ssm_param_release(&p->params[i]);
    free(p->next);
    *p = (struct ssm_page){0};
}

enum err_code ssm_parse_token(const struct json *root, char **out, struct err *e)
{
    CLEANUP(free) char *token = NULL;
    enum err_code code = take_text(root, "NextToken", SSM_TOKEN_MAX, false, &token, e);
    if (code == ERR_OK)
        *out = token[0] ? TAKE(token) : NULL;
    return code;
}

enum err_code ssm_parse_list(const char *reply, size_t len, const char *name, struct json_doc **doc,
                             const struct json **list, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *parsed = json_parse(reply, len, e);
    if (parsed == NULL)
        return e ? e->code : ERR_PROTO;
    *list = json_get(json_root(parsed), name);
    if (!json_list(*list))
        return err_set(e, ERR_PROTO, "%s is missing or no list", name);
    *doc = TAKE(parsed);
    return ERR_OK;
}

static enum err_code parse_page(const char *reply, size_t len, bool values, struct ssm_page *out, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = NULL;
    const struct json *list;
    enum err_code code = ssm_parse_list(reply, len, "Parameters", &doc, &list, e);
    if (code != ERR_OK)
        return code;
    if (json_len(list) > SSM_PAGE_MAX)
        return err_set(e, ERR_PROTO, "Parameters has %zu elements, at most %d were asked for", json_len(list),
                       SSM_PAGE_MAX);
    CLEANUP_RELEASE(ssm_page_release) struct ssm_page page = {0};
    code = ssm_parse_token(json_root(doc), &page.next, e);
    for (size_t i = 0; code == ERR_OK && i < json_len(list); i++) {
        code = parse_param(json_at(list, i), values, &page.params[i], e);
        page.n += code == ERR_OK;
    }
    if (code != ERR_OK)
        return code;
    *out = page;
    page = (struct ssm_page){0};
    return ERR_OK;
}

enum err_code ssm_parse_page(const char *reply, size_t len, struct ssm_page *out, struct err *e)
{
    return parse_page(reply, len, true, out, e);
}

enum err_code ssm_parse_names(const char *reply, size_t len, struct ssm_page *out, struct err *e)
{
    return parse_page(reply, len, false, out, e);
}

enum err_code ssm_parse_put(const char *reply, size_t len, int64_t *version, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(reply, len, e);
    if (doc == NULL)
        return e ? e->code : ERR_PROTO;
    return take_version(json_root(doc), "Version", version, e);
}

void ssm_described_free(struct ssm_described *d)
{
    if (d == NULL)
        return;
    free(d->type);
    free(d->tier);
    free(d->key_id);
    free(d->data_type);
    free(d->description);
    free(d->allowed_pattern);
    free(d->policies);
    free(d->user);
    free(d);
}

struct ssm_described *ssm_described_copy(const struct ssm_described *d)
{
    CLEANUP(ssm_described_free) struct ssm_described *copy = d ? calloc(1, sizeof(*copy)) : NULL;
    if (copy == NULL)
        return NULL;
    copy->version = d->version;
    copy->type = strdup(d->type);
    copy->tier = strdup(d->tier);
    copy->key_id = strdup(d->key_id);
    copy->data_type = strdup(d->data_type);
    copy->description = strdup(d->description);
    copy->allowed_pattern = strdup(d->allowed_pattern);
    copy->policies = strdup(d->policies);
    copy->user = strdup(d->user);
    bool whole = copy->type && copy->tier && copy->key_id && copy->data_type && copy->description &&
                 copy->allowed_pattern && copy->policies && copy->user;
    return whole ? TAKE(copy) : NULL;
}

/* The texts of all policies as the array that PutParameter takes. */
static enum err_code take_policies(const struct json *v, char **out, struct err *e)
{
    const struct json *list = json_get(v, "Policies");
    BUF(all, 2 * TEXT_MAX_BYTES);
    for (size_t i = 0; i < json_len(list); i++) {
        const char *text = json_get_str(json_at(list, i), "PolicyText");
        if (text == NULL)
            return err_set(e, ERR_PROTO, "PolicyText is missing");
        buf_add_char(&all, i > 0 ? ',' : '[');
        buf_add_str(&all, text);
    }
    if (json_len(list) > 0)
        buf_add_char(&all, ']');
    enum err_code code = buf_check(&all, "policies", e);
    if (code != ERR_OK)
        return code;
    *out = strdup(buf_str(&all));
    return *out ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

static enum err_code describe_one(const struct json *v, struct ssm_described **out, struct err *e)
{
    CLEANUP(ssm_described_free) struct ssm_described *d = calloc(1, sizeof(*d));
    if (d == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    const struct {
        const char *name;
        char **to;
    } texts[] = {{"Type", &d->type},
                 {"Tier", &d->tier},
                 {"KeyId", &d->key_id},
                 {"DataType", &d->data_type},
                 {"Description", &d->description},
                 {"AllowedPattern", &d->allowed_pattern},
                 {"LastModifiedUser", &d->user}};
    enum err_code code = take_version(v, "Version", &d->version, e);
    for (size_t i = 0; code == ERR_OK && i < ARRAY_LEN(texts); i++)
        code = take_text(v, texts[i].name, TEXT_MAX_BYTES, texts[i].to == &d->type, texts[i].to, e);
    if (code == ERR_OK)
        code = take_policies(v, &d->policies, e);
    if (code == ERR_OK)
        *out = TAKE(d);
    return code;
}

enum err_code ssm_parse_described(const char *reply, size_t len, const char *name, struct ssm_described **out,
                                  char **next, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = NULL;
    const struct json *list;
    enum err_code code = ssm_parse_list(reply, len, "Parameters", &doc, &list, e);
    if (code != ERR_OK)
        return code;
    CLEANUP(free) char *token = NULL;
    CLEANUP(ssm_described_free) struct ssm_described *found = NULL;
    code = ssm_parse_token(json_root(doc), &token, e);
    for (size_t i = 0; code == ERR_OK && found == NULL && i < json_len(list); i++) {
        const char *its = json_get_str(json_at(list, i), "Name");
        if (its == NULL)
            return err_set(e, ERR_PROTO, "Name is missing");
        if (ssm_name_equal(its, name))
            code = describe_one(json_at(list, i), &found, e);
    }
    if (code != ERR_OK)
        return code;
    *out = TAKE(found);
    *next = TAKE(token);
    return ERR_OK;
}

/* Marks what the array has. */
static void mark_names(const struct json *list, const char *const *names, size_t n, bool *gone)
{
    for (size_t i = 0; i < json_len(list); i++) {
        const char *its = json_str(json_at(list, i), NULL);
        for (size_t k = 0; its != NULL && k < n; k++)
            if (ssm_name_equal(its, names[k]))
                gone[k] = true;
    }
}

enum err_code ssm_parse_deleted(const char *reply, size_t len, const char *const *names, size_t n, bool *gone,
                                struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(reply, len, e);
    if (doc == NULL)
        return e ? e->code : ERR_PROTO;
    const struct json *deleted = json_get(json_root(doc), "DeletedParameters");
    const struct json *absent = json_get(json_root(doc), "InvalidParameters");
    if (!json_list(deleted) && !json_list(absent))
        return err_set(e, ERR_PROTO, "DeletedParameters is missing or no list");
    mark_names(deleted, names, n, gone);
    mark_names(absent, names, n, gone);
    return ERR_OK;
}

void ssm_tags_release(struct ssm_tags *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->tags[i].key);
        free(t->tags[i].value);
    }
    t->n = 0;
}

enum err_code ssm_parse_tags(const char *reply, size_t len, struct ssm_tags *out, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = NULL;
    const struct json *list;
    enum err_code code = ssm_parse_list(reply, len, "TagList", &doc, &list, e);
    if (code != ERR_OK)
        return code;
    if (json_len(list) > SSM_TAGS_MAX)
        return err_set(e, ERR_PROTO, "TagList has more than %d elements", SSM_TAGS_MAX);
    CLEANUP_RELEASE(ssm_tags_release) struct ssm_tags tags = {0};
    for (size_t i = 0; i < json_len(list); i++) {
        struct ssm_tag *t = &tags.tags[tags.n++];
        code = take_text(json_at(list, i), "Key", TEXT_MAX_BYTES, true, &t->key, e);
        if (code == ERR_OK)
            code = take_text(json_at(list, i), "Value", TEXT_MAX_BYTES, false, &t->value, e);
        if (code != ERR_OK)
            return code;
    }
    *out = tags;
    tags.n = 0;
    return ERR_OK;
}
