/* Checksums by S3's names: those of x-amz-checksum-*, and MD5 for ETags. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sum_alg { SUM_CRC32, SUM_CRC32C, SUM_CRC64NVME, SUM_SHA1, SUM_SHA256, SUM_SHA512, SUM_MD5, SUM_ALGS };

enum { SUM_MAX = 64, SUM_BASE64_MAX = 96, SUMS_TOTAL = 4 + 4 + 8 + 20 + 32 + 64 + 16 };

/* Values of the algorithms whose bit (1 << alg) is in have, as on the wire, one behind the other: SUM_VALUE finds
 * them. There is one for each object, hence the packing. */
struct sum_set {
    unsigned have;
    unsigned char bytes[SUMS_TOTAL];
};

#define SUM_VALUE(set, alg) ((set)->bytes + sum_offset(alg))

/* A computation in progress. */
struct sums {
    unsigned want;
    void *md[SUM_ALGS];
    uint64_t crc[3];
};

/* "CRC64NVME" and the like; the length in bytes; the offset in a sum_set; whether parts of a multipart upload combine
 * to a full-object value. */
const char *sum_name(enum sum_alg alg);
size_t sum_len(enum sum_alg alg);
size_t sum_offset(enum sum_alg alg);
bool sum_combines(enum sum_alg alg);

/* The algorithm of that name, in any case; SUM_ALGS when there is none. */
enum sum_alg sum_by_name(const char *name);

/* Starts computing the algorithms whose bits are in want; sums_final stores the values and releases. */
void sums_init(struct sums *s, unsigned want);
void sums_update(struct sums *s, const void *data, size_t len);
void sums_final(struct sums *s, struct sum_set *out);
void sums_release(struct sums *s);

/* The checksum of data at once. */
void sum_of(enum sum_alg alg, const void *data, size_t len, unsigned char *out);

/* Extends total (over a) by part (over b, len_b bytes) for every algorithm that combines; others leave total. */
void sum_set_append(struct sum_set *total, const struct sum_set *part, uint64_t len_b);

/* base64 into out (SUM_BASE64_MAX bytes), and back: the number of bytes, at most SUM_MAX, or -1. */
void base64_encode(const unsigned char *data, size_t len, char *out);
int base64_decode(const char *text, unsigned char *out);

/* Lower-case hex into out, 2 * len + 1 bytes. */
void hex_encode(const unsigned char *data, size_t len, char *out);
