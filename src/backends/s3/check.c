/* The requests of `awsfs check`, in three stages: the listing, which says whether there is any sense in the others;
 * what can change nothing; what could change something on a server that ignores conditions. Then what was made all the
 * same is removed. */
#include "backends/s3/check.h"

#include "backends/s3/xml_list.h"
#include "store/trials.h"
#include "util/clock.h"
#include "util/digest.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEVER_ETAG   "00000000000000000000000000000000"
#define NEVER_UPLOAD "awsfs-check-of-an-upload-that-never-was"
/* No body of ours has this MD5. */
#define WRONG_MD5 "AAAAAAAAAAAAAAAAAAAAAA=="

enum { LIST_KEYS = 100 };

struct trial {
    struct s3_check *check;
    enum s3_try what;
};

static void read_denial(struct s3_outcome *o, const struct s3_answer *a)
{
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(buf_str(&a->body), a->body.len, NULL);
    const char *message = doc != NULL ? xml_child_text(xml_root(doc), "Message") : "";
    s3_denial_parse(message, o->action, o->resource);
    o->express = strstr(message, "explicit deny") != NULL;
}

static void take_header(const struct s3_answer *a, const char *name, char *out, size_t size)
{
    const char *value = params_get(&a->headers, name);
    if (value != NULL && strlen(value) < size)
        memcpy(out, value, strlen(value) + 1);
}

/* Sends `r` and keeps what is to be known of the answer. */
static void send(struct s3_check *c, const struct s3_request *r, struct s3_answer *a, struct s3_outcome *o)
{
    struct err e = ERR_INIT;
    o->tried = true;
    o->code = s3_call(c->s, r, a, &e);
    o->status = a->status;
    o->unanswered = a->unanswered;
    memcpy(o->error, a->code, sizeof(o->error));
    memcpy(o->msg, e.msg, sizeof(o->msg));
    take_header(a, "x-amz-version-id", o->version_id, sizeof(o->version_id));
    const char *marker = params_get(&a->headers, "x-amz-delete-marker");
    o->delete_marker = marker != NULL && strcmp(marker, "true") == 0;
    if (a->status == 403)
        read_denial(o, a);
}

/* ---- The first stage */

static void note_clock(struct s3_check *c, const struct s3_answer *a)
{
    const char *date = params_get(&a->headers, "date");
    struct timespec t;
    if (date == NULL || !time_parse_http(date, &t))
        return;
    c->report->clock_known = true;
    c->report->clock_ahead_s = clock_now().tv_sec - t.tv_sec;
}

static void note_there(struct s3_check *c, const struct s3_answer *a)
{
    struct s3_outcome *o = &c->o[S3_TRY_LIST];
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    struct err e = ERR_INIT;
    if (s3_list_parse(buf_str(&a->body), a->body.len, c->s->prefix, &page, &e) != ERR_OK) {
        o->code = e.code;
        o->status = 0;
        memcpy(o->msg, e.msg, sizeof(o->msg));
        return;
    }
    for (size_t i = 0; i < page.n && c->there == NULL; i++)
        if (!page.entries[i].is_prefix)
            c->there = strdup(page.entries[i].key);
}

static void list_once(struct s3_check *c, const struct store_call *call)
{
    PARAMS(query);
    S3_ANSWER(a);
    params_add(&query, "list-type", "2");
    params_add(&query, "encoding-type", "url");
    params_add(&query, "prefix", c->s->prefix);
    params_add(&query, "delimiter", "/");
    params_addf(&query, "max-keys", "%d", LIST_KEYS);
    const struct s3_request r = {.method = HTTP_GET,
                                 .what = "ListObjectsV2",
                                 .query = params_list(&query),
                                 .call = call,
                                 .max_attempts = S3_CHECK_ATTEMPTS};
    memset(&c->o[S3_TRY_LIST], 0, sizeof(c->o[S3_TRY_LIST]));
    send(c, &r, &a, &c->o[S3_TRY_LIST]);
    note_clock(c, &a);
    if (c->o[S3_TRY_LIST].code == ERR_OK)
        note_there(c, &a);
}

/* As a mount asks at its start, so that a policy with conditions gives the same answer. */
static void try_list(void *item, const struct store_call *call)
{
    struct s3_check *c = ((struct trial *)item)->check;
    list_once(c, call);
    if (c->o[S3_TRY_LIST].code != ERR_OK && s3_works_elsewhere(c->s, c->o[S3_TRY_LIST].code, call))
        list_once(c, call);
}

/* ---- The others */

static ssize_t read_body(void *arg, uint64_t offset, void *buf, size_t len)
{
    static const char text[] = "awsfs check\n";
    size_t left = offset < sizeof(text) - 1 ? sizeof(text) - 1 - (size_t)offset : 0, n = left < len ? left : len;
    memcpy(buf, text + (sizeof(text) - 1 - left), n);
    return (ssize_t)n;
}

static void try_put(struct s3_check *c, const struct store_call *call)
{
    const struct store_body body = {.size = strlen("awsfs check\n"), .read = read_body};
    PARAMS(headers);
    S3_ANSWER(a);
    params_add(&headers, "If-Match", "\"" NEVER_ETAG "\"");
    s3_add_class(c->s, NULL, &headers);
    if (c->guarded)
        params_add(&headers, "Content-MD5", WRONG_MD5);
    const struct s3_request r = {.method = HTTP_PUT,
                                 .what = "PutObject",
                                 .is_own = true,
                                 .key = c->made,
                                 .headers = &headers,
                                 .body = &body,
                                 .call = call,
                                 .max_attempts = c->guarded ? 1 : S3_CHECK_ATTEMPTS};
    send(c, &r, &a, &c->o[S3_TRY_PUT]);
}

static void try_put_tags(struct s3_check *c, const struct store_call *call)
{
    static const struct aws_param query[] = {{"tagging", NULL}, {NULL, NULL}};
    BUF(xml, 256);
    PARAMS(headers);
    S3_ANSWER(a);
    buf_add_str(&xml, "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet><Tag><Key>awsfs</Key>"
                      "<Value>check</Value></Tag></TagSet></Tagging>");
    params_add(&headers, "Content-Type", "application/xml");
    const struct s3_request r = {.method = HTTP_PUT,
                                 .what = "PutObjectTagging",
                                 .key = c->tagged,
                                 .query = query,
                                 .headers = &headers,
                                 .text = &xml,
                                 .call = call,
                                 .max_attempts = S3_CHECK_ATTEMPTS};
    send(c, &r, &a, &c->o[S3_TRY_PUT_TAGS]);
}

static void send_create(struct s3_check *c, bool checksums, const struct store_call *call, struct s3_outcome *o)
{
    static const struct aws_param query[] = {{"uploads", NULL}, {NULL, NULL}};
    PARAMS(headers);
    S3_ANSWER(a);
    struct err e = ERR_INIT;
    s3_add_class(c->s, NULL, &headers);
    if (checksums) {
        params_add(&headers, "x-amz-checksum-algorithm", "CRC64NVME");
        params_add(&headers, "x-amz-checksum-type", "FULL_OBJECT");
    }
    const struct s3_request r = {.method = HTTP_POST,
                                 .what = "CreateMultipartUpload",
                                 .is_own = true,
                                 .key = c->upload,
                                 .query = query,
                                 .headers = &headers,
                                 .call = call,
                                 .max_attempts = 1}; /* each attempt may begin one */
    send(c, &r, &a, o);
    const char *echo = params_get(&a.headers, "x-amz-checksum-algorithm");
    o->echoes_checksum = checksums && echo != NULL && str_ieq(echo, "CRC64NVME");
    if (o->code == ERR_OK && s3_answer_text(&a, "InitiateMultipartUploadResult", "UploadId", o->upload_id,
                                            sizeof(o->upload_id), &e) != ERR_OK) {
        o->code = e.code;
        memcpy(o->msg, e.msg, sizeof(o->msg));
    }
}

static void try_create(struct s3_check *c, const struct store_call *call)
{
    struct s3_outcome *o = &c->o[S3_TRY_CREATE];
    send_create(c, true, call, o);
    if (o->status == 400 || o->status == 501) {
        memset(o, 0, sizeof(*o));
        send_create(c, false, call, o);
        o->refused_checksum = o->code == ERR_OK;
    }
    if (o->upload_id[0] != 0 && s3_upload_abort(c->s, c->upload, o->upload_id, call, NULL) == ERR_OK)
        o->upload_id[0] = 0;
}

/* What has neither a body nor an answer of interest. */
static void try_plain(struct s3_check *c, enum s3_try what, const char *if_match, const struct store_call *call)
{
    static const struct aws_param tagging[] = {{"tagging", NULL}, {NULL, NULL}},
                                  upload[] = {{"uploadId", NEVER_UPLOAD}, {NULL, NULL}};
    static const struct {
        enum http_method method;
        const char *name;
        const struct aws_param *query;
    } table[S3_TRIES] = {
        [S3_TRY_READ] = {HTTP_GET, "GetObject", NULL},
        [S3_TRY_THERE] = {HTTP_GET, "GetObject", NULL},
        [S3_TRY_DELETE] = {HTTP_DELETE, "DeleteObject", NULL},
        [S3_TRY_ABORT] = {HTTP_DELETE, "AbortMultipartUpload", upload},
        [S3_TRY_PARTS] = {HTTP_GET, "ListParts", upload},
        [S3_TRY_GET_TAGS] = {HTTP_GET, "GetObjectTagging", tagging},
    };
    PARAMS(headers);
    S3_ANSWER(a);
    if (if_match != NULL)
        params_add(&headers, "If-Match", if_match);
    if (what == S3_TRY_THERE)
        params_add(&headers, "Range", "bytes=0-0");
    const struct s3_request r = {.method = table[what].method,
                                 .what = table[what].name,
                                 .key = what == S3_TRY_THERE ? c->there : c->scratch,
                                 .query = table[what].query,
                                 .headers = &headers,
                                 .call = call,
                                 .max_attempts = S3_CHECK_ATTEMPTS};
    send(c, &r, &a, &c->o[what]);
}

/* Who knows no condition on a DELETE refuses it; there is nothing under the scratch name, so it goes without. */
static void try_delete(struct s3_check *c, const struct store_call *call)
{
    struct s3_outcome *o = &c->o[S3_TRY_DELETE];
    try_plain(c, S3_TRY_DELETE, "\"" NEVER_ETAG "\"", call);
    if (o->status != 501 && o->status != 400)
        return;
    memset(o, 0, sizeof(*o));
    try_plain(c, S3_TRY_DELETE, NULL, call);
}

static void try_one(void *item, const struct store_call *call)
{
    const struct trial *t = item;
    if (t->what == S3_TRY_PUT)
        try_put(t->check, call);
    else if (t->what == S3_TRY_PUT_TAGS)
        try_put_tags(t->check, call);
    else if (t->what == S3_TRY_CREATE)
        try_create(t->check, call);
    else if (t->what == S3_TRY_DELETE)
        try_delete(t->check, call);
    else
        try_plain(t->check, t->what, NULL, call);
}

/* ---- All of it */

/* Whether the bucket answers at all; then also what may not be listed is tried. */
static bool answers(const struct s3_outcome *list)
{
    return list->code == ERR_OK || (list->code == ERR_ACCESS && list->status == 403);
}

static void run(struct s3_check *c, struct trials *t, uint64_t until_ms, const enum s3_try *whats, size_t n)
{
    struct trial items[S3_TRIES];
    for (size_t i = 0; i < n; i++)
        items[i] = (struct trial){c, whats[i]};
    trials_run(t, until_ms, items, n, sizeof(*items), try_one);
}

static void try_all(struct s3_check *c, struct trials *t, const struct check_limits *limits)
{
    static const enum s3_try harmless[] = {S3_TRY_READ,  S3_TRY_DELETE,   S3_TRY_ABORT,
                                           S3_TRY_PARTS, S3_TRY_GET_TAGS, S3_TRY_THERE},
                             others[] = {S3_TRY_PUT, S3_TRY_PUT_TAGS, S3_TRY_CREATE};
    uint64_t now = clock_mono_ms(), half = limits->try_ms > now ? now + (limits->try_ms - now) / 2 : now;
    run(c, t, half, harmless, ARRAY_LEN(harmless) - (c->there == NULL));
    bool may_list = c->o[S3_TRY_LIST].code == ERR_OK;
    c->guarded = s3_allowed(S3_TRY_DELETE, &c->o[S3_TRY_DELETE], may_list) != CHECK_YES;
    bool may_abort = s3_allowed(S3_TRY_ABORT, &c->o[S3_TRY_ABORT], may_list) == CHECK_YES;
    run(c, t, limits->try_ms, others, ARRAY_LEN(others) - !may_abort);
    if (s3_check_must_clean(c))
        trials_run(t, limits->end_ms, c, 1, sizeof(*c), s3_check_clean);
}

static void name_scratch(struct s3_check *c)
{
    char hex[17];
    uint8_t random[8];
    random_bytes(random, sizeof(random));
    hex_encode(random, sizeof(random), hex);
    (void)snprintf(c->scratch, sizeof(c->scratch), ".awsfs-check-%s", hex);
    (void)snprintf(c->made, sizeof(c->made), ".awsfs-check-%s-put", hex);
    (void)snprintf(c->tagged, sizeof(c->tagged), ".awsfs-check-%s-tags", hex);
    (void)snprintf(c->upload, sizeof(c->upload), ".awsfs-check-%s-upload", hex);
}

enum err_code s3_check(void *impl, const struct check_limits *limits, struct check_report *out, struct err *e)
{
    struct s3_store *s = impl;
    CLEANUP(trials_free) struct trials *t = trials_new(e);
    CLEANUP(free) struct s3_check *c = calloc(1, sizeof(*c));
    if (t == NULL || c == NULL)
        return err_set(e, ERR_NOMEM, "no memory for the trials");
    c->s = s;
    c->report = out;
    name_scratch(c);
    struct trial list = {.check = c, .what = S3_TRY_LIST};
    trials_run(t, limits->first_ms, &list, 1, sizeof(list), try_list);
    if (answers(&c->o[S3_TRY_LIST]))
        try_all(c, t, limits);
    s3_check_rows(s, c->o, c->left, s->read_only, out);
    free(c->there);
    return ERR_OK;
}
