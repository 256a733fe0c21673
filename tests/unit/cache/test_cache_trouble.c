/* A cache that takes nothing, for a while: it is a cache that holds nothing, nobody waits for it, and it recovers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "util/sqlite.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024ull * 1024)
#define SIZE (256 * MIB)
#define CHUNKS 32

static struct cache_version v;

static struct cache *filled(void)
{
    v = version_of("a", "e1", CHUNKS * CACHE_CHUNK);
    return open_filled(SIZE, &v);
}

/* What is put is kept again, at the latest when the back-off is over. */
static void recovers(struct cache *c)
{
    struct cache_version w = version_of("later", "e1", 1000);
    for (unsigned tries = 0; tries < 600 && !holds(c, &w, 3); tries++, usleep(20 * 1000))
        fill_chunks(c, &w, 3, 0, 1);
    assert_true(holds(c, &w, 3));
}

/* A process that holds the database's lock, until it is killed. */
static pid_t hold_lock(void)
{
    int ready[2];
    char byte, path[128];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct db *d = NULL;
        snprintf(path, sizeof(path), "%s/index.db", cache_dir);
        if (db_open(path, false, 1000, NULL, 0, &d, NULL) != ERR_OK || db_exec(d, "BEGIN IMMEDIATE", NULL) != ERR_OK ||
            write(ready[1], "", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return child;
}

static void a_lock_that_is_held_stops_no_reader(void **state)
{
    struct cache *c = filled();
    struct cache_version w = version_of("w", "e1", 1000), x = version_of("x", "e1", 1000);
    fill(c, &w, 2);
    close_cache(c);
    pid_t child = hold_lock();
    c = open_cache(SIZE);
    assert_true(holds(c, &v, 1));
    fill_chunks(c, &x, 3, 0, 1);
    assert_true(holds(c, &w, 2));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    settle(c);
    assert_true(holds(c, &v, 1) && holds(c, &x, 3));
    close_cache(c);
}

/* Staging files that somebody has open. */
static unsigned open_files(void)
{
    unsigned n = 0;
    char path[64], target[512];
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *f; d && (f = readdir(d)) != NULL;) {
        snprintf(path, sizeof(path), "/proc/self/fd/%.20s", f->d_name);
        ssize_t len = readlink(path, target, sizeof(target) - 1);
        target[len > 0 ? len : 0] = '\0';
        n += strstr(target, "/staged") != NULL;
    }
    closedir(d);
    return n;
}

static int staged(unsigned seed, size_t size)
{
    char path[512], *bytes = malloc(size);
    make_bytes(seed, 0, bytes, size);
    snprintf(path, sizeof(path), "%s/staged", cache_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, size), size);
    unlink(path);
    free(bytes);
    return fd;
}

/* If one of them waited for the lock, this would take hours. */
static void who_stored_files_does_not_wait_for_a_cache_that_takes_nothing(void **state)
{
    struct cache_stats before, after;
    struct cache *c = filled();
    close_cache(c);
    pid_t child = hold_lock();
    c = open_cache(SIZE);
    unsigned most = 0;
    size_t size = 2 * CACHE_CHUNK;
    cache_stats(c, &before);
    for (unsigned i = 0; i < 400; i++) {
        char key[32];
        snprintf(key, sizeof(key), "stored%u", i);
        struct cache_version w = version_of(key, "e1", size);
        cache_adopt(c, &w, staged(i, size), &(struct cache_sums){0});
        most = open_files() > most ? open_files() : most;
    }
    cache_stats(c, &after);
    assert_true(most < 300);
    assert_true(after.dropped_bytes - before.dropped_bytes >= 100 * size);
    assert_true(after.pending > 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    settle(c);
    struct cache_version first = version_of("stored0", "e1", size);
    assert_true(holds(c, &first, 0));
    cache_stats(c, &after);
    assert_int_equal(after.filled_bytes + after.dropped_bytes, 400 * size);
    close_cache(c);
    assert_int_equal(sql("SELECT count(*) FROM version WHERE origin = 0"), 0);
}

static void of_versions_of_one_file_that_wait_only_the_last_is_copied(void **state)
{
    struct cache *c = filled();
    struct cache_version last = {0};
    char etags[400][8];
    size_t size = 2 * CACHE_CHUNK;
    close_cache(c);
    pid_t child = hold_lock();
    c = open_cache(SIZE);
    for (unsigned i = 0; i < 400; i++) {
        snprintf(etags[i], sizeof(etags[i]), "e%u", i);
        last = version_of("rewritten", etags[i], size);
        cache_adopt(c, &last, staged(i, size), &(struct cache_sums){0});
        assert_true(open_files() <= 3);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    settle(c);
    assert_true(holds(c, &last, 399));
    assert_int_equal(stats_of(c).dropped_bytes, 0);
    close_cache(c);
}

static void in_trouble_what_was_stored_is_dropped_at_once_and_counted(void **state)
{
    struct cache_stats s;
    struct cache *c = NULL;
    struct err e = ERR_INIT;
    struct cache_config config = {.dir = cache_dir, .size = SIZE};
    char path[128];
    snprintf(path, sizeof(path), "%s/index.db", cache_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/index.db/x", cache_dir); /* cannot be moved over */
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/index.db.bad", cache_dir);
    assert_int_equal(open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600) >= 0, 1);
    assert_int_equal(cache_open(&config, &c, &e), ERR_OK);
    cache_stats(c, &s);
    assert_true(s.trouble[0] != '\0');
    struct cache_version w = version_of("w", "e1", 3 * CACHE_CHUNK);
    int fd = staged(1, (size_t)w.size);
    cache_adopt(c, &w, fd, &(struct cache_sums){0});
    cache_stats(c, &s);
    assert_int_equal(open_files(), 0);
    assert_int_equal(s.dropped_bytes, w.size);
    cache_close(c);
}

static void what_a_killed_process_was_copying_goes(void **state)
{
    struct cache *c = filled();
    size_t size = 40 * CACHE_CHUNK;
    struct cache_version w = version_of("w", "e1", size);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_cache_trouble", "adopt", cache_dir, NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < 2000 && sql("SELECT count(*) FROM version WHERE origin = 0") == 0; i++)
        usleep(1000);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close_cache(c);
    c = open_cache(SIZE);
    (void)held_chunks(c, &w, 7);
    close_cache(c);
    assert_int_equal(sql("SELECT count(*) FROM version WHERE origin = 0"), 0);
    assert_true(count_files("content") + count_files("part") <= sql("SELECT count(*) FROM content"));
    assert_int_equal(sql("SELECT count(*) FROM content WHERE id NOT IN (SELECT content FROM version)"), 0);
}

/* Goes on storing, until it is killed. */
static _Noreturn void store_for_ever(void)
{
    size_t size = 40 * CACHE_CHUNK;
    struct cache *c = open_cache(SIZE);
    for (unsigned i = 0;; i++) {
        char key[32];
        snprintf(key, sizeof(key), "w%u", i);
        struct cache_version w = version_of(i % 2 ? key : "w", "e1", size);
        cache_adopt(c, &w, staged(7, size), &(struct cache_sums){0});
    }
}

/* Somebody was stopped in the middle of making the index. */
static void a_stopped_process_that_holds_the_directory_costs_the_cache_and_not_the_mount(void **state)
{
    char path[128];
    struct cache *c = filled();
    close_cache(c);
    snprintf(path, sizeof(path), "%s/lock", cache_dir);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR);
        if (fd < 0 || flock(fd, LOCK_EX) != 0)
            _exit(1);
        raise(SIGSTOP);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, WUNTRACED), child);
    assert_true(WIFSTOPPED(status));
    c = open_cache(SIZE);
    assert_true(stats_of(c).trouble[0] != '\0');
    assert_int_equal(held_chunks(c, &v, 1), 0);
    kill(child, SIGCONT);
    assert_int_equal(waitpid(child, &status, 0), child);
    recovers(c);
    assert_true(holds(c, &v, 1));
    close_cache(c);
}

static void a_disk_that_is_read_only_costs_the_cache_and_not_the_mount(void **state)
{
    if (mount("none", cache_dir, "tmpfs", 0, "size=64m,mode=0700") != 0)
        skip(); /* wants root */
    struct cache *c = filled();
    close_cache(c);
    assert_int_equal(mount("none", cache_dir, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=64m"), 0);
    c = open_cache(SIZE);
    struct cache_version w = version_of("w", "e1", 3 * CACHE_CHUNK);
    uint64_t held = held_chunks(c, &v, 1);
    assert_true(held == 0 || held == CHUNKS);
    fill_chunks(c, &w, 2, 0, 3);
    (void)cache_drain(c, 60000);
    assert_int_equal(held_chunks(c, &w, 2), 0);
    assert_true(stats_of(c).trouble[0] != '\0');
    assert_int_equal(mount("none", cache_dir, "tmpfs", MS_REMOUNT, "size=64m"), 0);
    recovers(c);
    assert_true(holds(c, &v, 1));
    close_cache(c);
    assert_int_equal(umount2(cache_dir, MNT_DETACH), 0);
}

/* As a user, since root may do everything. */
static void a_directory_without_permission_is_an_error_that_names_it(void **state)
{
    char closed[100], mine[100], in_closed[128], in_mine[128];
    snprintf(closed, sizeof(closed), "%s/closed", cache_dir);
    snprintf(mine, sizeof(mine), "%s/mine", cache_dir);
    snprintf(in_closed, sizeof(in_closed), "%s/cache", closed);
    snprintf(in_mine, sizeof(in_mine), "%s/cache", mine);
    const char *const dirs[] = {in_closed, in_mine};
    assert_int_equal(mkdir(closed, 0), 0);
    assert_int_equal(mkdir(mine, 0500), 0);
    if (geteuid() == 0) {
        assert_int_equal(chmod(cache_dir, 0755), 0);
        assert_int_equal(chown(mine, 12345, 12345), 0);
        assert_int_equal(seteuid(12345), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        struct cache *c = NULL;
        struct err e = ERR_INIT;
        struct cache_config config = {.dir = dirs[i], .size = SIZE};
        assert_int_not_equal(cache_open(&config, &c, &e), ERR_OK);
        assert_non_null(strstr(e.msg, i ? "mine/cache" : "closed"));
    }
    assert_int_equal(seteuid(getuid()), 0);
    assert_int_equal(chmod(closed, 0700), 0);
}

/* cache_close() must not wait for what cannot be recorded. */
static void a_full_disk_does_not_keep_a_mount_from_ending(void **state)
{
    char path[128], zeros[4096] = "";
    if (mount("none", cache_dir, "tmpfs", 0, "size=16m,mode=0700") != 0)
        skip(); /* wants root */
    struct cache *c = filled();
    snprintf(path, sizeof(path), "%s/rest", cache_dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        continue;
    struct cache_version w = version_of("w", "e1", 8 * CACHE_CHUNK);
    fill_chunks(c, &w, 2, 0, 8);
    (void)cache_drain(c, UINT64_MAX / 2);
    (void)held_chunks(c, &w, 2);
    assert_true(holds(c, &v, 1));
    cache_close(c);
    close(fd);
    assert_int_equal(umount2(cache_dir, MNT_DETACH), 0);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "adopt") == 0) {
        snprintf(cache_dir, sizeof(cache_dir), "%s", argv[2]);
        store_for_ever();
    }
    const struct CMUnitTest tests[] = {
        T(a_lock_that_is_held_stops_no_reader),
        T(who_stored_files_does_not_wait_for_a_cache_that_takes_nothing),
        T(of_versions_of_one_file_that_wait_only_the_last_is_copied),
        T(in_trouble_what_was_stored_is_dropped_at_once_and_counted),
        T(what_a_killed_process_was_copying_goes),
        T(a_stopped_process_that_holds_the_directory_costs_the_cache_and_not_the_mount),
        T(a_disk_that_is_read_only_costs_the_cache_and_not_the_mount),
        T(a_directory_without_permission_is_an_error_that_names_it),
        T(a_full_disk_does_not_keep_a_mount_from_ending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
