/*
 * A version whose bytes are not held under its name, and what is told of them: which content held under other names they are. Only
 * what the server itself computed decides: a SHA-512, or a CRC or MD5 that the held bytes (read as a reader would, checked) have
 * too. Who uploads by parts has an ETag that is the MD5 of their MD5s; of which size they were follows from their number where it
 * was a whole number of MiB.
 */
#include "cache/cache_internal.h"
#include "util/digest.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES 2 /* whose bytes are read for one claim */
#define MIB        (1ull << 20)
#define MD5_SIZE   16

struct candidate {
    int64_t content;
    uint8_t hash[CACHE_SHA512];
    char *key, *etag, *origin; /* of a version that has it */
};

static void candidate_release(struct candidate *k)
{
    free(k->key);
    free(k->etag);
    free(k->origin);
}

static char *text_of(struct db_stmt *s, int column)
{
    const char *p = db_text(s, column);
    return str_printf("%s", p ? p : "");
}

static bool take_candidate(struct db_stmt *s, struct candidate *k)
{
    size_t len;
    const void *hash = db_blob(s, 1, &len);
    *k = (struct candidate){.content = db_int(s, 0), .key = text_of(s, 2), .etag = text_of(s, 3), .origin = text_of(s, 4)};
    if (len == CACHE_SHA512)
        memcpy(k->hash, hash, CACHE_SHA512);
    return len == CACHE_SHA512 && k->key && k->etag && k->origin;
}

/* Rows of the statement, which `bind` has given its parameters. */
static unsigned ask(struct cache *c, enum sql which, void (*bind)(struct db_stmt *s, const void *arg), const void *arg,
                    struct candidate out[CANDIDATES])
{
    unsigned generation, n = 0;
    struct db *d = reader_take(c, &generation);
    if (!d)
        return 0;
    struct err e = ERR_INIT;
    struct db_stmt *s = db_use(d, which);
    bind(s, arg);
    enum err_code code = ERR_OK;
    for (bool row = true; n < CANDIDATES;) {
        code = db_step(d, s, &row, &e);
        if (code || !row)
            break;
        if (take_candidate(s, &out[n]))
            n++;
        else
            candidate_release(&out[n]);
    }
    db_reset(s);
    reader_give(c, d, generation);
    if (code)
        index_failed(c, code, &e);
    return n;
}

struct by_hash {
    const uint8_t *hash;
    uint64_t size;
};

static void bind_hash(struct db_stmt *s, const void *arg)
{
    const struct by_hash *h = arg;
    db_bind_blob(s, 1, h->hash, CACHE_SHA512);
    db_bind_int(s, 2, (int64_t)h->size);
}

static void bind_size(struct db_stmt *s, const void *arg)
{
    const struct cache_entry *n = arg;
    db_bind_int(s, 1, (int64_t)n->size);
    db_bind_text(s, 2, strchr(n->etag, '-') ? n->etag : "");
}

/* ---- ETags */

#define PART_SIZES 3 /* that are tried */

struct etag {
    uint8_t md5[MD5_SIZE];
    bool by_parts;              /* else it is the MD5 of the whole */
    uint64_t parts[PART_SIZES]; /* bytes that each part but the last may have; 0: no more */
};

/* The sizes that `n` parts of `size` bytes, all but the last one the same, may have had: those that programs use, then any number of
 * MiB. */
static void part_sizes(uint64_t size, uint64_t n, uint64_t out[PART_SIZES])
{
    static const unsigned usual[] = {8, 5, 16, 15, 10, 20, 25, 32, 50, 64, 100, 128, 256, 512};
    unsigned found = 0;
    memset(out, 0, PART_SIZES * sizeof(*out));
    if (n == 1)
        out[0] = size;
    if (n < 2 || n > 10000 || size == 0)
        return;
    uint64_t least = (size - 1) / n + 1, above = (size - 1) / (n - 1) + 1;
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]) && found < PART_SIZES; i++)
        if (usual[i] * MIB >= least && usual[i] * MIB < above)
            out[found++] = usual[i] * MIB;
    for (uint64_t s = (least + MIB - 1) / MIB * MIB; s < above && found < PART_SIZES; s += MIB) {
        bool known = false;
        for (unsigned i = 0; i < found; i++)
            known |= out[i] == s;
        if (!known)
            out[found++] = s;
    }
}

/* False where it cannot be an MD5. */
static bool etag_read(const struct cache_entry *n, struct etag *out)
{
    char hex[2 * MD5_SIZE + 1] = "";
    const char *dash = strchr(n->etag, '-');
    uint64_t parts = 0;
    size_t len = dash ? (size_t)(dash - n->etag) : strlen(n->etag);
    if (len != sizeof(hex) - 1 || (dash && !str_parse_u64(dash + 1, &parts)))
        return false;
    memcpy(hex, n->etag, len);
    out->by_parts = dash != NULL;
    part_sizes(n->size, parts, out->parts);
    return hex_decode(hex, out->md5, sizeof(out->md5)) && (!dash || out->parts[0] > 0);
}

/* ---- The held bytes */

struct pass {
    const struct cache_claim *claim;
    struct digest *whole, *part; /* MD5: of all or of the parts' sums; of the part under way */
    uint64_t part_size, part_left;
    uint64_t crc;
};

static bool part_ends(struct pass *p)
{
    uint8_t sum[DIGEST_MAX];
    bool good = digest_final(p->part, sum, NULL) == ERR_OK && digest_update(p->whole, sum, MD5_SIZE, NULL) == ERR_OK;
    digest_free(p->part);
    p->part = good ? digest_new(DIGEST_MD5, NULL) : NULL;
    p->part_left = p->part_size;
    return p->part != NULL;
}

static bool md5_add(struct pass *p, const char *bytes, size_t len)
{
    if (!p->part_size)
        return digest_update(p->whole, bytes, len, NULL) == ERR_OK;
    while (len > 0) {
        size_t now = len < p->part_left ? len : (size_t)p->part_left;
        if (digest_update(p->part, bytes, now, NULL) != ERR_OK)
            return false;
        bytes += now;
        len -= now;
        p->part_left -= now;
        if (p->part_left == 0 && !part_ends(p))
            return false;
    }
    return true;
}

static bool run(struct cache_entry *from, struct pass *p)
{
    CLEANUP(free) char *buf = malloc(CACHE_CHUNK);
    const struct cache_claim *claim = p->claim;
    for (uint64_t at = 0; at < from->size; at += CACHE_CHUNK) {
        size_t len = from->size - at < CACHE_CHUNK ? (size_t)(from->size - at) : CACHE_CHUNK;
        if (!buf || (claim->stop && claim->stop(claim->arg)) || !cache_read(from, at, buf, len))
            return false;
        if (!p->whole)
            p->crc = crc64nvme(p->crc, buf, len);
        else if (!md5_add(p, buf, len))
            return false;
    }
    return !p->part || p->part_left == p->part_size || part_ends(p);
}

/* The MD5 that an ETag of that kind would be of. */
static bool held_md5(struct cache_entry *from, const struct cache_claim *claim, uint64_t part_bytes, uint8_t out[DIGEST_MAX])
{
    struct pass p = {.claim = claim, .part_size = part_bytes, .part_left = part_bytes, .whole = digest_new(DIGEST_MD5, NULL)};
    p.part = part_bytes ? digest_new(DIGEST_MD5, NULL) : NULL;
    bool good = p.whole && (p.part || !part_bytes) && run(from, &p) && digest_final(p.whole, out, NULL) == ERR_OK;
    digest_free(p.whole);
    digest_free(p.part);
    return good;
}

static bool held_crc(struct cache_entry *from, const struct cache_claim *claim, uint64_t *out)
{
    struct pass p = {.claim = claim};
    bool good = run(from, &p);
    *out = p.crc;
    return good;
}

struct md5_job {
    struct job job;
    int64_t content;
    uint8_t md5[MD5_SIZE];
};

static enum err_code md5_in(struct cache *c, struct job *j, struct err *e)
{
    const struct md5_job *m = (struct md5_job *)j;
    struct db_stmt *s = db_use(c->db, SQL_SET_MD5);
    db_bind_int(s, 1, m->content);
    db_bind_blob(s, 2, m->md5, sizeof(m->md5));
    return db_step(c->db, s, NULL, e);
}

/* It is not computed again for the next version. */
static void post_md5(struct cache *c, int64_t content, const uint8_t *md5)
{
    struct md5_job *m = calloc(1, sizeof(*m));
    if (!m)
        return;
    *m = (struct md5_job){.job = {.in = md5_in}, .content = content};
    memcpy(m->md5, md5, MD5_SIZE);
    (void)job_post(c, &m->job);
}

/* Whether the held bytes have the ETag of `n`. */
static bool has_etag(struct cache_entry *n, struct cache_entry *from, const struct cache_claim *claim, const struct candidate *k)
{
    struct etag etag;
    uint8_t md5[DIGEST_MAX];
    if (!etag_read(n, &etag))
        return false;
    if (!etag.by_parts) {
        if (!held_md5(from, claim, 0, md5))
            return false;
        post_md5(n->cache, k->content, md5);
        return memcmp(md5, etag.md5, MD5_SIZE) == 0;
    }
    for (unsigned i = 0; i < PART_SIZES && etag.parts[i] > 0; i++)
        if (held_md5(from, claim, etag.parts[i], md5) && memcmp(md5, etag.md5, MD5_SIZE) == 0)
            return true;
    return false;
}

/* Whether what the server computed of the version's bytes is so of the candidate's. */
static bool agrees(struct cache_entry *n, const struct cache_claim *claim, const struct candidate *k)
{
    uint64_t crc;
    struct cache_version v = {.origin = k->origin, .key = k->key, .etag = k->etag, .size = n->size};
    CLEANUP(cache_entry_unref) struct cache_entry *from = cache_entry_get(n->cache, &v);
    if (!from || from == n || cache_held(from, 0, n->size) < n->size)
        return false;
    if (claim->crc64nvme)
        return held_crc(from, claim, &crc) && crc == *claim->crc64nvme;
    return has_etag(n, from, claim, k);
}

/* ---- Claims */

static bool found_among(struct cache_entry *n, const struct cache_claim *claim, struct candidate *k, unsigned count)
{
    bool found = false;
    for (unsigned i = 0; i < count; i++) {
        if (!found && agrees(n, claim, &k[i])) {
            cache_entry_hint(n, k[i].hash);
            found = true;
        }
        candidate_release(&k[i]);
    }
    return found && cache_held(n, 0, 1) > 0;
}

bool cache_entry_claim(struct cache_entry *n, const struct cache_claim *claim)
{
    struct candidate k[CANDIDATES];
    if (!n || cache_held(n, 0, 1) > 0)
        return n != NULL;
    if (claim->sha512) {
        cache_entry_hint(n, claim->sha512);
        return cache_held(n, 0, 1) > 0;
    }
    if (claim->said_sha512) {
        unsigned count = ask(n->cache, SQL_BY_HASH, bind_hash, &(struct by_hash){claim->said_sha512, n->size}, k);
        if (found_among(n, claim, k, count))
            return true;
    }
    struct etag etag;
    if (!etag_read(n, &etag) || (!etag.by_parts && !claim->guess))
        return false;
    const struct cache_claim by_etag = {.stop = claim->stop, .arg = claim->arg};
    return found_among(n, &by_etag, k, ask(n->cache, SQL_BY_SIZE, bind_size, n, k));
}

static void bind_plain_size(struct db_stmt *s, const void *arg)
{
    db_bind_int(s, 1, (int64_t)*(const uint64_t *)arg);
}

bool cache_has_size(struct cache *c, uint64_t size)
{
    return index_has(c, SQL_HAS_SIZE, bind_plain_size, &size);
}
