/* Lookups in directories that one page of a listing holds, and in larger ones. */
#include "support.h"

#include <stdio.h>

/* The server cannot begin a listing at a key: lookups ask with a delimiter. */
static void refuse_walks(struct rig *r)
{
    rig_fail(r, MEM_LIST, "", ERR_UNSUPPORTED, 1);
    expect_absent(r, "zzz");
}

static unsigned lists_of_new_names(struct rig *r, int from, int n)
{
    char path[64];
    rig_mark(r);
    for (int k = from; k < from + n; k++) {
        snprintf(path, sizeof(path), "d/new%d", k);
        expect_absent(r, path);
        write_file(r, path, "x");
    }
    assert_int_equal(rig_count(r, MEM_STAT), 0);
    return rig_count(r, MEM_LIST);
}

static void new_names_in_a_directory_of_one_page_are_looked_up_with_one_listing_a_ttl(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.page_size = 60, .ttl_ms = 300000, .attrs = VFS_ATTRS_LIST});
    for (int k = 0; k < 20; k++)
        others_put(&r, (char[]){'d', '/', (char)('a' + k), 0}, "x");
    refuse_walks(&r);
    (void)walk(&r, "d");
    /* Nothing is known: one for the first name and what is behind it, one for all. */
    assert_int_equal(lists_of_new_names(&r, 0, 10), 1);
    expect_absent(&r, "d/a0");
    assert_int_equal(rig_count(&r, MEM_LIST), 2);
    assert_int_equal(lists_of_new_names(&r, 10, 30), 0);
    rig_stop(&r);
}

static bool is_old(void *arg)
{
    struct vfs_entry entry = {0};
    struct rig *r = arg;
    struct vfs_caller c = r->who;
    c.nowait = true;
    struct err e = ERR_INIT;
    return vfs_lookup(r->v, walk(r, "d"), "none", &c, &entry, &e) == ERR_AGAIN;
}

static void beyond_the_ttl_a_known_small_directory_is_listed_once_for_all_names(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 1500});
    others_put(&r, "d/a", "x");
    refuse_walks(&r);
    expect_names(&r, "d", "a\n");
    assert_true(within(60 * 1000, is_old, &r));
    (void)walk(&r, "d");
    rig_mark(&r);
    expect_absent(&r, "d/none");
    assert_int_equal(rig_count(&r, MEM_LIST), 1);
    struct vfs_caller c = r.who;
    c.nowait = true; /* now all of it is known, without asking */
    struct vfs_entry entry;
    expect_ok(&r, vfs_lookup(r.v, walk(&r, "d"), "another", &c, &entry, &r.err));
    assert_int_equal(rig_count(&r, MEM_LIST), 1);
    rig_stop(&r);
}

static unsigned lists_of_absent(struct rig *r, const char *const *paths, size_t n)
{
    rig_mark(r);
    for (size_t k = 0; k < n; k++)
        expect_absent(r, paths[k]);
    assert_int_equal(rig_count(r, MEM_STAT), 0);
    return rig_count(r, MEM_LIST);
}

static void in_a_large_directory_names_near_those_asked_for_cost_nothing_and_all_are_tried_once(void **state)
{
    static const char *const apart[] = {"d/f00x", "d/f15x", "d/f30x", "d/f45x"};
    static const char *const beside[] = {"d/f01x", "d/f09", "d/f23x", "d/f39x", "d/f49x", "d/g", "d/zzz"};
    struct rig r;
    rig_start(&r, &(struct rig_kind){.page_size = 10, .ttl_ms = 300000, .attrs = VFS_ATTRS_LIST});
    char key[32];
    for (int k = 0; k < 50; k++) {
        snprintf(key, sizeof(key), "d/f%02d", k);
        if (k != 9)
            others_put(&r, key, "x");
    }
    (void)walk(&r, "d"); /* brings the first ten */
    assert_int_equal(lists_of_absent(&r, apart, 4), 3 + 1);
    assert_int_equal(lists_of_absent(&r, beside, 7), 0);
    rig_stop(&r);
}

static void who_may_not_list_still_finds_what_may_be_read(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/a", "x");
    others_put(&r, "d/b", "x");
    uint64_t d = walk(&r, "d");
    rig_fail(&r, MEM_LIST, "d/", ERR_ACCESS, 1000);
    for (int k = 0; k < 3; k++) {
        struct vfs_entry entry = {0};
        expect_ok(&r, vfs_lookup(r.v, d, k == 1 ? "b" : "a", &r.who, &entry, &r.err));
        assert_true(entry.ino != 0);
    }
    rig_stop(&r);
}

/* The listing that served a lookup has not looked at attributes: the one of readdir makes up for it. */
static void a_directory_listed_for_a_lookup_is_still_sampled_by_readdir(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 300000});
    others_put_meta(&r, "d/a", "x", meta_of(S_IFREG | 0600, NULL));
    (void)walk(&r, "d");
    rig_mark(&r);
    expect_absent(&r, "d/none");
    expect_absent(&r, "d/nothing");
    assert_int_equal(rig_count(&r, MEM_STAT), 0);
    rig_mark(&r);
    BUF(out, 1000);
    expect_ok(&r, names_in(&r, "d", true, &out));
    assert_int_equal(rig_count(&r, MEM_LIST), 0);
    assert_int_equal(rig_count(&r, MEM_STAT), 1);
    assert_int_equal(stat_of(&r, "d/a").st_mode & 07777, 0600);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_names_in_a_directory_of_one_page_are_looked_up_with_one_listing_a_ttl),
        cmocka_unit_test(beyond_the_ttl_a_known_small_directory_is_listed_once_for_all_names),
        cmocka_unit_test(in_a_large_directory_names_near_those_asked_for_cost_nothing_and_all_are_tried_once),
        cmocka_unit_test(who_may_not_list_still_finds_what_may_be_read),
        cmocka_unit_test(a_directory_listed_for_a_lookup_is_still_sampled_by_readdir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
