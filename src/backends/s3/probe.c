/*
 * Finds out what a server can do, on two scratch keys with random names below the mount's prefix. Each question is one
 * request whose answer tells: a condition that cannot hold must be refused, one that holds must not. What the answers
 * leave behind is removed at the end, also after an error and in a bucket with versions; where one may not remove, nothing is
 * put (probe_scratch.c).
 */
#include "backends/s3/probe.h"
#include "backends/s3/xattr.h"
#include "util/digest.h"
#include "util/log.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ssize_t read_body(void *arg, uint64_t offset, void *buf, size_t len)
{
    const char *text = arg;
    size_t left = strlen(text) - (size_t)offset;
    size_t n = left < len ? left : len;
    memcpy(buf, text + offset, n);
    return (ssize_t)n;
}

const struct store_body *probe_body(void)
{
    static const struct store_body b = {.size = sizeof(PROBE_BODY) - 1, .read = read_body, .arg = (void *)PROBE_BODY};
    return &b;
}

#define ENCODED "=?UTF-8?B?w6QgYg==?=" /* "ä b" */
#define DECODED "\xc3\xa4 b"

/* Where nobody answers, or nothing may be written, the next question would not fare better. */
static bool is_hopeless(enum err_code code)
{
    return code == ERR_CANCELED || code == ERR_NET || code == ERR_TIMEOUT || code == ERR_AUTH || code == ERR_NOMEM;
}

enum err_code probe_ask(struct probe *p, struct s3_request *r, struct s3_answer *a)
{
    struct err local = ERR_INIT;
    if (p->broken != ERR_OK)
        return p->broken;
    r->call = p->call;
    r->is_own = true;
    r->timeout_ms = ASK_MS;
    r->max_attempts = ASK_ATTEMPTS;
    enum err_code code = s3_call(p->s, r, a, &local);
    if (a->status != 0)
        s3_traits_met(p->s->traits, params_get(&a->headers, "server"));
    if (is_hopeless(code)) {
        p->broken = code;
        p->why = local;
    }
    if (params_get(&a->headers, "x-amz-version-id") != NULL)
        p->versions = true;
    return code;
}

enum s3_verdict probe_of_false(enum err_code code, const struct s3_answer *a)
{
    if (code == ERR_OK)
        return S3_IGNORES;
    if (code == ERR_CONFLICT)
        return S3_YES;
    return a->status == 400 || a->status == 405 || a->status == 501 ? S3_REFUSES : S3_UNKNOWN;
}

enum s3_verdict probe_of_feature(enum err_code code, const struct s3_answer *a)
{
    return code == ERR_OK ? S3_YES : probe_of_false(code, a) == S3_REFUSES ? S3_REFUSES : S3_UNKNOWN;
}

/* ---- PutObject */

static enum err_code put(struct probe *p, const char *key, const char *name, const char *value,
                         const struct params *more, struct s3_answer *a)
{
    PARAMS(h);
    struct store_version v;
    if (name != NULL)
        params_add(&h, name, value);
    s3_add_class(p->s, NULL, &h);
    struct s3_request r = {
        .method = HTTP_PUT, .what = "PutObject", .key = key, .headers = &h, .more = more, .body = probe_body()};
    enum err_code code = probe_ask(p, &r, a);
    if (code == ERR_OK && key == p->a && s3_answer_etag(a, "PutObject", &v, NULL) == ERR_OK)
        memcpy(p->etag, v.etag, sizeof(p->etag));
    return code;
}

void probe_quote(char out[STORE_ETAG_SIZE + 2], const char *etag)
{
    (void)snprintf(out, STORE_ETAG_SIZE + 2, "\"%s\"", etag);
}

static void ask_put(struct probe *p)
{
    S3_ANSWER(a);
    char etag[STORE_ETAG_SIZE + 2];
    p->found[S3_PUT_IF_ABSENT] = probe_of_false(put(p, p->a, "If-None-Match", "*", NULL, &a), &a);
    if (put(p, p->b, "If-None-Match", "*", NULL, &a) != ERR_OK && p->found[S3_PUT_IF_ABSENT] == S3_YES)
        p->found[S3_PUT_IF_ABSENT] = S3_REFUSES;
    p->found[S3_PUT_IF_MATCH] = probe_of_false(put(p, p->a, "If-Match", "\"" NO_ETAG "\"", NULL, &a), &a);
    probe_quote(etag, p->etag);
    if (put(p, p->a, "If-Match", etag, NULL, &a) != ERR_OK && p->found[S3_PUT_IF_MATCH] == S3_YES)
        p->found[S3_PUT_IF_MATCH] = S3_REFUSES;
    /* The later questions need both keys. */
    if (p->found[S3_PUT_IF_ABSENT] == S3_REFUSES)
        (void)put(p, p->b, NULL, NULL, NULL, &a);
}

static void sha512_of(const char *text, struct params *h)
{
    uint8_t sum[DIGEST_MAX];
    BUF(value, 128);
    if (digest_once(DIGEST_SHA512, text, strlen(text), sum, NULL) != ERR_OK)
        return;
    base64_encode(&value, sum, 64);
    params_add(h, "x-amz-checksum-sha512", buf_str(&value));
    params_add(h, "x-amz-sdk-checksum-algorithm", "SHA512");
}

static void ask_sha512(struct probe *p)
{
    PARAMS(right);
    PARAMS(wrong);
    S3_ANSWER(a);
    sha512_of(PROBE_BODY, &right);
    sha512_of("something else", &wrong);
    p->found[S3_SHA512] = probe_of_feature(put(p, p->a, NULL, NULL, &right, &a), &a);
    if (p->found[S3_SHA512] == S3_YES && put(p, p->a, NULL, NULL, &wrong, &a) == ERR_OK)
        p->found[S3_SHA512] = S3_IGNORES;
}

static void ask_metadata(struct probe *p)
{
    S3_ANSWER(a);
    struct s3_request r = {.method = HTTP_HEAD, .what = "HeadObject", .key = p->a};
    p->found[S3_META_ENCODED] = probe_of_feature(put(p, p->a, "x-amz-meta-probe", ENCODED, NULL, &a), &a);
    if (p->found[S3_META_ENCODED] != S3_YES)
        return;
    enum err_code code = probe_ask(p, &r, &a);
    const char *told = params_get(&a.headers, "x-amz-meta-probe");
    BUF(text, 256);
    if (told != NULL)
        s3_text_decode(told, &text);
    if (code != ERR_OK)
        p->found[S3_META_ENCODED] = S3_UNKNOWN;
    else if (told == NULL || strcmp(buf_str(&text), DECODED) != 0)
        p->found[S3_META_ENCODED] = S3_IGNORES;
}

/* ---- tags, ACLs, listings */

static void ask_tags(struct probe *p)
{
    struct err local = ERR_INIT;
    BUF(text, 1024);
    if (p->broken != ERR_OK)
        return;
    enum err_code code = s3_tags_set(p->s, p->a, "probe=yes", p->call, &local);
    /* A server that does not know ?tagging may have put an object. */
    if (code == ERR_OK)
        code = s3_tags_get(p->s, p->a, p->call, &text, &local);
    if (code == ERR_OK)
        p->found[S3_TAGS] = strcmp(buf_str(&text), "probe=yes") == 0 ? S3_YES : S3_IGNORES;
    else if (code == ERR_UNSUPPORTED || code == ERR_PROTO)
        p->found[S3_TAGS] = S3_REFUSES;
}

static void ask_acls(struct probe *p)
{
    static const struct aws_param query[] = {{"acl", NULL}, {NULL, NULL}};
    PARAMS(h);
    S3_ANSWER(a);
    params_add(&h, "x-amz-acl", "private");
    struct s3_request r = {.method = HTTP_PUT, .what = "PutObjectAcl", .key = p->a, .query = query, .headers = &h};
    enum err_code code = probe_ask(p, &r, &a);
    p->found[S3_ACLS] = probe_of_feature(code, &a);
    /* This bucket has none; others of this server may. */
    if (strcmp(a.code, "AccessControlListNotSupported") == 0)
        p->found[S3_ACLS] = S3_UNKNOWN;
}

static void read_listing(struct probe *p, const struct s3_answer *a)
{
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(buf_str(&a->body), a->body.len, NULL);
    bool has_a = false, has_b = false;
    if (doc == NULL)
        return;
    const struct xml_node *root = xml_root(doc);
    for (const struct xml_node *n = xml_child(root, "Contents"); n != NULL; n = xml_next(n, "Contents")) {
        has_a |= str_ends(xml_child_text(n, "Key"), p->a);
        has_b |= str_ends(xml_child_text(n, "Key"), p->b);
    }
    if (has_b)
        p->found[S3_START_AFTER] = has_a ? S3_IGNORES : S3_YES;
    p->found[S3_LIST_ENCODED] = strcmp(xml_child_text(root, "EncodingType"), "url") == 0 ? S3_YES : S3_IGNORES;
}

static enum err_code list(struct probe *p, bool behind, struct s3_answer *a)
{
    PARAMS(query);
    params_add(&query, "list-type", "2");
    params_add(&query, "encoding-type", "url");
    params_addf(&query, "prefix", "%s%.*s", p->s->prefix, (int)strlen(p->a) - 1, p->a);
    if (behind)
        params_addf(&query, "start-after", "%s%s", p->s->prefix, p->a);
    struct s3_request r = {.method = HTTP_GET, .what = "ListObjectsV2", .query = params_list(&query)};
    return probe_ask(p, &r, a);
}

static void ask_list(struct probe *p)
{
    S3_ANSWER(a);
    enum err_code code = list(p, true, &a);
    if (code == ERR_OK) {
        read_listing(p, &a);
        return;
    }
    enum s3_verdict start_after = probe_of_feature(code, &a);
    if (list(p, false, &a) == ERR_OK)
        read_listing(p, &a);
    p->found[S3_START_AFTER] = start_after;
}

/* ---- removals */

static void ask_remove(struct probe *p)
{
    S3_ANSWER(a);
    char etag[STORE_ETAG_SIZE + 2];
    p->found[S3_REMOVE_IF_MATCH] = probe_of_false(probe_remove(p, p->a, "\"" NO_ETAG "\"", NULL, &a), &a);
    if (p->found[S3_REMOVE_IF_MATCH] != S3_YES)
        return;
    probe_quote(etag, p->etag);
    if (probe_remove(p, p->a, etag, NULL, &a) != ERR_OK)
        p->found[S3_REMOVE_IF_MATCH] = S3_REFUSES;
}

static void ask_remove_many(struct probe *p)
{
    const char *keys[1] = {p->b}, *etags[1] = {NO_ETAG};
    struct err local = ERR_INIT;
    enum err_code result = ERR_OK;
    struct store_object there = {0};
    if (p->broken != ERR_OK)
        return;
    enum err_code code = s3_delete_objects(p->s, keys, etags, 1, p->call, &result, &local);
    if (code == ERR_OK && result == ERR_OK) {
        /* Whoever answers nothing about a key has removed it. */
        p->found[S3_REMOVE_MANY] = S3_YES;
        code = s3_stat(p->s, p->b, p->call, &there, &local);
        p->found[S3_REMOVE_MANY_MATCH] = code == ERR_NOT_FOUND ? S3_IGNORES : S3_REFUSES;
        store_object_release(&there);
        return;
    }
    p->found[S3_REMOVE_MANY_MATCH] = code == ERR_OK && result == ERR_CONFLICT ? S3_YES : S3_REFUSES;
    code = s3_delete_objects(p->s, keys, NULL, 1, p->call, &result, &local);
    if (code == ERR_OK && result == ERR_OK)
        p->found[S3_REMOVE_MANY] = S3_YES;
    else if (code == ERR_UNSUPPORTED || code == ERR_INVAL)
        p->found[S3_REMOVE_MANY] = S3_REFUSES;
}

/* ---- all of it */

/* False where nothing can be found out: no answer, or nothing may be written there. */
static bool run(struct probe *p, bool *nothing_put)
{
    S3_ANSWER(a);
    *nothing_put = true;
    if (!probe_may_remove(p))
        return false;
    *nothing_put = false;
    if (put(p, p->a, NULL, NULL, NULL, &a) != ERR_OK) {
        /* The object may be there: the answer is lost, or it says that the server ignores sse=c. */
        *nothing_put = a.status != 0 && a.status / 100 != 2;
        return false;
    }
    ask_put(p);
    ask_sha512(p);
    ask_metadata(p);
    probe_copy(p);
    /* An upload that cannot be aborted would stay, and cost, for ever. */
    if (probe_may_abort(p)) {
        probe_parts(p);
        probe_part_copy(p);
    }
    ask_tags(p);
    ask_acls(p);
    ask_list(p);
    ask_remove(p);
    ask_remove_many(p);
    return p->broken == ERR_OK;
}

void s3_find_out(struct s3_store *s, const struct store_call *call)
{
    struct probe p = {.s = s, .call = call, .why = ERR_INIT, .record = -1};
    bool nothing_put;
    s3_sweep_scratch(s);
    if (s->read_only || !s3_traits_must_ask(s->traits, call))
        return;
    probe_begin(&p);
    bool known = run(&p, &nothing_put);
    probe_end(&p, nothing_put);
    s3_traits_asked(s->traits, known ? p.found : NULL);
    if (known)
        s3_traits_warn(s->traits);
    else
        LOG_INFO("s3", "what this server can do could not be found out%s%s", p.why.msg[0] != 0 ? ": " : "", p.why.msg);
}
