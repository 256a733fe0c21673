/* write=back in a mount: the store that journals is put before the service's, what an earlier mount has left is sent, and the end waits. */
#ifndef CLI_UNSENT_H
#define CLI_UNSENT_H

#include "cli/stack.h"

#include <time.h>

struct cancel;

/* With write=back: s->store becomes the one that journals, s->inner the service's. Otherwise what an earlier write=back has left here is
 * sent first; where that is not possible it is an error which says what to do. A read-only mount leaves it where it is. Blocks on
 * the network in that case. */
enum err_code unsent_open(struct stack *s, struct err *e) MUST_CHECK;

/* Waits until everything is in the service: what is open in the vfs, then what is journaled. `for_ever`: also while nothing can be sent;
 * `cancel` (may be NULL) ends that. Errors as vfs_drain() and writeback_drain() have them. Any thread. */
enum err_code unsent_drain(struct stack *s, bool for_ever, struct cancel *cancel,
                           void (*progress)(void *arg, uint64_t files, uint64_t bytes), void *arg, struct err *e) MUST_CHECK;

#define UNSENT_TIME_SIZE 32

/* A time as status shows it: "2026-01-02T03:04:05Z". */
void unsent_time(const struct timespec *when, char out[UNSENT_TIME_SIZE]);

/* Appends what status tells of it as members of a JSON object, each with a comma behind it. Nothing without write=back. */
void unsent_status(struct stack *s, struct buf *out);

/* The files and conflicts of it, as elements behind the vfs's; `n` counts what is in the list so far. */
void unsent_status_files(struct stack *s, struct buf *out, unsigned *n);
void unsent_status_conflicts(struct stack *s, struct buf *out, unsigned *n);

#endif
