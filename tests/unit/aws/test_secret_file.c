#include "aws/secret_file.h"

#include "support.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int enter(void **state)
{
    sandbox_enter();
    return 0;
}

static int leave(void **state)
{
    sandbox_leave();
    return 0;
}

static const char *path_of(const char *name)
{
    static char path[512];

    snprintf(path, sizeof(path), "%s/%s", sandbox_dir(), name);
    return path;
}

/* Of the names in ~/.aws. */
static unsigned count_files(void)
{
    DIR *d = opendir(path_of(".aws"));
    unsigned n = 0;

    assert_non_null(d);
    for (const struct dirent *entry; (entry = readdir(d));)
        n += *entry->d_name != '.';
    closedir(d);
    return n;
}

static enum err_code write_text(const char *path, const char *text, struct err *e)
{
    BUF_SECRET(b, 100);

    buf_add_str(&b, text);
    return secret_file_write(path, &b, e);
}

static void a_file_is_replaced_whole_and_for_its_owner_only(void **state)
{
    BUF_SECRET(read, SECRET_FILE_MAX);
    struct stat st;

    sandbox_write(".aws/token", "an old text that is longer than the new one");
    assert_int_equal(chmod(path_of(".aws/token"), 0644), 0);
    assert_int_equal(write_text(path_of(".aws/token"), "new", NULL), ERR_OK);
    assert_int_equal(secret_file_read(path_of(".aws/token"), true, &read, NULL), ERR_OK);
    assert_string_equal(buf_str(&read), "new");
    assert_int_equal(stat(path_of(".aws/token"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(count_files(), 1);
}

static void a_file_of_another_user_stays_that_users(void **state)
{
    struct stat st;

    if (geteuid() != 0)
        skip();
    sandbox_write(".aws/token", "old");
    assert_int_equal(chown(path_of(".aws/token"), 1234, 5678), 0);
    assert_int_equal(write_text(path_of(".aws/token"), "new", NULL), ERR_OK);
    assert_int_equal(stat(path_of(".aws/token"), &st), 0);
    assert_int_equal(st.st_uid, 1234);
    assert_int_equal(st.st_gid, 5678);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_file_that_cannot_be_replaced_is_named_and_nothing_is_left(void **state)
{
    struct err e = ERR_INIT;

    sandbox_write(".aws/config", "");
    assert_int_equal(mkdir(path_of(".aws/directory"), 0700), 0);
    assert_int_not_equal(write_text(path_of(".aws/directory"), "MARKER", &e), ERR_OK);
    assert_non_null(strstr(e.msg, "/.aws/directory"));
    assert_null(strstr(e.msg, "MARKER"));
    assert_int_not_equal(write_text(path_of(".aws/none/token"), "MARKER", &e), ERR_OK);
    assert_int_equal(count_files(), 2);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, enter, leave)
    const struct CMUnitTest tests[] = {
        T(a_file_is_replaced_whole_and_for_its_owner_only),
        T(a_file_of_another_user_stays_that_users),
        T(a_file_that_cannot_be_replaced_is_named_and_nothing_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
