#include "vfs/saved_pack.h"

#include "store/meta.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORM       1
#define MD5_BYTES  16
#define MD5_DIGITS 32
#define MTIME_MAX  (1ll << 40) /* seconds: some 35,000 years */

enum {
    IS_DIR = 1,
    NANOSECONDS = 2,
    ETAG_HEX = 4,
    ETAG_PARTS = 8, /* with ETAG_HEX */
    IS_END = 16,
    ALL_FLAGS = 31,
};

/* ---- Packing */

static void put_number(struct buf *out, uint64_t x)
{
    for (; x >= 128; x >>= 7)
        buf_add_char(out, (char)(x | 128));
    buf_add_char(out, (char)x);
}

/* Whether the ETag is a MD5, or one and "-" and a number that is written as printf would. */
static bool is_hex(const char *etag, uint8_t md5[MD5_BYTES], uint64_t *parts)
{
    char digits[MD5_DIGITS + 1] = "";
    size_t len = strlen(etag);
    if (len < MD5_DIGITS || strspn(etag, "0123456789abcdef") < MD5_DIGITS)
        return false;
    memcpy(digits, etag, MD5_DIGITS);
    const char *rest = etag + MD5_DIGITS;
    *parts = 0;
    bool by_parts = rest[0] == '-' && rest[1] != '0' && len < MD5_DIGITS + 12 && str_parse_u64(rest + 1, parts) && *parts > 0;
    return (!*rest || by_parts) && hex_decode(digits, md5, MD5_BYTES);
}

/* Times before 1970 have a sign: the lowest bit. */
static uint64_t zigzag(int64_t x)
{
    return x < 0 ? ~((uint64_t)x << 1) : (uint64_t)x << 1;
}

static void put_version(struct buf *out, const struct store_version *v, const uint8_t *md5, uint64_t parts)
{
    put_number(out, v->size);
    put_number(out, zigzag(v->mtime.tv_sec));
    if (v->mtime.tv_nsec)
        put_number(out, (uint64_t)v->mtime.tv_nsec);
    if (md5) {
        buf_add(out, md5, MD5_BYTES);
        if (parts)
            put_number(out, parts);
        return;
    }
    put_number(out, strlen(v->etag));
    buf_add_str(out, v->etag);
}

void saved_pack_add(struct saved_pack *p, const char *component, size_t len, const struct store_version *version)
{
    uint8_t md5[MD5_BYTES];
    uint64_t parts = 0;
    if (p->n == 0)
        buf_add_char(p->out, FORM);
    if (p->n >= SAVED_NAMES_MAX || len > sizeof(p->last))
        p->out->failed = true;
    if (p->out->failed)
        return;
    bool hex = version && is_hex(version->etag, md5, &parts);
    size_t same = 0, most = len < p->last_len ? len : p->last_len;
    while (same < most && component[same] == p->last[same])
        same++;
    int flags = version ? (hex ? ETAG_HEX : 0) | (parts ? ETAG_PARTS : 0) | (version->mtime.tv_nsec ? NANOSECONDS : 0) : IS_DIR;
    buf_add_char(p->out, (char)flags);
    put_number(p->out, same);
    put_number(p->out, len - same);
    buf_add(p->out, component + same, len - same);
    if (version)
        put_version(p->out, version, hex ? md5 : NULL, parts);
    memcpy(p->last, component, len);
    p->last_len = len;
    p->n++;
}

void saved_pack_end(struct saved_pack *p)
{
    if (p->n == 0)
        buf_add_char(p->out, FORM);
    buf_add_char(p->out, IS_END);
    put_number(p->out, p->n);
}

/* ---- Unpacking */

struct unpacking {
    const uint8_t *at, *end;
    const char *prefix;
    char name[sizeof(((struct saved_pack *)0)->last)]; /* the last one */
    size_t name_len;
    struct store_page page;
    size_t room;
};

static bool get_number(struct unpacking *u, uint64_t max, uint64_t *out)
{
    uint64_t x = 0;
    for (unsigned shift = 0; u->at < u->end && shift < 63; shift += 7) {
        uint8_t byte = *u->at++;
        x |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *out = x;
            return x <= max;
        }
    }
    return false;
}

static bool get_bytes(struct unpacking *u, size_t len, void *out)
{
    if (len > (size_t)(u->end - u->at))
        return false;
    memcpy(out, u->at, len);
    u->at += len;
    return true;
}

static bool get_name(struct unpacking *u)
{
    uint64_t same, rest;
    if (!get_number(u, u->name_len, &same) || !get_number(u, sizeof(u->name) - same, &rest) || !get_bytes(u, rest, u->name + same))
        return false;
    u->name_len = (size_t)(same + rest);
    return !memchr(u->name, '/', u->name_len) && utf8_valid(u->name, u->name_len);
}

static bool get_etag(struct unpacking *u, int flags, char out[STORE_ETAG_SIZE])
{
    uint8_t md5[MD5_BYTES];
    uint64_t n;
    if (!(flags & ETAG_HEX)) {
        if (!get_number(u, STORE_ETAG_SIZE - 1, &n) || !get_bytes(u, n, out))
            return false;
        out[n] = 0;
        return strlen(out) == n && n > 0;
    }
    if (!get_bytes(u, sizeof(md5), md5))
        return false;
    hex_encode(md5, sizeof(md5), out);
    if (!(flags & ETAG_PARTS))
        return true;
    if (!get_number(u, 99999, &n))
        return false;
    snprintf(out + MD5_DIGITS, STORE_ETAG_SIZE - MD5_DIGITS, "-%u", (unsigned)n);
    return true;
}

static bool get_version(struct unpacking *u, int flags, struct store_version *out)
{
    uint64_t sec, nsec = 0;
    if (!get_number(u, INT64_MAX, &out->size) || !get_number(u, 2 * MTIME_MAX, &sec) ||
        ((flags & NANOSECONDS) && !get_number(u, 999999999, &nsec)))
        return false;
    out->mtime.tv_sec = (time_t)(sec & 1 ? ~(sec >> 1) : sec >> 1);
    out->mtime.tv_nsec = (long)nsec;
    return get_etag(u, flags, out->etag);
}

static enum err_code get_entry(struct unpacking *u, int flags, struct err *e)
{
    struct store_page *page = &u->page;
    if (page->n == u->room) {
        size_t room = u->room ? 2 * u->room : 64;
        struct store_entry *more = reallocarray(page->entries, room, sizeof(*more));
        if (!more)
            return err_set(e, ERR_NOMEM, "out of memory for a listing");
        page->entries = more;
        u->room = room;
    }
    struct store_entry entry = {.is_prefix = flags & IS_DIR};
    if (!get_name(u) || (!entry.is_prefix && !get_version(u, flags, &entry.object.version)))
        return err_set(e, ERR_PROTO, "name %zu of it makes no sense", page->n);
    entry.key = str_printf("%s%.*s%s", u->prefix, (int)u->name_len, u->name, entry.is_prefix ? "/" : "");
    if (!entry.key)
        return err_set(e, ERR_NOMEM, "out of memory for a listing");
    page->entries[page->n++] = entry;
    return ERR_OK;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct store_entry *)a)->key, ((const struct store_entry *)b)->key);
}

/* What stands in two places of the packing directory is there twice. */
static void sort(struct store_page *page)
{
    if (page->n > 0)
        qsort(page->entries, page->n, sizeof(page->entries[0]), by_key);
    size_t n = 0;
    for (size_t k = 0; k < page->n; k++)
        if (n > 0 && by_key(&page->entries[n - 1], &page->entries[k]) == 0)
            free(page->entries[k].key);
        else
            page->entries[n++] = page->entries[k];
    page->n = n;
}

static enum err_code get_all(struct unpacking *u, struct err *e)
{
    uint64_t n;
    while (u->at < u->end && u->page.n < SAVED_NAMES_MAX + 1) {
        uint8_t flags = *u->at++;
        if (flags == IS_END) {
            bool right = get_number(u, UINT64_MAX, &n) && n == u->page.n && u->at == u->end;
            sort(&u->page);
            return right ? ERR_OK : err_set(e, ERR_PROTO, "its end is not there");
        }
        if (flags & ~(ALL_FLAGS & ~IS_END))
            return err_set(e, ERR_PROTO, "name %zu of it is of an unknown kind", u->page.n);
        enum err_code code = get_entry(u, flags, e);
        if (code)
            return code;
    }
    return err_set(e, ERR_PROTO, "its end is not there");
}

enum err_code saved_unpack(const void *p, size_t len, const char *prefix, struct store_page *out, struct err *e)
{
    struct unpacking u = {.at = p, .end = (const uint8_t *)p + len, .prefix = prefix};
    if (len == 0 || *u.at++ != FORM)
        return len == 0 ? err_set(e, ERR_PROTO, "it is empty") : err_set(e, ERR_UNSUPPORTED, "another awsfs made it");
    enum err_code code = get_all(&u, e);
    if (code)
        store_page_release(&u.page);
    else
        *out = u.page;
    return code;
}
