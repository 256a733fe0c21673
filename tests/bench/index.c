/*
 * awsfs-bench-index DIR N ORIGIN: makes a cache's directory whose index knows N small objects of an origin, key "million/fNNNNNN", all
 * of them held: what a mount finds that has served a large bucket for long.
 */
#include "cache/cache_internal.h"
#include "util/digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY 64

enum { ADD_CONTENT, ADD_VERSION, ADD_ORIGIN, N_SQL };

static const char *const sql[N_SQL] = {
    [ADD_CONTENT] = "INSERT INTO content(hash, size, state, disk, tier, used, md5, body) VALUES(?1, ?2, 1, 0, 0, ?3, ?4, ?5)",
    [ADD_VERSION] = "INSERT INTO version(origin, key, etag, size, content, guard) VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
    [ADD_ORIGIN] = "INSERT INTO origin(id, name) VALUES(?1, ?2)",
};

static enum err_code add(struct db *d, int64_t origin, unsigned i, struct err *e)
{
    char body[BODY + 1], key[32], etag[2 * 16 + 1];
    uint8_t hash[DIGEST_MAX], md5[DIGEST_MAX];
    snprintf(body, sizeof(body), "%064u", i);
    snprintf(key, sizeof(key), "million/f%06u", i);
    enum err_code code = digest_once(DIGEST_SHA512, body, BODY, hash, e);
    if (!code)
        code = digest_once(DIGEST_MD5, body, BODY, md5, e);
    if (code)
        return code;
    for (unsigned k = 0; k < 16; k++)
        snprintf(etag + 2 * k, 3, "%02x", md5[k]);
    struct db_stmt *s = db_use(d, ADD_CONTENT);
    db_bind_blob(s, 1, hash, CACHE_SHA512);
    db_bind_int(s, 2, BODY);
    db_bind_int(s, 3, i);
    db_bind_blob(s, 4, md5, 16);
    db_bind_blob(s, 5, body, BODY);
    code = db_step(d, s, NULL, e);
    if (code)
        return code;
    int64_t content = db_last_id(d);
    s = db_use(d, ADD_VERSION);
    index_bind_name(s, origin, key, etag, BODY);
    db_bind_int(s, 5, content);
    db_bind_int(s, 6, index_guard(origin, key, etag, BODY, content));
    return db_step(d, s, NULL, e);
}

static enum err_code add_all(struct db *d, const char *origin, unsigned n, struct err *e)
{
    struct db_stmt *s = db_use(d, ADD_ORIGIN);
    db_bind_int(s, 1, origin_id(origin));
    db_bind_text(s, 2, origin);
    enum err_code code = db_exec(d, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; BEGIN", e);
    if (!code)
        code = db_step(d, s, NULL, e);
    for (unsigned i = 0; !code && i < n; i++)
        code = add(d, origin_id(origin), i, e);
    return code ? code : db_exec(d, "COMMIT; PRAGMA wal_checkpoint(TRUNCATE)", e);
}

static enum err_code make(const char *dir, unsigned n, const char *origin, struct err *e)
{
    char path[4096];
    struct cache *c = NULL;
    struct cache_config config = {.dir = dir, .size = 10ull << 30};
    enum err_code code = cache_open(&config, &c, e);
    if (code)
        return code;
    (void)cache_drain(c, 10000);
    cache_close(c);
    snprintf(path, sizeof(path), "%s/index.db", dir);
    CLEANUP(db_close) struct db *d = NULL;
    code = db_open(path, false, 1000, sql, N_SQL, &d, e);
    return code ? code : add_all(d, origin, n, e);
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    if (argc != 4) {
        fprintf(stderr, "awsfs-bench-index DIR N ORIGIN\n");
        return 2;
    }
    if (make(argv[1], (unsigned)strtoul(argv[2], NULL, 10), argv[3], &e) != ERR_OK) {
        fprintf(stderr, "awsfs-bench-index: %s\n", e.msg);
        return 1;
    }
    return 0;
}
