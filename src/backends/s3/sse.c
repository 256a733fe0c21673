/*
 * SSE-C: objects encrypted with a key that only the client has. It goes with every request that reads or writes such an
 * object, from secret memory, over TLS only (or to this machine). A bucket may hold others as well: a server refuses the
 * key for those, so what is refused is asked for again without it (or with it), and that is remembered by name. What is
 * new is never sent without the key.
 */
#include "aws/errors.h"
#include "backends/s3/impl.h"
#include "util/digest.h"
#include "util/secret.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX        "x-amz-server-side-encryption-customer-"
#define SOURCE_PREFIX "x-amz-copy-source-server-side-encryption-customer-"

enum { SLOTS = 4096 };

struct s3_sse_c {
    char key[48], md5[32]; /* base64 */
};

/* Which operations take the key, and whether a refusal of it may be about an object that has none. */
static const struct {
    const char *what;
    bool again;
} uses[] = {
    {"PutObject", false},  {"GetObject", true},  {"HeadObject", true},     {"CreateMultipartUpload", false},
    {"UploadPart", true},  {"CopyObject", true}, {"UploadPartCopy", true}, {"CompleteMultipartUpload", true},
    {"ListParts", true},
};

struct s3_sse_c *s3_sse_c_new(const uint8_t *key, struct err *e)
{
    uint8_t sum[DIGEST_MAX];
    BUF_SECRET(text, 128);
    BUF(md5, 64);
    struct s3_sse_c *c = secret_alloc(sizeof(*c));
    base64_encode(&text, key, S3_SSE_C_KEY);
    if (c == NULL || text.failed || digest_once(DIGEST_MD5, key, S3_SSE_C_KEY, sum, e) != ERR_OK) {
        (void)err_set(e, ERR_NOMEM, "sse=c: no memory, or MD5 is not available here");
        secret_free(c);
        return NULL;
    }
    base64_encode(&md5, sum, 16);
    memcpy(c->key, buf_str(&text), text.len + 1);
    memcpy(c->md5, buf_str(&md5), md5.len + 1);
    return c;
}

void s3_sse_c_free(struct s3_sse_c *c)
{
    secret_free(c);
}

uint64_t *s3_plain_new(void)
{
    return calloc(SLOTS, sizeof(uint64_t));
}

/* FNV-1a. Two keys that meet cost a request more, no more than that. */
static uint64_t hash(const char *key)
{
    uint64_t h = 14695981039346656037ULL;
    for (; *key != 0; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211ULL;
    return h != 0 ? h : 1;
}

bool s3_is_plain(struct s3_store *s, const char *key)
{
    uint64_t h = hash(key);
    LOCK_SCOPE(&s->lock);
    return s->plain[h % SLOTS] == h;
}

void s3_set_plain(struct s3_store *s, const char *key, bool plain)
{
    uint64_t h = hash(key);
    LOCK_SCOPE(&s->lock);
    if (plain)
        s->plain[h % SLOTS] = h;
    else if (s->plain[h % SLOTS] == h)
        s->plain[h % SLOTS] = 0;
}

void s3_keep_plain(struct s3_store *s, const char *key, const struct store_meta *meta)
{
    const char *sse = store_meta_prop(meta, "sse", NULL);
    if (s->sse_c != NULL)
        s3_set_plain(s, key, s3_is_told(meta) && (sse == NULL || strcmp(sse, "c") != 0));
}

bool s3_takes_key(const struct s3_store *s, const char *what, bool *again)
{
    for (size_t i = 0; s->sse_c != NULL && i < ARRAY_LEN(uses); i++) {
        if (strcmp(uses[i].what, what) != 0)
            continue;
        *again = uses[i].again;
        return true;
    }
    return false;
}

size_t s3_key_headers(const struct s3_store *s, bool target, bool source, struct aws_param out[S3_KEY_HEADERS])
{
    const struct s3_sse_c *c = s->sse_c;
    size_t n = 0;
    if (target) {
        out[n++] = (struct aws_param){S3_KEY_ALGORITHM, "AES256"};
        out[n++] = (struct aws_param){PREFIX "key", c->key};
        out[n++] = (struct aws_param){S3_KEY_MD5, c->md5};
    }
    if (source) {
        out[n++] = (struct aws_param){SOURCE_PREFIX "algorithm", "AES256"};
        out[n++] = (struct aws_param){SOURCE_PREFIX "key", c->key};
        out[n++] = (struct aws_param){SOURCE_PREFIX "key-MD5", c->md5};
    }
    return n;
}

/* A HEAD that nothing explained has neither code nor text. AWS and MinIO say InvalidRequest, Ceph InvalidArgument, and all
 * speak of encryption; the same codes stand for much else. */
bool s3_is_about_key(int status, const char *code, const char *body, size_t len)
{
    struct aws_error error;
    aws_error_parse(body, len, &error);
    if (status != 400 || (code[0] != 0 && strcmp(code, "InvalidRequest") != 0 && strcmp(code, "InvalidArgument") != 0))
        return false;
    return error.message[0] == 0 || strcasestr(error.message, "encrypt") != NULL;
}

enum err_code s3_explain_key(const struct s3_store *s, const char *what, const char *key, struct err *e)
{
    return err_set(e, ERR_ACCESS, "%s %s: refused (400): %s", what, key,
                   s->sse_c != NULL ? "it is not encrypted with the key of sse_c_key_file, nor without one"
                                    : "it may be encrypted with a key of its own: give sse=c and sse_c_key_file=FILE");
}
