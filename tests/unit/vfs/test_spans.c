/* Ranges of keys that are listed at once bring every name exactly once, whatever the keys are and in whatever order pages come. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keys.h"
#include "store/meta.h"
#include "util/str.h"
#include "vfs/spans.h"
#include "vfs/split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "dir/"

/* A server that has the keys below PREFIX. */
struct server {
    const struct keys *keys;
    size_t page;
    bool hostile; /* short pages, and empty ones that are not the last */
    uint64_t seed;
    unsigned requests, placed;
};

static void add(struct store_page *page, const char *key, size_t len, bool is_prefix)
{
    char whole[KEY_SIZE + 8];
    snprintf(whole, sizeof(whole), PREFIX "%.*s", (int)len, key);
    struct store_entry *entry = &page->entries[page->n++];
    *entry = (struct store_entry){.key = strdup(whole), .is_prefix = is_prefix};
    strcpy(entry->object.version.etag, is_prefix ? "" : "e");
}

static void answer(struct server *s, const struct store_list *ask, struct store_page *out)
{
    size_t at = ask->token ? (size_t)atol(ask->token) : 0, room = s->page;
    s->requests++;
    assert_string_equal(ask->prefix, PREFIX);
    if (!ask->token && ask->start_after) {
        s->placed++;
        assert_true(str_starts(ask->start_after, PREFIX));
        assert_true(utf8_valid(ask->start_after, strlen(ask->start_after)));
        assert_null(strchr(ask->start_after + strlen(PREFIX), '/'));
        while (at < s->keys->n && strcmp(s->keys->key[at], ask->start_after + strlen(PREFIX)) <= 0)
            at++;
    }
    if (s->hostile)
        room = keys_random(&s->seed) % (s->page + 1);
    *out = (struct store_page){.entries = calloc(s->page + 1, sizeof(*out->entries))};
    while (at < s->keys->n && out->n < room) {
        const char *key = s->keys->key[at], *slash = strchr(key, '/');
        size_t len = slash ? (size_t)(slash - key) + 1 : strlen(key);
        add(out, key, len, slash);
        for (at++; slash && at < s->keys->n && strncmp(s->keys->key[at], key, len) == 0;)
            at++;
    }
    if (at < s->keys->n)
        out->next = str_printf("%zu", at);
}

/* What came, by range: the ranges' order is that of the keys. */
static void collect(struct span *x, const struct store_page *page)
{
    char *all = x->user;
    size_t len = all ? strlen(all) : 0;
    for (size_t k = 0; k < page->n; k++) {
        size_t more = strlen(page->entries[k].key) + 2;
        all = realloc(all, len + more);
        snprintf(all + len, more, "%s\n", page->entries[k].key);
        len += more - 1;
    }
    x->user = all;
}

static char *in_order(struct spans *r)
{
    char *all = strdup("");
    for (struct span *x = spans_first(r); x; x = spans_next(x)) {
        char *more = str_printf("%s%s", all, x->user ? (char *)x->user : "");
        free(all);
        all = more;
        free(x->user);
        x->user = NULL;
    }
    return all;
}

/* Ranges whose pages have been asked for. */
struct flights {
    struct span *range[SPANS_MAX];
    struct store_page page[SPANS_MAX];
    enum err_code code[SPANS_MAX];
    size_t n;
};

static void fly(struct server *s, struct spans *r, struct flights *f, struct span *x, bool refuse)
{
    struct store_list ask;
    char *after = malloc(span_key_max(r));
    span_ask(r, x, &ask, after);
    f->range[f->n] = x;
    f->code[f->n] = refuse && ask.start_after && ask.direct ? ERR_UNSUPPORTED : ERR_OK;
    f->page[f->n] = (struct store_page){0};
    if (!f->code[f->n])
        answer(s, &ask, &f->page[f->n]);
    f->n++;
    free(after);
}

/* One that was asked for comes. True: its range goes on. */
static bool land(struct spans *r, struct flights *f, size_t at, struct span **x)
{
    struct store_page page = f->page[at];
    enum err_code code = f->code[at];
    struct err e = ERR_INIT;
    bool disorder;
    *x = f->range[at];
    f->n--;
    f->range[at] = f->range[f->n];
    f->page[at] = f->page[f->n];
    f->code[at] = f->code[f->n];
    if (code == ERR_UNSUPPORTED)
        return !spans_unplaced(r, *x);
    assert_int_equal(span_page(r, *x, &page, &disorder, &e), ERR_OK);
    assert_false(disorder);
    collect(*x, &page);
    store_page_release(&page);
    return (*x)->state != SPAN_DONE;
}

static char *list(struct server *s, bool cut, bool refuse, unsigned *most)
{
    struct spans *r = spans_new(PREFIX, cut);
    struct flights f = {.n = 0};
    struct span *from, *x = spans_take(r, &from);
    assert_null(from);
    *most = 0;
    fly(s, r, &f, x, refuse);
    while (f.n > 0) {
        if (land(r, &f, keys_random(&s->seed) % f.n, &x))
            fly(s, r, &f, x, refuse);
        while (f.n < SPANS_MAX && (x = spans_take(r, &from)))
            fly(s, r, &f, x, refuse);
        *most = f.n > *most ? (unsigned)f.n : *most;
    }
    assert_true(spans_done(r));
    char *all = in_order(r);
    spans_free(r);
    return all;
}

static struct keys keys;

static void spans_bring_what_a_serial_listing_brings(void **state)
{
    for (unsigned kind = 0; kind < KEY_KINDS; kind++)
        for (unsigned round = 0; round < 12; round++) {
            uint64_t seed = kind * 1000 + round;
            unsigned one, most;
            keys_make(&keys, kind, round < 2 ? 20 : 1500, seed);
            struct server s = {.keys = &keys, .page = 1 + keys_random(&seed) % 12, .hostile = round % 3 == 1, .seed = seed};
            struct server serial = {.keys = &keys, .page = KEYS_MAX};
            char *expected = list(&serial, false, false, &one);
            char *all = list(&s, true, round % 4 == 3, &most);
            if (strcmp(all, expected) != 0)
                fail_msg("%s, round %u", key_kind_names[kind], round);
            if (round % 4 == 3)
                assert_true(most <= 2);
            free(all);
            free(expected);
        }
}

static unsigned pages_of(const struct keys *k, size_t page)
{
    struct server s = {.keys = k, .page = page};
    unsigned one;
    free(list(&s, false, false, &one));
    return s.requests;
}

static void a_small_directory_costs_what_it_costs_page_by_page(void **state)
{
    for (unsigned kind = 0; kind < KEY_KINDS; kind++) {
        unsigned most;
        keys_make(&keys, kind, 200, kind);
        struct server s = {.keys = &keys, .page = 20};
        free(list(&s, true, false, &most));
        assert_int_equal(s.requests, pages_of(&keys, 20));
        assert_int_equal(most, 1);
    }
}

static void a_large_one_is_listed_by_many_at_once_for_few_requests_more(void **state)
{
    for (unsigned kind = 0; kind < KEY_KINDS; kind++) {
        unsigned most;
        keys_make(&keys, kind, KEYS_MAX, kind);
        struct server s = {.keys = &keys, .page = 5};
        free(list(&s, true, false, &most));
        unsigned pages = pages_of(&keys, 5);
        if (pages < 200)
            continue;
        if (most < 12 || s.requests > pages + s.placed || s.requests > pages * 4 / 3)
            fail_msg("%s: %u at once, %u requests for %u pages, %u placed", key_kind_names[kind], most, s.requests, pages, s.placed);
    }
}

static void a_server_without_an_order_is_noticed(void **state)
{
    static const char *const pages[][2] = {{"m", "n"}, {"a", "b"}};
    struct spans *r = spans_new("", true);
    struct span *from, *x = spans_take(r, &from);
    struct err e = ERR_INIT;
    for (int k = 0; k < 2; k++) {
        bool disorder;
        struct store_page page = {.entries = calloc(2, sizeof(*page.entries)), .n = 2, .next = strdup(k ? "2" : "1")};
        for (int n = 0; n < 2; n++)
            page.entries[n].key = strdup(pages[k][n]);
        enum err_code code = span_page(r, x, &page, &disorder, &e);
        assert_int_equal(code, k ? ERR_PROTO : ERR_OK);
        assert_int_equal(disorder, k == 1);
        store_page_release(&page);
    }
    spans_free(r);
}

static void a_cut_lies_between_and_is_legal(void **state)
{
    for (unsigned kind = 0; kind < KEY_KINDS; kind++) {
        struct alphabet a = {.n = 0};
        uint64_t seed = kind;
        unsigned found = 0;
        keys_make(&keys, kind, 1000, seed);
        for (size_t k = 0; k < keys.n; k++)
            alphabet_add(&a, keys.key[k]);
        for (int k = 0; k < 500; k++) {
            const char *after = keys.key[keys_random(&seed) % keys.n], *end = keys.key[keys_random(&seed) % keys.n];
            char cut[SPLIT_KEY_MAX + 1];
            if (strcmp(after, end) >= 0 || strchr(end, '/') || !split_between(&a, after, k % 10 ? end : NULL, cut))
                continue;
            found++;
            assert_true(strcmp(cut, after) > 0 && (k % 10 == 0 || strcmp(cut, end) < 0));
            assert_true(utf8_valid(cut, strlen(cut)) && !strchr(cut, '/'));
            double part = split_part(&a, after, k % 10 ? end : NULL, cut);
            assert_true(part >= 0 && part <= 1);
        }
        assert_true(found > 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_bring_what_a_serial_listing_brings),
        cmocka_unit_test(a_small_directory_costs_what_it_costs_page_by_page),
        cmocka_unit_test(a_large_one_is_listed_by_many_at_once_for_few_requests_more),
        cmocka_unit_test(a_server_without_an_order_is_noticed),
        cmocka_unit_test(a_cut_lies_between_and_is_legal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
