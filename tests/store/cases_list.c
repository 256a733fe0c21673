#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All pages of a listing as "key key/ key", prefixes with a '*' behind. */
static void list_all(struct suite *s, struct store *store, const struct store_list *what, struct buf *out,
                     unsigned *pages)
{
    struct store_list l = *what;
    char *token = NULL;
    *pages = 0;
    do {
        struct store_page page;
        struct err e = ERR_INIT;
        l.token = token;
        assert_ok(store_list(store, &l, NULL, &page, &e), &e);
        free(token);
        token = page.next != NULL ? strdup(page.next) : NULL;
        for (size_t i = 0; i < page.n; i++) {
            if (out->len > 0)
                buf_add_char(out, ' ');
            buf_add_str(out, page.entries[i].key + strlen(s->base));
            if (page.entries[i].is_prefix)
                buf_add_char(out, '*');
        }
        store_page_release(&page);
        (*pages)++;
    } while (token != NULL && *pages < 100);
    assert_null(token);
}

static void assert_listing(struct suite *s, const char *prefix, bool delimiter, const char *after, unsigned max_keys,
                           const char *want)
{
    BUF(out, 1 << 20);
    unsigned pages;
    char full_prefix[256], full_after[256];
    (void)snprintf(full_prefix, sizeof(full_prefix), "%s%s", s->base, prefix);
    (void)snprintf(full_after, sizeof(full_after), "%s%s", s->base, after != NULL ? after : "");
    struct store_list l = {.prefix = full_prefix, .delimiter = delimiter, .max_keys = max_keys};
    l.start_after = after != NULL ? full_after : NULL;
    list_all(s, s->store, &l, &out, &pages);
    assert_string_equal(buf_str(&out), want);
}

static void fill(struct suite *s, const char *const *names)
{
    for (; *names != NULL; names++)
        (void)put_str(s, key_of(s, *names), "x");
}

static const char *const tree[] = {"a", "b/1", "b/2", "b/c/3", "d", "e/f/g", "z", NULL};

static void a_listing_with_delimiter_shows_one_level(struct suite *s)
{
    fill(s, tree);
    assert_listing(s, "", true, NULL, 0, "a b/* d e/* z");
    assert_listing(s, "b/", true, NULL, 0, "b/1 b/2 b/c/*");
    assert_listing(s, "e/", true, NULL, 0, "e/f/*");
}

static void a_listing_without_delimiter_shows_the_subtree(struct suite *s)
{
    fill(s, tree);
    assert_listing(s, "", false, NULL, 0, "a b/1 b/2 b/c/3 d e/f/g z");
    assert_listing(s, "b/", false, NULL, 0, "b/1 b/2 b/c/3");
}

static void a_prefix_need_not_end_at_a_slash(struct suite *s)
{
    static const char *const names[] = {"name", "name-1", "name/x", "named", "nam", "other", NULL};
    static const char *const apart[] = {"name-1", "name/x", "named", "nam", "other", NULL};
    fill(s, s->lacks & NEED_BESIDE ? apart : names);
    assert_listing(s, "name", true, NULL, 0,
                   s->lacks & NEED_BESIDE ? "name-1 name/* named" : "name name-1 name/* named");
}

static void a_listing_of_nothing_is_empty(struct suite *s)
{
    assert_listing(s, "nothing/", true, NULL, 0, "");
    assert_listing(s, "nothing/", false, NULL, 0, "");
}

static void pages_of_any_size_give_the_same_listing(struct suite *s)
{
    fill(s, tree);
    for (unsigned n = 1; n <= 6; n++) {
        assert_listing(s, "", true, NULL, n, "a b/* d e/* z");
        assert_listing(s, "", false, NULL, n, "a b/1 b/2 b/c/3 d e/f/g z");
    }
}

static void a_page_holds_at_most_max_keys(struct suite *s)
{
    fill(s, tree);
    struct store_list l = {.prefix = s->base, .max_keys = 3};
    struct store_page page;
    struct err e = ERR_INIT;
    assert_ok(store_list(s->store, &l, NULL, &page, &e), &e);
    assert_true(page.n <= 3);
    assert_non_null(page.next);
    store_page_release(&page);
}

static void a_listing_can_begin_behind_a_key(struct suite *s)
{
    if (!(store_caps(s->store)->flags & STORE_START_AFTER))
        return;
    fill(s, tree);
    assert_listing(s, "", false, "b/1", 0, "b/2 b/c/3 d e/f/g z");
    assert_listing(s, "", true, "c", 0, "d e/* z");
    assert_listing(s, "", true, "z", 0, "");
    assert_listing(s, "b/", true, "b/1~", 2, "b/2 b/c/*");
}

static void the_order_is_that_of_the_bytes(struct suite *s)
{
    static const char *const names[] = {
        "Z", "a", "a b", "a!", "a+b", "a-b", "a.txt", "a/x", "a0", "aa", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80",
        NULL};
    static const char *const apart[] = {"Z",   "a b", "a!", "a+b",      "a-b",          "a.txt",
                                        "a/x", "a0",  "aa", "\xc3\xa9", "\xe4\xb8\xad", "\xf0\x9f\x98\x80",
                                        NULL};
    bool beside = !(s->lacks & NEED_BESIDE);
    fill(s, beside ? names : apart);
    assert_listing(s, "", true, NULL, 0,
                   beside ? "Z a a b a! a+b a-b a.txt a/* a0 aa \xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80"
                          : "Z a b a! a+b a-b a.txt a/* a0 aa \xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80");
    assert_listing(s, "", true, NULL, 2,
                   beside ? "Z a a b a! a+b a-b a.txt a/* a0 aa \xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80"
                          : "Z a b a! a+b a-b a.txt a/* a0 aa \xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80");
}

static void entries_have_the_version_that_stat_tells(struct suite *s)
{
    struct store_version v = put_str(s, key_of(s, "f"), "content");
    struct store_list l = {.prefix = s->base, .delimiter = true};
    struct store_page page;
    struct err e = ERR_INIT;
    assert_ok(store_list(s->store, &l, NULL, &page, &e), &e);
    assert_int_equal(page.n, 1);
    const struct store_version *listed = &page.entries[0].object.version;
    assert_string_equal(listed->etag, v.etag);
    assert_int_equal(listed->size, 7);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    assert_int_equal(listed->mtime.tv_sec, o.version.mtime.tv_sec);
    store_object_release(&o);
    store_page_release(&page);
}

static void a_directory_marker_is_listed_in_its_directory(struct suite *s)
{
    fill(s, (const char *const[]){"dir/f", NULL});
    struct bytes b;
    struct store_version v;
    struct err e = ERR_INIT;
    assert_ok(store_put(s->store, key_of(s, "dir/"), body_of_str(&b, ""), NULL, NULL, NULL, &v, &e), &e);
    assert_listing(s, "dir/", true, NULL, 0, "dir/ dir/f");
    assert_listing(s, "", true, NULL, 0, "dir/*");
}

static void a_thousand_and_more_come_in_pages(struct suite *s)
{
    enum { N = 1205 };
    for (int i = 0; i < N; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "n/%05d", i);
        (void)put_str(s, key_of(s, name), "");
    }
    BUF(out, 1 << 20);
    unsigned pages;
    char prefix[96];
    (void)snprintf(prefix, sizeof(prefix), "%sn/", s->base);
    struct store_list l = {.prefix = prefix, .delimiter = true};
    list_all(s, s->store, &l, &out, &pages);
    assert_true(pages >= 2);
    assert_int_equal(out.len, N * 8 - 1);
    assert_memory_equal(out.data + 8 * 1000, "n/01000 ", 8);
}

const struct suite_case list_cases[] = {
    {"a listing with delimiter shows one level", a_listing_with_delimiter_shows_one_level, 0},
    {"a listing without delimiter shows the subtree", a_listing_without_delimiter_shows_the_subtree, 0},
    {"a prefix need not end at a slash", a_prefix_need_not_end_at_a_slash, NEED_ORDER},
    {"a listing of nothing is empty", a_listing_of_nothing_is_empty, 0},
    {"pages of any size give the same listing", pages_of_any_size_give_the_same_listing, NEED_ORDER},
    {"a page holds at most max_keys entries", a_page_holds_at_most_max_keys, 0},
    {"a listing can begin behind a key", a_listing_can_begin_behind_a_key, 0},
    {"the order is that of the bytes", the_order_is_that_of_the_bytes, NEED_ORDER},
    {"entries have the version that stat tells", entries_have_the_version_that_stat_tells, 0},
    {"a directory marker is listed in its directory", a_directory_marker_is_listed_in_its_directory, 0},
    {"a thousand and more come in pages", a_thousand_and_more_come_in_pages, NEED_ORDER},
    {NULL, NULL, 0},
};
