/* Names, twice, and the operations between the two. */
#include "disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Makes a pointer that holds a reference, or is NULL, lead elsewhere. */
static void lead_to(struct inode **from, struct inode *to)
{
    struct inode *old = *from;
    if (to)
        inode_ref(to);
    *from = to;
    inode_unref(old);
}

static void set_live(struct entry *e, struct inode *to)
{
    if (e->live)
        e->live->links--;
    if (to) {
        to->links++;
        to->parent = S_ISDIR(to->live.mode) ? e->dir : NULL;
    }
    lead_to(&e->live, to);
}

struct entry *dir_entry(struct inode *dir, const char *name, bool make)
{
    struct entry *e;
    LIST_FOREACH(e, &dir->entries, link)
        if (strcmp(e->name, name) == 0)
            return e;
    e = make ? calloc(1, sizeof(*e)) : NULL;
    if (!e)
        return NULL;
    e->name = strdup(name);
    if (!e->name) {
        free(e);
        return NULL;
    }
    e->dir = dir;
    LIST_INSERT_HEAD(&dir->entries, e, link);
    return e;
}

void dir_release(struct inode *dir)
{
    struct entry *e;
    while ((e = LIST_FIRST(&dir->entries)) != NULL) {
        set_live(e, NULL);
        lead_to(&e->disk, NULL);
        LIST_REMOVE(e, link);
        free(e->name);
        free(e);
    }
}

bool dir_is_empty(const struct inode *dir)
{
    const struct entry *e;
    LIST_FOREACH(e, &dir->entries, link)
        if (e->live)
            return false;
    return true;
}

int names_change(struct disk *d, struct entry *a, struct inode *a_to, struct entry *b, struct inode *b_to, struct inode *emptied)
{
    struct change *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->names[0].entry = a;
    c->names[1].entry = b;
    lead_to(&c->names[0].to, a_to);
    lead_to(&c->names[1].to, b_to);
    lead_to(&c->emptied, emptied);
    for (int k = 0; k < 2 && c->names[k].entry; k++) {
        c->names[k].entry->pending++;
        inode_ref(c->names[k].entry->dir);
        set_live(c->names[k].entry, c->names[k].to);
        inode_touch(c->names[k].entry->dir);
    }
    TAILQ_INSERT_TAIL(&d->changes, c, link);
    return 0;
}

/* Frees an entry that leads nowhere any more. */
static void entry_tidy(struct entry *e)
{
    if (e->pending || e->live || e->disk)
        return;
    LIST_REMOVE(e, link);
    free(e->name);
    free(e);
}

static void change_end(struct disk *d, struct change *c)
{
    TAILQ_REMOVE(&d->changes, c, link);
    for (int k = 0; k < 2 && c->names[k].entry; k++) {
        struct entry *e = c->names[k].entry;
        struct inode *dir = e->dir;
        e->pending--;
        lead_to(&c->names[k].to, NULL);
        entry_tidy(e);
        inode_unref(dir);
    }
    lead_to(&c->emptied, NULL);
    free(c);
}

static void apply(struct disk *d, struct change *c)
{
    for (int k = 0; k < 2 && c->names[k].entry; k++)
        lead_to(&c->names[k].entry->disk, c->names[k].to);
    change_end(d, c);
}

/* ---- What is made durable */

static bool touches(const struct change *c, const struct inode *dir)
{
    return c->names[0].entry->dir == dir || (c->names[1].entry && c->names[1].entry->dir == dir);
}

/* From the last one that is wanted back: each wants the earlier ones on its names, and a removal of a directory what was done in it. */
static void close_over(struct change *last)
{
    for (struct change *c = last; c; c = TAILQ_PREV(c, changes, link)) {
        for (int k = 0; k < 2 && c->names[k].entry; k++)
            c->wanted |= c->names[k].entry->wanted;
        if (!c->wanted)
            continue;
        for (int k = 0; k < 2 && c->names[k].entry; k++)
            c->names[k].entry->wanted = true;
        struct entry *e;
        if (c->emptied)
            LIST_FOREACH(e, &c->emptied->entries, link)
                e->wanted = true;
    }
}

void names_settle(struct disk *d)
{
    close_over(TAILQ_LAST(&d->changes, changes));
    struct change *c, *next;
    TAILQ_FOREACH(c, &d->changes, link)
    {
        struct entry *e;
        for (int k = 0; k < 2 && c->names[k].entry; k++)
            c->names[k].entry->wanted = false;
        if (c->emptied)
            LIST_FOREACH(e, &c->emptied->entries, link)
                e->wanted = false;
    }
    for (c = TAILQ_FIRST(&d->changes); c; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->wanted)
            apply(d, c);
    }
}

void dir_sync(struct disk *d, struct inode *dir)
{
    struct change *c;
    TAILQ_FOREACH(c, &d->changes, link)
        c->wanted = touches(c, dir);
    names_settle(d);
    dir->disk = dir->live;
}

/* ---- The loss */

static bool is_blocked(const struct change *c)
{
    for (int k = 0; k < 2 && c->names[k].entry; k++)
        if (c->names[k].entry->wanted)
            return true;
    return c->emptied && c->emptied->blocked;
}

/* An entry that is "wanted" here is one of which an earlier change was dropped. */
void names_lose(struct disk *d, unsigned chance)
{
    struct change *c, *next;
    struct inode *i;
    struct entry *e, *after;
    TAILQ_FOREACH(c, &d->changes, link)
    {
        c->wanted = !is_blocked(c) && disk_random(d, 100) < chance;
        for (int k = 0; k < 2 && c->names[k].entry && !c->wanted; k++)
            c->names[k].entry->wanted = c->names[k].entry->dir->blocked = true;
    }
    for (c = TAILQ_FIRST(&d->changes); c; c = next) {
        next = TAILQ_NEXT(c, link);
        d->counts.names_kept += c->wanted;
        d->counts.names_lost += !c->wanted;
        if (c->wanted)
            apply(d, c);
        else
            change_end(d, c);
    }
    LIST_FOREACH(i, &d->inodes, link)
    {
        i->blocked = false;
        for (e = LIST_FIRST(&i->entries); e; e = after) {
            after = LIST_NEXT(e, link);
            e->wanted = false;
            if (e->live != e->disk)
                set_live(e, e->disk);
            entry_tidy(e);
        }
    }
}
