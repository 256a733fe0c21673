/* What a store makes of others: versions by their name, views of a directory. */
#include "support.h"

#include <stdio.h>

enum {
    TREE_ON = STORE_LIST_SUBTREE | STORE_LIST_CONTENT | STORE_SELF_NAMES | STORE_EMPTY_REFUSED | STORE_SLOW_COPY,
    TREE_OFF = STORE_START_AFTER | STORE_POSIX | STORE_MARKERS | STORE_MULTIPART,
};
static const struct rig_kind tree_kind = {.caps_on = TREE_ON, .caps_off = TREE_OFF};

static void a_view_is_made_of_what_is_known_and_costs_no_request(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/b", "2");
    others_put(&r, "d/a", "1");
    others_put(&r, "d/sub/c", "3");
    expect_names(&r, "", "d\n");
    rig_mark(&r);
    expect_file(&r, "d/@all", "a=1\nb=2\n");
    expect_file(&r, "d/@tree", "a=1\nb=2\nsub/c=3\n");
    expect_file(&r, "@all", "");
    assert_int_equal(rig_requests(&r), rig_count(&r, MEM_VIEW));
    expect_names(&r, "d", "a\nb\nsub\n");
    rig_stop(&r);
}

static void a_view_is_rendered_once_for_one_state(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/a", "1");
    uint64_t first = walk(&r, "d/@all");
    rig_mark(&r);
    assert_int_equal(walk(&r, "d/@all"), first);
    assert_int_equal(rig_requests(&r), 0);
    struct vfs_entry entry;
    assert_int_equal(look(&r, "d/@all", &entry), ERR_OK);
    assert_int_equal(entry.valid_ms, 0);
    assert_int_equal(entry.attr.valid_ms, 0);
    assert_int_equal(entry.attr.st.st_size, strlen("a=1\n"));
    write_file(&r, "d/a", "changed");
    assert_int_not_equal(walk(&r, "d/@all"), first);
    expect_file(&r, "d/@all", "a=changed\n");
    rig_stop(&r);
}

static void what_is_written_removed_and_renamed_here_shows_at_once(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/a", "1");
    others_put(&r, "d/b", "2");
    expect_file(&r, "d/@all", "a=1\nb=2\n");
    write_file(&r, "d/c", "3");
    expect_file(&r, "d/@all", "a=1\nb=2\nc=3\n");
    rig_mark(&r);
    expect_file(&r, "d/@all", "a=1\nb=2\nc=3\n");
    assert_int_equal(rig_requests(&r), 0);
    expect_ok(&r, vfs_unlink(r.v, walk(&r, "d"), "b", &r.who, &r.err));
    expect_file(&r, "d/@all", "a=1\nc=3\n");
    uint64_t d = walk(&r, "d");
    expect_ok(&r, vfs_rename(r.v, d, "c", d, "z", 0, &r.who, &r.err));
    expect_file(&r, "d/@all", "a=1\nz=3\n");
    rig_stop(&r);
}

static void many_that_were_written_cost_one_listing(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/a", "1");
    BUF(wanted, 4096);
    buf_add_str(&wanted, "a=1\n");
    expect_names(&r, "d", "a\n");
    for (int i = 10; i < 40; i++) {
        char path[16];
        snprintf(path, sizeof(path), "d/n%d", i);
        write_file(&r, path, "x");
        buf_addf(&wanted, "n%d=x\n", i);
    }
    rig_mark(&r);
    expect_file(&r, "d/@all", buf_str(&wanted));
    assert_int_equal(rig_count(&r, MEM_STAT), 0);
    assert_int_equal(rig_count(&r, MEM_LIST), 1);
    rig_stop(&r);
}

static void an_open_view_stays_what_it_was(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/a", "1");
    struct vfs_handle *h = open_at(&r, "d/@all", O_RDONLY);
    for (int i = 0; i < 100; i++) {
        char value[16];
        snprintf(value, sizeof(value), "%d", i);
        write_file(&r, "d/a", value);
        snprintf(value, sizeof(value), "a=%d\n", i);
        expect_file(&r, "d/@all", value);
    }
    BUF(got, 64);
    expect_ok(&r, read_some(&r, h, 0, 64, &got));
    assert_string_equal(buf_str(&got), "a=1\n");
    expect_ok(&r, close_file(&r, h));
    rig_stop(&r);
}

static void views_of_many_directories_do_not_pile_up(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    for (int i = 0; i < 100; i++) {
        char key[32];
        snprintf(key, sizeof(key), "d%d/a", i);
        others_put(&r, key, "some value of a parameter");
    }
    BUF(names, 4096);
    expect_ok(&r, names_in(&r, "", false, &names));
    struct vfs_stats none, one, all;
    vfs_stats(r.v, &none);
    expect_file(&r, "d0/@all", "a=some value of a parameter\n");
    vfs_stats(r.v, &one);
    for (int i = 0; i < 100; i++) {
        char path[32];
        snprintf(path, sizeof(path), "d%d/@all", i);
        expect_file(&r, path, "a=some value of a parameter\n");
    }
    vfs_stats(r.v, &all);
    assert_true(all.memory_used - none.memory_used <= 32 * (one.memory_used - none.memory_used));
    expect_file(&r, "d0/@all", "a=some value of a parameter\n");
    rig_stop(&r);
}

static void what_has_no_place_in_a_view_is_an_error_of_it(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/a", "1");
    others_put(&r, "d/odd", "!");
    struct vfs_entry entry;
    assert_int_equal(look(&r, "d/@all", &entry), ERR_INVAL);
    assert_non_null(strstr(r.err.msg, "odd"));
    expect_file(&r, "d/a", "1");
    write_file(&r, "d/odd", "fine");
    expect_file(&r, "d/@all", "a=1\nodd=fine\n");
    rig_stop(&r);
}

static void an_object_beside_a_directory_is_part_of_its_parents_view(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/both", "self");
    others_put(&r, "d/both/in", "1");
    expect_file(&r, "d/@all", "both=self\n");
    expect_file(&r, "d/both/@all", "in=1\n");
    expect_file(&r, "d/@tree", "both=self\nboth/in=1\n");
    rig_stop(&r);
}

static void a_view_of_more_than_the_store_takes_is_refused(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    char *text = calloc(1, 400001);
    assert_non_null(text);
    memset(text, 'x', 400000);
    others_put(&r, "d/a", text);
    others_put(&r, "d/b", text);
    struct vfs_entry entry;
    assert_int_equal(look(&r, "d/@all", &entry), ERR_OK);
    assert_int_equal(entry.attr.st.st_size, 2 * 400003);
    others_put(&r, "e/a", text);
    others_put(&r, "e/b/c", text);
    others_put(&r, "e/d", text);
    assert_int_equal(look(&r, "e/@tree", &entry), ERR_TOO_BIG);
    assert_int_equal(look(&r, "e/@all", &entry), ERR_OK);
    free(text);
    rig_stop(&r);
}

static void nothing_made_of_others_can_be_changed(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/a", "1");
    others_put(&r, "d/a@1", "0");
    uint64_t d = walk(&r, "d");
    static const char *const names[] = {"a@1", "@all"};
    for (size_t i = 0; i < 2; i++) {
        char path[16];
        snprintf(path, sizeof(path), "d/%s", names[i]);
        struct vfs_handle *h;
        assert_int_equal(try_open(&r, path, O_WRONLY, &h), ERR_ACCESS);
        assert_int_equal(vfs_unlink(r.v, d, names[i], &r.who, &r.err), ERR_PERM);
        assert_int_equal(vfs_rename(r.v, d, names[i], d, "x", 0, &r.who, &r.err), ERR_PERM);
        assert_int_equal(vfs_rename(r.v, d, "a", d, names[i], 0, &r.who, &r.err), ERR_PERM);
        struct vfs_setattr cut = {.set = VFS_SET_SIZE};
        struct vfs_attr attr;
        assert_int_equal(vfs_setattr(r.v, walk(&r, path), NULL, &cut, &r.who, &attr, &r.err), ERR_PERM);
    }
    expect_file(&r, "d/a", "1");
    rig_stop(&r);
}

static void after_a_write_here_its_versions_are_asked_for_again(void **state)
{
    struct rig r;
    rig_start(&r, &tree_kind);
    others_put(&r, "d/a", "1");
    expect_absent(&r, "d/a@2");
    rig_mark(&r);
    expect_absent(&r, "d/a@2");
    assert_int_equal(rig_requests(&r), 0);
    write_file(&r, "d/a", "2");
    others_put(&r, "d/a@2", "2");
    expect_file(&r, "d/a@2", "2");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_is_made_of_what_is_known_and_costs_no_request),
        cmocka_unit_test(a_view_is_rendered_once_for_one_state),
        cmocka_unit_test(what_is_written_removed_and_renamed_here_shows_at_once),
        cmocka_unit_test(many_that_were_written_cost_one_listing),
        cmocka_unit_test(an_open_view_stays_what_it_was),
        cmocka_unit_test(views_of_many_directories_do_not_pile_up),
        cmocka_unit_test(what_has_no_place_in_a_view_is_an_error_of_it),
        cmocka_unit_test(an_object_beside_a_directory_is_part_of_its_parents_view),
        cmocka_unit_test(a_view_of_more_than_the_store_takes_is_refused),
        cmocka_unit_test(nothing_made_of_others_can_be_changed),
        cmocka_unit_test(after_a_write_here_its_versions_are_asked_for_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
