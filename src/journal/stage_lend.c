/*
 * The file lent: what is sent later keeps a second name of it (or a clone, where the filesystem can), so that nothing is copied. While
 * it is lent it does not change: before something is written to it, or the overlay is merged, the stage gets a copy of its own, unless
 * the other name has gone meanwhile.
 */
#include "journal/durable.h"
#include "journal/stage_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_STEP (1u << 20)

bool stage_is_as_lent_locked(const struct stage *s, const struct stage_map *m)
{
    struct stat st;
    return s->lent && m->bytes[MAP_HELD] == m->size && fstat(s->main.fd, &st) == 0 && (uint64_t)st.st_size == m->size;
}

/* What the map calls a hole may have any bytes in the file. */
static bool clear_holes_locked(struct stage *s)
{
    for (uint64_t offset = 0, len; offset < s->frozen.size; offset += len)
        if (stage_map_at(&s->frozen, offset, &len) == MAP_HOLE && !stage_bytes_drop(&s->main, offset, len))
            return false;
    return ftruncate(s->main.fd, (off_t)s->frozen.size) == 0;
}

static bool clone_to(int from, int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool cloned = ioctl(fd, FICLONE, from) == 0;
    close(fd);
    if (!cloned)
        unlinkat(dir, name, 0);
    return cloned;
}

enum err_code stage_lend(struct stage *s, int dir, const char *name, struct err *e)
{
    STAGE_SCOPE(s);
    bool whole = s->is_frozen && s->path && s->frozen.bytes[MAP_BASE] == 0 && s->frozen.bytes[MAP_SENT] == 0;
    if (!whole || !(s->lent ? stage_is_as_lent_locked(s, &s->frozen) : clear_holes_locked(s)))
        return err_set(e, ERR_UNSUPPORTED, "this staging file cannot be lent");
    if (clone_to(s->main.fd, dir, name))
        return ERR_OK;
    if (linkat(AT_FDCWD, s->path, dir, name, 0) != 0)
        return err_sys(e, errno, "a second name of a staging file");
    s->lent = true;
    return ERR_OK;
}

/* What is held of the main file, at the same places. */
static enum err_code copy_held_locked(struct stage *s, struct stage_bytes *to, struct err *e)
{
    for (uint64_t offset = 0, len; offset < s->live.size; offset += len) {
        bool held = stage_map_at(&s->live, offset, &len) == MAP_HELD;
        for (uint64_t done = 0; held && done < len; done += COPY_STEP) {
            size_t n = len - done < COPY_STEP ? (size_t)(len - done) : COPY_STEP;
            enum err_code code = stage_bytes_copy(to, &s->main, offset + done, n, e);
            if (code)
                return code;
        }
    }
    return ERR_OK;
}

enum err_code stage_own_locked(struct stage *s, struct err *e)
{
    struct stat st;
    lock_assert_held(&s->lock);
    if (!s->lent)
        return ERR_OK;
    if (fstat(s->main.fd, &st) == 0 && st.st_nlink <= 1) {
        s->lent = false;
        return ERR_OK;
    }
    struct stage_bytes own;
    CLEANUP(free) char *path = NULL;
    enum err_code code = stage_bytes_create(&own, s->dir, &path, e);
    if (code)
        return code;
    code = copy_held_locked(s, &own, e);
    if (!code && rename(path, s->path) != 0)
        code = durable_failed(e, errno, "rename", path);
    if (code)
        unlink(path);
    else if (dup3(own.fd, s->main.fd, O_CLOEXEC) < 0) /* the same number: who sends may be reading */
        code = durable_failed(e, errno, "open", s->path);
    stage_bytes_release(&own);
    if (code)
        return err_prefix(e, code, "%s", s->dir);
    s->lent = false;
    return ERR_OK;
}
