/* The S3 backend: construction, what it can do, and whether it can be used. */
#include "backends/s3/s3.h"

#include "aws/endpoint.h"
#include "backends/s3/check.h"
#include "backends/s3/impl.h"
#include "store/ops.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX       1024
#define MIB           (1ULL << 20)
#define GIB           (1ULL << 30)
#define COPY_MAX      (5 * GIB)

static enum err_code list_one(struct s3_store *s, const struct store_call *call, struct err *e)
{
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    const struct store_list l = {.prefix = "", .delimiter = true, .max_keys = 1};
    return s3_list(s, &l, call, &page, e);
}

/* An answer that a server gives where it looks for the bucket's name elsewhere. */
static bool may_be_the_place(enum err_code code)
{
    return code == ERR_IO || code == ERR_INVAL || code == ERR_ACCESS || code == ERR_UNSUPPORTED || code == ERR_PROTO ||
           code == ERR_AUTH;
}

bool s3_works_elsewhere(struct s3_store *s, enum err_code code, const struct store_call *call)
{
    struct err local = ERR_INIT;
    bool in_host = true;
    if (!may_be_the_place(code))
        return false;
    if (!aws_client_move_bucket(s->client, true)) {
        in_host = false;
        if (!aws_client_move_bucket(s->client, false))
            return false;
    }
    if (list_one(s, call, &local) == ERR_OK) {
        LOG_INFO("s3", "addressing=auto: this server takes the bucket's name in the %s", in_host ? "host" : "path");
        s3_traits_set_virtual(s->traits, in_host);
        return true;
    }
    (void)aws_client_move_bucket(s->client, !in_host);
    return false;
}

static enum err_code s3_probe(void *impl, const struct store_call *call, struct err *e)
{
    struct s3_store *s = impl;
    char endpoint[512], region[64];
    struct err local = ERR_INIT;
    enum err_code code = list_one(s, call, &local);
    if (code == ERR_OK || s3_works_elsewhere(s, code, call)) {
        if (!s->read_only)
            s3_traits_warn(s->traits);
        s3_sweep_scratch(s);
        return ERR_OK;
    }
    aws_client_endpoint(s->client, endpoint, sizeof(endpoint));
    aws_client_region(s->client, region, sizeof(region));
    return err_set(e, code, "bucket %s at %s, region %s: %s", s->bucket, endpoint, region, local.msg);
}

static enum err_code s3_learn(void *impl, const struct store_call *call, struct err *e)
{
    struct s3_store *s = impl;
    s3_find_out(s, call);
    return s3_traits_known(s->traits) ? ERR_OK : err_set(e, ERR_IO, "what the server can do could not be found out");
}

static void s3_each_trait(void *impl,
                          void (*fn)(void *arg, const char *name, enum store_verdict verdict, const char *meaning),
                          void *arg)
{
    const struct s3_store *s = impl;
    s3_traits_each(s->traits, fn, arg);
}

static void s3_each_count(void *impl, void (*fn)(void *arg, const char *kind, uint64_t count), void *arg)
{
    const struct s3_store *s = impl;
    aws_client_each_count(s->client, fn, arg);
}

static void s3_free(void *impl)
{
    struct s3_store *s = impl;
    s3_lost_free(s);
    lock_release(&s->lock);
    cond_release(&s->tried);
    free(s->servers_dir);
    free(s->bucket);
    free(s->prefix);
    free(s->sse_kms_key);
    free(s->storage_class);
    free(s->acl);
    free(s->own);
    free(s->plain);
    s3_sse_c_free(s->sse_c);
    s3_traits_free(s->traits);
    free(s);
}

static const struct store_ops ops = {
    .list = s3_list,
    .stat = s3_stat,
    .get = s3_get,
    .put = s3_put,
    .upload_begin = s3_upload_begin,
    .upload_part = s3_upload_part,
    .upload_copy = s3_upload_copy,
    .upload_finish = s3_upload_finish,
    .upload_abort = s3_upload_abort,
    .upload_list = s3_upload_list,
    .copy = s3_copy,
    .rename = s3_rename,
    .remove = s3_remove,
    .remove_many = s3_remove_many,
    .property_get = s3_property_get,
    .property_set = s3_property_set,
    .check_meta = s3_check_meta,
    .probe = s3_probe,
    .try = s3_check,
    .each_count = s3_each_count,
    .learn = s3_learn,
    .each_trait = s3_each_trait,
    .free = s3_free,
};

void s3_bucket_caps(struct store_caps *out)
{
    *out = (struct store_caps){
        .flags = STORE_POSIX | STORE_MARKERS | STORE_MULTIPART | STORE_START_AFTER,
        .max_object = 5 * 1024 * GIB,
        .put_max = 5 * GIB,
        .put_target = 8 * MIB,
        .part_min = 5 * MIB,
        .part_max = 5 * GIB,
        .max_parts = 10000,
        .max_key = KEY_MAX,
        .xattr_prefix = "user.s3.",
    };
}

static void fill_caps(struct s3_store *s, bool read_only, struct store_caps *caps)
{
    char endpoint[96];
    s3_bucket_caps(caps);
    caps->max_key -= s->prefix_len;
    if (s->directory_bucket)
        caps->flags = (caps->flags & ~(unsigned)STORE_START_AFTER) | STORE_UNORDERED | STORE_RENAME;
    if (read_only)
        caps->flags |= STORE_READ_ONLY;
    aws_client_endpoint(s->client, endpoint, sizeof(endpoint));
    (void)snprintf(caps->name, sizeof(caps->name), "s3://%.64s/%.80s at %s", s->bucket, s->prefix, endpoint);
}

static bool name_scratch(struct s3_store *s, const char *endpoint, struct err *e)
{
    char hex[2 * DIGEST_MAX + 1];
    BUF(text, 8192);
    buf_addf(&text, "%s\n%s\n%s", endpoint, s->bucket, s->prefix);
    if (buf_check(&text, s->bucket, e) != ERR_OK || digest_hex(DIGEST_SHA256, text.data, text.len, hex, e) != ERR_OK)
        return false;
    (void)snprintf(s->scratch_of, sizeof(s->scratch_of), "%.32s", hex);
    return true;
}

/* What is known of the server is that of its endpoint, whatever the bucket. */
static bool open_traits(struct s3_store *s, const char *dir, struct err *e)
{
    char endpoint[512];
    BUF(text, 1024);
    aws_client_endpoint(s->client, endpoint, sizeof(endpoint));
    const char *host = strstr(endpoint, "://"), *name = host != NULL ? host + 3 : endpoint;
    size_t len = strlen(s->bucket);
    buf_add(&text, endpoint, (size_t)(name - endpoint));
    buf_add_str(&text, strncmp(name, s->bucket, len) == 0 && name[len] == '.' ? name + len + 1 : name);
    s->keeps_key = aws_client_is_aws(s->client);
    if (!name_scratch(s, buf_str(&text), e))
        return false;
    s->traits = s3_traits_new(buf_str(&text), aws_client_is_aws(s->client), s->directory_bucket, dir, e);
    if (s->traits != NULL && s3_traits_virtual(s->traits) >= 0)
        (void)aws_client_move_bucket(s->client, s3_traits_virtual(s->traits));
    return s->traits != NULL;
}

/* Source: S3's API reference, CreateSession. */
static enum err_code check_directory_sse(const struct s3_options *o, struct err *e)
{
    if (o->sse == S3_SSE_C)
        return err_set(e, ERR_INVAL, "sse=c: directory buckets have no SSE-C");
    if (o->sse != S3_SSE_KMS)
        return ERR_OK;
    if (o->sse_kms_key == NULL)
        return err_set(e, ERR_INVAL, "sse=kms: a directory bucket wants its key named: give sse_kms_key=ID or its ARN");
    if (str_starts(o->sse_kms_key, "alias/") || strstr(o->sse_kms_key, ":alias/") != NULL)
        return err_set(e, ERR_INVAL, "sse_kms_key=%s: a directory bucket takes no alias: give the key's ID or its ARN",
                       o->sse_kms_key);
    return ERR_OK;
}

static enum err_code check_options(const struct s3_options *o, struct err *e)
{
    if (o->bucket == NULL || o->bucket[0] == 0)
        return err_set(e, ERR_INVAL, "a bucket's name is missing");
    size_t len = o->prefix != NULL ? strlen(o->prefix) : 0;
    if (len >= KEY_MAX)
        return err_set(e, ERR_INVAL, "the prefix has %zu bytes; a key has at most %d", len, KEY_MAX);
    if (len > 0 && (o->prefix[len - 1] != '/' || o->prefix[0] == '/' || !utf8_valid(o->prefix, len)))
        return err_set(e, ERR_INVAL, "the prefix '%s' must be UTF-8, not begin with '/' and end with '/'", o->prefix);
    if (o->sse_kms_key != NULL && o->sse != S3_SSE_KMS)
        return err_set(e, ERR_INVAL, "sse_kms_key= needs sse=kms");
    if ((o->sse == S3_SSE_C) != (o->sse_c_key != NULL))
        return err_set(e, ERR_INVAL, "sse=c and sse_c_key_file= need each other");
    if (o->acl != NULL && bucket_is_directory(o->bucket))
        return err_set(e, ERR_INVAL, "acl=: directory buckets have no ACLs");
    if (bucket_is_directory(o->bucket) && check_directory_sse(o, e) != ERR_OK)
        return ERR_INVAL;
    if (o->copy_max != 0 && (o->copy_max < 5 * MIB || o->copy_max > COPY_MAX))
        return err_set(e, ERR_INVAL, "copy_max must be from 5 MiB to 5 GiB");
    return ERR_OK;
}

/* The key is no secret any more once it went over a wire in the clear. */
static enum err_code check_wire(struct aws_client *client, const struct s3_options *o, struct err *e)
{
    char endpoint[512];
    aws_client_endpoint(client, endpoint, sizeof(endpoint));
    const char *host = endpoint + strlen("http://");
    if (o->sse != S3_SSE_C || str_starts(endpoint, "https://"))
        return ERR_OK;
    size_t len = strcspn(host, ":/");
    bool local = str_starts(host, "127.") || str_starts(host, "[::1]") ||
                 (len == strlen("localhost") && strncmp(host, "localhost", len) == 0) ||
                 (len > strlen(".localhost") && strncmp(host + len - strlen(".localhost"), ".localhost", 10) == 0);
    if (local && (!str_starts(host, "127.") || strspn(host, "0123456789.") == len))
        return ERR_OK;
    return err_set(e, ERR_INVAL, "sse=c: the key would go unencrypted to %s; use an endpoint with https", endpoint);
}

static bool dup_option(char **to, const char *from)
{
    *to = from != NULL ? strdup(from) : NULL;
    return from == NULL || *to != NULL;
}

struct store *s3_store_new(struct aws_client *client, const struct s3_options *o, struct err *e)
{
    if (check_options(o, e) != ERR_OK || check_wire(client, o, e) != ERR_OK)
        return NULL;
    struct s3_store *s = calloc(1, sizeof(*s));
    struct store_caps caps;
    struct store *store = NULL;
    if (s == NULL) {
        (void)err_set(e, ERR_NOMEM, "s3://%s", o->bucket);
        return NULL;
    }
    lock_init(&s->lock, "s3", LOCK_STORE);
    cond_init(&s->tried);
    TAILQ_INIT(&s->lost);
    s->client = client;
    s->requester_pays = o->requester_pays;
    s->read_only = o->read_only;
    s->sse = o->sse;
    s->copy_max = o->copy_max > 0 ? o->copy_max : COPY_MAX;
    s->directory_bucket = bucket_is_directory(o->bucket);
    s->own = s3_own_new();
    s->plain = s3_plain_new();
    s->sse_c = o->sse_c_key != NULL ? s3_sse_c_new(o->sse_c_key, e) : NULL;
    if (s->own == NULL || s->plain == NULL || (s->sse_c == NULL && o->sse_c_key != NULL) || !dup_option(&s->bucket, o->bucket) ||
        !dup_option(&s->prefix, o->prefix != NULL ? o->prefix : "") || !dup_option(&s->sse_kms_key, o->sse_kms_key) ||
        !dup_option(&s->storage_class, o->storage_class) || !dup_option(&s->servers_dir, o->servers_dir) || !dup_option(&s->acl, o->acl)) {
        (void)err_set(e, ERR_NOMEM, "s3://%s", o->bucket);
    } else if (open_traits(s, o->servers_dir, e)) {
        s->prefix_len = strlen(s->prefix);
        fill_caps(s, o->read_only, &caps);
        store = store_new(&ops, s, &caps, e);
    }
    if (store == NULL)
        s3_free(s);
    return store;
}
