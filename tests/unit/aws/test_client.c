#include "aws/client.h"

#include "support.h"
#include "util/cancel.h"
#include "util/clock.h"
#include "util/str.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECRET "MARKERwJalrXUtnFEMI"
#define TOKEN  "MARKERtoken"

static struct http_engine *engine;
static struct creds_provider *creds;

static int enter(void **state)
{
    const struct http_config config = {0};

    sandbox_enter();
    engine = http_engine_new(&config, NULL);
    CLEANUP(creds_unref) struct creds *c = creds_new("AKID", SECRET, TOKEN, 0, "test", NULL);
    creds = creds_provider_static(c, NULL);
    return engine && creds ? 0 : -1;
}

static int leave(void **state)
{
    creds_provider_free(creds);
    http_engine_free(engine);
    sandbox_leave();
    return 0;
}

static struct aws_client *client_for(const char *service, const char *endpoint, const char *bucket)
{
    const struct aws_client_config config = {
        .service = service, .endpoint = endpoint, .bucket = bucket, .region = "eu-west-1", .timeout_ms = 8000};
    struct err e = ERR_INIT;
    struct aws_client *c = aws_client_new(engine, creds, &config, &e);

    if (!c)
        fail_msg("%s", e.msg);
    return c;
}

/* What done() was told, copied. */
struct outcome {
    unsigned ended;
    enum err_code code;
    int status;
    char body[4096], error_code[64], request_id[64], header[256];
    unsigned attempts, unanswered;
    struct err err;
    char streamed[4096];
};

static void note_end(void *arg, enum err_code code, const struct aws_reply *r, const struct err *e)
{
    struct outcome *o = arg;
    const char *value = r->transfer ? http_reply_header(r->transfer, "X-Test") : NULL;

    o->ended++;
    o->code = code;
    o->status = r->status;
    o->attempts = r->attempts;
    o->unanswered = r->unanswered;
    o->err = *e;
    snprintf(o->body, sizeof(o->body), "%s", r->body);
    snprintf(o->error_code, sizeof(o->error_code), "%s", r->error_code);
    snprintf(o->request_id, sizeof(o->request_id), "%s", r->request_id);
    snprintf(o->header, sizeof(o->header), "%s", value ? value : "");
    assert_null(strstr(e->msg, "MARKER"));
}

static enum err_code call(struct aws_client *c, struct aws_request r, struct outcome *o)
{
    struct err e = ERR_INIT;

    memset(o, 0, sizeof(*o));
    r.what = r.what ? r.what : "TestCall";
    r.done = note_end;
    r.arg = o;
    enum err_code code = aws_call(c, &r, NULL, &e);
    assert_int_equal(o->ended, 1);
    assert_int_equal(code, o->code);
    assert_int_equal(code, e.code);
    return code;
}

/* ---- a server that goes through a list of replies; the last one is repeated ---- */

struct step {
    int status;
    const char *headers, *body;
};

struct plan {
    const struct step *steps;
    unsigned n;
};

static void answer_plan(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    const struct plan *p = arg;
    const struct step *s = &p->steps[number <= p->n ? number - 1 : p->n - 1];

    if (s->status)
        reply_add(out, s->status, s->headers ? s->headers : "", s->body ? s->body : "");
}

#define SERVE(...)                                                                                                     \
    const struct step steps[] = {__VA_ARGS__};                                                                         \
    struct plan plan = {steps, ARRAY_LEN(steps)};                                                                      \
    struct script *server = script_start(answer_plan, &plan)

static void a_request_is_sent_as_documented_with_everything_left_out(void **state)
{
    SERVE({200, "X-Test: yes\r\nx-amz-request-id: RID\r\n", "hello"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    const struct aws_request bare = {.method = HTTP_GET};
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET}, &o), ERR_OK);
    assert_string_equal(o.body, "hello");
    assert_string_equal(o.header, "yes");
    assert_string_equal(o.request_id, "RID");
    assert_int_equal(o.attempts, 1);
    assert_int_equal(o.unanswered, 0);
    assert_int_equal(aws_call(c, &bare, NULL, NULL), ERR_OK);
    struct seen r = script_seen(server, 1);
    assert_string_equal(r.target, "/bkt");
    assert_true(str_starts(seen_header(&r, "Authorization"), "AWS4-HMAC-SHA256 Credential=AKID/"));
    assert_non_null(strstr(seen_header(&r, "Authorization"), "/eu-west-1/s3/aws4_request, "
                                                             "SignedHeaders=host;x-amz-content-sha256;x-amz-date;"
                                                             "x-amz-security-token, "));
    assert_string_equal(seen_header(&r, "X-Amz-Security-Token"), TOKEN);
    assert_null(strstr(r.head, SECRET));
    script_stop(server);
}

static void keys_queries_and_headers_go_out_encoded_once(void **state)
{
    SERVE({200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    const struct aws_param query[] = {{"uploads", NULL}, {"prefix", "a b/ä"}, {0}};
    const struct aws_param headers[] = {{"Range", "bytes=0-1"}, {"x-amz-meta-empty", ""}, {"If-Match", NULL}, {0}};
    struct outcome o;

    call(c, (struct aws_request){.method = HTTP_GET, .key = "d/./..//f +%ü", .query = query, .headers = headers}, &o);
    struct seen r = script_seen(server, 1);
    assert_string_equal(r.target, "/bkt/d/./..//f%20%2B%25%C3%BC?prefix=a%20b%2F%C3%A4&uploads");
    assert_string_equal(seen_header(&r, "Range"), "bytes=0-1");
    assert_non_null(strcasestr(r.head, "x-amz-meta-empty:"));
    assert_null(strcasestr(r.head, "if-match"));
    assert_non_null(strstr(seen_header(&r, "Authorization"), ";range;"));
    assert_non_null(strstr(seen_header(&r, "Authorization"), ";x-amz-meta-empty;"));
    script_stop(server);
}

static void a_header_that_would_break_the_request_is_refused(void **state)
{
    SERVE({200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    static const struct aws_param bad[] = {
        {"x-amz-meta-a", "v\r\nEvil: 1"}, {"x-amz-meta-a\r\nEvil", "v"}, {"a b", "v"}, {"", "v"}, {"a:", "v"}};
    struct outcome o;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct aws_param headers[] = {bad[i], {0}};
        assert_int_equal(call(c, (struct aws_request){.headers = headers}, &o), ERR_INVAL);
    }
    assert_int_equal(script_count(server), 0);
    script_stop(server);
}

struct text_body {
    struct http_body body;
    const char *text;
};

static ssize_t read_text(void *arg, uint64_t offset, void *out, size_t len)
{
    const struct text_body *b = arg;
    size_t n = b->body.size - offset < len ? b->body.size - offset : len;

    memcpy(out, b->text + offset, n);
    return (ssize_t)n;
}

static void text_body_init(struct text_body *b, const char *text)
{
    b->text = text;
    b->body = (struct http_body){strlen(text), read_text, b};
}

static void a_body_is_hashed_and_sent_again_with_each_attempt(void **state)
{
    SERVE({500, NULL, NULL}, {0}, {200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct text_body b;
    struct outcome o;

    text_body_init(&b, "Welcome to Amazon S3.");
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_PUT, .key = "k", .body = &b.body}, &o), ERR_OK);
    assert_int_equal(o.attempts, 3);
    assert_int_equal(o.unanswered, 2);
    for (unsigned i = 1; i <= 3; i++) {
        struct seen r = script_seen(server, i);
        assert_string_equal(r.body, "Welcome to Amazon S3.");
        assert_string_equal(seen_header(&r, "X-Amz-Content-Sha256"),
                            "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
    }
    script_stop(server);
}

static void a_hash_that_is_given_is_used(void **state)
{
    SERVE({200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct text_body b;
    struct outcome o;

    text_body_init(&b, "x");
    call(c, (struct aws_request){.method = HTTP_PUT, .key = "k", .body = &b.body, .body_sha256 = "UNSIGNED-PAYLOAD"},
         &o);
    struct seen r = script_seen(server, 1);
    assert_string_equal(seen_header(&r, "X-Amz-Content-Sha256"), "UNSIGNED-PAYLOAD");
    script_stop(server);
}

static void errors_are_decoded_and_named(void **state)
{
    static const struct {
        struct step step;
        enum http_method method;
        enum err_code code;
        const char *says;
    } table[] = {
        {{404, "", "<Error><Code>NoSuchKey</Code><Message>gone</Message><RequestId>R7</RequestId></Error>"},
         HTTP_GET,
         ERR_NOT_FOUND,
         "TestCall: NoSuchKey: gone (HTTP 404, request id R7), key 'a/b'"},
        {{404, "", "<Error><Code>NoSuchBucket</Code><Message>m</Message></Error>"},
         HTTP_GET,
         ERR_IO,
         "the bucket does not exist"},
        {{403, "", "<Error><Code>InvalidObjectState</Code><Message>m</Message></Error>"},
         HTTP_GET,
         ERR_ACCESS,
         "must be restored"},
        {{403, "", ""}, HTTP_HEAD, ERR_ACCESS, "TestCall: failed (HTTP 403)"},
        {{404, "", ""}, HTTP_HEAD, ERR_NOT_FOUND, "HTTP 404"},
        {{412, "", ""}, HTTP_HEAD, ERR_CONFLICT, "HTTP 412"},
        {{304, "", ""}, HTTP_GET, ERR_CONFLICT, "HTTP 304"},
        {{501, "", "<Error><Code>NotImplemented</Code></Error>"}, HTTP_PUT, ERR_UNSUPPORTED, "NotImplemented"},
        {{403, "", "<Error><Code>SignatureDoesNotMatch</Code><StringToSign>x</StringToSign></Error>"},
         HTTP_GET,
         ERR_AUTH,
         "secret access key"},
        {{404, "", "<html>captive portal</html>"}, HTTP_GET, ERR_PROTO, "HTTP 404"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        SERVE(table[i].step);
        CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
        struct outcome o;

        assert_int_equal(call(c, (struct aws_request){.method = table[i].method, .key = "a/b"}, &o), table[i].code);
        if (!strstr(o.err.msg, table[i].says))
            fail_msg("'%s' does not say '%s'", o.err.msg, table[i].says);
        assert_int_equal(o.attempts, 1);
        assert_int_equal(o.status, table[i].step.status);
        script_stop(server);
    }
}

static void the_words_of_a_server_that_may_quote_a_secret_are_left_out(void **state)
{
    SERVE({400, NULL, "{\"__type\":\"ValidationException\",\"message\":\"Value 'MARKER' at 'value' is bad\"}"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("ssm", script_url(server), NULL);
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_POST, .secret = true}, &o), ERR_INVAL);
    assert_string_equal(o.error_code, "ValidationException");
    assert_non_null(strstr(o.err.msg, "ValidationException"));
    struct seen r = script_seen(server, 1);
    assert_string_equal(r.target, "/");
    assert_string_equal(seen_header(&r, "X-Amz-Content-Sha256"), "");
    script_stop(server);
}

static void the_code_may_come_in_a_header(void **state)
{
    SERVE({400, "x-amzn-ErrorType: ParameterNotFound:http://x/\r\nx-amzn-RequestId: R9\r\n", "{}"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("ssm", script_url(server), NULL);
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_POST}, &o), ERR_NOT_FOUND);
    assert_string_equal(o.error_code, "ParameterNotFound");
    assert_string_equal(o.request_id, "R9");
    script_stop(server);
}

static void transient_errors_are_tried_again(void **state)
{
    SERVE({503, NULL, "<Error><Code>SlowDown</Code></Error>"}, {500, NULL, NULL},
          {409, NULL, "<Error><Code>OperationAborted</Code></Error>"}, {200, NULL, "ok"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .timeout_ms = 30000}, &o), ERR_OK);
    assert_int_equal(o.attempts, 4);
    assert_string_equal(o.body, "ok");
    script_stop(server);
}

static void a_hidden_error_in_a_200_is_tried_again(void **state)
{
    SERVE({200, NULL, "<Error><Code>InternalError</Code></Error>"}, {200, NULL, "<CopyObjectResult><ETag>"},
          {200, NULL, "<CopyObjectResult><ETag>\"x\"</ETag></CopyObjectResult>"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_PUT, .xml_error_in_200 = true}, &o), ERR_OK);
    assert_int_equal(o.attempts, 3);
    script_stop(server);
}

static void a_hidden_error_that_is_final_ends_it(void **state)
{
    SERVE({200, NULL, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_PUT, .xml_error_in_200 = true}, &o), ERR_ACCESS);
    assert_int_equal(o.attempts, 1);
    script_stop(server);
}

static void the_deadline_gives_the_last_error(void **state)
{
    SERVE({500, "x-amz-request-id: RX\r\n", NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .timeout_ms = 1500}, &o), ERR_IO);
    assert_non_null(strstr(o.err.msg, "RX"));
    assert_string_equal(o.body, "");
    script_stop(server);
}

static void once_means_once(void **state)
{
    SERVE({500, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .once = true}, &o), ERR_IO);
    assert_int_equal(script_count(server), 1);
    script_stop(server);
}

/* ---- what is learnt ---- */

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

static void anonymous_requests_are_not_signed(void **state)
{
    SERVE({200, NULL, NULL});
    const struct creds_options options = {.anonymous = true};
    CLEANUP(creds_provider_free) struct creds_provider *p = creds_provider_new(engine, &options, NULL);
    const struct aws_client_config config = {.service = "s3", .endpoint = script_url(server), .bucket = "bkt"};
    CLEANUP(aws_client_free) struct aws_client *c = aws_client_new(engine, p, &config, NULL);
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET}, &o), ERR_OK);
    struct seen r = script_seen(server, 1);
    assert_null(strcasestr(r.head, "authorization"));
    assert_null(strcasestr(r.head, "x-amz-"));
    script_stop(server);
}

/* ---- streaming, acceptance, attempts ---- */

static bool take(void *arg, const struct http_transfer *t, int status, const void *p, size_t len)
{
    struct outcome *o = arg;

    strncat(o->streamed, p, len);
    return true;
}

static enum err_code accept_whole(void *arg, const struct aws_reply *r, struct err *e)
{
    struct outcome *o = arg;

    return strlen(o->streamed) >= 4 ? ERR_OK : err_set(e, ERR_PROTO, "short body");
}

static void ask_for_the_rest(void *arg, unsigned attempt, struct aws_param *headers)
{
    static char range[32];
    struct outcome *o = arg;

    snprintf(range, sizeof(range), "bytes=%zu-3", strlen(o->streamed));
    headers[0].value = range;
}

static void a_body_that_is_not_accepted_is_asked_for_again(void **state)
{
    SERVE({206, NULL, "ab"}, {206, NULL, "cd"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    const struct aws_param headers[] = {{"Range", "bytes=0-3"}, {0}};
    struct outcome o;

    assert_int_equal(call(c,
                          (struct aws_request){.method = HTTP_GET,
                                               .headers = headers,
                                               .data = take,
                                               .accept = accept_whole,
                                               .before_attempt = ask_for_the_rest},
                          &o),
                     ERR_OK);
    assert_string_equal(o.streamed, "abcd");
    struct seen r = script_seen(server, 2);
    assert_string_equal(seen_header(&r, "Range"), "bytes=2-3");
    script_stop(server);
}

static void a_reply_that_is_never_acceptable_ends_with_its_reason(void **state)
{
    SERVE({206, NULL, ""});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .accept = accept_whole, .timeout_ms = 30000}, &o),
                     ERR_PROTO);
    assert_string_equal(o.err.msg, "short body");
    assert_int_equal(o.attempts, 4);
    script_stop(server);
}

static void errors_of_a_streamed_request_are_collected(void **state)
{
    SERVE({403, NULL, "<Error><Code>AccessDenied</Code></Error>"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .data = take}, &o), ERR_ACCESS);
    assert_string_equal(o.streamed, "");
    assert_string_equal(o.error_code, "AccessDenied");
    script_stop(server);
}

static void a_cancelled_request_ends(void **state)
{
    SERVE({500, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct cancel *cancel = cancel_new();
    const struct aws_request r = {.method = HTTP_GET};
    struct err e = ERR_INIT;

    cancel_fire(cancel);
    assert_int_equal(aws_call(c, &r, cancel, &e), ERR_CANCELED);
    cancel_unref(cancel);
    script_stop(server);
}

/* ---- URLs ---- */

static void urls_follow_the_endpoint(void **state)
{
    const struct aws_client_config config = {.service = "s3", .bucket = "my-bucket", .region = "eu-west-1"};
    CLEANUP(aws_client_free) struct aws_client *c = aws_client_new(engine, creds, &config, NULL);
    BUF(url, 4096);
    BUF(signed_url, 4096);

    assert_int_equal(aws_url(c, "a b/ü", &url, NULL), ERR_OK);
    assert_string_equal(buf_str(&url), "https://my-bucket.s3.eu-west-1.amazonaws.com/a%20b/%C3%BC");
    assert_int_equal(aws_presign(c, "a b", 60, &signed_url, NULL), ERR_OK);
    assert_true(str_starts(buf_str(&signed_url),
                           "https://my-bucket.s3.eu-west-1.amazonaws.com/a%20b?X-Amz-Algorithm=AWS4-HMAC-SHA256&"));
    assert_non_null(strstr(buf_str(&signed_url), "X-Amz-Security-Token=" TOKEN));
    assert_null(strstr(buf_str(&signed_url), SECRET));
}

static void wrong_options_are_named(void **state)
{
    static const struct {
        struct aws_client_config config;
        const char *says;
    } table[] = {
        {{.service = "s3", .bucket = "a/b"}, "a/b"},
        {{.service = "s3", .bucket = "bkt", .region = "no region"}, "option region="},
        {{.service = "s3", .bucket = "bkt", .region = "eu-west-1", .endpoint = "ftp://x"}, "option endpoint="},
        {{.service = "s3", .bucket = "bkt", .region = "eu-west-1", .endpoint = "http://x", .fips = true},
         "option fips"},
        {{.service = "s3", .bucket = "bkt", .profile = "nobody"}, "nobody"},
        {{.service = "ssm"}, "no region"},
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct err e = ERR_INIT;

        assert_null(aws_client_new(engine, creds, &table[i].config, &e));
        assert_int_equal(e.code, ERR_INVAL);
        if (!strstr(e.msg, table[i].says))
            fail_msg("'%s' does not say '%s'", e.msg, table[i].says);
    }
}

static void the_profile_chooses_the_addressing(void **state)
{
    const struct aws_client_config config = {.service = "s3", .bucket = "my-bucket", .region = "eu-west-1"};
    BUF(url, 4096);

    sandbox_write(".aws/config", "[default]\ns3 =\n  addressing_style = path\n");
    CLEANUP(aws_client_free) struct aws_client *c = aws_client_new(engine, creds, &config, NULL);
    assert_int_equal(aws_url(c, "k", &url, NULL), ERR_OK);
    assert_string_equal(buf_str(&url), "https://s3.eu-west-1.amazonaws.com/my-bucket/k");
    sandbox_write(".aws/config", "[default]\ns3 =\n  addressing_style = sideways\n");
    struct err e = ERR_INIT;
    assert_null(aws_client_new(engine, creds, &config, &e));
    assert_non_null(strstr(e.msg, "sideways"));
}

/* ---- many at once ---- */

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

#define T(fn) cmocka_unit_test_setup_teardown(fn, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_is_sent_as_documented_with_everything_left_out),
        T(keys_queries_and_headers_go_out_encoded_once),
        T(a_header_that_would_break_the_request_is_refused),
        T(a_body_is_hashed_and_sent_again_with_each_attempt),
        T(a_hash_that_is_given_is_used),
        T(errors_are_decoded_and_named),
        T(the_words_of_a_server_that_may_quote_a_secret_are_left_out),
        T(the_code_may_come_in_a_header),
        T(transient_errors_are_tried_again),
        T(a_hidden_error_in_a_200_is_tried_again),
        T(a_hidden_error_that_is_final_ends_it),
        T(the_deadline_gives_the_last_error),
        T(once_means_once),
        T(a_wrong_clock_is_corrected_once_for_all),
        T(a_head_without_body_is_corrected_by_its_date),
        T(a_clock_that_is_refused_for_ever_is_an_error),
        T(at_an_endpoint_of_ones_own_only_the_signing_region_follows_the_bucket),
        T(a_redirect_without_region_asks_the_bucket),
        T(a_head_with_400_asks_the_bucket_where_it_is),
        T(redirects_that_lead_nowhere_end),
        T(redirects_to_and_fro_end),
        T(expired_credentials_that_cannot_be_renewed_are_an_error),
        T(expired_credentials_are_renewed),
        T(anonymous_requests_are_not_signed),
        T(a_body_that_is_not_accepted_is_asked_for_again),
        T(a_reply_that_is_never_acceptable_ends_with_its_reason),
        T(errors_of_a_streamed_request_are_collected),
        T(a_cancelled_request_ends),
        T(urls_follow_the_endpoint),
        T(wrong_options_are_named),
        T(the_profile_chooses_the_addressing),
        T(many_threads_may_send_while_clock_and_region_are_learnt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
