/* What status shows: counters, and what is not in the store. */
#include "journal/left.h"
#include "util/clock.h"
#include "util/str.h"
#include "vfs/beside.h"
#include "vfs/inode.h"
#include "vfs/neighbours.h"
#include "vfs/refill.h"
#include "vfs/send.h"

#include <string.h>

void vfs_settle_cache(struct vfs *v, unsigned wait_ms)
{
    beside_settle(v->beside, wait_ms);
}

void vfs_stats(struct vfs *v, struct vfs_stats *out)
{
    struct content_stats c;
    struct refill_stats r;
    contents_stats(v->contents, &c);
    beside_stats(v->beside, &r);
    LOCK_SCOPE(&v->tree);
    *out = (struct vfs_stats){
        .inodes = map_size(v->by_ino),
        .names = v->n_inodes + v->n_records,
        .handles = v->n_handles,
        .failed_uploads = v->failed_uploads,
        .memory_used = c.memory_used,
        .memory_limit = v->cfg.memory,
        .parked_reads = c.parked,
        .bytes_read = __atomic_load_n(&v->bytes_read, __ATOMIC_RELAXED),
        .bytes_fetched = c.fetched_bytes,
        .bytes_written = v->bytes_written,
        .bytes_sent = v->bytes_sent,
        .block_hits = c.hits,
        .block_misses = c.misses,
        .bytes_uncached = c.unkept + r.lost,
        .bytes_refilled = r.got,
        .refill_waiting = r.waiting,
        .refill_memory = r.memory,
    };
    struct neighbours_stats n;
    neighbours_stats_locked(v, &n);
    out->files_ahead = n.fetched;
    out->files_ahead_used = n.used;
    out->files_ahead_unused = n.unused;
    struct active *a;
    TAILQ_FOREACH(a, &v->unsent, link) {
        out->dirty_files++;
        out->dirty_bytes += active_dirty(a) ? a->inode->size : 0;
    }
}

struct note {
    char *path, *file;
    uint64_t size, age_ms;
    unsigned attempts;
    char error[ERR_MSG_SIZE];
};

static bool note_locked(const struct active *a, struct note *out)
{
    BUF(path, KEY_BUF_MAX);
    inode_path_locked(a->inode, &path);
    const char *file = a->stage ? stage_path(a->stage) : NULL;
    *out = (struct note){.path = buf_take(&path), .file = strdup(file ? file : ""), .size = a->inode->size,
                         .age_ms = clock_mono_ms() - a->since_ms, .attempts = a->attempts};
    if (send_has_failed(a))
        memcpy(out->error, a->failure.msg, sizeof(out->error));
    return out->path && out->file;
}

static void note_release(struct note *n)
{
    free(n->path);
    free(n->file);
}

static size_t take_notes(struct vfs *v, bool failed, struct note **out)
{
    size_t n = 0, cap = 0;
    struct active *a;
    LOCK_SCOPE(&v->tree);
    TAILQ_FOREACH(a, &v->unsent, link)
        cap++;
    *out = calloc(cap + 1, sizeof(**out));
    if (!*out)
        return 0;
    TAILQ_FOREACH(a, &v->unsent, link) {
        if (failed && !send_has_failed(a))
            continue;
        if (!note_locked(a, *out + n)) {
            note_release(*out + n);
            break;
        }
        n++;
    }
    return n;
}

struct teller {
    void (*fn)(void *arg, const struct vfs_unsent *file);
    void *arg;
};

static void tell_left(void *arg, const struct left_file *left)
{
    const struct teller *t = arg;
    struct vfs_unsent file = {left->path, left->path, left->about.reason, left->time, left->size, 0, 0};
    CLEANUP(free) char *path = *left->about.key ? str_printf("/%s", left->about.key) : NULL;
    if (path)
        file.path = path;
    if (!*file.error)
        file.error = "not stored; its description cannot be read";
    t->fn(t->arg, &file);
}

static void count_left(void *arg, const struct left_file *left)
{
    ++*(uint64_t *)arg;
}

uint64_t vfs_kept(struct vfs *v)
{
    uint64_t n = 0;
    if (v->stages)
        left_each(stage_pool_dir(v->stages), count_left, &n);
    return n;
}

void vfs_each_unsent(struct vfs *v, bool failed, void (*fn)(void *arg, const struct vfs_unsent *file), void *arg)
{
    struct note *notes;
    size_t n = take_notes(v, failed, &notes);
    for (size_t k = 0; k < n; k++) {
        struct vfs_unsent file = {notes[k].path, notes[k].file, notes[k].error, "", notes[k].size, notes[k].age_ms,
                                  notes[k].attempts};
        fn(arg, &file);
        note_release(&notes[k]);
    }
    free(notes);
    struct teller teller = {fn, arg};
    if (failed && v->stages)
        left_each(stage_pool_dir(v->stages), tell_left, &teller);
}
