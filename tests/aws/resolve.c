/*
 * Says as JSON what credentials, region and endpoint awsfs chooses in the environment it is started in, for the
 * comparison with botocore. Secrets are shown as their SHA-256.
 *
 *     awsfs-resolve [--profile P] [--region R] [--endpoint URL] [--service s3|ssm|sts] [--bucket B] [--key K]
 *                   [--addressing auto|path|virtual] [--dualstack] [--fips] [--anonymous] [--no-credentials]
 *
 * "error" is null, or the message of the part that failed; then the values of that part are missing.
 */
#include "aws/client.h"
#include "aws/creds.h"
#include "net/http.h"
#include "util/digest.h"
#include "util/json.h"
#include "util/log.h"
#include "util/str.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_ROOM = 8192 };

struct asked {
    struct creds_options creds;
    struct aws_client_config client;
    const char *key;
    bool no_creds;
};

static void add_text(struct buf *out, const char *name, const char *value)
{
    buf_addf(out, ", \"%s\": ", name);
    if (value)
        json_quote(out, value, strlen(value));
    else
        buf_add_str(out, "null");
}

static void add_digest(struct buf *out, const char *name, const char *secret)
{
    char hex[2 * DIGEST_MAX + 1];

    if (secret && digest_hex(DIGEST_SHA256, secret, strlen(secret), hex, NULL))
        abort();
    add_text(out, name, secret ? hex : NULL);
}

static void show_creds(struct creds_provider *p, const struct err *failure, struct buf *out)
{
    CLEANUP(creds_unref) struct creds *c = NULL;
    struct err e = *failure;

    if (p && !creds_provider_anonymous(p) && creds_get(p, &c, &e))
        c = NULL;
    buf_addf(out, "\"credentials\": {\"anonymous\": %s", p && creds_provider_anonymous(p) ? "true" : "false");
    add_text(out, "error", e.code ? e.msg : NULL);
    if (c) {
        add_text(out, "access_key_id", c->access_key_id);
        add_digest(out, "secret_sha256", c->secret_access_key);
        add_digest(out, "token_sha256", c->session_token);
        buf_addf(out, ", \"expires\": %lld", (long long)c->expires);
        add_text(out, "source", c->source);
    }
    buf_add_str(out, "}");
}

static void show_client(struct http_engine *engine, struct creds_provider *creds, const struct asked *asked,
                        struct buf *out)
{
    struct err e = ERR_INIT;
    CLEANUP(aws_client_free) struct aws_client *client = aws_client_new(engine, creds, &asked->client, &e);
    BUF(url, URL_ROOM);
    char region[64];

    if (client && aws_url(client, asked->key, &url, &e))
        buf_clear(&url);
    buf_add_str(out, "\"client\": {\"service\": ");
    json_quote(out, asked->client.service, strlen(asked->client.service));
    add_text(out, "error", e.code ? e.msg : NULL);
    if (!e.code) {
        aws_client_region(client, region, sizeof(region));
        add_text(out, "region", region);
        add_text(out, "url", buf_str(&url));
    }
    buf_add_str(out, "}");
}

static enum aws_addressing addressing(const char *name)
{
    if (!strcmp(name, "path"))
        return AWS_ADDRESSING_PATH;
    return strcmp(name, "virtual") ? AWS_ADDRESSING_AUTO : AWS_ADDRESSING_VIRTUAL;
}

static bool parse(int argc, char **argv, struct asked *a)
{
    static const struct option options[] = {
        {"profile", 1, NULL, 'p'},    {"region", 1, NULL, 'r'},         {"endpoint", 1, NULL, 'e'},
        {"service", 1, NULL, 's'},    {"bucket", 1, NULL, 'b'},         {"key", 1, NULL, 'k'},
        {"addressing", 1, NULL, 'a'}, {"dualstack", 0, NULL, 'd'},      {"fips", 0, NULL, 'f'},
        {"anonymous", 0, NULL, 'n'},  {"no-credentials", 0, NULL, 'c'}, {0}};

    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (c) {
        case 'p':
            a->creds.profile = a->client.profile = optarg;
            break;
        case 'r':
            a->creds.region = a->client.region = optarg;
            break;
        case 'e':
            a->client.endpoint = optarg;
            break;
        case 's':
            a->client.service = optarg;
            break;
        case 'b':
            a->client.bucket = optarg;
            break;
        case 'k':
            a->key = optarg;
            break;
        case 'a':
            a->client.addressing = addressing(optarg);
            break;
        case 'd':
            a->client.dualstack = AWS_YES;
            break;
        case 'f':
            a->client.fips = AWS_YES;
            break;
        case 'n':
            a->creds.anonymous = true;
            break;
        case 'c':
            a->no_creds = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct asked asked = {.client = {.service = "s3"}};
    const struct creds_options nobody = {.anonymous = true};
    const struct http_config http = {0};
    struct err e = ERR_INIT;
    BUF(out, 65536);

    if (!parse(argc, argv, &asked))
        return 2;
    if (log_open("stderr", getenv("AWSFS_RESOLVE_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN, &e))
        return 2;
    json_init();
    CLEANUP(http_engine_free) struct http_engine *engine = http_engine_new(&http, &e);
    if (!engine)
        return 2;
    CLEANUP(creds_provider_free)
    struct creds_provider *creds = creds_provider_new(engine, asked.no_creds ? &nobody : &asked.creds, &e);
    CLEANUP(creds_provider_free) struct creds_provider *unsigned_ = creds_provider_new(engine, &nobody, NULL);
    buf_add_str(&out, "{");
    show_creds(creds, &e, &out);
    buf_add_str(&out, ", ");
    show_client(engine, creds ? creds : unsigned_, &asked, &out);
    buf_add_str(&out, "}");
    puts(buf_str(&out));
    return 0;
}
