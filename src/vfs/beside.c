#include "vfs/beside.h"

#include "cache/listings.h"
#include "util/str.h"
#include "vfs/backing.h"
#include "vfs/refill.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define HOLD_MS 2000 /* of what is unsent, and can be read from the journal */

_Static_assert(CONTENT_BLOCK == CACHE_CHUNK, "a block is a chunk");

struct beside {
    struct cache *cache;
    struct refill *refill; /* NULL: the kernel cannot be asked */
    char *origin, *prefix, *view;
    bool overlaid;
};

/* `full` gets the key's memory. */
static bool version_of(const struct beside *b, const char *key, const struct store_version *version, char **full,
                       struct cache_version *out)
{
    *full = str_printf("%s%s", b->prefix, key);
    *out = (struct cache_version){.origin = b->origin, .key = *full, .etag = version->etag, .size = version->size};
    return *full != NULL;
}

struct cache_entry *beside_entry(struct beside *b, const char *key, const struct store_version *version)
{
    CLEANUP(free) char *full = NULL;
    struct cache_version v;
    return version_of(b, key, version, &full, &v) ? cache_entry_get(b->cache, &v) : NULL;
}

/* ---- For contents */

static void *side_open(void *arg, const char *key, const struct store_version *version)
{
    return beside_entry(arg, key, version);
}

static void side_close(void *known)
{
    cache_entry_unref(known);
}

static void side_same(void *arg, void *to, void *from)
{
    struct beside *b = arg;
    cache_entry_same(to, from);
    if (b->refill)
        refill_moved(b->refill, to, from);
}

static uint64_t side_run(void *known, uint64_t offset, uint64_t length, bool *here)
{
    uint64_t held = cache_held(known, offset, length), lacks = CONTENT_BLOCK;
    *here = held > 0;
    if (held > 0)
        return held;
    cache_reading(known);
    while (lacks < length && cache_held(known, offset + lacks, 1) == 0)
        lacks += CONTENT_BLOCK;
    return lacks < length ? lacks : length;
}

static enum err_code side_get(void *known, const struct store_get *g, struct err *e)
{
    char block[CONTENT_BLOCK];
    for (uint64_t at = 0; at < g->length; at += CONTENT_BLOCK) {
        size_t len = g->length - at < CONTENT_BLOCK ? (size_t)(g->length - at) : CONTENT_BLOCK;
        struct err why = ERR_INIT;
        enum err_code code = ERR_OK;
        if (!cache_read(known, g->offset + at, block, len))
            code = err_set(&why, ERR_IO, "%s: not in the cache any more", g->key);
        else if (!g->data(g->arg, block, len))
            code = err_set(&why, ERR_CANCELED, "%s: not wanted any more", g->key);
        if (code) {
            g->done(g->arg, code, NULL, &why);
            return ERR_OK;
        }
    }
    g->done(g->arg, ERR_OK, NULL, NULL);
    return ERR_OK;
}

struct kept {
    struct cache_block chunk;
    struct content_block *block;
};

static void kept_done(struct cache_block *chunk)
{
    struct kept *k = CONTAINER_OF(chunk, struct kept, chunk);
    content_block_release(k->block);
    free(k);
}

static bool side_keep(void *known, uint64_t offset, const void *p, size_t len, struct content_block *block)
{
    cache_reading(known);
    struct kept *k = malloc(sizeof(*k));
    if (!k)
        return false;
    *k = (struct kept){.chunk = {.index = offset / CONTENT_BLOCK, .p = p, .len = (uint32_t)len, .done = kept_done}, .block = block};
    if (cache_put(known, &k->chunk) == CACHE_TAKEN)
        return true;
    free(k);
    return false;
}

static bool side_lets_pass(void *arg, void *known, uint64_t reader)
{
    const struct beside *b = arg;
    return b->refill && reader && cache_puts_off(known);
}

static bool side_passed(void *arg, void *known, uint64_t reader, uint64_t offset, uint32_t crc)
{
    struct beside *b = arg;
    cache_reading(known);
    if (b->refill && refill_note(b->refill, known, reader, offset, crc))
        return true;
    cache_losing(known);
    return false;
}

/* ---- For open files */

static int backing_open(void *arg, const char *key, const struct store_version *version, void **keep)
{
    struct cache_entry *n = beside_entry(arg, key, version);
    int fd = cache_entry_fd(n);
    if (fd < 0)
        cache_entry_unref(n);
    else
        *keep = n;
    return fd;
}

static void backing_close(void *arg, void *keep)
{
    cache_entry_unref(keep);
}

/* ---- What was stored from here */

/* Until it is copied the staging file takes room, which who writes next may need. */
static bool has_room(int fd, uint64_t size)
{
    struct statvfs disk;
    return fd >= 0 && fstatvfs(fd, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize >= size;
}

/* NULL where it is not as long as it was said to be. */
static char *bytes_of(struct stage *stage, uint64_t size)
{
    size_t n;
    struct err ignored = ERR_INIT;
    char *p = malloc((size_t)size);
    if (p && (stage_read_sending(stage, 0, p, (size_t)size, true, &n, &ignored) || n != size))
        free(TAKE(p));
    return p;
}

void beside_stored(struct vfs *v, const char *key, const struct store_version *version, struct stage *stage,
                   const uint8_t *sha512, uint64_t crc64nvme)
{
    CLEANUP(free) char *full = NULL;
    struct cache_version what;
    const struct cache_sums sums = {sha512, sha512 ? NULL : &crc64nvme};
    if (!v->beside || !stage_path(stage) || version->size == 0 || !version_of(v->beside, key, version, &full, &what))
        return;
    if (version->size <= CACHE_ADOPT_BYTES) {
        char *bytes = bytes_of(stage, version->size);
        unsigned hold_ms = vfs_has(v, STORE_LATER) ? HOLD_MS : 0;
        if (bytes)
            cache_adopt_bytes(v->beside->cache, &what, bytes, &sums, hold_ms);
        return;
    }
    CLEANUP(close) int fd = stage_reopen(stage);
    if (!has_room(fd, version->size))
        return;
    int taken = fd;
    fd = -1;
    cache_adopt(v->beside->cache, &what, taken, &sums);
}

void beside_writing(struct beside *b)
{
    if (b)
        cache_writing(b->cache);
}

/* ---- Notes */

void beside_note(struct beside *b, const char *key, const struct store_version *version, int64_t modified, const void *p, size_t len,
                 unsigned hold_ms)
{
    CLEANUP(free) char *full = NULL;
    struct cache_version v;
    if (version_of(b, key, version, &full, &v))
        cache_note_put(b->cache, &v, modified, p, len, hold_ms);
}

void *beside_noted(struct beside *b, const char *key, const struct store_version *version, int64_t *modified, size_t *len)
{
    CLEANUP(free) char *full = NULL;
    struct cache_version v;
    return version_of(b, key, version, &full, &v) ? cache_note_get(b->cache, &v, modified, len) : NULL;
}

bool beside_has_note(struct beside *b, const char *key)
{
    CLEANUP(free) char *full = str_printf("%s%s", b->prefix, key);
    return full && cache_note_has(b->cache, b->origin, full);
}

/* ---- Listings */

static bool dir_of(const struct beside *b, const char *key, char **full, struct cache_dir *out)
{
    *full = str_printf("%s%s", b->prefix, key);
    *out = (struct cache_dir){.origin = b->origin, .key = *full, .view = b->view};
    return *full != NULL;
}

void beside_listed(struct beside *b, const char *key, uint64_t taken_ms, uint8_t hint, const void *p, size_t len)
{
    CLEANUP(free) char *full = NULL;
    struct cache_dir d;
    if (dir_of(b, key, &full, &d))
        cache_listing_put(b->cache, &d, taken_ms, b->overlaid, hint, p, len);
}

void beside_listing_hint(struct beside *b, const char *key, uint64_t taken_ms, uint8_t hint)
{
    CLEANUP(free) char *full = NULL;
    struct cache_dir d;
    if (dir_of(b, key, &full, &d))
        cache_listing_hint(b->cache, &d, taken_ms, hint);
}

void *beside_listing(struct beside *b, const char *key, uint64_t max_age_ms, uint64_t *taken_ms, uint8_t *hint, size_t *len)
{
    CLEANUP(free) char *full = NULL;
    struct cache_dir d;
    return dir_of(b, key, &full, &d) ? cache_listing_get(b->cache, &d, max_age_ms, taken_ms, hint, len) : NULL;
}

void beside_listing_bad(struct beside *b, const char *key, const char *why)
{
    CLEANUP(free) char *full = NULL;
    struct cache_dir d;
    if (dir_of(b, key, &full, &d))
        cache_listing_bad(b->cache, &d, why);
}

struct given {
    struct cache_block chunk;
    char bytes[];
};

static void given_done(struct cache_block *chunk)
{
    free(CONTAINER_OF(chunk, struct given, chunk));
}

void beside_give(struct beside *b, const char *key, const struct store_version *version, const void *p)
{
    CLEANUP(cache_entry_unref) struct cache_entry *n = b && version->size <= CACHE_CHUNK ? beside_entry(b, key, version) : NULL;
    struct given *g = n ? malloc(sizeof(*g) + version->size) : NULL;
    if (!g)
        return;
    *g = (struct given){.chunk = {.p = g->bytes, .len = (uint32_t)version->size, .own = true, .done = given_done}};
    memcpy(g->bytes, p, version->size);
    if (cache_put(n, &g->chunk) != CACHE_TAKEN)
        free(g);
}

bool beside_holds(struct beside *b, const char *key, const struct store_version *version)
{
    CLEANUP(cache_entry_unref) struct cache_entry *n = b ? beside_entry(b, key, version) : NULL;
    return cache_held(n, 0, 1) > 0;
}

bool beside_has_size(struct beside *b, uint64_t size)
{
    return cache_has_size(b->cache, size);
}

/* ---- */

void beside_settle(struct beside *b, unsigned wait_ms)
{
    if (b)
        (void)refill_finish(b->refill, wait_ms);
}

void beside_stats(struct beside *b, struct refill_stats *out)
{
    refill_stats(b ? b->refill : NULL, out);
}

void beside_end(struct beside *b)
{
    if (b)
        refill_end(b->refill);
}

void beside_free(struct beside *b)
{
    if (!b)
        return;
    refill_free(b->refill);
    free(b->origin);
    free(b->prefix);
    free(b->view);
    free(b);
}

struct beside *beside_new(struct vfs *v, struct err *e)
{
    struct beside *b = calloc(1, sizeof(*b));
    if (!b || !(b->origin = strdup(v->cfg.origin)) || !(b->prefix = strdup(v->cfg.cache_prefix ? v->cfg.cache_prefix : "")) ||
        !(b->view = strdup(v->cfg.cache_view ? v->cfg.cache_view : ""))) {
        beside_free(b);
        (void)err_set(e, ERR_NOMEM, "no memory for the cache");
        return NULL;
    }
    b->cache = v->cfg.cache;
    b->overlaid = v->cfg.overlaid;
    if (v->cfg.notify.retrieve && !(b->refill = refill_new(v, e))) {
        beside_free(b);
        return NULL;
    }
    contents_beside(v->contents, &(struct content_side){.open = side_open, .close = side_close, .same = side_same, .run = side_run,
                                                        .get = side_get, .keep = side_keep, .lets_pass = side_lets_pass,
                                                        .passed = side_passed, .sums = b->refill != NULL, .arg = b});
    backing_from(v, &(struct backing_source){.open = backing_open, .close = backing_close, .arg = b});
    return b;
}
