#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/stage.h"
#include "journal/stage_pool.h"
#include "scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct stage_pool *open_pool(const char *dir)
{
    struct err e = ERR_INIT;
    struct stage_pool *p = stage_pool_new(dir, &e);
    assert_non_null(p);
    return p;
}

static void put(struct stage *s, uint64_t offset, const char *text)
{
    struct err e = ERR_INIT;
    assert_int_equal(stage_write(s, offset, text, strlen(text), &e), ERR_OK);
}

static struct stage *open_in(struct stage_pool *p)
{
    struct err e = ERR_INIT;
    struct stage *s = stage_new_in(p, 0, &e);
    assert_non_null(s);
    return s;
}

static void a_file_of_a_pool_is_used_again_and_has_nothing_of_what_it_was(void **state)
{
    struct scratch d;
    struct stat st;
    char path[256];
    scratch_make(&d);
    struct stage_pool *pool = open_pool(d.path);
    struct stage *s = open_in(pool);
    snprintf(path, sizeof(path), "%s", stage_path(s));
    put(s, 0, "secret bytes");
    stage_free(s);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0);
    s = open_in(pool);
    assert_string_equal(stage_path(s), path);
    put(s, 4, "new");
    char got[16];
    size_t n;
    struct err e = ERR_INIT;
    assert_int_equal(stage_read(s, 0, got, sizeof(got), false, &n, &e), ERR_OK);
    assert_int_equal(n, 7);
    assert_memory_equal(got, "\0\0\0\0new", 7);
    stage_free(s);
    stage_pool_free(pool);
    assert_int_equal(scratch_count(&d, "", path, sizeof(path)), 0);
    scratch_remove(&d);
}

static void a_file_that_others_have_is_not_used_again(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    char path[256], got[16];
    scratch_make(&d);
    struct stage_pool *pool = open_pool(d.path);
    int dir = open(d.path, O_RDONLY | O_DIRECTORY);
    for (int lent = 0; lent < 2; lent++) {
        struct stage *s = open_in(pool);
        put(s, 0, "theirs");
        snprintf(path, sizeof(path), "%s", stage_path(s));
        assert_int_equal(stage_freeze(s, &e), ERR_OK);
        assert_int_equal(lent ? stage_lend(s, dir, "lent", &e) : ERR_OK, ERR_OK);
        int fd = lent ? openat(dir, "lent", O_RDONLY) : stage_reopen(s);
        assert_true(fd >= 0);
        stage_free(s);
        s = open_in(pool);
        put(s, 0, "mine!!");
        assert_true(lent || strcmp(stage_path(s), path) != 0); /* what is lent may be a clone */
        assert_int_equal(pread(fd, got, sizeof(got), 0), 6);
        assert_memory_equal(got, "theirs", 6);
        close(fd);
        stage_free(s);
    }
    assert_int_equal(unlinkat(dir, "lent", 0), 0);
    close(dir);
    stage_pool_free(pool);
    scratch_remove(&d);
}

static void a_file_whose_name_was_taken_away_is_not_used_again(void **state)
{
    struct scratch d;
    char path[256];
    scratch_make(&d);
    struct stage_pool *pool = open_pool(d.path);
    for (int replaced = 0; replaced < 2; replaced++) {
        struct stage *s = open_in(pool);
        snprintf(path, sizeof(path), "%s", stage_path(s));
        stage_free(s);
        assert_int_equal(unlink(path), 0);
        if (replaced)
            close(open(path, O_CREAT | O_WRONLY, 0600));
        s = open_in(pool);
        assert_string_not_equal(stage_path(s), path);
        assert_int_equal(access(stage_path(s), F_OK), 0);
        stage_free(s);
    }
    assert_int_equal(unlink(path), 0);
    stage_pool_free(pool);
    scratch_remove(&d);
}

static void a_pool_keeps_few_files(void **state)
{
    struct scratch d;
    char path[256];
    struct stage *all[40];
    scratch_make(&d);
    struct stage_pool *pool = open_pool(d.path);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        all[i] = open_in(pool);
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        stage_free(all[i]);
    assert_int_equal(scratch_count(&d, "", path, sizeof(path)), 16);
    stage_pool_free(pool);
    scratch_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_a_pool_is_used_again_and_has_nothing_of_what_it_was),
        cmocka_unit_test(a_file_that_others_have_is_not_used_again),
        cmocka_unit_test(a_file_whose_name_was_taken_away_is_not_used_again),
        cmocka_unit_test(a_pool_keeps_few_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
