/* What answers say about permissions in a Parameter Store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/ssm/check.h"

#include <string.h>

#define QUEUE "https://sqs.eu-west-1.amazonaws.com/123456789012/changes"

static struct ssm_outcome outcome(enum err_code code)
{
    return (struct ssm_outcome){.tried = true, .code = code, .status = code == ERR_OK ? 200 : 400, .msg = "why"};
}

static void codes_become_verdicts(void **state)
{
    static const struct {
        enum err_code code;
        enum check_verdict verdict;
    } cases[] = {
        {ERR_OK, CHECK_YES},           {ERR_NOT_FOUND, CHECK_YES},    {ERR_EXISTS, CHECK_YES},
        {ERR_QUOTA, CHECK_YES},        {ERR_KEY_REJECTED, CHECK_YES}, {ERR_ACCESS, CHECK_NO},
        {ERR_NET, CHECK_UNKNOWN},      {ERR_TIMEOUT, CHECK_UNKNOWN},  {ERR_AUTH, CHECK_UNKNOWN},
        {ERR_CANCELED, CHECK_UNKNOWN}, {ERR_INVAL, CHECK_UNKNOWN},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ssm_outcome o = outcome(cases[i].code);

        assert_int_equal(ssm_verdict(&o), cases[i].verdict);
        o.tried = false;
        assert_int_equal(ssm_verdict(&o), CHECK_UNKNOWN);
    }
}

/* Everything is allowed, the path has a SecureString. */
static void all_is_well(struct ssm_outcome o[SSM_TRIES])
{
    memset(o, 0, SSM_TRIES * sizeof(*o));
    o[SSM_TRY_PAGE] = o[SSM_TRY_DESCRIBE] = o[SSM_TRY_DELETE_MANY] = o[SSM_TRY_SECRET] = outcome(ERR_OK);
    o[SSM_TRY_PAGE].secrets = true;
    o[SSM_TRY_GET] = o[SSM_TRY_DELETE] = outcome(ERR_NOT_FOUND);
    o[SSM_TRY_PUT] = outcome(ERR_EXISTS);
}

static const struct check_row *row_of(const struct ssm_outcome *o, const char *path, const char *what,
                                      struct check_report *r)
{
    memset(r, 0, sizeof(*r));
    const struct ssm_check_mount m = {
        .path = path, .queue = QUEUE, .writes = CHECK_NOT_DENIED, .describe = CHECK_NOT_DENIED};
    ssm_check_rows(o, &m, r);
    const struct check_row *row = check_find(r, what);
    assert_non_null(row);
    return row;
}

static void decryption_is_what_is_refused_with_it_and_allowed_without(void **state)
{
    struct ssm_outcome o[SSM_TRIES];
    struct check_report r;

    all_is_well(o);
    assert_int_equal(ssm_decrypt_verdict(o), CHECK_YES);
    o[SSM_TRY_PAGE] = outcome(ERR_ACCESS);
    o[SSM_TRY_PAGE_PLAIN] = outcome(ERR_OK);
    o[SSM_TRY_PAGE_PLAIN].secrets = true;
    o[SSM_TRY_SECRET] = outcome(ERR_ACCESS);
    assert_int_equal(ssm_decrypt_verdict(o), CHECK_NO);
    assert_int_equal(row_of(o, "/p", "list", &r)->verdict, CHECK_YES);
    assert_string_equal(check_find(&r, "decryption")->action, "kms:Decrypt");
    assert_false(check_works(&r, NULL));

    assert_int_equal(check_find(&r, "store")->verdict, CHECK_YES);
    assert_string_equal(check_find(&r, "store")->detail, "it answers");

    o[SSM_TRY_PAGE_PLAIN] = outcome(ERR_ACCESS);
    assert_int_equal(ssm_decrypt_verdict(o), CHECK_UNKNOWN);
    assert_int_equal(row_of(o, "/p", "list", &r)->verdict, CHECK_NO);

    all_is_well(o);
    o[SSM_TRY_PAGE].secrets = false;
    o[SSM_TRY_SECRET].tried = false;
    assert_int_equal(ssm_decrypt_verdict(o), CHECK_UNKNOWN);
    o[SSM_TRY_SECRET] = outcome(ERR_KEY_REJECTED);
    assert_int_equal(ssm_decrypt_verdict(o), CHECK_NO);
}

static void a_mount_may_begin_without_listing_where_its_path_may_be_read(void **state)
{
    static const struct {
        const char *path;
        enum err_code root;
        enum check_verdict verdict;
    } cases[] = {{"/p", ERR_OK, CHECK_YES},
                 {"/p", ERR_NOT_FOUND, CHECK_YES},
                 {"/p", ERR_ACCESS, CHECK_NO},
                 {"", ERR_OK, CHECK_NO}};
    struct ssm_outcome o[SSM_TRIES];
    struct check_report r;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        all_is_well(o);
        o[SSM_TRY_PAGE] = o[SSM_TRY_PAGE_PLAIN] = outcome(ERR_ACCESS);
        o[SSM_TRY_ROOT] = outcome(cases[i].root);
        assert_int_equal(row_of(o, cases[i].path, "store", &r)->verdict, cases[i].verdict);
    }
}

static void writing_is_unknown_where_nothing_is_there_to_be_refused(void **state)
{
    struct ssm_outcome o[SSM_TRIES];
    struct check_report r;

    all_is_well(o);
    assert_int_equal(row_of(o, "/p", "write", &r)->verdict, CHECK_YES);
    memset(&o[SSM_TRY_PUT], 0, sizeof(o[0]));
    assert_int_equal(row_of(o, "/p", "write", &r)->verdict, CHECK_UNKNOWN);
    assert_true(check_works(&r, NULL));
    o[SSM_TRY_PUT] = outcome(ERR_ACCESS);
    assert_string_equal(row_of(o, "/p", "write", &r)->action, "ssm:PutParameter");
    assert_false(check_works(&r, NULL));
}

static void encryption_is_told_where_a_secret_is_refused_and_a_text_is_not(void **state)
{
    static const struct {
        enum err_code put, secret;
        enum check_verdict verdict;
    } cases[] = {
        {ERR_EXISTS, ERR_EXISTS, CHECK_UNKNOWN},  {ERR_EXISTS, ERR_ACCESS, CHECK_NO},
        {ERR_EXISTS, ERR_KEY_REJECTED, CHECK_NO}, {ERR_EXISTS, ERR_OK, CHECK_YES},
        {ERR_ACCESS, ERR_ACCESS, CHECK_UNKNOWN},  {ERR_EXISTS, ERR_NET, CHECK_UNKNOWN},
    };
    struct ssm_outcome o[SSM_TRIES];
    struct check_report r;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        all_is_well(o);
        o[SSM_TRY_PUT] = outcome(cases[i].put);
        o[SSM_TRY_ENCRYPT] = outcome(cases[i].secret);
        assert_int_equal(ssm_encrypt_verdict(o), cases[i].verdict);
        const struct check_row *row = row_of(o, "/p", "encryption", &r);
        assert_int_equal(row->verdict, cases[i].verdict);
        assert_string_equal(row->action, cases[i].secret == ERR_KEY_REJECTED ? "" : "kms:Encrypt");
        assert_true(row->verdict != CHECK_UNKNOWN || row->detail[0]);
    }
    all_is_well(o);
    row_of(o, "/p", "write", &r);
    assert_null(check_find(&r, "encryption"));
}

static void what_is_beside_values_and_listings_has_rows_that_a_mount_does_without(void **state)
{
    static const struct {
        enum ssm_try try;
        const char *what, *action;
    } rows[] = {
        {SSM_TRY_GET_MANY, "read many", "ssm:GetParameters"},
        {SSM_TRY_HISTORY, "history", "ssm:GetParameterHistory"},
        {SSM_TRY_LABEL, "set labels", "ssm:LabelParameterVersion"},
        {SSM_TRY_UNLABEL, "remove labels", "ssm:UnlabelParameterVersion"},
        {SSM_TRY_TAGS, "read tags", "ssm:ListTagsForResource"},
        {SSM_TRY_TAG, "set tags", "ssm:AddTagsToResource"},
        {SSM_TRY_UNTAG, "remove tags", "ssm:RemoveTagsFromResource"},
        {SSM_TRY_RECEIVE, "take events", "sqs:ReceiveMessage"},
        {SSM_TRY_FORGET, "delete events", "sqs:DeleteMessage"},
    };
    struct ssm_outcome o[SSM_TRIES];
    struct check_report r;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        all_is_well(o);
        o[rows[i].try] = outcome(ERR_NOT_FOUND);
        assert_int_equal(row_of(o, "/p", rows[i].what, &r)->verdict, CHECK_YES);
        o[rows[i].try] = outcome(ERR_ACCESS);
        const struct check_row *row = row_of(o, "/p", rows[i].what, &r);
        assert_int_equal(row->verdict, CHECK_NO);
        assert_string_equal(row->action, rows[i].action);
        assert_true(check_works(&r, NULL));
    }
    assert_string_equal(check_find(&r, "delete events")->resource, "arn:aws:sqs:eu-west-1:123456789012:changes");
}

static void a_store_that_does_not_answer_is_one_line(void **state)
{
    struct ssm_outcome o[SSM_TRIES] = {0};
    struct check_report r;
    size_t told = 0;

    o[SSM_TRY_PAGE] = outcome(ERR_NET);
    o[SSM_TRY_PAGE].status = 0;
    assert_int_equal(row_of(o, "/p", "store", &r)->verdict, CHECK_UNKNOWN);
    for (size_t i = 0; i < r.n; i++)
        told += strstr(r.rows[i].detail, "why") != NULL;
    assert_int_equal(told, 1);
    assert_false(check_works(&r, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_become_verdicts),
        cmocka_unit_test(decryption_is_what_is_refused_with_it_and_allowed_without),
        cmocka_unit_test(a_mount_may_begin_without_listing_where_its_path_may_be_read),
        cmocka_unit_test(writing_is_unknown_where_nothing_is_there_to_be_refused),
        cmocka_unit_test(encryption_is_told_where_a_secret_is_refused_and_a_text_is_not),
        cmocka_unit_test(what_is_beside_values_and_listings_has_rows_that_a_mount_does_without),
        cmocka_unit_test(a_store_that_does_not_answer_is_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
