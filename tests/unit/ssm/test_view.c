#include "backends/ssm/view.h"
#include "util/cleanup.h"
#include "util/json.h"
#include "util/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT(s) (s), sizeof(s) - 1
#define CHAMBER_MAX (1 << 20)

static enum err_code render(const char *view, struct view_item *items, size_t n, struct buf *out, struct err *e)
{
    struct view v;
    assert_true(view_parse(view, &v));
    return view_render(&v, items, n, out, e);
}

static void check(const char *view, const char *name, const char *value, size_t len, const char *wanted)
{
    struct view_item item = {.name = name, .value = value, .len = len};
    struct err e = ERR_INIT;
    BUF_SECRET(out, VIEW_MAX);
    assert_int_equal(render(view, &item, 1, &out, &e), ERR_OK);
    assert_string_equal(buf_str(&out), wanted);
}

struct rendering {
    const char *view, *value;
    size_t len;
    const char *wanted;
};

/* Each as the value of "k". */
static void check_each(const struct rendering *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        check(cases[i].view, "k", cases[i].value, cases[i].len, cases[i].wanted);
}

static void names_of_views_are_known_and_others_are_not(void **state)
{
    static const struct {
        const char *name;
        enum view_format format;
        bool tree;
        const char *selector;
    } cases[] = {
        {"@env", VIEW_ENV, false, NULL},          {"@tree.json", VIEW_JSON, true, NULL},
        {"@json@live", VIEW_JSON, false, "live"}, {"@tree.yaml@3", VIEW_YAML, true, "3"},
        {"@tsv@", VIEW_TSV, false, ""},           {"@csv@a@b", VIEW_CSV, false, "a@b"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct view v;
        assert_true(view_parse(cases[i].name, &v));
        assert_int_equal(v.format, cases[i].format);
        assert_int_equal(v.tree, cases[i].tree);
        if (cases[i].selector == NULL)
            assert_null(v.selector);
        else
            assert_string_equal(v.selector, cases[i].selector);
    }
    static const char *const none[] = {"",       "@",     "json",      "@self",  "@JSON",
                                       "@jsonx", "@tree", "@tree.env", "@@json", "@aws"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        struct view v;
        assert_false(view_parse(none[i], &v));
    }
}

static void variables_are_quoted_as_their_dialect_says(void **state)
{
    static const struct {
        const char *view, *value, *wanted;
    } cases[] = {
        {"@env", "plain", "K=\"plain\"\n"},
        {"@env", "a\"b\\c$d`e'f!\nsecond\n", "K=\"a\\\"b\\\\c\\$d\\`e'f!\nsecond\n\"\n"},
        {"@dotenv", "a\"b\\c$d`e'f!\r\nx", "K=\"a\\\"b\\\\c\\$d\\`e'f!\\r\\nx\"\n"},
        {"@export", "", "export K=''\n"},
        {"@export", "A-z0_9@%+=:,./-", "export K=A-z0_9@%+=:,./-\n"},
        {"@export", "it's $HOME\n", "export K='it'\"'\"'s $HOME\n'\n"},
        {"@export", "caf\xc3\xa9", "export K='caf\xc3\xa9'\n"},
        {"@docker", " a \"b\" $c ", "K= a \"b\" $c \n"},
        {"@tfvars", "a\"b\\c$d`e ${x} %{y} $${z}\r\n",
         "k = \"a\\\"b\\\\c$d`e \\u0024{x} \\u0025{y} $\\u0024{z}\\r\\n\"\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check(cases[i].view, "k", cases[i].value, strlen(cases[i].value), cases[i].wanted);
}

static void names_become_identifiers(void **state)
{
    check("@env", "db.host-name_2", TEXT("v"), "DB_HOST_NAME_2=\"v\"\n");
    check("@tfvars", "tf_var_Zone.a", TEXT("v"), "Zone_a = \"v\"\n");
    check("@tfvars", "TF_VAR_x", TEXT("v"), "TF_VAR_x = \"v\"\n");
}

static void what_a_format_cannot_have_is_an_error_that_names_it(void **state)
{
    static const struct {
        const char *view, *name, *value;
        size_t len;
    } cases[] = {
        {"@env", "1st", TEXT("v")},         {"@export", "9", TEXT("v")},         {"@tfvars", "tf_var_", TEXT("v")},
        {"@tfvars", "tf_var_1", TEXT("v")}, {"@docker", "broken", TEXT("a\nb")}, {"@docker", "broken", TEXT("a\r")},
        {"@env", "nul", TEXT("a\0b")},      {"@export", "nul", TEXT("\0")},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct view_item items[] = {{.name = "ok", .value = "v", .len = 1},
                                    {.name = cases[i].name, .value = cases[i].value, .len = cases[i].len}};
        struct err e = ERR_INIT;
        BUF_SECRET(out, VIEW_MAX);
        assert_int_equal(render(cases[i].view, items, 2, &out, &e), ERR_INVAL);
        assert_non_null(strstr(e.msg, cases[i].name));
    }
}

static void two_names_of_one_identifier_are_an_error_that_names_both(void **state)
{
    struct view_item items[] = {{"a-b", "1", 1, false}, {"c", "2", 1, false}, {"A.B", "3", 1, false}};
    struct err e = ERR_INIT;
    BUF_SECRET(out, VIEW_MAX);
    assert_int_equal(render("@env", items, 3, &out, &e), ERR_INVAL);
    assert_non_null(strstr(e.msg, "a-b"));
    assert_non_null(strstr(e.msg, "A.B"));
    assert_int_equal(render("@tfvars", items, 3, &out, &e), ERR_OK);
}

static void json_is_that_of_go(void **state)
{
    static const struct rendering cases[] = {
        {"@json", TEXT("a<b>&\"\\/\b\f\n\r\t\x01\x7f\xc3\xa9\xe2\x80\xa8\xf0\x9f\x98\x80"),
         "{\"k\":\"a\\u003cb\\u003e\\u0026\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\x7f\xc3\xa9\\u2028\xf0\x9f\x98\x80\"}\n"},
        {"@json", TEXT("a\0b"), "{\"k\":\"a\\u0000b\"}\n"},
    };
    check_each(cases, ARRAY_LEN(cases));
}

static void rows_are_quoted_where_they_must(void **state)
{
    static const struct rendering cases[] = {
        {"@csv", TEXT("a\tb"), "k,a\tb\n"},
        {"@csv", TEXT("a,\"b\"\n"), "k,\"a,\"\"b\"\"\n\"\n"},
        {"@csv", TEXT(" lead"), "k,\" lead\"\n"},
        {"@csv", TEXT("\xe3\x80\x80x"), "k,\"\xe3\x80\x80x\"\n"},
        {"@csv", TEXT("\\."), "k,\"\\.\"\n"},
        {"@csv", TEXT(""), "k,\n"},
        {"@tsv", TEXT("a,b"), "k\ta,b\n"},
        {"@tsv", TEXT("a\tb"), "k\t\"a\tb\"\n"},
        {"@properties", TEXT("a\\b\tc\nd\re\ff #!=:"), "k = a\\\\b\\tc\\nd\\re\\ff #!=:\n"},
        {"@properties", TEXT("  two"), "k = \\  two\n"},
        {"@properties", TEXT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "k = \\u00e9\\u20ac\\ud83d\\ude00\n"},
    };
    check_each(cases, ARRAY_LEN(cases));
}

static void yaml_texts_stay_texts(void **state)
{
    static const char *const plain[] = {
        "x",           "a b", "10.0.0.1", "1.2.3", "a:b",   "http://h/?a=b", "?x",   "-x",
        "8080:80",     "a'b", "x]",       "12e",   "1e",    "2024-01",       "a\"b", "0xg",
        "caf\xc3\xa9", "--x", "on-call",  "+",     "a=b;c", "2024-01-02-x",  "_1"};
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        BUF(wanted, 256);
        buf_addf(&wanted, "k: %s\n", plain[i]);
        check("@yaml", "k", plain[i], strlen(plain[i]), buf_str(&wanted));
    }
    static const char *const quoted[] = {
        "",    "yes",   "No",   "null", "~",   "true",  "1",     "-1",   "+1.5",  ".5",         "1.",
        "1e3", "1_000", "0x1F", "0o17", "089", "12:30", "1:2:3", ".inf", "+.inf", "2024-01-02", "2024-01-02 03:04:05",
        "=",   "<<",    "- a",  "-",    "? a", "?",     ":",     "a: b", "a:",    "a #b",       "#",
        "*a",  "&a",    "!t",   "|",    ">",   "%x",    "@x",    "`x",   "[a",    "{a",         "'a",
        " a",  "a ",    ",",    "---",  "...", "x # y"};
    for (size_t i = 0; i < ARRAY_LEN(quoted); i++) {
        BUF(wanted, 256);
        buf_addf(&wanted, "k: \"%s\"\n", quoted[i]);
        check("@yaml", "k", quoted[i], strlen(quoted[i]), buf_str(&wanted));
    }
    check("@yaml", "yes", TEXT("v"), "\"yes\": v\n");
    check("@yaml", "k", TEXT("a\tb\\c\"\r\x01\x7f\xc2\x85\xef\xbb\xbf\xf0\x9f\xbf\xbf"),
          "k: \"a\\tb\\\\c\\\"\\r\\x01\\x7f\\u0085\\ufeff\\U0001ffff\"\n");
}

static void yaml_lines_are_a_block_where_that_keeps_them(void **state)
{
    static const struct rendering cases[] = {
        {"@yaml", TEXT("one\ntwo"), "k: |-\n  one\n  two\n"},
        {"@yaml", TEXT("one\n\n  two\n"), "k: |\n  one\n  \n    two\n"},
        {"@yaml", TEXT("one\n\n"), "k: |+\n  one\n\n"},
        {"@yaml", TEXT("\n"), "k: \"\\n\"\n"},
        {"@yaml", TEXT("\n one"), "k: \"\\n one\"\n"},
        {"@yaml", TEXT("a: b\nc"), "k: \"a: b\\nc\"\n"},
        {"@yaml", TEXT("? a\nb"), "k: |-\n  ? a\n  b\n"},
        {"@yaml", TEXT("\n\n"), "k: \"\\n\\n\"\n"},
        {"@yaml", TEXT("\xc2\xa0\\"), "k: \"\\u00a0\\\\\"\n"},
        {"@yaml", TEXT("a\r\nb"), "k: \"a\\r\\nb\"\n"},
    };
    check_each(cases, ARRAY_LEN(cases));
}

static void keys_are_in_the_order_of_their_bytes(void **state)
{
    struct view_item items[] = {{"b", "1", 1, false}, {"a10", "2", 1, false}, {"a2", "3", 1, false},
                                {"A", "4", 1, false}, {"a.1", "5", 1, false}, {"a", "6", 1, false}};
    BUF_SECRET(out, VIEW_MAX);
    assert_int_equal(render("@json", items, ARRAY_LEN(items), &out, NULL), ERR_OK);
    assert_string_equal(buf_str(&out),
                        "{\"A\":\"4\",\"a\":\"6\",\"a.1\":\"5\",\"a10\":\"2\",\"a2\":\"3\",\"b\":\"1\"}\n");
}

/* A name that has others below it too, one that only looks like it, lists. */
static void trees_are_nested_and_lists_are_arrays(void **state)
{
    static const struct view_item made[] = {
        {"db-x", "1", 1, false},        {"db/host", "h", 1, false},   {"db", "me", 2, false},
        {"db/pool/max", "5", 1, false}, {"names", "a,b c,", 6, true}, {"db.x", "2", 1, false},
    };
    struct view_item items[ARRAY_LEN(made)];
    memcpy(items, made, sizeof(made));
    BUF_SECRET(json, VIEW_MAX);
    assert_int_equal(render("@tree.json", items, ARRAY_LEN(items), &json, NULL), ERR_OK);
    assert_string_equal(buf_str(&json),
                        "{\"db\":{\"@self\":\"me\",\"host\":\"h\",\"pool\":{\"max\":\"5\"}},\"db-x\":\"1\","
                        "\"db.x\":\"2\",\"names\":[\"a\",\"b c\",\"\"]}\n");
    memcpy(items, made, sizeof(made));
    BUF_SECRET(yaml, VIEW_MAX);
    assert_int_equal(render("@tree.yaml", items, ARRAY_LEN(items), &yaml, NULL), ERR_OK);
    assert_string_equal(buf_str(&yaml), "db:\n  \"@self\": me\n  host: h\n  pool:\n    max: \"5\"\ndb-x: \"1\"\n"
                                        "db.x: \"2\"\nnames:\n- a\n- b c\n- \"\"\n");
}

static void nothing_is_an_empty_document(void **state)
{
    static const char *const cases[][2] = {{"@json", "{}\n"},     {"@tree.json", "{}\n"}, {"@yaml", "{}\n"},
                                           {"@env", ""},          {"@csv", ""},           {"@properties", ""},
                                           {"@tree.yaml", "{}\n"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        BUF_SECRET(out, VIEW_MAX);
        assert_int_equal(render(cases[i][0], NULL, 0, &out, NULL), ERR_OK);
        assert_string_equal(buf_str(&out), cases[i][1]);
    }
}

static void more_than_the_limit_is_refused(void **state)
{
    CLEANUP(free) char *value = calloc(1, VIEW_VALUES_MAX);
    assert_non_null(value);
    struct view_item items[] = {{"a", value, VIEW_VALUES_MAX, false}, {"b", "x", 1, false}};
    struct err e = ERR_INIT;
    BUF_SECRET(out, VIEW_MAX);
    assert_int_equal(render("@json", items, 2, &out, &e), ERR_TOO_BIG);
    buf_clear(&out);
    /* What is made of them is bounded too: each NUL is six characters. */
    assert_int_equal(render("@json", items, 1, &out, &e), ERR_TOO_BIG);
}

static bool is_lost(const struct json *tree, const char *format)
{
    const struct json *lost = json_get(tree, "lost");
    for (size_t i = 0; i < json_len(lost); i++)
        if (strcmp(json_str(json_at(lost, i), NULL), format) == 0)
            return true;
    return false;
}

/* Where a reader of the format does not get the values back from chamber's bytes, those of the view are others. */
static void check_tree(const struct json *tree, const char *format)
{
    struct view_item items[8];
    const struct json *names = json_get(tree, "names"), *values = json_get(tree, "values");
    assert_in_range(json_len(names), 1, 8);
    for (size_t i = 0; i < json_len(names); i++) {
        items[i] = (struct view_item){.name = json_str(json_at(names, i), NULL)};
        items[i].value = json_str(json_at(values, i), &items[i].len);
    }
    BUF(view, 32);
    buf_addf(&view, "@%s", format);
    BUF_SECRET(out, VIEW_MAX);
    assert_int_equal(render(buf_str(&view), items, json_len(names), &out, NULL), ERR_OK);
    if (is_lost(tree, format))
        assert_string_not_equal(buf_str(&out), json_get_str(tree, format));
    else
        assert_string_equal(buf_str(&out), json_get_str(tree, format));
}

/* chamber.json was made by chamber 3.1.4: the parameters of 200 trees, what `chamber export` of each format and `chamber env` printed,
 * and "lost", the formats whose readers (PyYAML by YAML 1.1, by YAML 1.2 and libyaml; java.util.Properties; Terraform) read other values. */
static void the_bytes_of_200_generated_trees_are_those_of_chamber(void **state)
{
    CLEANUP(free) char *text = malloc(CHAMBER_MAX);
    FILE *file = fopen(CHAMBER_FILE, "re");
    assert_non_null(text);
    assert_non_null(file);
    size_t len = fread(text, 1, CHAMBER_MAX, file);
    (void)fclose(file);
    CLEANUP(json_doc_free) struct json_doc *doc = json_parse(text, len, NULL);
    assert_non_null(doc);
    static const char *const formats[] = {"json", "yaml", "properties", "csv", "tsv", "dotenv", "tfvars", "export"};
    assert_int_equal(json_len(json_root(doc)), 200);
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < ARRAY_LEN(formats); k++)
            check_tree(json_at(json_root(doc), i), formats[k]);
}

int main(void)
{
    json_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_views_are_known_and_others_are_not),
        cmocka_unit_test(variables_are_quoted_as_their_dialect_says),
        cmocka_unit_test(names_become_identifiers),
        cmocka_unit_test(what_a_format_cannot_have_is_an_error_that_names_it),
        cmocka_unit_test(two_names_of_one_identifier_are_an_error_that_names_both),
        cmocka_unit_test(json_is_that_of_go),
        cmocka_unit_test(rows_are_quoted_where_they_must),
        cmocka_unit_test(the_bytes_of_200_generated_trees_are_those_of_chamber),
        cmocka_unit_test(yaml_texts_stay_texts),
        cmocka_unit_test(yaml_lines_are_a_block_where_that_keeps_them),
        cmocka_unit_test(keys_are_in_the_order_of_their_bytes),
        cmocka_unit_test(trees_are_nested_and_lists_are_arrays),
        cmocka_unit_test(nothing_is_an_empty_document),
        cmocka_unit_test(more_than_the_limit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
