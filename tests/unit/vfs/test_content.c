#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "content_support.h"
#include "store/meta.h"
#include "util/cancel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIB   (1024u * 1024)
#define BLOCK CONTENT_BLOCK

static void every_range_gives_its_bytes(void **state)
{
    static const struct {
        uint64_t offset;
        size_t len;
    } ranges[] = {
        {0, 1},         {0, 4096},           {BLOCK - 1, 2},     {BLOCK, BLOCK},         {5, 3 * BLOCK},
        {6 * MIB, MIB}, {10 * MIB + 776, 1}, {1, 4 * MIB - 1},   {BLOCK - 1, 4 * MIB},   {10 * MIB + 700, 77},
        {3, BLOCK + 3}, {0, 4 * MIB},        {7 * MIB, 3 * MIB}, {2 * BLOCK - 7, BLOCK}, {10 * MIB, 777},
    };
    for (int async = 0; async < 2; async++) {
        for (uint64_t memory = 5 * MIB; memory <= 40 * MIB; memory += 35 * MIB) {
            struct fixture f =
                fixture_new((struct mem_options){.async = async, .chunk = 50000}, memory, 10 * MIB + 777);
            for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
                assert_int_equal(read_now(f.c, 1, ranges[i].offset, ranges[i].len, NULL), ERR_OK);
                assert_true(stats(&f).memory_used <= memory);
            }
            fixture_free(&f);
        }
    }
}

static void two_readers_of_a_block_send_one_request(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, MIB);
    struct reading a, b, c;
    mem_store_hold(f.m, MEM_GET, "k");
    start_read(&a, f.c, 1, 0, 4096, NULL, NULL);
    start_read(&b, f.c, 1, 100, 4096, NULL, NULL);
    start_read(&c, f.c, 1, BLOCK - 1, 2, NULL, NULL);
    assert_int_equal(stats(&f).parked, 3);
    mem_store_unhold(f.m, MEM_GET);
    assert_int_equal(answer(&a), ERR_OK);
    assert_int_equal(answer(&b), ERR_OK);
    assert_int_equal(answer(&c), ERR_OK);
    assert_int_equal(stats(&f).requests, 2);
    assert_int_equal(stats(&f).fetched_bytes, 2 * BLOCK);
    fixture_free(&f);
}

static enum err_code stop_at_second_mib(void *arg, const struct mem_event *ev, struct err *e)
{
    while (ev->phase == MEM_DATA && ev->offset >= MIB && !__atomic_load_n((bool *)arg, __ATOMIC_ACQUIRE))
        usleep(1000);
    return ERR_OK;
}

static void a_block_is_handed_out_before_its_request_ends(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, 4 * MIB);
    bool go = false;
    mem_store_set_hook(f.m, (struct mem_hook){stop_at_second_mib, &go});
    struct reading all, early, late;
    start_read(&all, f.c, 1, 0, 4 * MIB, NULL, NULL);
    start_read(&early, f.c, 1, MIB - 4096, 4096, NULL, NULL);
    start_read(&late, f.c, 1, MIB, 4096, NULL, NULL);
    assert_int_equal(answer(&early), ERR_OK);
    assert_false(answered(&all));
    assert_false(answered(&late));
    __atomic_store_n(&go, true, __ATOMIC_RELEASE);
    assert_int_equal(answer(&all), ERR_OK);
    assert_int_equal(answer(&late), ERR_OK);
    assert_int_equal(stats(&f).requests, 1);
    fixture_free(&f);
}

static void a_canceled_read_is_answered_at_once_and_the_others_go_on(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 5 * MIB, 20 * MIB);
    struct cancel *tokens[4];
    struct reading r[4], late, before;
    mem_store_hold(f.m, MEM_GET, "k");
    for (unsigned i = 0; i < 4; i++) {
        tokens[i] = cancel_new();
        start_read(&r[i], f.c, 1, i * 3 * MIB, 3 * MIB, NULL, tokens[i]); /* the second waits for memory */
    }
    start_read(&late, f.c, 1, 19 * MIB, 100, NULL, NULL);
    for (unsigned i = 0; i < 3; i++) {
        cancel_fire(tokens[i]);
        assert_true(answered(&r[i]));
        assert_int_equal(answer(&r[i]), ERR_CANCELED);
    }
    start_read(&before, f.c, 1, 17 * MIB, 100, NULL, tokens[0]);
    assert_int_equal(answer(&before), ERR_CANCELED);
    mem_store_unhold(f.m, MEM_GET);
    assert_int_equal(answer(&r[3]), ERR_OK);
    assert_int_equal(answer(&late), ERR_OK);
    assert_int_equal(stats(&f).parked, 0);
    for (unsigned i = 0; i < 4; i++)
        cancel_unref(tokens[i]);
    fixture_free(&f);
}

struct plan {
    enum mem_phase phase;
    uint64_t offset;
    enum err_code code;
};

static enum err_code follow(void *arg, const struct mem_event *ev, struct err *e)
{
    const struct plan *p = arg;
    if (ev->op == MEM_GET && ev->phase == p->phase && ev->offset >= p->offset)
        return err_set(e, p->code, "as planned");
    return ERR_OK;
}

static void a_failed_request_answers_those_that_wait_and_is_made_again(void **state)
{
    static const struct {
        enum err_code from, to;
    } cases[] = {
        {ERR_NET, ERR_NET},           {ERR_TIMEOUT, ERR_TIMEOUT},    {ERR_ACCESS, ERR_ACCESS},
        {ERR_CONFLICT, ERR_CONFLICT}, {ERR_NOT_FOUND, ERR_CONFLICT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int async = 0; async < 2; async++) {
            struct fixture f = fixture_new((struct mem_options){.async = async}, 32 * MIB, 4 * MIB);
            struct plan plan = {MEM_DATA, MIB, cases[i].from};
            mem_store_set_hook(f.m, (struct mem_hook){follow, &plan});
            assert_int_equal(read_now(f.c, 1, 0, 2 * MIB, NULL), cases[i].to);
            assert_int_equal(read_now(f.c, 1, 0, MIB, NULL), ERR_OK); /* what came before stays */
            assert_int_equal(stats(&f).requests, 1);
            mem_store_set_hook(f.m, (struct mem_hook){0});
            assert_int_equal(read_now(f.c, 1, 0, 2 * MIB, NULL), ERR_OK);
            assert_int_equal(stats(&f).fetched_bytes, 2 * MIB);
            fixture_free(&f);
        }
    }
}

static void a_replaced_object_is_a_conflict_and_never_a_mixture(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, MIB);
    struct err e = ERR_INIT;
    assert_int_equal(read_now(f.c, 1, 0, BLOCK, NULL), ERR_OK);
    put_object(f.s, "k", 2, MIB);
    assert_int_equal(read_now(f.c, 1, 0, BLOCK, NULL), ERR_OK);
    assert_int_equal(read_now(f.c, 1, 0, 2 * BLOCK, NULL), ERR_CONFLICT);
    assert_int_equal(store_remove(f.s, "k", NULL, NULL, &e), ERR_OK);
    assert_int_equal(read_now(f.c, 1, BLOCK, 1, NULL), ERR_CONFLICT);
    fixture_free(&f);
}

static void a_relocated_content_is_read_where_it_is_now(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, 4 * MIB);
    struct err e = ERR_INIT;
    struct reading r;
    mem_store_hold(f.m, MEM_GET, "k");
    start_read(&r, f.c, 1, 0, 2 * MIB, NULL, NULL);
    struct store_version v = put_object(f.s, "moved", 1, 4 * MIB);
    assert_int_equal(store_remove(f.s, "k", NULL, NULL, &e), ERR_OK);
    assert_int_equal(content_relocate(f.c, "moved", v.etag, &e), ERR_OK);
    mem_store_unhold(f.m, MEM_GET);
    assert_int_equal(answer(&r), ERR_OK);
    assert_int_equal(read_now(f.c, 1, 3 * MIB, MIB, NULL), ERR_OK);
    fixture_free(&f);
}

static void a_content_nobody_wants_is_given_up(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, 4 * MIB);
    struct err e = ERR_INIT;
    struct store_version v = put_object(f.s, "gone", 2, 4 * MIB);
    struct content *c = content_new(f.cs, "gone", &v, &e);
    struct cancel *token = cancel_new();
    struct reading r;
    mem_store_hold(f.m, MEM_GET, NULL);
    start_read(&r, c, 2, 0, MIB, NULL, token);
    content_unref(c);
    assert_false(answered(&r)); /* a read is a reference */
    cancel_fire(token);
    assert_int_equal(answer(&r), ERR_CANCELED);
    for (int i = 0; i < 5000 && stats(&f).memory_used > 0; i++)
        usleep(1000);
    assert_int_equal(stats(&f).memory_used, 0);
    cancel_unref(token);
    fixture_free(&f);
}

static void the_end_cancels_what_is_under_way(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, 4 * MIB);
    struct readahead ra = {0};
    assert_int_equal(read_now(f.c, 1, 0, 4096, &ra), ERR_OK);
    mem_store_hold(f.m, MEM_GET, NULL);
    struct reading r;
    start_read(&r, f.c, 1, 4096, 200000, &ra, NULL);
    fixture_free(&f);
}

static void the_waiting_read_fetches_ahead_for_itself(void **state)
{
    uint64_t size = 24 * MIB;
    struct fixture f = fixture_new((struct mem_options){.async = true}, 64 * MIB, size);
    unsigned char *buf = malloc(6 * MIB);
    struct err e = ERR_INIT;
    for (uint64_t at = 0; at < size; at += 6 * MIB) {
        assert_int_equal(content_read_wait(f.c, at, buf, 6 * MIB, true, NULL, &e), ERR_OK);
        for (uint64_t i = 0; i < 6 * MIB; i += 997)
            assert_int_equal(buf[i], byte_at(1, at + i));
    }
    assert_int_equal(stats(&f).fetched_bytes, size);
    mem_store_set_hook(f.m, (struct mem_hook){follow, &(struct plan){MEM_BEFORE, 0, ERR_NET}});
    struct store_version v = put_object(f.s, "other", 2, MIB);
    struct content *c = content_new(f.cs, "other", &v, &e);
    assert_int_equal(content_read_wait(c, 0, buf, MIB, true, NULL, &e), ERR_NET);
    assert_int_equal(e.code, ERR_NET);
    content_unref(c);
    free(buf);
    fixture_free(&f);
}

static void metadata_that_came_along_is_kept(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true, .meta_in_get = true}, 32 * MIB, MIB);
    assert_null(content_meta(f.c));
    assert_int_equal(read_now(f.c, 1, 0, MIB, NULL), ERR_OK);
    struct store_meta *m = NULL;
    for (int i = 0; i < 5000 && !(m = content_meta(f.c)); i++)
        usleep(1000);
    assert_non_null(m);
    store_meta_unref(m);
    fixture_free(&f);
}

static void too_few_or_too_many_bytes_are_an_error(void **state)
{
    static const struct wrong_store kinds[] = {{.shorten = 100}, {.lengthen = 100}};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct wrong_store w = kinds[i];
        struct err e = ERR_INIT;
        struct store *s = wrong_store_new(&w);
        struct contents *cs = contents_new(s, 16 * MIB, false, &e);
        struct store_version v = {.etag = "x", .size = MIB};
        struct content *c = content_new(cs, "k", &v, &e);
        struct reading r;
        start_read(&r, c, 7, 0, 1000, NULL, NULL);
        enum err_code code = answer(&r);
        assert_true(code == ERR_PROTO || (code == ERR_OK && w.lengthen));
        start_read(&r, c, 7, 0, MIB, NULL, NULL);
        code = answer(&r);
        assert_true(code == ERR_PROTO || (code == ERR_OK && w.lengthen));
        content_unref(c);
        contents_free(cs);
        store_free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_gives_its_bytes),
        cmocka_unit_test(two_readers_of_a_block_send_one_request),
        cmocka_unit_test(a_block_is_handed_out_before_its_request_ends),
        cmocka_unit_test(a_canceled_read_is_answered_at_once_and_the_others_go_on),
        cmocka_unit_test(a_failed_request_answers_those_that_wait_and_is_made_again),
        cmocka_unit_test(a_replaced_object_is_a_conflict_and_never_a_mixture),
        cmocka_unit_test(a_relocated_content_is_read_where_it_is_now),
        cmocka_unit_test(a_content_nobody_wants_is_given_up),
        cmocka_unit_test(the_end_cancels_what_is_under_way),
        cmocka_unit_test(the_waiting_read_fetches_ahead_for_itself),
        cmocka_unit_test(metadata_that_came_along_is_kept),
        cmocka_unit_test(too_few_or_too_many_bytes_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
