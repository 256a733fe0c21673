/*
 * The suite against the S3 backend beside a server that tools/with_server starts. What a server lacks comes from its
 * documentation and from trying it; each reason is printed with the skip. With AWSFS_TEST_BACK the store is write=back over that.
 */
#include "suite.h"

#include "aws/client.h"
#include "aws/creds.h"
#include "backends/s3/s3.h"
#include "writeback/writeback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct limitation moto[] = {
    {NEED_HONOURED, "moto ignores conditions of copies and completes"},
    {NEED_GONE_UPLOAD, "moto answers 500 to the complete of an upload that was aborted"},
    {NEED_CONTROL, "moto answers 404 for a key with a newline"},
    {NEED_LOST_ANSWER | NEED_BROKEN_BODY, "moto injects no faults: tests/origin does"},
    {0, NULL},
};

static const struct limitation versitygw[] = {
    {NEED_HONOURED, "versitygw ignores the target conditions of CopyObject"},
    {NEED_BESIDE, "versitygw answers 409 for an object beside a directory of its name"},
    {NEED_MARKER_BODY, "versitygw answers 400 for a directory marker with a body"},
    {NEED_ODD_COMPONENTS, "versitygw normalises empty components, . and .."},
    {NEED_LONG_COMPONENT, "versitygw keeps objects as files: a component over 255 bytes is a 400"},
    {NEED_CONTROL, "versitygw lists control characters as U+FFFD"},
    {NEED_COPY_MARKER, "versitygw answers 400 DirectoryObjectContainsData for the copy of a marker"},
    {NEED_REPLACE_DROPS, "versitygw keeps Cache-Control and the like on a copy with REPLACE"},
    {NEED_STORAGE_CLASS, "versitygw keeps no storage class"},
    {NEED_ACL, "versitygw answers 501 for PutObjectAcl"},
    {NEED_LOST_ANSWER | NEED_BROKEN_BODY, "versitygw injects no faults: tests/origin does"},
    {0, NULL},
};

static const struct limitation origin[] = {{0, NULL}};

static const struct limitation directory[] = {
    {NEED_ORDER, "listings of directory buckets have no order, their prefix ends with a slash"},
    {NEED_ACL, "directory buckets have no ACLs"},
    {NEED_TAGS, "directory buckets have no tags"},
    {NEED_STORAGE_CLASS, "directory buckets have one storage class"},
    {NEED_MD5, "ETags of directory buckets are no MD5s"},
    {0, NULL},
};

/* The same with everything turned off that a server may lack: what the store promises still holds, as far as nobody else
 * writes between two requests, and at the cost of more of them. */
static const struct limitation bare[] = {
    {NEED_HONOURED, "conditions are turned off"},
    {NEED_ONE_CREATOR, "between a HEAD and the PUT others may write"},
    {NEED_TAGS, "tags are turned off"},
    {NEED_ACL, "ACLs are turned off"},
    {NEED_LOST_ANSWER | NEED_BROKEN_BODY, "counted and faulty requests are other ones here"},
    {0, NULL},
};
#define BARE_CONDITIONS                                                                                                \
    "\"put-if-absent\",\"put-if-match\",\"multipart-if-absent\",\"multipart-if-match\",\"copy-if-absent\","             \
    "\"copy-if-match\",\"copy-source-if-match\",\"part-copy-source-if-match\",\"delete-if-match\",\"start-after\","     \
    "\"sha512\",\"crc64nvme\""
#define BARE_IGNORES "{\"refuse\":[],\"ignore\":[\"delete-many-if-match\"," BARE_CONDITIONS "]}"
#define BARE_REFUSES "{\"ignore\":[],\"refuse\":[\"delete-many\",\"tags\",\"acls\"," BARE_CONDITIONS "]}"

/* What is sent later answers later, too. */
static const struct limitation back[] = {
    {NEED_AT_ONCE, "conditions are decided when what is journaled is sent"},
    {NEED_PARTS, "files go to the journal as a whole"},
    {NEED_LOST_ANSWER | NEED_BROKEN_BODY, "counted and faulty requests are made in the background"},
    {NEED_HONOURED, "puts and copies cost no request of the caller"},
    {0, NULL},
};

static const struct {
    const char *name;
    const struct limitation *limits;
} servers[] = {{"moto", moto}, {"versitygw", versitygw}, {"origin", origin}, {"directory", directory}};

struct stack {
    struct http_engine *engine;
    struct creds_provider *creds;
    struct aws_client *client;
    struct store *store, *again;
};

/* Encrypted with a key of its own, in a bucket whose requester pays: both are refused where a header is missing. */
static const struct limitation keyed[] = {
    {NEED_MD5, "ETags of SSE-C objects are no MD5s"},
    {0, NULL},
};

/* Turns off what AWSFS_TEST_LACKS says. */
static const struct limitation *without(struct suite *s, const char *lacks, const struct limitation *limits)
{
    char json[128];
    if (lacks == NULL)
        return limits;
    if (strcmp(lacks, "wants_a_key") == 0) {
        (void)snprintf(json, sizeof(json), "{\"bucket\":\"%s\",\"requester_pays\":true,\"ownership\":\"ObjectWriter\"}",
                       s->bucket);
        origin_settings(s, json);
        return keyed;
    }
    origin_settings(s, strcmp(lacks, "ignores") == 0 ? BARE_IGNORES : BARE_REFUSES);
    return bare;
}

static bool stack_open(struct stack *k, const char *endpoint, const char *bucket, bool has_key, struct err *e)
{
    const struct http_config http = {.user_agent = "awsfs-conformance"};
    const struct creds_options creds = {0};
    const struct aws_client_config client = {
        .service = "s3", .endpoint = endpoint, .bucket = bucket, .region = "us-east-1", .timeout_ms = 20000};
    static const uint8_t key[S3_SSE_C_KEY] = "a key that only this test knows";
    struct s3_options o = {.bucket = bucket, .prefix = "suite/"};
    if (has_key) {
        o.sse = S3_SSE_C;
        o.sse_c_key = key;
        o.requester_pays = true;
    }
    k->engine = http_engine_new(&http, e);
    k->creds = k->engine != NULL ? creds_provider_new(k->engine, &creds, e) : NULL;
    k->client = k->creds != NULL ? aws_client_new(k->engine, k->creds, &client, e) : NULL;
    k->store = k->client != NULL ? s3_store_new(k->client, &o, e) : NULL;
    o.copy_max = 5 << 20;
    k->again = k->store != NULL ? s3_store_new(k->client, &o, e) : NULL;
    /* The cases count requests: what the server can do is found out before. */
    return k->again != NULL && store_learn(k->store, NULL, e) == ERR_OK && store_learn(k->again, NULL, e) == ERR_OK;
}

static void stack_close(struct stack *k)
{
    store_free(k->again);
    store_free(k->store);
    aws_client_free(k->client);
    creds_provider_free(k->creds);
    http_engine_free(k->engine);
}

static int run_back(struct suite *suite, const char *name, const struct limitation *server)
{
    char dir[] = "/tmp/awsfs-conformance-XXXXXX", command[64];
    struct limitation limits[32] = {{0, NULL}};
    struct err e = ERR_INIT;
    size_t n = 0;
    for (const struct limitation *l = server; l->need != 0 && n < 16; l++)
        limits[n++] = *l;
    for (const struct limitation *l = back; l->need != 0; l++)
        limits[n++] = *l;
    const struct writeback_config config = {.inner = suite->store, .dir = dir, .identity = "suite"};
    struct store *s = mkdtemp(dir) != NULL ? writeback_store_new(&config, NULL, &e) : NULL;
    if (s == NULL) {
        fprintf(stderr, "%s: %s\n", dir, e.msg);
        return 1;
    }
    suite->store = suite->again = s;
    int status = run_suite(suite, name, limits);
    store_free(s);
    (void)snprintf(command, sizeof(command), "rm -r %s", dir);
    return system(command) != 0 || status;
}

static int run(const char *server, const struct limitation *limits)
{
    struct stack k = {0};
    struct err e = ERR_INIT;
    const char *endpoint = getenv("AWSFS_TEST_ENDPOINT"), *bucket = getenv("AWSFS_TEST_BUCKET");
    int status = 1;
    char name[64];
    const char *lacks = getenv("AWSFS_TEST_LACKS");
    struct suite suite = {.endpoint = endpoint, .bucket = bucket};
    bool is_back = getenv("AWSFS_TEST_BACK") != NULL;
    (void)snprintf(name, sizeof(name), "%ss3 on %s%s%s", is_back ? "write=back over " : "", server, lacks != NULL ? " that " : "",
                   lacks != NULL ? lacks : "");
    if (endpoint != NULL)
        limits = without(&suite, lacks, limits);
    if (endpoint == NULL || bucket == NULL) {
        fprintf(stderr, "AWSFS_TEST_ENDPOINT and AWSFS_TEST_BUCKET must name the server and its bucket\n");
    } else if (!stack_open(&k, endpoint, bucket, limits == keyed, &e) || store_probe(k.store, NULL, &e) != ERR_OK) {
        fprintf(stderr, "%s: %s\n", err_name(e.code), e.msg);
    } else {
        suite.store = k.store;
        suite.again = k.again;
        if (limits == origin)
            origin_keep_acls(&suite);
        status = is_back ? run_back(&suite, name, limits) : run_suite(&suite, name, limits);
    }
    stack_close(&k);
    return status;
}

int main(void)
{
    const char *server = getenv("AWSFS_TEST_SERVER");
    for (size_t i = 0; i < sizeof(servers) / sizeof(servers[0]); i++)
        if (server != NULL && strcmp(server, servers[i].name) == 0)
            return run(server, servers[i].limits);
    fprintf(stderr, "AWSFS_TEST_SERVER must be moto, versitygw, origin or directory; tests/store/run starts one\n");
    return 2;
}
