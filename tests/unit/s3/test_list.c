#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/s3/acl.h"
#include "backends/s3/xml_list.h"
#include "store/meta.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OBJECT(key)                                                                                                    \
    "<Contents><Key>" key "</Key><LastModified>2026-11-21T14:47:59.000Z</LastModified><ETag>&quot;e1&quot;</ETag>"     \
    "<Size>5</Size></Contents>"
#define PREFIX(p) "<CommonPrefixes><Prefix>" p "</Prefix></CommonPrefixes>"
#define LIST(inner)                                                                                                    \
    "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" inner                \
    "</ListBucketResult>"
#define URL "<EncodingType>url</EncodingType>"

static enum err_code parse(const char *xml, const char *strip, struct store_page *page)
{
    struct err e = ERR_INIT;
    return s3_list_parse(xml, strlen(xml), strip, page, &e);
}

/* The keys of a page, a '*' behind prefixes; parsing must succeed. */
static void assert_keys(const char *xml, const char *strip, const char *want)
{
    struct store_page page;
    BUF(out, 65536);
    assert_int_equal(parse(xml, strip, &page), ERR_OK);
    for (size_t i = 0; i < page.n; i++)
        buf_addf(&out, "%s%s%s", i > 0 ? " " : "", page.entries[i].key, page.entries[i].is_prefix ? "*" : "");
    assert_string_equal(buf_str(&out), want);
    store_page_release(&page);
}

static void objects_and_prefixes_are_merged_in_the_order_of_bytes(void **state)
{
    assert_keys(LIST(OBJECT("a") OBJECT("a-") OBJECT("a0") PREFIX("a/") PREFIX("b/")), "", "a a- a/* a0 b/*");
    assert_keys(LIST(PREFIX("z/") OBJECT("b") OBJECT("a")), "", "a b z/*");
    assert_keys(LIST("<CommonPrefixes><Prefix>x/</Prefix><Prefix>y/</Prefix></CommonPrefixes>"), "", "x/* y/*");
    assert_keys(LIST(""), "", "");
}

static void keys_of_a_beginning(const char *xml, size_t len, const char *strip, struct buf *out)
{
    struct store_page page = {0};
    if (s3_list_parse_beginning(xml, len, strip, &page, NULL) != ERR_OK)
        return;
    for (size_t i = 0; i < page.n; i++)
        buf_addf(out, "%s ", page.entries[i].key);
    store_page_release(&page);
}

static void a_beginning_tells_the_objects_that_are_there_whole(void **state)
{
    static const char all[] = LIST(URL OBJECT("p/a%20b") OBJECT("p/a-") OBJECT("p/c"));
    for (size_t len = 0; len < sizeof(all); len++) {
        BUF(begun, 65536);
        BUF(want, 65536);
        static const char *const names[] = {"a b", "a-", "c"};
        const char *at = all;
        for (size_t k = 0; k < 3 && (at = strstr(at, "</Contents>")) != NULL; k++) {
            at += strlen("</Contents>");
            if ((size_t)(at - all) <= len)
                buf_addf(&want, "%s ", names[k]);
        }
        keys_of_a_beginning(all, len, "p/", &begun);
        assert_string_equal(buf_str(&begun), buf_str(&want));
    }
}

static void a_beginning_that_does_not_tell_how_keys_are_encoded_tells_plain_ones_only(void **state)
{
    BUF(plain, 1000);
    BUF(coded, 1000);
    const char *a = LIST(OBJECT("a") OBJECT("b")), *b = LIST(OBJECT("a") OBJECT("b+c") URL);
    keys_of_a_beginning(a, strlen(a), "", &plain);
    assert_string_equal(buf_str(&plain), "a b ");
    keys_of_a_beginning(b, strlen(b), "", &coded);
    assert_string_equal(buf_str(&coded), "");
}

static void a_beginning_that_is_none_of_a_listing_is_refused(void **state)
{
    static const char *const wrong[] = {
        "</Contents>", "<Error></Contents>", "<!DOCTYPE a><ListBucketResult></Contents>", "<ListBucketResult><Contents></Contents>",
        "<ListBucketResult><Contents><Key>a</Key></Contents>", "<a><b></Contents>"};
    for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++) {
        struct store_page page = {0};
        struct err e = ERR_INIT;
        assert_int_equal(s3_list_parse_beginning(wrong[k], strlen(wrong[k]), "", &page, &e), ERR_PROTO);
        assert_int_equal(page.n, 0);
    }
}

static void what_comes_twice_is_told_once(void **state)
{
    assert_keys(LIST(OBJECT("a") OBJECT("a") PREFIX("b/") PREFIX("b/")), "", "a b/*");
}

static void keys_are_decoded_only_when_the_reply_says_so(void **state)
{
    assert_keys(LIST(OBJECT("a%20b+c")), "", "a%20b+c");
    assert_keys(LIST(URL OBJECT("a%20b+c%2Bd%25")), "", "a b c+d%");
    assert_keys(LIST(OBJECT("a%20b") URL), "", "a b");
    assert_keys(LIST(URL OBJECT("lf%0Ax")), "", "lf\nx");
}

static void the_prefix_of_the_store_is_stripped(void **state)
{
    struct store_page page;
    assert_keys(LIST(OBJECT("p/") OBJECT("p/a") PREFIX("p/b/")), "p/", "a b/*");
    assert_int_equal(parse(LIST(OBJECT("q/a")), "p/", &page), ERR_PROTO);
}

static void names_that_are_no_utf8_are_left_out(void **state)
{
    assert_keys(LIST(URL OBJECT("%FF") OBJECT("ok") OBJECT("%C3%A9")), "", "ok \xc3\xa9");
}

static void a_version_is_read_for_each_object(void **state)
{
    struct store_page page;
    assert_int_equal(parse(LIST(OBJECT("a")), "", &page), ERR_OK);
    assert_string_equal(page.entries[0].object.version.etag, "e1");
    assert_int_equal(page.entries[0].object.version.size, 5);
    assert_int_equal(page.entries[0].object.version.mtime.tv_sec, 1795272479);
    assert_null(page.next);
    store_page_release(&page);
}

static void there_is_a_next_page_only_with_a_token(void **state)
{
    struct store_page page;
    assert_int_equal(
        parse(LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;1</NextContinuationToken>"), "", &page),
        ERR_OK);
    assert_string_equal(page.next, "t&1");
    store_page_release(&page);
    assert_int_equal(
        parse(LIST("<IsTruncated>false</IsTruncated><NextContinuationToken>t</NextContinuationToken>"), "", &page),
        ERR_OK);
    assert_null(page.next);
    store_page_release(&page);
    assert_int_equal(parse(LIST("<IsTruncated>true</IsTruncated>"), "", &page), ERR_PROTO);
}

#define MANGLED(key, time, etag, size)                                                                                 \
    LIST("<Contents><Key>" key "</Key><LastModified>" time "</LastModified><ETag>" etag "</ETag><Size>" size           \
         "</Size></Contents>")

static void hostile_replies_are_refused(void **state)
{
    static const char *const wrong[] = {
        "",
        "not xml",
        "<ListBucketResult>",
        "<Error><Code>AccessDenied</Code></Error>",
        "<ListAllMyBucketsResult/>",
        "<!DOCTYPE x [<!ENTITY a \"b\">]><ListBucketResult><Name>&a;</Name></ListBucketResult>",
        "<!DOCTYPE x SYSTEM \"file:///etc/passwd\"><ListBucketResult/>",
        "<?xml version=\"1.0\"?><ListBucketResult><Contents><Key>a</Key></ListBucketResult>",
        MANGLED("a", "2026-11-21T14:47:59Z", "e", "-1"),
        MANGLED("a", "2026-11-21T14:47:59Z", "e", ""),
        MANGLED("a", "2026-11-21T14:47:59Z", "e", "99999999999999999999"),
        MANGLED("a", "2026-11-21T14:47:59Z", "e", "18446744073709551615"),
        MANGLED("a", "yesterday", "e", "1"),
        MANGLED("a", "2026-11-21T14:47:59Z", "", "1"),
        MANGLED("a", "2026-11-21T14:47:59Z", "\"\"", "1"),
        MANGLED("a", "2026-11-21T14:47:59Z", "a b", "1"),
        LIST(URL OBJECT("%zz")),
        LIST(URL OBJECT("%00")),
        LIST(URL OBJECT("%4")),
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct store_page page;
        if (parse(wrong[i], "", &page) != ERR_PROTO)
            fail_msg("accepted: %s", wrong[i]);
    }
}

static void an_etag_that_is_too_long_is_refused(void **state)
{
    char xml[2048], etag[STORE_ETAG_SIZE + 1];
    struct store_page page;
    memset(etag, 'e', sizeof(etag) - 1);
    etag[sizeof(etag) - 1] = 0;
    (void)snprintf(xml, sizeof(xml),
                   "<ListBucketResult><Contents><Key>k</Key><LastModified>2026-11-21T14:47:59Z</LastModified>"
                   "<ETag>%s</ETag><Size>1</Size></Contents></ListBucketResult>",
                   etag);
    assert_int_equal(parse(xml, "", &page), ERR_PROTO);
}

static void every_cut_of_a_reply_is_refused(void **state)
{
    static const char whole[] = LIST(URL OBJECT("a%20b") PREFIX("c/") "<IsTruncated>false</IsTruncated>");
    for (size_t len = 0; len < strlen(whole) - 1; len++) {
        struct store_page page;
        struct err e = ERR_INIT;
        assert_int_equal(s3_list_parse(whole, len, "", &page, &e), ERR_PROTO);
    }
}

#define GRANT(grantee, permission)                                                                                     \
    "<Grant><Grantee>" grantee "</Grantee><Permission>" permission "</Permission></Grant>"
#define ACL(grants)                                                                                                    \
    "<AccessControlPolicy><Owner><ID>me</ID></Owner><AccessControlList>" grants                                        \
    "</AccessControlList></AccessControlPolicy>"

static void an_acl_goes_to_text_and_to_headers(void **state)
{
    static const char xml[] = ACL(GRANT("<ID>me</ID>", "FULL_CONTROL") GRANT("<URI>http://all</URI>", "READ")
                                      GRANT("<ID>you</ID>", "READ") GRANT("<ID>you</ID>", "WRITE_ACP"));
    BUF(text, 4096);
    PARAMS(h);
    bool is_default;
    struct err e = ERR_INIT;
    assert_int_equal(s3_acl_parse(xml, strlen(xml), &text, &is_default, &e), ERR_OK);
    assert_false(is_default);
    assert_string_equal(buf_str(&text),
                        "id=\"me\" FULL_CONTROL\nuri=\"http://all\" READ\nid=\"you\" READ\nid=\"you\" WRITE_ACP");
    assert_int_equal(s3_acl_headers(buf_str(&text), &h, &e), ERR_OK);
    assert_string_equal(params_get(&h, "x-amz-grant-full-control"), "id=\"me\"");
    assert_string_equal(params_get(&h, "x-amz-grant-read"), "uri=\"http://all\", id=\"you\"");
    assert_string_equal(params_get(&h, "x-amz-grant-write-acp"), "id=\"you\"");
}

static void an_acl_of_the_owner_alone_is_the_default(void **state)
{
    static const char xml[] = ACL(GRANT("<ID>me</ID>", "FULL_CONTROL"));
    BUF(text, 4096);
    bool is_default = false;
    struct err e = ERR_INIT;
    assert_int_equal(s3_acl_parse(xml, strlen(xml), &text, &is_default, &e), ERR_OK);
    assert_true(is_default);
}

static void hostile_acls_are_refused(void **state)
{
    static const char *const xml[] = {"",
                                      "<Error/>",
                                      ACL(GRANT("<ID>a\"b</ID>", "READ")),
                                      ACL(GRANT("<ID>a\nb</ID>", "READ")),
                                      ACL(GRANT("<ID>a</ID>", "READ\nx")),
                                      ACL(GRANT("", "READ")),
                                      ACL(GRANT("<ID>a</ID>", ""))};
    static const char *const text[] = {"",
                                       "x",
                                       "id=you READ",
                                       "id=\"you\" EAT",
                                       "id=\"you\"",
                                       "email=\"x\" READ",
                                       "id=\"a\r\" READ",
                                       "\"you\" READ",
                                       "public-reed"};
    struct err e = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(xml); i++) {
        BUF(out, 4096);
        bool is_default;
        assert_int_equal(s3_acl_parse(xml[i], strlen(xml[i]), &out, &is_default, &e), ERR_PROTO);
    }
    for (size_t i = 0; i < ARRAY_LEN(text); i++) {
        PARAMS(h);
        assert_int_equal(s3_acl_headers(text[i], &h, &e), ERR_INVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_and_prefixes_are_merged_in_the_order_of_bytes),
        cmocka_unit_test(a_beginning_tells_the_objects_that_are_there_whole),
        cmocka_unit_test(a_beginning_that_does_not_tell_how_keys_are_encoded_tells_plain_ones_only),
        cmocka_unit_test(a_beginning_that_is_none_of_a_listing_is_refused),
        cmocka_unit_test(what_comes_twice_is_told_once),
        cmocka_unit_test(keys_are_decoded_only_when_the_reply_says_so),
        cmocka_unit_test(the_prefix_of_the_store_is_stripped),
        cmocka_unit_test(names_that_are_no_utf8_are_left_out),
        cmocka_unit_test(a_version_is_read_for_each_object),
        cmocka_unit_test(there_is_a_next_page_only_with_a_token),
        cmocka_unit_test(hostile_replies_are_refused),
        cmocka_unit_test(an_etag_that_is_too_long_is_refused),
        cmocka_unit_test(every_cut_of_a_reply_is_refused),
        cmocka_unit_test(an_acl_goes_to_text_and_to_headers),
        cmocka_unit_test(an_acl_of_the_owner_alone_is_the_default),
        cmocka_unit_test(hostile_acls_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
