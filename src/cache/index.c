/*
 * The database's connections, and what becomes of a database that is garbage: it is moved aside under a lock that all
 * processes take, and a new one is made. Other processes notice by the file's inode, and open the new one.
 */
#include "cache/cache_internal.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define WRITER_BUSY_MS 500
#define READER_BUSY_MS 250
#define READER_WAIT_MS 500
#define OPEN_TRIES     50
#define OPEN_TRY_MS    10

/* ---- Small parts that the others share */

void index_bind_name(struct db_stmt *s, int64_t origin, const char *key, const char *etag, uint64_t size)
{
    db_bind_int(s, 1, origin);
    db_bind_text(s, 2, key);
    db_bind_text(s, 3, etag);
    db_bind_int(s, 4, (int64_t)size);
}

int64_t index_guard(int64_t origin, const char *key, const char *etag, uint64_t size, int64_t content)
{
    uint64_t numbers[3] = {(uint64_t)origin, size, (uint64_t)content};
    uint32_t crc = crc32c(0, numbers, sizeof(numbers));
    crc = crc32c(crc, key, strlen(key) + 1);
    return crc32c(crc, etag, strlen(etag));
}

static enum err_code put_version(struct cache *c, int64_t origin, const char *key, const char *etag, uint64_t size,
                                 int64_t content, struct err *e)
{
    struct db_stmt *s = db_use(c->db, SQL_PUT_VERSION);
    index_bind_name(s, origin, key, etag, size);
    db_bind_int(s, 5, content);
    db_bind_int(s, 6, index_guard(origin, key, etag, size, content));
    return db_step(c->db, s, NULL, e);
}

/* The number in the first column of the statement's row, if there is one; 0. */
static enum err_code first_number(struct cache *c, struct db_stmt *s, int64_t *out, struct err *e)
{
    bool row = false;
    enum err_code code = db_step(c->db, s, &row, e);
    *out = !code && row ? db_int(s, 0) : 0;
    db_reset(s);
    return code;
}

/* What has no name any more would only be found by who runs out of room. */
static enum err_code drop_nameless(struct cache *c, int64_t content, struct err *e)
{
    bool row = false;
    struct db_stmt *s = db_use(c->db, SQL_VERSIONS_OF);
    db_bind_int(s, 1, content);
    enum err_code code = db_step(c->db, s, &row, e);
    db_reset(s);
    if (code || row)
        return code;
    lock_take(&c->lock);
    c->reap_due = true;
    lock_drop(&c->lock);
    return content_gone(c, content, e);
}

enum err_code index_put_version(struct cache *c, const struct cache_entry *n, int64_t content, struct err *e)
{
    int64_t old = 0;
    struct db_stmt *s = db_use(c->db, SQL_PUT_ORIGIN);
    db_bind_int(s, 1, n->origin);
    db_bind_text(s, 2, n->origin_name);
    enum err_code code = db_step(c->db, s, NULL, e);
    s = db_use(c->db, SQL_VERSION_CONTENT);
    index_bind_name(s, n->origin, n->key, n->etag, n->size);
    if (!code)
        code = first_number(c, s, &old, e);
    if (!code)
        code = put_version(c, n->origin, n->key, n->etag, n->size, content, e);
    return code || old == 0 || old == content ? code : drop_nameless(c, old, e);
}

enum err_code index_repoint(struct cache *c, int64_t from, int64_t to, struct err *e)
{
    enum err_code pin = index_do(c, SQL_KEEP_PIN, from, to, e);
    if (pin)
        return pin;
    while (from != to) {
        bool row = false;
        struct db_stmt *s = db_use(c->db, SQL_VERSIONS_OF);
        db_bind_int(s, 1, from);
        enum err_code code = db_step(c->db, s, &row, e);
        if (code || !row)
            return code;
        CLEANUP(free) char *key = str_printf("%s", db_text(s, 1) ? db_text(s, 1) : "");
        CLEANUP(free) char *etag = str_printf("%s", db_text(s, 2) ? db_text(s, 2) : "");
        int64_t origin = db_int(s, 0), size = db_int(s, 3);
        db_reset(s);
        if (!key || !etag)
            return err_set(e, ERR_NOMEM, "no memory for a key");
        code = put_version(c, origin, key, etag, (uint64_t)size, to, e);
        if (code)
            return code;
    }
    return ERR_OK;
}

enum err_code index_do(struct cache *c, enum sql which, int64_t a, int64_t b, struct err *e)
{
    struct db_stmt *s = db_use(c->db, which);
    db_bind_int(s, 1, a);
    db_bind_int(s, 2, b);
    return db_step(c->db, s, NULL, e);
}

enum err_code index_begin(struct cache *c, struct err *e)
{
    if (!c->db)
        return err_set(e, ERR_IO, "the cache's database is not open");
    return db_step(c->db, db_use(c->db, SQL_BEGIN), NULL, e);
}

enum err_code index_end(struct cache *c, enum err_code code, struct err *e)
{
    if (!code)
        code = db_step(c->db, db_use(c->db, SQL_COMMIT), NULL, e);
    struct err ignored;
    if (code && db_step(c->db, db_use(c->db, SQL_ROLLBACK), NULL, &ignored) != ERR_OK)
        return code; /* SQLite has rolled back by itself */
    return code;
}

/* ---- Opening */

static enum err_code make_schema(struct db *d, struct err *e)
{
    char epoch[17], sql[160];
    uint8_t random[8];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), epoch);
    snprintf(sql, sizeof(sql), "INSERT INTO state VALUES('%s', 0); PRAGMA application_id=%d; PRAGMA user_version=%d", epoch,
             INDEX_APPLICATION, INDEX_VERSION);
    enum err_code code = db_exec(d, "PRAGMA auto_vacuum=2; PRAGMA journal_mode=WAL; BEGIN IMMEDIATE", e);
    int64_t tables = 0;
    if (!code)
        code = db_number(d, "SELECT count(*) FROM sqlite_schema", &tables, e);
    if (!code && tables == 0) {
        code = db_exec(d, index_schema, e);
        if (!code)
            code = db_exec(d, sql, e);
    }
    return code ? code : db_exec(d, "COMMIT", e);
}

/* Brings a database of an earlier version to this one: all of it or, where the process is killed, nothing. */
static enum err_code migrate(struct db *d, int64_t *version, struct err *e)
{
    enum err_code code = db_exec(d, "BEGIN IMMEDIATE", e);
    if (!code)
        code = db_number(d, "PRAGMA user_version", version, e); /* another process may have done it */
    while (!code && *version > 0 && *version < INDEX_VERSION && index_steps[*version]) {
        char sql[64];
        snprintf(sql, sizeof(sql), "PRAGMA user_version=%d", (int)*version + 1);
        code = db_exec(d, index_steps[*version], e);
        if (!code)
            code = db_exec(d, sql, e);
        *version += !code;
    }
    struct err ignored;
    if (code && db_exec(d, "ROLLBACK", &ignored) != ERR_OK)
        return code;
    return code ? code : db_exec(d, "COMMIT", e);
}

static enum err_code check_kind(struct db *d, struct err *e)
{
    int64_t application = 0, version = 0;
    enum err_code code = db_number(d, "PRAGMA application_id", &application, e);
    if (!code)
        code = db_number(d, "PRAGMA user_version", &version, e);
    if (!code && application == INDEX_APPLICATION && version > 0 && version < INDEX_VERSION)
        code = migrate(d, &version, e);
    if (!code && (application != INDEX_APPLICATION || version != INDEX_VERSION))
        code = err_set(e, ERR_PROTO, "%s", application != INDEX_APPLICATION ? "another program made it"
                                           : version > INDEX_VERSION         ? "a newer awsfs made it"
                                                                             : "its version is not known");
    return code;
}

static enum err_code read_state(struct cache *c, struct db *d, struct err *e)
{
    struct db_stmt *s = db_use(d, SQL_STATE);
    bool row = false;
    enum err_code code = db_step(d, s, &row, e);
    if (code)
        return code;
    const char *epoch = row ? db_text(s, 0) : NULL;
    if (!epoch || strlen(epoch) != sizeof(c->epoch) - 1)
        code = err_set(e, ERR_PROTO, "it is not complete");
    if (!code) {
        LOCK_SCOPE(&c->index_lock);
        memcpy(c->epoch, epoch, sizeof(c->epoch));
        c->swept = db_int(s, 1) != 0;
    }
    db_reset(s);
    return code;
}

static enum err_code open_one(struct cache *c, struct db **out, struct err *e)
{
    CLEANUP(db_close) struct db *d = NULL;
    CLEANUP(free) char *path = str_printf("%s/index.db", c->dir);
    if (!path)
        return err_set(e, ERR_NOMEM, "no memory for a path");
    int64_t tables = 0;
    enum err_code code = db_open(path, true, WRITER_BUSY_MS, index_sql, SQL_COUNT, &d, e);
    if (!code)
        code = db_number(d, "SELECT count(*) FROM sqlite_schema", &tables, e);
    if (!code && tables == 0)
        code = make_schema(d, e);
    if (!code)
        code = check_kind(d, e);
    if (!code)
        code = db_exec(d, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-2000;"
                          "PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=4194304", e);
    if (!code)
        code = read_state(c, d, e);
    if (!code)
        *out = TAKE(d);
    return code;
}

static bool db_file(const struct cache *c, struct stamp *out)
{
    struct stat st;
    memset(out, 0, sizeof(*out));
    if (fstatat(c->dirfd, "index.db", &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    out->dev = st.st_dev;
    out->ino = st.st_ino;
    return true;
}

bool index_is_ours(struct cache *c)
{
    struct stamp now;
    return db_file(c, &now) && now.dev == c->db_file.dev && now.ino == c->db_file.ino;
}

/* One is kept, for who wants to look at it. */
static void move_aside(struct cache *c, const struct err *why)
{
    LOG_WARN("cache", "the index %s/index.db cannot be used (%s): moved to index.db.bad, a new one is made", c->dir, why->msg);
    unlinkat(c->dirfd, "index.db-wal", 0);
    unlinkat(c->dirfd, "index.db-shm", 0);
    if (renameat(c->dirfd, "index.db", c->dirfd, "index.db.bad") != 0)
        unlinkat(c->dirfd, "index.db", 0);
    cache_count(c, &c->stats.rebuilt, 1);
}

enum err_code index_open(struct cache *c, struct err *e)
{
    CLEANUP(close) int fd = openat(c->dirfd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "%s/lock", c->dir);
    for (unsigned tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++) {
        if (tries == OPEN_TRIES)
            return err_set(e, ERR_BUSY, "another process holds %s/lock", c->dir);
        usleep(OPEN_TRY_MS * 1000);
    }
    struct db *d = NULL;
    bool made_anew = c->index_bad && (!c->db_file.ino || index_is_ours(c));
    struct err why = ERR_INIT;
    if (made_anew)
        move_aside(c, &(struct err){ERR_PROTO, "it is damaged"});
    enum err_code code = open_one(c, &d, &why);
    if (code == ERR_PROTO || code == ERR_NOT_FOUND) { /* a link, or a directory, in its place */
        move_aside(c, &why);
        code = open_one(c, &d, &why);
    }
    if (code)
        return err_copy(e, &why);
    (void)db_file(c, &c->db_file);
    c->db = d;
    bool empty = sweep_needless(c) && db_step(d, db_use(d, SQL_SWEPT), NULL, &why) == ERR_OK;
    bool marked = sweep_mark_is_there(c, fd);
    LOCK_SCOPE(&c->index_lock);
    c->swept |= empty;
    c->marked = marked;
    c->generation++;
    c->index_ok = true;
    c->index_bad = false;
    return ERR_OK;
}

void index_close(struct cache *c)
{
    lock_take(&c->index_lock);
    c->index_ok = false;
    struct db *old[READERS];
    memcpy(old, c->readers, sizeof(old));
    memset(c->readers, 0, sizeof(c->readers));
    for (unsigned i = 0; i < READERS; i++)
        if (old[i])
            c->n_readers--;
    lock_drop(&c->index_lock);
    for (unsigned i = 0; i < READERS; i++)
        db_close(old[i]);
    db_close(TAKE(c->db));
}

void index_failed(struct cache *c, enum err_code code, const struct err *e)
{
    if (code == ERR_PROTO) {
        lock_take(&c->index_lock);
        bool first = !c->index_bad;
        c->index_bad = true;
        lock_drop(&c->index_lock);
        if (first)
            LOG_WARN("cache", "%s/index.db: %s", c->dir, e->msg);
        LOCK_SCOPE(&c->lock);
        c->mend_due = true;
        cond_signal(&c->work);
    } else if (code != ERR_BUSY) {
        cache_trouble(c, e);
    }
}

/* ---- Readers */

/* One that is free, or the right to open one: *open. */
static struct db *reader_wait(struct cache *c, unsigned *generation, bool *open)
{
    uint64_t deadline = clock_mono_ms() + READER_WAIT_MS;
    LOCK_SCOPE(&c->index_lock);
    for (;;) {
        *open = false;
        *generation = c->generation;
        if (!c->index_ok || c->index_bad)
            return NULL;
        for (unsigned i = 0; i < READERS; i++)
            if (c->readers[i])
                return TAKE(c->readers[i]);
        if (c->n_readers < READERS) {
            c->n_readers++;
            *open = true;
            return NULL;
        }
        if (!cond_wait(&c->index_free, &c->index_lock, deadline))
            return NULL;
    }
}

struct db *reader_take(struct cache *c, unsigned *generation)
{
    bool open;
    struct db *d = reader_wait(c, generation, &open);
    if (!open)
        return d;
    CLEANUP(free) char *path = str_printf("%s/index.db", c->dir);
    struct err e = ERR_INIT;
    if (path && db_open(path, false, READER_BUSY_MS, index_sql, SQL_COUNT, &d, &e) == ERR_OK)
        return d;
    reader_give(c, NULL, *generation);
    return NULL;
}

void reader_give(struct cache *c, struct db *d, unsigned generation)
{
    lock_take(&c->index_lock);
    unsigned i = 0;
    while (i < READERS && c->readers[i])
        i++;
    if (d && generation == c->generation && c->index_ok && i < READERS)
        c->readers[i] = TAKE(d);
    else
        c->n_readers--;
    cond_signal(&c->index_free);
    lock_drop(&c->index_lock);
    db_close(d);
}

bool index_has(struct cache *c, enum sql which, void (*bind)(struct db_stmt *s, const void *arg), const void *arg)
{
    unsigned generation;
    struct db *d = c ? reader_take(c, &generation) : NULL;
    if (!d)
        return false;
    struct err e = ERR_INIT;
    bool row = false;
    struct db_stmt *s = db_use(d, which);
    bind(s, arg);
    enum err_code code = db_step(d, s, &row, &e);
    db_reset(s);
    reader_give(c, d, generation);
    if (code)
        index_failed(c, code, &e);
    return !code && row;
}
