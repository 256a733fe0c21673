/*
 * A file system in memory that forgets, at a loss of power, what its users have not made durable. Pure: no FUSE, no threads.
 *
 * Everything is there twice: `live` is what programs see, `disk` is what a loss of power leaves. What fsync promises moves
 * from the one to the other; what nobody asked for may have moved as well, in any order that real file systems take.
 *
 * Files. Writes become durable page by page (4 KiB), each page or not, one of them perhaps torn at a sector of 512 bytes. The
 * size is metadata and goes by itself: a size may survive without its bytes, which are then zeros (never what another file had),
 * and bytes without the size that shows them. A truncation survives or not; where it does not, what was written behind it does
 * not either, for that went to new blocks. Punched holes go page by page, like zeros. Mode, owner and times go together.
 *   fdatasync, msync                        bytes, size, truncations
 *   O_DSYNC, RWF_DSYNC                      the same: the kernel has FUSE sync the whole file after such a write
 *   fsync, O_SYNC, RWF_SYNC                 and mode, owner, times
 *   sync_file_range, syncfs, sync, close    nothing
 *
 * Names. create, link, unlink, mkdir, rmdir, rename and exchange are operations that survive as a whole or not at all, in any
 * combination in which none survives without an earlier one on the same name, and no removal of a directory without what was
 * removed in it before. fsync of a directory makes durable what was done to its names, and what that needs. A rename between
 * two directories needs the fsync of one of them: no journal has half of it.
 *
 * Why so strict. POSIX promises nothing about a name before its directory is synced, and fsync(2) on Linux says that the sync of
 * a new file need not bring its name. ext4 and XFS happen to commit all older metadata with any fsync, in order; btrfs and f2fs
 * log the synced file alone and bring its name before older changes of other names; without delayed-allocation heuristics
 * (XFS, ext4 with noauto_da_alloc) a rename may survive before the bytes of what was renamed. What holds here holds on
 * each of them in its defaults.
 *
 * Not modelled: bytes that come back wrong (bit rot, torn sectors, misdirected writes), a disk that lies about a flush, fsync
 * that fails, ENOSPC, file systems without a journal that lose synced files with their directories' blocks, and data
 * journaling, whose states are among these. Extended attributes and symbolic links are not there at all. After each loss files have
 * other inode numbers, since what a program remembers of one within a boot must not hold in the next.
 */
#ifndef POWERLOSS_DISK_H
#define POWERLOSS_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>

#define PAGE      4096u
#define SECTOR    512u
#define SIZE_LIMIT (4ull << 30) /* of one file */
#define UNCUT     UINT64_MAX

/* The same pointer twice: durable. NULL: a hole. */
struct page {
    uint8_t *live, *disk;
};

struct attributes {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    struct timespec atime, mtime, ctime;
};

struct inode {
    LIST_ENTRY(inode) link;
    uint64_t number, refs, lookups; /* lookups: what the kernel knows of it; each is a ref */
    unsigned links;                 /* live names */
    struct attributes live, disk;
    struct page *pages;
    size_t n_pages;
    uint64_t size, disk_size;
    uint64_t cut; /* the smallest size since a truncation that is not durable */
    LIST_HEAD(, entry) entries; /* of a directory */
    struct inode *parent;
    bool blocked; /* at a loss: a change of its names was dropped */
};

/* A name in a directory. */
struct entry {
    LIST_ENTRY(entry) link;
    char *name;
    struct inode *dir, *live, *disk;
    unsigned pending; /* operations that are not durable */
    bool wanted;      /* while operations are chosen */
};

/* One operation on names: what up to two of them lead to afterwards. */
struct change {
    TAILQ_ENTRY(change) link;
    struct {
        struct entry *entry;
        struct inode *to;
    } names[2];
    struct inode *emptied; /* rmdir: survives only with all that was done in it */
    bool wanted;
};

struct counts {
    uint64_t names_lost, names_kept, pages_lost, pages_kept, pages_torn, sizes_lost, truncations_lost;
};

struct disk {
    LIST_HEAD(, inode) inodes;
    TAILQ_HEAD(changes, change) changes; /* not durable, in order */
    struct inode *root;
    uint64_t last_number, random;
    struct counts counts; /* of the last loss */
};

enum loss {
    LOSE_ALL,  /* that is not durable */
    LOSE_NONE, /* as by a kill: everything survives */
    LOSE_SOME, /* by chance */
};

struct disk *disk_new(uint64_t seed);

/* The power goes: `live` becomes what survived. Inodes that nothing leads to go, except those that the kernel still knows. A seed
 * decides what survives. */
void disk_lose(struct disk *d, enum loss loss, uint64_t seed);
/* Nobody knows any inode any more; all have new numbers. */
void disk_forget_all(struct disk *d);
/* What the system writes by itself, sometimes, to a disk that is not idle. */
void disk_drift(struct disk *d, struct inode *i);
/* 0 to n - 1. */
uint64_t disk_random(struct disk *d, uint64_t n);

struct inode *inode_new(struct disk *d, mode_t mode, uid_t uid, gid_t gid);
void inode_ref(struct inode *i);
void inode_unref(struct inode *i);
void inode_touch(struct inode *i);
/* All 0 or -errno. */
int inode_write(struct inode *i, uint64_t offset, const void *p, size_t len);
void inode_read(const struct inode *i, uint64_t offset, void *p, size_t len); /* within the size */
int inode_resize(struct inode *i, uint64_t size);
void inode_punch(struct inode *i, uint64_t offset, uint64_t len); /* zeros; the size stays */
/* The next page that has bytes (or has none) at or behind `offset`; the size where there is none. */
uint64_t inode_seek(const struct inode *i, uint64_t offset, bool data);
void inode_sync(struct inode *i, bool attributes);
void inode_sync_range(struct inode *i, uint64_t offset, uint64_t len);
uint64_t inode_held(const struct inode *i); /* pages */
/* What survives of it, by a chance of a hundred for each thing that is not durable. */
void inode_lose(struct disk *d, struct inode *i, unsigned chance);
/* Any of it may be written before somebody asks. */
void inode_drift(struct disk *d, struct inode *i);

/* The entry of a name, NULL where there was never one; with `make` there is one. */
struct entry *dir_entry(struct inode *dir, const char *name, bool make);
/* Nothing leads to it any more. */
void dir_release(struct inode *dir);
bool dir_is_empty(const struct inode *dir);
void dir_sync(struct disk *d, struct inode *dir);
/* An operation: name a leads to `a_to` now, and name b (or NULL) to `b_to`. 0 or -ENOMEM. */
int names_change(struct disk *d, struct entry *a, struct inode *a_to, struct entry *b, struct inode *b_to, struct inode *emptied);
/* Applies the operations that are wanted, in their order. */
void names_settle(struct disk *d);
/* Those that no chance keeps are forgotten, the others are applied. `chance` of a hundred. */
void names_lose(struct disk *d, unsigned chance);

#endif
