/*
 * Both of AWS's files and the environment, read together: AWS_CONFIG_FILE (~/.aws/config, sections [default], [profile
 * X], [services X]) and AWS_SHARED_CREDENTIALS_FILE (~/.aws/credentials, sections named like the profile). For one
 * profile, what the credentials file says wins over the config file. Immutable once loaded.
 */
#ifndef AWS_PROFILE_H
#define AWS_PROFILE_H

#include "awsfs/err.h"
#include "util/buf.h"
#include "util/cleanup.h"

#include <stdbool.h>

struct profiles;

enum profile_file { PROFILE_CREDENTIALS, PROFILE_CONFIG };

/* Reads both files. `option` is the profile asked for by option, or NULL: then AWS_DEFAULT_PROFILE, AWS_PROFILE,
 * "default". ERR_INVAL: a malformed file, or a profile that was asked for and is in neither file. Blocks on the disk.
 */
struct profiles *profiles_load(const char *option, struct err *e);
void profiles_free(struct profiles *p);
CLEANUP_DEFINE(struct profiles, profiles_free)

/* The active profile's name, and whether it was asked for by option (which then excludes keys from the environment). */
const char *profiles_active(const struct profiles *p);
bool profiles_explicit(const struct profiles *p);

/* The path of a file as it was looked for, for messages. */
const char *profiles_path(const struct profiles *p, enum profile_file file);

/* "does not exist", "cannot be read", or "" */
const char *profiles_problem(const struct profiles *p, enum profile_file file);

/* The file is there and cannot be read (a warning was logged). */
bool profiles_unreadable(const struct profiles *p, enum profile_file file);

bool profiles_has(const struct profiles *p, const char *profile);

/* A value of a profile from either file; `sub` names an element of a nested block ("s3", "addressing_style") or is
 * NULL. NULL when absent or empty. Borrowed. */
const char *profiles_get(const struct profiles *p, const char *profile, const char *key, const char *sub);

/* The same from one file only. */
const char *profiles_get_from(const struct profiles *p, enum profile_file file, const char *profile, const char *key);

/* `key` of the block `service` in the section [services X] that the profile names with `services = X`. ERR_INVAL when
 * there is no such section. *value is NULL when absent. Borrowed. */
enum err_code profiles_service_get(const struct profiles *p, const char *profile, const char *service, const char *key,
                                   const char **value, struct err *e) MUST_CHECK;

/* The section [sso-session NAME] of the config file: whether it is there, and a value of it, NULL when absent or empty.
 * Borrowed.
 */
bool profiles_has_session(const struct profiles *p, const char *name);
const char *profiles_session_get(const struct profiles *p, const char *name, const char *key);

/* Appends `path` with "~", "~user", "$NAME" and "${NAME}" replaced; what is unknown stays as it is. */
void profile_expand_path(struct buf *out, const char *path);

/* A variable of the environment, NULL when unset or empty. */
const char *env_get(const char *name);

/* Only "true" in any case is true, as in the SDKs. */
bool config_is_true(const char *value);

#endif
