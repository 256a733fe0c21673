/* The file of sse_c_key_file: three forms, and who may read it. */
#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/sse_key.h"
#include "util/cleanup.h"
#include "util/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEX "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define B64 "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define RAW                                                                                                            \
    "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a"    \
    "\x1b\x1c\x1d\x1e\x1f"

static char path[] = "/tmp/awsfs-key-XXXXXX";

static void put(const char *bytes, size_t len, mode_t mode)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void each_form_gives_the_same_key(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } good[] = {{RAW, 32}, {HEX, 64}, {HEX "\n", 65}, {HEX "\r\n", 66}, {B64, 44}, {B64 "\n", 45}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct err e = ERR_INIT;
        put(good[i].bytes, good[i].len, 0600);
        uint8_t *key = sse_key_read(path, &e);
        assert_non_null(key);
        assert_memory_equal(key, RAW, 32);
        secret_free(key);
    }
}

static void what_is_no_key_is_refused_and_not_told(void **state)
{
    char huge[5000];
    memset(huge, 'a', sizeof(huge));
    const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"", 0},       {"\n", 1},       {RAW "x", 33},  {HEX "0", 65}, {"g" HEX, 65},     {HEX, 62},
               {B64, 43},     {"A" B64, 45},   {"secret", 6},    {huge, sizeof(huge)}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        put(bad[i].bytes, bad[i].len, 0600);
        assert_null(sse_key_read(path, &e));
        assert_int_equal(e.code, ERR_INVAL);
        assert_non_null(strstr(e.msg, "32 bytes, 64 hex digits"));
        assert_null(strstr(e.msg, "secret"));
        assert_null(strstr(e.msg, "aaaa"));
    }
}

static void a_file_that_others_may_read_or_write_is_refused(void **state)
{
    static const struct {
        mode_t mode;
        bool ok;
    } modes[] = {{0600, true}, {0400, true}, {0640, true}, {0644, false}, {0604, false}, {0602, false}, {0620, false}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        struct err e = ERR_INIT;
        put(HEX, 64, modes[i].mode);
        uint8_t *key = sse_key_read(path, &e);
        assert_int_equal(key != NULL, modes[i].ok);
        if (!modes[i].ok) {
            assert_int_equal(e.code, ERR_ACCESS);
            assert_non_null(strstr(e.msg, "chmod 600"));
        }
        secret_free(key);
    }
}

static void a_directory_and_nothing_are_no_key(void **state)
{
    struct err e = ERR_INIT;
    (void)state;
    assert_null(sse_key_read("/tmp", &e));
    assert_int_equal(e.code, ERR_INVAL);
    assert_null(sse_key_read("/nowhere/key", &e));
    assert_non_null(strstr(e.msg, "sse_c_key_file"));
}

static int make(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int clear(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_gives_the_same_key),
        cmocka_unit_test(what_is_no_key_is_refused_and_not_told),
        cmocka_unit_test(a_file_that_others_may_read_or_write_is_refused),
        cmocka_unit_test(a_directory_and_nothing_are_no_key),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
