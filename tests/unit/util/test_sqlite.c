#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "util/sqlite.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/awsfs-sqlite-XXXXXX";
static char path[64];

static const char *const statements[] = {"INSERT INTO t VALUES(?1, ?2, ?3)", "SELECT n, s, b FROM t ORDER BY n",
                                         "SELECT x FROM nowhere"};

static int setup(void **state)
{
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/db", dir);
    return 0;
}

static int teardown(void **state)
{
    unlink(path);
    return rmdir(dir);
}

static struct db *open_db(void)
{
    struct db *d = NULL;
    assert_int_equal(db_open(path, true, 10, statements, 3, &d, NULL), ERR_OK);
    return d;
}

static void what_is_bound_comes_back(void **state)
{
    CLEANUP(db_close) struct db *d = open_db();
    bool row = false;
    size_t len;
    assert_int_equal(db_exec(d, "CREATE TABLE t(n INTEGER PRIMARY KEY, s TEXT, b BLOB)", NULL), ERR_OK);
    struct db_stmt *s = db_use(d, 0);
    db_bind_int(s, 1, INT64_MIN);
    db_bind_text(s, 2, "caf\xc3\xa9");
    db_bind_blob(s, 3, "\0\1", 2);
    assert_int_equal(db_step(d, s, NULL, NULL), ERR_OK);
    assert_int_equal(db_changes(d), 1);
    s = db_use(d, 0);
    db_bind_int(s, 1, 7);
    assert_int_equal(db_step(d, s, NULL, NULL), ERR_OK);
    assert_int_equal(db_last_id(d), 7);
    s = db_use(d, 1);
    assert_int_equal(db_step(d, s, &row, NULL), ERR_OK);
    assert_true(row && db_int(s, 0) == INT64_MIN);
    assert_string_equal(db_text(s, 1), "caf\xc3\xa9");
    assert_memory_equal(db_blob(s, 2, &len), "\0\1", 2);
    assert_int_equal(len, 2);
    assert_int_equal(db_step(d, s, &row, NULL), ERR_OK);
    assert_true(row && !db_text(s, 1) && !db_blob(s, 2, &len) && len == 0);
    assert_int_equal(db_step(d, s, &row, NULL), ERR_OK);
    assert_false(row);
}

static void failures_have_codes(void **state)
{
    struct err e = ERR_INIT;
    struct db *none = NULL;
    int64_t n;
    {
        CLEANUP(db_close) struct db *d = open_db();
        CLEANUP(db_close) struct db *other = open_db();
        struct db_stmt *s = db_use(d, 0);
        db_bind_int(s, 1, 7);
        assert_int_equal(db_step(d, s, NULL, &e), ERR_EXISTS);
        assert_int_equal(db_step(d, db_use(d, 2), NULL, &e), ERR_PROTO);
        assert_non_null(strstr(e.msg, "nowhere"));
        assert_int_equal(db_number(d, "SELECT n FROM t WHERE n = 8", &n, &e), ERR_NO_ATTR);
        assert_int_equal(db_exec(d, "BEGIN IMMEDIATE", &e), ERR_OK);
        assert_int_equal(db_exec(other, "BEGIN IMMEDIATE", &e), ERR_BUSY);
    }
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "garbage that is no database, whatever it is", 40), 40);
    close(fd);
    CLEANUP(db_close) struct db *d = open_db();
    assert_int_equal(db_number(d, "SELECT count(*) FROM t", &n, &e), ERR_PROTO);
    assert_int_equal(db_open("/nonexistent/db", true, 0, NULL, 0, &none, &e), ERR_NOT_FOUND);
    assert_int_equal(db_open(dir, false, 0, NULL, 0, &none, &e), ERR_NOT_FOUND);
    assert_null(none);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_bound_comes_back),
        cmocka_unit_test(failures_have_codes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
