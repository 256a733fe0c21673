/*
 * A staging file: the bytes of one inode that is being written, and what is known of its extents. An extent is HELD (its bytes
 * are here), BASE (its bytes are those of the version it started from, to be fetched when needed) or a HOLE (zeros). The file
 * is sparse and local; for stores whose contents must never reach a disk it is secret memory.
 *
 * While it is frozen (an upload reads it) writes and truncations go to an overlay, so that what is sent is one state; readers
 * see both at once. thaw() merges them.
 *
 * Thread-safe: one lock per stage (LOCK_STAGE), held during local I/O only. stage_size(), stage_frozen_size(),
 * stage_local_bytes(), stage_extent_at() and stage_complete() do not wait for it: any lock of a lower rank than LOCK_LEAF may
 * be held.
 */
#ifndef JOURNAL_STAGE_H
#define JOURNAL_STAGE_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct stage;
struct stage_pool;

/* A new staging file in `dir` (mode 0600, a name of its own), or in secret memory when `dir` is NULL: then at most
 * `memory_max` bytes. `base_size`: bytes of the version it starts from, all BASE; 0 for a new or truncated file.
 * ERR_NOSPC, ERR_IO. */
struct stage *stage_new(const char *dir, uint64_t base_size, uint64_t memory_max, struct err *e);

/* The same with a file of `pool`, which must outlive it. */
struct stage *stage_new_in(struct stage_pool *pool, uint64_t base_size, struct err *e);

/* Removes the file, or gives it back to its pool. NULL is fine. */
void stage_free(struct stage *s);
CLEANUP_DEFINE(struct stage, stage_free)

/* What the bytes that are left behind were to become: a new object, a change of one version, or in the place of whatever there is. */
enum stage_origin { STAGE_OF_UNKNOWN, STAGE_OF_NOTHING, STAGE_OF_VERSION, STAGE_OF_ANYTHING };

/* A part of an upload, from the first of the file on, in order and without gaps; their numbers begin with 1. */
struct stage_sent {
    uint64_t start, size, crc64nvme;
    const char *etag; /* NULL: its bytes are here, and count */
};

struct stage_about {
    const char *key, *reason;
    const char *upload_id; /* where bytes are only in an upload: which, and its parts. NULL: none */
    const struct stage_sent *sent;
    size_t n_sent;
    enum stage_origin origin;
    const char *etag; /* with STAGE_OF_VERSION */
    mode_t mode;      /* 0: this and the next three are not known */
    uid_t uid;
    gid_t gid;
    struct timespec mtime;
};

/* Leaves the file and writes `NAME.info` (JSON: what is above, size, time, bytes that are not in the file) beside it (logged where it
 * cannot), synced. The path is put into `path`. Frees `s` whatever happens; an error says that the file is there but not whole.
 * In memory: ERR_UNSUPPORTED, and it is wiped. */
enum err_code stage_abandon(struct stage *s, const struct stage_about *about, char *path, size_t path_size, struct err *e) MUST_CHECK;

/* The staging file's path, constant; NULL in memory. */
const char *stage_path(const struct stage *s);

/* A descriptor of its own for reading, also after stage_free(): from then on the file is not used for another stage. -1: in memory, or it
 * cannot be opened. */
int stage_reopen(struct stage *s);

/* All or nothing. Grows the size when it writes beyond it (a gap is a HOLE). ERR_NOSPC, ERR_TOO_BIG (over the memory_max),
 * ERR_BUSY (sent away). */
enum err_code stage_write(struct stage *s, uint64_t offset, const void *p, size_t len, struct err *e) MUST_CHECK;

/* A write in two steps, between which its writer may be told that it is done. The first takes the bytes' place: with `append`, whose
 * offset is put into *offset, or where the size is *offset. It waits for no disk but of others who write, and may say false: then it
 * has changed nothing, and stage_write() or stage_append() is the way. After it the size counts them, and whoever wants bytes, or to
 * change something, waits for the second, which always follows, on any thread, and blocks on the disk. So nobody who is needed for that
 * (the vfs's tree lock) may wait for it. */
bool stage_arrive(struct stage *s, size_t len, bool append, uint64_t *offset) MUST_CHECK;

/* ERR_NOSPC, ERR_IO: still under way; call it again, after stage_send_away() perhaps, or stage_lose(). */
enum err_code stage_arrived(struct stage *s, const void *p, struct err *e) MUST_CHECK;

/* The disk does not take them: from then on each write, stage_freeze() and stage_check_whole() fail with `why`, and reading those bytes is
 * ERR_IO, until they are zeroed or cut off. */
void stage_lose(struct stage *s, const struct err *why);

/* Why bytes were lost, where some were. Waits for what arrives. */
enum err_code stage_check_whole(struct stage *s, struct err *e) MUST_CHECK;

/* Appends in one step: the offset it got is put into *offset. */
enum err_code stage_append(struct stage *s, const void *p, size_t len, uint64_t *offset, struct err *e) MUST_CHECK;

/* Shrinking forgets what was beyond (also of the base), growing adds a HOLE. */
enum err_code stage_truncate(struct stage *s, uint64_t size, struct err *e) MUST_CHECK;

/* Makes [offset, offset + len) a HOLE and gives its space back. Beyond the size it changes nothing unless `grow`: then the size
 * is at least its end afterwards. */
enum err_code stage_zero(struct stage *s, uint64_t offset, uint64_t len, bool grow, struct err *e) MUST_CHECK;

/* Gives an empty one a base of that size: all of it is BASE. False where it has bytes or is frozen; then nothing has changed. */
bool stage_rebase(struct stage *s, uint64_t base_size);

/* Takes local space for [offset, offset + len), so that writing there does not fail for want of it; grows the size to its end
 * only with `grow`. Where the filesystem cannot reserve, nothing is. While it is frozen what is written goes elsewhere, and may
 * still find the disk full. ERR_NOSPC: nothing has changed. */
enum err_code stage_reserve(struct stage *s, uint64_t offset, uint64_t len, bool grow, struct err *e) MUST_CHECK;

uint64_t stage_size(struct stage *s);

/* Bytes that the disk still takes; UINT64_MAX where that is not known, or in memory. */
uint64_t stage_disk_room(const struct stage *s);

/* Bytes that take local space. */
uint64_t stage_local_bytes(struct stage *s);

enum stage_extent { STAGE_HELD, STAGE_BASE, STAGE_HOLE, STAGE_SENT /* only in an upload */, STAGE_END };

/* What is at `offset` and for how many bytes; STAGE_END at or beyond the size. With `frozen` of the frozen state. */
enum stage_extent stage_extent_at(struct stage *s, uint64_t offset, bool frozen, uint64_t *len);

/* The frozen state is an object now: what does not change from then on is the same there. While it is frozen. Waits for no disk. */
void stage_put_done(struct stage *s);

/* Whether the bytes at `offset` are, where they are held or not, those of the object that it was last put as or started from, and for
 * how many bytes that is so. Some that are may be said not to be. Waits for no disk. */
bool stage_same_at(struct stage *s, uint64_t offset, bool frozen, uint64_t *len);

/* True if no byte of the state must come from the base. */
bool stage_complete(struct stage *s, bool frozen);

/* Copies what is HELD and zeros for a HOLE into `buf`, leaving the places of BASE bytes untouched: the caller has put those
 * there. Returns the bytes up to the size (0 beyond). */
enum err_code stage_read(struct stage *s, uint64_t offset, void *buf, size_t len, bool frozen, size_t *out,
                         struct err *e) MUST_CHECK;

/* The CRC-64/NVME of [start, start + len), where it is known because those bytes were written in order. Waits for those of them that
 * arrive. */
bool stage_crc(struct stage *s, uint64_t start, uint64_t len, bool frozen, uint64_t *crc);

/* As stage_read(), for who sends: does not wait for those who write. Of the frozen state it is the same; else what is written
 * meanwhile may be there or not, byte by byte, and whoever sends learns of it by stage_touched(). */
enum err_code stage_read_sending(struct stage *s, uint64_t offset, void *buf, size_t len, bool frozen, size_t *out,
                                 struct err *e) MUST_CHECK;

/* Base bytes that were fetched: only what is still BASE is taken, also in the frozen state. */
enum err_code stage_fill(struct stage *s, uint64_t offset, const void *p, size_t len, struct err *e) MUST_CHECK;

/* ---- Parts that are sent while the program still writes (stage_watch.c). All but stage_send_away() and stage_come_back() wait for
 * no disk. */

/* From now on it is noted whether [start, start + len) changes. Ranges come in ascending order and do not overlap. ERR_NOMEM. */
enum err_code stage_watch(struct stage *s, uint64_t start, uint64_t len, struct err *e) MUST_CHECK;

/* Whether the watched range that begins there has changed since: up to now, or up to the freeze. True where none begins there. */
bool stage_touched(struct stage *s, uint64_t start, bool frozen);

/* The watched range that begins there is in an upload and unchanged: its local bytes go, and their space. Until
 * stage_come_back() reading and writing them is ERR_BUSY, and truncating to an offset before their end, but to 0. False where it has
 * changed. Not while frozen. */
bool stage_send_away(struct stage *s, uint64_t start);

/* Whether some bytes are only in an upload. */
bool stage_is_away(struct stage *s);

/* The upload is an object now: what was sent away is BASE. */
void stage_come_back(struct stage *s);

/* Watches nothing any more. */
void stage_unwatch(struct stage *s);

/* Makes `name` in the directory `dir` (a descriptor) a file of the frozen state, without copying it: a clone, or a second name of the
 * staging file, which then gets a copy of its own before it changes. To be synced by the caller. What is sent later is that state
 * whatever is written on. ERR_UNSUPPORTED where bytes are missing, in memory, or where the filesystem cannot; ERR_IO. */
enum err_code stage_lend(struct stage *s, int dir, const char *name, struct err *e) MUST_CHECK;

/* Freeze: asserts that it is not frozen. The frozen size stays readable by stage_frozen_size(). */
enum err_code stage_freeze(struct stage *s, struct err *e) MUST_CHECK;
uint64_t stage_frozen_size(struct stage *s);

/* Ends the freeze and merges the overlay. Where the disk cannot take that now (logged), the overlay stays in use and the next
 * freeze merges it, or fails: nothing is lost. */
enum err_code stage_thaw(struct stage *s, struct err *e) MUST_CHECK;

#endif
