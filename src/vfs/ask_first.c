#include "vfs/ask_first.h"

#include "store/meta.h"
#include "util/clock.h"
#include "vfs/inode.h"
#include "vfs/merge.h"
#include "vfs/names.h"

#include <string.h>

#define COMES_MS 2000

bool page_comes_locked(const struct inode *dir)
{
    for (const struct inode *i = dir; i; i = i->parent)
        if (i->dir->pages_coming > 0 && clock_mono_ms() - i->dir->page_coming_ms < COMES_MS)
            return true;
    return false;
}

/* The object as it is to be merged; NULL: that is for the whole page to decide. */
static const struct store_object *decided_locked(const struct first *f)
{
    const struct inode *i = inode_child_locked(f->dir, f->name);
    bool changed = f->seq < f->dir->dir->doubt_seq || !inode_key_is_locked(f->dir, f->prefix);
    if (changed || (i && i->kind == INODE_DIR))
        return NULL;
    if (!f->beside)
        return &f->by_list;
    return strcmp(f->by_stat.version.etag, f->by_list.version.etag) == 0 ? &f->by_stat : NULL;
}

/* True: the name is known now. */
static bool merge_first_locked(struct first *f)
{
    if (f->done || !f->listed || (f->beside && !f->stated))
        return false;
    f->done = true;
    const struct store_object *o = decided_locked(f);
    const struct merge m = {.seq = f->seq, .start_ms = f->start_ms, .prefix = f->prefix, .only = f->name};
    if (!o || merge_object_locked(f->v, f->dir, f->name, f->name, o, &m, NULL, NULL))
        return false;
    f->coming = true;
    f->dir->dir->pages_coming++;
    f->dir->dir->page_coming_ms = clock_mono_ms();
    return true;
}

static void keep(struct store_object *to, const struct store_object *o)
{
    to->version = o->version;
    to->meta = store_meta_ref(o->meta);
}

static void on_found(void *arg, const struct store_object *o)
{
    struct first *f = arg;
    lock_take(&f->v->tree);
    keep(&f->by_list, o);
    f->listed = true;
    bool known = merge_first_locked(f);
    lock_drop(&f->v->tree);
    if (known)
        f->caller->known(f->caller->known_arg);
}

void first_stated(struct first *f, enum err_code code, const struct store_object *o)
{
    lock_take(&f->v->tree);
    if (!code)
        keep(&f->by_stat, o);
    f->stated = true;
    bool known = merge_first_locked(f);
    lock_drop(&f->v->tree);
    if (known)
        f->caller->known(f->caller->known_arg);
}

void first_watch(struct first *f, struct store_list *l)
{
    if (!f->caller || !f->caller->known || name_may_be_taken(f->name, strlen(f->name)))
        return;
    l->wanted = f->key;
    l->found = on_found;
    l->found_arg = f;
}

void first_end(struct first *f)
{
    store_object_release(&f->by_list);
    store_object_release(&f->by_stat);
    if (!f->coming)
        return;
    LOCK_SCOPE(&f->v->tree);
    f->coming = false;
    f->dir->dir->pages_coming--;
    cond_broadcast(&f->v->changed);
}
