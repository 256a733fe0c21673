/* What a fuzz target is made of: libFuzzer's entry point, and a check that stays on in every build. */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Runs the code under test on one input, which is `size` bytes on the heap without anything behind them. Returns 0; a
 * finding is an abort, a sanitizer's report or a hang. Must not depend on earlier inputs. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Aborts where a property of the code under test does not hold. */
#define FUZZ_CHECK(condition)                                                                                              \
    do {                                                                                                                   \
        if (!(condition)) {                                                                                                \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                       \
            abort();                                                                                                       \
        }                                                                                                                  \
    } while (0)

#endif
