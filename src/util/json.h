/*
 * JSON, read and written: the only user of jansson. Replies are bounded by the caller; depth at most 32. Strings are UTF-8
 * and may hold NUL only where the length is asked for. What a document holds may be secret: documents live in secret memory
 * (util/secret.h).
 */
#ifndef UTIL_JSON_H
#define UTIL_JSON_H

#include "awsfs/err.h"
#include "util/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_doc;
struct json; /* a value, borrowed from its document */

/* ERR_PROTO when malformed, too deep, or with trailing bytes. */
struct json_doc *json_parse(const char *p, size_t len, struct err *e);
void json_doc_free(struct json_doc *d);
CLEANUP_DEFINE(struct json_doc, json_doc_free)
const struct json *json_root(const struct json_doc *d);

/* Member of an object, NULL when absent, null, or `v` is no object (or NULL). */
const struct json *json_get(const struct json *v, const char *name);

/* Elements of an array; 0 for anything else. */
size_t json_len(const struct json *v);
const struct json *json_at(const struct json *v, size_t i);

/* True for an array, also an empty one, which json_len() does not tell from something that is no array. */
bool json_list(const struct json *v);

/* The text of a string, NULL for anything else. `len` may be NULL; then a string with a NUL inside counts as no string. */
const char *json_str(const struct json *v, size_t *len);

/* json_str(json_get(v, name)), NULL when absent. */
const char *json_get_str(const struct json *v, const char *name);

/* A number; false for anything else or out of range. */
bool json_int(const struct json *v, int64_t *out);
bool json_real(const struct json *v, double *out);
bool json_bool(const struct json *v, bool *out);

/* Writing: appends to a buffer, in order. json_quote appends a quoted string (must be UTF-8: ERR via buf's failed mark). */
void json_quote(struct buf *out, const char *s, size_t len);

/* Once at start, before any document: gives jansson secret memory. */
void json_init(void);

#endif
