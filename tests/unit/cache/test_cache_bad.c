/* Whatever became of the files: right bytes or none. */
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1024ull * 1024)
#define SIZE (256 * MIB)
#define CHUNKS 32

static struct cache_version v;

static struct cache *filled(void)
{
    struct cache *c = open_cache(SIZE);
    v = version_of("a", "e1", CHUNKS * CACHE_CHUNK);
    fill(c, &v, 1);
    return c;
}

static struct cache *reopened(struct cache *c)
{
    close_cache(c);
    return open_cache(SIZE);
}

static void repaired(struct cache *c)
{
    struct cache_entry *n = cache_entry_get(c, &v); /* as who reads has it */
    (void)held_chunks(c, &v, 1);
    /* While the index is being made anew the cache takes nothing. */
    for (unsigned tries = 0; tries < 100 && !holds(c, &v, 1); tries++, usleep(50 * 1000))
        fill(c, &v, 1);
    assert_true(holds(c, &v, 1));
    cache_entry_unref(n);
    c = reopened(c);
    assert_true(holds(c, &v, 1));
    settle(c);
    assert_int_equal(count_files("part"), 0);
    assert_int_equal(count_files("content"), 1);
    close_cache(c);
}

static void a_flipped_bit_is_one_chunk_that_is_fetched_again(void **state)
{
    char path[512];
    struct cache *c = filled();
    close_cache(c);
    find_file("content", path);
    spoil(path, 5 * CACHE_CHUNK + 77);
    c = open_cache(SIZE);
    struct cache_entry *n = cache_entry_get(c, &v);
    assert_int_equal(held_chunks(c, &v, 1), CHUNKS - 1);
    assert_true(stats_of(c).bad >= 1);
    fill_chunks(c, &v, 1, 5, 6);
    settle(c);
    assert_true(holds(c, &v, 1));
    assert_int_equal(stats_of(c).filled_bytes, CACHE_CHUNK);
    cache_entry_unref(n);
    repaired(c);
}

static void a_bit_flipped_under_an_open_entry_is_noticed(void **state)
{
    char path[512];
    struct cache *c = filled();
    struct cache_entry *n = cache_entry_get(c, &v);
    assert_true(cache_entry_fd(n) >= 0);
    assert_true(holds(c, &v, 1));
    find_file("content", path);
    spoil(path, 5 * CACHE_CHUNK + 77);
    assert_int_equal(cache_entry_fd(n), -1);
    assert_int_equal(held_chunks(c, &v, 1), CHUNKS - 1);
    cache_entry_unref(n);
    repaired(c);
}

static void a_file_that_is_truncated_deleted_swapped_or_replaced_is_no_content(void **state)
{
    char path[512], other[600], moved[600];
    for (int kind = 0; kind < 5; kind++) {
        struct cache *c = filled();
        close_cache(c);
        find_file("content", path);
        snprintf(other, sizeof(other), "%s/other", cache_dir);
        snprintf(moved, sizeof(moved), "%s/moved", cache_dir);
        if (kind == 0)
            assert_int_equal(truncate(path, 100), 0);
        else
            assert_int_equal(kind == 1 ? unlink(path) : rename(path, moved), 0);
        int fd = open(other, O_RDWR | O_CREAT | O_TRUNC, 0600);
        assert_int_equal(ftruncate(fd, (off_t)v.size), 0);
        close(fd);
        if (kind == 2)
            assert_int_equal(rename(other, path), 0); /* of the same size */
        if (kind == 3)
            assert_int_equal(symlink(moved, path), 0);
        if (kind == 4)
            assert_int_equal(mkfifo(path, 0600), 0);
        c = open_cache(SIZE);
        assert_int_equal(held_chunks(c, &v, 1), 0);
        unlink(moved);
        unlink(other);
        repaired(c);
    }
}

static void a_spoilt_part_is_checked_too(void **state)
{
    char path[512];
    struct cache *c = open_cache(SIZE);
    v = version_of("a", "e1", CHUNKS * CACHE_CHUNK);
    fill_chunks(c, &v, 1, 0, 10);
    c = reopened(c);
    assert_int_equal(held_chunks(c, &v, 1), 10);
    assert_int_equal(stats_of(c).verified_bytes, 0);
    close_cache(c);
    find_file("part", path);
    spoil(path, 3 * CACHE_CHUNK);
    c = open_cache(SIZE);
    assert_int_equal(held_chunks(c, &v, 1), 9);
    repaired(c);
}

static void small_contents_are_checked_in_the_database(void **state)
{
    struct cache *c = open_cache(SIZE);
    v = version_of("a", "e1", 5000);
    fill(c, &v, 1);
    c = reopened(c);
    assert_true(holds(c, &v, 1));
    (void)sql("UPDATE content SET body = randomblob(5000) RETURNING 1");
    assert_false(holds(c, &v, 1));
    assert_int_equal(stats_of(c).bad, 1);
    settle(c);
    fill(c, &v, 1);
    assert_true(holds(c, &v, 1));
    close_cache(c);
}

static void a_row_that_names_the_wrong_content_is_not_believed(void **state)
{
    struct cache *c = filled();
    struct cache_version w = v;
    w.key = "w";
    fill(c, &w, 2);
    c = reopened(c);
    (void)sql("UPDATE version SET content = (SELECT max(content) FROM version) RETURNING 1");
    assert_int_equal(held_chunks(c, &v, 1), 0);
    close_cache(c);
}

static void write_file(const char *name, const char *bytes, size_t len)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", cache_dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

/* Each spoils the database; what is found afterwards is right, and the cache is filled again. */
static void garbage(void)
{
    char bytes[9000];
    memset(bytes, 'x', sizeof(bytes));
    write_file("index.db", bytes, sizeof(bytes));
}

static void cut_off(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/index.db", cache_dir);
    assert_int_equal(truncate(path, 5000), 0);
}

static void spoilt_inside(void)
{
    char path[128], page[4096];
    memset(page, 0x5a, sizeof(page));
    snprintf(path, sizeof(path), "%s/index.db", cache_dir);
    int fd = open(path, O_RDWR);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 4096; at < st.st_size; at += 4096)
        assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
    close(fd);
}

static void from_the_future(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/index.db", cache_dir);
    (void)sql("PRAGMA user_version = 99");
}

static void of_another_program(void)
{
    (void)sql("PRAGMA application_id = 7");
}

static void lost_table(void)
{
    (void)sql("DROP TABLE version");
}

static void missing(void)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/index.db", cache_dir);
    assert_int_equal(unlink(path), 0);
}

static void a_link(void)
{
    char path[128], target[128];
    missing();
    snprintf(path, sizeof(path), "%s/index.db", cache_dir);
    snprintf(target, sizeof(target), "%s/elsewhere", cache_dir);
    assert_int_equal(symlink(target, path), 0);
}

static void (*const spoil_index[])(void) = {garbage, cut_off, spoilt_inside, from_the_future, of_another_program, lost_table,
                                            missing, a_link};

static void a_database_that_cannot_be_used_is_made_anew(void **state)
{
    for (size_t i = 0; i < sizeof(spoil_index) / sizeof(spoil_index[0]); i++) {
        struct cache *c = filled();
        close_cache(c);
        spoil_index[i]();
        c = open_cache(SIZE);
        (void)held_chunks(c, &v, 1);
        settle(c);
        repaired(c);
    }
}

static void a_database_that_is_spoilt_under_an_open_cache_is_made_anew(void **state)
{
    for (int i = 0; i < 3; i++) {
        struct cache *c = filled(), *other = open_cache(SIZE);
        struct cache_version w = version_of("w", "e1", 1000);
        assert_true(holds(other, &v, 1));
        settle(other);
        (i == 0 ? spoilt_inside : i == 1 ? missing : garbage)();
        for (int tries = 0; tries < 600; tries++) {
            fill(c, &w, 2);
            (void)holds(other, &v, 1);
            if (holds(c, &w, 2) && holds(other, &w, 2))
                break;
            usleep(20000);
        }
        assert_true(holds(c, &w, 2) && holds(other, &w, 2));
        close_cache(other);
        repaired(c);
    }
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

static unsigned open_files(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
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
    unsigned files = open_files(), most = 0;
    size_t size = 4 * CACHE_CHUNK;
    cache_stats(c, &before);
    for (unsigned i = 0; i < 1000; i++) {
        char key[32];
        snprintf(key, sizeof(key), "stored%u", i);
        struct cache_version w = version_of(key, "e1", size);
        cache_adopt(c, &w, staged(i, size), &(struct cache_sums){0});
        most = open_files() > most ? open_files() : most;
    }
    cache_stats(c, &after);
    assert_true(most < files + 300);
    assert_true(after.dropped_bytes - before.dropped_bytes >= 700 * size);
    assert_true(after.pending > 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    settle(c);
    struct cache_version first = version_of("stored0", "e1", size);
    assert_true(holds(c, &first, 0));
    cache_stats(c, &after);
    assert_int_equal(after.filled_bytes + after.dropped_bytes, 1000 * size);
    close_cache(c);
    assert_int_equal(sql("SELECT count(*) FROM version WHERE origin = 0"), 0);
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
    unsigned files = open_files();
    struct cache_version w = version_of("w", "e1", 3 * CACHE_CHUNK);
    int fd = staged(1, (size_t)w.size);
    cache_adopt(c, &w, fd, &(struct cache_sums){0});
    cache_stats(c, &s);
    assert_int_equal(open_files(), files);
    assert_int_equal(s.dropped_bytes, w.size);
    assert_int_equal(s.pending, 0);
    cache_close(c);
}

static void what_a_killed_process_was_copying_goes(void **state)
{
    struct cache *c = filled();
    size_t size = 40 * CACHE_CHUNK;
    struct cache_version w = version_of("w", "e1", size);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_cache_bad", "adopt", cache_dir, NULL);
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

static void directories_are_ours_and_private_or_refused(void **state)
{
    char path[128];
    struct stat st;
    struct cache *c = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(chmod(cache_dir, 0755), 0);
    cache_close(open_cache(SIZE));
    assert_int_equal(stat(cache_dir, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(path, sizeof(path), "%s/link", cache_dir);
    assert_int_equal(symlink(cache_dir, path), 0);
    struct cache_config config = {.dir = path, .size = SIZE};
    assert_int_equal(cache_open(&config, &c, &e), ERR_NOT_DIR);
    config.dir = "/proc/none";
    assert_int_not_equal(cache_open(&config, &c, &e), ERR_OK);
    if (geteuid() == 0) {
        snprintf(path, sizeof(path), "%s/foreign", cache_dir);
        assert_int_equal(mkdir(path, 0700), 0);
        assert_int_equal(chown(path, 12345, 12345), 0);
        config.dir = path;
        assert_int_equal(cache_open(&config, &c, &e), ERR_ACCESS);
    }
    snprintf(path, sizeof(path), "%s/tmp", cache_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    char part[160];
    snprintf(part, sizeof(part), "%s/part", path);
    assert_int_equal(symlink("/tmp", part), 0);
    config.dir = path;
    assert_int_not_equal(cache_open(&config, &c, &e), ERR_OK);
}

#define T(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "adopt") == 0) {
        snprintf(cache_dir, sizeof(cache_dir), "%s", argv[2]);
        store_for_ever();
    }
    const struct CMUnitTest tests[] = {
        T(a_flipped_bit_is_one_chunk_that_is_fetched_again),
        T(a_bit_flipped_under_an_open_entry_is_noticed),
        T(a_file_that_is_truncated_deleted_swapped_or_replaced_is_no_content),
        T(a_spoilt_part_is_checked_too),
        T(small_contents_are_checked_in_the_database),
        T(a_row_that_names_the_wrong_content_is_not_believed),
        T(a_database_that_cannot_be_used_is_made_anew),
        T(a_database_that_is_spoilt_under_an_open_cache_is_made_anew),
        T(a_lock_that_is_held_stops_no_reader),
        T(who_stored_files_does_not_wait_for_a_cache_that_takes_nothing),
        T(in_trouble_what_was_stored_is_dropped_at_once_and_counted),
        T(what_a_killed_process_was_copying_goes),
        T(directories_are_ours_and_private_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
