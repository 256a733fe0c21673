/*
 * The inside of write=back. Private to src/writeback.
 *
 * A key with something unsent has a node with its operations in order. An operation is
 *   WAITING   behind another one of its node, or for copies that still read what it replaces
 *   READY     in one of the queues, until it is due
 *   SENDING   on a thread
 * and is gone when its end is in the log. A later operation on the key replaces (merges with) the last one of the node unless that one
 * was begun, may have been sent by an earlier mount, or is what a copy still has to read.
 *
 * Numbers of records order operations: an operation waits for those with lower numbers only, so there are no circles.
 *
 * One lock (LOCK_WRITEBACK) for all of it. Held while a record is appended, never while the inner store is asked, a body is read, or the
 * disk is synced.
 */
#ifndef WRITEBACK_INSIDE_H
#define WRITEBACK_INSIDE_H

#include "journal/record.h"
#include "journal/uploads.h"
#include "journal/wal.h"
#include "store/meta.h"
#include "store/ops.h"
#include "util/cancel.h"
#include "util/lock.h"
#include "util/map.h"
#include "util/pool.h"
#include "writeback/body.h"
#include "writeback/writeback.h"

#include <pthread.h>
#include <sys/queue.h>

#define NODE_LEVELS 20
#define CONFLICTS_KEPT 64

enum op_kind { OP_PUT, OP_COPY, OP_REMOVE };
enum op_state { OP_WAITING, OP_READY, OP_DELAYED, OP_SENDING };

struct op {
    enum op_kind kind;
    enum op_state state;
    bool begun;             /* the store may have been asked for it: nothing is merged with it */
    bool left;              /* by an earlier mount */
    uint64_t number;        /* of its record */
    struct node *node;
    unsigned cond;          /* STORE_ALWAYS, STORE_IF_ABSENT, STORE_IF_MATCH */
    char *cond_etag;        /* of STORE_IF_MATCH; of a removal: or NULL, whatever there is */
    char *etag;             /* the version as it is told above; NULL of a removal */
    uint64_t size;
    struct timespec when;   /* Last-Modified as it is told above */
    struct store_meta *meta; /* or NULL */
    struct body *body;      /* of a put */
    uint8_t *sha512;        /* or NULL */
    uint64_t crc64nvme;
    bool has_crc;
    struct node *from;      /* of a copy */
    char *from_etag;
    bool has_mtime;
    struct timespec mtime;
    uint64_t keeps;         /* the log is needed from here on: the record of the operation that it names by its version, or its own */
    uint64_t needs;         /* records up to this one are durable before it is sent: its own, and the ends of what it waited for */
    uint64_t due_ms, since_ms;
    unsigned attempts;
    enum err_code code;     /* of the last attempt */
    char *error;
    TAILQ_ENTRY(op) link;      /* of the node */
    TAILQ_ENTRY(op) all_link;  /* by number */
    TAILQ_ENTRY(op) queue_link; /* READY, DELAYED */
    TAILQ_ENTRY(op) from_link; /* of the source's readers */
};
TAILQ_HEAD(ops, op);

struct node {
    char *key;
    struct ops ops;      /* by number */
    struct ops readers;  /* copies that are to read this key */
    bool settled;        /* has no operations, but a listing that began before its last one ended may not know of that */
    bool present;        /* with `settled`: what is there */
    struct store_version version;
    uint64_t settled_tick;
    TAILQ_ENTRY(node) settled_link;
    unsigned levels;
    struct node *next[]; /* by key */
};
TAILQ_HEAD(nodes, node);

/* A version that the inner store calls otherwise than it was told above. */
struct alias {
    char *key, *told, *real;
    TAILQ_ENTRY(alias) link; /* the oldest first */
};

struct owed { /* a record of an end for which the log had no room */
    TAILQ_ENTRY(owed) link;
    size_t len;
    char bytes[];
};

struct reading { /* a listing under way */
    uint64_t tick;
    TAILQ_ENTRY(reading) link;
};

struct kept { /* a conflict */
    char *key, *kept;
    struct timespec when;
};

struct writeback {
    struct store *inner;
    struct store_caps inner_caps;
    struct bodies *bodies;
    struct uploads *uploads;
    struct wal *wal;
    struct pool *pool;
    uint64_t limit;
    size_t max_ops;
    unsigned patience_ms, linger_ms, linger_remove_ms, hold_ms;
    struct lock lock;       /* all below */
    struct cond changed;    /* an operation has ended, or failed */
    struct cond work;       /* for the dispatcher */
    uint64_t wakes_ms;      /* when it looks by itself; 0: it is awake */
    pthread_t dispatcher;
    bool dispatcher_runs, ending;
    struct cancel *end;     /* of every request: fired by sender_stop(). Set once */
    struct node *first[NODE_LEVELS];
    uint64_t random;
    TAILQ_HEAD(all_ops, op) all;
    struct ops ready, ready_removes, delayed;
    size_t n_ready_removes, n_ops;
    unsigned in_flight, hurried; /* jobs; callers who wait for something to be sent */
    unsigned drains;        /* under way */
    uint64_t drain_until;   /* with drains: operations up to this one are waited for, and nothing takes their place */
    uint64_t entered_ms;    /* when the last operation came */
    uint64_t bytes;         /* of bodies that are unsent, or about to be journaled */
    uint64_t appended;      /* number of the last record */
    uint64_t durable;       /* every record up to this one is */
    uint64_t unsynced_ms;   /* since when something is not */
    TAILQ_HEAD(owed_ends, owed) owed; /* they go before the next record */
    uint64_t tick;
    TAILQ_HEAD(, reading) readings;
    struct nodes settled;
    struct map *aliases;
    TAILQ_HEAD(, alias) alias_order;
    unsigned failures;      /* in succession, of those that are not about one object alone */
    bool paused, refused;   /* after some of them; the last one was a refusal */
    uint64_t pause_end_ms;
    struct err trouble;     /* the last one */
    uint64_t success_ms;
    uint64_t n_sent, n_merged, n_conflicts, n_recovered;
    struct kept conflicts[CONFLICTS_KEPT];
};

/* ---- op.c */

struct op *op_new(enum op_kind kind);
void op_free(struct op *o);
CLEANUP_DEFINE(struct op, op_free)
/* The last one of a node that has any. */
static inline struct op *node_last(const struct node *n)
{
    return TAILQ_LAST(&n->ops, ops);
}
/* Gives a put's version its name: the MD5 of its bytes, which is what the store will call it in most cases. ERR_NOMEM. */
enum err_code op_name_version(struct op *o, struct err *e) MUST_CHECK;
/* What an operation leaves there, as told above. Of a put or copy. */
void op_version(const struct op *o, struct store_version *out);

/* ---- table.c. All with the lock. */

struct node *node_find(const struct writeback *w, const char *key);
/* The first one whose key is not below `key`; NULL. */
struct node *node_from(const struct writeback *w, const char *key);
/* Finds it or makes it. NULL without memory. */
struct node *node_get(struct writeback *w, const char *key);
/* Frees it where nothing needs it any more. */
void node_put(struct writeback *w, struct node *n);
/* With its number: the last one of its node. */
void op_link(struct writeback *w, struct op *o);
/* The first record that the log has to keep for what is unsent. */
uint64_t table_keeps(const struct writeback *w);
/* Takes it out of everything; it is the caller's. The node may go. */
void op_unlink(struct writeback *w, struct op *o);
/* The node's only operation has ended; `version` NULL: nothing is there. To be called before op_unlink(). */
void node_settle(struct writeback *w, struct node *n, const struct store_version *version);
void reading_begin(struct writeback *w, struct reading *r);
void reading_end(struct writeback *w, struct reading *r);
/* Whether `n` says more than a listing that began at `tick` may know; then *version is what is there, NULL for nothing. */
bool node_tells(const struct node *n, uint64_t tick, struct store_version *version, bool *present);
void table_release(struct writeback *w);

/* ---- alias.c. All with the lock. */

/* What the inner store calls the version; `told` itself where that is not known to differ. Borrowed. */
const char *alias_real(const struct writeback *w, const char *key, const char *told);
/* The other way round. */
const char *alias_told(const struct writeback *w, const char *key, const char *real);
/* What is there is told as `told` and called `real`; both NULL: nothing is known. Without memory the version gets another name. */
void alias_set(struct writeback *w, const char *key, const char *told, const char *real);
void alias_release(struct writeback *w);

/* ---- note.c: the log. All with the lock. */

/* Appends the operation's record and gives it its number. */
enum err_code note_op(struct writeback *w, struct op *o, struct err *e) MUST_CHECK;
/* Appends an operation's end, or does so later where the log has no room; without memory the next mount looks at the operation again. */
void note_done(struct writeback *w, const struct op *o, enum record_how how, uint64_t into, const struct store_version *version);
void note_failed(struct writeback *w, const struct op *o);
void note_conflict(struct writeback *w, const struct op *o, const char *kept, const struct store_version *version);
/* The same of one that is not to be carried out; on an error it is. */
enum err_code note_discarded(struct writeback *w, const struct op *o, struct err *e) MUST_CHECK;
/* Its memory. */
void note_release(struct writeback *w);
/* Whether the log is behind what has happened, or something in it is not durable. */
bool note_is_behind(const struct writeback *w);
/* Makes every record up to `number` durable. Without the lock; blocks on the disk. */
enum err_code note_sync(struct writeback *w, uint64_t number, struct err *e) MUST_CHECK;
/* Ends that the log had no room for are in it, and *number is that of the last; or it still has no room, which is no error. */
enum err_code note_owed(struct writeback *w, uint64_t *number, struct err *e) MUST_CHECK;
/* What the log and the directory of bodies need no more goes. Without the lock. */
void note_tidy(struct writeback *w);

/* ---- replay.c */

/* One record of an earlier mount; the form of wal_replay_fn. Nobody else uses `w` yet. */
enum err_code replay_record(void *w, uint64_t number, const void *p, size_t len, struct err *e) MUST_CHECK;

/* ---- sender.c */

/* Puts the operation into its queue if nothing is before it. With the lock. */
void sender_consider(struct writeback *w, struct op *o);
/* What may go on once an operation on `key`, a copy of `from` (or NULL), is no more: after op_unlink(). With the lock. */
void sender_after(struct writeback *w, const char *key, const char *from);
/* Takes it out of its queue. With the lock. */
void sender_unqueue(struct writeback *w, struct op *o);
enum err_code sender_start(struct writeback *w, struct err *e) MUST_CHECK;
/* What is under way is cancelled, and waited for: such operations stay in the journal, begun. */
void sender_stop(struct writeback *w);
/* An attempt ended: `version` NULL for a removal. With the lock; `o` is gone. */
void sender_done(struct writeback *w, struct op *o, const struct store_version *version);
/* What is known of the key afterwards: part of sender_done(). */
void sender_settled(struct writeback *w, struct op *o, const struct store_version *version);
/* It ended without having been carried out; `how` 0: the log knows that already. */
void sender_dropped(struct writeback *w, struct op *o, unsigned how, uint64_t into);
/* It failed, and is tried again later. */
void sender_failed(struct writeback *w, struct op *o, const struct err *e);

/* ---- send.c: on a thread of the pool, without the lock. The operations are SENDING and the callee's. */

void send_op(struct writeback *w, struct op *o);
void send_removes(struct writeback *w, struct op **ops, size_t n);
/* Puts a body under any key: in one request, or by parts that are recorded. */
enum err_code send_body(struct writeback *w, const char *key, const struct store_body *body, const struct store_meta *meta,
                        const struct store_cond *cond, struct cancel *cancel, struct store_version *out, struct err *e) MUST_CHECK;
/* Records the uploads that a copy makes by itself. */
struct store_uploads send_uploads(struct writeback *w);
/* Carries a put or copy out under any key. */
enum err_code send_put(struct writeback *w, const struct op *o, const char *key, const struct store_cond *cond, struct store_version *out,
                       struct err *e) MUST_CHECK;
enum err_code send_copy(struct writeback *w, const struct op *o, const char *key, const struct store_cond *cond,
                        struct store_version *out, struct err *e) MUST_CHECK;

/* ---- conflict.c: as send.c. `e` has the conflict. */

void conflict_put(struct writeback *w, struct op *o, struct err *e);
void conflict_copy(struct writeback *w, struct op *o, struct err *e);
void conflict_remove(struct writeback *w, struct op *o);
/* Ends a put whose bytes a later put or removal of its key replaces, so that they need not be kept: that one has the condition now.
 * False: there is none, or a copy is to read these bytes. With the lock. */
bool conflict_hand_on_locked(struct writeback *w, struct op *o);

/* ---- damage.c: as send.c */

/* Whether a put may be sent: false where its bytes are not known to be those that were journaled, and then it has failed or ended. */
bool damage_none(struct writeback *w, struct op *o);

/* ---- change.c, look.c, list.c: the calls of the store */

enum err_code wb_put(void *impl, const char *key, const struct store_body *body, const struct store_meta *meta,
                     const struct store_cond *cond, const struct store_call *call, struct store_version *out, struct err *e);
enum err_code wb_copy(void *impl, const struct store_copy *c, const struct store_call *call, struct store_version *out, struct err *e);
enum err_code wb_remove(void *impl, const char *key, const char *etag, const struct store_call *call, struct err *e);
enum err_code wb_remove_many(void *impl, const char *const *keys, const char *const *etags, size_t n, const struct store_call *call,
                             enum err_code *results, struct err *e);
enum err_code wb_sync(void *impl, const struct store_call *call, struct err *e);
enum err_code wb_stat(void *impl, const char *key, const struct store_call *call, struct store_object *out, struct err *e);
enum err_code wb_get(void *impl, const struct store_get *g, struct err *e);
enum err_code wb_list(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out, struct err *e);

/* ---- wait.c */

/* Waits until nothing of this key is unsent. Without the lock. ERR_CANCELED, ERR_TIMEOUT, or the last error where it is refused. */
enum err_code settle(struct writeback *w, const char *key, const struct store_call *call, struct err *e) MUST_CHECK;
/* Also until its end is durable, for what the journal is not told of: the next mount must not do again what is changed then. */
enum err_code settle_for_good(struct writeback *w, const char *key, const struct store_call *call, struct err *e) MUST_CHECK;
/* The same as settle() of all keys that begin with it. */
enum err_code settle_below(struct writeback *w, const char *prefix, const struct store_call *call, struct err *e) MUST_CHECK;
/* Reserves bytes below the limit, and waits for room for them and for one operation more. ERR_NOSPC, ERR_CANCELED. */
enum err_code room_take(struct writeback *w, uint64_t bytes, const struct store_call *call, struct err *e) MUST_CHECK;
void room_give_locked(struct writeback *w, uint64_t bytes);

#endif
