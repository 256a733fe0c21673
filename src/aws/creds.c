#include "aws/creds_source.h"

#include "util/digest.h"
#include "util/secret.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* The public part comes first. */
struct counted_creds {
    struct creds creds;
    atomic_uint refs;
};

static struct counted_creds *counted(struct creds *c)
{
    return CONTAINER_OF(c, struct counted_creds, creds);
}

/* Keys and tokens become header values: printable ASCII only. */
static bool is_clean(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s <= ' ' || (unsigned char)*s > '~')
            return false;
    return true;
}

struct creds *creds_new(const char *access_key_id, const char *secret_access_key, const char *session_token,
                        time_t expires, const char *source, struct err *e)
{
    struct counted_creds *c;

    if (!*access_key_id || !*secret_access_key || !is_clean(access_key_id) || strchr(access_key_id, '/') ||
        !is_clean(secret_access_key) || (session_token && !is_clean(session_token))) {
        err_set(e, ERR_INVAL, "%s: a key is empty or has characters that no key has", source);
        return NULL;
    }
    c = calloc(1, sizeof(*c));
    if (!c) {
        err_set(e, ERR_NOMEM, "no memory for credentials");
        return NULL;
    }
    atomic_init(&c->refs, 1);
    c->creds.expires = expires;
    snprintf(c->creds.source, sizeof(c->creds.source), "%s", source);
    c->creds.access_key_id = strdup(access_key_id);
    c->creds.secret_access_key = secret_dup(secret_access_key, strlen(secret_access_key));
    if (session_token && *session_token)
        c->creds.session_token = secret_dup(session_token, strlen(session_token));
    if (!c->creds.access_key_id || !c->creds.secret_access_key ||
        (session_token && *session_token && !c->creds.session_token)) {
        err_set(e, ERR_NOMEM, "no memory for credentials");
        creds_unref(&c->creds);
        return NULL;
    }
    return &c->creds;
}

struct creds *creds_ref(struct creds *c)
{
    atomic_fetch_add(&counted(c)->refs, 1);
    return c;
}

void creds_unref(struct creds *c)
{
    if (!c || atomic_fetch_sub(&counted(c)->refs, 1) != 1)
        return;
    free(c->access_key_id);
    secret_free(c->secret_access_key);
    secret_free(c->session_token);
    free(counted(c));
}

bool creds_may_pass(enum err_code code)
{
    return code == ERR_NET || code == ERR_TIMEOUT || code == ERR_THROTTLED || code == ERR_IO;
}

enum err_code creds_status_code(int status)
{
    return status >= 500 || status == 429 ? ERR_NET : ERR_AUTH;
}

time_t creds_extended_expiry(time_t now)
{
    uint32_t random;

    random_bytes(&random, sizeof(random));
    return now + 15 * 60 + 2 * 60 + (time_t)(random % (8 * 60));
}

time_t creds_refresh_time(time_t now, time_t expires, unsigned random)
{
    time_t jitter = (time_t)((uint64_t)random * (CREDS_ADVISORY_S - CREDS_MANDATORY_S) >> 32);
    time_t due = expires - CREDS_ADVISORY_S + jitter, half = now + (expires - now) / 2;

    return due > half ? due : half;
}
