/*
 * Reading from the in-memory store. Synchronous gets run on the caller's thread. Asynchronous ones wait in a queue for
 * a thread of the store, which takes the first that is not held; a held one ends early when it is cancelled or too
 * late.
 */
#include "store/mem_impl.h"
#include "util/clock.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

struct mem_get {
    struct store_get g;
    char *key, *etag;
    struct mem_event ev;
    struct mem_waiter waiter;
    bool held;
    uint64_t deadline_ms;
    struct cancel_hook hook;
    struct mem_get *next;
};

static enum err_code open_version(struct mem_store *m, const struct store_get *g, struct mem_blob **blob,
                                  struct store_object *told, struct err *e)
{
    LOCK_SCOPE(&m->lock);
    const struct mem_object *o = mem_find_locked(m, g->key);
    if (o == NULL)
        return err_set(e, ERR_NOT_FOUND, "%s: not found", g->key);
    if (g->etag != NULL && strcmp(o->version.etag, g->etag) != 0)
        return err_set(e, ERR_CONFLICT, "%s is not the version %s any more", g->key, g->etag);
    if (g->offset + g->length > o->version.size || (g->whole && g->length != o->version.size))
        return err_set(e, ERR_INVAL, "%s has only %llu bytes", g->key, (unsigned long long)o->version.size);
    told->version = o->version;
    if (m->options.meta_in_get && (told->meta = mem_told_meta_locked(o, e)) == NULL)
        return ERR_NOMEM;
    *blob = mem_blob_ref(o->blob);
    return ERR_OK;
}

static enum err_code deliver(struct mem_store *m, const struct store_get *g, struct mem_event *ev,
                             const struct mem_blob *blob, struct err *e)
{
    for (uint64_t done = 0; done < g->length;) {
        if (g->call.cancel != NULL && cancel_fired(g->call.cancel))
            return err_set(e, ERR_CANCELED, "%s: interrupted", g->key);
        uint64_t n = g->length - done < m->options.chunk ? g->length - done : m->options.chunk;
        ev->offset = g->offset + done;
        enum err_code code = mem_notify(m, ev, MEM_DATA, e);
        if (code != ERR_OK)
            return code;
        if (!g->data(g->arg, blob->bytes + g->offset + done, n))
            return err_set(e, ERR_CANCELED, "%s: not wanted any more", g->key);
        done += n;
    }
    return mem_notify(m, ev, MEM_AFTER, e);
}

/* The whole get but for what comes before; calls done(). */
static void run(struct mem_store *m, const struct store_get *g, struct mem_event *ev, enum err_code code, struct err *e)
{
    CLEANUP(mem_blob_unref) struct mem_blob *blob = NULL;
    CLEANUP_RELEASE(store_object_release) struct store_object told = {0};
    if (code == ERR_OK)
        code = open_version(m, g, &blob, &told, e);
    if (code == ERR_OK)
        code = deliver(m, g, ev, blob, e);
    g->done(g->arg, code, code == ERR_OK ? &told : NULL, e);
}

static void get_free(struct mem_get *a)
{
    if (a == NULL)
        return;
    if (a->g.call.cancel != NULL)
        cancel_unref(a->g.call.cancel);
    free(a->key);
    free(a->etag);
    free(a);
}
CLEANUP_DEFINE(struct mem_get, get_free)

/* ERR_AGAIN while it must go on waiting. */
static enum err_code state_locked(const struct mem_store *m, const struct mem_get *a, struct err *e)
{
    if (m->ends || (a->g.call.cancel != NULL && cancel_fired(a->g.call.cancel)))
        return err_set(e, ERR_CANCELED, "%s: interrupted", a->key);
    if (!a->held || a->waiter.released)
        return ERR_OK;
    if (clock_mono_ms() >= a->deadline_ms)
        return err_set(e, ERR_TIMEOUT, "%s: held too long", a->key);
    return ERR_AGAIN;
}

/* Takes the first get that can go on out of the queue; waits for one. NULL at the store's end. */
static struct mem_get *next_locked(struct mem_store *m, enum err_code *code, struct err *e)
{
    for (;;) {
        uint64_t deadline = UINT64_MAX;
        for (struct mem_get **p = &m->gets; *p != NULL; p = &(*p)->next) {
            struct mem_get *a = *p;
            *code = state_locked(m, a, e);
            if (*code != ERR_AGAIN) {
                *p = a->next;
                if (*p == NULL)
                    m->gets_end = p;
                if (a->held)
                    mem_hold_leave_locked(m, &a->waiter);
                return a;
            }
            deadline = a->deadline_ms < deadline ? a->deadline_ms : deadline;
        }
        if (m->ends)
            return NULL;
        (void)cond_wait(&m->changed, &m->lock, deadline);
    }
}

static void *serve(void *arg)
{
    struct mem_store *m = arg;
    for (;;) {
        struct err e = ERR_INIT;
        enum err_code code = ERR_OK;
        lock_take(&m->lock);
        CLEANUP(get_free) struct mem_get *a = next_locked(m, &code, &e);
        lock_drop(&m->lock);
        if (a == NULL)
            return NULL;
        cancel_hook_remove(a->g.call.cancel, &a->hook);
        if (code == ERR_OK)
            code = mem_notify(m, &a->ev, MEM_BEFORE, &e);
        run(m, &a->g, &a->ev, code, &e);
    }
}

void mem_gets_end(struct mem_store *m)
{
    lock_take(&m->lock);
    m->ends = true;
    bool runs = m->thread_runs;
    cond_broadcast(&m->changed);
    lock_drop(&m->lock);
    if (runs)
        pthread_join(m->thread, NULL);
}

static struct mem_get *get_copy(const struct store_get *g)
{
    CLEANUP(get_free) struct mem_get *a = calloc(1, sizeof(*a));
    if (a == NULL || (a->key = strdup(g->key)) == NULL || (g->etag != NULL && (a->etag = strdup(g->etag)) == NULL))
        return NULL;
    a->g = *g;
    if (g->call.cancel != NULL)
        a->g.call.cancel = cancel_ref(g->call.cancel);
    a->g.key = a->key;
    a->g.etag = a->etag;
    a->waiter = (struct mem_waiter){.op = MEM_GET, .key = a->key};
    a->deadline_ms = g->call.timeout_ms > 0 ? clock_mono_ms() + g->call.timeout_ms : UINT64_MAX;
    return TAKE(a);
}

static enum err_code queue_locked(struct mem_store *m, struct mem_get *a, struct err *e)
{
    if (!m->thread_runs && pthread_create(&m->thread, NULL, serve, m) != 0)
        return err_set(e, ERR_IO, "no thread for the in-memory store");
    m->thread_runs = true;
    a->ev.nth = ++m->counts[MEM_GET];
    a->held = mem_hold_joins_locked(m, &a->waiter);
    *m->gets_end = a;
    m->gets_end = &a->next;
    cond_broadcast(&m->changed);
    return ERR_OK;
}

enum err_code mem_get_start(void *impl, const struct store_get *g, struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_GET, .key = g->key, .offset = g->offset, .size = g->length};
    lock_take(&m->lock);
    bool async = m->options.async;
    lock_drop(&m->lock);
    if (!async) {
        struct err local = ERR_INIT;
        enum err_code code = mem_enter(m, &ev, &g->call, &local);
        run(m, g, &ev, code, &local);
        return ERR_OK;
    }
    struct mem_get *a = get_copy(g);
    if (a == NULL)
        return err_set(e, ERR_NOMEM, "%s", g->key);
    a->ev = ev;
    a->ev.key = a->key;
    cancel_hook_add(a->g.call.cancel, &a->hook, mem_wake, m);
    lock_take(&m->lock);
    enum err_code code = queue_locked(m, a, e);
    lock_drop(&m->lock);
    if (code != ERR_OK) {
        cancel_hook_remove(a->g.call.cancel, &a->hook);
        get_free(a);
    }
    return code;
}
