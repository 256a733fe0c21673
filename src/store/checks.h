/* What the dispatcher demands of arguments and results of a store's calls. Pure; any thread. */
#ifndef STORE_CHECKS_H
#define STORE_CHECKS_H

#include "store/meta.h"

/* A key that the store can be asked for: ERR_INVAL (empty), ERR_NAME_TOO_LONG, ERR_BAD_NAME (not UTF-8). */
enum err_code store_check_key(const struct store_caps *caps, const char *key, struct err *e) MUST_CHECK;

/* `size` bytes against `max` and STORE_EMPTY_REFUSED: ERR_TOO_BIG, ERR_INVAL. */
enum err_code store_check_body(const struct store_caps *caps, const char *key, uint64_t size, uint64_t max,
                               struct err *e) MUST_CHECK;

/* Parts of an upload's end: numbers ascending, none too many, the sum not above max_object. ERR_INVAL, ERR_TOO_BIG. */
enum err_code store_check_parts(const struct store_caps *caps, const char *key, const struct store_part *parts,
                                size_t n, struct err *e) MUST_CHECK;

/* A version that a backend returned. ERR_PROTO without an ETag. */
enum err_code store_check_version(const struct store_caps *caps, const char *key, const struct store_version *v,
                                  struct err *e) MUST_CHECK;

/* A page that a backend returned: entries in strict order, below the prefix, grouped as asked, the token another than
 * the one asked with. ERR_PROTO names what is wrong. */
enum err_code store_check_page(const struct store_caps *caps, const struct store_list *l, const struct store_page *p,
                               struct err *e) MUST_CHECK;

#endif
