#include "journal/record_fields.h"

#include "util/str.h"

#include <limits.h>
#include <string.h>

static const enum record_field fields[][RECORD_FIELDS_MAX] = {
    [RECORD_PUT] = {FIELD_WHEN, FIELD_KEY, FIELD_COND, FIELD_SIZE, FIELD_META, FIELD_SHA512, FIELD_CRC, FIELD_BODY},
    [RECORD_COPY] = {FIELD_WHEN, FIELD_KEY, FIELD_ETAG, FIELD_TO, FIELD_COND, FIELD_SIZE, FIELD_META, FIELD_MTIME},
    [RECORD_REMOVE] = {FIELD_WHEN, FIELD_KEY, FIELD_ETAG},
    [RECORD_RENAME] = {FIELD_WHEN, FIELD_KEY, FIELD_ETAG, FIELD_TO, FIELD_COND, FIELD_SIZE, FIELD_META, FIELD_MTIME, FIELD_TREE},
    [RECORD_PROPERTY] = {FIELD_WHEN, FIELD_KEY, FIELD_PROPERTY},
    [RECORD_UPLOAD] = {FIELD_WHEN, FIELD_OF, FIELD_KEY, FIELD_META, FIELD_SHA512},
    [RECORD_PARTS] = {FIELD_WHEN, FIELD_OF, FIELD_UPLOAD_ID, FIELD_PARTS},
    [RECORD_FINISH] = {FIELD_WHEN, FIELD_OF, FIELD_KEY, FIELD_UPLOAD_ID, FIELD_COND, FIELD_SIZE, FIELD_META, FIELD_SHA512, FIELD_CRC,
                       FIELD_PARTS},
    [RECORD_BEGUN] = {FIELD_WHEN, FIELD_OF},
    [RECORD_DONE] = {FIELD_OF, FIELD_HOW, FIELD_VERSION},
    [RECORD_FAILED] = {FIELD_WHEN, FIELD_OF, FIELD_ERROR},
    [RECORD_CONFLICT] = {FIELD_WHEN, FIELD_OF, FIELD_KEY, FIELD_VERSION},
    [RECORD_MEMBER] = {FIELD_KEY, FIELD_ETAG, FIELD_SIZE, FIELD_MTIME},
};

static const char *const names[] = {
    [RECORD_PUT] = "put",           [RECORD_COPY] = "copy",     [RECORD_REMOVE] = "remove", [RECORD_RENAME] = "rename",
    [RECORD_PROPERTY] = "property", [RECORD_UPLOAD] = "upload", [RECORD_PARTS] = "parts",   [RECORD_FINISH] = "finish",
    [RECORD_BEGUN] = "begun",       [RECORD_DONE] = "done",     [RECORD_FAILED] = "failed", [RECORD_CONFLICT] = "conflict",
    [RECORD_MEMBER] = "member",
};

const enum record_field *record_fields(enum record_kind kind)
{
    return kind >= RECORD_PUT && kind <= RECORD_MEMBER ? fields[kind] : NULL;
}

bool record_has_field(enum record_kind kind, enum record_field field)
{
    const enum record_field *f = record_fields(kind);
    while (f && *f != FIELD_END && *f != field)
        f++;
    return f && *f == field;
}

const char *record_kind_name(enum record_kind kind)
{
    return record_fields(kind) ? names[kind] : "unknown";
}

static bool is_bytes(const char *s, size_t min, size_t max)
{
    size_t len = s ? strnlen(s, max + 1) : 0;
    return s && len >= min && len <= max;
}

static bool is_text(const char *s, size_t min, size_t max)
{
    return is_bytes(s, min, max) && utf8_valid(s, strlen(s));
}

static bool is_time(const struct timespec *t)
{
    return t->tv_nsec >= 0 && t->tv_nsec < 1000000000;
}

static bool is_dir(const char *key)
{
    return str_ends(key, "/");
}

static bool pairs_fit(const struct meta_pair *pairs, size_t n)
{
    bool fit = n <= RECORD_PAIRS_MAX && (n == 0 || pairs);
    for (size_t i = 0; fit && i < n; i++)
        fit = is_bytes(pairs[i].name, 1, RECORD_KEY_MAX) && (pairs[i].len == 0 || pairs[i].value);
    return fit;
}

static bool meta_fits(const struct meta_fields *m)
{
    return !m || ((m->has & ~(unsigned)STORE_HAS_ALL) == 0 && is_time(&m->mtime) && is_time(&m->atime) && is_time(&m->ctime) &&
                  pairs_fit(m->xattrs, m->n_xattrs) && pairs_fit(m->props, m->n_props));
}

/* A plain name, of no hidden file. */
static bool file_fits(const char *name)
{
    return is_text(name, 1, NAME_MAX) && name[0] != '.' && !strchr(name, '/');
}

static bool body_fits(const struct record *r)
{
    if (r->file)
        return !r->body && r->size > 0 && file_fits(r->file);
    return r->size <= RECORD_INLINE_MAX && (r->size == 0 || r->body);
}

/* The parts of an upload that is finished are all of it. */
static bool parts_fit(const struct record *r)
{
    uint64_t sum = 0;
    unsigned last = 0;
    bool whole = r->kind == RECORD_FINISH;
    if (r->n_parts > RECORD_PARTS_MAX || (r->n_parts && !r->parts) || (whole && !r->n_parts))
        return false;
    for (size_t i = 0; i < r->n_parts; i++) {
        const struct record_part *p = &r->parts[i];
        if (p->number <= last || p->number > RECORD_PARTS_MAX || !is_text(p->etag, 1, RECORD_ETAG_MAX) ||
            __builtin_add_overflow(sum, p->size, &sum))
            return false;
        last = p->number;
    }
    return !whole || sum == r->size;
}

static bool cond_fits(const struct record *r)
{
    if (r->cond == RECORD_IF_MATCH)
        return is_text(r->cond_etag, 1, RECORD_ETAG_MAX);
    return (r->cond == RECORD_ALWAYS || r->cond == RECORD_IF_ABSENT) && !r->cond_etag;
}

static bool tree_fits(const struct record *r)
{
    return !r->tree || (is_dir(r->key) && is_dir(r->to) && !str_starts(r->to, r->key));
}

static bool how_fits(const struct record *r)
{
    bool known = r->how >= RECORD_SENT && r->how <= RECORD_ABORTED;
    return known && (r->how == RECORD_MERGED ? r->into > 0 && r->into != r->of : r->into == 0);
}

static bool field_fits(const struct record *r, enum record_field field)
{
    switch (field) {
    case FIELD_WHEN:
        return is_time(&r->when);
    case FIELD_OF:
        return r->of > 0 || r->kind == RECORD_UPLOAD;
    case FIELD_KEY:
        return is_text(r->key, 1, RECORD_KEY_MAX);
    case FIELD_TO:
        return is_text(r->to, 1, RECORD_KEY_MAX);
    case FIELD_ETAG:
        return !r->etag || is_text(r->etag, 1, RECORD_ETAG_MAX);
    case FIELD_COND:
        return cond_fits(r);
    case FIELD_META:
        return meta_fits(r->meta);
    case FIELD_MTIME:
        return !r->mtime || is_time(r->mtime);
    case FIELD_BODY:
        return body_fits(r);
    case FIELD_TREE:
        return tree_fits(r);
    case FIELD_PROPERTY:
        return is_bytes(r->name, 1, RECORD_KEY_MAX) && (r->value || !r->value_len);
    case FIELD_UPLOAD_ID:
        return is_text(r->upload_id, 1, RECORD_ID_MAX);
    case FIELD_PARTS:
        return parts_fit(r);
    case FIELD_HOW:
        return how_fits(r);
    case FIELD_VERSION:
        return is_text(r->version_etag, 0, RECORD_ETAG_MAX) && is_time(&r->version_mtime);
    case FIELD_ERROR:
        return r->code > ERR_OK && r->code < ERR_COUNT && is_bytes(r->text, 0, RECORD_TEXT_MAX);
    default:
        return true;
    }
}

static const char *field_name(enum record_field field)
{
    static const char *const field_names[] = {
        [FIELD_END] = "kind",       [FIELD_WHEN] = "time",         [FIELD_OF] = "number",     [FIELD_KEY] = "key",
        [FIELD_TO] = "target",      [FIELD_ETAG] = "ETag",         [FIELD_COND] = "condition", [FIELD_SIZE] = "size",
        [FIELD_META] = "metadata",  [FIELD_MTIME] = "time",        [FIELD_SHA512] = "SHA-512", [FIELD_CRC] = "CRC",
        [FIELD_BODY] = "body",      [FIELD_TREE] = "tree",         [FIELD_PROPERTY] = "property", [FIELD_UPLOAD_ID] = "upload id",
        [FIELD_PARTS] = "parts",    [FIELD_HOW] = "outcome",       [FIELD_VERSION] = "version", [FIELD_ERROR] = "error",
    };
    return field_names[field];
}

enum err_code record_check(const struct record *r, struct err *e)
{
    const enum record_field *f = record_fields(r->kind);
    if (!f)
        return err_set(e, ERR_INVAL, "a record of kind %d", (int)r->kind);
    for (; *f != FIELD_END; f++)
        if (!field_fits(r, *f))
            return err_set(e, ERR_INVAL, "the %s of a record (%s) is not legal", field_name(*f), record_kind_name(r->kind));
    return ERR_OK;
}
