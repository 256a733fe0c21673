#include "cli/cache_command.h"

#include "cache/admin.h"
#include "cli/cache_dir.h"
#include "cli/config.h"
#include "cli/mounts.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/log.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DRAIN_MS    60000
#define PROGRESS_MS 200

struct work {
    const struct cache_request *r;
    struct cache *cache;
    uint64_t files, bytes, bad, all_files, all_bytes;
    uint64_t shown_ms;
    unsigned rows;
};

/* One line that is written over, on a terminal only. */
static void progress(struct work *w, bool last)
{
    uint64_t now = clock_mono_ms();
    if (w->r->json || !isatty(STDERR_FILENO) || (!last && now < w->shown_ms + PROGRESS_MS))
        return;
    w->shown_ms = now;
    unsigned part = w->all_bytes ? (unsigned)(w->bytes * 30 / w->all_bytes) : 30;
    fprintf(stderr, "\r[%.*s%*s] %llu of %llu files, %llu of %llu MiB%s", (int)(part > 30 ? 30 : part),
            "##############################", (int)(30 - (part > 30 ? 30 : part)), "", (unsigned long long)w->files,
            (unsigned long long)w->all_files, (unsigned long long)(w->bytes >> 20), (unsigned long long)(w->all_bytes >> 20),
            last ? "\n" : "");
}

static int failed(const struct cache_request *r, const char *text)
{
    fprintf(stderr, "awsfs: cache %s: %s\n", r->command, text);
    return r->fail_status;
}

/* ---- show */

static bool show_row(void *arg, const struct cache_row *row)
{
    struct work *w = arg;
    BUF(line, 16384);
    if (w->r->json) {
        buf_addf(&line, "%s{\"origin\":", w->rows++ ? ",\n" : "");
        json_quote(&line, row->version.origin, strlen(row->version.origin));
        buf_add_str(&line, ",\"key\":");
        json_quote(&line, row->version.key, strlen(row->version.key));
        buf_add_str(&line, ",\"etag\":");
        json_quote(&line, row->version.etag, strlen(row->version.etag));
        buf_addf(&line, ",\"size\":%llu,\"disk\":%llu,\"content\":%lld,\"whole\":%s,\"pinned\":%s}",
                 (unsigned long long)row->version.size, (unsigned long long)row->disk, (long long)row->content,
                 row->whole ? "true" : "false", row->pinned ? "true" : "false");
        fputs(buf_str(&line), stdout);
    } else {
        printf("%14llu %3llu%% %c %s\n", (unsigned long long)row->version.size,
               row->whole ? 100 : (unsigned long long)(row->disk * 100 / (row->version.size ? row->version.size : 1) % 100),
               row->pinned ? 'P' : ' ', row->version.key);
    }
    w->files++;
    w->bytes += row->version.size;
    return true;
}

static int show(struct work *w, const char *prefix)
{
    struct err e = ERR_INIT;
    struct cache_stats s;
    cache_stats(w->cache, &s);
    if (w->r->json)
        printf("{\"used\":%llu,\"versions\":[\n", (unsigned long long)s.used);
    enum err_code code = cache_each(w->cache, prefix, show_row, w, &e);
    if (w->r->json)
        fputs("]}\n", stdout);
    else
        printf("%llu objects of %llu bytes; the cache takes %llu bytes\n", (unsigned long long)w->files,
               (unsigned long long)w->bytes, (unsigned long long)s.used);
    return code ? failed(w->r, e.msg) : 0;
}

/* ---- verify */

static bool count_row(void *arg, const struct cache_row *row)
{
    struct work *w = arg;
    w->all_files++;
    w->all_bytes += row->whole ? row->version.size : row->disk;
    return true;
}

static bool verify_row(void *arg, const struct cache_row *row)
{
    struct work *w = arg;
    uint64_t bytes, bad;
    cache_verify(w->cache, &row->version, &bytes, &bad);
    w->files++;
    w->bytes += bytes;
    w->bad += bad;
    if (bad && !w->r->json)
        printf("%s: %llu pieces are bad, they will be fetched again\n", row->version.key, (unsigned long long)bad);
    progress(w, false);
    return true;
}

static int verify(struct work *w, const char *prefix)
{
    struct err e = ERR_INIT;
    enum err_code code = cache_each(w->cache, prefix, count_row, w, &e);
    if (!code)
        code = cache_each(w->cache, prefix, verify_row, w, &e);
    if (code)
        return failed(w->r, e.msg);
    progress(w, true);
    printf(w->r->json ? "{\"objects\":%llu,\"bytes\":%llu,\"bad\":%llu}\n" : "%llu objects, %llu bytes are right, %llu pieces were bad\n",
           (unsigned long long)w->files, (unsigned long long)w->bytes, (unsigned long long)w->bad);
    return w->bad ? w->r->fail_status : 0;
}

/* ---- pin, unpin, evict, clear */

static int apply(struct work *w, const char *prefix, enum cache_action action)
{
    struct err e = ERR_INIT;
    uint64_t n = 0;
    if (cache_apply(w->cache, prefix, action, &n, &e) != ERR_OK)
        return failed(w->r, e.msg);
    printf(w->r->json ? "{\"contents\":%llu}\n" : "%llu contents\n", (unsigned long long)n);
    return 0;
}

/* ---- warm: what is read through the mount is cached by it */

static struct work *warming; /* nftw() has no argument for its callback */
static bool counting;

static int warm_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    struct work *w = warming;
    char buf[128 * 1024];
    if (type != FTW_F || !S_ISREG(st->st_mode))
        return 0;
    if (counting) {
        w->all_files++;
        w->all_bytes += (uint64_t)st->st_size;
        return 0;
    }
    CLEANUP(close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        n = read(fd, buf, sizeof(buf));
        w->bytes += n > 0 ? (uint64_t)n : 0;
        progress(w, false);
    }
    w->files += n == 0;
    w->bad += n < 0;
    if (n < 0)
        fprintf(stderr, "awsfs: cache warm: %s: %s\n", path, strerror(errno));
    return 0;
}

static bool is_in_a_mount(const char *path)
{
    CLEANUP(free) char *at = realpath(path, NULL);
    CLEANUP(free) struct mount_entry *m = malloc(sizeof(*m));
    bool found = false;
    while (at && m && *at && !(found = mounts_find(at, m)))
        *strrchr(at, '/') = '\0';
    return found && strcmp(m->type, "fuse.awsfs") == 0;
}

static int warm(struct work *w)
{
    if (!w->r->what)
        return failed(w->r, "which? awsfs cache warm PATH, in a mount");
    if (access(w->r->what, F_OK) == 0 && !is_in_a_mount(w->r->what)) {
        fprintf(stderr, "awsfs: cache warm: %s is in no mount of awsfs\n", w->r->what);
        return w->r->fail_status;
    }
    warming = w;
    for (int pass = 0; pass < 2; pass++) {
        counting = pass == 0;
        if (nftw(w->r->what, warm_one, 32, FTW_PHYS | FTW_MOUNT) != 0) {
            fprintf(stderr, "awsfs: cache warm: %s: %s\n", w->r->what, strerror(errno));
            return w->r->fail_status;
        }
    }
    progress(w, true);
    printf(w->r->json ? "{\"files\":%llu,\"bytes\":%llu,\"failed\":%llu}\n" : "%llu files of %llu bytes were read, %llu failed\n",
           (unsigned long long)w->files, (unsigned long long)w->bytes, (unsigned long long)w->bad);
    return w->bad ? w->r->fail_status : 0;
}

/* ---- */

static const char *const commands[] = {"show", "verify", "pin", "unpin", "evict", "clear", "warm"};

static int run(struct work *w, const char *prefix)
{
    const char *name = w->r->command;
    if (strcmp(name, "show") == 0)
        return show(w, prefix);
    if (strcmp(name, "verify") == 0)
        return verify(w, prefix);
    if (strcmp(name, "pin") == 0)
        return apply(w, prefix, CACHE_PIN);
    if (strcmp(name, "unpin") == 0)
        return apply(w, prefix, CACHE_UNPIN);
    return apply(w, prefix, strcmp(name, "evict") == 0 ? CACHE_EVICT : CACHE_CLEAR);
}

static enum err_code read_options(const struct cache_request *r, struct options *o, struct err *e)
{
    enum err_code code = options_init(o, e);
    for (size_t i = 0; !code && i < r->n_lists; i++)
        code = options_parse_list(o, r->lists[i], e);
    return code ? code : options_finish(o, false, e);
}

static int open_and_run(const struct cache_request *r, const struct options *o, const char *prefix)
{
    struct work w = {.r = r};
    struct err e = ERR_INIT;
    struct stat st;
    char dir[PATH_MAX];
    if (!cache_dir(o, dir))
        return failed(r, "there is no cache: give -o cache=DIR");
    CLEANUP(free) char *index = str_printf("%s/index.db", dir);
    if (stat(dir, &st) != 0 || !index) {
        fprintf(stderr, "awsfs: cache %s: %s: %s\n", r->command, dir, strerror(errno));
        return r->fail_status;
    }
    if (stat(index, &st) != 0) {
        fprintf(stderr, "awsfs: cache %s: %s: no cache of awsfs is there\n", r->command, dir);
        return r->fail_status;
    }
    /* Nothing is evicted for a limit that was not meant. */
    const struct cache_config config = {.dir = dir, .size = options_given(o, "cache_size") ? o->cache_size : UINT64_MAX / 2};
    if (cache_open(&config, &w.cache, &e) != ERR_OK)
        return failed(r, e.msg);
    int status = run(&w, prefix);
    (void)cache_drain(w.cache, DRAIN_MS);
    cache_close(w.cache);
    return status;
}

int cache_command_run(const struct cache_request *r)
{
    struct err e = ERR_INIT;
    struct options o = {0};
    size_t i = 0;
    while (i < ARRAY_LEN(commands) && strcmp(commands[i], r->command) != 0)
        i++;
    if (i == ARRAY_LEN(commands)) {
        fprintf(stderr, "awsfs: cache %s: unknown; there are show, verify, warm, pin, unpin, evict and clear\n", r->command);
        return r->usage_status;
    }
    if (strcmp(r->command, "warm") == 0) {
        struct work w = {.r = r};
        return warm(&w);
    }
    const char *prefix = r->what ? r->what : "";
    if (r->what && !str_starts(r->what, "s3://")) {
        fprintf(stderr, "awsfs: cache %s: %s is no s3://bucket/prefix\n", r->command, r->what);
        return r->usage_status;
    }
    prefix += r->what ? strlen("s3://") : 0;
    if (!*prefix && (strcmp(r->command, "pin") == 0 || strcmp(r->command, "evict") == 0)) {
        fprintf(stderr, "awsfs: cache %s: of what? s3://bucket/prefix is missing\n", r->command);
        return r->usage_status;
    }
    int status = r->usage_status;
    if (log_open("stderr", LOG_LEVEL_WARN, &e) != ERR_OK || read_options(r, &o, &e) != ERR_OK)
        (void)failed(r, e.msg);
    else
        status = open_and_run(r, &o, prefix);
    options_release(&o);
    return status;
}
