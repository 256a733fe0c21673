/* After an attempt without an answer, a failed condition may be our own doing: what is there now is compared with what
 * was sent. */
#include "backends/s3/impl.h"
#include "util/digest.h"
#include "util/str.h"

#include <string.h>

enum { CHUNK = 64 * 1024 };

/* An ETag that is the MD5 of the bytes. */
static bool same_md5(const struct store_body *body, const char *etag)
{
    uint8_t want[16], sum[DIGEST_MAX];
    if (strlen(etag) != 32 || !hex_decode(etag, want, sizeof(want)))
        return false;
    CLEANUP(digest_free) struct digest *d = digest_new(DIGEST_MD5, NULL);
    CLEANUP(free) char *chunk = malloc(CHUNK);
    if (d == NULL || chunk == NULL)
        return false;
    for (uint64_t at = 0; at < body->size;) {
        ssize_t got = body->read(body->arg, at, chunk, body->size - at < CHUNK ? body->size - at : CHUNK);
        if (got <= 0 || digest_update(d, chunk, (size_t)got, NULL) != ERR_OK)
            return false;
        at += (uint64_t)got;
    }
    return digest_final(d, sum, NULL) == ERR_OK && memcmp(sum, want, sizeof(want)) == 0;
}

static bool same(const struct store_object *there, const struct s3_sent *sent)
{
    const char *told = store_meta_prop(there->meta, "sha512", NULL);
    char hex[129];
    if (there->version.size != sent->size)
        return false;
    if (sent->etag != NULL && strcmp(there->version.etag, sent->etag) == 0)
        return true;
    if (sent->sha512 != NULL && told != NULL) {
        hex_encode(sent->sha512, 64, hex);
        return strcmp(told, hex) == 0;
    }
    return sent->body != NULL && same_md5(sent->body, there->version.etag);
}

bool s3_is_ours(struct s3_store *s, const char *key, const struct s3_sent *sent, const struct store_call *call,
                struct store_version *out)
{
    CLEANUP_RELEASE(store_object_release) struct store_object there = {0};
    struct err local = ERR_INIT;
    if (s3_stat(s, key, call, &there, &local) != ERR_OK || !same(&there, sent))
        return false;
    *out = there.version;
    return true;
}
