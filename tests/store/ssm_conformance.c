/*
 * The suite against the Parameter Store backend, and what only that promises. Runs beside a server that
 * tools/with_server starts (AWSFS_TEST_ENDPOINT). A case of the suite that is not for parameters is skipped with its
 * reason.
 */
#include "ssm_cases.h"

#include "aws/client.h"
#include "backends/ssm/ssm.h"
#include "util/json.h"
#include "util/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct suite_case *const groups[] = {read_cases, write_cases, list_cases, copy_cases};

static const struct {
    const char *name, *reason;
} not_for_parameters[] = {
    {"a large object arrives in order", "a parameter has at most 8 KiB"},
    {"a get may tell the metadata", "a parameter keeps no mode"},
    {"each of the simple things is one request", "a copy reads, and an overwrite looks before it writes"},
    {"an empty object can be put", "a parameter has at least one byte"},
    {"many are removed in one call", "its keys have characters that no parameter's name has"},
    {"pages of any size give the same listing", "the service promises no order from page to page"},
    {"the order is that of the bytes", "its keys have characters that no parameter's name has"},
    {"a directory marker is listed in its directory", "there are no directory markers"},
    {"a thousand and more come in pages", "its objects are empty"},
    {"a copy has bytes and metadata", "its keys have characters that no parameter's name has"},
    {"odd keys can be copied", "its keys have characters that no parameter's name has"},
    {"a directory marker can be copied", "there are no directory markers"},
    {"a copy by parts has bytes and metadata", "a parameter is never copied by parts"},
    {"a copy by parts of another version is a conflict", "a parameter is never copied by parts"},
    {"a copy by parts tells of its upload", "a parameter is never copied by parts"},
    {"a copy stores a time where there is none", "a parameter keeps no time but that of its last change"},
};

struct bound_case {
    struct suite *suite;
    const struct suite_case *c;
    unsigned number;
};

static void run_case(void **state)
{
    struct bound_case *b = *state;
    for (size_t i = 0; i < sizeof(not_for_parameters) / sizeof(not_for_parameters[0]); i++) {
        if (strcmp(not_for_parameters[i].name, b->c->name) == 0) {
            print_message("SKIPPED: %s: %s\n", b->c->name, not_for_parameters[i].reason);
            skip();
        }
    }
    (void)snprintf(b->suite->base, sizeof(b->suite->base), "c%u/", b->number);
    b->c->run(b->suite);
}

static unsigned bind_cases(struct suite *s, const struct suite_case *cases, struct CMUnitTest *tests,
                           struct bound_case *bound, unsigned n)
{
    const char *only = getenv("AWSFS_STORE_CASE");
    for (const struct suite_case *c = cases; c->name != NULL && n < 128; c++) {
        if (only != NULL && strstr(c->name, only) == NULL)
            continue;
        bound[n] = (struct bound_case){s, c, n};
        tests[n] = (struct CMUnitTest){.name = c->name, .test_func = run_case, .initial_state = &bound[n]};
        n++;
    }
    return n;
}

static int run_all(struct suite *s)
{
    static struct CMUnitTest tests[128];
    static struct bound_case bound[128];
    unsigned n = 0;
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
        n = bind_cases(s, groups[g], tests, bound, n);
    n = bind_cases(s, parameter_cases, tests, bound, n);
    return _cmocka_run_group_tests("Parameter Store", tests, n, NULL, NULL);
}

int main(void)
{
    const char *endpoint = getenv("AWSFS_TEST_ENDPOINT");
    if (endpoint == NULL) {
        fprintf(stderr, "AWSFS_TEST_ENDPOINT is not set: run it by tests/tools/with_server moto\n");
        return 2;
    }
    json_init();
    struct err e = ERR_INIT;
    (void)!secret_init(false, false, &e);
    const struct http_config http = {0};
    struct http_engine *engine = http_engine_new(&http, &e);
    struct creds *keys =
        creds_new(getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), NULL, 0, "the test", &e);
    struct creds_provider *provider = keys ? creds_provider_static(keys, &e) : NULL;
    const struct aws_client_config config = {
        .service = "ssm", .endpoint = endpoint, .region = "us-east-1", .timeout_ms = 10000};
    struct aws_client *client = engine && provider ? aws_client_new(engine, provider, &config, &e) : NULL;
    const struct ssm_options options = {.path = "/suite", .rate = 10000};
    struct store *store = client ? ssm_store_new(client, &options, &e) : NULL;
    if (store == NULL) {
        fprintf(stderr, "%s\n", e.msg);
        return 2;
    }
    parameter_cases_use(client);
    struct suite suite = {.store = store, .again = store, .endpoint = endpoint, .bucket = ""};
    int failed = run_all(&suite);
    store_free(store);
    aws_client_free(client);
    creds_provider_free(provider);
    creds_unref(keys);
    http_engine_free(engine);
    return failed != 0;
}
