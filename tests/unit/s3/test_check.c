/* What answers say about permissions, and the rows that come of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/s3/check.h"

#include <string.h>

static void a_denial_names_its_action_and_its_resource(void **state)
{
    static const struct {
        const char *message, *action, *resource;
    } cases[] = {
        {"Access Denied", "", ""},
        {"", "", ""},
        {"User: arn:aws:iam::1:user/a is not authorized to perform: s3:PutObject on resource: \"arn:aws:s3:::b/k\" because no "
         "identity-based policy allows the s3:PutObject action",
         "s3:PutObject", "arn:aws:s3:::b/k"},
        {"User: x is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:eu-west-1:1:key/2-3 because",
         "kms:GenerateDataKey", "arn:aws:kms:eu-west-1:1:key/2-3"},
        {"is not authorized to perform: s3:ListBucket", "s3:ListBucket", ""},
        {"is not authorized to perform: s3:ListBucket on resource: everything", "s3:ListBucket", ""},
        {"is not authorized to perform: \",\"Action\":\"*", "", ""},
        {"is not authorized to perform: s3:", "", ""},
        {"is not authorized to perform: :x", "", ""},
        {"is not authorized to perform: a:b:c", "", ""},
        {"is not authorized to perform: everything", "", ""},
    };
    char action[CHECK_ACTION_SIZE], resource[CHECK_RESOURCE_SIZE];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        s3_denial_parse(cases[i].message, action, resource);
        assert_string_equal(action, cases[i].action);
        assert_string_equal(resource, cases[i].resource);
    }
}

static void a_denial_longer_than_its_room_is_cut(void **state)
{
    char message[2048] = "not authorized to perform: s3:", action[CHECK_ACTION_SIZE], resource[CHECK_RESOURCE_SIZE];
    size_t n = strlen(message);

    memset(message + n, 'x', sizeof(message) - n - 1);
    message[sizeof(message) - 1] = 0;
    s3_denial_parse(message, action, resource);
    assert_int_equal(strlen(action), CHECK_ACTION_SIZE - 1);
    assert_string_equal(resource, "");
}

static void statuses_and_codes_become_verdicts(void **state)
{
    static const struct {
        enum s3_try what;
        int status;
        const char *error;
        enum err_code code;
        const char *action;
        bool may_list;
        enum check_verdict verdict;
    } cases[] = {
        {S3_TRY_LIST, 200, "", ERR_OK, "", true, CHECK_YES},
        {S3_TRY_LIST, 403, "AccessDenied", ERR_ACCESS, "", false, CHECK_NO},
        {S3_TRY_LIST, 404, "NoSuchBucket", ERR_IO, "", false, CHECK_UNKNOWN},
        {S3_TRY_LIST, 0, "", ERR_TIMEOUT, "", false, CHECK_UNKNOWN},
        {S3_TRY_READ, 404, "NoSuchKey", ERR_NOT_FOUND, "", true, CHECK_YES},
        {S3_TRY_READ, 404, "", ERR_PROTO, "", true, CHECK_UNKNOWN},
        {S3_TRY_READ, 403, "AccessDenied", ERR_ACCESS, "", true, CHECK_NO},
        {S3_TRY_READ, 403, "AccessDenied", ERR_ACCESS, "", false, CHECK_UNKNOWN},
        {S3_TRY_READ, 403, "AccessDenied", ERR_ACCESS, "s3:GetObject", false, CHECK_NO},
        {S3_TRY_READ, 403, "AccessDenied", ERR_ACCESS, "s3:ListBucket", false, CHECK_YES},
        {S3_TRY_THERE, 206, "", ERR_OK, "", true, CHECK_YES},
        {S3_TRY_THERE, 416, "InvalidRange", ERR_RANGE, "", true, CHECK_YES},
        {S3_TRY_THERE, 403, "InvalidObjectState", ERR_ACCESS, "", true, CHECK_YES},
        {S3_TRY_THERE, 403, "AccessDenied", ERR_ACCESS, "kms:Decrypt", true, CHECK_NO},
        {S3_TRY_THERE, 400, "KMS.DisabledException", ERR_KEY_REJECTED, "", true, CHECK_NO},
        {S3_TRY_PUT, 404, "NoSuchKey", ERR_NOT_FOUND, "", true, CHECK_YES},
        {S3_TRY_PUT, 412, "PreconditionFailed", ERR_CONFLICT, "", true, CHECK_YES},
        {S3_TRY_PUT, 409, "ConditionalRequestConflict", ERR_CONFLICT, "", true, CHECK_YES},
        {S3_TRY_PUT, 200, "", ERR_OK, "", true, CHECK_YES},
        {S3_TRY_PUT, 403, "AccessDenied", ERR_ACCESS, "", false, CHECK_NO},
        {S3_TRY_PUT, 403, "SignatureDoesNotMatch", ERR_AUTH, "", true, CHECK_UNKNOWN},
        {S3_TRY_PUT, 403, "RequestTimeTooSkewed", ERR_AUTH, "", true, CHECK_UNKNOWN},
        {S3_TRY_PUT, 400, "BadDigest", ERR_IO, "", true, CHECK_YES},
        {S3_TRY_PUT, 400, "InvalidRequest", ERR_INVAL, "", true, CHECK_UNKNOWN},
        {S3_TRY_PUT, 501, "NotImplemented", ERR_UNSUPPORTED, "", true, CHECK_NO},
        {S3_TRY_PUT, 503, "SlowDown", ERR_THROTTLED, "", true, CHECK_UNKNOWN},
        {S3_TRY_DELETE, 204, "", ERR_OK, "", true, CHECK_YES},
        {S3_TRY_DELETE, 412, "PreconditionFailed", ERR_CONFLICT, "", true, CHECK_YES},
        {S3_TRY_DELETE, 403, "", ERR_ACCESS, "", false, CHECK_NO},
        {S3_TRY_ABORT, 404, "NoSuchUpload", ERR_NOT_FOUND, "", true, CHECK_YES},
        {S3_TRY_ABORT, 404, "NoSuchBucket", ERR_IO, "", true, CHECK_UNKNOWN},
        {S3_TRY_ABORT, 403, "AccessDenied", ERR_ACCESS, "", true, CHECK_NO},
        {S3_TRY_GET_TAGS, 404, "NoSuchKey", ERR_NOT_FOUND, "", true, CHECK_YES},
        {S3_TRY_GET_TAGS, 403, "AccessDenied", ERR_ACCESS, "", false, CHECK_UNKNOWN},
        {S3_TRY_PUT_TAGS, 501, "NotImplemented", ERR_UNSUPPORTED, "", true, CHECK_NO},
        {S3_TRY_PUT_TAGS, 405, "MethodNotAllowed", ERR_UNSUPPORTED, "", true, CHECK_NO},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_outcome o = {.tried = true, .status = cases[i].status, .code = cases[i].code};

        strncpy(o.error, cases[i].error, sizeof(o.error) - 1);
        strncpy(o.action, cases[i].action, sizeof(o.action) - 1);
        if (s3_allowed(cases[i].what, &o, cases[i].may_list) != cases[i].verdict)
            fail_msg("case %zu (HTTP %d %s): not %d", i, cases[i].status, cases[i].error, cases[i].verdict);
        o.tried = false;
        assert_int_equal(s3_allowed(cases[i].what, &o, cases[i].may_list), CHECK_UNKNOWN);
    }
}

/* A bucket in which all is allowed and that honours conditions. */
static void all_is_well(struct s3_outcome o[S3_TRIES])
{
    memset(o, 0, S3_TRIES * sizeof(*o));
    for (int i = 0; i < S3_TRIES; i++)
        o[i] = (struct s3_outcome){.tried = true, .status = 404, .code = ERR_NOT_FOUND};
    o[S3_TRY_LIST] = o[S3_TRY_CREATE] = (struct s3_outcome){.tried = true, .status = 200};
    o[S3_TRY_THERE].tried = false;
}

static void deny(struct s3_outcome *o, const char *action)
{
    *o = (struct s3_outcome){.tried = true, .status = 403, .code = ERR_ACCESS, .error = "AccessDenied"};
    strncpy(o->action, action, sizeof(o->action) - 1);
}

static const struct check_row *row_of(const struct s3_outcome *o, bool read_only, const char *what, struct check_report *r)
{
    static char bucket[] = "b", prefix[] = "";
    const struct s3_store s = {.bucket = bucket, .prefix = prefix};

    memset(r, 0, sizeof(*r));
    s3_check_rows(&s, o, "", read_only, r);
    const struct check_row *row = check_find(r, what);
    assert_non_null(row);
    return row;
}

static void a_mount_works_where_all_is_allowed(void **state)
{
    struct s3_outcome o[S3_TRIES];
    struct check_report r;

    all_is_well(o);
    assert_int_equal(row_of(o, false, "conditional requests", &r)->verdict, CHECK_YES);
    for (size_t i = 0; i < r.n; i++)
        assert_int_not_equal(r.rows[i].verdict, CHECK_NO);
    assert_true(check_works(&r, NULL));
}

static void what_writes_need_is_not_needed_by_a_read_only_mount(void **state)
{
    static const enum s3_try writing[] = {S3_TRY_PUT, S3_TRY_DELETE, S3_TRY_CREATE};
    struct s3_outcome o[S3_TRIES];
    struct check_report r;

    for (size_t i = 0; i < 3; i++) {
        all_is_well(o);
        deny(&o[writing[i]], "");
        (void)row_of(o, false, "write", &r);
        assert_false(check_works(&r, NULL));
        (void)row_of(o, true, "write", &r);
        assert_true(check_works(&r, NULL));
    }
    all_is_well(o);
    deny(&o[S3_TRY_READ], "");
    (void)row_of(o, true, "read", &r);
    assert_false(check_works(&r, NULL));
    all_is_well(o);
    deny(&o[S3_TRY_PUT_TAGS], "");
    (void)row_of(o, false, "write tags", &r);
    assert_true(check_works(&r, NULL));
}

static void the_action_that_the_server_names_is_the_one_told(void **state)
{
    struct s3_outcome o[S3_TRIES];
    struct check_report r;

    all_is_well(o);
    deny(&o[S3_TRY_THERE], "kms:Decrypt");
    strcpy(o[S3_TRY_THERE].resource, "arn:aws:kms:r:1:key/k");
    const struct check_row *row = row_of(o, false, "read", &r);
    assert_int_equal(row->verdict, CHECK_NO);
    assert_string_equal(row->action, "kms:Decrypt");
    assert_string_equal(row->resource, "arn:aws:kms:r:1:key/k");
    assert_int_equal(row->on, CHECK_ON_KEY);

    all_is_well(o);
    deny(&o[S3_TRY_PUT], "kms:GenerateDataKey");
    assert_string_equal(row_of(o, false, "write", &r)->action, "kms:GenerateDataKey");
}

static void an_express_denial_is_told(void **state)
{
    struct s3_outcome o[S3_TRIES];
    struct check_report r;

    all_is_well(o);
    deny(&o[S3_TRY_DELETE], "s3:DeleteObject");
    o[S3_TRY_DELETE].express = true;
    assert_non_null(strstr(row_of(o, false, "delete", &r)->detail, "expressly"));
}

static void a_directory_bucket_lacks_its_session(void **state)
{
    static char bucket[] = "b--use1-az4--x-s3", prefix[] = "";
    const struct s3_store s = {.bucket = bucket, .prefix = prefix, .directory_bucket = true};
    struct s3_outcome o[S3_TRIES] = {0};
    struct check_report r = {0};

    o[S3_TRY_LIST] = (struct s3_outcome){.tried = true, .code = ERR_ACCESS, .msg = "CreateSession: AccessDenied"};
    s3_check_rows(&s, o, "", false, &r);
    const struct check_row *row = check_find(&r, "list");
    assert_int_equal(row->verdict, CHECK_NO);
    assert_string_equal(row->action, "s3express:CreateSession");
    assert_int_equal(row->on, CHECK_ON_BUCKET);
    assert_false(check_works(&r, NULL));
}

static void a_denied_object_that_is_there_outweighs_the_scratch_name(void **state)
{
    struct s3_outcome o[S3_TRIES];
    struct check_report r;

    all_is_well(o);
    deny(&o[S3_TRY_THERE], "");
    assert_int_equal(row_of(o, false, "read", &r)->verdict, CHECK_NO);
    deny(&o[S3_TRY_LIST], "");
    deny(&o[S3_TRY_READ], "");
    o[S3_TRY_THERE].tried = false;
    assert_int_equal(row_of(o, false, "read", &r)->verdict, CHECK_UNKNOWN);
}

static void a_server_that_ignores_conditions_is_told_and_so_is_what_is_left(void **state)
{
    static char bucket[] = "b", prefix[] = "";
    const struct s3_store s = {.bucket = bucket, .prefix = prefix};
    struct s3_outcome o[S3_TRIES];
    struct check_report r = {0};

    all_is_well(o);
    o[S3_TRY_PUT] = (struct s3_outcome){.tried = true, .status = 200};
    s3_check_rows(&s, o, "the object x may be left", false, &r);
    const struct check_row *row = check_find(&r, "conditional requests");
    assert_int_equal(row->verdict, CHECK_NO);
    assert_non_null(strstr(row->detail, "ignores If-Match"));
    assert_non_null(strstr(row->detail, "the object x may be left"));
    assert_int_equal(check_find(&r, "write")->verdict, CHECK_YES);
}

static void an_upload_is_not_begun_where_it_may_not_be_aborted(void **state)
{
    struct s3_outcome o[S3_TRIES];
    struct check_report r;

    all_is_well(o);
    deny(&o[S3_TRY_ABORT], "");
    o[S3_TRY_CREATE].tried = false;
    const struct check_row *row = row_of(o, false, "multipart", &r);
    assert_int_equal(row->verdict, CHECK_NO);
    assert_string_equal(row->action, "s3:AbortMultipartUpload");
    assert_true(check_works(&r, NULL));
}

static void a_bucket_that_does_not_answer_is_one_line(void **state)
{
    static const enum err_code codes[] = {ERR_NET, ERR_TIMEOUT, ERR_CANCELED, ERR_AUTH, ERR_IO};
    struct s3_outcome o[S3_TRIES];
    struct check_report r;

    for (size_t i = 0; i < 5; i++) {
        memset(o, 0, sizeof(o));
        o[S3_TRY_LIST] = (struct s3_outcome){.tried = true, .code = codes[i], .status = i > 2 ? 403 : 0, .msg = "the reason"};
        strcpy(o[S3_TRY_LIST].error, i > 2 ? "InvalidAccessKeyId" : "");
        size_t told = 0;
        assert_int_equal(row_of(o, false, "bucket", &r)->verdict, i > 2 ? CHECK_NO : CHECK_UNKNOWN);
        for (size_t k = 0; k < r.n; k++)
            told += strstr(r.rows[k].detail, "the reason") != NULL;
        assert_int_equal(told, codes[i] == ERR_CANCELED ? 0 : 1);
        assert_false(check_works(&r, NULL));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_denial_names_its_action_and_its_resource),
        cmocka_unit_test(a_denial_longer_than_its_room_is_cut),
        cmocka_unit_test(statuses_and_codes_become_verdicts),
        cmocka_unit_test(a_mount_works_where_all_is_allowed),
        cmocka_unit_test(what_writes_need_is_not_needed_by_a_read_only_mount),
        cmocka_unit_test(the_action_that_the_server_names_is_the_one_told),
        cmocka_unit_test(an_express_denial_is_told),
        cmocka_unit_test(a_directory_bucket_lacks_its_session),
        cmocka_unit_test(a_denied_object_that_is_there_outweighs_the_scratch_name),
        cmocka_unit_test(a_server_that_ignores_conditions_is_told_and_so_is_what_is_left),
        cmocka_unit_test(an_upload_is_not_begun_where_it_may_not_be_aborted),
        cmocka_unit_test(a_bucket_that_does_not_answer_is_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
