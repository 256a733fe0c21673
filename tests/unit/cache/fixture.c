#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "util/sqlite.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char cache_dir[64];

int scratch_setup(void **state)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(cache_dir, sizeof(cache_dir), "%.40s/cache-XXXXXX", tmp ? tmp : "/tmp");
    return mkdtemp(cache_dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    return remove(path);
}

int scratch_teardown(void **state)
{
    return nftw(cache_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct cache *open_cache(uint64_t size)
{
    struct cache *c = NULL;
    struct err e = ERR_INIT;
    struct cache_config config = {.dir = cache_dir, .size = size};
    if (cache_open(&config, &c, &e) != ERR_OK)
        fail_msg("%s", e.msg);
    return c;
}

struct cache *open_filled(uint64_t size, const struct cache_version *v)
{
    struct cache *c = open_cache(size);
    fill(c, v, 1);
    return c;
}

void settle(struct cache *c)
{
    assert_true(cache_drain(c, 60000));
}

void close_cache(struct cache *c)
{
    settle(c);
    cache_close(c);
}

struct cache_version version_of(const char *key, const char *etag, uint64_t size)
{
    return (struct cache_version){.origin = "http://server bucket", .key = key, .etag = etag, .size = size};
}

void make_bytes(unsigned seed, uint64_t offset, void *p, size_t len)
{
    uint8_t *out = p;
    for (size_t i = 0; i < len; i++) {
        uint64_t at = offset + i;
        out[i] = (uint8_t)((at * 2654435761u + seed * 40503u) >> 13 ^ at >> 17 ^ seed);
    }
}

/* Its bytes are aligned as blocks in memory are. */
struct piece {
    struct cache_block block;
    char bytes[CACHE_CHUNK] __attribute__((aligned(4096)));
};

static void piece_done(struct cache_block *b)
{
    free((struct piece *)b);
}

void fill_chunks(struct cache *c, const struct cache_version *v, unsigned seed, uint64_t from, uint64_t to)
{
    struct cache_entry *n = cache_entry_get(c, v);
    for (uint64_t i = from; i < to; i++) {
        struct piece *p = aligned_alloc(4096, sizeof(*p));
        uint64_t left = v->size - i * CACHE_CHUNK;
        p->block = (struct cache_block){.index = i, .p = p->bytes, .done = piece_done,
                                        .len = left < CACHE_CHUNK ? (uint32_t)left : CACHE_CHUNK};
        make_bytes(seed, i * CACHE_CHUNK, p->bytes, p->block.len);
        unsigned tries = 0;
        enum cache_answer answer;
        while ((answer = cache_put(n, &p->block)) != CACHE_TAKEN && tries++ < 2000 && stats_of(c).trouble[0] == '\0')
            usleep(1000);
        if (answer != CACHE_TAKEN)
            free(p);
    }
    cache_entry_unref(n);
}

void fill(struct cache *c, const struct cache_version *v, unsigned seed)
{
    fill_chunks(c, v, seed, 0, (v->size + CACHE_CHUNK - 1) / CACHE_CHUNK);
    settle(c);
}

uint64_t held_chunks(struct cache *c, const struct cache_version *v, unsigned seed)
{
    static _Thread_local char got[CACHE_CHUNK], want[CACHE_CHUNK];
    uint64_t held = 0;
    struct cache_entry *n = cache_entry_get(c, v);
    for (uint64_t at = 0; at < v->size; at += CACHE_CHUNK) {
        size_t len = v->size - at < CACHE_CHUNK ? (size_t)(v->size - at) : CACHE_CHUNK;
        if (!cache_read(n, at, got, len))
            continue;
        make_bytes(seed, at, want, len);
        assert_memory_equal(got, want, len);
        held++;
    }
    cache_entry_unref(n);
    return held;
}

bool holds(struct cache *c, const struct cache_version *v, unsigned seed)
{
    return held_chunks(c, v, seed) == (v->size + CACHE_CHUNK - 1) / CACHE_CHUNK;
}

struct cache_stats stats_of(struct cache *c)
{
    struct cache_stats s;
    cache_stats(c, &s);
    return s;
}

/* ---- Files */

static char found[512];
static unsigned n_found;
static uint64_t n_bytes;

static int look(const char *path, const struct stat *st, int type, struct FTW *f)
{
    if (type != FTW_F)
        return 0;
    n_found++;
    n_bytes += (uint64_t)st->st_blocks * 512;
    snprintf(found, sizeof(found), "%s", path);
    return 0;
}

unsigned count_files(const char *below)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", cache_dir, below);
    n_found = 0;
    n_bytes = 0;
    found[0] = '\0';
    (void)nftw(path, look, 16, FTW_PHYS);
    return n_found;
}

void find_file(const char *below, char path[512])
{
    (void)count_files(below);
    memcpy(path, found, sizeof(found));
}

uint64_t disk_usage(void)
{
    (void)count_files(".");
    return n_bytes;
}

void spoil(const char *path, uint64_t offset)
{
    char byte;
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte++;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

int64_t sql(const char *text)
{
    char path[128];
    struct db *d = NULL;
    int64_t n = -1;
    struct err e = ERR_INIT;
    snprintf(path, sizeof(path), "%s/index.db", cache_dir);
    assert_int_equal(db_open(path, false, 1000, NULL, 0, &d, &e), ERR_OK);
    enum err_code code = db_number(d, text, &n, &e);
    if (code != ERR_OK && code != ERR_NO_ATTR)
        fail_msg("%s: %s", text, e.msg);
    db_close(d);
    return n;
}

void sql_all(const char *text)
{
    char path[128];
    struct db *d = NULL;
    struct err e = ERR_INIT;
    snprintf(path, sizeof(path), "%s/index.db", cache_dir);
    assert_int_equal(db_open(path, false, 1000, NULL, 0, &d, &e), ERR_OK);
    if (db_exec(d, text, &e) != ERR_OK)
        fail_msg("%s: %s", text, e.msg);
    db_close(d);
}
