#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct store_meta *posix_meta(void)
{
    struct store_meta *m = store_meta_new();
    assert_non_null(m);
    m->has = STORE_HAS_MODE | STORE_HAS_UID | STORE_HAS_GID | STORE_HAS_MTIME | STORE_HAS_ATIME | STORE_HAS_CTIME;
    m->mode = 0100640;
    m->uid = 1000;
    m->gid = 4294967294u;
    m->mtime = (struct timespec){1700000000, 5};
    m->atime = (struct timespec){-77, 999999999};
    m->ctime = (struct timespec){1700000002, 0};
    return m;
}

static void assert_posix(const struct store_meta *m)
{
    assert_non_null(m);
    assert_int_equal(m->has, STORE_HAS_MODE | STORE_HAS_UID | STORE_HAS_GID | STORE_HAS_MTIME | STORE_HAS_ATIME |
                                 STORE_HAS_CTIME);
    assert_int_equal(m->mode, 0100640);
    assert_int_equal(m->uid, 1000);
    assert_int_equal(m->gid, 4294967294u);
    assert_int_equal(m->mtime.tv_sec, 1700000000);
    assert_int_equal(m->mtime.tv_nsec, 5);
    assert_int_equal(m->atime.tv_sec, -77);
    assert_int_equal(m->atime.tv_nsec, 999999999);
    assert_int_equal(m->ctime.tv_sec, 1700000002);
}

static void posix_attributes_come_back(struct suite *s)
{
    struct store_meta *m = posix_meta();
    (void)put_meta(s, key_of(s, "f"), "x", m);
    store_meta_unref(m);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    assert_posix(o.meta);
    store_object_release(&o);
}

static void file_types_come_back(struct suite *s)
{
    static const mode_t modes[] = {0120777, 0010644, 0140755, 0104755, 0102644, 0100000};
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        struct store_meta *m = store_meta_new();
        m->has = STORE_HAS_MODE;
        m->mode = modes[i];
        (void)put_meta(s, key_of(s, "f"), "target", m);
        store_meta_unref(m);
        struct store_object o;
        stat_ok(s, key_of(s, "f"), &o);
        assert_int_equal(o.meta->has, STORE_HAS_MODE);
        assert_int_equal(o.meta->mode, modes[i]);
        store_object_release(&o);
    }
}

static void a_directory_marker_has_attributes(struct suite *s)
{
    struct store_meta *m = store_meta_new();
    m->has = STORE_HAS_MODE;
    m->mode = 040711;
    (void)put_meta(s, key_of(s, "dir/"), "", m);
    store_meta_unref(m);
    struct store_object o;
    stat_ok(s, key_of(s, "dir/"), &o);
    assert_int_equal(o.meta->mode, 040711);
    store_object_release(&o);
}

static void extended_attributes_come_back(struct suite *s)
{
    struct store_meta *m = store_meta_new();
    struct err e = ERR_INIT;
    assert_ok(store_meta_set_xattr(m, "user.comment", "plain", 5, &e), &e);
    assert_ok(store_meta_set_xattr(m, "user.empty", "", 0, &e), &e);
    assert_ok(store_meta_set_xattr(m, "user.binary", "a\0b\xff", 4, &e), &e);
    assert_ok(store_meta_set_xattr(m, "user.a:b,c\"d\\e %\xc3\xa9", "odd name", 8, &e), &e);
    (void)put_meta(s, key_of(s, "f"), "x", m);
    store_meta_unref(m);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    size_t len;
    assert_int_equal(o.meta->n_xattrs, 4);
    assert_string_equal(store_meta_xattr(o.meta, "user.comment", &len), "plain");
    assert_non_null(store_meta_xattr(o.meta, "user.empty", &len));
    assert_int_equal(len, 0);
    const char *binary = store_meta_xattr(o.meta, "user.binary", &len);
    assert_int_equal(len, 4);
    assert_memory_equal(binary, "a\0b\xff", 4);
    assert_string_equal(store_meta_xattr(o.meta, "user.a:b,c\"d\\e %\xc3\xa9", &len), "odd name");
    store_object_release(&o);
}

static void set(struct store_meta *m, const char *name, const char *value)
{
    struct err e = ERR_INIT;
    assert_ok(store_meta_set_prop(m, name, value, strlen(value), &e), &e);
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

static struct store_meta *content_meta(void)
{
    struct store_meta *m = store_meta_new();
    set(m, "content-type", "text/x-test; charset=utf-8");
    set(m, "cache-control", "max-age=60");
    set(m, "content-encoding", "gzip");
    set(m, "content-disposition", "attachment; filename=\"x.txt\"");
    set(m, "content-language", "de");
    set(m, "meta.project", "alpha");
    set(m, "meta.author", "J\xc3\xbcrgen \xe4\xb8\xad");
    return m;
}

static void assert_content_meta(const struct store_meta *m)
{
    assert_prop(m, "content-type", "text/x-test; charset=utf-8");
    assert_prop(m, "cache-control", "max-age=60");
    assert_prop(m, "content-encoding", "gzip");
    assert_prop(m, "content-disposition", "attachment; filename=\"x.txt\"");
    assert_prop(m, "content-language", "de");
    assert_prop(m, "meta.project", "alpha");
    assert_prop(m, "meta.author", "J\xc3\xbcrgen \xe4\xb8\xad");
}

static void what_others_stored_survives_an_overwrite(struct suite *s)
{
    struct store_meta *m = content_meta();
    (void)put_meta(s, key_of(s, "f"), "one", m);
    store_meta_unref(m);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    assert_content_meta(o.meta);
    (void)put_meta(s, key_of(s, "f"), "two", o.meta);
    store_object_release(&o);
    stat_ok(s, key_of(s, "f"), &o);
    assert_content_meta(o.meta);
    store_object_release(&o);
}

static void what_others_stored_survives_a_change_of_attributes(struct suite *s)
{
    struct store_meta *m = content_meta();
    (void)put_meta(s, key_of(s, "f"), "one", m);
    store_meta_unref(m);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    struct store_meta *changed = store_meta_copy(o.meta);
    changed->has |= STORE_HAS_MODE;
    changed->mode = 0100600;
    char etag[STORE_ETAG_SIZE];
    memcpy(etag, o.version.etag, sizeof(etag));
    store_object_release(&o);
    struct store_copy c = {.from = key_of(s, "f"), .from_etag = etag, .size = 3, .to = key_of(s, "f"), .meta = changed};
    struct store_version v;
    struct err e = ERR_INIT;
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    store_meta_unref(changed);
    stat_ok(s, key_of(s, "f"), &o);
    assert_content_meta(o.meta);
    assert_int_equal(o.meta->mode, 0100600);
    assert_string_equal(o.version.etag, v.etag);
    store_object_release(&o);
    assert_content(s, key_of(s, "f"), "one");
}

static void a_change_of_attributes_replaces_them_all(struct suite *s)
{
    struct store_meta *m = content_meta();
    (void)put_meta(s, key_of(s, "f"), "one", m);
    store_meta_unref(m);
    struct store_meta *other = store_meta_new();
    set(other, "content-type", "text/other");
    struct store_copy c = {.from = key_of(s, "f"), .size = 3, .to = key_of(s, "f"), .meta = other};
    struct store_version v;
    struct err e = ERR_INIT;
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    store_meta_unref(other);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    assert_prop(o.meta, "content-type", "text/other");
    assert_prop(o.meta, "meta.project", NULL);
    assert_prop(o.meta, "cache-control", NULL);
    store_object_release(&o);
}

static void the_sha512_goes_with_the_bytes(struct suite *s)
{
    uint8_t sha[64];
    for (int i = 0; i < 64; i++)
        sha[i] = (uint8_t)(i * 3);
    static const char hello[] = "309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f989dd35bc5ff499670da34"
                                "255b45b0cfd830e81f605dcf7dc5542e93"
                                "ae9cd76f";
    for (int i = 0; i < 64; i++) {
        unsigned byte;
        (void)sscanf(hello + 2 * i, "%2x", &byte);
        sha[i] = (uint8_t)byte;
    }
    struct bytes b;
    struct store_body body = *body_of_str(&b, "hello world");
    body.sha512 = sha;
    struct store_version v;
    struct err e = ERR_INIT;
    assert_ok(store_put(s->store, key_of(s, "f"), &body, NULL, NULL, NULL, &v, &e), &e);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    assert_prop(o.meta, "sha512", hello);
    struct store_meta *meta = store_meta_copy(o.meta);
    store_object_release(&o);
    meta->has = STORE_HAS_MODE;
    meta->mode = 0100600;
    struct store_copy c = {.from = key_of(s, "f"), .size = 11, .to = key_of(s, "g"), .meta = meta};
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    stat_ok(s, key_of(s, "g"), &o);
    assert_prop(o.meta, "sha512", hello);
    store_object_release(&o);
    (void)put_meta(s, key_of(s, "f"), "other bytes", meta); /* of which no SHA-512 is known */
    store_meta_unref(meta);
    stat_ok(s, key_of(s, "f"), &o);
    assert_prop(o.meta, "sha512", NULL);
    store_object_release(&o);
}

const struct suite_case meta_cases[] = {
    {"posix attributes come back", posix_attributes_come_back, 0},
    {"file types come back", file_types_come_back, 0},
    {"a directory marker has attributes", a_directory_marker_has_attributes, 0},
    {"extended attributes come back", extended_attributes_come_back, 0},
    {"what others stored survives an overwrite", what_others_stored_survives_an_overwrite, 0},
    {"what others stored survives a change of attributes", what_others_stored_survives_a_change_of_attributes, 0},
    {"a change of attributes replaces them all", a_change_of_attributes_replaces_them_all, NEED_REPLACE_DROPS},
    {"the sha512 goes with the bytes", the_sha512_goes_with_the_bytes, 0},
    {NULL, NULL, 0},
};
