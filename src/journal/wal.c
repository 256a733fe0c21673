/*
 * Appending, syncing, trimming. The last segment is the only one that is written to. Before the next one is begun it is synced, so
 * what is not durable is always in the last one.
 */
#include "journal/wal.h"

#include "journal/durable.h"
#include "journal/wal_impl.h"
#include "util/log.h"
#include "util/str.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define SEGMENT_BYTES (16u << 20)

static struct wal_segment *last(const struct wal *w)
{
    return TAILQ_LAST(&w->segments, wal_segments);
}

/* ---- Opening */

static enum err_code take_lock(struct wal *w, struct err *e)
{
    CLEANUP(free) char *path = str_printf("%s/lock", w->dir);
    if (!path)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    w->lock_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (w->lock_fd < 0)
        return durable_failed(e, errno, "open", path);
    if (flock(w->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return ERR_OK;
    return errno == EWOULDBLOCK ? err_set(e, ERR_BUSY, "%s: another process has this journal open", w->dir)
                                : durable_failed(e, errno, "lock", path);
}

static enum err_code begin_segment(struct wal *w, struct err *e)
{
    struct err local = ERR_INIT;
    e = e ? e : &local;
    uint64_t bytes = w->segment_bytes;
    struct wal_freed *reuse = w->n_free > 0 ? &w->freed[--w->n_free] : NULL;
    struct wal_segment *s = wal_segment_create(w->dir, w->identity, w->next, reuse, bytes, e);
    if (reuse)
        free(reuse->path);
    if (reuse)
        w->free_bytes -= w->free_bytes < bytes ? w->free_bytes : bytes;
    if (!s)
        return e->code;
    TAILQ_INSERT_TAIL(&w->segments, s, link);
    return ERR_OK;
}

struct wal *wal_open(const struct wal_config *c, wal_replay_fn replay, void *arg, struct err *e)
{
    struct err local = ERR_INIT;
    e = e ? e : &local;
    CLEANUP(wal_free) struct wal *w = calloc(1, sizeof(*w));
    if (!w) {
        (void)err_set(e, ERR_NOMEM, "no memory for the journal");
        return NULL;
    }
    lock_init(&w->lock, "wal", LOCK_WAL);
    cond_init(&w->synced);
    TAILQ_INIT(&w->segments);
    w->lock_fd = -1;
    w->next = 1;
    w->segment_bytes = c->segment_bytes ? c->segment_bytes : SEGMENT_BYTES;
    w->dir = strdup(c->dir);
    w->identity = strdup(c->identity);
    if (!w->dir || !w->identity) {
        (void)err_set(e, ERR_NOMEM, "no memory for the journal");
        return NULL;
    }
    if (take_lock(w, e) || wal_replay(w, replay, arg, e))
        return NULL;
    w->durable = w->next - 1;
    enum err_code code;
    do
        code = begin_segment(w, e);
    while (code == ERR_NOSPC && c->make_room && c->make_room(c->room_arg));
    return code ? NULL : TAKE(w);
}

void wal_free(struct wal *w)
{
    if (!w)
        return;
    struct wal_segment *s = last(w);
    if (s && s->fd >= 0 && w->durable + 1 < w->next && !w->failure.code && fdatasync(s->fd) != 0)
        LOG_ERROR("journal", "sync %s: %s", s->path, strerror(errno));
    while ((s = TAILQ_FIRST(&w->segments)) != NULL) {
        TAILQ_REMOVE(&w->segments, s, link);
        wal_segment_free(s);
    }
    for (size_t i = 0; i < w->n_free; i++)
        free(w->freed[i].path);
    if (w->lock_fd >= 0)
        close(w->lock_fd);
    cond_release(&w->synced);
    lock_release(&w->lock);
    free(w->dir);
    free(w->identity);
    free(w);
}

/* ---- Syncing */

static void sync_ended_locked(struct wal *w, uint64_t upto, int errnum)
{
    lock_assert_held(&w->lock);
    w->syncs++;
    if (errnum) {
        (void)durable_failed(&w->failure, errnum, "sync the journal in", w->dir);
        LOG_ERROR("journal", "%s: nothing more is taken until the journal is opened anew", w->failure.msg);
    } else if (w->durable < upto) {
        w->durable = upto;
    }
    cond_broadcast(&w->synced);
}

/* Only one at a time, so that others which come meanwhile share the next. */
static void sync_locked(struct wal *w)
{
    lock_assert_held(&w->lock);
    uint64_t upto = w->next - 1;
    int fd = last(w)->fd;
    w->syncing = true;
    lock_drop(&w->lock);
    int errnum = fdatasync(fd) == 0 ? 0 : errno;
    lock_take(&w->lock);
    w->syncing = false;
    sync_ended_locked(w, upto, errnum);
}

static enum err_code sync_upto_locked(struct wal *w, uint64_t number, struct err *e)
{
    while (w->durable < number) {
        if (w->failure.code)
            return err_copy(e, &w->failure);
        if (w->syncing)
            (void)cond_wait(&w->synced, &w->lock, UINT64_MAX);
        else
            sync_locked(w);
    }
    return ERR_OK;
}

enum err_code wal_sync(struct wal *w, uint64_t number, struct err *e)
{
    LOCK_SCOPE(&w->lock);
    return sync_upto_locked(w, number < w->next ? number : w->next - 1, e);
}

/* ---- Appending */

/* Leaves a last segment that has room for `bytes` more. Others may append while the lock is given up for a sync. */
static enum err_code make_room_locked(struct wal *w, size_t bytes, struct err *e)
{
    for (;;) {
        const struct wal_segment *s = last(w);
        if (s->end == WAL_HEADER_BYTES || (s->end < w->segment_bytes && bytes <= w->segment_bytes - s->end))
            return ERR_OK;
        enum err_code code = sync_upto_locked(w, w->next - 1, e);
        if (code)
            return code;
        bool idle = !w->syncing && w->durable + 1 == w->next;
        if (idle && s == last(w) && (code = begin_segment(w, e)))
            return code;
    }
}

static enum err_code append_locked(struct wal *w, enum wal_kind kind, const void *p, size_t len, uint64_t *number,
                                   struct err *e)
{
    if (w->failure.code)
        return err_copy(e, &w->failure);
    enum err_code code = make_room_locked(w, wal_frame_size(len), e);
    if (code)
        return code;
    struct wal_frame f = {.kind = kind, .number = w->next, .synced = w->durable, .p = p, .len = len};
    code = wal_segment_write(last(w), &f, e);
    if (code)
        return code;
    *number = w->next++;
    w->appends++;
    return ERR_OK;
}

enum err_code wal_append(struct wal *w, const void *p, size_t len, uint64_t *number, struct err *e)
{
    if (len > WAL_RECORD_MAX)
        return err_set(e, ERR_TOO_BIG, "a record of %zu bytes is too large for the journal", len);
    LOCK_SCOPE(&w->lock);
    return append_locked(w, WAL_DATA, p, len, number, e);
}

/* ---- Trimming */

void wal_set_free(struct wal *w, const struct wal_segment *s)
{
    CLEANUP(free) char *plain = str_ndup(s->path, strlen(s->path) - strlen(WAL_SUFFIX));
    CLEANUP(free) char *to = plain ? str_printf("%s" WAL_FREE_SUFFIX, plain) : NULL;
    bool keep = to && w->n_free < WAL_FREE_MAX && s->bytes <= w->segment_bytes;
    if (keep && rename(s->path, to) == 0) {
        w->free_bytes += s->bytes;
        w->freed[w->n_free++] = (struct wal_freed){.path = TAKE(to), .written = s->written};
    } else if (unlink(s->path) != 0) {
        LOG_WARN("journal", "%s could not be removed: %s", s->path, strerror(errno));
    }
}

/* True if all of its records are below `number`. */
static bool is_passed(const struct wal *w, const struct wal_segment *s, uint64_t number)
{
    return s && s != last(w) && s->next <= number;
}

/* That they are needed no more is said in the log before they go: a filesystem may bring one of them back after a power loss. */
void wal_trim(struct wal *w, uint64_t number)
{
    struct err err = ERR_INIT;
    uint64_t said = 0, stored = htole64(number);
    LOCK_SCOPE(&w->lock);
    if (!is_passed(w, TAILQ_FIRST(&w->segments), number))
        return;
    enum err_code code = append_locked(w, WAL_TRIM, &stored, sizeof(stored), &said, &err);
    if (!code)
        code = sync_upto_locked(w, said, &err);
    if (code)
        return; /* they stay; who appends the next record hears of it */
    struct wal_segment *s;
    while (!w->syncing && is_passed(w, s = TAILQ_FIRST(&w->segments), number)) {
        TAILQ_REMOVE(&w->segments, s, link);
        wal_set_free(w, s);
        wal_segment_free(s);
    }
}

void wal_stats(struct wal *w, struct wal_stats *out)
{
    LOCK_SCOPE(&w->lock);
    *out = (struct wal_stats){
        .next = w->next,
        .oldest = TAILQ_FIRST(&w->segments)->header.first,
        .bytes = w->free_bytes,
        .appends = w->appends,
        .syncs = w->syncs,
        .failed = w->failure.code != ERR_OK,
        .damaged = w->damaged,
    };
    const struct wal_segment *s;
    TAILQ_FOREACH(s, &w->segments, link)
        out->bytes += s->bytes;
}
