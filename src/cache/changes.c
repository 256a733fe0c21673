#include "cache/changes.h"

#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TABLES   64         /* processes at once */
#define UNDERWAY UINT64_MAX /* in place of a time */
#define MAGIC    "awsfs changes 1\n"

struct header {
    char magic[16];
    uint8_t boot[16];
    uint64_t floor; /* before that, anything may have been changed */
    uint64_t unused[3];
};

#define TABLE_BYTES (sizeof(struct header) + CHANGES_SLOTS * sizeof(uint64_t))

struct changes {
    struct lock lock; /* LOCK_CACHE_CHANGES */
    int dirfd, fd;
    unsigned number;
    struct header header;
    uint64_t *when;      /* what the file has */
    uint32_t *under_way;
    uint64_t ours[CHANGES_SLOTS / 64]; /* bits */
};

/* ---- Files */

static int open_table(int dirfd, unsigned number, int flags)
{
    char name[16];
    CLEANUP(close) int folder = openat(dirfd, "changes", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0)
        return -1;
    snprintf(name, sizeof(name), "%u", number);
    return openat(folder, name, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600);
}

static bool has_name(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 0;
}

static uint64_t offset_of(unsigned slot)
{
    return sizeof(struct header) + slot * sizeof(uint64_t);
}

/* A free table, or a new one; -1. */
static int find_table(struct changes *t)
{
    if (mkdirat(t->dirfd, "changes", 0700) != 0 && errno != EEXIST)
        return -1;
    for (unsigned n = 0; n < TABLES; n++) {
        CLEANUP(close) int fd = open_table(t->dirfd, n, O_RDWR | O_CREAT);
        if (fd < 0)
            return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 || !has_name(fd))
            continue;
        t->number = n;
        int found = fd;
        fd = -1;
        return found;
    }
    errno = EBUSY;
    return -1;
}

/* What whoever had the table before has noted stays. What was under way then may have come about. */
static bool take_over(struct changes *t, int fd)
{
    struct stat st;
    struct header old;
    uint64_t now = clock_mono_ms();
    CLEANUP(free) uint64_t *when = malloc(CHANGES_SLOTS * sizeof(uint64_t));
    if (!when || fstat(fd, &st) != 0)
        return false;
    bool good = read_full(fd, &old, sizeof(old), 0) && memcmp(old.magic, MAGIC, sizeof(old.magic)) == 0;
    if (good && memcmp(old.boot, t->header.boot, sizeof(old.boot)) != 0)
        return true;
    good = good && read_full(fd, when, CHANGES_SLOTS * sizeof(uint64_t), sizeof(old));
    uint64_t floor = good ? old.floor : st.st_size > 0 ? now : 0;
    t->header.floor = floor > t->header.floor ? floor : t->header.floor;
    for (unsigned i = 0; good && i < CHANGES_SLOTS; i++) {
        uint64_t last = when[i] == UNDERWAY ? now : when[i];
        t->when[i] = last > t->when[i] ? last : t->when[i];
    }
    return true;
}

static bool write_table(struct changes *t, int fd)
{
    return ftruncate(fd, TABLE_BYTES) == 0 && (posix_fallocate(fd, 0, TABLE_BYTES), true) &&
           write_full(fd, t->when, CHANGES_SLOTS * sizeof(uint64_t), sizeof(t->header), NULL) == ERR_OK &&
           write_full(fd, &t->header, sizeof(t->header), 0, NULL) == ERR_OK;
}

/* What was under way in processes that are gone has come about, or has not. */
static void settle_others(struct changes *t)
{
    struct header h;
    uint64_t now = clock_mono_ms();
    CLEANUP(free) uint64_t *when = malloc(CHANGES_SLOTS * sizeof(uint64_t));
    for (unsigned n = 0; when && n < TABLES; n++) {
        CLEANUP(close) int fd = n == t->number ? -1 : open_table(t->dirfd, n, O_RDWR);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 || !read_full(fd, &h, sizeof(h), 0) ||
            !read_full(fd, when, CHANGES_SLOTS * sizeof(uint64_t), sizeof(h)))
            continue;
        for (unsigned i = 0; i < CHANGES_SLOTS; i++)
            if (when[i] == UNDERWAY)
                (void)!write_full(fd, &now, sizeof(now), offset_of(i), NULL);
    }
}

enum err_code changes_open(int dirfd, const uint8_t boot[16], struct changes **out, struct err *e)
{
    CLEANUP(changes_close) struct changes *t = calloc(1, sizeof(*t));
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory for the cache");
    lock_init(&t->lock, "cache changes", LOCK_CACHE_CHANGES);
    t->dirfd = dirfd;
    t->fd = -1;
    t->when = calloc(CHANGES_SLOTS, sizeof(uint64_t));
    t->under_way = calloc(CHANGES_SLOTS, sizeof(uint32_t));
    if (!t->when || !t->under_way)
        return err_set(e, ERR_NOMEM, "no memory for the cache");
    memcpy(t->header.magic, MAGIC, sizeof(t->header.magic));
    memcpy(t->header.boot, boot, sizeof(t->header.boot));
    t->fd = find_table(t);
    if (t->fd < 0)
        return err_sys(e, errno, "a table of changes");
    if (!take_over(t, t->fd) || !write_table(t, t->fd))
        return err_sys(e, errno, "the table changes/%u", t->number);
    settle_others(t);
    *out = TAKE(t);
    return ERR_OK;
}

void changes_close(struct changes *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    lock_release(&t->lock);
    free(t->when);
    free(t->under_way);
    free(t);
}

/* ---- Noting */

unsigned changes_slot(int64_t origin, const char *key, size_t len)
{
    return crc32c(crc32c(0, &origin, sizeof(origin)), key, len) % CHANGES_SLOTS;
}

static bool put_locked(struct changes *t, unsigned slot, uint64_t when)
{
    t->when[slot] = when;
    return t->fd >= 0 && write_full(t->fd, &t->when[slot], sizeof(uint64_t), offset_of(slot), NULL) == ERR_OK;
}

static bool begin_locked(struct changes *t, unsigned slot)
{
    t->ours[slot / 64] |= 1ull << (slot % 64);
    return t->under_way[slot]++ > 0 || put_locked(t, slot, UNDERWAY);
}

static bool end_locked(struct changes *t, unsigned slot)
{
    return --t->under_way[slot] > 0 || put_locked(t, slot, clock_mono_ms());
}

/* Somebody may have removed the file: then there is another one, which has all that this one had. */
static bool renew_locked(struct changes *t)
{
    if (t->fd >= 0)
        close(t->fd);
    t->fd = find_table(t);
    return t->fd >= 0 && take_over(t, t->fd) && write_table(t, t->fd);
}

/* Of all directories that the key is in, whether the file still has its name is asked once: deep keys cost few system calls. */
static bool note(struct changes *t, int64_t origin, const char *key, bool (*note_locked)(struct changes *t, unsigned slot))
{
    LOCK_SCOPE(&t->lock);
    bool good = true;
    for (size_t len = strlen(key) + 1; len-- > 0;)
        if (len == 0 || key[len - 1] == '/')
            good &= note_locked(t, changes_slot(origin, key, len));
    return (good && has_name(t->fd)) || renew_locked(t);
}

bool changes_begin(struct changes *t, int64_t origin, const char *key)
{
    return note(t, origin, key, begin_locked);
}

bool changes_end(struct changes *t, int64_t origin, const char *key)
{
    return note(t, origin, key, end_locked);
}

/* ---- Asking */

enum told { TOLD_NO, TOLD_YES, TOLD_NONE /* there is no such table */ };

static enum told ask_table(struct changes *t, unsigned number, unsigned slot, uint64_t ms)
{
    struct header h;
    uint64_t when;
    CLEANUP(close) int fd = open_table(t->dirfd, number, O_RDONLY);
    if (fd < 0)
        return errno == ENOENT ? TOLD_NONE : TOLD_YES;
    if (!read_full(fd, &h, sizeof(h), 0) || memcmp(h.magic, MAGIC, sizeof(h.magic)) != 0)
        return TOLD_YES;
    if (memcmp(h.boot, t->header.boot, sizeof(h.boot)) != 0)
        return TOLD_NO;
    return !read_full(fd, &when, sizeof(when), offset_of(slot)) || when >= ms || h.floor >= ms ? TOLD_YES : TOLD_NO;
}

bool changes_since(struct changes *t, unsigned slot, uint64_t ms)
{
    lock_take(&t->lock);
    bool yes = t->when[slot] >= ms || t->header.floor >= ms;
    unsigned own = t->number;
    lock_drop(&t->lock);
    for (unsigned n = 0, none = 0; !yes && n < TABLES && none < 2; n++) {
        enum told told = n == own ? TOLD_NO : ask_table(t, n, slot, ms);
        yes = told == TOLD_YES;
        none = told == TOLD_NONE ? none + 1 : 0;
    }
    return yes;
}

bool changes_ours(struct changes *t, unsigned slot)
{
    LOCK_SCOPE(&t->lock);
    return t->ours[slot / 64] >> (slot % 64) & 1;
}

uint64_t changes_bytes(int dirfd)
{
    uint64_t bytes = 0;
    struct stat st;
    char name[32];
    for (unsigned n = 0; n < TABLES; n++) {
        snprintf(name, sizeof(name), "changes/%u", n);
        if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            break;
        bytes += (uint64_t)st.st_blocks * 512;
    }
    return bytes;
}
