/*
 * A store in memory: the reference of the contract, and the double on which tests of the layers above stand. An ETag is
 * the MD5 of the bytes as on S3, so the same bytes put twice have the same version.
 *
 * Copies of more than put_target bytes whose caller wants to be told of uploads are shown as one.
 *
 * A test may look into every call (a hook that fails it, before or after it took effect, or delays it), hold calls
 * until it releases them, and choose what kind of store this one claims to be. All functions here may be called from
 * any thread.
 */
#ifndef STORE_MEM_H
#define STORE_MEM_H

#include "awsfs/store.h"

struct mem_store;

enum mem_op {
    MEM_LIST,
    MEM_STAT,
    MEM_GET,
    MEM_PUT,
    MEM_UPLOAD_BEGIN,
    MEM_UPLOAD_PART,
    MEM_UPLOAD_COPY,
    MEM_UPLOAD_FINISH,
    MEM_UPLOAD_ABORT,
    MEM_UPLOAD_LIST,
    MEM_COPY,
    MEM_RENAME,
    MEM_REMOVE,
    MEM_REMOVE_MANY,
    MEM_PROPERTY_GET,
    MEM_PROPERTY_SET,
    MEM_VIEW,
    MEM_PROBE,
    MEM_OPS,
};

enum mem_phase {
    MEM_BEFORE, /* nothing was done yet */
    MEM_DATA,   /* of a get: before each piece; an error ends the get after what was delivered */
    MEM_AFTER,  /* it took effect (of a list: who waits for one key was told of it), but an error makes the caller see a failure: a lost answer */
};

struct mem_event {
    enum mem_op op;
    enum mem_phase phase;
    const char *key; /* the prefix of a list, the source of a copy, "" of a probe, the first key of remove_many */
    const char *to;  /* the target of a copy or rename, else NULL */
    uint64_t offset; /* of a get: of the piece in phase MEM_DATA, else of the range */
    uint64_t size;   /* bytes asked for or given; 0 where there are none */
    unsigned nth;    /* the how-many-eth call of this operation, from 1 */
};

/* Called with no lock held, on the thread of the call (of an asynchronous get: the store's). Anything but ERR_OK is the
 * call's result. May block or sleep: that delays the call. */
struct mem_hook {
    enum err_code (*fn)(void *arg, const struct mem_event *ev, struct err *e);
    void *arg;
};

struct mem_options {
    const struct store_caps *caps;         /* NULL: mem_default_caps() */
    unsigned page_size;                    /* entries of a page at most; 0: 1,000 */
    size_t chunk;                          /* bytes given to data() at once; 0: 128 KiB */
    bool async;                            /* gets complete on a thread of the store; else before store_get() returns */
    bool meta_in_get;                      /* gets tell the metadata, as S3's do */
    bool (*stays_local)(const char *name); /* NULL: no name does */
};

/* What the S3 backend claims for a bucket, with room for small tests: parts from 1 KiB, one put up to 5 GiB. */
void mem_default_caps(struct store_caps *out);

/* `o` (may be NULL) is copied. `control` (may be NULL) receives a borrowed handle for the functions below, valid as
 * long as the store. ERR_NOMEM, ERR_IO (no thread): then NULL. */
struct store *mem_store_new(const struct mem_options *o, struct mem_store **control, struct err *e);

/* Replaces the hook (fn NULL: none). Calls under way may still be in the old one. */
void mem_store_set_hook(struct mem_store *m, struct mem_hook hook);

/* From now on calls of `op` on `key` (NULL: on any; of a copy: the source) are held before they take effect, until they
 * are released, cancelled, or their own timeout_ms passes (ERR_TIMEOUT). A synchronous call blocks its thread
 * meanwhile. One hold per operation: a second replaces the first. */
void mem_store_hold(struct mem_store *m, enum mem_op op, const char *key);

/* Takes the hold of `op` away and lets everything held by it go on. */
void mem_store_unhold(struct mem_store *m, enum mem_op op);

/* Lets the oldest held call of `op` on `key` (NULL: any) go on; the hold stays. False if none is held. */
bool mem_store_release_one(struct mem_store *m, enum mem_op op, const char *key);

/* Calls of `op` held now. */
unsigned mem_store_held(struct mem_store *m, enum mem_op op);

/* Waits until at least `n` calls of `op` are held. False after `timeout_ms`. */
bool mem_store_wait_held(struct mem_store *m, enum mem_op op, unsigned n, unsigned timeout_ms);

/* Calls of `op` so far. */
unsigned mem_store_count(struct mem_store *m, enum mem_op op);

/* Objects there, and uploads begun but neither finished nor aborted. */
size_t mem_store_objects(struct mem_store *m);
size_t mem_store_uploads(struct mem_store *m);

/* Changes the behaviour of later calls. */
void mem_store_set_page_size(struct mem_store *m, unsigned page_size);
/* The next `n` pages of listings bring nothing and are not the last; their tokens move on. */
void mem_store_set_empty_pages(struct mem_store *m, unsigned n);
void mem_store_set_async(struct mem_store *m, bool async);

#endif
