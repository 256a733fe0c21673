/* Windows, without a store: a reader of 1 MiB at a time that waits whenever its bytes are not there yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vfs/readahead.h"

#define MIB   (1024u * 1024)
#define SIZE  (1024ull * MIB)
#define SHARE (112u * MIB)

/* The window after reading it all; each read takes a window's part of the time that a request takes. */
static uint32_t window_at_the_end(struct readahead_link link, uint64_t us_of_a_mib, uint64_t share)
{
    struct readahead ra = {0};
    struct readahead_plan p = {0};
    uint64_t now_us = 1;
    for (uint64_t at = 0; at < SIZE; at += MIB) {
        uint64_t waits_us = p.stream ? link.latency_us * (uint64_t)MIB / p.stream->window : link.latency_us;
        now_us += us_of_a_mib > waits_us ? us_of_a_mib : waits_us;
        struct readahead_read r = {.offset = at, .len = MIB, .size = SIZE, .now_us = now_us, .waits = true, .share = share, .link = link};
        p = readahead_move(&ra, &r);
        assert_non_null(p.stream);
        if (p.to > p.from) {
            assert_true(p.range >= MIB && p.range <= 4 * MIB);
            assert_true(p.from >= at + MIB && p.to <= SIZE && p.to - (at + MIB) <= p.stream->window);
            readahead_cut(&p, p.to, SIZE);
        }
    }
    return p.stream->window;
}

static void a_window_grows_far_only_where_latency_counts(void **state)
{
    const struct readahead_link far = {.latency_us = 50000, .rate = 100, .peak = 100};
    const struct readahead_link near = {.latency_us = 300, .rate = 900, .peak = 2000};
    assert_int_equal(window_at_the_end(far, 700, SHARE), SHARE);
    assert_int_equal(window_at_the_end(near, 500, SHARE), 16 * MIB);
    assert_int_equal(window_at_the_end(far, 100000, SHARE), 16 * MIB); /* the reader is what limits */
}

/* The plan for read number `n` of 1 MiB, in order, each waiting. */
static struct readahead_plan plan_of_read(struct readahead *ra, unsigned n, uint64_t us_of_a_mib, struct readahead_link link)
{
    struct readahead_plan p = {0};
    for (unsigned i = 0; i <= n; i++) {
        struct readahead_read r = {.offset = (uint64_t)i * MIB, .len = MIB, .size = SIZE, .now_us = 1 + i * us_of_a_mib,
                                   .waits = true, .share = SHARE, .link = link};
        p = readahead_move(ra, &r);
        readahead_cut(&p, p.to, SIZE);
    }
    return p;
}

static void a_reader_who_waits_for_a_known_link_gets_what_fills_it_in_few_steps(void **state)
{
    const struct readahead_link far = {.latency_us = 50000, .rate = 100, .peak = 100};
    const struct readahead_link thin = {.latency_us = 50000, .rate = 2, .peak = 2};
    struct readahead ra = {0}, other = {0};
    assert_true(plan_of_read(&ra, 3, 700, far).stream->window >= 16 * 50000 * 100);
    assert_true(plan_of_read(&other, 3, 700, thin).stream->window <= 16 * MIB);
}

static void a_request_on_a_near_link_is_long_however_fast_it_is(void **state)
{
    const struct readahead_link near = {.latency_us = 2000, .rate = 2000, .peak = 3000};
    struct readahead ra = {0};
    assert_int_equal(plan_of_read(&ra, 64, 500, near).range, 4 * MIB);
}

static void reads_that_overtake_each_other_are_one_reader(void **state)
{
    static const unsigned order[] = {0, 1, 2, 3, 5, 4, 6, 8, 7, 9};
    struct readahead ra = {0};
    struct readahead_stream *s = NULL;
    for (unsigned i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        struct readahead_read r = {.offset = order[i] * (uint64_t)MIB, .len = MIB, .size = SIZE, .now_us = i, .share = SHARE};
        struct readahead_plan p = readahead_move(&ra, &r);
        assert_true(p.stream && (!s || p.stream == s));
        s = p.stream;
        readahead_cut(&p, p.to, SIZE);
    }
}

static void no_window_is_larger_than_its_share(void **state)
{
    const struct readahead_link far = {.latency_us = 50000, .rate = 100, .peak = 100};
    assert_int_equal(window_at_the_end(far, 700, 3 * MIB), 3 * MIB);
}

static void latency_is_that_of_requests_without_others_beside_them(void **state)
{
    struct readahead_link l = {0};
    link_note(&l, false, 90000, 1000, MIB);
    assert_int_equal(l.latency_us, 0);
    link_note(&l, true, 300, 1000, MIB);
    assert_int_equal(l.latency_us, 300);
    link_note(&l, true, 60000, 10000, MIB); /* once: a connection was opened, perhaps */
    assert_int_equal(l.latency_us, 300);
    link_note(&l, true, 50000, 10000, MIB);
    assert_int_equal(l.latency_us, 50000);
    assert_true(l.rate >= 100 && l.rate <= l.peak && l.peak <= 1049);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_grows_far_only_where_latency_counts),
        cmocka_unit_test(a_reader_who_waits_for_a_known_link_gets_what_fills_it_in_few_steps),
        cmocka_unit_test(a_request_on_a_near_link_is_long_however_fast_it_is),
        cmocka_unit_test(reads_that_overtake_each_other_are_one_reader),
        cmocka_unit_test(no_window_is_larger_than_its_share),
        cmocka_unit_test(latency_is_that_of_requests_without_others_beside_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
