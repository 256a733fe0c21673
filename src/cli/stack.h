/* One mount's layers, built from the bottom up: the only place that names concrete stores. */
#ifndef CLI_STACK_H
#define CLI_STACK_H

#include "cli/options.h"
#include "cli/source.h"
#include "cli/state.h"
#include "util/buf.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* In the state directory: the journal of write=back (writeback/writeback.h). */
#define UNSENT_DIR "unsent"

struct writeback;
struct told;

struct stack {
    const struct options *options;
    const struct source *source;
    const char *mountpoint;
    const char *const *lists; /* of options, as given; for who retries what this mount leaves */
    size_t n_lists;
    /* Why no source has credentials, once a source; NULL: on standard error. */
    void (*explain)(void *arg, const char *source, const char *why);
    void *explain_arg;
    uint64_t since_ms;
    atomic_bool ending;
    _Atomic(struct aws_client *) asking; /* while it is asked whether the store can be used; NULL: not now */
    atomic_bool behind; /* while another process has the state directory */
    bool said_asking, said_behind; /* of stack_say_waiting() alone */
    struct state state;
    uint8_t *sse_key; /* of sse=c, in secret memory; NULL: none */
    struct http_engine *engine;
    struct creds_provider *creds;
    struct aws_client *client;
    struct aws_client *queue_client; /* of ssm_watch; NULL: none */
    struct store *store; /* what the vfs works on */
    struct store *inner; /* with write=back the service's, below `store`; else NULL */
    struct writeback *writeback; /* with write=back, borrowed from `store`; else NULL */
    struct cache *cache; /* NULL: none */
    struct told *told;   /* changes.c; NULL: nobody */
    struct notify *notify;
    struct vfs *vfs;
    struct session *session;
};

/* Credentials, client and store, of which nothing is asked yet. `s` is zeroed but for what it is given; what it got before a
 * failure stays there. Blocks where credentials come from the network. */
enum err_code stack_open(struct stack *s, struct err *e) MUST_CHECK;

/* Credentials, client, store (asked once whether it can be used), state directory and vfs. Nothing is mounted yet. `s` is
 * zeroed but for what it is given; release it also after a failure. Blocks on the network and on a previous daemon. */
enum err_code stack_build(struct stack *s, struct err *e) MUST_CHECK;

/* After stack_open(), for who changes something in the store without a mount: opens the cache that the options name, so that no mount goes
 * on by what was listed before. A cache that cannot be opened is none, unless the
 * user named it. */
enum err_code stack_open_cache(struct stack *s, struct err *e) MUST_CHECK;

/* While stack_build() runs, any number of times: says on standard error what it waits for, a server's answer or the end of the daemon
 * before, each once. One thread. */
void stack_say_waiting(struct stack *s);

/* Everything but the session, which must be gone. */
void stack_release(struct stack *s);

/* Appends the state as one JSON object. Any thread, from the mount to the end of vfs_drain(). */
void stack_status(struct stack *s, struct buf *out);

#endif
