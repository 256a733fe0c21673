/*
 * Keys of the store and names of parameters, and what the API accepts as a name or a value (facts: the PutParameter
 * reference and "requirements and constraints for parameter names"). Pure; any thread.
 *
 * A name is always sent with its leading slash: "/x" and "x" are the same parameter. A selector is the last component's
 * part behind '@', which no name can contain: "db/host@3" is version 3, "db/host@live" what the label "live" points to.
 */
#ifndef SSM_NAMES_H
#define SSM_NAMES_H

#include "awsfs/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SSM_ARN_MAX    1011 /* characters of a name with the ARN in front of it */
#define SSM_LEVELS_MAX 15
#define SSM_LABEL_MAX  100
#define SSM_NAME_SIZE  (SSM_ARN_MAX + SSM_LABEL_MAX + 2)

#define SSM_VALUE_STANDARD 4096 /* bytes */
#define SSM_VALUE_ADVANCED 8192

struct ssm_name {
    char text[SSM_NAME_SIZE]; /* "/prod/app/db/host", with a selector "/prod/app/db/host:3" */
    bool selector;
};

/* The store's path as options give it ("/", "/prod/app", "/prod/app/") to the form used here: "" for the root, else
 * without a slash at its end. `out` holds `size` bytes. ERR_INVAL says what is wrong with it. */
enum err_code ssm_path_make(const char *path, char *out, size_t size, struct err *e) MUST_CHECK;

/* "PATH/KEY" with the key's first `key_len` bytes, whatever they are. ERR_NAME_TOO_LONG. */
enum err_code ssm_name_join(const char *path, const char *key, size_t key_len, struct ssm_name *out,
                            struct err *e) MUST_CHECK;

/* What to ask for when a key is read. ERR_NOT_FOUND for a key that no parameter can have: nobody needs to be asked. */
enum err_code ssm_name_for_read(const char *path, const char *key, struct ssm_name *out, struct err *e) MUST_CHECK;

/* What to write to. `arn_prefix` is the length of the ARN in front of the name's slash. ERR_BAD_NAME: a character (also
 * '@', so no selector); ERR_NAME_TOO_LONG: length or levels; ERR_INVAL: an empty component, or a first one that begins
 * with aws or ssm. For a directory (`is_dir`, the key may end with '/'): whether a parameter could be in it. */
enum err_code ssm_name_for_write(const char *path, const char *key, bool is_dir, size_t arn_prefix,
                                 struct ssm_name *out, struct err *e) MUST_CHECK;

/* The key of a parameter's name below `path`, borrowed from `name`; NULL when it is not below. */
const char *ssm_key_of(const char *path, const char *name);

/* Whether two names, each with or without the leading slash, are the same parameter's. */
bool ssm_name_equal(const char *a, const char *b);

/* The length of "arn:PARTITION:ssm:REGION:ACCOUNT:parameter", from the region, or from an ARN (0 when it is none). */
size_t ssm_arn_prefix_of_region(const char *region);
size_t ssm_arn_prefix_of_arn(const char *arn);

/* Whether `len` bytes can be a value of at most `max` bytes. ERR_INVAL: empty, a NUL, or "{{" (a reference to another
 * parameter, which values must not hold); ERR_TOO_BIG; ERR_BAD_NAME (EILSEQ): not UTF-8. The message does not have the
 * value. */
enum err_code ssm_value_check(const char *name, const void *value, uint64_t len, uint64_t max,
                              struct err *e) MUST_CHECK;

/* True for the names of what editors write beside a file: they stay local until renamed. */
bool ssm_name_stays_local(const char *name);

#endif
