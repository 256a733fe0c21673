#include "aws/errors.h"

#include "util/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct aws_error parse(const char *body)
{
    struct aws_error e;

    aws_error_parse(body, strlen(body), &e);
    return e;
}

static void the_error_documents_of_s3_sts_and_ssm_are_read(void **state)
{
    struct aws_error e =
        parse("<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>gone &amp; away</Message>"
              "<Key>a</Key><RequestId>R1</RequestId><Region>eu-west-1</Region></Error>");

    assert_true(e.recognised);
    assert_string_equal(e.code, "NoSuchKey");
    assert_string_equal(e.message, "gone & away");
    assert_string_equal(e.request_id, "R1");
    assert_string_equal(e.region, "eu-west-1");
    e = parse("<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>"
              "<Code>AccessDenied</Code><Message>no</Message></Error><RequestId>R2</RequestId></ErrorResponse>");
    assert_string_equal(e.code, "AccessDenied");
    assert_string_equal(e.request_id, "R2");
    e = parse("{\"__type\":\"com.amazonaws.ssm#ParameterNotFound\",\"message\":\"x\"}");
    assert_string_equal(e.code, "ParameterNotFound");
    assert_string_equal(e.message, "x");
    e = parse("{\"__type\":\"ThrottlingException\",\"Message\":\"Rate exceeded\"}");
    assert_string_equal(e.code, "ThrottlingException");
    assert_string_equal(e.message, "Rate exceeded");
}

static void the_type_of_a_header_loses_prefix_and_suffix(void **state)
{
    struct aws_error e = {0};

    aws_error_set_code(&e, "com.amazonaws.ssm#InvalidKeyId:http://internal.amazon.com/x");
    assert_string_equal(e.code, "InvalidKeyId");
    aws_error_set_code(&e, "#");
    assert_string_equal(e.code, "");
}

static void what_is_no_error_document_is_not_recognised(void **state)
{
    static const char *const table[] = {
        "<html><body>404 Not Found</body></html>",
        "<Error><Code>NoSuchKey</Code>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><Error><Code>NoSuchKey</Code></Error>",
        "{\"__type\":",
        "{\"__type\": 5}",
        "[]",
        "Not Found",
        "<",
        "{",
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct aws_error e = parse(table[i]);

        assert_false(e.recognised);
        assert_string_equal(e.code, "");
    }
    assert_true(parse("").recognised);
    assert_true(parse(" \r\n").recognised);
}

static void long_fields_are_cut(void **state)
{
    BUF(b, 100000);

    buf_add_str(&b, "<Error><Code>");
    for (int i = 0; i < 1000; i++)
        buf_add_str(&b, "CodeCode");
    buf_add_str(&b, "</Code></Error>");
    struct aws_error e = parse(buf_str(&b));
    assert_int_equal(strlen(e.code), sizeof(e.code) - 1);
}

static const struct {
    const char *service;
    int status;
    const char *code;
    enum err_code err;
    enum aws_class class;
} decisions[] = {
    /* HEAD: no body */
    {"s3", 403, "", ERR_ACCESS, AWS_FINAL},
    {"s3", 404, "", ERR_NOT_FOUND, AWS_FINAL},
    {"s3", 412, "", ERR_CONFLICT, AWS_FINAL},
    {"s3", 400, "", ERR_INVAL, AWS_FINAL},
    {"s3", 301, "", ERR_IO, AWS_REGION},
    {"s3", 304, "", ERR_CONFLICT, AWS_FINAL},
    {"s3", 416, "InvalidRange", ERR_RANGE, AWS_FINAL},
    {"s3", 500, "", ERR_IO, AWS_TRANSIENT},
    {"s3", 502, "", ERR_IO, AWS_TRANSIENT},
    {"s3", 599, "", ERR_IO, AWS_TRANSIENT},
    {"s3", 501, "NotImplemented", ERR_UNSUPPORTED, AWS_FINAL},
    {"s3", 503, "SlowDown", ERR_THROTTLED, AWS_THROTTLED},
    {"s3", 429, "", ERR_THROTTLED, AWS_THROTTLED},
    {"s3", 404, "NoSuchKey", ERR_NOT_FOUND, AWS_FINAL},
    {"s3", 404, "NoSuchBucket", ERR_IO, AWS_FINAL},
    {"s3", 404, "NoSuchTagSet", ERR_NOT_FOUND, AWS_FINAL},
    {"s3", 404, "NotFound", ERR_NOT_FOUND, AWS_FINAL},
    {"s3", 404, "XAdminUserNotFound", ERR_AUTH, AWS_EXPIRED},
    {"s3", 404, "SomethingNew", ERR_IO, AWS_FINAL},
    {"s3", 403, "AccessDenied", ERR_ACCESS, AWS_FINAL},
    {"s3", 403, "SomethingNew", ERR_ACCESS, AWS_FINAL},
    {"s3", 403, "InvalidObjectState", ERR_ACCESS, AWS_FINAL},
    {"s3", 403, "SignatureDoesNotMatch", ERR_AUTH, AWS_FINAL},
    {"s3", 403, "RequestTimeTooSkewed", ERR_AUTH, AWS_SKEW},
    {"s3", 400, "ExpiredToken", ERR_AUTH, AWS_EXPIRED},
    {"s3", 403, "InvalidAccessKeyId", ERR_AUTH, AWS_EXPIRED},
    {"s3", 409, "ConditionalRequestConflict", ERR_CONFLICT, AWS_TRANSIENT},
    {"s3", 409, "OperationAborted", ERR_CONFLICT, AWS_TRANSIENT},
    {"s3", 409, "BucketNotEmpty", ERR_NOT_EMPTY, AWS_FINAL},
    {"s3", 412, "PreconditionFailed", ERR_CONFLICT, AWS_FINAL},
    {"s3", 400, "EntityTooLarge", ERR_TOO_BIG, AWS_FINAL},
    {"s3", 400, "KeyTooLongError", ERR_NAME_TOO_LONG, AWS_FINAL},
    {"s3", 400, "BadDigest", ERR_IO, AWS_TRANSIENT},
    {"s3", 400, "RequestTimeout", ERR_TIMEOUT, AWS_TRANSIENT},
    {"s3", 400, "AuthorizationHeaderMalformed", ERR_AUTH, AWS_REGION},
    {"s3", 301, "PermanentRedirect", ERR_IO, AWS_REGION},
    {"s3", 307, "TemporaryRedirect", ERR_IO, AWS_REGION},
    {"s3", 500, "InternalError", ERR_IO, AWS_TRANSIENT},
    {"s3", 400, "KMS.DisabledException", ERR_KEY_REJECTED, AWS_FINAL},
    {"ssm", 400, "ParameterNotFound", ERR_NOT_FOUND, AWS_FINAL},
    {"ssm", 400, "ParameterVersionNotFound", ERR_NOT_FOUND, AWS_FINAL},
    {"ssm", 400, "ParameterAlreadyExists", ERR_EXISTS, AWS_FINAL},
    {"ssm", 400, "AccessDeniedException", ERR_ACCESS, AWS_FINAL},
    {"ssm", 400, "ParameterLimitExceeded", ERR_QUOTA, AWS_FINAL},
    {"ssm", 400, "ParameterMaxVersionLimitExceeded", ERR_QUOTA, AWS_FINAL},
    {"ssm", 400, "ValidationException", ERR_INVAL, AWS_FINAL},
    {"ssm", 400, "ParameterPatternMismatchException", ERR_INVAL, AWS_FINAL},
    {"ssm", 400, "HierarchyLevelLimitExceededException", ERR_NAME_TOO_LONG, AWS_FINAL},
    {"ssm", 400, "HierarchyTypeMismatchException", ERR_PERM, AWS_FINAL},
    {"ssm", 400, "ThrottlingException", ERR_THROTTLED, AWS_THROTTLED},
    {"ssm", 400, "TooManyUpdates", ERR_THROTTLED, AWS_THROTTLED},
    {"ssm", 400, "InvalidKeyId", ERR_KEY_REJECTED, AWS_FINAL},
    {"ssm", 400, "KMSInvalidStateException", ERR_KEY_REJECTED, AWS_FINAL},
    {"ssm", 400, "ExpiredTokenException", ERR_AUTH, AWS_EXPIRED},
    {"ssm", 400, "UnrecognizedClientException", ERR_AUTH, AWS_EXPIRED},
    {"ssm", 400, "SomethingNew", ERR_INVAL, AWS_FINAL},
    {"ssm", 404, "", ERR_PROTO, AWS_FINAL},
    {"ssm", 500, "InternalServerError", ERR_IO, AWS_TRANSIENT},
    {"sts", 403, "AccessDenied", ERR_ACCESS, AWS_FINAL},
    {"sts", 403, "ExpiredToken", ERR_AUTH, AWS_EXPIRED},
    {"sts", 403, "InvalidClientTokenId", ERR_AUTH, AWS_EXPIRED},
};

static void each_code_and_status_has_its_meaning(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(decisions); i++) {
        struct aws_error e = {.recognised = true};

        strcpy(e.code, decisions[i].code);
        struct aws_decision d = aws_error_decide(decisions[i].service, decisions[i].status, &e);
        if (d.code != decisions[i].err || d.class != decisions[i].class)
            fail_msg("%s %d %s: %s, class %d", decisions[i].service, decisions[i].status, decisions[i].code,
                     err_name(d.code), d.class);
    }
}

static void a_404_of_something_else_is_no_absence(void **state)
{
    struct aws_error e = parse("<html>no such page</html>");

    assert_int_equal(aws_error_decide("s3", 404, &e).code, ERR_PROTO);
}

static void a_signature_that_expired_is_a_matter_of_the_clock(void **state)
{
    struct aws_error e = parse("{\"__type\":\"InvalidSignatureException\",\"message\":\"Signature expired: 2015 is now "
                               "earlier than 2016\"}");

    assert_int_equal(aws_error_decide("ssm", 400, &e).class, AWS_SKEW);
    e = parse("{\"__type\":\"InvalidSignatureException\",\"message\":\"The request signature we calculated...\"}");
    assert_int_equal(aws_error_decide("ssm", 400, &e).class, AWS_FINAL);
}

static void an_archived_object_says_that_it_must_be_restored(void **state)
{
    struct aws_error e = parse("<Error><Code>InvalidObjectState</Code><Message>m</Message></Error>");

    assert_non_null(strstr(aws_error_decide("s3", 403, &e).text, "restored"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_documents_of_s3_sts_and_ssm_are_read),
        cmocka_unit_test(the_type_of_a_header_loses_prefix_and_suffix),
        cmocka_unit_test(what_is_no_error_document_is_not_recognised),
        cmocka_unit_test(long_fields_are_cut),
        cmocka_unit_test(each_code_and_status_has_its_meaning),
        cmocka_unit_test(a_404_of_something_else_is_no_absence),
        cmocka_unit_test(a_signature_that_expired_is_a_matter_of_the_clock),
        cmocka_unit_test(an_archived_object_says_that_it_must_be_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
