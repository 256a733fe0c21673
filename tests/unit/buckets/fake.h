/*
 * Clients that talk to nobody: they stand in for aws/client.c at link time. Requests about buckets follow a script, decoded by
 * the real tables of aws/errors.h; the buckets' own stores are in memory.
 */
#ifndef TESTS_BUCKETS_FAKE_H
#define TESTS_BUCKETS_FAKE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "awsfs/store.h"
#include "backends/buckets/buckets.h"
#include "store/mem.h"
#include "store/meta.h"
#include "util/cleanup.h"

struct step {
    const char *bucket; /* whose client sends it; NULL: the service's */
    const char *op;
    const char *text; /* must be in the query (as "a=b c=d") or in the body; NULL: no body */
    int status;       /* 0: no answer came */
    const char *reply;
    const char *region; /* that the client learns by it; NULL: nothing */
    enum err_code transport; /* for status 0 */
    unsigned unanswered;
};

#define S3_ERROR(code) "<Error><Code>" code "</Code><Message>no</Message></Error>"

/* The store of all buckets of an account in eu-west-1 (or `region`). Requests follow `steps`, which end with op NULL; NULL: none is
 * expected. */
struct store *fake_buckets(const char *region, const struct step *steps, bool anonymous);
void fake_script(const struct step *steps);

/* Fails unless the whole script was used up. */
void fake_done(void);

/* Clients alive, besides the service's; stores made so far; region that the last client was made for ("": not told). */
unsigned fake_clients(void);
unsigned fake_stores(void);
const char *fake_last_region(void);

/* The next store_for() calls take that long, and fail where `fail`. */
void fake_slow_stores(unsigned ms, bool fail);

/* The code of a put of text without condition. */
enum err_code fake_put(struct store *s, const char *key, const char *text, struct err *e);

#endif
