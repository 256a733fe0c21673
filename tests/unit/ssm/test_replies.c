#include "backends/ssm/replies.h"
#include "util/buf.h"
#include "util/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST                                                                                                           \
    "{\"Name\":\"/prod/db/host\",\"Type\":\"SecureString\",\"Value\":\"h\\u00e9\\n\",\"Version\":3,"                   \
    "\"LastModifiedDate\":1795255260.877,\"ARN\":\"arn:aws:ssm:eu-west-1:123456789012:parameter/prod/db/host\","       \
    "\"DataType\":\"text\"}"

static void a_parameter_is_taken_as_it_is(void **state)
{
    const char *reply = "{\"Parameter\":" HOST ",\"Unknown\":[1,{}]}";
    struct ssm_param p;
    assert_int_equal(ssm_parse_param(reply, strlen(reply), &p, NULL), ERR_OK);
    assert_string_equal(p.name, "/prod/db/host");
    assert_string_equal(p.type, "SecureString");
    assert_string_equal(p.arn, "arn:aws:ssm:eu-west-1:123456789012:parameter/prod/db/host");
    assert_string_equal(p.data_type, "text");
    assert_string_equal(p.selector, "");
    assert_int_equal(p.version, 3);
    assert_int_equal(p.modified_ms, 1795255260877);
    assert_int_equal(p.len, 4);
    assert_memory_equal(p.value, "h\xc3\xa9\n", 5);
    ssm_param_release(&p);
    assert_null(p.value);
}

static void what_need_not_be_told_may_be_missing(void **state)
{
    const char *reply =
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"\",\"Version\":1,\"ARN\":null}}";
    struct ssm_param p;
    assert_int_equal(ssm_parse_param(reply, strlen(reply), &p, NULL), ERR_OK);
    assert_string_equal(p.arn, "");
    assert_int_equal(p.modified_ms, 0);
    assert_int_equal(p.len, 0);
    ssm_param_release(&p);
}

static void a_nul_in_a_value_is_kept(void **state)
{
    const char *reply = "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"a\\u0000b\",\"Version\":1}}";
    struct ssm_param p;
    assert_int_equal(ssm_parse_param(reply, strlen(reply), &p, NULL), ERR_OK);
    assert_int_equal(p.len, 3);
    assert_memory_equal(p.value, "a\0b", 4);
    ssm_param_release(&p);
}

static void hostile_parameters_are_refused(void **state)
{
    static const char *const replies[] = {
        "",
        " ",
        "null",
        "[]",
        "{}",
        "42",
        "\"Parameter\"",
        "<html>502 Bad Gateway</html>",
        "{\"Parameter\":",
        "{\"Parameter\":" HOST,
        "{\"Parameter\":" HOST "} trailing",
        "{\"Parameter\":null}",
        "{\"Parameter\":[]}",
        "{\"Parameter\":[" HOST "]}",
        "{\"Parameter\":\""
        "x\"}",
        "{\"Parameter\":{}}",
        "{\"Parameter\":{\"Type\":\"String\",\"Value\":\"v\",\"Version\":1}}",
        "{\"Parameter\":{\"Name\":\"\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1}}",
        "{\"Parameter\":{\"Name\":7,\"Type\":\"String\",\"Value\":\"v\",\"Version\":1}}",
        "{\"Parameter\":{\"Name\":\"a\\u0000b\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Value\":\"v\",\"Version\":1}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":[],\"Value\":\"v\",\"Version\":1}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Version\":1}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":null,\"Version\":1}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":12,\"Version\":1}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"\\ud800\",\"Version\":1}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\"}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":\"1\"}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":-1}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1.5}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1e300}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":99999999999999999999}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1,\"LastModifiedDate\":-1}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1,\"LastModifiedDate\":1e308}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1,\"LastModifiedDate\":\"now\"}"
        "}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1,\"ARN\":{}}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1,\"Selector\":3}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Name\":\"y\",\"Type\":\"String\",\"Value\":\"v\",\"Version\":1}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct ssm_param p = {.version = 77};
        struct err e = ERR_INIT;
        if (ssm_parse_param(replies[i], strlen(replies[i]), &p, &e) != ERR_PROTO)
            fail_msg("taken: %s", replies[i]);
        assert_int_equal(p.version, 77);
        assert_true(e.msg[0] != '\0');
    }
}

static void a_parameter_cut_off_anywhere_is_refused(void **state)
{
    const char *reply = "{\"Parameter\":" HOST "}";
    for (size_t len = 0; len < strlen(reply); len++) {
        struct ssm_param p;
        struct err e = ERR_INIT;
        char *cut = malloc(len ? len : 1); /* on the heap, so that reading on is noticed */
        memcpy(cut, reply, len);
        assert_int_equal(ssm_parse_param(cut, len, &p, &e), ERR_PROTO);
        free(cut);
    }
}

static void too_long_members_are_refused(void **state)
{
    static const char *const members[] = {"Name", "Type", "ARN", "DataType", "Selector", "Value"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        BUF(reply, 1 << 20);
        buf_add_str(&reply, "{\"Parameter\":{\"Version\":1");
        for (size_t k = 0; k < ARRAY_LEN(members); k++) {
            buf_addf(&reply, ",\"%s\":\"", members[k]);
            for (int n = 0; n < (k == i ? 70000 : 3); n++)
                buf_add_char(&reply, 'x');
            buf_add_char(&reply, '"');
        }
        buf_add_str(&reply, "}}");
        struct ssm_param p;
        assert_int_equal(ssm_parse_param(reply.data, reply.len, &p, NULL), ERR_PROTO);
    }
}

static void deep_nesting_is_refused(void **state)
{
    BUF(reply, 4 << 20);
    buf_add_str(&reply, "{\"Parameter\":");
    for (int i = 0; i < 1000000; i++)
        buf_add_str(&reply, "[");
    struct ssm_param p;
    struct ssm_page page;
    assert_int_equal(ssm_parse_param(reply.data, reply.len, &p, NULL), ERR_PROTO);
    assert_int_equal(ssm_parse_page(reply.data, reply.len, &page, NULL), ERR_PROTO);
}

static void no_error_text_has_a_value(void **state)
{
    static const char *const replies[] = {
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"hunter2\"}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"hunter2\",\"Version\":\"hunter2\"}}",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"hunter2",
        "{\"Parameter\":{\"Name\":\"x\",\"Type\":\"String\",\"Value\":\"hunter2\x01\"}}",
        "hunter2",
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct ssm_param p;
        struct err e = ERR_INIT;
        assert_int_equal(ssm_parse_param(replies[i], strlen(replies[i]), &p, &e), ERR_PROTO);
        assert_null(strstr(e.msg, "hunter2"));
    }
}

static void a_page_may_be_empty_and_not_the_last(void **state)
{
    static const struct {
        const char *reply;
        size_t n;
        const char *next;
    } cases[] = {
        {"{\"Parameters\":[]}", 0, NULL},
        {"{\"Parameters\":[],\"NextToken\":null}", 0, NULL},
        {"{\"Parameters\":[],\"NextToken\":\"\"}", 0, NULL},
        {"{\"Parameters\":[],\"NextToken\":\"t\"}", 0, "t"},
        {"{\"Parameters\":[" HOST "," HOST "],\"NextToken\":\"10\"}", 2, "10"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ssm_page page;
        assert_int_equal(ssm_parse_page(cases[i].reply, strlen(cases[i].reply), &page, NULL), ERR_OK);
        assert_int_equal(page.n, cases[i].n);
        if (cases[i].next)
            assert_string_equal(page.next, cases[i].next);
        else
            assert_null(page.next);
        ssm_page_release(&page);
    }
}

static void what_is_no_page_is_never_an_empty_one(void **state)
{
    static const char *const replies[] = {
        "{}",
        "[]",
        "{\"Parameters\":null}",
        "{\"Parameters\":{}}",
        "{\"Parameters\":\"\"}",
        "{\"Parameters\":0}",
        "{\"Parameters\":[null]}",
        "{\"Parameters\":[[]]}",
        "{\"Parameters\":[{}]}",
        "{\"Parameters\":[" HOST ",{}]}",
        "{\"Parameters\":[],\"NextToken\":7}",
        "{\"Parameters\":[],\"NextToken\":[\"t\"]}",
        "{\"Parameters\":[],\"NextToken\":\"a\\u0000b\"}",
        "{\"Parameters\":[" HOST "," HOST "," HOST "," HOST "," HOST "," HOST "," HOST "," HOST "," HOST "," HOST
        "," HOST "]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct ssm_page page;
        if (ssm_parse_page(replies[i], strlen(replies[i]), &page, NULL) != ERR_PROTO)
            fail_msg("taken: %s", replies[i]);
    }
}

static void a_put_tells_its_version(void **state)
{
    const char *reply = "{\"Version\":12,\"Tier\":\"Standard\"}";
    int64_t version = 0;
    assert_int_equal(ssm_parse_put(reply, strlen(reply), &version, NULL), ERR_OK);
    assert_int_equal(version, 12);
    static const char *const hostile[] = {"", "[]", "{\"Tier\":\"Standard\"}", "{\"Version\":true}",
                                          "{\"Version\":-1}"};
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
        assert_int_equal(ssm_parse_put(hostile[i], strlen(hostile[i]), &version, NULL), ERR_PROTO);
    assert_int_equal(version, 12);
}

static void a_description_is_found_by_name(void **state)
{
    const char *reply =
        "{\"Parameters\":[{\"Name\":\"/a\",\"Type\":\"String\",\"Version\":1},"
        "{\"Name\":\"b\",\"Type\":\"SecureString\",\"Version\":4,\"KeyId\":\"alias/k\",\"Tier\":\"Advanced\","
        "\"Description\":\"d\",\"AllowedPattern\":\"^.*$\",\"DataType\":\"text\",\"LastModifiedUser\":\"u\"}],"
        "\"NextToken\":\"n\"}";
    struct ssm_described *d = NULL;
    char *next = NULL;
    assert_int_equal(ssm_parse_described(reply, strlen(reply), "/b", &d, &next, NULL), ERR_OK);
    assert_string_equal(d->type, "SecureString");
    assert_string_equal(d->tier, "Advanced");
    assert_string_equal(d->key_id, "alias/k");
    assert_string_equal(d->description, "d");
    assert_string_equal(d->allowed_pattern, "^.*$");
    assert_string_equal(d->user, "u");
    assert_int_equal(d->version, 4);
    assert_string_equal(next, "n");
    CLEANUP(ssm_described_free) struct ssm_described *copy = ssm_described_copy(d);
    assert_string_equal(copy->user, "u");
    ssm_described_free(d);
    free(next);
    assert_int_equal(ssm_parse_described(reply, strlen(reply), "/c", &d, &next, NULL), ERR_OK);
    assert_null(d);
    free(next);
}

static void hostile_descriptions_are_refused(void **state)
{
    static const char *const replies[] = {
        "{}",
        "{\"Parameters\":{}}",
        "{\"Parameters\":[{}]}",
        "{\"Parameters\":[7]}",
        "{\"Parameters\":[{\"Name\":\"/b\"}]}",
        "{\"Parameters\":[{\"Name\":\"/b\",\"Type\":\"String\"}]}",
        "{\"Parameters\":[{\"Name\":\"/b\",\"Type\":\"String\",\"Version\":1,\"KeyId\":[]}]}",
        "{\"Parameters\":[{\"Name\":\"/b\",\"Type\":\"String\",\"Version\":1,\"Tier\":{}}]}",
        "{\"Parameters\":[],\"NextToken\":1}",
    };
    for (size_t i = 0; i < ARRAY_LEN(replies); i++) {
        struct ssm_described *d = NULL;
        char *next = NULL;
        if (ssm_parse_described(replies[i], strlen(replies[i]), "/b", &d, &next, NULL) != ERR_PROTO)
            fail_msg("taken: %s", replies[i]);
        assert_null(d);
        assert_null(next);
    }
}

static void deleted_and_absent_are_gone(void **state)
{
    const char *const names[] = {"/a", "/b", "/c"};
    bool gone[3] = {0};
    const char *reply = "{\"DeletedParameters\":[\"/a\",\"/z\",3],\"InvalidParameters\":[\"b\"]}";
    assert_int_equal(ssm_parse_deleted(reply, strlen(reply), names, 3, gone, NULL), ERR_OK);
    assert_true(gone[0] && gone[1] && !gone[2]);
    static const char *const hostile[] = {"", "{}", "[]", "{\"DeletedParameters\":\"/a\"}",
                                          "{\"DeletedParameters\":{}}"};
    for (size_t i = 0; i < ARRAY_LEN(hostile); i++)
        assert_int_equal(ssm_parse_deleted(hostile[i], strlen(hostile[i]), names, 3, gone, NULL), ERR_PROTO);
}

int main(void)
{
    json_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_parameter_is_taken_as_it_is),
        cmocka_unit_test(what_need_not_be_told_may_be_missing),
        cmocka_unit_test(a_nul_in_a_value_is_kept),
        cmocka_unit_test(hostile_parameters_are_refused),
        cmocka_unit_test(a_parameter_cut_off_anywhere_is_refused),
        cmocka_unit_test(too_long_members_are_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(no_error_text_has_a_value),
        cmocka_unit_test(a_page_may_be_empty_and_not_the_last),
        cmocka_unit_test(what_is_no_page_is_never_an_empty_one),
        cmocka_unit_test(a_put_tells_its_version),
        cmocka_unit_test(a_description_is_found_by_name),
        cmocka_unit_test(hostile_descriptions_are_refused),
        cmocka_unit_test(deleted_and_absent_are_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
