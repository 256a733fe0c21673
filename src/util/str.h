/* Small helpers for text: parsing numbers and sizes, hex, base64, percent-encoding, UTF-8. None allocates unless it says so. */
#ifndef UTIL_STR_H
#define UTIL_STR_H

#include "util/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whole string as an unsigned decimal without sign or blanks; false on anything else or overflow. */
bool str_parse_u64(const char *s, uint64_t *out);

/* The same, signed, with an optional leading '-'. */
bool str_parse_i64(const char *s, int64_t *out);

/* "10G", "128M", "4096", "1.5T" is not legal: whole number and an optional K, M, G, T (powers of 1024, either case). */
bool str_parse_size(const char *s, uint64_t *bytes);

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);
bool str_ieq(const char *a, const char *b);

/* A malloc'd copy of `len` bytes with a NUL; NULL without memory. */
char *str_ndup(const char *s, size_t len);

/* printf into malloc'd memory; NULL without memory. */
char *str_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Lower-case hex of `len` bytes; `out` holds 2 * len + 1. */
void hex_encode(const void *p, size_t len, char *out);

/* False unless `s` is exactly 2 * len hex digits. */
bool hex_decode(const char *s, void *out, size_t len);

/* Standard base64 with padding, appended. */
void base64_encode(struct buf *out, const void *p, size_t len);

/* Strict; appended to `out`. False when malformed. */
bool base64_decode(struct buf *out, const char *s, size_t len);

/* Appends `s` percent-encoded as SigV4 wants it: A-Za-z0-9 - _ . ~ stay, upper-case hex; '/' stays if `keep_slash`. */
void uri_encode(struct buf *out, const char *s, size_t len, bool keep_slash);

/* Appends decoded; '+' stays '+' unless `plus_is_space`. False on a malformed escape or an encoded NUL. */
bool uri_decode(struct buf *out, const char *s, size_t len, bool plus_is_space);

/* Valid UTF-8 (no surrogates, no overlong forms, no NUL). */
bool utf8_valid(const char *s, size_t len);

/* The optimal string alignment distance of two short names (for "did you mean"), at most `limit` + 1. */
unsigned str_distance(const char *a, const char *b, unsigned limit);

#endif
