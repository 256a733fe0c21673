/*
 * Bytes on the disk of the journal that are not those that were journaled: a disk lost or changed them. Sending them would put something
 * into the store that nobody has written, or be refused for ever by a server that compares checksums, so they are compared before.
 *
 * What an earlier mount has left is compared before it is sent for the first time; anything else when an attempt failed in a way that a
 * body's bytes may be the cause of.
 */
#include "journal/durable.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/str.h"
#include "writeback/inside.h"

#include <errno.h>
#include <string.h>

#define CHUNK (256u << 10)

static bool is_doubtful(const struct op *o)
{
    return o->body->file && ((o->left && !o->attempts) || o->code == ERR_IO);
}

struct sums {
    uint64_t crc64nvme;
    struct digest *sha512; /* where there is no CRC */
};

static enum err_code sum_up(const struct op *o, int fd, struct cancel *cancel, struct sums *s, struct err *e)
{
    CLEANUP(free) char *buf = malloc(CHUNK);
    if (!buf)
        return err_set(e, ERR_NOMEM, "out of memory");
    for (uint64_t at = 0; at < o->size;) {
        if (cancel_fired(cancel))
            return err_set(e, ERR_CANCELED, "the mount ends");
        ssize_t n = body_read(o->body, fd, at, buf, CHUNK);
        if (n < 0)
            return durable_failed(e, errno, "read", o->body->file);
        if (n == 0)
            return err_set(e, ERR_PROTO, "its bytes in %s end at %llu of %llu", o->body->file, (unsigned long long)at,
                           (unsigned long long)o->size);
        if (s->sha512 && digest_update(s->sha512, buf, (size_t)n, e))
            return e->code;
        s->crc64nvme = s->sha512 ? 0 : crc64nvme(s->crc64nvme, buf, (size_t)n);
        at += (uint64_t)n;
    }
    return ERR_OK;
}

/* ERR_PROTO: they are others. Any other error: that is not known. */
static enum err_code compare(const struct op *o, struct cancel *cancel, struct err *e)
{
    uint8_t sha512[DIGEST_MAX];
    CLEANUP(digest_free) struct digest *digest = NULL;
    enum err_code code = body_check(o->body, e);
    if (code)
        return code;
    if (!o->has_crc && !o->sha512)
        return ERR_OK;
    if (!o->has_crc && !(digest = digest_new(DIGEST_SHA512, e)))
        return e->code;
    CLEANUP(close) int fd = body_open(o->body, e);
    if (fd == -2)
        return ERR_IO;
    struct sums sums = {.sha512 = digest};
    code = sum_up(o, fd, cancel, &sums, e);
    if (!code && digest)
        code = digest_final(digest, sha512, e);
    if (code)
        return code;
    bool same = digest ? memcmp(sha512, o->sha512, 64) == 0 : sums.crc64nvme == o->crc64nvme;
    return same ? ERR_OK : err_set(e, ERR_PROTO, "the bytes in %s are not those that were written", o->body->file);
}

/* Whether an earlier mount has put it: what is there was told with the same hash. */
static enum err_code is_put(struct writeback *w, const struct op *o, struct store_version *out, bool *put, struct err *e)
{
    CLEANUP_RELEASE(store_object_release) struct store_object now = {0};
    const struct store_call call = {.cancel = w->end};
    char hex[2 * 64 + 1] = "";
    struct err err = ERR_INIT;
    *put = false;
    enum err_code code = store_stat(w->inner, o->node->key, &call, &now, &err);
    if (code)
        return code == ERR_NOT_FOUND ? ERR_OK : err_copy(e, &err);
    const char *told = store_meta_prop(now.meta, "sha512", NULL);
    if (o->sha512)
        hex_encode(o->sha512, 64, hex);
    *put = now.version.size == o->size && o->sha512 && told && strcmp(told, hex) == 0;
    *out = now.version;
    return ERR_OK;
}

/* Nobody can do more than say so, and keep what is there. A later put or removal of the key goes on from what this one was to change. */
static void lost(struct writeback *w, struct op *o, const struct err *e)
{
    body_set_aside(o->body, o->node->key, e->msg);
    LOCK_SCOPE(&w->lock);
    LOG_ERROR("writeback", "what was written to \"%s\" cannot be sent: %s", o->node->key, e->msg);
    alias_set(w, o->node->key, NULL, NULL);
    if (!conflict_hand_on_locked(w, o))
        sender_dropped(w, o, RECORD_DISCARDED, 0);
}

bool damage_none(struct writeback *w, struct op *o)
{
    struct err err = ERR_INIT, why = ERR_INIT;
    struct store_version version;
    bool put = false;
    if (!is_doubtful(o))
        return true;
    enum err_code code = compare(o, w->end, &why);
    if (!code)
        return true;
    if (code == ERR_PROTO)
        code = is_put(w, o, &version, &put, &err);
    else
        code = err_copy(&err, &why);
    if (!code && !put) {
        lost(w, o, &why);
        return false;
    }
    LOCK_SCOPE(&w->lock);
    if (code)
        sender_failed(w, o, &err);
    else
        sender_done(w, o, &version);
    return false;
}
