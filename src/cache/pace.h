/*
 * How fast work in the background may go. While somebody waits for bytes that are being fetched, or writes files, and the processors
 * are busy, it gets a tenth of one of them, in the first seconds of reading nothing; where they are not, or nobody does, it goes on at
 * once. So a read over a network that is slower than the machine is written to the cache as it goes, and one that takes all the
 * machine has is not slowed: what it leaves behind in a few seconds is still in the kernel's pages afterwards. Where it is not (files
 * read with O_DIRECT, a kernel that cannot be asked) the first seconds are like the others.
 */
#ifndef CACHE_PACE_H
#define CACHE_PACE_H

#include "util/lock.h"

#include <stdbool.h>
#include <stdint.h>

struct pace {
    struct lock lock; /* LOCK_LEAF */
    int fd;           /* /proc/stat; -1: what the processors do is not known */
    uint64_t read_ms;  /* when somebody last waited for bytes; 0: never */
    uint64_t began_ms; /* since when without a pause; 0: somebody wrote, or something was lost */
    uint64_t sampled_ms, idle, total;
    bool spare;
    uint64_t next_us; /* when the next piece of work is due */
};

void pace_init(struct pace *p);
void pace_release(struct pace *p);

/* Somebody waits for bytes, now; or writes, which no page cache makes up for. Any thread, any lock below LOCK_LEAF. */
void pace_reading(struct pace *p);
void pace_writing(struct pace *p);

/* What was fetched is neither kept nor in the kernel's pages: the rest of this reading waits for its share only. Threads and locks
 * as above. */
void pace_losing(struct pace *p);

/* Nobody does, and has not for so long. Any thread, any lock below LOCK_LEAF. */
#define PACE_QUIET_MS 100 /* as long as readers are thought of as reading */
bool pace_is_quiet(struct pace *p, unsigned ms);

/* How long work in the background has to wait before it goes on, 0 for not at all; to be asked again at least every 50 ms, since
 * readers may stop. `spent_us`: what it has worked since it last asked. Any thread, any lock below LOCK_LEAF. */
unsigned pace_wait_ms(struct pace *p, uint64_t spent_us);

#endif
