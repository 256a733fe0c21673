#include "util/child.h"

#include "util/cancel.h"
#include "util/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SH(script) ((char *[]){"sh", "-c", (char *)(script), NULL})

static void what_a_command_prints_is_collected(void **state)
{
    BUF_SECRET(out, 65536);
    struct err e = ERR_INIT;

    assert_int_equal(child_run((char *[]){"printf", "%s|", "a b", "$HOME", "", NULL}, 10000, &out, NULL, &e), ERR_OK);
    assert_string_equal(buf_str(&out), "a b|$HOME||");
    buf_clear(&out);
    assert_int_equal(child_run(SH("head -c 60000 /dev/zero | tr '\\0' x"), 10000, &out, NULL, &e), ERR_OK);
    assert_int_equal(out.len, 60000);
}

static void a_command_has_no_input_no_descriptor_and_no_signal_of_ours(void **state)
{
    BUF(out, 4096);
    sigset_t blocked, before;
    int fd = open("/dev/null", O_RDONLY);

    assert_true(fd > 2);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(
        child_run(SH("cat; ls /proc/self/fd | wc -l; grep -E 'Sig(Blk|Ign)' /proc/self/status | cut -c 1-7,18-; "
                     "ps -o pgid= -p $$ | tr -d ' ' | grep -qx $$ && echo leader"),
                  10000, &out, NULL, NULL),
        ERR_OK);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    signal(SIGPIPE, SIG_DFL);
    close(fd);
    /* 0, 1, 2 and the directory itself; the signals from 1 to 28, beyond them are two of the C library's own. */
    assert_string_equal(buf_str(&out), "4\nSigBlk:0000000\nSigIgn:0000000\nleader\n");
}

static void failures_name_the_program_and_quote_nothing(void **state)
{
    static const struct {
        char *argv[4];
        enum err_code code;
        const char *says;
    } table[] = {
        {{"sh", "-c", "echo MARKER; echo MARKER >&2; exit 3", NULL}, ERR_IO, "'sh' failed with status 3"},
        {{"sh", "-c", "kill -9 $$ # MARKER", NULL}, ERR_IO, "'sh' was ended by signal 9"},
        {{"/nonexistent/program", "MARKER", NULL}, ERR_NOT_FOUND, "no program '/nonexistent/program'"},
        {{"/etc/passwd", "MARKER", NULL}, ERR_ACCESS, "'/etc/passwd' cannot be executed"},
        {{"yes", "MARKER", NULL}, ERR_TOO_BIG, "'yes' prints more than 1000 bytes"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        BUF(out, 1000);
        struct err e = ERR_INIT;

        assert_int_equal(child_run(table[i].argv, 10000, &out, NULL, &e), table[i].code);
        if (!strstr(e.msg, table[i].says) || strstr(e.msg, "MARKER"))
            fail_msg("%s", e.msg);
    }
}

/* Whether a process lives that is no zombie. */
static bool lives(pid_t pid)
{
    char path[64], text[512] = "";

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    const char *state = n ? strrchr(text, ')') : NULL;
    return state && state[1] && state[2] != 'Z' && state[2] != 'X';
}

static void expect_gone(const struct buf *out)
{
    pid_t pid = (pid_t)strtol(buf_str(out), NULL, 10);

    assert_true(pid > 1);
    for (int i = 0; i < 500 && lives(pid); i++)
        usleep(10000);
    assert_false(lives(pid));
}

static void one_that_does_not_end_is_killed_with_all_its_children(void **state)
{
    BUF(out, 4096);
    struct err e = ERR_INIT;

    assert_int_equal(child_run(SH("sleep 1000 & echo $!; sleep 1000"), 500, &out, NULL, &e), ERR_TIMEOUT);
    assert_non_null(strstr(e.msg, "'sh' did not end in time"));
    expect_gone(&out);
    /* One that has closed its output is waited for as long, and no longer. */
    buf_clear(&out);
    assert_int_equal(child_run(SH("sleep 1000 >/dev/null & echo $!; exec >/dev/null; sleep 1000"), 500, &out, NULL, &e),
                     ERR_TIMEOUT);
    expect_gone(&out);
}

static void one_whose_parent_is_killed_ends_too(void **state)
{
    int ends[2];
    BUF(pid, 64);
    char text[32] = "";

    assert_int_equal(pipe(ends), 0);
    pid_t parent = fork();
    if (parent == 0) {
        BUF(out, 64);
        char script[128];

        /* It inherits nothing, so it opens our end of the pipe anew. */
        snprintf(script, sizeof(script), "echo $$ >/proc/%d/fd/%d; exec sleep 1000", (int)getpid(), ends[1]);
        _exit((int)child_run(SH(script), 600000, &out, NULL, NULL));
    }
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 0);
    kill(parent, SIGKILL);
    buf_add_str(&pid, text);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    close(ends[0]);
    expect_gone(&pid);
}

static void *fire(void *cancel)
{
    usleep(200000);
    cancel_fire(cancel);
    return NULL;
}

static void nobody_waits_for_one_that_is_cancelled(void **state)
{
    CLEANUP(cancel_unref) struct cancel *cancel = cancel_new();
    uint64_t begin = clock_mono_ms();
    pthread_t thread;
    BUF(out, 4096);

    assert_int_equal(pthread_create(&thread, NULL, fire, cancel), 0);
    assert_int_equal(child_run(SH("sleep 1000 & echo $!; sleep 1000"), 600000, &out, cancel, NULL), ERR_CANCELED);
    pthread_join(thread, NULL);
    assert_true(clock_mono_ms() - begin < 60000);
    expect_gone(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_command_prints_is_collected),
        cmocka_unit_test(a_command_has_no_input_no_descriptor_and_no_signal_of_ours),
        cmocka_unit_test(failures_name_the_program_and_quote_nothing),
        cmocka_unit_test(one_that_does_not_end_is_killed_with_all_its_children),
        cmocka_unit_test(one_whose_parent_is_killed_ends_too),
        cmocka_unit_test(nobody_waits_for_one_that_is_cancelled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
