#include "journal/stage_pool.h"

#include "util/lock.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDLE_MAX 16 /* each has a descriptor */

struct idle {
    struct stage_bytes bytes;
    char *path;
};

struct stage_pool {
    struct lock lock;
    char *dir;
    size_t n;
    struct idle idle[IDLE_MAX];
};

static void discard(struct idle *i)
{
    unlink(i->path);
    stage_bytes_release(&i->bytes);
    free(TAKE(i->path));
}

struct stage_pool *stage_pool_new(const char *dir, struct err *e)
{
    struct stage_pool *p = calloc(1, sizeof(*p));
    if (!p || !(p->dir = strdup(dir))) {
        free(p);
        (void)err_set(e, ERR_NOMEM, "no memory for staging files");
        return NULL;
    }
    lock_init(&p->lock, "stage pool", LOCK_LEAF);
    return p;
}

void stage_pool_free(struct stage_pool *p)
{
    if (!p)
        return;
    while (p->n > 0)
        discard(&p->idle[--p->n]);
    lock_release(&p->lock);
    free(p->dir);
    free(p);
}

const char *stage_pool_dir(const struct stage_pool *p)
{
    return p->dir;
}

static bool pop(struct stage_pool *p, struct idle *i)
{
    LOCK_SCOPE(&p->lock);
    if (p->n == 0)
        return false;
    *i = p->idle[--p->n];
    return true;
}

static bool push(struct stage_pool *p, const struct idle *i)
{
    LOCK_SCOPE(&p->lock);
    if (p->n == IDLE_MAX)
        return false;
    p->idle[p->n++] = *i;
    return true;
}

/* Its name leads to it and no other does. */
static bool is_ours(const struct idle *i)
{
    struct stat st, named;
    return fstat(i->bytes.fd, &st) == 0 && st.st_nlink == 1 && lstat(i->path, &named) == 0 && named.st_dev == st.st_dev &&
           named.st_ino == st.st_ino;
}

enum err_code stage_pool_take(struct stage_pool *p, struct stage_bytes *b, char **path, struct err *e)
{
    struct idle i;
    while (pop(p, &i)) {
        if (is_ours(&i)) {
            *b = i.bytes;
            *path = i.path;
            return ERR_OK;
        }
        stage_bytes_release(&i.bytes); /* somebody took its name away: what has that now is not ours */
        free(i.path);
    }
    return stage_bytes_create(b, p->dir, path, e);
}

void stage_pool_give(struct stage_pool *p, struct stage_bytes *b, char *path)
{
    struct idle i = {.bytes = *b, .path = path};
    bool emptied = ftruncate(b->fd, 0) == 0; /* before the close too: what a file is emptied of need not be written */
    stage_bytes_in_memory(b);
    if (!emptied || !push(p, &i))
        discard(&i);
}
