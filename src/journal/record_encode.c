#include "journal/record_fields.h"

#include <endian.h>
#include <string.h>

static void put_u8(struct buf *out, uint8_t n)
{
    buf_add(out, &n, sizeof(n));
}

static void put_u32(struct buf *out, uint32_t n)
{
    n = htole32(n);
    buf_add(out, &n, sizeof(n));
}

static void put_u64(struct buf *out, uint64_t n)
{
    n = htole64(n);
    buf_add(out, &n, sizeof(n));
}

static void put_time(struct buf *out, const struct timespec *t)
{
    put_u64(out, (uint64_t)t->tv_sec);
    put_u32(out, (uint32_t)t->tv_nsec);
}

/* Bytes with their length before them and a NUL behind them. */
static void put_bytes(struct buf *out, const void *p, size_t len)
{
    put_u32(out, len <= UINT32_MAX ? (uint32_t)len : UINT32_MAX);
    if (len)
        buf_add(out, p, len);
    put_u8(out, 0);
}

static void put_text(struct buf *out, const char *s)
{
    put_bytes(out, s, strlen(s));
}

/* Whether there is one, then the thing itself. */
static void put_text_if(struct buf *out, const char *s)
{
    put_u8(out, s != NULL);
    if (s)
        put_text(out, s);
}

static void put_pairs(struct buf *out, const struct meta_pair *pairs, size_t n)
{
    put_u32(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        put_text(out, pairs[i].name);
        put_bytes(out, pairs[i].value, pairs[i].len);
    }
}

static void put_meta(struct buf *out, const struct meta_fields *m)
{
    put_u8(out, m != NULL);
    if (!m)
        return;
    put_u32(out, m->has);
    put_u32(out, m->mode);
    put_u32(out, m->uid);
    put_u32(out, m->gid);
    put_time(out, &m->mtime);
    put_time(out, &m->atime);
    put_time(out, &m->ctime);
    put_pairs(out, m->xattrs, m->n_xattrs);
    put_pairs(out, m->props, m->n_props);
}

static void put_body(struct buf *out, const struct record *r)
{
    put_u8(out, r->file != NULL);
    if (r->file)
        put_text(out, r->file);
    else
        put_bytes(out, r->body, (size_t)r->size);
}

static void put_parts(struct buf *out, const struct record *r)
{
    put_u32(out, (uint32_t)r->n_parts);
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct record_part *p = &r->parts[i];
        put_u32(out, p->number);
        put_u64(out, p->size);
        put_u64(out, p->crc64nvme);
        put_u8(out, p->unsummed);
        put_text(out, p->etag);
    }
}

static void put_optional(struct buf *out, const struct record *r, enum record_field field)
{
    bool has = field == FIELD_MTIME ? r->mtime != NULL : field == FIELD_SHA512 ? r->sha512 != NULL : r->crc64nvme != NULL;
    put_u8(out, has);
    if (!has)
        return;
    if (field == FIELD_MTIME)
        put_time(out, r->mtime);
    else if (field == FIELD_SHA512)
        buf_add(out, r->sha512, 64);
    else
        put_u64(out, *r->crc64nvme);
}

static void put_property(struct buf *out, const struct record *r)
{
    put_text(out, r->name);
    put_u8(out, r->value != NULL);
    if (r->value)
        put_bytes(out, r->value, r->value_len);
}

static void put_version(struct buf *out, const struct record *r)
{
    put_text(out, r->version_etag);
    put_u64(out, r->version_size);
    put_time(out, &r->version_mtime);
}

/* Codes go by their names: the numbers may be others in the next version of the program. */
static void put_error(struct buf *out, const struct record *r)
{
    put_text(out, err_name(r->code));
    put_text(out, r->text);
    put_u32(out, r->attempts);
}

static void put_field(struct buf *out, const struct record *r, enum record_field field)
{
    switch (field) {
    case FIELD_END:
        break;
    case FIELD_WHEN:
        put_time(out, &r->when);
        break;
    case FIELD_OF:
        put_u64(out, r->of);
        break;
    case FIELD_KEY:
        put_text(out, r->key);
        break;
    case FIELD_TO:
        put_text(out, r->to);
        break;
    case FIELD_ETAG:
        put_text_if(out, r->etag);
        break;
    case FIELD_COND:
        put_u8(out, (uint8_t)r->cond);
        put_text_if(out, r->cond_etag);
        break;
    case FIELD_SIZE:
        put_u64(out, r->size);
        break;
    case FIELD_META:
        put_meta(out, r->meta);
        break;
    case FIELD_MTIME:
    case FIELD_SHA512:
    case FIELD_CRC:
        put_optional(out, r, field);
        break;
    case FIELD_BODY:
        put_body(out, r);
        break;
    case FIELD_TREE:
        put_u8(out, r->tree);
        break;
    case FIELD_PROPERTY:
        put_property(out, r);
        break;
    case FIELD_UPLOAD_ID:
        put_text(out, r->upload_id);
        break;
    case FIELD_PARTS:
        put_parts(out, r);
        break;
    case FIELD_HOW:
        put_u8(out, (uint8_t)r->how);
        put_u64(out, r->into);
        break;
    case FIELD_VERSION:
        put_version(out, r);
        break;
    case FIELD_ERROR:
        put_error(out, r);
        break;
    }
}

enum err_code record_encode(const struct record *r, struct buf *out, struct err *e)
{
    enum err_code code = record_check(r, e);
    if (code)
        return code;
    put_u8(out, RECORD_VERSION);
    put_u8(out, (uint8_t)r->kind);
    for (const enum record_field *f = record_fields(r->kind); *f != FIELD_END; f++)
        put_field(out, r, *f);
    return buf_check(out, "a record", e);
}
