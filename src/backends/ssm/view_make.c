/*
 * Views of parameters: the values that the file system has of a directory, or those that are asked for by GetParameters, ten at
 * once: of a version, of a label, and of what is sealed, which is decrypted when the view is opened.
 */
#include "backends/ssm/derived.h"
#include "backends/ssm/fetch.h"
#include "backends/ssm/impl.h"
#include "backends/ssm/view.h"
#include "store/meta.h"
#include "util/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a view is being made of. */
struct making {
    struct view view;
    struct view_item *items;
    size_t n;
    bool secret; /* a value that not everybody may read is part of it */
    bool sealed; /* a value is not told without `unseal` */
    struct timespec mtime; /* of the latest */
    struct ssm_fetched *fetched; /* NULL: the values are those that were given */
    const char *dir;             /* that the view is in */
    size_t dir_len;
};

static void making_release(struct making *m)
{
    ssm_fetched_free(m->fetched);
    free(m->items);
}

static bool later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

static void add(struct making *m, const char *name, const char *value, size_t len, const char *type,
                const struct timespec *mtime)
{
    bool list = strcmp(type, "StringList") == 0;
    m->secret |= !list && strcmp(type, "String") != 0;
    if (later(mtime, &m->mtime))
        m->mtime = *mtime;
    m->items[m->n++] = (struct view_item){.name = name, .value = value, .len = len, .list = list};
}

/* What is shown of a value may have a newline that is not of it. */
static void add_given(struct ssm *s, struct making *m, const struct store_view_item *item)
{
    size_t len = item->version.size;
    if (s->newline == SSM_NEWLINE_ADD && len > 0 && item->content[len - 1] == '\n')
        len--;
    const char *type = store_meta_prop(item->meta, "type", NULL);
    add(m, item->key, item->content, len, type ? type : "", &item->version.mtime);
}

static bool is_wanted(const struct making *m, const struct store_view_item *item)
{
    return m->view.selector != NULL || item->content == NULL;
}

static void add_fetched(struct making *m, const struct store_view_item *item, const struct ssm_param *p)
{
    struct timespec mtime = {.tv_sec = p->modified_ms / 1000, .tv_nsec = p->modified_ms % 1000 * 1000000};
    add(m, item->key, p->value, p->len, p->type, &mtime);
    m->sealed |= p->sealed;
}

/* Of a version or a label those that have it; that none has is told as its absence. Otherwise what is sealed, less what is gone
 * by now. */
static enum err_code fetch(struct ssm *s, struct making *m, const struct store_view_item *items, size_t n,
                           const struct store_call *call, struct err *e)
{
    bool decrypt = !s->seal || (call != NULL && call->unseal);
    m->fetched = ssm_fetched_new(n, VIEW_VALUES_MAX, decrypt);
    if (m->fetched == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for a view");
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        if (is_wanted(m, &items[i]))
            code = ssm_fetched_want(m->fetched, s, m->dir, m->dir_len, items[i].key, m->view.selector, e);
    if (code == ERR_OK)
        code = ssm_fetch(m->fetched, s, call, e);
    for (size_t i = 0, k = 0; code == ERR_OK && i < n; i++) {
        const struct ssm_param *p = is_wanted(m, &items[i]) ? ssm_fetched_get(m->fetched, k++) : NULL;
        if (p != NULL)
            add_fetched(m, &items[i], p);
    }
    if (code == ERR_OK && m->view.selector != NULL && m->n == 0 && n > 0)
        return err_set(e, ERR_NOT_FOUND, "none of the %zu parameters has \"%s\"", n, m->view.selector);
    return code;
}

/* What is at hand; true: the rest is to be asked for. */
static bool take_given(struct ssm *s, struct making *m, const struct store_view_item *items, size_t n, bool unseal)
{
    bool wanted = false;
    for (size_t i = 0; i < n; i++) {
        if (items[i].content != NULL) {
            add_given(s, m, &items[i]);
            continue;
        }
        wanted = true;
        if (!unseal) {
            const char *type = store_meta_prop(items[i].meta, "type", NULL);
            add(m, items[i].key, "", 0, type ? type : "", &items[i].version.mtime);
            m->sealed = true;
        }
    }
    return wanted && unseal;
}

static enum err_code make_object(const struct making *m, struct buf *bytes, struct store_object *out, struct err *e)
{
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_new();
    size_t len = bytes->len;
    CLEANUP(secret_free) char *content = len > 0 ? buf_take(bytes) : secret_alloc(1);
    if (meta == NULL || content == NULL)
        return err_set(e, ERR_NOMEM, "no memory that can be locked for a view");
    meta->mode = S_IFREG | (m->secret ? 0400 : 0444);
    meta->has = STORE_HAS_MODE;
    if (m->sealed) {
        *out = (struct store_object){.version = {.mtime = m->mtime}, .meta = TAKE(meta), .sealed = true};
        return ERR_OK;
    }
    *out = (struct store_object){.version = {.size = len, .mtime = m->mtime}, .meta = TAKE(meta), .content = TAKE(content)};
    return ERR_OK;
}

enum err_code ssm_view(void *impl, const char *key, const struct store_view_item *items, size_t n,
                       const struct store_call *call, struct store_object *out, struct err *e)
{
    struct ssm *s = impl;
    const char *slash = strrchr(key, '/');
    CLEANUP_RELEASE(making_release) struct making m = {.items = calloc(n + 1, sizeof(struct view_item)),
                                                       .dir = key,
                                                       .dir_len = slash ? (size_t)(slash + 1 - key) : 0};
    if (m.items == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for a view");
    if (!view_parse(slash ? slash + 1 : key, &m.view))
        return err_set(e, ERR_NOT_FOUND, "%s is no view", key);
    bool asks = m.view.selector != NULL || take_given(s, &m, items, n, call != NULL && call->unseal);
    enum err_code code = asks ? fetch(s, &m, items, n, call, e) : ERR_OK;
    BUF_SECRET(bytes, VIEW_MAX);
    if (code == ERR_OK && !m.sealed)
        code = view_render(&m.view, m.items, m.n, &bytes, e);
    return code == ERR_OK ? make_object(&m, &bytes, out, e) : code;
}
