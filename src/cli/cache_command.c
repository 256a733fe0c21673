#include "cli/cache_command.h"

#include "cache/admin.h"
#include "cli/cache_dir.h"
#include "cli/cache_warm.h"
#include "cli/config.h"
#include "cli/plain.h"
#include "cli/meter.h"
#include "util/json.h"
#include "util/log.h"
#include "util/str.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DRAIN_MS 60000

struct work {
    const struct cache_request *r;
    struct cache *cache;
    struct meter shown;
    uint64_t bytes, bad; /* right ones; pieces */
    unsigned rows;
};

static int failed(const struct cache_request *r, const char *text)
{
    fprintf(stderr, "awsfs: cache %s: %s\n", r->command, text);
    return r->fail_status;
}

/* What is named is not held. */
static int nothing(const struct cache_request *r)
{
    fprintf(stderr, "awsfs: cache %s: nothing of %s is in the cache%s\n", r->command, r->what,
            strcmp(r->command, "pin") == 0 ? "; what is read, or awsfs cache warm, brings it there" : "");
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
        printf("%14llu %3llu%% %c ", (unsigned long long)row->version.size,
               row->whole ? 100 : (unsigned long long)(row->disk * 100 / (row->version.size ? row->version.size : 1) % 100),
               row->pinned ? 'P' : ' ');
        print_plain(stdout, row->version.key);
        putchar('\n');
    }
    w->shown.all_files++;
    w->shown.all_bytes += row->version.size;
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
        printf("%llu objects of %llu bytes; the cache takes %llu bytes\n", (unsigned long long)w->shown.all_files,
               (unsigned long long)w->shown.all_bytes, (unsigned long long)s.used);
    return code ? failed(w->r, e.msg) : 0;
}

/* ---- verify */

static bool count_row(void *arg, const struct cache_row *row)
{
    struct work *w = arg;
    w->shown.all_files++;
    w->shown.all_bytes += row->whole ? row->version.size : row->disk;
    return true;
}

static void checked(void *arg, uint64_t n)
{
    struct work *w = arg;
    w->shown.bytes += n;
    meter_show(&w->shown);
}

static bool verify_row(void *arg, const struct cache_row *row)
{
    struct work *w = arg;
    uint64_t bytes, bad;
    cache_verify(w->cache, &row->version, checked, w, &bytes, &bad);
    w->shown.files++;
    w->bytes += bytes;
    w->bad += bad;
    if (bad && !w->r->json) {
        meter_pause(&w->shown);
        print_plain(stdout, row->version.key);
        printf(": %llu pieces are bad, they will be fetched again\n", (unsigned long long)bad);
    }
    return true;
}

static int verify(struct work *w, const char *prefix)
{
    struct err e = ERR_INIT;
    enum err_code code = cache_each(w->cache, prefix, count_row, w, &e);
    if (!code && *prefix && w->shown.all_files == 0)
        return nothing(w->r);
    if (!code)
        code = cache_each(w->cache, prefix, verify_row, w, &e);
    if (code) {
        meter_pause(&w->shown);
        return failed(w->r, e.msg);
    }
    meter_end(&w->shown);
    printf(w->r->json ? "{\"objects\":%llu,\"bytes\":%llu,\"bad\":%llu}\n" : "%llu objects, %llu bytes are right, %llu pieces were bad\n",
           (unsigned long long)w->shown.files, (unsigned long long)w->bytes, (unsigned long long)w->bad);
    return w->bad ? w->r->fail_status : 0;
}

/* ---- pin, unpin, evict, clear */

static int apply(struct work *w, const char *prefix, enum cache_action action)
{
    static const char *const done[] = {[CACHE_PIN] = "pinned", [CACHE_UNPIN] = "unpinned", [CACHE_EVICT] = "removed", [CACHE_CLEAR] = "removed"};
    static const char *const kept[] = {[CACHE_PIN] = "were pinned already", [CACHE_UNPIN] = "were not pinned",
                                       [CACHE_EVICT] = "are pinned and stay", [CACHE_CLEAR] = "were gone"};
    struct err e = ERR_INIT;
    struct cache_applied n = {0};
    if (cache_apply(w->cache, prefix, action, &n, &e) != ERR_OK)
        return failed(w->r, e.msg);
    if (n.versions == 0 && *prefix && (action == CACHE_PIN || action == CACHE_UNPIN))
        return nothing(w->r);
    if (w->r->json)
        printf("{\"contents\":%llu,\"kept\":%llu}\n", (unsigned long long)n.changed, (unsigned long long)n.kept);
    else if (n.kept > 0)
        printf("%llu contents %s; %llu %s\n", (unsigned long long)n.changed, done[action], (unsigned long long)n.kept, kept[action]);
    else
        printf("%llu contents %s\n", (unsigned long long)n.changed, done[action]);
    return 0;
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
    struct work w = {.r = r, .shown.quiet = r->json};
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
    if (strcmp(r->command, "warm") == 0)
        return cache_warm(r);
    const char *prefix = r->what ? r->what : "";
    if (r->what && !str_starts(r->what, "s3://")) {
        fprintf(stderr, "awsfs: cache %s: %s is no s3://bucket/prefix\n", r->command, r->what);
        return r->usage_status;
    }
    prefix += r->what ? strlen("s3://") : 0;
    if (!r->what && (strcmp(r->command, "pin") == 0 || strcmp(r->command, "evict") == 0)) {
        fprintf(stderr, "awsfs: cache %s: of what? s3://bucket/prefix is missing (s3:// is all of it)\n", r->command);
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
