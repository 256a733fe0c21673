/*
 * A client that talks to nobody: it stands in for aws/client.c at link time, holds every request against the next step
 * of a script, and gives the step's reply, decoded by the real tables of aws/errors.h.
 */
#ifndef TESTS_SSM_FAKE_H
#define TESTS_SSM_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "awsfs/store.h"
#include "backends/ssm/ssm.h"
#include "store/meta.h"
#include "util/cleanup.h"

struct step {
    const char *op;
    const char *body; /* the whole request, or with a '*' at its end how it begins; NULL: any */
    int status;       /* of the reply; 0: none came */
    const char *reply;
    enum err_code transport; /* for status 0 */
    unsigned unanswered;     /* attempts before this that got no answer */
};

#define REFUSED(op, type)                                                                                              \
    {                                                                                                                  \
        op, NULL, 400, "{\"__type\":\"" type "\",\"message\":\"hunter2\"}", 0, 0                                       \
    }

#define PARAM(name, type, value, version)                                                                              \
    "{\"Name\":\"" name "\",\"Type\":\"" type "\",\"Value\":\"" value "\",\"Version\":" #version                       \
    ",\"LastModifiedDate\":1795255260.5,\"ARN\":\"arn:aws:ssm:eu-west-1:123456789012:parameter" name                   \
    "\",\"DataType\":\"text\"}"

/* A store on the path /p; `o` NULL: default options. Every request from here follows `steps`, which end with op NULL.
 */
struct store *fake_store(const struct ssm_options *o, const struct step *steps);

/* Replaces what is left of the script. */
void fake_script(const struct step *steps);

/* Fails unless the whole script was used up. */
void fake_done(void);

/* Puts with a condition. */
enum err_code fake_put(struct store *s, const char *key, const char *value, int kind, const char *etag,
                       struct store_version *out, struct err *e);

#endif
