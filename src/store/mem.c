/* The in-memory store: construction, the hook and the holds, and the operations on single objects. */
#include "store/mem.h"

#include "store/mem_impl.h"
#include "util/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mem_default_caps(struct store_caps *out)
{
    *out = (struct store_caps){
        .flags = STORE_START_AFTER | STORE_POSIX | STORE_MARKERS | STORE_MULTIPART,
        .max_object = 5ULL << 40,
        .put_max = 5ULL << 30,
        .put_target = 8ULL << 20,
        .part_min = 1024,
        .part_max = 5ULL << 30,
        .max_parts = 10000,
        .view_max = 1 << 20,
        .max_key = 1024,
        .xattr_prefix = "user.s3.",
        .name = "mem:",
    };
}

/* ---- hook and holds */

static bool hold_matches(const struct mem_hold *h, const char *key)
{
    return h->set && (h->key == NULL || strcmp(h->key, key) == 0);
}

bool mem_hold_joins_locked(struct mem_store *m, struct mem_waiter *w)
{
    lock_assert_held(&m->lock);
    if (!hold_matches(&m->holds[w->op], w->key))
        return false;
    struct mem_waiter **end = &m->waiters;
    while (*end != NULL)
        end = &(*end)->next;
    *end = w;
    cond_broadcast(&m->changed);
    return true;
}

void mem_hold_leave_locked(struct mem_store *m, struct mem_waiter *w)
{
    lock_assert_held(&m->lock);
    for (struct mem_waiter **p = &m->waiters; *p != NULL; p = &(*p)->next) {
        if (*p == w) {
            *p = w->next;
            return;
        }
    }
}

void mem_wake(void *store)
{
    struct mem_store *m = store;
    LOCK_SCOPE(&m->lock);
    cond_broadcast(&m->changed);
}

static enum err_code wait_held(struct mem_store *m, const struct mem_event *ev, const struct store_call *call,
                               struct err *e)
{
    struct cancel *cancel = call != NULL ? call->cancel : NULL;
    uint64_t deadline = call != NULL && call->timeout_ms > 0 ? clock_mono_ms() + call->timeout_ms : UINT64_MAX;
    struct mem_waiter w = {.op = ev->op, .key = ev->key};
    struct cancel_hook hook = {0};
    cancel_hook_add(cancel, &hook, mem_wake, m);
    enum err_code code = ERR_OK;
    lock_take(&m->lock);
    if (mem_hold_joins_locked(m, &w)) {
        while (code == ERR_OK && !w.released) {
            if (cancel != NULL && cancel_fired(cancel))
                code = err_set(e, ERR_CANCELED, "%s: interrupted", ev->key);
            else if (!cond_wait(&m->changed, &m->lock, deadline))
                code = w.released ? ERR_OK : err_set(e, ERR_TIMEOUT, "%s: held too long", ev->key);
        }
        mem_hold_leave_locked(m, &w);
    }
    lock_drop(&m->lock);
    cancel_hook_remove(cancel, &hook);
    return code;
}

enum err_code mem_notify(struct mem_store *m, struct mem_event *ev, enum mem_phase phase, struct err *e)
{
    lock_take(&m->lock);
    struct mem_hook hook = m->hook;
    lock_drop(&m->lock);
    ev->phase = phase;
    return hook.fn != NULL ? hook.fn(hook.arg, ev, e) : ERR_OK;
}

enum err_code mem_enter(struct mem_store *m, struct mem_event *ev, const struct store_call *call, struct err *e)
{
    lock_take(&m->lock);
    ev->nth = ++m->counts[ev->op];
    lock_drop(&m->lock);
    enum err_code code = mem_notify(m, ev, MEM_BEFORE, e);
    return code == ERR_OK ? wait_held(m, ev, call, e) : code;
}

/* ---- operations */

static enum err_code mem_stat(void *impl, const char *key, const struct store_call *call, struct store_object *out,
                              struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_STAT, .key = key};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    lock_take(&m->lock);
    const struct mem_object *o = mem_find_locked(m, key);
    code = o != NULL ? mem_tell_locked(m, o, true, out, e) : err_set(e, ERR_NOT_FOUND, "%s: not found", key);
    lock_drop(&m->lock);
    return code == ERR_OK ? mem_notify(m, &ev, MEM_AFTER, e) : code;
}

struct mem_blob *mem_read_body(const struct store_body *body, const char *key, struct err *e)
{
    CLEANUP(mem_blob_unref) struct mem_blob *blob = mem_blob_new(body->size);
    if (blob == NULL) {
        (void)err_set(e, ERR_NOMEM, "%s: %llu bytes", key, (unsigned long long)body->size);
        return NULL;
    }
    for (size_t done = 0; done < blob->size;) {
        ssize_t got = body->read(body->arg, done, blob->bytes + done, blob->size - done);
        if (got <= 0) {
            (void)err_set(e, ERR_IO, "%s: reading what is to be put", key);
            return NULL;
        }
        done += (size_t)got;
    }
    return TAKE(blob);
}

static enum err_code mem_put(void *impl, const char *key, const struct store_body *body, const struct store_meta *meta,
                             const struct store_cond *cond, const struct store_call *call, struct store_version *out,
                             struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_PUT, .key = key, .size = body->size};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    struct err local = ERR_INIT;
    CLEANUP(mem_blob_unref) struct mem_blob *blob = mem_read_body(body, key, &local);
    CLEANUP(mem_object_free)
    struct mem_object *o = blob != NULL ? mem_object_new(m, key, blob, meta, body->sha512, &local) : NULL;
    if (o == NULL)
        return err_copy(e, &local);
    lock_take(&m->lock);
    code = mem_replace_locked(m, &o, cond, out, e);
    lock_drop(&m->lock);
    return code == ERR_OK ? mem_notify(m, &ev, MEM_AFTER, e) : code;
}

static enum err_code remove_one_locked(struct mem_store *m, const char *key, const char *etag, struct err *e)
{
    const struct mem_object *o = mem_find_locked(m, key);
    if (o != NULL && etag != NULL && strcmp(o->version.etag, etag) != 0)
        return err_set(e, ERR_CONFLICT, "%s is not the version %s any more", key, etag);
    mem_delete_locked(m, key);
    return ERR_OK;
}

static enum err_code mem_remove(void *impl, const char *key, const char *etag, const struct store_call *call,
                                struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_REMOVE, .key = key};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    lock_take(&m->lock);
    code = remove_one_locked(m, key, etag, e);
    lock_drop(&m->lock);
    return code == ERR_OK ? mem_notify(m, &ev, MEM_AFTER, e) : code;
}

static enum err_code mem_remove_many(void *impl, const char *const *keys, const char *const *etags, size_t n,
                                     const struct store_call *call, enum err_code *results, struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_REMOVE_MANY, .key = keys[0], .size = n};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    lock_take(&m->lock);
    for (size_t i = 0; i < n; i++)
        results[i] = remove_one_locked(m, keys[i], etags != NULL ? etags[i] : NULL, NULL);
    lock_drop(&m->lock);
    return mem_notify(m, &ev, MEM_AFTER, e);
}

/* The copy as an object that is not in its place yet. Tags and ACL go along; the SHA-512 describes bytes that stay. */
static enum err_code make_copy_locked(struct mem_store *m, const struct store_copy *c, struct mem_object **out,
                                      struct err *e)
{
    const struct mem_object *from = mem_find_locked(m, c->from);
    if (from == NULL)
        return err_set(e, ERR_NOT_FOUND, "%s: not found", c->from);
    if (c->from_etag != NULL && strcmp(from->version.etag, c->from_etag) != 0)
        return err_set(e, ERR_CONFLICT, "%s is not the version %s any more", c->from, c->from_etag);
    const struct store_meta *meta = c->meta != NULL ? c->meta : from->meta;
    struct err local = ERR_INIT;
    CLEANUP(mem_object_free)
    struct mem_object *o = mem_object_new(m, c->to, from->blob, meta, from->has_sha512 ? from->sha512 : NULL, &local);
    if (o == NULL)
        return err_copy(e, &local);
    if (c->meta == NULL && c->mtime != NULL && !(o->meta->has & STORE_HAS_MTIME)) {
        o->meta->mtime = *c->mtime;
        o->meta->has |= STORE_HAS_MTIME;
    }
    if ((from->tags != NULL && (o->tags = strdup(from->tags)) == NULL) ||
        (from->acl != NULL && (o->acl = strdup(from->acl)) == NULL))
        return err_set(e, ERR_NOMEM, "%s", c->to);
    *out = TAKE(o);
    return ERR_OK;
}

static enum err_code copy_or_rename(struct mem_store *m, enum mem_op op, const struct store_copy *c,
                                    const struct store_call *call, struct store_version *out, struct err *e)
{
    struct mem_event ev = {.op = op, .key = c->from, .to = c->to};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    CLEANUP(mem_object_free) struct mem_object *o = NULL;
    lock_take(&m->lock);
    code = make_copy_locked(m, c, &o, e);
    if (code == ERR_OK)
        code = mem_replace_locked(m, &o, &c->cond, out, e);
    if (code == ERR_OK && op == MEM_RENAME && strcmp(c->from, c->to) != 0)
        mem_delete_locked(m, c->from);
    lock_drop(&m->lock);
    return code == ERR_OK ? mem_notify(m, &ev, MEM_AFTER, e) : code;
}

/* *told: of an upload, whose end is to be told too. */
static enum err_code begin_told(struct mem_store *m, const struct store_copy *c, const struct store_call *call, char id[STORE_ID_SIZE],
                                bool *told, struct err *e)
{
    const struct store_uploads *u = c->uploads;
    char intent[STORE_INTENT_SIZE];
    enum err_code code = u->intend != NULL ? u->intend(u->arg, c->to, intent, e) : ERR_OK;
    if (code != ERR_OK)
        return code;
    code = mem_upload_begin(m, c->to, c->meta, NULL, call, id, e);
    bool heard = code != ERR_TIMEOUT && code != ERR_NET && code != ERR_CANCELED;
    *told = code == ERR_OK;
    if (*told)
        code = u->begun(u->arg, c->to, id, e);
    if (heard && u->answered != NULL)
        u->answered(u->arg, c->to, intent);
    return code;
}

static enum err_code mem_copy(void *impl, const struct store_copy *c, const struct store_call *call,
                              struct store_version *out, struct err *e)
{
    struct mem_store *m = impl;
    if (c->uploads == NULL || c->size <= m->caps.put_target)
        return copy_or_rename(m, MEM_COPY, c, call, out, e);
    char id[STORE_ID_SIZE];
    bool told = false;
    enum err_code code = begin_told(m, c, call, id, &told, e);
    if (code == ERR_OK)
        code = copy_or_rename(m, MEM_COPY, c, call, out, e);
    if (code == ERR_OK)
        mem_upload_used(m, c->to, id);
    if (told)
        c->uploads->ended(c->uploads->arg, c->to, id, code == ERR_OK);
    return code;
}

static enum err_code mem_rename(void *impl, const struct store_copy *c, const struct store_call *call, struct err *e)
{
    struct store_version version;
    return copy_or_rename(impl, MEM_RENAME, c, call, &version, e);
}

static enum err_code mem_probe(void *impl, const struct store_call *call, struct err *e)
{
    struct mem_event ev = {.op = MEM_PROBE, .key = ""};
    return mem_enter(impl, &ev, call, e);
}

static bool mem_stays_local(void *impl, const char *name)
{
    const struct mem_store *m = impl;
    return m->options.stays_local != NULL && m->options.stays_local(name);
}

/* ---- construction */

static void mem_free(void *impl)
{
    struct mem_store *m = impl;
    mem_gets_end(m);
    for (size_t i = 0; i < m->n_objects; i++)
        mem_object_free(m->objects[i]);
    for (size_t i = 0; i < m->n_uploads; i++)
        mem_upload_free(m->uploads[i]);
    for (int i = 0; i < MEM_OPS; i++)
        free(m->holds[i].key);
    free(m->objects);
    free(m->uploads);
    cond_release(&m->changed);
    lock_release(&m->lock);
    free(m);
}

static const struct store_ops ops = {
    .list = mem_list,
    .stat = mem_stat,
    .get = mem_get_start,
    .put = mem_put,
    .stays_local = mem_stays_local,
    .upload_begin = mem_upload_begin,
    .upload_part = mem_upload_part,
    .upload_copy = mem_upload_copy,
    .upload_finish = mem_upload_finish,
    .upload_abort = mem_upload_abort,
    .upload_list = mem_upload_list,
    .copy = mem_copy,
    .rename = mem_rename,
    .remove = mem_remove,
    .remove_many = mem_remove_many,
    .property_get = mem_property_get,
    .property_set = mem_property_set,
    .form = mem_form,
    .view = mem_view,
    .probe = mem_probe,
    .free = mem_free,
};

struct store *mem_store_new(const struct mem_options *o, struct mem_store **control, struct err *e)
{
    struct mem_store *m = calloc(1, sizeof(*m));
    if (m == NULL) {
        (void)err_set(e, ERR_NOMEM, "in-memory store");
        return NULL;
    }
    lock_init(&m->lock, "mem store", LOCK_STORE);
    cond_init(&m->changed);
    mem_default_caps(&m->caps);
    m->gets_end = &m->gets;
    if (o != NULL) {
        m->options = *o;
        if (o->caps != NULL)
            m->caps = *o->caps;
    }
    m->options.page_size = m->options.page_size > 0 ? m->options.page_size : 1000;
    m->options.chunk = m->options.chunk > 0 ? m->options.chunk : 128 * 1024;
    struct store *s = store_new(&ops, m, &m->caps, e);
    if (s == NULL)
        mem_free(m);
    else if (control != NULL)
        *control = m;
    return s;
}
