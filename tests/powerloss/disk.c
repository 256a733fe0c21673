#include "disk.h"

#include <stdlib.h>

/* splitmix64, by Sebastiano Vigna, of 2015: any seed gives a good sequence. */
uint64_t disk_random(struct disk *d, uint64_t n)
{
    uint64_t z = (d->random += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % n;
}

struct inode *inode_new(struct disk *d, mode_t mode, uid_t uid, gid_t gid)
{
    struct inode *i = calloc(1, sizeof(*i));
    if (!i)
        return NULL;
    i->number = ++d->last_number;
    i->refs = 1;
    i->cut = UNCUT;
    i->live = (struct attributes){.mode = mode, .uid = uid, .gid = gid};
    LIST_INIT(&i->entries);
    inode_touch(i);
    i->live.atime = i->live.mtime;
    i->disk = i->live;
    LIST_INSERT_HEAD(&d->inodes, i, link);
    return i;
}

void inode_ref(struct inode *i)
{
    i->refs++;
}

void inode_unref(struct inode *i)
{
    if (!i || --i->refs > 0)
        return;
    dir_release(i);
    for (size_t k = 0; k < i->n_pages; k++) {
        if (i->pages[k].live != i->pages[k].disk)
            free(i->pages[k].live);
        free(i->pages[k].disk);
    }
    LIST_REMOVE(i, link);
    free(i->pages);
    free(i);
}

struct disk *disk_new(uint64_t seed)
{
    struct disk *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    LIST_INIT(&d->inodes);
    TAILQ_INIT(&d->changes);
    d->random = seed;
    d->root = inode_new(d, S_IFDIR | 0755, 0, 0);
    if (d->root)
        return d;
    free(d);
    return NULL;
}

void disk_forget_all(struct disk *d)
{
    LIST_HEAD(, inode) kept = LIST_HEAD_INITIALIZER(kept);
    struct inode *i;
    while ((i = LIST_FIRST(&d->inodes)) != NULL) {
        LIST_REMOVE(i, link);
        LIST_INSERT_HEAD(&kept, i, link); /* one that goes leaves whichever list it is in */
        i->number = ++d->last_number;
        i->refs -= i->lookups;
        i->lookups = 0;
        inode_ref(i);
        inode_unref(i);
    }
    while ((i = LIST_FIRST(&kept)) != NULL) {
        LIST_REMOVE(i, link);
        LIST_INSERT_HEAD(&d->inodes, i, link);
    }
}

void disk_lose(struct disk *d, enum loss loss, uint64_t seed)
{
    struct inode *i;
    d->random = seed;
    d->counts = (struct counts){0};
    unsigned chance = loss == LOSE_ALL ? 0 : loss == LOSE_NONE ? 100 : (unsigned)(5 + disk_random(d, 91));
    names_lose(d, chance);
    LIST_FOREACH(i, &d->inodes, link)
        inode_lose(d, i, chance);
}

void disk_drift(struct disk *d, struct inode *i)
{
    if (disk_random(d, 32) != 0)
        return;
    inode_drift(d, i);
    struct change *c;
    uint64_t n = disk_random(d, 16);
    TAILQ_FOREACH(c, &d->changes, link)
    {
        if (n-- > 0)
            continue;
        c->wanted = true;
        names_settle(d);
        return;
    }
}
