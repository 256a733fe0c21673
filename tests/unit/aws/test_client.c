#include "client_fixture.h"

#include "util/cancel.h"
#include "util/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

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

static ssize_t read_x(void *arg, uint64_t offset, void *out, size_t len)
{
    uint64_t *reads = arg;
    *reads += 1;
    memset(out, 'x', len);
    return (ssize_t)len;
}

static void a_long_body_that_leaves_this_machine_by_no_wire_is_not_hashed(void **state)
{
    SERVE({200, NULL, NULL});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    uint64_t reads = 0;
    struct http_body large = {2 << 20, read_x, &reads}, small = {1 << 20, read_x, &reads};
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_PUT, .key = "k", .body = &large}, &o), ERR_OK);
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_PUT, .key = "k", .body = &small}, &o), ERR_OK);
    struct seen first = script_seen(server, 1), second = script_seen(server, 2);
    assert_string_equal(seen_header(&first, "X-Amz-Content-Sha256"), "UNSIGNED-PAYLOAD");
    assert_int_equal(strlen(seen_header(&second, "X-Amz-Content-Sha256")), 64);
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
         "no such bucket"},
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

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .timeout_ms = 4000}, &o), ERR_IO);
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

static bool take_only_parts(void *arg, const struct http_transfer *t, int status, const void *p, size_t len)
{
    return status == 206 && take(arg, t, status, p, len);
}

static void a_reply_that_is_turned_down_is_asked_for_again(void **state)
{
    SERVE({200, NULL, "not a part but all of it"}, {206, NULL, "abcd"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .data = take_only_parts, .accept = accept_whole}, &o), ERR_OK);
    assert_string_equal(o.streamed, "abcd");
    assert_int_equal(o.attempts, 2);
    script_stop(server);
}

static enum err_code accept_nothing(void *arg, const struct aws_reply *r, struct err *e)
{
    return err_set(e, ERR_CONFLICT, "another version");
}

static void a_reply_that_is_turned_down_for_good_is_not(void **state)
{
    SERVE({200, NULL, "another version"}, {206, NULL, "abcd"});
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), "bkt");
    struct outcome o;

    assert_int_equal(call(c, (struct aws_request){.method = HTTP_GET, .data = take_only_parts, .accept = accept_nothing}, &o),
                     ERR_CANCELED);
    assert_int_equal(o.attempts, 1);
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
    assert_int_equal(aws_presign(c, "a b", NULL, 60, &signed_url, NULL), ERR_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_request_is_sent_as_documented_with_everything_left_out),
        T(keys_queries_and_headers_go_out_encoded_once),
        T(anonymous_requests_are_not_signed),
        T(a_header_that_would_break_the_request_is_refused),
        T(a_body_is_hashed_and_sent_again_with_each_attempt),
        T(a_hash_that_is_given_is_used),
        T(a_long_body_that_leaves_this_machine_by_no_wire_is_not_hashed),
        T(errors_are_decoded_and_named),
        T(the_words_of_a_server_that_may_quote_a_secret_are_left_out),
        T(the_code_may_come_in_a_header),
        T(transient_errors_are_tried_again),
        T(a_hidden_error_in_a_200_is_tried_again),
        T(a_hidden_error_that_is_final_ends_it),
        T(the_deadline_gives_the_last_error),
        T(once_means_once),
        T(a_body_that_is_not_accepted_is_asked_for_again),
        T(a_reply_that_is_never_acceptable_ends_with_its_reason),
        T(a_reply_that_is_turned_down_is_asked_for_again),
        T(a_reply_that_is_turned_down_for_good_is_not),
        T(errors_of_a_streamed_request_are_collected),
        T(a_cancelled_request_ends),
        T(urls_follow_the_endpoint),
        T(wrong_options_are_named),
        T(the_profile_chooses_the_addressing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
