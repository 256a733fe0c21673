/* Listings without delimiter: what they bring is what a listing with one brings, with fewer requests. */
#include "support.h"

#include "util/cleanup.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATHS_MAX 4000

/* All that a user sees, in the order of the walk. */
struct seen {
    char *path[PATHS_MAX];
    struct stat st[PATHS_MAX];
    size_t n;
};

static void seen_release(struct seen *s)
{
    for (size_t k = 0; k < s->n; k++)
        free(s->path[k]);
    s->n = 0;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* As find does: a directory's names with their attributes, then what is below each; by their bytes, since the order of a
 * directory's names depends on how it became known. */
static void find_below(struct rig *r, const char *path, struct seen *out)
{
    BUF(names, 1 << 20);
    expect_ok(r, names_in(r, path, true, &names));
    CLEANUP(free) char **sorted = calloc(PATHS_MAX, sizeof(char *));
    size_t n = 0;
    assert_non_null(sorted);
    char *rest = names.data;
    for (char *name; rest && (name = strsep(&rest, "\n")) && *name; sorted[n++] = name)
        assert_true(n < PATHS_MAX);
    qsort(sorted, n, sizeof(*sorted), by_bytes);
    for (size_t k = 0; k < n; k++) {
        char *name = sorted[k];
        char *below = str_printf("%s%s%s", path, *path ? "/" : "", name);
        assert_non_null(below);
        assert_true(out->n < PATHS_MAX);
        out->path[out->n] = below;
        out->st[out->n] = stat_of(r, below);
        if (S_ISDIR(out->st[out->n++].st_mode))
            find_below(r, below, out);
    }
}

/* Lookups ask with a delimiter from now on, and nobody who walks is noticed. */
static void refuse_walks(struct rig *r)
{
    rig_fail(r, MEM_LIST, "", ERR_UNSUPPORTED, 1);
    expect_absent(r, "no such name");
}

static unsigned random_below(unsigned *seed, unsigned n)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % n;
}

/* Few components, so that objects stand beside directories of their name, and what looks like escapes beside what is escaped. */
static void put_mean_keys(struct rig *r, unsigned *seed, unsigned n)
{
    static const char *const parts[] = {"a", "a%", "a%25", "a-", "a.b", "b", "%", "%25", "%2E", ".", "..", "", "\xc3\xa4", "z!",
                                        "%~0123456789abcdef0123456789abcdef", "c", "d", "e", "f", "g"};
    for (unsigned k = 0; k < n; k++) {
        BUF(key, 1000);
        unsigned depth = 1 + random_below(seed, 4);
        for (unsigned d = 0; d < depth; d++) {
            buf_add_str(&key, parts[random_below(seed, ARRAY_LEN(parts))]);
            if (d + 1 < depth || random_below(seed, 8) == 0)
                buf_add_char(&key, '/');
        }
        if (key.len > 0)
            others_put(r, buf_str(&key), random_below(seed, 3) ? "body" : "");
    }
}

static void expect_same(const struct seen *a, const struct seen *b)
{
    for (size_t k = 0; k < a->n || k < b->n; k++) {
        const char *x = k < a->n ? a->path[k] : "(end)", *y = k < b->n ? b->path[k] : "(end)";
        assert_string_equal(x, y);
        assert_int_equal(a->st[k].st_mode, b->st[k].st_mode);
        assert_int_equal(a->st[k].st_size, b->st[k].st_size);
        assert_true(a->st[k].st_ino == b->st[k].st_ino);
    }
}

static void start_mean(struct rig *r, unsigned seed)
{
    static const unsigned pages[] = {2, 3, 5, 10, 40, 1000};
    rig_start(r, &(struct rig_kind){.page_size = pages[seed % ARRAY_LEN(pages)], .ttl_ms = 300000, .attrs = VFS_ATTRS_LIST});
    unsigned numbers = seed;
    put_mean_keys(r, &numbers, 10 + seed * 7 % 300);
}

static void look_at_some(struct rig *r, const struct seen *all, unsigned seed, unsigned times)
{
    for (unsigned k = 0; k < times && all->n > 0; k++) {
        size_t at = random_below(&seed, (unsigned)all->n);
        struct stat st = stat_of(r, all->path[at]);
        assert_int_equal(st.st_mode, all->st[at].st_mode);
        assert_int_equal(st.st_size, all->st[at].st_size);
        assert_true(st.st_ino == all->st[at].st_ino);
        if (k % 3 == 0) {
            CLEANUP(free) char *none = str_printf("%s!none", all->path[at]);
            expect_absent(r, none);
        }
    }
}

static void names_of_mean_trees_are_those_of_listings_with_a_delimiter(void **state)
{
    struct seen *plain = calloc(1, sizeof(*plain)), *walked = calloc(1, sizeof(*walked));
    for (unsigned seed = 1; seed <= 120; seed++) {
        struct rig r;
        start_mean(&r, seed);
        refuse_walks(&r);
        find_below(&r, "", plain);
        rig_stop(&r);

        start_mean(&r, seed);
        find_below(&r, "", walked);
        expect_same(plain, walked);
        look_at_some(&r, plain, seed, 100);
        rig_stop(&r);
        seen_release(walked);

        start_mean(&r, seed);
        look_at_some(&r, plain, seed, 100);
        find_below(&r, "", walked);
        expect_same(plain, walked);
        rig_stop(&r);
        seen_release(walked);
        seen_release(plain);
    }
    free(plain);
    free(walked);
}

/* Something behind everything else was looked at: the first name of all, in the root, is asked for by a HEAD as well. */
static void know_root(struct rig *r)
{
    others_put(r, "zz/f", "x");
    (void)walk(r, "zz/f");
    rig_mark(r);
}

static void put_tree(struct rig *r, int a, int b, int f)
{
    for (int i = 0; i < a; i++)
        for (int j = 0; j < b; j++)
            for (int k = 0; k < f; k++) {
                char key[64];
                snprintf(key, sizeof(key), "tree/a%02d/b%02d/f%04d", i, j, k);
                others_put(r, key, "x");
            }
}

static void find_over_a_tree_is_a_listing_a_page_of_names_and_three_requests_more(void **state)
{
    struct rig r;
    struct seen *all = calloc(1, sizeof(*all));
    rig_start(&r, &(struct rig_kind){.page_size = 100, .ttl_ms = 300000});
    put_tree(&r, 10, 11, 9); /* 990 objects */
    know_root(&r);
    (void)walk(&r, "tree");
    find_below(&r, "tree", all);
    assert_int_equal(all->n, 10 + 110 + 990);
    assert_true(rig_count(&r, MEM_LIST) <= 10 + 1);
    assert_true(rig_count(&r, MEM_STAT) <= 2);
    rig_mark(&r);
    seen_release(all);
    find_below(&r, "tree", all);
    assert_int_equal(rig_requests(&r), 0);
    seen_release(all);
    free(all);
    rig_stop(&r);
}

static void a_listing_of_one_directory_of_a_huge_tree_is_at_most_one_request_more(void **state)
{
    struct rig r;
    BUF(names, 1 << 16);
    rig_start(&r, &(struct rig_kind){.page_size = 50, .ttl_ms = 300000});
    put_tree(&r, 10, 11, 9);
    rig_mark(&r);
    expect_ok(&r, names_in(&r, "tree", true, &names));
    usleep(20000); /* nothing is fetched ahead */
    assert_int_equal(rig_count(&r, MEM_LIST), 2); /* the lookup's, and that of ten names */
    expect_ok(&r, names_in(&r, "tree/a00", true, &names));
    assert_true(rig_count(&r, MEM_LIST) <= 4);
    unsigned before = rig_count(&r, MEM_LIST);
    for (int k = 1; k < 10; k++) {
        char path[32];
        snprintf(path, sizeof(path), "tree/a%02d", k);
        expect_ok(&r, names_in(&r, path, true, &names));
    }
    /* Each page ended inside the directory that it was for: after two of them none is asked for. */
    assert_true(rig_count(&r, MEM_LIST) - before <= 9 + 2);
    rig_stop(&r);
}

static void a_page_without_delimiter_knows_whole_directories(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.page_size = 100, .ttl_ms = 300000, .attrs = VFS_ATTRS_LIST});
    put_tree(&r, 2, 5, 9);
    rig_mark(&r);
    (void)walk(&r, "tree/a00/b03/f0004");
    (void)walk(&r, "tree/a01/b04/f0008");
    expect_absent(&r, "tree/a01/b04/f0009");
    expect_absent(&r, "tree/a01/b05");
    expect_absent(&r, "tree/a02");
    assert_int_equal(rig_requests(&r), 1);
    BUF(names, 4096);
    expect_ok(&r, names_in(&r, "tree/a01", true, &names));
    assert_int_equal(rig_requests(&r), 1);
    rig_stop(&r);
}

static void what_is_made_and_removed_here_while_a_walk_goes_on_is_not_undone_by_it(void **state)
{
    struct rig r;
    BUF(names, 1 << 16);
    rig_start(&r, &(struct rig_kind){.page_size = 50, .ttl_ms = 300000, .attrs = VFS_ATTRS_LIST});
    put_tree(&r, 4, 5, 9);
    (void)walk(&r, "tree");
    expect_ok(&r, names_in(&r, "tree", true, &names));
    expect_ok(&r, names_in(&r, "tree/a00", true, &names));
    /* The directory in which a page has ended is merged again with the next one. */
    expect_ok(&r, try_unlink(&r, "tree/a00/b04/f0000"));
    expect_ok(&r, try_unlink(&r, "tree/a01/b00/f0000"));
    write_file(&r, "tree/a01/b00/new", "x");
    expect_ok(&r, try_rename(&r, "tree/a01/b01/f0001", "tree/a01/b01/other", 0));
    expect_ok(&r, try_rename(&r, "tree/a02", "tree/zzz", 0));
    struct seen *all = calloc(1, sizeof(*all));
    find_below(&r, "tree", all);
    assert_int_equal(all->n, 4 + 20 + 4 * 45 - 2 + 1);
    expect_absent(&r, "tree/a00/b04/f0000");
    expect_absent(&r, "tree/a01/b00/f0000");
    expect_absent(&r, "tree/a01/b01/f0001");
    expect_absent(&r, "tree/a02");
    expect_file(&r, "tree/a01/b00/new", "x");
    expect_file(&r, "tree/a01/b01/other", "x");
    expect_file(&r, "tree/zzz/b04/f0008", "x");
    seen_release(all);
    free(all);
    rig_stop(&r);
}

static void files_of_many_directories_opened_by_name_are_a_get_each_and_a_listing_a_page(void **state)
{
    struct rig r;
    char path[64];
    rig_start(&r, &(struct rig_kind){.page_size = 50, .ttl_ms = 300000, .async = true, .meta_in_get = true});
    for (int k = 0; k < 100; k++) {
        snprintf(path, sizeof(path), "small/d%02d/f%05d", k % 20, k / 20);
        others_put(&r, path, path);
    }
    know_root(&r);
    for (int k = 0; k < 80; k++) {
        snprintf(path, sizeof(path), "small/d%02d/f%05d", k % 20, k / 20);
        struct vfs_handle *h = open_at(&r, path, O_RDONLY);
        expect_bytes(&r, h, path);
        release(&r, h);
    }
    struct vfs_stats st;
    vfs_stats(r.v, &st);
    assert_int_equal(rig_count(&r, MEM_GET), 80 + st.files_ahead - st.files_ahead_used);
    assert_true(st.files_ahead - st.files_ahead_used <= 20); /* one ahead in each directory, when the reader stopped */
    assert_int_equal(rig_count(&r, MEM_LIST), 2);
    assert_int_equal(rig_count(&r, MEM_STAT), 0);
    rig_stop(&r);
}

static void one_sample_holds_for_128_directories_of_a_listing(void **state)
{
    struct rig r;
    struct seen *all = calloc(1, sizeof(*all));
    rig_start(&r, &(struct rig_kind){.ttl_ms = 300000});
    for (int k = 0; k < 300; k++) {
        char key[64];
        snprintf(key, sizeof(key), "tree/d%03d/f", k);
        others_put(&r, key, "x");
    }
    know_root(&r);
    (void)walk(&r, "tree");
    find_below(&r, "tree", all);
    assert_int_equal(all->n, 600);
    assert_int_equal(rig_count(&r, MEM_STAT), 3);
    seen_release(all);
    free(all);
    rig_stop(&r);
}

static void a_directory_with_posix_metadata_ends_what_others_share(void **state)
{
    struct rig r;
    struct seen *all = calloc(1, sizeof(*all));
    rig_start(&r, &(struct rig_kind){.ttl_ms = 300000});
    others_put(&r, "tree/a/f", "x");
    others_put_meta(&r, "tree/marked/", "", meta_of(S_IFDIR | 0700, NULL));
    others_put_meta(&r, "tree/marked/f", "x", meta_of(S_IFREG | 0600, NULL));
    others_put_meta(&r, "tree/other/f", "x", meta_of(S_IFREG | 0640, NULL));
    others_put(&r, "tree/plain/f", "x");
    (void)walk(&r, "tree");
    find_below(&r, "tree", all);
    /* The marker speaks for its directory; nothing but a sample does for one that has none. */
    assert_int_equal(stat_of(&r, "tree/marked").st_mode & 07777, 0700);
    assert_int_equal(stat_of(&r, "tree/marked/f").st_mode & 07777, 0600);
    assert_int_equal(stat_of(&r, "tree/plain/f").st_mode & 07777, 0644);
    seen_release(all);
    rig_stop(&r);

    rig_start(&r, &(struct rig_kind){.ttl_ms = 300000});
    others_put_meta(&r, "tree/a/f", "x", meta_of(S_IFREG | 0600, NULL));
    others_put(&r, "tree/b/f", "x");
    others_put_meta(&r, "tree/c/f", "x", meta_of(S_IFREG | 0640, NULL));
    (void)walk(&r, "tree");
    find_below(&r, "tree", all);
    assert_int_equal(stat_of(&r, "tree/a/f").st_mode & 07777, 0600);
    assert_int_equal(stat_of(&r, "tree/b/f").st_mode & 07777, 0644);
    assert_int_equal(stat_of(&r, "tree/c/f").st_mode & 07777, 0640);
    seen_release(all);
    free(all);
    rig_stop(&r);
}

static void a_small_file_is_sampled_by_its_bytes_which_are_not_fetched_again(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 300000, .meta_in_get = true});
    others_put_meta(&r, "d/f", "bytes", meta_of(S_IFREG | 0600, NULL));
    others_put_meta(&r, "e/f", "bytes", meta_of(S_IFREG | 0640, NULL));
    others_put_meta(&r, "l/f", "target", meta_of(S_IFLNK | 0777, NULL));
    know_root(&r);
    assert_int_equal(stat_of(&r, "d/f").st_mode & 07777, 0600);
    expect_file(&r, "d/f", "bytes");
    assert_int_equal(rig_count(&r, MEM_GET), 1);
    assert_int_equal(rig_count(&r, MEM_STAT), 0);
    /* One that cannot be read so is asked for by a HEAD, and what turns out to be a link is none of these. */
    rig_fail(&r, MEM_GET, "e/f", ERR_ACCESS, 1);
    assert_int_equal(stat_of(&r, "e/f").st_mode & 07777, 0640);
    assert_true(S_ISLNK(stat_of(&r, "l/f").st_mode));
    rig_stop(&r);
}

/* Others change the tree between one find and the next. */
static void beyond_the_ttl_a_walk_shows_what_others_have_made_of_the_tree(void **state)
{
    struct seen *plain = calloc(1, sizeof(*plain)), *walked = calloc(1, sizeof(*walked));
    for (unsigned seed = 1; seed <= 12; seed++) {
        struct rig r;
        rig_start(&r, &(struct rig_kind){.page_size = 7 + seed, .ttl_ms = 500, .attrs = VFS_ATTRS_LIST});
        unsigned numbers = seed;
        put_mean_keys(&r, &numbers, 60);
        find_below(&r, "", walked);
        seen_release(walked);
        char found[1100];
        for (unsigned k = 0; k < 12; k++)
            if (find_key(&r, k % 2 ? "a" : "/", found))
                others_remove(&r, found);
        put_mean_keys(&r, &numbers, 20);
        usleep(520 * 1000); /* all of it is older than the ttl */
        find_below(&r, "", walked);
        rig_unmount(&r);
        r.cfg.ttl_ms = 300000;
        rig_mount(&r);
        refuse_walks(&r);
        find_below(&r, "", plain);
        expect_same(plain, walked);
        seen_release(walked);
        seen_release(plain);
        rig_stop(&r);
    }
    free(plain);
    free(walked);
}

struct lookup {
    struct rig *r;
    const char *path;
    struct stat st;
};

static void *look_at(void *arg)
{
    struct lookup *l = arg;
    l->st = stat_of(l->r, l->path);
    return NULL;
}

/* The permissions of a name that is asked for by HEAD, whose answer comes last; the listing beside it is sent without waiting for that. */
static mode_t mode_with_the_head_held(struct rig *r, const char *path)
{
    struct lookup l = {.r = r, .path = path};
    pthread_t t;
    mem_store_hold(r->mem, MEM_STAT, path);
    pthread_create(&t, NULL, look_at, &l);
    assert_true(mem_store_wait_held(r->mem, MEM_STAT, 1, 60000));
    while (rig_count(r, MEM_LIST) < 2)
        usleep(1000);
    mem_store_unhold(r->mem, MEM_STAT);
    pthread_join(t, NULL);
    return l.st.st_mode & 07777;
}

static void a_name_of_an_undecided_directory_is_asked_for_beside_the_listing_in_one_round_trip(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 300000, .page_size = 10});
    others_put_meta(&r, "n5", "x", meta_of(S_IFREG | 0600, NULL));
    others_put_meta(&r, "n6", "x", meta_of(S_IFREG | 0640, NULL));
    others_put(&r, "n7", "x");
    rig_mark(&r);
    expect_absent(&r, "zz");
    assert_int_equal(rig_count(&r, MEM_STAT), 1);
    assert_int_equal(mode_with_the_head_held(&r, "n5"), 0600);
    assert_int_equal(rig_requests(&r), 4);
    assert_int_equal(stat_of(&r, "n6").st_mode & 07777, 0640); /* the directory is known by it */
    assert_int_equal(rig_requests(&r), 5);
    rig_stop(&r);
}

/* The page that the first component was asked for with has them all, but ends before the name. */
static void a_name_deep_in_an_unknown_tree_takes_two_round_trips(void **state)
{
    struct rig r;
    rig_start(&r, &(struct rig_kind){.ttl_ms = 300000, .page_size = 10});
    for (int k = 0; k < 40; k++) {
        char key[64];
        snprintf(key, sizeof(key), "m/a/b/n%02d", k);
        others_put_meta(&r, key, "x", meta_of(S_IFREG | 0600, NULL));
    }
    know_root(&r);
    assert_int_equal(mode_with_the_head_held(&r, "m/a/b/n25"), 0600);
    assert_int_equal(rig_count(&r, MEM_LIST), 2);
    assert_int_equal(rig_count(&r, MEM_STAT), 1);
    assert_int_equal(rig_count(&r, MEM_GET), 0);
    rig_stop(&r);
}

static void who_may_list_only_with_a_delimiter_is_served_so(void **state)
{
    struct rig r;
    BUF(names, 1 << 16);
    rig_start(&r, &(struct rig_kind){.page_size = 50, .ttl_ms = 300000, .attrs = VFS_ATTRS_LIST});
    put_tree(&r, 2, 2, 30);
    rig_fail(&r, MEM_LIST, "", ERR_ACCESS, 1);
    (void)walk(&r, "tree");
    expect_ok(&r, names_in(&r, "tree", true, &names));
    rig_fail(&r, MEM_LIST, "tree/", ERR_ACCESS, 1);
    buf_clear(&names);
    expect_ok(&r, names_in(&r, "tree/a00", true, &names));
    assert_string_equal(buf_str(&names), "b00\nb01\n");
    rig_stop(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_mean_trees_are_those_of_listings_with_a_delimiter),
        cmocka_unit_test(find_over_a_tree_is_a_listing_a_page_of_names_and_three_requests_more),
        cmocka_unit_test(a_listing_of_one_directory_of_a_huge_tree_is_at_most_one_request_more),
        cmocka_unit_test(a_page_without_delimiter_knows_whole_directories),
        cmocka_unit_test(what_is_made_and_removed_here_while_a_walk_goes_on_is_not_undone_by_it),
        cmocka_unit_test(files_of_many_directories_opened_by_name_are_a_get_each_and_a_listing_a_page),
        cmocka_unit_test(one_sample_holds_for_128_directories_of_a_listing),
        cmocka_unit_test(a_directory_with_posix_metadata_ends_what_others_share),
        cmocka_unit_test(a_small_file_is_sampled_by_its_bytes_which_are_not_fetched_again),
        cmocka_unit_test(a_name_of_an_undecided_directory_is_asked_for_beside_the_listing_in_one_round_trip),
        cmocka_unit_test(a_name_deep_in_an_unknown_tree_takes_two_round_trips),
        cmocka_unit_test(beyond_the_ttl_a_walk_shows_what_others_have_made_of_the_tree),
        cmocka_unit_test(who_may_list_only_with_a_delimiter_is_served_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
