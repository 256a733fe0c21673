/*
 * Views of parameters: the values that the file system has of a directory, or, of a version or a label, those that are asked
 * for by GetParameters, ten at once.
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
    struct timespec mtime; /* of the latest */
    struct ssm_fetched *fetched; /* NULL: the values are those that were given */
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

/* Those that have that version or label. That none has is told as its absence. */
static enum err_code fetch_all(struct ssm *s, const char *dir, size_t dir_len, struct making *m,
                               const struct store_view_item *items, size_t n, const struct store_call *call,
                               struct err *e)
{
    m->fetched = ssm_fetched_new(n, VIEW_VALUES_MAX);
    if (m->fetched == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for a view");
    enum err_code code = ERR_OK;
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        code = ssm_fetched_want(m->fetched, s, dir, dir_len, items[i].key, m->view.selector, e);
    if (code == ERR_OK)
        code = ssm_fetch(m->fetched, s, call, e);
    for (size_t i = 0; code == ERR_OK && i < n; i++) {
        const struct ssm_param *p = ssm_fetched_get(m->fetched, i);
        struct timespec mtime = {0};
        if (p == NULL)
            continue;
        mtime.tv_sec = p->modified_ms / 1000;
        mtime.tv_nsec = p->modified_ms % 1000 * 1000000;
        add(m, items[i].key, p->value, p->len, p->type, &mtime);
    }
    if (code == ERR_OK && m->n == 0 && n > 0)
        return err_set(e, ERR_NOT_FOUND, "none of the %zu parameters has \"%s\"", n, m->view.selector);
    return code;
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
    *out = (struct store_object){.version = {.size = len, .mtime = m->mtime}, .meta = TAKE(meta), .content = TAKE(content)};
    return ERR_OK;
}

enum err_code ssm_view(void *impl, const char *key, const struct store_view_item *items, size_t n,
                       const struct store_call *call, struct store_object *out, struct err *e)
{
    struct ssm *s = impl;
    const char *slash = strrchr(key, '/');
    CLEANUP_RELEASE(making_release) struct making m = {.items = calloc(n + 1, sizeof(struct view_item))};
    if (m.items == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for a view");
    if (!view_parse(slash ? slash + 1 : key, &m.view))
        return err_set(e, ERR_NOT_FOUND, "%s is no view", key);
    enum err_code code = ERR_OK;
    for (size_t i = 0; m.view.selector == NULL && i < n; i++)
        add_given(s, &m, &items[i]);
    if (m.view.selector != NULL)
        code = fetch_all(s, key, slash ? (size_t)(slash + 1 - key) : 0, &m, items, n, call, e);
    BUF_SECRET(bytes, VIEW_MAX);
    if (code == ERR_OK)
        code = view_render(&m.view, m.items, m.n, &bytes, e);
    return code == ERR_OK ? make_object(&m, &bytes, out, e) : code;
}
