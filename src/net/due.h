/*
 * What is due when: a pairing heap of entries that live in their owners' storage, so that arming cannot fail. Private
 * to src/net; the engine's thread only.
 */
#ifndef NET_DUE_H
#define NET_DUE_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed before its first use. */
struct due {
    uint64_t at_ms; /* clock_mono_ms scale */
    void (*fn)(void *arg);
    void *arg;
    struct due *child, *next, *prev; /* prev: the left sibling, for a first child its parent */
    bool armed;
};

struct due_heap {
    struct due *root;
};

/* Arms or moves. `fn` and `arg` must be set. */
void due_arm(struct due_heap *h, struct due *d, uint64_t at_ms);

/* Not armed: does nothing. */
void due_disarm(struct due_heap *h, struct due *d);

/* Takes the earliest entry that is due at `now_ms`, disarmed; NULL when there is none. */
struct due *due_pop(struct due_heap *h, uint64_t now_ms);

/* When the next is due; UINT64_MAX when none is armed. */
uint64_t due_next_ms(const struct due_heap *h);

#endif
