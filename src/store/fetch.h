/* Gets that somebody waits for, and what is made of them. All of it blocks on the network; no lock may be held. */
#ifndef STORE_FETCH_H
#define STORE_FETCH_H

#include "awsfs/store.h"
#include "util/digest.h"

/* store_get() to its end, whose result this is; `g` has no done(). data() runs on the store's thread as there. `out` (may be NULL)
 * receives what the reply tells of the object, to be released with store_object_release(). */
enum err_code store_fetch(struct store *s, const struct store_get *g, struct store_object *out, struct err *e) MUST_CHECK;

/* The digest of all bytes of a version. `cancel` may be NULL. Errors of store_get(); ERR_NOMEM. */
enum err_code store_hash(struct store *s, const char *key, const struct store_version *v, enum digest_alg alg, struct cancel *cancel,
                         uint8_t out[DIGEST_MAX], struct err *e) MUST_CHECK;

/* Whether two versions have the same bytes: fetches both where their sizes are the same, and not 0. */
enum err_code store_same_bytes(struct store *s, const char *a_key, const struct store_version *a, const char *b_key,
                               const struct store_version *b, struct cancel *cancel, bool *same, struct err *e) MUST_CHECK;

#endif
