/*
 * Ownership in the small: a local variable marked CLEANUP(fn) is released by fn when it leaves its scope; TAKE() hands the
 * pointer to somebody else and leaves NULL behind.
 */
#ifndef UTIL_CLEANUP_H
#define UTIL_CLEANUP_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* Declares fn##_cleanup(T **), which calls fn(*p). `fn` must accept NULL. */
#define CLEANUP_DEFINE(T, fn)                                                                                              \
    static inline void fn##_cleanup(T **p)                                                                                 \
    {                                                                                                                      \
        fn(*p);                                                                                                            \
    }

#define CLEANUP(fn) __attribute__((cleanup(fn##_cleanup)))

/* For a struct in the caller's storage whose release function takes its address. */
#define CLEANUP_RELEASE(fn) __attribute__((cleanup(fn)))

#define TAKE(p)                                                                                                            \
    ({                                                                                                                     \
        __typeof__(p) taken_ = (p);                                                                                        \
        (p) = NULL;                                                                                                        \
        taken_;                                                                                                            \
    })

static inline void free_cleanup(void *p)
{
    free(*(void **)p);
}

static inline void close_cleanup(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#endif
