/*
 * The dispatcher: what every backend would otherwise check for itself. Arguments before the call, results after it, one
 * debug line and one count a call.
 */
#include "store/checks.h"
#include "store/kinds.h"
#include "store/ops.h"
#include "util/cleanup.h"
#include "util/log.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define REMOVE_MANY_MAX 1000

struct store {
    const struct store_ops *ops;
    void *impl;
    struct store_caps caps;
    struct store_changes told; /* of calls that change something; begin NULL: nobody is */
    atomic_uint_fast64_t counts[N_KINDS];
};

static const struct store_cond always = {.kind = STORE_ALWAYS};

struct store *store_new(const struct store_ops *ops, void *impl, const struct store_caps *caps, struct err *e)
{
    assert(ops->list != NULL && ops->stat != NULL && ops->get != NULL && ops->free != NULL);
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)err_set(e, ERR_NOMEM, "store %s", caps->name);
        return NULL;
    }
    s->ops = ops;
    s->impl = impl;
    s->caps = *caps;
    return s;
}

void store_free(struct store *s)
{
    if (s == NULL)
        return;
    s->ops->free(s->impl);
    free(s);
}

const struct store_caps *store_caps(const struct store *s)
{
    return &s->caps;
}

static void started(struct store *s, int kind)
{
    atomic_fetch_add_explicit(&s->counts[kind], 1, memory_order_relaxed);
}

/* One line a call; passes the code through. */
static enum err_code ended(int kind, const char *key, enum err_code code, const struct err *e)
{
    LOG_DEBUG("store", "%s %s: %s%s%s", kinds[kind], key, err_name(code), code != ERR_OK && e != NULL ? " " : "",
              code != ERR_OK && e != NULL ? e->msg : "");
    return code;
}

/* Before and after a call that changes what is under the keys: `n` of them. */
static void change_begins(struct store *s, int kind, const char *const *keys, size_t n)
{
    started(s, kind);
    for (size_t i = 0; s->told.begin != NULL && i < n; i++)
        s->told.begin(s->told.arg, keys[i]);
}

static enum err_code change_ended(struct store *s, int kind, const char *const *keys, size_t n, enum err_code code,
                                  const struct err *e)
{
    for (size_t i = 0; s->told.begin != NULL && i < n; i++)
        s->told.end(s->told.arg, keys[i]);
    return ended(kind, keys[0], code, e);
}

void store_tell_changes(struct store *s, const struct store_changes *told)
{
    s->told = *told;
}

static enum err_code unsupported(int kind, const char *key, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "%s %s: not possible in this store", kinds[kind], key);
}

static enum err_code may_change(struct store *s, int kind, const char *key, struct err *e)
{
    if (s->caps.flags & STORE_READ_ONLY)
        return err_set(e, ERR_READ_ONLY, "%s %s: read-only", kinds[kind], key);
    return store_check_key(&s->caps, key, e);
}

enum err_code store_list(struct store *s, const struct store_list *l, const struct store_call *call,
                         struct store_page *out, struct err *e)
{
    assert(l->prefix != NULL && out != NULL);
    if (l->start_after != NULL && l->token == NULL && !(s->caps.flags & STORE_START_AFTER))
        return unsupported(N_LIST, l->prefix, e);
    started(s, N_LIST);
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    enum err_code code = s->ops->list(s->impl, l, call, &page, e);
    if (code == ERR_OK)
        code = store_check_page(&s->caps, l, &page, e);
    if (code == ERR_OK) {
        *out = page;
        memset(&page, 0, sizeof(page));
    }
    return ended(N_LIST, l->prefix, code, e);
}

enum err_code store_stat(struct store *s, const char *key, const struct store_call *call, struct store_object *out,
                         struct err *e)
{
    assert(out != NULL);
    enum err_code code = store_check_key(&s->caps, key, e);
    if (code != ERR_OK)
        return code;
    started(s, N_STAT);
    CLEANUP_RELEASE(store_object_release) struct store_object object = {0};
    code = s->ops->stat(s->impl, key, call, &object, e);
    if (code == ERR_OK)
        code = store_check_version(&s->caps, key, &object.version, e);
    if (code == ERR_OK) {
        *out = object;
        memset(&object, 0, sizeof(object));
    }
    return ended(N_STAT, key, code, e);
}

enum err_code store_get(struct store *s, const struct store_get *g, struct err *e)
{
    assert(g->data != NULL && g->done != NULL);
    enum err_code code = store_check_key(&s->caps, g->key, e);
    if (code != ERR_OK)
        return code;
    if (g->length == 0 || g->offset > UINT64_MAX - g->length)
        return err_set(e, ERR_INVAL, "get %s: no such range", g->key);
    started(s, N_GET);
    LOG_DEBUG("store", "get %s %llu+%llu", g->key, (unsigned long long)g->offset, (unsigned long long)g->length);
    return s->ops->get(s->impl, g, e);
}

enum err_code store_check(struct store *s, const char *key, bool is_dir, const struct store_body *body, struct err *e)
{
    enum err_code code = store_check_key(&s->caps, key, e);
    if (code == ERR_OK && body != NULL)
        code = store_check_body(&s->caps, key, body->size, s->caps.max_object, e);
    if (code == ERR_OK && s->ops->check != NULL)
        code = s->ops->check(s->impl, key, is_dir, body, e);
    return code;
}

bool store_stays_local(struct store *s, const char *name)
{
    return s->ops->stays_local != NULL && s->ops->stays_local(s->impl, name);
}

enum err_code store_put(struct store *s, const char *key, const struct store_body *body, const struct store_meta *meta,
                        const struct store_cond *cond, const struct store_call *call, struct store_version *out,
                        struct err *e)
{
    cond = cond != NULL ? cond : &always;
    assert(cond->kind != STORE_IF_MATCH || cond->etag != NULL);
    if (s->ops->put == NULL)
        return unsupported(N_PUT, key, e);
    enum err_code code = may_change(s, N_PUT, key, e);
    if (code == ERR_OK)
        code = store_check_body(&s->caps, key, body->size, s->caps.put_max, e);
    if (code != ERR_OK)
        return code;
    change_begins(s, N_PUT, &key, 1);
    struct store_version version = {0};
    code = s->ops->put(s->impl, key, body, meta, cond, call, &version, e);
    if (code == ERR_OK)
        code = store_check_version(&s->caps, key, &version, e);
    if (code == ERR_OK && out != NULL)
        *out = version;
    return change_ended(s, N_PUT, &key, 1, code, e);
}

enum err_code store_upload_begin(struct store *s, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                                 const struct store_call *call, char upload_id[STORE_ID_SIZE], struct err *e)
{
    if (s->ops->upload_begin == NULL || !(s->caps.flags & STORE_MULTIPART))
        return unsupported(N_UPLOAD_BEGIN, key, e);
    enum err_code code = may_change(s, N_UPLOAD_BEGIN, key, e);
    if (code != ERR_OK)
        return code;
    started(s, N_UPLOAD_BEGIN);
    return ended(N_UPLOAD_BEGIN, key, s->ops->upload_begin(s->impl, key, meta, sha512, call, upload_id, e), e);
}

enum err_code store_upload_part(struct store *s, const char *key, const char *upload_id, const struct store_body *body,
                                const struct store_call *call, struct store_part *part, struct err *e)
{
    if (s->ops->upload_part == NULL || !(s->caps.flags & STORE_MULTIPART))
        return unsupported(N_UPLOAD_PART, key, e);
    enum err_code code = may_change(s, N_UPLOAD_PART, key, e);
    if (code == ERR_OK && (part->number < 1 || part->number > s->caps.max_parts))
        code = err_set(e, ERR_TOO_BIG, "%s: part %u of at most %u", key, part->number, s->caps.max_parts);
    if (code == ERR_OK && body->size > s->caps.part_max)
        code = err_set(e, ERR_TOO_BIG, "%s: a part of %llu bytes", key, (unsigned long long)body->size);
    if (code != ERR_OK)
        return code;
    started(s, N_UPLOAD_PART);
    return ended(N_UPLOAD_PART, key, s->ops->upload_part(s->impl, key, upload_id, body, call, part, e), e);
}

enum err_code store_upload_copy(struct store *s, const char *key, const char *upload_id,
                                const struct store_part_source *source, const struct store_call *call,
                                struct store_part *part, struct err *e)
{
    assert(source->etag != NULL && part->size > 0);
    if (s->ops->upload_copy == NULL || !(s->caps.flags & STORE_MULTIPART))
        return unsupported(N_UPLOAD_COPY, key, e);
    enum err_code code = may_change(s, N_UPLOAD_COPY, key, e);
    if (code == ERR_OK && (part->number < 1 || part->number > s->caps.max_parts || part->size > s->caps.part_max))
        code = err_set(e, ERR_TOO_BIG, "%s: part %u of %llu bytes", key, part->number, (unsigned long long)part->size);
    if (code != ERR_OK)
        return code;
    started(s, N_UPLOAD_COPY);
    return ended(N_UPLOAD_COPY, key, s->ops->upload_copy(s->impl, key, upload_id, source, call, part, e), e);
}

enum err_code store_upload_finish(struct store *s, const char *key, const char *upload_id,
                                  const struct store_part *parts, size_t n, const uint8_t *sha512,
                                  const struct store_cond *cond, const struct store_call *call,
                                  struct store_version *out, struct err *e)
{
    cond = cond != NULL ? cond : &always;
    assert(cond->kind != STORE_IF_MATCH || cond->etag != NULL);
    if (s->ops->upload_finish == NULL || !(s->caps.flags & STORE_MULTIPART))
        return unsupported(N_UPLOAD_FINISH, key, e);
    enum err_code code = may_change(s, N_UPLOAD_FINISH, key, e);
    if (code == ERR_OK)
        code = store_check_parts(&s->caps, key, parts, n, e);
    if (code != ERR_OK)
        return code;
    change_begins(s, N_UPLOAD_FINISH, &key, 1);
    struct store_version version = {0};
    code = s->ops->upload_finish(s->impl, key, upload_id, parts, n, sha512, cond, call, &version, e);
    if (code == ERR_OK)
        code = store_check_version(&s->caps, key, &version, e);
    if (code == ERR_OK && out != NULL)
        *out = version;
    return change_ended(s, N_UPLOAD_FINISH, &key, 1, code, e);
}

enum err_code store_upload_abort(struct store *s, const char *key, const char *upload_id, const struct store_call *call,
                                 struct err *e)
{
    if (s->ops->upload_abort == NULL || !(s->caps.flags & STORE_MULTIPART))
        return unsupported(N_UPLOAD_ABORT, key, e);
    started(s, N_UPLOAD_ABORT);
    return ended(N_UPLOAD_ABORT, key, s->ops->upload_abort(s->impl, key, upload_id, call, e), e);
}

enum err_code store_upload_list(struct store *s, const char *key, const struct store_call *call,
                                void (*fn)(void *arg, const char *upload_id, time_t begun), void *arg, struct err *e)
{
    if (s->ops->upload_list == NULL || !(s->caps.flags & STORE_MULTIPART))
        return unsupported(N_UPLOAD_LIST, key, e);
    started(s, N_UPLOAD_LIST);
    return ended(N_UPLOAD_LIST, key, s->ops->upload_list(s->impl, key, call, fn, arg, e), e);
}

static enum err_code check_copy(struct store *s, int kind, const struct store_copy *c, struct err *e)
{
    assert(c->cond.kind != STORE_IF_MATCH || c->cond.etag != NULL);
    enum err_code code = may_change(s, kind, c->to, e);
    return code == ERR_OK ? store_check_key(&s->caps, c->from, e) : code;
}

enum err_code store_copy(struct store *s, const struct store_copy *c, const struct store_call *call,
                         struct store_version *out, struct err *e)
{
    if (s->ops->copy == NULL)
        return unsupported(N_COPY, c->from, e);
    enum err_code code = check_copy(s, N_COPY, c, e);
    if (code != ERR_OK)
        return code;
    change_begins(s, N_COPY, &c->to, 1);
    struct store_version version = {0};
    code = s->ops->copy(s->impl, c, call, &version, e);
    if (code == ERR_OK)
        code = store_check_version(&s->caps, c->to, &version, e);
    if (code == ERR_OK && out != NULL)
        *out = version;
    return change_ended(s, N_COPY, &c->to, 1, code, e);
}

enum err_code store_rename(struct store *s, const struct store_copy *c, const struct store_call *call, struct err *e)
{
    if (s->ops->rename == NULL || !(s->caps.flags & STORE_RENAME))
        return unsupported(N_RENAME, c->from, e);
    enum err_code code = check_copy(s, N_RENAME, c, e);
    if (code != ERR_OK)
        return code;
    const char *const both[] = {c->to, c->from};
    change_begins(s, N_RENAME, both, 2);
    return change_ended(s, N_RENAME, both, 2, s->ops->rename(s->impl, c, call, e), e);
}

enum err_code store_remove(struct store *s, const char *key, const char *etag, const struct store_call *call,
                           struct err *e)
{
    if (s->ops->remove == NULL)
        return unsupported(N_REMOVE, key, e);
    enum err_code code = may_change(s, N_REMOVE, key, e);
    if (code != ERR_OK)
        return code;
    change_begins(s, N_REMOVE, &key, 1);
    return change_ended(s, N_REMOVE, &key, 1, s->ops->remove(s->impl, key, etag, call, e), e);
}

enum err_code store_remove_many(struct store *s, const char *const *keys, const char *const *etags, size_t n,
                                const struct store_call *call, enum err_code *results, struct err *e)
{
    if (n == 0)
        return ERR_OK;
    if (s->ops->remove_many == NULL)
        return unsupported(N_REMOVE_MANY, keys[0], e);
    if (n > REMOVE_MANY_MAX)
        return err_set(e, ERR_INVAL, "%zu keys at once, at most %d", n, REMOVE_MANY_MAX);
    bool conditions = false;
    for (size_t i = 0; i < n; i++) {
        enum err_code code = may_change(s, N_REMOVE_MANY, keys[i], e);
        if (code != ERR_OK)
            return code;
        conditions = conditions || (etags != NULL && etags[i] != NULL);
    }
    change_begins(s, N_REMOVE_MANY, keys, n);
    enum err_code code = s->ops->remove_many(s->impl, keys, conditions ? etags : NULL, n, call, results, e);
    return change_ended(s, N_REMOVE_MANY, keys, n, code, e);
}

enum err_code store_sync(struct store *s, const struct store_call *call, struct err *e)
{
    return s->ops->sync == NULL ? ERR_OK : s->ops->sync(s->impl, call, e);
}

enum err_code store_property_get(struct store *s, const char *key, const struct store_object *object, const char *name,
                                 const struct store_call *call, struct buf *out, struct err *e)
{
    if (s->ops->property_get == NULL)
        return err_set(e, ERR_NO_ATTR, "%s: no property %s", key, name);
    started(s, N_PROPERTY_GET);
    return ended(N_PROPERTY_GET, key, s->ops->property_get(s->impl, key, object, name, call, out, e), e);
}

enum err_code store_property_set(struct store *s, const char *key, const struct store_meta *meta, const char *name,
                                 const void *value, size_t len, const struct store_call *call,
                                 struct store_meta **meta_out, struct err *e)
{
    if (s->ops->property_set == NULL)
        return err_set(e, ERR_NO_ATTR, "%s: no property %s", key, name);
    enum err_code code = may_change(s, N_PROPERTY_SET, key, e);
    if (code != ERR_OK)
        return code;
    change_begins(s, N_PROPERTY_SET, &key, 1);
    struct store_meta *changed = NULL;
    code = s->ops->property_set(s->impl, key, meta, name, value, len, call, &changed, e);
    if (code == ERR_OK)
        *meta_out = changed;
    return change_ended(s, N_PROPERTY_SET, &key, 1, code, e);
}

enum err_code store_property_prepare(struct store *s, const char *key, const struct store_meta *meta, const char *name,
                                     const void *value, size_t len, struct store_meta **meta_out, struct err *e)
{
    if (s->ops->property_prepare == NULL)
        return err_set(e, ERR_UNSUPPORTED, "%s: it has to be put first", key);
    return s->ops->property_prepare(s->impl, key, meta, name, value, len, meta_out, e);
}

enum err_code store_check_move(struct store *s, const char *key, const struct store_version *version, struct err *e)
{
    if (s->ops->check_move != NULL)
        return s->ops->check_move(s->impl, key, version, e);
    return s->caps.flags & STORE_SLOW_COPY ? err_set(e, ERR_CROSS, "%s: this store cannot rename a hierarchy", key) : ERR_OK;
}

enum err_code store_watch(struct store *s, void (*changed)(void *arg, const char *key, bool listed), void *arg, struct err *e)
{
    return s->ops->watch == NULL ? ERR_OK : s->ops->watch(s->impl, changed, arg, e);
}

enum err_code store_check_meta(struct store *s, const char *key, const struct store_meta *meta, struct err *e)
{
    return s->ops->check_meta == NULL ? ERR_OK : s->ops->check_meta(s->impl, key, meta, e);
}

enum store_form store_form(struct store *s, const char *key)
{
    return s->ops->form != NULL ? s->ops->form(s->impl, key) : STORE_FORM_PLAIN;
}

enum err_code store_view(struct store *s, const char *key, const struct store_view_item *items, size_t n,
                         const struct store_call *call, struct store_object *out, struct err *e)
{
    if (s->ops->view == NULL)
        return unsupported(N_VIEW, key, e);
    enum err_code code = store_check_key(&s->caps, key, e);
    if (code != ERR_OK)
        return code;
    started(s, N_VIEW);
    CLEANUP_RELEASE(store_object_release) struct store_object object = {0};
    code = s->ops->view(s->impl, key, items, n, call, &object, e);
    if (code == ERR_OK) {
        *out = object;
        memset(&object, 0, sizeof(object));
    }
    return ended(N_VIEW, key, code, e);
}

enum err_code store_probe(struct store *s, const struct store_call *call, struct err *e)
{
    if (s->ops->probe == NULL)
        return ERR_OK;
    started(s, N_PROBE);
    return ended(N_PROBE, s->caps.name, s->ops->probe(s->impl, call, e), e);
}

enum err_code store_try(struct store *s, const struct check_limits *limits, struct check_report *out, struct err *e)
{
    if (s->ops->try == NULL)
        return unsupported(N_TRY, s->caps.name, e);
    started(s, N_TRY);
    return ended(N_TRY, s->caps.name, s->ops->try(s->impl, limits, out, e), e);
}

enum err_code store_learn(struct store *s, const struct store_call *call, struct err *e)
{
    if (s->ops->learn == NULL)
        return ERR_OK;
    if (s->caps.flags & STORE_READ_ONLY)
        return err_set(e, ERR_READ_ONLY, "%s: what the server can do is found out by writing", s->caps.name);
    return s->ops->learn(s->impl, call, e);
}

void store_each_trait(struct store *s,
                      void (*fn)(void *arg, const char *name, enum store_verdict verdict, const char *meaning), void *arg)
{
    if (s->ops->each_trait != NULL)
        s->ops->each_trait(s->impl, fn, arg);
}

void store_each_count(struct store *s, void (*fn)(void *arg, const char *kind, uint64_t count), void *arg)
{
    if (s->ops->each_count != NULL) {
        s->ops->each_count(s->impl, fn, arg);
        return;
    }
    for (int i = 0; i < N_KINDS; i++) {
        uint64_t count = atomic_load_explicit(&s->counts[i], memory_order_relaxed);
        if (count > 0)
            fn(arg, kinds[i], count);
    }
}
