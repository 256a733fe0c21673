/*
 * What can be changed of a parameter beside its value, by name as extended attributes have it. Description, allowed pattern,
 * policies, tier, key and data type belong to a version: a change puts the value again and makes a new one. Tags belong to the
 * parameter. The type is chosen once, with the first value.
 *
 * What is set of a file that has no value yet is kept in its metadata, as properties "new.NAME", until the first put.
 */
#ifndef SSM_ATTRS_H
#define SSM_ATTRS_H

#include "awsfs/store.h"

struct buf;
struct ssm;
struct ssm_described;

#define SSM_TAG_PREFIX   "tag."
#define ATTRS_NEW_PREFIX "new."

/* True for the name of an attribute that attrs_set() can be asked for: settable, or refused with a reason. */
bool attrs_known(const char *name);

/* store_property_set() of what is there. Blocks: one request for a tag, up to three for what belongs to a version. */
enum err_code attrs_set(struct ssm *s, const char *key, const struct store_meta *meta, const char *name, const char *value,
                        size_t len, const struct store_call *call, struct err *e) MUST_CHECK;

/* store_property_prepare(). */
enum err_code attrs_prepare(void *impl, const char *key, const struct store_meta *meta, const char *name, const void *value,
                            size_t len, struct store_meta **meta_out, struct err *e) MUST_CHECK;

/* What was prepared, borrowed from `meta`; NULL when it was not. */
const char *attrs_prepared(const struct store_meta *meta, const char *name);

/* What a new parameter of that key is to be: by the options, the rules for its name, and what was prepared in `meta` (may be NULL).
 * NULL without memory. */
struct ssm_described *attrs_of_new(const struct ssm *s, const char *key, const struct store_meta *meta);

/* Appends "tag.K" of the parameter, or all of its tags as "k=v&k2=v2", percent-encoded, for "tags". ERR_NO_ATTR. One request. */
enum err_code tags_get(struct ssm *s, const char *name, const char *property, const struct store_call *call, struct buf *out,
                       struct err *e) MUST_CHECK;

/* Sets a tag (`value` NULL: removes it). One request. */
enum err_code tags_set(struct ssm *s, const char *name, const char *tag, const char *value, size_t len,
                       const struct store_call *call, struct err *e) MUST_CHECK;

/* Gives a parameter that was just made the tags that were prepared in `meta` (may be NULL). A request, where there are any. */
enum err_code tags_put(struct ssm *s, const char *name, const struct store_meta *meta, const struct store_call *call,
                       struct err *e) MUST_CHECK;

/* Gives `to` the tags of `from`, as far as they may be read and there are any. Up to two requests. */
enum err_code tags_copy(struct ssm *s, const char *from, const char *to, const struct store_call *call, struct err *e) MUST_CHECK;

#endif
