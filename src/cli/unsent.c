#include "cli/unsent.h"

#include "aws/client.h"
#include "cli/sdnotify.h"
#include "util/json.h"
#include "util/log.h"
#include "util/str.h"
#include "vfs/vfs.h"
#include "writeback/writeback.h"

#include <string.h>

#define FILES_MAX 1000

static void tell_recovery(void *arg, uint64_t operations, uint64_t bytes)
{
    LOG_INFO("mount", "sending what an earlier write=back has left: %llu operations, %llu MiB", (unsigned long long)operations,
             (unsigned long long)bytes >> 20);
    sd_tell("STATUS=sending what an earlier mount has left: %llu operations", (unsigned long long)operations);
}

/* The mount is to be as it was asked for: everything in the store before a close returns. */
static enum err_code send_left(struct store *back, struct writeback *w, struct err *e)
{
    struct err err = ERR_INIT;
    enum err_code code = writeback_drain(w, false, NULL, tell_recovery, NULL, &err);
    store_free(back);
    if (!code)
        return ERR_OK;
    return err_set(e, code, "what a mount with write=back has left cannot be sent now: mount with write=back, which goes on trying: %s", err.msg);
}

enum err_code unsent_open(struct stack *s, struct err *e)
{
    const struct options *o = s->options;
    char where[512];
    if (s->source->is_ssm)
        return ERR_OK;
    aws_client_endpoint(s->client, where, sizeof(where));
    CLEANUP(free) char *dir = str_printf("%s/" UNSENT_DIR, s->state.dir);
    CLEANUP(free) char *identity = str_printf("%s\n%s\n", s->source->text, where);
    if (!dir || !identity)
        return err_set(e, ERR_NOMEM, "no memory");
    bool back = o->write == WRITE_BACK && !o->read_only;
    if (!back && !writeback_has_journal(dir))
        return ERR_OK;
    if (o->read_only) {
        LOG_WARN("mount", "what an earlier mount with write=back has left is not looked at: the mount is read-only");
        return ERR_OK;
    }
    const struct writeback_config c = {.inner = s->store, .dir = dir, .identity = identity, .dirty_limit = o->dirty_limit,
                                       .patience_ms = (unsigned)o->timeout_ms};
    struct writeback *w;
    struct store *store = writeback_store_new(&c, &w, e);
    if (!store)
        return err_prefix(e, e->code, "the journal of write=back in %s", dir);
    if (!back)
        return send_left(store, w, e);
    s->inner = s->store;
    s->store = store;
    s->writeback = w;
    return ERR_OK;
}

enum err_code unsent_drain(struct stack *s, bool for_ever, struct cancel *cancel,
                           void (*progress)(void *arg, uint64_t files, uint64_t bytes), void *arg, struct err *e)
{
    struct err err = ERR_INIT;
    enum err_code code = vfs_drain(s->vfs, progress, arg, e), sent = ERR_OK;
    if (s->writeback)
        sent = writeback_drain(s->writeback, for_ever, cancel, progress, arg, &err);
    return code ? code : sent ? err_copy(e, &err) : ERR_OK;
}

/* ---- Status */

void unsent_time(const struct timespec *when, char out[UNSENT_TIME_SIZE])
{
    struct tm tm;
    if (!gmtime_r(&when->tv_sec, &tm) || !strftime(out, UNSENT_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm))
        out[0] = '\0';
}

void unsent_status(struct stack *s, struct buf *out)
{
    struct writeback_stats w;
    if (!s->writeback)
        return;
    writeback_stats(s->writeback, &w);
    buf_addf(out,
             "\"write_back\":{\"operations\":%llu,\"bytes\":%llu,\"dirty_limit\":%llu,\"paused\":%s,\"sent\":%llu,\"merged\":%llu,"
             "\"conflicts\":%llu,\"recovered\":%llu,\"journal_records\":%llu,\"journal_syncs\":%llu,\"journal_bytes\":%llu},",
             (unsigned long long)w.operations, (unsigned long long)w.bytes, (unsigned long long)w.limit, w.paused ? "true" : "false",
             (unsigned long long)w.sent, (unsigned long long)w.merged, (unsigned long long)w.conflicts, (unsigned long long)w.recovered,
             (unsigned long long)w.records, (unsigned long long)w.syncs, (unsigned long long)w.journal_bytes);
}

struct list {
    struct buf *out;
    unsigned *n;
};

static void begin(struct list *l, const char *name, const char *value)
{
    buf_addf(l->out, "%s{\"%s\":", (*l->n)++ ? "," : "", name);
    json_quote(l->out, value, strlen(value));
}

static void member(struct list *l, const char *name, const char *value)
{
    buf_addf(l->out, ",\"%s\":", name);
    json_quote(l->out, value, strlen(value));
}

static void one_item(void *arg, const struct writeback_item *item)
{
    struct list *l = arg;
    begin(l, "path", item->key);
    member(l, "operation", item->what);
    if (item->from)
        member(l, "from", item->from);
    member(l, "error", item->error);
    buf_addf(l->out, ",\"age_ms\":%llu,\"attempts\":%u,\"sending\":%s,\"bytes\":%llu}", (unsigned long long)item->age_ms, item->attempts,
             item->sending ? "true" : "false", (unsigned long long)item->size);
}

void unsent_status_files(struct stack *s, struct buf *out, unsigned *n)
{
    struct list l = {out, n};
    if (s->writeback)
        writeback_each(s->writeback, FILES_MAX, one_item, &l);
}

static void one_conflict(void *arg, const struct writeback_conflict *c)
{
    struct list *l = arg;
    char time[UNSENT_TIME_SIZE];
    begin(l, "path", c->key);
    member(l, "kept", c->kept);
    unsent_time(&c->when, time);
    member(l, "time", time);
    buf_add_char(l->out, '}');
}

void unsent_status_conflicts(struct stack *s, struct buf *out, unsigned *n)
{
    struct list l = {out, n};
    if (s->writeback)
        (void)writeback_each_conflict(s->writeback, one_conflict, &l);
}
