/* Buckets, objects and multipart uploads in memory. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "body.h"
#include "map.h"

struct attr {
    char *name;
    char *value;
};

/* A list of name-value pairs in order of insertion. All zero is empty. */
struct attrs {
    size_t count;
    struct attr *list;
};

void attrs_set(struct attrs *a, const char *name, const char *value);
const char *attrs_get(const struct attrs *a, const char *name);
void attrs_copy(struct attrs *to, const struct attrs *from);
void attrs_release(struct attrs *a);

enum { ETAG_SIZE = 64, UPLOAD_PARTS_MAX = 10000 };

/* The stored checksum: base64, with "-N" when it is COMPOSITE; alg SUM_ALGS when there is none. */
struct checksum {
    enum sum_alg alg;
    bool composite;
    char value[SUM_BASE64_MAX + 8];
};

struct object {
    struct body *body;
    char etag[ETAG_SIZE]; /* with its quotes */
    time_t mtime;
    struct attrs headers; /* content headers, x-amz-meta-*, x-amz-server-side-encryption*: name to value */
    struct attrs tags;
    struct attrs grants; /* permission to grantee; empty: FULL_CONTROL for the owner */
    const char *storage_class;
    struct checksum checksum;
};

struct part {
    struct body *body;
    char etag[ETAG_SIZE];
    time_t mtime;
};

struct upload {
    char *key;
    time_t initiated;
    struct object *result; /* without a body: what the object becomes */
    enum sum_alg alg;
    bool alg_given; /* by the client */
    bool composite;
    struct part *parts[UPLOAD_PARTS_MAX + 1]; /* by number */
};

enum { FAMILIES_MAX = 16 };

struct family;

struct bucket {
    char *name;
    char *region;
    char *ownership; /* NULL: the server's setting */
    time_t created;
    bool requester_pays;
    bool foreign;                          /* another account's: not in the list of buckets */
    struct map *objects;                   /* key to struct object */
    struct map *uploads;                   /* upload id to struct upload */
    struct family *families[FAMILIES_MAX]; /* keys that are not stored: keyspace.h looks into all */
    size_t family_count;
    struct map *removed; /* keys of families that were deleted */
};

struct store {
    struct map *buckets;
    uint64_t ids;         /* counts what was created, for identifiers */
    struct object **made; /* of families, for the request under way */
    size_t made_count;
};

void store_init(struct store *s);
void store_release(struct store *s);

/* The bucket (borrowed), or NULL. */
struct bucket *store_bucket(const struct store *s, const char *name);

/* Adds an empty bucket that does not exist yet. */
struct bucket *store_add_bucket(struct store *s, const char *name, const char *region);

/* New object with body (taken over) and the present time; owned by the caller until it is put into a map. */
struct object *object_new(struct body *body);
void object_free(void *object);

/* Sets the ETag: the body's MD5, which must be known, or something else when the object is encrypted with KMS. */
void object_set_md5_etag(struct object *o);

/* Sets the object's checksum from the body's value of alg, which must be known. */
void object_set_checksum(struct object *o, enum sum_alg alg);

struct upload *upload_new(const char *key);
/* Replaces part number (1 to 10,000) by body (taken over), whose MD5 must be known. */
struct part *upload_put_part(struct upload *u, int number, struct body *body);
