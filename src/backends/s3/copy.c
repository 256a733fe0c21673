/*
 * Copies on the server. CopyObject takes along user metadata, content headers and tags, but neither storage class,
 * encryption nor ACL: these are sent, as the source has them. What the source has is told by the caller's metadata,
 * known because this store put it, or asked with one HEAD.
 */
#include "aws/arn.h"
#include "backends/s3/impl.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/pool.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_THREADS = 4 };
#define COPY_PART (512ULL << 20)
#define PARTS_MAX 10000

struct copying {
    struct s3_store *s;
    const struct store_copy *c;
    const struct store_call *call;
    struct store_object source; /* as HEAD told it; meta NULL when it was not asked */
    uint64_t size;
    bool own; /* what the mount's options say about new objects holds for the source */
    uint8_t sha512[64];
    bool has_sha512;
};

static enum err_code look_at_source(struct copying *k, struct err *e)
{
    const struct store_copy *c = k->c;
    bool by_parts = c->size > k->s->copy_max;
    k->size = c->size;
    k->own = s3_own_find(k->s, c->from, c->from_etag, k->sha512, &k->has_sha512);
    bool known = s3_is_told(c->meta) || (k->own && (c->meta != NULL || !by_parts));
    /* A server that ignores which version is meant: see guard.c. */
    bool trusted =
        s3_traits_get(k->s->traits, by_parts ? S3_PART_SOURCE_MATCH : S3_COPY_SOURCE_MATCH) == S3_YES;
    if (known && (trusted || c->from_etag == NULL))
        return ERR_OK;
    enum err_code code = s3_stat(k->s, c->from, k->call, &k->source, e);
    if (code == ERR_OK)
        k->size = k->source.version.size;
    return code;
}

/* Where storage class and encryption are told. */
static const struct store_meta *told_meta(const struct copying *k)
{
    return s3_is_told(k->c->meta) ? k->c->meta : k->source.meta;
}

void s3_add_source(const struct s3_store *s, const char *key, const char *etag, struct params *h)
{
    BUF(encoded, 8192);
    /* An access point's objects have the form ARN/object/KEY there. */
    buf_add_str(&encoded, arn_is(s->bucket) ? "" : "/");
    uri_encode(&encoded, s->bucket, strlen(s->bucket), true);
    buf_add_str(&encoded, arn_is(s->bucket) ? "/object/" : "/");
    uri_encode(&encoded, s->prefix, s->prefix_len, true);
    uri_encode(&encoded, key, strlen(key), true);
    params_add(h, "x-amz-copy-source", buf_str(&encoded));
    if (encoded.failed)
        h->failed = ERR_TOO_BIG;
    if (etag != NULL)
        params_addf(h, "x-amz-copy-source-if-match", "\"%s\"", etag);
}

/* NULL where the server refuses the condition: then the source was looked at. */
static const char *etag_sent(const struct copying *k, enum s3_trait trait, const char *etag)
{
    return s3_traits_get(k->s->traits, trait) == S3_REFUSES ? NULL : etag;
}

/* The metadata that the target gets, as headers. */
static enum err_code add_meta(const struct copying *k, struct params *h, struct err *e)
{
    const struct store_meta *meta = k->c->meta != NULL ? k->c->meta : k->source.meta;
    uint8_t sha512[64];
    bool has = k->has_sha512;
    const char *told = store_meta_prop(k->source.meta, "sha512", NULL);
    if (has)
        memcpy(sha512, k->sha512, sizeof(sha512));
    else if (told != NULL && store_meta_prop(meta, "sha512", NULL) == NULL)
        has = hex_decode(told, sha512, sizeof(sha512));
    return s3_meta_write(meta, k->c->to, has ? sha512 : NULL, S3_WRITE_SAME_BYTES, h, e);
}

/* ---- in one request */

static enum err_code read_result(const struct copying *k, const struct s3_answer *a, struct store_version *out,
                                 struct err *e)
{
    char etag[STORE_ETAG_SIZE + 16], modified[64];
    struct store_version v = {.size = k->size};
    enum err_code code = s3_answer_text(a, "CopyObjectResult", "ETag", etag, sizeof(etag), e);
    if (code != ERR_OK)
        return code;
    if (!s3_etag_copy(v.etag, etag))
        return err_set(e, ERR_PROTO, "CopyObject: the reply has no ETag");
    v.mtime = s3_answer_time(a);
    if (s3_answer_text(a, "CopyObjectResult", "LastModified", modified, sizeof(modified), NULL) == ERR_OK)
        (void)time_parse_iso8601(modified, &v.mtime);
    *out = v;
    return ERR_OK;
}

/* What a 412 or 404 means where it is not our own doing: a change of source or target by others, or no source. */
static enum err_code explain(const struct copying *k, enum err_code code, const struct store_cond *cond, struct err *e)
{
    const struct store_copy *c = k->c;
    if (code == ERR_NOT_FOUND && cond->kind != STORE_IF_MATCH)
        return code;
    CLEANUP_RELEASE(store_object_release) struct store_object source = {0};
    struct err local = ERR_INIT;
    if (code == ERR_NOT_FOUND && s3_stat(k->s, c->from, k->call, &source, &local) != ERR_OK)
        return err_copy(e, &local);
    return err_set(e, ERR_CONFLICT, "CopyObject %s to %s: somebody else changed one of them", c->from, c->to);
}

struct copying_whole {
    const struct copying *k;
    const struct params *headers;
};

static enum err_code copy_on(void *arg, const struct store_cond *cond, struct s3_tried *tried,
                             struct store_version *out, struct err *e)
{
    const struct copying_whole *w = arg;
    const struct copying *k = w->k;
    PARAMS(source);
    S3_ANSWER(a);
    /* Onto itself, what is there to be replaced is what is copied. */
    bool moved_on = strcmp(k->c->from, k->c->to) == 0 && cond->kind == STORE_IF_MATCH;
    s3_add_source(k->s, k->c->from, etag_sent(k, S3_COPY_SOURCE_MATCH, moved_on ? cond->etag : k->c->from_etag),
                  &source);
    const struct s3_request r = {.method = HTTP_PUT,
                                 .what = "CopyObject",
                                 .key = k->c->to,
                                 .source = k->c->from,
                                 .headers = w->headers,
                                 .more = &source,
                                 .cond = cond,
                                 .if_absent = S3_COPY_IF_ABSENT,
                                 .call = k->call,
                                 .xml_error_in_200 = true,
                                 .slow = true};
    enum err_code code = s3_call(k->s, &r, &a, e);
    tried->unanswered += a.unanswered;
    if (code == ERR_CONFLICT || code == ERR_NOT_FOUND)
        return explain(k, code, cond, e);
    return code == ERR_OK ? read_result(k, &a, out, e) : code;
}

static enum err_code describe_copy(void *arg, struct s3_sent *out, struct err *e)
{
    const struct copying *k = ((const struct copying_whole *)arg)->k;
    const char *told = store_meta_prop(told_meta(k), "sha512", NULL);
    out->size = k->size;
    if (k->c->from_etag != NULL)
        memccpy(out->etag, k->c->from_etag, 0, sizeof(out->etag));
    if (k->has_sha512)
        s3_sent_sha512(out, k->sha512);
    else
        out->has_sha512 = told != NULL && hex_decode(told, out->sha512, sizeof(out->sha512));
    return ERR_OK;
}

static enum err_code copy_whole(const struct copying *k, struct store_version *out, struct err *e)
{
    const struct store_copy *c = k->c;
    PARAMS(h);
    enum err_code code = ERR_OK;
    params_add(&h, "x-amz-metadata-directive", c->meta != NULL ? "REPLACE" : "COPY");
    if (c->meta != NULL) {
        if (!k->s->directory_bucket)
            params_add(&h, "x-amz-tagging-directive", "COPY");
        code = add_meta(k, &h, e);
    }
    s3_add_class(k->s, told_meta(k), &h);
    if (code == ERR_OK)
        code = s3_add_acl(k->s, k->own ? NULL : c->from, k->call, &h, e);
    if (code != ERR_OK)
        return code;
    struct copying_whole w = {k, &h};
    const struct s3_change change = {
        .key = c->to, .cond = &c->cond, .call = k->call, .send = copy_on, .describe = describe_copy, .arg = &w};
    return s3_change(k->s, &change, out, e);
}

/* ---- by parts */

struct part_copy {
    const struct copying *k;
    const char *upload_id;
    uint64_t offset;
    struct store_part part;
    bool *stop;
    enum err_code code;
    struct err err;
};

static void copy_part(void *item)
{
    struct part_copy *p = item;
    const struct store_part_source source = {
        p->k->c->from, etag_sent(p->k, S3_PART_SOURCE_MATCH, p->k->c->from_etag), p->offset};
    p->code = s3_copy_part(p->k->s, p->k->c->to, p->upload_id, &source, p->k->call, &p->part, &p->err);
    if (p->code != ERR_OK)
        __atomic_store_n(p->stop, true, __ATOMIC_RELAXED);
}

static enum err_code create(const struct copying *k, char upload_id[STORE_ID_SIZE], unsigned *unanswered, struct err *e)
{
    struct store_call call = k->call != NULL ? *k->call : (struct store_call){.cancel = NULL};
    call.unanswered = unanswered;
    PARAMS(h);
    enum err_code code = add_meta(k, &h, e);
    s3_add_class(k->s, told_meta(k), &h);
    if (code == ERR_OK)
        code = s3_add_tags(k->s, k->c->from, told_meta(k), k->call, &h, e);
    if (code == ERR_OK)
        code = s3_add_acl(k->s, k->own ? NULL : k->c->from, k->call, &h, e);
    return code == ERR_OK ? s3_upload_create(k->s, k->c->to, &h, NULL, &call, upload_id, e) : code;
}

/* Copies all parts into `parts`; the first failure is returned. */
static enum err_code copy_parts(const struct copying *k, const char *upload_id, uint64_t part_size,
                                struct store_part *parts, size_t n, struct err *e)
{
    bool stop = false;
    CLEANUP(free) struct part_copy *jobs = calloc(n, sizeof(*jobs));
    struct pool *pool = jobs != NULL ? pool_new("s3-copy", COPY_THREADS - 1, e) : NULL;
    if (pool == NULL)
        return jobs == NULL ? err_set(e, ERR_NOMEM, "copy by %zu parts", n) : ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        uint64_t offset = part_size * i;
        jobs[i] =
            (struct part_copy){.k = k, .upload_id = upload_id, .offset = offset, .stop = &stop, .code = ERR_CANCELED};
        jobs[i].part.number = (unsigned)i + 1;
        jobs[i].part.size = k->size - offset < part_size ? k->size - offset : part_size;
    }
    pool_each(pool, jobs, n, sizeof(*jobs), COPY_THREADS, copy_part, &stop);
    pool_free(pool);
    const struct part_copy *failed = NULL;
    for (size_t i = 0; i < n; i++) {
        parts[i] = jobs[i].part;
        if (jobs[i].code != ERR_OK && (failed == NULL || failed->code == ERR_CANCELED))
            failed = &jobs[i];
    }
    return failed == NULL ? ERR_OK : err_set(e, failed->code, "%s", failed->err.msg);
}

/* The upload that was created: its parts, then the complete. */
static enum err_code fill_upload(const struct copying *k, const char *upload_id, struct store_version *out,
                                 struct err *e)
{
    uint64_t part_size = k->s->copy_max < COPY_PART ? k->s->copy_max : COPY_PART;
    if (k->size / part_size >= PARTS_MAX)
        part_size = k->size / PARTS_MAX + 1;
    size_t n = (size_t)((k->size + part_size - 1) / part_size);
    CLEANUP(free) struct store_part *parts = calloc(n, sizeof(*parts));
    if (parts == NULL)
        return err_set(e, ERR_NOMEM, "copy by %zu parts", n);
    enum err_code code = copy_parts(k, upload_id, part_size, parts, n, e);
    if (code != ERR_OK)
        return code;
    const struct s3_complete c = {.key = k->c->to,
                                  .upload_id = upload_id,
                                  .parts = parts,
                                  .n = n,
                                  .cond = &k->c->cond,
                                  .sha512 = k->has_sha512 ? k->sha512 : NULL};
    return s3_upload_complete(k->s, &c, k->call, out, e);
}

/* Told before it is asked for, and when it is known. *told: of an upload, whose end is to be told too. */
static enum err_code create_told(const struct copying *k, char id[STORE_ID_SIZE], bool *told, struct err *e)
{
    const struct store_uploads *u = k->c->uploads;
    char intent[STORE_INTENT_SIZE];
    unsigned unanswered = 0;
    bool intends = u != NULL && u->intend != NULL;
    enum err_code code = intends ? u->intend(u->arg, k->c->to, intent, e) : ERR_OK;
    if (code != ERR_OK)
        return code;
    code = create(k, id, &unanswered, e);
    bool heard = unanswered == 0 && code != ERR_CANCELED;
    *told = u != NULL && code == ERR_OK;
    if (*told)
        code = u->begun(u->arg, k->c->to, id, e);
    if (intends && heard)
        u->answered(u->arg, k->c->to, intent);
    else if (intends)
        LOG_WARN("s3", "an upload of \"%s\" may have been begun without an answer: awsfs journal shows it", k->c->to);
    return code;
}

static enum err_code copy_by_parts(const struct copying *k, struct store_version *out, struct err *e)
{
    const struct store_uploads *u = k->c->uploads;
    char id[STORE_ID_SIZE];
    bool told = false;
    enum err_code code = create_told(k, id, &told, e);
    if (code != ERR_OK && !told)
        return code;
    if (code == ERR_OK)
        code = fill_upload(k, id, out, e);
    if (told) {
        u->ended(u->arg, k->c->to, id, code == ERR_OK);
    } else if (code != ERR_OK) {
        struct err ignored = ERR_INIT;
        (void)!s3_upload_abort(k->s, k->c->to, id, NULL, &ignored);
    }
    return code;
}

/* A time that was only the source's Last-Modified goes along as metadata; its look has told that there is none. What
 * this store has put has its time. */
static enum err_code keep_time(const struct copying *k, struct store_meta **out, struct err *e)
{
    const struct store_copy *c = k->c;
    const struct store_meta *source = k->source.meta;
    if (c->meta != NULL || c->mtime == NULL || source == NULL || (source->has & STORE_HAS_MTIME))
        return ERR_OK;
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_copy(source);
    if (meta == NULL)
        return err_set(e, ERR_NOMEM, "%s", c->from);
    PARAMS(trial);
    meta->mtime = *c->mtime;
    meta->has |= STORE_HAS_MTIME;
    if (s3_meta_write(meta, c->to, NULL, S3_WRITE_SAME_BYTES, &trial, NULL) == ERR_OK)
        *out = TAKE(meta);
    return ERR_OK;
}

enum err_code s3_copy(void *impl, const struct store_copy *c, const struct store_call *call, struct store_version *out,
                      struct err *e)
{
    struct copying k = {.s = impl, .c = c, .call = call};
    struct store_copy with_time = *c;
    CLEANUP(store_meta_unref) struct store_meta *timed = NULL;
    struct store_version v = {0};
    struct err local = ERR_INIT;
    s3_find_out(k.s, call);
    enum err_code code = look_at_source(&k, &local);
    if (code == ERR_OK && k.source.meta != NULL && c->from_etag != NULL &&
        strcmp(k.source.version.etag, c->from_etag) != 0)
        code = err_set(&local, ERR_CONFLICT, "%s is not the version %s any more", c->from, c->from_etag);
    if (code == ERR_OK)
        code = keep_time(&k, &timed, &local);
    if (timed != NULL) {
        with_time.meta = timed;
        k.c = &with_time;
    }
    if (code == ERR_OK && !k.own && strcmp(c->from, c->to) != 0)
        s3_keep_plain(k.s, c->to, told_meta(&k));
    if (code == ERR_OK)
        code = k.size > k.s->copy_max ? copy_by_parts(&k, &v, &local) : copy_whole(&k, &v, &local);
    if (code == ERR_OK) {
        *out = v;
        if (k.own && !s3_is_told(c->meta))
            s3_own_add(k.s, c->to, v.etag, k.has_sha512 ? k.sha512 : NULL);
        else
            s3_own_forget(k.s, c->to);
    }
    store_object_release(&k.source);
    /* Who renames is told to copy: mv does so by itself. */
    if (code == ERR_UNSUPPORTED && strcmp(c->from, c->to) != 0)
        return err_set(e, ERR_CROSS, "this server cannot copy: %s", local.msg);
    return code == ERR_OK ? code : err_copy(e, &local);
}
