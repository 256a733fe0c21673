/* Files that the kernel serves by itself, over real mounts: which reads reach the daemon, and that nobody is ever refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mounted.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define SIZE (1 << 19)

static unsigned char bytes[SIZE];

/* A mount whose kernel and rights allow it; which is so for root since Linux 6.9. */
#define NEED_PASSTHROUGH                                                                                                   \
    do {                                                                                                                   \
        struct session_stats stats_;                                                                                       \
        NEED_MOUNT;                                                                                                        \
        session_stats(m.session, &stats_);                                                                                 \
        if (!stats_.passthrough)                                                                                           \
            skip();                                                                                                        \
    } while (0)

/* An unlinked file with `bytes`, as a cache's may be by the time it is used. */
static int backing_file(void)
{
    char path[] = "/var/tmp/awsfs-backing-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    unlink(path);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 256);
    assert_int_equal(write(fd, bytes, SIZE), SIZE);
    return fd;
}

static void check_read(int fd)
{
    static unsigned char got[SIZE];

    assert_int_equal(pread(fd, got, SIZE, 0), SIZE);
    assert_memory_equal(got, bytes, SIZE);
}

static bool backed_is(void *arg)
{
    return double_backed() == (unsigned)(uintptr_t)arg;
}

static uint64_t passthrough_opens(void)
{
    struct session_stats stats;

    session_stats(m.session, &stats);
    return stats.passthrough_opens;
}

static void a_backed_file_is_read_without_a_request(void **state)
{
    NEED_PASSTHROUGH;
    int local = backing_file();
    double_back("f", local);
    for (int i = 0; i < 3; i++) {
        int fd = open(at("f"), O_RDONLY);
        assert_true(fd >= 0);
        check_read(fd);
        close(fd);
    }
    assert_int_equal(double_count(DOUBLE_READ), 0);
    assert_int_equal(double_count(DOUBLE_FLUSH), 0);
    assert_int_equal(passthrough_opens(), 3);
    assert_true(eventually(backed_is, 0));
    close(local);
}

static void several_opens_of_one_file_go_together(void **state)
{
    NEED_PASSTHROUGH;
    int local = backing_file(), fds[20];
    double_back("f", local);
    for (int i = 0; i < 20; i++)
        assert_true((fds[i] = open(at("f"), O_RDONLY)) >= 0);
    for (int i = 0; i < 20; i++) {
        check_read(fds[i]);
        close(fds[i]);
    }
    assert_int_equal(double_count(DOUBLE_READ), 0);
    assert_true(eventually(backed_is, 0));
    close(local);
}

static void a_mapping_outlives_the_close_and_the_end_of_the_file(void **state)
{
    NEED_PASSTHROUGH;
    int local = backing_file();
    double_back("f", local);
    int fd = open(at("f"), O_RDONLY);
    assert_true(fd >= 0);
    unsigned char *map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    close(fd);
    assert_true(eventually(backed_is, 0));
    close(local);
    assert_memory_equal(map, bytes, SIZE);
    assert_int_equal(double_count(DOUBLE_READ), 0);
    munmap(map, SIZE);
}

static void a_writer_gets_a_fresh_node_and_the_reader_keeps_its_bytes(void **state)
{
    NEED_PASSTHROUGH;
    struct stat before, after;
    char byte = 0;
    int local = backing_file();
    double_back("f", local);
    int reader = open(at("f"), O_RDONLY);
    assert_true(reader >= 0);
    assert_int_equal(stat(at("f"), &before), 0);
    int writer = open(at("f"), O_RDWR);
    assert_true(writer >= 0);
    assert_int_equal(fstat(writer, &after), 0);
    assert_int_not_equal(before.st_ino, after.st_ino);
    assert_int_equal(pwrite(writer, "X", 1, 0), 1);
    check_read(reader);
    assert_int_equal(pread(writer, &byte, 1, 0), 1);
    assert_int_equal(byte, 'X');
    int third = open(at("f"), O_RDONLY);
    assert_int_equal(pread(third, &byte, 1, 0), 1);
    assert_int_equal(byte, 'X');
    close(third);
    int appender = open(at("f"), O_WRONLY | O_APPEND);
    assert_int_equal(write(appender, "Y", 1), 1);
    close(appender);
    assert_int_equal(pread(writer, &byte, 1, SIZE), 1);
    assert_int_equal(pread(reader, &byte, 1, SIZE), 0);
    close(writer);
    check_read(reader);
    close(reader);
    assert_true(eventually(backed_is, 0));
    close(local);
}

static void a_truncation_while_it_is_read_works_by_name_and_at_open(void **state)
{
    NEED_PASSTHROUGH;
    struct stat st;
    int local = backing_file();
    for (int way = 0; way < 3; way++) {
        char name[16];
        snprintf(name, sizeof(name), "f%d", way);
        double_back(name, local);
        int reader = open(at(name), O_RDONLY);
        assert_true(reader >= 0);
        if (way == 0) {
            assert_int_equal(truncate(at(name), 5), 0);
        } else {
            int fd = open(at(name), (way == 1 ? O_WRONLY : O_RDONLY) | O_TRUNC);
            assert_true(fd >= 0);
            close(fd);
        }
        assert_int_equal(stat(at(name), &st), 0);
        check_read(reader);
        close(reader);
    }
    assert_true(eventually(backed_is, 0));
    close(local);
}

static void a_file_put_in_its_place_by_rename_does_not_disturb_the_reader(void **state)
{
    NEED_PASSTHROUGH;
    char got[8] = "";
    int local = backing_file();
    double_back("f", local);
    double_put("g", "other", S_IFREG | 0644);
    int reader = open(at("f"), O_RDONLY);
    assert_true(reader >= 0);
    assert_int_equal(rename(at("g"), at("f")), 0);
    check_read(reader);
    int fd = open(at("f"), O_RDONLY);
    assert_int_equal(read(fd, got, sizeof(got)), 5);
    assert_string_equal(got, "other");
    close(fd);
    assert_int_equal(unlink(at("f")), 0);
    check_read(reader);
    close(reader);
    assert_true(eventually(backed_is, 0));
    close(local);
}

static void who_has_it_open_for_writing_keeps_others_from_passthrough_until_its_close(void **state)
{
    NEED_PASSTHROUGH;
    int local = backing_file();
    double_back("f", local);
    int writer = open(at("f"), O_WRONLY);
    int reader = open(at("f"), O_RDONLY);
    assert_true(writer >= 0 && reader >= 0);
    assert_int_equal(passthrough_opens(), 0);
    close(writer);
    close(reader);
    for (int i = 0; i < 500 && passthrough_opens() == 0; i++) { /* RELEASE comes after close() returned */
        reader = open(at("f"), O_RDONLY);
        assert_true(reader >= 0);
        close(reader);
    }
    assert_true(passthrough_opens() > 0);
    assert_true(eventually(backed_is, 0));
    close(local);
}

static void a_descriptor_the_kernel_refuses_is_served_by_the_daemon(void **state)
{
    NEED_PASSTHROUGH;
    unsigned char byte;
    struct session_stats stats;
    int local = backing_file();
    /* A directory cannot be read, so it cannot back a file. */
    int dir = open("/", O_RDONLY | O_DIRECTORY);
    double_back("f", dir);
    double_back("g", local);
    int fd = open(at("f"), O_RDONLY), again = open(at("f"), O_RDONLY), writer = open(at("f"), O_WRONLY);
    assert_true(fd >= 0 && again >= 0 && writer >= 0);
    assert_true(pread(fd, &byte, 1, 0) >= 0);
    close(writer);
    close(again);
    close(fd);
    session_stats(m.session, &stats);
    assert_false(stats.passthrough);
    assert_int_equal(stats.passthrough_opens, 0);
    fd = open(at("g"), O_RDONLY);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(passthrough_opens(), 0);
    close(dir);
    close(local);
}

struct stress {
    atomic_bool stop;
    atomic_uint failed, last_errno;
    int kind;
};

static void *keep_opening(void *arg)
{
    struct stress *s = arg;
    unsigned char byte;

    while (!atomic_load(&s->stop)) {
        int fd = open(at("f"), O_RDONLY);
        if (fd < 0 || pread(fd, &byte, 1, 1000) != 1) {
            atomic_store(&s->last_errno, (unsigned)errno);
            atomic_fetch_add(&s->failed, 1);
        }
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

/* Each time the name gets a file that is backed, which is opened for writing while readers come and go. */
static void nobody_is_refused_while_readers_and_writers_come_and_go(void **state)
{
    NEED_PASSTHROUGH;
    struct stress s = {0};
    pthread_t readers[3];
    int local = backing_file();
    double_back("f", local);
    for (int i = 0; i < 3; i++)
        pthread_create(&readers[i], NULL, keep_opening, &s);
    for (int i = 0; i < 60; i++) {
        int fd = open(at("f"), O_WRONLY);
        assert_true(fd >= 0);
        close(fd);
        double_back("new", local);
        assert_int_equal(rename(at("new"), at("f")), 0);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(atomic_load(&s.last_errno), 0);
    assert_int_equal(atomic_load(&s.failed), 0);
    assert_true(passthrough_opens() > 0);
    assert_true(eventually(backed_is, 0));
    close(local);
}

static void with_the_option_off_nothing_is_passed_through(void **state)
{
    NEED_MOUNT;
    struct session_stats stats;
    int local = backing_file();
    double_back("f", local);
    int fd = open(at("f"), O_RDONLY);
    assert_true(fd >= 0);
    close(fd);
    session_stats(m.session, &stats);
    assert_false(stats.passthrough);
    assert_int_equal(stats.passthrough_opens, 0);
    assert_int_equal(double_backed(), 0);
    close(local);
}

int main(void)
{
    session_block_signals();
    const struct CMUnitTest tests[] = {
        MOUNTED(a_backed_file_is_read_without_a_request),
        MOUNTED(several_opens_of_one_file_go_together),
        MOUNTED(a_mapping_outlives_the_close_and_the_end_of_the_file),
        MOUNTED(a_writer_gets_a_fresh_node_and_the_reader_keeps_its_bytes),
        MOUNTED(a_truncation_while_it_is_read_works_by_name_and_at_open),
        MOUNTED(a_file_put_in_its_place_by_rename_does_not_disturb_the_reader),
        MOUNTED(who_has_it_open_for_writing_keeps_others_from_passthrough_until_its_close),
        MOUNTED(a_descriptor_the_kernel_refuses_is_served_by_the_daemon),
        MOUNTED(nobody_is_refused_while_readers_and_writers_come_and_go),
        cmocka_unit_test_setup_teardown(with_the_option_off_nothing_is_passed_through, start_without_passthrough, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
