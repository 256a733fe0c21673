/* ListObjectsV2 and ListObjects. */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keyspace.h"
#include "s3.h"

/* One listing under way. `after` is the exclusive start; when skip_prefix is set, every key that starts with it
 * is passed over too, since the last page ended with that common prefix. */
struct listing {
    const struct request *r;
    const char *prefix;
    const char *delimiter;
    uint64_t max;
    bool url;
    bool owner;
    char *after;
    bool skip_prefix;
    struct buf contents;
    struct buf prefixes;
    uint64_t count;
    time_t date_of; /* most keys have the date of the one before */
    char date[32];
    struct buf last; /* key or common prefix emitted last; no data: none */
    bool last_is_prefix;
    bool truncated;
};

static void add_text(const struct listing *l, struct buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    if (!l->url) {
        buf_add_element(out, name, text);
        return;
    }
    buf_adds(out, "<");
    buf_adds(out, name);
    buf_adds(out, ">");
    buf_add_url(out, text);
    buf_adds(out, "</");
    buf_adds(out, name);
    buf_adds(out, ">");
}

static void add_object(struct listing *l, const char *key, const struct object *o, uint64_t size)
{
    struct buf *out = &l->contents;

    if (!l->date[0] || o->mtime != l->date_of) {
        iso_date(o->mtime, l->date);
        l->date_of = o->mtime;
    }
    buf_adds(out, "<Contents>");
    add_text(l, out, "Key", key);
    buf_add_element(out, "LastModified", l->date);
    buf_add_element(out, "ETag", told_etag(l->r, o->etag));
    if (o->checksum.alg != SUM_ALGS) {
        buf_add_element(out, "ChecksumAlgorithm", sum_name(o->checksum.alg));
        buf_add_element(out, "ChecksumType", o->checksum.composite ? "COMPOSITE" : "FULL_OBJECT");
    }
    buf_adds(out, "<Size>");
    buf_add_number(out, (long long)size + (long long)l->r->plan.lie_length);
    buf_adds(out, "</Size>");
    if (l->owner)
        buf_adds(out, "<Owner><ID>origin</ID><DisplayName>origin</DisplayName></Owner>");
    buf_add_element(out, "StorageClass", o->storage_class);
    buf_adds(out, "</Contents>");
}

/* The common prefix of key under the listing's delimiter, owned by the caller; NULL when it has none. */
static char *common_prefix(const struct listing *l, const char *key)
{
    const char *rest = key + strlen(l->prefix);
    const char *found = l->delimiter && *l->delimiter ? strstr(rest, l->delimiter) : NULL;

    return found ? x_strndup(key, (size_t)(found - key) + strlen(l->delimiter)) : NULL;
}

/* To the first key behind all that start with prefix; UTF-8 has no byte 0xFF. */
static void seek_behind(struct cursor *c, const struct bucket *b, const char *prefix)
{
    char *bound = x_strdup(prefix);

    bound[strlen(bound) - 1]++;
    cursor_seek(c, b, bound);
    free(bound);
}

static void seek_start(const struct listing *l, struct cursor *c, const struct bucket *b)
{
    if (strcmp(l->after, l->prefix) < 0) {
        cursor_seek(c, b, l->prefix);
    } else if (l->skip_prefix) {
        seek_behind(c, b, l->after);
    } else {
        cursor_seek(c, b, l->after);
        if (c->key && strcmp(c->key, l->after) == 0)
            cursor_next(c);
    }
}

static void emitted(struct listing *l, const char *last, bool is_prefix)
{
    buf_clear(&l->last);
    buf_adds(&l->last, last);
    l->last_is_prefix = is_prefix;
    l->count++;
}

static void collect(struct listing *l, const struct bucket *b)
{
    size_t prefix_len = strlen(l->prefix);
    struct cursor c;

    seek_start(l, &c, b);
    while (c.key && strncmp(c.key, l->prefix, prefix_len) == 0) {
        char *common = common_prefix(l, c.key);

        if (l->count == l->max) {
            l->truncated = l->max > 0;
            free(common);
            return;
        }
        if (common) {
            buf_adds(&l->prefixes, "<CommonPrefixes>");
            add_text(l, &l->prefixes, "Prefix", common);
            buf_adds(&l->prefixes, "</CommonPrefixes>");
            seek_behind(&c, b, common);
            emitted(l, common, true);
            free(common);
        } else {
            uint64_t size;
            const struct object *o = cursor_object(&c, &size);

            add_object(l, c.key, o, size);
            emitted(l, c.key, false);
            cursor_next(&c);
        }
    }
}

static void keep_value(void *value)
{
    (void)value;
}

/* In an order that has nothing to do with that of the names, yet is the same for every page (FNV-1a). */
static char *shuffled(char kind, const char *name)
{
    uint32_t hash = 2166136261U;
    struct buf out = {0};

    for (const char *c = name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619U;
    buf_addf(&out, "%08x%c%s", hash, kind, name);
    return out.data;
}

/* Keys and common prefixes in that order, the latter once each. */
static struct map *shuffle(const struct listing *l, const struct map *objects)
{
    struct map *all = map_new(keep_value);

    for (struct map_node *n = map_seek(objects, l->prefix); n && strncmp(n->key, l->prefix, strlen(l->prefix)) == 0;
         n = n->next[0]) {
        char *common = common_prefix(l, n->key);
        char *place = shuffled(common ? 'p' : 'k', common ? common : n->key);

        map_put(all, place, n->value);
        free(place);
        free(common);
    }
    return all;
}

/* Listings of directory buckets have no order. */
static void collect_unordered(struct listing *l, const struct map *objects)
{
    enum { NAME = 9 }; /* behind the hash and the kind */
    struct map *all = shuffle(l, objects);
    char *after = shuffled(l->skip_prefix ? 'p' : 'k', l->after);
    struct map_node *n = map_seek(all, *l->after ? after : "");

    if (n && *l->after && strcmp(n->key, after) == 0)
        n = n->next[0];
    for (; n && l->count < l->max; n = n->next[0]) {
        bool is_prefix = n->key[NAME - 1] == 'p';

        if (is_prefix) {
            buf_adds(&l->prefixes, "<CommonPrefixes>");
            add_text(l, &l->prefixes, "Prefix", n->key + NAME);
            buf_adds(&l->prefixes, "</CommonPrefixes>");
        } else {
            const struct object *o = n->value;

            add_object(l, n->key + NAME, o, o->body->size);
        }
        emitted(l, n->key + NAME, is_prefix);
    }
    l->truncated = n && l->max > 0;
    free(after);
    map_free(all);
}

/* A token is base64 of 'k' and the last key, or 'p' and the last common prefix. */
static char *token_of(const struct listing *l)
{
    struct buf plain = {0};
    char *token;

    buf_addf(&plain, "%c%s", l->last_is_prefix ? 'p' : 'k', l->last.data ? l->last.data : "");
    token = x_alloc(plain.len * 4 / 3 + 8);
    EVP_EncodeBlock((unsigned char *)token, (unsigned char *)plain.data, (int)plain.len);
    buf_release(&plain);
    return token;
}

static bool read_token(struct listing *l, const char *token)
{
    size_t len = strlen(token);
    unsigned char *plain;
    int n;

    if (len == 0 || len % 4 || len > 4096)
        return false;
    plain = x_alloc(len + 1);
    n = EVP_DecodeBlock(plain, (const unsigned char *)token, (int)len);
    if (n <= 0 || !plain[1] || (plain[0] != 'k' && plain[0] != 'p')) {
        free(plain);
        return false;
    }
    free(l->after);
    l->skip_prefix = plain[0] == 'p';
    l->after = x_strdup((char *)plain + 1);
    free(plain);
    return true;
}

static const char *parse_listing(struct listing *l, const struct request *r)
{
    const char *max = request_param(r, "max-keys");
    const char *encoding = request_param(r, "encoding-type");
    const char *prefix = request_param(r, "prefix");

    l->r = r;
    l->prefix = prefix ? prefix : "";
    l->delimiter = request_param(r, "delimiter");
    l->max = 1000;
    if (max && !parse_u64(max, &l->max))
        return "Argument maxKeys must be an integer between 0 and 2147483647";
    if (l->max > 1000)
        l->max = 1000;
    if (encoding && strcmp(encoding, "url") != 0)
        return "Invalid Encoding Method specified in Request";
    l->url = encoding != NULL;
    return NULL;
}

static void release(struct listing *l)
{
    free(l->after);
    buf_release(&l->last);
    buf_release(&l->contents);
    buf_release(&l->prefixes);
}

static void finish(struct listing *l, struct reply *p)
{
    const char *max = request_param(l->r, "max-keys");
    uint64_t asked = 1000;

    if (max)
        parse_u64(max, &asked);
    buf_addf(&p->text, "<MaxKeys>%llu</MaxKeys>", (unsigned long long)(asked > 1000 ? 1000 : asked));
    add_text(l, &p->text, "Delimiter", l->delimiter);
    if (l->url)
        buf_adds(&p->text, "<EncodingType>url</EncodingType>");
    buf_addf(&p->text, "<IsTruncated>%s</IsTruncated>", l->truncated ? "true" : "false");
    if (l->contents.len)
        buf_add(&p->text, l->contents.data, l->contents.len);
    if (l->prefixes.len)
        buf_add(&p->text, l->prefixes.data, l->prefixes.len);
    buf_adds(&p->text, "</ListBucketResult>");
    release(l);
}

/* A start-after (or marker) within a common prefix does not hide it while keys after the start are left;
 * one that is a common prefix itself does. */
static void start_at(struct listing *l, const char *start)
{
    size_t len = start ? strlen(start) : 0;
    size_t d = l->delimiter ? strlen(l->delimiter) : 0;

    l->after = x_strdup(start ? start : "");
    l->skip_prefix = d && len >= d + strlen(l->prefix) && strcmp(start + len - d, l->delimiter) == 0 &&
                     strncmp(start, l->prefix, strlen(l->prefix)) == 0 &&
                     strstr(start + strlen(l->prefix), l->delimiter) == start + len - d;
}

enum op_result op_ListObjectsV2(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    const char *token = request_param(r, "continuation-token");
    const char *start = request_param(r, "start-after");
    const char *owner = request_param(r, "fetch-owner");
    struct listing l = {0};
    const char *wrong = b ? parse_listing(&l, r) : NULL;
    bool loop = r->plan.loop_listing;

    if (!b)
        return OP_DONE;
    start_at(&l, start);
    l.owner = owner && strcmp(owner, "true") == 0;
    if (!wrong && token && !(loop && strcmp(token, "loop") == 0) && !read_token(&l, token))
        wrong = "The continuation token provided is incorrect";
    if (wrong) {
        release(&l);
        reply_error_text(p, r, "InvalidArgument", wrong);
        return OP_DONE;
    }
    if (is_directory_bucket(r->bucket))
        collect_unordered(&l, b->objects);
    else
        collect(&l, b);
    l.truncated = l.truncated || loop;
    reply_xml(p);
    buf_addf(&p->text, "<ListBucketResult %s>", s3_namespace);
    buf_add_element(&p->text, "Name", r->bucket);
    add_text(&l, &p->text, "Prefix", l.prefix);
    add_text(&l, &p->text, "StartAfter", start);
    buf_add_element(&p->text, "ContinuationToken", token);
    if (l.truncated) {
        char *next = loop ? x_strdup("loop") : token_of(&l);

        buf_add_element(&p->text, "NextContinuationToken", next);
        free(next);
    }
    buf_addf(&p->text, "<KeyCount>%llu</KeyCount>", (unsigned long long)l.count);
    finish(&l, p);
    return OP_DONE;
}

enum op_result op_ListObjects(struct server *s, struct request *r, struct reply *p)
{
    struct bucket *b = need_bucket(s, r, p);
    const char *marker = request_param(r, "marker");
    struct listing l = {0};
    const char *wrong = b ? parse_listing(&l, r) : NULL;

    if (!b)
        return OP_DONE;
    start_at(&l, marker);
    if (wrong) {
        release(&l);
        reply_error_text(p, r, "InvalidArgument", wrong);
        return OP_DONE;
    }
    l.owner = true;
    collect(&l, b);
    reply_xml(p);
    buf_addf(&p->text, "<ListBucketResult %s>", s3_namespace);
    buf_add_element(&p->text, "Name", r->bucket);
    add_text(&l, &p->text, "Prefix", l.prefix);
    add_text(&l, &p->text, "Marker", marker ? marker : "");
    if (l.truncated && l.delimiter)
        add_text(&l, &p->text, "NextMarker", l.last.data);
    finish(&l, p);
    return OP_DONE;
}
