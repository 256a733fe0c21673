/* A family of keys: any number of objects that one line describes. Nothing of them is stored; whether a key belongs to
 * it, which key comes next, and what an object is like are computed when they are asked for. README.md has the rule. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store.h"

enum { FAMILY_FIELDS = 4, FAMILY_KEY_MAX = 1024 };

struct family;

/* The family that `{"name": ..., "each": [...], ...}` describes, owned by the caller. NULL when it is no rule; *wrong
 * then is a static text that says why. */
struct family *family_new(const json_t *rule, const char **wrong);
void family_free(struct family *f);

/* The name as given: "d%02d/f%05d". */
const char *family_name(const struct family *f);
uint64_t family_count(const struct family *f);

/* The key with that number, in FAMILY_KEY_MAX + 1 bytes. Keys ascend with their numbers, compared as bytes. */
void family_key(const struct family *f, uint64_t number, char *out);

/* The number of the first key >= key; family_count when there is none. The time does not depend on the count. */
uint64_t family_seek(const struct family *f, const char *key);

bool family_has(const struct family *f, const char *key);

/* Fills what a listing says of an object of the family, and returns its size. */
uint64_t family_describe(const struct family *f, const char *key, struct object *o);

/* The whole object, owned by the caller. */
struct object *family_object(const struct family *f, const char *key);
