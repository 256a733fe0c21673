#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/source.h"
#include "util/cleanup.h"

#include <string.h>

static void sources_are_taken_apart(void **state)
{
    static const struct {
        const char *text, *bucket, *prefix, *path, *canonical;
    } cases[] = {
        {"s3://bucket", "bucket", "", NULL, "s3://bucket"},
        {"s3://bucket/", "bucket", "", NULL, "s3://bucket"},
        {"s3://my.bucket-1/a", "my.bucket-1", "a/", NULL, "s3://my.bucket-1/a"},
        {"s3://bucket/a/b c/ä/", "bucket", "a/b c/ä/", NULL, "s3://bucket/a/b c/ä"},
        {"s3://data--use1-az4--x-s3", "data--use1-az4--x-s3", "", NULL, "s3://data--use1-az4--x-s3"},
        {"s3://my-ap-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias/a", "my-ap-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias", "a/", NULL,
         "s3://my-ap-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias/a"},
        {"s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap", "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap", "", NULL,
         "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap"},
        {"s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap/a/b/", "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap", "a/b/",
         NULL, "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap/a/b"},
        {"s3://arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/ap/x",
         "arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/ap", "x/", NULL,
         "s3://arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-1/accesspoint/ap/x"},
        {"ssm:", NULL, NULL, "/", "ssm:/"},
        {"ssm:/", NULL, NULL, "/", "ssm:/"},
        {"ssm:/prod/app", NULL, NULL, "/prod/app", "ssm:/prod/app"},
        {"ssm:/prod/app/", NULL, NULL, "/prod/app", "ssm:/prod/app"},
        {"ssm:/a.b/c_d-E/1", NULL, NULL, "/a.b/c_d-E/1", "ssm:/a.b/c_d-E/1"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP_RELEASE(source_release) struct source s;
        struct err e = ERR_INIT;

        if (source_parse(cases[i].text, &s, &e) != ERR_OK)
            fail_msg("%s: %s", cases[i].text, e.msg);
        assert_string_equal(s.text, cases[i].canonical);
        assert_int_equal(s.is_ssm, cases[i].path != NULL);
        if (cases[i].path) {
            assert_string_equal(s.path, cases[i].path);
        } else {
            assert_string_equal(s.bucket, cases[i].bucket);
            assert_string_equal(s.prefix, cases[i].prefix);
        }
    }
}

static void what_is_no_source_is_shown_with_what_is_legal(void **state)
{
    static const char *const cases[] = {
        "", "s3", "s3:", "s3:/bucket", "S3://bucket", "http://bucket", "/mnt", "s3://a", "s3://UPPER_case!", "s3://Bucket",
        "s3://bucket//x", "s3://bucket/x//y", "s3://bucket//", "s3://bucket/../x", "s3://bucket/./x", "s3://-bucket", "s3://bucket-",
        "s3://a..b", "s3://under_score", "s3://buck et", "s3://bucket/\xff\xfe", "s3:///prefix", "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap//x", "ssm:relative", "ssm://x",
        "ssm:/a//b", "ssm:/a b", "ssm:/ä", "ssm:/..", "ssm:/a/./b", "ssm:/a/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15",
        "s3://aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct source s;
        struct err e = ERR_INIT;

        if (source_parse(cases[i], &s, &e) != ERR_INVAL)
            fail_msg("%s was taken", cases[i]);
        assert_true(strstr(e.msg, "ource") || strstr(e.msg, "SOURCE"));
        assert_true(strstr(e.msg, "s3://bucket") || strstr(e.msg, "ssm:/prod"));
    }
}

static void a_slip_in_an_arn_is_named(void **state)
{
    struct source s;
    struct err e = ERR_INIT;

    assert_int_equal(source_parse("s3://arn:aws:s3:eu-west-1:12345:accesspoint/ap/x", &s, &e), ERR_INVAL);
    assert_string_equal(e.msg, "source: the ARN 'arn:aws:s3:eu-west-1:12345:accesspoint/ap/x': the account '12345' is not 12 "
                               "digits");
}

static void s3_alone_is_all_buckets(void **state)
{
    CLEANUP_RELEASE(source_release) struct source s;

    assert_int_equal(source_parse("s3://", &s, NULL), ERR_OK);
    assert_null(s.bucket);
    assert_string_equal(s.prefix, "");
    assert_string_equal(s.text, "s3://");
    assert_false(s.is_ssm);
}

static void a_prefix_or_path_of_any_length_is_decided_without_a_crash(void **state)
{
    CLEANUP(free) char *text = malloc(100001);

    for (size_t len = 900; len < 100000; len = len * 3 / 2) {
        struct source s;

        memset(text, 'a', len);
        text[len] = '\0';
        memcpy(text, "s3://bucket/", 12);
        if (source_parse(text, &s, NULL) == ERR_OK)
            source_release(&s);
        memcpy(text, "ssm:/aaaaaaa", 12);
        if (source_parse(text, &s, NULL) == ERR_OK)
            source_release(&s);
        else
            assert_true(len > 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_are_taken_apart),
        cmocka_unit_test(what_is_no_source_is_shown_with_what_is_legal),
        cmocka_unit_test(a_slip_in_an_arn_is_named),
        cmocka_unit_test(s3_alone_is_all_buckets),
        cmocka_unit_test(a_prefix_or_path_of_any_length_is_decided_without_a_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
