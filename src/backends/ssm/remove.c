#include "backends/ssm/call.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/known.h"
#include "backends/ssm/requests.h"

#include <stdlib.h>
#include <string.h>

/* The name of what can be removed. Versions and labels go only with their parameter. */
static enum err_code removable(struct ssm *s, const char *key, struct ssm_name *out, struct err *e)
{
    enum err_code code = ssm_name_for_read(s->path, key, out, e);
    if (code == ERR_OK && out->selector)
        return err_set(e, ERR_PERM, "%s: one version cannot be removed", key);
    return code;
}

/* ERR_OK also when it was not there. */
static enum err_code delete_one(struct ssm *s, const char *name, const struct store_call *call, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_delete(&request, name);
    SSM_REPLY(reply);
    struct err why = ERR_INIT;
    enum err_code code = ssm_call(s, "DeleteParameter", name, &request, call, &reply, &why);
    if (code != ERR_OK && code != ERR_NOT_FOUND)
        return err_copy(e, &why);
    known_forget(s->known, name);
    return ERR_OK;
}

/* ERR_NOT_FOUND when it is gone, ERR_CONFLICT when it is another version. What cannot be decrypted can be removed. */
static enum err_code still_that(struct ssm *s, const struct ssm_name *name, const char *etag,
                                const struct store_call *call, struct err *e)
{
    CLEANUP_RELEASE(ssm_param_release) struct ssm_param p = {0};
    enum err_code code = ssm_read_sealed(s, name, call, &p, e);
    if (code != ERR_OK)
        return code;
    struct store_version version;
    ssm_version_of(s, name, &p, &version);
    if (strcmp(etag, version.etag) != 0)
        return err_set(e, ERR_CONFLICT, "%s has another version now", name->text);
    return ERR_OK;
}

enum err_code ssm_remove(void *impl, const char *key, const char *etag, const struct store_call *call, struct err *e)
{
    struct ssm *s = impl;
    struct ssm_name name;
    struct err why = ERR_INIT;
    enum err_code code = removable(s, key, &name, &why);
    if (code == ERR_OK && etag != NULL)
        code = still_that(s, &name, etag, call, &why);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    if (code != ERR_OK)
        return err_copy(e, &why);
    return delete_one(s, name.text, call, e);
}

/* Up to ten at once. */
struct batch {
    struct ssm_name names[SSM_PAGE_MAX];
    const char *texts[SSM_PAGE_MAX];
    const char *etags[SSM_PAGE_MAX]; /* NULL: whatever is there */
    enum err_code *results[SSM_PAGE_MAX];
    bool out[SSM_PAGE_MAX]; /* decided: nothing is to be removed */
    size_t n;
};

static void decide(struct batch *b, size_t i, enum err_code code)
{
    *b->results[i] = code;
    b->out[i] = true;
}

/* Those of another version stay, those that are gone are done with. */
static enum err_code judge_page(struct ssm *s, struct batch *b, const struct ssm_reply *reply, struct err *e)
{
    CLEANUP_RELEASE(ssm_page_release) struct ssm_page page = {0};
    enum err_code code = ssm_parse_page(buf_str(&reply->body), reply->body.len, &page, e);
    bool absent[SSM_PAGE_MAX] = {0};
    if (code == ERR_OK && page.n < b->n)
        code = ssm_parse_deleted(buf_str(&reply->body), reply->body.len, b->texts, b->n, absent, e);
    if (code != ERR_OK)
        return err_prefix(e, code, "GetParameters %s: reply (request %s)", b->texts[0], reply->request_id);
    for (size_t i = 0; i < b->n; i++) {
        struct ssm_param *p = NULL;
        for (size_t k = 0; k < page.n && p == NULL; k++)
            p = ssm_name_equal(page.params[k].name, b->texts[i]) ? &page.params[k] : NULL;
        struct store_version version;
        if (p != NULL && ssm_is_secret(p))
            ssm_param_seal(p);
        if (p != NULL)
            ssm_version_of(s, &b->names[i], p, &version);
        if (p == NULL)
            decide(b, i, absent[i] ? ERR_OK : ERR_PROTO);
        else if (b->etags[i] != NULL && strcmp(b->etags[i], version.etag) != 0)
            decide(b, i, ERR_CONFLICT);
    }
    return ERR_OK;
}

/* Conditions, ten at a time: DeleteParameters has none. Where GetParameters is refused, for itself or for one of the names, they are
 * looked at one by one. */
static enum err_code judge(struct ssm *s, struct batch *b, const struct store_call *call, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_get_many(&request, b->texts, b->n, false);
    SSM_REPLY(reply);
    struct err why = ERR_INIT;
    enum err_code code = ssm_call(s, "GetParameters", b->texts[0], &request, call, &reply, &why);
    if (code == ERR_OK)
        return judge_page(s, b, &reply, e);
    if (code != ERR_ACCESS && code != ERR_KEY_REJECTED)
        return err_copy(e, &why);
    for (size_t i = 0; i < b->n; i++) {
        code = b->etags[i] ? still_that(s, &b->names[i], b->etags[i], call, NULL) : ERR_OK;
        if (code != ERR_OK)
            decide(b, i, code == ERR_NOT_FOUND ? ERR_OK : code);
    }
    return ERR_OK;
}

/* Leaves what is still to be removed. */
static void compact(struct batch *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->out[i])
            continue;
        if (kept != i)
            b->names[kept] = b->names[i];
        b->texts[kept] = b->names[kept].text;
        b->results[kept++] = b->results[i];
    }
    b->n = kept;
}

/* One by one, where DeleteParameters is not allowed: it is an action of its own, and refused as a whole for one name.
 */
static void delete_each(struct ssm *s, struct batch *b, const struct store_call *call)
{
    for (size_t i = 0; i < b->n; i++)
        *b->results[i] = delete_one(s, b->texts[i], call, NULL);
}

static enum err_code delete_batch(struct ssm *s, struct batch *b, const struct store_call *call, struct err *e)
{
    BUF(request, SSM_BODY_MAX);
    ssm_request_delete_many(&request, b->texts, b->n);
    SSM_REPLY(reply);
    enum err_code code = ssm_call(s, "DeleteParameters", b->texts[0], &request, call, &reply, e);
    if (code == ERR_ACCESS) {
        delete_each(s, b, call);
        return ERR_OK;
    }
    bool gone[SSM_PAGE_MAX] = {0};
    if (code == ERR_OK)
        code = ssm_parse_deleted(buf_str(&reply.body), reply.body.len, b->texts, b->n, gone, e);
    for (size_t i = 0; i < b->n; i++) {
        *b->results[i] = gone[i] ? ERR_OK : code != ERR_OK ? code : ERR_PROTO;
        if (gone[i])
            known_forget(s->known, b->texts[i]);
    }
    return code;
}

static enum err_code remove_batch(struct ssm *s, struct batch *b, const struct store_call *call, struct err *e)
{
    bool conditions = false;
    for (size_t i = 0; i < b->n; i++)
        conditions = conditions || b->etags[i] != NULL;
    enum err_code code = conditions ? judge(s, b, call, e) : ERR_OK;
    for (size_t i = 0; code != ERR_OK && i < b->n; i++)
        *b->results[i] = code;
    if (code != ERR_OK)
        return code;
    compact(b);
    return b->n > 0 ? delete_batch(s, b, call, e) : ERR_OK;
}

enum err_code ssm_remove_many(void *impl, const char *const *keys, const char *const *etags, size_t n,
                              const struct store_call *call, enum err_code *results, struct err *e)
{
    struct ssm *s = impl;
    CLEANUP(free) struct batch *b = calloc(1, sizeof(*b));
    if (b == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    enum err_code last = ERR_OK;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        enum err_code code = removable(s, keys[i], &b->names[b->n], NULL);
        results[i] = code == ERR_NOT_FOUND ? ERR_OK : code;
        if (code == ERR_OK) {
            b->texts[b->n] = b->names[b->n].text;
            b->etags[b->n] = etags ? etags[i] : NULL;
            b->results[b->n++] = &results[i];
        }
        if (b->n < SSM_PAGE_MAX && !(i + 1 == n && b->n > 0))
            continue;
        last = remove_batch(s, b, call, e);
        any = any || last == ERR_OK;
        memset(b, 0, sizeof(*b));
    }
    return any ? ERR_OK : last;
}
