/*
 * The filesystem above a store: inodes, directories, handles, reading, staging and upload. Knows no FUSE and no service.
 *
 * A nodeid stands for a name and one line of versions: what this mount writes keeps it, what others put under the name gives
 * the name a new one. So everything that the kernel caches for a nodeid stays valid for as long as the nodeid is used.
 *
 * Threads: every call may be made from any thread. A call with caller->nowait never waits for the network: where it would have
 * to it changes nothing and returns ERR_AGAIN; it is then made again from a thread that may wait. With a fired
 * caller->cancel a waiting call returns ERR_CANCELED soon; what it had begun may or may not take effect, and bytes written
 * are never dropped by it.
 */
#ifndef VFS_VFS_H
#define VFS_VFS_H

#include "awsfs/err.h"
#include "awsfs/store.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

struct cache;
struct vfs;
struct vfs_handle;     /* an open file */
struct vfs_dir_handle; /* an open directory: a snapshot of its names */
struct cancel;

#define VFS_ROOT 1ULL
#define VFS_TTL_INF UINT64_MAX

enum vfs_attrs { VFS_ATTRS_AUTO, VFS_ATTRS_LIST, VFS_ATTRS_HEAD };

/* A question for what the kernel holds in its page cache. The asker's storage until done() was called: exactly once, on any thread,
 * without locks. */
struct vfs_retrieve {
    /* The `len` bytes at `p`, borrowed for the call, are what the inode's pages have from the offset on: up to the first that is not
     * there, and no more than was asked for. */
    void (*done)(struct vfs_retrieve *r, const void *p, size_t len);
};

#define VFS_RETRIEVE_MAX (1u << 20)

/* What the kernel should forget, or tell. */
struct vfs_notify {
    /* Called from any thread, also with locks of the vfs held: must only enqueue. */
    void (*inode)(void *arg, uint64_t ino); /* attributes and pages of an inode */
    void (*entry)(void *arg, uint64_t parent, const char *name);
    /* At most VFS_RETRIEVE_MAX bytes. Called without locks; may wait for the kernel, not for a request. False: the kernel does not know
     * the inode, or is not there, and done() will not be called. NULL: it cannot be asked. */
    bool (*retrieve)(void *arg, uint64_t ino, uint64_t offset, size_t len, struct vfs_retrieve *r);
    void *arg;
};

struct vfs_config {
    uint64_t ttl_ms;         /* VFS_TTL_INF: for ever */
    bool read_only;
    bool shared;             /* other users are let in: mode and owner mean something */
    uid_t uid;               /* of what has no stored owner */
    gid_t gid;
    mode_t umask;            /* taken away from what is shown, stored or not; 0 for none */
    mode_t file_mode, dir_mode; /* permission bits of what has no stored mode */
    enum vfs_attrs attrs;
    bool excl_open;          /* excl=open: O_EXCL is decided at the open by an empty object */
    bool force_uid, force_gid; /* uid=, gid= were given: also for what has a stored owner */
    uint64_t memory;         /* bytes that blocks may take */
    uint64_t rename_limit;   /* objects of a directory rename, above: ERR_CROSS */
    unsigned upload_parallel; /* parts at once; 0: 8 */
    unsigned late_ms;        /* until what had no answer has come, or never will; 0: 2000 */
    uint64_t preserve_max;   /* bytes fetched for those who have a file open that is removed; 0: 64 MiB */
    const char *state_dir;   /* staging files and upload records: an existing directory of ours. NULL with STORE_SECRET */
    struct vfs_notify notify;
    struct cache *cache;     /* outlives the vfs; NULL, and always with STORE_SECRET: none */
    const char *origin;      /* with a cache: whose keys these are, as cache_version has it; copied */
    const char *cache_view;  /* what else listings depend on: who asks, and how; NULL: nothing; copied */
    bool overlaid;           /* listings have what this machine has not sent yet: those of what was changed here are not kept */
    const char *cache_prefix; /* goes before the store's keys there; NULL: nothing; copied */
};

/* `store` outlives the vfs. Starts its threads. Sends no request but for uploads and renames that a dead mount has recorded (in
 * the background). */
struct vfs *vfs_new(struct store *store, const struct vfs_config *config, struct err *e);

/* Waits until renames that an earlier mount was killed over are finished, or cannot be; false: not within `timeout_ms`. They are begun by
 * vfs_new(), and go on. */
bool vfs_settled(struct vfs *v, unsigned timeout_ms);

/* Tries again, in the background, to finish a rename that could not be finished: that whose record's file has the name `record`, up to a
 * '-' or the ending; NULL: all. Never blocks on the network. */
void vfs_retry(struct vfs *v, const char *record);

/* A command of this machine has put or removed that object: its name, and the directory's, are asked for again at once. Any thread. */
void vfs_changed(struct vfs *v, const char *key);

/* Waits until what was written before the call is in the store, or has failed and is logged. `progress` (may be NULL) is called about once a
 * second with files and bytes left. ERR_IO when something could not be sent. */
enum err_code vfs_drain(struct vfs *v, void (*progress)(void *arg, uint64_t files, uint64_t bytes), void *arg,
                        struct err *e) MUST_CHECK;

/* Files that could not be stored and whose bytes are kept in the state directory: of this mount and of those before. Reads that directory. */
uint64_t vfs_kept(struct vfs *v);

/* Nothing calls any more, nor will: what is open is closed, as if the kernel had still said so of each. Does not block. */
void vfs_let_go(struct vfs *v);

/* ERR_IO where something of this mount could not be stored, up to now, and no call was told of it. */
enum err_code vfs_check_told(struct vfs *v, struct err *e) MUST_CHECK;

/* Before an unmount: what the kernel holds of files read from here, and the disk cache does not yet, is brought there, for at most
 * `wait_ms`. Waits for the disk. */
void vfs_settle_cache(struct vfs *v, unsigned wait_ms);

/* No call may be under way. Open handles are released. NULL is fine. */
void vfs_free(struct vfs *v);
CLEANUP_DEFINE(struct vfs, vfs_free)

/* Who asks. */
struct vfs_caller {
    uid_t uid;
    gid_t gid;
    mode_t umask;
    pid_t pid;               /* as the request carries it: a thread id; 0: unknown */
    struct cancel *cancel;   /* NULL: cannot be interrupted */
    bool nowait;
    bool brief;              /* with nowait: it may wait for the local disk all the same */
    /* Of a lookup; NULL: nobody. Called before the call ends, on any thread, without locks: what it still waits for is for other names,
     * and the same call with nowait will most likely be answered. Seldom more than once, then one after another. */
    void (*known)(void *arg);
    void *known_arg;
    bool backing;            /* of an open: the caller can serve it by a local file (vfs_backing()) */
    /* Of a write; NULL: nobody. Called at most once, on the calling thread, before the disk has the bytes: the call is then successful,
     * and what is wrong with that disk is the error of later writes, of fsync and of close. The handle may be released from then on. */
    void (*accepted)(void *arg);
    void *accepted_arg;
};

/* ---- Names and attributes */

struct vfs_attr {
    struct stat st;          /* st_ino is a function of the name */
    uint64_t valid_ms;       /* how long it may be cached; VFS_TTL_INF: for ever */
};

struct vfs_entry {
    uint64_t ino;            /* 0: the name does not exist (and may be remembered so for valid_ms) */
    uint64_t valid_ms;       /* how long the name may be cached */
    struct vfs_attr attr;
};

/* Every entry given out with ino != 0 counts as one lookup, until forgotten. A name that does not exist: ERR_OK, ino 0. */
enum err_code vfs_lookup(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c,
                         struct vfs_entry *out, struct err *e) MUST_CHECK;
void vfs_forget(struct vfs *v, uint64_t ino, uint64_t count);

/* `h` may be NULL. */
enum err_code vfs_getattr(struct vfs *v, uint64_t ino, struct vfs_handle *h, const struct vfs_caller *c,
                          struct vfs_attr *out, struct err *e) MUST_CHECK;

enum { VFS_SET_MODE = 1, VFS_SET_UID = 2, VFS_SET_GID = 4, VFS_SET_SIZE = 8, VFS_SET_ATIME = 16, VFS_SET_MTIME = 32, VFS_SET_CTIME = 64 };

struct vfs_setattr {
    unsigned set;            /* VFS_SET_* */
    mode_t mode;
    uid_t uid;
    gid_t gid;
    uint64_t size;
    struct timespec atime, mtime, ctime;
    bool kill_suid;          /* FATTR_KILL_SUIDGID: take setuid and setgid away */
};
enum err_code vfs_setattr(struct vfs *v, uint64_t ino, struct vfs_handle *h, const struct vfs_setattr *s,
                          const struct vfs_caller *c, struct vfs_attr *out, struct err *e) MUST_CHECK;

/* The target is appended to `out`. */
enum err_code vfs_readlink(struct vfs *v, uint64_t ino, const struct vfs_caller *c, struct buf *out,
                           struct err *e) MUST_CHECK;

enum err_code vfs_symlink(struct vfs *v, uint64_t parent, const char *name, const char *target, const struct vfs_caller *c,
                          struct vfs_entry *out, struct err *e) MUST_CHECK;
/* Regular files, FIFOs and sockets; devices: ERR_PERM. */
enum err_code vfs_mknod(struct vfs *v, uint64_t parent, const char *name, mode_t mode, const struct vfs_caller *c,
                        struct vfs_entry *out, struct err *e) MUST_CHECK;
enum err_code vfs_mkdir(struct vfs *v, uint64_t parent, const char *name, mode_t mode, const struct vfs_caller *c,
                        struct vfs_entry *out, struct err *e) MUST_CHECK;
enum err_code vfs_unlink(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c,
                         struct err *e) MUST_CHECK;
enum err_code vfs_rmdir(struct vfs *v, uint64_t parent, const char *name, const struct vfs_caller *c,
                        struct err *e) MUST_CHECK;

/* `flags`: 0 or RENAME_NOREPLACE; others ERR_INVAL. */
enum err_code vfs_rename(struct vfs *v, uint64_t parent, const char *name, uint64_t new_parent, const char *new_name,
                         unsigned flags, const struct vfs_caller *c, struct err *e) MUST_CHECK;

/* ---- Files */

/* `flags` as open(2) has them. O_TRUNC is done here. */
enum err_code vfs_open(struct vfs *v, uint64_t ino, int flags, const struct vfs_caller *c, struct vfs_handle **out,
                       struct err *e) MUST_CHECK;
enum err_code vfs_create(struct vfs *v, uint64_t parent, const char *name, mode_t mode, int flags,
                         const struct vfs_caller *c, struct vfs_entry *entry, struct vfs_handle **out,
                         struct err *e) MUST_CHECK;

/* A read that may have to wait. The caller's storage, zeroed, until `done` was called: exactly once, on the calling thread
 * before vfs_read() returns, or later on any thread. `iov` (borrowed, at most VFS_READ_IOV pieces) has `len` bytes in all:
 * fewer than asked for only at the end of the file. */
#define VFS_READ_IOV 40
struct vfs_read {
    void (*done)(struct vfs_read *r, enum err_code code, const struct iovec *iov, int n_iov, size_t len,
                 const struct err *e);
    void *arg;
    void *priv; /* the vfs's while the read is under way */
};
void vfs_read(struct vfs *v, struct vfs_handle *h, uint64_t offset, size_t size, const struct vfs_caller *c,
              struct vfs_read *r);

/* Puts `size` bytes into the staging file. With O_APPEND on the handle `offset` is ignored. Never waits for the network.
 * All bytes or an error: ERR_NOSPC, ERR_TOO_BIG, ERR_BAD_HANDLE, ERR_IO; see also c->accepted. */
enum err_code vfs_write(struct vfs *v, struct vfs_handle *h, const void *p, size_t size, uint64_t offset,
                        const struct vfs_caller *c, struct err *e) MUST_CHECK;

/* The same for bytes that a mapping changed: the kernel sends them through any handle that may write, and `offset` counts also
 * where that one has O_APPEND. */
enum err_code vfs_write_mapped(struct vfs *v, struct vfs_handle *h, const void *p, size_t size, uint64_t offset,
                               struct err *e) MUST_CHECK;

/* `mode` as fallocate(2) has it: 0 or FALLOC_FL_KEEP_SIZE take local space, ZERO_RANGE (with or without KEEP_SIZE) and PUNCH_HOLE
 * make zeros; others ERR_UNSUPPORTED. Never waits for the network. ERR_NOSPC, ERR_TOO_BIG, ERR_BAD_HANDLE. */
enum err_code vfs_fallocate(struct vfs *v, struct vfs_handle *h, int mode, uint64_t offset, uint64_t len,
                            struct err *e) MUST_CHECK;

/* copy_file_range(2) of a whole object into an empty file: the store copies, and the file is then as if it had been closed. All
 * else (also where the store refuses, or others changed one of them) is ERR_UNSUPPORTED and has changed nothing: the caller
 * moves the bytes. */
struct vfs_copy {
    struct vfs_handle *from, *to;
    uint64_t from_offset, to_offset, len;
};
enum err_code vfs_copy(struct vfs *v, const struct vfs_copy *c, const struct vfs_caller *caller, uint64_t *copied,
                       struct err *e) MUST_CHECK;

/* A descriptor is closed by c->pid. What that means is W8 of the design. Errors are the upload's. */
enum err_code vfs_flush(struct vfs *v, struct vfs_handle *h, const struct vfs_caller *c, struct err *e) MUST_CHECK;

/* `h` may be NULL: the inode's pending attributes. Returns when all of the file is in the store; of a directory, its attributes and the
 * names that were made in it: new files that are empty so far, or closed. */
enum err_code vfs_fsync(struct vfs *v, uint64_t ino, struct vfs_handle *h, const struct vfs_caller *c,
                        struct err *e) MUST_CHECK;

/* The last descriptor is gone. Never waits: what is dirty is put in the background. */
void vfs_release(struct vfs *v, struct vfs_handle *h);

/* Whether the size that was shown before the open says nothing: the kernel must ask here for every byte. */
bool vfs_sealed(struct vfs *v, struct vfs_handle *h);

/* A local file that can serve an open file in place of vfs_read(): exactly the bytes of the handle's version, all of them, checked.
 * Nobody ever changes it; it may be unlinked. */
struct vfs_backing {
    int fd;      /* open for reading, as long as a handle of that id is */
    uint64_t id; /* not 0; shared by all handles of a nodeid that are open together, another when that begins anew */
};

/* Whether `h` is to be served so: only where it was opened for reading with caller->backing, and then all open handles of its
 * nodeid are. Where that excludes an open in another way (to write, say), vfs_open() and a change of size answer ERR_CONFLICT,
 * and the name has a fresh nodeid at its next lookup. */
bool vfs_backing(struct vfs *v, struct vfs_handle *h, struct vfs_backing *out);

/* It cannot be served so, and no handle of that id is: all of them are served by vfs_read(). */
void vfs_backing_refused(struct vfs *v, struct vfs_handle *h);

/* SEEK_DATA and SEEK_HOLE. ERR_NO_ATTR stands for ENXIO: beyond the end. */
enum err_code vfs_lseek(struct vfs *v, struct vfs_handle *h, uint64_t offset, int whence, const struct vfs_caller *c,
                        uint64_t *out, struct err *e) MUST_CHECK;

/* ---- Directories */

enum err_code vfs_opendir(struct vfs *v, uint64_t ino, const struct vfs_caller *c, struct vfs_dir_handle **out,
                          struct err *e) MUST_CHECK;

/* Calls emit() for the entries from position `offset` on (0: the beginning, which renews the snapshot when it was read before)
 * until it returns false or the end. "." and ".." come first. With `plus`, entry->attr is filled and, where emit() took it
 * (true), counts as one lookup unless it is "." or ".."; an entry with ino 0 (in a large directory nobody
 * looks names up in) has only st_ino and st_mode's type, and is not
 * counted. `next` is the position behind it. emit() runs under the vfs's lock: it must not call the vfs. Of a large directory the
 * first entries are given while others are still listed; waits for those where there is nothing else to give. */
enum err_code vfs_readdir(struct vfs *v, struct vfs_dir_handle *d, uint64_t offset, bool plus, const struct vfs_caller *c,
                          bool (*emit)(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next), void *arg,
                          struct err *e) MUST_CHECK;
void vfs_releasedir(struct vfs *v, struct vfs_dir_handle *d);

/* ---- Extended attributes. Names are the full ones. */

enum err_code vfs_getxattr(struct vfs *v, uint64_t ino, const char *name, const struct vfs_caller *c, struct buf *out,
                           struct err *e) MUST_CHECK;
/* Names, each with its NUL, appended. */
enum err_code vfs_listxattr(struct vfs *v, uint64_t ino, const struct vfs_caller *c, struct buf *out,
                            struct err *e) MUST_CHECK;
/* `flags`: XATTR_CREATE, XATTR_REPLACE. */
enum err_code vfs_setxattr(struct vfs *v, uint64_t ino, const char *name, const void *value, size_t size, int flags,
                           const struct vfs_caller *c, struct err *e) MUST_CHECK;
enum err_code vfs_removexattr(struct vfs *v, uint64_t ino, const char *name, const struct vfs_caller *c,
                              struct err *e) MUST_CHECK;

/* ---- State, for status */

struct vfs_stats {
    uint64_t inodes, names, handles, dirty_files, dirty_bytes, failed_uploads;
    uint64_t memory_used, memory_limit, parked_reads;
    uint64_t bytes_read, bytes_fetched, bytes_written, bytes_sent, block_hits, block_misses;
    uint64_t bytes_uncached; /* fetched, and lost for the disk cache: not kept in memory, and gone from the kernel's pages */
    uint64_t bytes_refilled; /* that the disk cache got back from the kernel's pages */
    uint64_t refill_waiting; /* chunks that are to come from there, */
    uint64_t refill_memory;  /* and the bytes that this takes beside memory_used */
    uint64_t files_ahead, files_ahead_used, files_ahead_unused; /* read-ahead across files; the rest of them is not read yet */
};
void vfs_stats(struct vfs *v, struct vfs_stats *out);

/* A file that is not in the store. Strings are never NULL. */
struct vfs_unsent {
    const char *path;  /* below the mount; of what an earlier mount left, its key */
    const char *file;  /* the local file with its bytes; "": none (attributes alone, or in memory) */
    const char *error; /* "": has not failed */
    const char *time;  /* of what was left in the state directory: when */
    uint64_t size;
    uint64_t age_ms;   /* since it was changed; 0 of what was left */
    unsigned attempts; /* to send it, since then */
};

/* Files that are not in the store yet or, with `failed`, could not be put there: those still open, and those left in the state
 * directory by this mount or an earlier one. Called with no lock held; may read local files. */
void vfs_each_unsent(struct vfs *v, bool failed, void (*fn)(void *arg, const struct vfs_unsent *file), void *arg);

/* What was written here and others changed meanwhile: where the bytes are, for the last of them, oldest first. Called with no lock
 * held. Returns how many there were in all. */
struct vfs_conflict {
    const char *path, *kept; /* below the mount; the key of the bytes that were written here */
    struct timespec when;
};
uint64_t vfs_each_conflict(struct vfs *v, void (*fn)(void *arg, const struct vfs_conflict *c), void *arg);

#endif
