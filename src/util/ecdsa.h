/* ECDSA with the curve P-256 and SHA-256, by OpenSSL: what SigV4A and JSON Web Tokens (ES256) are signed with. */
#ifndef UTIL_ECDSA_H
#define UTIL_ECDSA_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ECDSA_SCALAR = 32, ECDSA_SIGNATURE_MAX = 80 };

struct ecdsa_key;

/* The key pair of a private number, big-endian, from 1 to the curve's order minus 1. The caller wipes `scalar`.
 * ERR_INVAL for another number, ERR_UNSUPPORTED where OpenSSL has no such curve. */
struct ecdsa_key *ecdsa_key_new(const uint8_t scalar[ECDSA_SCALAR], struct err *e);

/* The key pair of a private key in PEM. ERR_INVAL where it is none, or not on P-256; messages quote nothing of it. ERR_NOMEM. */
struct ecdsa_key *ecdsa_key_read(const char *pem, struct err *e);
void ecdsa_key_free(struct ecdsa_key *k);
CLEANUP_DEFINE(struct ecdsa_key, ecdsa_key_free)

/* The public point's coordinates, big-endian. */
void ecdsa_public(const struct ecdsa_key *k, uint8_t x[ECDSA_SCALAR], uint8_t y[ECDSA_SCALAR]);

/* Signs SHA-256 of the text; *len takes the length of the DER encoding. Another one each time. */
enum err_code ecdsa_sign(const struct ecdsa_key *k, const void *text, size_t text_len, uint8_t out[ECDSA_SIGNATURE_MAX],
                         size_t *len, struct err *e) MUST_CHECK;

/* The same as the two numbers r and s, big-endian (RFC 7518 section 3.4). */
enum err_code ecdsa_sign_numbers(const struct ecdsa_key *k, const void *text, size_t text_len,
                                 uint8_t out[2 * ECDSA_SCALAR], struct err *e) MUST_CHECK;

bool ecdsa_verify(const struct ecdsa_key *k, const void *text, size_t text_len, const uint8_t *signature, size_t len);

#endif
