/*
 * Whether bytes that are held have a sum that the server computed of a version's bytes. Who uploads by parts may have a
 * sum of the parts' sums: an ETag that is the MD5 of their MD5s, or a checksum of the type COMPOSITE. Of which size the
 * parts were follows from their number where it was a whole number of MiB.
 */
#include "cache/proof.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define MIB       (1ull << 20)
#define PARTS_MAX 10000

/* ---- What was told */

/* The sizes that `n` parts of `size` bytes, all but the last one the same, may have had: those that programs use, then
 * any number of MiB. */
static void part_sizes(uint64_t size, uint64_t n, uint64_t out[PROOF_PART_SIZES])
{
    static const unsigned usual[] = {8, 5, 16, 15, 10, 20, 25, 32, 50, 64, 100, 128, 256, 512};
    unsigned found = 0;
    memset(out, 0, PROOF_PART_SIZES * sizeof(*out));
    if (n == 1)
        out[0] = size;
    if (n < 2 || n > PARTS_MAX || size == 0)
        return;
    uint64_t least = (size - 1) / n + 1, above = (size - 1) / (n - 1) + 1;
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]) && found < PROOF_PART_SIZES; i++)
        if (usual[i] * MIB >= least && usual[i] * MIB < above)
            out[found++] = usual[i] * MIB;
    for (uint64_t s = (least + MIB - 1) / MIB * MIB; s < above && found < PROOF_PART_SIZES; s += MIB) {
        bool known = false;
        for (unsigned i = 0; i < found; i++)
            known |= out[i] == s;
        if (!known)
            out[found++] = s;
    }
}

bool proof_of_etag(const char *etag, uint64_t size, struct proof *out)
{
    char hex[2 * CACHE_MD5 + 1] = "";
    const char *dash = strchr(etag, '-');
    uint64_t parts = 0;
    size_t len = dash ? (size_t)(dash - etag) : strlen(etag);
    if (len != sizeof(hex) - 1 || (dash && !str_parse_u64(dash + 1, &parts)))
        return false;
    memcpy(hex, etag, len);
    *out = (struct proof){.kind = CACHE_SUM_MD5, .by_parts = dash != NULL};
    part_sizes(size, parts, out->parts);
    return hex_decode(hex, out->value, CACHE_MD5) && (!dash || out->parts[0] > 0);
}

bool proof_of_sum(const struct cache_sum *sum, uint64_t size, struct proof *out)
{
    if (!sum)
        return false;
    *out = (struct proof){.kind = sum->kind, .by_parts = sum->parts > 0};
    memcpy(out->value, sum->value, sizeof(out->value));
    part_sizes(size, sum->parts, out->parts);
    return !out->by_parts || out->parts[0] > 0;
}

/* ---- A sum under way */

static const struct {
    size_t bytes;
    bool digest;
    enum digest_alg alg;
} kinds[] = {
    [CACHE_SUM_CRC32] = {.bytes = 4},
    [CACHE_SUM_CRC32C] = {.bytes = 4},
    [CACHE_SUM_CRC64NVME] = {.bytes = 8},
    [CACHE_SUM_SHA1] = {20, true, DIGEST_SHA1},
    [CACHE_SUM_SHA256] = {32, true, DIGEST_SHA256},
    [CACHE_SUM_MD5] = {CACHE_MD5, true, DIGEST_MD5},
};

size_t cache_sum_size(enum cache_sum_kind kind)
{
    return kinds[kind].bytes;
}

struct sum {
    enum cache_sum_kind kind;
    struct digest *digest;
    uint64_t crc;
};

static bool sum_begin(struct sum *s, enum cache_sum_kind kind)
{
    digest_free(s->digest);
    *s = (struct sum){.kind = kind, .digest = kinds[kind].digest ? digest_new(kinds[kind].alg, NULL) : NULL};
    return s->digest || !kinds[kind].digest;
}

static bool sum_add(struct sum *s, const void *p, size_t len)
{
    if (s->digest)
        return digest_update(s->digest, p, len, NULL) == ERR_OK;
    s->crc = s->kind == CACHE_SUM_CRC64NVME ? crc64nvme(s->crc, p, len)
             : s->kind == CACHE_SUM_CRC32C  ? crc32c((uint32_t)s->crc, p, len)
                                            : crc32_ieee((uint32_t)s->crc, p, len);
    return true;
}

static bool sum_end(struct sum *s, uint8_t out[DIGEST_MAX])
{
    if (s->digest)
        return digest_final(s->digest, out, NULL) == ERR_OK;
    for (size_t i = 0, n = kinds[s->kind].bytes; i < n; i++)
        out[i] = (uint8_t)(s->crc >> (8 * (n - 1 - i)));
    return true;
}

/* ---- The held bytes */

struct pass {
    struct sum all, part; /* of all bytes, or of the parts' sums; of the part under way */
    uint64_t part_size, part_left;
};

static bool part_ends(struct pass *p)
{
    uint8_t sum[DIGEST_MAX];
    p->part_left = p->part_size;
    return sum_end(&p->part, sum) && sum_add(&p->all, sum, kinds[p->all.kind].bytes) &&
           sum_begin(&p->part, p->all.kind);
}

static bool pass_add(struct pass *p, const char *bytes, size_t len)
{
    if (!p->part_size)
        return sum_add(&p->all, bytes, len);
    while (len > 0) {
        size_t now = len < p->part_left ? len : (size_t)p->part_left;
        if (!sum_add(&p->part, bytes, now))
            return false;
        bytes += now;
        len -= now;
        p->part_left -= now;
        if (p->part_left == 0 && !part_ends(p))
            return false;
    }
    return true;
}

static bool run(struct cache_entry *from, const struct cache_claim *claim, struct pass *p)
{
    CLEANUP(free) char *buf = malloc(CACHE_CHUNK);
    for (uint64_t at = 0; at < from->size; at += CACHE_CHUNK) {
        size_t len = from->size - at < CACHE_CHUNK ? (size_t)(from->size - at) : CACHE_CHUNK;
        if (!buf || (claim->stop && claim->stop(claim->arg)) || !cache_read(from, at, buf, len) ||
            !pass_add(p, buf, len))
            return false;
    }
    return !p->part_size || p->part_left == p->part_size || part_ends(p);
}

static bool held_sum(struct cache_entry *from, const struct cache_claim *claim, enum cache_sum_kind kind,
                     uint64_t part_size, uint8_t out[DIGEST_MAX])
{
    struct pass p = {.part_size = part_size, .part_left = part_size};
    bool good = sum_begin(&p.all, kind) && sum_begin(&p.part, kind) && run(from, claim, &p) && sum_end(&p.all, out);
    digest_free(p.all.digest);
    digest_free(p.part.digest);
    return good;
}

enum proof_result proof_try(const struct proof *p, struct cache_entry *from, const struct cache_claim *claim,
                            uint8_t out[DIGEST_MAX])
{
    enum proof_result result = PROOF_NONE;
    for (unsigned i = 0; i < PROOF_PART_SIZES && (p->parts[i] > 0 || (i == 0 && !p->by_parts)); i++) {
        if (!held_sum(from, claim, p->kind, p->parts[i], out))
            return PROOF_NONE;
        if (memcmp(out, p->value, kinds[p->kind].bytes) == 0)
            return PROOF_SAME;
        result = PROOF_OTHER;
    }
    return result;
}
