/*
 * Putting a frozen stage: in one request up to the store's target size, else by parallel parts.
 *
 * What makes an object appear (a put, the finish of an upload) is never canceled: a request that was sent may be executed long
 * after its connection was closed, and would bring back a name that was removed meanwhile. Parts are.
 */
#include "util/digest.h"
#include "util/secret.h"
#include "util/str.h"
#include "vfs/upload.h"

#include <string.h>

#define PART_DEFAULT (8ULL << 20)
#define PARTS_PARALLEL 8
#define CHUNK (256 * 1024)

struct source {
    struct stage *stage;
    uint64_t start;
};

static ssize_t source_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    const struct source *s = arg;
    size_t got = 0;
    if (stage_read(s->stage, s->start + offset, buf, len, true, &got, NULL))
        return -1;
    return (ssize_t)got;
}

/* One pass over [start, start + size): the digest if wanted, and the CRC. */
static enum err_code scan(struct stage *stage, uint64_t start, uint64_t size, struct digest *d, uint64_t *crc, struct err *e)
{
    CLEANUP(free) char *buf = malloc(CHUNK);
    if (!buf)
        return err_set(e, ERR_NOMEM, "out of memory");
    *crc = 0;
    for (uint64_t at = 0; at < size;) {
        size_t got = 0, want = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        enum err_code code = stage_read(stage, start + at, buf, want, true, &got, e);
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
    enum err_code code = scan(stage, 0, size, d, crc, e);
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
    enum err_code code = stage_read(u->stage, 0, p, (size_t)size, true, &t.len, e);
    if (code)
        return code;
    struct store_body body = {.size = t.len, .read = text_read, .arg = &t};
    struct store_call call = {.urgent = true};
    code = store_check(v->store, u->key, false, &body, e);
    return code ? code : store_put(v->store, u->key, &body, u->meta, &u->cond, &call, out, e);
}

/* ---- One request */

static enum err_code put_once(struct vfs *v, const struct upload *u, uint64_t size, struct store_version *out, struct err *e)
{
    uint8_t sha512[DIGEST_MAX];
    uint64_t crc;
    enum err_code code = hash_whole(u->stage, size, sha512, &crc, e);
    if (code)
        return code;
    struct source source = {.stage = u->stage};
    struct store_body body = {.size = size, .read = source_read, .arg = &source, .sha512 = sha512, .crc64nvme = &crc};
    struct store_call call = {.urgent = true};
    return store_put(v->store, u->key, &body, u->meta, &u->cond, &call, out, e);
}

/* ---- By parts */

struct part_task {
    struct vfs *v;
    const struct upload *u;
    const char *id;
    bool *stop;
    struct source source;
    struct store_part part;
    enum err_code code;
    struct err err;
};

static void send_part(void *item)
{
    struct part_task *t = item;
    uint64_t crc;
    t->code = scan(t->u->stage, t->source.start, t->part.size, NULL, &crc, &t->err);
    if (!t->code) {
        struct store_body body = {.size = t->part.size, .read = source_read, .arg = &t->source, .crc64nvme = &crc};
        struct store_call call = {.cancel = t->u->cancel};
        t->code = store_upload_part(t->v->store, t->u->key, t->id, &body, &call, &t->part, &t->err);
    }
    if (t->code)
        __atomic_store_n(t->stop, true, __ATOMIC_RELAXED);
    else
        t->part.crc64nvme = crc;
}

static uint64_t part_size(const struct store_caps *caps, uint64_t size)
{
    uint64_t part = PART_DEFAULT > caps->part_min ? PART_DEFAULT : caps->part_min;
    uint64_t least = (size + caps->max_parts - 1) / caps->max_parts;
    if (part < least)
        part = (least + (1 << 20) - 1) & ~((1ULL << 20) - 1);
    return part < caps->part_max ? part : caps->part_max;
}

static enum err_code send_parts(struct vfs *v, const struct upload *u, const char *id, uint64_t size,
                                const uint8_t *sha512, struct store_version *out, struct err *e)
{
    uint64_t each = part_size(v->caps, size);
    size_t n = (size_t)((size + each - 1) / each);
    bool stop = false;
    CLEANUP(free) struct part_task *tasks = calloc(n, sizeof(*tasks));
    CLEANUP(free) struct store_part *parts = calloc(n, sizeof(*parts));
    if (!tasks || !parts)
        return err_set(e, ERR_NOMEM, "out of memory for %zu parts", n);
    for (size_t k = 0; k < n; k++) {
        uint64_t start = k * each;
        tasks[k] = (struct part_task){.v = v, .u = u, .id = id, .stop = &stop, .code = ERR_CANCELED,
                                      .source = {u->stage, start},
                                      .part = {.number = (unsigned)k + 1, .size = size - start < each ? size - start : each}};
    }
    unsigned parallel = v->cfg.upload_parallel ? v->cfg.upload_parallel : PARTS_PARALLEL;
    pool_each(v->pool, tasks, n, sizeof(*tasks), parallel, send_part, &stop);
    for (size_t k = 0; k < n; k++) {
        if (tasks[k].code && tasks[k].err.code)
            return err_copy(e, &tasks[k].err);
        parts[k] = tasks[k].part;
    }
    for (size_t k = 0; k < n; k++)
        if (tasks[k].code)
            return err_set(e, tasks[k].code, "a part was not sent");
    if (u->cancel && cancel_fired(u->cancel))
        return err_set(e, ERR_CANCELED, "interrupted");
    struct store_call call = {.urgent = true};
    return store_upload_finish(v->store, u->key, id, parts, n, sha512, &u->cond, &call, out, e);
}

static enum err_code put_parts(struct vfs *v, const struct upload *u, uint64_t size, struct store_version *out,
                               struct err *e)
{
    uint8_t sha512[DIGEST_MAX];
    uint64_t crc;
    char id[STORE_ID_SIZE];
    struct store_call call = {.cancel = u->cancel};
    enum err_code code = hash_whole(u->stage, size, sha512, &crc, e);
    if (!code)
        code = store_upload_begin(v->store, u->key, u->meta, sha512, &call, id, e);
    if (code)
        return code;
    code = v->uploads ? uploads_add(v->uploads, u->key, id, e) : ERR_OK;
    if (!code)
        code = send_parts(v, u, id, size, sha512, out, e);
    if (code) {
        struct err err = ERR_INIT;
        if (store_upload_abort(v->store, u->key, id, NULL, &err)) {
            LOG_WARN("vfs", "an upload of \"%s\" is left until the next mount: %s", u->key, err.msg);
            return code;
        }
    }
    if (v->uploads)
        uploads_remove(v->uploads, id);
    return code;
}

enum err_code upload_put(struct vfs *v, const struct upload *u, struct store_version *out, struct err *e)
{
    uint64_t size = stage_frozen_size(u->stage);
    if (vfs_has(v, STORE_SECRET) && size <= v->caps->put_max)
        return put_text(v, u, size, out, e);
    struct source source = {.stage = u->stage};
    struct store_body body = {.size = size, .read = source_read, .arg = &source};
    enum err_code code = store_check(v->store, u->key, false, &body, e);
    if (code)
        return code;
    bool parts = vfs_has(v, STORE_MULTIPART) && size > v->caps->put_target;
    struct err err = ERR_INIT;
    code = parts ? put_parts(v, u, size, out, &err) : put_once(v, u, size, out, &err);
    /* A 404 is about the upload, which others have aborted: the file that was written is no absence (R4). */
    if (code == ERR_NOT_FOUND)
        return err_set(e, ERR_IO, "what was sent was removed by others meanwhile: %s", err.msg);
    return code ? err_copy(e, &err) : ERR_OK;
}
