#include "client_fixture.h"

#include "util/cancel.h"
#include "util/clock.h"
#include "util/str.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define BUCKET "bkt--use1-az4--x-s3"

/* Answers CreateSession with `session`, or where that is NULL with good keys; all else with 200. */
static void answer(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    const char *const *session = arg;
    struct timespec now = clock_now();
    char body[1024], date[40];
    struct tm tm;

    if (!strstr(r->target, "?session")) {
        reply_add(out, 200, "", "");
        return;
    }
    now.tv_sec += 300;
    gmtime_r(&now.tv_sec, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
    snprintf(body, sizeof(body),
             "<CreateSessionResult><Credentials><SessionToken>MARKERsession</SessionToken><SecretAccessKey>MARKERsecret"
             "</SecretAccessKey><AccessKeyId>SKID%u</AccessKeyId><Expiration>%s</Expiration></Credentials>"
             "</CreateSessionResult>",
             number, date);
    reply_add(out, 200, "", *session ? *session : body);
}

static bool is_of_session(struct script *server, unsigned number)
{
    struct seen r = script_seen(server, number);
    bool token = !strcmp(seen_header(&r, "x-amz-s3session-token"), "MARKERsession");
    bool key = strstr(seen_header(&r, "authorization"), "Credential=SKID") != NULL;
    bool account = !strcmp(seen_header(&r, "x-amz-security-token"), TOKEN);

    assert_non_null(strstr(seen_header(&r, "authorization"), "/eu-west-1/s3express/aws4_request"));
    assert_int_equal(token, key);
    assert_int_equal(token, !account);
    return token;
}

static void copies_and_HeadBucket_go_with_the_accounts_keys_all_others_with_the_sessions(void **state)
{
    static const struct aws_param copy[] = {{"x-amz-copy-source", "/b/k"}, {0}}, list[] = {{"list-type", "2"}, {0}};
    const char *session = NULL;
    struct script *server = script_start(answer, &session);
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), BUCKET);
    struct outcome o;

    log_watch();
    assert_int_equal(call(c, (struct aws_request){.key = "k"}, &o), ERR_OK);
    struct seen first = script_seen(server, 1);
    assert_string_equal(first.target, "/" BUCKET "?session");
    assert_false(is_of_session(server, 1));
    assert_true(is_of_session(server, 2));
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD}, &o), ERR_OK);
    assert_false(is_of_session(server, 3));
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_PUT, .key = "k", .headers = copy}, &o), ERR_OK);
    assert_false(is_of_session(server, 4));
    assert_int_equal(call(c, (struct aws_request){.method = HTTP_HEAD, .key = "k"}, &o), ERR_OK);
    assert_int_equal(call(c, (struct aws_request){.query = list}, &o), ERR_OK);
    assert_true(is_of_session(server, 5) && is_of_session(server, 6));
    assert_int_equal(script_count(server), 6);
    log_expect_no_marker();
    script_stop(server);
}

static void the_session_is_asked_for_with_the_encryption_of_what_is_stored(void **state)
{
    const char *session = NULL;
    struct script *server = script_start(answer, &session);
    const struct aws_client_config config = {.service = "s3",
                                             .endpoint = script_url(server),
                                             .bucket = BUCKET,
                                             .region = "eu-west-1",
                                             .session_sse = "aws:kms",
                                             .session_sse_key = "key-1"};
    CLEANUP(aws_client_free) struct aws_client *c = aws_client_new(engine, creds, &config, NULL);
    struct outcome o;

    assert_true(aws_client_has_session(c));
    assert_int_equal(call(c, (struct aws_request){.key = "k"}, &o), ERR_OK);
    struct seen first = script_seen(server, 1);
    assert_string_equal(first.target, "/" BUCKET "?session");
    assert_string_equal(seen_header(&first, "x-amz-server-side-encryption"), "aws:kms");
    assert_string_equal(seen_header(&first, "x-amz-server-side-encryption-aws-kms-key-id"), "key-1");
    assert_non_null(strstr(seen_header(&first, "authorization"), "x-amz-server-side-encryption-aws-kms-key-id"));
    script_stop(server);
}

static void without_session_auth_the_accounts_keys_sign(void **state)
{
    const char *session = NULL;
    struct script *server = script_start(answer, &session);
    struct outcome o;

    setenv("AWS_S3_DISABLE_EXPRESS_SESSION_AUTH", "true", 1);
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), BUCKET);
    assert_int_equal(call(c, (struct aws_request){.key = "k"}, &o), ERR_OK);
    assert_false(is_of_session(server, 1));
    script_stop(server);
}

static void a_session_that_makes_no_sense_is_an_error_without_its_secrets(void **state)
{
    static const char *const bad[] = {
        "",
        "<CreateSessionResult/>",
        "<CreateSessionResult><Credentials><SessionToken>MARKER</SessionToken></Credentials></CreateSessionResult>",
        "<CreateSessionResult><Credentials><SessionToken>MARKER</SessionToken><SecretAccessKey>MARKER</SecretAccessKey>"
        "<AccessKeyId>ID</AccessKeyId><Expiration>2001-01-01T00:00:00Z</Expiration></Credentials></"
        "CreateSessionResult>",
        "<CreateSessionResult><Credentials><SessionToken>MARKER\n</SessionToken><SecretAccessKey>MARKER</"
        "SecretAccessKey>"
        "<AccessKeyId>I/D</AccessKeyId><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></"
        "CreateSessionResult>",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const char *session = bad[i];
        struct script *server = script_start(answer, &session);
        CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), BUCKET);
        struct outcome o;

        log_watch();
        assert_int_equal(call(c, (struct aws_request){.key = "k"}, &o), ERR_PROTO);
        assert_non_null(strstr(o.err.msg, "CreateSession"));
        assert_int_equal(script_count(server), 1);
        log_expect_no_marker();
        script_stop(server);
    }
}

enum { THREADS = 20 };

static void *send_one(void *arg)
{
    struct outcome o;

    assert_int_equal(call(arg, (struct aws_request){.key = "k"}, &o), ERR_OK);
    return NULL;
}

static void any_number_of_threads_wait_for_one_session(void **state)
{
    const char *session = NULL;
    struct script *server = script_start(answer, &session);
    CLEANUP(aws_client_free) struct aws_client *c = client_for("s3", script_url(server), BUCKET);
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_one, c), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(script_count(server), 1 + THREADS);
    for (unsigned n = 2; n <= 1 + THREADS; n++)
        assert_true(is_of_session(server, n));
    script_stop(server);
}

struct held {
    struct cancel *cancel;
    sem_t go;
};

/* The call that waits for the session is canceled while the session is being made; the answer comes when all is over.
 */
static void answer_late(void *arg, const struct seen *r, unsigned number, struct buf *out)
{
    struct held *h = arg;

    assert_non_null(strstr(r->target, "?session"));
    cancel_fire(h->cancel);
    sem_wait(&h->go);
    reply_add(out, 200, "", "");
}

static void a_client_can_be_freed_while_its_session_is_being_made(void **state)
{
    CLEANUP(cancel_unref) struct cancel *cancel = cancel_new();
    struct held held = {.cancel = cancel};
    sem_init(&held.go, 0, 0);
    struct script *server = script_start(answer_late, &held);
    struct aws_client *c = client_for("s3", script_url(server), BUCKET);
    const struct aws_request r = {.key = "k", .what = "TestCall"};

    assert_int_equal(aws_call(c, &r, cancel, NULL), ERR_CANCELED);
    aws_client_free(c);
    assert_int_equal(script_count(server), 1);
    sem_post(&held.go);
    script_stop(server);
    sem_destroy(&held.go);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(copies_and_HeadBucket_go_with_the_accounts_keys_all_others_with_the_sessions),
        T(the_session_is_asked_for_with_the_encryption_of_what_is_stored),
        T(without_session_auth_the_accounts_keys_sign),
        T(any_number_of_threads_wait_for_one_session),
        T(a_client_can_be_freed_while_its_session_is_being_made),
        T(a_session_that_makes_no_sense_is_an_error_without_its_secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
