#include "util/log.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    char path[100];
    char text[300000];
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/test_log.XXXXXX");
    if (!mkdtemp(f->dir))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/log", f->dir);
    *state = f;
    return log_open(f->path, LOG_LEVEL_INFO, NULL) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    log_close();
    unlink(f->path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static const char *read_log(struct fixture *f)
{
    FILE *file = fopen(f->path, "r");
    assert_non_null(file);
    f->text[fread(f->text, 1, sizeof(f->text) - 1, file)] = '\0';
    fclose(file);
    return f->text;
}

static void a_line_has_time_level_component_and_message(void **state)
{
    struct fixture *f = *state;
    LOG_WARN("net", "retry %d of %s", 3, "GetObject");
    const char *text = read_log(f);
    static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ W net: ";
    for (size_t i = 0; i < strlen(form); i++) {
        if (form[i] == 'd')
            assert_in_range(text[i], '0', '9');
        else
            assert_int_equal(text[i], form[i]);
    }
    assert_string_equal(text + strlen(form), "retry 3 of GetObject\n");
}

static void lower_levels_are_not_written(void **state)
{
    struct fixture *f = *state;
    assert_true(log_enabled(LOG_LEVEL_INFO));
    assert_false(log_enabled(LOG_LEVEL_DEBUG));
    LOG_DEBUG("vfs", "not %s", "this");
    log_line(LOG_LEVEL_DEBUG, "vfs", "nor this");
    LOG_INFO("vfs", "but this");
    LOG_ERROR("vfs", "and this");
    const char *text = read_log(f);
    assert_null(strstr(text, "not"));
    assert_null(strstr(text, "nor"));
    assert_non_null(strstr(text, " I vfs: but this\n"));
    assert_non_null(strstr(text, " E vfs: and this\n"));
}

static void hostile_text_stays_on_its_line(void **state)
{
    static const struct {
        const char *given, *written;
    } cases[] = {
        {"a\nb\r\t\x1b[2J\x7f", ": a\\x0ab\\x0d\\x09\\x1b[2J\\x7f\n"},
        {"caf\xc3\xa9", ": caf\xc3\xa9\n"},
        {"c1 \xc2\x9b x", ": c1 \\xc2\\x9b x\n"},
        {"\xff\xfe", ": \\xff\\xfe\n"},
        {"caf\xc3", ": caf\\xc3\n"},
        {"%s%n", ": %s%n\n"},
        {"", ": \n"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(truncate(f->path, 0), 0);
        LOG_INFO("x", "%s", cases[i].given);
        assert_string_equal(strstr(read_log(f), ": "), cases[i].written);
    }
}

static void a_long_message_is_cut_between_characters(void **state)
{
    struct fixture *f = *state;
    char given[5000];
    for (size_t offset = 0; offset < 3; offset++) {
        memset(given, 'x', offset);
        for (size_t i = offset; i + 4 <= sizeof(given); i += 3)
            memcpy(given + i, "\xe2\x82\xac", 4);
        assert_int_equal(truncate(f->path, 0), 0);
        LOG_INFO("x", "%s", given);
        const char *message = strstr(read_log(f), "x: ") + 3;
        size_t len = strlen(message) - 1;
        assert_in_range(len, 995, 1000);
        assert_int_equal((len - offset) % 3, 0);
        assert_memory_equal(message, given, len);
    }
    memset(given, '\n', sizeof(given) - 1);
    given[sizeof(given) - 1] = '\0';
    assert_int_equal(truncate(f->path, 0), 0);
    LOG_INFO("x", "%s", given);
    assert_int_equal(strlen(strstr(read_log(f), "x: ")), 3 + 1000 + 1);
}

static void the_file_is_private_and_can_be_rotated(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    char moved[120];
    snprintf(moved, sizeof(moved), "%s.1", f->path);
    LOG_INFO("x", "before");
    assert_int_equal(rename(f->path, moved), 0);
    log_reopen();
    LOG_INFO("x", "after");
    const char *text = read_log(f);
    assert_null(strstr(text, "before"));
    assert_non_null(strstr(text, "after"));
    unlink(moved);
}

static void a_file_that_cannot_be_opened_is_named(void **state)
{
    struct fixture *f = *state;
    struct err e = ERR_INIT;
    assert_int_not_equal(log_open("/nonexistent/dir/log", LOG_LEVEL_INFO, &e), ERR_OK);
    assert_non_null(strstr(e.msg, "/nonexistent/dir/log"));
    LOG_INFO("x", "the old one goes on");
    assert_non_null(strstr(read_log(f), "the old one goes on"));
    char path[PATH_MAX + 10];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(log_open(path, LOG_LEVEL_INFO, &e), ERR_NAME_TOO_LONG);
}

static void errno_is_left_alone(void **state)
{
    errno = ENOTTY;
    LOG_INFO("x", "%s", "y");
    assert_int_equal(errno, ENOTTY);
}

static void *write_lines(void *arg)
{
    for (int i = 0; i < 200; i++) {
        LOG_INFO("thread", "%s and %d", (const char *)arg, i);
        if (i % 50 == 0)
            log_reopen();
    }
    return NULL;
}

static void threads_do_not_mix_their_lines(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[4];
    static const char names[4][8] = {"aaaaaaa", "bbbbbbb", "ccccccc", "ddddddd"};
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, (void *)names[i]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    const char *line = read_log(f);
    int lines = 0;
    for (const char *end; (end = strchr(line, '\n')); line = end + 1, lines++)
        assert_in_range(end - line, strlen("2026-11-21T14:47:59.123Z I thread: aaaaaaa and 0"),
                        strlen("2026-11-21T14:47:59.123Z I thread: aaaaaaa and 199"));
    assert_int_equal(lines, 800);
}

static void syslog_and_stderr_can_be_opened(void **state)
{
    assert_int_equal(log_open("syslog", LOG_LEVEL_ERROR, NULL), ERR_OK);
    LOG_WARN("test", "not written");
    assert_int_equal(log_open("stderr", LOG_LEVEL_ERROR, NULL), ERR_OK);
    log_reopen();
    log_close();
    log_close();
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_line_has_time_level_component_and_message),
        TEST(lower_levels_are_not_written),
        TEST(hostile_text_stays_on_its_line),
        TEST(a_long_message_is_cut_between_characters),
        TEST(the_file_is_private_and_can_be_rotated),
        TEST(a_file_that_cannot_be_opened_is_named),
        TEST(errno_is_left_alone),
        TEST(threads_do_not_mix_their_lines),
        TEST(syslog_and_stderr_can_be_opened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
