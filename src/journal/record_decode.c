/*
 * The decoder. A reader that found something wrong stays where it is and gives zeros from then on, so that one look at the end
 * suffices. Nothing is allocated for a count that the bytes left have no room for.
 */
#include "journal/record_fields.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#define PAIR_MIN 10 /* bytes that a pair takes at least; and a part */
#define PART_MIN 26

struct reader {
    const uint8_t *p;
    size_t left;
    bool bad, no_memory;
};

/* What record_decode() returns is the first member. */
struct decoded {
    struct record record;
    struct meta_fields meta;
    struct meta_pair *xattrs, *props;
    struct record_part *parts;
    struct timespec mtime;
    uint64_t crc64nvme;
};

/* NULL, and the reader is bad, where fewer are left. */
static const void *take(struct reader *r, size_t len)
{
    const uint8_t *p = r->p;
    if (r->bad || r->left < len) {
        r->bad = true;
        return NULL;
    }
    r->p += len;
    r->left -= len;
    return p;
}

static uint8_t take_u8(struct reader *r)
{
    const uint8_t *p = take(r, 1);
    return p ? *p : 0;
}

static bool take_bool(struct reader *r)
{
    uint8_t n = take_u8(r);
    r->bad |= n > 1;
    return n == 1;
}

static uint32_t take_u32(struct reader *r)
{
    uint32_t n = 0;
    const void *p = take(r, sizeof(n));
    if (p)
        memcpy(&n, p, sizeof(n));
    return le32toh(n);
}

static uint64_t take_u64(struct reader *r)
{
    uint64_t n = 0;
    const void *p = take(r, sizeof(n));
    if (p)
        memcpy(&n, p, sizeof(n));
    return le64toh(n);
}

static struct timespec take_time(struct reader *r)
{
    int64_t seconds = (int64_t)take_u64(r);
    uint32_t nanoseconds = take_u32(r);
    r->bad |= nanoseconds >= 1000000000;
    return (struct timespec){.tv_sec = seconds, .tv_nsec = r->bad ? 0 : nanoseconds};
}

static const void *take_bytes(struct reader *r, size_t *len)
{
    *len = take_u32(r);
    const void *p = take(r, *len);
    r->bad |= take_u8(r) != 0;
    if (r->bad)
        *len = 0;
    return r->bad ? NULL : p;
}

static const char *take_text(struct reader *r)
{
    size_t len;
    const char *s = take_bytes(r, &len);
    r->bad |= s && memchr(s, 0, len);
    return r->bad ? NULL : s;
}

static const char *take_text_if(struct reader *r)
{
    return take_bool(r) ? take_text(r) : NULL;
}

/* Room for as many as follow; NULL for none, and where that cannot be. */
static void *take_array(struct reader *r, size_t *n, size_t max, size_t min_bytes, size_t size)
{
    uint32_t count = take_u32(r);
    r->bad |= count > max || count > r->left / min_bytes;
    void *array = r->bad || count == 0 ? NULL : calloc(count, size);
    r->no_memory |= !r->bad && count && !array;
    r->bad |= r->no_memory;
    *n = array ? count : 0;
    return array;
}

static struct meta_pair *take_pairs(struct reader *r, size_t *n)
{
    struct meta_pair *pairs = take_array(r, n, RECORD_PAIRS_MAX, PAIR_MIN, sizeof(*pairs));
    for (size_t i = 0; i < *n; i++) {
        pairs[i].name = take_text(r);
        pairs[i].value = take_bytes(r, &pairs[i].len);
    }
    return pairs;
}

static void take_meta(struct reader *r, struct decoded *d)
{
    struct meta_fields *m = &d->meta;
    if (!take_bool(r))
        return;
    m->has = take_u32(r);
    m->mode = take_u32(r);
    m->uid = take_u32(r);
    m->gid = take_u32(r);
    m->mtime = take_time(r);
    m->atime = take_time(r);
    m->ctime = take_time(r);
    m->xattrs = d->xattrs = take_pairs(r, &m->n_xattrs);
    m->props = d->props = take_pairs(r, &m->n_props);
    d->record.meta = m;
}

static void take_body(struct reader *r, struct record *out)
{
    size_t len;
    if (take_bool(r)) {
        out->file = take_text(r);
        r->bad |= !out->file;
        return;
    }
    out->body = take_bytes(r, &len);
    r->bad |= len != out->size;
}

static void take_parts(struct reader *r, struct decoded *d)
{
    size_t n;
    d->parts = take_array(r, &n, RECORD_PARTS_MAX, PART_MIN, sizeof(*d->parts));
    for (size_t i = 0; i < n; i++) {
        struct record_part *part = &d->parts[i];
        part->number = take_u32(r);
        part->size = take_u64(r);
        part->crc64nvme = take_u64(r);
        part->unsummed = take_bool(r);
        part->etag = take_text(r);
    }
    d->record.parts = d->parts;
    d->record.n_parts = n;
}

static void take_optional(struct reader *r, struct decoded *d, enum record_field field)
{
    if (!take_bool(r))
        return;
    if (field == FIELD_MTIME) {
        d->mtime = take_time(r);
        d->record.mtime = &d->mtime;
    } else if (field == FIELD_SHA512) {
        d->record.sha512 = take(r, 64);
    } else {
        d->crc64nvme = take_u64(r);
        d->record.crc64nvme = &d->crc64nvme;
    }
}

static void take_property(struct reader *r, struct record *out)
{
    out->name = take_text(r);
    if (take_bool(r))
        out->value = take_bytes(r, &out->value_len);
}

static void take_version(struct reader *r, struct record *out)
{
    out->version_etag = take_text(r);
    out->version_size = take_u64(r);
    out->version_mtime = take_time(r);
}

/* A name that this program does not know is an error all the same. */
static enum err_code code_of(const char *name)
{
    for (int code = ERR_OK + 1; code < ERR_COUNT; code++)
        if (strcmp(err_name((enum err_code)code), name) == 0)
            return (enum err_code)code;
    return ERR_IO;
}

static void take_error(struct reader *r, struct record *out)
{
    const char *name = take_text(r);
    out->text = take_text(r);
    out->attempts = take_u32(r);
    out->code = r->bad ? ERR_OK : code_of(name);
}

static void take_field(struct reader *r, struct decoded *d, enum record_field field)
{
    struct record *out = &d->record;
    switch (field) {
    case FIELD_END:
        break;
    case FIELD_WHEN:
        out->when = take_time(r);
        break;
    case FIELD_OF:
        out->of = take_u64(r);
        break;
    case FIELD_KEY:
        out->key = take_text(r);
        break;
    case FIELD_TO:
        out->to = take_text(r);
        break;
    case FIELD_ETAG:
        out->etag = take_text_if(r);
        break;
    case FIELD_COND:
        out->cond = (enum record_cond_kind)take_u8(r);
        out->cond_etag = take_text_if(r);
        break;
    case FIELD_SIZE:
        out->size = take_u64(r);
        break;
    case FIELD_META:
        take_meta(r, d);
        break;
    case FIELD_MTIME:
    case FIELD_SHA512:
    case FIELD_CRC:
        take_optional(r, d, field);
        break;
    case FIELD_BODY:
        take_body(r, out);
        break;
    case FIELD_TREE:
        out->tree = take_bool(r);
        break;
    case FIELD_PROPERTY:
        take_property(r, out);
        break;
    case FIELD_UPLOAD_ID:
        out->upload_id = take_text(r);
        break;
    case FIELD_PARTS:
        take_parts(r, d);
        break;
    case FIELD_HOW:
        out->how = (enum record_how)take_u8(r);
        out->into = take_u64(r);
        break;
    case FIELD_VERSION:
        take_version(r, out);
        break;
    case FIELD_ERROR:
        take_error(r, out);
        break;
    }
}

static enum err_code read_all(struct reader *r, struct decoded *d, struct err *e)
{
    struct err why = ERR_INIT;
    uint8_t version = take_u8(r);
    if (version > RECORD_VERSION)
        return err_set(e, ERR_UNSUPPORTED, "a record of version %u was written by a newer awsfs: use that one", version);
    d->record.kind = (enum record_kind)take_u8(r);
    const enum record_field *f = record_fields(d->record.kind);
    if (version != RECORD_VERSION || !f)
        return err_set(e, ERR_PROTO, "a record of a kind that is not known");
    for (; *f != FIELD_END; f++)
        take_field(r, d, *f);
    if (r->no_memory)
        return err_set(e, ERR_NOMEM, "no memory for a record");
    if (r->bad || r->left)
        return err_set(e, ERR_PROTO, "a record (%s) whose length is not that of its fields", record_kind_name(d->record.kind));
    if (record_check(&d->record, &why))
        return err_set(e, ERR_PROTO, "%s", why.msg);
    return ERR_OK;
}

struct record *record_decode(const void *p, size_t len, struct err *e)
{
    struct decoded *d = calloc(1, sizeof(*d));
    struct reader r = {.p = p, .left = len};
    if (!d) {
        (void)err_set(e, ERR_NOMEM, "no memory for a record");
        return NULL;
    }
    if (read_all(&r, d, e) == ERR_OK)
        return &d->record;
    record_free(&d->record);
    return NULL;
}

void record_free(struct record *r)
{
    if (!r)
        return;
    struct decoded *d = CONTAINER_OF(r, struct decoded, record);
    free(d->xattrs);
    free(d->props);
    free(d->parts);
    free(d);
}
