/* Open files that the disk cache's own files serve. */
#include "support.h"

#include "cache/cache.h"
#include "util/digest.h"
#include "vfs/backing.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#define ORIGIN "http://test/bucket"
#define SIZE (BACKING_MIN + 4567)

struct place {
    char dir[64];
    struct cache *cache;
};

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void open_place(struct place *p)
{
    struct err e = ERR_INIT;
    const struct cache_config config = {.dir = p->dir, .size = CACHE_MIN_SIZE};
    if (cache_open(&config, &p->cache, &e))
        fail_msg("%s", e.msg);
}

static void start(struct rig *r, struct place *p)
{
    snprintf(p->dir, sizeof(p->dir), "/var/tmp/awsfs-backing-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    open_place(p);
    rig_store(r, &(struct rig_kind){.async = true});
    r->cfg.cache = p->cache;
    r->cfg.origin = ORIGIN;
    rig_mount(r);
    r->who.backing = true;
}

static void stop(struct rig *r, struct place *p)
{
    rig_stop(r);
    cache_close(p->cache);
    nftw(p->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* What the store has under the key is in the cache, whole and checked. */
static void hold(struct rig *r, struct place *p, const char *key, const char *text)
{
    struct store_object o = {0};
    char path[] = "/var/tmp/awsfs-backing-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    expect_ok(r, store_stat(r->store, key, NULL, &o, &r->err));
    const struct cache_version v = {.origin = ORIGIN, .key = key, .etag = o.version.etag, .size = strlen(text)};
    cache_adopt(p->cache, &v, fd, &(struct cache_sums){0});
    assert_true(cache_drain(p->cache, 20000));
    store_object_release(&o);
    rig_mark(r);
}

static void expect_backed(struct rig *r, struct vfs_handle *h, const char *text)
{
    struct vfs_backing b;
    CLEANUP(free) char *got = malloc(strlen(text));
    assert_true(vfs_backing(r->v, h, &b));
    assert_int_equal(pread(b.fd, got, strlen(text), 0), strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void a_content_that_is_held_whole_backs_its_readers(void **state)
{
    struct rig r;
    struct place p;
    struct vfs_backing b;
    start(&r, &p);
    CLEANUP(free) char *text = bytes_of(SIZE), *other = bytes_of(SIZE + 1);
    others_put(&r, "f", text);
    others_put(&r, "g", other);
    hold(&r, &p, "f", text);
    struct vfs_handle *f = open_at(&r, "f", O_RDONLY), *g = open_at(&r, "g", O_RDONLY);
    expect_backed(&r, f, text);
    assert_false(vfs_backing(r.v, g, &b)); /* the cache does not have it */
    assert_int_equal(rig_count(&r, MEM_GET), 0);
    release(&r, f);
    release(&r, g);
    stop(&r, &p);
}

static void another_version_is_not_backed_by_the_old_content(void **state)
{
    struct rig r;
    struct place p;
    struct vfs_backing b;
    start(&r, &p);
    CLEANUP(free) char *text = bytes_of(SIZE), *other = bytes_of(SIZE);
    other[SIZE / 2] ^= 1;
    others_put(&r, "f", text);
    hold(&r, &p, "f", text);
    others_put(&r, "f", other);
    struct vfs_handle *h = open_at(&r, "f", O_RDONLY);
    assert_false(vfs_backing(r.v, h, &b));
    release(&r, h);
    stop(&r, &p);
}

static void readers_keep_their_bytes_when_the_files_of_the_cache_are_gone(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    CLEANUP(free) char *text = bytes_of(SIZE);
    others_put(&r, "f", text);
    hold(&r, &p, "f", text);
    struct vfs_handle *h = open_at(&r, "f", O_RDONLY);
    expect_backed(&r, h, text);
    nftw(p.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    expect_backed(&r, h, text);
    release(&r, h);
    stop(&r, &p);
}

static void the_content_serves_another_mount_after_this_one(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    CLEANUP(free) char *text = bytes_of(SIZE);
    others_put(&r, "f", text);
    hold(&r, &p, "f", text);
    struct vfs_handle *h = open_at(&r, "f", O_RDONLY);
    expect_backed(&r, h, text);
    rig_unmount(&r); /* with the file open */
    cache_close(TAKE(p.cache));
    open_place(&p);
    r.cfg.cache = p.cache;
    rig_mount(&r);
    h = open_at(&r, "f", O_RDONLY);
    expect_backed(&r, h, text);
    release(&r, h);
    stop(&r, &p);
}

/* As a store tells it that computes a SHA-512 over whole objects. */
static void others_put_summed(struct rig *r, const char *key, const char *text)
{
    char hex[2 * DIGEST_MAX + 1];
    struct store_meta *meta = meta_of(0644, NULL);
    expect_ok(r, digest_hex(DIGEST_SHA512, text, strlen(text), hex, &r->err));
    expect_ok(r, store_meta_set_prop(meta, "checksum-sha512", hex, strlen(hex), &r->err));
    others_put_meta(r, key, text, meta);
}

static void a_copy_over_a_file_is_not_taken_for_what_was_there(void **state)
{
    struct rig r;
    struct place p;
    uint64_t copied = 0;
    start(&r, &p);
    CLEANUP(free) char *old = bytes_of(SIZE), *text = bytes_of(SIZE);
    text[SIZE / 2] ^= 1;
    others_put_summed(&r, "to", old);
    others_put(&r, "from", text);
    hold(&r, &p, "to", old);
    (void)stat_of(&r, "to");
    struct vfs_handle *from = open_at(&r, "from", O_RDONLY), *to = open_at(&r, "to", O_RDWR | O_TRUNC);
    struct vfs_copy c = {.from = from, .to = to, .len = SIZE};
    expect_ok(&r, vfs_copy(r.v, &c, &r.who, &copied, &r.err));
    expect_ok(&r, close_file(&r, to));
    release(&r, from);
    drain(&r);
    expect_file(&r, "to", text);
    stop(&r, &p);
}

static void the_sums_of_a_version_do_not_go_into_the_next(void **state)
{
    struct rig r;
    struct place p;
    start(&r, &p);
    CLEANUP(free) char *old = bytes_of(SIZE);
    others_put_summed(&r, "f", old);
    (void)stat_of(&r, "f");
    struct vfs_handle *h = open_at(&r, "f", O_RDWR);
    write_at(&r, h, 100, "changed");
    expect_ok(&r, close_file(&r, h));
    expect_ok(&r, try_chmod(&r, "f", 0600));
    drain(&r);
    CLEANUP(store_meta_unref) struct store_meta *meta = object_meta(&r, "f");
    assert_null(store_meta_prop(meta, "checksum-sha512", NULL));
    stop(&r, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_content_that_is_held_whole_backs_its_readers),
        cmocka_unit_test(another_version_is_not_backed_by_the_old_content),
        cmocka_unit_test(readers_keep_their_bytes_when_the_files_of_the_cache_are_gone),
        cmocka_unit_test(the_content_serves_another_mount_after_this_one),
        cmocka_unit_test(a_copy_over_a_file_is_not_taken_for_what_was_there),
        cmocka_unit_test(the_sums_of_a_version_do_not_go_into_the_next),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
