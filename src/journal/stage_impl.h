/*
 * The inside of a staging file. `lock` is held over every change and all local I/O. The maps change under both locks
 * and may be read under either, so that who asks for a size or an extent never waits for a disk. What the maps say of a
 * byte decides; where no extent says HELD or OVER, the files may hold anything.
 */
#ifndef JOURNAL_STAGE_IMPL_H
#define JOURNAL_STAGE_IMPL_H

#include "journal/stage.h"
#include "journal/stage_bytes.h"
#include "journal/stage_map.h"
#include "util/lock.h"

struct stage_part { /* a range whose bytes are being sent, or were; under map_lock */
    uint64_t start, end;
    bool touched, frozen_touched; /* changed since it was watched; as it was at the freeze */
};

#define STAGE_SUM_BYTES (8ULL << 20)

struct stage_sum {
    uint64_t crc;
    bool known;
};

struct stage_sums {             /* of what was written in order (stage_sums.c); changes under both locks */
    uint64_t step;              /* constant */
    uint64_t at;                /* where the next byte in order is expected */
    struct stage_sum last;      /* of what is there of the stretch that `at` is in */
    struct stage_sum *whole;    /* of the stretches before it */
    size_t n, cap;
    uint64_t frozen_at, cut;    /* `at` and `last` at the freeze; from where on things changed since, UINT64_MAX: nowhere */
    struct stage_sum frozen_last;
};

struct stage_same { /* stage_same.c; under map_lock */
    uint8_t *bits;
    size_t cap;
    uint64_t upto; /* nothing behind it is the same */
    uint64_t step; /* constant */
};

struct stage {
    struct lock lock;     /* LOCK_STAGE */
    struct lock map_lock; /* LOCK_LEAF */
    char *dir, *path;     /* NULL in memory */
    struct stage_pool *pool; /* NULL: the file is removed at the end */
    bool reopened;           /* others have a descriptor of it; under `lock` */
    uint64_t size_max;    /* bytes that the file may have */
    struct stage_bytes main;
    struct stage_bytes over; /* what was written while frozen; no file while !over_open */
    bool over_open;
    struct stage_map live, frozen; /* `frozen` is empty unless is_frozen; it has no OVER */
    bool is_frozen;
    bool lent; /* others have the main file too: it does not change (stage_lend.c) */
    struct stage_part *parts; /* ascending */
    size_t n_parts, parts_cap;
    uint64_t low; /* the smallest size since the freeze */
    size_t arriving;      /* bytes that are being written though their writer has gone on (stage_arrive.c); 0: none. Under both locks */
    uint64_t arriving_at;
    struct cond arrived;
    struct err lost;      /* why bytes are LOST */
    struct stage_sums sums;
    struct stage_same same, same_frozen; /* of the live and of the frozen state */
    struct stage_same same_since;        /* what the live one has in common with the frozen one */
};

/* The lock, once nothing arrives any more. */
#define STAGE_SCOPE(s)      \
    LOCK_SCOPE(&(s)->lock); \
    stage_settle_locked(s)
void stage_settle_locked(struct stage *s);

/* Until nothing arrives before `end`. */
void stage_wait_for(struct stage *s, uint64_t end);

/* Why bytes are LOST, where some are. */
enum err_code stage_check_whole_locked(const struct stage *s, struct err *e) MUST_CHECK;

/* Moves what the overlay has to the main file, about `budget` bytes; `*more` tells whether some is left. A failure
 * loses nothing: what could not be moved stays where it is. */
enum err_code stage_merge_locked(struct stage *s, uint64_t budget, bool *more, struct err *e) MUST_CHECK;

/* The main file may be changed afterwards. Not while frozen. ERR_NOSPC, ERR_IO. */
enum err_code stage_own_locked(struct stage *s, struct err *e) MUST_CHECK;

/* The main file is lent, and is what the map says as it is. */
bool stage_is_as_lent_locked(const struct stage *s, const struct stage_map *m);

/* What is watched of [start, end) has changed. After the change: who sends may have read it before. */
void stage_touch_locked(struct stage *s, uint64_t start, uint64_t end);

/* ERR_BUSY where a byte of [start, end) is only in an upload. */
enum err_code stage_check_here_locked(const struct stage *s, uint64_t start, uint64_t end, struct err *e) MUST_CHECK;

void stage_same_init(struct stage_same *m);
/* With map_lock held. */
void stage_same_all(struct stage_same *m, uint64_t size);
void stage_same_changed_locked(struct stage *s, uint64_t start, uint64_t end);
void stage_same_freeze_locked(struct stage *s);
void stage_same_thaw_locked(struct stage *s);
void stage_same_release(struct stage_same *m);

void stage_sums_init(struct stage_sums *m);
/* [offset, offset + len) is `p` now, NULL: something else; or the file ends at `size`. Before stage_touch_locked(). */
void stage_sums_wrote_locked(struct stage *s, uint64_t offset, const void *p, size_t len);
void stage_sums_cut_locked(struct stage *s, uint64_t size);
/* With map_lock held. */
void stage_sums_freeze_locked(struct stage *s);
void stage_sums_thaw_locked(struct stage *s);

/* Ends the freeze; the overlay is still to be merged. */
void stage_unfreeze_locked(struct stage *s);

#endif
