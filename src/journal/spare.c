#include "journal/spare.h"

#include "util/lock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PIECE  8192 /* bytes: a file of one block, and one more for the directory */
#define PIECES 64   /* as many as files that senders, all at once, have to make */
#define LEAST  (4u << 20) /* where the disk has no more room than that, others need it first */

struct spare {
    int fd;
    struct lock lock; /* LOCK_LEAF; held while blocks are taken or given, which waits for no transfer */
    unsigned n;       /* the first n pieces are set aside */
};

/* All at once where that is possible; on the next opening what was set aside still is. */
static void refill_locked(struct spare *s)
{
    struct statvfs disk;
    struct stat st;
    lock_assert_held(&s->lock);
    if (s->n == 0 && fstat(s->fd, &st) == 0)
        s->n = (unsigned)(st.st_blocks / (PIECE / 512) < PIECES ? st.st_blocks / (PIECE / 512) : PIECES);
    if (s->n == PIECES || fstatvfs(s->fd, &disk) != 0 || (uint64_t)disk.f_bavail * disk.f_frsize < LEAST)
        return;
    if (fallocate(s->fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)PIECE * PIECES) == 0)
        s->n = PIECES;
    while (s->n < PIECES && fallocate(s->fd, FALLOC_FL_KEEP_SIZE, (off_t)PIECE * s->n, PIECE) == 0)
        s->n++;
}

struct spare *spare_open(const char *path)
{
    struct spare *s = calloc(1, sizeof(*s));
    if (!s || (s->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600)) < 0) {
        free(s);
        return NULL;
    }
    lock_init(&s->lock, "spare room", LOCK_LEAF);
    spare_refill(s);
    return s;
}

void spare_free(struct spare *s)
{
    if (!s)
        return;
    close(s->fd);
    lock_release(&s->lock);
    free(s);
}

bool spare_give(struct spare *s)
{
    if (!s)
        return false;
    LOCK_SCOPE(&s->lock);
    if (s->n == 0)
        return false;
    s->n--;
    return fallocate(s->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)PIECE * s->n, PIECE) == 0;
}

void spare_refill(struct spare *s)
{
    if (!s)
        return;
    LOCK_SCOPE(&s->lock);
    refill_locked(s);
}
