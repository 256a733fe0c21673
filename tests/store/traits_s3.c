/*
 * What the S3 backend finds out about a server, beside that server (tools/with_server): exactly what is known of it from its
 * documentation and from trying it. Nothing of the questions may be left in the bucket.
 */
#include "aws/client.h"
#include "aws/creds.h"
#include "backends/s3/s3.h"
#include "store/meta.h"
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything is there but what is named: "-name" the server has not, "?name" cannot be told. */
static const struct {
    const char *server, *lacks;
} known[] = {
    {"origin", " ?acls "},
    {"moto", " -multipart-if-match -copy-if-absent -copy-if-match -copy-source-if-match -part-copy-source-if-match"
             " -delete-many-if-match -sha512 "},
    {"versitygw", " -copy-if-absent -copy-if-match -delete-many-if-match -encoding-type -acls "},
};

/* What tests/origin can be told to ignore or to refuse, and what else cannot be told then. */
static const struct {
    const char *feature;
    bool ignored, refused;
    const char *unknown;
} features[] = {
    {"put-if-absent", true, true, ""},
    {"put-if-match", true, true, ""},
    {"multipart-if-absent", true, true, ""},
    {"multipart-if-match", true, true, ""},
    {"copy-if-absent", true, true, ""},
    {"copy-if-match", true, true, ""},
    {"copy-source-if-match", true, true, ""},
    {"part-copy-source-if-match", true, true, ""},
    {"delete-if-match", true, true, ""},
    {"delete-many-if-match", true, false, ""},
    {"sha512", true, true, ""},
    {"crc64nvme", true, true, ""},
    {"start-after", true, true, ""},
    {"encoding-type", true, false, ""},
    {"encoded-metadata", true, true, ""},
    {"copy", false, true, "?copy-if-absent ?copy-if-match ?copy-source-if-match"},
    {"part-copy", false, true, "?part-copy-source-if-match"},
    {"delete-many", false, true, "-delete-many-if-match"},
    {"tags", false, true, ""},
    {"acls", false, true, ""},
};

struct findings {
    const char *lacks;
    unsigned n, wrong;
};

static void check(void *arg, const char *name, enum store_verdict verdict, const char *meaning)
{
    struct findings *f = arg;
    char no[64], unknown[64];
    (void)snprintf(no, sizeof(no), " -%s ", name);
    (void)snprintf(unknown, sizeof(unknown), " ?%s ", name);
    enum store_verdict want = strstr(f->lacks, no)        ? STORE_NO
                              : strstr(f->lacks, unknown) ? STORE_UNKNOWN
                                                          : STORE_YES;
    f->n++;
    if (verdict == want && meaning[0] != 0)
        return;
    f->wrong++;
    fprintf(stderr, "%s: found %d, should be %d (%s)\n", name, verdict, want, meaning);
}

static bool is_empty(struct store *store, struct err *e)
{
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    const struct store_list all = {.prefix = ""};
    if (store_list(store, &all, NULL, &page, e) != ERR_OK)
        return false;
    for (size_t i = 0; i < page.n; i++)
        fprintf(stderr, "left behind: %s\n", page.entries[i].key);
    return page.n == 0;
}

static int run(struct store *store, const char *lacks)
{
    struct err e = ERR_INIT;
    struct findings f = {.lacks = lacks};
    if (store_learn(store, NULL, &e) != ERR_OK || !is_empty(store, &e)) {
        fprintf(stderr, "%s: %s\n", err_name(e.code), e.msg);
        return 1;
    }
    store_each_trait(store, check, &f);
    printf("%u traits, %u not as known\n", f.n, f.wrong);
    return f.n > 0 && f.wrong == 0 ? 0 : 1;
}

/* Each feature in turn is not there. */
static int run_each(struct aws_client *client, const char *endpoint, const char *bucket)
{
    struct suite suite = {.endpoint = endpoint, .bucket = bucket};
    const struct s3_options options = {.bucket = bucket, .prefix = "t/"};
    int failed = 0;
    char json[128], lacks[256];
    for (size_t i = 0; i < ARRAY_LEN(features) * 2; i++) {
        const char *name = features[i / 2].feature, *how = i % 2 == 0 ? "ignore" : "refuse";
        if (!(i % 2 == 0 ? features[i / 2].ignored : features[i / 2].refused))
            continue;
        (void)snprintf(json, sizeof(json), "{\"ignore\":[],\"refuse\":[],\"%s\":[\"%s\"]}", how, name);
        (void)snprintf(lacks, sizeof(lacks), " -%s %s%s ", name, strcmp(name, "acls") != 0 ? "?acls " : "",
                       features[i / 2].unknown);
        origin_settings(&suite, json);
        struct store *store = s3_store_new(client, &options, NULL);
        printf("%s %s: ", how, name);
        failed += store == NULL || run(store, lacks) != 0;
        store_free(store);
    }
    origin_settings(&suite, "{\"ignore\":[],\"refuse\":[]}");
    return failed > 0;
}

int main(void)
{
    const char *server = getenv("AWSFS_TEST_SERVER"), *endpoint = getenv("AWSFS_TEST_ENDPOINT");
    const char *bucket = getenv("AWSFS_TEST_BUCKET"), *lacks = NULL;
    struct err e = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (server != NULL && strcmp(server, known[i].server) == 0)
            lacks = known[i].lacks;
    if (lacks == NULL || endpoint == NULL || bucket == NULL) {
        fprintf(stderr, "tools/with_server moto|versitygw|origin PROGRAM starts one\n");
        return 2;
    }
    const struct http_config http = {.user_agent = "awsfs-traits"};
    const struct creds_options creds = {0};
    const struct aws_client_config config = {
        .service = "s3", .endpoint = endpoint, .bucket = bucket, .region = "us-east-1", .timeout_ms = 20000};
    const struct s3_options options = {.bucket = bucket, .prefix = "t/"};
    struct http_engine *engine = http_engine_new(&http, &e);
    struct creds_provider *provider = engine != NULL ? creds_provider_new(engine, &creds, &e) : NULL;
    struct aws_client *client = provider != NULL ? aws_client_new(engine, provider, &config, &e) : NULL;
    struct store *store = client != NULL ? s3_store_new(client, &options, &e) : NULL;
    int status = 1;
    if (store != NULL)
        status = run(store, lacks);
    if (store != NULL && status == 0 && strcmp(server, "origin") == 0)
        status = run_each(client, endpoint, bucket);
    if (store == NULL)
        fprintf(stderr, "%s: %s\n", err_name(e.code), e.msg);
    store_free(store);
    aws_client_free(client);
    creds_provider_free(provider);
    http_engine_free(engine);
    return status;
}
