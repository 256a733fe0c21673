/*
 * What an opening finds. The segments are read twice: first for the highest number that is known to have been durable and for what
 * was trimmed, then to tell of the records. A record that cannot be read and was durable is damage: its bytes are kept aside, and
 * those behind it are told of. One that was not may be a write that power loss cut short; then nothing behind it counts, because
 * what was written later may depend on it.
 */
#include "journal/durable.h"
#include "journal/wal_impl.h"
#include "util/log.h"
#include "util/str.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct replay {
    struct wal *w;
    wal_replay_fn fn;
    void *arg;
    uint64_t durable; /* every record up to this number was on the disk once */
    uint64_t trimmed; /* records below are needed no more */
    uint64_t highest;
    bool cut;         /* nothing behind counts */
};

/* A segment in memory. */
struct loaded {
    uint8_t *p;
    struct wal_scan scan;
};

static uint64_t number_of_name(const char *path)
{
    return strtoull(strrchr(path, '/') + 1, NULL, 16);
}

static bool is_blank(const uint8_t *p, size_t len)
{
    size_t n = len < WAL_HEADER_BYTES ? len : WAL_HEADER_BYTES;
    for (size_t i = 0; i < n; i++)
        if (p[i])
            return false;
    return true;
}

/* A record may be as large as it may be in a segment that has nothing else. */
static size_t load_max(const struct wal *w)
{
    size_t one = WAL_HEADER_BYTES + wal_frame_size(WAL_RECORD_MAX);
    return w->segment_bytes > one ? (size_t)w->segment_bytes : one;
}

/* ERR_NOT_FOUND: it was being made when the process died, and has no records. ERR_PROTO: its header cannot be read. */
static enum err_code load(struct wal *w, const char *path, struct loaded *out, struct err *e)
{
    size_t len;
    CLEANUP(free) uint8_t *p = NULL;
    enum err_code code = wal_segment_load(path, load_max(w), &p, &len, e);
    if (code)
        return code;
    if (is_blank(p, len))
        return err_set(e, ERR_NOT_FOUND, "%s has no header yet", path);
    struct wal_header header = {0};
    code = wal_header_decode(p, len, w->identity, &header, e);
    if (code)
        return err_prefix(e, code, "%s", path);
    if (header.first != number_of_name(path))
        return err_set(e, ERR_NOT_FOUND, "%s has the header of a former segment", path);
    out->p = TAKE(p);
    out->scan = (struct wal_scan){
        .p = out->p, .size = len, .at = WAL_HEADER_BYTES, .header = header, .next = header.first};
    return ERR_OK;
}

/* ---- The list of segments */

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_ours(const struct dirent *d)
{
    size_t len = strlen(d->d_name);
    bool suffix = str_ends(d->d_name, WAL_SUFFIX) || str_ends(d->d_name, WAL_FREE_SUFFIX);
    return suffix && strspn(d->d_name, "0123456789abcdef") == 16 && len > 16 && d->d_name[16] == '.';
}

static enum err_code remember(struct wal *w, const char *name, struct err *e)
{
    CLEANUP(free) char *path = str_printf("%s/%s", w->dir, name);
    CLEANUP(wal_segment_free) struct wal_segment *s = calloc(1, sizeof(*s));
    if (!path || !s)
        return err_set(e, ERR_NOMEM, "no memory for the journal");
    s->fd = -1;
    if (str_ends(name, WAL_FREE_SUFFIX)) {
        bool keep = w->n_free < WAL_FREE_MAX;
        if (keep) {
            w->free_bytes += w->segment_bytes;
            w->freed[w->n_free++] = (struct wal_freed){.path = TAKE(path)};
        } else if (unlink(path) != 0) {
            LOG_WARN("journal", "%s could not be removed: %s", path, strerror(errno));
        }
        return ERR_OK;
    }
    s->path = TAKE(path);
    TAILQ_INSERT_TAIL(&w->segments, s, link);
    (void)TAKE(s);
    return ERR_OK;
}

static enum err_code find_segments(struct wal *w, struct err *e)
{
    struct dirent **found;
    int n = scandir(w->dir, &found, is_ours, by_name);
    if (n < 0)
        return durable_failed(e, errno, "read", w->dir);
    enum err_code code = ERR_OK;
    for (int i = 0; i < n; i++) {
        if (!code)
            code = remember(w, found[i]->d_name, e);
        free(found[i]);
    }
    free(found);
    return code;
}

/* ---- The first reading */

static void look_at(struct replay *r, struct loaded *l)
{
    struct wal_frame f;
    enum wal_found found;
    uint64_t before = l->scan.header.first - 1; /* a segment is begun when all before it is durable */
    r->durable = r->durable > before ? r->durable : before;
    while ((found = wal_scan_next(&l->scan, &f)) != WAL_END) {
        if (found != WAL_RECORD)
            continue;
        uint64_t number;
        r->durable = r->durable > f.synced ? r->durable : f.synced;
        if (f.kind != WAL_TRIM || f.len != sizeof(number))
            continue;
        memcpy(&number, f.p, sizeof(number));
        number = le64toh(number);
        r->trimmed = r->trimmed > number ? r->trimmed : number;
    }
    r->highest = r->highest > l->scan.next - 1 ? r->highest : l->scan.next - 1;
}

static void set_aside(const char *path, const struct err *why)
{
    CLEANUP(free) char *to = str_printf("%s" WAL_DAMAGED_SUFFIX, path);
    if (to && rename(path, to) == 0)
        LOG_ERROR("journal", "%s: what it holds cannot be read; it is kept as %s", why->msg, to);
    else
        LOG_ERROR("journal", "%s: what it holds cannot be read", why->msg);
}

static void forget(struct wal *w, struct wal_segment *s)
{
    TAILQ_REMOVE(&w->segments, s, link);
    wal_segment_free(s);
}

static enum err_code look(struct replay *r, struct err *e)
{
    struct wal_segment *s = TAILQ_FIRST(&r->w->segments), *next;
    for (; s; s = next) {
        next = TAILQ_NEXT(s, link);
        struct loaded l = {0};
        struct err err = ERR_INIT;
        enum err_code code = load(r->w, s->path, &l, &err);
        if (code == ERR_NOT_FOUND) {
            s->bytes = r->w->segment_bytes;
            wal_set_free(r->w, s);
            forget(r->w, s);
        } else if (code == ERR_PROTO || code == ERR_TOO_BIG) {
            uint64_t number = number_of_name(s->path);
            r->highest = r->highest > number ? r->highest : number;
            set_aside(s->path, &err);
            r->w->damaged++;
            forget(r->w, s);
        } else if (code) {
            return err_copy(e, &err);
        } else {
            look_at(r, &l);
            s->header = l.scan.header;
            s->next = l.scan.next;
            s->bytes = l.scan.size;
        }
        free(l.p);
    }
    return ERR_OK;
}

/* ---- The second reading */

/* Keeps [from, to) of a segment in a file of its own. */
static enum err_code keep_aside(const struct wal_segment *s, const struct loaded *l, size_t from, size_t to, bool cut, struct err *e)
{
    CLEANUP(free) char *path = str_printf("%s.%zu" WAL_DAMAGED_SUFFIX, s->path, from);
    if (!path)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    enum err_code code = durable_put(path, l->p + from, to - from, e);
    if (!code && cut)
        LOG_WARN("journal", "%s ends in a record that was not written as a whole, as after a loss of power; it is kept as %s", s->path, path);
    else if (!code)
        LOG_ERROR("journal", "%s is damaged at byte %zu: what was there is kept as %s", s->path, from, path);
    return code;
}

/* What is behind must not be taken for records when numbers go on. */
static enum err_code cut_at(struct wal_segment *s, size_t at, struct err *e)
{
    CLEANUP(close) int fd = open(s->path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)at) != 0 || fsync(fd) != 0)
        return durable_failed(e, errno, "cut off", s->path);
    s->bytes = at;
    return ERR_OK;
}

static enum err_code unreadable(struct replay *r, struct wal_segment *s, struct loaded *l, size_t from, uint64_t number,
                                struct err *e)
{
    size_t end = l->scan.at;
    r->cut = number > r->durable;
    if (r->cut) { /* what was written behind it goes with it */
        struct wal_frame f;
        while (wal_scan_next(&l->scan, &f) != WAL_END)
            end = l->scan.at;
    }
    r->w->damaged += !r->cut;
    enum err_code code = keep_aside(s, l, from, end, r->cut, e);
    if (!code && r->cut) {
        code = cut_at(s, from, e);
        s->next = number;
    }
    return code;
}

static enum err_code tell(struct replay *r, struct wal_segment *s, struct loaded *l, struct err *e)
{
    for (;;) {
        struct wal_frame f;
        size_t from = l->scan.at;
        uint64_t number = l->scan.next;
        enum wal_found found = wal_scan_next(&l->scan, &f);
        enum err_code code = ERR_OK;
        if (found == WAL_END)
            return ERR_OK;
        if (found != WAL_RECORD)
            code = unreadable(r, s, l, from, number, e);
        else if (f.kind == WAL_DATA && f.number >= r->trimmed)
            code = r->fn(r->arg, f.number, f.p, f.len, e);
        if (code || r->cut)
            return code;
    }
}

/* The next one may get the same name. */
static void forget_empty(struct wal *w)
{
    struct wal_segment *s = TAILQ_FIRST(&w->segments), *next;
    for (; s; s = next) {
        next = TAILQ_NEXT(s, link);
        if (s->next != s->header.first)
            continue;
        wal_set_free(w, s);
        forget(w, s);
    }
}

enum err_code wal_replay(struct wal *w, wal_replay_fn replay, void *arg, struct err *e)
{
    struct replay r = {.w = w, .fn = replay, .arg = arg};
    enum err_code code = find_segments(w, e);
    if (!code)
        code = look(&r, e);
    struct wal_segment *s;
    TAILQ_FOREACH(s, &w->segments, link)
    {
        if (code || r.cut)
            break;
        struct loaded l = {0};
        code = load(w, s->path, &l, e);
        if (!code)
            code = tell(&r, s, &l, e);
        free(l.p);
    }
    if (!code)
        forget_empty(w);
    w->next = r.highest + 1;
    return code;
}
