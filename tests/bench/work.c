/* The jobs that the benchmark times on a mounted directory. Prints one line of JSON about what it did.
 *
 *   awsfs-bench-work sequential FILE           reads all of it, 128 KiB at a time, as cat does
 *   awsfs-bench-work random FILE COUNT SEED    preads 4 KiB at COUNT random offsets
 *   awsfs-bench-work touch FILE COUNT SEED     maps the file and touches a byte of COUNT random pages
 *   awsfs-bench-work files LIST THREADS        opens, reads, closes each
 *   awsfs-bench-work stat LIST THREADS         lstat of each
 *   awsfs-bench-work create LIST THREADS SIZE  creates each with SIZE bytes
 *   awsfs-bench-work write FILE SIZE           writes SIZE bytes in order, fsync, close
 *   awsfs-bench-work blocks DIR COUNT SIZE BLOCK  creates COUNT files of SIZE in order, BLOCK bytes a write(); opening and closing
 *                                              them is not counted
 *   awsfs-bench-work entries DIR               readdir to the end, without stat
 */
#include "work.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 128 << 10, PAGE = 4096, WRITE_BLOCK = 1 << 20 };

double work_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

_Noreturn void work_die(const char *what)
{
    err(1, "%s", what);
}

int work_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        work_die(path);
    return fd;
}

uint64_t work_drain(int fd, void *buffer, size_t size, const char *path, double *first_s)
{
    uint64_t total = 0;
    ssize_t n;

    while ((n = read(fd, buffer, size)) > 0) {
        if (first_s && *first_s < 0)
            *first_s = work_now();
        total += (uint64_t)n;
    }
    if (n < 0)
        work_die(path);
    return total;
}

/* The page that pread or touch number i goes to: the same for every tool, by splitmix64. */
static uint64_t random_page(uint64_t seed, uint64_t i, uint64_t pages)
{
    uint64_t z = seed + (i + 1) * 0x9E3779B97F4A7C15ULL;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return (z ^ (z >> 31)) % pages;
}

static uint64_t size_of(int fd, const char *path)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        work_die(path);
    if (st.st_size < PAGE)
        errx(1, "%s: only %lld bytes", path, (long long)st.st_size);
    return (uint64_t)st.st_size;
}

static void sequential(char **arg, struct work_done *done)
{
    static char buffer[BLOCK];
    double start = work_now(), first = -1;
    int fd = work_open(arg[0]);

    done->bytes = work_drain(fd, buffer, sizeof(buffer), arg[0], &first);
    done->seconds = work_now() - start;
    done->first_s = first - start;
    done->items = 1;
    close(fd);
}

static void random_reads(char **arg, struct work_done *done)
{
    uint64_t count = strtoull(arg[1], NULL, 10), seed = strtoull(arg[2], NULL, 10);
    static char buffer[PAGE];
    int fd = work_open(arg[0]);
    uint64_t pages = size_of(fd, arg[0]) / PAGE;
    double start = work_now();

    for (uint64_t i = 0; i < count; i++)
        if (pread(fd, buffer, PAGE, (off_t)(random_page(seed, i, pages) * PAGE)) != PAGE)
            work_die(arg[0]);
    done->seconds = work_now() - start;
    done->bytes = count * PAGE;
    done->items = count;
    close(fd);
}

static void random_touches(char **arg, struct work_done *done)
{
    uint64_t count = strtoull(arg[1], NULL, 10), seed = strtoull(arg[2], NULL, 10);
    int fd = work_open(arg[0]);
    uint64_t size = size_of(fd, arg[0]), pages = size / PAGE;
    double start = work_now();
    const volatile unsigned char *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    unsigned sum = 0;

    if (map == MAP_FAILED)
        work_die(arg[0]);
    for (uint64_t i = 0; i < count; i++)
        sum += map[random_page(seed, i, pages) * PAGE];
    done->seconds = work_now() - start;
    /* Printed nowhere, but read, so that no touch is optimised away. */
    done->items = count + (sum == UINT32_MAX);
    munmap((void *)(uintptr_t)map, size);
    close(fd);
}

static void write_file(char **arg, struct work_done *done)
{
    uint64_t size = strtoull(arg[1], NULL, 10), left = size;
    char *block = malloc(WRITE_BLOCK);
    double start;
    int fd;

    if (!block)
        work_die("memory");
    memset(block, 0x5a, WRITE_BLOCK);
    start = work_now();
    fd = open(arg[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        work_die(arg[0]);
    for (; left; left -= left < WRITE_BLOCK ? left : WRITE_BLOCK) {
        size_t n = left < WRITE_BLOCK ? (size_t)left : WRITE_BLOCK;

        memcpy(block, &left, sizeof(left)); /* no two blocks are the same */
        if (write(fd, block, n) != (ssize_t)n)
            work_die(arg[0]);
    }
    if (fsync(fd) < 0 || close(fd) < 0)
        work_die(arg[0]);
    done->seconds = work_now() - start;
    done->bytes = size;
    done->items = 1;
    free(block);
}

/* The seconds that its writes took. */
static double write_blocks(const char *path, uint64_t size, char *block, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    double start = work_now(), seconds;

    if (fd < 0)
        work_die(path);
    for (uint64_t at = 0; at < size; at += len) {
        memcpy(block, &at, sizeof(at)); /* no two blocks are the same */
        if (write(fd, block, len) != (ssize_t)len)
            work_die(path);
    }
    seconds = work_now() - start;
    if (close(fd) < 0)
        work_die(path);
    return seconds;
}

static void blocks(char **arg, struct work_done *done)
{
    uint64_t count = strtoull(arg[1], NULL, 10), size = strtoull(arg[2], NULL, 10);
    size_t len = strtoul(arg[3], NULL, 10);
    char *block = len >= sizeof(uint64_t) ? calloc(1, len) : NULL, path[4096];

    if (!block)
        work_die("a block");
    done->seconds = 0;
    for (uint64_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%s/blocks%" PRIu64, arg[0], i);
        done->seconds += write_blocks(path, size, block, len);
    }
    done->items = count * (size / len);
    done->bytes = count * size;
    free(block);
}

static void entries(char **arg, struct work_done *done)
{
    double start = work_now();
    DIR *d = opendir(arg[0]);

    if (!d)
        work_die(arg[0]);
    errno = 0;
    for (struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (done->first_s < 0)
            done->first_s = work_now() - start;
        done->items += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    }
    if (errno)
        work_die(arg[0]);
    done->seconds = work_now() - start;
    closedir(d);
}

static void files(char **arg, struct work_done *done)
{
    work_read_files(arg[0], (unsigned)strtoul(arg[1], NULL, 10), done);
}

static void stats(char **arg, struct work_done *done)
{
    work_stat_files(arg[0], (unsigned)strtoul(arg[1], NULL, 10), done);
}

static void create(char **arg, struct work_done *done)
{
    work_create_files(arg[0], (unsigned)strtoul(arg[1], NULL, 10), strtoull(arg[2], NULL, 10), done);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int arguments;
        void (*run)(char **arg, struct work_done *done);
    } jobs[] = {
        {"sequential", 1, sequential}, {"random", 3, random_reads}, {"touch", 3, random_touches},
        {"files", 2, files},           {"stat", 2, stats},          {"create", 3, create},
        {"write", 2, write_file},      {"blocks", 4, blocks},       {"entries", 1, entries},
    };
    struct work_done done = {.first_s = -1};

    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        if (argc < 2 || strcmp(argv[1], jobs[i].name) != 0 || argc - 2 != jobs[i].arguments)
            continue;
        jobs[i].run(argv + 2, &done);
        printf("{\"seconds\": %.6f, \"first_s\": %.6f, \"bytes\": %" PRIu64 ", \"items\": %" PRIu64 "}\n", done.seconds,
               done.first_s, done.bytes, done.items);
        return 0;
    }
    errx(2, "usage: see the head of tests/bench/work.c");
}
