#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fuse/errno_of.h"

#include <errno.h>

static void only_not_found_is_enoent(void **state)
{
    for (int code = ERR_OK; code < ERR_COUNT; code++)
        assert_int_equal(errno_of((enum err_code)code) == ENOENT, code == ERR_NOT_FOUND);
}

static void every_code_has_an_errno_and_only_ok_has_none(void **state)
{
    for (int code = ERR_OK; code < ERR_COUNT; code++)
        assert_int_equal(errno_of((enum err_code)code) == 0, code == ERR_OK);
}

static void codes_map_as_the_semantics_say(void **state)
{
    static const struct {
        enum err_code code;
        int errnum;
    } cases[] = {
        {ERR_ACCESS, EACCES},     {ERR_AUTH, EACCES},        {ERR_CONFLICT, ESTALE},   {ERR_NET, EIO},
        {ERR_TIMEOUT, EIO},       {ERR_THROTTLED, EIO},      {ERR_PROTO, EIO},         {ERR_TOO_BIG, EFBIG},
        {ERR_BAD_NAME, EILSEQ},   {ERR_CROSS, EXDEV},        {ERR_CANCELED, EINTR},    {ERR_NO_ATTR, ENODATA},
        {ERR_QUOTA, EDQUOT},      {ERR_KEY_REJECTED, EKEYREJECTED}, {ERR_READ_ONLY, EROFS}, {ERR_UNSUPPORTED, EOPNOTSUPP},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(errno_of(cases[i].code), cases[i].errnum);
}

static void a_code_outside_of_the_list_is_eio(void **state)
{
    assert_int_equal(errno_of(ERR_COUNT), EIO);
    assert_int_equal(errno_of((enum err_code)-1), EIO);
    assert_int_equal(errno_of((enum err_code)1000), EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_not_found_is_enoent),
        cmocka_unit_test(every_code_has_an_errno_and_only_ok_has_none),
        cmocka_unit_test(codes_map_as_the_semantics_say),
        cmocka_unit_test(a_code_outside_of_the_list_is_eio),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
