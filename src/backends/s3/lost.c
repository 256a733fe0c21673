/*
 * Attempts without an answer. A server may have done what it did not confirm: a failed condition may then be our own
 * doing, in this call or in an earlier one that gave up at its time-out. So what gave up is remembered (lost_table.c),
 * and after a refusal what is there now is compared with what was sent:
 *
 *   this call's own bytes      it is done
 *   those of an earlier call   not somebody else's, but not all that is to be there either (bytes or metadata may have
 *                              changed since): sent again, on the condition that they are still there
 *   neither                    somebody else's: the refusal stands
 *
 * Where that cannot be found out, the call fails with that error and may be made again later; it never counts as
 * somebody else's.
 */
#include "backends/s3/impl.h"
#include "util/digest.h"
#include "util/str.h"

#include <string.h>

enum { CHUNK = 64 * 1024, TRIES = 4 };

enum err_code s3_sent_body(const struct store_body *body, struct s3_sent *out, struct err *e)
{
    uint8_t sum[DIGEST_MAX];
    CLEANUP(digest_free) struct digest *d = digest_new(DIGEST_MD5, e);
    CLEANUP(free) char *chunk = malloc(CHUNK);
    if (d == NULL || chunk == NULL)
        return err_set(e, ERR_NOMEM, "a digest of what was sent");
    for (uint64_t at = 0; at < body->size;) {
        ssize_t got = body->read(body->arg, at, chunk, body->size - at < CHUNK ? body->size - at : CHUNK);
        if (got <= 0)
            return err_set(e, ERR_IO, "what was sent cannot be read");
        enum err_code code = digest_update(d, chunk, (size_t)got, e);
        if (code != ERR_OK)
            return code;
        at += (uint64_t)got;
    }
    enum err_code code = digest_final(d, sum, e);
    if (code != ERR_OK)
        return code;
    memcpy(out->md5, sum, sizeof(out->md5));
    out->has_md5 = true;
    out->size = body->size;
    s3_sent_sha512(out, body->sha512);
    return ERR_OK;
}

void s3_sent_sha512(struct s3_sent *out, const uint8_t *sha512)
{
    out->has_sha512 = sha512 != NULL;
    if (sha512 != NULL)
        memcpy(out->sha512, sha512, sizeof(out->sha512));
}

/* An ETag that is the MD5 of the bytes. */
static bool read_md5(const char *etag, uint8_t md5[16])
{
    return strlen(etag) == 32 && hex_decode(etag, md5, 16);
}

/* Encrypted with a key of KMS or the customer's, an ETag of that form is none; nor in a directory bucket, whose objects
 * have a storage class of their own. */
static bool etags_are_md5s(const struct store_meta *meta)
{
    const char *sse = store_meta_prop(meta, "sse", NULL), *class = store_meta_prop(meta, "storage-class", NULL);
    if (class != NULL && strcmp(class, "EXPRESS_ONEZONE") == 0)
        return false;
    return sse != NULL && (strcmp(sse, "none") == 0 || strcmp(sse, "AES256") == 0);
}

static bool same(const struct store_object *there, const struct s3_sent *sent)
{
    const char *told = store_meta_prop(there->meta, "sha512", NULL);
    uint8_t md5[16];
    char hex[129];
    if (there->version.size != sent->size)
        return false;
    if (sent->etag[0] != 0 && strcmp(there->version.etag, sent->etag) == 0)
        return true;
    if (sent->has_md5 && read_md5(there->version.etag, md5)) {
        if (memcmp(md5, sent->md5, sizeof(md5)) == 0)
            return true;
        if (etags_are_md5s(there->meta))
            return false;
    }
    if (!sent->has_sha512 || told == NULL)
        return false;
    hex_encode(sent->sha512, 64, hex);
    return strcmp(told, hex) == 0;
}

/* After a refusal. ERR_OK: this call's own, ERR_AGAIN: an earlier call's, ERR_CONFLICT: neither; each but the last with
 * the version that is there. */
static enum err_code ask(struct s3_store *s, const struct s3_change *c, const struct s3_tried *tried,
                         struct store_version *there, struct err *e)
{
    struct s3_sent sent = {0}, before[S3_LOST_OF_KEY];
    enum err_code code = ERR_OK;
    size_t n = tried->gone ? 0 : s3_lost_find(s, c->key, c->cond, before);
    if (tried->unanswered == 0 && n == 0)
        return ERR_CONFLICT;
    if (tried->unanswered > 0)
        code = c->describe(c->arg, &sent, e);
    if (code != ERR_OK)
        return code;
    CLEANUP_RELEASE(store_object_release) struct store_object now = {0};
    struct err local = ERR_INIT;
    code = s3_stat(s, c->key, c->call, &now, &local);
    if (code == ERR_NOT_FOUND)
        return ERR_CONFLICT;
    if (code != ERR_OK)
        return err_copy(e, &local);
    *there = now.version;
    for (size_t i = 0; i < n; i++)
        if (same(&now, &before[i]))
            return ERR_AGAIN;
    return tried->unanswered > 0 && same(&now, &sent) ? ERR_OK : ERR_CONFLICT;
}

/* What is left without an answer is remembered; an answer makes what was remembered of the key void. */
static void note(struct s3_store *s, const struct s3_change *c, const struct s3_tried *tried, enum err_code code)
{
    struct s3_sent sent = {0};
    if (code == ERR_OK || code == ERR_CONFLICT)
        s3_lost_forget(s, c->key);
    else if (tried->unanswered > 0 && c->cond->kind != STORE_ALWAYS && c->describe(c->arg, &sent, NULL) == ERR_OK)
        s3_lost_add(s, c->key, c->cond, &sent);
}

enum err_code s3_change(struct s3_store *s, const struct s3_change *c, struct store_version *out, struct err *e)
{
    struct store_cond on = *c->cond;
    struct store_version there = {.etag = ""}, v = {.etag = ""};
    struct s3_tried tried = {0};
    enum err_code code = ERR_AGAIN;
    for (int i = 0; i < TRIES && code == ERR_AGAIN; i++) {
        struct err refusal = ERR_INIT;
        code = c->send(c->arg, &on, &tried, &v, &refusal);
        bool refused = code == ERR_CONFLICT || code == ERR_NOT_FOUND;
        bool may_be_ours = refused && (c->cond->kind != STORE_ALWAYS || tried.gone);
        enum err_code whose = may_be_ours ? ask(s, c, &tried, &there, e) : ERR_CONFLICT;
        if (code != ERR_OK && (!refused || whose == ERR_CONFLICT)) {
            code = err_copy(e, &refusal);
        } else if (refused) {
            code = whose;
            v = there;
            on = (struct store_cond){.kind = STORE_IF_MATCH, .etag = there.etag};
        }
    }
    if (code == ERR_AGAIN)
        code = err_set(e, ERR_TIMEOUT, "%s: every attempt was done and none answered", c->key);
    note(s, c, &tried, code);
    if (code == ERR_OK)
        *out = v;
    return code;
}
