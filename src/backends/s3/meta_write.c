/* From metadata to headers: POSIX attributes as s3fs writes them. */
#include "backends/s3/headers.h"
#include "backends/s3/posix.h"
#include "backends/s3/xattr.h"
#include "store/meta.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

#define USER   "x-amz-meta-"
#define SHA512 "awsimple-sha512"

enum { USER_MAX = 2048, SHA512_BYTES = sizeof(SHA512) - 1 + 128 };

static const struct {
    const char *prop, *header;
} content_headers[] = {
    {"content-type", "Content-Type"},
    {"cache-control", "Cache-Control"},
    {"content-encoding", "Content-Encoding"},
    {"content-disposition", "Content-Disposition"},
    {"content-language", "Content-Language"},
    {"expires", "Expires"},
    {"website-redirect", "x-amz-website-redirect-location"},
};

/* User metadata that describe the bytes: wrong as soon as these change. */
static const char *const of_bytes[] = {"meta.md5chksum", "meta.s3cmd-attrs", "meta.md5", "meta.sha256", NULL};

static bool describes_bytes(const char *prop)
{
    for (size_t i = 0; of_bytes[i] != NULL; i++)
        if (strcmp(of_bytes[i], prop) == 0)
            return true;
    return false;
}

static void write_posix(const struct store_meta *m, struct params *out)
{
    char t[48];
    if (m->has & STORE_HAS_MODE)
        params_addf(out, "x-amz-meta-mode", "%u", (unsigned)m->mode);
    if (m->has & STORE_HAS_UID)
        params_addf(out, "x-amz-meta-uid", "%u", (unsigned)m->uid);
    if (m->has & STORE_HAS_GID)
        params_addf(out, "x-amz-meta-gid", "%u", (unsigned)m->gid);
    if (m->has & STORE_HAS_MTIME) {
        s3_format_time(m->mtime, t);
        params_add(out, "x-amz-meta-mtime", t);
    }
    if (m->has & STORE_HAS_CTIME) {
        s3_format_time(m->ctime, t);
        params_add(out, "x-amz-meta-ctime", t);
    }
    if (m->has & STORE_HAS_ATIME) {
        s3_format_time(m->atime, t);
        params_add(out, "x-amz-meta-atime", t);
    }
}

static void write_ns(struct params *out, const char *name, struct timespec t)
{
    if (t.tv_sec >= 0 && t.tv_sec < INT64_MAX / 1000000000)
        params_addf(out, name, "%lldns", (long long)t.tv_sec * 1000000000 + t.tv_nsec);
}

/* For objects that carry the AWS family's attributes already. */
static void write_aws_posix(const struct store_meta *m, struct params *out)
{
    if (m->has & STORE_HAS_MODE)
        params_addf(out, "x-amz-meta-file-permissions", "0%o", (unsigned)m->mode);
    if (m->has & STORE_HAS_UID)
        params_addf(out, "x-amz-meta-file-owner", "%u", (unsigned)m->uid);
    if (m->has & STORE_HAS_GID)
        params_addf(out, "x-amz-meta-file-group", "%u", (unsigned)m->gid);
    if (m->has & STORE_HAS_MTIME)
        write_ns(out, "x-amz-meta-file-mtime", m->mtime);
    if (m->has & STORE_HAS_ATIME)
        write_ns(out, "x-amz-meta-file-atime", m->atime);
}

static void write_user(const struct store_meta *m, unsigned flags, struct params *out)
{
    for (size_t i = 0; i < m->n_props; i++) {
        const struct meta_pair *p = &m->props[i];
        char header[256 + 16];
        if (!str_starts(p->name, "meta.") || s3_meta_is_reserved(p->name + 5) ||
            (!(flags & S3_WRITE_SAME_BYTES) && describes_bytes(p->name)))
            continue;
        BUF(value, 65536);
        s3_text_encode(p->value, p->len, &value);
        (void)snprintf(header, sizeof(header), "x-amz-meta-%s", p->name + 5);
        params_add(out, header, buf_str(&value));
    }
    const char *target = store_meta_prop(m, "symlink-target", NULL);
    if (target != NULL && (flags & S3_WRITE_SAME_BYTES)) {
        BUF(value, 65536);
        uri_encode(&value, target, strlen(target), true);
        params_add(out, "x-amz-meta---symlink-target", buf_str(&value));
    }
}

static void write_sha512(const struct store_meta *meta, const uint8_t *sha512, unsigned flags, struct params *out)
{
    char hex[129];
    const char *kept = flags & S3_WRITE_SAME_BYTES ? store_meta_prop(meta, "sha512", NULL) : NULL;
    if (sha512 != NULL) {
        hex_encode(sha512, 64, hex);
        kept = hex;
    }
    if (kept != NULL)
        params_add(out, USER SHA512, kept);
}

/* S3 counts names, without their prefix, and values. */
static size_t user_bytes(const struct params *p)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        if (str_starts(p->items[i].name, USER))
            n += strlen(p->items[i].name) - strlen(USER) + strlen(p->items[i].value);
    return n;
}

enum err_code s3_meta_write(const struct store_meta *meta, const char *key, const uint8_t *sha512, unsigned flags,
                            struct params *out, struct err *e)
{
    for (size_t i = 0; i < ARRAY_LEN(content_headers); i++) {
        const char *v = store_meta_prop(meta, content_headers[i].prop, NULL);
        if (v != NULL)
            params_add(out, content_headers[i].header, v);
    }
    if (store_meta_prop(meta, "content-type", NULL) == NULL)
        params_add(out, "Content-Type", str_ends(key, "/") ? "application/x-directory" : "application/octet-stream");
    if (meta != NULL) {
        BUF(xattr, 65536);
        write_posix(meta, out);
        if (store_meta_prop(meta, "aws-posix", NULL) != NULL)
            write_aws_posix(meta, out);
        write_user(meta, flags, out);
        s3_xattr_write(meta, &xattr);
        if (xattr.failed)
            return err_set(e, ERR_NOSPC, "%s: too many extended attributes", key);
        if (xattr.len > 0)
            params_add(out, "x-amz-meta-xattr", buf_str(&xattr));
    }
    size_t bytes = user_bytes(out);
    if (bytes > USER_MAX)
        return err_set(e, ERR_NOSPC, "%s: attributes and metadata take %zu bytes, an object has room for %d", key,
                       bytes, USER_MAX);
    if (bytes + SHA512_BYTES <= USER_MAX)
        write_sha512(meta, sha512, flags, out);
    return params_check(out, key, e);
}
