#include "util/sqlite.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct db {
    sqlite3 *handle;
    const char *const *sql;
    unsigned n;
    struct db_stmt *stmts[];
};

/* The statement itself is what an opaque pointer of ours points to. */
static sqlite3_stmt *of(struct db_stmt *s)
{
    return (sqlite3_stmt *)s;
}

static enum err_code code_of(int rc)
{
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ERR_BUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
    case SQLITE_ERROR: /* a table or column that is not there */
    case SQLITE_MISMATCH:
        return ERR_PROTO;
    case SQLITE_FULL:
        return ERR_NOSPC;
    case SQLITE_READONLY:
    case SQLITE_PERM:
        return ERR_READ_ONLY;
    case SQLITE_NOMEM:
        return ERR_NOMEM;
    case SQLITE_CONSTRAINT:
        return ERR_EXISTS;
    case SQLITE_CANTOPEN:
        return ERR_NOT_FOUND;
    default:
        return ERR_IO;
    }
}

static enum err_code failed(struct db *d, int rc, struct err *e)
{
    return err_set(e, code_of(rc), "database: %s", d->handle ? sqlite3_errmsg(d->handle) : sqlite3_errstr(rc));
}

enum err_code db_open(const char *path, bool create, unsigned busy_ms, const char *const *sql, unsigned n_sql,
                      struct db **out, struct err *e)
{
    CLEANUP(db_close) struct db *d = calloc(1, sizeof(*d) + n_sql * sizeof(struct db_stmt *));
    if (!d)
        return err_set(e, ERR_NOMEM, "no memory for a database");
    d->sql = sql;
    d->n = n_sql;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE |
                (create ? SQLITE_OPEN_CREATE : 0);
    int rc = sqlite3_open_v2(path, &d->handle, flags, NULL);
    if (rc != SQLITE_OK)
        return failed(d, rc, e);
    sqlite3_busy_timeout(d->handle, (int)busy_ms);
    /* What is in the file must not make SQLite do more than read and write it. */
    sqlite3_db_config(d->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(d->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    *out = TAKE(d);
    return ERR_OK;
}

void db_close(struct db *d)
{
    if (!d)
        return;
    for (unsigned i = 0; i < d->n; i++)
        sqlite3_finalize(of(d->stmts[i]));
    sqlite3_close_v2(d->handle);
    free(d);
}

enum err_code db_exec(struct db *d, const char *sql, struct err *e)
{
    int rc = sqlite3_exec(d->handle, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ERR_OK : failed(d, rc, e);
}

enum err_code db_number(struct db *d, const char *sql, int64_t *out, struct err *e)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->handle, sql, -1, &s, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    enum err_code code = rc == SQLITE_ROW    ? ERR_OK
                         : rc == SQLITE_DONE ? err_set(e, ERR_NO_ATTR, "database: no row")
                                             : failed(d, rc, e);
    if (!code)
        *out = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    return code;
}

struct db_stmt *db_use(struct db *d, unsigned i)
{
    if (d->stmts[i]) {
        sqlite3_reset(of(d->stmts[i]));
        sqlite3_clear_bindings(of(d->stmts[i]));
        return d->stmts[i];
    }
    sqlite3_stmt *s = NULL;
    if (sqlite3_prepare_v3(d->handle, d->sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s, NULL) != SQLITE_OK)
        return NULL;
    return d->stmts[i] = (struct db_stmt *)s;
}

void db_bind_int(struct db_stmt *s, int i, int64_t v)
{
    if (s)
        sqlite3_bind_int64(of(s), i, v);
}

void db_bind_text(struct db_stmt *s, int i, const char *v)
{
    if (s && v)
        sqlite3_bind_text(of(s), i, v, -1, SQLITE_STATIC);
}

void db_bind_blob(struct db_stmt *s, int i, const void *p, size_t len)
{
    if (s && p)
        sqlite3_bind_blob64(of(s), i, p, len, SQLITE_STATIC);
}

enum err_code db_step(struct db *d, struct db_stmt *s, bool *row, struct err *e)
{
    if (!s)
        return failed(d, sqlite3_extended_errcode(d->handle), e);
    int rc = sqlite3_step(of(s));
    if (rc == SQLITE_ROW && row) {
        *row = true;
        return ERR_OK;
    }
    enum err_code code = rc == SQLITE_DONE || rc == SQLITE_ROW ? ERR_OK : failed(d, rc, e);
    sqlite3_reset(of(s));
    if (!code && row)
        *row = false;
    return code;
}

void db_reset(struct db_stmt *s)
{
    if (s)
        sqlite3_reset(of(s));
}

int64_t db_int(struct db_stmt *s, int i)
{
    return sqlite3_column_int64(of(s), i);
}

const char *db_text(struct db_stmt *s, int i)
{
    return (const char *)sqlite3_column_text(of(s), i);
}

const void *db_blob(struct db_stmt *s, int i, size_t *len)
{
    const void *p = sqlite3_column_blob(of(s), i);
    *len = p ? (size_t)sqlite3_column_bytes(of(s), i) : 0;
    return p;
}

int64_t db_last_id(struct db *d)
{
    return sqlite3_last_insert_rowid(d->handle);
}

unsigned db_changes(struct db *d)
{
    return (unsigned)sqlite3_changes(d->handle);
}
