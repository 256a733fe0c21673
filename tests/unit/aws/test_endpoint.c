#include "aws/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { DUAL = 1, FIPS = 2 };

struct row {
    const char *service, *region, *bucket, *custom;
    enum aws_addressing addressing;
    unsigned flags;
    const char *url; /* NULL: refused */
};

#define AUTO AWS_ADDRESSING_AUTO
#define PATH AWS_ADDRESSING_PATH
#define VIRT AWS_ADDRESSING_VIRTUAL

static const struct row table[] = {
    {"s3", "eu-west-1", "my-bucket", NULL, AUTO, 0, "https://my-bucket.s3.eu-west-1.amazonaws.com"},
    {"s3", "eu-west-1", NULL, NULL, AUTO, 0, "https://s3.eu-west-1.amazonaws.com"},
    {"s3", "eu-west-1", "my.dotted.bucket", NULL, AUTO, 0, "https://s3.eu-west-1.amazonaws.com/my.dotted.bucket"},
    {"s3", "eu-west-1", "my.dotted.bucket", NULL, VIRT, 0, "https://s3.eu-west-1.amazonaws.com/my.dotted.bucket"},
    {"s3", "eu-west-1", "My_Bucket", NULL, AUTO, 0, "https://s3.eu-west-1.amazonaws.com/My_Bucket"},
    {"s3", "eu-west-1", "ab", NULL, AUTO, 0, "https://s3.eu-west-1.amazonaws.com/ab"},
    {"s3", "eu-west-1", "-ab", NULL, AUTO, 0, "https://s3.eu-west-1.amazonaws.com/-ab"},
    {"s3", "eu-west-1", "10.0.0.1", NULL, AUTO, 0, "https://s3.eu-west-1.amazonaws.com/10.0.0.1"},
    {"s3", "eu-west-1", "my-bucket", NULL, PATH, 0, "https://s3.eu-west-1.amazonaws.com/my-bucket"},
    {"s3", "eu-west-1", "my-bucket", NULL, AUTO, DUAL, "https://my-bucket.s3.dualstack.eu-west-1.amazonaws.com"},
    {"s3", "eu-west-1", "my-bucket", NULL, AUTO, FIPS, "https://my-bucket.s3-fips.eu-west-1.amazonaws.com"},
    {"s3", "eu-west-1", "my-bucket", NULL, AUTO, FIPS | DUAL,
     "https://my-bucket.s3-fips.dualstack.eu-west-1.amazonaws.com"},
    {"s3", "us-east-1", "my-bucket", NULL, AUTO, 0, "https://my-bucket.s3.us-east-1.amazonaws.com"},
    {"s3", "us-east-1", "alias-abc-s3alias", NULL, AUTO, 0, "https://alias-abc-s3alias.s3.us-east-1.amazonaws.com"},
    {"s3", "cn-north-1", "my-bucket", NULL, AUTO, 0, "https://my-bucket.s3.cn-north-1.amazonaws.com.cn"},
    {"s3", "cn-north-1", "my-bucket", NULL, AUTO, FIPS, NULL},
    {"ssm", "cn-north-1", NULL, NULL, AUTO, FIPS, "https://ssm-fips.cn-north-1.amazonaws.com.cn"},
    {"s3", "eusc-de-east-1", "my-bucket", NULL, AUTO, 0, "https://my-bucket.s3.eusc-de-east-1.amazonaws.eu"},
    {"s3", "us-gov-west-1", "my-bucket", NULL, AUTO, 0, "https://my-bucket.s3.us-gov-west-1.amazonaws.com"},
    {"s3", "us-iso-east-1", "my-bucket", NULL, AUTO, 0, "https://my-bucket.s3.us-iso-east-1.c2s.ic.gov"},
    {"s3", "mars-north-9", "my-bucket", NULL, AUTO, 0, "https://my-bucket.s3.mars-north-9.amazonaws.com"},

    {"s3", "eu-west-1", "my-bucket", "https://store.example", AUTO, 0, "https://store.example/my-bucket"},
    {"s3", "eu-west-1", "my-bucket", "https://store.example", VIRT, 0, "https://my-bucket.store.example"},
    {"s3", "eu-west-1", "a.b.c", "https://store.example", VIRT, 0, "https://store.example/a.b.c"},
    {"s3", "eu-west-1", "a.b.c", "http://store.example:81", VIRT, 0, "http://a.b.c.store.example:81"},
    {"s3", "eu-west-1", "my-bucket", "http://127.0.0.1:9000", VIRT, 0, "http://127.0.0.1:9000/my-bucket"},
    {"s3", "eu-west-1", "my-bucket", "http://[::1]:9000", VIRT, 0, "http://[::1]:9000/my-bucket"},
    {"s3", "eu-west-1", "my-bucket", "http://localhost:9000/base/", AUTO, 0, "http://localhost:9000/base/my-bucket"},
    {"s3", "eu-west-1", "my-bucket", "http://localhost:9000/base", VIRT, 0, "http://my-bucket.localhost:9000/base"},
    {"s3", "eu-west-1", "my-bucket", "https://store.example", AUTO, FIPS, NULL},
    {"s3", "eu-west-1", "my-bucket", "https://store.example", AUTO, DUAL, NULL},
    {"s3", "eu-west-1", "my-bucket", "store.example", AUTO, 0, NULL},

    {"ssm", "eu-west-1", NULL, NULL, AUTO, 0, "https://ssm.eu-west-1.amazonaws.com"},
    {"ssm", "eu-west-1", NULL, NULL, AUTO, DUAL, "https://ssm.eu-west-1.api.aws"},
    {"ssm", "eu-west-1", NULL, NULL, AUTO, FIPS, "https://ssm-fips.eu-west-1.amazonaws.com"},
    {"ssm", "eu-west-1", NULL, NULL, AUTO, FIPS | DUAL, "https://ssm-fips.eu-west-1.api.aws"},
    {"ssm", "us-gov-west-1", NULL, NULL, AUTO, FIPS, "https://ssm.us-gov-west-1.amazonaws.com"},
    {"ssm", "us-gov-west-1", NULL, NULL, AUTO, FIPS | DUAL, "https://ssm-fips.us-gov-west-1.api.aws"},
    {"ssm", "cn-north-1", NULL, NULL, AUTO, DUAL, "https://ssm.cn-north-1.api.amazonwebservices.com.cn"},
    {"sts", "eu-west-1", NULL, NULL, AUTO, 0, "https://sts.eu-west-1.amazonaws.com"},
    {"sts", "us-isob-east-1", NULL, NULL, AUTO, 0, "https://sts.us-isob-east-1.sc2s.sgov.gov"},
    {"sts", "eu-west-1", NULL, "http://127.0.0.1:5000", AUTO, 0, "http://127.0.0.1:5000"},
};

static void the_rules_give_the_hosts_that_the_sdks_give(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct row *r = &table[i];
        const struct endpoint_query q = {.service = r->service,
                                         .region = r->region,
                                         .bucket = r->bucket,
                                         .custom = r->custom,
                                         .addressing = r->addressing,
                                         .dualstack = r->flags & DUAL,
                                         .fips = r->flags & FIPS};
        struct endpoint ep;
        struct err e = ERR_INIT;
        char url[1024];
        enum err_code code = endpoint_resolve(&q, &ep, &e);

        if (!r->url) {
            assert_int_equal(code, ERR_INVAL);
            continue;
        }
        assert_int_equal(code, ERR_OK);
        snprintf(url, sizeof(url), "%s://%s%s", ep.uri.tls ? "https" : "http", ep.authority, ep.uri.path);
        assert_string_equal(url, r->url);
    }
}

static void bad_bucket_names_are_refused_with_what_is_wrong(void **state)
{
    static const struct {
        const char *name;
        enum err_code code;
        const char *says;
    } bad[] = {
        {"", ERR_INVAL, "empty"},
        {".", ERR_INVAL, "no bucket name"},
        {"..", ERR_INVAL, "no bucket name"},
        {"a/b", ERR_INVAL, "'/'"},
        {"a b", ERR_INVAL, "' '"},
        {"a?b", ERR_INVAL, "'?'"},
        {"b\xc3\xbc", ERR_INVAL, "legal"},
        {"arn:aws:s3:eu-west-1:123456789012:accesspoint/x", ERR_UNSUPPORTED, "ARN"},
        {"bkt--euw1-az1--x-s3", ERR_UNSUPPORTED, "directory"},
    };
    char longest[300] = {0};
    struct err e = ERR_INIT;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(bucket_name_check(bad[i].name, &e), bad[i].code);
        if (!strstr(e.msg, bad[i].says))
            fail_msg("%s: %s", bad[i].name, e.msg);
    }
    memset(longest, 'a', 255);
    assert_int_equal(bucket_name_check(longest, &e), ERR_OK);
    longest[255] = 'a';
    assert_int_equal(bucket_name_check(longest, &e), ERR_INVAL);
}

static void a_bucket_that_makes_the_url_too_long_is_refused(void **state)
{
    char bucket[256] = {0}, url[600] = "http://h/";
    struct endpoint_query q = {.service = "s3", .region = "r-1", .bucket = bucket, .custom = url};
    struct endpoint ep;

    memset(bucket, 'b', 255);
    memset(url + 9, 'p', 400);
    assert_int_equal(endpoint_resolve(&q, &ep, NULL), ERR_INVAL);
}

static void partitions_are_told_apart(void **state)
{
    assert_true(region_same_partition("eu-west-1", "us-east-1"));
    assert_false(region_same_partition("eu-west-1", "cn-north-1"));
    assert_false(region_same_partition("us-gov-west-1", "us-west-1"));
    assert_false(region_same_partition("us-iso-east-1", "us-isob-east-1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules_give_the_hosts_that_the_sdks_give),
        cmocka_unit_test(bad_bucket_names_are_refused_with_what_is_wrong),
        cmocka_unit_test(a_bucket_that_makes_the_url_too_long_is_refused),
        cmocka_unit_test(partitions_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
