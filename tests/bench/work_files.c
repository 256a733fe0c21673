/* Jobs on many files: threads that take the next name of a list until none is left. */
#include "span.h"
#include "work.h"

#include <err.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { THREADS_MAX = 256, BLOCK = 128 << 10 };

struct crew {
    char *text;
    char **names;
    size_t count;
    atomic_size_t next;
    atomic_ullong bytes;
    uint64_t size; /* of a created file */
    struct span span;
    uint64_t (*one)(const struct crew *crew, const char *name, char *block);
};

static char *read_all(const char *path)
{
    int fd = work_open(path);
    struct stat st;
    char *text;

    if (fstat(fd, &st) < 0 || !(text = malloc((size_t)st.st_size + 1)))
        work_die(path);
    if (read(fd, text, (size_t)st.st_size) != st.st_size)
        work_die(path);
    text[st.st_size] = '\0';
    close(fd);
    return text;
}

static void crew_load(struct crew *crew, const char *list)
{
    size_t lines = 0;

    crew->text = read_all(list);
    for (const char *p = crew->text; *p; p++)
        lines += *p == '\n';
    crew->names = calloc(lines + 1, sizeof(*crew->names));
    if (!crew->names)
        work_die("memory");
    for (char *rest = crew->text, *name; (name = strsep(&rest, "\n")) && rest;)
        crew->names[crew->count++] = name;
}

static void *take_names(void *arg)
{
    struct crew *crew = arg;
    char *block = malloc(BLOCK);
    size_t i;

    if (!block)
        work_die("memory");
    memset(block, 0x5a, BLOCK);
    span_begin(&crew->span);
    while ((i = atomic_fetch_add(&crew->next, 1)) < crew->count) {
        atomic_fetch_add(&crew->bytes, crew->one(crew, crew->names[i], block));
        span_ended(&crew->span);
    }
    free(block);
    return NULL;
}

static void crew_run(struct crew *crew, const char *list, unsigned threads, struct work_done *done)
{
    pthread_t thread[THREADS_MAX];

    if (threads < 1 || threads > THREADS_MAX)
        errx(2, "threads: 1 to %d", THREADS_MAX);
    crew_load(crew, list);
    span_init(&crew->span, threads);
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&thread[i], NULL, take_names, crew) != 0)
            errx(1, "no thread");
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    done->seconds = span_seconds(&crew->span);
    span_release(&crew->span);
    done->bytes = atomic_load(&crew->bytes);
    done->items = crew->count;
    free(crew->names);
    free(crew->text);
}

static uint64_t read_one(const struct crew *crew, const char *name, char *block)
{
    int fd = work_open(name);
    uint64_t bytes = work_drain(fd, block, BLOCK, name, NULL);

    (void)crew;
    close(fd);
    return bytes;
}

static uint64_t create_one(const struct crew *crew, const char *name, char *block)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0 || write(fd, block, crew->size) != (ssize_t)crew->size || close(fd) < 0)
        work_die(name);
    return crew->size;
}

static uint64_t stat_one(const struct crew *crew, const char *name, char *block)
{
    struct stat st;

    (void)crew;
    (void)block;
    if (lstat(name, &st) < 0)
        work_die(name);
    return 0;
}

void work_read_files(const char *list, unsigned threads, struct work_done *done)
{
    struct crew crew = {.one = read_one};

    crew_run(&crew, list, threads, done);
}

void work_create_files(const char *list, unsigned threads, uint64_t size, struct work_done *done)
{
    struct crew crew = {.one = create_one, .size = size};

    if (size > BLOCK)
        errx(2, "files of up to %d bytes", BLOCK);
    crew_run(&crew, list, threads, done);
}

void work_stat_files(const char *list, unsigned threads, struct work_done *done)
{
    struct crew crew = {.one = stat_one};

    crew_run(&crew, list, threads, done);
}
