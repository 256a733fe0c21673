/* Building and reading `struct store_meta`, and releasing what the contract hands out. A `content` is always
 * secret_alloc()'s memory (util/secret.h), whatever the store. */
#ifndef STORE_META_H
#define STORE_META_H

#include "awsfs/store.h"
#include "util/cleanup.h"

/* Empty, one reference. NULL without memory. */
struct store_meta *store_meta_new(void);

/* An own, changeable copy (also of NULL: then empty). NULL without memory. */
struct store_meta *store_meta_copy(const struct store_meta *m);
struct store_meta *store_meta_ref(struct store_meta *m); /* NULL gives NULL; atomic */
void store_meta_unref(struct store_meta *m);
CLEANUP_DEFINE(struct store_meta, store_meta_unref)

/* As plain fields, which `out` borrows from `m`; and a meta of such, whose pairs may come in any order. NULL: ERR_NOMEM, ERR_TOO_BIG. */
void store_meta_fields(const struct store_meta *m, struct meta_fields *out);
struct store_meta *store_meta_of(const struct meta_fields *f, struct err *e);

/* Only on a meta that nobody else has a reference to. `value` NULL removes. ERR_NOMEM. */
enum err_code store_meta_set_xattr(struct store_meta *m, const char *name, const void *value, size_t len,
                                   struct err *e) MUST_CHECK;
enum err_code store_meta_set_prop(struct store_meta *m, const char *name, const void *value, size_t len,
                                  struct err *e) MUST_CHECK;
/* Whether a property of that name says something of the bytes. Pure. */
bool store_meta_is_sum(const char *name);
/* Removes those properties: for a version that has other bytes. */
void store_meta_drop_sums(struct store_meta *m);
/* Whether it has any of them. NULL has none. */
bool store_meta_has_sums(const struct store_meta *m);

/* Borrowed; NULL when absent or `m` is NULL. `len` may be NULL. */
const char *store_meta_xattr(const struct store_meta *m, const char *name, size_t *len);
const char *store_meta_prop(const struct store_meta *m, const char *name, size_t *len);

/* Free what they point to and zero them. NULL is fine. */
void store_object_release(struct store_object *o);
void store_page_release(struct store_page *p);

#endif
