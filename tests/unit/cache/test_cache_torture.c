/*
 * A process that fills, stores, reads, evicts and promotes is killed at a random moment, again and again, beside one that is not; then
 * everything that is held must be right, the accounts exact and no file nobody's. AWSFS_SEED repeats a run; the argument "long"
 * makes it 300 kills.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB     (1024ull * 1024)
#define LIMIT   (40 * MIB)
#define OBJECTS 40

static char *self;
static unsigned kills = 12;

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return *state >> 33;
}

/* Objects 30 and up have the bytes of others. */
static unsigned bytes_of(unsigned object)
{
    return object % 30;
}

static struct cache_version object(unsigned i, char key[32])
{
    static const uint64_t sizes[] = {1, 5000, 65536, 65537, 300000, 2 * MIB, 3 * MIB + 1, 7 * MIB};
    snprintf(key, 32, "object%u", i);
    return version_of(key, "etag", sizes[bytes_of(i) % 8]);
}

/* As who stored the object from here does. */
static void adopt(struct cache *c, const struct cache_version *v, unsigned seed)
{
    int fd = memfd_create("stored", MFD_CLOEXEC);
    char *bytes = malloc((size_t)v->size);
    make_bytes(seed, 0, bytes, (size_t)v->size);
    assert_int_equal(write(fd, bytes, (size_t)v->size), v->size);
    free(bytes);
    cache_adopt(c, v, fd, &(struct cache_sums){0});
}

/* For ever. */
static _Noreturn void worker(uint64_t seed)
{
    struct cache *c = open_cache(LIMIT);
    for (;;) {
        char key[32];
        unsigned i = (unsigned)(next(&seed) % OBJECTS);
        struct cache_version v = object(i, key);
        uint64_t chunks = (v.size + CACHE_CHUNK - 1) / CACHE_CHUNK, from = next(&seed) % chunks;
        switch (next(&seed) % 5) {
        case 0:
            (void)held_chunks(c, &v, bytes_of(i));
            break;
        case 1:
            fill_chunks(c, &v, bytes_of(i), from, chunks);
            break;
        case 2:
            fill(c, &v, bytes_of(i));
            break;
        case 3:
            adopt(c, &v, bytes_of(i));
            break;
        default:
            fill_chunks(c, &v, bytes_of(i), 0, from + 1);
        }
    }
}

static pid_t start(const char *mode, uint64_t seed)
{
    char text[32];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)seed);
    pid_t pid = fork();
    if (pid == 0) {
        execl(self, self, mode, cache_dir, text, NULL);
        _exit(127);
    }
    return pid;
}

static void end(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void verify(void)
{
    struct cache *c = open_cache(LIMIT);
    settle(c);
    for (unsigned i = 0; i < OBJECTS; i++) {
        char key[32];
        struct cache_version v = object(i, key);
        (void)held_chunks(c, &v, bytes_of(i));
    }
    assert_int_equal(stats_of(c).bad, 0);
    close_cache(c);
    assert_true(disk_usage() <= LIMIT);
    assert_int_equal(sql("SELECT ifnull(sum(disk), 0) FROM content"), sql("SELECT disk FROM space"));
    assert_int_equal(sql("SELECT count(*) FROM content WHERE state = 3"), 0);
    assert_int_equal(sql("SELECT count(*) FROM content WHERE id NOT IN (SELECT content FROM version)"), 0);
    assert_true(count_files("content") + count_files("part") <= sql("SELECT count(*) FROM content WHERE state <> 1"));
    assert_int_equal(sql("SELECT count(*) FROM version WHERE content NOT IN (SELECT id FROM content)"), 0);
    assert_int_equal(sql("SELECT count(*) FROM chunks WHERE content NOT IN (SELECT id FROM content)"), 0);
}

static void whenever_a_process_is_killed_what_is_held_is_right_and_nothing_leaks(void **state)
{
    const char *given = getenv("AWSFS_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
    print_message("AWSFS_SEED=%llu\n", (unsigned long long)seed);
    pid_t steady = start("worker", next(&seed));
    for (unsigned i = 0; i < kills; i++) {
        pid_t pid = start("worker", next(&seed));
        usleep((useconds_t)(next(&seed) % 400000));
        end(pid);
        if (i % 4 == 3) {
            end(steady);
            verify();
            steady = start("worker", next(&seed));
        }
    }
    end(steady);
    verify();
}

int main(int argc, char **argv)
{
    self = argv[0];
    if (argc == 4 && strcmp(argv[1], "worker") == 0) {
        snprintf(cache_dir, sizeof(cache_dir), "%s", argv[2]);
        worker(strtoull(argv[3], NULL, 10));
    }
    if (argc == 2 && strcmp(argv[1], "long") == 0)
        kills = 300;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whenever_a_process_is_killed_what_is_held_is_right_and_nothing_leaks, scratch_setup,
                                        scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
