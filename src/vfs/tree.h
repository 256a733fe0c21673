/*
 * What the files of src/vfs share: the tree of names. Private to this folder.
 *
 * One lock (`tree`, LOCK_VFS_TREE) protects every field of every structure here unless it says otherwise. It is never held
 * across the network or local disk I/O. Functions that end in _locked want it held.
 *
 * An inode is one line of versions of one name. It is linked in its parent's map of children (which holds a reference), known
 * by a nodeid while the kernel has looked it up, and detached when the name is removed or others have put something else under
 * it: then it lives on for its handles only.
 *
 * Order: every request that brings knowledge takes a number from `seq` when it starts; every change made here takes one when
 * it is done. Knowledge never overrides a change with a higher number.
 */
#ifndef VFS_TREE_H
#define VFS_TREE_H

#include "awsfs/store.h"
#include "journal/stage.h"
#include "journal/uploads.h"
#include "store/meta.h"
#include "util/buf.h"
#include "util/cancel.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/map.h"
#include "util/pool.h"
#include "util/timer.h"
#include "vfs/content.h"
#include "vfs/vfs.h"

#include <sys/queue.h>

enum inode_kind {
    INODE_NONE, /* the name is known not to exist: an answer of the server, or the mark of our own removal */
    INODE_FILE,
    INODE_DIR,
    INODE_SYMLINK,
    INODE_FIFO,
    INODE_SOCKET,
};

enum {
    INODE_LINKED = 1 << 0,  /* in its parent's map */
    INODE_NEW = 1 << 1,     /* not in the store yet */
    INODE_LOCAL = 1 << 2,   /* stays out of the store: an editor's file, a directory that only exists here */
    INODE_VIRTUAL = 1 << 3, /* "name@3": found by lookup only, never listed, read-only */
    INODE_SELF = 1 << 4,    /* dir/@self: the object beside the directory */
    INODE_STALE = 1 << 5,   /* to be asked for again whatever its age */
    INODE_ASKED = 1 << 6,   /* a lookup has just asked: the open that follows need not */
    INODE_NO_MARKER = 1 << 7, /* a directory known to have no marker object */
    INODE_CONFLICT = 1 << 9, /* others have the name now: what is written on through open handles is put beside it */
    INODE_UNLISTED = 1 << 10, /* a container that is there by its name (another account's) and not in the list of them */
    INODE_OUR_MTIME = 1 << 8, /* Last-Modified is our guess of a write of ours; the next listing tells it exactly */
};

struct inode {
    uint64_t ino;           /* nodeid; 0 while the kernel does not know it */
    uint64_t lookups;
    unsigned refs;          /* the parent's map, lookups > 0, children, handles, work under way */
    uint16_t flags;
    uint8_t kind;
    uint32_t mark;          /* the merge that last saw it */
    struct inode *parent;   /* counted; NULL for the root */
    char *name;
    char *component;        /* of the key; == name unless escaped */
    uint64_t checked_ms;    /* start of the request that last confirmed what it says */
    uint64_t changed_seq;   /* the last change made here, or the request that brought what it says */
    char *etag;             /* NULL: none known (new, or a directory without marker) */
    uint64_t size;
    struct timespec mtime;  /* Last-Modified, or of the last write here */
    struct store_meta *meta; /* NULL: not known */
    struct content *content; /* bytes held of this version; NULL: none */
    struct dir *dir;        /* for INODE_DIR */
    struct active *active;  /* while open or with something unsent */
};

enum posix_state { POSIX_UNKNOWN, POSIX_NO, POSIX_YES };

/* Whether one page of a listing has all names of a directory. */
enum dir_extent { DIR_UNKNOWN, DIR_ASKED /* for a name, when that was not known */, DIR_SMALL, DIR_LARGE };

struct dir {
    struct map *children;   /* inodes by name, also INODE_NONE */
    size_t negative;        /* how many of them are INODE_NONE */
    bool listed;            /* all names were known at listed_ms */
    uint64_t listed_ms, listed_seq;
    uint64_t known_seq;     /* the children say more than any request that began before this */
    bool listing;           /* a thread lists it: others wait for `changed` */
    bool listing_small;     /* that one does it for a lookup: one page at most */
    enum posix_state posix; /* attrs=auto: whether its children are looked at */
    bool sample_due;        /* all names were listed for a lookup: a listing still samples for `posix` */
    enum dir_extent extent;
    struct timer marker_timer; /* the last file went: a marker is due */
    bool marker_due;
};

/* An inode that is open or has something the store does not have. */
struct active {
    struct inode *inode;    /* owns this; not counted */
    unsigned opens, writers;
    unsigned waiters;       /* calls that wait for a sending: they see its outcome before anything is given up */
    struct stage *stage;    /* NULL: never written since it became active */
    uint64_t gen;           /* counts changes of the content */
    uint64_t sent_gen;      /* the one that is in the store */
    uint64_t failed_gen;    /* the one whose upload failed for good: not tried again by itself */
    uint64_t attr_gen, attr_sent_gen, attr_failed_gen; /* the same for attributes alone */
    bool wrote;             /* mtime is inode->mtime, not the metadata's */
    uint64_t rewrite_gen;   /* `gen` when it was truncated to nothing: until that was put, whatever is there is replaced */
    bool hollow;            /* still empty since its creation or truncation: put with its first data or at RELEASE */
    bool sending;
    struct cancel *send_cancel; /* while sending */
    bool held;              /* about to be removed or renamed: of one in vfs.holds */
    bool tried;             /* a put was begun: it may have been done though it failed */
    bool looking;           /* a HEAD for what others stored with the object is under way */
    struct err failure;     /* of failed_gen or attr_failed_gen */
    struct timer timer;     /* what has no close is sent when it fires */
    bool timer_armed;
    bool queued;            /* in vfs.unsent */
    TAILQ_ENTRY(active) link;
    LIST_ENTRY(active) sending_link;
};

TAILQ_HEAD(active_list, active);

/* Something put off that a drain waits for: a marker, a removal, the leaving of bytes in the state directory (drain.c). */
struct deferred {
    uint64_t seq;
    TAILQ_ENTRY(deferred) link;
};

TAILQ_HEAD(deferred_list, deferred);

#define VFS_REFUSED_SLOTS 32

struct refused { /* refused.c */
    uint64_t id;
    uint64_t at_ms;
};
LIST_HEAD(active_set, active);
LIST_HEAD(hold_list, hold);
LIST_HEAD(handle_list, vfs_handle);
LIST_HEAD(dir_handle_list, vfs_dir_handle);

struct vfs {
    struct store *store;
    const struct store_caps *caps;
    struct vfs_config cfg;
    char *stage_dir;        /* NULL: in secret memory */
    struct lock tree;
    struct cond changed;    /* a listing, a sending or a release ended */
    struct inode *root;
    struct map *by_ino;
    uint64_t next_ino, seq;
    uint32_t mark, last_mark; /* of the merge that is running; the last one given */
    struct active_list unsent;
    struct active_set sending;
    struct hold_list holds;
    struct handle_list handles;      /* open files and directories: the end releases them */
    struct dir_handle_list dir_handles;
    struct refused refused[VFS_REFUSED_SLOTS];
    unsigned background;    /* tasks under way that use the vfs */
    struct cancel *ending;  /* fired when the vfs ends: what the next mount can do as well is given up */
    struct deferred_list deferred; /* those of them that a drain waits for, in order of seq */
    uint64_t deferred_seq, deferred_failed;
    bool closing;           /* the vfs is being freed: nothing is put off any more */
    uint64_t n_inodes, n_handles, failed_uploads, bytes_read, bytes_written, bytes_sent;
    struct contents *contents;
    struct pool *pool;      /* uploads, heads, copies: may wait for the network */
    struct timers *timers;
    struct uploads *uploads;
    struct store_uploads copy_uploads; /* constant: for every store_copy() */
};

/* ---- inode.c */

/* One reference, not linked. NULL without memory. */
struct inode *inode_new_locked(struct vfs *v, struct inode *parent, const char *name, const char *component,
                               enum inode_kind kind);
struct inode *inode_ref_locked(struct inode *i);
void inode_unref_locked(struct vfs *v, struct inode *i);
void inode_unref(struct vfs *v, struct inode *i);

/* By nodeid; borrowed. ERR_CONFLICT when there is none. */
enum err_code inode_find_locked(struct vfs *v, uint64_t ino, struct inode **out, struct err *e) MUST_CHECK;
enum err_code inode_find_dir_locked(struct vfs *v, uint64_t ino, struct inode **out, struct err *e) MUST_CHECK;

/* Gives it to the kernel: one more lookup, a nodeid. */
enum err_code inode_give_locked(struct vfs *v, struct inode *i, struct err *e) MUST_CHECK;

/* Puts it into its parent's map, in place of what is there. ERR_NOT_FOUND: the directory itself was removed. */
enum err_code inode_link_locked(struct vfs *v, struct inode *i, struct err *e) MUST_CHECK;
/* Takes it out of its parent's map (and drops that reference): the kernel asked for what makes it go. */
void inode_detach_locked(struct vfs *v, struct inode *i);
void inode_detach_children_locked(struct vfs *v, struct inode *dir);
/* The same where others made it go: the kernel is told. */
void inode_expel_locked(struct vfs *v, struct inode *i);
struct inode *inode_child_locked(const struct inode *dir, const char *name);

/* Appends the key: "a/b" or "a/b/" for a directory, "" for the root. */
void inode_key_locked(const struct inode *i, struct buf *out);
/* False when it was moved since its key was taken. */
bool inode_key_is_locked(const struct inode *i, const char *key);
/* The path as a user sees it, below the mount. */
void inode_path_locked(const struct inode *i, struct buf *out);
/* A copy of the key; NULL without memory. */
char *inode_key_dup_locked(const struct inode *i);

/* Sets version and, if not NULL, metadata (takes a reference); forgets content of another version. */
enum err_code inode_set_version_locked(struct vfs *v, struct inode *i, const struct store_version *version,
                                       struct store_meta *meta, struct err *e) MUST_CHECK;
void inode_version_locked(const struct inode *i, struct store_version *out);
void inode_set_meta_locked(struct inode *i, struct store_meta *meta);

/* Makes sure `active` is there / drops it when nothing needs it. */
enum err_code inode_activate_locked(struct vfs *v, struct inode *i, struct err *e) MUST_CHECK;
void inode_settle_locked(struct vfs *v, struct inode *i);

static inline bool active_dirty(const struct active *a)
{
    return a->gen != a->sent_gen;
}
/* What is put replaces whatever is there (W4), and needs no base. */
static inline bool active_rewrites(const struct active *a)
{
    return a->rewrite_gen > a->sent_gen;
}
/* It has a place in the store: under its name, or beside the one who took that. */
static inline bool inode_placed(const struct inode *i)
{
    return !i->parent || (i->flags & (INODE_LINKED | INODE_CONFLICT));
}
static inline bool inode_removed_locked(const struct inode *i)
{
    return i->parent && !(i->flags & INODE_LINKED);
}
static inline bool inode_unsent(const struct inode *i)
{
    return i->active && !(i->flags & INODE_LOCAL) && (active_dirty(i->active) || i->active->attr_gen != i->active->attr_sent_gen);
}

/* The nodeid-independent st_ino of what is at that key. */
uint64_t inode_number(const char *key, size_t len);

/* ---- freshness, in inode.c: R2 */
bool inode_fresh_locked(const struct vfs *v, const struct inode *i);
bool dir_fresh_locked(const struct vfs *v, const struct inode *dir);
/* What is left of the ttl for what was confirmed at checked_ms. */
uint64_t ttl_left_ms(const struct vfs *v, uint64_t checked_ms);
/* A change was made here. */
void inode_changed_locked(struct vfs *v, struct inode *i);

/* ---- found.c: what listings say, by directory and component */

struct found_dir;

struct found {
    char *component;
    size_t len;
    bool is_dir;
    bool has_object;
    struct store_object object;
    struct timespec made;   /* of a container; 0: not told */
    struct found_dir *sub;  /* all that is below it, where the listing went there; else NULL */
};

struct found_dir *found_dir_new(void);
void found_dir_free(struct found_dir *f);
CLEANUP_DEFINE(struct found_dir, found_dir_free)

/* Takes over the entries of a page; all keys begin with `prefix`. */
enum err_code found_dir_add_page(struct found_dir *f, const char *prefix, struct store_page *page, struct err *e) MUST_CHECK;
/* Adds one component: an object (moved out of `object`, may be NULL) or a directory or both. */
enum err_code found_dir_put(struct found_dir *f, const char *component, struct store_object *object, bool is_dir,
                            struct err *e) MUST_CHECK;
enum err_code found_dir_put_container(struct found_dir *f, const char *component, const struct timespec *made,
                                      struct err *e) MUST_CHECK;
/* One component; NULL when nothing was found. */
const struct found *found_dir_get(const struct found_dir *f, const char *component);
/* The object whose key is the directory's own ("dir/"); NULL if there is none. */
const struct store_object *found_dir_marker(const struct found_dir *f);
const struct found *found_dir_next(const struct found_dir *f, size_t *cursor);

/* The object beside a directory, in it (STORE_SELF_NAMES). */
#define SELF_NAME "@self"

/* ---- merge.c: what a listing or a stat says becomes names and inodes */

struct merge {
    uint64_t seq, start_ms; /* of the request */
    bool complete;          /* these are all names there are */
    const char *prefix;     /* key of the directory */
    const char *last_key;   /* of a page that is not the last one: a directory may still follow an object; NULL */
    const char *only;       /* a component that is decided in spite of last_key; NULL */
};

/* Brings the children of `dir` in line with what was found. */
enum err_code merge_locked(struct vfs *v, struct inode *dir, const struct found_dir *f, const struct merge *m,
                           struct err *e) MUST_CHECK;
/* One object whose name is known. `out` (may be NULL) is borrowed. */
enum err_code merge_object_locked(struct vfs *v, struct inode *dir, const char *name, const char *component,
                                  const struct store_object *object, const struct merge *m, struct inode **out,
                                  struct err *e) MUST_CHECK;
/* Records that a name does not exist. */
enum err_code merge_absent_locked(struct vfs *v, struct inode *dir, const char *name, const char *component,
                                  const struct merge *m, struct err *e) MUST_CHECK;

/* A directory may be renamed while it is asked or listed: the answer is then of another place, and it is asked again. */
#define MOVED_TRIES 5

/* ---- list.c */

/* Makes the directory's names known and within ttl; lists it if need be (waiting for another thread that does). Called
 * without the lock, `dir` referenced by the caller. ERR_AGAIN with nowait. */
enum err_code list_dir(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* For a lookup: the same where one page has all the names and so serves every lookup of a ttl, at the price of one for a single
 * name. *whole false: that is not so, or not known yet, and the name is to be asked for by itself. */
enum err_code list_small(struct vfs *v, struct inode *dir, const struct vfs_caller *c, bool *whole, struct err *e) MUST_CHECK;

/* ---- resolve.c */

/* What stands under `name`, asked for if it is not known within ttl. `out` is referenced; NULL: nothing. Without the lock. */
enum err_code resolve(struct vfs *v, struct inode *dir, const char *name, const struct vfs_caller *c, struct inode **out,
                      struct err *e) MUST_CHECK;
/* The same, as a last-known answer without any request; ERR_AGAIN where that is not within ttl. `out` borrowed. */
enum err_code resolve_known_locked(struct vfs *v, struct inode *dir, const char *name, struct inode **out,
                                   struct err *e) MUST_CHECK;
/* The component a name that does not exist would get. Appends. ERR_BAD_NAME, ERR_NAME_TOO_LONG. */
enum err_code resolve_new_component_locked(struct vfs *v, struct inode *dir, const char *name, struct buf *component,
                                           struct err *e) MUST_CHECK;

/* ---- look.c: attributes that a listing does not carry */

bool look_needed_locked(const struct vfs *v, const struct inode *i);
/* Fetches the metadata of n inodes (referenced by the caller) in parallel. */
enum err_code look_many(struct vfs *v, struct inode **inodes, size_t n, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* Makes sure that the metadata of one is known, whatever attrs= says (a change must carry them along). */
enum err_code look_always(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* The same in the background, so that it is known when it is needed (W7: while the program writes). */
void look_ahead_locked(struct vfs *v, struct inode *i);
/* Decides whether the directory counts as POSIX, if that is not known: by its marker and two of the children known, or `first`
 * alone where that is not NULL. Without the lock. */
enum err_code look_sample(struct vfs *v, struct inode *dir, struct inode *first, const struct vfs_caller *c,
                          struct err *e) MUST_CHECK;

/* ---- attr.c */
void attr_fill_locked(struct vfs *v, struct inode *i, struct vfs_attr *out);
enum err_code attr_entry_locked(struct vfs *v, struct inode *i, struct vfs_entry *out, struct err *e) MUST_CHECK;
/* Asks again for an inode whose ttl has passed. Its name may have got another inode meanwhile: then ERR_CONFLICT, and the
 * kernel looks the name up again. Without the lock, `i` referenced. */
enum err_code inode_refresh(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* Metadata of something new, made by this caller. One reference; NULL without memory. */
struct store_meta *attr_new_meta(struct vfs *v, struct inode *parent, mode_t mode, const struct vfs_caller *c);

/* ---- send.c and upload.c */

/* Sends what is unsent of an inode (content, else attributes) and waits until it is in the store or has failed; starts nothing
 * for a state that has failed before unless `again`. Without the lock, `i` referenced. */
enum err_code send_wait(struct vfs *v, struct inode *i, bool again, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* The same in the background. */
void send_start_locked(struct vfs *v, struct inode *i);
/* Sends within about a second unless something else does before. */
void send_later_locked(struct vfs *v, struct inode *i);
/* Marks content or attributes as changed. */
void send_dirty_locked(struct vfs *v, struct inode *i);
/* Nobody has it open any more: what is unsent goes to the store, what failed is left in the state directory. */
void send_last_close_locked(struct vfs *v, struct inode *i);
/* True if the present state could not be sent. */
bool send_has_failed(const struct active *a);
/* Leaves what failed in the state directory; the name shows what the store has again, under a new inode. Where there is no memory
 * for that now, it is put off; `at_end` (of the vfs): it is done at once, with the lock held. */
void send_give_up_locked(struct vfs *v, struct inode *i, bool at_end);
/* After a sending or a hold: what was changed meanwhile is sent or put off, as its state asks. */
void send_rest_locked(struct vfs *v, struct inode *i);
/* Marks a sending as begun (`cancel` is taken over, may be NULL) and as ended. */
void send_begin_locked(struct vfs *v, struct inode *i, struct cancel *cancel);
void send_end_locked(struct vfs *v, struct inode *i);

/* ---- drain.c */

/* Frames what is put off: drains that begin meanwhile wait for it, and so does the end of the vfs. `failed`: something that the
 * program was told is done could not be. `d` lies in the task. */
void deferred_begin_locked(struct vfs *v, struct deferred *d);
void deferred_end_locked(struct vfs *v, struct deferred *d, bool failed);

/* ---- hold.c */

/* In the caller's storage, inodes counted by the caller. */
struct hold {
    struct inode *a, *b;  /* are removed or renamed; each may be NULL */
    struct inode *into;   /* a directory into which something is put, not below them; may be NULL */
    LIST_ENTRY(hold) link;
};
/* Waits for others and for sendings that are under way; that of `stop` (`a`, `b` or NULL) is stopped where that is safe.
 * Afterwards the caller looks again at what it knew. ERR_AGAIN with nowait. */
enum err_code hold_take(struct vfs *v, struct hold *h, struct inode *stop, const struct vfs_caller *c,
                        struct err *e) MUST_CHECK;
void hold_drop(struct vfs *v, struct hold *h);
/* True if the inode or a directory above it is held. */
bool hold_covers_locked(const struct vfs *v, const struct inode *i);

struct upload {
    const char *key;
    struct stage *stage;    /* frozen and complete */
    struct store_meta *meta; /* may be NULL */
    struct store_cond cond;
    struct cancel *cancel;
};
/* Puts the frozen state: one request or by parts. */
enum err_code upload_put(struct vfs *v, const struct upload *u, struct store_version *out, struct err *e) MUST_CHECK;

/* ---- left.c: uploads by parts that become no object */

void left_init(struct vfs *v);
/* Aborts in the background what a dead mount has left. */
void left_begin(struct vfs *v);
/* The vfs is about to be freed: aborts under way have two seconds, then they are the next mount's. */
void left_end(struct vfs *v);

/* ---- dirs.c */

/* A directory lost its last file: it stays, and gets its marker within a second unless rmdir follows. */
void dir_keep_locked(struct vfs *v, struct inode *dir);
enum err_code dir_new_locked(struct inode *i, struct err *e) MUST_CHECK;
void dir_free(struct dir *d);

/* ---- preserve.c */

/* Open readers of an inode whose object is about to go keep its bytes, where that is little (preserve.c has the rule). The inode
 * is held by the caller. An error means that nothing may be removed: the readers would lose what they can still have. */
enum err_code preserve(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e) MUST_CHECK;

/* ---- remove.c */

/* The name is gone: a mark of our own removal stays, so that an older listing does not bring it back. */
void removed_locked(struct vfs *v, struct inode *dir, struct inode *i);
/* True if it has files that the store does not know. */
bool dir_has_unsent_locked(const struct inode *dir);
/* Asks the store: nothing but the marker may be below. ERR_NOT_EMPTY. */
enum err_code check_empty(struct vfs *v, const char *key, const struct vfs_caller *c, struct err *e) MUST_CHECK;

/* ---- rename.c and rename_dir.c */

struct rename {
    struct inode *from, *to_dir, *target; /* counted by the caller; target NULL: the new name is free */
    struct inode *from_dir;
    const char *name;       /* the new one */
    char *from_key, *to_key;
    char component[1024];   /* of the new key */
};
enum err_code rename_dir(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* Sends what is unsent below a directory. */
enum err_code rename_settle_below(struct vfs *v, struct inode *dir, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* Files: within the store, from and to names that stay local (rename_local.c). */
enum err_code rename_from_local(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e) MUST_CHECK;
enum err_code rename_to_local(struct vfs *v, struct rename *r, const struct vfs_caller *c, struct err *e) MUST_CHECK;
/* A directory was moved, or its objects were: what was asked before says nothing of what is below it now. */
void rename_below_locked(struct vfs *v, struct inode *dir);
/* Moves the inode to its new name in the tree, in place of the target. */
enum err_code rename_move_locked(struct vfs *v, struct rename *r, struct err *e) MUST_CHECK;

/* ---- handle.c */
struct vfs_handle {
    unsigned refs;          /* atomic: reads that are parked outlive RELEASE */
    struct vfs *v;
    struct inode *inode;    /* counted */
    int flags;
    pid_t opener;           /* thread group that opened it; 0: not known */
    struct lock lock;       /* LOCK_VFS_HANDLE: ra */
    struct readahead ra;
    LIST_ENTRY(vfs_handle) link;
};
struct vfs_handle *handle_new_locked(struct vfs *v, struct inode *i, int flags, struct err *e);
struct vfs_handle *handle_ref(struct vfs_handle *h);
void handle_unref(struct vfs_handle *h);

/* Waits for `changed` with the tree lock held: at most 100 ms, then looks whether the caller was interrupted. */
enum err_code wait_changed_locked(struct vfs *v, const struct vfs_caller *c, struct err *e) MUST_CHECK;

/* The store_call of a caller. */
static inline struct store_call call_of(const struct vfs_caller *c)
{
    return (struct store_call){.cancel = c ? c->cancel : NULL, .urgent = true};
}

static inline bool vfs_has(const struct vfs *v, unsigned flag)
{
    return (v->caps->flags & flag) != 0;
}

/* STORE_CONTAINERS: the root holds containers only; their directories have no marker and no attributes of their own. */
static inline bool holds_containers(const struct vfs *v, const struct inode *dir)
{
    return vfs_has(v, STORE_CONTAINERS) && dir == v->root;
}
static inline bool is_container_locked(const struct vfs *v, const struct inode *i)
{
    return i->parent && holds_containers(v, i->parent);
}

/* Keys may be this long in memory (longer ones are refused before). */
#define KEY_BUF_MAX 8192

#endif
