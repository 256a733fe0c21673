/* Whole objects as other tools leave them, and what is written back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backends/s3/headers.h"
#include "backends/s3/xattr.h"
#include "store/meta.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define M "x-amz-meta-"

/* Name, value, ..., NULL. */
static struct store_meta *read_headers(const char *key, const char *const *pairs)
{
    PARAMS(h);
    struct store_meta *m = NULL;
    struct err e = ERR_INIT;
    for (; *pairs != NULL; pairs += 2)
        params_add(&h, pairs[0], pairs[1]);
    assert_int_equal(s3_meta_read(&h, key, &m, &e), ERR_OK);
    return m;
}

#define READ(key, ...) read_headers(key, (const char *const[]){__VA_ARGS__, NULL})

static void written(const struct store_meta *m, const uint8_t *sha512, unsigned flags, struct params *out)
{
    struct err e = ERR_INIT;
    assert_int_equal(s3_meta_write(m, "f", sha512, flags, out, &e), ERR_OK);
}

static void assert_header(const struct params *h, const char *name, const char *value)
{
    const char *has = params_get(h, name);
    if (value == NULL) {
        assert_null(has);
        return;
    }
    if (has == NULL)
        fail_msg("no header %s", name);
    assert_string_equal(has, value);
}

static void assert_prop(const struct store_meta *m, const char *name, const char *value)
{
    const char *has = store_meta_prop(m, name, NULL);
    if (value == NULL) {
        assert_null(has);
        return;
    }
    if (has == NULL)
        fail_msg("no property %s", name);
    assert_string_equal(has, value);
}

static void an_object_of_s3fs_is_read_and_written_alike(void **state)
{
    struct store_meta *m = READ("f", "Content-Type", "text/plain", "X-Amz-Meta-Mode", "33188", M "uid", "1000", M "gid",
                                "100", M "mtime", "1700000000.000000005", M "ctime", "1700000001", M "atime",
                                "1700000002", M "xattr", "%7B%22user.a%22%3A%22YQ%3D%3D%22%2C%22user.b%22%3A%22%22%7D");
    assert_int_equal(m->mode, 0100644);
    assert_int_equal(m->uid, 1000);
    assert_int_equal(m->gid, 100);
    assert_int_equal(m->mtime.tv_nsec, 5);
    assert_int_equal(m->n_xattrs, 2);
    assert_string_equal(store_meta_xattr(m, "user.a", NULL), "a");
    PARAMS(h);
    written(m, NULL, 0, &h);
    assert_header(&h, "content-type", "text/plain");
    assert_header(&h, M "mode", "33188");
    assert_header(&h, M "uid", "1000");
    assert_header(&h, M "gid", "100");
    assert_header(&h, M "mtime", "1700000000.000000005");
    assert_header(&h, M "ctime", "1700000001");
    assert_header(&h, M "atime", "1700000002");
    assert_header(&h, M "xattr", "%7B%22user.a%22%3A%22YQ%3D%3D%22%2C%22user.b%22%3A%22%22%7D");
    store_meta_unref(m);
}

static void an_object_of_rclone_is_read_and_its_time_written_in_our_form(void **state)
{
    struct store_meta *m = READ("f", M "mtime", "1700000000.123456789", M "mode", "100664", M "uid", "0", M "md5chksum",
                                "1B2M2Y8AsgTpgAmY7PhCfg==", M "atime", "2026-11-21T14:47:59Z");
    assert_int_equal(m->mode, 0100664);
    assert_int_equal(m->atime.tv_sec, 1795272479);
    assert_prop(m, "meta.md5chksum", "1B2M2Y8AsgTpgAmY7PhCfg==");
    PARAMS(changed);
    PARAMS(same);
    written(m, NULL, 0, &changed);
    written(m, NULL, S3_WRITE_SAME_BYTES, &same);
    assert_header(&changed, M "mtime", "1700000000.123456789");
    assert_header(&changed, M "mode", "33204");
    assert_header(&changed, M "md5chksum", NULL);
    assert_header(&same, M "md5chksum", "1B2M2Y8AsgTpgAmY7PhCfg==");
    store_meta_unref(m);
}

static void an_object_of_the_aws_family_is_read_and_kept_up_to_date(void **state)
{
    struct store_meta *m =
        READ("d/", M "file-permissions", "0040755", M "file-owner", "500", M "file-group", "501", M "file-mtime",
             "1700000000123456789ns", M "file-atime", "1700000000123", M "user-agent", "aws-fsx-lustre");
    assert_int_equal(m->mode, 040755);
    assert_int_equal(m->uid, 500);
    assert_int_equal(m->gid, 501);
    assert_int_equal(m->mtime.tv_nsec, 123456789);
    assert_int_equal(m->atime.tv_nsec, 123000000);
    assert_prop(m, "meta.user-agent", "aws-fsx-lustre");
    m->mode = 040700;
    PARAMS(h);
    written(m, NULL, 0, &h);
    assert_header(&h, M "file-permissions", "040700");
    assert_header(&h, M "mode", "16832");
    assert_header(&h, M "file-mtime", "1700000000123456789ns");
    assert_header(&h, M "user-agent", "aws-fsx-lustre");
    store_meta_unref(m);
}

static void objects_of_geesefs_goog_and_s3sync_are_read(void **state)
{
    struct store_meta *m = READ("l", M "--symlink-target", "dir%2Ffile%20x", M "uid", "7");
    assert_true(S_ISLNK(m->mode));
    assert_prop(m, "symlink-target", "dir/file x");
    store_meta_unref(m);
    m = READ("f", M "goog-reserved-posix-mode", "640", M "goog-reserved-posix-uid", "5", M "goog-reserved-posix-gid",
             "6", M "goog-reserved-file-mtime", "1600000000");
    assert_int_equal(m->mode, 0100640);
    assert_int_equal(m->uid, 5);
    assert_int_equal(m->gid, 6);
    assert_int_equal(m->mtime.tv_sec, 1600000000);
    store_meta_unref(m);
    m = READ("f", M "permissions", "420", M "owner", "8", M "group", "9");
    assert_int_equal(m->mode, 0100420);
    assert_int_equal(m->uid, 8);
    store_meta_unref(m);
}

static void the_best_family_wins_and_a_broken_value_does_not(void **state)
{
    struct store_meta *m = READ("f", M "mode", "33188", M "file-permissions", "0100600", M "permissions", "777",
                                M "uid", "1", M "file-owner", "2", M "owner", "3");
    assert_int_equal(m->mode, 0100644);
    assert_int_equal(m->uid, 1);
    store_meta_unref(m);
    m = READ("f", M "mode", "nonsense", M "file-permissions", "0100600", M "uid", "root", M "file-owner", "2",
             M "mtime", "soon");
    assert_int_equal(m->mode, 0100600);
    assert_int_equal(m->uid, 2);
    assert_int_equal(m->has & STORE_HAS_MTIME, 0);
    store_meta_unref(m);
}

static void what_is_not_understood_is_carried_along(void **state)
{
    struct store_meta *m = READ("f", "Cache-Control", "no-cache", "Content-Encoding", "aws-chunked,gzip", "Expires",
                                "Thu, 01", "x-amz-storage-class", "GLACIER_IR", "x-amz-server-side-encryption",
                                "aws:kms", "x-amz-server-side-encryption-aws-kms-key-id", "arn:k",
                                "x-amz-tagging-count", "2", "x-amz-version-id", "v1", M "Project", "x", M "author",
                                "=?UTF-8?B?SsO8cmdlbg==?=", "x-amz-website-redirect-location", "/other");
    assert_prop(m, "content-encoding", "gzip");
    assert_prop(m, "storage-class", "GLACIER_IR");
    assert_prop(m, "sse", "aws:kms");
    assert_prop(m, "sse-kms-key-id", "arn:k");
    assert_prop(m, "tagging-count", "2");
    assert_prop(m, "version-id", "v1");
    assert_prop(m, "meta.project", "x");
    assert_prop(m, "meta.author", "J\xc3\xbcrgen");
    PARAMS(h);
    written(m, NULL, 0, &h);
    assert_header(&h, "cache-control", "no-cache");
    assert_header(&h, "content-encoding", "gzip");
    assert_header(&h, "expires", "Thu, 01");
    assert_header(&h, M "project", "x");
    assert_header(&h, M "author", "=?UTF-8?B?SsO8cmdlbg==?=");
    assert_header(&h, "x-amz-website-redirect-location", "/other");
    store_meta_unref(m);
    m = READ("f", "x-amz-version-id", "null");
    assert_prop(m, "storage-class", "STANDARD");
    assert_prop(m, "sse", "none");
    assert_prop(m, "version-id", NULL);
    store_meta_unref(m);
}

#define ZERO16        "00000000000000000000000000000000"
#define ZERO128       ZERO16 ZERO16 ZERO16 ZERO16
#define ZERO64_BASE64 "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="

static void only_a_sha512_of_the_whole_is_one(void **state)
{
    struct store_meta *m = READ("f", M "awsimple-sha512", ZERO128);
    assert_prop(m, "sha512", ZERO128);
    assert_prop(m, "checksum-sha512", NULL);
    store_meta_unref(m);
    m = READ("f", "x-amz-checksum-sha512", ZERO64_BASE64, "x-amz-checksum-type", "FULL_OBJECT");
    assert_prop(m, "sha512", ZERO128);
    assert_prop(m, "checksum-sha512", ZERO128);
    store_meta_unref(m);
    static const char *const wrong[][4] = {
        {"x-amz-checksum-sha512", ZERO64_BASE64, "x-amz-checksum-type", "COMPOSITE"},
        {"x-amz-checksum-sha512", ZERO64_BASE64 "-3", "x", "y"},
        {"x-amz-checksum-sha512", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "x", "y"}, /* a SHA-256 */
        {M "awsimple-sha512", "abc", "x", "y"},
        {M "awsimple-sha512", ZERO128 "0", "x", "y"},
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        m = READ("f", wrong[i][0], wrong[i][1], wrong[i][2], wrong[i][3]);
        assert_prop(m, "sha512", NULL);
        assert_prop(m, "checksum-sha512", NULL);
        store_meta_unref(m);
    }
}

static void the_server_s_sums_are_those_of_the_whole_or_of_a_known_number_of_parts(void **state)
{
    static const struct {
        const char *value, *type, *range, *prop;
    } rows[] = {
        {"y/Q5Jg==", NULL, NULL, "y/Q5Jg=="},
        {"y/Q5Jg==", "FULL_OBJECT", NULL, "y/Q5Jg=="},
        {"y/Q5Jg==", "COMPOSITE", NULL, NULL},
        {"y/Q5Jg==-3", "COMPOSITE", NULL, "y/Q5Jg==-3"},
        {"y/Q5Jg==-3", NULL, NULL, "y/Q5Jg==-3"},
        {"y/Q5Jg==-3", "FULL_OBJECT", NULL, NULL},
        {"y/Q5Jg==-x", "COMPOSITE", NULL, NULL},
        {"y/Q5Jg==-", "COMPOSITE", NULL, NULL},
        {"y/Q5Jg==", "FULL_OBJECT", "bytes 0-99/100", "y/Q5Jg=="},
        {"y/Q5Jg==", "FULL_OBJECT", "bytes 0-98/100", NULL}, /* perhaps a part's */
        {"y/Q5Jg==", "FULL_OBJECT", "bytes 1-99/100", NULL},
        {"y/Q5Jg==", "FULL_OBJECT", "bytes", NULL},
    };
    static const char *const names[] = {"crc32", "crc32c", "crc64nvme", "sha1", "sha256"};
    for (size_t i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(names); i++) {
        const char *name = names[i % ARRAY_LEN(names)], *type = rows[i / ARRAY_LEN(names)].type;
        const char *range = rows[i / ARRAY_LEN(names)].range;
        char header[64], prop[64];
        snprintf(header, sizeof(header), "x-amz-checksum-%s", name);
        snprintf(prop, sizeof(prop), "checksum-%s", name);
        struct store_meta *m = READ("f", header, rows[i / ARRAY_LEN(names)].value, type ? "x-amz-checksum-type" : "x",
                                    type ? type : "y", range ? "content-range" : "v", range ? range : "w");
        assert_prop(m, prop, rows[i / ARRAY_LEN(names)].prop);
        store_meta_unref(m);
    }
}

static void the_sha512_is_sent_for_the_bytes_it_belongs_to(void **state)
{
    uint8_t sha[64] = {0xab};
    struct store_meta *m = READ("f", M "awsimple-sha512", ZERO128);
    PARAMS(unknown);
    PARAMS(known);
    PARAMS(same);
    written(m, NULL, 0, &unknown);
    written(m, sha, 0, &known);
    written(m, NULL, S3_WRITE_SAME_BYTES, &same);
    assert_header(&unknown, M "awsimple-sha512", NULL);
    assert_memory_equal(params_get(&known, M "awsimple-sha512"), "ab00", 4);
    assert_header(&same, M "awsimple-sha512", ZERO128);
    store_meta_unref(m);
}

static void what_an_object_has_no_room_for_is_refused_and_the_hint_left_out_first(void **state)
{
    uint8_t sha[64] = {0};
    static const struct {
        int value; /* bytes of a value whose name has one */
        bool fits, with_sha;
    } cases[] = {{1904, true, true}, {1905, true, false}, {2047, true, false}, {2048, false, false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(store_meta_unref) struct store_meta *m = store_meta_new();
        PARAMS(out);
        struct err e = ERR_INIT;
        char value[2100];
        memset(value, 'v', sizeof(value));
        assert_int_equal(store_meta_set_prop(m, "meta.n", value, (size_t)cases[i].value, &e), ERR_OK);
        assert_int_equal(s3_meta_write(m, "f", sha, 0, &out, &e), cases[i].fits ? ERR_OK : ERR_NOSPC);
        assert_int_equal(params_get(&out, M "awsimple-sha512") != NULL, cases[i].with_sha);
    }
}

static void other_extended_attributes_are_carried_and_not_shown(void **state)
{
    struct store_meta *m = READ(
        "f", M "xattr", "%7B%22system.posix_acl_access%22%3A%22AgAAAA%3D%3D%22%2C%22user.x%22%3A%22eA%3D%3D%22%7D");
    assert_int_equal(m->n_xattrs, 1);
    assert_non_null(store_meta_prop(m, "xattr.system.posix_acl_access", NULL));
    BUF(out, 4096);
    s3_xattr_write(m, &out);
    assert_string_equal(buf_str(&out),
                        "%7B%22system.posix_acl_access%22%3A%22AgAAAA%3D%3D%22%2C%22user.x%22%3A%22eA%3D%3D%22%7D");
    store_meta_unref(m);
}

static void broken_extended_attributes_are_left_out(void **state)
{
    static const char *const wrong[] = {"",
                                        "{",
                                        "{}",
                                        "{\"",
                                        "{\"a\"",
                                        "{\"a\":",
                                        "{\"a\":\"",
                                        "{\"a\":\"!\"}",
                                        "{\"\":\"YQ==\"}",
                                        "[\"user.a\"]",
                                        "%7",
                                        "%00",
                                        "{\"user.a\":\"YQ\"}",
                                        "{\"user.a\":\"====\"}",
                                        "{\"user.a\":\"YQ==\"",
                                        "{,}"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        struct store_meta *m = READ("f", M "xattr", wrong[i]);
        assert_int_equal(m->n_xattrs, 0);
        store_meta_unref(m);
    }
    struct store_meta *m = READ("f", M "xattr", "{\"user.good\":\"YQ==\",\"user.bad\":\"\x01\"}");
    assert_int_equal(m->n_xattrs, 1);
    store_meta_unref(m);
}

static void text_in_headers_is_decoded(void **state)
{
    static const struct {
        const char *value, *want;
    } cases[] = {
        {"plain", "plain"},
        {"=?UTF-8?B?w6k=?=", "\xc3\xa9"},
        {"=?utf-8?q?a=C3=A9_b?=", "a\xc3\xa9 b"},
        {"=?UTF-8?B?w6k=?= =?UTF-8?B?w6k=?=", "\xc3\xa9\xc3\xa9"},
        {"=?UTF-8?B?w6k=", "=?UTF-8?B?w6k="},
        {"=?UTF-8?X?w6k=?=", "=?UTF-8?X?w6k=?="},
        {"=?ISO-8859-1?Q?=E9?=", "=?ISO-8859-1?Q?=E9?="},
        {"=?UTF-8?Q?=E?=", "=?UTF-8?Q?=E?="},
        {"=?UTF-8?Q?=FF?=", "=?UTF-8?Q?=FF?="},
        {"=?UTF-8?B?!!?=", "=?UTF-8?B?!!?="},
        {"=?UTF-8?", "=?UTF-8?"},
        {"=?", "=?"},
        {"", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        BUF(out, 1024);
        s3_text_decode(cases[i].value, &out);
        assert_string_equal(buf_str(&out), cases[i].want);
    }
}

static void text_comes_back_from_a_header(void **state)
{
    static const char *const texts[] = {"plain", "\xc3\xa9",         " lead",       "trail ",
                                        "a\tb",  "=?UTF-8?B?w6k=?=", "line\nbreak", ""};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        BUF(header, 1024);
        BUF(text, 1024);
        s3_text_encode(texts[i], strlen(texts[i]), &header);
        for (size_t k = 0; k < header.len; k++)
            assert_true(header.data[k] >= ' ' && header.data[k] < 0x7f);
        s3_text_decode(buf_str(&header), &text);
        assert_string_equal(buf_str(&text), texts[i]);
    }
}

static void a_version_is_read_from_headers(void **state)
{
    PARAMS(h);
    struct store_version v;
    struct err e = ERR_INIT;
    assert_int_equal(s3_version_read(&h, &v, &e), ERR_PROTO);
    params_add(&h, "ETag", "\"abc-2\"");
    assert_int_equal(s3_version_read(&h, &v, &e), ERR_PROTO);
    params_add(&h, "Content-Length", "7");
    params_add(&h, "Last-Modified", "Sat, 21 Nov 2026 14:47:59 GMT");
    assert_int_equal(s3_version_read(&h, &v, &e), ERR_OK);
    assert_string_equal(v.etag, "abc-2");
    assert_int_equal(v.size, 7);
    params_add(&h, "Content-Range", "bytes 0-6/1000");
    assert_int_equal(s3_version_read(&h, &v, &e), ERR_OK);
    assert_int_equal(v.size, 1000);
}

static void only_a_content_range_is_one(void **state)
{
    uint64_t a, b, c;
    assert_true(s3_content_range("bytes 0-0/1", &a, &b, &c) && a == 0 && b == 0 && c == 1);
    assert_true(s3_content_range("Bytes 5-9/10", &a, &b, &c));
    static const char *const wrong[] = {"",
                                        "bytes",
                                        "bytes 0-0",
                                        "bytes 0-0/*",
                                        "bytes */5",
                                        "bytes 1-0/5",
                                        "bytes 0-5/5",
                                        "bytes -1/5",
                                        "bytes 0-99999999999999999999999/1",
                                        "bytes 0-1/5 ",
                                        "chars 0-1/5"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_false(s3_content_range(wrong[i], &a, &b, &c));
}

/* Whether a reply of a HEAD at 12:00:00 says that what was modified then is settled. */
static bool is_settled(const char *modified, const char *date, const char *size)
{
    struct store_meta *m = READ("f", "ETag", "\"x\"", "Content-Length", size, "Last-Modified", modified, "Date", date);
    bool settled = m->settled;
    store_meta_unref(m);
    return settled;
}

static void metadata_are_settled_when_no_other_request_of_their_second_can_be_under_way(void **state)
{
    static const char at[] = "Sat, 21 Nov 2026 12:00:00 GMT";
    static const struct {
        const char *modified, *size;
        bool settled;
    } rows[] = {
        {"Sat, 21 Nov 2026 12:00:00 GMT", "5", false},  {"Sat, 21 Nov 2026 11:59:58 GMT", "5", false},
        {"Sat, 21 Nov 2026 11:59:57 GMT", "5", true},   {"Sat, 21 Nov 2020 11:59:57 GMT", "0", true},
        {"Sat, 21 Nov 2026 12:00:09 GMT", "5", false},  {"Sat, 21 Nov 2026 11:59:57 GMT", "16777216", false},
        {"Sat, 21 Nov 2026 11:59:56 GMT", "16777216", true}, {"Sat, 21 Nov 2026 11:50:00 GMT", "18446744073709551615", false},
        {"yesterday", "5", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(is_settled(rows[i].modified, at, rows[i].size), rows[i].settled);
    assert_false(is_settled("Sat, 21 Nov 2020 11:59:57 GMT", "now", "5"));
    struct store_meta *m = READ("f", "ETag", "\"x\"", "Content-Length", "5", "Last-Modified", "Sat, 21 Nov 2020 11:59:57 GMT");
    assert_false(m->settled);
    assert_int_not_equal(m->modified.tv_sec, 0);
    struct store_meta *copy = store_meta_copy(m);
    assert_int_equal(copy->modified.tv_sec, 0);
    store_meta_unref(copy);
    store_meta_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_of_s3fs_is_read_and_written_alike),
        cmocka_unit_test(an_object_of_rclone_is_read_and_its_time_written_in_our_form),
        cmocka_unit_test(an_object_of_the_aws_family_is_read_and_kept_up_to_date),
        cmocka_unit_test(objects_of_geesefs_goog_and_s3sync_are_read),
        cmocka_unit_test(the_best_family_wins_and_a_broken_value_does_not),
        cmocka_unit_test(what_is_not_understood_is_carried_along),
        cmocka_unit_test(only_a_sha512_of_the_whole_is_one),
        cmocka_unit_test(the_server_s_sums_are_those_of_the_whole_or_of_a_known_number_of_parts),
        cmocka_unit_test(the_sha512_is_sent_for_the_bytes_it_belongs_to),
        cmocka_unit_test(what_an_object_has_no_room_for_is_refused_and_the_hint_left_out_first),
        cmocka_unit_test(other_extended_attributes_are_carried_and_not_shown),
        cmocka_unit_test(broken_extended_attributes_are_left_out),
        cmocka_unit_test(text_in_headers_is_decoded),
        cmocka_unit_test(text_comes_back_from_a_header),
        cmocka_unit_test(metadata_are_settled_when_no_other_request_of_their_second_can_be_under_way),
        cmocka_unit_test(a_version_is_read_from_headers),
        cmocka_unit_test(only_a_content_range_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
