/* The session over real mounts. Each test has a mount of its own; the double plays the vfs. */
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

static void files_are_created_written_read_and_renamed(void **state)
{
    NEED_MOUNT;
    char buf[64] = "";
    struct stat st;

    int fd = open(at("f"), O_RDWR | O_CREAT | O_EXCL, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hello world", 11), 11);
    assert_int_equal(pread(fd, buf, sizeof(buf), 6), 5);
    assert_string_equal(buf, "world");
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 11);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(lseek(fd, 3, SEEK_DATA), 3);
    assert_int_equal(lseek(fd, 3, SEEK_HOLE), 11);
    assert_int_equal(lseek(fd, 99, SEEK_DATA), -1);
    assert_int_equal(errno, ENXIO);
    assert_int_equal(ftruncate(fd, 5), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(rename(at("f"), at("g")), 0);
    assert_int_equal(stat(at("f"), &st), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(stat(at("g"), &st), 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(symlink("g", at("l")), 0);
    assert_int_equal(readlink(at("l"), buf, sizeof(buf)), 1);
    assert_int_equal(link(at("g"), at("h")), -1);
    assert_int_equal(errno, EPERM);
    assert_int_equal(unlink(at("g")), 0);
    assert_int_equal(mkdir(at("d"), 0700), 0);
    assert_int_equal(rmdir(at("d")), 0);
    assert_int_equal(double_count(DOUBLE_FSYNC), 1);
}

static void an_error_of_flush_is_the_error_of_close(void **state)
{
    NEED_MOUNT;
    int fd = open(at("conflict"), O_WRONLY | O_CREAT, 0600);

    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(close(fd), -1);
    assert_int_equal(errno, ESTALE);
}

static void a_handle_for_reading_is_not_flushed_and_its_pages_stay(void **state)
{
    NEED_MOUNT;
    char buf[16];

    double_put("f", "content", S_IFREG | 0644);
    for (int i = 0; i < 3; i++) {
        int fd = open(at("f"), O_RDONLY);
        assert_int_equal(read(fd, buf, sizeof(buf)), 7);
        close(fd);
    }
    assert_int_equal(double_count(DOUBLE_FLUSH), 0);
    assert_int_equal(double_count(DOUBLE_READ), 1);
}

static void a_listing_has_all_names_and_brings_their_attributes(void **state)
{
    NEED_MOUNT;
    char name[32];
    struct stat st;
    unsigned n = 0;

    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "name-%03d", i);
        double_put(name, "x", S_IFREG | 0644);
    }
    DIR *d = opendir(m.dir);
    for (const struct dirent *e; (e = readdir(d)); n++)
        if (e->d_name[0] != '.')
            assert_int_equal(e->d_type, DT_REG);
    closedir(d);
    assert_int_equal(n, 502);
    unsigned asked = double_count(DOUBLE_LOOKUP) + double_count(DOUBLE_GETATTR);
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "name-%03d", i);
        assert_int_equal(stat(at(name), &st), 0);
    }
    assert_true(double_count(DOUBLE_LOOKUP) + double_count(DOUBLE_GETATTR) <= asked + 1);
    assert_int_equal(double_lookups("name-042"), 1);
}

static void user_attributes_pass_and_others_are_refused_without_a_call(void **state)
{
    NEED_MOUNT;
    static const char *const refused[] = {"security.capability", "security.selinux", "system.posix_acl_access", "trusted.x"};
    char buf[16] = "";

    double_put("f", "", S_IFREG | 0644);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(getxattr(at("f"), refused[i], buf, sizeof(buf)), -1);
        assert_int_equal(errno, EOPNOTSUPP);
        assert_int_equal(setxattr(at("f"), refused[i], "x", 1, 0), -1);
        assert_true(errno == EOPNOTSUPP || errno == EINVAL);
    }
    assert_int_equal(double_count(DOUBLE_GETXATTR), 0);
    assert_int_equal(getxattr(at("f"), "user.one", buf, sizeof(buf)), -1);
    assert_int_equal(errno, ENODATA);
    assert_int_equal(setxattr(at("f"), "user.one", "value", 5, 0), 0);
    assert_int_equal(getxattr(at("f"), "user.one", NULL, 0), 5);
    assert_int_equal(getxattr(at("f"), "user.one", buf, 2), -1);
    assert_int_equal(errno, ERANGE);
    assert_int_equal(getxattr(at("f"), "user.one", buf, sizeof(buf)), 5);
    assert_int_equal(listxattr(at("f"), buf, sizeof(buf)), 9);
    assert_int_equal(removexattr(at("f"), "user.one"), 0);
}

static void a_hundred_writes_are_a_hundred_requests(void **state)
{
    NEED_MOUNT;
    struct session_stats before, after;

    session_stats(m.session, &before);
    if (!before.killpriv)
        skip(); /* a kernel before 5.11 */
    int fd = open(at("f"), O_WRONLY | O_CREAT, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    session_stats(m.session, &before);
    for (int i = 0; i < 100; i++)
        assert_int_equal(write(fd, "x", 1), 1);
    session_stats(m.session, &after);
    close(fd);
    assert_true(after.served - before.served <= 101);
}

/* Runs fn in a child as user nobody; returns its status. */
static int as_nobody(int (*fn)(const char *path), const char *path)
{
    int status;
    pid_t pid = fork_alone(-1);

    if (pid == 0) {
        if (setgid(65534) || setuid(65534))
            _exit(100);
        _exit(fn(path));
    }
    waitpid(pid, &status, 0);
    return status;
}

static int write_a_byte(const char *path)
{
    int fd = open(path, O_WRONLY);

    return fd >= 0 && write(fd, "x", 1) == 1 ? 0 : 1;
}

static int truncate_it(const char *path)
{
    return truncate(path, 1);
}

static int open_truncating(const char *path)
{
    return open(path, O_WRONLY | O_TRUNC) < 0;
}

static mode_t real_mode(const char *name)
{
    struct vfs_attr attr;
    struct vfs_caller who = {0};

    assert_int_equal(vfs_getattr(m.vfs, double_ino(name), NULL, &who, &attr, NULL), ERR_OK);
    return attr.st.st_mode & 07777;
}

static void a_write_of_an_ordinary_user_takes_setuid_away_and_that_of_root_does_not(void **state)
{
    NEED_MOUNT;
    struct session_stats stats;

    session_stats(m.session, &stats);
    if (geteuid() != 0 || !stats.killpriv)
        skip();
    int (*const ways[])(const char *path) = {write_a_byte, truncate_it, open_truncating};
    for (size_t i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%zu", i);
        double_put(name, "abc", S_IFREG | 06777);
        assert_int_equal(as_nobody(ways[i], at(name)), 0);
        assert_int_equal(real_mode(name), 0777);
    }
    double_put("r", "abc", S_IFREG | 04777);
    assert_int_equal(write_a_byte(at("r")), 0);
    assert_int_equal(real_mode("r"), 04777);
    double_put("plain", "abc", S_IFREG | 0666);
    unsigned before = double_count(DOUBLE_SETATTR);
    assert_int_equal(as_nobody(write_a_byte, at("plain")), 0);
    assert_int_equal(double_count(DOUBLE_SETATTR), before);
}

static int chown_it(const char *path)
{
    return chown(path, 65534, 65534);
}

static void a_chown_takes_setuid_away(void **state)
{
    NEED_MOUNT;
    if (geteuid() != 0)
        skip();
    double_put("s", "abc", S_IFREG | 04777);
    assert_int_equal(chown_it(at("s")), 0);
    assert_int_equal(real_mode("s"), 0777);
}

static void a_lookup_that_must_wait_is_made_again_by_a_thread_that_may(void **state)
{
    NEED_MOUNT;
    struct session_stats stats;
    struct stat st;

    double_put("slow", "x", S_IFREG | 0644);
    assert_int_equal(stat(at("slow"), &st), 0);
    session_stats(m.session, &stats);
    assert_true(stats.deferred >= 1);
}

static bool sees_size_of_9(void *arg)
{
    struct stat st;

    return stat(at("f"), &st) == 0 && st.st_size == 9;
}

static void what_the_vfs_notifies_is_asked_again(void **state)
{
    NEED_MOUNT;
    struct stat st;
    const struct vfs_notify *n = double_notify(m.vfs);

    double_put("f", "1", S_IFREG | 0644);
    assert_int_equal(stat(at("f"), &st), 0);
    double_put("f", "changed 9", S_IFREG | 0644);
    assert_int_equal(stat(at("f"), &st), 0);
    assert_int_equal(st.st_size, 1);
    for (int i = 0; i < 1000; i++)
        n->inode(n->arg, double_ino("f"));
    n->entry(n->arg, VFS_ROOT, "no such name");
    assert_true(eventually(sees_size_of_9, NULL));
    unsigned lookups = double_count(DOUBLE_LOOKUP);
    n->entry(n->arg, VFS_ROOT, "f");
    for (int i = 0; i < 500 && double_count(DOUBLE_LOOKUP) == lookups; i++) {
        usleep(10000);
        assert_int_equal(stat(at("f"), &st), 0);
    }
    assert_true(double_count(DOUBLE_LOOKUP) > lookups);
}

static void dirty_pages_of_a_mapping_reach_the_vfs(void **state)
{
    NEED_MOUNT;
    char buf[8] = "";

    double_put("f", "aaaaaaa", S_IFREG | 0666);
    int fd = open(at("f"), O_RDWR);
    char *p = mmap(NULL, 7, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(p != MAP_FAILED);
    memcpy(p, "bbb", 3);
    assert_int_equal(msync(p, 7, MS_SYNC), 0);
    munmap(p, 7);
    assert_int_equal(pread(fd, buf, 7, 0), 7);
    assert_string_equal(buf, "bbbaaaa");
    close(fd);
    assert_true(double_count(DOUBLE_WRITE) >= 1);
}

static void a_write_that_is_answered_before_it_is_done_is_answered_once(void **state)
{
    NEED_MOUNT;
    static char block[10 * DOUBLE_LATE], back[sizeof(block)] __attribute__((aligned(4096)));
    struct session_stats stats;

    int fd = open(at("f"), O_WRONLY | O_CREAT, 0600);
    for (size_t i = 0; i < sizeof(block); i += DOUBLE_LATE) {
        memset(block + i, 'a' + (int)(i / DOUBLE_LATE), DOUBLE_LATE);
        assert_int_equal(write(fd, block + i, DOUBLE_LATE), DOUBLE_LATE);
    }
    assert_int_equal(close(fd), 0);
    fd = open(at("f"), O_RDONLY | O_DIRECT);
    assert_int_equal(pread(fd, back, sizeof(back), 0), sizeof(back));
    assert_memory_equal(back, block, sizeof(block));
    close(fd);
    do { /* the last release is waited for by nobody */
        usleep(1000);
        session_stats(m.session, &stats);
    } while (stats.waiting > 0);
    assert_int_equal(double_count(DOUBLE_WRITE), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MOUNTED(files_are_created_written_read_and_renamed),
        MOUNTED(an_error_of_flush_is_the_error_of_close),
        MOUNTED(a_handle_for_reading_is_not_flushed_and_its_pages_stay),
        MOUNTED(a_listing_has_all_names_and_brings_their_attributes),
        MOUNTED(user_attributes_pass_and_others_are_refused_without_a_call),
        MOUNTED(a_hundred_writes_are_a_hundred_requests),
        MOUNTED(a_write_of_an_ordinary_user_takes_setuid_away_and_that_of_root_does_not),
        MOUNTED(a_chown_takes_setuid_away),
        MOUNTED(a_lookup_that_must_wait_is_made_again_by_a_thread_that_may),
        MOUNTED(what_the_vfs_notifies_is_asked_again),
        MOUNTED(dirty_pages_of_a_mapping_reach_the_vfs),
        MOUNTED(a_write_that_is_answered_before_it_is_done_is_answered_once),
    };

    session_block_signals();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
