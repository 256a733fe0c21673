#include "store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "keyspace.h"

void attrs_set(struct attrs *a, const char *name, const char *value)
{
    a->list = x_realloc(a->list, (a->count + 1) * sizeof(a->list[0]));
    a->list[a->count++] = (struct attr){x_strdup(name), x_strdup(value)};
}

const char *attrs_get(const struct attrs *a, const char *name)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->list[i].name, name) == 0)
            return a->list[i].value;
    return NULL;
}

void attrs_copy(struct attrs *to, const struct attrs *from)
{
    for (size_t i = 0; i < from->count; i++)
        attrs_set(to, from->list[i].name, from->list[i].value);
}

void attrs_release(struct attrs *a)
{
    for (size_t i = 0; i < a->count; i++) {
        free(a->list[i].name);
        free(a->list[i].value);
    }
    free(a->list);
    memset(a, 0, sizeof(*a));
}

struct object *object_new(struct body *body)
{
    struct object *o = x_alloc(sizeof(*o));

    o->body = body;
    o->mtime = time(NULL);
    o->storage_class = "STANDARD";
    o->checksum.alg = SUM_ALGS;
    return o;
}

void object_free(void *object)
{
    struct object *o = object;

    if (!o)
        return;
    body_unref(o->body);
    attrs_release(&o->headers);
    attrs_release(&o->tags);
    attrs_release(&o->grants);
    free(o);
}

static void md5_etag(const struct body *b, char *out)
{
    char hex[33];

    hex_encode(SUM_VALUE(&b->sums, SUM_MD5), 16, hex);
    snprintf(out, ETAG_SIZE, "\"%s\"", hex);
}

void object_set_md5_etag(struct object *o)
{
    const char *encryption = attrs_get(&o->headers, "x-amz-server-side-encryption");
    unsigned char other[SUM_MAX];
    char hex[33];

    md5_etag(o->body, o->etag);
    if ((!encryption || strncmp(encryption, "aws:kms", 7) != 0) &&
        !attrs_get(&o->headers, "x-amz-server-side-encryption-customer-key-md5"))
        return;
    sum_of(SUM_MD5, o->etag, strlen(o->etag), other);
    hex_encode(other, 16, hex);
    snprintf(o->etag, ETAG_SIZE, "\"%s\"", hex);
}

void object_set_checksum(struct object *o, enum sum_alg alg)
{
    o->checksum.alg = alg;
    o->checksum.composite = false;
    base64_encode(SUM_VALUE(&o->body->sums, alg), sum_len(alg), o->checksum.value);
}

static void part_free(struct part *p)
{
    if (!p)
        return;
    body_unref(p->body);
    free(p);
}

static void upload_free(void *upload)
{
    struct upload *u = upload;

    for (int i = 0; i <= UPLOAD_PARTS_MAX; i++)
        part_free(u->parts[i]);
    object_free(u->result);
    free(u->key);
    free(u);
}

struct upload *upload_new(const char *key)
{
    struct upload *u = x_alloc(sizeof(*u));

    u->key = x_strdup(key);
    u->initiated = time(NULL);
    u->result = object_new(NULL);
    return u;
}

struct part *upload_put_part(struct upload *u, int number, struct body *body)
{
    struct part *p = x_alloc(sizeof(*p));

    p->body = body;
    p->mtime = time(NULL);
    md5_etag(body, p->etag);
    part_free(u->parts[number]);
    u->parts[number] = p;
    return p;
}

static void keep_value(void *value)
{
    (void)value;
}

static void bucket_free(void *bucket)
{
    struct bucket *b = bucket;

    map_free(b->objects);
    map_free(b->uploads);
    map_free(b->removed);
    keyspace_clear_families(b);
    free(b->name);
    free(b->region);
    free(b->ownership);
    free(b);
}

void store_init(struct store *s)
{
    memset(s, 0, sizeof(*s));
    s->buckets = map_new(bucket_free);
}

void store_release(struct store *s)
{
    keyspace_forget(s);
    map_free(s->buckets);
    s->buckets = NULL;
}

struct bucket *store_bucket(const struct store *s, const char *name)
{
    return map_get(s->buckets, name);
}

struct bucket *store_add_bucket(struct store *s, const char *name, const char *region)
{
    struct bucket *b = x_alloc(sizeof(*b));

    b->name = x_strdup(name);
    b->region = x_strdup(region);
    b->created = time(NULL);
    b->objects = map_new(object_free);
    b->uploads = map_new(upload_free);
    b->removed = map_new(keep_value);
    map_put(s->buckets, name, b);
    return b;
}
