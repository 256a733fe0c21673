/* The read that waits, on top of the one that does not. */
#include "vfs/content_internal.h"

#include <string.h>

struct waiter {
    struct content_read read;
    char *buf;
    struct lock lock; /* guards what follows */
    struct cond ended;
    bool done;
    enum err_code code;
    struct err err;
};

static void on_done(struct content_read *r, enum err_code code, const struct iovec *iov, int n_iov, size_t len,
                    const struct err *e)
{
    struct waiter *w = r->arg;
    char *to = w->buf;
    for (int i = 0; i < n_iov; i++) {
        memcpy(to, iov[i].iov_base, iov[i].iov_len);
        to += iov[i].iov_len;
    }
    LOCK_SCOPE(&w->lock);
    w->code = code;
    (void)err_copy(&w->err, e);
    w->done = true;
    cond_signal(&w->ended);
}

static enum err_code read_piece(struct content *c, uint64_t offset, char *buf, size_t len, bool ahead, struct cancel *cancel,
                                struct err *e)
{
    struct waiter w = {.buf = buf};
    w.read = (struct content_read){.done = on_done, .arg = &w};
    lock_init(&w.lock, "content wait", LOCK_LEAF);
    cond_init(&w.ended);
    content_read(c, offset, len, ahead ? &c->waiting : NULL, cancel, &w.read);
    lock_take(&w.lock);
    while (!w.done)
        (void)cond_wait(&w.ended, &w.lock, UINT64_MAX);
    lock_drop(&w.lock);
    cond_release(&w.ended);
    lock_release(&w.lock);
    if (w.code)
        (void)err_copy(e, &w.err);
    return w.code;
}

enum err_code content_read_wait(struct content *c, uint64_t offset, void *buf, size_t len, bool ahead, struct cancel *cancel,
                                struct err *e)
{
    for (size_t done = 0, n; done < len; done += n) {
        n = len - done < READ_MAX ? len - done : READ_MAX;
        enum err_code code = read_piece(c, offset + done, (char *)buf + done, n, ahead, cancel, e);
        if (code)
            return code;
    }
    return ERR_OK;
}
