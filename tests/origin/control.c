/* The control endpoint, /-/: JSON in and out. README.md documents it. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyspace.h"
#include "s3.h"

static void fail(struct reply *p, int status, const char *message)
{
    reply_json(p, status, json_pack("{s:s}", "error", message));
}

static void ok(struct reply *p)
{
    reply_json(p, 200, json_pack("{s:b}", "ok", 1));
}

static void get_counts(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    reply_json(p, 200, counts_json(&s->counts));
}

static void reset_counts(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    counts_reset(&s->counts);
    ok(p);
}

static void get_log(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    reply_json(p, 200, counts_log_json(&s->counts));
}

static void get_ranges(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    reply_json(p, 200, ranges_json(&s->counts.ranges));
}

static void get_faults(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    reply_json(p, 200, json_incref(s->faults.rules));
}

static void add_fault(struct server *s, const json_t *in, struct reply *p)
{
    const char *wrong = faults_add(&s->faults, in);

    if (wrong)
        fail(p, 400, wrong);
    else
        ok(p);
}

static void clear_faults(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    faults_clear(&s->faults);
    ok(p);
}

static void get_network(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    reply_json(p, 200, network_json(&s->network));
}

static void set_network(struct server *s, const json_t *in, struct reply *p)
{
    const char *wrong = network_set(&s->network, in);

    if (wrong)
        fail(p, 400, wrong);
    else
        ok(p);
}

static void clear_network(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    network_clear(&s->network);
    ok(p);
}

static void release_hanging(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    s->release_hanging = true;
    ok(p);
}

static void reset_store(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    store_release(&s->store);
    store_init(&s->store);
    parameters_release(&s->parameters);
    parameters_init(&s->parameters);
    directories_release(&s->directories);
    faults_clear(&s->faults);
    network_clear(&s->network);
    counts_reset(&s->counts);
    ok(p);
}

static void expire_sessions(struct server *s, const json_t *in, struct reply *p)
{
    (void)in;
    directory_expire(s);
    ok(p);
}

static bool set_text(char **setting, const json_t *value)
{
    if (!value)
        return true;
    if (!json_is_string(value))
        return false;
    free(*setting);
    *setting = x_strdup(json_string_value(value));
    return true;
}

/* With "bucket", the settings are that bucket's; else the server's, which hold where a bucket has none. */
static void settings(struct server *s, const json_t *in, struct reply *p)
{
    const char *name = json_string_value(json_object_get(in, "bucket"));
    struct bucket *b = name ? store_bucket(&s->store, name) : NULL;
    char **ownership = b ? &b->ownership : &s->ownership;
    char **region = b ? &b->region : &s->region;
    const json_t *session = json_object_get(in, "session_ms");
    const char *wrong = b ? NULL : lacks_set(&s->lacks, in);

    if (json_is_integer(session) && json_integer_value(session) >= 0)
        s->directories.session_ms = (uint64_t)json_integer_value(session);

    if (name && !b) {
        fail(p, 404, "no such bucket");
        return;
    }
    if (wrong) {
        fail(p, 400, wrong);
        return;
    }
    if (!set_text(ownership, json_object_get(in, "ownership")) || !set_text(region, json_object_get(in, "region"))) {
        fail(p, 400, "settings: ownership and region are strings");
        return;
    }
    if (b)
        b->requester_pays = json_is_true(json_object_get(in, "requester_pays"));
    if (b)
        b->foreign = json_is_true(json_object_get(in, "foreign"));
    reply_json(p, 200, json_pack("{s:s, s:s}", "ownership", *ownership ? *ownership : s->ownership, "region", *region));
}

/* What others would list in another order: a directory bucket has no families. */
static void add_family(struct server *s, const json_t *in, struct reply *p)
{
    const char *name = json_string_value(json_object_get(in, "bucket"));
    struct bucket *b = name ? store_bucket(&s->store, name) : NULL;
    const char *wrong = NULL;
    struct family *f = b ? family_new(in, &wrong) : NULL;
    char first[FAMILY_KEY_MAX + 1], last[FAMILY_KEY_MAX + 1];

    if (!b) {
        fail(p, 404, "no such bucket");
    } else if (!f) {
        fail(p, 400, wrong);
    } else if (is_directory_bucket(name) || !keyspace_add_family(b, f)) {
        family_free(f);
        fail(p, 400, "family: not in a directory bucket, and at most 16 in one bucket");
    } else {
        family_key(f, 0, first);
        family_key(f, family_count(f) - 1, last);
        reply_json(p, 200,
                   json_pack("{s:I, s:s, s:s}", "count", (json_int_t)family_count(f), "first", first, "last", last));
    }
}

static void clear_families(struct server *s, const json_t *in, struct reply *p)
{
    const char *name = json_string_value(json_object_get(in, "bucket"));
    struct bucket *b = name ? store_bucket(&s->store, name) : NULL;

    if (!b) {
        fail(p, 404, "no such bucket");
        return;
    }
    keyspace_clear_families(b);
    ok(p);
}

enum { MD5_MAX = 16 << 20, COUNT_MAX = 10000000 };

/* A large synthetic object has the ETag of a multipart upload, which no client takes for an MD5 of the content. */
static struct object *synthetic_object(uint64_t seed, uint64_t size)
{
    struct object *o = object_new(body_new_synthetic(seed, size));
    char text[64], hex[33];
    unsigned char md5[SUM_MAX];

    if (size <= MD5_MAX) {
        unsigned char *bytes = x_alloc((size_t)size);

        body_read(o->body, 0, bytes, (size_t)size);
        sum_of(SUM_MD5, bytes, (size_t)size, SUM_VALUE(&o->body->sums, SUM_MD5));
        o->body->sums.have = 1U << SUM_MD5;
        object_set_md5_etag(o);
        free(bytes);
        return o;
    }
    snprintf(text, sizeof(text), "%llu %llu", (unsigned long long)seed, (unsigned long long)size);
    sum_of(SUM_MD5, text, strlen(text), md5);
    hex_encode(md5, 16, hex);
    snprintf(o->etag, sizeof(o->etag), "\"%s-%llu\"", hex, (unsigned long long)(size / (8 << 20) + 1));
    return o;
}

static void synthetic_many(struct bucket *b, const json_t *in, struct reply *p)
{
    const char *prefix = json_string_value(json_object_get(in, "prefix"));
    json_int_t count = json_integer_value(json_object_get(in, "count"));
    json_int_t size = json_integer_value(json_object_get(in, "size"));
    json_int_t seed = json_integer_value(json_object_get(in, "seed"));
    struct buf key = {0};

    if (!prefix || count < 1 || count > COUNT_MAX || size < 0) {
        fail(p, 400, "synthetic: bucket, prefix, count and size");
        return;
    }
    for (json_int_t i = 0; i < count; i++) {
        key.len = 0;
        buf_addf(&key, "%s%06lld", prefix, (long long)i);
        map_put(b->objects, key.data, synthetic_object((uint64_t)(seed + i), (uint64_t)size));
    }
    reply_json(p, 200, json_pack("{s:I, s:s}", "count", count, "last", key.data));
    buf_release(&key);
}

static void synthetic(struct server *s, const json_t *in, struct reply *p)
{
    const char *name = json_string_value(json_object_get(in, "bucket"));
    const char *key = json_string_value(json_object_get(in, "key"));
    json_int_t size = json_integer_value(json_object_get(in, "size"));
    struct bucket *b = name ? store_bucket(&s->store, name) : NULL;
    struct object *o;

    if (!b) {
        fail(p, 404, "no such bucket");
    } else if (!key) {
        synthetic_many(b, in, p);
    } else if (size < 0 || !*key || strlen(key) > 1024) {
        fail(p, 400, "synthetic: bucket, key, size and seed");
    } else {
        o = synthetic_object((uint64_t)json_integer_value(json_object_get(in, "seed")), (uint64_t)size);
        map_put(b->objects, key, o);
        reply_json(p, 200, json_pack("{s:s, s:I}", "etag", o->etag, "size", size));
    }
}

static const struct {
    const char *method;
    const char *path;
    void (*perform)(struct server *, const json_t *, struct reply *);
} routes[] = {
    {"GET", "/-/counts", get_counts},
    {"POST", "/-/counts/reset", reset_counts},
    {"GET", "/-/log", get_log},
    {"GET", "/-/ranges", get_ranges},
    {"GET", "/-/faults", get_faults},
    {"POST", "/-/faults", add_fault},
    {"DELETE", "/-/faults", clear_faults},
    {"GET", "/-/network", get_network},
    {"POST", "/-/network", set_network},
    {"DELETE", "/-/network", clear_network},
    {"POST", "/-/release", release_hanging},
    {"POST", "/-/synthetic", synthetic},
    {"POST", "/-/families", add_family},
    {"DELETE", "/-/families", clear_families},
    {"POST", "/-/settings", settings},
    {"POST", "/-/sessions/expire", expire_sessions},
    {"POST", "/-/parameters", ssm_fill},
    {"POST", "/-/parameters/settings", ssm_settings},
    {"POST", "/-/reset", reset_store},
};

void control_perform(struct server *s, struct request *r, struct reply *p)
{
    char *text = r->payload->size ? payload_text(r) : x_strdup("{}");
    json_t *in = text ? json_loads(text, 0, NULL) : NULL;
    size_t i = 0;

    free(text);
    while (i < sizeof(routes) / sizeof(routes[0]) &&
           (strcmp(routes[i].path, r->path) != 0 || strcmp(routes[i].method, r->method) != 0))
        i++;
    if (i == sizeof(routes) / sizeof(routes[0]))
        fail(p, 404, "no such control request");
    else if (!json_is_object(in))
        fail(p, 400, "the body is not a JSON object");
    else
        routes[i].perform(s, in, p);
    json_decref(in);
}
