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
    const char *profile; /* whose settings count: the active one, or a source_profile */
    bool use_env;        /* keys and role of the environment count: not with profile=, not for a source_profile */
    const char *region;  /* option, or NULL */
};

struct creds_source {
    const char *name;      /* for messages */
    const char *canonical; /* its name in credential_source, or NULL */
    bool of_profile;       /* what a source_profile may have */
    bool extends; /* what it gave stays in use beyond its expiry while it cannot be reached (static stability) */

    /* Blocks (files, network, processes). ERR_OK: *out is a reference for the caller. ERR_NOT_FOUND: not configured
     * here, `e` says where it looked; the next source is asked. Any other error: it is configured and failed, the chain
     * ends. */
    enum err_code (*load)(const struct creds_context *ctx, struct creds **out, struct err *e);
};

extern const struct creds_source creds_sources[];
extern const size_t creds_sources_count;

enum err_code creds_env_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_assume_role_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_web_identity_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_sso_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_shared_file_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_login_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_process_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_config_file_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_ec2_file_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_boto_file_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_container_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;
enum err_code creds_imds_load(const struct creds_context *ctx, struct creds **out, struct err *e) MUST_CHECK;

/* A value of the profile, NULL when absent or empty. Borrowed. */
const char *creds_setting(const struct creds_context *ctx, const char *key);

/* Whether a source that failed so may well answer later: no network, no time, a server that broke down. */
bool creds_may_pass(enum err_code code);

/* What a status that is no success means: ERR_NET where it may pass (5xx, 429), else ERR_AUTH. */
enum err_code creds_status_code(int status);

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
