/* Whatever became of the files: right bytes or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cache/admin.h"
#include "fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* Says in the index that the file was checked as it is now. */
static void believe(const char *path)
{
    struct stat st;
    uint8_t boot[16];
    char hex[2 * 80 + 1], text[300], id[64] = "";
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    assert_non_null(fgets(id, sizeof(id), f));
    fclose(f);
    for (unsigned i = 0, n = 0; n < 16; i++)
        if (id[i] != '-')
            n += sscanf(&id[i++], "%2hhx", &boot[n]) == 1;
    assert_int_equal(stat(path, &st), 0);
    uint64_t seen[10] = {0, 0, st.st_dev, st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
                         (uint64_t)st.st_mtim.tv_nsec, (uint64_t)st.st_ctim.tv_sec, (uint64_t)st.st_ctim.tv_nsec};
    memcpy(seen, boot, sizeof(boot));
    for (unsigned i = 0; i < 72; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", ((const uint8_t *)seen)[i]);
    snprintf(text, sizeof(text), "UPDATE content SET seen = x'%s' WHERE state = 2 AND length(seen) = 72", hex);
    (void)sql(text);
}

/* A disk that rots tells nobody: what is remembered as checked is believed, until somebody finds otherwise. */
static void what_one_finds_damaged_the_others_who_have_it_open_check_again(void **state)
{
    char path[512];
    uint64_t bytes, bad;
    struct cache *c = filled();
    struct cache_version w = version_of("b", "e2", v.size);
    fill(c, &w, 1);
    close_cache(c);
    assert_int_equal(count_files("content"), 1);
    find_file("content", path);
    spoil(path, 5 * CACHE_CHUNK + 77);
    believe(path);
    c = open_cache(SIZE);
    struct cache *other = open_cache(SIZE);
    struct cache_entry *n = cache_entry_get(c, &v), *m = cache_entry_get(c, &w);
    assert_true(cache_entry_fd(n) >= 0);
    assert_true(cache_entry_fd(m) >= 0);
    cache_verify(other, &w, NULL, NULL, &bytes, &bad);
    assert_int_equal(bad, 1);
    assert_int_equal(cache_entry_fd(n), -1);
    assert_int_equal(cache_entry_fd(m), -1);
    assert_int_equal(held_chunks(c, &v, 1), CHUNKS - 1);
    assert_int_equal(held_chunks(c, &w, 1), CHUNKS - 1);
    assert_true(stats_of(c).bad >= 2);
    fill_chunks(c, &v, 1, 5, 6);
    settle(c);
    cache_entry_unref(n);
    cache_entry_unref(m);
    close_cache(other);
    assert_true(holds(c, &v, 1) && holds(c, &w, 1));
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

static void two_files_that_were_swapped_are_each_the_wrong_one(void **state)
{
    char one[512], other[512], moved[128];
    struct cache *c = filled();
    struct cache_version w = version_of("w", "e1", v.size);
    fill(c, &w, 2);
    close_cache(c);
    snprintf(moved, sizeof(moved), "%s/moved", cache_dir);
    find_file("content", one);
    assert_int_equal(rename(one, moved), 0);
    find_file("content", other);
    assert_int_equal(rename(other, one), 0);
    assert_int_equal(rename(moved, other), 0);
    c = open_cache(SIZE);
    assert_int_equal(held_chunks(c, &v, 1), 0);
    assert_int_equal(held_chunks(c, &w, 2), 0);
    assert_int_equal(stats_of(c).bad, 2 * CHUNKS);
    struct cache_entry *n = cache_entry_get(c, &v), *m = cache_entry_get(c, &w);
    (void)held_chunks(c, &v, 1);
    (void)held_chunks(c, &w, 2);
    fill(c, &v, 1);
    fill(c, &w, 2);
    cache_entry_unref(n);
    cache_entry_unref(m);
    assert_true(holds(c, &v, 1) && holds(c, &w, 2));
    close_cache(c);
}

/* Times are only compared for being the same: what was checked before is checked again, and is right. */
static void a_clock_that_jumps_costs_another_check(void **state)
{
    static const time_t jumps[] = {0, 4102444800 /* 2100 */};
    char path[512];
    for (size_t i = 0; i < 2; i++) {
        struct cache *c = filled();
        close_cache(c);
        find_file("content", path);
        const struct timespec times[2] = {{.tv_sec = jumps[i]}, {.tv_sec = jumps[i]}};
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        c = open_cache(SIZE);
        assert_true(holds(c, &v, 1));
        assert_true(stats_of(c).verified_bytes >= v.size);
        assert_int_equal(stats_of(c).bad, 0);
        close_cache(c);
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

/* Another process goes on with the PART: what it has recorded since is not undone by who finds a chunk of it bad. */
static void who_finds_a_chunk_of_a_part_bad_forgets_no_other(void **state)
{
    char path[512];
    v = version_of("a", "e1", CHUNKS * CACHE_CHUNK);
    struct cache *c = open_cache(SIZE), *other = open_cache(SIZE);
    struct cache_entry *n = cache_entry_get(c, &v), *m = cache_entry_get(other, &v);
    fill_chunks(c, &v, 1, 0, 10);
    settle(c);
    assert_int_equal(held_chunks(other, &v, 1), 10); /* and keeps it open, with what is recorded so far */
    fill_chunks(c, &v, 1, 10, 20);
    settle(c);
    find_file("part", path);
    spoil(path, 3 * CACHE_CHUNK);
    assert_int_equal(held_chunks(other, &v, 1), 9);
    settle(other);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(sql("SELECT disk FROM content") >= st.st_blocks * 512);
    cache_entry_unref(m);
    close_cache(other);
    other = open_cache(SIZE);
    assert_int_equal(held_chunks(other, &v, 1), 19);
    close_cache(other);
    cache_entry_unref(n);
    repaired(c);
}

/* What a killed process wrote and did not record is not held, but takes room. */
static void what_is_on_the_disk_and_not_held_is_counted(void **state)
{
    char path[512];
    struct stat st;
    v = version_of("a", "e1", CHUNKS * CACHE_CHUNK);
    struct cache *c = open_cache(SIZE);
    fill_chunks(c, &v, 1, 0, 4);
    close_cache(c);
    find_file("part", path);
    int fd = open(path, O_WRONLY);
    static const char some[6 * CACHE_CHUNK] = {1};
    assert_int_equal(pwrite(fd, some, sizeof(some), 4 * CACHE_CHUNK), sizeof(some));
    assert_int_equal(fsync(fd), 0);
    close(fd);
    (void)sql("UPDATE content SET disk = disk + 6 * 65536 RETURNING 1");
    c = open_cache(SIZE);
    fill_chunks(c, &v, 1, 20, 21);
    close_cache(c);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 >= 11 * (int64_t)CACHE_CHUNK);
    assert_true(sql("SELECT disk FROM content") >= st.st_blocks * 512);
    c = open_cache(SIZE);
    assert_int_equal(held_chunks(c, &v, 1), 5);
    fill(c, &v, 1);
    close_cache(c);
    assert_int_equal(sql("SELECT disk FROM content"), CHUNKS * CACHE_CHUNK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_flipped_bit_is_one_chunk_that_is_fetched_again),
        T(a_bit_flipped_under_an_open_entry_is_noticed),
        T(what_one_finds_damaged_the_others_who_have_it_open_check_again),
        T(a_file_that_is_truncated_deleted_swapped_or_replaced_is_no_content),
        T(two_files_that_were_swapped_are_each_the_wrong_one),
        T(a_clock_that_jumps_costs_another_check),
        T(a_spoilt_part_is_checked_too),
        T(who_finds_a_chunk_of_a_part_bad_forgets_no_other),
        T(what_is_on_the_disk_and_not_held_is_counted),
        T(small_contents_are_checked_in_the_database),
        T(a_row_that_names_the_wrong_content_is_not_believed),
        T(a_database_that_cannot_be_used_is_made_anew),
        T(a_database_that_is_spoilt_under_an_open_cache_is_made_anew),
        T(directories_are_ours_and_private_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
