#include "vfs/walk.h"
#include "vfs/walk_verdict.h"

#include "util/clock.h"
#include "util/str.h"
#include "vfs/found.h"
#include "vfs/inode.h"
#include "vfs/merge.h"
#include "vfs/names.h"

#include <string.h>

#define WALKS     8    /* at once: of several walkers, or left by lookups */
#define NAMES_MAX 3000 /* of one directory that a page has not passed: a larger one is listed by itself */
#define SERVED    2    /* directories opened in a walk before a page is fetched ahead */

struct walk {
    uint32_t number;
    struct inode *top;       /* counted: the directory whose subtree is listed */
    char *prefix;            /* its key */
    char *from;              /* the key behind which it began; NULL: with the directory */
    char *last;              /* at which the last page ended; NULL: there was none */
    char *token;             /* for the next page; NULL: it begins behind `last` */
    struct found_dir *found; /* below `top` */
    uint64_t used_ms, last_seq;
    unsigned served;         /* directories that were opened and known by it */
    bool busy, ended;
    TAILQ_ENTRY(walk) link;
};

TAILQ_HEAD(walk_list, walk);

struct walks {
    struct walk_list oldest_first;
    unsigned n;
    uint32_t numbers;
    bool refused, ended;
    struct verdicts verdicts;
};

struct verdicts *walks_verdicts(struct walks *ws)
{
    return &ws->verdicts;
}

struct walks *walks_new(struct err *e)
{
    struct walks *ws = calloc(1, sizeof(*ws));
    if (!ws) {
        (void)err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    TAILQ_INIT(&ws->oldest_first);
    return ws;
}

static void walk_free_locked(struct vfs *v, struct walk *w)
{
    found_dir_free(w->found);
    inode_unref_locked(v, w->top);
    free(w->prefix);
    free(w->from);
    free(w->last);
    free(w->token);
    free(w);
}

static void drop_locked(struct vfs *v, struct walk *w)
{
    TAILQ_REMOVE(&v->walks->oldest_first, w, link);
    v->walks->n--;
    walk_free_locked(v, w);
}

void walks_end(struct vfs *v)
{
    if (!v->walks)
        return;
    LOCK_SCOPE(&v->tree);
    v->walks->ended = true;
    struct walk *next;
    for (struct walk *w = TAILQ_FIRST(&v->walks->oldest_first); w; w = next) {
        next = TAILQ_NEXT(w, link);
        if (!w->busy)
            drop_locked(v, w);
        else
            w->ended = true;
    }
}

void walks_free(struct walks *ws)
{
    free(ws);
}

static bool possible_locked(const struct vfs *v)
{
    return !v->walks->ended && !v->walks->refused && v->cfg.ttl_ms > 0 && vfs_has(v, STORE_START_AFTER) &&
           !vfs_has(v, STORE_LIST_SUBTREE) && !vfs_has(v, STORE_UNORDERED);
}

bool walk_fits_locked(const struct vfs *v, const struct inode *dir)
{
    return possible_locked(v) && !dir->dir->narrow && !holds_containers(v, dir);
}

void walk_refuse_locked(struct vfs *v)
{
    v->walks->refused = true;
}

uint32_t walk_number_locked(struct vfs *v)
{
    return ++v->walks->numbers ? v->walks->numbers : ++v->walks->numbers;
}

/* ---- Walks that are known */

static bool is_old_locked(const struct vfs *v, uint64_t since_ms)
{
    return v->cfg.ttl_ms != VFS_TTL_INF && clock_mono_ms() - since_ms > v->cfg.ttl_ms / 2;
}

/* Drops what is too old to be of use; then, where there are too many, the one least recently used. */
static void tidy_locked(struct vfs *v)
{
    struct walks *ws = v->walks;
    struct walk *next;
    for (struct walk *w = TAILQ_FIRST(&ws->oldest_first); w; w = next) {
        next = TAILQ_NEXT(w, link);
        if (!w->busy && (is_old_locked(v, w->used_ms) || ws->n > WALKS))
            drop_locked(v, w);
    }
}

static void touch_locked(struct vfs *v, struct walk *w)
{
    w->used_ms = clock_mono_ms();
    TAILQ_REMOVE(&v->walks->oldest_first, w, link);
    TAILQ_INSERT_TAIL(&v->walks->oldest_first, w, link);
}

/* Takes `found` only if it succeeds. */
static struct walk *add_locked(struct vfs *v, struct inode *top, const struct walk_page *p)
{
    struct walk *w = calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    *w = (struct walk){.number = p->number, .top = inode_ref_locked(top), .used_ms = clock_mono_ms()};
    w->prefix = strdup(p->prefix);
    w->from = p->from ? strdup(p->from) : NULL;
    w->last = p->last ? strdup(p->last) : NULL;
    w->found = p->found;
    if (!w->prefix || (p->from && !w->from) || (p->last && !w->last)) {
        w->found = NULL;
        walk_free_locked(v, w);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&v->walks->oldest_first, w, link);
    v->walks->n++;
    tidy_locked(v);
    return w;
}

/* Where the page ended is in a directory below: the next page can go on there. */
static bool ends_below(const char *prefix, const char *last)
{
    return last && str_starts(last, prefix) && strchr(last + strlen(prefix), '/');
}

static bool begins_whole(const struct walk *w)
{
    return !w->from || strcmp(w->from, w->prefix) < 0;
}

void walk_keep_locked(struct vfs *v, struct inode *dir, struct walk_page *p)
{
    lock_assert_held(&v->tree);
    /* A directory with one name on a full page: more of its names come with a delimiter. */
    if (p->last && found_dir_size(p->found) < 2)
        dir->dir->narrow = true;
    if (!possible_locked(v) || !ends_below(p->prefix, p->last))
        return;
    if (found_dir_prune(p->found, p->last + strlen(p->prefix), false) <= NAMES_MAX && add_locked(v, dir, p))
        p->found = NULL;
}

/* What the walk has of the directory of that key, which it has not passed; NULL: nothing. */
static const struct found_dir *open_in(const struct walk *w, const char *key)
{
    if (!w->last || !str_starts(key, w->prefix) || !str_starts(w->last, key) || (w->from && strcmp(w->from, key) >= 0))
        return NULL;
    const struct found_dir *d = w->found;
    const char *at = key + strlen(w->prefix);
    for (const char *slash; d && (slash = strchr(at, '/')); at = slash + 1)
        d = found_dir_sub(d, at, (size_t)(slash - at));
    return d;
}

/* Busy with pages that will come to the directory, or may. */
static bool is_ahead_of(const struct walk *w, const char *key)
{
    return w->busy && str_starts(key, w->prefix) && (!w->last || strcmp(key, w->last) >= 0 || str_starts(w->last, key));
}

/* Leaves everything of the walk that is not below `top`, whose key is on the way to where it ended. */
static bool narrow_locked(struct vfs *v, struct walk *w, struct inode *top, const char *key)
{
    char *prefix = strdup(key);
    if (!prefix)
        return false;
    const char *at = key + strlen(w->prefix);
    for (const char *slash; (slash = strchr(at, '/')); at = slash + 1) {
        struct found_dir *sub = found_dir_take_sub(w->found, at, (size_t)(slash - at));
        found_dir_free(w->found);
        w->found = sub;
    }
    free(w->prefix);
    w->prefix = prefix;
    free(TAKE(w->token));
    inode_ref_locked(top);
    inode_unref_locked(v, w->top);
    w->top = top;
    return w->found != NULL;
}

static bool is_below(const struct inode *i, const struct inode *dir)
{
    for (; i; i = i->parent)
        if (i == dir)
            return true;
    return false;
}

static struct walk *begin_new_locked(struct vfs *v, struct inode *dir, struct inode *top, enum err_code *code,
                                     struct err *e)
{
    BUF(prefix, KEY_BUF_MAX);
    BUF(key, KEY_BUF_MAX);
    BUF(from, KEY_BUF_MAX);
    inode_key_locked(top, &prefix);
    inode_key_locked(dir, &key);
    name_list_start(&from, "", buf_str(&key));
    struct walk_page p = {.number = walk_number_locked(v), .prefix = buf_str(&prefix), .from = buf_str(&from)};
    *code = buf_check(&key, "key", e);
    struct walk *w = NULL;
    if (!*code && (!(p.found = found_dir_new()) || !(w = add_locked(v, top, &p)))) {
        found_dir_free(p.found);
        *code = err_set(e, ERR_NOMEM, "out of memory");
    }
    return w;
}

struct walk *walk_begin_locked(struct vfs *v, struct inode *dir, struct inode *top, enum err_code *code, struct err *e)
{
    lock_assert_held(&v->tree);
    BUF(key, KEY_BUF_MAX);
    BUF(top_key, KEY_BUF_MAX);
    inode_key_locked(dir, &key);
    inode_key_locked(top, &top_key);
    struct walk *w, *known = NULL;
    *code = ERR_OK;
    tidy_locked(v);
    TAILQ_FOREACH(w, &v->walks->oldest_first, link) {
        if (is_ahead_of(w, buf_str(&key))) {
            *code = ERR_AGAIN;
            return NULL;
        }
        const struct found_dir *d = w->busy ? NULL : open_in(w, buf_str(&key));
        if (d && !is_old_locked(v, found_dir_told(d)->start_ms))
            known = w;
    }
    w = known;
    if (w && w->top != top && is_below(top, w->top) && !narrow_locked(v, w, top, buf_str(&top_key))) {
        drop_locked(v, w);
        w = NULL;
    }
    if (!w)
        w = begin_new_locked(v, dir, top, code, e);
    if (w)
        w->busy = true;
    return w;
}

/* ---- Pages */

/* What the page said goes into the tree, and the walk on to its end. */
static enum err_code take_page_locked(struct vfs *v, struct walk *w, struct store_page *page,
                                      const struct found_stamp *told, struct err *e)
{
    if (w->ended || !inode_key_is_locked(w->top, w->prefix)) {
        w->ended = true;
        return ERR_OK;
    }
    char *last = page->next && page->n > 0 ? strdup(page->entries[page->n - 1].key) : NULL;
    bool stuck = page->next && (!last || (w->last && strcmp(last, w->last) <= 0));
    found_dir_stamp(w->found, told);
    enum err_code code = found_dir_add_page(w->found, w->prefix, page, e);
    const struct found_stamp *first = found_dir_told(w->found);
    struct merge m = {.seq = first->seq, .start_ms = first->start_ms, .prefix = w->prefix, .from = w->from,
                      .last_key = stuck ? w->last : last, .pages = true, .walk = w->number};
    m.complete = !page->next && begins_whole(w);
    if (!code && !(stuck && !w->last))
        code = merge_locked(v, w->top, w->found, &m, e);
    free(w->last);
    w->last = last;
    w->last_seq = told->seq;
    free(w->token);
    w->token = TAKE(page->next);
    w->ended = code || stuck || !ends_below(w->prefix, w->last) ||
               found_dir_prune(w->found, w->last + strlen(w->prefix), begins_whole(w)) > NAMES_MAX;
    return code;
}

static enum err_code fetch_page(struct vfs *v, struct walk *w, const struct store_call *call, struct err *e)
{
    struct found_stamp told;
    struct store_list ask = {.prefix = w->prefix, .start_after = w->last ? w->last : w->from, .token = w->token,
                             .direct = true};
    lock_take(&v->tree);
    told.seq = ++v->seq;
    lock_drop(&v->tree);
    told.start_ms = clock_mono_ms();
    struct store_page page = {0};
    enum err_code code = store_list(v->store, &ask, call, &page, e);
    lock_take(&v->tree);
    if (code)
        w->ended = true;
    else
        code = take_page_locked(v, w, &page, &told, e);
    if (code == ERR_UNSUPPORTED)
        walk_refuse_locked(v);
    w->busy = false;
    touch_locked(v, w);
    if (w->ended)
        drop_locked(v, w);
    cond_broadcast(&v->changed);
    lock_drop(&v->tree);
    store_page_release(&page);
    return code;
}

enum err_code walk_next(struct vfs *v, struct walk *w, const struct vfs_caller *c, struct err *e)
{
    const struct store_call call = call_of(c);
    return fetch_page(v, w, &call, e);
}

/* ---- Ahead of a walker */

struct ahead_task {
    struct vfs *v;
    struct walk *walk;
};

static void ahead_run(void *arg)
{
    CLEANUP(free) struct ahead_task *t = arg;
    struct vfs *v = t->v;
    const struct store_call call = {.cancel = v->ending};
    struct err err = ERR_INIT;
    if (fetch_page(v, t->walk, &call, &err))
        LOG_DEBUG("vfs", "%s", err.msg); /* whoever needs it asks again, and has the error then */
    lock_take(&v->tree);
    v->background--;
    cond_broadcast(&v->changed);
    lock_drop(&v->tree);
}

void walk_ahead_locked(struct vfs *v, const struct inode *dir)
{
    lock_assert_held(&v->tree);
    struct walk *w;
    TAILQ_FOREACH(w, &v->walks->oldest_first, link)
        if (w->number == dir->dir->listed_walk)
            break;
    if (!w || ++w->served < SERVED || w->busy || !w->last || dir->dir->listed_seq < w->last_seq || !possible_locked(v))
        return;
    struct ahead_task *t = malloc(sizeof(*t));
    if (!t)
        return;
    *t = (struct ahead_task){.v = v, .walk = w};
    if (pool_submit(v->pool, ahead_run, t, NULL)) {
        free(t);
        return;
    }
    w->busy = true;
    v->background++;
}
