#include "journal/wal_frame.h"

#include "journal/wal.h"
#include "util/digest.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

#define FRAME_MAGIC  0x4c573146u /* "F1WL" */
#define HEADER_MAGIC "awsfswal"
#define VERSION      1u

/* As they are in the file. */
struct raw_frame {
    uint32_t magic, kind, len, data_crc;
    uint64_t number, synced;
    uint32_t zero, head_crc; /* of all before */
};
_Static_assert(sizeof(struct raw_frame) == WAL_FRAME_BYTES, "a frame has no gaps");

struct raw_header {
    char magic[8];
    uint32_t version, zero;
    uint64_t first;
    uint8_t identity[32]; /* its SHA-256 */
    uint32_t salt, crc; /* of all before */
};

size_t wal_frame_size(size_t len)
{
    return WAL_FRAME_BYTES + (len + 7) / 8 * 8;
}

static uint32_t crc_of_head(const struct raw_frame *r, uint32_t salt)
{
    return crc32c(salt, r, offsetof(struct raw_frame, head_crc));
}

size_t wal_frame_encode(const struct wal_frame *f, uint32_t salt, uint8_t head[WAL_FRAME_BYTES])
{
    struct raw_frame r = {
        .magic = htole32(FRAME_MAGIC),
        .kind = htole32(f->kind),
        .len = htole32((uint32_t)f->len),
        .data_crc = htole32(crc32c(salt, f->p, f->len)),
        .number = htole64(f->number),
        .synced = htole64(f->synced),
    };
    r.head_crc = htole32(crc_of_head(&r, salt));
    memcpy(head, &r, sizeof(r));
    return wal_frame_size(f->len) - WAL_FRAME_BYTES - f->len;
}

enum err_code wal_header_encode(const struct wal_header *header, const char *identity, uint8_t out[WAL_HEADER_BYTES], struct err *e)
{
    struct raw_header h = {
        .magic = HEADER_MAGIC,
        .version = htole32(VERSION),
        .first = htole64(header->first),
        .salt = htole32(header->salt),
    };
    uint8_t digest[DIGEST_MAX];
    enum err_code code = digest_once(DIGEST_SHA256, identity, strlen(identity), digest, e);
    if (code)
        return code;
    memcpy(h.identity, digest, sizeof(h.identity));
    h.crc = htole32(crc32c(0, &h, offsetof(struct raw_header, crc)));
    memset(out, 0, WAL_HEADER_BYTES);
    memcpy(out, &h, sizeof(h));
    return ERR_OK;
}

enum err_code wal_header_decode(const uint8_t *p, size_t len, const char *identity, struct wal_header *out, struct err *e)
{
    struct raw_header h;
    uint8_t digest[DIGEST_MAX];
    if (len < WAL_HEADER_BYTES)
        return err_set(e, ERR_PROTO, "it is cut off in its header");
    memcpy(&h, p, sizeof(h));
    if (memcmp(h.magic, HEADER_MAGIC, sizeof(h.magic)) != 0)
        return err_set(e, ERR_PROTO, "its header is not that of a log");
    /* A newer version may have another checksum: it says first what it is. */
    if (le32toh(h.version) > VERSION && le32toh(h.version) < VERSION + 1000)
        return err_set(e, ERR_UNSUPPORTED, "it was written by a newer version of awsfs (format %u, this one knows %u)",
                       le32toh(h.version), VERSION);
    if (le32toh(h.crc) != crc32c(0, &h, offsetof(struct raw_header, crc)) || le32toh(h.version) != VERSION)
        return err_set(e, ERR_PROTO, "its header is damaged");
    enum err_code code = digest_once(DIGEST_SHA256, identity, strlen(identity), digest, e);
    if (code)
        return code;
    if (memcmp(h.identity, digest, sizeof(h.identity)) != 0)
        return err_set(e, ERR_INVAL, "it is that of another source than %s", identity);
    *out = (struct wal_header){.first = le64toh(h.first), .salt = le32toh(h.salt)};
    return ERR_OK;
}

/* ---- Finding frames */

/* A frame's head that is whole, and all of which lies in the segment. */
static bool head_at(const struct wal_scan *s, size_t at, struct raw_frame *r)
{
    if (at > s->size || s->size - at < WAL_FRAME_BYTES)
        return false;
    memcpy(r, s->p + at, sizeof(*r));
    return le32toh(r->magic) == FRAME_MAGIC && le32toh(r->head_crc) == crc_of_head(r, s->header.salt) &&
           le32toh(r->len) <= WAL_RECORD_MAX && wal_frame_size(le32toh(r->len)) <= s->size - at;
}

static bool data_is_whole(const struct wal_scan *s, size_t at, const struct raw_frame *r)
{
    return crc32c(s->header.salt, s->p + at + WAL_FRAME_BYTES, le32toh(r->len)) == le32toh(r->data_crc);
}

/* Where the next record of this segment that can be read begins, at or behind `at`; its size where there is none. */
static size_t next_whole(const struct wal_scan *s, size_t at)
{
    struct raw_frame r;
    for (at = (at + 7) / 8 * 8; at < s->size && s->size - at >= WAL_FRAME_BYTES; at += 8)
        if (head_at(s, at, &r) && le64toh(r.number) > s->next && le64toh(r.number) - s->next <= s->size &&
            data_is_whole(s, at, &r))
            return at;
    return s->size;
}

/* Whether the bytes at `at` were meant to be the next record: one damaged field leaves the others. */
static bool looks_begun(const struct wal_scan *s)
{
    struct raw_frame r = {0};
    size_t n = s->size - s->at < sizeof(r) ? s->size - s->at : sizeof(r);
    memcpy(&r, s->p + s->at, n);
    return le64toh(r.number) == s->next || (le32toh(r.magic) == FRAME_MAGIC && le64toh(r.number) >= s->header.first);
}

enum wal_found wal_scan_next(struct wal_scan *s, struct wal_frame *f)
{
    struct raw_frame r;
    if (s->at >= s->size)
        return WAL_END;
    bool head = head_at(s, s->at, &r) && le64toh(r.number) == s->next;
    if (head && data_is_whole(s, s->at, &r)) {
        *f = (struct wal_frame){
            .kind = le32toh(r.kind) == WAL_TRIM ? WAL_TRIM : WAL_DATA,
            .number = s->next,
            .synced = le64toh(r.synced),
            .p = s->p + s->at + WAL_FRAME_BYTES,
            .len = le32toh(r.len),
        };
        s->at += wal_frame_size(f->len);
        s->next++;
        return WAL_RECORD;
    }
    size_t behind = next_whole(s, s->at + 1);
    if (behind == s->size && !head && !looks_begun(s))
        return WAL_END;
    bool more = behind < s->size;
    s->at = behind;
    if (more)
        (void)head_at(s, behind, &r);
    s->next = more ? le64toh(r.number) : s->next + 1;
    return more ? WAL_DAMAGED : WAL_TORN;
}
