#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wal_support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool hold, held;
    int errnum;
    uint64_t room, written, reached;
    unsigned type;
    int flags;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .room = UINT64_MAX};

/* ---- Records */

static void fill(unsigned char *p, unsigned id, size_t len)
{
    memcpy(p, &id, sizeof(id));
    for (size_t k = sizeof(id); k < len; k++)
        p[k] = (unsigned char)(id * 31 + k * 7 + 1);
}

enum err_code rig_tell(void *arg, uint64_t number, const void *p, size_t len, struct err *e)
{
    struct rig *r = arg;
    unsigned id;
    assert_true(len >= sizeof(id) && r->n < 1024);
    memcpy(&id, p, sizeof(id));
    unsigned char *expected = malloc(len);
    fill(expected, id, len);
    assert_memory_equal(p, expected, len);
    free(expected);
    r->told[r->n++] = id;
    return ERR_OK;
}

uint64_t rig_append(struct rig *r, unsigned id, size_t len)
{
    struct err e = ERR_INIT;
    uint64_t number = 0;
    len = len < 4 ? 4 : len;
    unsigned char *p = malloc(len);
    fill(p, id, len);
    if (wal_append(r->wal, p, len, &number, &e))
        fail_msg("%s", e.msg);
    free(p);
    return number;
}

void rig_sync(struct rig *r)
{
    struct err e = ERR_INIT;
    if (wal_sync(r->wal, UINT64_MAX, &e))
        fail_msg("%s", e.msg);
}

void rig_expect(const struct rig *r, unsigned from, unsigned to)
{
    assert_int_equal(r->n, to - from);
    for (unsigned k = 0; k < r->n; k++)
        assert_int_equal(r->told[k], from + k);
}

void rig_expect_without(const struct rig *r, unsigned to, unsigned missing)
{
    assert_int_equal(r->n, to - (missing < to));
    for (unsigned k = 0; k < r->n; k++)
        assert_int_equal(r->told[k], k + (k >= missing));
}

/* ---- The log */

void rig_open(struct rig *r)
{
    struct err e = ERR_INIT;
    r->n = 0;
    r->wal = wal_open(&r->config, rig_tell, r, &e);
    if (!r->wal)
        fail_msg("%s", e.msg);
}

void rig_make(struct rig *r, uint64_t segment_bytes)
{
    scratch_make(&r->dir);
    disk.reached = 0;
    r->config = (struct wal_config){
        .dir = r->dir.path, .identity = "s3://bucket/ at https://example.com", .segment_bytes = segment_bytes};
    rig_open(r);
}

void rig_close(struct rig *r)
{
    wal_free(r->wal);
    r->wal = NULL;
}

void rig_reopen(struct rig *r)
{
    rig_close(r);
    rig_open(r);
}

void rig_remove(struct rig *r)
{
    rig_close(r);
    scratch_remove(&r->dir);
}

/* ---- Its files */

unsigned rig_files(const struct rig *r, const char *suffix)
{
    return scratch_count(&r->dir, suffix, NULL, 0);
}

void rig_clear(const struct rig *r, const char *suffix)
{
    char path[160];
    while (scratch_count(&r->dir, suffix, path, sizeof(path)) > 0)
        assert_int_equal(unlink(path), 0);
}

static int is_segment(const struct dirent *d)
{
    size_t len = strlen(d->d_name);
    return len > 4 && strcmp(d->d_name + len - 4, ".wal") == 0;
}

static char *load(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    char *p = malloc(*len + 1);
    assert_int_equal(fread(p, 1, *len, f), *len);
    fclose(f);
    return p;
}

static size_t end_of(const char *p, size_t len)
{
    while (len > 4096 && p[len - 1] == 0)
        len--;
    return (len + 7) / 8 * 8;
}

/* The nth segment, or with `with_records` the last one that has any. */
static void find(const struct rig *r, bool with_records, unsigned nth, char path[160])
{
    struct dirent **names;
    int n = scandir(r->dir.path, &names, is_segment, alphasort);
    *path = '\0';
    for (int k = 0; k < n; k++) {
        char one[400];
        size_t len;
        snprintf(one, sizeof(one), "%s/%s", r->dir.path, names[k]->d_name);
        char *p = load(one, &len);
        if (with_records ? end_of(p, len) > 4096 : (unsigned)k == nth)
            snprintf(path, 160, "%.159s", one);
        free(p);
        free(names[k]);
    }
    free(names);
    assert_true(*path);
}

uint64_t rig_end(const struct rig *r)
{
    char path[160];
    size_t len;
    find(r, true, 0, path);
    char *p = load(path, &len);
    size_t end = end_of(p, len);
    free(p);
    return end;
}

static void patch(const char *path, uint64_t at, const void *p, size_t len)
{
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, p, len, (off_t)at), len);
    close(fd);
}

void rig_patch(const struct rig *r, uint64_t at, const void *p, size_t len)
{
    char path[160];
    find(r, true, 0, path);
    patch(path, at, p, len);
}

void rig_patch_first(const struct rig *r, unsigned nth, const void *p, size_t len)
{
    char path[160];
    find(r, false, nth, path);
    patch(path, 0, p, len);
}

void snapshot_take(struct snapshot *s, const struct rig *r)
{
    find(r, true, 0, s->path);
    s->p = load(s->path, &s->len);
    s->end = end_of(s->p, s->len);
}

void snapshot_restore(const struct snapshot *s)
{
    scratch_write(s->path, s->p, s->len);
}

void snapshot_put(const struct snapshot *s, const struct rig *r, uint64_t cut)
{
    rig_clear(r, ".wal");
    rig_clear(r, ".free");
    rig_clear(r, ".damaged");
    char *p = malloc(s->len);
    memcpy(p, s->p, s->len);
    if (cut < s->len)
        memset(p + cut, 0, s->len - cut);
    scratch_write(s->path, p, s->len);
    free(p);
}

void snapshot_release(struct snapshot *s)
{
    free(s->p);
}

/* ---- The disk: these take the place of libc's */

int fdatasync(int fd)
{
    pthread_mutex_lock(&disk.lock);
    disk.held = disk.hold;
    pthread_cond_broadcast(&disk.changed);
    while (disk.hold)
        pthread_cond_wait(&disk.changed, &disk.lock);
    disk.held = false;
    int errnum = disk.errnum;
    pthread_mutex_unlock(&disk.lock);
    if (errnum) {
        errno = errnum;
        return -1;
    }
    return 0;
}

/* Nothing here loses power: waiting for the disk would only cost time. */
int fsync(int fd)
{
    return 0;
}

int posix_fallocate(int fd, off_t at, off_t len)
{
    struct stat st;
    if ((uint64_t)len > disk.room)
        return ENOSPC;
    return fstat(fd, &st) != 0 || (st.st_size < at + len && ftruncate(fd, at + len) != 0) ? errno : 0;
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at)
{
    ssize_t all = 0;
    for (int k = 0; k < n; k++) {
        size_t len = parts[k].iov_len < disk.room ? parts[k].iov_len : disk.room;
        ssize_t done = len > 0 ? pwrite(fd, parts[k].iov_base, len, at + all) : 0;
        if (done < 0)
            return done;
        all += done;
        disk.written += (uint64_t)done;
        if ((uint64_t)at <= disk.reached && (uint64_t)(at + all) > disk.reached)
            disk.reached = (uint64_t)(at + all);
        if (disk.room != UINT64_MAX)
            disk.room -= (uint64_t)done;
        if ((size_t)done < parts[k].iov_len)
            break;
    }
    if (all == 0)
        errno = ENOSPC;
    return all > 0 ? all : -1;
}

int fstatfs(int fd, struct statfs *st)
{
    *st = (struct statfs){.f_type = disk.type};
    return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
    if (request != FS_IOC_GETFLAGS) {
        errno = ENOTTY;
        return -1;
    }
    va_list args;
    va_start(args, request);
    *va_arg(args, int *) = disk.flags;
    va_end(args);
    return 0;
}

void disk_hold(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.hold = true;
    pthread_mutex_unlock(&disk.lock);
}

void disk_wait_held(void)
{
    pthread_mutex_lock(&disk.lock);
    while (!disk.held)
        pthread_cond_wait(&disk.changed, &disk.lock);
    pthread_mutex_unlock(&disk.lock);
}

void disk_release(void)
{
    pthread_mutex_lock(&disk.lock);
    disk.hold = false;
    pthread_cond_broadcast(&disk.changed);
    pthread_mutex_unlock(&disk.lock);
}

void disk_fail(int errnum)
{
    pthread_mutex_lock(&disk.lock);
    disk.errnum = errnum;
    pthread_mutex_unlock(&disk.lock);
}

uint64_t disk_written(void)
{
    return disk.written;
}

uint64_t disk_reached(void)
{
    return disk.reached;
}

void disk_is(unsigned type, int flags)
{
    disk.type = type;
    disk.flags = flags;
}

void disk_fill(uint64_t bytes)
{
    disk.room = bytes;
}
