/*
 * One source of credentials, and the table of all in the order in which they are asked. Private to the credentials'
 * files.
 */
#ifndef AWS_CREDS_SOURCE_H
#define AWS_CREDS_SOURCE_H

#include "aws/creds.h"
#include "aws/profile.h"

#include <stddef.h>

struct cancel;

/* What a source may use. Read anew for every load, so that changed files are seen. Borrowed. */
struct creds_context {
    struct http_engine *engine;
    struct cancel *cancel;
    const struct profiles *profiles;
    const char *region; /* option, or NULL */
};

struct creds_source {
    const char *name; /* for messages */
    bool extends;     /* what it gave stays in use beyond its expiry while it cannot be reached (static stability) */

    /* Blocks (files, network). ERR_OK: *out is a reference for the caller. ERR_NOT_FOUND: not configured here, `e` says
     * where it looked; the next source is asked. Any other error: it is configured and failed, the chain ends. */
    enum err_code (*load)(const struct creds_context *ctx, struct creds **out, struct err *e);
};

extern const struct creds_source creds_sources[];
extern const size_t creds_sources_count;

enum err_code creds_env_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_assume_role_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_shared_file_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_config_file_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_imds_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;

/* The keys that a profile has in one file. ERR_NOT_FOUND when it has none, ERR_INVAL for one without the other. */
enum err_code creds_profile_keys(const struct profiles *p, enum profile_file file, const char *profile,
                                 struct creds **out, struct err *e) MUST_CHECK;

enum {
    CREDS_ADVISORY_S = 15 * 60,  /* so long before the expiry a refresh begins */
    CREDS_MANDATORY_S = 10 * 60, /* from here on it is urgent */
};

/* Static stability, as in the SDKs: now + 15 minutes and a random 2 to 10. */
time_t creds_extended_expiry(time_t now);

/* When to refresh a set that came at `now`: before the advisory time by a random part of the window to the mandatory
 * one, but never before half of its life. `random` is uniform in [0, 2^32). Pure. */
time_t creds_refresh_time(time_t now, time_t expires, unsigned random);

#endif
