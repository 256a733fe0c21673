/* Names that no parameter has: versions, histories, what AWS provides; labels, and views of a version. */
#include "backends/ssm/derived.h"
#include "backends/ssm/history.h"
#include "backends/ssm/names.h"
#include "fake.h"
#include "util/json.h"

#include <string.h>

#define END                                                                                                            \
    {                                                                                                                  \
        NULL, NULL, 0, NULL, 0, 0                                                                                      \
    }
#define STORE(s, steps) CLEANUP(store_free) struct store *s = fake_store(NULL, steps)
CLEANUP_DEFINE(struct store, store_free)

#define VERSION(value, version, more)                                                                                  \
    "{\"Name\":\"/p/x\",\"Type\":\"String\",\"Value\":\"" value "\",\"Version\":" #version                             \
    ",\"LastModifiedDate\":1795255260.5" more "}"
#define HISTORY(versions)                                                                                              \
    {                                                                                                                  \
        "GetParameterHistory", NULL, 200, "{\"Parameters\":[" versions "]}", 0, 0                                      \
    }
#define LABEL(op, version, labels)                                                                                     \
    {                                                                                                                  \
        op, "{\"Name\":\"/p/x\",\"ParameterVersion\":" #version ",\"Labels\":[" labels "]}", 200, "{}", 0, 0           \
    }

static void a_keys_form_is_told_by_its_spelling(void **state)
{
    static const struct {
        const char *key;
        enum store_form form;
    } cases[] = {
        {"db/host", STORE_FORM_PLAIN},
        {"db/host@3", STORE_FORM_OBJECT},
        {"host@live", STORE_FORM_OBJECT},
        {"host@1st", STORE_FORM_PLAIN},
        {"host@", STORE_FORM_PLAIN},
        {"@3", STORE_FORM_PLAIN},
        {"host@history", STORE_FORM_DIR},
        {"db/host@history", STORE_FORM_DIR},
        {"host@historyx", STORE_FORM_OBJECT},
        {"host@history/3", STORE_FORM_OBJECT},
        {"host@history/x", STORE_FORM_PLAIN},
        {"host@history/3/4", STORE_FORM_PLAIN},
        {"@history", STORE_FORM_PLAIN},
        {"db/@history", STORE_FORM_PLAIN},
        {"@json", STORE_FORM_VIEW},
        {"db/@json@live", STORE_FORM_VIEW},
        {"db/@json@1st", STORE_FORM_PLAIN},
        {"db/@tree.yaml@3", STORE_FORM_TREE_VIEW},
        {"host@history/@json", STORE_FORM_VIEW},
        {"db/@nothing", STORE_FORM_PLAIN},
        {"@aws", STORE_FORM_FIXED_DIR},
        {"db/@aws", STORE_FORM_PLAIN},
        {"@aws/service", STORE_FORM_FIXED_DIR},
        {"@aws/service/ecs", STORE_FORM_PLAIN},
        {"@aws/service/ecs/x@2", STORE_FORM_OBJECT},
        {"@aws/reference/secretsmanager", STORE_FORM_FIXED_DIR},
        {"@aws/reference/secretsmanager/a%2Fb", STORE_FORM_OBJECT},
    };
    static const struct step none[] = {END};
    STORE(s, none);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(store_form(s, cases[i].key), cases[i].form);
}

static void keys_of_what_aws_provides_are_names_of_their_own(void **state)
{
    static const char *const cases[][2] = {
        {"@aws/service/ecs/ami", "/aws/service/ecs/ami"},
        {"@aws/service/x@3", "/aws/service/x:3"},
        {"@aws/reference/secretsmanager/db", "/aws/reference/secretsmanager/db"},
        {"@aws/reference/secretsmanager/prod%2Fdb@AWSPREVIOUS", "/aws/reference/secretsmanager/prod/db:AWSPREVIOUS"},
        {"@aws/reference/secretsmanager/a%40b%2B", "/aws/reference/secretsmanager/a@b+"},
        {"@aws/reference/secretsmanager/db@0f-1", "/aws/reference/secretsmanager/db:0f-1"},
        {"x@history/3", "/p/x:3"},
    };
    struct ssm_name name;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(ssm_name_for_read("/p", cases[i][0], &name, NULL), ERR_OK);
        assert_string_equal(name.text, cases[i][1]);
    }
    static const char *const none[] = {"@aws",
                                       "@aws/x",
                                       "@aws/reference/x",
                                       "@aws/service/a b",
                                       "@aws/reference/secretsmanager/",
                                       "@aws/reference/secretsmanager/a/b",
                                       "@aws/reference/secretsmanager/a%00b",
                                       "@aws/reference/secretsmanager/a%3Ab",
                                       "@aws/reference/secretsmanager/a@b:c",
                                       "@aws/reference/secretsmanager/a@",
                                       "@aws/reference/secretsmanager/%zz",
                                       "x@history/y z",
                                       "x@history/3/4"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_int_equal(ssm_name_for_read("/p", none[i], &name, NULL), ERR_NOT_FOUND);
}

static void a_history_is_listed_with_what_belongs_to_each_version(void **state)
{
    static const struct step steps[] = {
        {"GetParameterHistory", "{\"Name\":\"/p/x\",\"WithDecryption\":true,\"MaxResults\":50}", 200,
         "{\"Parameters\":[" VERSION("b", 2, "") "],\"NextToken\":\"n\"}", 0, 0},
        {"GetParameterHistory", "{\"Name\":\"/p/x\",\"WithDecryption\":true,\"MaxResults\":50,\"NextToken\":\"n\"}", 200,
         "{\"Parameters\":[" VERSION("a", 1, ",\"Labels\":[\"live\",\"old\"],\"Description\":\"d\"") "]}", 0, 0},
        END};
    STORE(s, steps);
    struct store_list l = {.prefix = "x@history/"};
    CLEANUP_RELEASE(store_page_release) struct store_page one = {0}, two = {0};
    assert_int_equal(store_list(s, &l, NULL, &one, NULL), ERR_OK);
    assert_int_equal(one.n, 1);
    assert_string_equal(one.entries[0].key, "x@history/2");
    assert_memory_equal(one.entries[0].object.content, "b", 1);
    l.token = one.next;
    assert_int_equal(store_list(s, &l, NULL, &two, NULL), ERR_OK);
    assert_null(two.next);
    const struct store_object *first = &two.entries[0].object;
    assert_string_equal(store_meta_prop(first->meta, "labels", NULL), "live,old");
    assert_int_equal(first->version.mtime.tv_sec, 1795255260);
    static const char *const wanted[][2] = {{"labels", "live,old"}, {"description", "d"}, {"version", "1"}, {"type", "String"}};
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        BUF(value, 256);
        assert_int_equal(store_property_get(s, "x@history/1", first, wanted[i][0], NULL, &value, NULL), ERR_OK);
        assert_string_equal(buf_str(&value), wanted[i][1]);
    }
    BUF(value, 256);
    assert_int_equal(store_property_get(s, "x@history/1", first, "tier", NULL, &value, NULL), ERR_NO_ATTR);
    fake_done();
}

static void what_is_not_there_has_no_history(void **state)
{
    static const struct step steps[] = {REFUSED("GetParameterHistory", "ParameterNotFound"),
                                        REFUSED("GetParameterHistory", "AccessDeniedException"),
                                        REFUSED("GetParameterHistory", "AccessDeniedException"), END};
    STORE(s, steps);
    const struct store_list l = {.prefix = "x@history/"}, below = {.prefix = "x@history/3/"};
    CLEANUP_RELEASE(store_page_release) struct store_page page = {0};
    assert_int_equal(store_list(s, &l, NULL, &page, NULL), ERR_OK);
    assert_int_equal(page.n, 0);
    store_page_release(&page);
    assert_int_equal(store_list(s, &below, NULL, &page, NULL), ERR_OK);
    assert_int_equal(page.n, 0);
    store_page_release(&page);
    assert_int_equal(store_list(s, &l, NULL, &page, NULL), ERR_ACCESS);
    fake_done();
}

static void a_history_that_is_none_is_refused(void **state)
{
    static const char *const replies[] = {
        "",
        "{}",
        "{\"Parameters\":{}}",
        "{\"Parameters\":[{}]}",
        "{\"Parameters\":[" VERSION("a", 1, ",\"Labels\":[1]") "]}",
        "{\"Parameters\":[" VERSION("a", 1, ",\"Labels\":[\"a b\"]") "]}",
        "{\"Parameters\":[" VERSION("a", -1, "") "]}",
        "{\"Parameters\":[],\"NextToken\":1}",
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct ssm_history h;
        assert_int_equal(ssm_parse_history(replies[i], strlen(replies[i]), &h, NULL), ERR_PROTO);
    }
}

static enum err_code set(struct store *s, const char *key, const char *name, const char *value)
{
    struct store_meta *changed = NULL;
    enum err_code code = store_property_set(s, key, NULL, name, value, value ? strlen(value) : 0, NULL, &changed, NULL);
    assert_null(changed);
    return code;
}

static void labels_become_those_that_are_set(void **state)
{
    static const struct step steps[] = {
        HISTORY(VERSION("a", 1, ",\"Labels\":[\"old\",\"kept\"]")),
        LABEL("LabelParameterVersion", 1, "\"new\""),
        LABEL("UnlabelParameterVersion", 1, "\"old\""),
        HISTORY(VERSION("a", 1, ",\"Labels\":[\"old\"]")),
        LABEL("UnlabelParameterVersion", 1, "\"old\""),
        HISTORY(VERSION("a", 1, ",\"Labels\":[\"same\"]")),
        END,
    };
    STORE(s, steps);
    assert_int_equal(set(s, "x@1", "labels", "kept, new"), ERR_OK);
    assert_int_equal(set(s, "x@history/1", "labels", NULL), ERR_OK);
    assert_int_equal(set(s, "x@1", "labels", "same"), ERR_OK);
    fake_done();
}

static void ten_labels_are_exchanged_without_an_eleventh(void **state)
{
    static const struct step steps[] = {
        HISTORY(VERSION("a", 1, ",\"Labels\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\"]")),
        LABEL("UnlabelParameterVersion", 1, "\"a\""),
        LABEL("LabelParameterVersion", 1, "\"k\""),
        END,
    };
    STORE(s, steps);
    assert_int_equal(set(s, "x@1", "labels", "b c d e f g h i j k"), ERR_OK);
    fake_done();
}

static void a_label_that_the_service_refuses_is_an_error(void **state)
{
    static const struct step steps[] = {
        {"LabelParameterVersion", NULL, 200, "{\"InvalidLabels\":[\"live\"],\"ParameterVersion\":1}", 0, 0}, END};
    STORE(s, steps);
    assert_int_equal(set(s, "x", "label.live", "1"), ERR_INVAL);
    assert_int_equal(set(s, "x", "label.live", "0"), ERR_INVAL);
    assert_int_equal(set(s, "x", "label.live", ""), ERR_INVAL);
    assert_int_equal(set(s, "x", "label.1st", "1"), ERR_INVAL);
    assert_int_equal(set(s, "x", "label.a b", "1"), ERR_INVAL);
    assert_int_equal(set(s, "x@2", "label.live", "1"), ERR_PERM);
    fake_done();
}

static enum err_code view(struct store *s, const char *key, const char *const *names, size_t n, struct store_object *out)
{
    struct store_view_item items[16] = {0};
    for (size_t i = 0; i < n; i++)
        items[i] = (struct store_view_item){.key = names[i], .content = "now", .version.size = 3};
    return store_view(s, key, items, n, NULL, out, NULL);
}

static void a_view_of_a_label_asks_for_ten_at_once_and_leaves_out_what_has_none(void **state)
{
    static const struct step steps[] = {
        {"GetParameters",
         "{\"Names\":[\"/p/d/a:live\",\"/p/d/b:live\",\"/p/d/c:live\",\"/p/d/d:live\",\"/p/d/e:live\",\"/p/d/f:live\","
         "\"/p/d/g:live\",\"/p/d/h:live\",\"/p/d/i:live\",\"/p/d/j:live\"],\"WithDecryption\":true}",
         200, "{\"Parameters\":[" PARAM("/p/d/b", "String", "then", 1) "],\"InvalidParameters\":[\"/p/d/a:live\"]}", 0, 0},
        {"GetParameters", "{\"Names\":[\"/p/d/k:live\"],\"WithDecryption\":true}", 200,
         "{\"Parameters\":[" PARAM("/p/d/k", "SecureString", "secret", 4) "]}", 0, 0},
        END};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"};
    STORE(s, steps);
    CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
    assert_int_equal(view(s, "d/@json@live", names, ARRAY_LEN(names), &o), ERR_OK);
    assert_int_equal(o.version.size, strlen("{\"b\":\"then\",\"k\":\"secret\"}\n"));
    assert_memory_equal(o.content, "{\"b\":\"then\",\"k\":\"secret\"}\n", o.version.size);
    assert_int_equal(o.meta->mode & 0777, 0400);
    assert_int_equal(o.version.mtime.tv_sec, 1795255260);
    fake_done();
}

static void a_view_is_read_one_by_one_where_many_at_once_are_not_allowed(void **state)
{
    static const struct step steps[] = {
        REFUSED("GetParameters", "AccessDeniedException"),
        {"GetParameter", "{\"Name\":\"/p/a:2\",*", 200, "{\"Parameter\":" PARAM("/p/a", "String", "two", 2) "}", 0, 0},
        REFUSED("GetParameter", "ParameterVersionNotFound"),
        END};
    static const char *const names[] = {"a", "b"};
    STORE(s, steps);
    CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
    assert_int_equal(view(s, "@env@2", names, 2, &o), ERR_OK);
    assert_memory_equal(o.content, "A=\"two\"\n", o.version.size);
    fake_done();
}

static void a_view_of_what_is_sealed_is_sealed_and_decrypts_ten_at_once_when_it_is_opened(void **state)
{
    static const struct step steps[] = {
        {"GetParameters", "{\"Names\":[\"/p/d/s\",\"/p/d/gone\"],\"WithDecryption\":true}", 200,
         "{\"Parameters\":[" PARAM("/p/d/s", "SecureString", "secret", 4) "],\"InvalidParameters\":[\"/p/d/gone\"]}", 0, 0},
        END};
    struct store_view_item items[] = {
        {.key = "a", .content = "now", .version.size = 3}, {.key = "s"}, {.key = "gone"}};
    const struct store_call opened = {.unseal = true};
    STORE(s, steps);
    CLEANUP_RELEASE(store_object_release) struct store_object told = {0}, o = {0};
    assert_int_equal(store_view(s, "d/@json", items, ARRAY_LEN(items), NULL, &told, NULL), ERR_OK);
    assert_true(told.sealed);
    assert_null(told.content);
    assert_int_equal(told.meta->mode & 0777, 0400);
    assert_int_equal(store_view(s, "d/@json", items, ARRAY_LEN(items), &opened, &o, NULL), ERR_OK);
    assert_false(o.sealed);
    assert_int_equal(o.version.size, strlen("{\"a\":\"now\",\"s\":\"secret\"}\n"));
    assert_memory_equal(o.content, "{\"a\":\"now\",\"s\":\"secret\"}\n", o.version.size);
    fake_done();
}

static void a_view_of_what_no_parameter_has_is_absent(void **state)
{
    static const struct step steps[] = {
        {"GetParameters", NULL, 200, "{\"Parameters\":[],\"InvalidParameters\":[\"/p/a:x\"]}", 0, 0},
        {"GetParameters", NULL, 200, "{\"Parameters\":[" PARAM("/p/other", "String", "v", 1) "]}", 0, 0}, END};
    static const char *const names[] = {"a"};
    STORE(s, steps);
    CLEANUP_RELEASE(store_object_release) struct store_object o = {0};
    assert_int_equal(view(s, "@env@x", names, 1, &o), ERR_NOT_FOUND);
    assert_int_equal(view(s, "@env@x", names, 1, &o), ERR_PROTO);
    fake_done();
}

static void a_secret_is_told_apart_by_its_value(void **state)
{
#define SECRET(value)                                                                                                  \
    {                                                                                                                  \
        "GetParameter", "{\"Name\":\"/aws/reference/secretsmanager/a/b\",*", 200,                                      \
            "{\"Parameter\":" PARAM("a/b", "SecureString", value, 0) "}", 0, 0                                         \
    }
    static const struct step steps[] = {SECRET("one"), SECRET("two"), SECRET("one"), END};
    STORE(s, steps);
    struct store_object o[3] = {0};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(store_stat(s, "@aws/reference/secretsmanager/a%2Fb", NULL, &o[i], NULL), ERR_OK);
    assert_string_not_equal(o[0].version.etag, o[1].version.etag);
    assert_string_equal(o[0].version.etag, o[2].version.etag);
    for (size_t i = 0; i < 3; i++)
        store_object_release(&o[i]);
    fake_done();
}

int main(void)
{
    json_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keys_form_is_told_by_its_spelling),
        cmocka_unit_test(keys_of_what_aws_provides_are_names_of_their_own),
        cmocka_unit_test(a_history_is_listed_with_what_belongs_to_each_version),
        cmocka_unit_test(what_is_not_there_has_no_history),
        cmocka_unit_test(a_history_that_is_none_is_refused),
        cmocka_unit_test(labels_become_those_that_are_set),
        cmocka_unit_test(ten_labels_are_exchanged_without_an_eleventh),
        cmocka_unit_test(a_label_that_the_service_refuses_is_an_error),
        cmocka_unit_test(a_view_of_a_label_asks_for_ten_at_once_and_leaves_out_what_has_none),
        cmocka_unit_test(a_view_is_read_one_by_one_where_many_at_once_are_not_allowed),
        cmocka_unit_test(a_view_of_what_is_sealed_is_sealed_and_decrypts_ten_at_once_when_it_is_opened),
        cmocka_unit_test(a_view_of_what_no_parameter_has_is_absent),
        cmocka_unit_test(a_secret_is_told_apart_by_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
