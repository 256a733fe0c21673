/*
 * Read-ahead across files: what its parts share. Private to src/vfs/neighbours*; everything is protected by the tree lock.
 * neighbours.c keeps the account, neighbours_dirs.c the directories and the places in their order, neighbours_streams.c the readers,
 * neighbours_rounds.c those who go from directory to directory.
 */
#ifndef VFS_NEIGHBOURS_IMPL_H
#define VFS_NEIGHBOURS_IMPL_H

#include "vfs/neighbours.h"
#include "vfs/neighbours_held.h"
#include "vfs/neighbours_order.h"
#include "vfs/tree.h"

#define STREAMS      16                /* readers of one directory that are told apart */
#define ROUND_MAX    64                /* directories read in turn */

/* How fast somebody reads. */
struct pace {
    uint64_t read_us; /* when it read last */
    uint32_t gap_us;  /* between two of its files, smoothed; 0: not known */
};

struct stream {
    uint64_t id;      /* 0: free */
    size_t next;      /* where the reader would go on */
    size_t ahead;     /* files before this were fetched, or passed over */
    size_t tail;      /* files before this are not looked at any more */
    unsigned run;     /* files it read in order */
    unsigned window;  /* files ahead; 0: not RUNNING */
    uint64_t used_at; /* the count of reads, to replace the one that was least recently used */
    struct pace pace;
};

/* A directory in which files are read. */
struct followed {
    struct inode *dir;   /* counted */
    struct inode *first; /* counted: the only file read so far; or NULL */
    struct order order;
    struct stream streams[STREAMS];
    unsigned need;       /* files in order that make a reader RUNNING */
    unsigned skip, skips; /* reads that are not in the order before it is made anew; what `skip` begins with */
    unsigned remakes;    /* of the order without anything being used */
    bool used;           /* something was, since it was made */
    uint64_t read_ms;
    TAILQ_ENTRY(followed) link;
};

TAILQ_HEAD(followed_list, followed);

/* Directories in which one file each is read in turn. */
struct rounds {
    struct followed *dir[ROUND_MAX]; /* in the order of a round */
    unsigned n, at;                  /* `at`: where the last read was */
    bool known;                      /* the order is; else it is gathered */
    unsigned window;                 /* files ahead */
    struct inode *last;              /* counted: the file read last, in whatever directory; NULL: none */
    struct pace pace;
};

struct neighbours {
    struct held held;
    struct map *by_dir;
    struct followed_list oldest_first;
    struct rounds rounds;
    uint64_t streams, reads; /* ever */
    unsigned allowed;
    uint64_t allowed_ms;
    struct neighbours_stats stats;
    struct timer timer;
    bool timer_armed, ended;
};

/* ---- The account (neighbours.c) */

/* A file that was fetched ahead will not be used: its reader gets fewer. */
void neighbours_lose_locked(struct vfs *v, struct held_file *file);
/* The allowance lets one more file be fetched. */
bool neighbours_may_fetch_locked(const struct neighbours *n);
/* Time gives some of the allowance back. */
void neighbours_earn_time_locked(struct neighbours *n);
/* What is old is looked for from time to time, as long as there is anything. */
void neighbours_arm_locked(struct vfs *v);

/* ---- Directories (neighbours_dirs.c) */

/* NULL: nobody reads there. */
struct followed *followed_get_locked(const struct neighbours *n, const struct inode *dir);
/* The same, begun if need be; it has been read in just now. NULL without memory. */
struct followed *followed_note_locked(struct vfs *v, struct inode *dir);
void followed_forget_locked(struct vfs *v, struct followed *f);

/* There is an order, with a reader in it: made for the only file that was read, if need be. False: without memory. */
bool followed_begin_locked(struct vfs *v, struct followed *f);
/* The file's position; false while it is not known. One file alone costs nothing but this. */
bool followed_find_locked(struct vfs *v, struct followed *f, struct inode *i, size_t *at);
/* The file at that position was read before, or is read now. */
bool followed_seen(const struct followed *f, size_t at);
void followed_mark_seen(struct followed *f, size_t at);
/* The next position that was not, if that is near: files are passed over that others have read. */
size_t followed_past_seen(const struct followed *f, size_t at);

/* ---- Readers (neighbours_streams.c) */

/* A reader that has read the file at that position, in place of the one that was least recently there. */
void stream_start_locked(struct neighbours *n, struct followed *f, size_t at);

/* A pause counts as two round trips at most: after it the reader goes on as before. */
void pace_note_locked(struct vfs *v, struct pace *p);

/* What may be fetched now for one reader. */
struct ahead_account {
    unsigned out, window; /* files that are ahead of him, and how many may be */
    unsigned pace;        /* what he takes within two round trips */
    uint64_t room;        /* bytes */
};
void ahead_begin_locked(struct vfs *v, const struct pace *p, unsigned window, struct ahead_account *out);
/* Adds the file at that position, unless it is read already or cannot be fetched. False: it has to wait, as all behind it. */
bool ahead_fetch_locked(struct vfs *v, struct ahead_account *a, struct followed *f, struct stream *s, size_t at,
                        struct neighbours_plan *plan);

/* ---- Directories in turn (neighbours_rounds.c) */

/* A file there is read for the first time. True: it is the next one of a known round. */
bool rounds_read_locked(struct vfs *v, struct followed *f, struct inode *i, enum content_hand hand);
/* What was read there was not the file that comes next. */
void rounds_break_locked(struct vfs *v, struct followed *f);
/* Adds what is to be fetched of the round that was begun. */
void rounds_plan_locked(struct vfs *v, struct neighbours_plan *plan);
/* Nobody reads in that directory any more; in none. */
void rounds_gone_locked(struct vfs *v, const struct followed *f);
void rounds_end_locked(struct vfs *v);

#endif
