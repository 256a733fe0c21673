/* Open files of the double, those that are backed by a local file among them. */
#include "vfs_double_inside.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned n_backed;

void double_back(const char *name, int fd)
{
    BIG;
    struct node *n = node_find(name);
    struct stat st;
    if (!n)
        n = node_make(name, S_IFREG | 0644, 0);
    n->fd = fd;
    n->backed = (struct vfs_handle){.node = n, .backed = true};
    fstat(fd, &st);
    n->st.st_size = st.st_size;
}

unsigned double_backed(void)
{
    BIG;
    return n_backed;
}

bool double_parts(struct node *n)
{
    if (!n->backed_opens)
        return false;
    if (n->gone)
        return true;
    n->gone = true;
    struct node *fresh = node_make(n->name, n->st.st_mode, n->st.st_uid);
    ino_t number = fresh->st.st_ino;
    fresh->st = n->st;
    fresh->st.st_ino = number;
    ssize_t got = pread(n->fd, fresh->data, 1 << 20, 0);
    (void)got;
    return true;
}

enum err_code vfs_open(struct vfs *v, uint64_t ino, int flags, const struct vfs_caller *c, struct vfs_handle **out,
                       struct err *e)
{
    BIG;
    struct node *n = node_of(ino);
    bool reads = (flags & (O_ACCMODE | O_TRUNC)) == O_RDONLY;
    if (n->fd && reads && c->backing && !n->opens) {
        n->backed_opens++;
        n_backed++;
        *out = &n->backed;
        return ERR_OK;
    }
    if (double_parts(n))
        return err_set(e, ERR_CONFLICT, "look it up again");
    n->opens++;
    *out = &n->handle;
    return ERR_OK;
}

bool vfs_backing(struct vfs *v, struct vfs_handle *h, struct vfs_backing *out)
{
    BIG;
    if (!h->backed)
        return false;
    *out = (struct vfs_backing){.fd = h->node->fd, .id = h->node->ino};
    return true;
}

void vfs_backing_refused(struct vfs *v, struct vfs_handle *h)
{
    BIG;
    struct node *n = h->node;
    ssize_t got = pread(n->fd, n->data, 1 << 20, 0);
    (void)got;
    n->backed.backed = false;
    n->fd = 0;
    n_backed -= n->backed_opens;
    n->opens += n->backed_opens;
    n->backed_opens = 0;
}

void vfs_release(struct vfs *v, struct vfs_handle *h)
{
    count(DOUBLE_RELEASE);
    BIG;
    if (!h->backed) {
        h->node->opens--;
        return;
    }
    h->node->backed_opens--;
    n_backed--;
}

bool vfs_sealed(struct vfs *v, struct vfs_handle *h)
{
    return false;
}
