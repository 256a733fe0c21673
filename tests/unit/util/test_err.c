#include "awsfs/err.h"
#include "util/cleanup.h"

#include <errno.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_failure_keeps_its_code_and_text(void **state)
{
    struct err e = ERR_INIT;
    assert_int_equal(err_set(&e, ERR_ACCESS, "GetObject %s", "a/b"), ERR_ACCESS);
    assert_int_equal(e.code, ERR_ACCESS);
    assert_string_equal(e.msg, "GetObject a/b");
    assert_int_equal(err_set(NULL, ERR_NET, "%d", 1), ERR_NET);
}

static void a_long_text_ends_in_dots_between_characters(void **state)
{
    struct err e = ERR_INIT;
    char text[1000];
    for (size_t offset = 0; offset < 3; offset++) {
        memset(text, 'x', offset);
        for (size_t i = offset; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        err_set(&e, ERR_IO, "%s", text);
        size_t len = strlen(e.msg);
        assert_in_range(len, ERR_MSG_SIZE - 4, ERR_MSG_SIZE - 1);
        assert_string_equal(e.msg + len - 3, "...");
        assert_int_equal((len - 3 - offset) % 3, 0);
    }
}

static void control_characters_become_question_marks(void **state)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_IO, "%s", "a\r\nb\x1b[31m\x7f");
    assert_string_equal(e.msg, "a??b?[31m?");
}

static void a_prefix_goes_before_what_is_there(void **state)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_TIMEOUT, "no reply");
    assert_int_equal(err_prefix(&e, ERR_IO, "PUT %s", "k"), ERR_TIMEOUT);
    assert_string_equal(e.msg, "PUT k: no reply");
    err_set(&e, ERR_TIMEOUT, "%s: again", e.msg);
    assert_string_equal(e.msg, "PUT k: no reply: again");
    struct err empty = ERR_INIT;
    assert_int_equal(err_prefix(&empty, ERR_IO, "PUT"), ERR_IO);
    assert_string_equal(empty.msg, "PUT");
    assert_int_equal(err_prefix(NULL, ERR_IO, "PUT"), ERR_IO);
}

static void prefixes_without_end_stay_inside_the_storage(void **state)
{
    struct err e = ERR_INIT;
    err_set(&e, ERR_NET, "x");
    for (int i = 0; i < 1000; i++)
        err_prefix(&e, ERR_NET, "a context of some length %d", i);
    assert_in_range(strlen(e.msg), ERR_MSG_SIZE - 8, ERR_MSG_SIZE - 1);
}

static void a_missing_local_file_is_never_an_absent_object(void **state)
{
    struct err e = ERR_INIT;
    assert_int_equal(err_sys(&e, ENOENT, "open %s", "/x"), ERR_IO);
    assert_string_equal(e.msg, "open /x: No such file or directory");
    assert_int_equal(err_sys(&e, ENOSPC, "write"), ERR_NOSPC);
    assert_int_equal(err_sys(&e, 99999, "write"), ERR_IO);
    assert_int_equal(err_sys(NULL, ENOMEM, "write"), ERR_NOMEM);
}

static void every_code_has_a_name_of_its_own(void **state)
{
    for (int a = 0; a < ERR_COUNT; a++) {
        assert_string_not_equal(err_name(a), "UNKNOWN");
        for (int b = 0; b < a; b++)
            assert_string_not_equal(err_name(a), err_name(b));
    }
    assert_string_equal(err_name(ERR_NOT_FOUND), "NOT_FOUND");
    assert_string_equal(err_name(ERR_COUNT), "UNKNOWN");
    assert_string_equal(err_name(-1), "UNKNOWN");
}

static void a_copy_takes_code_and_text(void **state)
{
    struct err from = ERR_INIT, to = ERR_INIT;
    err_set(&from, ERR_BUSY, "busy");
    assert_int_equal(err_copy(&to, &from), ERR_BUSY);
    assert_string_equal(to.msg, "busy");
    assert_int_equal(err_copy(NULL, &from), ERR_BUSY);
    assert_int_equal(err_copy(&to, NULL), ERR_OK);
    assert_int_equal(err_copy(&to, &to), ERR_BUSY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_keeps_its_code_and_text),
        cmocka_unit_test(a_long_text_ends_in_dots_between_characters),
        cmocka_unit_test(control_characters_become_question_marks),
        cmocka_unit_test(a_prefix_goes_before_what_is_there),
        cmocka_unit_test(prefixes_without_end_stay_inside_the_storage),
        cmocka_unit_test(a_missing_local_file_is_never_an_absent_object),
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(a_copy_takes_code_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
