/*
 * Memory for what must never reach a disk: locked against swap (mlock), left out of core dumps (MADV_DONTDUMP), zeroed when
 * freed. Parameter values, secret keys and tokens live here. A child process has nothing of it (MADV_DONTFORK): what was
 * allocated before fork() must not be touched there, not even freed.
 */
#ifndef UTIL_SECRET_H
#define UTIL_SECRET_H

#include "awsfs/err.h"
#include "util/cleanup.h"

#include <stddef.h>

/* `size` bytes, zeroed. Rounded up and packed: many small values share pages. NULL without memory; where it cannot be locked the
 * first failure is logged, and what secret_init() said decides. Before that it is used. */
void *secret_alloc(size_t size);
void secret_free(void *p);

/* For CLEANUP(secret_free) on a pointer of any type. */
static inline void secret_free_cleanup(void *p)
{
    secret_free(*(void **)p);
}

/* A copy in secret memory with a NUL. */
char *secret_dup(const char *s, size_t len);

/* Zeroes so that the compiler cannot drop it. */
void secret_wipe(void *p, size_t len);

/* For libraries that copy secrets into memory of their own: free() and realloc() of what malloc() gave, which leave none of it behind. */
void secret_wiping_free(void *p);
void *secret_wiping_realloc(void *p, size_t size);

/* Zeroes at least so much of the calling thread's stack below its own frames: what calls that have returned left there. printf's
 * own buffers are among it, and vector registers that the dynamic linker saved while it resolved a function for the first time. */
void secret_wipe_stack(size_t bytes);

/* Raises RLIMIT_MEMLOCK where it may. Memory that cannot be locked is used unlocked, unless `require_lock` and no limit stands in
 * the way: then it is refused. No core dumps of the process if `no_core` (PR_SET_DUMPABLE 0, RLIMIT_CORE 0). ERR_IO. */
enum err_code secret_init(_Bool require_lock, _Bool no_core, struct err *e) MUST_CHECK;

#endif
