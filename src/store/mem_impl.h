/* Inside of the in-memory store. One lock for everything; never held while a hook, a body's read or a get's callbacks
 * run. */
#ifndef STORE_MEM_IMPL_H
#define STORE_MEM_IMPL_H

#include "store/mem.h"
#include "store/meta.h"
#include "store/ops.h"
#include "util/cancel.h"
#include "util/lock.h"

struct mem_blob {
    unsigned refs;
    size_t size;
    char bytes[];
};

/* One object. Immutable but for `tags` and `acl`, which have requests of their own. */
struct mem_object {
    char *key;
    struct store_version version;
    struct store_meta *meta; /* never NULL; "sha512" and "tagging-count" are not in it: they follow from below */
    struct mem_blob *blob;
    uint8_t sha512[64];
    bool has_sha512;
    char *tags, *acl; /* NULL: none */
};

struct mem_part {
    unsigned number;
    struct mem_blob *blob;
    char etag[STORE_ETAG_SIZE];
};

struct mem_upload {
    char id[32];
    char *key;
    struct store_meta *meta;
    uint8_t sha512[64];
    bool has_sha512;
    struct mem_part *parts; /* by number */
    size_t n_parts;
};

/* A call that a hold keeps from going on. In the caller's storage, linked while it waits. */
struct mem_waiter {
    enum mem_op op;
    const char *key;
    bool released;
    struct mem_waiter *next;
};

struct mem_hold {
    bool set;
    char *key; /* NULL: any */
};

struct mem_get; /* an asynchronous get that has not ended */

struct mem_store {
    struct lock lock;
    struct cond changed; /* waiters, gets, and the end */
    struct store_caps caps;
    struct mem_options options;
    unsigned empty_pages; /* of listings, that are still to come */
    struct mem_hook hook;
    struct mem_object **objects; /* in the order of their keys */
    size_t n_objects, cap_objects;
    struct mem_upload **uploads;
    size_t n_uploads;
    uint64_t next_upload;
    unsigned counts[MEM_OPS];
    struct mem_hold holds[MEM_OPS];
    struct mem_waiter *waiters; /* oldest first */
    struct mem_get *gets, **gets_end;
    pthread_t thread; /* runs asynchronous gets; started by the first */
    bool thread_runs, ends;
};

/* ---- mem_view.c */

enum store_form mem_form(void *impl, const char *key);
enum err_code mem_view(void *impl, const char *key, const struct store_view_item *items, size_t n,
                       const struct store_call *call, struct store_object *out, struct err *e);

/* ---- mem.c: what every call begins and ends with */

/* Counts the call, lets the hook see it, then waits where a hold says so. ERR_CANCELED, ERR_TIMEOUT, or the hook's. */
enum err_code mem_enter(struct mem_store *m, struct mem_event *ev, const struct store_call *call, struct err *e);

/* The hook in another phase of the same call. */
enum err_code mem_notify(struct mem_store *m, struct mem_event *ev, enum mem_phase phase, struct err *e);

/* Joins the queue of held calls if a hold asks for it. */
bool mem_hold_joins_locked(struct mem_store *m, struct mem_waiter *w);
void mem_hold_leave_locked(struct mem_store *m, struct mem_waiter *w);

/* Wakes everything that waits; as a cancel hook. */
void mem_wake(void *store);

/* ---- mem_table.c: objects by key */

struct mem_blob *mem_blob_new(size_t size);
struct mem_blob *mem_blob_ref(struct mem_blob *b);
void mem_blob_unref(struct mem_blob *b);
CLEANUP_DEFINE(struct mem_blob, mem_blob_unref)

void mem_object_free(struct mem_object *o);
CLEANUP_DEFINE(struct mem_object, mem_object_free)

/* The index of the first object whose key is not below `key`. */
size_t mem_lower_bound_locked(const struct mem_store *m, const char *key);
struct mem_object *mem_find_locked(const struct mem_store *m, const char *key);

/* A new object of these bytes (a reference is taken) with a copy of `meta`, version included. Takes no lock. */
struct mem_object *mem_object_new(const struct mem_store *m, const char *key, struct mem_blob *blob,
                                  const struct store_meta *meta, const uint8_t *sha512, struct err *e);

/* Checks the condition against what is there, then puts the object in its place; what was there hands on its tags and
 * its ACL where the new metadata knows of them. Takes *o on success. ERR_CONFLICT, ERR_NOMEM. */
enum err_code mem_replace_locked(struct mem_store *m, struct mem_object **o, const struct store_cond *cond,
                                 struct store_version *out, struct err *e);
void mem_delete_locked(struct mem_store *m, const char *key);

/* Metadata as a stat tells it, as an own copy. */
struct store_meta *mem_told_meta_locked(const struct mem_object *o, struct err *e);

/* Version, metadata and, with STORE_LIST_CONTENT, the bytes. */
enum err_code mem_tell_locked(const struct mem_store *m, const struct mem_object *o, bool with_meta,
                              struct store_object *out, struct err *e);

/* ---- the operations, by file */

enum err_code mem_list(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out,
                       struct err *e);
enum err_code mem_get_start(void *impl, const struct store_get *g, struct err *e);
void mem_gets_end(struct mem_store *m); /* ends the thread: what is left of its gets is cancelled */
enum err_code mem_upload_begin(void *impl, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                               const struct store_call *call, char upload_id[STORE_ID_SIZE], struct err *e);
enum err_code mem_upload_part(void *impl, const char *key, const char *upload_id, const struct store_body *body,
                              const struct store_call *call, struct store_part *part, struct err *e);
enum err_code mem_upload_copy(void *impl, const char *key, const char *upload_id, const struct store_part_source *source,
                              const struct store_call *call, struct store_part *part, struct err *e);
enum err_code mem_upload_finish(void *impl, const char *key, const char *upload_id, const struct store_part *parts,
                                size_t n, const uint8_t *sha512, const struct store_cond *cond,
                                const struct store_call *call, struct store_version *out, struct err *e);
enum err_code mem_upload_abort(void *impl, const char *key, const char *upload_id, const struct store_call *call,
                               struct err *e);
enum err_code mem_upload_list(void *impl, const char *key, const struct store_call *call,
                              void (*fn)(void *arg, const char *upload_id, time_t begun), void *arg, struct err *e);
void mem_upload_free(struct mem_upload *u);
/* It became an object: there is no such upload any more. */
void mem_upload_used(struct mem_store *m, const char *key, const char *upload_id);
enum err_code mem_property_get(void *impl, const char *key, const struct store_object *object, const char *name,
                               const struct store_call *call, struct buf *out, struct err *e);
enum err_code mem_property_set(void *impl, const char *key, const struct store_meta *meta, const char *name,
                               const void *value, size_t len, const struct store_call *call,
                               struct store_meta **meta_out, struct err *e);

/* Reads a whole body into a new blob. ERR_IO, ERR_NOMEM. */
struct mem_blob *mem_read_body(const struct store_body *body, const char *key, struct err *e);

#endif
