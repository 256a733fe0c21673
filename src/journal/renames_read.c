/*
 * Reading the records of renames. What was written at the beginning is there as a whole or the record is damaged; what was appended
 * counts up to the first frame that is not whole.
 */
#include "journal/renames.h"

#include "journal/renames_file.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/str.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The plan and what its texts lie in. */
struct loaded {
    struct rename_plan plan;
    uint8_t *bytes;
    size_t size;
    struct record **records; /* of what is kept: the RENAME, the MEMBERs, the last FAILED, DONEs */
    size_t n, cap;
};

void rename_plan_free(struct rename_plan *plan)
{
    if (!plan)
        return;
    struct loaded *l = CONTAINER_OF(plan, struct loaded, plan);
    for (size_t k = 0; k < l->n; k++)
        record_free(l->records[k]);
    free(l->records);
    free(plan->items);
    free(l->bytes);
    free(l);
}

static enum err_code read_bytes(struct loaded *l, int fd, const char *path, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st))
        return durable_failed(e, errno, "read", path);
    if (!S_ISREG(st.st_mode) || st.st_size < (off_t)RENAMES_HEAD)
        return err_set(e, ERR_PROTO, "%s: no record of a rename", path);
    l->bytes = malloc((size_t)st.st_size);
    if (!l->bytes)
        return err_set(e, ERR_NOMEM, "no memory for the record of a rename");
    while (l->size < (size_t)st.st_size) {
        ssize_t n = pread(fd, l->bytes + l->size, (size_t)st.st_size - l->size, (off_t)l->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return durable_failed(e, errno, "read", path);
        if (n == 0)
            break;
        l->size += (size_t)n;
    }
    return ERR_OK;
}

static uint32_t u32_at(const uint8_t *p)
{
    uint32_t n;
    memcpy(&n, p, sizeof(n));
    return le32toh(n);
}

/* The record at *at, which moves behind it; NULL at the end, torn or not, with *e unset. */
static struct record *next(struct loaded *l, size_t *at, struct err *e)
{
    if (l->size - *at < RENAMES_HEAD)
        return NULL;
    const uint8_t *head = l->bytes + *at;
    size_t len = u32_at(head), room = l->size - *at - RENAMES_HEAD;
    if (len > room || len > RENAMES_FRAME_MAX || crc32c(0, head + RENAMES_HEAD, len) != u32_at(head + 4))
        return NULL;
    struct record *r = record_decode(head + RENAMES_HEAD, len, e);
    if (r)
        *at += RENAMES_HEAD + len;
    return r;
}

static enum err_code keep(struct loaded *l, struct record *r, struct err *e)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct record **grown = reallocarray(l->records, cap, sizeof(struct record *));
        if (!grown) {
            record_free(r);
            return err_set(e, ERR_NOMEM, "no memory for the record of a rename");
        }
        l->records = grown;
        l->cap = cap;
    }
    l->records[l->n++] = r;
    return ERR_OK;
}

static enum err_code need(struct loaded *l, size_t *at, enum record_kind kind, struct record **out, struct err *e)
{
    struct err why = ERR_INIT;
    struct record *r = next(l, at, &why);
    if (!r && why.code && why.code != ERR_PROTO)
        return err_copy(e, &why);
    if (!r || r->kind != kind) {
        record_free(r);
        return err_set(e, ERR_PROTO, "the record of a rename is damaged");
    }
    *out = r;
    return keep(l, r, e);
}

static enum err_code read_plan(struct loaded *l, size_t *at, struct err *e)
{
    struct rename_plan *p = &l->plan;
    struct record *r;
    enum err_code code = need(l, at, RECORD_RENAME, &r, e);
    if (code)
        return code;
    p->tree = r->tree;
    p->from = r->key;
    p->to = r->to;
    p->replaced = r->cond == RECORD_IF_MATCH ? r->cond_etag : NULL;
    p->meta = r->meta;
    p->keep_times = r->tree && r->mtime;
    p->when = r->when;
    p->n = r->tree ? (size_t)r->size : 1;
    if (p->n > l->size / RENAMES_HEAD || (!p->tree && !r->etag))
        return err_set(e, ERR_PROTO, "the record of a rename is damaged");
    p->items = calloc(p->n + 1, sizeof(*p->items));
    if (!p->items)
        return err_set(e, ERR_NOMEM, "no memory for the record of a rename");
    if (!p->tree)
        p->items[0] = (struct rename_item){.key = r->key, .etag = r->etag, .size = r->size};
    for (size_t k = 0; p->tree && k < p->n; k++) {
        if ((code = need(l, at, RECORD_MEMBER, &r, e)))
            return code;
        if (!r->etag || !r->mtime || !str_starts(r->key, p->from))
            return err_set(e, ERR_PROTO, "the record of a rename is damaged");
        p->items[k] = (struct rename_item){.key = r->key, .etag = r->etag, .size = r->size, .mtime = *r->mtime};
    }
    return ERR_OK;
}

static enum err_code read_rest(struct loaded *l, size_t at, struct err *e)
{
    struct rename_plan *p = &l->plan;
    struct record *r;
    while ((r = next(l, &at, NULL))) {
        enum err_code code = keep(l, r, e);
        if (code)
            return code;
        if (r->kind == RECORD_DONE && r->of <= p->n) {
            p->items[r->of - 1].copied = r->version_etag;
        } else if (r->kind == RECORD_FAILED) {
            p->failed = r->code;
            p->text = r->text;
            p->attempts = r->attempts;
        }
    }
    return ERR_OK;
}

static struct rename_plan *load(int fd, const char *path, struct err *err)
{
    struct err local = ERR_INIT, *e = err ? err : &local;
    struct loaded *l = calloc(1, sizeof(*l));
    size_t at = 0;
    if (!l) {
        (void)err_set(e, ERR_NOMEM, "no memory for the record of a rename");
        return NULL;
    }
    l->plan.text = "";
    l->plan.undo = str_ends(path, RENAMES_UNDO);
    if (read_bytes(l, fd, path, e) || read_plan(l, &at, e) || read_rest(l, at, e)) {
        rename_plan_free(&l->plan);
        return NULL;
    }
    return &l->plan;
}

/* Of a rename of one file nothing is synced: after a power loss there may be a name without bytes, and both files, as W6 says. */
static bool never_written(int fd)
{
    uint8_t head[RENAMES_HEAD], none[RENAMES_HEAD] = {0};
    ssize_t n = pread(fd, head, sizeof(head), 0);
    return n == 0 || (n == (ssize_t)sizeof(head) && memcmp(head, none, sizeof(head)) == 0);
}

/* Of the open file, not of the process; who only asks takes none, and is in nobody's way. */
int renames_lock(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &whole);
}

static bool is_locked(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
}

enum err_code renames_take(const char *path, struct rename_note **out, struct rename_plan **plan, struct err *e)
{
    struct stat st;
    struct err local = ERR_INIT;
    e = e ? e : &local;
    CLEANUP(close) int fd = open(path, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "%s is gone", path) : durable_failed(e, errno, "open", path);
    if (renames_lock(fd))
        return errno == EAGAIN || errno == EACCES ? err_set(e, ERR_BUSY, "the rename is under way") : durable_failed(e, errno, "lock", path);
    if (fstat(fd, &st) || st.st_nlink == 0)
        return err_set(e, ERR_NOT_FOUND, "%s is gone", path);
    if (never_written(fd) || renames_is_past(path, fd)) {
        (void)unlink(path);
        return err_set(e, ERR_NOT_FOUND, "%s says nothing any more", path);
    }
    struct rename_note *n = calloc(1, sizeof(*n));
    char *own = strdup(path);
    struct rename_plan *p = n && own ? load(fd, path, e) : NULL;
    if (!p) {
        enum err_code code = n && own ? e->code : err_set(e, ERR_NOMEM, "no memory for the record of a rename");
        free(n);
        free(own);
        return code;
    }
    *n = (struct rename_note){.path = own, .fd = fd, .durable = !renames_life_in(own)};
    fd = -1;
    *out = n;
    *plan = p;
    return ERR_OK;
}

struct rename_plan *renames_read(const char *path, bool *busy, struct err *e)
{
    CLEANUP(close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    *busy = fd >= 0 && is_locked(fd);
    if (fd < 0) {
        (void)(errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "%s is gone", path) : durable_failed(e, errno, "open", path));
        return NULL;
    }
    if (renames_is_past(path, fd)) {
        (void)err_set(e, ERR_NOT_FOUND, "%s says nothing any more", path);
        return NULL;
    }
    return load(fd, path, e);
}

enum err_code renames_each(const char *dir, void (*fn)(void *arg, const char *path, bool readable), void *arg, struct err *e)
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT ? ERR_OK : durable_failed(e, errno, "open", dir);
    enum err_code code = ERR_OK;
    for (struct dirent *found; !code && (found = readdir(d));) {
        bool aside = str_ends(found->d_name, RENAMES_ASIDE);
        if (!aside && !str_ends(found->d_name, RENAMES_SUFFIX) && !str_ends(found->d_name, RENAMES_UNDO))
            continue;
        CLEANUP(free) char *path = str_printf("%s/%s", dir, found->d_name);
        if (path)
            fn(arg, path, !aside);
        else
            code = err_set(e, ERR_NOMEM, "no memory for a path");
    }
    closedir(d);
    return code;
}

void renames_set_aside(const char *path, const struct err *why)
{
    CLEANUP(free) char *bad = str_printf("%s" RENAMES_ASIDE, path);
    if (bad && rename(path, bad) == 0)
        LOG_WARN("journal", "the record of a rename that cannot be read is now %s: %s", bad, why->msg);
}

void renames_tidy(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *found; d && (found = readdir(d));)
        if (str_ends(found->d_name, DURABLE_SUFFIX))
            (void)unlinkat(dirfd(d), found->d_name, 0);
    if (d)
        closedir(d);
}
