#include "aws/arn.h"

#include "util/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define AP "arn:aws:s3:eu-west-1:123456789012:accesspoint/"

static void arns_are_taken_apart(void **state)
{
    static const struct {
        const char *text;
        enum arn_kind kind;
        const char *partition, *region, *account, *name, *outpost, *rest;
    } good[] = {
        {AP "my-ap", ARN_ACCESS_POINT, "aws", "eu-west-1", "123456789012", "my-ap", "", ""},
        {AP "my-ap/some/prefix", ARN_ACCESS_POINT, "aws", "eu-west-1", "123456789012", "my-ap", "", "/some/prefix"},
        {"arn:aws:s3:eu-west-1:123456789012:accesspoint:my-ap/a:b", ARN_ACCESS_POINT, "aws", "eu-west-1",
         "123456789012", "my-ap", "", "/a:b"},
        {"arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap/x", ARN_MULTI_REGION, "aws", "", "123456789012",
         "mfzwi23gnjvgw.mrap", "", "/x"},
        {"arn:aws-us-gov:s3-object-lambda:us-gov-west-1:123456789012:accesspoint/ol", ARN_OBJECT_LAMBDA, "aws-us-gov",
         "us-gov-west-1", "123456789012", "ol", "", ""},
        {"arn:aws:s3-outposts:us-west-2:123456789012:outpost/op-01ab/accesspoint/ap/dir/", ARN_OUTPOST, "aws",
         "us-west-2", "123456789012", "ap", "op-01ab", "/dir/"},
        {"arn:aws:s3-outposts:us-west-2:123456789012:outpost:op-01ab:accesspoint:ap", ARN_OUTPOST, "aws", "us-west-2",
         "123456789012", "ap", "op-01ab", ""},
    };

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct err e = ERR_INIT;
        struct arn a;
        size_t len;

        if (arn_parse(good[i].text, &a, &len, &e))
            fail_msg("%s: %s", good[i].text, e.msg);
        assert_int_equal(a.kind, good[i].kind);
        assert_string_equal(a.partition, good[i].partition);
        assert_string_equal(a.region, good[i].region);
        assert_string_equal(a.account, good[i].account);
        assert_string_equal(a.name, good[i].name);
        assert_string_equal(a.outpost, good[i].outpost);
        assert_string_equal(good[i].text + len, good[i].rest);
        assert_int_equal(arn_parse(good[i].text, &a, NULL, &e), *good[i].rest ? ERR_INVAL : ERR_OK);
    }
}

static void a_slip_of_typing_is_named(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"arn:", "partition"},
        {"arn:aws", "service"},
        {"arn:awz:s3:eu-west-1:123456789012:accesspoint/ap", "'awz' is no partition"},
        {"arn:aws:s4:eu-west-1:123456789012:accesspoint/ap", "the service is 's4'"},
        {"arn:aws:s3:eu_west_1:123456789012:accesspoint/ap", "'eu_west_1' is no region"},
        {"arn:aws:s3:eu-west-1:12345678901:accesspoint/ap", "'12345678901' is not 12 digits"},
        {"arn:aws:s3:eu-west-1:1234567890123:accesspoint/ap", "'1234567890123' is not 12 digits"},
        {"arn:aws:s3:eu-west-1:123456789012", "accesspoint/NAME"},
        {"arn:aws:s3:eu-west-1:123456789012:acesspoint/ap", "'acesspoint'"},
        {"arn:aws:s3:eu-west-1:123456789012:accesspoint", "missing"},
        {"arn:aws:s3:eu-west-1:123456789012:accesspoint/", "missing"},
        {"arn:aws:s3:eu-west-1:123456789012:accesspoint/My_Ap", "'My_Ap' is no name"},
        {"arn:aws:s3:eu-west-1:123456789012:accesspoint/-ap", "'-ap' is no name"},
        {"arn:aws:s3:eu-west-1:123456789012:accesspoint/ap:more", "nothing may follow"},
        {"arn:aws:s3::123456789012:accesspoint/ap", "region is missing"},
        {"arn:aws:s3:eu-west-1:123456789012:accesspoint/x.mrap", "empty region"},
        {"arn:aws:s3::123456789012:accesspoint/.mrap", "no name"},
        {"arn:aws:s3-object-lambda::123456789012:accesspoint/ap", "region is missing"},
        {"arn:aws:s3-outposts:us-west-2:123456789012:accesspoint/ap", "outpost/op-ID"},
        {"arn:aws:s3-outposts:us-west-2:123456789012:outpost/01ab/accesspoint/ap", "outpost/op-ID"},
        {"arn:aws:s3:::bucket", "ARN of a bucket"},
        {"arn:aws:s3:::bucket/prefix", "ARN of a bucket"},
        {"arn:aws:s3:eu-west-1:123456789012:accesspoint/"
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "longer than 63"},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        struct arn a;
        enum err_code code = arn_parse(bad[i].text, &a, NULL, &e);

        assert_true(code == ERR_INVAL || code == ERR_UNSUPPORTED);
        if (!strstr(e.msg, bad[i].says))
            fail_msg("%s: %s", bad[i].text, e.msg);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arns_are_taken_apart),
        cmocka_unit_test(a_slip_of_typing_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
