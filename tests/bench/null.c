/* A file system that keeps nothing: what the kernel and one daemon cost, with the requests that a daemon may ask for. One directory
 * in which every name that is created is a file; what is written is counted into its size and thrown away, what is read comes from
 * memory, by copy, from 64 MiB of it in turn as from blocks that were received.
 *
 *   awsfs-bench-null DIR      mounts in the foreground until it is unmounted
 */
#define FUSE_USE_VERSION 34
#include <err.h>
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES = 64, NAME = 64, REQUEST_MAX = 1 << 20, MEMORY = 64 << 20, PARKED = 1000, MINUTE = 60 };

static char *memory;

static struct file {
    char name[NAME];
    _Atomic uint64_t size;
} files[FILES]; /* the nodeid is 2 and the index; names only come, and the kernel holds the directory's lock meanwhile */
static atomic_uint used;

static void attributes(fuse_ino_t ino, struct stat *st)
{
    *st = (struct stat){.st_ino = ino, .st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644, .st_nlink = 1};
    if (ino != FUSE_ROOT_ID)
        st->st_size = (off_t)atomic_load(&files[ino - 2].size);
}

static void on_init(void *arg, struct fuse_conn_info *c)
{
    (void)arg;
    c->max_write = REQUEST_MAX;
    c->max_readahead = REQUEST_MAX; /* tests/bench raises the device's */
    c->max_background = PARKED;
    c->congestion_threshold = PARKED;
    c->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static bool entry_of(const char *name, struct fuse_entry_param *e)
{
    for (unsigned i = 0; i < atomic_load(&used); i++) {
        if (strcmp(files[i].name, name) != 0)
            continue;
        *e = (struct fuse_entry_param){.ino = i + 2, .attr_timeout = MINUTE, .entry_timeout = MINUTE};
        attributes(e->ino, &e->attr);
        return true;
    }
    return false;
}

static void on_lookup(fuse_req_t r, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e;

    (void)parent;
    if (entry_of(name, &e))
        fuse_reply_entry(r, &e);
    else
        fuse_reply_err(r, ENOENT);
}

static void on_getattr(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f)
{
    struct stat st;

    (void)f;
    attributes(ino, &st);
    fuse_reply_attr(r, &st, MINUTE);
}

static void on_setattr(fuse_req_t r, fuse_ino_t ino, struct stat *st, int set, struct fuse_file_info *f)
{
    if (ino != FUSE_ROOT_ID && set & FUSE_SET_ATTR_SIZE)
        atomic_store(&files[ino - 2].size, (uint64_t)st->st_size);
    on_getattr(r, ino, f);
}

static void on_create(fuse_req_t r, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *f)
{
    struct fuse_entry_param e;
    unsigned n = atomic_load(&used);

    (void)parent;
    (void)mode;
    if (n == FILES) {
        fuse_reply_err(r, ENOSPC);
        return;
    }
    snprintf(files[n].name, NAME, "%s", name);
    atomic_store(&used, n + 1);
    if (entry_of(files[n].name, &e))
        fuse_reply_create(r, &e, f);
}

/* What the kernel has of a file from an earlier open it keeps: a file is not written after it was read. */
static void on_open(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f)
{
    (void)ino;
    f->keep_cache = 1;
    fuse_reply_open(r, f);
}

static void on_read(fuse_req_t r, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *f)
{
    uint64_t have = atomic_load(&files[ino - 2].size), left = (uint64_t)offset < have ? have - (uint64_t)offset : 0;

    (void)f;
    fuse_reply_buf(r, memory + (uint64_t)offset % MEMORY, size < left ? size : (size_t)left);
}

static void on_write(fuse_req_t r, fuse_ino_t ino, const char *bytes, size_t size, off_t offset, struct fuse_file_info *f)
{
    (void)bytes;
    (void)f;
    if (atomic_load(&files[ino - 2].size) < (uint64_t)offset + size)
        atomic_store(&files[ino - 2].size, (uint64_t)offset + size);
    fuse_reply_write(r, size);
}

static void on_end(fuse_req_t r, fuse_ino_t ino, struct fuse_file_info *f)
{
    (void)ino;
    (void)f;
    fuse_reply_err(r, 0);
}

static void on_fsync(fuse_req_t r, fuse_ino_t ino, int only_data, struct fuse_file_info *f)
{
    (void)only_data;
    on_end(r, ino, f);
}

/* Answered so once, the kernel does not ask again. */
static void on_getxattr(fuse_req_t r, fuse_ino_t ino, const char *name, size_t size)
{
    (void)ino;
    (void)name;
    (void)size;
    fuse_reply_err(r, ENOSYS);
}

int main(int argc, char **argv)
{
    static const struct fuse_lowlevel_ops ops = {
        .init = on_init, .lookup = on_lookup, .getattr = on_getattr, .setattr = on_setattr, .create = on_create, .open = on_open,
        .read = on_read, .write = on_write, .flush = on_end, .release = on_end, .fsync = on_fsync, .getxattr = on_getxattr};
    char *options[] = {argv[0], "-o", "fsname=null", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(3, options);
    struct fuse_loop_config loop = {.clone_fd = 1, .max_idle_threads = 4};
    struct fuse_session *session;

    if (argc != 2)
        errx(2, "usage: see the head of tests/bench/null.c");
    memory = malloc(MEMORY + REQUEST_MAX);
    if (!memory)
        err(1, "memory");
    memset(memory, 0x5a, MEMORY + REQUEST_MAX);
    session = fuse_session_new(&args, &ops, sizeof(ops), NULL);
    if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, argv[1]))
        errx(1, "no mount");
    fuse_session_loop_mt(session, &loop);
    fuse_session_unmount(session);
    fuse_session_destroy(session);
    return 0;
}
