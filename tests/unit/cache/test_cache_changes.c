/* What it costs to note a change, in system calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/changes.h"
#include "fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static unsigned calls;

ssize_t __real_pwrite64(int fd, const void *p, size_t len, off_t offset);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t len, off_t offset);
int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);

ssize_t __wrap_pwrite64(int fd, const void *p, size_t len, off_t offset)
{
    calls++;
    return __real_pwrite64(fd, p, len, offset);
}

int __wrap_fstat64(int fd, struct stat *st)
{
    calls++;
    return __real_fstat64(fd, st);
}

static unsigned calls_of_a_change(struct changes *t, const char *key)
{
    calls = 0;
    assert_true(changes_begin(t, 1, key));
    assert_true(changes_end(t, 1, key));
    return calls;
}

static void a_change_is_a_write_for_each_directory_above_and_one_look_at_the_file(void **state)
{
    static const uint8_t boot[16] = "a boot";
    static const struct {
        const char *key;
        unsigned dirs;
    } rows[] = {{"f", 1}, {"a/f", 2}, {"a/", 2}, {"a/b/c/d/e/f/g/h/i/f", 10}};
    struct changes *t = NULL;
    struct err e = ERR_INIT;
    int dir = open(cache_dir, O_PATH | O_DIRECTORY);
    assert_int_equal(changes_open(dir, boot, &t, &e), ERR_OK);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(calls_of_a_change(t, rows[i].key), 2 * (rows[i].dirs + 1));
    /* Beside another one only its own directory is news. */
    assert_true(changes_begin(t, 1, "a/b/c/other"));
    assert_int_equal(calls_of_a_change(t, "a/b/c/d/f"), 2 * (1 + 1));
    assert_true(changes_end(t, 1, "a/b/c/other"));
    changes_close(t);
    close(dir);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_change_is_a_write_for_each_directory_above_and_one_look_at_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
