/* The mount's one rate limit, shared by all threads: waiting for one's turn. */
#ifndef SSM_PACE_H
#define SSM_PACE_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stdint.h>

struct cancel;
struct pace;

struct pace *pace_new(unsigned per_second, unsigned burst, struct err *e);
void pace_free(struct pace *p);
CLEANUP_DEFINE(struct pace, pace_free)

/* Blocks until a request may be sent. ERR_CANCELED when `cancel` (may be NULL) fires; ERR_THROTTLED at once when the
 * turn would come after `deadline_ms` (clock_mono_ms() scale). Any thread; holds no lock afterwards. */
enum err_code pace_wait(struct pace *p, uint64_t deadline_ms, struct cancel *cancel, struct err *e) MUST_CHECK;

/* The same for a request that nobody waits for: half a burst is left to others. */
enum err_code pace_wait_spare(struct pace *p, uint64_t deadline_ms, struct cancel *cancel, struct err *e) MUST_CHECK;

/* A request that was sent again without asking (the transport's retries): counts, and never waits. Any thread. */
void pace_charge(struct pace *p);

/* The service throttled. Any thread, never blocks. */
void pace_throttled(struct pace *p);

#endif
