/*
 * The files in which AWS's command line keeps what a person has logged in to: read, and written anew after a refresh,
 * because a refresh token is good only once. And where the services are that do it. Private to the credentials' files.
 */
#ifndef AWS_TOKEN_CACHE_H
#define AWS_TOKEN_CACHE_H

#include "aws/secret_file.h"
#include "util/buf.h"
#include "util/digest.h"
#include "util/json.h"

#include <stdbool.h>
#include <time.h>

struct creds_context;

/* Appends DIRECTORY/HEX.json, with "~" and variables in the directory replaced; HEX is the digest of `name`. */
enum err_code token_path(const char *directory, const char *name, enum digest_alg alg, struct buf *out,
                         struct err *e) MUST_CHECK;

/* ERR_NOT_FOUND: there is no such file. ERR_PROTO: no JSON. */
enum err_code token_load(const char *path, struct json_doc **out, struct err *e) MUST_CHECK;

/* ISO 8601, also with "UTC" for "Z" as older versions write it; false for NULL and anything else. */
bool token_time(const char *text, time_t *out);
void token_format_time(time_t t, char out[24]);

/* Appends the member of an object that was begun with '{', with a comma where it is not the first; nothing where
 * `value` is NULL. */
void token_add(struct buf *out, const char *name, const char *value);

/* Appends the URL of a service, without a slash at its end: the configured one (`id` is "sso", "sso_oidc", "signin":
 * AWS_ENDPOINT_URL_SSO and so on), else `own`. */
enum err_code creds_service_url(const struct creds_context *ctx, const char *id, const char *own, struct buf *out,
                                struct err *e) MUST_CHECK;

#endif
