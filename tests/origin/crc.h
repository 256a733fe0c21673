/* The three CRCs of S3 (reflected, initial value and final xor all ones) and their combination. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum crc_kind { CRC_32, CRC_32C, CRC_64NVME, CRC_KINDS };

/* The CRC of the empty string, continued over len bytes: crc_update(k, crc_of(a), b) is crc_of(a b); start with 0. */
uint64_t crc_update(enum crc_kind kind, uint64_t crc, const void *data, size_t len);

/* The CRC of a followed by b, from those of a and of b and the length of b in bytes. */
uint64_t crc_combine(enum crc_kind kind, uint64_t crc_a, uint64_t crc_b, uint64_t len_b);
