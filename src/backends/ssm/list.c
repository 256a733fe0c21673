/*
 * Listing. The service gives the whole subtree in pages of ten, in no order that it promises, and a page may be empty
 * and not the last. So a page is sorted here, and pages follow one another as they come (STORE_UNORDERED).
 *
 * The store's token is "PAGES:MARK:TOKEN": how many pages there were, a mark of one earlier token, and the service's
 * own. The mark is renewed at each power of two (Brent): a service whose tokens go round in a circle, however long,
 * meets its mark again and is refused.
 */
#include "backends/ssm/derived.h"
#include "backends/ssm/history.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/token.h"
#include "store/meta.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

/* Where the parameters that a prefix can begin are: "dir/na" -> "PATH/dir". False: no parameter can be there. */
static bool listing_path(const struct ssm *s, const char *prefix, struct ssm_name *out)
{
    const char *slash = strrchr(prefix, '/');
    if (slash == NULL) {
        memcpy(out->text, s->path, strlen(s->path) + 1);
        return true;
    }
    CLEANUP(free) char *dir = str_ndup(prefix, (size_t)(slash - prefix));
    return dir != NULL && ssm_name_for_read(s->path, dir, out, NULL) == ERR_OK && !out->selector;
}

static enum err_code make_object(struct ssm *s, const char *key, struct ssm_param *p, struct store_object *out,
                                 struct err *e)
{
    struct ssm_name name;
    enum err_code code = ssm_name_for_read(s->path, key, &name, e);
    if (code != ERR_OK)
        return code;
    struct store_version version;
    if (p->value == NULL)
        ssm_version_plain(p, &version);
    else
        ssm_version_of(s, &name, p, &version);
    return ssm_object_of(s, p, &version, &p->value, out, e);
}

/* The key of a parameter's name, to be freed. ERR_PROTO: it is not below what is listed. */
static enum err_code make_key(struct ssm *s, const struct store_list *l, const char *name, char **out, struct err *e)
{
    bool public = ssm_is_public(l->prefix);
    const char *key = ssm_key_of(public ? "" : s->path, name);
    if (key == NULL)
        return err_set(e, ERR_PROTO, "%s is not below %s", name, s->path[0] ? s->path : "/");
    *out = str_printf("%s%s", public ? "@" : "", key);
    return *out ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}

/* Turns a parameter into an entry, or into a common prefix where it is grouped. The entry's key stays NULL where it
 * does not belong. */
static enum err_code make_entry(struct ssm *s, const struct store_list *l, struct ssm_param *p, struct store_entry *out,
                                struct err *e)
{
    CLEANUP(free) char *key = NULL;
    enum err_code code = make_key(s, l, p->name, &key, e);
    if (code != ERR_OK)
        return code;
    ssm_learn_arn(s, p->arn);
    if (!str_starts(key, l->prefix))
        return ERR_OK;
    const char *slash = l->delimiter ? strchr(key + strlen(l->prefix), '/') : NULL;
    CLEANUP(free) char *own = slash ? str_ndup(key, (size_t)(slash + 1 - key)) : strdup(key);
    if (own == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    code = slash ? ERR_OK : make_object(s, key, p, &out->object, e);
    if (code != ERR_OK)
        return code;
    out->is_prefix = slash != NULL;
    out->key = TAKE(own);
    return ERR_OK;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct store_entry *)a)->key, ((const struct store_entry *)b)->key);
}

void ssm_page_order(struct store_page *p)
{
    if (p->n == 0)
        return;
    qsort(p->entries, p->n, sizeof(*p->entries), compare);
    size_t kept = 1;
    for (size_t i = 1; i < p->n; i++) {
        if (strcmp(p->entries[i].key, p->entries[kept - 1].key) == 0) {
            free(p->entries[i].key);
            store_object_release(&p->entries[i].object);
        } else {
            p->entries[kept++] = p->entries[i];
        }
    }
    p->n = kept;
}

static enum err_code fill_page(struct ssm *s, const struct store_list *l, struct ssm_page *from, struct store_page *out,
                               struct err *e)
{
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    page.entries = calloc(from->n + 1, sizeof(*page.entries));
    if (page.entries == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < from->n; i++) {
        enum err_code code = make_entry(s, l, &from->params[i], &page.entries[page.n], e);
        if (code != ERR_OK)
            return code;
        page.n += page.entries[page.n].key != NULL;
    }
    ssm_page_order(&page);
    enum err_code code = from->next ? ssm_token_make(l->token, from->next, &page.next, e) : ERR_OK;
    if (code != ERR_OK)
        return code;
    *out = page;
    page = (struct store_page){0};
    return ERR_OK;
}

enum err_code ssm_list(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out,
                       struct err *e)
{
    struct ssm *s = impl;
    struct ssm_name path;
    size_t base;
    const char *version;
    if (ssm_history_parse(l->prefix, &base, &version))
        return ssm_history_list(s, l, call, out, e);
    /* Some of what AWS provides are trees of ten thousands. Whether anything is below a name can be asked. */
    if (ssm_is_public(l->prefix) && l->max_keys == 0)
        return err_set(e, ERR_UNSUPPORTED, "%s is not listed: its names are to be known", l->prefix);
    if (!listing_path(s, l->prefix, &path)) {
        *out = (struct store_page){0};
        return ERR_OK;
    }
    const char *token = l->token ? ssm_token_raw(l->token) : NULL;
    if (l->token != NULL && token == NULL)
        return err_set(e, ERR_INVAL, "listing of '%s': not a token of this store", l->prefix);
    unsigned max = l->max_keys > 0 && l->max_keys < SSM_PAGE_MAX ? l->max_keys : SSM_PAGE_MAX;
    CLEANUP_RELEASE(ssm_page_release) struct ssm_page page = {0};
    bool question = l->max_keys > 0 && !ssm_is_public(l->prefix);
    enum err_code code = ssm_page_below(s, path.text, max, question, token, call, &page, e);
    if (code == ERR_OK && (code = fill_page(s, l, &page, out, e)) != ERR_OK)
        return err_prefix(e, code, "listing of %s: reply", path.text[0] ? path.text : "/");
    return code;
}
