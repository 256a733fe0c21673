/*
 * A directory is renamed by copying every object below it in parallel, then deleting the sources in batches. Above
 * rename_limit objects, and where the store would lose something, it is ERR_CROSS: programs then copy by themselves. Meanwhile, and
 * after a crash, both trees together hold everything; the next mount goes on by its record (journal/renames.h).
 */
#include "store/walk.h"
#include "util/clock.h"
#include "util/str.h"
#include "vfs/dirs.h"
#include "vfs/inode.h"
#include "vfs/names.h"
#include "vfs/ranges.h"
#include "vfs/move.h"
#include "vfs/remember.h"
#include "vfs/rename.h"
#include "vfs/resume.h"
#include "vfs/send.h"

#include <string.h>

#define PARALLEL 32
#define BATCH 1000

struct item {
    struct vfs *v;
    const struct vfs_caller *caller;
    const struct rename *r;
    volatile bool *stop;
    size_t number; /* in the list */
    char *from;
    struct store_version version, copied;
    bool done;
    enum err_code code;
    struct err err;
};

struct items {
    struct item *v;
    size_t n, cap;
};

static void items_release(struct items *list)
{
    for (size_t k = 0; k < list->n; k++)
        free(list->v[k].from);
    free(list->v);
}

static enum err_code items_add(struct items *list, const struct store_entry *entry, struct err *e)
{
    if (list->n == list->cap) {
        size_t cap = list->cap ? 2 * list->cap : 256;
        struct item *grown = reallocarray(list->v, cap, sizeof(*grown));
        if (!grown)
            return err_set(e, ERR_NOMEM, "out of memory");
        list->v = grown;
        list->cap = cap;
    }
    char *key = strdup(entry->key);
    if (!key)
        return err_set(e, ERR_NOMEM, "out of memory");
    list->v[list->n] = (struct item){.number = list->n, .from = key, .version = entry->object.version};
    list->n++;
    return ERR_OK;
}

static enum err_code take(struct vfs *v, struct items *list, const struct store_entry *entry, struct err *e)
{
    enum err_code code = store_check_move(v->store, entry->key, &entry->object.version, e);
    return code ? code : items_add(list, entry, e);
}

/* The object beside the directory is shown in it, and would not go along. */
static enum err_code check_self(struct vfs *v, const struct rename *r, const struct vfs_caller *c, struct err *e)
{
    if (!vfs_has(v, STORE_SELF_NAMES))
        return ERR_OK;
    struct store_call call = call_of(c);
    struct store_object self = {0};
    struct err why = ERR_INIT;
    CLEANUP(free) char *key = str_ndup(r->from_key, strlen(r->from_key) - 1);
    enum err_code code = key ? store_stat(v->store, key, &call, &self, &why) : err_set(&why, ERR_NOMEM, "out of memory");
    store_object_release(&self);
    if (!code)
        return err_set(e, ERR_CROSS, "\"%s\" is an object too", key);
    return code == ERR_NOT_FOUND ? ERR_OK : err_copy(e, &why);
}

static enum err_code collect(struct vfs *v, const struct rename *r, const struct vfs_caller *c, struct items *list,
                             struct err *e)
{
    struct store_call call = call_of(c);
    CLEANUP(free) char *token = NULL;
    struct store_walk walk = {0};
    do {
        struct store_list l = {.prefix = r->from_key, .token = token};
        struct store_page page = {0};
        enum err_code code = store_list(v->store, &l, &call, &page, e);
        for (size_t k = 0; !code && k < page.n; k++)
            code = take(v, list, &page.entries[k], e);
        if (!code && list->n > v->cfg.rename_limit)
            code = err_set(e, ERR_CROSS, "more than rename_limit=%llu objects", (unsigned long long)v->cfg.rename_limit);
        if (!code && page.next)
            code = store_walk_on(&walk, r->from_key, page.n > 0, e);
        free(token);
        token = TAKE(page.next);
        store_page_release(&page);
        if (code)
            return code;
    } while (token);
    return ERR_OK;
}

/* Where metadata are never looked at, times are those that listings tell. */
static bool keeps_times(const struct vfs *v)
{
    return vfs_has(v, STORE_POSIX) && v->cfg.attrs != VFS_ATTRS_LIST;
}

static void copy_one(void *arg)
{
    struct item *t = arg;
    BUF(to, KEY_BUF_MAX);
    buf_add_str(&to, t->r->to_key);
    buf_add_str(&to, t->from + strlen(t->r->from_key));
    struct store_call call = call_of(t->caller);
    struct store_copy copy = {.from = t->from, .from_etag = t->version.etag, .size = t->version.size, .to = buf_str(&to),
                              .uploads = &t->v->copy_uploads};
    /* The time that was shown is that of the object copied from, which the listing told. */
    if (keeps_times(t->v))
        copy.mtime = &t->version.mtime;
    /* The target directory was found empty: only its own marker may be there, as it was then. */
    bool marker = strcmp(buf_str(&to), t->r->to_key) == 0;
    copy.cond.kind = STORE_IF_ABSENT;
    if (marker && *t->r->to_marker)
        copy.cond = (struct store_cond){.kind = STORE_IF_MATCH, .etag = t->r->to_marker};
    t->code = buf_check(&to, "key", &t->err);
    if (!t->code)
        t->code = store_check(t->v->store, buf_str(&to), marker, NULL, &t->err);
    if (!t->code)
        t->code = move_copy(t->v->store, &copy, &call, &t->copied, &t->err);
    if (!t->code && t->r->note)
        rename_note_copied(t->r->note, t->number, t->copied.etag);
    t->done = true;
    if (t->code)
        __atomic_store_n(t->stop, true, __ATOMIC_RELEASE);
}

/* Deletes the sources, or after a failure the copies that were made. What others have changed since stays. */
static enum err_code remove_all(struct vfs *v, const struct items *list, struct rename *r, bool copies,
                                const struct vfs_caller *c, struct err *e)
{
    struct store_call call = call_of(c);
    for (size_t at = 0; at < list->n;) {
        char *keys[BATCH];
        const char *etags[BATCH];
        enum err_code results[BATCH];
        size_t n = 0;
        for (; at < list->n && n < BATCH; at++) {
            const struct item *t = &list->v[at];
            if (copies && (!t->done || t->code))
                continue;
            BUF(key, KEY_BUF_MAX);
            buf_add_str(&key, copies ? r->to_key : r->from_key);
            buf_add_str(&key, t->from + strlen(r->from_key));
            keys[n] = buf_take(&key);
            etags[n] = copies ? t->copied.etag : t->version.etag;
            n += keys[n] != NULL;
        }
        enum err_code code = ERR_OK;
        if (n)
            code = store_remove_many(v->store, (const char *const *)keys, etags, n, &call, results, e);
        for (size_t k = 0; k < n; k++) {
            bool theirs = !code && results[k] == ERR_CONFLICT;
            r->removed_any |= !code && !results[k] && !copies;
            r->from_stays |= theirs && !copies;
            if (theirs)
                LOG_WARN("vfs", "\"%s\" was changed by others while \"%s\" was renamed to \"%s\": it stays", keys[k],
                         r->from_key, r->to_key);
            else if (!code && results[k])
                code = err_set(e, results[k], "\"%s\" could not be removed", keys[k]);
            free(keys[k]);
        }
        if (code)
            return code;
    }
    return ERR_OK;
}

static bool below_locked(const struct inode *i, const struct inode *dir)
{
    for (; i; i = i->parent)
        if (i == dir)
            return true;
    return false;
}

/* One that is not in the store yet. Others that are written on go to the new place later. */
static struct inode *next_new_locked(struct vfs *v, const struct inode *dir)
{
    struct active *a;
    TAILQ_FOREACH(a, &v->unsent, link)
        if (a->inode != dir && below_locked(a->inode, dir) && (a->inode->flags & INODE_NEW))
            return inode_ref_locked(a->inode);
    return NULL;
}

/* What the store does not know could not be copied there: it goes to the store first. */
enum err_code rename_settle_below(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e)
{
    for (;;) {
        lock_take(&v->tree);
        struct inode *next = next_new_locked(v, dir);
        lock_drop(&v->tree);
        if (!next)
            return ERR_OK;
        enum err_code code = send_wait(v, next, true, c, e);
        inode_unref(v, next);
        if (code)
            return code;
    }
}

/* What stands for a component of a key: as a directory, or as an object. Its name depends on what else the directory has. */
static struct inode *child_of_component_locked(const struct inode *dir, const char *component, size_t len, bool is_dir)
{
    BUF(plain, 1024);
    BUF(taken, 1024);
    BUF(beside, 1024);
    name_of_component(&plain, component, len, false);
    name_of_component(&taken, component, len, true);
    name_beside_dir(&beside, component, len);
    const char *names[] = {buf_str(&plain), buf_str(&taken), buf_str(&beside)};
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        struct inode *i = inode_child_locked(dir, names[k]);
        bool kind = i && (i->kind == INODE_NONE || (i->kind == INODE_DIR) == is_dir);
        if (kind && strlen(i->component) == len && memcmp(i->component, component, len) == 0)
            return i;
    }
    return NULL;
}

/* The inode of an object below the directory; NULL when it is not known. */
static struct inode *find_below_locked(const struct rename *r, const struct item *t)
{
    struct inode *i = r->from;
    const char *rel = t->from + strlen(r->from_key);
    while (i && *rel) {
        const char *slash = strchr(rel, '/');
        size_t len = slash ? (size_t)(slash - rel) : strlen(rel);
        i = i->dir ? child_of_component_locked(i, rel, len, slash != NULL) : NULL;
        rel += len + (slash != NULL);
    }
    /* A marker with a body is a file in its directory. */
    bool body = i && i->dir && t->version.size > 0;
    return body ? child_of_component_locked(i, "", 0, false) : i;
}

/* Same bytes, new keys: what is open or held finds its bytes there, before the old keys go. */
static void relocate_locked(struct rename *r, const struct items *list)
{
    for (size_t k = 0; k < list->n; k++) {
        const struct item *t = &list->v[k];
        struct inode *i = find_below_locked(r, t);
        BUF(key, KEY_BUF_MAX);
        buf_add_str(&key, r->to_key);
        buf_add_str(&key, t->from + strlen(r->from_key));
        if (i && i->content && content_relocate(i->content, buf_str(&key), t->copied.etag, NULL))
            i->flags |= INODE_STALE;
    }
}

/* What was copied shows the time it had: now, and after the next listing, which tells another, by what is stored with it. */
static void keep_time_locked(struct vfs *v, struct inode *i, const struct item *t, struct store_version *version)
{
    if (!keeps_times(v) || (i->meta && (i->meta->has & STORE_HAS_MTIME)))
        return;
    version->mtime = t->version.mtime;
    struct store_meta *meta = i->meta ? store_meta_copy(i->meta) : NULL;
    if (meta) {
        meta->mtime = t->version.mtime;
        meta->has |= STORE_HAS_MTIME;
        bool remembered = i->remembered;
        inode_set_meta_locked(i, meta);
        i->remembered = remembered;
        store_meta_unref(meta);
    }
    if (i->parent->dir->posix == POSIX_NO)
        i->parent->dir->posix = POSIX_UNKNOWN;
}

/* After the move: the versions that the names have now. */
static void follow_locked(struct vfs *v, struct rename *r, const struct items *list)
{
    for (size_t k = 0; k < list->n; k++) {
        const struct item *t = &list->v[k];
        struct inode *i = find_below_locked(r, t);
        if (!i || !i->etag || strcmp(i->etag, t->version.etag) != 0)
            continue;
        struct store_version version = t->copied;
        if (inode_unsent(i)) { /* written on: what is shown stays */
            version.size = i->size;
            version.mtime = i->mtime;
        } else {
            keep_time_locked(v, i, t, &version);
        }
        CLEANUP(free) char *key = inode_key_dup_locked(i);
        /* Its content may have been made after the copies. */
        bool lost = !key || (i->content && content_relocate(i->content, key, t->copied.etag, NULL));
        if (lost || inode_set_version_locked(v, i, &version, NULL, NULL))
            i->flags |= INODE_STALE;
        i->flags |= INODE_OUR_MTIME;
        inode_changed_locked(v, i);
        remember_made_locked(v, i, &t->copied);
    }
}

/* Both trees may be there in part. */
static void forget_both_locked(struct vfs *v, struct rename *r, const struct items *list)
{
    dir_unlist_locked(v, r->from_dir);
    dir_unlist_locked(v, r->to_dir);
    dir_unlist_locked(v, r->from);
    struct inode *there = inode_child_locked(r->to_dir, r->name);
    if (there)
        there->flags |= INODE_STALE;
    for (size_t k = 0; k < list->n; k++) {
        struct inode *i = find_below_locked(r, &list->v[k]);
        if (i)
            i->flags |= INODE_STALE;
    }
}

/* It is on the disk before the first copy is asked for. */
static enum err_code note_begin(struct vfs *v, struct rename *r, const struct items *list, struct err *e)
{
    if (!v->renames_dir)
        return ERR_OK;
    struct rename_plan plan = {.tree = true, .from = r->from_key, .to = r->to_key, .replaced = *r->to_marker ? r->to_marker : NULL,
                               .keep_times = keeps_times(v), .n = list->n, .when = clock_now()};
    CLEANUP(free) struct rename_item *items = plan.items = calloc(list->n, sizeof(*items));
    if (!items)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (size_t k = 0; k < list->n; k++) {
        const struct item *t = &list->v[k];
        items[k] = (struct rename_item){.key = t->from, .etag = t->version.etag, .size = t->version.size, .mtime = t->version.mtime};
    }
    return resume_note(v, r, &plan, true, e);
}

static enum err_code copy_all(struct vfs *v, struct rename *r, struct items *list, const struct vfs_caller *c, struct err *e)
{
    volatile bool stop = false;
    for (size_t k = 0; k < list->n; k++) {
        list->v[k].v = v;
        list->v[k].caller = c;
        list->v[k].r = r;
        list->v[k].stop = &stop;
    }
    pool_each(v->pool, list->v, list->n, sizeof(*list->v), PARALLEL, copy_one, &stop);
    for (size_t k = 0; k < list->n; k++)
        if (list->v[k].done && list->v[k].code)
            return err_copy(e, &list->v[k].err);
    return ERR_OK;
}

/* A request that had no answer may still be carried out. */
static bool any_unheard(const struct items *list)
{
    bool any = false;
    for (size_t k = 0; k < list->n; k++)
        any |= list->v[k].done && resume_unheard(list->v[k].code);
    return any;
}

/* Who was killed is not kept for the clearing up. */
static void take_back(struct vfs *v, struct rename *r, const struct items *list, const struct vfs_caller *c, const struct err *why)
{
    struct err ignored = ERR_INIT;
    bool killed = why->code == ERR_CANCELED;
    if (r->note)
        resume_undo(v, r, why, any_unheard(list));
    else if (killed || remove_all(v, list, r, true, c, &ignored))
        LOG_WARN("vfs", "copies below \"%s\" are left of a rename that failed: %s", r->to_key, ignored.msg);
}

/* Nothing was removed where that is refused. What had no answer may have been done, so the rest cannot be taken back. */
static void remove_failed(struct vfs *v, struct rename *r, const struct items *list, const struct vfs_caller *c, const struct err *why)
{
    if (why->code == ERR_ACCESS && !r->removed_any) {
        take_back(v, r, list, c, why);
        return;
    }
    LOG_WARN("vfs", "\"%s\" was copied to \"%s\", but not all of it could be removed: awsfs journal retry does that: %s", r->from_key,
             r->to_key, why->msg);
    if (r->note)
        rename_note_failed(r->note, why, 0);
    resume_leave(v, r);
}

static enum err_code move_objects(struct vfs *v, struct rename *r, struct items *list, const struct vfs_caller *c,
                                  struct err *e)
{
    struct err why = ERR_INIT;
    enum err_code code = note_begin(v, r, list, e);
    if (code)
        return code;
    if (copy_all(v, r, list, c, &why)) {
        take_back(v, r, list, c, &why);
        return err_copy(e, &why);
    }
    lock_take(&v->tree);
    relocate_locked(r, list);
    lock_drop(&v->tree);
    code = remove_all(v, list, r, false, c, &why);
    if (!code && r->note)
        code = store_sync(v->store, NULL, &why);
    if (code) {
        remove_failed(v, r, list, c, &why);
        return err_copy(e, &why);
    }
    rename_note_end(TAKE(r->note));
    return ERR_OK;
}

enum err_code rename_dir(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e)
{
    lock_take(&v->tree);
    bool local = r->from->flags & INODE_LOCAL;
    lock_drop(&v->tree);
    __attribute__((cleanup(items_release))) struct items list = {0};
    enum err_code code = ERR_OK;
    if (!local)
        code = check_self(v, r, c, e);
    if (!local && !code)
        code = collect(v, r, c, &list, e);
    if (!code && list.n > 0)
        code = move_objects(v, r, &list, c, e);
    LOCK_SCOPE(&v->tree);
    struct inode *old_dir = r->from_dir;
    if (code) {
        forget_both_locked(v, r, &list);
        return code;
    }
    code = rename_move_locked(v, r, e);
    if (!code)
        follow_locked(v, r, &list);
    dir_keep_locked(v, old_dir);
    return code;
}
