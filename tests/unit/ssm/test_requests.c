#include "backends/ssm/requests.h"
#include "backends/ssm/token.h"
#include "util/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void requests_have_exactly_these_bytes(void **state)
{
    BUF(b, SSM_BODY_MAX);
    ssm_request_by_path(&b, "", 10, true, NULL);
    assert_string_equal(buf_str(&b), "{\"Path\":\"/\",\"Recursive\":true,\"WithDecryption\":true,\"MaxResults\":10}");
    buf_clear(&b);
    ssm_request_by_path(&b, "/prod", 1, true, "t\"\\");
    assert_string_equal(buf_str(&b), "{\"Path\":\"/prod\",\"Recursive\":true,\"WithDecryption\":true,\"MaxResults\":1,"
                                     "\"NextToken\":\"t\\\"\\\\\"}");
    buf_clear(&b);
    ssm_request_get(&b, "/prod/x:3", true);
    assert_string_equal(buf_str(&b), "{\"Name\":\"/prod/x:3\",\"WithDecryption\":true}");
    buf_clear(&b);
    ssm_request_describe(&b, "/prod/x", NULL);
    assert_string_equal(buf_str(&b),
                        "{\"ParameterFilters\":[{\"Key\":\"Name\",\"Option\":\"Equals\",\"Values\":[\"/prod/x\"]}],"
                        "\"MaxResults\":10}");
    buf_clear(&b);
    ssm_request_describe(&b, "/x", "n");
    assert_string_equal(buf_str(&b),
                        "{\"ParameterFilters\":[{\"Key\":\"Name\",\"Option\":\"Equals\",\"Values\":[\"/x\",\"x\"]}],"
                        "\"MaxResults\":10,\"NextToken\":\"n\"}");
    buf_clear(&b);
    ssm_request_describe_below(&b, "/x/y", 10, "n");
    assert_string_equal(buf_str(&b),
                        "{\"ParameterFilters\":[{\"Key\":\"Path\",\"Option\":\"Recursive\",\"Values\":[\"/x/y\"]}],"
                        "\"MaxResults\":10,\"NextToken\":\"n\"}");
    buf_clear(&b);
    ssm_request_delete(&b, "/x");
    assert_string_equal(buf_str(&b), "{\"Name\":\"/x\"}");
    buf_clear(&b);
    const char *const names[] = {"/a", "/b"};
    ssm_request_delete_many(&b, names, 2);
    assert_string_equal(buf_str(&b), "{\"Names\":[\"/a\",\"/b\"]}");
}

static void a_put_sends_only_what_is_given(void **state)
{
    BUF_SECRET(b, SSM_BODY_MAX);
    struct ssm_put p = {
        .name = "/x", .value = "a\"\n\xc3\xa9", .len = 5, .type = "String", .key_id = "", .description = NULL};
    ssm_request_put(&b, &p);
    assert_string_equal(buf_str(&b),
                        "{\"Name\":\"/x\",\"Value\":\"a\\\"\\u000a\xc3\xa9\",\"Overwrite\":false,\"Type\":\"String\"}");
    buf_clear(&b);
    p = (struct ssm_put){.name = "/x",
                         .value = "v",
                         .len = 1,
                         .overwrite = true,
                         .type = "SecureString",
                         .key_id = "alias/k",
                         .tier = "Advanced",
                         .data_type = "text",
                         .description = "d",
                         .allowed_pattern = "^.*$"};
    ssm_request_put(&b, &p);
    assert_string_equal(
        buf_str(&b),
        "{\"Name\":\"/x\",\"Value\":\"v\",\"Overwrite\":true,\"Type\":\"SecureString\",\"KeyId\":\"alias/k\","
        "\"Tier\":\"Advanced\",\"DataType\":\"text\",\"Description\":\"d\",\"AllowedPattern\":\"^.*$\"}");
}

static void the_largest_value_fits_into_a_request(void **state)
{
    static char value[8192];
    memset(value, 1, sizeof(value));
    BUF_SECRET(b, SSM_BODY_MAX);
    const struct ssm_put p = {.name = "/x", .value = value, .len = sizeof(value)};
    ssm_request_put(&b, &p);
    assert_int_equal(buf_check(&b, "request", NULL), ERR_OK);
}

/* Walks until the token is refused; the number of pages, or `most`. */
static unsigned walk_circle(unsigned lead, unsigned circle, unsigned most)
{
    CLEANUP(free) char *token = NULL;
    for (unsigned i = 0; i < most; i++) {
        char raw[32];
        snprintf(raw, sizeof(raw), "t%u", i < lead ? i : lead + (i - lead) % circle);
        char *next = NULL;
        if (ssm_token_make(token, raw, &next, NULL) != ERR_OK)
            return i;
        assert_string_equal(ssm_token_raw(next), raw);
        free(token);
        token = next;
    }
    return most;
}

static void tokens_that_go_round_in_a_circle_are_refused(void **state)
{
    for (unsigned lead = 0; lead < 20; lead += 3)
        for (unsigned circle = 1; circle < 40; circle++)
            assert_true(walk_circle(lead, circle, 1000) <= 4 * (lead + circle) + 4);
}

static void tokens_that_move_on_are_taken(void **state)
{
    assert_int_equal(walk_circle(12000, 1, 12000), 12000);
}

static void a_token_of_somebody_else_is_refused(void **state)
{
    static const char *const tokens[] = {"", "x", "1", "00000001:", "00000001:0000000000000001:", "zz:yy:xx"};
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
        assert_null(ssm_token_raw(tokens[i]));
        char *next = NULL;
        assert_int_equal(ssm_token_make(tokens[i], "raw", &next, NULL), ERR_INVAL);
        assert_null(next);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_have_exactly_these_bytes),
        cmocka_unit_test(a_put_sends_only_what_is_given),
        cmocka_unit_test(the_largest_value_fits_into_a_request),
        cmocka_unit_test(tokens_that_go_round_in_a_circle_are_refused),
        cmocka_unit_test(tokens_that_move_on_are_taken),
        cmocka_unit_test(a_token_of_somebody_else_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
