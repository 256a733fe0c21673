#include "util/digest.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* One bit at a time, as the definition has it. */
static uint64_t slow_crc64(uint64_t crc, const uint8_t *p, size_t len)
{
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x9A6C9329AC4BC9B5ULL : 0);
    }
    return ~crc;
}

static uint32_t slow_crc32(uint32_t poly, uint32_t crc, const uint8_t *p, size_t len)
{
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? poly : 0);
    }
    return ~crc;
}

static uint32_t slow_crc32c(uint32_t crc, const uint8_t *p, size_t len)
{
    return slow_crc32(0x82F63B78U, crc, p, len);
}

static void fill(uint8_t *p, size_t len)
{
    uint32_t x = 12345;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525 + 1013904223;
        p[i] = (uint8_t)(x >> 24);
    }
}

static void the_check_values_are_right(void **state)
{
    assert_int_equal(crc32_ieee(0, "123456789", 9), 0xCBF43926);
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
    assert_true(crc64nvme(0, "123456789", 9) == 0xAE8B14860A799888ULL);
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_true(crc64nvme(0, "", 0) == 0);
}

static void every_length_and_alignment_agrees_with_the_definition(void **state)
{
    uint8_t data[1400];
    fill(data, sizeof(data));
    for (size_t start = 0; start < 17; start++) {
        for (size_t len = 0; len < 1380; len += 1 + len / 40) {
            assert_true(crc64nvme(7, data + start, len) == slow_crc64(7, data + start, len));
            assert_int_equal(crc32c(7, data + start, len), slow_crc32c(7, data + start, len));
            assert_int_equal(crc32_ieee(7, data + start, len), slow_crc32(0xEDB88320U, 7, data + start, len));
        }
    }
}

/* Beyond the lengths at which several stretches are worked on at a time. */
static void long_buffers_agree_with_the_definition(void **state)
{
    static const size_t lens[] = {255, 256, 257, 511, 512, 575, 767, 768, 769, 1536, 2303, 12287, 12288, 12289, 12288 + 768 + 9, 24576, 40000};
    uint8_t *data = malloc(40008);
    fill(data, 40008);
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        for (size_t start = 0; start < 8; start += 7) {
            assert_int_equal(crc32_ieee(7, data + start, lens[i]), slow_crc32(0xEDB88320U, 7, data + start, lens[i]));
            assert_int_equal(crc32c(0, data + start, lens[i]), slow_crc32c(0, data + start, lens[i]));
            assert_int_equal(crc32c(0xDEADBEEF, data + start, lens[i]), slow_crc32c(0xDEADBEEF, data + start, lens[i]));
            assert_true(crc64nvme(7, data + start, lens[i]) == slow_crc64(7, data + start, lens[i]));
        }
    }
    free(data);
}

static void a_running_crc_is_the_crc_of_the_whole(void **state)
{
    uint8_t data[1000];
    fill(data, sizeof(data));
    for (size_t cut = 0; cut <= sizeof(data); cut += 37) {
        assert_true(crc64nvme(crc64nvme(0, data, cut), data + cut, sizeof(data) - cut) ==
                    crc64nvme(0, data, sizeof(data)));
        assert_int_equal(crc32c(crc32c(0, data, cut), data + cut, sizeof(data) - cut), crc32c(0, data, sizeof(data)));
        assert_int_equal(crc32_ieee(crc32_ieee(0, data, cut), data + cut, sizeof(data) - cut), crc32_ieee(0, data, sizeof(data)));
    }
}

static void two_crcs_combine_to_the_crc_of_both(void **state)
{
    uint8_t data[1000];
    fill(data, sizeof(data));
    uint64_t whole = crc64nvme(0, data, sizeof(data));
    for (size_t cut = 0; cut <= sizeof(data); cut += 25) {
        uint64_t a = crc64nvme(0, data, cut), b = crc64nvme(0, data + cut, sizeof(data) - cut);
        assert_true(crc64nvme_combine(a, b, sizeof(data) - cut) == whole);
    }
}

static void lengths_beyond_memory_combine(void **state)
{
    /* 2^40 zero bytes, built by doubling, then split another way. */
    uint64_t zeros = crc64nvme(0, "", 1);
    uint64_t len = 1;
    for (int i = 0; i < 40; i++, len *= 2)
        zeros = crc64nvme_combine(zeros, zeros, len);
    uint64_t half = crc64nvme(0, "", 1);
    for (uint64_t n = 1; n < len / 2; n *= 2)
        half = crc64nvme_combine(half, half, n);
    assert_true(crc64nvme_combine(half, half, len / 2) == zeros);
    assert_true(crc64nvme_combine(zeros, 0, 0) == zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_check_values_are_right),
        cmocka_unit_test(every_length_and_alignment_agrees_with_the_definition),
        cmocka_unit_test(long_buffers_agree_with_the_definition),
        cmocka_unit_test(a_running_crc_is_the_crc_of_the_whole),
        cmocka_unit_test(two_crcs_combine_to_the_crc_of_both),
        cmocka_unit_test(lengths_beyond_memory_combine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
