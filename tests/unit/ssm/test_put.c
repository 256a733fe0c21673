#include "fake.h"
#include "util/json.h"

#include <stdio.h>
#include <string.h>

#define NEW_X "{\"Name\":\"/p/x\",\"Value\":\"v\",\"Overwrite\":false,\"Type\":\"SecureString\",\"Tier\":\"Standard\"}"
#define DESCRIBED                                                                                                      \
    "{\"Parameters\":[{\"Name\":\"/p/x\",\"Type\":\"SecureString\",\"Version\":3,\"KeyId\":\"alias/k\","               \
    "\"Tier\":\"Advanced\",\"Description\":\"d\",\"DataType\":\"text\"}]}"
#define GET_X(type, value, version)                                                                                    \
    {                                                                                                                  \
        "GetParameter", NULL, 200, "{\"Parameter\":" PARAM("/p/x", type, value, version) "}", 0, 0                     \
    }
#define PUT_OK(version)                                                                                                \
    {                                                                                                                  \
        "PutParameter", NULL, 200, "{\"Version\":" #version ",\"Tier\":\"Standard\"}", 0, 0                            \
    }
#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, 0, NULL, 0, 0                                                                                      \
    }

#define STORE(s, options, steps) CLEANUP(store_free) struct store *s = fake_store(options, steps)
CLEANUP_DEFINE(struct store, store_free)

static void a_new_parameter_is_put_by_one_request(void **state)
{
    static const struct step steps[] = {{"PutParameter", NEW_X, 200, "{\"Version\":1}", 0, 0}, END};
    STORE(s, NULL, steps);
    struct store_version v;
    assert_int_equal(fake_put(s, "x", "v", STORE_IF_ABSENT, NULL, &v, NULL), ERR_OK);
    assert_int_equal(v.size, 1);
    assert_true(strncmp(v.etag, "1-", 2) == 0);
    fake_done();
}

static void options_say_what_a_new_parameter_is(void **state)
{
    static const struct step steps[] = {
        {"PutParameter",
         "{\"Name\":\"/x\",\"Value\":\"v\",\"Overwrite\":false,\"Type\":\"SecureString\",\"KeyId\":\"alias/mine\","
         "\"Tier\":\"Intelligent-Tiering\"}",
         200, "{\"Version\":1}", 0, 0},
        END};
    const struct ssm_options o = {.path = "/", .key_id = "alias/mine", .tier = "Intelligent-Tiering"};
    STORE(s, &o, steps);
    assert_int_equal(fake_put(s, "x", "v", STORE_IF_ABSENT, NULL, NULL, NULL), ERR_OK);
    fake_done();
}

static void a_newline_at_the_end_is_stored_only_where_it_is_kept(void **state)
{
    static const struct {
        enum ssm_newline newline;
        const char *put, *stored;
        uint64_t shown;
    } cases[] = {
        {SSM_NEWLINE_KEEP, "v\n", "v\\u000a", 2},       {SSM_NEWLINE_CHOMP, "v\n", "v", 1}, {SSM_NEWLINE_CHOMP, "v", "v", 1},
        {SSM_NEWLINE_CHOMP, "v\n\n", "v\\u000a", 2}, {SSM_NEWLINE_ADD, "v\n", "v", 2},   {SSM_NEWLINE_ADD, "v", "v", 2},
        {SSM_NEWLINE_ADD, "v\n\n", "v\\u000a", 2},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char begin[80];
        snprintf(begin, sizeof(begin), "{\"Name\":\"/p/x\",\"Value\":\"%s\",*", cases[i].stored);
        const struct step steps[] = {{"PutParameter", begin, 200, "{\"Version\":1}", 0, 0}, END};
        const struct ssm_options o = {.path = "/p", .newline = cases[i].newline};
        STORE(s, &o, steps);
        struct store_version v;
        assert_int_equal(fake_put(s, "x", cases[i].put, STORE_IF_ABSENT, NULL, &v, NULL), ERR_OK);
        assert_int_equal(v.size, cases[i].shown);
        fake_done();
    }
    static const struct step none[] = {END};
    const struct ssm_options o = {.path = "/p", .newline = SSM_NEWLINE_CHOMP};
    STORE(s, &o, none);
    assert_int_equal(fake_put(s, "x", "\n", STORE_IF_ABSENT, NULL, NULL, NULL), ERR_INVAL);
}

static void what_exists_is_not_made_again(void **state)
{
    static const struct step steps[] = {REFUSED("PutParameter", "ParameterAlreadyExists"), END};
    STORE(s, NULL, steps);
    assert_int_equal(fake_put(s, "x", "v", STORE_IF_ABSENT, NULL, NULL, NULL), ERR_CONFLICT);
    fake_done();
}

/* A put whose first attempt had no answer finds that the parameter exists. */
#define EXISTS_AFTER_SILENCE                                                                                           \
    {                                                                                                                  \
        "PutParameter", NEW_X, 400, "{\"__type\":\"ParameterAlreadyExists\"}", 0, 1                                    \
    }

static void our_own_earlier_attempt_is_no_conflict(void **state)
{
    static const struct step ours[] = {EXISTS_AFTER_SILENCE, GET_X("SecureString", "v", 1), END};
    static const struct step other_value[] = {EXISTS_AFTER_SILENCE, GET_X("SecureString", "w", 1), END};
    static const struct step older[] = {EXISTS_AFTER_SILENCE, GET_X("SecureString", "v", 2), END};
    static const struct step gone[] = {EXISTS_AFTER_SILENCE, REFUSED("GetParameter", "ParameterNotFound"), END};
    STORE(s, NULL, ours);
    struct store_version v;
    assert_int_equal(fake_put(s, "x", "v", STORE_IF_ABSENT, NULL, &v, NULL), ERR_OK);
    assert_string_equal(v.etag, "1-1795255260500");
    const struct step *const conflicts[] = {other_value, older, gone};
    for (size_t i = 0; i < ARRAY_LEN(conflicts); i++) {
        fake_script(conflicts[i]);
        assert_int_equal(fake_put(s, "x", "v", STORE_IF_ABSENT, NULL, &v, NULL), ERR_CONFLICT);
        fake_done();
    }
}

static void a_write_without_an_answer_is_looked_up(void **state)
{
    static const struct step there[] = {
        {"PutParameter", NULL, 0, NULL, ERR_TIMEOUT, 0}, GET_X("SecureString", "v", 1), END};
    static const struct step not_there[] = {
        {"PutParameter", NULL, 0, NULL, ERR_TIMEOUT, 0}, REFUSED("GetParameter", "ParameterNotFound"), END};
    static const struct step silent[] = {
        {"PutParameter", NULL, 0, NULL, ERR_NET, 0}, {"GetParameter", NULL, 0, NULL, ERR_NET, 0}, END};
    static const struct step nonsense[] = {
        {"PutParameter", NULL, 200, "<html>", 0, 0}, GET_X("SecureString", "v", 1), END};
    STORE(s, NULL, there);
    assert_int_equal(fake_put(s, "x", "v", STORE_IF_ABSENT, NULL, NULL, NULL), ERR_OK);
    fake_done();
    fake_script(not_there);
    struct err e = ERR_INIT;
    assert_int_equal(fake_put(s, "x", "v", STORE_IF_ABSENT, NULL, NULL, &e), ERR_TIMEOUT);
    assert_int_equal(e.code, ERR_TIMEOUT);
    fake_script(silent);
    assert_int_equal(fake_put(s, "x", "v", STORE_IF_ABSENT, NULL, NULL, NULL), ERR_NET);
    fake_script(nonsense);
    assert_int_equal(fake_put(s, "x", "v", STORE_IF_ABSENT, NULL, NULL, NULL), ERR_OK);
    fake_done();
}

static void an_overwrite_keeps_what_the_parameter_is(void **state)
{
    static const struct step first[] = {
        GET_X("SecureString", "old", 3),
        {"DescribeParameters", NULL, 200, DESCRIBED, 0, 0},
        {"PutParameter",
         "{\"Name\":\"/p/x\",\"Value\":\"new\",\"Overwrite\":true,\"Type\":\"SecureString\",\"KeyId\":\"alias/k\","
         "\"Tier\":\"Advanced\",\"DataType\":\"text\",\"Description\":\"d\"}",
         200, "{\"Version\":4}", 0, 0},
        END};
    STORE(s, NULL, first);
    struct store_version v;
    assert_int_equal(fake_put(s, "x", "new", STORE_ALWAYS, NULL, &v, NULL), ERR_OK);
    assert_true(strncmp(v.etag, "4-", 2) == 0);
    fake_done();
}

static void a_description_is_asked_for_once(void **state)
{
    static const struct step first[] = {GET_X("SecureString", "old", 3),
                                        {"DescribeParameters", NULL, 200, DESCRIBED, 0, 0},
                                        REFUSED("PutParameter", "ValidationException"),
                                        END};
    static const struct step second[] = {GET_X("SecureString", "old", 3), PUT_OK(4), END};
    STORE(s, NULL, first);
    assert_int_equal(fake_put(s, "x", "new", STORE_ALWAYS, NULL, NULL, NULL), ERR_INVAL);
    fake_done();
    fake_script(second);
    assert_int_equal(fake_put(s, "x", "new", STORE_IF_MATCH, "3-1795255260500", NULL, NULL), ERR_OK);
    fake_done();
}

static void an_equal_value_makes_no_new_version(void **state)
{
    static const struct step steps[] = {GET_X("String", "same", 3), GET_X("String", "same", 3), END};
    STORE(s, NULL, steps);
    struct store_version v;
    assert_int_equal(fake_put(s, "x", "same", STORE_ALWAYS, NULL, &v, NULL), ERR_OK);
    assert_string_equal(v.etag, "3-1795255260500");
    assert_int_equal(fake_put(s, "x", "same", STORE_IF_MATCH, v.etag, &v, NULL), ERR_OK);
    fake_done();
}

static void a_version_that_moved_is_a_conflict(void **state)
{
    static const struct step moved[] = {GET_X("String", "theirs", 4), END};
    static const struct step equal_but_moved[] = {GET_X("String", "mine", 4), END};
    static const struct step gone[] = {REFUSED("GetParameter", "ParameterNotFound"), END};
    static const struct step moving[] = {
        GET_X("String", "old", 2), {"DescribeParameters", NULL, 200, DESCRIBED, 0, 0}, END};
    const struct {
        const struct step *steps;
        const char *etag;
    } cases[] = {{moved, "3-1795255260500"},
                 {equal_but_moved, "3-1795255260500"},
                 {gone, "3-1795255260500"},
                 {moving, "2-1795255260500"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        STORE(s, NULL, cases[i].steps);
        assert_int_equal(fake_put(s, "x", "mine", STORE_IF_MATCH, cases[i].etag, NULL, NULL), ERR_CONFLICT);
        fake_done();
    }
}

static void what_somebody_else_wrote_between_is_reported_and_stands_behind(void **state)
{
    static const struct step steps[] = {
        GET_X("String", "old", 3), {"DescribeParameters", NULL, 200, DESCRIBED, 0, 0}, PUT_OK(5), END};
    STORE(s, NULL, steps);
    struct store_version v;
    assert_int_equal(fake_put(s, "x", "new", STORE_IF_MATCH, "3-1795255260500", &v, NULL), ERR_OK);
    assert_true(strncmp(v.etag, "5-", 2) == 0);
    fake_done();
}

static void a_full_rewrite_of_nothing_makes_it(void **state)
{
    static const struct step steps[] = {
        REFUSED("GetParameter", "ParameterNotFound"), {"PutParameter", NEW_X, 200, "{\"Version\":1}", 0, 0}, END};
    STORE(s, NULL, steps);
    assert_int_equal(fake_put(s, "x", "v", STORE_ALWAYS, NULL, NULL, NULL), ERR_OK);
    fake_done();
}

static void a_full_rewrite_replaces_also_what_came_meanwhile(void **state)
{
    static const struct step steps[] = {
        REFUSED("GetParameter", "ParameterNotFound"),
        REFUSED("PutParameter", "ParameterAlreadyExists"),
        GET_X("String", "theirs", 1),
        {"DescribeParameters", NULL, 200,
         "{\"Parameters\":[{\"Name\":\"/p/x\",\"Type\":\"String\",\"Version\":1,\"Tier\":\"Standard\"}]}", 0, 0},
        {"PutParameter",
         "{\"Name\":\"/p/x\",\"Value\":\"v\",\"Overwrite\":true,\"Type\":\"String\",\"Tier\":\"Standard\"}", 200,
         "{\"Version\":2}", 0, 0},
        END};
    static const struct step coming_and_going[] = {REFUSED("GetParameter", "ParameterNotFound"),
                                                   REFUSED("PutParameter", "ParameterAlreadyExists"),
                                                   REFUSED("GetParameter", "ParameterNotFound"), END};
    STORE(s, NULL, steps);
    assert_int_equal(fake_put(s, "x", "v", STORE_ALWAYS, NULL, NULL, NULL), ERR_OK);
    fake_done();
    fake_script(coming_and_going);
    assert_int_equal(fake_put(s, "x", "w", STORE_ALWAYS, NULL, NULL, NULL), ERR_CONFLICT);
    fake_done();
}

static void without_describe_the_type_is_kept_and_a_key_never_changed(void **state)
{
    static const struct step string[] = {
        GET_X("String", "old", 3),
        REFUSED("DescribeParameters", "AccessDeniedException"),
        {"PutParameter",
         "{\"Name\":\"/p/x\",\"Value\":\"new\",\"Overwrite\":true,\"Type\":\"String\",\"DataType\":\"text\"}", 200,
         "{\"Version\":4}", 0, 0},
        END};
    static const struct step secure[] = {GET_X("SecureString", "old", 3),
                                         REFUSED("DescribeParameters", "AccessDeniedException"), END};
    static const struct step with_key[] = {
        GET_X("SecureString", "old", 3),
        REFUSED("DescribeParameters", "AccessDeniedException"),
        {"PutParameter",
         "{\"Name\":\"/p/x\",\"Value\":\"new\",\"Overwrite\":true,\"Type\":\"SecureString\",\"KeyId\":\"k\"*", 200,
         "{\"Version\":4}", 0, 0},
        END};
    {
        STORE(s, NULL, string);
        assert_int_equal(fake_put(s, "x", "new", STORE_ALWAYS, NULL, NULL, NULL), ERR_OK);
        fake_done();
    }
    {
        STORE(s, NULL, secure);
        struct err e = ERR_INIT;
        assert_int_equal(fake_put(s, "x", "new", STORE_ALWAYS, NULL, NULL, &e), ERR_ACCESS);
        assert_non_null(strstr(e.msg, "DescribeParameters"));
        fake_done();
    }
    const struct ssm_options o = {.path = "/p", .key_id = "k"};
    STORE(s, &o, with_key);
    assert_int_equal(fake_put(s, "x", "new", STORE_ALWAYS, NULL, NULL, NULL), ERR_OK);
    fake_done();
}

static void a_value_that_may_not_be_read_may_be_replaced(void **state)
{
    static const struct step steps[] = {REFUSED("GetParameter", "AccessDeniedException"),
                                        REFUSED("GetParameter", "AccessDeniedException"),
                                        {"DescribeParameters", NULL, 200, DESCRIBED, 0, 0},
                                        PUT_OK(4),
                                        END};
    static const struct step must_match[] = {REFUSED("GetParameter", "AccessDeniedException"),
                                             REFUSED("GetParameter", "AccessDeniedException"), END};
    STORE(s, NULL, steps);
    assert_int_equal(fake_put(s, "x", "new", STORE_ALWAYS, NULL, NULL, NULL), ERR_OK);
    fake_done();
    fake_script(must_match);
    assert_int_equal(fake_put(s, "x", "newer", STORE_IF_MATCH, "4-0", NULL, NULL), ERR_ACCESS);
    fake_done();
}

static void a_value_that_may_not_be_decrypted_may_be_replaced_on_the_version_that_is_there(void **state)
{
    static const struct step steps[] = {REFUSED("GetParameter", "InvalidKeyId"),
                                        GET_X("SecureString", "AQICcipher", 3),
                                        {"DescribeParameters", NULL, 200, DESCRIBED, 0, 0},
                                        PUT_OK(4),
                                        END};
    static const struct step moved[] = {REFUSED("GetParameter", "AccessDeniedException"), GET_X("SecureString", "AQICcipher", 5), END};
    STORE(s, NULL, steps);
    assert_int_equal(fake_put(s, "x", "new", STORE_IF_MATCH, "3-1795255260500", NULL, NULL), ERR_OK);
    fake_done();
    fake_script(moved);
    assert_int_equal(fake_put(s, "x", "newer", STORE_IF_MATCH, "4-0", NULL, NULL), ERR_CONFLICT);
    fake_done();
}

static void what_the_service_would_refuse_is_not_sent(void **state)
{
    static const struct step none[] = {END};
    static char large[8300];
    memset(large, 'v', sizeof(large) - 1);
    static const struct {
        const char *key, *value;
        enum err_code code;
    } cases[] = {{"a b", "v", ERR_BAD_NAME},
                 {"x@3", "v", ERR_BAD_NAME},
                 {"a//b", "v", ERR_INVAL},
                 {"x", "", ERR_INVAL},
                 {"x", "{{y}}", ERR_INVAL},
                 {"x", "\xff", ERR_BAD_NAME},
                 {"x", large, ERR_TOO_BIG},
                 {"x", large + 4200, ERR_TOO_BIG},
                 {"1/2/3/4/5/6/7/8/9/10/11/12/13/14/15", "v", ERR_NAME_TOO_LONG}};
    STORE(s, NULL, none);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = ERR_INIT;
        assert_int_equal(fake_put(s, cases[i].key, cases[i].value, STORE_IF_ABSENT, NULL, NULL, &e), cases[i].code);
        assert_int_equal(fake_put(s, cases[i].key, cases[i].value, STORE_ALWAYS, NULL, NULL, &e), cases[i].code);
    }
    fake_done();
}

static void the_tier_that_is_there_decides_the_size(void **state)
{
    static const struct step standard[] = {
        GET_X("String", "old", 3),
        {"DescribeParameters", NULL, 200,
         "{\"Parameters\":[{\"Name\":\"/p/x\",\"Type\":\"String\",\"Version\":3,\"Tier\":\"Standard\"}]}", 0, 0},
        END};
    static const struct step advanced[] = {
        GET_X("String", "old", 3), {"DescribeParameters", NULL, 200, DESCRIBED, 0, 0}, PUT_OK(4), END};
    static char large[5001];
    memset(large, 'v', sizeof(large) - 1);
    {
        STORE(s, NULL, standard);
        assert_int_equal(fake_put(s, "x", large, STORE_IF_MATCH, "3-1795255260500", NULL, NULL), ERR_TOO_BIG);
        fake_done();
        assert_int_equal(fake_put(s, "x", large, STORE_ALWAYS, NULL, NULL, NULL), ERR_TOO_BIG);
    }
    STORE(s, NULL, advanced);
    assert_int_equal(fake_put(s, "x", large, STORE_IF_MATCH, "3-1795255260500", NULL, NULL), ERR_OK);
    fake_done();
}

static void errors_have_the_services_code_and_never_its_words(void **state)
{
    static const struct {
        struct step steps[2];
        enum err_code code;
    } cases[] = {
        {{REFUSED("PutParameter", "ValidationException"), END}, ERR_INVAL},
        {{REFUSED("PutParameter", "com.amazonaws.ssm#ParameterPatternMismatchException"), END}, ERR_INVAL},
        {{REFUSED("PutParameter", "ParameterLimitExceeded"), END}, ERR_QUOTA},
        {{REFUSED("PutParameter", "ParameterMaxVersionLimitExceeded"), END}, ERR_QUOTA},
        {{REFUSED("PutParameter", "HierarchyLevelLimitExceededException"), END}, ERR_NAME_TOO_LONG},
        {{REFUSED("PutParameter", "InvalidKeyId"), END}, ERR_KEY_REJECTED},
        {{REFUSED("PutParameter", "AccessDeniedException"), END}, ERR_ACCESS},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        STORE(s, NULL, cases[i].steps);
        struct err e = ERR_INIT;
        assert_int_equal(fake_put(s, "x", "hunter2", STORE_IF_ABSENT, NULL, NULL, &e), cases[i].code);
        assert_null(strstr(e.msg, "hunter2"));
        assert_non_null(strstr(e.msg, "/p/x"));
        fake_done();
    }
}

int main(void)
{
    json_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_parameter_is_put_by_one_request),
        cmocka_unit_test(options_say_what_a_new_parameter_is),
        cmocka_unit_test(a_newline_at_the_end_is_stored_only_where_it_is_kept),
        cmocka_unit_test(what_exists_is_not_made_again),
        cmocka_unit_test(our_own_earlier_attempt_is_no_conflict),
        cmocka_unit_test(a_write_without_an_answer_is_looked_up),
        cmocka_unit_test(an_overwrite_keeps_what_the_parameter_is),
        cmocka_unit_test(a_description_is_asked_for_once),
        cmocka_unit_test(an_equal_value_makes_no_new_version),
        cmocka_unit_test(a_version_that_moved_is_a_conflict),
        cmocka_unit_test(what_somebody_else_wrote_between_is_reported_and_stands_behind),
        cmocka_unit_test(a_full_rewrite_of_nothing_makes_it),
        cmocka_unit_test(a_full_rewrite_replaces_also_what_came_meanwhile),
        cmocka_unit_test(without_describe_the_type_is_kept_and_a_key_never_changed),
        cmocka_unit_test(a_value_that_may_not_be_read_may_be_replaced),
        cmocka_unit_test(a_value_that_may_not_be_decrypted_may_be_replaced_on_the_version_that_is_there),
        cmocka_unit_test(what_the_service_would_refuse_is_not_sent),
        cmocka_unit_test(the_tier_that_is_there_decides_the_size),
        cmocka_unit_test(errors_have_the_services_code_and_never_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
