#include "fake.h"
#include "util/json.h"

#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, 0, NULL, 0, 0                                                                                      \
    }
#define GET_X(type, value, version)                                                                                    \
    {                                                                                                                  \
        "GetParameter", NULL, 200, "{\"Parameter\":" PARAM("/p/x", type, value, version) "}", 0, 0                     \
    }
#define PAGE(list, more)                                                                                               \
    {                                                                                                                  \
        "GetParametersByPath", NULL, 200, "{\"Parameters\":[" list "]" more "}", 0, 0                                  \
    }

#define STORE(s, options, steps) CLEANUP(store_free) struct store *s = fake_store(options, steps)
CLEANUP_DEFINE(struct store, store_free)

static void a_stat_brings_the_value_and_what_is_told_of_it(void **state)
{
    static const struct step steps[] = {{"GetParameter", "{\"Name\":\"/p/db/host\",\"WithDecryption\":true}", 200,
                                         "{\"Parameter\":" PARAM("/p/db/host", "SecureString", "se\\u00e9", 3) "}", 0,
                                         0},
                                        END};
    STORE(s, NULL, steps);
    CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
    assert_int_equal(store_stat(s, "db/host", NULL, &o, NULL), ERR_OK);
    assert_string_equal(o.version.etag, "3-1795255260500");
    assert_int_equal(o.version.size, 4);
    assert_int_equal(o.version.mtime.tv_sec, 1795255260);
    assert_memory_equal(o.content, "se\xc3\xa9", 4);
    assert_int_equal(o.meta->has, STORE_HAS_MODE);
    assert_int_equal(o.meta->mode, S_IFREG | 0600);
    assert_string_equal(store_meta_prop(o.meta, "type", NULL), "SecureString");
    assert_string_equal(store_meta_prop(o.meta, "version", NULL), "3");
    assert_string_equal(store_meta_prop(o.meta, "data-type", NULL), "text");
    assert_string_equal(store_meta_prop(o.meta, "arn", NULL), "arn:aws:ssm:eu-west-1:123456789012:parameter/p/db/host");
    fake_done();
}

static void only_what_is_no_secret_may_be_read_by_others(void **state)
{
    static const struct step steps[] = {GET_X("String", "v", 1), GET_X("StringList", "v", 1), GET_X("NewType", "v", 1),
                                        END};
    static const mode_t modes[] = {0644, 0644, 0600};
    STORE(s, NULL, steps);
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
        assert_int_equal(store_stat(s, "x", NULL, &o, NULL), ERR_OK);
        assert_int_equal(o.meta->mode & 0777, modes[i]);
    }
}

static void a_version_and_a_label_are_asked_for_by_selector(void **state)
{
    static const struct step steps[] = {
        {"GetParameter", "{\"Name\":\"/p/x:3\",\"WithDecryption\":true}", 200,
         "{\"Parameter\":{\"Name\":\"/p/x\",\"Type\":\"String\",\"Value\":\"old\",\"Version\":3,\"Selector\":\":3\"}}",
         0, 0},
        {"GetParameter", "{\"Name\":\"/p/x:live\",\"WithDecryption\":true}", 400,
         "{\"__type\":\"ParameterVersionNotFound\"}", 0, 0},
        END};
    STORE(s, NULL, steps);
    CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
    assert_int_equal(store_stat(s, "x@3", NULL, &o, NULL), ERR_OK);
    assert_string_equal(store_meta_prop(o.meta, "selector", NULL), "3");
    struct err e = ERR_INIT;
    assert_int_equal(store_stat(s, "x@live", NULL, &o, &e), ERR_NOT_FOUND);
    assert_non_null(strstr(e.msg, "ParameterVersionNotFound"));
    fake_done();
}

static void what_no_parameter_can_be_called_is_absent_without_a_request(void **state)
{
    static const struct step none[] = {END};
    static const char *const keys[] = {"a b", ".git/x y", "a//b", "a/", "x@", "x@3a", "a/@env", "100%", "caf\xc3\xa9"};
    STORE(s, NULL, none);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        struct store_object o;
        assert_int_equal(store_stat(s, keys[i], NULL, &o, NULL), ERR_NOT_FOUND);
        assert_int_equal(store_remove(s, keys[i], NULL, NULL, NULL), ERR_OK);
    }
}

static void only_the_services_word_is_an_absence(void **state)
{
    static const struct {
        struct step steps[3];
        enum err_code code;
    } cases[] = {
        {{REFUSED("GetParameter", "ParameterNotFound"), END}, ERR_NOT_FOUND},
        {{REFUSED("GetParameter", "AccessDeniedException"), REFUSED("GetParameter", "AccessDeniedException"), END},
         ERR_ACCESS},
        {{REFUSED("GetParameter", "InternalServerError"), END}, ERR_IO},
        {{REFUSED("GetParameter", "ThrottlingException"), END}, ERR_THROTTLED},
        {{{"GetParameter", NULL, 404, "<html>", 0, 0}, END}, ERR_PROTO},
        {{{"GetParameter", NULL, 0, NULL, ERR_TIMEOUT, 0}, END}, ERR_TIMEOUT},
        {{{"GetParameter", NULL, 200, "", 0, 0}, END}, ERR_PROTO},
        {{{"GetParameter", NULL, 200, "{\"Parameter\":" PARAM("/p/y", "String", "v", 1) "}", 0, 0}, END}, ERR_PROTO},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        STORE(s, NULL, cases[i].steps);
        struct store_object o;
        struct err e = ERR_INIT;
        assert_int_equal(store_stat(s, "x", NULL, &o, &e), cases[i].code);
        assert_null(strstr(e.msg, "hunter2"));
        fake_done();
    }
}

struct got {
    enum err_code code;
    char bytes[64];
    size_t len;
    bool done;
    pthread_mutex_t lock;
};

static bool on_data(void *arg, const void *p, size_t len)
{
    struct got *g = arg;
    assert_true(g->len + len <= sizeof(g->bytes));
    memcpy(g->bytes + g->len, p, len);
    g->len += len;
    return true;
}

static void on_done(void *arg, enum err_code code, const struct store_object *o, const struct err *e)
{
    struct got *g = arg;
    pthread_mutex_lock(&g->lock);
    assert_true((o != NULL) == (code == ERR_OK));
    g->code = code;
    g->done = true;
    pthread_mutex_unlock(&g->lock);
}

static struct got read_range(struct store *s, const char *etag, uint64_t offset, uint64_t length)
{
    struct got g = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct store_get get = {
        .key = "x", .etag = etag, .offset = offset, .length = length, .data = on_data, .done = on_done, .arg = &g};
    assert_int_equal(store_get(s, &get, NULL), ERR_OK);
    for (bool done = false; !done; usleep(1000)) {
        pthread_mutex_lock(&g.lock);
        done = g.done;
        pthread_mutex_unlock(&g.lock);
    }
    return g;
}

static void a_get_delivers_its_range_of_that_version(void **state)
{
    static const struct step steps[] = {GET_X("String", "0123456789", 3), GET_X("String", "0123456789", 3),
                                        GET_X("String", "0123456789", 3), GET_X("String", "0123456789", 3), END};
    STORE(s, NULL, steps);
    struct got g = read_range(s, "3-1795255260500", 2, 5);
    assert_int_equal(g.code, ERR_OK);
    assert_int_equal(g.len, 5);
    assert_memory_equal(g.bytes, "23456", 5);
    assert_int_equal(read_range(s, "2-1795255260500", 0, 1).code, ERR_CONFLICT);
    assert_int_equal(read_range(s, NULL, 8, 3).code, ERR_INVAL);
    assert_int_equal(read_range(s, NULL, UINT64_MAX - 1, 1).code, ERR_INVAL);
    fake_done();
}

static enum err_code list(struct store *s, const char *prefix, bool delimiter, const char *token,
                          struct store_page *out)
{
    const struct store_list l = {.prefix = prefix, .delimiter = delimiter, .token = token};
    return store_list(s, &l, NULL, out, NULL);
}

static void a_page_is_sorted_and_brings_the_values(void **state)
{
    static const struct step steps[] = {
        {"GetParametersByPath", "{\"Path\":\"/p\",\"Recursive\":true,\"WithDecryption\":true,\"MaxResults\":10}", 200,
         "{\"Parameters\":[" PARAM("/p/z", "String", "zz", 1) "," PARAM("/p/a/b", "SecureString", "b", 2) "," PARAM(
             "/p/a", "String", "a", 3) "," PARAM("/p/a-", "String", "-", 4) "," PARAM("/p/z", "String", "again",
                                                                                      1) "]}",
         0, 0},
        END};
    static const char *const want[] = {"a", "a-", "a/b", "z"};
    STORE(s, NULL, steps);
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    assert_int_equal(list(s, "", false, NULL, &page), ERR_OK);
    assert_int_equal(page.n, 4);
    for (size_t i = 0; i < page.n; i++)
        assert_string_equal(page.entries[i].key, want[i]);
    assert_string_equal(page.entries[2].object.version.etag, "2-1795255260500");
    assert_int_equal(page.entries[3].object.version.size, 2);
    assert_memory_equal(page.entries[3].object.content, "zz", 2);
    assert_int_equal(page.entries[2].object.meta->mode & 0777, 0600);
    assert_null(page.next);
    fake_done();
}

static void a_prefix_is_asked_for_by_its_directory(void **state)
{
    static const struct step steps[] = {
        {"GetParametersByPath", "{\"Path\":\"/p/dir\",*", 200,
         "{\"Parameters\":[" PARAM("/p/dir/name", "String", "v", 1) "," PARAM("/p/dir/other", "String", "v", 1) "]}", 0,
         0},
        END};
    STORE(s, NULL, steps);
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    assert_int_equal(list(s, "dir/na", false, NULL, &page), ERR_OK);
    assert_int_equal(page.n, 1);
    assert_string_equal(page.entries[0].key, "dir/name");
    fake_done();
}

static void parameters_of_the_root_have_no_slash(void **state)
{
    static const struct step steps[] = {
        {"GetParametersByPath", "{\"Path\":\"/\",*", 200,
         "{\"Parameters\":[" PARAM("x", "String", "v", 1) "," PARAM("/y/z", "String", "v", 1) "]}", 0, 0},
        {"GetParameter", "{\"Name\":\"/x\",*", 200, "{\"Parameter\":" PARAM("x", "String", "v", 1) "}", 0, 0},
        END};
    const struct ssm_options o = {.path = "/"};
    STORE(s, &o, steps);
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    assert_int_equal(list(s, "", false, NULL, &page), ERR_OK);
    assert_string_equal(page.entries[0].key, "x");
    assert_string_equal(page.entries[1].key, "y/z");
    CLEANUP_RELEASE(store_object_release) struct store_object object = {0};
    assert_int_equal(store_stat(s, "x", NULL, &object, NULL), ERR_OK);
    assert_string_equal(object.version.etag, page.entries[0].object.version.etag);
    fake_done();
}

static void a_newline_may_be_shown_that_is_not_stored(void **state)
{
    static const struct step steps[] = {
        PAGE(PARAM("/p/a", "String", "v", 1) "," PARAM("/p/b", "String", "v\\n", 1), ""),
        {"GetParameter", NULL, 200, "{\"Parameter\":" PARAM("/p/a", "String", "v", 1) "}", 0, 0},
        END};
    const struct ssm_options o = {.path = "/p", .newline = SSM_NEWLINE_ADD};
    STORE(s, &o, steps);
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    assert_int_equal(list(s, "", false, NULL, &page), ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(page.entries[i].object.version.size, 2);
        assert_memory_equal(page.entries[i].object.content, "v\n", 2);
    }
    CLEANUP_RELEASE(store_object_release) struct store_object object = {0};
    assert_int_equal(store_stat(s, "a", NULL, &object, NULL), ERR_OK);
    assert_int_equal(object.version.size, 2);
    assert_string_equal(object.version.etag, page.entries[0].object.version.etag);
    fake_done();
}

static void a_delimiter_groups_each_page(void **state)
{
    static const struct step steps[] = {PAGE(PARAM("/p/a/1", "String", "v", 1) "," PARAM(
                                                 "/p/a/2", "String", "v", 1) "," PARAM("/p/b", "String", "v", 1),
                                             ""),
                                        END};
    STORE(s, NULL, steps);
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    assert_int_equal(list(s, "", true, NULL, &page), ERR_OK);
    assert_int_equal(page.n, 2);
    assert_true(page.entries[0].is_prefix && !page.entries[1].is_prefix);
    assert_string_equal(page.entries[0].key, "a/");
    assert_string_equal(page.entries[1].key, "b");
}

static void pages_follow_their_tokens_also_over_empty_ones(void **state)
{
    static const struct step steps[] = {
        PAGE("", ",\"NextToken\":\"t1\""),
        {"GetParametersByPath",
         "{\"Path\":\"/p\",\"Recursive\":true,\"WithDecryption\":true,\"MaxResults\":10,\"NextToken\":\"t1\"}", 200,
         "{\"Parameters\":[],\"NextToken\":\"t2\"}", 0, 0},
        PAGE("", ",\"NextToken\":\"t1\""),
        END};
    STORE(s, NULL, steps);
    CLEANUP_RELEASE(store_page_release) struct store_page first = {0}, second = {0}, third = {0};
    assert_int_equal(list(s, "", false, NULL, &first), ERR_OK);
    assert_int_equal(first.n, 0);
    assert_int_equal(list(s, "", false, first.next, &second), ERR_OK);
    assert_int_equal(list(s, "", false, second.next, &third), ERR_OK);
    fake_done();
    /* t1, t2, t1, t2, ...: noticed before long. */
    static const struct step again[] = {PAGE("", ",\"NextToken\":\"t2\""), END};
    fake_script(again);
    CLEANUP_RELEASE(store_page_release) struct store_page fourth = {0};
    assert_int_equal(list(s, "", false, third.next, &fourth), ERR_PROTO);
}

static void a_listing_that_is_none_is_an_error(void **state)
{
    static const struct step cases[][3] = {
        {PAGE(PARAM("/q/x", "String", "v", 1), ""), END},
        {PAGE(PARAM("/p", "String", "v", 1), ""), END},
        {{"GetParametersByPath", NULL, 200, "{\"Parameters\":{}}", 0, 0}, END},
        {{"GetParametersByPath", NULL, 200, "", 0, 0}, END},
        {{"GetParametersByPath", NULL, 503, "", 0, 0}, END},
        {REFUSED("GetParametersByPath", "AccessDeniedException"),
         REFUSED("GetParametersByPath", "AccessDeniedException"), END},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        STORE(s, NULL, cases[i]);
        struct store_page page;
        assert_int_not_equal(list(s, "", false, NULL, &page), ERR_OK);
        fake_done();
    }
}

static void a_secret_that_cannot_be_decrypted_is_there_without_its_value(void **state)
{
    static const struct step steps[] = {
        REFUSED("GetParametersByPath", "InvalidKeyId"),
        {"GetParametersByPath", "{\"Path\":\"/p\",\"Recursive\":true,\"WithDecryption\":false,*", 200,
         "{\"Parameters\":[" PARAM("/p/s", "SecureString", "cipher text", 4) "," PARAM("/p/x", "String", "v", 1) "]}",
         0, 0},
        REFUSED("GetParameter", "InvalidKeyId"),
        GET_X("SecureString", "cipher text", 4),
        REFUSED("GetParameter", "InvalidKeyId"),
        END};
    STORE(s, NULL, steps);
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    assert_int_equal(list(s, "", false, NULL, &page), ERR_OK);
    assert_true(page.n == 2 && page.entries[0].object.sealed && !page.entries[1].object.sealed);
    assert_true(page.entries[0].object.version.size == 0 && page.entries[0].object.content == NULL);
    CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
    assert_int_equal(store_stat(s, "x", NULL, &o, NULL), ERR_OK);
    assert_true(o.sealed && o.version.size == 0 && o.content == NULL && (o.meta->mode & 0777) == 0600);
    const struct store_call call = {.unseal = true};
    struct store_object none;
    assert_int_equal(store_stat(s, "x", &call, &none, NULL), ERR_KEY_REJECTED);
    fake_done();
}

static void nothing_is_below_what_no_parameter_can_be_called(void **state)
{
    static const struct step none[] = {END};
    STORE(s, NULL, none);
    struct store_page page;
    assert_int_equal(list(s, "a b/", false, NULL, &page), ERR_OK);
    assert_int_equal(page.n, 0);
    assert_null(page.next);
    assert_int_equal(list(s, "", false, "not ours", &page), ERR_INVAL);
}

static void properties_come_from_the_reply_or_one_request(void **state)
{
    static const struct step steps[] = {
        GET_X("SecureString", "v", 3),
        {"DescribeParameters", NULL, 200, "{\"Parameters\":[],\"NextToken\":\"n\"}", 0, 0},
        {"DescribeParameters", NULL, 200,
         "{\"Parameters\":[{\"Name\":\"/p/x\",\"Type\":\"SecureString\",\"Version\":3,\"KeyId\":\"alias/"
         "k\",\"Tier\":\"Standard\"}]}",
         0, 0},
        END};
    static const char *const want[][2] = {
        {"type", "SecureString"}, {"version", "3"},     {"data_type", "text"}, {"data-type", "text"},
        {"key_id", "alias/k"},    {"tier", "Standard"}, {"description", NULL}, {"last_modified_user", NULL},
        {"selector", NULL},       {"nonsense", NULL}};
    STORE(s, NULL, steps);
    CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
    assert_int_equal(store_stat(s, "x", NULL, &o, NULL), ERR_OK);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        BUF(value, 1024);
        enum err_code code = store_property_get(s, "x", &o, want[i][0], NULL, &value, NULL);
        assert_int_equal(code, want[i][1] ? ERR_OK : ERR_NO_ATTR);
        assert_string_equal(buf_str(&value), want[i][1] ? want[i][1] : "");
    }
    struct store_meta *changed = NULL;
    assert_int_equal(store_property_set(s, "x", o.meta, "type", "String", 6, NULL, &changed, NULL), ERR_PERM);
    fake_done();
}

int main(void)
{
    json_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stat_brings_the_value_and_what_is_told_of_it),
        cmocka_unit_test(only_what_is_no_secret_may_be_read_by_others),
        cmocka_unit_test(a_version_and_a_label_are_asked_for_by_selector),
        cmocka_unit_test(what_no_parameter_can_be_called_is_absent_without_a_request),
        cmocka_unit_test(only_the_services_word_is_an_absence),
        cmocka_unit_test(a_get_delivers_its_range_of_that_version),
        cmocka_unit_test(a_page_is_sorted_and_brings_the_values),
        cmocka_unit_test(a_prefix_is_asked_for_by_its_directory),
        cmocka_unit_test(parameters_of_the_root_have_no_slash),
        cmocka_unit_test(a_newline_may_be_shown_that_is_not_stored),
        cmocka_unit_test(a_delimiter_groups_each_page),
        cmocka_unit_test(pages_follow_their_tokens_also_over_empty_ones),
        cmocka_unit_test(a_listing_that_is_none_is_an_error),
        cmocka_unit_test(a_secret_that_cannot_be_decrypted_is_there_without_its_value),
        cmocka_unit_test(nothing_is_below_what_no_parameter_can_be_called),
        cmocka_unit_test(properties_come_from_the_reply_or_one_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
