/*
 * SQLite: the only user of its interface. A database has prepared statements, made at their first use from a table of SQL
 * text; it belongs to one thread at a time.
 *
 * Errors: ERR_BUSY (somebody holds the lock longer than the time-out), ERR_PROTO (garbage: not a database, malformed),
 * ERR_NOSPC, ERR_READ_ONLY, ERR_NOMEM, ERR_EXISTS (a constraint), ERR_NOT_FOUND (cannot be opened), ERR_IO.
 */
#ifndef UTIL_SQLITE_H
#define UTIL_SQLITE_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct db;
struct db_stmt;

/* Opens (and, with `create`, makes) the file, which must not be a symbolic link. `sql` is an array of `n_sql` statements that
 * must outlive it. A lock that others hold is waited for up to `busy_ms`. Blocks on the disk. */
enum err_code db_open(const char *path, bool create, unsigned busy_ms, const char *const *sql, unsigned n_sql,
                      struct db **out, struct err *e) MUST_CHECK;
void db_close(struct db *d);
CLEANUP_DEFINE(struct db, db_close)

/* Statements separated by ';', without results. */
enum err_code db_exec(struct db *d, const char *sql, struct err *e) MUST_CHECK;

/* The first column of the first row of a query, as a number. ERR_NO_ATTR: no row. */
enum err_code db_number(struct db *d, const char *sql, int64_t *out, struct err *e) MUST_CHECK;

/* Statement `i` of the table, reset, nothing bound. NULL: it cannot be prepared, which db_step() of NULL reports. */
struct db_stmt *db_use(struct db *d, unsigned i);

/* Parameters count from 1. Bytes are borrowed until the statement is reset. All take NULL. */
void db_bind_int(struct db_stmt *s, int i, int64_t v);
void db_bind_text(struct db_stmt *s, int i, const char *v); /* NULL: SQL's NULL */
void db_bind_blob(struct db_stmt *s, int i, const void *p, size_t len); /* p NULL: SQL's NULL */

/* One step: `*row` says whether there is a row to look at. At the end and on errors the statement is reset. `row` may be NULL
 * for statements without results. */
enum err_code db_step(struct db *d, struct db_stmt *s, bool *row, struct err *e) MUST_CHECK;
void db_reset(struct db_stmt *s);

/* Of the current row, columns from 0. Borrowed until the next step. NULL for SQL's NULL and an empty blob. */
int64_t db_int(struct db_stmt *s, int i);
const char *db_text(struct db_stmt *s, int i);
const void *db_blob(struct db_stmt *s, int i, size_t *len);

int64_t db_last_id(struct db *d);
unsigned db_changes(struct db *d); /* rows that the last statement changed */

#endif
