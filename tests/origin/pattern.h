/* The contents of families of keys (family.h): one block of bytes that repeats for ever. Its length is a prime, so no
 * two offsets that a program would mistake for each other hold the same bytes, and it is small enough to stay in a
 * processor's cache: nothing is computed when it is sent. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { PATTERN_PERIOD = 1048573 };

/* Word number index of the synthetic content with that seed (README.md). */
uint64_t synthetic_word(uint64_t seed, uint64_t index);

/* The byte at any position and all that follow it in memory: at least PATTERN_PERIOD of them, *len says how many.
 * Static. Byte p of the pattern is byte p % PATTERN_PERIOD of the synthetic content with seed 0. */
const char *pattern_at(uint64_t position, size_t *len);
