/* How long several threads together took: from the first of them that began to the end of the last task. Each tells its times
 * itself, so that a thread that gets its processor late, or the one that started them, makes it neither longer nor shorter. */
#pragma once
#include <pthread.h>

struct span {
    pthread_barrier_t ready;
    pthread_mutex_t lock; /* what follows */
    double from, to;
};

/* For that many threads. span_release() when they have ended. */
void span_init(struct span *s, unsigned threads);
void span_release(struct span *s);

/* Each thread, once it has what it needs: waits for the others. */
void span_begin(struct span *s);

/* Each thread, after each of its tasks. */
void span_ended(struct span *s);

/* After the threads were joined. */
double span_seconds(const struct span *s);
