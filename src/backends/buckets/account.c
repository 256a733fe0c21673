/* Requests about buckets: ListBuckets on the service, the others on a bucket's own client, which finds its region. */
#include "backends/buckets/impl.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/str.h"
#include "util/xml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A page of 1,000 buckets is 200 KiB. */
enum { PAGE_BUCKETS = 1000, REPLY_MAX = 4 << 20, TEXT_MAX = 1024 };

struct answer {
    char code[64];
    char region[AWS_REGION_SIZE]; /* x-amz-bucket-region; "": not told */
    unsigned unanswered;
    struct buf body;
};

static void answer_release(struct answer *a)
{
    buf_release(&a->body);
}

#define ANSWER(name) CLEANUP_RELEASE(answer_release) struct answer name = {.body = {.max = REPLY_MAX + 1}}

static void answered(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct answer *a = arg;
    a->unanswered = r->unanswered;
    (void)snprintf(a->code, sizeof(a->code), "%s", r->error_code);
    const char *region = r->transfer != NULL ? http_reply_header(r->transfer, "x-amz-bucket-region") : NULL;
    if (region != NULL && aws_region_valid(region))
        (void)snprintf(a->region, sizeof(a->region), "%s", region);
    buf_add(&a->body, r->body, r->body_len);
}

static enum err_code ask(struct aws_client *client, enum http_method method, const char *what,
                         const struct aws_param *query, struct buf *text, const struct store_call *call,
                         struct answer *a, struct err *e)
{
    const struct http_body body = {.size = text != NULL ? text->len : 0, .read = buf_read, .arg = text};
    const struct aws_request r = {.method = method,
                                  .what = what,
                                  .query = query,
                                  .body = text != NULL && text->len > 0 ? &body : NULL,
                                  .timeout_ms = call != NULL ? call->timeout_ms : 0,
                                  .urgent = call != NULL && call->urgent,
                                  .reply_max = REPLY_MAX,
                                  .done = answered,
                                  .arg = a};
    enum err_code code = aws_call(client, &r, call != NULL ? call->cancel : NULL, e);
    return code == ERR_OK && a->body.failed ? err_set(e, ERR_PROTO, "%s: the reply is too large", what) : code;
}

/* ---- ListBuckets */

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct store_entry *)a)->key, ((const struct store_entry *)b)->key);
}

/* Names are sorted without the slash by servers, and may be told twice by bad ones. */
static void put_in_order(struct store_page *page)
{
    size_t kept = 0;
    if (page->n > 1)
        qsort(page->entries, page->n, sizeof(*page->entries), by_key);
    for (size_t i = 0; i < page->n; i++) {
        if (kept > 0 && strcmp(page->entries[kept - 1].key, page->entries[i].key) == 0)
            free(page->entries[i].key);
        else
            page->entries[kept++] = page->entries[i];
    }
    page->n = kept;
}

static enum err_code add_bucket(struct buckets *s, const struct store_list *l, const struct xml_node *n,
                                struct store_page *page, struct err *e)
{
    const char *name = xml_child_text(n, "Name");
    if (!bucket_name_possible(name)) {
        LOG_WARN("buckets", "left out of the list of buckets, no bucket's name: %.300s", name);
        return ERR_OK;
    }
    struct timespec made;
    if (!time_parse_iso8601(xml_child_text(n, "CreationDate"), &made))
        made = (struct timespec){0};
    table_note(s, name, xml_child_text(n, "BucketRegion"), made);
    CLEANUP(free) char *key = str_printf("%s/", name);
    if (key == NULL)
        return err_set(e, ERR_NOMEM, "ListBuckets");
    if (str_starts(key, l->prefix) && (l->start_after == NULL || l->token != NULL || strcmp(key, l->start_after) > 0))
        page->entries[page->n++] =
            (struct store_entry){.key = TAKE(key), .is_prefix = true, .object.version.mtime = made};
    return ERR_OK;
}

static enum err_code parse_list(struct buckets *s, const struct store_list *l, const struct answer *a,
                                struct store_page *page, struct err *e)
{
    struct err local = ERR_INIT;
    size_t n = 0;
    enum err_code code = ERR_OK;
    CLEANUP(xml_doc_free) struct xml_doc *doc = xml_parse(buf_str(&a->body), a->body.len, &local);
    if (doc == NULL)
        return err_set(e, local.code, "ListBuckets: %s", local.msg);
    const struct xml_node *root = xml_root(doc), *list = xml_child(root, "Buckets");
    if (strcmp(xml_name(root), "ListAllMyBucketsResult") != 0)
        return err_set(e, ERR_PROTO, "ListBuckets: the reply is a %.40s", xml_name(root));
    for (const struct xml_node *b = xml_child(list, "Bucket"); b != NULL; b = xml_next(b, NULL))
        n++;
    page->entries = calloc(n + 1, sizeof(*page->entries));
    if (page->entries == NULL)
        return err_set(e, ERR_NOMEM, "ListBuckets");
    for (const struct xml_node *b = xml_child(list, "Bucket"); b != NULL && code == ERR_OK; b = xml_next(b, NULL))
        code = add_bucket(s, l, b, page, e);
    const char *token = xml_child_text(root, "ContinuationToken");
    if (code == ERR_OK && token[0] != 0 && (page->next = strdup(token)) == NULL)
        code = err_set(e, ERR_NOMEM, "ListBuckets");
    put_in_order(page);
    return code;
}

enum err_code account_list(struct buckets *s, const struct store_list *l, const struct store_call *call,
                           struct store_page *out, struct err *e)
{
    char max[16];
    const struct aws_param query[] = {
        {"max-buckets", max}, {l->token != NULL ? "continuation-token" : NULL, l->token}, {NULL, NULL}};
    struct store_page page = {0};
    ANSWER(a);
    if (s->options.anonymous)
        return err_set(e, ERR_ACCESS, "ListBuckets: nobody's buckets cannot be listed (option anonymous)");
    unsigned wanted = l->max_keys > 0 && l->max_keys < PAGE_BUCKETS ? l->max_keys : PAGE_BUCKETS;
    (void)snprintf(max, sizeof(max), "%u", wanted);
    enum err_code code = ask(s->client, HTTP_GET, "ListBuckets", query, NULL, call, &a, e);
    if (code == ERR_NOT_FOUND)
        return err_set(e, ERR_IO, "ListBuckets: the server has no list of buckets (HTTP 404)");
    if (code == ERR_OK)
        code = parse_list(s, l, &a, &page, e);
    if (code == ERR_OK)
        *out = page;
    else
        store_page_release(&page);
    return code;
}

enum err_code account_probe(struct buckets *s, const struct store_call *call, struct err *e)
{
    char endpoint[512], region[64];
    struct err local = ERR_INIT;
    struct store_page page = {0};
    const struct store_list l = {.prefix = "", .delimiter = true, .max_keys = 1};
    enum err_code code = account_list(s, &l, call, &page, &local);
    store_page_release(&page);
    if (code == ERR_OK)
        return ERR_OK;
    if (code == ERR_ACCESS) {
        LOG_WARN("buckets", "the buckets cannot be listed, they can be used by name: %s", local.msg);
        return ERR_OK;
    }
    aws_client_endpoint(s->client, endpoint, sizeof(endpoint));
    aws_client_region(s->client, region, sizeof(region));
    return err_set(e, code, "the buckets at %s, region %s: %s", endpoint, region, local.msg);
}

/* ---- One bucket */

/* A client that is not kept: for a bucket that may not exist. */
static struct aws_client *passing_client(struct buckets *s, const char *name, struct err *e)
{
    char region[AWS_REGION_SIZE];
    (void)table_knows(s, name, region);
    return s->options.client_for(s->options.arg, name, region[0] ? region : NULL, e);
}

/* HeadBucket, which has no body: 403 is a bucket that is another's or that this user may not list; a 400 for a name that no
 * bucket can be given any more says that there is none of old either, unless one is known or the reply tells its region. */
static enum err_code head(struct buckets *s, struct aws_client *client, const char *name, const struct store_call *call,
                          bool *usable, char region[AWS_REGION_SIZE], struct err *e)
{
    ANSWER(a);
    struct err local = ERR_INIT;
    enum err_code code = ask(client, HTTP_HEAD, "HeadBucket", NULL, NULL, call, &a, &local);
    if (code == ERR_OK || code == ERR_ACCESS) {
        *usable = code == ERR_OK;
        aws_client_region(client, region, AWS_REGION_SIZE);
        if (a.region[0] != 0)
            memcpy(region, a.region, AWS_REGION_SIZE);
        return ERR_OK;
    }
    if (code == ERR_INVAL && bucket_name_check_new(name, NULL) != ERR_OK && a.region[0] == 0 && !table_knows(s, name, NULL))
        code = ERR_NOT_FOUND;
    return err_set(e, code, "bucket %s: %s", name, local.msg);
}

/* Keeps the client for its bucket, or one for the region that the bucket is in: not every server redirects. */
static void keep(struct buckets *s, const char *name, struct aws_client *client, const char *region)
{
    char own[AWS_REGION_SIZE];
    aws_client_region(client, own, sizeof(own));
    if (strcmp(own, region) != 0) {
        table_drop_client(s, client);
        client = s->options.client_for(s->options.arg, name, region, NULL);
    }
    if (client != NULL)
        table_adopt(s, name, client);
}

enum err_code account_head(struct buckets *s, const char *name, const struct store_call *call, bool *usable,
                           char region[AWS_REGION_SIZE], struct err *e)
{
    struct err local = ERR_INIT;
    struct bucket *b = table_opened(s, name);
    struct aws_client *client = b != NULL ? b->client : passing_client(s, name, &local);
    if (client == NULL)
        return err_copy(e, &local);
    enum err_code code = head(s, client, name, call, usable, region, e);
    if (b == NULL && code == ERR_OK)
        keep(s, name, client, region);
    else if (b == NULL)
        table_drop_client(s, client);
    return code;
}

/* us-east-1 must not be named (facts of the API), others must. */
static void write_location(struct buf *xml, const char *region)
{
    if (strcmp(region, "us-east-1") == 0)
        return;
    buf_add_str(xml, "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>");
    xml_escape(xml, region, strlen(region));
    buf_add_str(xml, "</LocationConstraint></CreateBucketConfiguration>");
}

static enum err_code create(struct aws_client *client, const char *name, const struct store_call *call, struct err *e)
{
    char region[AWS_REGION_SIZE];
    BUF(xml, TEXT_MAX);
    ANSWER(a);
    struct err local = ERR_INIT;
    aws_client_region(client, region, sizeof(region));
    write_location(&xml, region);
    enum err_code code = buf_check(&xml, "CreateBucket", &local);
    if (code == ERR_OK)
        code = ask(client, HTTP_PUT, "CreateBucket", NULL, &xml, call, &a, &local);
    if (code == ERR_OK || (strcmp(a.code, "BucketAlreadyOwnedByYou") == 0 && a.unanswered > 0))
        return ERR_OK;
    if (code == ERR_EXISTS)
        code = ERR_CONFLICT;
    else if (code == ERR_CONFLICT) /* OperationAborted: a bucket of that name is being deleted */
        code = ERR_BUSY;
    return err_set(e, code, "bucket %s: %s", name, local.msg);
}

enum err_code account_create(struct buckets *s, const char *name, const struct store_call *call, struct err *e)
{
    bool usable;
    char region[AWS_REGION_SIZE];
    struct err local = ERR_INIT;
    /* CreateBucket of a bucket that one has is a success in us-east-1, and resets its ACL. */
    enum err_code code = account_head(s, name, call, &usable, region, &local);
    if (code == ERR_OK && !usable)
        LOG_WARN("buckets", "no bucket can be made as %s: it is there, and another account's or not for this user", name);
    if (code == ERR_OK)
        return err_set(e, ERR_CONFLICT, "bucket %s exists", name);
    if (code != ERR_NOT_FOUND)
        return err_copy(e, &local);
    struct aws_client *client = s->options.client_for(s->options.arg, name, NULL, e);
    if (client == NULL)
        return ERR_NOMEM;
    code = create(client, name, call, e);
    if (code == ERR_OK)
        table_adopt(s, name, client);
    else
        table_drop_client(s, client);
    return code;
}

enum err_code account_delete(struct buckets *s, const char *name, const struct store_call *call, struct err *e)
{
    struct bucket *b;
    ANSWER(a);
    struct err local = ERR_INIT;
    enum err_code code = table_open(s, name, &b, e);
    if (code != ERR_OK)
        return code;
    code = ask(b->client, HTTP_DELETE, "DeleteBucket", NULL, NULL, call, &a, &local);
    if (code == ERR_OK || strcmp(a.code, "NoSuchBucket") == 0)
        return ERR_OK;
    if (code == ERR_NOT_EMPTY)
        LOG_WARN("buckets", "bucket %s shows no file and is not empty: it has old versions or unfinished uploads", name);
    return err_set(e, code == ERR_CONFLICT ? ERR_BUSY : code, "bucket %s: %s", name, local.msg);
}
