/*
 * A version whose bytes are not held under its name, and what is told of them: which content held under other names
 * they are. Only what the server itself computed decides: a SHA-512, or another sum that the held bytes (read as a
 * reader would, checked) have too (proof.c).
 */
#include "cache/proof.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CANDIDATES 2 /* whose bytes are read for one claim */

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
    *k = (struct candidate){
        .content = db_int(s, 0), .key = text_of(s, 2), .etag = text_of(s, 3), .origin = text_of(s, 4)};
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

struct by_size {
    uint64_t size;
    const char *etag; /* that it has too; "": whose MD5 is not known; NULL: any */
};

static void bind_size(struct db_stmt *s, const void *arg)
{
    const struct by_size *b = arg;
    db_bind_int(s, 1, (int64_t)b->size);
    db_bind_text(s, 2, b->etag);
}

/* ---- What was told, and held bytes */

struct md5_job {
    struct job job;
    int64_t content;
    uint8_t md5[CACHE_MD5];
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
    memcpy(m->md5, md5, CACHE_MD5);
    (void)job_post(c, &m->job);
}

/* Whether the candidate's bytes, as a reader would read them, have what was told of the version's. */
static bool agrees(struct cache_entry *n, const struct cache_claim *claim, const struct proof *p,
                   const struct candidate *k)
{
    uint8_t sum[DIGEST_MAX];
    struct cache_version v = {.origin = k->origin, .key = k->key, .etag = k->etag, .size = n->size};
    CLEANUP(cache_entry_unref) struct cache_entry *from = cache_entry_get(n->cache, &v);
    if (!from || from == n || cache_held(from, 0, n->size) < n->size)
        return false;
    enum proof_result result = proof_try(p, from, claim, sum);
    if (result != PROOF_NONE && p->kind == CACHE_SUM_MD5 && !p->by_parts)
        post_md5(n->cache, k->content, sum);
    return result == PROOF_SAME;
}

/* ---- Claims */

static bool found_among(struct cache_entry *n, const struct cache_claim *claim, const struct proof *p,
                        struct candidate *k, unsigned count)
{
    bool found = false;
    for (unsigned i = 0; i < count; i++) {
        if (!found && agrees(n, claim, p, &k[i])) {
            cache_entry_hint(n, k[i].hash);
            found = true;
        }
        candidate_release(&k[i]);
    }
    return found && cache_held(n, 0, 1) > 0;
}

/* What is held under the SHA-512 that somebody said. */
static bool claim_said(struct cache_entry *n, const struct cache_claim *claim, const struct proof *p)
{
    struct candidate k[CANDIDATES];
    unsigned count = ask(n->cache, SQL_BY_HASH, bind_hash, &(struct by_hash){claim->said_sha512, n->size}, k);
    return found_among(n, claim, p, k, count);
}

/* What has the same size, and an MD5 or SHA of all of it as told; or the same ETag of parts. */
static bool claim_sized(struct cache_entry *n, const struct cache_claim *claim, const struct proof *p)
{
    struct candidate k[CANDIDATES];
    const char *etag = p->kind != CACHE_SUM_MD5 ? NULL : p->by_parts ? n->etag : "";
    return found_among(n, claim, p, k, ask(n->cache, SQL_BY_SIZE, bind_size, &(struct by_size){n->size, etag}, k));
}

/* A CRC says that bytes are what they were, not which of all bytes they are. */
static bool tells_apart(const struct proof *p)
{
    return (p->kind == CACHE_SUM_SHA1 || p->kind == CACHE_SUM_SHA256) && !p->by_parts;
}

bool cache_entry_claim(struct cache_entry *n, const struct cache_claim *claim)
{
    struct proof by_sum, by_etag;
    if (!n || cache_held(n, 0, 1) > 0)
        return n != NULL;
    if (claim->sha512) {
        cache_entry_hint(n, claim->sha512);
        return cache_held(n, 0, 1) > 0;
    }
    bool sum = proof_of_sum(claim->sum, n->size, &by_sum), etag = proof_of_etag(n->etag, n->size, &by_etag);
    if (claim->said_sha512 && (sum || etag) && claim_said(n, claim, sum ? &by_sum : &by_etag))
        return true;
    if (claim->guess && sum && tells_apart(&by_sum) && claim_sized(n, claim, &by_sum))
        return true;
    return etag && (by_etag.by_parts || claim->guess) && claim_sized(n, claim, &by_etag);
}

static void bind_plain_size(struct db_stmt *s, const void *arg)
{
    db_bind_int(s, 1, (int64_t)*(const uint64_t *)arg);
}

bool cache_has_size(struct cache *c, uint64_t size)
{
    return index_has(c, SQL_HAS_SIZE, bind_plain_size, &size);
}
