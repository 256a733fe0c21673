/* What waits: stalled requests, killed programs, and the end of the session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fuse/session.h"
#include "mounted.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

static pid_t in_child(void (*fn)(const char *path), const char *path)
{
    pid_t pid = fork_alone(-1);

    if (pid == 0) {
        fn(path);
        _exit(0);
    }
    return pid;
}

static void read_it(const char *path)
{
    char buf[4096];
    int fd = open(path, O_RDONLY);

    if (fd < 0 || read(fd, buf, sizeof(buf)) < 0)
        _exit(1);
}

static void unlink_it(const char *path)
{
    if (unlink(path) != 0)
        _exit(1);
}

/* Kills and waits: the time it took in milliseconds. */
static int64_t kill_and_wait(pid_t pid)
{
    int64_t start = now_ms();

    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return now_ms() - start;
}

static void two_hundred_stalled_reads_delay_neither_a_stat_nor_a_read_of_what_is_held(void **state)
{
    NEED_MOUNT;
    pid_t pids[200];
    struct stat st;
    char name[32], buf[16];

    double_put("held", "content", S_IFREG | 0644);
    assert_int_equal(stat(at("held"), &st), 0);
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "park-%d", i);
        double_put(name, "later", S_IFREG | 0644);
        pids[i] = in_child(read_it, at(name));
    }
    assert_true(eventually(waiting_is, (void *)(uintptr_t)200));
    int64_t start = now_ms();
    assert_int_equal(stat(at("held"), &st), 0);
    int fd = open(at("held"), O_RDONLY);
    assert_int_equal(read(fd, buf, sizeof(buf)), 7);
    close(fd);
    assert_true(now_ms() - start < 20000);
    assert_true(kill_and_wait(pids[0]) < 20000);
    double_let_go();
    for (int i = 1; i < 200; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        assert_int_equal(status, 0);
    }
}

static void a_killed_program_is_free_at_once_also_where_its_request_still_queues(void **state)
{
    NEED_MOUNT;
    double_put("stall-1", "x", S_IFREG | 0644);
    double_put("f", "x", S_IFREG | 0644);
    int fd = open(at("f"), O_RDONLY);
    assert_true(fd >= 0);
    pid_t first = in_child(unlink_it, at("stall-1"));
    assert_true(eventually(waiting_is, (void *)1));
    /* The one waiter is taken, so this one queues; the file was opened before the first took its directory's lock. */
    pid_t second = fork_alone(fd);
    if (second == 0) {
        fsync(fd);
        _exit(0);
    }
    usleep(200000);
    assert_int_equal(waitpid(second, NULL, WNOHANG), 0);
    assert_true(kill_and_wait(second) < 20000);
    close(fd);
    assert_true(kill_and_wait(first) < 20000);
    assert_int_equal(double_count(DOUBLE_FSYNC), 0);
    assert_int_equal(double_count(DOUBLE_CANCELED), 1);
}

static bool none_waits(void *arg)
{
    return double_waiting() == 0;
}

/* Not through the page cache: the kernel waits for the answer itself, and tells of signals. */
static void read_direct(const char *path)
{
    void *buf;
    int fd = open(path, O_RDONLY | O_DIRECT);

    if (fd < 0 || posix_memalign(&buf, 4096, 4096) != 0 || read(fd, buf, 4096) < 0)
        _exit(1);
}

/* More than the thread for interrupts looks at in one go. */
static void two_hundred_programs_killed_at_once_are_all_let_go(void **state)
{
    NEED_MOUNT;
    pid_t pids[200];
    char name[32];

    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "park-%d", i);
        double_put(name, "later", S_IFREG | 0644);
        pids[i] = in_child(read_direct, at(name));
    }
    assert_true(eventually(waiting_is, (void *)(uintptr_t)200));
    for (int i = 0; i < 200; i++)
        kill(pids[i], SIGKILL);
    for (int i = 0; i < 200; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFSIGNALED(status));
    }
    assert_true(eventually(none_waits, NULL));
}

static void create_it(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);

    if (fd < 0 || close(fd) != 0)
        _exit(1);
}

static void of_many_closes_half_of_the_workers_wait_for_the_local_disk(void **state)
{
    NEED_MOUNT;
    char name[32];
    int status;

    for (int i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "brief-%d", i);
        (void)in_child(create_it, at(name));
    }
    for (int i = 0; i < 25; i++) { /* the threads that may wait have answered these */
        assert_true(waitpid(-1, &status, 0) > 0);
        assert_int_equal(status, 0);
    }
    assert_int_equal(double_waiting(), 5);
    double_let_go();
    for (int i = 25; i < 30; i++) {
        assert_true(waitpid(-1, &status, 0) > 0);
        assert_int_equal(status, 0);
    }
}

static void the_end_drains_and_removes_the_mount_and_frees_what_waits(void **state)
{
    NEED_MOUNT;
    struct stat mounted, after;

    assert_int_equal(stat(m.dir, &mounted), 0);
    double_put("park", "x", S_IFREG | 0644);
    pid_t pid = in_child(read_it, at("park"));
    assert_true(eventually(waiting_is, (void *)1));
    kill(pid, SIGKILL); /* as far as it is concerned; its READ is answered by the end of the session */
    waitpid(pid, NULL, 0);
    session_stop(m.session);
    session_stop(m.session);
    pthread_join(m.thread, NULL);
    m.thread = 0;
    assert_int_equal(m.ended, ERR_OK);
    assert_true(double_count(DOUBLE_DRAIN) >= 1);
    assert_int_equal(stat(m.dir, &after), 0);
    assert_true(mounted.st_dev != after.st_dev);
    assert_int_equal(double_waiting(), 0);
}

static bool is_unmounted(void *arg)
{
    return session_unmount(m.dir, false, NULL) == ERR_OK;
}

static void a_plain_umount_ends_the_session(void **state)
{
    NEED_MOUNT;
    struct stat st;
    struct err e = ERR_INIT;

    assert_int_equal(stat(m.dir, &st), 0);
    int fd = open(m.dir, O_RDONLY);
    assert_int_equal(session_unmount(m.dir, false, &e), ERR_BUSY);
    close(fd);
    assert_true(eventually(is_unmounted, NULL));
    pthread_join(m.thread, NULL);
    m.thread = 0;
    assert_int_equal(m.ended, ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MOUNTED(two_hundred_stalled_reads_delay_neither_a_stat_nor_a_read_of_what_is_held),
        MOUNTED(two_hundred_programs_killed_at_once_are_all_let_go),
        MOUNTED(of_many_closes_half_of_the_workers_wait_for_the_local_disk),
        MOUNTED(the_end_drains_and_removes_the_mount_and_frees_what_waits),
        MOUNTED(a_plain_umount_ends_the_session),
        cmocka_unit_test_setup_teardown(a_killed_program_is_free_at_once_also_where_its_request_still_queues,
                                        start_with_one_waiter, stop),
    };

    session_block_signals();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
