/*
 * Credentials: the chain of sources, fetched and refreshed in the background before they expire. Secrets live in secret
 * memory and print as asterisks.
 */
#ifndef AWS_CREDS_H
#define AWS_CREDS_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct http_engine;

/* One set, immutable, reference-counted. */
struct creds {
    char *access_key_id;
    char *secret_access_key; /* secret memory */
    char *session_token;     /* secret memory; NULL if there is none */
    time_t expires;          /* UTC; 0: never */
    char source[96];         /* where it comes from, for people: "profile prod of ~/.aws/credentials" */
};

struct creds *creds_new(const char *access_key_id, const char *secret_access_key, const char *session_token, time_t expires,
                        const char *source, struct err *e);
struct creds *creds_ref(struct creds *c);
void creds_unref(struct creds *c);
CLEANUP_DEFINE(struct creds, creds_unref)

struct creds_options {
    const char *profile;   /* profile= option; NULL: AWS_DEFAULT_PROFILE, AWS_PROFILE, then "default" */
    bool anonymous;        /* sign nothing */
    const char *region;    /* for STS; NULL: as aws_region_find() finds */

    /* Called once a source, in their order, when none has credentials: why not. May be NULL. */
    void (*explain)(void *arg, const char *source, const char *why);
    void *explain_arg;
};

struct creds_provider;

/* Resolves the chain once, blocking (IMDS at most 2 s), so that a mount without credentials fails at once, and `explain` is told
 * where it looked. ERR_AUTH when no source has any; a source that is set up and fails ends the chain with its error, whose message
 * names it. `engine` outlives it. */
struct creds_provider *creds_provider_new(struct http_engine *engine, const struct creds_options *o, struct err *e);

/* A provider of one fixed set (tests; the caller keeps its reference). */
struct creds_provider *creds_provider_static(struct creds *c, struct err *e);

/* Ends the refresh thread. */
void creds_provider_free(struct creds_provider *p);
CLEANUP_DEFINE(struct creds_provider, creds_provider_free)

/* True for `anonymous`: sign nothing. */
bool creds_provider_anonymous(const struct creds_provider *p);

/* The current set with a reference for the caller. Never blocks: while the only set there is has expired and a refresh is
 * under way, or failed for what may pass and is tried again (no network, a server that broke down), it gives ERR_AGAIN; when the
 * refresh failed otherwise ERR_AUTH; both with the reason. Any thread. */
enum err_code creds_get(struct creds_provider *p, struct creds **out, struct err *e) MUST_CHECK;

/* The server said that these have expired or are not valid: refresh now (once for any number of callers). `said` is its error code,
 * for the message where there are no better ones, or NULL; copied. Never blocks. */
void creds_refused(struct creds_provider *p, const struct creds *c, const char *said);

#endif
