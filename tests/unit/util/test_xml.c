#include "util/xml.h"

#include "util/buf.h"
#include "util/clock.h"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* What is read element by element: "<name", then "text>" where no element is inside, else ">". */
struct told {
    struct buf out;
    unsigned depth, left;
    bool leaf;
};

static enum err_code on_begin(void *arg, unsigned depth, const char *name, struct err *e)
{
    struct told *t = arg;
    assert_int_equal(depth, ++t->depth);
    buf_addf(&t->out, "<%s ", name);
    t->leaf = true;
    return ERR_OK;
}

static enum err_code on_end(void *arg, unsigned depth, const char *name, const char *text, struct err *e)
{
    struct told *t = arg;
    assert_int_equal(depth, t->depth--);
    buf_addf(&t->out, "%s>", t->leaf ? text : "");
    t->leaf = false;
    return t->left-- > 0 ? ERR_OK : err_set(e, ERR_TOO_BIG, "enough of %s", name);
}

static void tell(const struct xml_node *n, struct buf *out)
{
    buf_addf(out, "<%s %s", xml_name(n), xml_first(n) ? "" : xml_text(n));
    for (const struct xml_node *c = xml_first(n); c; c = xml_following(c))
        tell(c, out);
    buf_add_str(out, ">");
}

/* Both ways to read a reply say the same of it. */
static struct xml_doc *parse_both(const char *text, size_t len, struct err *e)
{
    struct told t = {.out = {.max = 8 << 20}, .left = UINT32_MAX};
    const struct xml_reader reader = {on_begin, on_end, &t};
    BUF(expected, 8 << 20);
    struct err local = ERR_INIT;
    struct xml_doc *d = xml_parse(text, len, &local);
    struct err other = ERR_INIT;
    enum err_code code = xml_read(text, len, &reader, &other);
    assert_int_equal(code, d ? ERR_OK : local.code);
    assert_string_equal(other.msg, local.msg);
    if (d) {
        tell(xml_root(d), &expected);
        assert_string_equal(buf_str(&t.out), buf_str(&expected));
    } else {
        (void)err_copy(e, &local);
    }
    buf_release(&t.out);
    return d;
}

static struct xml_doc *parse(const char *text, struct err *e)
{
    return parse_both(text, strlen(text), e);
}

static void a_reader_can_stop(void **state)
{
    for (unsigned left = 0; left < 4; left++) {
        struct told t = {.out = {.max = 4096}, .left = left};
        const struct xml_reader reader = {on_begin, on_end, &t};
        const char *text = "<a><b>x</b><c>y</c></a>";
        struct err e = ERR_INIT;
        assert_int_equal(xml_read(text, strlen(text), &reader, &e), left < 3 ? ERR_TOO_BIG : ERR_OK);
        assert_string_equal(e.msg, left == 0 ? "enough of b" : left == 1 ? "enough of c" : left == 2 ? "enough of a" : "");
        buf_release(&t.out);
    }
}

static void a_listing_is_walked(void **state)
{
    CLEANUP(xml_doc_free)
    struct xml_doc *d = parse("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                              "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\n"
                              "  <Name>b</Name><Contents><Key>a &amp; b&#10;c</Key><Size>5</Size></Contents>\n"
                              "  <!-- x --><Contents><Key><![CDATA[<z>]]></Key></Contents><CommonPrefixes/>\n"
                              "  <Contents><Key> </Key></Contents><Empty></Empty>\n"
                              "</ListBucketResult>\n",
                              NULL);
    assert_non_null(d);
    const struct xml_node *root = xml_root(d);
    assert_string_equal(xml_name(root), "ListBucketResult");
    assert_string_equal(xml_child_text(root, "Name"), "b");
    const struct xml_node *c = xml_child(root, "Contents");
    assert_string_equal(xml_child_text(c, "Key"), "a & b\nc");
    assert_string_equal(xml_child_text(c, "Size"), "5");
    c = xml_next(c, NULL);
    assert_string_equal(xml_child_text(c, "Key"), "<z>");
    assert_string_equal(xml_child_text(c, "Size"), "");
    assert_non_null(xml_next(c, "CommonPrefixes"));
    c = xml_next(c, NULL);
    assert_string_equal(xml_child_text(c, "Key"), " ");
    assert_null(xml_next(c, NULL));
    assert_string_equal(xml_child_text(root, "Empty"), "");
}

static void elements_are_walked_in_document_order(void **state)
{
    CLEANUP(xml_doc_free) struct xml_doc *d = parse("<a>t<b/>u<c/><b/></a>", NULL);
    const struct xml_node *n = xml_first(xml_root(d));
    assert_string_equal(xml_name(n), "b");
    n = xml_following(n);
    assert_string_equal(xml_name(n), "c");
    n = xml_following(n);
    assert_string_equal(xml_name(n), "b");
    assert_null(xml_following(n));
    assert_null(xml_first(n));
}

static void prefixes_are_ignored_and_names_exact(void **state)
{
    CLEANUP(xml_doc_free)
    struct xml_doc *d = parse("<x:a xmlns:x='u' xmlns='v'><x:Key x:t='1'>k</x:Key><y:b>undeclared</y:b></x:a>", NULL);
    assert_string_equal(xml_name(xml_root(d)), "a");
    assert_string_equal(xml_child_text(xml_root(d), "Key"), "k");
    assert_string_equal(xml_child_text(xml_root(d), "b"), "undeclared");
    assert_null(xml_child(xml_root(d), "key"));
    assert_null(xml_child(xml_root(d), "Ke"));
}

static void nothing_is_walked_from_nothing(void **state)
{
    assert_null(xml_child(NULL, "a"));
    assert_null(xml_next(NULL, "a"));
    assert_null(xml_first(NULL));
    assert_null(xml_following(NULL));
    assert_string_equal(xml_text(NULL), "");
    assert_string_equal(xml_child_text(NULL, "a"), "");
    xml_doc_free(NULL);
}

static void malformed_replies_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "text",
        "<a>",
        "<a><b></a></b>",
        "<a></a><b></b>",
        "<a></a>text",
        "<a",
        "<",
        "<a>&undefined;</a>",
        "<a>&amp</a>",
        "<a>&#x1;</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>&#x110000;</a>",
        "<a>\x01</a>",
        "<a>\xff</a>",
        "<a>\xc0\xaf</a>",
        "<a>\xed\xa0\x80</a>",
        "<a x=1></a>",
        "<a x='1' x='2'></a>",
        "<a><![CDATA[x</a>",
        "<a><!-- x</a>",
        "<?xml version='1.0'?>",
        "{\"json\": true}",
        "<html><body><br>504 Gateway Time-out</body></html>",
        "\xff\xfe<\0a\0/\0>\0",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        assert_null(parse(bad[i], &e));
        assert_int_equal(e.code, ERR_PROTO);
        assert_string_not_equal(e.msg, "");
    }
    assert_null(parse_both("<a>\0</a>", 8, NULL));
    assert_null(parse_both(NULL, 0, NULL));
}

static void any_cut_of_a_reply_is_refused(void **state)
{
    static const char reply[] =
        "<?xml version=\"1.0\"?><R><Contents><Key>a&amp;b</Key><ETag>\"x\"</ETag></Contents></R>";
    for (size_t len = 0; len < strlen(reply); len++)
        assert_null(parse_both(reply, len, NULL));
    CLEANUP(xml_doc_free) struct xml_doc *d = parse(reply, NULL);
    assert_non_null(d);
}

static void doctypes_and_entity_bombs_are_refused_cheaply(void **state)
{
    static const char *const bad[] = {
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a/>",
        "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>",
        "<!DOCTYPE a [<!ENTITY x0 'ha'><!ENTITY x1 '&x0;&x0;&x0;&x0;&x0;&x0;&x0;&x0;&x0;&x0;'>"
        "<!ENTITY x2 '&x1;&x1;&x1;&x1;&x1;&x1;&x1;&x1;&x1;&x1;'><!ENTITY x3 '&x2;&x2;&x2;&x2;&x2;&x2;&x2;&x2;&x2;'>"
        "<!ENTITY x4 '&x3;&x3;&x3;&x3;&x3;&x3;&x3;&x3;&x3;&x3;'><!ENTITY x5 '&x4;&x4;&x4;&x4;&x4;&x4;&x4;&x4;&x4;'>"
        "<!ENTITY x6 '&x5;&x5;&x5;&x5;&x5;&x5;&x5;&x5;&x5;&x5;'><!ENTITY x7 '&x6;&x6;&x6;&x6;&x6;&x6;&x6;&x6;&x6;'>"
        "<!ENTITY x8 '&x7;&x7;&x7;&x7;&x7;&x7;&x7;&x7;&x7;&x7;'>]><a>&x8;</a>",
        "<!-- x --><!DOCTYPE a [<!ENTITY % p SYSTEM 'http://127.0.0.1:9/'>%p;]><a/>",
    };
    uint64_t start = clock_mono_ms();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        assert_null(parse(bad[i], &e));
        assert_int_equal(e.code, ERR_PROTO);
        assert_non_null(strstr(e.msg, "DOCTYPE"));
    }
    assert_true(clock_mono_ms() - start < 20000);
}

static struct xml_doc *parse_nested(unsigned depth)
{
    BUF(b, 1 << 20);
    for (unsigned i = 0; i < depth; i++)
        buf_add_str(&b, "<a>");
    for (unsigned i = 0; i < depth; i++)
        buf_add_str(&b, "</a>");
    return parse_both(b.data, b.len, NULL);
}

static struct xml_doc *parse_many(unsigned elements)
{
    BUF(b, 1 << 22);
    buf_add_str(&b, "<a>");
    for (unsigned i = 1; i < elements; i++)
        buf_add_str(&b, "<b/>");
    buf_add_str(&b, "</a>");
    return parse_both(b.data, b.len, NULL);
}

/* Text in several pieces, with references and comments in between. */
static struct xml_doc *parse_text(unsigned bytes)
{
    BUF(b, 1 << 22);
    buf_add_str(&b, "<a><k>");
    for (unsigned i = 0; i < bytes; i++)
        buf_add_str(&b, i % 100 == 0 ? "&lt;" : i % 100 == 1 ? "<!---->x" : "x");
    buf_add_str(&b, "</k><l>y</l></a>");
    return parse_both(b.data, b.len, NULL);
}

static void limits_hold_exactly(void **state)
{
    CLEANUP(xml_doc_free) struct xml_doc *deep = parse_nested(16);
    assert_non_null(deep);
    assert_null(parse_nested(17));
    assert_null(parse_nested(50000));
    CLEANUP(xml_doc_free) struct xml_doc *many = parse_many(100000);
    assert_non_null(many);
    assert_null(parse_many(100001));
    CLEANUP(xml_doc_free) struct xml_doc *text = parse_text(65536);
    assert_non_null(text);
    assert_int_equal(strlen(xml_child_text(xml_root(text), "k")), 65536);
    assert_null(parse_text(65537));
}

static void a_tag_with_endless_attributes_is_refused_cheaply(void **state)
{
    BUF(b, 1 << 23);
    buf_add_str(&b, "<a");
    for (int i = 0; i < 200000; i++)
        buf_addf(&b, " x%d='>'", i);
    buf_add_str(&b, "/>");
    uint64_t start = clock_mono_ms();
    assert_null(parse_both(b.data, b.len, NULL));
    assert_true(clock_mono_ms() - start < 20000);
}

static void escaped_text_reads_back(void **state)
{
    BUF(b, 1000);
    buf_add_str(&b, "<a>");
    const char *text = "a<b>&\"'\t\n\r caf\xc3\xa9 ]]>";
    xml_escape(&b, text, strlen(text));
    buf_add_str(&b, "</a>");
    CLEANUP(xml_doc_free) struct xml_doc *d = parse_both(b.data, b.len, NULL);
    assert_non_null(d);
    assert_string_equal(xml_text(xml_root(d)), text);
}

static void forbidden_characters_become_references(void **state)
{
    BUF(b, 1000);
    xml_escape(&b, "\x01\x1f\r\xef\xbf\xbe\xef\xbf\xbf\xef\xbf\xbd", 12);
    assert_string_equal(buf_str(&b), "&#x1;&#x1F;&#xD;&#xFFFE;&#xFFFF;\xef\xbf\xbd");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listing_is_walked),
        cmocka_unit_test(a_reader_can_stop),
        cmocka_unit_test(elements_are_walked_in_document_order),
        cmocka_unit_test(prefixes_are_ignored_and_names_exact),
        cmocka_unit_test(nothing_is_walked_from_nothing),
        cmocka_unit_test(malformed_replies_are_refused),
        cmocka_unit_test(any_cut_of_a_reply_is_refused),
        cmocka_unit_test(doctypes_and_entity_bombs_are_refused_cheaply),
        cmocka_unit_test(limits_hold_exactly),
        cmocka_unit_test(a_tag_with_endless_attributes_is_refused_cheaply),
        cmocka_unit_test(escaped_text_reads_back),
        cmocka_unit_test(forbidden_characters_become_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
