/*
 * The structures that the files of src/vfs share: the tree of names. What works on them has a header a file, or a concern.
 * Private to this folder.
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
#include "journal/stage_pool.h"
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
#include "vfs/open_mode.h"
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
    INODE_VIRTUAL = 1 << 3, /* "name@3": found by lookup only, never listed */
    INODE_SELF = 1 << 4,    /* dir/@self: the object beside the directory */
    INODE_STALE = 1 << 5,   /* to be asked for again whatever its age */
    INODE_ASKED = 1 << 6,   /* a lookup has just asked: the open that follows need not */
    INODE_NO_MARKER = 1 << 7, /* a directory known to have no marker object */
    INODE_CONFLICT = 1 << 9, /* others have the name now: what is written on through open handles is put beside it */
    INODE_UNLISTED = 1 << 10, /* a container that is there by its name (another account's) and not in the list of them */
    INODE_READ = 1 << 11, /* has been read; the order of its directory, which will be made, has to be told */
    INODE_WRITTEN = 1 << 14, /* was written by this mount, or is about to be: has had a stage, or was made by backing_part() */
    INODE_PARTED = 1 << 15, /* a fresh inode has taken the name: handles that read go on, nothing of it is changed any more */
    INODE_SEALED = 1 << 12, /* its bytes come with an open and go with the last close; in between its size is 0 */
    INODE_VIEW = 1 << 13,  /* a rendering (view.h) */
    INODE_OUR_MTIME = 1 << 8, /* Last-Modified is our guess of a write of ours; the next listing tells it exactly */
};

struct inode {
    uint64_t ino;           /* nodeid; 0 while the kernel does not know it */
    uint64_t lookups;
    unsigned refs;          /* the parent's map, lookups > 0, children, handles, work under way */
    uint16_t flags;
    uint8_t kind;
    bool listed;            /* its name has a record in the directory's catalog, which is taken (listed.h) */
    bool fixed;             /* cannot be changed, and nothing below it: a version, what is made of others */
    bool remembered;        /* `meta` is what an earlier mount knew (remember.h): asked for again before it is carried along */
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
enum dir_extent { DIR_UNKNOWN, DIR_ASKED /* for a name, when that was not known */, DIR_ASKED_TWICE, DIR_SMALL, DIR_LARGE };

struct dir {
    struct vfs *vfs;
    struct inode *inode;    /* owns this; not counted */
    struct map *children;   /* inodes by name, also INODE_NONE */
    struct catalog *names;  /* names that a listing brought and nobody has asked for (listed.h); NULL: none */
    struct listing *under_way; /* the listing that goes on in the background (listing.h); NULL: none */
    bool under_way_shown;   /* it can be joined: what its names are looked at for is decided */
    size_t negative;        /* how many of them are INODE_NONE */
    uint32_t lookups;       /* of its names, by programs; wraps */
    bool listed;            /* all names were known at listed_ms */
    struct ranges *ranges;  /* stretches that were listed; NULL: none (ranges.h) */
    uint64_t doubt_seq;     /* pages of listings that began before this tell nothing any more */
    uint32_t walk;          /* the walk whose pages last told names; 0: none (walk.h) */
    uint32_t listed_walk;   /* by whose pages it was listed; 0: by itself */
    bool has_dirs;          /* directories were seen in it */
    bool narrow;            /* a page without delimiter ended in its first directory: it says nothing of the next */
    uint8_t missed;         /* pages in succession that did not complete the child they were for */
    uint32_t opened_below;  /* children that were opened since it was, */
    uint64_t opened_ms;     /* at this time; 0: never */
    uint64_t listed_ms, listed_seq;
    uint64_t known_seq;     /* the children say more than any request that began before this */
    bool listing;           /* a thread lists it: others wait for `changed` */
    bool listing_small;     /* that one does it for a lookup: one page at most */
    bool taking;            /* that one looks for what an earlier mount knew (saved.h), */
    uint64_t saved_tried_ms; /* as somebody did then; 0: nobody yet */
    enum posix_state posix; /* attrs=auto: whether its children are looked at */
    uint8_t beside;         /* names that were asked for by a HEAD too, to find that out */
    bool posix_shared;      /* NO, by what was sampled elsewhere in the same listing */
    unsigned pages_coming;  /* whose beginning has answered a lookup; the last one since then: */
    uint64_t page_coming_ms;
    bool sample_due;        /* all names were listed for a lookup: a listing still samples for `posix` */
    enum dir_extent extent;
    struct timer marker_timer; /* the last file went: a marker is due */
    bool marker_due;
};

/* A local file that serves open files (backing.h). */
struct backing_file {
    bool any;
    bool unsound;           /* there is none (any more), where one serves handles that are open */
    int fd;                 /* borrowed from `keep` */
    void *keep;             /* the source's */
    struct store_version version; /* whose bytes these are */
};

/* What has the whole bytes of versions as local files. */
struct backing_source {
    /* A descriptor, open for reading, of a file with exactly that version's bytes, checked, that nobody ever changes; it stays until
     * close(*keep). -1: there is none. May touch the disk, not the network. Without locks. NULL: there is no source. */
    int (*open)(void *arg, const char *key, const struct store_version *version, void **keep);
    void (*close)(void *arg, void *keep);
    void *arg;
};

#define ACTIVE_UNORDERED UINT64_MAX

/* An inode that is open or has something the store does not have. */
struct active {
    struct inode *inode;    /* owns this; not counted */
    unsigned opens, writers;
    struct open_mode mode;  /* of its handles */
    struct backing_file backing; /* in OPEN_PASSTHROUGH, and of handles for which that was refused */
    unsigned waiters;       /* calls that wait for a sending: they see its outcome before anything is given up */
    struct stage *stage;    /* NULL: never written since it became active */
    uint64_t gen;           /* counts changes of the content */
    uint64_t sent_gen;      /* the one that is in the store */
    uint64_t failed_gen;    /* the one whose upload failed for good: not tried again by itself */
    uint64_t attr_gen, attr_sent_gen, attr_failed_gen; /* the same for attributes alone */
    bool wrote;             /* mtime is inode->mtime, not the metadata's */
    uint64_t rewrite_gen;   /* `gen` when it was truncated to nothing: until that was put, whatever is there is replaced */
    bool hollow;            /* still empty since its creation or truncation: put with its first data or at RELEASE */
    uint64_t in_order;      /* bytes that were written one after the other from empty on; ACTIVE_UNORDERED: not so */
    struct early *early;    /* parts that are sent while it is written; NULL: none */
    bool early_tried;
    bool sending;
    struct cancel *send_cancel; /* while sending */
    bool send_brief;        /* while sending: by a call that may not wait */
    bool held;              /* about to be removed or renamed: of one in vfs.holds */
    uint64_t since_ms;      /* when it became unsent */
    unsigned attempts;      /* to send it, since then */
    bool tried;             /* a put was begun: it may have been done though it failed */
    bool looking;           /* a HEAD for what others stored with the object is under way */
    struct err failure;     /* of failed_gen or attr_failed_gen */
    bool told;              /* a call has had that error */
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
#define VIEWS_KEPT 32
#define VIEWS_KEPT_BYTES (32u << 20)
#define VFS_CONFLICTS 32

/* Bytes that were put beside an object that others changed (conflicts.c). */
struct conflict {
    char *path, *kept; /* the file; the key of what was written here */
    struct timespec when;
};

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
    struct stage_pool *stages; /* NULL: in secret memory */
    struct lock tree;
    struct cond changed;    /* a listing, a sending or a release ended */
    struct inode *root;
    struct map *by_ino;
    uint64_t next_ino, seq, last_backing;
    struct beside *beside;         /* the disk cache; NULL: none */
    struct backing_source backing; /* constant while files are open */
    uint32_t mark, last_mark; /* of the merge that is running; the last one given */
    struct active_list unsent;
    struct active_set sending;
    struct hold_list holds;
    struct handle_list handles;      /* open files and directories: the end releases them */
    struct dir_handle_list dir_handles;
    struct refused refused[VFS_REFUSED_SLOTS];
    struct inode *views[VIEWS_KEPT]; /* counted; view.c */
    size_t n_views;
    bool made_any; /* a name made of others was looked for */
    uint64_t views_bytes;
    uint64_t view_refused_id, view_refused_ms; /* what was logged last */
    struct conflict conflicts[VFS_CONFLICTS]; /* the last ones, number n at n % VFS_CONFLICTS */
    uint64_t n_conflicts;
    unsigned background;    /* tasks under way that use the vfs */
    struct cancel *ending;  /* fired when the vfs ends: what the next mount can do as well is given up */
    struct deferred_list deferred; /* those of them that a drain waits for, in order of seq */
    uint64_t deferred_seq, deferred_failed;
    bool closing;           /* the vfs is being freed: nothing is put off any more */
    uint64_t n_records;     /* names that are not taken, in all catalogs */
    unsigned in_vain;       /* guesses of standin.c in succession that found nothing, */
    uint64_t in_vain_ms;    /* the last one at this time */
    uint64_t untold; /* files that could not be stored, of which no call was told */
    uint64_t n_inodes, n_handles, failed_uploads, bytes_read, bytes_written, bytes_sent;
    struct contents *contents;
    struct neighbours *neighbours;
    struct walks *walks;
    struct refresh *refresh;
    struct pool *pool;      /* uploads, heads, copies: may wait for the network */
    struct pool *resumers;  /* renames that are finished by their records: for no other task that waits for them */
    struct pool *listers;   /* pages of large directories: wait for the network */
    bool unordered;         /* atomic: a listing came out of order: none is taken apart into ranges any more */
    struct timers *timers;
    struct uploads *uploads;
    char *renames_dir;      /* of the records of renames; NULL: none are kept */
    unsigned resuming;      /* tasks that finish what an earlier mount has begun of renames */
    LIST_HEAD(resume_list, resume_task) resume_waiting; /* for their time; counted in `background` */
    struct timer resume_timer;
    LIST_HEAD(unfinished_list, unfinished) unfinished; /* unfinished.c */
    unsigned n_unfinished;  /* atomic: of these */
    struct store_uploads copy_uploads; /* constant: for every store_copy() */
};

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
