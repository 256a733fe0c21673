#include "util/buf.h"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void additions_are_joined_and_terminated(void **state)
{
    BUF(b, 100);
    struct err e;
    assert_string_equal(buf_str(&b), "");
    buf_add(&b, "ab", 2);
    buf_add_str(&b, "cd");
    buf_add_char(&b, 'e');
    buf_addf(&b, "-%03d", 7);
    buf_add(&b, NULL, 0);
    assert_int_equal(buf_check(&b, "test", &e), ERR_OK);
    assert_int_equal(b.len, 9);
    assert_string_equal(buf_str(&b), "abcde-007");
}

static void exactly_the_maximum_fits(void **state)
{
    BUF(b, 1000);
    struct err e = ERR_INIT;
    for (int i = 0; i < 1000; i++)
        buf_add_char(&b, 'x');
    assert_int_equal(buf_check(&b, "test", &e), ERR_OK);
    assert_int_equal(b.len, 1000);
    assert_true(b.cap <= 1001);
    buf_add_char(&b, 'y');
    assert_int_equal(buf_check(&b, "a reply", &e), ERR_TOO_BIG);
    assert_non_null(strstr(e.msg, "a reply"));
}

static void after_a_failure_nothing_is_added(void **state)
{
    BUF(b, 4);
    buf_add_str(&b, "abc");
    buf_add_str(&b, "too long");
    buf_add_str(&b, "d");
    assert_true(b.failed);
    assert_string_equal(buf_str(&b), "abc");
    buf_clear(&b);
    assert_false(b.failed);
    buf_addf(&b, "%s", "12345");
    assert_true(b.failed);
    assert_null(buf_take(&b));
    assert_false(b.failed);
}

static void huge_lengths_do_not_overflow(void **state)
{
    BUF(b, SIZE_MAX);
    struct err e = ERR_INIT;
    buf_add(&b, "x", 1);
    assert_false(b.failed);
    buf_add(&b, "x", SIZE_MAX - 1);
    assert_int_equal(buf_check(&b, "b", &e), ERR_TOO_BIG);
    buf_clear(&b);
    buf_add(&b, "x", SIZE_MAX);
    assert_true(b.failed);
}

static void what_is_taken_belongs_to_the_taker(void **state)
{
    BUF(b, 10);
    buf_add_str(&b, "abc");
    CLEANUP(free) char *taken = buf_take(&b);
    assert_string_equal(taken, "abc");
    assert_int_equal(b.len, 0);
    CLEANUP(free) char *empty = buf_take(&b);
    assert_string_equal(empty, "");
    BUF(none, 0);
    CLEANUP(free) char *nothing = buf_take(&none);
    assert_string_equal(nothing, "");
}

static void a_secret_is_wiped_when_cleared(void **state)
{
    BUF_SECRET(b, 1000);
    for (int i = 0; i < 50; i++)
        buf_add_str(&b, "hunter2");
    assert_int_equal(b.len, 350);
    size_t cap = b.cap;
    buf_clear(&b);
    for (size_t i = 0; i < cap; i++)
        assert_int_equal(b.data[i], 0);
    struct buf c;
    buf_init_secret(&c, 10);
    buf_add_str(&c, "x");
    buf_release(&c);
    assert_true(c.secret);
    buf_init(&c, 10);
    assert_false(c.secret);
    buf_release(&c);
}

static void it_is_read_from_any_place(void **state)
{
    BUF(b, 10);
    char out[8] = "";
    assert_int_equal(buf_read(&b, 0, out, 8), 0);
    buf_add_str(&b, "abcdef");
    assert_int_equal(buf_read(&b, 0, out, 4), 4);
    assert_memory_equal(out, "abcd", 4);
    assert_int_equal(buf_read(&b, 4, out, 8), 2);
    assert_memory_equal(out, "efcd", 4);
    assert_int_equal(buf_read(&b, 6, out, 8), 0);
    assert_int_equal(buf_read(&b, UINT64_MAX, out, 8), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(additions_are_joined_and_terminated), cmocka_unit_test(exactly_the_maximum_fits),
        cmocka_unit_test(after_a_failure_nothing_is_added),    cmocka_unit_test(huge_lengths_do_not_overflow),
        cmocka_unit_test(what_is_taken_belongs_to_the_taker),  cmocka_unit_test(a_secret_is_wiped_when_cleared),
        cmocka_unit_test(it_is_read_from_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
