#include "journal/left.h"
#include "journal/durable.h"
#include "journal/left_info.h"
#include "util/buf.h"
#include "util/cleanup.h"
#include "util/json.h"
#include "util/log.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define RANGES_MAX 100000
#define PARTS_MAX  100000

static bool has_info(int dir, const char *name)
{
    char info[NAME_MAX + 8];
    snprintf(info, sizeof(info), "%s" LEFT_INFO, name);
    return faccessat(dir, info, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool is_nameless(int dir, const char *name, struct stat *st)
{
    return str_starts(name, "stage-") && !str_ends(name, LEFT_INFO) && !str_ends(name, DURABLE_SUFFIX) && !has_info(dir, name) &&
           fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st->st_mode);
}

/* Whoever stages has a lock on the file (stage_bytes.c), where the file system has locks. */
static enum left_use use_of(int dir, const char *name)
{
    CLEANUP(close) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0)
        return LEFT_BY_ALL;
    return fd >= 0 && errno == EWOULDBLOCK ? LEFT_IN_USE : LEFT_NOT_KNOWN;
}

void left_each_nameless(const char *dir, void (*fn)(void *arg, const struct left_file *file), void *arg)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        struct stat st;
        if (!is_nameless(dirfd(d), entry->d_name, &st) || st.st_size == 0)
            continue;
        CLEANUP(free) char *path = str_printf("%s/%s", dir, entry->d_name);
        const struct left_file file = {.path = path, .about = {.key = "", .reason = ""}, .time = "", .size = (uint64_t)st.st_size,
                                       .use = use_of(dirfd(d), entry->d_name)};
        if (path)
            fn(arg, &file);
    }
    if (d)
        closedir(d);
}

/* Those that were not in use, or had no byte yet. */
static void remove_empty(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));) {
        struct stat st;
        if (is_nameless(dirfd(d), entry->d_name, &st) && st.st_size == 0)
            (void)unlinkat(dirfd(d), entry->d_name, 0);
    }
    if (d)
        closedir(d);
}

static void report_one(void *arg, const struct left_file *file)
{
    size_t *n = arg;
    LOG_WARN("journal", "%s: %llu bytes that were being written when an earlier mount was killed; awsfs journal lists them",
             file->path, (unsigned long long)file->size);
    ++*n;
}

size_t left_report(const char *dir)
{
    size_t n = 0;
    remove_empty(dir);
    left_each_nameless(dir, report_one, &n);
    return n;
}

/* ---- What could not be uploaded */

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static bool read_file(int dir, const char *name, struct buf *out)
{
    char piece[16384];
    ssize_t n = -1;
    CLEANUP(close) int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    while (fd >= 0 && (n = read(fd, piece, sizeof(piece))) > 0)
        buf_add(out, piece, (size_t)n);
    return n == 0 && !out->failed;
}

static int64_t number(const struct json *root, const char *name)
{
    int64_t n = 0;
    return json_int(json_get(root, name), &n) ? n : 0;
}

static const char *const origins[] = {
    [STAGE_OF_UNKNOWN] = "unknown", [STAGE_OF_NOTHING] = "new", [STAGE_OF_VERSION] = "version", [STAGE_OF_ANYTHING] = "any"};

const char *left_origin_name(enum stage_origin origin)
{
    return origins[origin];
}

static enum stage_origin origin_of(const char *name)
{
    size_t i = ARRAY_LEN(origins) - 1;
    while (i > 0 && (!name || strcmp(origins[i], name) != 0))
        i--;
    return (enum stage_origin)i;
}

static struct stage_about about_of(const struct json *root)
{
    struct stage_about about = {
        .key = or_empty(json_get_str(root, "key")),
        .reason = or_empty(json_get_str(root, "reason")),
        .origin = origin_of(json_get_str(root, "origin")),
        .etag = json_get_str(root, "etag"),
        .mode = (mode_t)number(root, "mode"),
        .uid = (uid_t)number(root, "uid"),
        .gid = (gid_t)number(root, "gid"),
        .mtime = {.tv_sec = number(root, "mtime"), .tv_nsec = number(root, "mtime_ns")},
    };
    if (about.origin == STAGE_OF_VERSION && !about.etag)
        about.origin = STAGE_OF_UNKNOWN;
    if (about.mtime.tv_nsec < 0 || about.mtime.tv_nsec >= 1000000000)
        about.mtime.tv_nsec = 0;
    return about;
}

/* Those of them that lie in the file. NULL for none, and where the list cannot be read: then *n is 0 and *whole false. */
static struct left_range *ranges_of(const struct json *root, uint64_t size, size_t *n, bool *whole)
{
    const struct json *list = json_get(root, "unfetched");
    size_t count = json_len(list) < RANGES_MAX ? json_len(list) : RANGES_MAX;
    struct left_range *ranges = count ? calloc(count, sizeof(*ranges)) : NULL;
    *n = 0;
    *whole = json_list(list) && (!count || ranges);
    for (size_t i = 0; ranges && i < count; i++) {
        int64_t offset, length;
        const struct json *one = json_at(list, i);
        if (!json_int(json_at(one, 0), &offset) || !json_int(json_at(one, 1), &length) || offset < 0 || length <= 0 ||
            (uint64_t)offset >= size) {
            *whole = false;
            continue;
        }
        uint64_t room = size - (uint64_t)offset;
        ranges[(*n)++] = (struct left_range){(uint64_t)offset, (uint64_t)length < room ? (uint64_t)length : room};
    }
    *whole = *whole && number(root, "unfetched_more") == 0;
    return ranges;
}

static bool part_of(const struct json *one, uint64_t start, struct stage_sent *out)
{
    int64_t from, size;
    const char *crc = json_str(json_at(one, 2), NULL);
    if (!json_int(json_at(one, 0), &from) || !json_int(json_at(one, 1), &size) || from < 0 || (uint64_t)from != start || size <= 0)
        return false;
    *out = (struct stage_sent){.start = start, .size = (uint64_t)size, .etag = json_str(json_at(one, 3), NULL)};
    char *end = NULL;
    if (crc)
        out->crc64nvme = strtoull(crc, &end, 16);
    return json_len(one) == 2 || (out->etag && *out->etag && end && !*end && end == crc + 16);
}

/* All of it, or nothing: then no upload is known. Frees nothing, the caller frees what it returns. */
static struct stage_sent *parts_of(const struct json *root, uint64_t size, struct stage_about *about)
{
    const struct json *list = json_get(root, "parts");
    size_t n = json_len(list);
    const char *id = json_get_str(root, "upload");
    struct stage_sent *parts = id && *id && n && n <= PARTS_MAX ? calloc(n, sizeof(*parts)) : NULL;
    uint64_t at = 0;
    for (size_t i = 0; parts && i < n; i++) {
        if (!part_of(json_at(list, i), at, &parts[i]) || parts[i].size > size - at) {
            free(parts);
            return NULL;
        }
        at += parts[i].size;
    }
    if (parts) {
        about->upload_id = id;
        about->sent = parts;
        about->n_sent = n;
    }
    return parts;
}

static bool tell(int d, const char *dir, const char *info, void (*fn)(void *arg, const struct left_file *file), void *arg)
{
    char name[NAME_MAX + 1];
    struct stat st;
    snprintf(name, sizeof(name), "%.*s", (int)(strlen(info) - strlen(LEFT_INFO)), info);
    if (fstatat(d, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return false; /* taken away by its owner */
    BUF(text, LEFT_INFO_MAX);
    struct err e = ERR_INIT;
    bool readable = read_file(d, info, &text), whole;
    CLEANUP(json_doc_free) struct json_doc *doc = readable ? json_parse(text.data, text.len, &e) : NULL;
    const struct json *root = doc ? json_root(doc) : NULL;
    CLEANUP(free) char *path = str_printf("%s/%s", dir, name);
    size_t n;
    CLEANUP(free) struct left_range *ranges = ranges_of(root, (uint64_t)st.st_size, &n, &whole);
    const struct left_range all = {0, (uint64_t)st.st_size};
    struct stage_about about = about_of(root);
    CLEANUP(free) struct stage_sent *parts = parts_of(root, (uint64_t)st.st_size, &about);
    if (!whole || (!parts && json_get(root, "upload"))) /* which bytes a version has is not known */
        about.origin = STAGE_OF_UNKNOWN;
    const struct left_file file = {
        .path = or_empty(path),
        .about = about,
        .time = or_empty(json_get_str(root, "time")),
        .size = (uint64_t)st.st_size,
        .unfetched = whole ? ranges : &all,
        .n_unfetched = whole ? n : 1,
    };
    fn(arg, &file);
    return true;
}

bool left_one(const char *dir, const char *name, void (*fn)(void *arg, const struct left_file *file), void *arg)
{
    char info[NAME_MAX + 8];
    CLEANUP(close) int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(info, sizeof(info), "%s" LEFT_INFO, name);
    return d >= 0 && has_info(d, name) && tell(d, dir, info, fn, arg);
}

void left_each(const char *dir, void (*fn)(void *arg, const struct left_file *file), void *arg)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (str_starts(entry->d_name, "stage-") && str_ends(entry->d_name, LEFT_INFO))
            (void)tell(dirfd(d), dir, entry->d_name, fn, arg);
    if (d)
        closedir(d);
}

/* The bytes go first: a description without them says nothing. */
enum err_code left_remove(const char *path, struct err *e)
{
    CLEANUP(free) char *info = str_printf("%s" LEFT_INFO, path);
    if (!info)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    if (unlink(path) != 0 && errno != ENOENT)
        return durable_failed(e, errno, "remove", path);
    if (unlink(info) != 0 && errno != ENOENT)
        return durable_failed(e, errno, "remove", info);
    return ERR_OK;
}
