/* Copies, removals, the probe and the options. */
#include "fake.h"
#include "util/json.h"

#include <stdio.h>
#include <string.h>

#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, 0, NULL, 0, 0                                                                                      \
    }
#define GET(key, type, value, version)                                                                                 \
    {                                                                                                                  \
        "GetParameter", "{\"Name\":\"/p/" key "\",*", 200,                                                             \
            "{\"Parameter\":" PARAM("/p/" key, type, value, version) "}", 0, 0                                         \
    }
#define ABSENT(key)                                                                                                    \
    {                                                                                                                  \
        "GetParameter", "{\"Name\":\"/p/" key "\",*", 400, "{\"__type\":\"ParameterNotFound\"}", 0, 0                  \
    }
#define DESCRIBE(key, type, version, tier)                                                                             \
    {                                                                                                                  \
        "DescribeParameters", NULL, 200,                                                                               \
            "{\"Parameters\":[{\"Name\":\"/p/" key "\",\"Type\":\"" type "\",\"Version\":" #version                    \
            ",\"Tier\":\"" tier "\",\"KeyId\":\"k-" key "\"}]}",                                                       \
            0, 0                                                                                                       \
    }
#define PUT(begins, version)                                                                                           \
    {                                                                                                                  \
        "PutParameter", begins, 200, "{\"Version\":" #version "}", 0, 0                                                \
    }
#define DELETED(key)                                                                                                   \
    {                                                                                                                  \
        "DeleteParameter", "{\"Name\":\"/p/" key "\"}", 200, "{}", 0, 0                                                \
    }

#define STORE(s, options, steps) CLEANUP(store_free) struct store *s = fake_store(options, steps)
CLEANUP_DEFINE(struct store, store_free)

static enum err_code copy(struct store *s, const char *from, const char *from_etag, const char *to, int kind,
                          const char *etag)
{
    const struct store_copy c = {
        .from = from, .from_etag = from_etag, .size = 1, .to = to, .cond = {.kind = kind, .etag = etag}};
    return store_copy(s, &c, NULL, NULL, NULL);
}

static void a_new_copy_is_like_its_source(void **state)
{
    static const struct step steps[] = {
        GET("a", "SecureString", "v", 3),
        DESCRIBE("a", "SecureString", 3, "Advanced"),
        PUT("{\"Name\":\"/p/"
            "b\",\"Value\":\"v\",\"Overwrite\":false,\"Type\":\"SecureString\","
            "\"KeyId\":\"k-a\",\"Tier\":\"Advanced\"}",
            1),
        {"ListTagsForResource", NULL, 200, "{\"TagList\":[{\"Key\":\"k\",\"Value\":\"a b\"}]}", 0, 0},
        {"AddTagsToResource",
         "{\"ResourceType\":\"Parameter\",\"ResourceId\":\"/p/b\",\"Tags\":[{\"Key\":\"k\",\"Value\":\"a b\"}]}", 200,
         "{}", 0, 0},
        END};
    STORE(s, NULL, steps);
    assert_int_equal(copy(s, "a", "3-1795255260500", "b", STORE_IF_ABSENT, NULL), ERR_OK);
    fake_done();
}

static void a_copy_over_another_keeps_what_that_is(void **state)
{
    static const struct step steps[] = {
        GET("a", "String", "v", 3),
        DESCRIBE("a", "String", 3, "Standard"),
        GET("b", "SecureString", "w", 7),
        DESCRIBE("b", "SecureString", 7, "Standard"),
        PUT("{\"Name\":\"/p/"
            "b\",\"Value\":\"v\",\"Overwrite\":true,\"Type\":\"SecureString\",\"KeyId\":\"k-b\",\"Tier\":\"Standard\"}",
            8),
        END};
    STORE(s, NULL, steps);
    assert_int_equal(copy(s, "a", NULL, "b", STORE_ALWAYS, NULL), ERR_OK);
    fake_done();
}

static void a_copy_with_a_known_target_asks_only_about_that(void **state)
{
    static const struct step steps[] = {GET("a", "String", "v", 3), GET("b", "String", "w", 7),
                                        DESCRIBE("b", "String", 7, "Standard"),
                                        PUT("{\"Name\":\"/p/b\",\"Value\":\"v\",\"Overwrite\":true,*", 8), END};
    STORE(s, NULL, steps);
    assert_int_equal(copy(s, "a", NULL, "b", STORE_IF_MATCH, "7-1795255260500"), ERR_OK);
    fake_done();
}

static void an_old_version_can_be_copied_back(void **state)
{
    static const struct step steps[] = {
        {"GetParameter", "{\"Name\":\"/p/a:2\",*", 200, "{\"Parameter\":" PARAM("/p/a", "String", "old", 2) "}", 0, 0},
        GET("a", "String", "now", 3),
        DESCRIBE("a", "String", 3, "Standard"),
        PUT("{\"Name\":\"/p/a\",\"Value\":\"old\",\"Overwrite\":true,*", 4),
        END};
    STORE(s, NULL, steps);
    assert_int_equal(copy(s, "a@2", NULL, "a", STORE_IF_MATCH, "3-1795255260500"), ERR_OK);
    fake_done();
}

static void a_copy_onto_itself_writes_nothing(void **state)
{
    static const struct step steps[] = {GET("a", "String", "v", 3), GET("a", "String", "v", 3), END};
    STORE(s, NULL, steps);
    assert_int_equal(copy(s, "a", NULL, "a", STORE_IF_MATCH, "3-1795255260500"), ERR_OK);
    assert_int_equal(copy(s, "a", NULL, "a", STORE_IF_MATCH, "2-1795255260500"), ERR_CONFLICT);
    fake_done();
}

static void copies_that_cannot_be_are_refused(void **state)
{
    static const struct step gone[] = {ABSENT("a"), END};
    static const struct step moved[] = {GET("a", "String", "v", 4), END};
    static const struct step none[] = {END};
    STORE(s, NULL, gone);
    assert_int_equal(copy(s, "a", NULL, "b", STORE_ALWAYS, NULL), ERR_NOT_FOUND);
    fake_script(moved);
    assert_int_equal(copy(s, "a", "3-1795255260500", "b", STORE_ALWAYS, NULL), ERR_CONFLICT);
    fake_script(none);
    assert_int_equal(copy(s, "a", NULL, "b c", STORE_ALWAYS, NULL), ERR_BAD_NAME);
    assert_int_equal(copy(s, "a", NULL, "b@3", STORE_ALWAYS, NULL), ERR_BAD_NAME);
}

static void what_is_gone_already_is_removed(void **state)
{
    static const struct step steps[] = {DELETED("a"), REFUSED("DeleteParameter", "ParameterNotFound"), ABSENT("a"),
                                        REFUSED("DeleteParameter", "AccessDeniedException"), END};
    STORE(s, NULL, steps);
    assert_int_equal(store_remove(s, "a", NULL, NULL, NULL), ERR_OK);
    assert_int_equal(store_remove(s, "a", NULL, NULL, NULL), ERR_OK);
    assert_int_equal(store_remove(s, "a", "3-1795255260500", NULL, NULL), ERR_OK);
    struct err e = ERR_INIT;
    assert_int_equal(store_remove(s, "a", NULL, NULL, &e), ERR_ACCESS);
    assert_int_equal(e.code, ERR_ACCESS);
    fake_done();
}

static void only_the_version_meant_is_removed(void **state)
{
    static const struct step steps[] = {GET("a", "String", "v", 4), GET("a", "String", "v", 4), DELETED("a"), END};
    STORE(s, NULL, steps);
    assert_int_equal(store_remove(s, "a", "3-1795255260500", NULL, NULL), ERR_CONFLICT);
    assert_int_equal(store_remove(s, "a", "4-1795255260500", NULL, NULL), ERR_OK);
    assert_int_equal(store_remove(s, "a@3", NULL, NULL, NULL), ERR_PERM);
    fake_done();
}

static void many_are_removed_by_tens(void **state)
{
    static const struct step steps[] = {
        {"DeleteParameters",
         "{\"Names\":[\"/p/0\",\"/p/1\",\"/p/2\",\"/p/3\",\"/p/4\",\"/p/5\",\"/p/6\",\"/p/7\",\"/p/8\",\"/p/9\"]}", 200,
         "{\"DeletedParameters\":[\"/p/0\",\"/p/1\",\"/p/2\",\"/p/3\",\"/p/4\",\"/p/5\",\"/p/6\",\"/p/7\"],"
         "\"InvalidParameters\":[\"/p/8\"]}",
         0, 0},
        {"DeleteParameters", "{\"Names\":[\"/p/10\",\"/p/11\"]}", 400, "{\"__type\":\"AccessDeniedException\"}", 0, 0},
        DELETED("10"),
        REFUSED("DeleteParameter", "AccessDeniedException"),
        END};
    const char *const keys[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "never was", "11"};
    enum err_code results[13];
    STORE(s, NULL, steps);
    assert_int_equal(store_remove_many(s, keys, NULL, 13, NULL, results, NULL), ERR_OK);
    for (size_t i = 0; i < 13; i++)
        assert_int_equal(results[i], i == 9 ? ERR_PROTO : i == 12 ? ERR_ACCESS : ERR_OK);
    fake_done();
}

static void of_many_another_version_stays(void **state)
{
    static const struct step steps[] = {
        {"GetParameters", "{\"Names\":[\"/p/a\",\"/p/b\",\"/p/c\",\"/p/gone\"],\"WithDecryption\":false}", 200,
         "{\"Parameters\":[" PARAM("/p/a", "String", "v", 4) "," PARAM("/p/b", "String", "v", 4) "," PARAM(
             "/p/c", "String", "v", 9) "],\"InvalidParameters\":[\"/p/gone\"]}",
         0, 0},
        {"DeleteParameters", "{\"Names\":[\"/p/b\",\"/p/c\"]}", 200, "{\"DeletedParameters\":[\"/p/b\",\"/p/c\"]}", 0,
         0},
        END};
    const char *const keys[] = {"a", "b", "c", "gone"};
    const char *const etags[] = {"3-1795255260500", "4-1795255260500", NULL, "1-1795255260500"};
    enum err_code results[4];
    STORE(s, NULL, steps);
    assert_int_equal(store_remove_many(s, keys, etags, 4, NULL, results, NULL), ERR_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(results[i], i == 0 ? ERR_CONFLICT : ERR_OK);
    fake_done();
}

static void of_many_what_is_not_told_is_not_removed(void **state)
{
    static const struct step steps[] = {
        {"GetParameters", NULL, 200, "{\"Parameters\":[" PARAM("/p/a", "String", "v", 3) "],\"InvalidParameters\":[]}",
         0, 0},
        {"DeleteParameters", "{\"Names\":[\"/p/a\"]}", 200, "{\"DeletedParameters\":[\"/p/a\"]}", 0, 0},
        REFUSED("GetParameters", "AccessDeniedException"),
        GET("a", "String", "v", 4),
        GET("b", "String", "v", 3),
        {"DeleteParameters", "{\"Names\":[\"/p/b\"]}", 200, "{\"DeletedParameters\":[\"/p/b\"]}", 0, 0},
        REFUSED("GetParameters", "InternalServerError"),
        END};
    const char *const keys[] = {"a", "b"}, *const etags[] = {"3-1795255260500", "3-1795255260500"};
    enum err_code results[2];
    STORE(s, NULL, steps);
    assert_int_equal(store_remove_many(s, keys, etags, 2, NULL, results, NULL), ERR_OK);
    assert_int_equal(results[0], ERR_OK);
    assert_int_equal(results[1], ERR_PROTO);
    assert_int_equal(store_remove_many(s, keys, etags, 2, NULL, results, NULL), ERR_OK);
    assert_int_equal(results[0], ERR_CONFLICT);
    assert_int_equal(results[1], ERR_OK);
    assert_int_equal(store_remove_many(s, keys, etags, 2, NULL, results, NULL), ERR_IO);
    fake_done();
}

static void a_hierarchy_is_moved_only_where_no_versions_are_lost(void **state)
{
    static const struct step none[] = {END};
    const struct store_version first = {.etag = "1-1795255260500"}, later = {.etag = "2-1795255260500"};
    STORE(s, NULL, none);
    assert_int_equal(store_check_move(s, "a", &first, NULL), ERR_OK);
    assert_int_equal(store_check_move(s, "a", &later, NULL), ERR_CROSS);
    const struct ssm_options o = {.path = "/p", .rename_copy = true};
    STORE(free_to, &o, none);
    assert_int_equal(store_check_move(free_to, "a", &later, NULL), ERR_OK);
    fake_done();
}

static void a_removal_that_fails_as_a_whole_says_so(void **state)
{
    static const struct step steps[] = {{"DeleteParameters", NULL, 0, NULL, ERR_NET, 0}, END};
    const char *const keys[] = {"a", "b"};
    enum err_code results[2];
    STORE(s, NULL, steps);
    assert_int_equal(store_remove_many(s, keys, NULL, 2, NULL, results, NULL), ERR_NET);
    assert_int_equal(results[0], ERR_NET);
    assert_int_equal(results[1], ERR_NET);
}

static void a_probe_names_the_actions_that_are_missing(void **state)
{
    static const struct step fine[] = {
        {"GetParametersByPath", "{\"Path\":\"/p\",*", 200, "{\"Parameters\":[],\"NextToken\":\"t\"}", 0, 0}, END};
    static const struct step reads_only[] = {REFUSED("GetParametersByPath", "AccessDeniedException"),
                                             REFUSED("GetParameter", "ParameterNotFound"), END};
    static const struct step neither[] = {REFUSED("GetParametersByPath", "AccessDeniedException"),
                                          REFUSED("GetParameter", "AccessDeniedException"), END};
    static const struct step other[] = {{"GetParametersByPath", NULL, 200, "<html>", 0, 0}, END};
    static const struct step silent[] = {{"GetParametersByPath", NULL, 0, NULL, ERR_NET, 0}, END};
    struct err e = ERR_INIT;
    STORE(s, NULL, fine);
    assert_int_equal(store_probe(s, NULL, &e), ERR_OK);
    fake_script(reads_only);
    assert_int_equal(store_probe(s, NULL, &e), ERR_OK);
    fake_script(neither);
    assert_int_equal(store_probe(s, NULL, &e), ERR_ACCESS);
    assert_non_null(strstr(e.msg, "ssm:GetParametersByPath"));
    assert_non_null(strstr(e.msg, "ssm:GetParameter "));
    fake_script(other);
    assert_int_equal(store_probe(s, NULL, &e), ERR_PROTO);
    fake_script(silent);
    assert_int_equal(store_probe(s, NULL, &e), ERR_NET);
    assert_non_null(strstr(e.msg, "127.0.0.1"));
    fake_done();
}

static void the_root_can_only_be_listed(void **state)
{
    static const struct step steps[] = {REFUSED("GetParametersByPath", "AccessDeniedException"), END};
    const struct ssm_options o = {.path = "/"};
    struct err e = ERR_INIT;
    STORE(s, &o, steps);
    assert_int_equal(store_probe(s, NULL, &e), ERR_ACCESS);
    assert_non_null(strstr(e.msg, "ssm:GetParametersByPath"));
    fake_done();
}

static void options_that_are_not_legal_are_named(void **state)
{
    static const struct {
        struct ssm_options o;
        const char *says;
    } cases[] = {
        {{.path = "prod"}, "prod"},
        {{.path = "/a b"}, "/a b"},
        {{.path = "/", .type = "Secure"}, "ssm_type"},
        {{.path = "/", .tier = "standard"}, "ssm_tier"},
        {{.path = "/", .key_id = "a b"}, "ssm_key"},
        {{.path = "/", .key_id = ""}, "ssm_key"},
        {{.path = "/", .type = "String", .key_id = "alias/k"}, "ssm_key"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err e = ERR_INIT;
        assert_null(ssm_store_new((struct aws_client *)&e, &cases[i].o, &e));
        assert_int_equal(e.code, ERR_INVAL);
        assert_non_null(strstr(e.msg, cases[i].says));
    }
}

static void the_store_says_what_it_can_do(void **state)
{
    static const struct step none[] = {END};
    const struct ssm_options o = {.path = "/prod/app", .read_only = true};
    STORE(s, &o, none);
    const struct store_caps *caps = store_caps(s);
    assert_int_equal(caps->flags, STORE_LIST_SUBTREE | STORE_LIST_CONTENT | STORE_SECRET | STORE_SELF_NAMES |
                                      STORE_EMPTY_REFUSED | STORE_SLOW_COPY | STORE_UNORDERED | STORE_READ_ONLY);
    assert_string_equal(caps->xattr_prefix, "user.ssm.");
    assert_string_equal(caps->name, "ssm:/prod/app at http://127.0.0.1:1");
    assert_int_equal(store_remove(s, "x", NULL, NULL, NULL), ERR_READ_ONLY);
    assert_true(store_stays_local(s, ".x.swp"));
    assert_false(store_stays_local(s, "x"));
}

int main(void)
{
    json_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_copy_is_like_its_source),
        cmocka_unit_test(a_copy_over_another_keeps_what_that_is),
        cmocka_unit_test(a_copy_with_a_known_target_asks_only_about_that),
        cmocka_unit_test(an_old_version_can_be_copied_back),
        cmocka_unit_test(a_copy_onto_itself_writes_nothing),
        cmocka_unit_test(copies_that_cannot_be_are_refused),
        cmocka_unit_test(what_is_gone_already_is_removed),
        cmocka_unit_test(only_the_version_meant_is_removed),
        cmocka_unit_test(many_are_removed_by_tens),
        cmocka_unit_test(of_many_another_version_stays),
        cmocka_unit_test(of_many_what_is_not_told_is_not_removed),
        cmocka_unit_test(a_hierarchy_is_moved_only_where_no_versions_are_lost),
        cmocka_unit_test(a_removal_that_fails_as_a_whole_says_so),
        cmocka_unit_test(a_probe_names_the_actions_that_are_missing),
        cmocka_unit_test(the_root_can_only_be_listed),
        cmocka_unit_test(options_that_are_not_legal_are_named),
        cmocka_unit_test(the_store_says_what_it_can_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
