/*
 * The limits, and what is evicted for them. Order is by use, in two tiers, because one large scan must not drive out what is
 * used again and again: what is new is in the first, what was opened again later moves to the second. While the first has more
 * than a quarter of the cache, only it gives way; the second does above three quarters. (Segmented LRU: as good as ARC or
 * S3-FIFO where objects are whole files, and it needs no memory of what is gone, and no write for a read but one a second.)
 */
#include "cache/cache_internal.h"
#include "util/digest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

#define ROUNDS 64
#define YOUNG  64 /* transactions: within so many a new row gets its file */

/* The file of a WHOLE takes its old name again: then the name by the hash is free for another file with these bytes. Where that
 * is rolled back, or the process killed, readers find it there (entry_look.c). Who has it open sees another ctime by it, and checks
 * what he reads: the sums stay as long as the file. */
enum err_code content_gone(struct cache *c, int64_t id, struct err *e)
{
    char part[PATH_LEN], whole[PATH_LEN];
    bool row = false;
    size_t len = 0;
    struct db_stmt *s = db_use(c->db, SQL_CONTENT);
    db_bind_int(s, 1, id);
    enum err_code code = db_step(c->db, s, &row, e);
    const void *hash = !code && row && db_int(s, 1) == CONTENT_WHOLE ? db_blob(s, 3, &len) : NULL;
    if (len == CACHE_SHA512) {
        path_part(c, id, part);
        path_whole(hash, whole);
        (void)renameat(c->dirfd, whole, c->dirfd, part);
    }
    db_reset(s);
    if (!code)
        code = index_do(c, SQL_GONE, id, 0, e);
    return code ? code : index_do(c, SQL_DROP_VERSIONS, id, 0, e);
}

struct space {
    uint64_t disk, tier[2];
    int64_t clock;
};

static enum err_code read_space(struct db *d, struct space *out, struct err *e)
{
    bool row = false;
    struct db_stmt *s = db_use(d, SQL_SPACE);
    enum err_code code = db_step(d, s, &row, e);
    if (!code && !row)
        code = err_set(e, ERR_PROTO, "database: the table space is empty");
    if (!code)
        *out = (struct space){(uint64_t)db_int(s, 0), {(uint64_t)db_int(s, 1), (uint64_t)db_int(s, 2)}, db_int(s, 3)};
    db_reset(s);
    return code;
}

enum err_code space_used(struct cache *c, struct db *d, uint64_t *used, struct err *e)
{
    struct space s;
    enum err_code code = read_space(d, &s, e);
    if (!code)
        *used = s.disk + dir_db_bytes(c) + dir_wal_bytes(c);
    return code;
}

/* How many bytes there are too many. */
static enum err_code excess(struct cache *c, uint64_t bytes, uint64_t *out, struct err *e)
{
    uint64_t used = 0, wal = dir_wal_bytes(c), reserve = wal < WAL_ROOM ? WAL_ROOM - wal : 0;
    enum err_code code = space_used(c, c->db, &used, e);
    if (code)
        return code;
    uint64_t need = used + reserve + bytes, room = dir_free_bytes(c), want = c->config.keep_free + bytes;
    uint64_t over = need > c->config.size ? need - c->config.size : 0, lack = want > room ? want - room : 0;
    *out = bytes == 0 && over == 0 ? 0 : over > lack ? over : lack;
    return ERR_OK;
}

enum err_code space_fits(struct cache *c, uint64_t bytes, bool *fits, struct err *e)
{
    uint64_t over = 0;
    enum err_code code = excess(c, bytes, &over, e);
    if (!code)
        *fits = over == 0;
    return code;
}

/* ---- Removing */

/* False while somebody has the file open. `name`: below dirfd. */
static bool remove_file(struct cache *c, const char *name)
{
    bool missing;
    CLEANUP(close) int fd = file_open_alone(c, name, &missing);
    /* Also what is no file of ours, such as a link that was put in its place. */
    return (fd >= 0 || missing) && (unlinkat(c->dirfd, name, 0) == 0 || errno == ENOENT);
}

#define GONES 256

static enum err_code list_gone(struct cache *c, int64_t out[GONES], unsigned *n, struct err *e)
{
    struct db_stmt *s = db_use(c->db, SQL_GONES);
    for (*n = 0;;) {
        bool row = false;
        enum err_code code = db_step(c->db, s, &row, e);
        if (code || !row || *n == GONES)
            return code;
        out[(*n)++] = db_int(s, 0);
    }
}

static enum err_code reap_one(struct cache *c, int64_t id, unsigned *reaped, struct err *e)
{
    char path[PATH_LEN];
    path_part(c, id, path);
    if (!remove_file(c, path))
        return ERR_OK;
    *reaped += 1;
    enum err_code code = index_do(c, SQL_DROP_GROUPS, id, 0, e);
    return code ? code : index_do(c, SQL_DROP_CONTENT, id, 0, e);
}

void space_reap(struct cache *c)
{
    struct err e = ERR_INIT;
    int64_t gone[GONES];
    for (bool again = true; again;) {
        unsigned n = 0, reaped = 0;
        enum err_code code = index_begin(c, &e);
        if (code)
            return;
        code = list_gone(c, gone, &n, &e);
        for (unsigned i = 0; !code && i < n; i++)
            code = reap_one(c, gone[i], &reaped, &e);
        code = index_end(c, code, &e);
        if (code)
            index_failed(c, code, &e);
        again = !code && n == GONES && reaped > 0;
    }
}

/* ---- Evicting */

struct victim {
    int64_t id, used;
    enum content_state state;
    uint8_t hash[CACHE_SHA512];
    uint64_t bytes;
};

static enum err_code list_victims(struct cache *c, int tier, const struct victim *after, struct victim *out, unsigned *n,
                                  struct err *e)
{
    struct db_stmt *s = db_use(c->db, SQL_VICTIMS);
    db_bind_int(s, 1, tier);
    db_bind_int(s, 2, after->used);
    db_bind_int(s, 3, after->id);
    for (*n = 0;;) {
        bool row = false;
        size_t len;
        enum err_code code = db_step(c->db, s, &row, e);
        if (code || !row || *n == 64)
            return code;
        struct victim *v = &out[(*n)++];
        *v = (struct victim){.id = db_int(s, 0), .state = (enum content_state)db_int(s, 1), .used = db_int(s, 3),
                             .bytes = (uint64_t)db_int(s, 4)};
        const void *hash = db_blob(s, 2, &len);
        if (len == CACHE_SHA512)
            memcpy(v->hash, hash, len);
    }
}

/* Whether anybody has it open, or is about to make its file: a row comes first. */
static bool in_use(struct cache *c, const struct victim *v, int64_t clock)
{
    char path[PATH_LEN];
    bool missing;
    if (v->state == CONTENT_INLINE)
        return false;
    if (v->state == CONTENT_WHOLE) {
        path_whole(v->hash, path);
        CLEANUP(close) int fd = file_open_alone(c, path, &missing);
        if (!missing)
            return fd < 0;
    }
    path_part(c, v->id, path);
    CLEANUP(close) int fd = file_open_alone(c, path, &missing);
    return missing ? v->state == CONTENT_PART && clock - v->used < YOUNG : fd < 0;
}

static enum err_code evict_one(struct cache *c, const struct victim *v, struct err *e)
{
    if (v->state != CONTENT_INLINE)
        return content_gone(c, v->id, e);
    enum err_code code = index_do(c, SQL_DROP_VERSIONS, v->id, 0, e);
    return code ? code : index_do(c, SQL_DROP_CONTENT, v->id, 0, e);
}

struct eviction {
    uint64_t want, freed, files, small; /* bytes; contents */
    int64_t clock;
};

static enum err_code evict_tier(struct cache *c, int tier, struct eviction *ev, struct err *e)
{
    struct victim list[64], after = {.id = -1, .used = -1};
    for (unsigned round = 0; round < ROUNDS && ev->freed < ev->want; round++) {
        unsigned n = 0;
        enum err_code code = list_victims(c, tier, &after, list, &n, e);
        for (unsigned i = 0; !code && i < n && ev->freed < ev->want; i++) {
            after = list[i];
            if (in_use(c, &list[i], ev->clock))
                continue;
            code = evict_one(c, &list[i], e);
            ev->freed += list[i].bytes;
            *(list[i].state == CONTENT_INLINE ? &ev->small : &ev->files) += 1;
        }
        if (code || n == 0)
            return code;
    }
    return ERR_OK;
}

static enum err_code evict(struct cache *c, struct eviction *ev, struct err *e)
{
    struct space s;
    enum err_code code = read_space(c->db, &s, e);
    if (code)
        return code;
    ev->clock = s.clock;
    bool second_first = s.tier[1] > c->config.size / 4 * 3, second_too = second_first || s.tier[0] < c->config.size / 4;
    if (second_first)
        code = evict_tier(c, 1, ev, e);
    if (!code && ev->freed < ev->want)
        code = evict_tier(c, 0, ev, e);
    if (!code && ev->freed < ev->want && second_too && !second_first)
        code = evict_tier(c, 1, ev, e);
    return code;
}

/* What inline contents leave behind in the database goes back to the file system. */
static void shrink(struct cache *c)
{
    struct err e = ERR_INIT;
    if (db_exec(c->db, "PRAGMA incremental_vacuum", &e) != ERR_OK ||
        db_exec(c->db, "PRAGMA wal_checkpoint(TRUNCATE)", &e) != ERR_OK)
        LOG_DEBUG("cache", "%s: %s", c->dir, e.msg);
}

bool space_make(struct cache *c, uint64_t bytes)
{
    struct err e = ERR_INIT;
    enum err_code code = ERR_OK;
    for (unsigned round = 0; c->db && round < 8; round++) {
        struct eviction ev = {0};
        uint64_t over = 0;
        code = excess(c, bytes, &over, &e);
        if (code || over == 0)
            break;
        (void)unlinkat(c->dirfd, "index.db.bad", 0);
        ev.want = over + c->config.size / 64;
        code = index_begin(c, &e);
        if (!code)
            code = index_end(c, evict(c, &ev, &e), &e);
        if (code || ev.freed == 0)
            break;
        space_reap(c);
        if (ev.small > 0)
            shrink(c);
        cache_count(c, &c->stats.evicted, ev.files + ev.small);
        cache_count(c, &c->stats.evicted_bytes, ev.freed);
    }
    bool fits = false;
    if (!code && c->db)
        code = space_fits(c, bytes, &fits, &e);
    if (code)
        index_failed(c, code, &e);
    return !code && fits;
}
