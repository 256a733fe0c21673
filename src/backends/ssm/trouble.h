/* What keeps going wrong is told in the log once, with its cause: refused permissions, keys that cannot be used, values and policies
 * that the service refuses, throttling. Thread-safe, never blocks. */
#ifndef SSM_TROUBLE_H
#define SSM_TROUBLE_H

#include "awsfs/err.h"
#include "util/lock.h"

#include <stdint.h>

#define TROUBLES_MAX 64

/* Zeroed; the oldest is forgotten for the latest. */
struct trouble {
    struct lock lock;
    struct {
        uint64_t what, until_ms;
    } told[TROUBLES_MAX];
    unsigned next;
};

void trouble_init(struct trouble *t);
void trouble_release(struct trouble *t);

/* A call of `op` about `subject` ended with `e`, which is all that is told. The same trouble (permissions: of any subject) is told
 * again after an hour. `throttled`: whatever became of it, the service asked for less. */
void trouble_tell(struct trouble *t, const char *op, const char *subject, const struct err *e, bool throttled);

#endif
