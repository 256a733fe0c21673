/* After the index was made anew: the files of the one before have no rows any more. Until they are gone nothing is stored. */
#include "cache/cache_internal.h"
#include "util/str.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* A descriptor of its own for each walk: fdopendir() takes it. */
static DIR *walk_dir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d && fd >= 0)
        close(fd);
    return d;
}

static void sweep_parts(struct cache *c, const char *epoch)
{
    DIR *d = walk_dir(c->dirfd, "part");
    for (struct dirent *f; d && (f = readdir(d)) != NULL;)
        if (f->d_name[0] != '.' && !str_starts(f->d_name, epoch))
            unlinkat(dirfd(d), f->d_name, 0);
    if (d)
        closedir(d);
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
static bool has_row(struct db *d, const char *name, bool *failed)
{
    uint8_t hash[CACHE_SHA512];
    bool row = false;
    if (!hex_decode(name, hash, sizeof(hash)))
        return false;
    struct db_stmt *s = db_use(d, SQL_KNOWN_HASH);
    db_bind_blob(s, 1, hash, sizeof(hash));
    struct err e = ERR_INIT;
    *failed = db_step(d, s, &row, &e) != ERR_OK;
    db_reset(s);
    return row || *failed;
}

static bool sweep_folder(struct db *db, int at, const char *name)
{
    bool failed = false;
    DIR *d = walk_dir(at, name);
    if (!d)
        unlinkat(at, name, 0);
    for (struct dirent *f; d && !failed && (f = readdir(d)) != NULL;)
        if (f->d_name[0] != '.' && !has_row(db, f->d_name, &failed))
            unlinkat(dirfd(d), f->d_name, 0);
    if (d)
        closedir(d);
    return !failed;
}

static bool sweep_wholes(struct cache *c)
{
    unsigned generation;
    struct db *db = reader_take(c, &generation);
    DIR *d = db ? walk_dir(c->dirfd, "content") : NULL;
    bool good = d != NULL;
    for (struct dirent *f; good && (f = readdir(d)) != NULL;)
        if (f->d_name[0] != '.')
            good = sweep_folder(db, dirfd(d), f->d_name);
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

static void swept_after(struct cache *c, struct job *j, bool committed)
{
    lock_take(&c->lock);
    c->sweep_due = !committed;
    lock_drop(&c->lock);
    lock_take(&c->index_lock);
    c->swept |= committed;
    lock_drop(&c->index_lock);
    free(j);
}

void sweep(struct cache *c)
{
    char epoch[17];
    lock_take(&c->lock);
    c->sweep_due = false;
    lock_drop(&c->lock);
    lock_take(&c->index_lock);
    memcpy(epoch, c->epoch, sizeof(epoch));
    lock_drop(&c->index_lock);
    sweep_parts(c, epoch);
    struct job *j = sweep_wholes(c) ? calloc(1, sizeof(*j)) : NULL;
    if (!j)
        return;
    *j = (struct job){.in = swept_in, .after = swept_after};
    (void)job_post(c, j);
}
