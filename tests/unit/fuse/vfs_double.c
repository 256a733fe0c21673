#include "vfs_double_inside.h"

#include "util/buf.h"
#include "util/cancel.h"
#include "util/lock.h"
#include "util/str.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

struct vfs {
    struct vfs_config config;
};

pthread_mutex_t big = PTHREAD_MUTEX_INITIALIZER;
pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
unsigned n_parked;
bool let_go, ended;
static struct vfs the_vfs;
static struct node nodes[NODES];
static unsigned stalled;
static atomic_uint counts[DOUBLE_KINDS];
static pthread_t completer;

void count(int kind)
{
    atomic_fetch_add(&counts[kind], 1);
}

unsigned double_count(int kind)
{
    return atomic_load(&counts[kind]);
}

struct node *node_find(const char *name)
{
    for (size_t i = 1; i < NODES; i++)
        if (nodes[i].ino && !nodes[i].gone && strcmp(nodes[i].name, name) == 0)
            return &nodes[i];
    return NULL;
}

struct node *node_of(uint64_t ino)
{
    return &nodes[ino - 1];
}

struct node *node_make(const char *name, mode_t mode, uid_t uid)
{
    for (size_t i = 1; i < NODES; i++) {
        if (nodes[i].ino)
            continue;
        struct node *n = &nodes[i];
        n->ino = i + 1;
        snprintf(n->name, sizeof(n->name), "%s", name);
        n->st = (struct stat){.st_ino = i + 1, .st_mode = mode, .st_nlink = 1, .st_uid = uid};
        n->data = calloc(1, 1 << 20);
        n->handle.node = n;
        return n;
    }
    return NULL;
}

static void fill(struct node *n, struct vfs_entry *out)
{
    n->lookups++;
    *out = (struct vfs_entry){.ino = n->ino, .valid_ms = VFS_TTL_INF, .attr = {.st = n->st, .valid_ms = VFS_TTL_INF}};
}

void double_put(const char *name, const char *text, mode_t mode)
{
    BIG;
    struct node *n = node_find(name);
    if (!n)
        n = node_make(name, mode, 0);
    memcpy(n->data, text, strlen(text));
    n->st.st_size = (off_t)strlen(text);
}

uint64_t double_ino(const char *name)
{
    BIG;
    struct node *n = node_find(name);
    return n ? n->ino : 0;
}

uint64_t double_lookups(const char *name)
{
    BIG;
    struct node *n = node_find(name);
    return n ? n->lookups : 0;
}

const struct vfs_notify *double_notify(struct vfs *v)
{
    return &v->config.notify;
}

unsigned double_waiting(void)
{
    BIG;
    return n_parked + stalled;
}

void double_let_go(void)
{
    BIG;
    let_go = true;
    pthread_cond_broadcast(&wake);
}

struct vfs *vfs_new(struct store *store, const struct vfs_config *config, struct err *e)
{
    the_vfs.config = *config;
    let_go = ended = false;
    for (size_t i = 0; i < DOUBLE_KINDS; i++)
        atomic_store(&counts[i], 0);
    nodes[0] = (struct node){.ino = 1, .st = {.st_ino = 1, .st_mode = S_IFDIR | 0777, .st_nlink = 2}};
    pthread_create(&completer, NULL, complete_reads, NULL);
    return &the_vfs;
}

enum err_code vfs_drain(struct vfs *v, void (*progress)(void *arg, uint64_t files, uint64_t bytes), void *arg, struct err *e)
{
    count(DOUBLE_DRAIN);
    return ERR_OK;
}

void vfs_settle_cache(struct vfs *v, unsigned wait_ms)
{
}

void vfs_free(struct vfs *v)
{
    pthread_mutex_lock(&big);
    ended = true;
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&big);
    pthread_join(completer, NULL);
    for (size_t i = 0; i < NODES; i++)
        free(nodes[i].data);
    memset(nodes, 0, sizeof(nodes));
}

enum err_code vfs_lookup(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c, struct vfs_entry *out,
                         struct err *e)
{
    count(DOUBLE_LOOKUP);
    if (str_starts(name, "slow") && c->nowait)
        return err_set(e, ERR_AGAIN, "would wait");
    BIG;
    struct node *n = node_find(name);
    *out = (struct vfs_entry){0};
    if (n)
        fill(n, out);
    return ERR_OK;
}

void vfs_forget(struct vfs *v, uint64_t ino, uint64_t n)
{
    BIG;
    node_of(ino)->lookups -= n;
}

enum err_code vfs_getattr(struct vfs *v, uint64_t ino, struct vfs_handle *h, const struct vfs_caller *c, struct vfs_attr *out,
                          struct err *e)
{
    count(DOUBLE_GETATTR);
    BIG;
    *out = (struct vfs_attr){.st = node_of(ino)->st, .valid_ms = VFS_TTL_INF};
    return ERR_OK;
}

enum err_code vfs_setattr(struct vfs *v, uint64_t ino, struct vfs_handle *h, const struct vfs_setattr *s,
                          const struct vfs_caller *c, struct vfs_attr *out, struct err *e)
{
    count(DOUBLE_SETATTR);
    BIG;
    if ((s->set & VFS_SET_SIZE) && double_parts(node_of(ino)))
        return err_set(e, ERR_CONFLICT, "look it up again");
    struct stat *st = &node_of(ino)->st;
    if (s->set & VFS_SET_MODE)
        st->st_mode = (st->st_mode & S_IFMT) | (s->mode & 07777);
    if (s->set & VFS_SET_UID)
        st->st_uid = s->uid;
    if (s->set & VFS_SET_SIZE)
        st->st_size = (off_t)s->size;
    if (s->set & VFS_SET_MTIME)
        st->st_mtim = s->mtime;
    if (s->kill_suid) {
        count(DOUBLE_KILL);
        st->st_mode &= ~(mode_t)(S_ISUID | S_ISGID);
    }
    *out = (struct vfs_attr){.st = *st, .valid_ms = VFS_TTL_INF};
    return ERR_OK;
}

enum err_code vfs_readlink(struct vfs *v, uint64_t ino, const struct vfs_caller *c, struct buf *out, struct err *e)
{
    buf_add_str(out, node_of(ino)->target);
    return ERR_OK;
}

static enum err_code add(const char *name, mode_t mode, const struct vfs_caller *c, struct vfs_entry *out, struct err *e)
{
    struct node *n = node_make(name, mode, c->uid);
    if (!n)
        return err_set(e, ERR_NOSPC, "full");
    fill(n, out);
    return ERR_OK;
}

enum err_code vfs_symlink(struct vfs *v, uint64_t parent, const char *name, const char *target, const struct vfs_caller *c,
                          struct vfs_entry *out, struct err *e)
{
    BIG;
    enum err_code code = add(name, S_IFLNK | 0777, c, out, e);
    if (code == ERR_OK)
        snprintf(node_find(name)->target, 64, "%s", target);
    return code;
}

enum err_code vfs_mknod(struct vfs *v, uint64_t parent, const char *name, mode_t mode, const struct vfs_caller *c,
                        struct vfs_entry *out, struct err *e)
{
    BIG;
    return add(name, mode, c, out, e);
}

enum err_code vfs_mkdir(struct vfs *v, uint64_t parent, const char *name, mode_t mode, const struct vfs_caller *c,
                        struct vfs_entry *out, struct err *e)
{
    BIG;
    return add(name, S_IFDIR | mode, c, out, e);
}

static void on_stall_cancel(void *arg)
{
    BIG;
    *(bool *)arg = true;
    pthread_cond_broadcast(&wake);
}

enum err_code vfs_unlink(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c, struct err *e)
{
    bool canceled = false;
    struct cancel_hook hook = {0};

    if (c->nowait)
        return ERR_AGAIN;
    if (str_starts(name, "stall")) {
        cancel_hook_add(c->cancel, &hook, on_stall_cancel, &canceled);
        pthread_mutex_lock(&big);
        stalled++;
        while (!let_go && !canceled)
            pthread_cond_wait(&wake, &big);
        stalled--;
        pthread_mutex_unlock(&big);
        cancel_hook_remove(c->cancel, &hook);
        if (canceled) {
            count(DOUBLE_CANCELED);
            return err_set(e, ERR_CANCELED, "canceled");
        }
    }
    BIG;
    node_find(name)->gone = true;
    return ERR_OK;
}

enum err_code vfs_rmdir(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c, struct err *e)
{
    return vfs_unlink(v, parent, name, c, e);
}

enum err_code vfs_rename(struct vfs *v, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                         unsigned flags, const struct vfs_caller *c, struct err *e)
{
    BIG;
    if (flags)
        return err_set(e, ERR_EXISTS, "exists");
    struct node *target = node_find(new_name);
    if (target)
        target->gone = true;
    snprintf(node_find(name)->name, 64, "%s", new_name);
    return ERR_OK;
}

enum err_code vfs_create(struct vfs *v, uint64_t parent, const char *name, mode_t mode, int flags, const struct vfs_caller *c,
                         struct vfs_entry *entry, struct vfs_handle **out, struct err *e)
{
    BIG;
    enum err_code code = add(name, S_IFREG | mode, c, entry, e);
    if (code != ERR_OK)
        return code;
    *out = &node_of(entry->ino)->handle;
    (*out)->node->opens++;
    return ERR_OK;
}

enum err_code vfs_write(struct vfs *v, struct vfs_handle *h, const void *p, size_t size, uint64_t offset,
                        const struct vfs_caller *c, struct err *e)
{
    count(DOUBLE_WRITE);
    BIG;
    if (offset + size > 1 << 20)
        return err_set(e, ERR_TOO_BIG, "too big");
    if (size >= DOUBLE_LATE && c && c->accepted)
        c->accepted(c->accepted_arg);
    memcpy(h->node->data + offset, p, size);
    if ((off_t)(offset + size) > h->node->st.st_size)
        h->node->st.st_size = (off_t)(offset + size);
    return ERR_OK;
}

enum err_code vfs_write_mapped(struct vfs *v, struct vfs_handle *h, const void *p, size_t size, uint64_t offset, struct err *e)
{
    return vfs_write(v, h, p, size, offset, NULL, e);
}

enum err_code vfs_fallocate(struct vfs *v, struct vfs_handle *h, int mode, uint64_t offset, uint64_t len, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "not here");
}

enum err_code vfs_copy(struct vfs *v, const struct vfs_copy *c, const struct vfs_caller *caller, uint64_t *copied, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "not here");
}

static enum err_code wait_briefly(void)
{
    BIG;
    stalled++;
    while (!let_go)
        pthread_cond_wait(&wake, &big);
    stalled--;
    return ERR_OK;
}

enum err_code vfs_flush(struct vfs *v, struct vfs_handle *h, const struct vfs_caller *c, struct err *e)
{
    count(DOUBLE_FLUSH);
    if (c->nowait && str_starts(h->node->name, "brief"))
        return c->brief ? wait_briefly() : ERR_AGAIN;
    return str_starts(h->node->name, "conflict") ? err_set(e, ERR_CONFLICT, "changed by others") : ERR_OK;
}

enum err_code vfs_fsync(struct vfs *v, uint64_t ino, struct vfs_handle *h, const struct vfs_caller *c, struct err *e)
{
    count(DOUBLE_FSYNC);
    return c->nowait ? ERR_AGAIN : ERR_OK;
}

enum err_code vfs_lseek(struct vfs *v, struct vfs_handle *h, uint64_t offset, int whence, const struct vfs_caller *c,
                        uint64_t *out, struct err *e)
{
    if (offset >= (uint64_t)h->node->st.st_size)
        return err_set(e, ERR_NO_ATTR, "beyond the end");
    *out = whence == SEEK_DATA ? offset : (uint64_t)h->node->st.st_size;
    return ERR_OK;
}

enum err_code vfs_opendir(struct vfs *v, uint64_t ino, const struct vfs_caller *c, struct vfs_dir_handle **out, struct err *e)
{
    /* One for all: a session may end before the kernel has released a directory, and the vfs is the one to give it back then. */
    static struct vfs_dir_handle any;
    *out = &any;
    return ERR_OK;
}

enum err_code vfs_readdir(struct vfs *v, struct vfs_dir_handle *d, uint64_t offset, bool plus, const struct vfs_caller *c,
                          bool (*emit)(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next), void *arg,
                          struct err *e)
{
    BIG;
    for (uint64_t i = offset; i < NODES + 2; i++) {
        struct vfs_entry entry = {0};
        struct node *n = i < 2 ? &nodes[0] : i == 2 ? NULL : &nodes[i - 2];
        if (!n || !n->ino || n->gone || str_starts(n->name, "own"))
            continue;
        entry.attr.st = n->st;
        entry.attr.valid_ms = entry.valid_ms = VFS_TTL_INF;
        if (plus && i > 1)
            entry.ino = n->ino;
        if (!emit(arg, i == 0 ? "." : i == 1 ? ".." : n->name, &entry, i + 1))
            break;
        if (entry.ino)
            n->lookups++;
    }
    return ERR_OK;
}

void vfs_releasedir(struct vfs *v, struct vfs_dir_handle *d)
{
}

enum err_code vfs_getxattr(struct vfs *v, uint64_t ino, const char *name, const struct vfs_caller *c, struct buf *out,
                           struct err *e)
{
    count(DOUBLE_GETXATTR);
    if (!node_of(ino)->xattr[0])
        return err_set(e, ERR_NO_ATTR, "none");
    buf_add_str(out, node_of(ino)->xattr);
    return ERR_OK;
}

enum err_code vfs_listxattr(struct vfs *v, uint64_t ino, const struct vfs_caller *c, struct buf *out, struct err *e)
{
    if (node_of(ino)->xattr[0])
        buf_add(out, "user.one", 9);
    return ERR_OK;
}

enum err_code vfs_setxattr(struct vfs *v, uint64_t ino, const char *name, const void *value, size_t size, int flags,
                           const struct vfs_caller *c, struct err *e)
{
    if (c->nowait)
        return ERR_AGAIN;
    snprintf(node_of(ino)->xattr, 64, "%.*s", (int)size, (const char *)value);
    return ERR_OK;
}

enum err_code vfs_removexattr(struct vfs *v, uint64_t ino, const char *name, const struct vfs_caller *c, struct err *e)
{
    node_of(ino)->xattr[0] = '\0';
    return ERR_OK;
}

void vfs_stats(struct vfs *v, struct vfs_stats *out)
{
    *out = (struct vfs_stats){0};
}
