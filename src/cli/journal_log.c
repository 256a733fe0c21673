#include "cli/journal_log.h"

#include "journal/stage_bytes.h"
#include "journal/wal.h"
#include "util/str.h"
#include "writeback/writeback.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct journal_log {
    struct wal *wal;
    char *dir;
    struct journal_op **ops; /* in the order of their numbers */
    size_t n, cap;
    int bytes;
    uint64_t end; /* of what is in it */
};

static void op_free(struct journal_op *op)
{
    if (!op)
        return;
    free((char *)op->key);
    free((char *)op->from);
    free((char *)op->file);
    free((char *)op->error);
    free(op);
}
CLEANUP_DEFINE(struct journal_op, op_free)

static enum err_code no_memory(struct err *e)
{
    return err_set(e, ERR_NOMEM, "no memory for the journal");
}

/* Their order is that of the log, so that a number is found by halves. */
static size_t position(const struct journal_log *l, uint64_t number)
{
    size_t low = 0, high = l->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->ops[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct journal_op *find(const struct journal_log *l, uint64_t number)
{
    size_t at = position(l, number);
    return at < l->n && l->ops[at]->number == number ? l->ops[at] : NULL;
}

/* The place stays, without memory that it points to: places move once, at the end. */
static void end_op(struct journal_log *l, uint64_t number)
{
    struct journal_op *op = find(l, number);
    if (op)
        op->kind = 0;
}

static enum err_code keep_bytes(struct journal_log *l, struct journal_op *op, const void *p, struct err *e)
{
    op->at = l->end;
    for (uint64_t done = 0; done < op->size;) {
        ssize_t n = pwrite(l->bytes, (const char *)p + done, (size_t)(op->size - done), (off_t)(l->end + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return err_sys(e, n < 0 ? errno : EIO, "keep what is in the journal");
        done += (uint64_t)n;
    }
    l->end += op->size;
    return ERR_OK;
}

static enum err_code add(struct journal_log *l, uint64_t number, const struct record *r, struct err *e)
{
    CLEANUP(op_free) struct journal_op *op = calloc(1, sizeof(*op));
    if (!op)
        return no_memory(e);
    op->number = number;
    op->kind = r->kind;
    op->size = r->kind == RECORD_PUT ? r->size : 0;
    op->since = (int64_t)r->when.tv_sec;
    op->key = strdup(r->kind == RECORD_COPY ? r->to : r->key);
    op->from = r->kind == RECORD_COPY ? strdup(r->key) : NULL;
    op->file = r->file ? str_printf("%s/" WRITEBACK_BODIES "/%s", l->dir, r->file) : NULL;
    op->error = strdup("");
    if (!op->key || !op->error || (r->kind == RECORD_COPY && !op->from) || (r->file && !op->file))
        return no_memory(e);
    enum err_code code = op->size && !r->file && l->bytes >= 0 ? keep_bytes(l, op, r->body, e) : ERR_OK;
    if (!code && l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct journal_op **more = reallocarray(l->ops, cap, sizeof(*more));
        if (!more)
            return no_memory(e);
        l->ops = more;
        l->cap = cap;
    }
    if (!code)
        l->ops[l->n++] = TAKE(op);
    return code;
}

static enum err_code note_failure(struct journal_log *l, const struct record *r, struct err *e)
{
    struct journal_op *op = find(l, r->of);
    char *text = op ? strdup(r->text) : NULL;
    if (!op)
        return ERR_OK;
    if (!text)
        return no_memory(e);
    free((char *)op->error);
    op->error = text;
    op->attempts = r->attempts;
    return ERR_OK;
}

static enum err_code replay(void *arg, uint64_t number, const void *p, size_t len, struct err *e)
{
    struct journal_log *l = arg;
    CLEANUP(record_free) struct record *r = record_decode(p, len, e);
    if (!r)
        return e->code;
    switch (r->kind) {
    case RECORD_PUT:
    case RECORD_COPY:
    case RECORD_REMOVE:
        return add(l, number, r, e);
    case RECORD_DONE:
    case RECORD_CONFLICT:
        end_op(l, r->of);
        return ERR_OK;
    case RECORD_FAILED:
        return note_failure(l, r, e);
    default:
        return ERR_OK;
    }
}

static void drop_ended(struct journal_log *l)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (l->ops[i]->kind)
            l->ops[n++] = l->ops[i];
        else
            op_free(l->ops[i]);
    }
    l->n = n;
}

struct journal_log *journal_log_open(const char *dir, const char *source, const char *endpoint, bool with_bytes, struct err *e)
{
    struct stat st;
    if (stat(dir, &st) != 0) {
        if (errno == ENOENT)
            (void)err_set(e, ERR_NOT_FOUND, "no journal");
        else
            (void)err_sys(e, errno, "%s", dir);
        return NULL;
    }
    CLEANUP(journal_log_free) struct journal_log *l = calloc(1, sizeof(*l));
    CLEANUP(free) char *identity = str_printf("%s\n%s\n", source, endpoint);
    if (!l || !identity || !(l->dir = strdup(dir))) {
        if (l)
            l->bytes = -1;
        (void)no_memory(e);
        return NULL;
    }
    struct stage_bytes unnamed = {.fd = -1};
    if (with_bytes && stage_bytes_create_unnamed(&unnamed, dir, e)) {
        l->bytes = -1;
        return NULL;
    }
    l->bytes = unnamed.fd;
    const struct wal_config config = {.dir = dir, .identity = identity};
    l->wal = wal_open(&config, replay, l, e);
    if (!l->wal)
        return NULL;
    drop_ended(l);
    return TAKE(l);
}

void journal_log_free(struct journal_log *l)
{
    if (!l)
        return;
    wal_free(l->wal);
    for (size_t i = 0; i < l->n; i++)
        op_free(l->ops[i]);
    free(l->ops);
    close_cleanup(&l->bytes);
    free(l->dir);
    free(l);
}

size_t journal_log_size(const struct journal_log *l)
{
    return l->n;
}

const struct journal_op *journal_log_at(const struct journal_log *l, size_t i)
{
    return l->ops[i];
}

int journal_log_bytes(const struct journal_log *l)
{
    return l->bytes;
}

/* The record first: bytes without one are swept, a record without its bytes is an error. */
enum err_code journal_log_discard(struct journal_log *l, const struct journal_op *op, struct err *e)
{
    const struct record done = {.kind = RECORD_DONE, .of = op->number, .how = RECORD_DISCARDED, .version_etag = ""};
    uint64_t number;
    BUF(b, WAL_RECORD_MAX);
    enum err_code code = record_encode(&done, &b, e);
    if (!code)
        code = wal_append(l->wal, b.data, b.len, &number, e);
    if (!code)
        code = wal_sync(l->wal, number, e);
    if (!code)
        find(l, op->number)->discarded = true;
    if (!code && op->file && unlink(op->file) != 0 && errno != ENOENT)
        code = err_sys(e, errno, "remove %s", op->file);
    return code;
}
