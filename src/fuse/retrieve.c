#include "fuse/retrieve.h"

#include "fuse/inside.h"
#include "fuse/notify.h"

#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
/* libfuse forgets what was never answered. */
#define LIBFUSE_FORGETS()  __lsan_disable()
#define LIBFUSE_FORGETS_NO_MORE() __lsan_enable()
#else
#define LIBFUSE_FORGETS()  ((void)0)
#define LIBFUSE_FORGETS_NO_MORE() ((void)0)
#endif

void retrieves_init(struct retrieves *s)
{
    memset(s, 0, sizeof(*s));
    lock_init(&s->lock, "retrieves", LOCK_NOTIFY);
}

void retrieves_release(struct retrieves *s)
{
    lock_release(&s->lock);
}

static uint64_t enter(struct retrieves *s, struct vfs_retrieve *r)
{
    LOCK_SCOPE(&s->lock);
    for (unsigned i = 0; i < RETRIEVES_MAX; i++)
        if (!s->under_way[i]) {
            s->under_way[i] = r;
            return s->ids[i] = ++s->last_id;
        }
    return 0;
}

/* Whoever takes it out calls done(), once. */
static struct vfs_retrieve *take(struct retrieves *s, uint64_t id)
{
    LOCK_SCOPE(&s->lock);
    for (unsigned i = 0; i < RETRIEVES_MAX; i++)
        if (s->under_way[i] && s->ids[i] == id)
            return TAKE(s->under_way[i]);
    return NULL;
}

bool retrieve_ask(struct retrieves *s, struct fuse_session *se, uint64_t ino, uint64_t offset, size_t len, struct vfs_retrieve *r)
{
    uint64_t id = enter(s, r);
    if (id == 0)
        return false;
    LIBFUSE_FORGETS();
    int rc = fuse_lowlevel_notify_retrieve(se, ino, len, (off_t)offset, (void *)(uintptr_t)id);
    LIBFUSE_FORGETS_NO_MORE();
    return rc == 0 || !take(s, id);
}

void retrieve_answer(struct retrieves *s, uint64_t id, const void *p, size_t len)
{
    struct vfs_retrieve *r = take(s, id);
    if (r)
        r->done(r, p, len);
}

void retrieves_end(struct retrieves *s)
{
    for (unsigned i = 0; i < RETRIEVES_MAX; i++) {
        lock_take(&s->lock);
        uint64_t id = s->under_way[i] ? s->ids[i] : 0;
        lock_drop(&s->lock);
        retrieve_answer(s, id, NULL, 0);
    }
}

static void op_retrieve_reply(fuse_req_t req, void *cookie, fuse_ino_t ino, off_t offset, struct fuse_bufvec *bufv)
{
    struct session *s = fuse_req_userdata(req);
    const struct fuse_buf *b = &bufv->buf[0];
    bool in_memory = bufv->count == 1 && !(b->flags & FUSE_BUF_IS_FD); /* what is spliced has a descriptor; nothing is here */

    notify_answer(s->notify, (uint64_t)(uintptr_t)cookie, in_memory ? b->mem : NULL, in_memory ? b->size : 0);
    fuse_reply_none(req);
}

void retrieve_ops(struct fuse_lowlevel_ops *ops)
{
    ops->retrieve_reply = op_retrieve_reply;
}
