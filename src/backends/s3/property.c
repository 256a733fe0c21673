/* Properties of an object, shown as extended attributes user.s3.NAME. */
#include "backends/s3/impl.h"
#include "util/str.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PRESIGNED_S = 3600, PRESIGNED_MAX_S = 604800 };

/* Kept in the metadata and replaced with them. */
static const char *const changeable[] = {"content-type",     "cache-control", "content-encoding", "content-disposition",
                                         "content-language", "expires",       "storage-class",    NULL};
static const char *const fixed[] = {"etag", "sha512", "version-id", "url", "presigned", NULL};

static bool in(const char *const *names, const char *name)
{
    for (; *names != NULL; names++)
        if (strcmp(*names, name) == 0)
            return true;
    return false;
}

/* NAME of meta.NAME: what a header's name can hold. */
static bool is_user_name(const char *name)
{
    if (!str_starts(name, "meta.") || name[5] == 0 || strlen(name) > 128)
        return false;
    for (const char *p = name + 5; *p != 0; p++)
        if (!isdigit((unsigned char)*p) && !(*p >= 'a' && *p <= 'z') && strchr("-_.", *p) == NULL)
            return false;
    return !s3_meta_is_reserved(name + 5);
}

static enum err_code no_such(const char *key, const char *name, struct err *e)
{
    return err_set(e, ERR_NO_ATTR, "%s: no property %s", key, name);
}

/* 0: not of that form. */
static unsigned presigned_seconds(const char *name)
{
    uint64_t seconds;
    if (strcmp(name, "presigned") == 0)
        return PRESIGNED_S;
    if (!str_starts(name, "presigned.") || !str_parse_u64(name + strlen("presigned."), &seconds) || seconds == 0 ||
        seconds > PRESIGNED_MAX_S)
        return 0;
    return (unsigned)seconds;
}

static enum err_code get_url(struct s3_store *s, const char *key, unsigned seconds, struct buf *out, struct err *e)
{
    /* A browser sends no headers: S3 takes the agreement to pay as a parameter too. Source: Amazon S3 User Guide, "Using
     * Requester Pays buckets". */
    static const struct aws_param payer[] = {{"x-amz-request-payer", "requester"}, {NULL, NULL}};
    CLEANUP(free) char *full = s3_full_key(s, key);
    if (full == NULL)
        return err_set(e, ERR_NOMEM, "%s", key);
    enum err_code code = seconds > 0
                             ? aws_presign(s->client, full, s->requester_pays ? payer : NULL, seconds, out, e)
                             : aws_url(s->client, full, out, e);
    if (code == ERR_OK && s->sse_c != NULL && !s3_is_plain(s, key))
        buf_add_str(out, "\n# with the headers x-amz-server-side-encryption-customer-algorithm, -key and -key-MD5");
    return code == ERR_OK ? buf_check(out, "url", e) : code;
}

static enum err_code get_told(struct s3_store *s, const char *key, const struct store_object *object, const char *name,
                              const struct store_call *call, struct buf *out, struct err *e)
{
    CLEANUP_RELEASE(store_object_release) struct store_object asked = {0};
    const struct store_meta *meta = object != NULL ? object->meta : NULL;
    const char *prop = strcmp(name, "sha512") == 0 && store_meta_prop(meta, "checksum-sha512", NULL) != NULL
                           ? "checksum-sha512"
                           : name;
    /* Who has stored other bytes does not carry their sum on. */
    bool told = s3_is_told(meta) && strcmp(name, "sha512") != 0;
    if (!told && store_meta_prop(meta, prop, NULL) == NULL) {
        enum err_code code = s3_stat(s, key, call, &asked, e);
        if (code != ERR_OK)
            return code;
        meta = asked.meta;
    }
    size_t len;
    const char *value = store_meta_prop(meta, prop, &len);
    if (value == NULL)
        return no_such(key, name, e);
    buf_add(out, value, len);
    return buf_check(out, name, e);
}

static enum err_code get_etag(struct s3_store *s, const char *key, const struct store_object *object,
                              const struct store_call *call, struct buf *out, struct err *e)
{
    CLEANUP_RELEASE(store_object_release) struct store_object asked = {0};
    const char *etag = object != NULL ? object->version.etag : "";
    if (etag[0] == 0) {
        enum err_code code = s3_stat(s, key, call, &asked, e);
        if (code != ERR_OK)
            return code;
        etag = asked.version.etag;
    }
    buf_add_str(out, etag);
    return buf_check(out, "etag", e);
}

static enum err_code get_tags(struct s3_store *s, const char *key, const struct store_call *call, struct buf *out,
                              struct err *e)
{
    size_t before = out->len;
    enum err_code code = s3_tags_get(s, key, call, out, e);
    return code == ERR_OK && out->len == before ? no_such(key, "tags", e) : code;
}

enum err_code s3_property_get(void *impl, const char *key, const struct store_object *object, const char *name,
                              const struct store_call *call, struct buf *out, struct err *e)
{
    struct s3_store *s = impl;
    unsigned seconds = presigned_seconds(name);
    if (seconds > 0 || strcmp(name, "url") == 0)
        return get_url(s, key, seconds, out, e);
    if (strcmp(name, "etag") == 0)
        return get_etag(s, key, object, call, out, e);
    if (strcmp(name, "tags") == 0)
        return get_tags(s, key, call, out, e);
    if (strcmp(name, "acl") == 0)
        return s3_acl_get(s, key, call, out, e);
    if (in(changeable, name) || in(fixed, name) || is_user_name(name))
        return get_told(s, key, object, name, call, out, e);
    return no_such(key, name, e);
}

/* A header's value: user metadata may be any text, the others printable ASCII. */
static bool is_value(const char *name, const char *value, size_t len)
{
    bool user = str_starts(name, "meta.");
    if (len > 2048 || !utf8_valid(value, len))
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)value[i] < ' ' || value[i] == 0x7f || (!user && (unsigned char)value[i] > 0x7e))
            return false;
    return user || len > 0;
}

static enum err_code change_meta(struct s3_store *s, const char *key, const struct store_meta *meta, const char *name,
                                 const void *value, size_t len, const struct store_call *call, struct store_meta **out,
                                 struct err *e)
{
    CLEANUP_RELEASE(store_object_release) struct store_object asked = {0};
    if (value != NULL && !is_value(name, value, len))
        return err_set(e, ERR_INVAL, "%s: the value of %s is no header's value", key, name);
    if (meta == NULL) {
        enum err_code code = s3_stat(s, key, call, &asked, e);
        if (code != ERR_OK)
            return code;
        meta = asked.meta;
    }
    if (value == NULL && store_meta_prop(meta, name, NULL) == NULL)
        return no_such(key, name, e);
    CLEANUP(store_meta_unref) struct store_meta *changed = store_meta_copy(meta);
    if (changed == NULL)
        return err_set(e, ERR_NOMEM, "%s", key);
    if (value == NULL && strcmp(name, "storage-class") == 0) {
        value = "STANDARD";
        len = strlen("STANDARD");
    }
    enum err_code code = store_meta_set_prop(changed, name, value, len, e);
    if (code == ERR_OK)
        *out = TAKE(changed);
    return code;
}

static enum err_code change_own(struct s3_store *s, const char *key, const char *name, const void *value, size_t len,
                                const struct store_call *call, struct err *e)
{
    CLEANUP(free) char *text = value != NULL ? str_ndup(value, len) : NULL;
    if (value != NULL && (text == NULL || strlen(text) != len))
        return err_set(e, text == NULL ? ERR_NOMEM : ERR_INVAL, "%s: the value of %s", key, name);
    s3_own_forget(s, key);
    if (strcmp(name, "tags") == 0)
        return s3_tags_set(s, key, text, call, e);
    return s3_acl_set(s, key, text != NULL ? text : "private", call, e);
}

enum err_code s3_check_meta(void *impl, const char *key, const struct store_meta *meta, struct err *e)
{
    const unsigned all =
        STORE_HAS_MODE | STORE_HAS_UID | STORE_HAS_GID | STORE_HAS_MTIME | STORE_HAS_ATIME | STORE_HAS_CTIME;
    const struct timespec longest = {.tv_sec = 9999999999, .tv_nsec = 999999999};
    PARAMS(headers);
    struct store_meta full = *meta; /* borrows what it points to */
    (void)impl;
    full.has = all;
    full.mode = S_IFREG | 07777;
    full.uid = full.gid = UINT32_MAX;
    full.mtime = full.atime = full.ctime = longest;
    return s3_meta_write(&full, key, NULL, S3_WRITE_SAME_BYTES, &headers, e);
}

enum err_code s3_property_set(void *impl, const char *key, const struct store_meta *meta, const char *name,
                              const void *value, size_t len, const struct store_call *call,
                              struct store_meta **meta_out, struct err *e)
{
    if (strcmp(name, "tags") == 0 || strcmp(name, "acl") == 0)
        return change_own(impl, key, name, value, len, call, e);
    if (in(fixed, name) || presigned_seconds(name) > 0)
        return err_set(e, ERR_PERM, "%s: %s cannot be changed", key, name);
    if (!in(changeable, name) && !is_user_name(name))
        return no_such(key, name, e);
    return change_meta(impl, key, meta, name, value, len, call, meta_out, e);
}
