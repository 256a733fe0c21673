/* Inside of the store of all buckets: the table of those that are known, requests about buckets, and where a key leads. */
#ifndef BUCKETS_IMPL_H
#define BUCKETS_IMPL_H

#include "aws/client.h"
#include "aws/region.h"
#include "awsfs/store.h"
#include "backends/buckets/buckets.h"
#include "store/meta.h"
#include "util/lock.h"
#include "util/map.h"

/* The longest name that a bucket ever could have. */
enum { BUCKET_NAME_MAX = 255, TALLY_KINDS = 64 };

/* Counts of requests by kind, whose names are static. */
struct tally {
    size_t n;
    struct {
        const char *kind;
        uint64_t count;
    } items[TALLY_KINDS];
};

/* One bucket. Entries stay until the end, also when the bucket is deleted: calls may be under way. */
struct bucket {
    char *name;
    char region[AWS_REGION_SIZE]; /* both as the account's list tells them; "" and 0: not known */
    struct timespec made;
    struct aws_client *client;    /* both are NULL until the bucket is used, then constant */
    struct store *store;
    bool opening; /* by one thread; others wait */
};

struct buckets {
    struct aws_client *client;
    struct buckets_options options;
    struct lock lock; /* what is below */
    struct cond opened;
    struct map *table;
    struct tally gone; /* requests of clients that are not kept */
};

/* ---- names.c */

/* Splits "bucket/rest" or "bucket": the name to `name`, `*rest` to what is behind the slash ("" for "bucket/"; NULL without
 * one). False where the first component cannot be a bucket's name. */
bool bucket_split(const char *key, char name[BUCKET_NAME_MAX + 1], const char **rest);

/* Whether a bucket may be called so at all, by the rules of all times: letters, digits, '.', '-' and '_', no directory bucket. */
bool bucket_name_possible(const char *name);

/* Whether a bucket may be made under that name. ERR_INVAL says why not. */
enum err_code bucket_name_check_new(const char *name, struct err *e) MUST_CHECK;

/* ---- table.c */

/* The account's list has that bucket in that region ("": not told), made then (0: not told). */
void table_note(struct buckets *s, const char *name, const char *region, struct timespec made);

/* Whether the account's list had it, or it was used; its region (may be "") into `region` unless NULL. */
bool table_knows(struct buckets *s, const char *name, char region[AWS_REGION_SIZE]);

/* When it was made; 0: not known. */
struct timespec table_made(struct buckets *s, const char *name);

/* The client and the store of a bucket, made at the first use by one thread. Borrowed, constant until the end. Waits for
 * local files only. */
enum err_code table_open(struct buckets *s, const char *name, struct bucket **out, struct err *e) MUST_CHECK;

/* The bucket where it is open already, else NULL. */
struct bucket *table_opened(struct buckets *s, const char *name);

/* A client that has found its bucket: kept for it, unless the bucket is open by now or cannot be opened; then it is freed. */
void table_adopt(struct buckets *s, const char *name, struct aws_client *client);

/* Frees a client, keeping its counts. */
void table_drop_client(struct buckets *s, struct aws_client *client);
void table_free(struct buckets *s);

void tally_add(struct tally *t, const char *kind, uint64_t count);

/* ---- account.c: requests about buckets. Each names its bucket in its messages. */

/* A page of the account's buckets as common prefixes "name/". ERR_ACCESS: this user may not list them. */
enum err_code account_list(struct buckets *s, const struct store_list *l, const struct store_call *call,
                           struct store_page *out, struct err *e) MUST_CHECK;

/* Whether a bucket of that name exists, whoever owns it: ERR_OK with *usable false where this user may not use it, else
 * ERR_NOT_FOUND. `region` takes where it is. */
enum err_code account_head(struct buckets *s, const char *name, const struct store_call *call, bool *usable,
                           char region[AWS_REGION_SIZE], struct err *e) MUST_CHECK;

/* Makes a bucket in the region of the mount. ERR_CONFLICT: the name is taken, by whomever. ERR_QUOTA. */
enum err_code account_create(struct buckets *s, const char *name, const struct store_call *call, struct err *e) MUST_CHECK;

/* ERR_OK also when it is not there. ERR_NOT_EMPTY: objects, versions or uploads are in it. */
enum err_code account_delete(struct buckets *s, const char *name, const struct store_call *call, struct err *e) MUST_CHECK;

/* Asks whether these credentials work. */
enum err_code account_probe(struct buckets *s, const struct store_call *call, struct err *e) MUST_CHECK;

/* ---- The operations: route.c has most of them */
extern const struct store_ops buckets_ops;

/* Where a key leads. */
struct target {
    char name[BUCKET_NAME_MAX + 1];
    const char *rest;      /* "": the bucket itself; NULL: no slash, so nothing that could exist */
    struct bucket *bucket; /* open, unless the key is that of a bucket */
};

/* Of a key that is to be an object: ERR_PERM where it cannot be one, at the first level. */
enum err_code target_of_object(struct buckets *s, const char *key, struct target *t, struct err *e) MUST_CHECK;

/* many.c */
enum err_code route_remove_many(void *impl, const char *const *keys, const char *const *etags, size_t n,
                                const struct store_call *call, enum err_code *results, struct err *e);

/* buckets.c */
enum err_code buckets_probe(void *impl, const struct store_call *call, struct err *e);
void buckets_each_count(void *impl, void (*fn)(void *arg, const char *kind, uint64_t count), void *arg);
void buckets_free(void *impl);

/* root.c: those on a bucket itself */
enum err_code root_stat(struct buckets *s, const char *name, const struct store_call *call, struct store_object *out,
                        struct err *e) MUST_CHECK;
enum err_code root_put(struct buckets *s, const char *name, const struct store_cond *cond, const struct store_call *call,
                       struct store_version *out, struct err *e) MUST_CHECK;
enum err_code root_property_get(struct buckets *s, const char *name, const char *property, const struct store_call *call,
                                struct buf *out, struct err *e) MUST_CHECK;

/* ---- check.c: store_try() */

enum err_code buckets_try(void *impl, const struct check_limits *limits, struct check_report *out, struct err *e);

#endif
