#include "util/json.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct json_doc *parse(const char *text, struct err *e)
{
    return json_parse(text, strlen(text), e);
}

static void a_reply_is_read(void **state)
{
    CLEANUP(json_doc_free)
    struct json_doc *d = parse("{\"Parameters\":[{\"Name\":\"/a\",\"Version\":7,\"Date\":1.5,\"Last\":true},{}],"
                               "\"None\":null,\"Text\":\"caf\\u00e9 \\ud83d\\ude00\\n\"}",
                               NULL);
    assert_non_null(d);
    const struct json *root = json_root(d), *list = json_get(root, "Parameters");
    assert_int_equal(json_len(list), 2);
    const struct json *p = json_at(list, 0);
    assert_string_equal(json_get_str(p, "Name"), "/a");
    int64_t version;
    double date;
    bool last;
    assert_true(json_int(json_get(p, "Version"), &version) && version == 7);
    assert_true(json_real(json_get(p, "Date"), &date) && date == 1.5);
    assert_true(json_real(json_get(p, "Version"), &date) && date == 7);
    assert_true(json_bool(json_get(p, "Last"), &last) && last);
    assert_null(json_get(root, "None"));
    assert_null(json_get(root, "Absent"));
    assert_string_equal(json_get_str(root, "Text"), "caf\xc3\xa9 \xf0\x9f\x98\x80\n");
}

static void values_of_other_types_are_told_apart(void **state)
{
    CLEANUP(json_doc_free)
    struct json_doc *d = parse("{\"s\":\"5\",\"i\":5,\"r\":5.5,\"e\":1e3,\"big\":1e300,\"b\":false}", NULL);
    const struct json *root = json_root(d);
    int64_t i;
    double r;
    bool b;
    assert_false(json_int(json_get(root, "s"), &i));
    assert_false(json_int(json_get(root, "r"), &i));
    assert_false(json_int(json_get(root, "big"), &i));
    assert_false(json_int(json_get(root, "b"), &i));
    assert_true(json_int(json_get(root, "e"), &i) && i == 1000);
    assert_false(json_real(json_get(root, "s"), &r));
    assert_false(json_bool(json_get(root, "i"), &b));
    assert_true(json_bool(json_get(root, "b"), &b) && !b);
    assert_null(json_get_str(root, "i"));
    assert_null(json_get(json_get(root, "s"), "x"));
    assert_int_equal(json_len(root), 0);
    assert_null(json_at(root, 0));
    assert_null(json_get(NULL, "x"));
    assert_null(json_str(NULL, NULL));
    assert_int_equal(json_len(NULL), 0);
    assert_null(json_at(NULL, 0));
    assert_false(json_int(NULL, &i));
    assert_false(json_real(NULL, &r));
    assert_false(json_bool(NULL, &b));
    json_doc_free(NULL);
}

static void a_nul_shows_only_with_its_length(void **state)
{
    CLEANUP(json_doc_free) struct json_doc *d = parse("{\"v\":\"a\\u0000b\"}", NULL);
    const struct json *v = json_get(json_root(d), "v");
    size_t len = 0;
    assert_null(json_str(v, NULL));
    assert_null(json_get_str(json_root(d), "v"));
    assert_memory_equal(json_str(v, &len), "a\0b", 3);
    assert_int_equal(len, 3);
}

static void malformed_replies_are_refused_without_quoting_them(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "hunter2",
        "{\"Value\":\"hunter2",
        "{\"Value\":\"hunter2\"",
        "{\"Value\":\"hunter2\"}x",
        "{\"Value\":\"hunter2\"}{}",
        "{\"Value\":'hunter2'}",
        "{\"Value\":hunter2}",
        "{hunter2:1}",
        "{\"hunter2\":1,\"hunter2\":2}",
        "{\"hunter2\":1,}",
        "{\"Value\":\"hunter2\\q\"}",
        "{\"Value\":\"hunter2\\ud800\"}",
        "{\"Value\":\"hunter2\xff\"}",
        "{\"Value\":\"hunter2\xed\xa0\x80\"}",
        "{\"Value\":\"hunter2\n\"}",
        "{\"hunter2\\u0000\":1}",
        "[99999999999999999999]",
        "[1e999]",
        "[01]",
        "[NaN]",
        "]",
        "\xef\xbb\xbf{}",
        "<Error><Code>hunter2</Code></Error>",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        assert_null(parse(bad[i], &e));
        assert_int_equal(e.code, ERR_PROTO);
        assert_string_not_equal(e.msg, "");
        assert_null(strstr(e.msg, "hunter"));
    }
    assert_null(json_parse(NULL, 0, NULL));
    assert_null(json_parse("{}\0", 3, NULL));
}

static struct json_doc *parse_nested(unsigned depth, const char *open, const char *inner, const char *close)
{
    BUF(b, 1 << 22);
    for (unsigned i = 0; i < depth; i++)
        buf_add_str(&b, open);
    buf_add_str(&b, inner);
    for (unsigned i = 0; i < depth; i++)
        buf_add_str(&b, close);
    return json_parse(b.data, b.len, NULL);
}

static void depth_is_limited(void **state)
{
    CLEANUP(json_doc_free) struct json_doc *arrays = parse_nested(32, "[", "\"[[[{{{\\\"[[[\"", "]");
    assert_non_null(arrays);
    assert_null(parse_nested(33, "[", "", "]"));
    assert_null(parse_nested(500000, "[", "", "]"));
    CLEANUP(json_doc_free) struct json_doc *objects = parse_nested(32, "{\"a\":", "1", "}");
    assert_non_null(objects);
    assert_null(parse_nested(33, "{\"a\":", "1", "}"));
    assert_null(parse_nested(100000, "{\"a\":", "1", "}"));
}

static void quoted_text_reads_back(void **state)
{
    char all[200];
    size_t len = 0;
    for (char c = 0; c < 127; c++)
        all[len++] = c;
    memcpy(all + len, "\x7f caf\xc3\xa9 \xf0\x9f\x98\x80", 13);
    len += 12;
    BUF(b, 2000);
    buf_add_char(&b, '[');
    json_quote(&b, all, len);
    buf_add_char(&b, ']');
    CLEANUP(json_doc_free) struct json_doc *d = json_parse(b.data, b.len, NULL);
    assert_non_null(d);
    size_t read_len;
    const char *text = json_str(json_at(json_root(d), 0), &read_len);
    assert_int_equal(read_len, len);
    assert_memory_equal(text, all, len);
}

static void text_that_is_not_utf8_fails_the_buffer(void **state)
{
    BUF(b, 100);
    struct err e = ERR_INIT;
    json_quote(&b, "a\0\xff", 3);
    assert_int_equal(buf_check(&b, "request", &e), ERR_INVAL);
    assert_int_equal(b.len, 0);
    buf_clear(&b);
    json_quote(&b, NULL, 0);
    assert_string_equal(buf_str(&b), "\"\"");
}

int main(void)
{
    json_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_is_read),
        cmocka_unit_test(values_of_other_types_are_told_apart),
        cmocka_unit_test(a_nul_shows_only_with_its_length),
        cmocka_unit_test(malformed_replies_are_refused_without_quoting_them),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(quoted_text_reads_back),
        cmocka_unit_test(text_that_is_not_utf8_fails_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
