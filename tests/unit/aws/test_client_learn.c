#include "client_fixture.h"

#include "util/clock.h"
#include "util/str.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void a_wrong_clock_is_corrected_once_for_all(void **state)
{
    static const char skewed[] = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    SERVE({403, "Date: Wed, 01 Jan 2020 12:00:00 GMT\r\n", skewed}, {200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET}, &o), ERR_OK);
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET}, &o), ERR_OK);
    assert_int_equal(script_count(server), 3);
    for (unsigned i = 2; i <= 3; i++) {
        struct seen r = script_seen(server, i);
        assert_true(str_starts(seen_header(&r, "X-Amz-Date"), "20200101T1200"));
    }
    script_stop(server);
}

static void a_head_without_body_is_corrected_by_its_date(void **state)
{
    SERVE({403, "Date: Wed, 01 Jan 2020 12:00:00 GMT\r\n", NULL}, {200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD, .key = "k"}, &o), ERR_OK);
    assert_int_equal(script_count(server), 2);
    script_stop(server);
}

static void a_clock_that_is_refused_for_ever_is_an_error(void **state)
{
    SERVE({403, "Date: Wed, 01 Jan 2020 12:00:00 GMT\r\n", "<Error><Code>RequestTimeTooSkewed</Code></Error>"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET}, &o), ERR_AUTH);
    assert_int_equal(script_count(server), 2);
    assert_non_null(strstr(o.err.msg, "clock"));
    script_stop(server);
}

static void at_an_endpoint_of_ones_own_only_the_signing_region_follows_the_bucket(void **state)
{
    static const struct step redirects[] = {
        {301, "x-amz-bucket-region: ap-south-1\r\nLocation: http://127.0.0.1:1/evil\r\n", ""},
        {307, "Location: http://127.0.0.1:1/evil\r\n",
         "<Error><Code>TemporaryRedirect</Code><Endpoint>127.0.0.1:1</Endpoint><Region>ap-south-1</Region></Error>"},
        {400, "", "<Error><Code>AuthorizationHeaderMalformed</Code><Region>ap-south-1</Region></Error>"},
    };

    for (size_t i = 0; i < ARRAY_LEN(redirects); i++) {
        SERVE(redirects[i], {200, NULL, "ok"});
        CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
        struct outcome o;
        char region[64], endpoint[300];

        assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .key = "k"}, &o), ERR_OK);
        assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .key = "k"}, &o), ERR_OK);
        assert_int_equal(script_count(server), 3);
        for (unsigned n = 2; n <= 3; n++) {
            struct seen r = script_seen(server, n);
            assert_string_equal(r.target, "/bkt/k");
            assert_non_null(strstr(seen_header(&r, "Authorization"), "/ap-south-1/s3/"));
        }
        aws_client_region(c, region, sizeof(region));
        aws_client_endpoint(c, endpoint, sizeof(endpoint));
        assert_string_equal(region, "ap-south-1");
        assert_string_equal(endpoint, script_url(server));
        script_stop(server);
    }
}

static struct aws_client *bare_client(const char *bucket, const char *region)
{
    const struct aws_client_config config = {.service = "s3", .bucket = bucket, .region = region};
    struct err e = ERR_INIT;
    struct aws_client *c = aws_client_new(engine, creds, &config, &e);

    if (!c)
        fail_msg("%s", e.msg);
    return c;
}

static void it_says_what_was_chosen_and_why(void **state)
{
    static const char ap[] = "arn:aws:s3:ap-south-1:123456789012:accesspoint/ap";
    struct aws_client_why why;

    CLEANUP(aws_client_free) struct aws_client *plain = bare_client("bkt", NULL);
    aws_client_why(plain, &why);
    assert_string_equal(why.region, "us-east-1");
    assert_non_null(strstr(why.region_why, "none is set"));
    assert_string_equal(why.endpoint, "https://bkt.s3.us-east-1.amazonaws.com");
    assert_string_equal(why.endpoint_why, "AWS's own");

    CLEANUP(aws_client_free) struct aws_client *point = bare_client(ap, "eu-west-1");
    aws_client_why(point, &why);
    assert_string_equal(why.region, "ap-south-1");
    assert_string_equal(why.region_why, "the access point's ARN");

    SERVE({301, "x-amz-bucket-region: sa-east-1\r\n", ""}, {200, NULL, NULL});
    setenv("AWS_ENDPOINT_URL_S3", script_url(server), 1);
    setenv("AWS_REGION", "eu-west-1", 1);
    CLEANUP(aws_client_free) struct aws_client *custom = bare_client("bkt", NULL);
    aws_client_why(custom, &why);
    assert_string_equal(why.region, "eu-west-1");
    assert_string_equal(why.region_why, "AWS_REGION");
    assert_string_equal(why.endpoint_why, "AWS_ENDPOINT_URL_S3");
    struct outcome o;
    assert_int_equal(call(custom, (struct aws_request){.key = "k"}, &o), ERR_OK);
    aws_client_why(custom, &why);
    assert_string_equal(why.region, "sa-east-1");
    assert_non_null(strstr(why.region_why, "the server told"));
    script_stop(server);
}

static void the_profile_may_limit_the_attempts(void **state)
{
    SERVE({503, NULL, NULL});
    struct outcome o;

    setenv("AWS_MAX_ATTEMPTS", "2", 1);
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    assert_int_not_equal(call(c, (struct aws_request){.key = "k"}, &o), ERR_OK);
    assert_int_equal(o.attempts, 2);
    assert_int_equal(script_count(server), 2);
    script_stop(server);
}

static void a_redirect_without_region_asks_the_bucket(void **state)
{
    SERVE({307, "Location: http://127.0.0.1:1/\r\n", NULL}, {403, "x-amz-bucket-region: sa-east-1\r\n", NULL},
          {200, NULL, "ok"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct text_body b;
    struct outcome o;

    text_body_init(&b, "content");
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_PUT, .key = "k", .body = &b.body}, &o), ERR_OK);
    struct seen probe = script_seen(server, 2), last = script_seen(server, 3);
    assert_string_equal(probe.method, "HEAD");
    assert_string_equal(probe.target, "/bkt");
    assert_string_equal(last.method, "PUT");
    assert_string_equal(last.body, "content");
    assert_non_null(strstr(seen_header(&last, "Authorization"), "/sa-east-1/s3/"));
    script_stop(server);
}

static void a_head_with_400_asks_the_bucket_where_it_is(void **state)
{
    SERVE({400, NULL, NULL}, {400, "x-amz-bucket-region: sa-east-1\r\n", NULL}, {200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD, .key = "k"}, &o), ERR_OK);
    assert_int_equal(script_count(server), 3);
    script_stop(server);
}

static void a_head_with_400_is_explained_by_a_get_of_the_same_key_and_headers(void **state)
{
    static const struct aws_param headers[] = {{"x-amz-request-payer", "requester"}, {0}};
    SERVE({200, NULL, NULL}, {400, NULL, NULL}, {400, NULL, "<Error><Code>InvalidRequest</Code></Error>"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD, .key = "k"}, &o), ERR_OK);
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD, .key = "k", .headers = headers}, &o), ERR_INVAL);
    assert_string_equal(o.error_code, "InvalidRequest");
    assert_int_equal(o.status, 400);
    assert_int_equal(script_count(server), 3);
    struct seen get = script_seen(server, 3);
    assert_string_equal(get.method, "GET");
    assert_string_equal(get.target, "/bkt/k");
    assert_string_equal(seen_header(&get, "Range"), "bytes=0-0");
    assert_string_equal(seen_header(&get, "x-amz-request-payer"), "requester");
    script_stop(server);
}

static void a_head_with_400_follows_the_region_that_the_get_tells(void **state)
{
    SERVE({200, NULL, NULL}, {400, NULL, NULL},
          {400, NULL, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>ap-south-1</Region></Error>"},
          {200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD, .key = "k"}, &o), ERR_OK);
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD, .key = "k"}, &o), ERR_OK);
    assert_int_equal(script_count(server), 4);
    struct seen last = script_seen(server, 4);
    assert_string_equal(last.method, "HEAD");
    assert_non_null(strstr(seen_header(&last, "Authorization"), "/ap-south-1/s3/"));
    script_stop(server);
}

static void a_head_with_400_whose_get_succeeds_is_made_once_more(void **state)
{
    SERVE({200, NULL, NULL}, {400, NULL, NULL}, {206, NULL, "x"}, {400, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD, .key = "k"}, &o), ERR_OK);
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD, .key = "k"}, &o), ERR_INVAL);
    assert_int_equal(script_count(server), 4);
    assert_string_equal(o.error_code, "");
    script_stop(server);
}

static void redirects_that_lead_nowhere_end(void **state)
{
    static const struct step loops[] = {
        {301, "x-amz-bucket-region: eu-west-1\r\n", ""}, /* where we are */
        {301, "x-amz-bucket-region: evil.example.com/\r\n", ""},
        {301, "", ""},
        {400, "", "<Error><Code>AuthorizationHeaderMalformed</Code><Region>a b</Region></Error>"},
    };

    for (size_t i = 0; i < ARRAY_LEN(loops); i++) {
        SERVE(loops[i]);
        CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
        struct outcome o;

        assert_int_not_equal(call(c, (struct aws_request){.method = HTTP_GET}, &o), ERR_OK);
        assert_true(script_count(server) <= 3);
        assert_int_not_equal(o.code, ERR_NOT_FOUND);
        script_stop(server);
    }
}

static void answer_flipping(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    reply_add(out, 301, number % 2 ? "x-amz-bucket-region: a-1\r\n" : "x-amz-bucket-region: b-1\r\n", "");
}

static void redirects_to_and_fro_end(void **state)
{
    struct script *server = script_start(answer_flipping, NULL);
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET}, &o), ERR_IO);
    assert_int_equal(script_count(server), 3);
    script_stop(server);
}

static void expired_credentials_that_cannot_be_renewed_are_an_error(void **state)
{
    SERVE({400, NULL, "<Error><Code>ExpiredToken</Code><Token-0>" TOKEN "</Token-0></Error>"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET}, &o), ERR_AUTH);
    assert_string_equal(o.error_code, "ExpiredToken");
    assert_true(script_count(server) <= 3);
    script_stop(server);
}

/* Refuses OLD, takes NEW; HEAD gets no body. */
static void answer_expired(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    if (strstr(seen_header(r, "Authorization"), "Credential=NEW/")) {
        reply_add(out, 200, "", strcmp(r->method, "HEAD") ? "ok" : "");
        return;
    }
    sandbox_write(".aws/credentials", "[default]\naws_access_key_id = NEW\naws_secret_access_key = s\n");
    reply_add(out, 400, "x-amz-bucket-region: eu-west-1\r\n",
              strcmp(r->method, "HEAD") ? "<Error><Code>ExpiredToken</Code></Error>" : "");
}

static void expired_credentials_are_renewed(void **state)
{
    static const enum http_method methods[] = {HTTP_GET, HTTP_HEAD};
    const struct creds_options options = {0};

    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        sandbox_write(".aws/credentials", "[default]\naws_access_key_id = OLD\naws_secret_access_key = s\n"
                                          "aws_session_token = " TOKEN "\n");
        struct script *server = script_start(answer_expired, NULL);
        CLEANUP(creds_provider_free) struct creds_provider *p = creds_provider_new(engine, &options, NULL);
        const struct aws_client_config config = {
            .service = "s3", .endpoint = script_url(server), .bucket = "bkt", .region = "eu-west-1"};
        CLEANUP(aws_client_free) struct aws_client *c = aws_client_new(engine, p, &config, NULL);
        struct outcome o;

        assert_int_equal(call(c, (struct aws_request){.method = methods[i], .key = "k"}, &o), ERR_OK);
        assert_int_equal(o.status, 200);
        script_stop(server);
    }
}

static void count_end(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    atomic_fetch_add((atomic_uint *)arg, code == ERR_OK ? 1 : 1000);
}

static void add_count(void *arg, const char *what, uint64_t count)
{
    *(uint64_t *)arg += count * (unsigned)strlen(what);
}

static void *send_many(void *arg)
{
    void **args = arg;
    const struct aws_request r = {.method = HTTP_GET, .what = "Get", .key = "k", .done = count_end, .arg = args[1]};

    for (int i = 0; i < 10; i++)
        assert_int_equal(aws_send(args[0], &r, NULL, NULL), ERR_OK);
    return NULL;
}

static void many_threads_may_send_while_clock_and_region_are_learnt(void **state)
{
    SERVE({301, "x-amz-bucket-region: ap-south-1\r\n", NULL},
          {403, "Date: Wed, 01 Jan 2020 12:00:00 GMT\r\n", "<Error><Code>RequestTimeTooSkewed</Code></Error>"},
          {200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    pthread_t threads[5];
    atomic_uint ended = 0;
    void *args[] = {c, &ended};
    uint64_t counted = 0, deadline = clock_mono_ms() + 20000;

    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, args), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        pthread_join(threads[i], NULL);
    while (atomic_load(&ended) < 50 && clock_mono_ms() < deadline)
        usleep(10000);
    assert_int_equal(atomic_load(&ended), 50);
    aws_client_each_count(c, add_count, &counted);
    assert_int_equal(counted, 150);
    script_stop(server);
}

static void no_secret_is_in_the_log_at_any_level(void **state)
{
    SERVE({500, NULL, "<Error><Code>InternalError</Code></Error>"},
          {403, "Date: Wed, 01 Jan 2020 12:00:00 GMT\r\n", "<Error><Code>RequestTimeTooSkewed</Code></Error>"},
          {301, "x-amz-bucket-region: ap-south-1\r\n", NULL},
          {400, NULL, "<Error><Code>InvalidToken</Code><Message>m</Message><Token-0>" TOKEN "</Token-0></Error>"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;
    BUF(url, 4096);

    log_watch();
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .key = "k"}, &o), ERR_AUTH);
    assert_int_equal(aws_presign(c, "k", NULL, 60, &url, NULL), ERR_OK);
    log_expect_no_marker();
    script_stop(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_wrong_clock_is_corrected_once_for_all),
        T(a_head_without_body_is_corrected_by_its_date),
        T(a_clock_that_is_refused_for_ever_is_an_error),
        T(at_an_endpoint_of_ones_own_only_the_signing_region_follows_the_bucket),
        T(it_says_what_was_chosen_and_why),
        T(the_profile_may_limit_the_attempts),
        T(a_redirect_without_region_asks_the_bucket),
        T(a_head_with_400_asks_the_bucket_where_it_is),
        T(a_head_with_400_is_explained_by_a_get_of_the_same_key_and_headers),
        T(a_head_with_400_follows_the_region_that_the_get_tells),
        T(a_head_with_400_whose_get_succeeds_is_made_once_more),
        T(redirects_that_lead_nowhere_end),
        T(redirects_to_and_fro_end),
        T(expired_credentials_that_cannot_be_renewed_are_an_error),
        T(expired_credentials_are_renewed),
        T(many_threads_may_send_while_clock_and_region_are_learnt),
        T(no_secret_is_in_the_log_at_any_level),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
