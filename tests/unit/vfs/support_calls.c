/* The part of support.h that makes calls on threads of their own. */
#include "support.h"

static enum err_code make(struct call *c, struct err *e)
{
    struct rig *r = c->r;
    switch (c->kind) {
    case CALL_LOOKUP:
        return vfs_lookup(r->v, VFS_ROOT, c->a, &r->who, &(struct vfs_entry){0}, e);
    case CALL_FLUSH:
        return vfs_flush(r->v, c->h, &r->who, e);
    case CALL_UNLINK:
        return vfs_unlink(r->v, VFS_ROOT, c->a, &r->who, e);
    case CALL_RMDIR:
        return vfs_rmdir(r->v, VFS_ROOT, c->a, &r->who, e);
    case CALL_RENAME:
        return vfs_rename(r->v, VFS_ROOT, c->a, VFS_ROOT, c->b, c->flags, &r->who, e);
    case CALL_MKDIR:
        return vfs_mkdir(r->v, VFS_ROOT, c->a, 0755, &r->who, &(struct vfs_entry){0}, e);
    case CALL_DRAIN:
        return vfs_drain(r->v, NULL, NULL, e);
    }
    return ERR_INVAL;
}

static void *run(void *arg)
{
    struct call *c = arg;
    struct err e = ERR_INIT;
    c->code = make(c, &e);
    __atomic_store_n(&c->ended, true, __ATOMIC_RELEASE);
    return NULL;
}

void call_start(struct call *c)
{
    assert_int_equal(pthread_create(&c->thread, NULL, run, c), 0);
}

void call_start_held(struct call *c, enum mem_op op, const char *key)
{
    mem_store_hold(c->r->mem, op, key);
    call_start(c);
    assert_true(mem_store_wait_held(c->r->mem, op, 1, 60000));
}

bool call_ended(void *call)
{
    const struct call *c = call;
    return __atomic_load_n(&c->ended, __ATOMIC_ACQUIRE);
}

enum err_code call_end(struct call *c)
{
    pthread_join(c->thread, NULL);
    return c->code;
}

enum err_code call_end_held(struct call *c, enum mem_op op)
{
    mem_store_unhold(c->r->mem, op);
    return call_end(c);
}

char *bytes_of(size_t len)
{
    char *p = malloc(len + 1);
    assert_non_null(p);
    for (size_t k = 0; k < len; k++)
        p[k] = (char)('a' + (k * 7 + k / 4096) % 26);
    p[len] = 0;
    return p;
}
