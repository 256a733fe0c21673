/*
 * What others left. After the index was made anew the files of the one before have no rows any more: until they are gone nothing is
 * stored. A loss of power takes back the last transactions, whose files may be there nevertheless: they are looked for once after each
 * boot, while the cache is used. And contents that a killed process was copying have no name.
 */
#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define AGAIN_MS  1000u
#define AGAIN_MAX 6 /* doublings: a minute */

/* A descriptor of its own for each walk: fdopendir() takes it. */
static DIR *walk_dir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    return d;
}

static bool remove_at(DIR *d, const char *name, struct err *e)
{
    if (unlinkat(dirfd(d), name, 0) == 0 || errno == ENOENT)
        return true;
    (void)err_sys(e, errno, "%s, which an earlier index left, cannot be removed", name);
    return false;
}

/* What the file "lock" says: when all files had rows, the power has not gone since. */
static bool mark_take(struct cache *c, int fd, struct stamp *out)
{
    struct stamp now;
    memset(out, 0, sizeof(*out));
    if (!stamp_take(c, fd, &now))
        return false;
    memcpy(out->boot, now.boot, sizeof(out->boot));
    out->dev = now.dev;
    out->ino = now.ino;
    return true;
}

bool sweep_mark_is_there(struct cache *c, int fd)
{
    struct stamp now, then;
    return mark_take(c, fd, &now) && read_full(fd, &then, sizeof(then), 0) && stamp_same(&now, &then);
}

/* Where it cannot be written all files are looked at once more by the next mount. */
static void mark(struct cache *c)
{
    struct stamp now;
    struct err e = ERR_INIT;
    CLEANUP(close) int fd = openat(c->dirfd, "lock", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && mark_take(c, fd, &now) && write_full(fd, &now, sizeof(now), 0, &e) != ERR_OK)
        LOG_WARN("cache", "%s/lock: %s", c->dir, e.msg);
}

/* A row comes before its file, and goes after it: numbers are not used twice. */
static bool part_has_row(struct db *db, const char *name, const char *epoch, bool *failed, struct err *e)
{
    char *end;
    size_t len = strlen(epoch);
    if (!str_starts(name, epoch) || name[len] != '-')
        return false;
    bool row = false;
    struct db_stmt *s = db_use(db, SQL_CONTENT);
    db_bind_int(s, 1, strtoll(name + len + 1, &end, 10));
    *failed = db_step(db, s, &row, e) != ERR_OK;
    db_reset(s);
    return (row && !*end) || *failed;
}

static bool sweep_parts(struct cache *c, const char *epoch, struct err *e)
{
    unsigned generation;
    bool failed = false;
    struct db *db = reader_take(c, &generation);
    DIR *d = db ? walk_dir(c->dirfd, "part") : NULL;
    bool good = d != NULL;
    for (struct dirent *f; good && (f = readdir(d)) != NULL;)
        if (f->d_name[0] != '.' && !part_has_row(db, f->d_name, epoch, &failed, e))
            good = remove_at(d, f->d_name, e);
    if (d)
        closedir(d);
    if (db)
        reader_give(c, db, generation);
    return good && !failed;
}

static bool is_empty(struct cache *c, const char *name)
{
    DIR *d = walk_dir(c->dirfd, name);
    bool empty = d != NULL;
    for (struct dirent *f; empty && (f = readdir(d)) != NULL;)
        empty = f->d_name[0] == '.';
    if (d)
        closedir(d);
    return empty;
}

bool sweep_needless(struct cache *c)
{
    return is_empty(c, "part") && is_empty(c, "content");
}

/* A row comes before its file: a file that has none is nobody's. */
static bool has_row(struct db *d, const char *name, bool *failed, struct err *e)
{
    uint8_t hash[CACHE_SHA512];
    bool row = false;
    if (!hex_decode(name, hash, sizeof(hash)))
        return false;
    struct db_stmt *s = db_use(d, SQL_KNOWN_HASH);
    db_bind_blob(s, 1, hash, sizeof(hash));
    *failed = db_step(d, s, &row, e) != ERR_OK;
    db_reset(s);
    return row || *failed;
}

static bool sweep_folder(struct db *db, int at, const char *name, struct err *e)
{
    bool failed = false;
    DIR *d = walk_dir(at, name);
    if (!d)
        unlinkat(at, name, 0);
    for (struct dirent *f; d && !failed && (f = readdir(d)) != NULL;)
        if (f->d_name[0] != '.' && !has_row(db, f->d_name, &failed, e))
            failed = !remove_at(d, f->d_name, e);
    if (d)
        closedir(d);
    return !failed;
}

static bool sweep_wholes(struct cache *c, struct err *e)
{
    unsigned generation;
    struct db *db = reader_take(c, &generation);
    DIR *d = db ? walk_dir(c->dirfd, "content") : NULL;
    bool good = d != NULL;
    for (struct dirent *f; good && (f = readdir(d)) != NULL;)
        if (f->d_name[0] != '.')
            good = sweep_folder(db, dirfd(d), f->d_name, e);
    if (d)
        closedir(d);
    if (db)
        reader_give(c, db, generation);
    return good;
}

static enum err_code swept_in(struct cache *c, struct job *j, struct err *e)
{
    return index_do(c, SQL_SWEPT, 0, 0, e);
}

bool sweep_is_due_locked(const struct cache *c)
{
    lock_assert_held(&c->lock);
    return c->sweep_due && clock_mono_ms() >= c->sweep_at_ms;
}

/* Later, and each time later: the disk may be full, or read-only, or somebody holds the index. */
static void sweep_again(struct cache *c)
{
    LOCK_SCOPE(&c->lock);
    c->sweep_due = true;
    c->sweep_at_ms = clock_mono_ms() + (AGAIN_MS << (c->sweeps_failed < AGAIN_MAX ? c->sweeps_failed : AGAIN_MAX));
    c->sweeps_failed++;
    cond_signal(&c->idle_work);
}

static void swept_after(struct cache *c, struct job *j, bool committed)
{
    if (!committed)
        sweep_again(c);
    lock_take(&c->lock);
    if (committed)
        c->sweeps_failed = 0;
    lock_drop(&c->lock);
    if (committed)
        mark(c);
    lock_take(&c->index_lock);
    c->swept |= committed;
    c->marked |= committed;
    lock_drop(&c->index_lock);
    free(j);
}

void sweep(struct cache *c)
{
    char epoch[17];
    struct err e = ERR_INIT;
    (void)err_set(&e, ERR_IO, "what an earlier index left in %s cannot be listed", c->dir);
    lock_take(&c->lock);
    c->sweep_due = false;
    lock_drop(&c->lock);
    lock_take(&c->index_lock);
    memcpy(epoch, c->epoch, sizeof(epoch));
    lock_drop(&c->index_lock);
    struct job *j = sweep_parts(c, epoch, &e) && sweep_wholes(c, &e) ? calloc(1, sizeof(*j)) : NULL;
    if (!j) {
        cache_trouble(c, &e);
        sweep_again(c);
        return;
    }
    *j = (struct job){.in = swept_in, .after = swept_after};
    (void)job_post(c, j);
}

/* ---- Contents without a name */

#define STRAYS 64

static enum err_code list_strays(struct cache *c, int64_t after, int64_t out[STRAYS], unsigned *n, struct err *e)
{
    struct db_stmt *s = db_use(c->db, SQL_STRAYS);
    db_bind_int(s, 1, after);
    for (*n = 0;;) {
        bool row = false;
        enum err_code code = db_step(c->db, s, &row, e);
        if (code || !row)
            return code;
        out[(*n)++] = db_int(s, 0);
    }
}

/* Who is still copying has the file open, or finds that its row is gone (admit.c) where it is about to make the file. */
static bool is_stray(struct cache *c, int64_t id)
{
    char path[PATH_LEN];
    bool missing;
    path_part(c, id, path);
    CLEANUP(close) int fd = file_open_alone(c, path, &missing);
    return fd >= 0 || missing;
}

void strays_drop(struct cache *c)
{
    struct err e = ERR_INIT;
    int64_t ids[STRAYS], after = 0;
    for (unsigned n = STRAYS; n == STRAYS; after = ids[STRAYS - 1]) {
        enum err_code code = index_begin(c, &e);
        if (code)
            return;
        code = list_strays(c, after, ids, &n, &e);
        for (unsigned i = 0; !code && i < n; i++)
            if (is_stray(c, ids[i]))
                code = content_gone(c, ids[i], &e);
        code = index_end(c, code, &e);
        if (code) {
            index_failed(c, code, &e);
            return;
        }
    }
}
