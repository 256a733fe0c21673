#include "cli/journal_upload.h"

#include "journal/uploads.h"
#include "util/cleanup.h"
#include "util/private_dir.h"
#include "util/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PART (16u << 20)

struct stage_sent *journal_upload_parts(const struct stage_about *about, bool *ok)
{
    struct stage_sent *parts = about->n_sent ? calloc(about->n_sent, sizeof(*parts)) : NULL;
    *ok &= parts || !about->n_sent;
    for (size_t i = 0; parts && i < about->n_sent; i++) {
        parts[i] = about->sent[i];
        if (about->sent[i].etag)
            *ok &= (parts[i].etag = strdup(about->sent[i].etag)) != NULL;
    }
    return parts;
}

/* Where the part that has `offset` ends, if its bytes are in the upload; `offset` otherwise. */
static uint64_t sent_until(const struct stage_about *about, uint64_t offset)
{
    for (size_t i = 0; i < about->n_sent; i++) {
        const struct stage_sent *p = &about->sent[i];
        if (offset >= p->start && offset - p->start < p->size)
            return p->etag ? p->start + p->size : offset;
    }
    return offset;
}

bool journal_upload_has_rest(const struct journal_entry *entry)
{
    for (size_t i = 0; i < entry->n_unfetched; i++) {
        uint64_t at = entry->unfetched[i].offset, end = at + entry->unfetched[i].length;
        for (uint64_t next; at < end; at = next)
            if ((next = sent_until(&entry->about, at)) == at)
                return false;
    }
    return entry->about.upload_id != NULL;
}

/* ---- What is sent */

struct piece {
    int fd;
    uint64_t start;
};

static ssize_t piece_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const struct piece *p = arg;
    ssize_t n;
    do
        n = pread(p->fd, buf, len, (off_t)(p->start + offset));
    while (n < 0 && errno == EINTR);
    return n;
}

struct parts {
    struct store_part *all;
    size_t n, cap;
};

static struct store_part *next_part(struct parts *p, struct err *e)
{
    if (p->n == p->cap) {
        size_t cap = 2 * p->cap + 64;
        struct store_part *more = reallocarray(p->all, cap, sizeof(*more));
        if (!more) {
            (void)err_set(e, ERR_NOMEM, "no memory for the parts of an upload");
            return NULL;
        }
        p->all = more;
        p->cap = cap;
    }
    p->all[p->n] = (struct store_part){.number = (unsigned)p->n + 1};
    return &p->all[p->n++];
}

static enum err_code send_part(struct store *st, const struct journal_entry *entry, int fd, uint64_t start, uint64_t size,
                               struct store_part *part, struct err *e)
{
    struct piece piece = {.fd = fd, .start = start};
    const struct store_body body = {.size = size, .read = piece_read, .arg = &piece};
    return store_upload_part(st, entry->key, entry->about.upload_id, &body, NULL, part, e);
}

static enum err_code add_sent(struct store *st, const struct journal_entry *entry, int fd, const struct stage_sent *sent, struct parts *parts,
                              struct err *e)
{
    struct store_part *part = next_part(parts, e);
    if (!part)
        return e->code;
    if (!sent->etag)
        return send_part(st, entry, fd, sent->start, sent->size, part, e);
    if (strlen(sent->etag) >= sizeof(part->etag))
        return err_set(e, ERR_INVAL, "the description of %s is not readable", entry->path);
    memcpy(part->etag, sent->etag, strlen(sent->etag) + 1);
    part->size = sent->size;
    part->crc64nvme = sent->crc64nvme;
    return ERR_OK;
}

/* Those that were sent, and what the file has behind them. */
static enum err_code gather(struct store *st, const struct journal_entry *entry, int fd, struct parts *parts, struct err *e)
{
    const struct store_caps *caps = store_caps(st);
    const struct stage_about *about = &entry->about;
    enum err_code code = ERR_OK;
    uint64_t at = 0;
    for (size_t i = 0; !code && i < about->n_sent; i++) {
        code = add_sent(st, entry, fd, &about->sent[i], parts, e);
        at += about->sent[i].size;
    }
    uint64_t left = caps->max_parts > parts->n ? caps->max_parts - parts->n : 1, least = (entry->size - at) / left + 1;
    uint64_t size = PART > caps->part_min ? PART : caps->part_min;
    size = size > least ? size : least;
    for (; !code && at < entry->size; at += size) {
        struct store_part *part = next_part(parts, e);
        code = part ? send_part(st, entry, fd, at, entry->size - at < size ? entry->size - at : size, part, e) : e->code;
    }
    return code;
}

static enum err_code finish(struct store *st, const struct journal_entry *entry, const struct parts *parts, const struct store_cond *cond,
                            struct err *e)
{
    struct store_version version;
    enum err_code code = store_upload_finish(st, entry->key, entry->about.upload_id, parts->all, parts->n, NULL, cond, NULL, &version, e);
    if (code == ERR_CONFLICT)
        return err_prefix(e, code, "others have put that object meanwhile; bytes of this one are only parts of upload %s, which can have no "
                          "other name", entry->about.upload_id);
    return code;
}

enum err_code journal_upload_finish(struct store *st, const struct journal_entry *entry, int fd, const struct store_cond *cond,
                                    struct err *e)
{
    struct parts parts = {0};
    CLEANUP(free) char *dir = str_printf("%s/uploads", entry->mount->dir);
    CLEANUP(uploads_free) struct uploads *record = dir && private_dir(dir, e) == ERR_OK ? uploads_open(dir, e) : NULL;
    if (!record)
        return e->code ? e->code : err_set(e, ERR_NOMEM, "no memory");
    enum err_code code = gather(st, entry, fd, &parts, e);
    if (!code)
        code = finish(st, entry, &parts, cond, e);
    free(parts.all);
    if (!code)
        uploads_remove(record, entry->about.upload_id);
    if (code == ERR_NOT_FOUND)
        code = err_prefix(e, ERR_IO, "upload %s is not there any more: it was completed, then the object is whole and this entry can be "
                          "discarded, or it was aborted", entry->about.upload_id);
    return code;
}
