/* Large directories: names are given as pages come, ranges of keys are listed at once, records become inodes when they are asked for. */
#include "support.h"

#include "keys.h"
#include "util/cancel.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct keys keys;

static void put_numbered(struct rig *r, int n)
{
    for (int k = 0; k < n; k++) {
        char key[32];
        snprintf(key, sizeof(key), "d/f%05d", k);
        others_put(r, key, "x");
    }
}

struct taking {
    unsigned n, most, with_inode;
    uint64_t next;
    char last[64];
};

static bool take(void *arg, const char *name, const struct vfs_entry *entry, uint64_t next)
{
    struct taking *t = arg;
    if (t->n == t->most)
        return false;
    t->n++;
    t->next = next;
    t->with_inode += entry->ino != 0;
    snprintf(t->last, sizeof(t->last), "%s", name);
    return true;
}

static enum err_code read_on(struct rig *r, struct vfs_dir_handle *d, struct taking *t)
{
    return vfs_readdir(r->v, d, t->next, false, &r->who, take, t, &r->err);
}

static int line_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a buffer, sorted. */
static char **lines(struct buf *b, size_t *n)
{
    char **out = calloc(b->len + 1, sizeof(char *)), *rest = b->data;
    *n = 0;
    for (char *line; rest && (line = strsep(&rest, "\n")) && *line;)
        out[(*n)++] = line;
    qsort(out, *n, sizeof(char *), line_order);
    return out;
}

static void names_of_mean_directories_are_those_of_a_serial_listing(void **state)
{
    for (unsigned kind = 0; kind < KEY_KINDS; kind++) {
        BUF(serial, 1 << 20);
        BUF(ranges, 1 << 20);
        unsigned pages = 0;
        keys_make(&keys, kind, 700, kind + 17);
        for (int at_once = 0; at_once < 2; at_once++) {
            struct rig r;
            rig_start(&r, &(struct rig_kind){.page_size = 9, .caps_off = at_once ? 0 : STORE_START_AFTER});
            for (size_t k = 0; k < keys.n; k++) {
                char key[KEY_SIZE + 8];
                snprintf(key, sizeof(key), "k/%s", keys.key[k]);
                others_put(&r, key, "x");
            }
            (void)walk(&r, "k");
            rig_mark(&r);
            expect_ok(&r, names_in(&r, "k", false, at_once ? &ranges : &serial));
            if (at_once)
                assert_in_range(rig_count(&r, MEM_LIST), pages, pages * 3 / 2);
            pages = rig_count(&r, MEM_LIST);
            BUF(again, 1 << 20);
            expect_ok(&r, names_in(&r, "k", false, &again));
            assert_int_equal(rig_count(&r, MEM_LIST), pages);
            assert_int_equal(again.len, at_once ? ranges.len : serial.len);
            rig_stop(&r);
        }
        size_t n, m;
        CLEANUP(free) char **expected = lines(&serial, &n);
        CLEANUP(free) char **got = lines(&ranges, &m);
        assert_true(n > 5);
        for (size_t k = 0; k < n && k < m; k++)
            assert_string_equal(got[k], expected[k]);
        assert_int_equal(n, m);
    }
}

static void the_first_names_come_while_the_others_are_listed(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.page_size = 10, .attrs = VFS_ATTRS_LIST});
    put_numbered(&r, 35);
    uint64_t dir = walk(&r, "d");
    struct vfs_dir_handle *d;
    struct taking t = {.most = 12};
    rig_mark(&r);
    rig_fail(&r, MEM_LIST, "d/", ERR_OK, 1);
    rig_slow(&r, MEM_LIST, 1000);
    expect_ok(&r, vfs_opendir(r.v, dir, &r.who, &d, &r.err));
    r.who.nowait = true; /* it has no answer that could be waited for */
    expect_ok(&r, read_on(&r, d, &t));
    assert_int_equal(t.n, 11); /* "f00009" is held back until the listing has passed "f00009/" */
    assert_string_equal(t.last, "f00008");
    rig_heal(&r);
    r.who.nowait = false;
    t.most = 100;
    while (t.n < 37)
        expect_ok(&r, read_on(&r, d, &t));
    assert_string_equal(t.last, "f00034");
    assert_int_equal(rig_count(&r, MEM_LIST), 4);
    vfs_releasedir(r.v, d);
    rig_stop(&r);
}

static void an_error_comes_where_names_are_missing(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.page_size = 10, .attrs = VFS_ATTRS_LIST});
    put_numbered(&r, 35);
    uint64_t dir = walk(&r, "d");
    struct vfs_dir_handle *d;
    struct taking t = {.most = 100};
    rig_fail(&r, MEM_LIST, "d/", ERR_OK, 1);
    rig_fail(&r, MEM_LIST, "d/", ERR_OK, 1);
    rig_fail(&r, MEM_LIST, "d/", ERR_TIMEOUT, 1000);
    expect_ok(&r, vfs_opendir(r.v, dir, &r.who, &d, &r.err));
    enum err_code code;
    while (!(code = read_on(&r, d, &t)))
        assert_true(t.n <= 21);
    assert_int_equal(code, ERR_TIMEOUT);
    assert_int_equal(t.n, 21);
    expect_code(&r, ERR_TIMEOUT, read_on(&r, d, &t)); /* it does not become an end */
    rig_heal(&r);
    t = (struct taking){.most = 100};
    do
        expect_ok(&r, read_on(&r, d, &t));
    while (t.n < 37);
    vfs_releasedir(r.v, d);
    rig_stop(&r);
}

static void *fire_later(void *arg)
{
    usleep(50 * 1000);
    cancel_fire(arg);
    return NULL;
}

static void who_waits_for_names_can_be_interrupted_and_others_go_on(void **state)
{
    struct rig r;
    pthread_t t;
    rig_start(&r, &(struct rig_kind){.page_size = 10, .attrs = VFS_ATTRS_LIST});
    put_numbered(&r, 15);
    uint64_t dir = walk(&r, "d");
    struct vfs_dir_handle *d, *other;
    struct taking x = {.most = 12, .next = 12}, y = {.most = 100};
    rig_slow(&r, MEM_LIST, 400);
    expect_ok(&r, vfs_opendir(r.v, dir, &r.who, &d, &r.err));
    expect_ok(&r, vfs_opendir(r.v, dir, &r.who, &other, &r.err)); /* joins */
    r.who.cancel = cancel_new();
    pthread_create(&t, NULL, fire_later, r.who.cancel);
    expect_code(&r, ERR_CANCELED, read_on(&r, d, &x));
    pthread_join(t, NULL);
    cancel_unref(r.who.cancel);
    r.who.cancel = NULL;
    vfs_releasedir(r.v, d);
    while (y.n < 17)
        expect_ok(&r, read_on(&r, other, &y));
    vfs_releasedir(r.v, other);
    rig_stop(&r);
}

static void who_closes_a_directory_early_ends_its_listing(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.page_size = 2, .attrs = VFS_ATTRS_LIST});
    put_numbered(&r, 1000);
    uint64_t dir = walk(&r, "d");
    struct vfs_dir_handle *d;
    rig_mark(&r);
    rig_slow(&r, MEM_LIST, 50);
    expect_ok(&r, vfs_opendir(r.v, dir, &r.who, &d, &r.err));
    vfs_releasedir(r.v, d);
    usleep(200 * 1000);
    unsigned asked = rig_count(&r, MEM_LIST);
    assert_in_range(asked, 1, 100); /* of 500 */
    usleep(200 * 1000);
    assert_int_equal(rig_count(&r, MEM_LIST), asked);
    rig_heal(&r);
    BUF(names, 1 << 20);
    expect_ok(&r, names_in(&r, "d", false, &names));
    assert_int_equal(names.len, 1000 * 7);
    rig_stop(&r);
}

static void a_listed_name_is_no_inode_until_somebody_looks(void **state)
{
    struct rig r;
    struct vfs_stats before, after;
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    put_numbered(&r, 3000);
    BUF(names, 1 << 20);
    expect_ok(&r, names_in(&r, "d", false, &names));
    size_t bytes = names.len;
    vfs_stats(r.v, &before);
    assert_true(before.names >= 3000 && before.inodes < 5);
    rig_mark(&r);
    assert_int_equal(stat_of(&r, "d/f00777").st_size, 1);
    expect_absent(&r, "d/f007770");
    vfs_stats(r.v, &after);
    assert_int_equal(after.names, before.names);
    assert_int_equal(after.inodes, before.inodes + 1);
    /* What is removed and made here shows at once. */
    expect_ok(&r, try_unlink(&r, "d/f00777"));
    expect_ok(&r, try_unlink(&r, "d/f00778"));
    write_file(&r, "d/f00779x", "made here");
    assert_int_equal(rig_count(&r, MEM_LIST), 0);
    buf_clear(&names);
    expect_ok(&r, names_in(&r, "d", false, &names));
    assert_int_equal(names.len, bytes - 2 * 7 + 8);
    assert_null(strstr(buf_str(&names), "f00778"));
    assert_non_null(strstr(buf_str(&names), "f00779\nf00779x\nf00780\n") ? names.data : strstr(buf_str(&names), "f00779x\nf00779\n"));
    rig_stop(&r);
}

static void a_refresh_keeps_the_inodes_of_what_is_the_same(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.page_size = 20, .ttl_ms = 150, .attrs = VFS_ATTRS_LIST});
    put_numbered(&r, 300);
    BUF(names, 1 << 20);
    expect_ok(&r, names_in(&r, "d", false, &names));
    uint64_t same = walk(&r, "d/f00100"), changed = walk(&r, "d/f00200"), gone = walk(&r, "d/f00250");
    others_put(&r, "d/f00200", "changed");
    others_remove(&r, "d/f00250");
    usleep(160 * 1000);
    buf_clear(&names);
    expect_ok(&r, names_in(&r, "d", false, &names));
    assert_int_equal(names.len, 299 * 7);
    rig_mark(&r);
    assert_true(walk(&r, "d/f00100") == same && walk(&r, "d/f00200") != changed);
    assert_int_equal(stat_of(&r, "d/f00200").st_size, 7);
    expect_absent(&r, "d/f00250");
    assert_true(gone != same);
    rig_stop(&r);
}

static void attributes_of_a_large_directory_are_for_who_asks(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    put_numbered(&r, 12000);
    struct vfs_dir_handle *d;
    uint64_t dir = walk(&r, "d");
    struct taking t = {.most = 100};
    expect_ok(&r, vfs_opendir(r.v, dir, &r.who, &d, &r.err));
    while (t.next < 12002) {
        t.n = t.with_inode = 0;
        uint64_t from = t.next;
        expect_ok(&r, vfs_readdir(r.v, d, from, true, &r.who, take, &t, &r.err));
        if (from > 0)
            assert_int_equal(t.with_inode, from < 10000 ? t.n : 0);
    }
    /* Who looks the names up gets the attributes of the next ones with them. */
    t.next = 10000;
    unsigned with = 0;
    for (int k = 0; k < 6; k++) {
        t.n = t.with_inode = 0;
        expect_ok(&r, vfs_readdir(r.v, d, t.next, true, &r.who, take, &t, &r.err));
        with += t.with_inode == t.n;
        struct vfs_entry entry;
        if (t.with_inode == 0)
            expect_ok(&r, vfs_lookup(r.v, dir, t.last, &r.who, &entry, &r.err));
    }
    assert_in_range(with, 4, 5);
    vfs_releasedir(r.v, d);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_mean_directories_are_those_of_a_serial_listing),
        cmocka_unit_test(the_first_names_come_while_the_others_are_listed),
        cmocka_unit_test(an_error_comes_where_names_are_missing),
        cmocka_unit_test(who_waits_for_names_can_be_interrupted_and_others_go_on),
        cmocka_unit_test(who_closes_a_directory_early_ends_its_listing),
        cmocka_unit_test(a_listed_name_is_no_inode_until_somebody_looks),
        cmocka_unit_test(a_refresh_keeps_the_inodes_of_what_is_the_same),
        cmocka_unit_test(attributes_of_a_large_directory_are_for_who_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
