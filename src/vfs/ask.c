/*
 * One name of a directory, asked for: by a LIST of the directory positioned just before the name, which brings the neighbours too;
 * where that page does not decide, the rest is asked in parallel. Stores that cannot begin a listing at a name are asked for the
 * object and for what is below it, in parallel.
 */
#include "vfs/ask.h"
#include "vfs/ask_first.h"

#include "store/walk.h"
#include "util/clock.h"
#include "util/str.h"
#include "vfs/found.h"
#include "vfs/inode.h"
#include "vfs/look.h"
#include "vfs/merge.h"
#include "vfs/names.h"
#include "vfs/remember.h"
#include "vfs/resolve.h"
#include "vfs/view.h"
#include "vfs/walk.h"

#include <string.h>

static bool is_self(const struct vfs *v, const char *name)
{
    return vfs_has(v, STORE_SELF_NAMES) && strcmp(name, SELF_NAME) == 0;
}

struct ask {
    struct vfs *v;
    struct inode *dir;
    const char *name, *component, *prefix, *key;
    const struct vfs_caller *caller;
    uint64_t seq, start_ms;
    enum store_form form;
    bool fixed;              /* the directory is one in which nothing can be made */
    uint32_t walk;           /* the listing goes without delimiter; 0: with one */
    bool beside;             /* a HEAD goes with the listing: what it tells decides what its directory is */
    char *from, *last;       /* of the page that was listed: NULL: nothing was; not the end */
    struct found_dir *found;
    struct first first;      /* who may be answered before all of the page has come */
};

struct question {
    const struct ask *ask;
    bool below; /* is there anything below the key? else: is there an object? */
    bool yes;
    struct store_object object;
    enum err_code code;
    struct err err;
};

static void question_below(struct question *q)
{
    struct store_call call = call_of(q->ask->caller);
    BUF(prefix, KEY_BUF_MAX);
    buf_add_str(&prefix, q->ask->key);
    buf_add_char(&prefix, '/');
    struct store_list l = {.prefix = buf_str(&prefix), .max_keys = 1};
    CLEANUP(free) char *token = NULL;
    struct store_walk walk = {0};
    do {
        l.token = token;
        struct store_page page = {0};
        q->code = store_list(q->ask->v->store, &l, &call, &page, &q->err);
        q->yes = !q->code && page.n > 0;
        if (!q->code && !q->yes && page.next)
            q->code = store_walk_on(&walk, l.prefix, false, &q->err);
        free(token);
        token = q->code ? NULL : TAKE(page.next);
        store_page_release(&page);
    } while (token && !q->yes);
}

static void question_ask(void *item)
{
    struct question *q = item;
    if (q->below) {
        question_below(q);
        return;
    }
    struct store_call call = call_of(q->ask->caller);
    q->code = store_stat(q->ask->v->store, q->ask->key, &call, &q->object, &q->err);
    q->yes = q->code == ERR_OK;
    if (q->code == ERR_NOT_FOUND)
        q->code = ERR_OK;
}

/* Reading and listing are permissions of their own: where one is refused, what the other has found is there. Where nothing was found and
 * listing is refused, a read-only mount takes the name for a directory, in which names that are known can be read; where something may
 * be made, that would be in its way, and the refusal is the answer. */
static void forgive(const struct vfs *v, struct question q[2])
{
    bool presume = !q[0].code && !q[0].yes && vfs_has(v, STORE_LIST_SUBTREE) && v->cfg.read_only;
    if (q[1].code == ERR_ACCESS && (q[0].yes || presume)) {
        q[1].code = ERR_OK;
        q[1].yes = presume;
    } else if (q[0].code == ERR_ACCESS && q[1].yes) {
        q[0].code = ERR_OK;
    }
}

/* Asks what is wanted, in parallel, and adds the answers to what was found. */
static enum err_code ask_directly(struct ask *a, bool object, bool below, struct err *e)
{
    struct question q[2] = {{.ask = a}, {.ask = a, .below = true}};
    struct question *first = object ? q : q + 1;
    size_t n = (size_t)object + (size_t)below;
    pool_each(a->v->pool, first, n, sizeof(q[0]), 2, question_ask, NULL);
    enum err_code code = ERR_OK;
    if (object && below)
        forgive(a->v, q);
    for (size_t k = 0; k < n && !code; k++)
        code = first[k].code ? err_copy(e, &first[k].err) : ERR_OK;
    if (!code && (q[0].yes || q[1].yes))
        code = found_dir_put(a->found, a->component, q[0].yes ? &q[0].object : NULL, q[1].yes, e);
    store_object_release(&q[0].object);
    return code;
}

/* Who may not list may still read: what a HEAD finds is there. That it finds nothing says nothing of a directory, so the refusal
 * of the listing stays the answer. */
static enum err_code ask_unlisted(struct ask *a, struct err *e)
{
    struct question q = {.ask = a};
    question_ask(&q);
    if (!q.yes)
        return ERR_ACCESS;
    if (e)
        *e = (struct err)ERR_INIT;
    enum err_code code = found_dir_put(a->found, a->component, &q.object, false, e);
    store_object_release(&q.object);
    return code;
}

/* The page around the name. Without delimiter it brings what is below the next names too. */
static enum err_code list_around(struct ask *a, struct store_page *page, struct err *e)
{
    struct store_call call = call_of(a->caller);
    struct store_list l = {.prefix = a->prefix, .delimiter = !a->walk, .direct = a->walk};
    if (*a->component && *a->from)
        l.start_after = a->from;
    if (a->walk)
        first_watch(&a->first, &l);
    enum err_code code = store_list(a->v->store, &l, &call, page, e);
    if (!a->walk || (code != ERR_UNSUPPORTED && code != ERR_ACCESS))
        return code;
    if (e)
        *e = (struct err)ERR_INIT;
    lock_take(&a->v->tree);
    a->dir->dir->narrow = true; /* a policy may allow listings with a delimiter only */
    if (code == ERR_UNSUPPORTED)
        walk_refuse_locked(a->v);
    lock_drop(&a->v->tree);
    a->walk = 0;
    l.delimiter = true;
    l.direct = false;
    l.wanted = NULL;
    return store_list(a->v->store, &l, &call, page, e);
}

/* The listing and, at the same time, the object itself. */
struct pair {
    struct ask *ask;
    struct store_page *page; /* NULL: this one is the object's */
    struct store_object object;
    enum err_code code;
    struct err err;
};

static void pair_ask(void *item)
{
    struct pair *p = item;
    struct store_call call = call_of(p->ask->caller);
    if (p->page) {
        p->code = list_around(p->ask, p->page, &p->err);
        return;
    }
    p->code = store_stat(p->ask->v->store, p->ask->key, &call, &p->object, &p->err);
    first_stated(&p->ask->first, p->code, &p->object);
}

/* What the HEAD fails with is left to whoever needs its answer. It goes first: its answer is short, and the listing's beginning
 * may be waiting for it. */
static enum err_code list_beside(struct ask *a, struct store_page *page, struct err *e)
{
    struct pair p[2] = {{.ask = a}, {.ask = a, .page = page}};
    const struct pair *head = &p[0], *list = &p[1];
    if (a->beside)
        pool_each(a->v->pool, p, 2, sizeof(p[0]), 2, pair_ask, NULL);
    else
        pair_ask(&p[1]);
    enum err_code code = list->code ? err_copy(e, &list->err) : ERR_OK;
    if (!code)
        code = found_dir_add_page(a->found, a->prefix, page, e);
    if (!code && a->beside && !head->code)
        code = found_dir_put(a->found, a->component, &p[0].object, false, e);
    store_object_release(&p[0].object);
    return code;
}

static enum err_code ask_positioned(struct ask *a, struct err *e)
{
    BUF(start, KEY_BUF_MAX);
    name_list_start(&start, a->prefix, a->component);
    struct store_page page = {0};
    a->from = strdup(buf_str(&start));
    enum err_code code = a->from ? list_beside(a, &page, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (code)
        free(TAKE(a->from)); /* nothing was listed */
    if (code)
        return code == ERR_ACCESS && *a->key ? ask_unlisted(a, e) : code;
    if (page.next) { /* of the entries the keys are left */
        a->last = strdup(page.n > 0 ? page.entries[page.n - 1].key : buf_str(&start));
        code = a->last ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
    }
    store_page_release(&page);
    if (code || !a->last)
        return code;
    BUF(as_dir, KEY_BUF_MAX);
    buf_add_str(&as_dir, a->key);
    buf_add_char(&as_dir, '/');
    const struct found *f = found_dir_get(a->found, a->component);
    bool object = strcmp(a->last, a->key) >= 0;
    bool below = (f && f->is_dir) || strcmp(a->last, buf_str(&as_dir)) >= 0;
    return object && below ? ERR_OK : ask_directly(a, !object && *a->key, !below, e);
}

/* A container is asked for by its name, and by nothing of what is in it: it may be empty, or this user may not look into it. */
static enum err_code ask_container(struct ask *a, struct err *e)
{
    struct store_call call = call_of(a->caller);
    struct store_object o = {0};
    BUF(key, KEY_BUF_MAX);
    buf_add_str(&key, a->key);
    buf_add_char(&key, '/');
    enum err_code code = store_stat(a->v->store, buf_str(&key), &call, &o, e);
    const struct timespec made = o.version.mtime;
    store_object_release(&o);
    if (code == ERR_NOT_FOUND)
        return ERR_OK;
    return code ? code : found_dir_put_container(a->found, a->component, &made, e);
}

/* Without positioned listings: what is known of the name says which question comes first. */
static enum err_code ask_by_kind(struct ask *a, enum inode_kind known, struct err *e)
{
    if (a->form == STORE_FORM_FIXED_DIR)
        return found_dir_put(a->found, a->component, NULL, true, e);
    if (a->form == STORE_FORM_DIR)
        return ask_directly(a, false, true, e);
    if (a->form == STORE_FORM_OBJECT || is_self(a->v, a->name))
        return ask_directly(a, true, false, e);
    if (known != INODE_FILE && known != INODE_DIR)
        return ask_directly(a, true, true, e);
    enum err_code code = ask_directly(a, known == INODE_FILE, known == INODE_DIR, e);
    if (code == ERR_ACCESS && known == INODE_DIR) { /* it was one, and there is no better word */
        if (e)
            *e = (struct err)ERR_INIT;
        return found_dir_put(a->found, a->component, NULL, true, e);
    }
    if (code || found_dir_get(a->found, a->component))
        return code;
    return ask_directly(a, known != INODE_FILE, known != INODE_DIR, e);
}

/* Fills a->found. */
static enum err_code ask_store(struct ask *a, enum inode_kind known, struct err *e)
{
    if (holds_containers(a->v, a->dir))
        return ask_container(a, e);
    return vfs_has(a->v, STORE_START_AFTER) ? ask_positioned(a, e) : ask_by_kind(a, known, e);
}

static enum err_code merge_answer_locked(struct ask *a, struct err *e)
{
    struct vfs *v = a->v;
    v->made_any |= a->form != STORE_FORM_PLAIN;
    struct merge m = {.seq = a->seq, .start_ms = a->start_ms, .prefix = a->prefix, .from = a->from,
                      .last_key = a->last, .only = a->component, .pages = a->from, .walk = a->walk};
    enum err_code code = merge_locked(v, a->dir, a->found, &m, e);
    if (code)
        return code;
    bool found = found_dir_get(a->found, a->component) || (!*a->component && found_dir_marker(a->found));
    if (a->walk) {
        struct walk_page p = {.number = a->walk, .prefix = a->prefix, .from = a->from, .last = a->last,
                              .found = a->found};
        walk_keep_locked(v, a->dir, &p);
        a->found = p.found;
    }
    if (!found)
        return merge_absent_locked(v, a->dir, a->name, a->component, &m, e);
    struct inode *i = inode_child_locked(a->dir, a->name);
    if (i && a->form != STORE_FORM_PLAIN) {
        i->flags |= INODE_VIRTUAL;
        i->fixed = true;
    }
    return ERR_OK;
}

static void ask_release(struct ask *a)
{
    first_end(&a->first);
    free(a->from);
    free(a->last);
    found_dir_free(a->found);
}

/* Whether such a key can be. An empty component stands for what is behind a second slash: its key is the directory's own. A
 * container may be one that could not be made today. */
static enum err_code check_key(const struct ask *a, struct err *e)
{
    bool check = *a->component && !holds_containers(a->v, a->dir);
    return check ? store_check(a->v->store, a->key, true, NULL, e) : ERR_OK;
}

static enum err_code ask_once(struct vfs *v, struct inode *dir, const char *name, const char *component,
                              const struct vfs_caller *c, bool *moved, struct err *e)
{
    *moved = false;
    BUF(prefix, KEY_BUF_MAX);
    BUF(key, KEY_BUF_MAX);
    CLEANUP_RELEASE(ask_release) struct ask a = {.v = v, .dir = dir, .name = name, .component = component, .caller = c};
    lock_take(&v->tree);
    inode_key_locked(dir, &prefix);
    struct inode *known = inode_child_locked(dir, name);
    enum inode_kind kind = known ? known->kind : INODE_NONE;
    a.seq = ++v->seq;
    a.form = view_form_locked(v, dir, name);
    a.fixed = dir->fixed;
    a.beside = *component && !known && look_beside_locked(v, dir);
    a.walk = *component && walk_fits_locked(v, dir) ? walk_number_locked(v) : 0;
    lock_drop(&v->tree);

    a.start_ms = clock_mono_ms();
    a.prefix = buf_str(&prefix);
    buf_add_str(&key, a.prefix);
    if (is_self(v, name) && key.len > 0)
        key.data[--key.len] = 0;
    else
        buf_add_str(&key, component);
    a.key = buf_str(&key);
    a.beside = a.beside && !remember_has(v, a.key); /* the listing may be enough, then */
    enum err_code code = check_key(&a, e);
    if (code && a.form == STORE_FORM_PLAIN && !a.fixed) /* no such key can exist */
        return code == ERR_INVAL || code == ERR_BAD_NAME ? ERR_OK : code;
    if (!(a.found = found_dir_new()))
        return err_set(e, ERR_NOMEM, "out of memory");
    found_dir_stamp(a.found, &(struct found_stamp){a.seq, a.start_ms});
    bool as_named = a.form == STORE_FORM_PLAIN && !a.fixed && strcmp(name, component) == 0;
    a.first = (struct first){.v = v, .dir = dir, .name = name, .prefix = a.prefix, .key = a.key, .caller = as_named ? c : NULL,
                             .seq = a.seq, .start_ms = a.start_ms, .beside = a.beside};
    code = ask_store(&a, kind, e);
    if (code)
        return code;
    LOCK_SCOPE(&v->tree);
    *moved = !inode_key_is_locked(dir, a.prefix);
    return *moved ? ERR_OK : merge_answer_locked(&a, e);
}

enum err_code ask_component(struct vfs *v, struct inode *dir, const char *name, const char *component,
                         const struct vfs_caller *c, struct err *e)
{
    for (int tries = 0; tries < MOVED_TRIES; tries++) {
        bool moved;
        enum err_code code = ask_once(v, dir, name, component, c, &moved, e);
        if (code || !moved)
            return code;
    }
    return err_set(e, ERR_CONFLICT, "the directory is being moved");
}
