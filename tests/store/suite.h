/*
 * The conformance suite: sentences about awsfs/store.h that hold for every store. A case works below a prefix of its
 * own. What a server cannot do is a NEED_* that it lacks, with the reason that the skip prints.
 */
#ifndef TESTS_STORE_SUITE_H
#define TESTS_STORE_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "awsfs/store.h"
#include "store/meta.h"
#include "util/buf.h"

enum {
    NEED_COPY_TARGET = 1 << 0,    /* conditions on the target of a copy */
    NEED_COPY_SOURCE = 1 << 1,    /* conditions on its source */
    NEED_FINISH_MATCH = 1 << 2,   /* If-Match of CompleteMultipartUpload */
    NEED_BESIDE = 1 << 3,         /* an object `a` beside `a/b` */
    NEED_MARKER_BODY = 1 << 4,    /* an object `dir/` with a body */
    NEED_ODD_COMPONENTS = 1 << 5, /* empty components, `.`, `..` */
    NEED_LONG_COMPONENT = 1 << 6, /* a component over 255 bytes */
    NEED_CONTROL = 1 << 7,        /* control characters in keys */
    NEED_COPY_MARKER = 1 << 8,    /* a copy of `dir/` */
    NEED_REPLACE_DROPS = 1 << 9,  /* a copy that replaces metadata replaces all of them */
    NEED_ACL = 1 << 10,
    NEED_LOST_ANSWER = 1 << 11,     /* can be told to lose the answer to a request it carried out */
    NEED_SOURCE_PART = 1 << 12,     /* conditions on the source of a copied part */
    NEED_BROKEN_BODY = 1 << 13,     /* can be told to break a body off */
    NEED_STORAGE_CLASS = 1 << 14,   /* keeps a storage class */
    NEED_REMOVE_MATCH = 1 << 15,    /* If-Match of DeleteObject */
    NEED_S3 = 1 << 16,              /* properties that only S3 has */
    NEED_MULTIPART_RULES = 1 << 17, /* refuses parts that are too small */
    NEED_GONE_UPLOAD = 1 << 18,     /* knows an upload that was aborted from one that was not */
    NEED_ORDER = 1 << 19,           /* listings in order, of any prefix */
    NEED_TAGS = 1 << 20,
    NEED_MD5 = 1 << 21,             /* ETags that are MD5s, by which bytes put without their SHA-512 are recognised */
    NEED_HONOURED = 1 << 22,        /* honours conditions, so that they cost no request of their own */
    NEED_ONE_CREATOR = 1 << 23,     /* honours If-None-Match of PUT: where it does not, a moment stays open */
    NEED_AT_ONCE = 1 << 24,         /* a call returns when the service has decided */
    NEED_PARTS = 1 << 25,           /* takes uploads by parts */
};

struct suite {
    struct store *store;
    struct store *again; /* the same bucket by another store with small pages and small copies, or `store` itself */
    unsigned lacks;
    const char *endpoint; /* "http://127.0.0.1:PORT", NULL for the in-memory store */
    const char *bucket;
    const char *root; /* what all keys begin with, "bucket/"; NULL: nothing */
    size_t max_key; /* of a key below the root; 0: as the store says */
    char base[64]; /* of the running case, "c12/", with the root before it */
};

struct suite_case {
    const char *name;
    void (*run)(struct suite *s);
    unsigned needs;
};

/* Each group ends with a NULL name. */
extern const struct suite_case read_cases[], write_cases[], list_cases[], name_cases[], meta_cases[], multipart_cases[],
    copy_cases[], lost_cases[], unanswered_cases[], property_cases[], try_cases[];

/* A key of the running case; a static buffer, good for the next 15 calls. */
const char *key_of(const struct suite *s, const char *name);

/* A body over bytes that the caller keeps. */
struct bytes {
    const char *p;
    size_t len;
    struct store_body body;
};
const struct store_body *body_of(struct bytes *b, const void *p, size_t len);
const struct store_body *body_of_str(struct bytes *b, const char *s);

/* What a get delivered. */
struct got {
    enum err_code code;
    struct buf bytes;
    struct store_version version;
    struct store_meta *meta;
    unsigned calls; /* of done */
};
void got_release(struct got *g);

/* Starts a get and waits for its end. `etag` may be NULL. */
void read_range(struct suite *s, const char *key, const char *etag, uint64_t offset, uint64_t length, struct got *out);

/* The same for an object that is known to have `length` bytes. */
void read_whole(struct suite *s, const char *key, const char *etag, uint64_t length, struct got *out);

/* Requests so far, of all kinds. */
uint64_t requests_so_far(struct suite *s);

/* These fail the case unless the call succeeds. */
struct store_version put_str(struct suite *s, const char *key, const char *text);
struct store_version put_meta(struct suite *s, const char *key, const char *text, const struct store_meta *meta);
void stat_ok(struct suite *s, const char *key, struct store_object *out);
void assert_ok(enum err_code code, const struct err *e);
void assert_content(struct suite *s, const char *key, const char *text);
void assert_absent(struct suite *s, const char *key);

/* The code of a put with a condition. */
enum err_code put_if(struct suite *s, const char *key, const char *text, int kind, const char *etag,
                     struct store_version *out);

/* A multipart upload in one go; parts of `part` bytes. Code of the first call that fails. */
enum err_code upload(struct suite *s, const char *key, const char *bytes, size_t len, size_t part,
                     const struct store_cond *cond, struct store_version *out);

/* The origin's control endpoint: the next request, or each, of that kind on that key ("*": any) suffers `action`, a
 * JSON object; no more faults; objects of the bucket have ACLs. */
void origin_fault(struct suite *s, const char *kind, const char *key, const char *action);
void origin_fault_always(struct suite *s, const char *kind, const char *key, const char *action);
void origin_clear(struct suite *s);
void origin_keep_acls(struct suite *s);
void origin_settings(struct suite *s, const char *json);

/* Why a server lacks something, by NEED_*; ends with need 0. Reason NULL: the case means nothing there and is left out.
 */
struct limitation {
    unsigned need;
    const char *reason;
};

/* Runs every case and prints the sum; the exit status. `s->lacks` is set from `limits` (may be NULL). */
int run_suite(struct suite *s, const char *store_name, const struct limitation *limits);

/* `len` bytes that differ from place to place; free() it. */
char *pattern(size_t len);

#endif
