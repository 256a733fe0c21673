#include "writeback/body.h"

#include "journal/durable.h"
#include "journal/left.h"
#include "journal/record.h"
#include "util/digest.h"
#include "util/lock.h"
#include "util/log.h"
#include "util/map.h"
#include "util/private_dir.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CHUNK (256u << 10)
#define MEMORY_MAX (64u << 20) /* of small bodies; beyond it they are files as well */

struct rubbish {
    char *file;
    struct rubbish *next;
};

struct bodies {
    char *path;
    int dir;
    struct lock lock; /* LOCK_LEAF: all below */
    uint64_t memory;
    struct map *files; /* bodies in files, by name */
    struct rubbish *dead, *marked; /* files that nobody needs: since the mark, before it */
};

static struct map_key file_key(const void *value)
{
    const struct body *b = value;
    return (struct map_key){b->file, strlen(b->file)};
}

struct bodies *bodies_open(const char *dir, struct err *e)
{
    if (private_dir(dir, e))
        return NULL;
    CLEANUP(bodies_free) struct bodies *b = calloc(1, sizeof(*b));
    if (b) {
        lock_init(&b->lock, "bodies", LOCK_LEAF);
        b->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        b->path = strdup(dir);
        b->files = map_new(file_key);
    }
    if (!b || !b->path || !b->files) {
        (void)err_set(e, ERR_NOMEM, "no memory for the journal");
        return NULL;
    }
    if (b->dir < 0) {
        (void)durable_failed(e, errno, "open", dir);
        return NULL;
    }
    return TAKE(b);
}

static void rubbish_free(struct rubbish *r)
{
    while (r) {
        struct rubbish *next = r->next;
        free(r->file);
        free(r);
        r = next;
    }
}

void bodies_free(struct bodies *b)
{
    if (!b)
        return;
    rubbish_free(b->dead);
    rubbish_free(b->marked);
    if (b->dir >= 0)
        close(b->dir);
    lock_release(&b->lock);
    map_free(b->files);
    free(b->path);
    free(b);
}

static struct body *body_new(struct bodies *b, uint64_t size, struct err *e)
{
    struct body *body = calloc(1, sizeof(*body));
    if (body)
        *body = (struct body){.refs = 1, .size = size, .owner = b};
    else
        (void)err_set(e, ERR_NOMEM, "no memory for what is to be sent");
    return body;
}

/* One that has no file and no bytes yet. */
static void body_drop(struct body *b)
{
    if (!b)
        return;
    free(b->bytes);
    free(b->file);
    free(b);
}
CLEANUP_DEFINE(struct body, body_drop)

/* ---- In memory */

static bool memory_take(struct bodies *b, uint64_t size)
{
    LOCK_SCOPE(&b->lock);
    bool fits = size == 0 || (size <= RECORD_INLINE_MAX && b->memory + size <= MEMORY_MAX);
    if (fits)
        b->memory += size;
    return fits;
}

static void memory_give(struct bodies *b, uint64_t size)
{
    LOCK_SCOPE(&b->lock);
    b->memory -= size;
}

static enum err_code read_whole(const struct store_body *from, char *out, struct err *e)
{
    for (uint64_t at = 0; at < from->size;) {
        ssize_t n = from->read(from->arg, at, out + at, (size_t)(from->size - at));
        if (n <= 0)
            return err_set(e, ERR_IO, "what is to be sent could not be read");
        at += (uint64_t)n;
    }
    return ERR_OK;
}

static struct body *take_memory(struct bodies *b, const struct store_body *from, struct err *e)
{
    CLEANUP(body_drop) struct body *body = body_new(b, from->size, e);
    if (!body)
        return NULL;
    body->bytes = malloc((size_t)from->size + 1);
    if (!body->bytes) {
        (void)err_set(e, ERR_NOMEM, "no memory for what is to be sent");
        return NULL;
    }
    return read_whole(from, body->bytes, e) ? NULL : TAKE(body);
}

struct body *body_of_bytes(struct bodies *b, const void *p, size_t len, struct err *e)
{
    CLEANUP(body_drop) struct body *body = body_new(b, len, e);
    if (!body)
        return NULL;
    body->bytes = malloc(len + 1);
    if (!body->bytes) {
        (void)err_set(e, ERR_NOMEM, "no memory for what is to be sent");
        return NULL;
    }
    if (len)
        memcpy(body->bytes, p, len);
    LOCK_SCOPE(&b->lock);
    b->memory += len; /* it was there before */
    return TAKE(body);
}

/* ---- In a file */

static enum err_code write_all(int fd, const char *p, size_t len, const char *file, struct err *e)
{
    while (len) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return durable_failed(e, errno, "write", file);
        p += n;
        len -= (size_t)n;
    }
    return ERR_OK;
}

static enum err_code copy_to(int fd, const struct store_body *from, const char *file, struct err *e)
{
    CLEANUP(free) char *buf = malloc(CHUNK);
    if (!buf)
        return err_set(e, ERR_NOMEM, "no memory for a copy");
    for (uint64_t at = 0; at < from->size;) {
        size_t want = from->size - at < CHUNK ? (size_t)(from->size - at) : CHUNK;
        ssize_t n = from->read(from->arg, at, buf, want);
        if (n <= 0)
            return err_set(e, ERR_IO, "what is to be sent could not be read");
        enum err_code code = write_all(fd, buf, (size_t)n, file, e);
        if (code)
            return code;
        at += (uint64_t)n;
    }
    return ERR_OK;
}

static enum err_code copy_all(int fd, const struct store_body *from, const char *file, struct err *e)
{
    int errnum = posix_fallocate(fd, 0, (off_t)from->size);
    if (errnum == ENOSPC || errnum == EDQUOT)
        return durable_failed(e, errnum, "make room for", file);
    return copy_to(fd, from, file, e);
}

/* -1 where whoever has the bytes cannot give a file of them. */
static int given_file(const struct bodies *b, const struct store_body *from, const char *name)
{
    struct err why = ERR_INIT;
    struct stat st;
    if (!from->give || from->give(from->arg, b->dir, name, &why) != ERR_OK)
        return -1;
    CLEANUP(close) int fd = openat(b->dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == from->size) {
        int good = fd;
        fd = -1;
        return good;
    }
    unlinkat(b->dir, name, 0);
    return -1;
}

/* The directory's entry is durable too. */
static enum err_code fill(struct bodies *b, int fd, const struct store_body *from, bool given, const char *file, struct err *e)
{
    enum err_code code = given ? ERR_OK : copy_all(fd, from, file, e);
    if (!code && fdatasync(fd) != 0)
        code = durable_failed(e, errno, "sync", file);
    if (!code && fsync(b->dir) != 0)
        code = durable_failed(e, errno, "sync the directory of", file);
    return code;
}

static enum err_code register_file(struct bodies *b, struct body *body, struct err *e)
{
    LOCK_SCOPE(&b->lock);
    return map_put(b->files, body, e);
}

static struct body *take_file(struct bodies *b, const struct store_body *from, struct err *e)
{
    uint64_t random[2];
    random_bytes(random, sizeof(random));
    CLEANUP(body_drop) struct body *body = body_new(b, from->size, e);
    if (!body)
        return NULL;
    body->file = str_printf("%016llx%016llx", (unsigned long long)random[0], (unsigned long long)random[1]);
    CLEANUP(free) char *path = body->file ? str_printf("%s/%s", b->path, body->file) : NULL;
    if (!path) {
        (void)err_set(e, ERR_NOMEM, "no memory for a name");
        return NULL;
    }
    CLEANUP(close) int fd = given_file(b, from, body->file);
    bool given = fd >= 0;
    if (!given)
        fd = openat(b->dir, body->file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        (void)durable_failed(e, errno, "make", path);
        return NULL;
    }
    if (fill(b, fd, from, given, path, e) == ERR_OK && register_file(b, body, e) == ERR_OK)
        return TAKE(body);
    if (unlinkat(b->dir, body->file, 0) != 0)
        LOG_WARN("writeback", "%s: %s", path, strerror(errno));
    return NULL;
}

struct body *body_of_file(struct bodies *b, const char *name, uint64_t size, struct err *e)
{
    lock_take(&b->lock);
    struct body *known = map_get(b->files, name, strlen(name));
    if (known)
        body_ref(known);
    lock_drop(&b->lock);
    if (known)
        return known;
    CLEANUP(body_drop) struct body *body = body_new(b, size, e);
    if (!body)
        return NULL;
    body->file = strdup(name);
    if (!body->file) {
        (void)err_set(e, ERR_NOMEM, "no memory for a name");
        return NULL;
    }
    return register_file(b, body, e) ? NULL : TAKE(body);
}

enum err_code body_check(const struct body *body, struct err *e)
{
    struct stat st;
    if (!body->file)
        return ERR_OK;
    bool there = fstatat(body->owner->dir, body->file, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (there && S_ISREG(st.st_mode) && (uint64_t)st.st_size == body->size)
        return ERR_OK;
    if (!there && errno != ENOENT)
        return durable_failed(e, errno, "look at", body->file);
    return err_set(e, ERR_PROTO, "%s/%s is %s", body->owner->path, body->file, there ? "not as long as the journal says" : "not there");
}

struct body *body_take(struct bodies *b, const struct store_body *from, struct err *e)
{
    if (!memory_take(b, from->size))
        return take_file(b, from, e);
    struct body *body = take_memory(b, from, e);
    if (!body)
        memory_give(b, from->size);
    return body;
}

struct body *body_ref(struct body *b)
{
    __atomic_add_fetch(&b->refs, 1, __ATOMIC_RELAXED);
    return b;
}

void body_unref(struct body *body)
{
    if (!body)
        return;
    struct bodies *b = body->owner;
    lock_take(&b->lock);
    bool last = __atomic_sub_fetch(&body->refs, 1, __ATOMIC_ACQ_REL) == 0;
    if (last && body->bytes)
        b->memory -= body->size;
    if (last && body->file) {
        struct rubbish *r = malloc(sizeof(*r)); /* without memory the next mount sweeps it up */
        (void)map_remove(b->files, body->file, strlen(body->file));
        if (r)
            *r = (struct rubbish){TAKE(body->file), b->dead};
        b->dead = r ? r : b->dead;
    }
    lock_drop(&b->lock);
    if (last)
        body_drop(body);
}

/* ---- Files that nobody needs any more */

void bodies_mark(struct bodies *b)
{
    LOCK_SCOPE(&b->lock);
    while (b->dead) {
        struct rubbish *r = b->dead;
        b->dead = r->next;
        r->next = b->marked;
        b->marked = r;
    }
}

void bodies_tidy(struct bodies *b)
{
    lock_take(&b->lock);
    struct rubbish *list = TAKE(b->marked);
    lock_drop(&b->lock);
    for (const struct rubbish *r = list; r; r = r->next)
        if (unlinkat(b->dir, r->file, 0) != 0 && errno != ENOENT)
            LOG_WARN("writeback", "%s/%s: %s", b->path, r->file, strerror(errno));
    rubbish_free(list);
}

/* The name that it has then, malloc'd; NULL where it stays. */
static char *set_aside(const struct bodies *b, const char *name)
{
    CLEANUP(free) char *to = str_printf("../%s.damaged", name);
    if (to && renameat(b->dir, name, b->dir, to) == 0)
        return str_printf("%s/%s", b->path, to);
    LOG_ERROR("writeback", "%s/%s could not be moved aside: %s", b->path, name, to ? strerror(errno) : "out of memory");
    return NULL;
}

void body_set_aside(const struct body *body, const char *key, const char *reason)
{
    struct stat st;
    struct err e = ERR_INIT;
    if (!body->file || fstatat(body->owner->dir, body->file, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return;
    CLEANUP(free) char *path = set_aside(body->owner, body->file);
    if (path && left_describe(path, key, (uint64_t)st.st_size, reason, &e))
        LOG_WARN("writeback", "no description beside %s: %s", path, e.msg);
}

static void keep_aside(const struct bodies *b, const char *name)
{
    CLEANUP(free) char *path = set_aside(b, name);
    if (path)
        LOG_ERROR("writeback", "%s/%s: nothing readable in the journal says what it is of; it is kept as %s", b->path, name, path);
}

static void sweep(const struct bodies *b, const char *name, bool keep)
{
    if (keep)
        keep_aside(b, name);
    else if (unlinkat(b->dir, name, 0) != 0)
        LOG_WARN("writeback", "%s/%s: %s", b->path, name, strerror(errno));
}

void bodies_sweep(struct bodies *b, bool keep)
{
    DIR *d = opendir(b->path);
    struct dirent *entry;
    while (d && (entry = readdir(d)) != NULL) {
        const char *name = entry->d_name;
        LOCK_SCOPE(&b->lock);
        if (name[0] != '.' && !map_get(b->files, name, strlen(name)))
            sweep(b, name, keep);
    }
    if (d)
        closedir(d);
}

/* ---- Reading */

int body_open(const struct body *b, struct err *e)
{
    if (!b->file)
        return -1;
    int fd = openat(b->owner->dir, b->file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    (void)durable_failed(e, errno, "open", b->file);
    return -2;
}

ssize_t body_read(const struct body *b, int fd, uint64_t offset, void *buf, size_t len)
{
    if (offset >= b->size)
        return 0;
    if (b->size - offset < len)
        len = (size_t)(b->size - offset);
    if (b->bytes) {
        memcpy(buf, b->bytes + offset, len);
        return (ssize_t)len;
    }
    ssize_t n;
    do
        n = pread(fd, buf, len, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n;
}
