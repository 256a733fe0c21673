/* Digests and checksums: the only user of OpenSSL's EVP interface. One call over a buffer, or streaming. */
#ifndef UTIL_DIGEST_H
#define UTIL_DIGEST_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stddef.h>
#include <stdint.h>

enum digest_alg { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA512 };

#define DIGEST_MAX 64

/* Bytes of the digest: 16, 20, 32, 64. */
size_t digest_size(enum digest_alg alg);

/* One buffer. Fails only without memory or where the provider refuses the algorithm (MD5 under FIPS): ERR_UNSUPPORTED. */
enum err_code digest_once(enum digest_alg alg, const void *p, size_t len, uint8_t out[DIGEST_MAX],
                          struct err *e) MUST_CHECK;

/* The same, as lower-case hex with NUL. */
enum err_code digest_hex(enum digest_alg alg, const void *p, size_t len, char out[2 * DIGEST_MAX + 1],
                         struct err *e) MUST_CHECK;

/* HMAC-SHA256. */
enum err_code hmac_sha256(const void *key, size_t key_len, const void *p, size_t len, uint8_t out[32],
                          struct err *e) MUST_CHECK;

struct digest;
struct digest *digest_new(enum digest_alg alg, struct err *e);
void digest_free(struct digest *d);
CLEANUP_DEFINE(struct digest, digest_free)
enum err_code digest_update(struct digest *d, const void *p, size_t len, struct err *e) MUST_CHECK;
enum err_code digest_final(struct digest *d, uint8_t out[DIGEST_MAX], struct err *e) MUST_CHECK;

/* CRC-32 (that of zip and Ethernet). Start with crc = 0. Check: "123456789" gives 0xCBF43926. */
uint32_t crc32_ieee(uint32_t crc, const void *p, size_t len);

/* CRC-32C (Castagnoli), hardware where there is any. Start with crc = 0. */
uint32_t crc32c(uint32_t crc, const void *p, size_t len);

/* CRC-64/NVME (reflected, poly 0xAD93D23594C93659), S3's CRC64NVME. Start with crc = 0. Check: "123456789" gives
 * 0xAE8B14860A799888. */
uint64_t crc64nvme(uint64_t crc, const void *p, size_t len);

/* The CRC of A followed by B, from both CRCs and the length of B in bytes. */
uint64_t crc64nvme_combine(uint64_t crc_a, uint64_t crc_b, uint64_t len_b);

/* `len` bytes from the system's generator. Aborts where there is none. */
void random_bytes(void *p, size_t len);

#endif
