#include "suite.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static enum err_code get(struct suite *s, const char *key, const char *name, struct buf *out)
{
    struct store_object o;
    struct err e = ERR_INIT;
    stat_ok(s, key, &o);
    buf_clear(out);
    enum err_code code = store_property_get(s->store, key, &o, name, NULL, out, &e);
    store_object_release(&o);
    return code;
}

/* Sets it as the filesystem does: where the metadata change, they are stored by a copy onto itself. */
static enum err_code set(struct suite *s, const char *key, const char *name, const char *value)
{
    struct store_object o;
    struct err e = ERR_INIT;
    stat_ok(s, key, &o);
    struct store_meta *changed = NULL;
    enum err_code code =
        store_property_set(s->store, key, o.meta, name, value, value != NULL ? strlen(value) : 0, NULL, &changed, &e);
    if (code == ERR_OK && changed != NULL) {
        struct store_copy c = {.from = key, .size = o.version.size, .to = key, .meta = changed};
        struct store_version v;
        assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    }
    store_meta_unref(changed);
    store_object_release(&o);
    return code;
}

static void the_etag_can_be_read_and_not_written(struct suite *s)
{
    BUF(out, 4096);
    const char *key = key_of(s, "f");
    struct store_version v = put_str(s, key, "x");
    assert_int_equal(get(s, key, "etag", &out), ERR_OK);
    assert_string_equal(buf_str(&out), v.etag);
    assert_int_equal(set(s, key, "etag", "x"), ERR_PERM);
}

static void the_content_type_can_be_changed(struct suite *s)
{
    BUF(out, 4096);
    const char *key = key_of(s, "f");
    (void)put_str(s, key, "x");
    assert_int_equal(set(s, key, "content-type", "text/x-mine"), ERR_OK);
    assert_int_equal(get(s, key, "content-type", &out), ERR_OK);
    assert_string_equal(buf_str(&out), "text/x-mine");
    assert_int_equal(set(s, key, "cache-control", "no-store"), ERR_OK);
    assert_int_equal(get(s, key, "cache-control", &out), ERR_OK);
    assert_string_equal(buf_str(&out), "no-store");
}

static void user_metadata_can_be_set_and_removed(struct suite *s)
{
    BUF(out, 4096);
    const char *key = key_of(s, "f");
    (void)put_str(s, key, "x");
    assert_int_equal(set(s, key, "meta.color", "blue"), ERR_OK);
    assert_int_equal(get(s, key, "meta.color", &out), ERR_OK);
    assert_string_equal(buf_str(&out), "blue");
    assert_int_equal(set(s, key, "meta.color", NULL), ERR_OK);
    assert_int_equal(get(s, key, "meta.color", &out), ERR_NO_ATTR);
}

static void an_unknown_property_is_no_attribute(struct suite *s)
{
    BUF(out, 4096);
    const char *key = key_of(s, "f");
    (void)put_str(s, key, "x");
    assert_int_equal(get(s, key, "no-such", &out), ERR_NO_ATTR);
    assert_int_equal(set(s, key, "no-such", "x"), ERR_NO_ATTR);
}

static void tags_can_be_written_and_survive_an_overwrite_and_a_copy(struct suite *s)
{
    BUF(out, 4096);
    const char *key = key_of(s, "f"), *copy = key_of(s, "copy"), *changed = key_of(s, "changed");
    (void)put_str(s, key, "x");
    assert_int_equal(get(s, key, "tags", &out), ERR_NO_ATTR);
    assert_int_equal(set(s, key, "tags", "team=blue&cost=a%20b"), ERR_OK);
    assert_int_equal(get(s, key, "tags", &out), ERR_OK);
    assert_true(strstr(buf_str(&out), "team=blue") != NULL && strstr(buf_str(&out), "cost=a%20b") != NULL);
    struct store_object o;
    stat_ok(s, key, &o);
    (void)put_meta(s, key, "y", o.meta);
    assert_int_equal(get(s, key, "tags", &out), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "team=blue"));
    struct store_copy c = {.from = key, .size = 1, .to = copy};
    struct store_version v;
    struct err e = ERR_INIT;
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    assert_int_equal(get(s, copy, "tags", &out), ERR_OK);
    c.to = changed;
    c.meta = o.meta;
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    assert_int_equal(get(s, changed, "tags", &out), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "cost=a%20b"));
    store_object_release(&o);
    assert_int_equal(set(s, key, "tags", NULL), ERR_OK);
    assert_int_equal(get(s, key, "tags", &out), ERR_NO_ATTR);
}

static void an_acl_can_be_read_and_written(struct suite *s)
{
    BUF(out, 65536);
    const char *key = key_of(s, "f");
    (void)put_str(s, key, "x");
    assert_int_equal(set(s, key, "acl", "public-read"), ERR_OK);
    assert_int_equal(get(s, key, "acl", &out), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "AllUsers"));
    struct store_object o;
    stat_ok(s, key, &o);
    (void)put_meta(s, key, "other bytes", o.meta);
    store_object_release(&o);
    assert_int_equal(get(s, key, "acl", &out), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "AllUsers"));
    assert_int_equal(set(s, key, "acl", "nonsense acl"), ERR_INVAL);
}

static void urls_name_the_object(struct suite *s)
{
    BUF(out, 8192);
    const char *key = key_of(s, "a b%");
    (void)put_str(s, key, "x");
    assert_int_equal(get(s, key, "url", &out), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "a%20b%25"));
    assert_int_equal(get(s, key, "presigned", &out), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "X-Amz-Signature="));
    assert_int_equal(get(s, key, "presigned.60", &out), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "X-Amz-Expires=60"));
    assert_int_equal(get(s, key, "presigned.x", &out), ERR_NO_ATTR);
    assert_int_equal(get(s, key, "presigned.9999999", &out), ERR_NO_ATTR);
}

static void the_storage_class_can_be_changed(struct suite *s)
{
    BUF(out, 4096);
    const char *key = key_of(s, "f");
    (void)put_str(s, key, "x");
    assert_int_equal(get(s, key, "storage-class", &out), ERR_OK);
    assert_string_equal(buf_str(&out), "STANDARD");
    assert_int_equal(set(s, key, "storage-class", "STANDARD_IA"), ERR_OK);
    assert_int_equal(get(s, key, "storage-class", &out), ERR_OK);
    assert_string_equal(buf_str(&out), "STANDARD_IA");
    struct store_object o;
    stat_ok(s, key, &o);
    (void)put_meta(s, key, "other bytes", o.meta);
    store_object_release(&o);
    assert_int_equal(get(s, key, "storage-class", &out), ERR_OK);
    assert_string_equal(buf_str(&out), "STANDARD_IA");
}

static void a_copy_keeps_storage_class_and_acl(struct suite *s)
{
    BUF(out, 65536);
    const char *key = key_of(s, "f"), *to = key_of(s, "g"), *told = key_of(s, "h");
    struct store_version v;
    struct store_object o;
    struct err e = ERR_INIT;
    (void)put_str(s, key, "x");
    assert_int_equal(set(s, key, "storage-class", "STANDARD_IA"), ERR_OK);
    assert_int_equal(set(s, key, "acl", "public-read"), ERR_OK);
    stat_ok(s, key, &o);
    struct store_copy c = {.from = key, .from_etag = o.version.etag, .size = 1, .to = to};
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e); /* of which nothing is told */
    assert_int_equal(get(s, to, "storage-class", &out), ERR_OK);
    assert_string_equal(buf_str(&out), "STANDARD_IA");
    assert_int_equal(get(s, to, "acl", &out), ERR_OK);
    assert_non_null(strstr(buf_str(&out), "AllUsers"));
    c.to = told;
    c.meta = o.meta;
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    assert_int_equal(get(s, told, "storage-class", &out), ERR_OK);
    assert_string_equal(buf_str(&out), "STANDARD_IA");
    store_object_release(&o);
}

static void an_object_put_by_parts_can_be_overwritten(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_version v;
    struct store_object o;
    assert_int_equal(upload(s, key, "some bytes", 10, 10, NULL, &v), ERR_OK);
    stat_ok(s, key, &o);
    time_t start = time(NULL);
    (void)put_meta(s, key, "other bytes", o.meta);
    assert_true(time(NULL) - start <= 5);
    store_object_release(&o);
    assert_content(s, key, "other bytes");
}

/* By the other store: what it learns about ACLs here must not matter to the other cases. */
static void what_cannot_be_asked_for_does_not_fail_a_write(struct suite *s)
{
    static const struct {
        const char *kind, *action;
    } faults[] = {
        {"GetBucketOwnershipControls", "{\"status\":500,\"code\":\"InternalError\"}"},
        {"GetObjectAcl", "{\"status\":500,\"code\":\"InternalError\"}"},
        {"GetObjectTagging", "{\"status\":403,\"code\":\"AccessDenied\"}"},
        {"GetObjectAcl", "{\"status\":403,\"code\":\"AccessDenied\"}"},
    };
    const char *key = key_of(s, "f");
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct store_object o;
        struct store_version v;
        struct bytes b;
        struct err e = ERR_INIT;
        (void)put_str(s, key, "x");
        assert_int_equal(set(s, key, "tags", "team=blue"), ERR_OK);
        stat_ok(s, key, &o);
        origin_fault_always(s, faults[i].kind, "*", faults[i].action);
        time_t start = time(NULL);
        enum err_code put = store_put(s->again, key, body_of_str(&b, "y"), o.meta, NULL, NULL, &v, &e);
        const struct store_copy c = {.from = key, .size = 1, .to = key_of(s, "g"), .meta = o.meta};
        enum err_code copy = store_copy(s->again, &c, NULL, &v, &e);
        time_t end = time(NULL);
        origin_clear(s);
        store_object_release(&o);
        if (put != ERR_OK || copy != ERR_OK || end - start > 10)
            fail_msg("%s: %s after %d s", faults[i].kind, e.msg, (int)(end - start));
        assert_content(s, key, "y");
    }
}

static void more_metadata_than_an_object_holds_are_refused_without_a_request(struct suite *s)
{
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_new();
    struct store_version old = put_str(s, key_of(s, "f"), "x"), v;
    struct store_copy c = {.from = key_of(s, "f"), .size = 1, .to = key_of(s, "f"), .meta = meta};
    struct bytes b;
    struct err e = ERR_INIT;
    char *big = pattern(2100), id[STORE_ID_SIZE];
    memset(big, 'v', 2100);
    assert_ok(store_meta_set_xattr(meta, "user.big", big, 2100, &e), &e);
    uint64_t before = requests_so_far(s);
    assert_int_equal(store_put(s->store, c.to, body_of_str(&b, "y"), meta, NULL, NULL, &v, &e), ERR_NOSPC);
    c.from_etag = old.etag;
    assert_int_equal(store_copy(s->store, &c, NULL, &v, &e), ERR_NOSPC);
    assert_int_equal(store_upload_begin(s->store, c.to, meta, NULL, NULL, id, &e), ERR_NOSPC);
    assert_int_equal(store_check_meta(s->store, c.to, meta, &e), ERR_NOSPC);
    assert_ok(store_meta_set_xattr(meta, "user.big", big, 900, &e), &e);
    assert_ok(store_check_meta(s->store, c.to, meta, &e), &e);
    assert_int_equal(requests_so_far(s), before);
    assert_content(s, c.to, "x");
    free(big);
}

const struct suite_case property_cases[] = {
    {"the etag can be read and not written", the_etag_can_be_read_and_not_written, 0},
    {"the content type can be changed", the_content_type_can_be_changed, NEED_REPLACE_DROPS},
    {"user metadata can be set and removed", user_metadata_can_be_set_and_removed, 0},
    {"an unknown property is no attribute", an_unknown_property_is_no_attribute, 0},
    {"tags can be written and survive an overwrite and a copy", tags_can_be_written_and_survive_an_overwrite_and_a_copy,
     NEED_TAGS},
    {"an acl can be read and written", an_acl_can_be_read_and_written, NEED_ACL | NEED_S3},
    {"a copy keeps storage class and acl", a_copy_keeps_storage_class_and_acl, NEED_ACL | NEED_S3 | NEED_STORAGE_CLASS},
    {"urls name the object", urls_name_the_object, NEED_S3},
    {"the storage class can be changed", the_storage_class_can_be_changed, NEED_S3 | NEED_STORAGE_CLASS},
    {"an object put by parts can be overwritten", an_object_put_by_parts_can_be_overwritten, NEED_PARTS},
    {"what cannot be asked for does not fail a write", what_cannot_be_asked_for_does_not_fail_a_write,
     NEED_BROKEN_BODY | NEED_S3 | NEED_TAGS},
    {"more metadata than an object holds are refused without a request",
     more_metadata_than_an_object_holds_are_refused_without_a_request, NEED_S3 | NEED_HONOURED},
    {NULL, NULL, 0},
};
