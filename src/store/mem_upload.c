/* Multipart uploads of the in-memory store. */
#include "store/mem_impl.h"
#include "util/buf.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void mem_upload_free(struct mem_upload *u)
{
    if (u == NULL)
        return;
    for (size_t i = 0; i < u->n_parts; i++)
        mem_blob_unref(u->parts[i].blob);
    free(u->parts);
    store_meta_unref(u->meta);
    free(u->key);
    free(u);
}
CLEANUP_DEFINE(struct mem_upload, mem_upload_free)

static size_t find_locked(const struct mem_store *m, const char *key, const char *id)
{
    size_t i = 0;
    while (i < m->n_uploads && (strcmp(m->uploads[i]->id, id) != 0 || strcmp(m->uploads[i]->key, key) != 0))
        i++;
    return i;
}

static void drop_locked(struct mem_store *m, size_t at)
{
    mem_upload_free(m->uploads[at]);
    m->uploads[at] = m->uploads[--m->n_uploads];
}

static enum err_code no_such(const char *key, const char *id, struct err *e)
{
    return err_set(e, ERR_NOT_FOUND, "%s: no such upload: %s", key, id);
}

enum err_code mem_upload_begin(void *impl, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                               const struct store_call *call, char upload_id[STORE_ID_SIZE], struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_UPLOAD_BEGIN, .key = key};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    CLEANUP(mem_upload_free) struct mem_upload *u = calloc(1, sizeof(*u));
    if (u == NULL || (u->key = strdup(key)) == NULL || (u->meta = store_meta_copy(meta)) == NULL)
        return err_set(e, ERR_NOMEM, "%s", key);
    u->has_sha512 = sha512 != NULL;
    if (sha512 != NULL)
        memcpy(u->sha512, sha512, sizeof(u->sha512));
    lock_take(&m->lock);
    struct mem_upload **more = realloc(m->uploads, (m->n_uploads + 1) * sizeof(*more));
    if (more != NULL) {
        m->uploads = more;
        (void)snprintf(u->id, sizeof(u->id), "upload-%llu", (unsigned long long)++m->next_upload);
        (void)snprintf(upload_id, STORE_ID_SIZE, "%s", u->id);
        more[m->n_uploads++] = TAKE(u);
    }
    lock_drop(&m->lock);
    return more != NULL ? mem_notify(m, &ev, MEM_AFTER, e) : err_set(e, ERR_NOMEM, "%s", key);
}

/* Replaces the part of that number or adds it in its place. Takes *blob on success. */
static enum err_code put_part(struct mem_upload *u, const struct store_part *part, struct mem_blob **blob,
                              struct err *e)
{
    size_t at = 0;
    while (at < u->n_parts && u->parts[at].number < part->number)
        at++;
    if (at == u->n_parts || u->parts[at].number != part->number) {
        struct mem_part *more = realloc(u->parts, (u->n_parts + 1) * sizeof(*more));
        if (more == NULL)
            return err_set(e, ERR_NOMEM, "%s: part %u", u->key, part->number);
        u->parts = more;
        memmove(more + at + 1, more + at, (u->n_parts - at) * sizeof(*more));
        more[at] = (struct mem_part){.number = part->number};
        u->n_parts++;
    }
    mem_blob_unref(u->parts[at].blob);
    u->parts[at].blob = TAKE(*blob);
    memcpy(u->parts[at].etag, part->etag, sizeof(part->etag));
    return ERR_OK;
}

/* The end of what brings a part. Takes *blob. */
static enum err_code keep_part(struct mem_store *m, struct mem_event *ev, const char *upload_id, struct mem_blob **blob,
                               struct store_part *part, struct err *e)
{
    struct store_part told = {.number = part->number, .size = (*blob)->size};
    told.crc64nvme = crc64nvme(0, (*blob)->bytes, (*blob)->size);
    char hex[2 * DIGEST_MAX + 1];
    enum err_code code = digest_hex(DIGEST_MD5, (*blob)->bytes, (*blob)->size, hex, e);
    if (code != ERR_OK)
        return code;
    (void)snprintf(told.etag, sizeof(told.etag), "%s", hex);
    lock_take(&m->lock);
    size_t at = find_locked(m, ev->key, upload_id);
    code = at < m->n_uploads ? put_part(m->uploads[at], &told, blob, e) : no_such(ev->key, upload_id, e);
    lock_drop(&m->lock);
    if (code == ERR_OK)
        code = mem_notify(m, ev, MEM_AFTER, e);
    if (code == ERR_OK)
        *part = told;
    return code;
}

enum err_code mem_upload_part(void *impl, const char *key, const char *upload_id, const struct store_body *body,
                              const struct store_call *call, struct store_part *part, struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_UPLOAD_PART, .key = key, .size = body->size};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    struct err local = ERR_INIT;
    CLEANUP(mem_blob_unref) struct mem_blob *blob = mem_read_body(body, key, &local);
    if (blob == NULL)
        return err_copy(e, &local);
    return keep_part(m, &ev, upload_id, &blob, part, e);
}

static struct mem_blob *slice_locked(struct mem_store *m, const struct store_part_source *source, uint64_t size, struct err *e)
{
    const struct mem_object *o = mem_find_locked(m, source->from);
    if (o == NULL || strcmp(o->version.etag, source->etag) != 0) {
        (void)err_set(e, ERR_CONFLICT, "%s is not the version %s any more", source->from, source->etag);
        return NULL;
    }
    if (source->offset > o->blob->size || size > o->blob->size - source->offset) {
        (void)err_set(e, ERR_INVAL, "%s: a range outside of it", source->from);
        return NULL;
    }
    struct mem_blob *blob = mem_blob_new((size_t)size);
    if (blob == NULL)
        (void)err_set(e, ERR_NOMEM, "%s", source->from);
    else
        memcpy(blob->bytes, o->blob->bytes + source->offset, (size_t)size);
    return blob;
}

enum err_code mem_upload_copy(void *impl, const char *key, const char *upload_id, const struct store_part_source *source,
                              const struct store_call *call, struct store_part *part, struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_UPLOAD_COPY, .key = key, .size = part->size};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    struct err local = ERR_INIT;
    lock_take(&m->lock);
    CLEANUP(mem_blob_unref) struct mem_blob *blob = slice_locked(m, source, part->size, &local);
    lock_drop(&m->lock);
    if (blob == NULL)
        return err_copy(e, &local);
    return keep_part(m, &ev, upload_id, &blob, part, e);
}

static const struct mem_part *find_part(const struct mem_upload *u, const struct store_part *p)
{
    for (size_t i = 0; i < u->n_parts; i++)
        if (u->parts[i].number == p->number && strcmp(u->parts[i].etag, p->etag) == 0)
            return &u->parts[i];
    return NULL;
}

/* The parts as one, and the ETag as S3 makes it: the MD5 of the parts' MD5s, "-", their number. */
static enum err_code join(const struct mem_store *m, const struct mem_upload *u, const struct store_part *parts,
                          size_t n, struct mem_blob **out, char etag[STORE_ETAG_SIZE], struct err *e)
{
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        const struct mem_part *p = find_part(u, &parts[i]);
        if (p == NULL)
            return err_set(e, ERR_INVAL, "%s: part %u is not there", u->key, parts[i].number);
        if (i + 1 < n && p->blob->size < m->caps.part_min)
            return err_set(e, ERR_INVAL, "%s: part %u is too small", u->key, parts[i].number);
        size += p->blob->size;
    }
    CLEANUP(mem_blob_unref) struct mem_blob *all = mem_blob_new(size);
    BUF(sums, 16 * 10000);
    if (all == NULL)
        return err_set(e, ERR_NOMEM, "%s: %zu bytes", u->key, size);
    size_t done = 0;
    for (size_t i = 0; i < n; i++) {
        const struct mem_part *p = find_part(u, &parts[i]);
        uint8_t sum[16];
        memcpy(all->bytes + done, p->blob->bytes, p->blob->size);
        done += p->blob->size;
        if (hex_decode(p->etag, sum, sizeof(sum)))
            buf_add(&sums, sum, sizeof(sum));
    }
    char hex[2 * DIGEST_MAX + 1];
    enum err_code code = digest_hex(DIGEST_MD5, buf_str(&sums), sums.len, hex, e);
    if (code != ERR_OK)
        return code;
    (void)snprintf(etag, STORE_ETAG_SIZE, "%.32s-%zu", hex, n);
    *out = TAKE(all);
    return ERR_OK;
}

static enum err_code finish_locked(struct mem_store *m, size_t at, const struct store_part *parts, size_t n,
                                   const struct store_cond *cond, struct store_version *out, struct err *e)
{
    const struct mem_upload *u = m->uploads[at];
    CLEANUP(mem_blob_unref) struct mem_blob *all = NULL;
    char etag[STORE_ETAG_SIZE];
    enum err_code code = join(m, u, parts, n, &all, etag, e);
    if (code != ERR_OK)
        return code;
    struct err local = ERR_INIT;
    CLEANUP(mem_object_free)
    struct mem_object *o = mem_object_new(m, u->key, all, u->meta, u->has_sha512 ? u->sha512 : NULL, &local);
    if (o == NULL)
        return err_copy(e, &local);
    memcpy(o->version.etag, etag, sizeof(etag));
    code = mem_replace_locked(m, &o, cond, out, e);
    if (code == ERR_OK)
        drop_locked(m, at);
    return code;
}

enum err_code mem_upload_finish(void *impl, const char *key, const char *upload_id, const struct store_part *parts,
                                size_t n, const uint8_t *sha512, const struct store_cond *cond,
                                const struct store_call *call, struct store_version *out, struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_UPLOAD_FINISH, .key = key, .size = n};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    lock_take(&m->lock);
    size_t at = find_locked(m, key, upload_id);
    code = at < m->n_uploads ? finish_locked(m, at, parts, n, cond, out, e) : no_such(key, upload_id, e);
    lock_drop(&m->lock);
    return code == ERR_OK ? mem_notify(m, &ev, MEM_AFTER, e) : code;
}

void mem_upload_used(struct mem_store *m, const char *key, const char *upload_id)
{
    LOCK_SCOPE(&m->lock);
    size_t at = find_locked(m, key, upload_id);
    if (at < m->n_uploads)
        drop_locked(m, at);
}

enum err_code mem_upload_abort(void *impl, const char *key, const char *upload_id, const struct store_call *call,
                               struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_UPLOAD_ABORT, .key = key};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    mem_upload_used(m, key, upload_id);
    return mem_notify(m, &ev, MEM_AFTER, e);
}

enum err_code mem_upload_list(void *impl, const char *key, const struct store_call *call,
                              void (*fn)(void *arg, const char *upload_id, time_t begun), void *arg, struct err *e)
{
    struct mem_store *m = impl;
    struct mem_event ev = {.op = MEM_UPLOAD_LIST, .key = key};
    enum err_code code = mem_enter(m, &ev, call, e);
    if (code != ERR_OK)
        return code;
    for (size_t i = 0;; i++) {
        char id[STORE_ID_SIZE] = "";
        lock_take(&m->lock);
        bool more = i < m->n_uploads;
        if (more && strcmp(m->uploads[i]->key, key) == 0)
            (void)snprintf(id, sizeof(id), "%s", m->uploads[i]->id);
        lock_drop(&m->lock);
        if (!more)
            return mem_notify(m, &ev, MEM_AFTER, e);
        if (id[0] != 0)
            fn(arg, id, 0);
    }
}
