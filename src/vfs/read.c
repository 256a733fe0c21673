/*
 * Reading. From the version's blocks (content.h), or, of a file that is being written, from the stage with the bytes it lacks
 * taken from the version it came from. A read that must wait is parked in the content and answered by whoever completes it.
 */
#include "util/secret.h"
#include "vfs/handle.h"
#include "vfs/inode.h"
#include "vfs/neighbours.h"
#include "vfs/stage_use.h"

#include <fcntl.h>
#include <string.h>

struct read_op {
    struct content_read cr;
    struct vfs_handle *h;
    struct vfs_read *r;
    struct content *content;
    struct stage *stage;  /* the answer is put together in `buf` */
    uint64_t offset;
    size_t len;           /* bytes to answer with */
    char *buf;            /* one of these: */
    char *plain, *secret;
};

static void op_free(struct read_op *op)
{
    if (op->content)
        content_unref(op->content);
    if (op->stage) {
        struct vfs *v = op->h->v;
        LOCK_SCOPE(&v->tree);
        stage_unpin_locked(v, op->h->inode);
    }
    secret_free(op->secret);
    free(op->plain);
    handle_unref(op->h);
    free(op);
}

static void answer_error(struct vfs_read *r, enum err_code code, const struct err *e)
{
    r->done(r, code, NULL, 0, 0, e);
}

/* The version is gone: the name is asked for again, the metadata that came along is kept. */
static void learn(struct vfs *v, struct inode *i, struct content *c, enum err_code code)
{
    LOCK_SCOPE(&v->tree);
    if (code == ERR_CONFLICT) {
        i->flags |= INODE_STALE;
        if (v->cfg.notify.entry && (i->flags & INODE_LINKED) && i->parent->ino)
            v->cfg.notify.entry(v->cfg.notify.arg, i->parent->ino, i->name);
    }
    if (code || i->meta || i->content != c)
        return;
    struct store_meta *m = content_meta(c);
    if (m)
        inode_set_meta_locked(i, m);
    store_meta_unref(m);
}

static void count_read(struct vfs *v, size_t len)
{
    __atomic_add_fetch(&v->bytes_read, len, __ATOMIC_RELAXED);
}

/* Bytes of the base are in `buf` where they are needed; the stage's own go over them. */
static void answer_staged(struct read_op *op)
{
    struct err err = ERR_INIT;
    size_t got = 0;
    enum err_code code = stage_read(op->stage, op->offset, op->buf, op->len, false, &got, &err);
    if (code) {
        answer_error(op->r, code, &err);
        return;
    }
    struct iovec iov = {op->buf, got};
    count_read(op->h->v, got);
    op->r->done(op->r, ERR_OK, &iov, 1, got, NULL);
}

static void content_done(struct content_read *cr, enum err_code code, const struct iovec *iov, int n, size_t len,
                         const struct err *e)
{
    struct read_op *op = cr->arg;
    learn(op->h->v, op->h->inode, op->content, code);
    if (code) {
        answer_error(op->r, code, e);
    } else if (op->stage) {
        size_t at = 0;
        for (int k = 0; k < n; at += iov[k].iov_len, k++)
            memcpy(op->buf + at, iov[k].iov_base, iov[k].iov_len);
        answer_staged(op);
    } else {
        count_read(op->h->v, len);
        op->r->done(op->r, ERR_OK, iov, n, len, NULL);
    }
    op_free(op);
}

static bool lacks_base(struct stage *s, uint64_t offset, size_t size)
{
    uint64_t len = 0, end = offset + size;
    for (enum stage_extent x; offset < end && (x = stage_extent_at(s, offset, false, &len)) != STAGE_END; offset += len)
        if (x == STAGE_BASE)
            return true;
    return false;
}

/* Whose pages get the bytes: with O_DIRECT nobody's. */
static void set_reader_locked(const struct vfs_handle *h)
{
    content_set_reader(h->inode->content, h->flags & O_DIRECT ? 0 : h->inode->ino);
}

static enum err_code content_locked(struct vfs *v, const struct vfs_handle *h, enum content_hand *hand, struct err *e)
{
    struct inode *i = h->inode;
    if (i->content) {
        if (!h->read)
            set_reader_locked(h);
        return ERR_OK;
    }
    if ((i->content = neighbours_take_locked(v, i, hand)) != NULL) {
        set_reader_locked(h);
        return ERR_OK;
    }
    if (!i->etag)
        return err_set(e, ERR_IO, "no version to read from");
    BUF(key, KEY_BUF_MAX);
    inode_key_locked(i, &key);
    struct store_version version;
    inode_version_locked(i, &version);
    i->content = content_new(v->contents, buf_str(&key), &version, e);
    if (!i->content)
        return ERR_NOMEM;
    set_reader_locked(h);
    return ERR_OK;
}

/* What the read needs, taken while the tree is locked. `op->len` 0: nothing to read. */
static enum err_code prepare_locked(struct vfs *v, struct read_op *op, uint64_t offset, size_t size,
                                    struct neighbours_plan *ahead, struct err *e)
{
    struct inode *i = op->h->inode;
    enum content_hand hand = CONTENT_ABSENT;
    op->offset = offset;
    op->len = offset >= i->size ? 0 : i->size - offset < size ? (size_t)(i->size - offset) : size;
    if (op->len == 0)
        return ERR_OK;
    op->stage = i->active->stage;
    enum err_code code = op->stage && (i->content || !i->etag || (i->flags & INODE_NEW)) ? ERR_OK : content_locked(v, op->h, &hand, e);
    if (!code && i->content)
        op->content = content_ref(i->content);
    if (!code && op->stage) /* a read that is parked outlives the close of its handle */
        code = stage_pin_locked(v, i, e);
    if (code)
        op->stage = NULL;
    if (!code && !op->stage && !op->h->read && (op->h->flags & O_ACCMODE) == O_RDONLY && offset < CONTENT_BLOCK)
        neighbours_read_locked(v, i, hand, ahead);
    op->h->read = true;
    return code;
}

static enum err_code staged(struct read_op *op, struct cancel *cancel, struct err *e)
{
    if (vfs_has(op->h->v, STORE_SECRET))
        op->buf = op->secret = secret_alloc(op->len);
    else
        op->buf = op->plain = calloc(1, op->len);
    if (!op->buf)
        return err_set(e, ERR_NOMEM, "out of memory for a read");
    if (!lacks_base(op->stage, op->offset, op->len)) {
        answer_staged(op);
        op_free(op);
        return ERR_OK;
    }
    if (!op->content || op->offset >= content_size(op->content))
        return err_set(e, ERR_IO, "the version this file came from is not known any more");
    uint64_t left = content_size(op->content) - op->offset;
    content_read(op->content, op->offset, left < op->len ? (size_t)left : op->len, NULL, cancel, &op->cr);
    return ERR_OK;
}

static void unstaged(struct read_op *op, struct cancel *cancel)
{
    struct vfs_handle *h = handle_ref(op->h);
    content_read(op->content, op->offset, op->len, &h->ra, cancel, &op->cr);
    handle_unref(h);
}

/* Answers, now or later, what was prepared. */
static void answer(struct read_op *op, struct cancel *cancel)
{
    struct err err = ERR_INIT;
    if (op->len == 0) {
        op->r->done(op->r, ERR_OK, NULL, 0, 0, NULL);
        op_free(op);
    } else if (!op->stage) {
        unstaged(op, cancel);
    } else if (staged(op, cancel, &err)) {
        answer_error(op->r, err.code, &err);
        op_free(op);
    }
}

void vfs_read(struct vfs *v, struct vfs_handle *h, uint64_t offset, size_t size, const struct vfs_caller *c,
              struct vfs_read *r)
{
    struct err err = ERR_INIT;
    struct read_op *op = calloc(1, sizeof(*op));
    if (!op) {
        answer_error(r, err_set(&err, ERR_NOMEM, "out of memory for a read"), &err);
        return;
    }
    struct neighbours_plan ahead;
    ahead.n = 0;
    op->h = handle_ref(h);
    op->r = r;
    op->cr = (struct content_read){.done = content_done, .arg = op};
    lock_take(&v->tree);
    enum err_code code = (h->flags & O_ACCMODE) == O_WRONLY && !h->inode->active
                             ? err_set(&err, ERR_BAD_HANDLE, "not open for reading")
                             : prepare_locked(v, op, offset, size, &ahead, &err);
    lock_drop(&v->tree);
    if (code) {
        answer_error(r, code, &err);
        op_free(op);
        return;
    }
    answer(op, c->cancel);
    neighbours_start(&ahead);
}
