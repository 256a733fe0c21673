/* Several requests tried at once, with one end for all of them: what has no answer by then is canceled. For
 * store_try(). */
#ifndef STORE_TRIALS_H
#define STORE_TRIALS_H

#include "awsfs/store.h"
#include "util/cleanup.h"

#include <stddef.h>

struct trials;

/* NULL: ERR_NOMEM. */
struct trials *trials_new(struct err *e);
void trials_free(struct trials *t);
CLEANUP_DEFINE(struct trials, trials_free)

/* Runs fn(item, call) for n items of `size` bytes at `items`, all at once; `call` has what is left of the time until
 * `until_ms` (clock_mono_ms() scale) as its time-out, and is canceled then, so that bytes that go on moving change
 * nothing. Returns when all have ended. Blocks; no lock may be held. After that time fn still runs, canceled; without
 * memory it does not. */
void trials_run(struct trials *t, uint64_t until_ms, void *items, size_t n, size_t size,
                void (*fn)(void *item, const struct store_call *call));

#endif
