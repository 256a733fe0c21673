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

struct fixture {
    struct store *s;
    struct mem_store *m;
    struct contents *cs;
    struct content *c;
};

static struct fixture fixture_new(struct mem_options o, uint64_t memory, uint64_t size)
{
    struct fixture f;
    struct err e = ERR_INIT;
    f.s = mem_store_new(&o, &f.m, &e);
    f.cs = contents_new(f.s, memory, false, &e);
    struct store_version v = put_object(f.s, "k", 1, size);
    f.c = content_new(f.cs, "k", &v, &e);
    assert_non_null(f.c);
    return f;
}

static void fixture_free(struct fixture *f)
{
    content_unref(f->c);
    contents_free(f->cs);
    store_free(f->s);
}

static struct content_stats stats(const struct fixture *f)
{
    struct content_stats s;
    contents_stats(f->cs, &s);
    return s;
}

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

static void a_random_read_fetches_the_block_it_touches(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, 10 * MIB);
    struct readahead ra = {0};
    for (unsigned i = 1; i <= 20; i++) {
        uint64_t block = i * 37 % 80;
        assert_int_equal(read_now(f.c, 1, block * BLOCK + 8192, 4096, &ra), ERR_OK);
        assert_int_equal(stats(&f).fetched_bytes, i * BLOCK);
        assert_int_equal(stats(&f).requests, i);
    }
    fixture_free(&f);
}

static void a_small_object_is_one_request_and_little_memory(void **state)
{
    static const uint64_t sizes[] = {1, 4096, 4097, 100000, BLOCK, BLOCK + 1, 2 * BLOCK};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture f = fixture_new((struct mem_options){.async = true}, 32 * MIB, sizes[i]);
        struct readahead ra = {0};
        size_t first = sizes[i] < 4096 ? sizes[i] : 4096;
        assert_int_equal(read_now(f.c, 1, 0, first, &ra), ERR_OK);
        assert_int_equal(read_now(f.c, 1, 0, sizes[i], &ra), ERR_OK);
        assert_int_equal(stats(&f).requests, 1);
        assert_int_equal(stats(&f).memory_used, (sizes[i] + 4095) / 4096 * 4096);
        fixture_free(&f);
    }
}

static void a_sequential_reader_is_ahead_of_nobody_twice(void **state)
{
    uint64_t size = 40 * MIB + 5;
    struct fixture f = fixture_new((struct mem_options){.async = true}, 64 * MIB, size);
    struct readahead ra = {0};
    for (uint64_t at = 0; at < size; at += BLOCK)
        assert_int_equal(read_now(f.c, 1, at, size - at < BLOCK ? size - at : BLOCK, &ra), ERR_OK);
    struct content_stats st = stats(&f);
    assert_int_equal(st.fetched_bytes, size);
    assert_true(st.requests <= 45);
    assert_int_equal(ra.window, 8 * MIB);
    fixture_free(&f);
}

static void ranges_are_fetched_ahead_in_parallel(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 128 * MIB, 64 * MIB);
    struct readahead ra = {0};
    for (uint64_t at = 0; at < 16 * MIB; at += MIB)
        assert_int_equal(read_now(f.c, 1, at, MIB, &ra), ERR_OK);
    while (stats(&f).fetched_bytes < ra.ahead)
        usleep(1000);
    mem_store_hold(f.m, MEM_GET, "k");
    for (uint64_t at = 16 * MIB; at + MIB < ra.ahead && at < 40 * MIB; at += MIB) {
        struct reading r;
        start_read(&r, f.c, 1, at, MIB, &ra, NULL);
        if (!answered(&r)) {
            mem_store_unhold(f.m, MEM_GET);
            assert_int_equal(answer(&r), ERR_OK);
            mem_store_hold(f.m, MEM_GET, "k");
        } else if (mem_store_held(f.m, MEM_GET) >= 4) {
            break;
        }
    }
    assert_true(mem_store_held(f.m, MEM_GET) >= 4);
    mem_store_unhold(f.m, MEM_GET);
    fixture_free(&f);
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

static void stalled_reads_never_delay_one_of_a_held_block(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 16 * MIB, MIB);
    struct err e = ERR_INIT;
    struct store_version v = put_object(f.s, "hung", 2, 300 * MIB / 8);
    struct content *hung = content_new(f.cs, "hung", &v, &e);
    static struct reading stalled[200];
    assert_int_equal(read_now(f.c, 1, 0, 2 * BLOCK, NULL), ERR_OK);
    mem_store_hold(f.m, MEM_GET, "hung");
    for (unsigned i = 0; i < 200; i++)
        start_read(&stalled[i], hung, 2, i * BLOCK, BLOCK, NULL, NULL);
    assert_int_equal(stats(&f).parked, 200);
    assert_true(stats(&f).memory_used <= 16 * MIB);
    for (int i = 0; i < 100; i++) {
        struct reading r;
        start_read(&r, f.c, 1, 100, BLOCK, NULL, NULL);
        assert_true(answered(&r));
        assert_int_equal(answer(&r), ERR_OK);
    }
    mem_store_unhold(f.m, MEM_GET);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(answer(&stalled[i]), ERR_OK);
    assert_true(stats(&f).memory_used <= 16 * MIB);
    content_unref(hung);
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

static void a_read_larger_than_the_memory_fails(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, MIB, 4 * MIB);
    assert_int_equal(read_now(f.c, 1, 0, 2 * MIB, NULL), ERR_NOMEM);
    assert_int_equal(read_now(f.c, 1, 1, MIB, NULL), ERR_NOMEM);
    assert_int_equal(read_now(f.c, 1, BLOCK, MIB, NULL), ERR_OK);
    assert_int_equal(read_now(f.c, 1, 0, MIB, NULL), ERR_OK);
    fixture_free(&f);
}

static void reads_that_wait_for_memory_go_in_order_of_arrival(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true}, 4 * MIB, 40 * MIB);
    struct reading r[8];
    mem_store_hold(f.m, MEM_GET, "k");
    for (unsigned i = 0; i < 8; i++)
        start_read(&r[i], f.c, 1, i * 4 * MIB, i == 7 ? 100 : 3 * MIB, NULL, NULL);
    for (unsigned i = 0; i < 7; i++) {
        assert_true(mem_store_wait_held(f.m, MEM_GET, 1, 5000));
        assert_int_equal(mem_store_held(f.m, MEM_GET), 1);
        assert_true(mem_store_release_one(f.m, MEM_GET, NULL));
        assert_int_equal(answer(&r[i]), ERR_OK);
        assert_true(i == 6 || !answered(&r[i + 1]));
    }
    mem_store_unhold(f.m, MEM_GET);
    assert_int_equal(answer(&r[7]), ERR_OK);
    fixture_free(&f);
}

static void what_is_told_and_pinned_needs_no_request_and_stays(void **state)
{
    for (int secret = 0; secret < 2; secret++) {
        struct err e = ERR_INIT;
        struct store *s = mem_store_new(&(struct mem_options){.async = true}, NULL, &e);
        struct contents *cs = contents_new(s, MIB, secret, &e);
        struct store_version v = put_object(s, "told", 3, BLOCK + 1000), big = put_object(s, "big", 4, 4 * MIB);
        struct content *told = content_new(cs, "told", &v, &e), *c = content_new(cs, "big", &big, &e);
        unsigned char *bytes = malloc(BLOCK + 1000);
        for (size_t i = 0; i < BLOCK + 1000; i++)
            bytes[i] = byte_at(3, i);
        assert_int_equal(content_fill(told, bytes, 1000, true, &e), ERR_INVAL);
        assert_int_equal(content_fill(told, bytes, BLOCK + 1000, true, &e), ERR_OK);
        free(bytes);
        for (uint64_t at = 0; at < 4 * MIB; at += 2 * BLOCK)
            assert_int_equal(read_now(c, 4, at, 2 * BLOCK, NULL), ERR_OK);
        assert_int_equal(read_now(c, 4, 0, MIB, NULL), ERR_NOMEM); /* never, beside what is pinned */
        struct content_stats before, after;
        contents_stats(cs, &before);
        assert_true(before.memory_used <= MIB);
        assert_int_equal(read_now(told, 3, 0, BLOCK + 1000, NULL), ERR_OK);
        contents_stats(cs, &after);
        assert_int_equal(before.requests, after.requests);
        content_unref(told);
        assert_int_equal(read_now(c, 4, 0, MIB, NULL), ERR_OK);
        content_unref(c);
        contents_free(cs);
        store_free(s);
    }
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
        assert_int_equal(content_read_wait(f.c, at, buf, 6 * MIB, NULL, &e), ERR_OK);
        for (uint64_t i = 0; i < 6 * MIB; i += 997)
            assert_int_equal(buf[i], byte_at(1, at + i));
    }
    assert_int_equal(stats(&f).fetched_bytes, size);
    mem_store_set_hook(f.m, (struct mem_hook){follow, &(struct plan){MEM_BEFORE, 0, ERR_NET}});
    struct store_version v = put_object(f.s, "other", 2, MIB);
    struct content *c = content_new(f.cs, "other", &v, &e);
    assert_int_equal(content_read_wait(c, 0, buf, MIB, NULL, &e), ERR_NET);
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
        cmocka_unit_test(a_random_read_fetches_the_block_it_touches),
        cmocka_unit_test(a_small_object_is_one_request_and_little_memory),
        cmocka_unit_test(a_sequential_reader_is_ahead_of_nobody_twice),
        cmocka_unit_test(ranges_are_fetched_ahead_in_parallel),
        cmocka_unit_test(two_readers_of_a_block_send_one_request),
        cmocka_unit_test(a_block_is_handed_out_before_its_request_ends),
        cmocka_unit_test(stalled_reads_never_delay_one_of_a_held_block),
        cmocka_unit_test(a_canceled_read_is_answered_at_once_and_the_others_go_on),
        cmocka_unit_test(a_failed_request_answers_those_that_wait_and_is_made_again),
        cmocka_unit_test(a_replaced_object_is_a_conflict_and_never_a_mixture),
        cmocka_unit_test(a_relocated_content_is_read_where_it_is_now),
        cmocka_unit_test(a_read_larger_than_the_memory_fails),
        cmocka_unit_test(reads_that_wait_for_memory_go_in_order_of_arrival),
        cmocka_unit_test(what_is_told_and_pinned_needs_no_request_and_stays),
        cmocka_unit_test(a_content_nobody_wants_is_given_up),
        cmocka_unit_test(the_end_cancels_what_is_under_way),
        cmocka_unit_test(the_waiting_read_fetches_ahead_for_itself),
        cmocka_unit_test(metadata_that_came_along_is_kept),
        cmocka_unit_test(too_few_or_too_many_bytes_are_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
