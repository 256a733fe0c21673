/*
 * A record is: flags; the length of the name without what all names of the chunk begin with, and its bytes; and for an object its
 * size and Last-Modified as numbers of seven bits a byte, nanoseconds if there are any, and the ETag: the 16 bytes that 32 hex
 * digits stand for, those with the number of parts behind them, or as it is.
 */
#include "vfs/chunk.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    IS_DIR = 1,
    TAKEN = 2,
    NANOSECONDS = 4,
    ETAG_HEX = 8,
    ETAG_PARTS = 16, /* with ETAG_HEX */
};

#define MD5_BYTES  16
#define MD5_DIGITS 32
/* flags, length, name, three numbers, nanoseconds, an ETag and its length */
#define RECORD_MAX (2 + CHUNK_NAME_MAX + 3 * 10 + 4 + STORE_ETAG_SIZE + 1)

struct chunk {
    uint64_t seq, start_ms;
    uint32_t n, bytes;
    uint8_t prefix_len;
    uint32_t at[]; /* where the records begin, in what follows the last of these; the prefix is before the first */
};

static uint8_t *base_of(const struct chunk *c)
{
    return (uint8_t *)&c->at[c->n];
}

static uint8_t *record(const struct chunk *c, size_t k)
{
    assert(k < c->n);
    return base_of(c) + c->at[k];
}

/* ---- Packing */

static uint8_t *put_number(uint8_t *p, uint64_t x)
{
    for (; x >= 128; x >>= 7)
        *p++ = (uint8_t)(x | 128);
    *p++ = (uint8_t)x;
    return p;
}

static bool lower_hex(const char *s, size_t digits)
{
    for (size_t k = 0; k < digits; k++)
        if (!(s[k] >= '0' && s[k] <= '9') && !(s[k] >= 'a' && s[k] <= 'f'))
            return false;
    return true;
}

/* Whether the ETag comes out of its packed form as it was: "-" and a number written as printf would. */
static bool has_parts(const char *s, uint64_t *parts)
{
    return s[0] == '-' && s[1] != '0' && strlen(s) < 12 && str_parse_u64(s + 1, parts);
}

static uint8_t *put_etag(uint8_t *p, const char *etag, uint8_t *flags)
{
    uint64_t parts = 0;
    bool hex = lower_hex(etag, MD5_DIGITS);
    bool by_parts = hex && has_parts(etag + MD5_DIGITS, &parts);
    if (!hex || (etag[MD5_DIGITS] && !by_parts)) {
        size_t len = strnlen(etag, STORE_ETAG_SIZE - 1);
        *p++ = (uint8_t)len;
        memcpy(p, etag, len);
        return p + len;
    }
    char digits[MD5_DIGITS + 1] = "";
    memcpy(digits, etag, MD5_DIGITS);
    bool decoded = hex_decode(digits, p, MD5_BYTES);
    assert(decoded);
    p += MD5_BYTES;
    *flags |= by_parts ? ETAG_HEX | ETAG_PARTS : ETAG_HEX;
    return by_parts ? put_number(p, parts) : p;
}

/* Times before 1970 have a sign: the lowest bit. */
static uint64_t zigzag(int64_t x)
{
    return x < 0 ? ~((uint64_t)x << 1) : (uint64_t)x << 1;
}

static int64_t zagzig(uint64_t x)
{
    return (int64_t)(x & 1 ? ~(x >> 1) : x >> 1);
}

static uint8_t *put_version(uint8_t *p, const struct store_version *v, uint8_t *flags)
{
    p = put_number(p, v->size);
    p = put_number(p, zigzag(v->mtime.tv_sec));
    if (v->mtime.tv_nsec) {
        uint32_t nsec = (uint32_t)v->mtime.tv_nsec;
        memcpy(p, &nsec, sizeof(nsec));
        p += sizeof(nsec);
        *flags |= NANOSECONDS;
    }
    return put_etag(p, v->etag, flags);
}

static size_t put_record(uint8_t *start, const struct chunk_name *name, size_t skip)
{
    assert(name->len > 0 && name->len <= CHUNK_NAME_MAX);
    uint8_t *p = start + 1, flags = name->version ? 0 : IS_DIR;
    *p++ = (uint8_t)(name->len - skip);
    memcpy(p, name->name + skip, name->len - skip);
    p += name->len - skip;
    if (name->version)
        p = put_version(p, name->version, &flags);
    *start = flags;
    return (size_t)(p - start);
}

/* What the first and the last begin with, all between them do. */
static size_t common(const struct chunk_name *a, const struct chunk_name *b)
{
    size_t n = 0, most = a->len < b->len ? a->len : b->len;
    while (n < most && a->name[n] == b->name[n])
        n++;
    return n;
}

struct chunk *chunk_new(const struct chunk_name *names, size_t n, uint64_t seq, uint64_t start_ms)
{
    if (n == 0 || n > UINT32_MAX / (RECORD_MAX + sizeof(uint32_t)) - 1)
        return NULL;
    size_t head = sizeof(struct chunk) + n * sizeof(uint32_t), skip = common(&names[0], &names[n - 1]), most = skip;
    for (size_t k = 0; k < n; k++)
        most += names[k].len + RECORD_MAX - CHUNK_NAME_MAX;
    /* Packed in another place: what is kept for long should not leave a hole of what it might have needed. */
    CLEANUP(free) struct chunk *c = malloc(head + most);
    if (!c)
        return NULL;
    *c = (struct chunk){.seq = seq, .start_ms = start_ms, .n = (uint32_t)n, .prefix_len = (uint8_t)skip};
    memcpy(base_of(c), names[0].name, skip);
    size_t at = skip;
    for (size_t k = 0; k < n; k++) {
        c->at[k] = (uint32_t)at;
        at += put_record(base_of(c) + at, &names[k], skip);
    }
    c->bytes = (uint32_t)(head + at);
    struct chunk *kept = malloc(head + at);
    return kept ? memcpy(kept, c, head + at) : NULL;
}

void chunk_free(struct chunk *c)
{
    free(c);
}

/* ---- Reading */

size_t chunk_size(const struct chunk *c)
{
    return c->n;
}

uint64_t chunk_seq(const struct chunk *c)
{
    return c->seq;
}

uint64_t chunk_start_ms(const struct chunk *c)
{
    return c->start_ms;
}

size_t chunk_bytes(const struct chunk *c)
{
    return c->bytes;
}

size_t chunk_name(const struct chunk *c, size_t k, char out[CHUNK_NAME_MAX + 1])
{
    const uint8_t *r = record(c, k);
    memcpy(out, base_of(c), c->prefix_len);
    memcpy(out + c->prefix_len, r + 2, r[1]);
    size_t len = (size_t)c->prefix_len + r[1];
    out[len] = 0;
    return len;
}

bool chunk_is_dir(const struct chunk *c, size_t k)
{
    return *record(c, k) & IS_DIR;
}

bool chunk_is_taken(const struct chunk *c, size_t k)
{
    return *record(c, k) & TAKEN;
}

void chunk_take(struct chunk *c, size_t k)
{
    *record(c, k) |= TAKEN;
}

static uint64_t get_number(const uint8_t **p)
{
    uint64_t x = 0;
    for (int shift = 0;; shift += 7) {
        x |= (uint64_t)(**p & 127) << shift;
        if (!(*(*p)++ & 128))
            return x;
    }
}

static void get_etag(const uint8_t *p, uint8_t flags, char out[STORE_ETAG_SIZE])
{
    if (!(flags & ETAG_HEX)) {
        memcpy(out, p + 1, *p);
        out[*p] = 0;
        return;
    }
    hex_encode(p, MD5_BYTES, out);
    p += MD5_BYTES;
    if (flags & ETAG_PARTS)
        snprintf(out + MD5_DIGITS, STORE_ETAG_SIZE - MD5_DIGITS, "-%llu", (unsigned long long)get_number(&p));
}

void chunk_version(const struct chunk *c, size_t k, struct store_version *out)
{
    const uint8_t *r = record(c, k), *p = r + 2 + r[1];
    assert(!(*r & IS_DIR));
    out->size = get_number(&p);
    out->mtime = (struct timespec){.tv_sec = zagzig(get_number(&p))};
    if (*r & NANOSECONDS) {
        uint32_t nsec;
        memcpy(&nsec, p, sizeof(nsec));
        p += sizeof(nsec);
        out->mtime.tv_nsec = nsec;
    }
    get_etag(p, *r, out->etag);
}

/* ---- Places */

/* The byte at `at` of a name with a '/' behind it. */
static int byte_at(const char *name, size_t len, size_t at)
{
    return at < len ? (unsigned char)name[at] : '/';
}

int place_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t n = a_len < b_len ? a_len : b_len;
    int c = memcmp(a, b, n);
    if (c || a_len == b_len)
        return c;
    return byte_at(a, a_len, n) - byte_at(b, b_len, n);
}

int chunk_compare(const struct chunk *c, size_t k, const char *name, size_t len)
{
    const uint8_t *r = record(c, k);
    size_t n = c->prefix_len < len ? c->prefix_len : len;
    int d = memcmp(base_of(c), name, n);
    if (d)
        return d;
    if (len < c->prefix_len) /* the record goes on where the name has its '/' */
        return (int)base_of(c)[len] - '/';
    return place_compare((const char *)r + 2, r[1], name + n, len - n);
}
