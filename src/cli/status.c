/* What `awsfs status` tells, as one JSON object. Nothing in it is a credential. */
#include "cli/stack.h"

#include "cli/unsent.h"

#include "aws/client.h"
#include "aws/creds.h"
#include "fuse/notify.h"
#include "fuse/session.h"
#include "net/http.h"
#include "awsfs/store.h"
#include "cache/cache.h"
#include "util/clock.h"
#include "util/json.h"
#include "vfs/vfs.h"

#include <string.h>

#define FILES_MAX 1000

static void text(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, "\"%s\":", name);
    json_quote(out, value, strlen(value));
    buf_add_char(out, ',');
}

struct pairs {
    struct buf *out;
    unsigned n;
};

static void one_count(void *arg, const char *kind, uint64_t count)
{
    struct pairs *p = arg;

    if (!count)
        return;
    buf_add_str(p->out, p->n++ ? "," : "");
    json_quote(p->out, kind, strlen(kind));
    buf_addf(p->out, ":%llu", (unsigned long long)count);
}

static void one_file(void *arg, const struct vfs_unsent *file)
{
    struct pairs *p = arg;

    if (p->n >= FILES_MAX)
        return;
    buf_add_str(p->out, p->n++ ? ",{" : "{");
    text(p->out, "path", file->path);
    text(p->out, "error", file->error);
    if (*file->file)
        text(p->out, "file", file->file);
    if (*file->time)
        text(p->out, "time", file->time);
    if (file->age_ms)
        buf_addf(p->out, "\"age_ms\":%llu,\"attempts\":%u,", (unsigned long long)file->age_ms, file->attempts);
    buf_addf(p->out, "\"bytes\":%llu}", (unsigned long long)file->size);
}

static void one_conflict(void *arg, const struct vfs_conflict *c)
{
    struct pairs *p = arg;
    char time[UNSENT_TIME_SIZE];

    buf_add_str(p->out, p->n++ ? ",{" : "{");
    text(p->out, "path", c->path);
    text(p->out, "kept", c->kept);
    unsent_time(&c->when, time);
    buf_addf(p->out, "\"time\":\"%s\"}", time);
}

struct number {
    const char *name;
    uint64_t n;
};

static void numbers(struct buf *out, const char *name, const struct number *list, size_t n)
{
    buf_addf(out, "\"%s\":{", name);
    for (size_t i = 0; i < n; i++)
        buf_addf(out, "%s\"%s\":%llu", i ? "," : "", list[i].name, (unsigned long long)list[i].n);
    buf_add_str(out, "},");
}

static void kernel_numbers(struct stack *s, struct buf *out)
{
    struct session_stats k = {0};

    if (s->session)
        session_stats(s->session, &k);
    const struct number list[] = {{"requests", k.served},          {"deferred", k.deferred},
                                  {"interrupted", k.interrupted},  {"waiting", k.waiting},
                                  {"notifications_waiting", notify_pending(s->notify)}, {"killpriv", k.killpriv},
                                  {"passthrough", k.passthrough}, {"passthrough_opens", k.passthrough_opens}};
    numbers(out, "kernel", list, ARRAY_LEN(list));
}

static void file_numbers(struct stack *s, struct buf *out)
{
    struct vfs_stats v;

    vfs_stats(s->vfs, &v);
    const struct number list[] = {
        {"inodes", v.inodes},           {"names", v.names},
        {"handles", v.handles},         {"dirty_files", v.dirty_files},
        {"dirty_bytes", v.dirty_bytes}, {"failed_uploads", v.failed_uploads},
        {"parked_reads", v.parked_reads}, {"memory_used", v.memory_used},
        {"memory_limit", v.memory_limit}, {"bytes_read", v.bytes_read},
        {"bytes_fetched", v.bytes_fetched}, {"bytes_written", v.bytes_written},
        {"bytes_sent", v.bytes_sent},   {"block_hits", v.block_hits},
        {"block_misses", v.block_misses},
        {"files_ahead", v.files_ahead}, {"files_ahead_used", v.files_ahead_used},
        {"files_ahead_unused", v.files_ahead_unused},
    };
    numbers(out, "files", list, ARRAY_LEN(list));
}

static void cache_numbers(struct stack *s, struct buf *out)
{
    struct cache_stats c;
    struct vfs_stats v;

    if (!s->cache)
        return;
    vfs_stats(s->vfs, &v); /* first: from there it goes to the cache */
    cache_stats(s->cache, &c);
    const struct number list[] = {
        {"limit", c.limit},               {"used", c.used},
        {"hits", c.hits},                 {"misses", c.misses},
        {"bytes_saved", c.hit_bytes},     {"bytes_filled", c.filled_bytes},
        {"bytes_dropped", c.dropped_bytes + v.bytes_uncached}, {"bytes_verified", c.verified_bytes},
        {"bad", c.bad},                   {"evicted", c.evicted},
        {"evicted_bytes", c.evicted_bytes}, {"deduplicated", c.deduplicated},
        {"bytes_refilled", v.bytes_refilled}, {"pending", c.pending + v.refill_waiting},
        {"memory", c.memory + v.refill_memory}, {"rebuilt", c.rebuilt},
    };
    numbers(out, "cache", list, ARRAY_LEN(list));
    if (c.trouble[0])
        text(out, "cache_trouble", c.trouble);
}

static void network_numbers(struct stack *s, struct buf *out)
{
    struct http_counters h;

    http_engine_counters(s->engine, &h);
    const struct number list[] = {{"started", h.started},         {"ok", h.ended_ok},
                                  {"failed", h.failed},           {"running", h.running},
                                  {"queued", h.queued},           {"bytes_in", h.bytes_in},
                                  {"bytes_out", h.bytes_out},     {"connections", h.connections}};
    numbers(out, "http", list, ARRAY_LEN(list));
}

static void identity(struct stack *s, struct buf *out)
{
    CLEANUP(creds_unref) struct creds *c = NULL;
    struct err e = ERR_INIT;

    if (creds_provider_anonymous(s->creds))
        text(out, "credentials", "anonymous");
    else if (creds_get(s->creds, &c, &e) == ERR_OK)
        text(out, "credentials", c->source);
    else
        text(out, "credentials", e.msg);
}

void stack_status(struct stack *s, struct buf *out)
{
    char where[512], region[64];

    aws_client_endpoint(s->client, where, sizeof(where));
    aws_client_region(s->client, region, sizeof(region));
    buf_add_char(out, '{');
    text(out, "version", AWSFS_VERSION);
    text(out, "source", s->source->text);
    text(out, "mountpoint", s->mountpoint);
    text(out, "state", atomic_load(&s->ending) ? "ending" : "serving");
    text(out, "endpoint", where);
    text(out, "region", region);
    identity(s, out);
    buf_addf(out, "\"pid\":%d,\"seconds\":%llu,", (int)getpid(),
             (unsigned long long)((clock_mono_ms() - s->since_ms) / 1000));
    kernel_numbers(s, out);
    file_numbers(s, out);
    unsent_status(s, out);
    cache_numbers(s, out);
    network_numbers(s, out);
    struct pairs counts = {.out = out}, dirty = {.out = out}, failed = {.out = out}, conflicts = {.out = out};
    buf_add_str(out, "\"requests\":{");
    store_each_count(s->store, one_count, &counts);
    buf_add_str(out, "},\"dirty\":[");
    vfs_each_unsent(s->vfs, false, one_file, &dirty);
    unsent_status_files(s, out, &dirty.n);
    buf_add_str(out, "],\"failed\":[");
    vfs_each_unsent(s->vfs, true, one_file, &failed);
    buf_add_str(out, "],\"conflicts\":[");
    vfs_each_conflict(s->vfs, one_conflict, &conflicts);
    unsent_status_conflicts(s, out, &conflicts.n);
    buf_add_str(out, "]}");
}
