/* The versions of a parameter: GetParameterHistory, as the directory "NAME@history" and for what belongs to one
 * version. */
#include "backends/ssm/history.h"

#include "backends/ssm/call.h"
#include "backends/ssm/derived.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/replies_impl.h"
#include "backends/ssm/requests.h"
#include "backends/ssm/token.h"
#include "store/meta.h"
#include "util/json.h"
#include "util/str.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_MAX 100 /* there are at most 100 versions, and a page may be empty and not the last */

void ssm_version_release(struct ssm_version *v)
{
    ssm_param_release(&v->param);
    free(v->labels);
    for (size_t i = 0; i < SSM_TOLD; i++)
        free(v->told[i]);
    *v = (struct ssm_version){0};
}

void ssm_history_release(struct ssm_history *h)
{
    for (size_t i = 0; i < h->n; i++)
        ssm_version_release(&h->versions[i]);
    free(h->versions);
    free(h->next);
    *h = (struct ssm_history){0};
}

/* What is told of a version beside its value: the name of the attribute, and of the reply's member. */
static const struct {
    const char *name, *member;
} told[SSM_TOLD] = {{"tier", "Tier"},
                    {"key_id", "KeyId"},
                    {"description", "Description"},
                    {"allowed_pattern", "AllowedPattern"},
                    {"last_modified_user", "LastModifiedUser"}};

static enum err_code parse_labels(const struct json *list, char **out, struct err *e)
{
    BUF(labels, SSM_LABELS_BYTES);
    for (size_t i = 0; i < json_len(list); i++) {
        const char *label = json_str(json_at(list, i), NULL);
        if (label == NULL || !ssm_selector_legal(label))
            return err_set(e, ERR_PROTO, "Labels has what is no label");
        buf_addf(&labels, "%s%s", i > 0 ? "," : "", label);
    }
    enum err_code code = buf_check(&labels, "Labels", e);
    if (code == ERR_OK && labels.len > 0 && (*out = strdup(buf_str(&labels))) == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    return code;
}

static enum err_code parse_version(const struct json *v, struct ssm_version *out, struct err *e)
{
    enum err_code code = ssm_parse_one(v, &out->param, e);
    if (code == ERR_OK)
        code = parse_labels(json_get(v, "Labels"), &out->labels, e);
    for (size_t i = 0; code == ERR_OK && i < SSM_TOLD; i++) {
        const char *text = json_get_str(v, told[i].member);
        if (text != NULL && text[0] && (out->told[i] = str_ndup(text, strnlen(text, SSM_TOLD_BYTES))) == NULL)
            code = err_set(e, ERR_NOMEM, "out of memory");
    }
    return code;
}

enum err_code ssm_parse_history(const char *reply, size_t len, struct ssm_history *out, struct err *e)
{
    CLEANUP(json_doc_free) struct json_doc *doc = NULL;
    const struct json *list;
    enum err_code code = ssm_parse_list(reply, len, "Parameters", &doc, &list, e);
    if (code != ERR_OK)
        return code;
    size_t n = json_len(list);
    if (n > SSM_HISTORY_PAGE)
        return err_set(e, ERR_PROTO, "Parameters has %zu elements", n);
    CLEANUP_RELEASE(ssm_history_release) struct ssm_history h = {0};
    h.versions = calloc(n + 1, sizeof(*h.versions));
    if (h.versions == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = ssm_parse_token(json_root(doc), &h.next, e);
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        code = parse_version(json_at(list, h.n++), &h.versions[i], e);
    if (code != ERR_OK)
        return code;
    *out = h;
    h = (struct ssm_history){0};
    return ERR_OK;
}

/* One page of the history of `name`; `token` is the service's, or NULL. */
struct question {
    const char *name, *token;
    unsigned max;
    bool decrypt; /* else what is secret has no value */
};

static enum err_code ask(struct ssm *s, const struct question *q, const struct store_call *call,
                         struct ssm_history *out, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_history(&request, q->name, q->max, q->decrypt, q->token);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, "GetParameterHistory", q->name, &request, call, &reply, e);
    if (code != ERR_OK)
        return code;
    CLEANUP_RELEASE(ssm_history_release) struct ssm_history h = {0};
    code = ssm_parse_history(buf_str(&reply.body), reply.body.len, &h, e);
    for (size_t i = 0; code == ERR_OK && i < h.n; i++) {
        struct ssm_param *p = &h.versions[i].param;
        if (!ssm_name_equal(p->name, q->name))
            code = err_set(e, ERR_PROTO, "it is about another parameter");
        else if (!q->decrypt && ssm_is_secret(p))
            ssm_param_seal(p);
    }
    if (code != ERR_OK)
        return err_prefix(e, code, "GetParameterHistory %s: reply (request %s)", q->name, reply.request_id);
    *out = h;
    h = (struct ssm_history){0};
    return ERR_OK;
}

/* A key that cannot be used keeps values from being read, not versions from being seen. Nothing, where there is no such
 * parameter. */
static enum err_code ask_unless_refused(struct ssm *s, const struct question *q, const struct store_call *call,
                                        struct ssm_history *out, struct err *e)
{
    struct question plain = *q;
    struct err why = ERR_INIT, none = ERR_INIT;
    enum err_code code = ask(s, q, call, out, &why);
    plain.decrypt = false;
    bool refused = q->decrypt && (code == ERR_KEY_REJECTED || code == ERR_ACCESS);
    if (refused && ask(s, &plain, call, out, &none) == ERR_OK)
        return ERR_OK;
    return code == ERR_OK || code == ERR_NOT_FOUND ? ERR_OK : err_copy(e, &why);
}

enum err_code ssm_history_find(struct ssm *s, const char *name, int64_t number, const struct store_call *call,
                               struct ssm_version *out, struct err *e)
{
    CLEANUP(free) char *token = NULL;
    for (unsigned page = 0; page == 0 || token != NULL; page++) {
        if (page == PAGES_MAX)
            return err_set(e, ERR_PROTO, "GetParameterHistory %s: the reply has no end", name);
        CLEANUP_RELEASE(ssm_history_release) struct ssm_history h = {0};
        const struct question q = {.name = name, .token = token, .max = SSM_HISTORY_PAGE};
        enum err_code code = ask(s, &q, call, &h, e);
        if (code != ERR_OK)
            return code;
        for (size_t i = 0; i < h.n; i++) {
            if (h.versions[i].param.version != number)
                continue;
            *out = h.versions[i];
            h.versions[i] = (struct ssm_version){0};
            return ERR_OK;
        }
        free(token);
        token = TAKE(h.next);
    }
    return err_set(e, ERR_NOT_FOUND, "%s has no version %" PRId64, name, number);
}

const char *ssm_version_told(const struct ssm_version *v, const char *name)
{
    if (strcmp(name, "labels") == 0)
        return v->labels;
    for (size_t i = 0; i < SSM_TOLD; i++)
        if (strcmp(told[i].name, name) == 0)
            return v->told[i];
    return NULL;
}

static enum err_code make_entry(struct ssm *s, const char *dir, struct ssm_version *v, struct store_entry *out,
                                struct err *e)
{
    struct store_version version;
    ssm_version_plain(&v->param, &version);
    enum err_code code = ssm_object_of(s, &v->param, &version, &v->param.value, &out->object, e);
    /* Also what is empty: it is then known to be. */
    const char *labels = v->labels ? v->labels : "";
    if (code == ERR_OK)
        code = store_meta_set_prop(out->object.meta, "labels", labels, strlen(labels), e);
    for (size_t i = 0; code == ERR_OK && i < SSM_TOLD; i++) {
        const char *text = v->told[i] ? v->told[i] : "";
        code = store_meta_set_prop(out->object.meta, told[i].name, text, strlen(text), e);
    }
    if (code == ERR_OK && (out->key = str_printf("%s%" PRId64, dir, v->param.version)) == NULL)
        code = err_set(e, ERR_NOMEM, "out of memory");
    if (code != ERR_OK)
        store_object_release(&out->object);
    return code;
}

enum err_code ssm_history_list(struct ssm *s, const struct store_list *l, const struct store_call *call,
                               struct store_page *out, struct err *e)
{
    size_t base;
    const char *below;
    struct ssm_name name;
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    CLEANUP(free) char *key = ssm_history_parse(l->prefix, &base, &below) ? str_ndup(l->prefix, base) : NULL;
    /* Nothing is below a version. */
    if (key == NULL || below == NULL || below[0] || ssm_name_for_read(s->path, key, &name, NULL) != ERR_OK) {
        *out = page;
        return ERR_OK;
    }
    const char *token = l->token ? ssm_token_raw(l->token) : NULL;
    if (l->token != NULL && token == NULL)
        return err_set(e, ERR_INVAL, "listing of '%s': not a token of this store", l->prefix);
    bool whole = l->max_keys == 0 || l->max_keys > SSM_HISTORY_PAGE;
    const struct question q = {
        .name = name.text, .token = token, .max = whole ? SSM_HISTORY_PAGE : l->max_keys, .decrypt = !s->seal};
    CLEANUP_RELEASE(ssm_history_release) struct ssm_history h = {0};
    enum err_code code = ask_unless_refused(s, &q, call, &h, e);
    if (code != ERR_OK)
        return code;
    page.entries = calloc(h.n + 1, sizeof(*page.entries));
    if (page.entries == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < h.n; i++, page.n++) {
        code = make_entry(s, l->prefix, &h.versions[i], &page.entries[i], e);
        if (code != ERR_OK)
            return code;
    }
    ssm_page_order(&page);
    code = h.next ? ssm_token_make(l->token, h.next, &page.next, e) : ERR_OK;
    if (code != ERR_OK)
        return code;
    *out = page;
    page = (struct store_page){0};
    return ERR_OK;
}
