/*
 * Putting a frozen stage: in one request up to the store's target size, else by parallel parts.
 *
 * What makes an object appear (a put, the finish of an upload) is never canceled: a request that was sent may be executed long
 * after its connection was closed, and would bring back a name that was removed meanwhile. Parts are.
 */
#include "util/digest.h"
#include "util/secret.h"
#include "util/str.h"
#include "vfs/beside.h"
#include "vfs/early.h"
#include "vfs/plan.h"
#include "vfs/stage_use.h"
#include "vfs/unfinished.h"
#include "vfs/upload.h"

#include <string.h>

#define CHUNK (256 * 1024)

ssize_t upload_source_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const struct upload_source *s = arg;
    size_t got = 0;
    if (stage_read_sending(s->stage, s->start + offset, buf, len, s->frozen, &got, NULL))
        return -1;
    return (ssize_t)got;
}

static enum err_code source_give(void *arg, int dir, const char *name, struct err *e)
{
    const struct upload_source *s = arg;
    return stage_lend(s->stage, dir, name, e);
}

enum err_code upload_crc(const struct upload_source *s, uint64_t size, uint64_t *crc, struct err *e)
{
    return stage_crc(s->stage, s->start, size, s->frozen, crc) ? ERR_OK : upload_scan(s, size, NULL, crc, e);
}

enum err_code upload_scan(const struct upload_source *s, uint64_t size, struct digest *d, uint64_t *crc, struct err *e)
{
    CLEANUP(free) char *buf = malloc(CHUNK);
    if (!buf)
        return err_set(e, ERR_NOMEM, "out of memory");
    *crc = 0;
    for (uint64_t at = 0; at < size;) {
        size_t got = 0, want = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        enum err_code code = stage_read_sending(s->stage, s->start + at, buf, want, s->frozen, &got, e);
        if (!code && got != want)
            code = err_set(e, ERR_IO, "a staging file is shorter than it should be");
        if (!code && d)
            code = digest_update(d, buf, got, e);
        if (code)
            return code;
        *crc = crc64nvme(*crc, buf, got);
        at += got;
    }
    return ERR_OK;
}

static enum err_code hash_whole(struct stage *stage, uint64_t size, uint8_t sha512[DIGEST_MAX], uint64_t *crc,
                                struct err *e)
{
    CLEANUP(digest_free) struct digest *d = digest_new(DIGEST_SHA512, e);
    if (!d)
        return ERR_NOMEM;
    const struct upload_source all = {stage, 0, true};
    enum err_code code = upload_scan(&all, size, d, crc, e);
    return code ? code : digest_final(d, sha512, e);
}

/* ---- Secrets: small, and in secret memory all the way */

struct text {
    char *p; /* secret memory */
    size_t len;
};

static ssize_t text_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const struct text *t = arg;
    if (offset >= t->len)
        return 0;
    size_t n = t->len - offset < len ? t->len - (size_t)offset : len;
    memcpy(buf, t->p + offset, n);
    return (ssize_t)n;
}

static enum err_code put_text(struct vfs *v, const struct upload *u, uint64_t size, struct store_version *out, struct err *e)
{
    CLEANUP(secret_free) char *p = secret_alloc((size_t)size + 1);
    struct text t = {.p = p};
    if (!p)
        return err_set(e, ERR_NOMEM, "out of locked memory");
    enum err_code code = stage_complete_from(u->stage, u->base, true, u->cancel, e);
    if (!code)
        code = stage_read(u->stage, 0, p, (size_t)size, true, &t.len, e);
    if (code)
        return code;
    struct store_body body = {.size = t.len, .read = text_read, .arg = &t};
    struct store_call call = {.urgent = true};
    code = store_check(v->store, u->key, false, &body, e);
    return code ? code : store_put(v->store, u->key, &body, u->meta, &u->cond, &call, out, e);
}

/* ---- One request */

/* What it lacks comes from the base. */
static enum err_code put_once(struct vfs *v, const struct upload *u, uint64_t size, struct store_version *out, struct err *e)
{
    uint8_t sha512[DIGEST_MAX];
    uint64_t crc;
    enum err_code code = stage_complete_from(u->stage, u->base, true, u->cancel, e);
    if (!code)
        code = hash_whole(u->stage, size, sha512, &crc, e);
    if (code)
        return code;
    struct upload_source source = {u->stage, 0, true};
    struct store_body body = {
        .size = size, .read = upload_source_read, .arg = &source, .sha512 = sha512, .crc64nvme = &crc, .give = source_give};
    struct store_call call = {.urgent = true, .brief = u->brief};
    code = store_put(v->store, u->key, &body, u->meta, &u->cond, &call, out, e);
    if (!code)
        beside_stored(v, u->key, out, u->stage, sha512, crc);
    return code;
}

/* ---- By parts */

static enum err_code finish(struct vfs *v, const struct upload *u, const char *id, struct plan *p, const uint8_t *sha512,
                            struct store_version *out, struct err *e)
{
    CLEANUP(free) struct store_part *parts = calloc(p->n, sizeof(*parts));
    if (!parts)
        return err_set(e, ERR_NOMEM, "out of memory for %zu parts", p->n);
    enum err_code code = plan_send(v, u, id, p, e);
    if (code)
        return code;
    for (size_t k = 0; k < p->n; k++)
        parts[k] = p->parts[k].part;
    if (u->cancel && cancel_fired(u->cancel))
        return err_set(e, ERR_CANCELED, "interrupted");
    struct store_call call = {.urgent = true};
    return store_upload_finish(v->store, u->key, id, parts, p->n, sha512, &u->cond, &call, out, e);
}

bool upload_abort(struct vfs *v, const char *key, const char *id)
{
    struct err err = ERR_INIT;
    if (store_upload_abort(v->store, key, id, NULL, &err)) {
        LOG_WARN("vfs", "an upload of \"%s\" is left until the next mount: %s", key, err.msg);
        return false;
    }
    if (v->uploads)
        uploads_remove(v->uploads, id);
    return true;
}

enum err_code upload_begin(struct vfs *v, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                           struct cancel *cancel, char id[STORE_ID_SIZE], struct err *e)
{
    unsigned unanswered = 0;
    char intent[UPLOADS_INTENT_SIZE];
    struct store_call call = {.cancel = cancel, .unanswered = &unanswered};
    enum err_code code = v->uploads ? uploads_intend(v->uploads, key, intent, e) : ERR_OK;
    if (code)
        return code;
    code = store_upload_begin(v->store, key, meta, sha512, &call, id, e);
    if (!v->uploads)
        return code;
    bool known = !unanswered && code != ERR_CANCELED, begun = !code;
    if (begun && (code = uploads_add(v->uploads, key, id, e)) && !upload_abort(v, key, id))
        known = false;
    if (known)
        uploads_answered(v->uploads, intent);
    else
        LOG_WARN("vfs", "an upload of \"%s\" may have been begun without an answer: awsfs journal shows it", key);
    return code;
}

static enum err_code put_plan(struct vfs *v, const struct upload *u, struct plan *p, const uint8_t *sha512,
                              struct store_version *out, struct err *e)
{
    char id[STORE_ID_SIZE];
    enum err_code code = upload_begin(v, u->key, u->meta, sha512, u->cancel, id, e);
    if (code)
        return code;
    code = finish(v, u, id, p, sha512, out, e);
    if (code)
        (void)upload_abort(v, u->key, id);
    else if (v->uploads)
        uploads_remove(v->uploads, id);
    return code;
}

/* What the base has unchanged is copied on the server; its digest is not known then. */
static enum err_code put_copying(struct vfs *v, const struct upload *u, struct store_version *out, struct err *e)
{
    CLEANUP_RELEASE(plan_release) struct plan p = {0};
    enum err_code code = plan_copies(&p, u->stage, v->caps, e);
    if (code)
        return code;
    size_t k = 0;
    while (k < p.n && !p.parts[k].copied)
        k++;
    return k < p.n ? put_plan(v, u, &p, NULL, out, e) : err_set(e, ERR_UNSUPPORTED, "no part of it is as it was");
}

/* Also ERR_INVAL: parts of different sizes, which some servers refuse. Where another version is there, it may be one of ours whose
 * put was never answered: the store finds that out at the finish, where all bytes are here. */
static bool whole_instead(const struct upload *u, enum err_code copied)
{
    return copied == ERR_UNSUPPORTED || copied == ERR_INVAL || (copied == ERR_CONFLICT && stage_complete(u->stage, true));
}

static enum err_code put_parts(struct vfs *v, const struct upload *u, uint64_t size, struct store_version *out,
                               struct err *e)
{
    uint8_t sha512[DIGEST_MAX];
    uint64_t crc;
    if (u->base_etag) {
        struct err err = ERR_INIT;
        enum err_code copied = put_copying(v, u, out, &err);
        if (!whole_instead(u, copied))
            return copied ? err_copy(e, &err) : ERR_OK;
        LOG_DEBUG("vfs", "\"%s\" is sent as a whole: %s", u->key, err.msg);
    }
    CLEANUP_RELEASE(plan_release) struct plan p = {0};
    enum err_code code = stage_complete_from(u->stage, u->base, true, u->cancel, e);
    if (!code)
        code = hash_whole(u->stage, size, sha512, &crc, e);
    if (!code)
        code = plan_whole(&p, v->caps, size, e);
    if (!code)
        code = put_plan(v, u, &p, sha512, out, e);
    if (!code)
        beside_stored(v, u->key, out, u->stage, sha512, crc);
    return code;
}

/* What was sent while the program wrote goes into the upload as it is. */
static enum err_code put_early(struct vfs *v, const struct upload *u, uint64_t size, struct store_version *out, struct err *e)
{
    CLEANUP_RELEASE(plan_release) struct plan p = {0};
    enum err_code code = early_plan(u->early, &p, size, e);
    if (!code)
        code = finish(v, u, early_id(u->early), &p, NULL, out, e);
    if (!code && stage_local_bytes(u->stage) >= size)
        beside_stored(v, u->key, out, u->stage, NULL, plan_crc(&p));
    return code;
}

enum err_code upload_put(struct vfs *v, const struct upload *u, struct store_version *out, struct err *e)
{
    uint64_t size = stage_frozen_size(u->stage);
    enum err_code code = unfinished_claim_now(v, u->key, e);
    if (code)
        return code;
    if (vfs_has(v, STORE_SECRET) && size <= v->caps->put_max)
        return put_text(v, u, size, out, e);
    struct upload_source source = {u->stage, 0, true};
    struct store_body body = {.size = size, .read = upload_source_read, .arg = &source};
    code = store_check(v->store, u->key, false, &body, e);
    if (code)
        return code;
    struct err err = ERR_INIT;
    code = u->early                   ? put_early(v, u, size, out, &err)
           : upload_by_parts(v, size) ? put_parts(v, u, size, out, &err)
                                      : put_once(v, u, size, out, &err);
    /* A 404 is about the upload, which others have aborted: the file that was written is no absence (R4). */
    if (code == ERR_NOT_FOUND)
        return err_set(e, ERR_IO, "what was sent was removed by others meanwhile: %s", err.msg);
    return code ? err_copy(e, &err) : ERR_OK;
}
