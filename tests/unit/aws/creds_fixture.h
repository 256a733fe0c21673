/* What the tests of credentials share: an engine, the chain's outcome, a scripted STS. */
#ifndef TESTS_AWS_CREDS_FIXTURE_H
#define TESTS_AWS_CREDS_FIXTURE_H

#include "aws/creds_source.h"

#include "support.h"

#include <stdatomic.h>

extern struct http_engine *engine;

/* Setup and teardown of a test. */
int enter(void **state);
int leave(void **state);

/* creds_provider_new() with that profile or NULL. */
struct creds_provider *provider(const char *profile, struct err *e);

/* The same; what it explains is appended, "SOURCE: WHY" a line. */
struct creds_provider *provider_explained(const char *profile, struct buf *lines, struct err *e);

/* The set that the chain gives; a failure fails the test. */
struct creds *resolve(const char *profile);

/* The chain must fail so, with a message that has `says` in it and not the marker. */
void expect_failure(const char *profile, enum err_code code, const char *says);

/* ISO 8601, so many seconds from now. */
void format_expiry(char out[40], int from_now_s);

/* Answers AssumeRole with ROLE0, ROLE1, ...; `expires_s` 0 is an hour. */
struct sts_script {
    atomic_int calls, expires_s;
    atomic_bool refuse;
};

/* Starts it and makes it the endpoint. */
struct script *use_sts(struct sts_script *s);

#define T(fn) cmocka_unit_test_setup_teardown(fn, enter, leave)

#endif
