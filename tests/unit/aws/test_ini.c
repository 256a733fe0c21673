#include "aws/ini.h"

#include "support.h"
#include "util/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static struct ini *parse(const char *text, struct err *e)
{
    return ini_parse("conf", text, strlen(text), e);
}

static const char *get(const struct ini *ini, const char *section, const char *key, const char *sub)
{
    for (size_t i = 0; i < ini_sections(ini); i++)
        if (!strcmp(ini_section_name(ini, i), section))
            return ini_get(ini, i, key, sub);
    return NULL;
}

static void keys_values_comments_and_nested_blocks_are_read(void **state)
{
    static const char text[] = "\xef\xbb\xbf# comment\r\n"
                               "[default]\r\n"
                               "Region = eu-west-1\r\n"
                               "; another\n"
                               "output:json # not a comment\n"
                               "s3 =\n"
                               "  addressing_style = path\n"
                               "\n"
                               "  # inside\n"
                               "  endpoint_url = http://h:1/?a=b\n"
                               "empty =\n"
                               "[ profile  x y ] ; behind\n"
                               "multi = first\n"
                               "   second = half\n"
                               "\tthird\n"
                               "last = 1";
    struct err e = ERR_INIT;
    CLEANUP(ini_free) struct ini *ini = parse(text, &e);

    assert_string_equal(e.msg, "");
    assert_int_equal(ini_sections(ini), 2);
    assert_string_equal(get(ini, "default", "region", NULL), "eu-west-1");
    assert_string_equal(get(ini, "default", "REGION", NULL), "eu-west-1");
    assert_string_equal(get(ini, "default", "output", NULL), "json # not a comment");
    assert_string_equal(get(ini, "default", "s3", "addressing_style"), "path");
    assert_string_equal(get(ini, "default", "s3", "endpoint_url"), "http://h:1/?a=b");
    assert_string_equal(get(ini, "default", "s3", NULL), "");
    assert_string_equal(get(ini, "default", "empty", NULL), "");
    assert_null(get(ini, "default", "addressing_style", NULL));
    assert_null(get(ini, "default", "absent", NULL));
    assert_string_equal(get(ini, "profile  x y", "multi", NULL), "first\nsecond = half\nthird");
    assert_string_equal(get(ini, "profile  x y", "last", NULL), "1");
    assert_int_equal(ini_line(ini, 0, "s3", "endpoint_url"), 10);
    assert_int_equal(ini_section_line(ini, 1), 12);
}

static void a_section_may_be_indented_as_a_whole(void **state)
{
    CLEANUP(ini_free)
    struct ini *ini = parse("[a]\n  x = 1\n  y =\n    n = 1\n    n = 2\n  z = 3\n  [b]\n  x = 4\n", NULL);

    assert_string_equal(get(ini, "a", "x", NULL), "1");
    assert_string_equal(get(ini, "a", "y", "n"), "2");
    assert_string_equal(get(ini, "a", "z", NULL), "3");
    assert_string_equal(get(ini, "b", "x", NULL), "4");
}

static void an_empty_file_has_no_sections(void **state)
{
    CLEANUP(ini_free) struct ini *ini = parse("", NULL);
    CLEANUP(ini_free) struct ini *blank = parse("\n  \n# x\n", NULL);

    assert_int_equal(ini_sections(ini), 0);
    assert_int_equal(ini_sections(blank), 0);
    assert_true(ini_present(ini));
}

static void what_is_malformed_is_named_with_file_and_line_and_never_quoted(void **state)
{
    static const struct {
        const char *text;
        unsigned line;
    } table[] = {
        {"key = MARKER\n", 1},
        {"[a]\nMARKER\n", 2},
        {"[a]\n= MARKER\n", 2},
        {"[a\nMARKER = 1\n", 1},
        {"[]\n", 1},
        {"[a] MARKER\n", 1},
        {"[a]\nx = 1\n[a]\n", 3},
        {"[a]\nx = 1\nX = MARKER\n", 3},
        {"[a]\ns3 =\n  MARKER\n", 3},
        {"[a]\n  x = 1\n  MARKER\n", 3},
        {"[a]\nx = \xff MARKER\n", 2},
        {"  indented = MARKER\n", 1},
        {"aws_secret_access_key MARKER", 1},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct err e = ERR_INIT;
        char place[32];

        assert_null(parse(table[i].text, &e));
        assert_int_equal(e.code, ERR_INVAL);
        snprintf(place, sizeof(place), "conf line %u: ", table[i].line);
        if (strncmp(e.msg, place, strlen(place)))
            fail_msg("'%s': %s", table[i].text, e.msg);
        assert_null(strstr(e.msg, "MARKER"));
    }
}

static void a_nul_is_refused(void **state)
{
    static const char text[] = "[a]\nx = 1\0y = 2\n";
    struct err e = ERR_INIT;

    assert_null(ini_parse("conf", text, sizeof(text) - 1, &e));
    assert_string_equal(e.msg, "conf line 2: there is a NUL character");
}

static void a_file_that_is_too_large_is_refused(void **state)
{
    BUF(big, INI_FILE_MAX + 16);
    BUF(many, INI_FILE_MAX);
    struct err e = ERR_INIT;

    while (big.len <= INI_FILE_MAX)
        buf_add_str(&big, "#\n");
    assert_null(ini_parse("conf", big.data, big.len, &e));
    assert_int_equal(e.code, ERR_TOO_BIG);
    buf_add_str(&many, "[a]\n");
    for (int i = 0; i <= INI_ENTRIES_MAX; i++)
        buf_addf(&many, "k%d=\n", i);
    assert_null(ini_parse("conf", many.data, many.len, &e));
    assert_int_equal(e.code, ERR_INVAL);
}

/* Every prefix of a file and every file with one byte changed is read or refused, with nothing read beyond its end. */
static void no_cut_and_no_flipped_byte_does_harm(void **state)
{
    static const char text[] = "[default]\nregion = a\ns3 =\n  x = 1\n  y : 2\nm = 1\n  2\n[profile \"b c\"]\nk:v\n";
    char copy[sizeof(text)];

    for (size_t len = 0; len < sizeof(text); len++) {
        memcpy(copy, text, sizeof(text));
        ini_free(ini_parse("conf", text, len, NULL));
        for (unsigned c = 0; c < 256; c += 5) {
            copy[len] = (char)c;
            ini_free(ini_parse("conf", copy, sizeof(text) - 1, NULL));
        }
    }
}

static bool load(const char *name, bool secret, char *log, size_t size)
{
    char path[256], log_path[256];
    struct err e = ERR_INIT;

    snprintf(path, sizeof(path), "%s/%s", sandbox_dir(), name);
    snprintf(log_path, sizeof(log_path), "%s/log", sandbox_dir());
    remove(log_path);
    assert_int_equal(log_open(log_path, LOG_LEVEL_DEBUG, NULL), ERR_OK);
    CLEANUP(ini_free) struct ini *ini = ini_load(path, secret, &e);
    log_close();
    FILE *f = fopen(log_path, "r");
    size_t n = f ? fread(log, 1, size - 1, f) : 0;
    log[n] = '\0';
    if (f)
        fclose(f);
    assert_non_null(ini);
    return ini_present(ini);
}

static void a_credentials_file_that_others_may_read_gives_a_warning(void **state)
{
    char path[256], log[4096];

    sandbox_enter();
    sandbox_write("secret", "[default]\naws_secret_access_key = MARKER\n");
    assert_true(load("secret", true, log, sizeof(log)));
    assert_string_equal(log, "");
    snprintf(path, sizeof(path), "%s/secret", sandbox_dir());
    chmod(path, 0644);
    assert_true(load("secret", true, log, sizeof(log)));
    assert_non_null(strstr(log, "can be read by other users"));
    assert_null(strstr(log, "MARKER"));
    assert_true(load("secret", false, log, sizeof(log)));
    assert_string_equal(log, "");
    sandbox_leave();
}

static void a_file_that_is_missing_or_no_regular_file_is_empty(void **state)
{
    char path[256], log[4096];

    sandbox_enter();
    assert_false(load("absent", true, log, sizeof(log)));
    assert_string_equal(log, "");
    assert_false(load(".", true, log, sizeof(log)));
    snprintf(path, sizeof(path), "%s/fifo", sandbox_dir());
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(load("fifo", true, log, sizeof(log)));
    sandbox_leave();
}

static void a_file_that_cannot_be_read_gives_a_warning_and_is_empty(void **state)
{
    char path[256], log[4096];

    sandbox_enter();
    /* A link to itself fails to open for root too. */
    snprintf(path, sizeof(path), "%s/loop", sandbox_dir());
    assert_int_equal(symlink(path, path), 0);
    assert_false(load("loop", true, log, sizeof(log)));
    assert_non_null(strstr(log, "cannot be read"));
    sandbox_leave();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_values_comments_and_nested_blocks_are_read),
        cmocka_unit_test(a_section_may_be_indented_as_a_whole),
        cmocka_unit_test(an_empty_file_has_no_sections),
        cmocka_unit_test(what_is_malformed_is_named_with_file_and_line_and_never_quoted),
        cmocka_unit_test(a_nul_is_refused),
        cmocka_unit_test(a_file_that_is_too_large_is_refused),
        cmocka_unit_test(no_cut_and_no_flipped_byte_does_harm),
        cmocka_unit_test(a_credentials_file_that_others_may_read_gives_a_warning),
        cmocka_unit_test(a_file_that_is_missing_or_no_regular_file_is_empty),
        cmocka_unit_test(a_file_that_cannot_be_read_gives_a_warning_and_is_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
