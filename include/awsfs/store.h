/*
 * The store contract: what a backend promises to the filesystem above it. A store is a flat map from keys to objects; an
 * object has bytes, a version (its ETag) and metadata. Keys are UTF-8, relative to the store's root, and '/' separates what
 * the filesystem shows as directories. Nothing here is specific to one service.
 *
 * Calls block unless they have a completion. All may be made from any thread and run in parallel; the order in which
 * parallel calls on one key take effect is the server's. No call retries a failure that the transport did not retry already.
 * Outputs are written on success only. A `struct store_call *` may be NULL.
 *
 * Errors, for every call: ERR_NOT_FOUND only when the server said so; ERR_ACCESS, ERR_AUTH, ERR_NET, ERR_TIMEOUT,
 * ERR_THROTTLED, ERR_PROTO, ERR_NOMEM, ERR_CANCELED. Others are named at the call.
 */
#ifndef AWSFS_STORE_H
#define AWSFS_STORE_H

#include "awsfs/err.h"
#include "awsfs/meta.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct store;
struct cancel;
struct buf;
struct check_limits;
struct check_report;

#define STORE_ETAG_SIZE 136 /* an ETag without its quotes, and a NUL */
#define STORE_ID_SIZE 1024  /* an upload id and a NUL */
#define STORE_UNSENT "unsent-" /* begins ETags that were made up for what the service does not have yet: it will tell others */

/* ---- What a store can do. Constant from its creation. */

enum {
    STORE_START_AFTER = 1 << 0,   /* a listing can begin behind a given key */
    STORE_LIST_SUBTREE = 1 << 1,  /* listings are cheap only as a whole subtree: ask without delimiter */
    STORE_LIST_CONTENT = 1 << 2,  /* entries of a listing and of stat carry the object's bytes */
    STORE_POSIX = 1 << 3,         /* keeps mode, owner, times, symlinks and user.* attributes */
    STORE_MARKERS = 1 << 4,       /* an empty directory is an object "dir/" */
    STORE_RENAME = 1 << 5,        /* store_rename() is one atomic request */
    STORE_SECRET = 1 << 6,        /* contents must never reach a disk: stage in locked memory */
    STORE_SELF_NAMES = 1 << 7,    /* an object beside a directory of its name shows as dir/@self (else as "name%") */
    STORE_MULTIPART = 1 << 8,
    STORE_EMPTY_REFUSED = 1 << 9, /* an object must have at least one byte */
    STORE_READ_ONLY = 1 << 10,
    STORE_SLOW_COPY = 1 << 11,    /* a copy moves the bytes through here */
    STORE_UNORDERED = 1 << 12,    /* a listing's order holds only inside a page; with a delimiter a common prefix may come on
                                     several pages */
    STORE_CONTAINERS = 1 << 13,   /* the first level holds containers of objects (buckets) only, see below */
    STORE_LATER = 1 << 14,        /* what is changed is stored later: versions of our own are told with times of this machine */
};

/*
 * With STORE_CONTAINERS a key is "container/rest". "container/" stands for the container itself, which has neither bytes nor
 * metadata: a stat tells whether it is there (ERR_OK also where nothing in it may be used; mtime: when it was made, or 0), a put with STORE_IF_ABSENT
 * makes it, a remove deletes it (ERR_NOT_EMPTY). It is not in the listing of what it holds. Anything else to be made at the
 * first level is ERR_PERM; a copy from one container to another is ERR_CROSS. The first level is listed with a delimiter
 * only (ERR_ACCESS: containers can be used by name), and start_after works inside of containers.
 */

struct store_caps {
    unsigned flags;
    uint64_t max_object;   /* bytes */
    uint64_t put_max;      /* bytes that one put may have; above it multipart */
    uint64_t put_target;   /* up to this size one put is the better choice */
    uint64_t part_min, part_max;
    unsigned max_parts;
    uint64_t view_max;     /* bytes of contents that one view may be made of */
    size_t max_key;        /* bytes, of the key as seen from the store's root (a container with a short name may hold less) */
    const char *xattr_prefix; /* "user.s3.": names of store_property_*() as extended attributes */
    char name[256];        /* for people and for the state directory: "s3://bucket/prefix at https://..." */
};

/* ---- Versions and metadata */

struct store_version {
    char etag[STORE_ETAG_SIZE]; /* without quotes; never "" for an object */
    uint64_t size;
    struct timespec mtime;      /* Last-Modified */
};

/* What is stored with an object beside its bytes: the fields of awsfs/meta.h. Immutable once shared; reference-counted; see
 * store/meta.h. */
struct store_meta {
    unsigned refs;
    unsigned has;               /* in any of the formats known */
    mode_t mode;
    uid_t uid;
    gid_t gid;
    struct timespec mtime, atime, ctime;
    struct meta_pair *xattrs;   /* in the order of their names; each value has a NUL behind it that len does not count */
    size_t n_xattrs;
    struct meta_pair *props;    /* as xattrs */
    size_t n_props;
    /* Of what a stat or a get told (else zero, as of a copy): Last-Modified, and whether that lay so far back, by the server's own
     * clock, that a change of these metadata that leaves the ETag must have another one. */
    struct timespec modified;
    bool settled;
};

/* One object as a listing, a stat or a get tells it. */
struct store_object {
    struct store_version version;
    struct store_meta *meta;    /* NULL when not told (listings of S3) */
    void *content;              /* with STORE_LIST_CONTENT: version.size bytes, from secret_alloc() */
    bool sealed;                /* with STORE_LIST_CONTENT: its bytes, and how many they are (version.size is 0), are told by a stat
                                   with `unseal` only */
};

struct store_call {
    struct cancel *cancel;      /* NULL: cannot be interrupted */
    unsigned timeout_ms;        /* 0: the mount's */
    bool urgent;                /* somebody waits: goes before read-ahead and uploads */
    unsigned *unanswered;       /* not NULL: of an upload's begin, attempts that may have been executed unheard are added */
    bool background;            /* nobody waits, and may never: leaves others what they need of a limited rate */
    bool unseal;                /* of a stat or a view: the bytes are wanted, whatever it costs to have them */
    bool brief;                 /* of a put with STORE_LATER: ERR_AGAIN where it would wait for anything but the local disk */
};

/* A condition on what is there now. Failing: ERR_CONFLICT (also where the object of IF_MATCH is gone), after making sure that
 * it was not our own earlier attempt whose answer was lost. */
struct store_cond {
    enum { STORE_ALWAYS, STORE_IF_ABSENT, STORE_IF_MATCH } kind;
    const char *etag;           /* for STORE_IF_MATCH, without quotes */
    bool preferred;             /* on ERR_CONFLICT the caller asks again with STORE_ALWAYS. Of no concern to who carries it out at once */
};

/* ---- Listing */

struct store_list {
    const char *prefix;         /* "" or "dir/" or "dir/na" */
    bool delimiter;             /* true: group what has a '/' behind the prefix */
    const char *start_after;    /* NULL; only with STORE_START_AFTER; ignored with a token */
    bool direct;                /* ERR_UNSUPPORTED where the server would list what is before start_after as well */
    const char *token;          /* NULL: from the beginning */
    unsigned max_keys;          /* 0: as many as a page holds */

    /* NULL, or, without delimiter: a key with that prefix which somebody waits for. Where what has come of the page tells that the
     * object is there, and that nothing is below `wanted`/, found() is told of it (borrowed) before the rest comes: once at most,
     * on any thread, before store_list() returns; it must not block. It holds also where the call then fails. A store need not. */
    const char *wanted;
    void (*found)(void *arg, const struct store_object *object);
    void *found_arg;
};

struct store_entry {
    char *key;                  /* whole key, also of a common prefix ("dir/sub/") */
    bool is_prefix;
    struct store_object object; /* zeroed for a prefix; of a container's version.mtime is when it was made, if told */
};

struct store_page {
    struct store_entry *entries; /* in the order of the listing: UTF-8 bytes; prefixes and objects merged in that order; with
                                    STORE_UNORDERED from page to page in none */
    size_t n;
    char *next;                 /* token of the next page; NULL at the end. A page may be empty and not the last */
};

/* One page. A token that does not move on is ERR_PROTO. Release with store_page_release() (store/meta.h). */
enum err_code store_list(struct store *s, const struct store_list *l, const struct store_call *call, struct store_page *out,
                         struct err *e) MUST_CHECK;

/* ---- Reading */

/* What one key is now. Release with store_object_release(). */
enum err_code store_stat(struct store *s, const char *key, const struct store_call *call, struct store_object *out,
                         struct err *e) MUST_CHECK;

struct store_get {
    const char *key;
    const char *etag;           /* the version wanted; another one there is ERR_CONFLICT. NULL: whatever there is */
    uint64_t offset, length;    /* inside the object; length > 0 */
    bool whole;                 /* known to be the whole object: may be asked for without a range, and must be that long */
    struct store_call call;

    /* The bytes, in order and without gaps, also across retries. Not called after a cancel took effect. Runs on the store's
     * thread, must not block. Returning false ends the get with ERR_CANCELED. */
    bool (*data)(void *arg, const void *p, size_t len);

    /* The end, exactly once: ERR_OK means that exactly `length` bytes of that version were given to data(). `object` (NULL
     * unless ERR_OK) has the version and, where the reply tells it, the metadata; borrowed. May run before store_get()
     * returns, on the caller's thread. */
    void (*done)(void *arg, enum err_code code, const struct store_object *object, const struct err *e);
    void *arg;
};

/* Starts a ranged read; never blocks on the network. Everything in `g` but arg is copied. On an error nothing was started. */
enum err_code store_get(struct store *s, const struct store_get *g, struct err *e) MUST_CHECK;

/* ---- Writing */

struct store_body {
    uint64_t size;
    /* Bytes at any offset, more than once (retries): returns bytes copied, -1 on failure. Must not block for long. */
    ssize_t (*read)(void *arg, uint64_t offset, void *buf, size_t len);
    void *arg;
    const uint8_t *sha512;      /* 64 bytes of the whole object, or NULL if not known */
    const uint64_t *crc64nvme;  /* of this body, or NULL */
    /* Makes `name` in the directory `dir` (a descriptor) a new file (0600) of exactly these bytes, without copying them; it stays so
     * whatever becomes of the body. The caller syncs and removes it. Fails where it cannot: then the bytes are to be read. NULL: never
     * can. */
    enum err_code (*give)(void *arg, int dir, const char *name, struct err *e);
};

/* Puts an object of at most put_max bytes. `meta` may be NULL: defaults. Old or new bytes are there, never a mixture.
 * ERR_CONFLICT, ERR_TOO_BIG, ERR_INVAL, ERR_NAME_TOO_LONG, ERR_QUOTA. `out` is the version it now has. */
enum err_code store_put(struct store *s, const char *key, const struct store_body *body, const struct store_meta *meta,
                        const struct store_cond *cond, const struct store_call *call, struct store_version *out,
                        struct err *e) MUST_CHECK;

/* Checks without a request whether the key and, if `body` is not NULL, the bytes could be stored: ERR_NAME_TOO_LONG,
 * ERR_BAD_NAME, ERR_INVAL, ERR_TOO_BIG. `is_dir`: the key is that of a directory. */
enum err_code store_check(struct store *s, const char *key, bool is_dir, const struct store_body *body,
                          struct err *e) MUST_CHECK;

/* Whether the version that is there can be renamed by a copy and a removal, together with others: ERR_CROSS where something that only
 * the store has would be lost with the old name. Sends nothing. */
enum err_code store_check_move(struct store *s, const char *key, const struct store_version *version, struct err *e) MUST_CHECK;

/* True for a file name that editors and the like use beside the real one and that this store keeps local until it is renamed
 * to a real name. */
bool store_stays_local(struct store *s, const char *name);

struct store_part {
    unsigned number;            /* 1 to max_parts, ascending */
    uint64_t size;
    char etag[STORE_ETAG_SIZE];
    uint64_t crc64nvme;
    bool unsummed;              /* copied on the server, which has not told crc64nvme */
};

/* Multipart: begin, parts in any order and in parallel, finish or abort. Nothing shows before finish. `sha512` (64 bytes of the
 * whole object or NULL) goes into the metadata. */
enum err_code store_upload_begin(struct store *s, const char *key, const struct store_meta *meta, const uint8_t *sha512,
                                 const struct store_call *call, char upload_id[STORE_ID_SIZE], struct err *e) MUST_CHECK;
enum err_code store_upload_part(struct store *s, const char *key, const char *upload_id, const struct store_body *body,
                                const struct store_call *call, struct store_part *part /* number is given */,
                                struct err *e) MUST_CHECK;
/* A part that the server copies: part->size bytes at `offset` of the object `from`, in the version `etag`. ERR_CONFLICT: that version
 * is not there any more. ERR_UNSUPPORTED: this server cannot. */
struct store_part_source {
    const char *from, *etag;
    uint64_t offset;
};
enum err_code store_upload_copy(struct store *s, const char *key, const char *upload_id, const struct store_part_source *source,
                                const struct store_call *call, struct store_part *part /* number and size are given */,
                                struct err *e) MUST_CHECK;
enum err_code store_upload_finish(struct store *s, const char *key, const char *upload_id, const struct store_part *parts,
                                  size_t n, const uint8_t *sha512, const struct store_cond *cond,
                                  const struct store_call *call, struct store_version *out, struct err *e) MUST_CHECK;
/* ERR_OK also when there is no such upload any more. */
enum err_code store_upload_abort(struct store *s, const char *key, const char *upload_id, const struct store_call *call,
                                 struct err *e) MUST_CHECK;

/* Uploads of that key that are begun and neither finished nor aborted, whoever began them: calls fn with the id of each and the time
 * when it was begun (0: not told), on the caller's thread. ERR_UNSUPPORTED. */
enum err_code store_upload_list(struct store *s, const char *key, const struct store_call *call,
                                void (*fn)(void *arg, const char *upload_id, time_t begun), void *arg, struct err *e) MUST_CHECK;

#define STORE_INTENT_SIZE 40 /* bytes, with a NUL */

/* Told of an upload that a call makes by itself. All run on the caller's thread; the first two may be NULL, both. */
struct store_uploads {
    /* Before it is asked for: `intent` becomes its name until begun(). An error ends the call with it. */
    enum err_code (*intend)(void *arg, const char *key, char intent[STORE_INTENT_SIZE], struct err *e);
    /* There is no upload but the one that begun() was told of. Not called where the question for it may have been heard and no answer
     * has come. */
    void (*answered)(void *arg, const char *key, const char *intent);
    /* Before its first part. An error ends the call with it. */
    enum err_code (*begun)(void *arg, const char *key, const char *upload_id, struct err *e);
    /* Once for each that begun() was told of. Unless `finished`, what is left of it is still in the store and is this
     * callee's to abort, when there is time: the caller of the call may have been killed. Must not block. */
    void (*ended)(void *arg, const char *key, const char *upload_id, bool finished);
    void *arg;
};

struct store_copy {
    const char *from;
    const char *from_etag;      /* NULL: whatever is there; else another version is ERR_CONFLICT */
    uint64_t size;              /* of the source, decides whether it goes by parts */
    const char *to;             /* may equal `from` (a change of metadata) */
    const struct store_meta *meta; /* NULL: all of the source's metadata goes along; else it replaces them */
    const struct timespec *mtime; /* where all metadata goes along (`meta` NULL) and has no time of the last change, and has
                                     room for one: stored with the copy, whose own Last-Modified is new. NULL: none */
    struct store_cond cond;     /* on the target */
    bool at_once;               /* the source may be changed by others as soon as the call returns: what is copied is safe then */
    const struct store_uploads *uploads; /* NULL: a copy by parts that fails aborts its upload before it returns */
};

/* Copies on the server; tags, ACL, storage class and encryption of the source go along. ERR_NOT_FOUND: the source. */
enum err_code store_copy(struct store *s, const struct store_copy *c, const struct store_call *call,
                         struct store_version *out, struct err *e) MUST_CHECK;

/* One atomic request, where STORE_RENAME. */
enum err_code store_rename(struct store *s, const struct store_copy *c, const struct store_call *call, struct err *e) MUST_CHECK;

/* ERR_OK also when it was not there, unless `etag` is given (NULL: whatever is there): then ERR_CONFLICT when another version
 * is there, ERR_OK when none is. */
enum err_code store_remove(struct store *s, const char *key, const char *etag, const struct store_call *call,
                           struct err *e) MUST_CHECK;

/* Up to 1,000 at once; results[i] gets the code of keys[i]: ERR_OK also when nothing was there, ERR_CONFLICT when another
 * version than etags[i] is there, which stays. `etags` may be NULL or have NULL entries: whatever is there. Returns an error
 * only when the whole request failed. */
enum err_code store_remove_many(struct store *s, const char *const *keys, const char *const *etags, size_t n,
                                const struct store_call *call, enum err_code *results, struct err *e) MUST_CHECK;

/* What calls before this one have changed is durable when it returns. Stores whose calls return when the service has it have nothing to
 * do. ERR_IO. */
enum err_code store_sync(struct store *s, const struct store_call *call, struct err *e) MUST_CHECK;

/* ---- Properties: extended attributes xattr_prefix + name */

/* Appends the value. `object` is what is known of it (its meta may be NULL; with STORE_LIST_CONTENT it may be NULL: nothing). ERR_NO_ATTR: no such property or not set.
 * May ask the server (tags, acl). */
enum err_code store_property_get(struct store *s, const char *key, const struct store_object *object, const char *name,
                                 const struct store_call *call, struct buf *out, struct err *e) MUST_CHECK;

/* Changes one (`value` NULL removes). Where the change is one of metadata, a new `struct store_meta` with a reference is put
 * into *meta_out and the caller stores it; otherwise the server has been told and *meta_out is NULL. ERR_NO_ATTR, ERR_PERM
 * (cannot be changed), ERR_INVAL. `meta` may be NULL. */
enum err_code store_property_set(struct store *s, const char *key, const struct store_meta *meta, const char *name,
                                 const void *value, size_t len, const struct store_call *call, struct store_meta **meta_out,
                                 struct err *e) MUST_CHECK;

/* Of an object that is still to be put for the first time: makes the `struct store_meta` (with a reference) that this put is to be
 * given. Sends nothing. Until then store_property_get() tells it of an `object` whose ETag is "". ERR_NO_ATTR, ERR_PERM, ERR_INVAL;
 * ERR_UNSUPPORTED: the object has to be put first. */
enum err_code store_property_prepare(struct store *s, const char *key, const struct store_meta *meta, const char *name,
                                     const void *value, size_t len, struct store_meta **meta_out, struct err *e) MUST_CHECK;

/* Whether an object has room for these metadata and for POSIX attributes that they do not have yet. Sends nothing. ERR_NOSPC. */
enum err_code store_check_meta(struct store *s, const char *key, const struct store_meta *meta, struct err *e) MUST_CHECK;

/* ---- Names that a store makes of others: a version of an object, a directory of its versions, a view. They are found by their
 * name only, never in the listing of the directory they are in, and cannot be changed. */

enum store_form {
    STORE_FORM_PLAIN,     /* nothing of the kind: an object or a directory, as listings tell */
    STORE_FORM_OBJECT,    /* an object that store_stat() and store_get() know; nothing is below it */
    STORE_FORM_DIR,       /* a directory; it is there when store_list() finds something below it */
    STORE_FORM_FIXED_DIR, /* a directory that is always there */
    STORE_FORM_VIEW,      /* what store_view() makes of the objects of the directory it is in */
    STORE_FORM_TREE_VIEW, /* the same of all objects below that */
};

/* What a key is by its spelling alone: nobody is asked. Never blocks. */
enum store_form store_form(struct store *s, const char *key);

/* One object that a view is made of, borrowed. */
struct store_view_item {
    const char *key;               /* below the directory: "host", "db/host" */
    struct store_version version;
    const struct store_meta *meta;
    const char *content;           /* version.size bytes; NULL of what is sealed */
};

/* Makes the view `key` ("dir/@json") of `n` items, in any order. Sends no request unless the name asks for something else than
 * what the items are now (another version), or with `unseal` for what is sealed; without `unseal` a view of that is sealed
 * itself. `out`: content, size, metadata, mtime; its ETag is "". ERR_INVAL: the form has no room for one of the items, which the
 * message names; ERR_TOO_BIG; ERR_NOT_FOUND. Release with store_object_release(). */
enum err_code store_view(struct store *s, const char *key, const struct store_view_item *items, size_t n,
                         const struct store_call *call, struct store_object *out, struct err *e) MUST_CHECK;

/* ---- The store itself */

const struct store_caps *store_caps(const struct store *s);

/* Asks whether it can be used at all (exists, may be listed or read). The message names the cause for a user: which request,
 * which bucket, which address. */
enum err_code store_probe(struct store *s, const struct store_call *call, struct err *e) MUST_CHECK;

/* Tries what this user may do here and what the server can, without lasting effects, and appends a row for each
 * (awsfs/check.h): on scratch names, under conditions that never hold; what was made all the same is removed and told. Ends
 * at `limits`, whatever the server does. Rows that a read-only store does not need are OPTIONAL. ERR_UNSUPPORTED, ERR_NOMEM. */
enum err_code store_try(struct store *s, const struct check_limits *limits, struct check_report *out,
                        struct err *e) MUST_CHECK;

/* Requests so far by kind. */
void store_each_count(struct store *s, void (*fn)(void *arg, const char *kind, uint64_t count), void *arg);

/* Finds out what the server can do, where that is not known yet; may write and remove scratch objects, but never in a read-only
 * store. ERR_READ_ONLY; an error of the network. Where nothing needs to be found out: ERR_OK. */
enum err_code store_learn(struct store *s, const struct store_call *call, struct err *e) MUST_CHECK;

/* What the server can do, as far as known: calls fn(arg, name, verdict, what that means for people) for each. */
enum store_verdict { STORE_UNKNOWN, STORE_YES, STORE_NO };
void store_each_trait(struct store *s, void (*fn)(void *arg, const char *name, enum store_verdict verdict, const char *meaning),
                      void *arg);

/* Whoever keeps what listings told, beyond this process: begin() is called before a call (put, finish, copy, rename, remove, property)
 * that changes or may change what is under a key, end() after it, whatever became of it; also twice for a key, and of several keys in
 * any order. Any thread, under no lock of the store; must not block for long, nor call the store. */
struct store_changes {
    void (*begin)(void *arg, const char *key);
    void (*end)(void *arg, const char *key);
    void *arg;
};
/* Copies. Before the first such call, once. */
void store_tell_changes(struct store *s, const struct store_changes *told);

/* From now on `changed` is told of each key that others have changed, as soon as the store hears of it; `listed`: it was made or removed,
 * or may have been. Any thread, must not block. `changed` NULL: it is not called any more when this returns. Stores that hear of nothing
 * never call it. ERR_NOMEM, ERR_INVAL. */
enum err_code store_watch(struct store *s, void (*changed)(void *arg, const char *key, bool listed), void *arg, struct err *e) MUST_CHECK;

/* No call may be under way. NULL is fine. */
void store_free(struct store *s);

#endif
