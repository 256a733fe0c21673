#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/s3/posix.h"
#include "util/cleanup.h"

#include <stdio.h>

#define NONE 0xffffffffu

static void modes_of_all_tools_are_read(void **state)
{
    static const struct {
        const char *value;
        bool is_dir;
        unsigned want;
    } cases[] = {
        {"33188", false, 0100644},                            /* s3fs: a file 0644 */
        {"16877", true, 040755},                              /* s3fs: a directory */
        {"41471", false, 0120777},                            /* s3fs: a symbolic link */
        {"36333", false, 0106755},                            /* s3fs: setuid and setgid */
        {"4516", false, 010644},                              /* s3fs: a fifo */
        {"0100644", false, 0100644},                          /* a leading 0 is octal */
        {"0x81a4", false, 0100644},                           /* hexadecimal */
        {"100664", false, 0100664},                           /* rclone: octal without a leading 0 */
        {"104755", false, 0104755},                           /* rclone: setuid */
        {"120777", false, 0120777},                           /* rclone: a symbolic link */
        {"40755", true, 040755},                              /* rclone: a directory */
        {"40755", false, 040755},    {"41777", true, 041777}, /* rclone: sticky; as decimal it looks like a link */
        {"42755", true, 042755},                              /* rclone: setgid */
        {"41777", false, 041777},                             /* a link is only 41471 */
        {"644", false, 0100644},                              /* no file type: octal */
        {"755", true, 040755},       {"0644", false, 0100644}, {"0", false, 0100000},
        {"33279", false, 0100777},   {"", false, NONE},        {"-1", false, NONE},
        {"33188x", false, NONE},     {" 33188", false, NONE},  {"99999999999999999999", false, NONE},
        {"4294967296", false, NONE}, {"0xfffff", false, NONE}, {"08", false, NONE},
        {"rw-r--r--", false, NONE},  {"170000", false, NONE}, /* S_IFMT itself is no type */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        mode_t mode = NONE;
        bool ok = s3_parse_mode(cases[i].value, cases[i].is_dir, &mode);
        if (ok != (cases[i].want != NONE) || (ok && mode != cases[i].want))
            fail_msg("mode '%s': %o, not %o", cases[i].value, mode, cases[i].want);
    }
}

static void octal_modes_are_read(void **state)
{
    mode_t mode;
    assert_true(s3_parse_mode_octal("0100644", false, &mode) && mode == 0100644);
    assert_true(s3_parse_mode_octal("0040755", true, &mode) && mode == 040755);
    assert_true(s3_parse_mode_octal("0120777", false, &mode) && mode == 0120777);
    assert_true(s3_parse_mode_octal("0644", false, &mode) && mode == 0100644);
    assert_true(s3_parse_mode_octal("0750", true, &mode) && mode == 040750);
    assert_false(s3_parse_mode_octal("0999", false, &mode));
    assert_false(s3_parse_mode_octal("7777777", false, &mode));
    assert_false(s3_parse_mode_octal("", false, &mode));
}

static void ids_are_read(void **state)
{
    uint32_t id;
    assert_true(s3_parse_id("1000", &id) && id == 1000);
    assert_true(s3_parse_id("0", &id) && id == 0);
    assert_true(s3_parse_id("010", &id) && id == 8);
    assert_true(s3_parse_id("0x10", &id) && id == 16);
    assert_true(s3_parse_id("4294967295", &id) && id == UINT32_MAX);
    assert_false(s3_parse_id("4294967296", &id));
    assert_false(s3_parse_id("-1", &id));
    assert_false(s3_parse_id("root", &id));
    assert_false(s3_parse_id("", &id));
}

static void times_of_all_tools_are_read(void **state)
{
    static const struct {
        const char *value;
        bool ok;
        long long s;
        long ns;
    } cases[] = {
        {"1700000000", true, 1700000000, 0},
        {"1700000000.123456789", true, 1700000000, 123456789},
        {"1700000000.5", true, 1700000000, 500000000},
        {"1700000000.0000000019", true, 1700000000, 1},
        {"-77.999999999", true, -77, 999999999},
        {"0", true, 0, 0},
        {"2026-11-21T14:47:59Z", true, 1795272479, 0},
        {"2026-11-21T14:47:59.25Z", true, 1795272479, 250000000},
        {"", false, 0, 0},
        {".5", false, 0, 0},
        {"1.", false, 0, 0},
        {"1.5x", false, 0, 0},
        {"1.-5", false, 0, 0},
        {"1e9", false, 0, 0},
        {"99999999999999999999", false, 0, 0},
        {"Tuesday", false, 0, 0},
        {"111111111111111111111111111111111111111111111111.1", false, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct timespec t = {0};
        bool ok = s3_parse_time(cases[i].value, &t);
        if (ok != cases[i].ok || (ok && (t.tv_sec != cases[i].s || t.tv_nsec != cases[i].ns)))
            fail_msg("time '%s': %lld.%09ld", cases[i].value, (long long)t.tv_sec, t.tv_nsec);
    }
}

static void times_of_the_aws_family_are_read(void **state)
{
    struct timespec t;
    assert_true(s3_parse_time_aws("1700000000123456789ns", &t) && t.tv_sec == 1700000000 && t.tv_nsec == 123456789);
    assert_true(s3_parse_time_aws("1700000000123", &t) && t.tv_sec == 1700000000 && t.tv_nsec == 123000000);
    assert_true(s3_parse_time_aws("-1ns", &t) && t.tv_sec == -1 && t.tv_nsec == 999999999);
    assert_false(s3_parse_time_aws("ns", &t));
    assert_false(s3_parse_time_aws("1.5ns", &t));
    assert_false(s3_parse_time_aws("99999999999999999999999999999999999999ns", &t));
}

static void times_are_written_as_s3fs_writes_them(void **state)
{
    char out[48];
    s3_format_time((struct timespec){1700000000, 0}, out);
    assert_string_equal(out, "1700000000");
    s3_format_time((struct timespec){1700000000, 5}, out);
    assert_string_equal(out, "1700000000.000000005");
    s3_format_time((struct timespec){-77, 999999999}, out);
    assert_string_equal(out, "-77.999999999");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modes_of_all_tools_are_read),
        cmocka_unit_test(octal_modes_are_read),
        cmocka_unit_test(ids_are_read),
        cmocka_unit_test(times_of_all_tools_are_read),
        cmocka_unit_test(times_of_the_aws_family_are_read),
        cmocka_unit_test(times_are_written_as_s3fs_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
