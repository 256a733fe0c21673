/* Staging files that are nobody's any more: what an earlier mount was killed over, and what could not be uploaded. */
#include "journal/stage.h"
#include "util/buf.h"
#include "util/cleanup.h"
#include "util/json.h"
#include "util/log.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INFO     ".info"
#define INFO_MAX (16u * 1024 * 1024)

static bool has_info(int dir, const char *name)
{
    char info[NAME_MAX + 8];
    snprintf(info, sizeof(info), "%s" INFO, name);
    return faccessat(dir, info, F_OK, 0) == 0;
}

size_t stage_report_left(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return 0;
    size_t n = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        struct stat st;
        if (!str_starts(entry->d_name, "stage-") || str_ends(entry->d_name, INFO) || has_info(dirfd(d), entry->d_name))
            continue;
        if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
            continue;
        LOG_WARN("journal", "%s/%s: %lld bytes that were being written when an earlier mount was killed; nothing uses them",
                 dir, entry->d_name, (long long)st.st_size);
        n++;
    }
    closedir(d);
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

static void tell(DIR *d, const char *dir, const char *info, void (*fn)(void *arg, const struct stage_left *left), void *arg)
{
    char name[NAME_MAX + 1];
    struct stat st;
    snprintf(name, sizeof(name), "%.*s", (int)(strlen(info) - strlen(INFO)), info);
    if (fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
        return; /* taken away by its owner */
    BUF(text, INFO_MAX);
    struct err e = ERR_INIT;
    bool whole = read_file(dirfd(d), info, &text);
    CLEANUP(json_doc_free) struct json_doc *doc = whole ? json_parse(text.data, text.len, &e) : NULL;
    const struct json *root = doc ? json_root(doc) : NULL;
    CLEANUP(free) char *path = str_printf("%s/%s", dir, name);
    struct stage_left left = {
        .path = or_empty(path),
        .key = or_empty(json_get_str(root, "key")),
        .reason = or_empty(json_get_str(root, "reason")),
        .time = or_empty(json_get_str(root, "time")),
        .size = (uint64_t)st.st_size,
    };
    fn(arg, &left);
}

void stage_each_left(const char *dir, void (*fn)(void *arg, const struct stage_left *left), void *arg)
{
    DIR *d = opendir(dir);
    for (struct dirent *entry; d && (entry = readdir(d));)
        if (str_starts(entry->d_name, "stage-") && str_ends(entry->d_name, INFO))
            tell(d, dir, entry->d_name, fn, arg);
    if (d)
        closedir(d);
}
