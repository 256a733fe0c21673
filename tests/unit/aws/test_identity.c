#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "aws/identity.h"

#include <string.h>

#define REPLY(account, arn)                                                                                            \
    "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>"         \
    "<Arn>" arn "</Arn><UserId>AIDA</UserId><Account>" account "</Account></GetCallerIdentityResult>"                  \
    "</GetCallerIdentityResponse>"

static void an_answer_names_account_and_arn(void **state)
{
    static const char body[] = REPLY("123456789012", "arn:aws:sts::123456789012:assumed-role/r/s");
    struct aws_identity who;
    struct err e = ERR_INIT;

    assert_int_equal(aws_identity_parse(body, strlen(body), &who, &e), ERR_OK);
    assert_string_equal(who.account, "123456789012");
    assert_string_equal(who.arn, "arn:aws:sts::123456789012:assumed-role/r/s");
}

static void what_is_no_answer_of_an_sts_is_refused(void **state)
{
    static const char *const bodies[] = {
        "",
        "no XML",
        "<html><body>Welcome</body></html>",
        "<GetCallerIdentityResponse/>",
        REPLY("", "arn:aws:iam::1:user/a"),
        REPLY("12345678901234567890", "arn:aws:iam::1:user/a"),
        REPLY("1234\"", "arn:aws:iam::1:user/a"),
        REPLY("123456789012", ""),
        REPLY("123456789012", "user/a"),
        REPLY("123456789012", "arn:aws:iam::1:user/a b"),
        REPLY("123456789012", "arn:aws:iam::1:user/a\nb"),
    };
    struct aws_identity who = {.account = "unchanged"};

    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        struct err e = ERR_INIT;

        assert_int_equal(aws_identity_parse(bodies[i], strlen(bodies[i]), &who, &e), ERR_PROTO);
        assert_string_equal(who.account, "unchanged");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_names_account_and_arn),
        cmocka_unit_test(what_is_no_answer_of_an_sts_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
