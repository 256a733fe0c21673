/*
 * Runs a fuzz target without libFuzzer: every file of the corpus as it is, then mutations of them for a number of runs
 * or seconds. The sequence of inputs follows from the seed alone, which is printed first. An input that ends the
 * process is written to ./crash-SEED-RUN, to be given as the only argument afterwards.
 *
 *   fuzz_NAME [--seed=N] [--runs=N] [--seconds=N] [FILE|DIR...]
 */
#include "fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define INPUT_MAX   65536
#define SEEDS_MAX   1024
#define HANG_SECOND 20 /* longer than this for one input is a finding */

struct input {
    uint8_t *data;
    size_t size;
};

static struct input seeds[SEEDS_MAX];
static size_t n_seeds;

/* What is running, for the handlers. */
static struct input current;
static unsigned long long seed, run;

static uint64_t random_state;

/* splitmix64. */
static uint64_t random_next(void)
{
    uint64_t z = random_state += 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

static size_t random_below(size_t n)
{
    return n ? random_next() % n : 0;
}

static void save_current(void)
{
    char name[80];
    snprintf(name, sizeof(name), "crash-%llu-%llu", seed, run);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (write(fd, current.data, current.size) == (ssize_t)current.size)
        fprintf(stderr, "seed %llu, run %llu: input saved as %s\n", seed, run, name);
    close(fd);
}

static void on_signal(int number)
{
    save_current();
    signal(number, SIG_DFL);
    raise(number == SIGALRM ? SIGABRT : number);
}

/* Sanitizers end the process on their own way, where they are linked in. */
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void install_handlers(void)
{
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(save_current);
    else
        signal(SIGSEGV, on_signal);
    signal(SIGABRT, on_signal);
    signal(SIGALRM, on_signal);
}

static void run_input(const uint8_t *data, size_t size)
{
    /* A block of exactly that size, so that reading behind the end shows. */
    current.data = malloc(size ? size : 1);
    current.size = size;
    if (!current.data)
        abort();
    if (size)
        memcpy(current.data, data, size);
    alarm(HANG_SECOND);
    LLVMFuzzerTestOneInput(current.data, size);
    alarm(0);
    free(current.data);
    current = (struct input){NULL, 0};
    run++;
}

static void load_file(const char *path)
{
    static uint8_t bytes[INPUT_MAX];
    FILE *f = fopen(path, "rb");
    if (!f || n_seeds == SEEDS_MAX) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    size_t size = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    uint8_t *data = malloc(size ? size : 1);
    if (!data)
        abort();
    memcpy(data, bytes, size);
    seeds[n_seeds++] = (struct input){data, size};
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* A directory's files come in the order of their names: the sequence must not depend on the disk. */
static void load(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode)) {
        load_file(path);
        return;
    }
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_visible, alphasort);
    if (n < 0) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        load_file(file);
        free(entries[i]);
    }
    free(entries);
}

static void remove_bytes(struct input *in, size_t at, size_t len)
{
    memmove(in->data + at, in->data + at + len, in->size - at - len);
    in->size -= len;
}

/* Inserts bytes that do not lie in `in`, as far as there is room. */
static void insert_bytes(struct input *in, size_t at, const uint8_t *bytes, size_t len)
{
    if (len > INPUT_MAX - in->size)
        len = INPUT_MAX - in->size;
    memmove(in->data + at + len, in->data + at, in->size - at);
    memcpy(in->data + at, bytes, len);
    in->size += len;
}

static void insert_piece_of(struct input *in, const struct input *from)
{
    uint8_t piece[512];
    size_t start = random_below(from->size);
    size_t len = random_below(from->size - start) + (from->size > 0);
    if (len > sizeof(piece))
        len = sizeof(piece);
    if (len)
        memcpy(piece, from->data + start, len);
    insert_bytes(in, random_below(in->size + 1), piece, len);
}

static void insert_run(struct input *in)
{
    uint8_t bytes[300];
    size_t len = 1 + random_below(sizeof(bytes));
    memset(bytes, in->size ? in->data[random_below(in->size)] : 'A', len);
    insert_bytes(in, random_below(in->size + 1), bytes, len);
}

static void set_interesting(struct input *in, size_t at)
{
    static const uint8_t values[] =
        "\0\x01\x09\x0a\x0d\x7f\x80\xbf\xc0\xc2\xed\xf4\xff \"'%&<>/\\[]{}(),;:=+-_.#!?0189azAZ";
    in->data[at] = values[random_below(sizeof(values) - 1)];
}

static void mutate_once(struct input *in)
{
    size_t at = random_below(in->size);
    switch (random_below(in->size ? 8 : 2)) {
    case 0:
        insert_piece_of(in, &seeds[random_below(n_seeds)]);
        break;
    case 1:
        insert_run(in);
        break;
    case 2:
        in->data[at] ^= (uint8_t)(1U << random_below(8));
        break;
    case 3:
        in->data[at] = (uint8_t)random_next();
        break;
    case 4:
        set_interesting(in, at);
        break;
    case 5:
        remove_bytes(in, at, 1 + random_below(in->size - at < 64 ? in->size - at : 64));
        break;
    case 6:
        insert_piece_of(in, in);
        break;
    case 7:
        if (random_below(4) == 0)
            in->size = at;
        else
            set_interesting(in, at);
        break;
    }
}

static void run_mutation(void)
{
    static uint8_t bytes[INPUT_MAX];
    const struct input *from = &seeds[random_below(n_seeds)];
    struct input in = {bytes, from->size};
    memcpy(bytes, from->data, from->size);
    for (size_t n = 1 + random_below(random_below(4) ? 4 : 32); n > 0; n--)
        mutate_once(&in);
    run_input(in.data, in.size);
}

static double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* The value of "--NAME=N". */
static int read_option(const char *arg, const char *name, unsigned long long *value)
{
    size_t len = strlen(name);
    if (strncmp(arg, name, len) != 0)
        return 0;
    char *end;
    *value = strtoull(arg + len, &end, 10);
    if (end == arg + len || *end) {
        fprintf(stderr, "%s: not a number\n", arg);
        exit(2);
    }
    return 1;
}

int main(int argc, char **argv)
{
    unsigned long long runs = 0, seconds = 0;
    const char *given = getenv("AWSFS_SEED");
    seed = given && *given ? strtoull(given, NULL, 10) : (unsigned long long)time(NULL);
    for (int i = 1; i < argc; i++) {
        if (!read_option(argv[i], "--seed=", &seed) && !read_option(argv[i], "--runs=", &runs) &&
            !read_option(argv[i], "--seconds=", &seconds))
            load(argv[i]);
    }
    if (n_seeds == 0)
        seeds[n_seeds++] = (struct input){calloc(1, 1), 0};
    fprintf(stderr, "seed %llu\n", seed);
    install_handlers();
    for (size_t i = 0; i < n_seeds; i++)
        run_input(seeds[i].data, seeds[i].size);
    random_state = seed;
    double end = now() + (double)seconds;
    for (unsigned long long i = 0; i < runs || (seconds && now() < end); i++)
        run_mutation();
    fprintf(stderr, "%llu inputs\n", run);
    for (size_t i = 0; i < n_seeds; i++)
        free(seeds[i].data);
    return 0;
}
