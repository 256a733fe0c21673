/* Reads of the double, parked ones among them. */
#include "vfs_double_inside.h"

#include "util/cancel.h"
#include "util/str.h"

#include <string.h>

struct parked {
    struct vfs_read *read;
    struct vfs_handle *h;
    uint64_t offset;
    size_t size;
    struct cancel_hook hook;
    struct cancel *cancel;
    struct parked *next;
    bool canceled;
};

static struct parked *parked;

static void answer(struct vfs_read *r, struct vfs_handle *h, uint64_t offset, size_t size)
{
    char *copy = NULL;
    size_t len = 0;

    pthread_mutex_lock(&big);
    if (offset < (uint64_t)h->node->st.st_size)
        len = (size_t)h->node->st.st_size - offset < size ? (size_t)h->node->st.st_size - offset : size;
    copy = malloc(len + 1);
    memcpy(copy, h->node->data + offset * (len > 0), len);
    pthread_mutex_unlock(&big);
    struct iovec iov[2] = {{copy, len / 2}, {copy + len / 2, len - len / 2}};
    r->done(r, ERR_OK, iov, len ? 2 : 0, len, NULL);
    free(copy);
}

void *complete_reads(void *arg)
{
    pthread_mutex_lock(&big);
    while (!ended || parked) {
        struct parked **at = &parked;
        while (*at && !(*at)->canceled && !let_go)
            at = &(*at)->next;
        struct parked *p = *at;
        if (!p) {
            pthread_cond_wait(&wake, &big);
            continue;
        }
        *at = p->next;
        n_parked--;
        bool canceled = p->canceled;
        pthread_mutex_unlock(&big);
        cancel_hook_remove(p->cancel, &p->hook);
        if (canceled) {
            struct err e = {ERR_CANCELED, "canceled"};
            count(DOUBLE_CANCELED);
            p->read->done(p->read, ERR_CANCELED, NULL, 0, 0, &e);
        } else {
            answer(p->read, p->h, p->offset, p->size);
        }
        cancel_unref(p->cancel);
        free(p);
        pthread_mutex_lock(&big);
    }
    pthread_mutex_unlock(&big);
    return NULL;
}

static void on_cancel(void *arg)
{
    struct parked *p = arg;
    BIG;
    p->canceled = true;
    pthread_cond_broadcast(&wake);
}

void vfs_read(struct vfs *v, struct vfs_handle *h, uint64_t offset, size_t size, const struct vfs_caller *c,
              struct vfs_read *r)
{
    count(DOUBLE_READ);
    pthread_mutex_lock(&big);
    bool waits = str_starts(h->node->name, "park") && !let_go;
    if (!waits) {
        pthread_mutex_unlock(&big);
        answer(r, h, offset, size);
        return;
    }
    pthread_mutex_unlock(&big);
    struct parked *p = calloc(1, sizeof(*p));
    *p = (struct parked){.read = r, .h = h, .offset = offset, .size = size, .cancel = cancel_ref(c->cancel)};
    /* Before it can be completed; it may fire at once. */
    cancel_hook_add(p->cancel, &p->hook, on_cancel, p);
    BIG;
    p->next = parked;
    parked = p;
    n_parked++;
    pthread_cond_broadcast(&wake);
}
