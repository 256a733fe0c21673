/*
 * SHA-512 of many buffers at once: a vector register carries one word of several independent hashes, so a processor with
 * AVX-512 hashes eight buffers in the time of two, one with AVX2 four in the time of three. One buffer gains nothing and would lose, so
 * what is too few, or too unequal, to fill the lanes goes through OpenSSL one after another. The digests are the same
 * whatever was used.
 */
#ifndef UTIL_SHA512_LANES_H
#define UTIL_SHA512_LANES_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHA512_BYTES 64

struct sha512_buf {
    const void *p; /* may be NULL where len is 0 */
    size_t len;
    uint8_t *digest; /* SHA512_BYTES, written on success */
};

/* Hashes `n` buffers, any number of any lengths, with the best this processor has. Puts `bufs` into another order (longest
 * first). Any thread; takes no lock, allocates nothing of its own, works on the calling thread until all is done: for 8 MiB a
 * few milliseconds. Not for secrets: leaves copies of the last bytes of a buffer on the stack. Fails as digest_once() does,
 * some digests may be written then. (FIPS 180-4 section 6.4.) */
enum err_code sha512_each(struct sha512_buf *bufs, size_t n, struct err *e) MUST_CHECK;

/* How it can be done. The values are in order of preference. */
enum sha512_way { SHA512_ONE_BY_ONE, SHA512_AVX2, SHA512_AVX512, SHA512_WAYS };

/* Whether this build and this processor can. */
bool sha512_way_works(enum sha512_way way);

/* What sha512_each() uses here. */
enum sha512_way sha512_way_best(void);

/* The same as sha512_each() in a given way, which must work; for tests and measurements. */
enum err_code sha512_each_by(enum sha512_way way, struct sha512_buf *bufs, size_t n, struct err *e) MUST_CHECK;

/* How many buffers of the same length make that way faster than one after another; 0 for SHA512_ONE_BY_ONE. */
unsigned sha512_way_pays(enum sha512_way way);

#endif
