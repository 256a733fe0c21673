#include "support.h"

#include "util/cancel.h"
#include "util/clock.h"

#include <stdio.h>
#include <unistd.h>

static void a_fresh_listing_answers_without_requests(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "d/a", "one");
    others_put(&r, "d/sub/x", "two");
    expect_names(&r, "d", "a\nsub\n");
    rig_mark(&r);
    expect_names(&r, "d", "a\nsub\n");
    assert_int_equal(stat_of(&r, "d/a").st_size, 3);
    assert_true(S_ISDIR(stat_of(&r, "d/sub").st_mode));
    expect_absent(&r, "d/nothing");
    expect_absent(&r, "d/a%");
    assert_int_equal(rig_requests(&r), 0);
    rig_stop(&r);
}

static void a_name_that_nothing_answers_costs_one_listing_and_brings_its_neighbours(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.attrs = VFS_ATTRS_LIST});
    others_put(&r, "a", "1");
    others_put(&r, "b", "22");
    others_put(&r, "c", "333");
    rig_mark(&r);
    assert_int_equal(stat_of(&r, "b").st_size, 2);
    assert_int_equal(rig_count(&r, MEM_LIST), 1);
    assert_int_equal(stat_of(&r, "c").st_size, 3);
    assert_int_equal(rig_requests(&r), 1);
    rig_stop(&r);
}

static void an_absence_is_remembered(void **state)
{
    struct rig r;
    struct vfs_entry entry;
    rig_start(&r, NULL);
    others_put(&r, "b", "1");
    rig_mark(&r);
    expect_ok(&r, look(&r, "a", &entry));
    assert_int_equal(entry.ino, 0);
    assert_true(entry.valid_ms > 50000 && entry.valid_ms <= 60000);
    expect_absent(&r, "a");
    expect_absent(&r, "a");
    assert_int_equal(rig_count(&r, MEM_LIST), 1);
    assert_int_equal(rig_count(&r, MEM_STAT), 1); /* the first name of all, in the root */
    assert_int_equal(rig_requests(&r), 2);
    rig_stop(&r);
}

/* "f", "f-1" ... "f-9", then "f/": the page that shows the object ends before the directory would come. */
static void a_page_that_ends_before_the_directory_does_not_decide(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.page_size = 3, .attrs = VFS_ATTRS_LIST});
    char key[32];
    others_put(&r, "f", "object");
    for (int k = 0; k < 9; k++) {
        snprintf(key, sizeof(key), "f-%d", k);
        others_put(&r, key, "x");
    }
    others_put(&r, "f/x", "below");
    others_put(&r, "z", "z");
    rig_mark(&r);
    assert_true(S_ISDIR(stat_of(&r, "f").st_mode));
    assert_true(rig_requests(&r) <= 3);
    expect_file(&r, "f%", "object");
    expect_file(&r, "f/x", "below");
    rig_stop(&r);
}

static void a_page_that_ends_before_a_neighbours_directory_says_nothing_of_it(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.page_size = 3});
    others_put(&r, "e", "1");
    others_put(&r, "f", "object");
    others_put(&r, "f-0", "x");
    others_put(&r, "f-1", "x");
    others_put(&r, "f/x", "below");
    (void)walk(&r, "e");
    assert_true(S_ISDIR(stat_of(&r, "f").st_mode));
    rig_stop(&r);
}

static void an_object_beside_a_directory_has_a_name_of_its_own(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "the object");
    others_put(&r, "a/b", "below");
    others_put(&r, "a%", "a third");
    others_put(&r, "100%", "hundred");
    expect_names(&r, "", "100%\na%\na%25\na\n");
    expect_file(&r, "a%", "the object");
    expect_file(&r, "a%25", "a third");
    expect_file(&r, "100%", "hundred");
    expect_file(&r, "a/b", "below");
    rig_stop(&r);
}

static void percent_names_are_found_without_a_listing_before(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "the object");
    others_put(&r, "a/b", "below");
    others_put(&r, "a%", "a third");
    others_put(&r, "a%25", "a fourth");
    others_put(&r, "%2E", "odd");
    others_put(&r, "n/", "body of a marker");
    others_put(&r, "p/./q", "dot");
    others_put(&r, "p/../q", "dots");
    others_put(&r, "p//q", "empty");
    expect_file(&r, "a%25", "a third");
    expect_file(&r, "a%", "the object");
    expect_file(&r, "%252E", "odd");
    expect_file(&r, "n/%", "body of a marker");
    expect_file(&r, "p/%2E/q", "dot");
    expect_file(&r, "p/%2E%2E/q", "dots");
    expect_file(&r, "p/%/q", "empty");
    rig_stop(&r);
}

static void a_neighbour_with_a_percent_sign_is_not_guessed_from_half_a_page(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    others_put(&r, "a", "the object");
    others_put(&r, "a$", "the name looked up");
    others_put(&r, "a%", "a third");
    others_put(&r, "a/b", "below");
    (void)walk(&r, "a$");
    expect_file(&r, "a%", "the object");
    expect_file(&r, "a%25", "a third");
    rig_stop(&r);
}

static void every_key_of_a_mean_bucket_is_reachable(void **state)
{
    static const char *const keys[] = {
        "/", "//", "//x", "/x", "%", "%/x", "%%", "%25", "%2525", "%2E", "%2E/x", "%2E%", ".", "./x", "..", "../x",
        "a", "a/x", "a%", "a%/x", "a%%", "a%25", "a%2525", "d//", "d//x", "d/", "d/%", "d/%%", "d/%%/x",
        "f +%", "%~0123456789abcdef0123456789abcdef", "x%~0123456789abcdef0123456789abcdef/y",
    };
    struct rig r;
    rig_start(&r, NULL);
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        others_put(&r, keys[k], keys[k]);
    /* Walk over everything: each object is met once, with its own bytes. */
    char paths[200][600] = {""};
    bool met[ARRAY_LEN(keys)] = {false};
    size_t n = 1;
    for (size_t at = 0; at < n; at++) {
        BUF(names, 1 << 16);
        expect_ok(&r, names_in(&r, paths[at], false, &names));
        char *rest = names.data;
        for (char *name; rest && (name = strsep(&rest, "\n")) && *name;) {
            char path[600];
            snprintf(path, sizeof(path), "%.400s%s%.190s", paths[at], at ? "/" : "", name);
            if (S_ISDIR(stat_of(&r, path).st_mode)) {
                assert_true(n < 200);
                snprintf(paths[n++], 600, "%s", path);
                continue;
            }
            struct vfs_handle *h = open_at(&r, path, O_RDONLY);
            BUF(bytes, 4096);
            expect_ok(&r, read_some(&r, h, 0, 4096, &bytes));
            for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
                if (strcmp(keys[k], buf_str(&bytes)) != 0)
                    continue;
                assert_false(met[k]);
                met[k] = true;
            }
            expect_ok(&r, close_file(&r, h));
        }
    }
    for (size_t k = 0; k < ARRAY_LEN(keys); k++)
        if (!met[k])
            fail_msg("\"%s\" is not reachable", keys[k]);
    rig_stop(&r);
}

static void a_new_file_of_any_legal_name_has_that_key_and_that_name(void **state)
{
    static const char *const names[] = {"100%", "f +%", "%41", "x%25", "%%", "%2e", "a%b%25", "plain", "caf\xC3\xA9"};
    struct rig r;
    rig_start(&r, NULL);
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        write_file(&r, names[k], names[k]);
        expect_object(&r, names[k], names[k]);
    }
    rig_unmount(&r);
    rig_mount(&r);
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        expect_file(&r, names[k], names[k]);
    rig_stop(&r);
}

static void names_that_no_key_can_have_are_refused(void **state)
{
    struct rig r;
    struct vfs_entry entry;
    struct vfs_handle *h;
    rig_start(&r, NULL);
    char long_name[300];
    memset(long_name, 'x', sizeof(long_name));
    long_name[256] = 0;
    expect_code(&r, ERR_NAME_TOO_LONG, look(&r, long_name, &entry));
    expect_code(&r, ERR_BAD_NAME, look(&r, "\xFF\xFE", &entry));
    expect_code(&r, ERR_BAD_NAME, try_create(&r, "bad\xC3", O_RDWR, &h));
    expect_code(&r, ERR_NAME_TOO_LONG, try_create(&r, "x%~0123456789abcdef0123456789abcdef", O_RDWR, &h));
    rig_stop(&r);
}

static void a_key_over_its_limit_is_refused_before_a_request(void **state)
{
    struct rig r;
    struct vfs_handle *h;
    rig_start(&r, NULL);
    char part[201], path[1300] = "";
    memset(part, 'p', 200);
    part[200] = 0;
    for (int k = 0; k < 4; k++) {
        strcat(path, part);
        expect_ok(&r, try_mkdir(&r, path));
        strcat(path, "/");
    }
    char name[256];
    memset(name, 'n', 230);
    name[230] = 0;
    strcat(path, name);
    rig_mark(&r);
    expect_code(&r, ERR_NAME_TOO_LONG, try_create(&r, path, O_RDWR, &h));
    assert_int_equal(rig_requests(&r), 0);
    rig_stop(&r);
}

static void with_ttl_0_every_lookup_asks_and_the_open_after_it_does_not(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true, .attrs = VFS_ATTRS_LIST});
    others_put(&r, "f", "one");
    rig_mark(&r);
    (void)walk(&r, "f");
    (void)walk(&r, "f");
    assert_int_equal(rig_requests(&r), 2);
    rig_mark(&r);
    uint64_t ino = walk(&r, "f");
    struct vfs_handle *h;
    expect_ok(&r, vfs_open(r.v, ino, O_RDONLY, &r.who, &h, &r.err));
    assert_int_equal(rig_requests(&r), 1);
    release(&r, h);
    others_put(&r, "f", "other");
    assert_int_equal(stat_of(&r, "f").st_size, 5);
    others_remove(&r, "f");
    expect_absent(&r, "f");
    rig_stop(&r);
}

static void a_finite_ttl_counts_from_the_start_of_the_request(void **state)
{
    struct rig r;
    struct vfs_entry entry;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 300, .attrs = VFS_ATTRS_LIST});
    others_put(&r, "f", "one");
    rig_slow(&r, MEM_LIST, 200);
    expect_ok(&r, look(&r, "f", &entry));
    assert_true(entry.valid_ms <= 110);
    others_put(&r, "f", "three");
    usleep(120 * 1000);
    assert_int_equal(stat_of(&r, "f").st_size, 5);
    rig_stop(&r);
}

static void with_ttl_inf_nothing_is_asked_twice(void **state)
{
    struct rig r;
    struct vfs_entry entry;
    rig_start(&r, &(struct rig_kind){.ttl_ms = VFS_TTL_INF});
    others_put(&r, "f", "one");
    expect_names(&r, "", "f\n");
    others_put(&r, "f", "other");
    others_put(&r, "g", "new");
    expect_ok(&r, look(&r, "f", &entry));
    assert_true(entry.valid_ms == VFS_TTL_INF);
    assert_int_equal(entry.attr.st.st_size, 3);
    expect_absent(&r, "g");
    expect_names(&r, "", "f\n");
    assert_int_equal(rig_requests(&r), 0);
    rig_stop(&r);
}

static void what_others_replace_gets_a_new_nodeid_and_keeps_its_number(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "f", "one");
    uint64_t ino = walk(&r, "f");
    ino_t number = stat_of(&r, "f").st_ino;
    assert_true(walk(&r, "f") == ino);
    others_put(&r, "f", "two");
    assert_true(walk(&r, "f") != ino);
    assert_true(stat_of(&r, "f").st_ino == number);
    assert_true(r.notes >= 1);
    rig_stop(&r);
}

static void an_open_of_a_version_that_is_gone_is_stale(void **state)
{
    struct rig r;
    struct vfs_handle *h;
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "f", "one");
    uint64_t ino = walk(&r, "f");
    others_put(&r, "f", "two");
    (void)walk(&r, "f");
    expect_code(&r, ERR_CONFLICT, vfs_open(r.v, ino, O_RDWR, &r.who, &h, &r.err));
    rig_stop(&r);
}

static void errors_are_never_absences(void **state)
{
    static const enum err_code codes[] = {ERR_TIMEOUT, ERR_NET, ERR_THROTTLED, ERR_AUTH, ERR_PROTO, ERR_ACCESS};
    struct rig r;
    struct vfs_entry entry;
    BUF(names, 4096);
    rig_start(&r, &(struct rig_kind){.ttl_zero = true});
    others_put(&r, "d/f", "x");
    (void)walk(&r, "d");
    for (size_t k = 0; k < ARRAY_LEN(codes); k++) {
        /* Who may not list may still read what is there. */
        rig_fail(&r, MEM_LIST, "d/", codes[k], 1);
        expect_code(&r, codes[k] == ERR_ACCESS ? ERR_OK : codes[k], look(&r, "d/f", &entry));
        rig_fail(&r, MEM_LIST, "d/", codes[k], 1);
        expect_code(&r, codes[k], look(&r, "d/none", &entry));
        rig_fail(&r, MEM_LIST, "d/", codes[k], 1);
        expect_code(&r, codes[k], names_in(&r, "d", false, &names));
        rig_fail(&r, MEM_LIST, "d/", codes[k], 1);
        expect_code(&r, codes[k], try_rmdir(&r, "d"));
    }
    expect_names(&r, "d", "f\n");
    rig_stop(&r);
}

static void an_error_while_a_page_is_missing_is_no_short_directory(void **state)
{
    struct rig r;
    BUF(names, 4096);
    rig_start(&r, &(struct rig_kind){.page_size = 2});
    for (int k = 0; k < 5; k++)
        others_put(&r, (char[]){(char)('a' + k), 0}, "x");
    rig_fail(&r, MEM_LIST, NULL, ERR_OK, 1);
    rig_fail(&r, MEM_LIST, NULL, ERR_TIMEOUT, 1);
    expect_code(&r, ERR_TIMEOUT, names_in(&r, "", false, &names));
    expect_names(&r, "", "a\nb\nc\nd\ne\n");
    rig_stop(&r);
}

static void a_call_that_may_not_wait_sends_nothing(void **state)
{
    struct rig r;
    struct vfs_entry entry = {0};
    rig_start(&r, NULL);
    others_put(&r, "f", "x");
    r.who.nowait = true;
    expect_code(&r, ERR_AGAIN, vfs_lookup(r.v, VFS_ROOT, "f", &r.who, &entry, &r.err));
    struct vfs_dir_handle *d;
    expect_code(&r, ERR_AGAIN, vfs_opendir(r.v, VFS_ROOT, &r.who, &d, &r.err));
    assert_int_equal(rig_requests(&r), 0);
    r.who.nowait = false;
    expect_names(&r, "", "f\n");
    r.who.nowait = true;
    expect_ok(&r, vfs_lookup(r.v, VFS_ROOT, "f", &r.who, &entry, &r.err));
    rig_stop(&r);
}

struct interrupted {
    struct rig *r;
    struct cancel *cancel;
    enum err_code code;
};

static void *look_and_wait(void *arg)
{
    struct interrupted *x = arg;
    struct vfs_caller who = x->r->who;
    struct vfs_entry entry;
    struct err e = ERR_INIT;
    who.cancel = x->cancel;
    x->code = vfs_lookup(x->r->v, VFS_ROOT, "f", &who, &entry, &e);
    return NULL;
}

static void an_interrupt_ends_a_lookup(void **state)
{
    struct rig r;
    rig_start(&r, NULL);
    mem_store_hold(r.mem, MEM_LIST, NULL);
    struct interrupted x = {&r, cancel_new(), ERR_OK};
    pthread_t t;
    pthread_create(&t, NULL, look_and_wait, &x);
    assert_true(mem_store_wait_held(r.mem, MEM_LIST, 1, 60000));
    cancel_fire(x.cancel);
    pthread_join(t, NULL);
    assert_int_equal(x.code, ERR_CANCELED);
    mem_store_unhold(r.mem, MEM_LIST);
    cancel_unref(x.cancel);
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_listing_answers_without_requests),
        cmocka_unit_test(a_name_that_nothing_answers_costs_one_listing_and_brings_its_neighbours),
        cmocka_unit_test(an_absence_is_remembered),
        cmocka_unit_test(a_page_that_ends_before_the_directory_does_not_decide),
        cmocka_unit_test(a_page_that_ends_before_a_neighbours_directory_says_nothing_of_it),
        cmocka_unit_test(an_object_beside_a_directory_has_a_name_of_its_own),
        cmocka_unit_test(percent_names_are_found_without_a_listing_before),
        cmocka_unit_test(a_neighbour_with_a_percent_sign_is_not_guessed_from_half_a_page),
        cmocka_unit_test(every_key_of_a_mean_bucket_is_reachable),
        cmocka_unit_test(a_new_file_of_any_legal_name_has_that_key_and_that_name),
        cmocka_unit_test(names_that_no_key_can_have_are_refused),
        cmocka_unit_test(a_key_over_its_limit_is_refused_before_a_request),
        cmocka_unit_test(with_ttl_0_every_lookup_asks_and_the_open_after_it_does_not),
        cmocka_unit_test(a_finite_ttl_counts_from_the_start_of_the_request),
        cmocka_unit_test(with_ttl_inf_nothing_is_asked_twice),
        cmocka_unit_test(what_others_replace_gets_a_new_nodeid_and_keeps_its_number),
        cmocka_unit_test(an_open_of_a_version_that_is_gone_is_stale),
        cmocka_unit_test(errors_are_never_absences),
        cmocka_unit_test(an_error_while_a_page_is_missing_is_no_short_directory),
        cmocka_unit_test(a_call_that_may_not_wait_sends_nothing),
        cmocka_unit_test(an_interrupt_ends_a_lookup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
