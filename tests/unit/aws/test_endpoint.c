#include "aws/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { DUAL = 1, FIPS = 2, ACCELERATE = 4, GLOBAL = 8, OWN_REGION = 16, ASKED = 32, NO_MRAP = 64, NO_SESSION = 128 };

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
    {"s3", "us-isof-south-1", "my-bucket", NULL, AUTO, 0, "https://my-bucket.s3.us-isof-south-1.csp.hci.ic.gov"},
    {"s3", "eu-isoe-west-1", "my-bucket", NULL, AUTO, DUAL,
     "https://my-bucket.s3.dualstack.eu-isoe-west-1.cloud.adc-e.uk"},
    {"s3", "us-east-1", "my-bucket", NULL, AUTO, GLOBAL, "https://my-bucket.s3.amazonaws.com"},
    {"s3", "us-east-1", "my-bucket", NULL, PATH, GLOBAL, "https://s3.amazonaws.com/my-bucket"},
    {"s3", "us-east-1", "my-bucket", NULL, AUTO, GLOBAL | DUAL,
     "https://my-bucket.s3.dualstack.us-east-1.amazonaws.com"},
    {"s3", "us-west-2", "my-bucket", NULL, AUTO, GLOBAL, "https://my-bucket.s3.us-west-2.amazonaws.com"},
    {"s3", "aws-global", "my-bucket", NULL, AUTO, 0, "https://my-bucket.s3.amazonaws.com"},
    {"s3", "eu-west-1", "my-bucket", NULL, AUTO, ACCELERATE, "https://my-bucket.s3-accelerate.amazonaws.com"},
    {"s3", "eu-west-1", "my-bucket", NULL, PATH, ACCELERATE, "https://my-bucket.s3-accelerate.amazonaws.com"},
    {"s3", "eu-west-1", "my-bucket", NULL, AUTO, ACCELERATE | DUAL,
     "https://my-bucket.s3-accelerate.dualstack.amazonaws.com"},
    {"s3", "eu-west-1", NULL, NULL, AUTO, ACCELERATE, "https://s3.eu-west-1.amazonaws.com"},
    {"s3", "eu-west-1", "my.bucket", NULL, AUTO, ACCELERATE, NULL},
    {"s3", "eu-west-1", "my-bucket", NULL, AUTO, ACCELERATE | FIPS, NULL},
    {"s3", "eu-west-1", "my-bucket", "https://store.example", AUTO, ACCELERATE, NULL},
    {"s3", "cn-north-1", "my-bucket", NULL, AUTO, ACCELERATE, NULL},
    {"s3", "eu-west-1", "my.dotted.bucket", NULL, VIRT, ASKED, NULL},
    {"s3", "eu-west-1", "My_Bucket", NULL, VIRT, ASKED, NULL},
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
    {"sts", "eu-west-1", NULL, NULL, AUTO, GLOBAL, "https://sts.amazonaws.com"},
    {"sts", "eu-south-1", NULL, NULL, AUTO, GLOBAL, "https://sts.eu-south-1.amazonaws.com"},
    {"sts", "eu-west-1", NULL, "http://127.0.0.1:5000", AUTO, 0, "http://127.0.0.1:5000"},
};

static struct endpoint_query query_of(const struct row *r)
{
    return (struct endpoint_query){.service = r->service,
                                   .region = r->region,
                                   .bucket = r->bucket,
                                   .custom = r->custom,
                                   .addressing = r->addressing,
                                   .addressing_asked = r->flags & ASKED,
                                   .dualstack = r->flags & DUAL,
                                   .fips = r->flags & FIPS,
                                   .accelerate = r->flags & ACCELERATE,
                                   .global = r->flags & GLOBAL,
                                   .own_region_only = r->flags & OWN_REGION,
                                   .no_multi_region = r->flags & NO_MRAP,
                                   .no_session = r->flags & NO_SESSION};
}

static void the_rules_give_the_hosts_that_the_sdks_give(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        const struct row *r = &table[i];
        const struct endpoint_query q = query_of(r);
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
        {"mfzwi23gnjvgw.mrap", ERR_INVAL, "write its ARN"},
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

#define ARN(service, region) "arn:aws:" service ":" region ":123456789012:"

/* What is signed for and with; "" where it is the region and the service of the query. */
static const struct special {
    struct row row;
    const char *region, *name;
    bool session, sigv4a;
} specials[] = {
    {{"s3", "eu-west-1", ARN("s3", "eu-west-1") "accesspoint/my-ap", NULL, AUTO, 0,
      "https://my-ap-123456789012.s3-accesspoint.eu-west-1.amazonaws.com"},
     "eu-west-1",
     "s3",
     false,
     false},
    {{"s3", "us-east-1", ARN("s3", "eu-west-1") "accesspoint:my-ap", NULL, PATH, DUAL | FIPS,
      "https://my-ap-123456789012.s3-accesspoint-fips.dualstack.eu-west-1.amazonaws.com"},
     "eu-west-1",
     "s3",
     false,
     false},
    {{"s3", "eu-west-1", ARN("s3", "eu-west-1") "accesspoint/my-ap", "https://store.example/base", AUTO, 0,
      "https://my-ap-123456789012.store.example/base"},
     "eu-west-1",
     "s3",
     false,
     false},
    {{"s3", "cn-north-1", "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint/my-ap", NULL, AUTO, 0,
      "https://my-ap-123456789012.s3-accesspoint.cn-north-1.amazonaws.com.cn"},
     "cn-north-1",
     "s3",
     false,
     false},
    {{"s3", "us-gov-west-1", "arn:aws-us-gov:s3:us-gov-west-1:123456789012:accesspoint/my-ap", NULL, AUTO, FIPS,
      "https://my-ap-123456789012.s3-accesspoint-fips.us-gov-west-1.amazonaws.com"},
     "us-gov-west-1",
     "s3",
     false,
     false},
    {{"s3", "eu-west-1", "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", NULL, AUTO, 0,
      "https://mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com"},
     "eu-west-1",
     "s3",
     false,
     true},
    {{"s3", "us-east-1", ARN("s3-object-lambda", "eu-west-1") "accesspoint/my-olap", NULL, AUTO, 0,
      "https://my-olap-123456789012.s3-object-lambda.eu-west-1.amazonaws.com"},
     "eu-west-1",
     "s3-object-lambda",
     false,
     false},
    {{"s3", "eu-west-1", ARN("s3-object-lambda", "eu-west-1") "accesspoint/my-olap", NULL, AUTO, FIPS,
      "https://my-olap-123456789012.s3-object-lambda-fips.eu-west-1.amazonaws.com"},
     "eu-west-1",
     "s3-object-lambda",
     false,
     false},
    {{"s3", "eu-west-1", ARN("s3-outposts", "eu-west-1") "outpost/op-01234567890123456/accesspoint/my-ap", NULL, AUTO,
      0, "https://my-ap-123456789012.op-01234567890123456.s3-outposts.eu-west-1.amazonaws.com"},
     "eu-west-1",
     "s3-outposts",
     false,
     false},
    {{"s3", "us-west-2", "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3", NULL, AUTO, 0,
      "https://"
      "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3.op-0b1d075431d83bebd.s3-outposts.us-west-2."
      "amazonaws.com"},
     "us-west-2",
     "s3-outposts",
     false,
     false},
    {{"s3", "us-west-2", "test-accessp-e0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3", NULL, AUTO, 0,
      "https://"
      "test-accessp-e0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3.ec2.s3-outposts.us-west-2.amazonaws.com"},
     "us-west-2",
     "s3-outposts",
     false,
     false},
    {{"s3", "eu-west-1", "bkt--euw1-az1--x-s3", NULL, AUTO, 0,
      "https://bkt--euw1-az1--x-s3.s3express-euw1-az1.eu-west-1.amazonaws.com"},
     "eu-west-1",
     "s3express",
     true,
     false},
    {{"s3", "eu-west-1", "bkt--euw1-az1--x-s3", NULL, AUTO, FIPS | DUAL | NO_SESSION,
      "https://bkt--euw1-az1--x-s3.s3express-fips-euw1-az1.dualstack.eu-west-1.amazonaws.com"},
     "eu-west-1",
     "s3express",
     false,
     false},
    {{"s3", "us-west-2", "ap--usw2-lax1-az1--xa-s3", NULL, PATH, 0,
      "https://ap--usw2-lax1-az1--xa-s3.s3express-usw2-lax1-az1.us-west-2.amazonaws.com"},
     "us-west-2",
     "s3express",
     true,
     false},
    {{"s3", "eu-west-1", "bkt--euw1-az1--x-s3", "http://127.0.0.1:90", AUTO, 0,
      "http://127.0.0.1:90/bkt--euw1-az1--x-s3"},
     "eu-west-1",
     "s3express",
     true,
     false},
    {{"s3", "eu-west-1", "bkt--euw1-az1--x-s3", "https://store.example", AUTO, 0,
      "https://bkt--euw1-az1--x-s3.store.example"},
     "eu-west-1",
     "s3express",
     true,
     false},
};

static void access_points_and_directory_buckets_have_hosts_of_their_own(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(specials); i++) {
        const struct special *s = &specials[i];
        const struct endpoint_query q = query_of(&s->row);
        struct endpoint ep;
        struct err e = ERR_INIT;
        char url[1024];

        if (endpoint_resolve(&q, &ep, &e))
            fail_msg("%s: %s", s->row.bucket, e.msg);
        snprintf(url, sizeof(url), "%s://%s%s", ep.uri.tls ? "https" : "http", ep.authority, ep.uri.path);
        assert_string_equal(url, s->row.url);
        assert_string_equal(ep.region, s->region);
        assert_string_equal(ep.signing_name, s->name);
        assert_int_equal(ep.session, s->session);
        assert_int_equal(ep.sigv4a, s->sigv4a);
        assert_true(ep.fixed);
    }
}

static void what_a_kind_of_bucket_does_not_go_with_is_refused_by_name(void **state)
{
    static const struct {
        struct row row;
        const char *says;
    } bad[] = {
        {{"s3", "us-east-1", ARN("s3", "eu-west-1") "accesspoint/ap", NULL, AUTO, OWN_REGION, NULL}, "use_arn_region"},
        {{"s3", "cn-north-1", ARN("s3", "eu-west-1") "accesspoint/ap", NULL, AUTO, 0, NULL}, "of partition aws,"},
        {{"s3", "eu-west-1", ARN("s3", "cn-north-1") "accesspoint/ap", NULL, AUTO, 0, NULL}, "aws-cn"},
        {{"s3", "eu-west-1", ARN("s3", "eu-west-1") "accesspoint/ap", NULL, PATH, ASKED, NULL}, "addressing=path"},
        {{"s3", "eu-west-1", ARN("s3", "eu-west-1") "accesspoint/ap", "http://10.0.0.1", AUTO, 0, NULL}, "address"},
        {{"s3", "eu-west-1", ARN("s3", "eu-west-1") "accesspoint/ap", NULL, AUTO, ACCELERATE, NULL}, "accelerated"},
        {{"s3", "eu-west-1", "arn:aws:s3::123456789012:accesspoint/a.mrap", NULL, AUTO, NO_MRAP, NULL}, "disable"},
        {{"s3", "eu-west-1", "arn:aws:s3::123456789012:accesspoint/a.mrap", NULL, AUTO, DUAL, NULL}, "dual-stack"},
        {{"s3", "eu-west-1", ARN("s3-object-lambda", "eu-west-1") "accesspoint/ap", NULL, AUTO, DUAL, NULL},
         "dual-stack"},
        {{"s3", "eu-west-1", ARN("s3-outposts", "eu-west-1") "outpost/op-1/accesspoint/ap", NULL, AUTO, FIPS, NULL},
         "FIPS"},
        {{"s3", "eu-west-1", "short-o1--op-s3", NULL, AUTO, 0, NULL}, "Outpost"},
        {{"s3", "eu-west-1", "bkt--x-s3", NULL, AUTO, 0, NULL}, "directory bucket"},
        {{"s3", "eu-west-1", "--euw1-az1--x-s3", NULL, AUTO, 0, NULL}, "directory bucket"},
        {{"s3", "eu-west-1", "bkt--euw1-az1--x-s3", NULL, AUTO, ACCELERATE, NULL}, "accelerated"},
        {{"s3", "eu-west-1", "bkt--euw1-az1--x-s3", NULL, PATH, ASKED, NULL}, "addressing=path"},
        {{"s3", "eu-west-1", "my.dotted.bucket", NULL, VIRT, ASKED, NULL}, "dots"},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        const struct endpoint_query q = query_of(&bad[i].row);
        struct endpoint ep;
        struct err e = ERR_INIT;

        assert_int_equal(endpoint_resolve(&q, &ep, &e), ERR_INVAL);
        if (!strstr(e.msg, bad[i].says))
            fail_msg("%s: %s", bad[i].row.bucket, e.msg);
    }
}

static void partitions_are_told_apart(void **state)
{
    static const char *const cases[][2] = {
        {"us-east-1", "aws"},         {"cn-north-1", "aws-cn"},        {"us-gov-east-1", "aws-us-gov"},
        {"us-iso-east-1", "aws-iso"}, {"us-isob-east-1", "aws-iso-b"}, {"us-isof-south-1", "aws-iso-f"},
        {"eu-isoe-west-1", "aws-iso-e"}, {"eusc-de-east-1", "aws-eusc"}, {"", "aws"},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_string_equal(region_partition(cases[i][0]), cases[i][1]);
    assert_true(region_same_partition("eu-west-1", "us-east-1"));
    assert_false(region_same_partition("eu-west-1", "cn-north-1"));
    assert_false(region_same_partition("us-gov-west-1", "us-west-1"));
    assert_false(region_same_partition("us-iso-east-1", "us-isob-east-1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rules_give_the_hosts_that_the_sdks_give),
        cmocka_unit_test(access_points_and_directory_buckets_have_hosts_of_their_own),
        cmocka_unit_test(what_a_kind_of_bucket_does_not_go_with_is_refused_by_name),
        cmocka_unit_test(bad_bucket_names_are_refused_with_what_is_wrong),
        cmocka_unit_test(a_bucket_that_makes_the_url_too_long_is_refused),
        cmocka_unit_test(partitions_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
