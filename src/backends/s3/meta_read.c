/* From headers to metadata: the formats of all tools that are read, and who wins where several are there. */
#include "backends/s3/headers.h"
#include "backends/s3/posix.h"
#include "backends/s3/xattr.h"
#include "store/meta.h"
#include "util/clock.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define META      "x-amz-meta-"
#define VALUE_MAX 65536

/* Best first. */
static const char *const uids[] = {"uid", "file-owner", "goog-reserved-posix-uid", "owner", NULL};
static const char *const gids[] = {"gid", "file-group", "goog-reserved-posix-gid", "group", NULL};

/* User metadata that are told as attributes or as properties with names of their own. */
static const char *const understood[] = {"mode",
                                         "uid",
                                         "gid",
                                         "mtime",
                                         "atime",
                                         "ctime",
                                         "xattr",
                                         "awsimple-sha512",
                                         "--symlink-target",
                                         "file-permissions",
                                         "file-owner",
                                         "file-group",
                                         "file-mtime",
                                         "file-atime",
                                         "permissions",
                                         "owner",
                                         "group",
                                         "goog-reserved-posix-mode",
                                         "goog-reserved-posix-uid",
                                         "goog-reserved-posix-gid",
                                         "goog-reserved-file-mtime",
                                         "goog-reserved-file-atime",
                                         NULL};

static const char *const aws_family[] = {"file-permissions", "file-owner", "file-group", "file-mtime", "file-atime"};

/* Headers that are properties under the same or another name. */
static const struct {
    const char *header, *prop;
} plain[] = {
    {"content-type", "content-type"},
    {"cache-control", "cache-control"},
    {"content-disposition", "content-disposition"},
    {"content-language", "content-language"},
    {"expires", "expires"},
    {"x-amz-website-redirect-location", "website-redirect"},
    {"x-amz-server-side-encryption-aws-kms-key-id", "sse-kms-key-id"},
    {"x-amz-server-side-encryption-bucket-key-enabled", "sse-bucket-key"},
    {"x-amz-tagging-count", "tagging-count"},
};

bool s3_meta_is_reserved(const char *name)
{
    for (size_t i = 0; understood[i] != NULL; i++)
        if (str_ieq(understood[i], name))
            return true;
    return false;
}

static const char *meta_get(const struct params *h, const char *name)
{
    char full[96];
    (void)snprintf(full, sizeof(full), META "%s", name);
    return params_get(h, full);
}

/* True when the value of the first of these that is there could be read. */
static bool first_id(const struct params *h, const char *const *names, uint32_t *out)
{
    for (; *names != NULL; names++) {
        const char *v = meta_get(h, *names);
        if (v != NULL && s3_parse_id(v, out))
            return true;
    }
    return false;
}

static bool try_mode(const char *v, bool (*parse)(const char *s, bool is_dir, mode_t *out), bool is_dir, mode_t *out)
{
    return v != NULL && parse(v, is_dir, out);
}

static void read_mode(const struct params *h, bool is_dir, struct store_meta *m)
{
    if (try_mode(meta_get(h, "mode"), s3_parse_mode, is_dir, &m->mode) ||
        try_mode(meta_get(h, "file-permissions"), s3_parse_mode_octal, is_dir, &m->mode) ||
        try_mode(meta_get(h, "goog-reserved-posix-mode"), s3_parse_mode_octal, is_dir, &m->mode) ||
        try_mode(meta_get(h, "permissions"), s3_parse_mode_octal, is_dir, &m->mode))
        m->has |= STORE_HAS_MODE;
}

static bool try_time(const char *v, bool (*parse)(const char *s, struct timespec *out), struct timespec *out)
{
    return v != NULL && parse(v, out);
}

static void read_times(const struct params *h, struct store_meta *m)
{
    if (try_time(meta_get(h, "mtime"), s3_parse_time, &m->mtime) ||
        try_time(meta_get(h, "file-mtime"), s3_parse_time_aws, &m->mtime) ||
        try_time(meta_get(h, "goog-reserved-file-mtime"), s3_parse_time, &m->mtime))
        m->has |= STORE_HAS_MTIME;
    if (try_time(meta_get(h, "atime"), s3_parse_time, &m->atime) ||
        try_time(meta_get(h, "file-atime"), s3_parse_time_aws, &m->atime) ||
        try_time(meta_get(h, "goog-reserved-file-atime"), s3_parse_time, &m->atime))
        m->has |= STORE_HAS_ATIME;
    if (try_time(meta_get(h, "ctime"), s3_parse_time, &m->ctime))
        m->has |= STORE_HAS_CTIME;
}

static enum err_code set(struct store_meta *m, const char *name, const char *value, struct err *e)
{
    return value != NULL ? store_meta_set_prop(m, name, value, strlen(value), e) : ERR_OK;
}

static enum err_code read_posix(const struct params *h, bool is_dir, struct store_meta *m, struct err *e)
{
    uint32_t id;
    read_mode(h, is_dir, m);
    read_times(h, m);
    if (first_id(h, uids, &id)) {
        m->uid = id;
        m->has |= STORE_HAS_UID;
    }
    if (first_id(h, gids, &id)) {
        m->gid = id;
        m->has |= STORE_HAS_GID;
    }
    const char *target = meta_get(h, "--symlink-target"), *xattr = meta_get(h, "xattr");
    if (target != NULL) {
        BUF(decoded, VALUE_MAX);
        if (!uri_decode(&decoded, target, strlen(target), false))
            buf_clear(&decoded);
        if (decoded.len > 0) {
            m->mode = S_IFLNK | 0777;
            m->has |= STORE_HAS_MODE;
            enum err_code code = set(m, "symlink-target", buf_str(&decoded), e);
            if (code != ERR_OK)
                return code;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(aws_family); i++) {
        enum err_code code = meta_get(h, aws_family[i]) != NULL ? set(m, "aws-posix", "1", e) : ERR_OK;
        if (code != ERR_OK)
            return code;
    }
    return xattr != NULL ? s3_xattr_read(xattr, m, e) : ERR_OK;
}

static enum err_code read_user(const struct params *h, struct store_meta *m, struct err *e)
{
    for (size_t i = 0; i < h->n; i++) {
        const char *header = h->items[i].name;
        char prop[256 + 8];
        if (strncasecmp(header, META, strlen(META)) != 0 || s3_meta_is_reserved(header + strlen(META)))
            continue;
        int len = snprintf(prop, sizeof(prop), "meta.%s", header + strlen(META));
        if (len <= 5 || len >= (int)sizeof(prop))
            continue;
        for (char *p = prop; *p != 0; p++)
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
        BUF(value, VALUE_MAX);
        s3_text_decode(h->items[i].value, &value);
        enum err_code code = store_meta_set_prop(m, prop, buf_str(&value), value.len, e);
        if (code != ERR_OK)
            return code;
    }
    return ERR_OK;
}

/* Checksums of a reply with a part of the object may be those of that part. */
static bool is_of_all(const struct params *h)
{
    const char *range = params_get(h, "content-range");
    uint64_t first, last, total;
    return range == NULL || (s3_content_range(range, &first, &last, &total) && first == 0 && last + 1 == total);
}

/* A checksum over parts ("...-3") says nothing about the whole. */
static bool is_full_object(const struct params *h, const char *checksum)
{
    const char *type = params_get(h, "x-amz-checksum-type");
    return checksum != NULL && strchr(checksum, '-') == NULL && (type == NULL || str_ieq(type, "FULL_OBJECT")) &&
           is_of_all(h);
}

/* ... but where their number is told it may be computed again. */
static bool is_composite(const struct params *h, const char *checksum)
{
    const char *type = params_get(h, "x-amz-checksum-type"), *dash = checksum != NULL ? strchr(checksum, '-') : NULL;
    uint64_t parts;
    return dash != NULL && str_parse_u64(dash + 1, &parts) && (type == NULL || str_ieq(type, "COMPOSITE")) &&
           is_of_all(h);
}

static bool native_sha512(const struct params *h, char hex[129])
{
    const char *v = params_get(h, "x-amz-checksum-sha512");
    BUF(raw, 1024);
    if (!is_full_object(h, v) || !base64_decode(&raw, v, strlen(v)) || raw.len != 64)
        return false;
    hex_encode(raw.data, raw.len, hex);
    return true;
}

static bool is_hex_sha512(const char *v)
{
    return v != NULL && strlen(v) == 128 && strspn(v, "0123456789abcdef") == 128;
}

static enum err_code read_checksums(const struct params *h, struct store_meta *m, struct err *e)
{
    char native[129];
    static const char *const names[] = {"crc32", "crc32c", "crc64nvme", "sha1", "sha256"};
    const char *claimed = meta_get(h, "awsimple-sha512");
    bool has_native = native_sha512(h, native);
    enum err_code code = ERR_OK;
    if (has_native || is_hex_sha512(claimed))
        code = set(m, "sha512", has_native ? native : claimed, e);
    if (code == ERR_OK && has_native)
        code = set(m, "checksum-sha512", native, e);
    for (size_t i = 0; code == ERR_OK && i < ARRAY_LEN(names); i++) {
        char header[32], prop[32];
        snprintf(header, sizeof(header), "x-amz-checksum-%s", names[i]);
        snprintf(prop, sizeof(prop), "checksum-%s", names[i]);
        const char *value = params_get(h, header);
        if (is_full_object(h, value) || is_composite(h, value))
            code = set(m, prop, value, e);
    }
    return code;
}

/* "aws-chunked" is how it was sent, not what it is. */
static enum err_code read_encoding(const struct params *h, struct store_meta *m, struct err *e)
{
    const char *v = params_get(h, "content-encoding");
    while (v != NULL && strncasecmp(v, "aws-chunked", 11) == 0)
        v += 11 + strspn(v + 11, ", ");
    return v != NULL && v[0] != 0 ? set(m, "content-encoding", v, e) : ERR_OK;
}

static enum err_code read_plain(const struct params *h, struct store_meta *m, struct err *e)
{
    enum err_code code = read_encoding(h, m, e);
    for (size_t i = 0; code == ERR_OK && i < ARRAY_LEN(plain); i++)
        code = set(m, plain[i].prop, params_get(h, plain[i].header), e);
    const char *class = params_get(h, "x-amz-storage-class"), *sse = params_get(h, "x-amz-server-side-encryption");
    const char *by_key = params_get(h, "x-amz-server-side-encryption-customer-algorithm");
    const char *version = params_get(h, "x-amz-version-id");
    if (code == ERR_OK)
        code = set(m, "storage-class", class != NULL ? class : "STANDARD", e);
    if (code == ERR_OK)
        code = set(m, "sse", by_key != NULL ? "c" : sse != NULL ? sse : "none", e);
    if (code == ERR_OK && version != NULL && strcmp(version, "null") != 0)
        code = set(m, "version-id", version, e);
    return code;
}

static void read_modified(const struct params *h, struct store_meta *m)
{
    const char *modified = params_get(h, "last-modified"), *date = params_get(h, "date");
    struct store_version v;
    struct timespec now;
    if (modified == NULL || !time_parse_http(modified, &m->modified) || date == NULL || !time_parse_http(date, &now) ||
        s3_version_read(h, &v, NULL) != ERR_OK)
        return;
    uint64_t margin = S3_SETTLE_S + v.size / S3_SETTLE_BYTES;
    m->settled = now.tv_sec > m->modified.tv_sec && (uint64_t)now.tv_sec - (uint64_t)m->modified.tv_sec >= margin;
}

enum err_code s3_meta_read(const struct params *headers, const char *key, struct store_meta **out, struct err *e)
{
    CLEANUP(store_meta_unref) struct store_meta *m = store_meta_new();
    if (m == NULL)
        return err_set(e, ERR_NOMEM, "%s", key);
    enum err_code code = read_plain(headers, m, e);
    if (code == ERR_OK)
        code = read_posix(headers, str_ends(key, "/"), m, e);
    if (code == ERR_OK)
        code = read_user(headers, m, e);
    if (code == ERR_OK)
        code = read_checksums(headers, m, e);
    if (code != ERR_OK)
        return code;
    read_modified(headers, m);
    *out = TAKE(m);
    return ERR_OK;
}

bool s3_etag_copy(char out[STORE_ETAG_SIZE], const char *etag)
{
    if (str_starts(etag, "W/"))
        etag += 2;
    size_t len = strlen(etag);
    if (len >= 2 && etag[0] == '"' && etag[len - 1] == '"') {
        etag++;
        len -= 2;
    }
    if (len == 0 || len >= STORE_ETAG_SIZE)
        return false;
    for (size_t i = 0; i < len; i++)
        if (etag[i] <= ' ' || etag[i] == 0x7f || etag[i] == '"')
            return false;
    memcpy(out, etag, len);
    out[len] = 0;
    return true;
}

/* Digits up to `end`, which is moved behind. */
static bool number_until(const char **s, char end, uint64_t *out)
{
    char digits[24];
    size_t n = strspn(*s, "0123456789");
    if (n == 0 || n >= sizeof(digits) || (*s)[n] != end)
        return false;
    memcpy(digits, *s, n);
    digits[n] = 0;
    *s += n + (end != 0);
    return str_parse_u64(digits, out);
}

bool s3_content_range(const char *s, uint64_t *first, uint64_t *last, uint64_t *total)
{
    if (strncasecmp(s, "bytes ", 6) != 0)
        return false;
    s += 6;
    return number_until(&s, '-', first) && number_until(&s, '/', last) && number_until(&s, 0, total) &&
           *first <= *last && *last < *total;
}

enum err_code s3_version_read(const struct params *headers, struct store_version *out, struct err *e)
{
    const char *etag = params_get(headers, "etag"), *length = params_get(headers, "content-length");
    const char *range = params_get(headers, "content-range"), *modified = params_get(headers, "last-modified");
    struct store_version v = {0};
    uint64_t first, last;
    if (etag == NULL || !s3_etag_copy(v.etag, etag))
        return err_set(e, ERR_PROTO, "the reply has no ETag");
    if (range != NULL ? !s3_content_range(range, &first, &last, &v.size)
                      : length == NULL || !str_parse_u64(length, &v.size))
        return err_set(e, ERR_PROTO, "the reply does not tell the object's size");
    if (modified == NULL || !time_parse_http(modified, &v.mtime))
        return err_set(e, ERR_PROTO, "the reply has no Last-Modified");
    *out = v;
    return ERR_OK;
}
