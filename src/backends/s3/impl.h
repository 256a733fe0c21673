/* Inside of the S3 backend: the store's state, and one blocking request with its answer. */
#ifndef S3_IMPL_H
#define S3_IMPL_H

#include "aws/client.h"
#include "awsfs/store.h"
#include "backends/s3/headers.h"
#include "backends/s3/params.h"
#include "backends/s3/s3.h"
#include "backends/s3/traits.h"
#include "store/meta.h"
#include "util/lock.h"

#include <stdatomic.h>
#include <sys/queue.h>

enum { S3_OWN_SLOTS = 4096 };

TAILQ_HEAD(s3_lost_list, s3_lost);

struct s3_store {
    struct aws_client *client;
    char *bucket, *prefix;
    size_t prefix_len;
    bool requester_pays, directory_bucket, read_only;
    struct s3_traits *traits; /* what the server can do */
    enum s3_sse sse;
    struct s3_sse_c *sse_c; /* NULL: no key */
    atomic_bool keeps_key, ignores_key; /* the server was seen to; neither: not tried yet */
    uint64_t *plain;        /* sse.c: names of objects without that key */
    char *sse_kms_key, *storage_class, *acl; /* NULL: not given */
    uint64_t copy_max;
    atomic_bool lost_acl, lost_tags; /* the log says that they are not kept */
    char *servers_dir;               /* NULL: nothing is remembered */
    char scratch_of[33];             /* whose scratch keys: hash of endpoint, bucket, prefix */
    atomic_bool swept;               /* what a dead daemon left was looked for */
    struct lock lock;                /* guards what follows */
    struct cond tried;
    bool trying;              /* sse=c, by one thread */
    struct err trial_failure; /* of the last trial that had no result */
    struct s3_own *own;              /* S3_OWN_SLOTS of them */
    struct s3_lost_list lost;
    size_t lost_n;
};

/* Who wants to see a reply before all of it has come. */
struct s3_watch {
    /* The beginning of a 2xx reply's body, with a NUL behind it: each time a longer one, or one of another attempt. True: that is enough.
     * On the engine's thread; must not block. */
    bool (*so_far)(void *arg, const char *body, size_t len);
    void *arg;
};

/* One request. Zeroed fields are defaults. */
struct s3_request {
    enum http_method method;
    const char *what;
    const char *key; /* of the store; NULL: the bucket */
    const char *source; /* of a copy: its key */
    const struct aws_param *query;
    const struct params *headers, *more; /* NULL: none */
    const struct store_cond *cond;       /* NULL: none */
    enum s3_trait if_absent;             /* which condition that is, with STORE_IF_MATCH the trait after it */
    const struct store_body *body;
    const struct buf *text; /* a body in memory, instead of `body` */
    const struct store_call *call;
    size_t reply_max;
    const struct s3_watch *watch; /* NULL: nobody */
    bool xml_error_in_200;
    bool is_own;      /* nothing of the user's: may be stored before the trial of sse=c */
    bool without_key; /* of SSE-C, also where there is one */
    bool slow;                         /* copies and completes: the server may be silent for 300 s */
    unsigned timeout_ms, max_attempts; /* less than the mount's; 0: no less */
};

struct s3_answer {
    int status; /* 0: none came */
    char code[64];
    unsigned unanswered; /* of all calls into this answer */
    struct params headers;
    struct buf body; /* with a NUL behind it */
};

void s3_answer_release(struct s3_answer *a);
#define S3_ANSWER(name) CLEANUP_RELEASE(s3_answer_release) struct s3_answer name = {0}

/* Sends and waits. `a` is filled on failures too, as far as an answer came. */
enum err_code s3_call(struct s3_store *s, const struct s3_request *r, struct s3_answer *a, struct err *e) MUST_CHECK;

/* call_watched.c. aws_call() for which `watch` is told of the first 64 KiB of the reply while the rest comes. */
enum err_code s3_call_watched(struct aws_client *c, const struct aws_request *r, const struct s3_watch *watch,
                              struct cancel *cancel, struct err *e) MUST_CHECK;

/* Collects the headers of a reply. */
void s3_take_headers(const struct http_transfer *t, struct params *out);

/* The text of an element of an answer's XML document, whose root must be `root`, into `out`. ERR_PROTO. */
enum err_code s3_answer_text(const struct s3_answer *a, const char *root, const char *element, char *out, size_t size,
                             struct err *e) MUST_CHECK;

/* The key as the bucket has it; malloc'd. NULL without memory. */
char *s3_full_key(const struct s3_store *s, const char *key);

/* The ETag of an answer's header, into out->etag, and the server's time as the time of the change. ERR_PROTO without
 * ETag. */
enum err_code s3_answer_etag(const struct s3_answer *a, const char *what, struct store_version *out,
                             struct err *e) MUST_CHECK;

/* The server's time of an answer, in whole seconds. */
struct timespec s3_answer_time(const struct s3_answer *a);

/* Storage class and encryption of a new object, or those told in `meta`. */
void s3_add_class(const struct s3_store *s, const struct store_meta *meta, struct params *h);

/* True when a HEAD or GET told this metadata: the object is there already. */
static inline bool s3_is_told(const struct store_meta *meta)
{
    return store_meta_prop(meta, "storage-class", NULL) != NULL;
}

/* s3.c. With addressing=auto, after a listing failed with `code`: whether the server wants the bucket's name in the other place,
 * where it is from now on. Not while requests are under way. */
bool s3_works_elsewhere(struct s3_store *s, enum err_code code, const struct store_call *call);

/* ---- acl.c, tags.c: what a new version must be told of the old one */

/* Says in the log, the first time, that `what` is not kept where `key` changes, and why. */
void s3_warn_lost(atomic_bool *said, const char *what, const char *key, const struct err *why);

/* Adds x-amz-acl for new objects, or x-amz-grant-* where `from` (a key that is there; NULL: none) has an ACL of its
 * own. What cannot be asked for is left out, with one warning a mount: many users may write and not read ACLs.
 * ERR_CANCELED. */
enum err_code s3_add_acl(struct s3_store *s, const char *from, const struct store_call *call, struct params *h,
                         struct err *e) MUST_CHECK;
enum err_code s3_acl_get(struct s3_store *s, const char *key, const struct store_call *call, struct buf *out,
                         struct err *e) MUST_CHECK;
enum err_code s3_acl_set(struct s3_store *s, const char *key, const char *text, const struct store_call *call,
                         struct err *e) MUST_CHECK;

/* Adds x-amz-tagging with the tags of `from` when `meta` tells that it has some. Left out as ACLs are. ERR_CANCELED. */
enum err_code s3_add_tags(struct s3_store *s, const char *from, const struct store_meta *meta,
                          const struct store_call *call, struct params *h, struct err *e) MUST_CHECK;
enum err_code s3_tags_get(struct s3_store *s, const char *key, const struct store_call *call, struct buf *out,
                          struct err *e) MUST_CHECK;
/* `text` NULL removes them all. */
enum err_code s3_tags_set(struct s3_store *s, const char *key, const char *text, const struct store_call *call,
                          struct err *e) MUST_CHECK;

/* ---- probe.c: what the server can do */

/* Before the first request that needs to know: asks the server, unless that was done before, here or by another mount.
 * Nothing of it stays in the bucket. Blocks on the network; others that need to know wait for the one that asks. A read-only
 * store never asks. */
void s3_find_out(struct s3_store *s, const struct store_call *call);

/* probe_scratch.c. Removes the scratch keys that a daemon with the same directory of servers, bucket and prefix left behind when
 * it was killed; those of living ones stay. Once a store; not of a read-only one. Blocks on the network where there are any. */
void s3_sweep_scratch(struct s3_store *s);

/* Adds x-amz-copy-source, and the version that is meant (`etag` NULL: whatever is there). */
void s3_add_source(const struct s3_store *s, const char *key, const char *etag, struct params *h);

/* ---- sse.c */

enum { S3_KEY_HEADERS = 6 };
#define S3_KEY_ALGORITHM "x-amz-server-side-encryption-customer-algorithm"
#define S3_KEY_MD5       "x-amz-server-side-encryption-customer-key-MD5"

/* Copies the key into secret memory. */
struct s3_sse_c *s3_sse_c_new(const uint8_t *key, struct err *e);
void s3_sse_c_free(struct s3_sse_c *c);
uint64_t *s3_plain_new(void);

/* Whether the object of that name is known to be encrypted otherwise, or not at all. Only with a key. */
bool s3_is_plain(struct s3_store *s, const char *key);
void s3_set_plain(struct s3_store *s, const char *key, bool plain);

/* Before a new version of an object of which `meta` is told: one that is not encrypted with the key stays so. */
void s3_keep_plain(struct s3_store *s, const char *key, const struct store_meta *meta);

/* True for requests that take the key, where there is one. *again: what is refused may be asked for without it. */
bool s3_takes_key(const struct s3_store *s, const char *what, bool *again);

/* The headers of the key, for the object itself and for the source of a copy; borrowed. Returns their number. */
size_t s3_key_headers(const struct s3_store *s, bool target, bool source, struct aws_param out[S3_KEY_HEADERS]);

/* True where a refusal may be for the key of SSE-C that was missing, or sent where it does not belong; of a reply or, where a
 * HEAD had none, of what explained it (`body` NUL-terminated, "" if there is none). Pure. */
bool s3_is_about_key(int status, const char *code, const char *body, size_t len);

/* The error of a HEAD or GET that was refused so, with the key as well as without. Always ERR_ACCESS: one may not
 * read it, and a listing beside it goes on. */
enum err_code s3_explain_key(const struct s3_store *s, const char *what, const char *key, struct err *e);

/* sse_trial.c. With a key, before anything of the user's is sent with it to be stored: tries on a scratch key whether the server
 * keeps it, unless that is known of this mount (or of AWS). Blocks on the network; others wait for the one that tries. ERR_OK: it
 * is known, keeps_key or ignores_key is set. ERR_ACCESS where the scratch key could not be put or removed, ERR_CANCELED, and any
 * error of the requests: it is not known. */
enum err_code s3_try_key(struct s3_store *s, const struct store_call *call, struct err *e) MUST_CHECK;

/* The server was seen to ignore the key: nothing more is stored there. Says it in the log, once. */
void s3_ignores_key(struct s3_store *s);

/* ---- guard.c */

/* Where the server does not honour such a condition (`trait`): whether it holds now, asked with one HEAD. ERR_OK: send the
 * request. ERR_CONFLICT: it does not; ERR_NOT_FOUND: there is nothing to match. */
enum err_code s3_guard(struct s3_store *s, const char *key, const struct store_cond *cond, enum s3_trait trait,
                       const struct store_call *call, struct err *e) MUST_CHECK;

/* ---- own.c: objects that this store put as new ones, so that nothing about them needs to be asked */

/* `sha512` of the bytes or NULL. */
void s3_own_add(struct s3_store *s, const char *key, const char *etag, const uint8_t *sha512);

/* Something about the object is not as this store puts new ones any more. */
void s3_own_forget(struct s3_store *s, const char *key);

/* `etag` NULL: false. `sha512` gets its 64 bytes where *has_sha512 becomes true. */
bool s3_own_find(struct s3_store *s, const char *key, const char *etag, uint8_t sha512[64], bool *has_sha512);
struct s3_own *s3_own_new(void);

/* ---- lost.c: attempts whose answer was lost, of this call and of earlier ones */

/* By what an object is known to be what was sent. */
struct s3_sent {
    uint64_t size;
    bool has_sha512, has_md5;
    uint8_t sha512[64], md5[16];
    char etag[STORE_ETAG_SIZE]; /* that it must have; "": not known */
};

/* Size and digests of a body; reads it. ERR_NOMEM, ERR_IO. */
enum err_code s3_sent_body(const struct store_body *body, struct s3_sent *out, struct err *e) MUST_CHECK;
void s3_sent_sha512(struct s3_sent *out, const uint8_t *sha512); /* NULL: not known */

struct s3_tried {
    unsigned unanswered; /* attempts of this call that may have been executed; send() adds its own */
    bool gone;           /* what the server says is gone is what only this call can have used up */
};

/* A new version of one key under a condition. */
struct s3_change {
    const char *key;
    const struct store_cond *cond;
    const struct store_call *call;
    /* Sends it on that condition. ERR_CONFLICT and ERR_NOT_FOUND count as refusals, which may be our own doing. */
    enum err_code (*send)(void *arg, const struct store_cond *cond, struct s3_tried *tried, struct store_version *out,
                          struct err *e);
    /* What it sends; asked for only where an attempt has no answer. */
    enum err_code (*describe)(void *arg, struct s3_sent *out, struct err *e);
    void *arg;
};

/* Makes the change. Where the condition fails after an attempt that had no answer, in this call or in an earlier one on
 * the same condition, asks with a HEAD whether what is there is what that attempt sent: then it is no conflict. An
 * error of that HEAD is the call's. Otherwise send()'s error. */
enum err_code s3_change(struct s3_store *s, const struct s3_change *c, struct store_version *out,
                        struct err *e) MUST_CHECK;

/* ---- lost_table.c: what earlier calls sent, without an answer. Takes the store's lock. */

enum { S3_LOST_OF_KEY = 4 };

void s3_lost_add(struct s3_store *s, const char *key, const struct store_cond *cond, const struct s3_sent *sent);

/* Those of the key that were sent on that condition. */
size_t s3_lost_find(struct s3_store *s, const char *key, const struct store_cond *cond,
                    struct s3_sent out[S3_LOST_OF_KEY]);

/* The key was changed by this store, or by others for sure: what was sent before says nothing any more. */
void s3_lost_forget(struct s3_store *s, const char *key);
void s3_lost_free(struct s3_store *s);

/* ---- the operations */

enum err_code s3_list(void *impl, const struct store_list *l, const struct store_call *call, struct store_page *out,
                      struct err *e);
enum err_code s3_stat(void *impl, const char *key, const struct store_call *call, struct store_object *out,
                      struct err *e);
enum err_code s3_get(void *impl, const struct store_get *g, struct err *e);
enum err_code s3_put(void *impl, const char *key, const struct store_body *body, const struct store_meta *meta,
                     const struct store_cond *cond, const struct store_call *call, struct store_version *out,
                     struct err *e);
enum err_code s3_upload_begin(void *impl, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                              const struct store_call *call, char upload_id[STORE_ID_SIZE], struct err *e);
enum err_code s3_upload_part(void *impl, const char *key, const char *upload_id, const struct store_body *body,
                             const struct store_call *call, struct store_part *part, struct err *e);
enum err_code s3_upload_copy(void *impl, const char *key, const char *upload_id, const struct store_part_source *source,
                             const struct store_call *call, struct store_part *part, struct err *e);
enum err_code s3_upload_finish(void *impl, const char *key, const char *upload_id, const struct store_part *parts,
                               size_t n, const uint8_t *sha512, const struct store_cond *cond,
                               const struct store_call *call, struct store_version *out, struct err *e);
enum err_code s3_upload_abort(void *impl, const char *key, const char *upload_id, const struct store_call *call,
                              struct err *e);
enum err_code s3_upload_list(void *impl, const char *key, const struct store_call *call,
                             void (*fn)(void *arg, const char *upload_id, time_t begun), void *arg, struct err *e);
enum err_code s3_rename(void *impl, const struct store_copy *c, const struct store_call *call, struct err *e);
enum err_code s3_copy(void *impl, const struct store_copy *c, const struct store_call *call, struct store_version *out,
                      struct err *e);
enum err_code s3_remove(void *impl, const char *key, const char *etag, const struct store_call *call, struct err *e);
enum err_code s3_remove_many(void *impl, const char *const *keys, const char *const *etags, size_t n,
                             const struct store_call *call, enum err_code *results, struct err *e);
/* One request of DeleteObjects. ERR_UNSUPPORTED, and as store_remove_many(). */
enum err_code s3_delete_objects(struct s3_store *s, const char *const *keys, const char *const *etags, size_t n,
                                const struct store_call *call, enum err_code *results, struct err *e) MUST_CHECK;
enum err_code s3_property_get(void *impl, const char *key, const struct store_object *object, const char *name,
                              const struct store_call *call, struct buf *out, struct err *e);
enum err_code s3_property_set(void *impl, const char *key, const struct store_meta *meta, const char *name,
                              const void *value, size_t len, const struct store_call *call,
                              struct store_meta **meta_out, struct err *e);
enum err_code s3_check_meta(void *impl, const char *key, const struct store_meta *meta, struct err *e);

/* Uploads by parts, also for copy.c: `more` may be NULL. */
enum err_code s3_upload_create(struct s3_store *s, const char *key, const struct params *headers,
                               const struct params *more, const struct store_call *call, char upload_id[STORE_ID_SIZE],
                               struct err *e) MUST_CHECK;
/* UploadPartCopy as it is asked for; `source->etag` NULL: whatever is there. */
enum err_code s3_copy_part(struct s3_store *s, const char *key, const char *upload_id,
                           const struct store_part_source *source, const struct store_call *call, struct store_part *part,
                           struct err *e) MUST_CHECK;
/* A CRC64NVME as S3 writes it. */
void s3_crc_text(uint64_t crc, struct buf *out);

/* The body of CompleteMultipartUpload. */
void s3_complete_xml(const struct store_part *parts, size_t n, bool checksums, struct buf *xml);

struct s3_complete {
    const char *key, *upload_id;
    const struct store_part *parts;
    size_t n;
    bool checksums;        /* the parts have CRCs, the upload was created with them */
    const uint8_t *sha512; /* of the whole object, NULL: not known */
    const struct store_cond *cond;
};
enum err_code s3_upload_complete(struct s3_store *s, const struct s3_complete *c, const struct store_call *call,
                                 struct store_version *out, struct err *e) MUST_CHECK;

#endif
