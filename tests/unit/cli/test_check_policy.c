/* The policy that awsfs check proposes, and the table and document it is shown in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/check_impl.h"
#include "util/json.h"

#include <stdlib.h>
#include <string.h>

static char bucket[] = "b", no_prefix[] = "", prefix[] = "p/q/", path[] = "/prod/app", root[] = "/", text[] = "s3://b";
static const struct source plain = {.bucket = bucket, .prefix = no_prefix, .text = text};
static const struct source below = {.bucket = bucket, .prefix = prefix, .text = text};
static const struct source tree = {.is_ssm = true, .path = path, .text = text};
static const struct source all_parameters = {.is_ssm = true, .path = root, .text = text};

static void deny(struct check_findings *f, const char *what, const char *action, enum check_on on)
{
    check_add_permission(&f->report, what, CHECK_NO, action, on);
}

/* The policy as a document, which must parse. */
static struct json_doc *policy_of(const struct check_findings *f)
{
    BUF(out, 65536);
    struct err e = ERR_INIT;

    assert_true(check_policy(f, &out));
    struct json_doc *doc = json_parse(buf_str(&out), out.len, &e);
    if (!doc)
        fail_msg("%s: %s", e.msg, buf_str(&out));
    assert_string_equal(json_get_str(json_root(doc), "Version"), "2012-10-17");
    return doc;
}

static const struct json *statement_of(const struct json_doc *doc, size_t i)
{
    return json_at(json_get(json_root(doc), "Statement"), i);
}

static void nothing_missing_is_no_policy(void **state)
{
    struct check_findings f = {.source = &plain};
    BUF(out, 65536);

    check_add_permission(&f.report, "read", CHECK_YES, "s3:GetObject", CHECK_ON_OBJECTS);
    check_add_permission(&f.report, "write", CHECK_UNKNOWN, "s3:PutObject", CHECK_ON_OBJECTS);
    check_add_permission(&f.report, "read tags", CHECK_NO, "", CHECK_ON_OBJECTS);
    assert_false(check_policy(&f, &out));
    assert_int_equal(out.len, 0);
}

static void actions_are_grouped_by_resource_and_told_once(void **state)
{
    struct check_findings f = {.source = &plain};

    strcpy(f.region, "eu-west-1");
    deny(&f, "list", "s3:ListBucket", CHECK_ON_BUCKET);
    deny(&f, "write", "s3:PutObject", CHECK_ON_OBJECTS);
    deny(&f, "multipart", "s3:PutObject", CHECK_ON_OBJECTS);
    deny(&f, "delete", "s3:DeleteObject", CHECK_ON_OBJECTS);
    CLEANUP(json_doc_free) struct json_doc *doc = policy_of(&f);
    assert_int_equal(json_len(json_get(json_root(doc), "Statement")), 2);
    const struct json *on_bucket = statement_of(doc, 0), *on_objects = statement_of(doc, 1);
    assert_string_equal(json_get_str(on_bucket, "Resource"), "arn:aws:s3:::b");
    assert_null(json_get(on_bucket, "Condition"));
    assert_string_equal(json_get_str(on_objects, "Resource"), "arn:aws:s3:::b/*");
    assert_int_equal(json_len(json_get(on_objects, "Action")), 2);
    assert_string_equal(json_str(json_at(json_get(on_objects, "Action"), 0), NULL), "s3:PutObject");
    assert_string_equal(json_str(json_at(json_get(on_objects, "Action"), 1), NULL), "s3:DeleteObject");
}

static void a_prefix_bounds_objects_and_listing(void **state)
{
    struct check_findings f = {.source = &below};

    strcpy(f.region, "cn-north-1");
    deny(&f, "list", "s3:ListBucket", CHECK_ON_BUCKET);
    deny(&f, "read", "s3:GetObject", CHECK_ON_OBJECTS);
    CLEANUP(json_doc_free) struct json_doc *doc = policy_of(&f);
    const struct json *like = json_get(json_get(statement_of(doc, 0), "Condition"), "StringLike");
    assert_string_equal(json_get_str(like, "s3:prefix"), "p/q/*");
    assert_string_equal(json_get_str(statement_of(doc, 0), "Resource"), "arn:aws-cn:s3:::b");
    assert_string_equal(json_get_str(statement_of(doc, 1), "Resource"), "arn:aws-cn:s3:::b/p/q/*");
}

static void parameters_are_the_path_and_what_is_below_it(void **state)
{
    struct check_findings f = {.source = &tree};

    strcpy(f.region, "us-gov-west-1");
    strcpy(f.who.account, "123456789012");
    strcpy(f.who.arn, "arn:aws-us-gov:iam::123456789012:user/a");
    deny(&f, "write", "ssm:PutParameter", CHECK_ON_PARAMETERS);
    deny(&f, "describe", "ssm:DescribeParameters", CHECK_ON_ALL);
    CLEANUP(json_doc_free) struct json_doc *doc = policy_of(&f);
    assert_string_equal(json_get_str(statement_of(doc, 0), "Resource"), "*");
    const struct json *both = json_get(statement_of(doc, 1), "Resource");
    assert_string_equal(json_str(json_at(both, 0), NULL), "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/prod/app/*");
    assert_string_equal(json_str(json_at(both, 1), NULL), "arn:aws-us-gov:ssm:us-gov-west-1:123456789012:parameter/prod/app");
}

static void directory_buckets_and_access_points_have_arns_of_their_own(void **state)
{
    static char directory[] = "b--use1-az4--x-s3", point[] = "arn:aws:s3:eu-west-1:123456789012:accesspoint/p";
    const struct source in_directory = {.bucket = directory, .prefix = prefix, .text = text},
                        at_point = {.bucket = point, .prefix = prefix, .text = text};
    struct check_findings f = {.source = &in_directory}, g = {.source = &at_point};

    strcpy(f.region, "us-east-1");
    strcpy(f.who.account, "123456789012");
    deny(&f, "list", "s3express:CreateSession", CHECK_ON_BUCKET);
    CLEANUP(json_doc_free) struct json_doc *doc = policy_of(&f);
    assert_string_equal(json_get_str(statement_of(doc, 0), "Resource"),
                        "arn:aws:s3express:us-east-1:123456789012:bucket/b--use1-az4--x-s3");
    assert_null(json_get(statement_of(doc, 0), "Condition"));

    deny(&g, "list", "s3:ListBucket", CHECK_ON_BUCKET);
    deny(&g, "read", "s3:GetObject", CHECK_ON_OBJECTS);
    CLEANUP(json_doc_free) struct json_doc *other = policy_of(&g);
    assert_string_equal(json_get_str(statement_of(other, 0), "Resource"), point);
    assert_string_equal(json_get_str(statement_of(other, 1), "Resource"),
                        "arn:aws:s3:eu-west-1:123456789012:accesspoint/p/object/p/q/*");
}

static void what_is_not_known_of_an_arn_is_a_star(void **state)
{
    struct check_findings f = {.source = &all_parameters};

    deny(&f, "write", "ssm:PutParameter", CHECK_ON_PARAMETERS);
    deny(&f, "decryption", "kms:Decrypt", CHECK_ON_KEY);
    CLEANUP(json_doc_free) struct json_doc *doc = policy_of(&f);
    assert_string_equal(json_get_str(statement_of(doc, 0), "Resource"), "arn:aws:ssm:*:*:parameter/*");
    assert_string_equal(json_get_str(statement_of(doc, 1), "Resource"), "*");
}

static void the_key_that_the_server_names_is_the_resource(void **state)
{
    struct check_findings f = {.source = &plain};

    strcpy(f.sse_key, "arn:aws:kms:r:1:key/option");
    deny(&f, "write", "kms:GenerateDataKey", CHECK_ON_KEY);
    CLEANUP(json_doc_free) struct json_doc *option = policy_of(&f);
    assert_string_equal(json_get_str(statement_of(option, 0), "Resource"), "arn:aws:kms:r:1:key/option");
    strcpy(f.report.rows[0].resource, "arn:aws:kms:r:1:key/named");
    CLEANUP(json_doc_free) struct json_doc *named = policy_of(&f);
    assert_string_equal(json_get_str(statement_of(named, 0), "Resource"), "arn:aws:kms:r:1:key/named");
}

/* What check_show_*() print. */
static void shown(const struct check_findings *f, bool json, char *out, size_t size)
{
    FILE *to = tmpfile();
    struct err e = ERR_INIT;

    assert_non_null(to);
    if (json)
        assert_int_equal(check_show_json(f, to, &e), ERR_OK);
    else
        check_show_table(f, to);
    rewind(to);
    size_t n = fread(out, 1, size - 1, to);
    out[n] = 0;
    fclose(to);
}

static void the_table_has_facts_first_and_ends_with_the_conclusion(void **state)
{
    struct check_findings f = {.source = &plain};
    char out[8192];

    check_add_permission(&f.report, "list", CHECK_YES, "s3:ListBucket", CHECK_ON_BUCKET);
    check_add_permission(&f.report, "write", CHECK_NO, "s3:PutObject", CHECK_ON_OBJECTS)->need = CHECK_NOT_DENIED;
    check_add(&f.report, CHECK_FACT, "identity", CHECK_UNKNOWN, "no answer");
    shown(&f, false, out, sizeof(out));
    assert_true(strstr(out, "identity") < strstr(out, "list"));
    assert_non_null(strstr(out, "  identity unknown  no answer\n"));
    assert_non_null(strstr(out, "  list     allowed\n"));
    assert_non_null(strstr(out, "  write    denied   s3:PutObject\n"));
    assert_non_null(strstr(out, "A mount would not work: write denied; with -o ro it would.\n"));
    assert_non_null(strstr(out, "\"Resource\": \"arn:aws:s3:::b/*\""));
}

static void the_document_parses_whatever_a_detail_holds(void **state)
{
    struct check_findings f = {.source = &plain, .read_only = true};
    char out[8192];
    struct err e = ERR_INIT;

    check_add(&f.report, CHECK_FACT, "bucket", CHECK_NO, "quote \" back\\slash")->need = CHECK_REQUIRED;
    strcpy(f.report.rows[0].detail + 5, "\xC3 cut");
    shown(&f, true, out, sizeof(out));
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(out, strlen(out), &e);
    assert_non_null(doc);
    bool works = true, needed = false;
    assert_true(json_bool(json_get(json_root(doc), "works"), &works));
    assert_false(works);
    const struct json *row = json_at(json_get(json_root(doc), "rows"), 0);
    assert_string_equal(json_get_str(row, "what"), "bucket");
    assert_string_equal(json_get_str(row, "verdict"), "failed");
    assert_true(json_bool(json_get(row, "needed"), &needed) && needed);
    assert_null(json_get(json_root(doc), "policy"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_missing_is_no_policy),
        cmocka_unit_test(actions_are_grouped_by_resource_and_told_once),
        cmocka_unit_test(a_prefix_bounds_objects_and_listing),
        cmocka_unit_test(parameters_are_the_path_and_what_is_below_it),
        cmocka_unit_test(directory_buckets_and_access_points_have_arns_of_their_own),
        cmocka_unit_test(what_is_not_known_of_an_arn_is_a_star),
        cmocka_unit_test(the_key_that_the_server_names_is_the_resource),
        cmocka_unit_test(the_table_has_facts_first_and_ends_with_the_conclusion),
        cmocka_unit_test(the_document_parses_whatever_a_detail_holds),
    };

    json_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
