#include "pattern.h"

#include <string.h>

uint64_t synthetic_word(uint64_t seed, uint64_t index)
{
    uint64_t z = seed + index + 0x9E3779B97F4A7C15U;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
}

const char *pattern_at(uint64_t position, size_t *len)
{
    static _Alignas(64) char block[2 * PATTERN_PERIOD + 8];
    static int filled;
    size_t at = (size_t)(position % PATTERN_PERIOD);

    if (!filled) {
        for (size_t i = 0; i < PATTERN_PERIOD; i += 8) {
            uint64_t word = synthetic_word(0, i / 8);

            memcpy(block + i, &word, 8);
        }
        memcpy(block + PATTERN_PERIOD, block, PATTERN_PERIOD);
        filled = 1;
    }
    *len = 2 * PATTERN_PERIOD - at;
    return block + at;
}
