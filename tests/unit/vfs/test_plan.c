/* Which parts an upload consists of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/stage.h"
#include "util/buf.h"
#include "vfs/plan.h"

#include <stdlib.h>

#define MIB (1ULL << 20)
#define TIB (1ULL << 40)

static const struct store_caps caps = {.part_min = 5 * MIB, .part_max = 5120 * MIB, .max_parts = 10000, .max_object = 5 * TIB};

/* Parts follow each other without gap up to the size, none but the last is too small, none too large. */
static void check(const struct plan *p, uint64_t size)
{
    uint64_t at = 0;
    assert_true(p->n > 0 && p->n <= caps.max_parts);
    for (size_t k = 0; k < p->n; k++) {
        const struct plan_part *part = &p->parts[k];
        assert_int_equal(part->start, at);
        assert_int_equal(part->part.number, k + 1);
        assert_true(part->part.size <= caps.part_max);
        assert_true(part->part.size >= caps.part_min || k + 1 == p->n);
        at += part->part.size;
    }
    assert_int_equal(at, size);
}

static void any_size_fits_into_ten_thousand_parts(void **state)
{
    static const uint64_t sizes[] = {9 * MIB, 8 * MIB * 10000, 8 * MIB * 10000 + 1, TIB, 5 * TIB};
    for (size_t k = 0; k < sizeof(sizes) / sizeof(*sizes); k++) {
        CLEANUP_RELEASE(plan_release) struct plan p = {0};
        struct err e = ERR_INIT;
        assert_int_equal(plan_whole(&p, &caps, sizes[k], &e), ERR_OK);
        check(&p, sizes[k]);
    }
}

static void parts_of_a_file_that_grows_hold_the_largest_object(void **state)
{
    assert_int_equal(plan_growing_start(&caps, 0), 0);
    assert_int_equal(plan_growing_start(&caps, 1), 8 * MIB);
    assert_int_equal(plan_growing_start(&caps, 1001), 8000 * MIB + 16 * MIB);
    assert_true(plan_growing_start(&caps, 10000) >= 5 * TIB);
    for (size_t k = 0; k < 10000; k++)
        assert_true(plan_growing_start(&caps, k + 1) - plan_growing_start(&caps, k) <= caps.part_max);
}

struct change {
    uint64_t at, len;
};

/* "c" for a part that is copied, "b" for one of bytes, with their sizes in MiB, rounded up. */
static void expect_plan(uint64_t base, const struct change *changes, size_t n, const char *expected)
{
    CLEANUP_RELEASE(plan_release) struct plan p = {0};
    struct err e = ERR_INIT;
    BUF(text, 4096);
    struct stage *s = stage_new("/tmp", base, 0, &e);
    assert_non_null(s);
    for (size_t k = 0; k < n; k++)
        assert_int_equal(stage_zero(s, changes[k].at, changes[k].len, true, &e), ERR_OK);
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    assert_int_equal(plan_copies(&p, s, &caps, &e), ERR_OK);
    check(&p, stage_frozen_size(s));
    for (size_t k = 0; k < p.n; k++) {
        uint64_t size = p.parts[k].part.size;
        buf_addf(&text, "%s%c%llu", k ? " " : "", p.parts[k].copied ? 'c' : 'b', (unsigned long long)((size + MIB - 1) / MIB));
        uint64_t len, end = p.parts[k].start + size;
        for (uint64_t at = p.parts[k].start; p.parts[k].copied && at < end; at += len)
            assert_int_equal(stage_extent_at(s, at, true, &len), STAGE_BASE);
    }
    assert_string_equal(buf_str(&text), expected);
    assert_int_equal(stage_thaw(s, &e), ERR_OK);
    stage_free(s);
}

static void what_is_unchanged_is_copied(void **state)
{
    static const struct change appended = {100 * MIB, 1}, first = {0, 1}, last = {100 * MIB - 1, 1}, middle = {50 * MIB, 1},
                               all = {0, 100 * MIB}, near_the_end = {97 * MIB, 1};
    static const struct change two[] = {{20 * MIB, 1}, {24 * MIB, 1}}, far[] = {{20 * MIB, 1}, {60 * MIB, 30 * MIB}};
    expect_plan(100 * MIB, NULL, 0, "c100");
    expect_plan(100 * MIB, &appended, 1, "c100 b1");
    expect_plan(100 * MIB, &first, 1, "b5 c95");
    expect_plan(100 * MIB, &last, 1, "c100 b1");
    expect_plan(100 * MIB, &middle, 1, "c50 b5 c45");
    expect_plan(100 * MIB, &near_the_end, 1, "c97 b3");
    expect_plan(100 * MIB, &all, 1, "b8 b8 b8 b8 b8 b8 b8 b8 b8 b8 b8 b8 b4");
    expect_plan(100 * MIB, two, 2, "c20 b5 c75");
    expect_plan(100 * MIB, far, 2, "c20 b5 c35 b8 b8 b8 b6 c10");
    expect_plan(1100 * MIB, NULL, 0, "c512 c512 c76");
    expect_plan(1026 * MIB, NULL, 0, "c512 c257 c257");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_size_fits_into_ten_thousand_parts),
        cmocka_unit_test(parts_of_a_file_that_grows_hold_the_largest_object),
        cmocka_unit_test(what_is_unchanged_is_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
