#include "vfs/unfinished.h"

#include "util/log.h"
#include "util/str.h"
#include "vfs/inode.h"
#include "vfs/send.h"

#include <stdlib.h>
#include <string.h>

struct unfinished {
    LIST_ENTRY(unfinished) link;
    char *path;      /* of the record */
    char *from, *to; /* keys; with `tree` they end with '/' */
    bool tree;
    bool due;        /* an attempt will come */
    bool busy;       /* somebody works on the record */
};

void unfinished_free(struct unfinished *u)
{
    if (!u)
        return;
    free(u->path);
    free(u->from);
    free(u->to);
    free(u);
}
CLEANUP_DEFINE(struct unfinished, unfinished_free)

static bool overlap(const char *a, bool a_tree, const char *b, bool b_tree)
{
    return strcmp(a, b) == 0 || (a_tree && str_starts(b, a)) || (b_tree && str_starts(a, b));
}

static bool names(const struct unfinished *u, const char *key, bool tree)
{
    return overlap(u->from, u->tree, key, tree) || overlap(u->to, u->tree, key, tree);
}

static struct unfinished *find_locked(const struct vfs *v, const char *path)
{
    struct unfinished *u;
    LIST_FOREACH(u, &v->unfinished, link)
        if (strcmp(u->path, path) == 0)
            return u;
    return NULL;
}

/* What was put off for its sake is sent. */
static void let_go_locked(struct vfs *v, const struct unfinished *u)
{
    BUF(key, KEY_BUF_MAX);
    for (struct active *a = TAILQ_FIRST(&v->unsent), *next; a; a = next) {
        next = TAILQ_NEXT(a, link);
        buf_clear(&key);
        inode_key_locked(a->inode, &key);
        if (names(u, buf_str(&key), false))
            send_rest_locked(v, a->inode);
    }
    cond_broadcast(&v->changed);
}

static void drop_locked(struct vfs *v, struct unfinished *gone)
{
    CLEANUP(unfinished_free) struct unfinished *u = gone;
    LIST_REMOVE(u, link);
    __atomic_sub_fetch(&v->n_unfinished, 1, __ATOMIC_RELEASE);
    let_go_locked(v, u);
}

struct unfinished *unfinished_new(const char *from, const char *to, bool tree)
{
    CLEANUP(unfinished_free) struct unfinished *u = calloc(1, sizeof(*u));
    if (!u)
        return NULL;
    *u = (struct unfinished){.from = strdup(from), .to = strdup(to), .tree = tree};
    return u->from && u->to ? TAKE(u) : NULL;
}

static void insert_locked(struct vfs *v, struct unfinished *u)
{
    LIST_INSERT_HEAD(&v->unfinished, u, link);
    __atomic_add_fetch(&v->n_unfinished, 1, __ATOMIC_RELEASE);
}

const char *unfinished_put(struct vfs *v, struct unfinished *u, char *path)
{
    LOCK_SCOPE(&v->tree);
    u->path = path;
    u->busy = true;
    insert_locked(v, u);
    return path;
}

enum err_code unfinished_add(struct vfs *v, const char *path, struct err *e)
{
    bool busy;
    CLEANUP(rename_plan_free) struct rename_plan *plan = renames_read(path, &busy, e);
    if (!plan)
        return e->code;
    if (busy)
        return err_set(e, ERR_BUSY, "the rename is under way");
    CLEANUP(unfinished_free) struct unfinished *u = unfinished_new(plan->from, plan->to, plan->tree);
    if (!u || !(u->path = strdup(path)))
        return err_set(e, ERR_NOMEM, "out of memory");
    u->due = true;
    LOCK_SCOPE(&v->tree);
    struct unfinished *known = find_locked(v, path);
    if (known && known->busy)
        return err_set(e, ERR_BUSY, "the rename is being finished");
    if (known) {
        known->due = true;
        return ERR_OK;
    }
    insert_locked(v, TAKE(u));
    return ERR_OK;
}

bool unfinished_begin(struct vfs *v, const char *path)
{
    LOCK_SCOPE(&v->tree);
    struct unfinished *u = find_locked(v, path);
    if (!u || u->busy)
        return false;
    u->busy = true;
    return true;
}

void unfinished_end(struct vfs *v, const char *path, bool gone, char *now)
{
    LOCK_SCOPE(&v->tree);
    struct unfinished *u = find_locked(v, path);
    if (now) {
        free(u->path);
        u->path = now;
    }
    u->busy = u->due = false;
    if (gone)
        drop_locked(v, u);
    else
        let_go_locked(v, u);
}

void unfinished_hand_over(struct vfs *v, const char *path)
{
    LOCK_SCOPE(&v->tree);
    struct unfinished *u = find_locked(v, path);
    u->busy = false;
    u->due = true;
}

void unfinished_not_due(struct vfs *v, const char *path)
{
    LOCK_SCOPE(&v->tree);
    struct unfinished *u = find_locked(v, path);
    if (!u || !u->due)
        return;
    u->due = false;
    let_go_locked(v, u);
}

static struct unfinished *of_key_locked(const struct vfs *v, const char *key, bool tree)
{
    struct unfinished *u;
    LIST_FOREACH(u, &v->unfinished, link)
        if (names(u, key, tree))
            return u;
    return NULL;
}

/* ERR_BUSY: a call that has not returned works on it. */
static enum err_code end_record(const struct unfinished *u, const char *key, struct err *e)
{
    struct err err = ERR_INIT;
    struct rename_note *note;
    CLEANUP(rename_plan_free) struct rename_plan *plan = NULL;
    enum err_code code = renames_take(u->path, &note, &plan, &err);
    if (!code) {
        LOG_INFO("vfs", "a rename of \"%s\" to \"%s\" that was not finished stays as it is: \"%s\" is used again", u->from, u->to, key);
        rename_note_end(note);
        return ERR_OK;
    }
    /* What is gone or damaged will not be carried out. */
    return code == ERR_NOT_FOUND || code == ERR_PROTO ? ERR_OK : err_set(e, code, "\"%s\" belongs to a rename that is not finished: %s", key, err.msg);
}

static enum err_code give_locked(struct vfs *v, struct unfinished *u, const char *key, struct err *e)
{
    u->busy = true;
    lock_drop(&v->tree);
    enum err_code code = end_record(u, key, e);
    lock_take(&v->tree);
    u->busy = false;
    if (code)
        let_go_locked(v, u);
    else
        drop_locked(v, u);
    return code;
}

bool unfinished_any(const struct vfs *v)
{
    return __atomic_load_n(&v->n_unfinished, __ATOMIC_ACQUIRE) > 0;
}

enum err_code unfinished_claim(struct vfs *v, const char *key, bool tree, const struct vfs_caller *c, struct err *e)
{
    if (!unfinished_any(v))
        return ERR_OK;
    LOCK_SCOPE(&v->tree);
    for (struct unfinished *u; (u = of_key_locked(v, key, tree));) {
        enum err_code code = u->busy || u->due ? ERR_BUSY : give_locked(v, u, key, e);
        if (code == ERR_BUSY)
            code = wait_changed_locked(v, c, e);
        if (code)
            return code;
    }
    return ERR_OK;
}

enum err_code unfinished_claim_now(struct vfs *v, const char *key, struct err *e)
{
    if (!unfinished_any(v))
        return ERR_OK;
    LOCK_SCOPE(&v->tree);
    for (struct unfinished *u; (u = of_key_locked(v, key, false));) {
        bool under_way = u->busy || u->due;
        enum err_code code = under_way ? ERR_BUSY : give_locked(v, u, key, e);
        if (code == ERR_BUSY && !under_way) /* somebody outside has it: who comes again at once does so in a moment */
            (void)!wait_changed_locked(v, NULL, e);
        if (code)
            return code == ERR_BUSY ? err_set(e, ERR_CANCELED, "\"%s\" belongs to a rename that is being finished", key) : code;
    }
    return ERR_OK;
}

bool unfinished_covers_locked(const struct vfs *v, const struct inode *i)
{
    const struct unfinished *u;
    BUF(key, KEY_BUF_MAX);
    LIST_FOREACH(u, &v->unfinished, link) {
        if (!u->busy && !u->due)
            continue;
        if (!key.len)
            inode_key_locked(i, &key);
        if (names(u, buf_str(&key), false))
            return true;
    }
    return false;
}

void unfinished_release(struct vfs *v)
{
    LOCK_SCOPE(&v->tree);
    for (struct unfinished *u; (u = LIST_FIRST(&v->unfinished));)
        drop_locked(v, u);
}
