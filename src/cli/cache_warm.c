#include "cli/cache_warm.h"

#include "cli/client.h"
#include "cli/mounts.h"
#include "cli/plain.h"
#include "cli/meter.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_DIRECTORIES 32

struct warming {
    struct meter shown;
    uint64_t failed;
    bool counting; /* the first of two passes */
};

static struct warming *warming; /* nftw() has no argument for its callback */

static void complain(const char *path, int rc)
{
    meter_pause(&warming->shown);
    fputs("awsfs: cache warm: ", stderr);
    print_plain(stderr, path);
    fprintf(stderr, ": %s\n", strerror(rc));
    warming->failed++;
}

static void read_file(const char *path)
{
    char buf[128 * 1024];
    CLEANUP(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        n = read(fd, buf, sizeof(buf));
        warming->shown.bytes += n > 0 ? (uint64_t)n : 0;
        meter_show(&warming->shown);
    }
    if (n < 0)
        complain(path, errno);
    else
        warming->shown.files++;
}

static int one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    if (!warming->counting && (type == FTW_DNR || type == FTW_NS)) {
        CLEANUP(close) int fd = open(path, O_RDONLY | O_CLOEXEC); /* nftw() does not tell why */
        complain(path, fd < 0 ? errno : EIO);
    }
    if (type != FTW_F || !S_ISREG(st->st_mode))
        return 0;
    if (!warming->counting) {
        read_file(path);
        return 0;
    }
    warming->shown.all_files++;
    warming->shown.all_bytes += (uint64_t)st->st_size;
    return 0;
}

/* The mount point above `path`, malloc'd; NULL: of no mount of awsfs. */
static char *mount_of(const char *path)
{
    CLEANUP(free) char *at = strdup(path);
    CLEANUP(free) struct mount_entry *m = malloc(sizeof(*m));
    bool found = false;
    while (at && m && *at && !(found = mounts_find(at, m)))
        *strrchr(at, '/') = '\0';
    return found && strcmp(m->type, "fuse.awsfs") == 0 ? TAKE(at) : NULL;
}

static int refuse(const struct cache_request *r, const char *why)
{
    fprintf(stderr, "awsfs: cache warm: %s%s%s\n", r->what ? r->what : "", r->what ? " " : "", why);
    return r->fail_status;
}

int cache_warm(const struct cache_request *r)
{
    struct warming w = {.shown.quiet = r->json, .counting = true};
    if (!r->what)
        return refuse(r, "which? awsfs cache warm PATH, in a mount");
    if (str_starts(r->what, "s3://"))
        return refuse(r, "is no path: what is read through a mount gets into its cache, awsfs cache warm PATH reads it");
    CLEANUP(free) char *path = realpath(r->what, NULL);
    if (!path) {
        fprintf(stderr, "awsfs: cache warm: %s: %s\n", r->what, strerror(errno));
        return r->fail_status;
    }
    CLEANUP(free) char *mountpoint = mount_of(path);
    if (!mountpoint)
        return refuse(r, "is in no mount of awsfs");
    warming = &w;
    for (int pass = 0; pass < 2; pass++) {
        w.counting = pass == 0;
        if (nftw(path, one, OPEN_DIRECTORIES, FTW_PHYS | FTW_MOUNT) != 0)
            complain(path, errno);
    }
    /* Who pins it, or looks, right after this finds it there. */
    free(client_ask(mountpoint, "settle\n"));
    meter_end(&w.shown);
    printf(r->json ? "{\"files\":%llu,\"bytes\":%llu,\"failed\":%llu}\n" : "%llu files of %llu bytes were read, %llu failed\n",
           (unsigned long long)w.shown.files, (unsigned long long)w.shown.bytes, (unsigned long long)w.failed);
    return w.failed ? r->fail_status : 0;
}
