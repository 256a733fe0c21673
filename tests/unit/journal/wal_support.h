/* A log in a directory of its own, files that can be damaged, and a disk that can be held, full or broken. */
#ifndef TEST_JOURNAL_WAL_SUPPORT_H
#define TEST_JOURNAL_WAL_SUPPORT_H

#include "journal/wal.h"
#include "scratch.h"

#include <stddef.h>
#include <stdint.h>

struct rig {
    struct scratch dir;
    struct wal_config config;
    struct wal *wal;
    unsigned told[1024]; /* the ids of the records that the last opening told of */
    size_t n;
};

/* A record has an id, which its bytes and its length follow from: the ones that are told of are checked against it. */
void rig_make(struct rig *r, uint64_t segment_bytes);
void rig_open(struct rig *r);
void rig_close(struct rig *r);
void rig_reopen(struct rig *r);
void rig_remove(struct rig *r);
enum err_code rig_tell(void *arg, uint64_t number, const void *p, size_t len, struct err *e);

/* At least 4 bytes. Returns its number. */
uint64_t rig_append(struct rig *r, unsigned id, size_t len);
/* Everything appended. */
void rig_sync(struct rig *r);

/* That the last opening told of ids [from, to), or of all below `to` but one. */
void rig_expect(const struct rig *r, unsigned from, unsigned to);
void rig_expect_without(const struct rig *r, unsigned to, unsigned missing);

/* Files whose names end so; and their removal. */
unsigned rig_files(const struct rig *r, const char *suffix);
void rig_clear(const struct rig *r, const char *suffix);

/* Where the last segment's records end, bytes, while it is open and only `segment_bytes` of zeros are behind them. */
uint64_t rig_end(const struct rig *r);

/* Overwrites bytes of the last segment but empty ones, of a closed log; of the `nth` segment from the first. */
void rig_patch(const struct rig *r, uint64_t at, const void *p, size_t len);
void rig_patch_first(const struct rig *r, unsigned nth, const void *p, size_t len);

/* A segment's bytes: of the first one that has records. */
struct snapshot {
    char path[160];
    char *p;
    size_t len, end; /* `end`: behind its last byte that is not zero, a multiple of eight */
};
void snapshot_take(struct snapshot *s, const struct rig *r);
/* Leaves a log that has nothing but this segment, with zeros from `cut` on. */
void snapshot_put(const struct snapshot *s, const struct rig *r, uint64_t cut);
/* Puts the file back beside the others. */
void snapshot_restore(const struct snapshot *s);
void snapshot_release(struct snapshot *s);

/* The next fdatasync() waits until disk_release(); every one fails with `errnum` unless it is 0; pwritev() has room for `bytes` more, and
 * tells how many it has written, and up to where it has in whole, in any file since rig_make(). The filesystem is of a type of
 * linux/magic.h (0: none that matters), its files have `flags` of FS_IOC_GETFLAGS. */
void disk_hold(void);
void disk_wait_held(void);
void disk_release(void);
void disk_fail(int errnum);
void disk_fill(uint64_t bytes);
uint64_t disk_written(void);
uint64_t disk_reached(void);
void disk_is(unsigned type, int flags);

#endif
