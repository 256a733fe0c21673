/*
 * A bounded pool of threads with an unbounded queue in order of arrival. Tasks may block on the network; they are started
 * lazily, up to the maximum, and idle threads stay.
 */
#ifndef UTIL_POOL_H
#define UTIL_POOL_H

#include "awsfs/err.h"

#include <stddef.h>

struct pool;

/* `name` shows in thread names (15 bytes). */
struct pool *pool_new(const char *name, unsigned max_threads, struct err *e);

/* Waits for everything queued, then ends the threads. NULL is fine. Not from a pool thread. */
void pool_free(struct pool *p);

/* Queues fn(arg). Never blocks. ERR_NOMEM: nothing was queued. */
enum err_code pool_submit(struct pool *p, void (*fn)(void *arg), void *arg, struct err *e) MUST_CHECK;

/* Runs fn(item) for n items of `size` bytes at `items` with up to `parallel` of them at once, the calling thread taking
 * part (so it makes progress even when the pool is full, and may be called from a pool thread). Returns when all have ended.
 * Stops starting new ones once `*stop` is true (may be NULL). */
void pool_each(struct pool *p, void *items, size_t n, size_t size, unsigned parallel, void (*fn)(void *item),
               const volatile _Bool *stop);

/* Tasks queued or running. */
size_t pool_pending(struct pool *p);

#endif
