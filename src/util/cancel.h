/*
 * A token that says "nobody waits for this any more": an interrupt from the kernel, a shutdown. Whoever blocks registers a
 * hook that is called when it fires. A hook only enqueues or wakes: it may be called on any thread with no lock held.
 */
#ifndef UTIL_CANCEL_H
#define UTIL_CANCEL_H

#include "util/cleanup.h"

#include <stdbool.h>

struct cancel;

struct cancel_hook {
    void (*fn)(void *arg);
    void *arg;
    struct cancel_hook *next, **prev; /* private */
    bool linked;
};

/* Reference-counted; the creator holds one. NULL without memory. */
struct cancel *cancel_new(void);
struct cancel *cancel_ref(struct cancel *c);
void cancel_unref(struct cancel *c);
CLEANUP_DEFINE(struct cancel, cancel_unref)

/* Fires once: calls and unlinks every hook. Any thread. */
void cancel_fire(struct cancel *c);
bool cancel_fired(const struct cancel *c);

/* Links `h` (caller's storage, zeroed). When the token has fired already the hook is called at once. `c` NULL does nothing. */
void cancel_hook_add(struct cancel *c, struct cancel_hook *h, void (*fn)(void *arg), void *arg);

/* Unlinks; afterwards the hook is not running and will not be called. Not from the hook itself. `c` NULL does nothing. */
void cancel_hook_remove(struct cancel *c, struct cancel_hook *h);

#endif
