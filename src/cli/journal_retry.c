#include "cli/journal_retry.h"

#include "awsfs/store.h"
#include "aws/client.h"
#include "cli/config.h"
#include "cli/journal_upload.h"
#include "cli/stack.h"
#include "journal/conflict.h"
#include "journal/uploads.h"
#include "store/fetch.h"
#include "store/meta.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/private_dir.h"
#include "util/pool.h"
#include "util/str.h"
#include "vfs/move.h"
#include "writeback/writeback.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART      (16u << 20)
#define PIECE     (1u << 20)
#define CLOCK_SLACK_S 300 /* by which clocks may differ */

struct journal_store {
    struct options options;
    struct source source;
    struct stack stack;
    const char **lists;
};

/* ---- The store */

void journal_store_free(struct journal_store *s)
{
    if (!s)
        return;
    stack_release(&s->stack);
    options_release(&s->options);
    source_release(&s->source);
    free(s->lists);
    free(s);
}
CLEANUP_DEFINE(struct journal_store, journal_store_free)

static enum err_code read_all_options(struct journal_store *s, const struct journal_mount *m, const char *const *lists, size_t n,
                                      struct err *e)
{
    size_t all = 0;
    s->lists = calloc(m->n_lists + n + 1, sizeof(*s->lists));
    if (!s->lists)
        return err_set(e, ERR_NOMEM, "no memory");
    for (size_t i = 0; i < m->n_lists; i++)
        s->lists[all++] = m->lists[i];
    for (size_t i = 0; i < n; i++)
        s->lists[all++] = lists[i];
    return options_read(&s->options, s->lists, all, true, s->source.text, s->source.is_ssm, e);
}

struct journal_store *journal_store_open(const struct journal_mount *m, const char *const *lists, size_t n, struct err *e)
{
    CLEANUP(journal_store_free) struct journal_store *s = calloc(1, sizeof(*s));
    char endpoint[512];
    if (!s) {
        (void)err_set(e, ERR_NOMEM, "no memory");
        return NULL;
    }
    s->stack = (struct stack){.options = &s->options, .source = &s->source, .mountpoint = m->mountpoint, .state = STATE_INIT};
    if (source_parse(m->source, &s->source, e) || read_all_options(s, m, lists, n, e) || stack_open(&s->stack, e))
        return NULL;
    if (s->options.read_only) {
        (void)err_set(e, ERR_READ_ONLY, "the mount of %s is read-only: -o rw", m->source);
        return NULL;
    }
    aws_client_endpoint(s->stack.client, endpoint, sizeof(endpoint));
    if (strcmp(endpoint, m->endpoint) != 0) {
        (void)err_set(e, ERR_INVAL, "the mount used %s, this would go to %s: give -o endpoint=, region= or profile=", m->endpoint,
                      endpoint);
        return NULL;
    }
    struct err why = ERR_INIT;
    if (stack_open_cache(&s->stack, &why))
        LOG_WARN("journal", "mounts may show for their ttl what was there before: %s", why.msg);
    return TAKE(s);
}

/* ---- Bytes that the file lacks */

struct fetch {
    int fd;
    uint64_t at;
};

static bool fetched(void *arg, const void *p, size_t len)
{
    struct fetch *f = arg;
    while (len > 0) {
        ssize_t n = pwrite(f->fd, p, len, (off_t)f->at);
        if (n <= 0)
            return false;
        f->at += (uint64_t)n;
        p = (const char *)p + n;
        len -= (size_t)n;
    }
    return true;
}

/* They go into the file: it stays as described, whatever happens. */
static enum err_code fetch_range(struct journal_store *s, const struct journal_entry *entry, const struct left_range *range, int fd,
                                 struct err *e)
{
    struct fetch f = {.fd = fd, .at = range->offset};
    const struct store_get get = {.key = entry->key, .etag = entry->about.etag, .offset = range->offset, .length = range->length,
                                  .data = fetched, .arg = &f};
    enum err_code code = store_fetch(s->stack.store, &get, NULL, e);
    return code == ERR_NOT_FOUND ? err_set(e, ERR_CONFLICT, "the version it changes is not there any more") : code;
}

static enum err_code complete(struct journal_store *s, const struct journal_entry *entry, int fd, struct err *e)
{
    uint64_t missing = 0;
    for (size_t i = 0; i < entry->n_unfetched; i++)
        missing += entry->unfetched[i].length;
    enum err_code code = ERR_OK;
    if (entry->n_unfetched && entry->about.origin != STAGE_OF_VERSION)
        return err_set(e, ERR_UNSUPPORTED, "%llu bytes of it are not here, and it is not known where; export gives the others",
                       (unsigned long long)missing);
    for (size_t i = 0; !code && i < entry->n_unfetched; i++)
        code = fetch_range(s, entry, &entry->unfetched[i], fd, e);
    return code;
}

/* ---- The put */

struct file {
    int fd;
    uint64_t start, size;
    uint8_t sha512[DIGEST_MAX];
};

static ssize_t file_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const struct file *f = arg;
    ssize_t n;
    do
        n = pread(f->fd, buf, len, (off_t)(f->start + offset));
    while (n < 0 && errno == EINTR);
    return n;
}

static enum err_code hash(struct file *f, struct err *e)
{
    CLEANUP(digest_free) struct digest *d = digest_new(DIGEST_SHA512, e);
    CLEANUP(free) char *piece = malloc(PIECE);
    enum err_code code = d && piece ? ERR_OK : err_set(e, ERR_NOMEM, "no memory");
    for (uint64_t at = 0; !code && at < f->size;) {
        ssize_t n = file_read(f, at, piece, f->size - at < PIECE ? (size_t)(f->size - at) : PIECE);
        code = n > 0 ? digest_update(d, piece, (size_t)n, e) : err_sys(e, n < 0 ? errno : EIO, "read");
        at += n > 0 ? (uint64_t)n : 0;
    }
    return code ? code : digest_final(d, f->sha512, e);
}

static enum err_code send_parts(struct store *st, const char *key, const char *id, const struct file *f, uint64_t part_size,
                                struct store_part *parts, size_t n, struct err *e)
{
    enum err_code code = ERR_OK;
    for (size_t i = 0; !code && i < n; i++) {
        struct file piece = {.fd = f->fd, .start = i * part_size};
        struct store_body body = {.read = file_read, .arg = &piece};
        body.size = piece.start + part_size < f->size ? part_size : f->size - piece.start;
        parts[i].number = (unsigned)i + 1;
        code = store_upload_part(st, key, id, &body, NULL, &parts[i], e);
    }
    return code;
}

/* In the mount's record of uploads as long as it is under way. */
static enum err_code put_parts(struct journal_store *s, const struct journal_entry *entry, const char *key, const struct file *f,
                               const struct store_meta *meta, const struct store_cond *cond, struct store_version *out, struct err *e)
{
    struct store *st = s->stack.store;
    const struct store_caps *caps = store_caps(st);
    uint64_t least = f->size / caps->max_parts + 1, part = PART > caps->part_min ? PART : caps->part_min;
    char id[STORE_ID_SIZE];
    part = part > least ? part : least;
    size_t n = (size_t)((f->size + part - 1) / part);
    CLEANUP(free) struct store_part *parts = calloc(n, sizeof(*parts));
    CLEANUP(free) char *dir = str_printf("%s/uploads", entry->mount->dir);
    CLEANUP(uploads_free) struct uploads *record = dir && private_dir(dir, e) == ERR_OK ? uploads_open(dir, e) : NULL;
    if (!parts || !record)
        return e->code ? e->code : err_set(e, ERR_NOMEM, "no memory");
    enum err_code code = store_upload_begin(st, key, meta, f->sha512, NULL, id, e);
    if (code)
        return code;
    code = uploads_add(record, key, id, e);
    if (!code)
        code = send_parts(st, key, id, f, part, parts, n, e);
    if (!code)
        code = store_upload_finish(st, key, id, parts, n, f->sha512, cond, NULL, out, e);
    if (!code || store_upload_abort(st, key, id, NULL, NULL) == ERR_OK)
        uploads_remove(record, id);
    return code;
}

static enum err_code put(struct journal_store *s, const struct journal_entry *entry, const char *key, const struct file *f,
                         const struct store_meta *meta, const struct store_cond *cond, struct err *e)
{
    const struct store_caps *caps = store_caps(s->stack.store);
    struct store_version version;
    struct file whole = *f;
    const struct store_body body = {.size = f->size, .read = file_read, .arg = &whole, .sha512 = f->sha512};
    enum err_code code = store_check(s->stack.store, key, false, &body, e);
    if (code)
        return code;
    if (f->size > caps->put_target && (caps->flags & STORE_MULTIPART))
        return put_parts(s, entry, key, f, meta, cond, &version, e);
    return store_put(s->stack.store, key, &body, meta, cond, NULL, &version, e);
}

/* What the version has, with the attributes that the file had. NULL with an error. */
static struct store_meta *meta_of(struct journal_store *s, const struct journal_entry *entry, struct err *e)
{
    const struct stage_about *about = &entry->about;
    struct store_object object = {0};
    struct err err = ERR_INIT;
    if (about->origin == STAGE_OF_VERSION && store_stat(s->stack.store, entry->key, NULL, &object, &err) &&
        err.code != ERR_NOT_FOUND) {
        (void)err_copy(e, &err);
        return NULL;
    }
    struct store_meta *m = store_meta_copy(object.meta);
    store_object_release(&object);
    if (!m) {
        (void)err_set(e, ERR_NOMEM, "no memory");
        return NULL;
    }
    if (about->mode && (store_caps(s->stack.store)->flags & STORE_POSIX)) {
        m->mode = about->mode;
        m->uid = about->uid;
        m->gid = about->gid;
        m->mtime = m->ctime = about->mtime;
        m->has |= STORE_HAS_MODE | STORE_HAS_UID | STORE_HAS_GID | STORE_HAS_MTIME | STORE_HAS_CTIME;
    }
    return m;
}

static enum err_code put_beside(struct journal_store *s, const struct journal_entry *entry, const struct file *f,
                                const struct store_meta *meta, struct buf *key, struct err *e)
{
    const struct store_cond absent = {.kind = STORE_IF_ABSENT};
    enum err_code code = ERR_CONFLICT;
    for (unsigned attempt = 1; code == ERR_CONFLICT && attempt <= CONFLICT_NAMES; attempt++) {
        buf_clear(key);
        conflict_key(entry->key, attempt, key);
        code = put(s, entry, buf_str(key), f, meta, &absent, e);
    }
    return code;
}

/* One at a time, whoever else retries. */
static int open_entry(const struct journal_entry *entry, struct err *e)
{
    struct stat st;
    CLEANUP(close) int fd = open(entry->path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0) {
        (void)err_sys(e, errno, "%s", entry->path);
        return -1;
    }
    if (!S_ISREG(st.st_mode) || st.st_nlink == 0 || (uint64_t)st.st_size != entry->size) {
        (void)err_set(e, ERR_BUSY, "%s was changed meanwhile", entry->path);
        return -1;
    }
    int out = fd;
    fd = -1;
    return out;
}

enum err_code journal_put(struct journal_store *s, const struct journal_entry *entry, struct buf *key, struct err *e)
{
    const struct stage_about *about = &entry->about;
    struct err local = ERR_INIT;
    e = e ? e : &local;
    if (entry->kind != JOURNAL_FAILED || about->origin == STAGE_OF_UNKNOWN || !*entry->key)
        return err_set(e, ERR_UNSUPPORTED, "it is not known what it was to become: export it");
    struct file f = {.fd = open_entry(entry, e), .size = entry->size};
    CLEANUP(close) int fd = f.fd;
    if (fd < 0)
        return e->code;
    const struct store_cond cond = {
        .kind = about->origin == STAGE_OF_NOTHING ? STORE_IF_ABSENT : about->origin == STAGE_OF_VERSION ? STORE_IF_MATCH : STORE_ALWAYS,
        .etag = about->origin == STAGE_OF_VERSION ? about->etag : NULL,
    };
    buf_add_str(key, entry->key);
    if (entry->n_unfetched && journal_upload_has_rest(entry))
        return journal_upload_finish(s->stack.store, entry, fd, &cond, e);
    enum err_code code = complete(s, entry, fd, e);
    if (!code)
        code = hash(&f, e);
    CLEANUP(store_meta_unref) struct store_meta *meta = code ? NULL : meta_of(s, entry, e);
    if (!meta)
        return code ? code : e->code;
    code = put(s, entry, entry->key, &f, meta, &cond, e);
    return code == ERR_CONFLICT ? put_beside(s, entry, &f, meta, key, e) : code;
}

enum err_code journal_send(struct journal_store *s, const struct journal_mount *m, struct err *e)
{
    CLEANUP(free) char *dir = str_printf("%s/" UNSENT_DIR, m->dir);
    CLEANUP(free) char *identity = str_printf("%s\n%s\n", m->source, m->endpoint);
    if (!dir || !identity)
        return err_set(e, ERR_NOMEM, "no memory");
    const struct writeback_config c = {
        .inner = s->stack.store, .dir = dir, .identity = identity, .patience_ms = (unsigned)s->options.timeout_ms};
    struct writeback *w;
    struct store *back = writeback_store_new(&c, &w, e);
    if (!back)
        return e->code;
    enum err_code code = writeback_drain(w, false, NULL, NULL, NULL, e);
    store_free(back);
    return code;
}

static enum err_code carry_out(struct journal_store *s, struct rename_note *note, const struct rename_plan *plan, struct err *e)
{
    struct pool *pool = pool_new("rename", 32, e);
    if (!pool)
        return e->code;
    const struct move m = {.store = s->stack.store, .pool = pool};
    enum err_code code = move_resume(&m, note, plan, e);
    pool_free(pool);
    return code;
}

enum err_code journal_rename(struct journal_store *s, const struct journal_entry *entry, struct err *e)
{
    struct rename_note *note;
    CLEANUP(rename_plan_free) struct rename_plan *plan = NULL;
    if (entry->mount->log && journal_log_size(entry->mount->log))
        return err_set(e, ERR_BUSY, "what its mount has journaled goes first: awsfs journal list shows it");
    enum err_code code = renames_take(entry->path, &note, &plan, e);
    if (code)
        return code;
    code = carry_out(s, note, plan, e);
    if (!code) {
        rename_note_end(note);
        return ERR_OK;
    }
    rename_note_failed(note, e, plan->attempts + 1);
    rename_note_leave(note);
    return code;
}

struct suspects {
    struct uploads *record;
    int64_t since;
    void (*fn)(void *arg, const char *upload_id);
    void *arg;
};

static void suspect(void *arg, const char *upload_id, time_t begun)
{
    const struct suspects *s = arg;
    bool earlier = begun && begun + CLOCK_SLACK_S < s->since;
    if (!earlier && !uploads_has(s->record, upload_id))
        s->fn(s->arg, upload_id);
}

enum err_code journal_suspects(struct journal_store *s, const struct journal_entry *intent, void (*fn)(void *arg, const char *upload_id),
                               void *arg, struct err *e)
{
    CLEANUP(free) char *dir = str_ndup(intent->path, (size_t)(strrchr(intent->path, '/') - intent->path));
    CLEANUP(uploads_free) struct uploads *record = dir ? uploads_open(dir, e) : NULL;
    if (!record)
        return dir ? e->code : err_set(e, ERR_NOMEM, "no memory");
    struct suspects suspects = {record, intent->since, fn, arg};
    return store_upload_list(s->stack.store, intent->key, NULL, suspect, &suspects, e);
}

enum err_code journal_abort(struct journal_store *s, const struct journal_entry *entry, struct err *e)
{
    return store_upload_abort(s->stack.store, entry->key, entry->upload_id, NULL, e);
}
