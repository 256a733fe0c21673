/* Signatures of JSON Web Tokens with ECDSA over P-256 and SHA-256 (RFC 7518 section 3.4). */
#ifndef UTIL_ES256_H
#define UTIL_ES256_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stddef.h>
#include <stdint.h>

struct es256;

/* A private key in PEM. NULL: ERR_INVAL where it is none, or not on P-256; ERR_NOMEM. Messages quote nothing of it. */
struct es256 *es256_new(const char *pem, struct err *e);
void es256_free(struct es256 *key);
CLEANUP_DEFINE(struct es256, es256_free)

/* The public point, big endian. */
enum err_code es256_public(const struct es256 *key, uint8_t x[32], uint8_t y[32], struct err *e) MUST_CHECK;

/* The signature as r and s, big endian. */
enum err_code es256_sign(const struct es256 *key, const void *p, size_t len, uint8_t out[64], struct err *e) MUST_CHECK;

#endif
