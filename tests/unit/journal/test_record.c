#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/record.h"
#include "journal/wal.h"

#include <stdlib.h>
#include <string.h>

#define NOW      {.tv_sec = 1700000000, .tv_nsec = 999999999}
#define LONG_AGO {.tv_sec = -5, .tv_nsec = 1}
static const struct timespec long_ago = LONG_AGO;
static const uint64_t crc = 0x1122334455667788;
static uint8_t sha[64];
static uint8_t inline_bytes[RECORD_INLINE_MAX];
static const struct meta_pair xattrs[] = {{"user.empty", "", 0}, {"user.zeros", "\0\0", 2}, {"user.\xff", "x", 1}};
static const struct meta_pair props[] = {{"content-type", "text/plain", 10}, {"meta.NAME", "v", 1}};
static const struct meta_fields meta = {
    .has = 0x3f, .mode = 0100644, .uid = UINT32_MAX, .gid = 7, .mtime = NOW, .atime = LONG_AGO, .ctime = NOW,
    .xattrs = xattrs, .n_xattrs = 3, .props = props, .n_props = 2,
};
static const struct record_part parts[] = {{1, 5 << 20, "aa", crc, false}, {3, 0, "bb", 0, true}, {10000, 17, "cc", 1, false}};
#define PARTS_SIZE ((5 << 20) + 17)

/* One of each shape that an operation of awsfs/store.h, or what becomes of it, can have. */
static const struct record shapes[] = {
    {.kind = RECORD_PUT, .when = NOW, .key = "dir/", .cond = RECORD_IF_ABSENT, .meta = &meta},
    {.kind = RECORD_PUT, .when = NOW, .key = "a", .cond = RECORD_ALWAYS, .size = 5, .body = "he\0lo", .sha512 = sha, .crc64nvme = &crc},
    {.kind = RECORD_PUT, .when = NOW, .key = "\xc3\xa9", .cond = RECORD_IF_MATCH, .cond_etag = "e", .size = RECORD_INLINE_MAX,
     .body = inline_bytes},
    {.kind = RECORD_PUT, .when = NOW, .key = "large", .size = UINT64_MAX, .file = "0000000000000001.body", .meta = &meta},
    {.kind = RECORD_COPY, .when = NOW, .key = "from", .to = "to", .size = 12, .cond = RECORD_IF_ABSENT, .mtime = &long_ago},
    {.kind = RECORD_COPY, .when = NOW, .key = "same", .to = "same", .etag = "e1", .cond = RECORD_IF_MATCH, .cond_etag = "e1", .meta = &meta},
    {.kind = RECORD_REMOVE, .when = NOW, .key = "gone"},
    {.kind = RECORD_REMOVE, .when = NOW, .key = "gone", .etag = "d41d8cd98f00b204e9800998ecf8427e-2"},
    {.kind = RECORD_RENAME, .when = NOW, .key = "a", .to = "b", .etag = "x"},
    {.kind = RECORD_RENAME, .when = NOW, .key = "a/", .to = "b/", .tree = true},
    {.kind = RECORD_PROPERTY, .when = NOW, .key = "a", .name = "tags", .value = "k=v", .value_len = 3},
    {.kind = RECORD_PROPERTY, .when = NOW, .key = "a", .name = "tags"},
    {.kind = RECORD_PROPERTY, .when = NOW, .key = "a", .name = "tags", .value = ""},
    {.kind = RECORD_UPLOAD, .when = NOW, .of = 0, .key = "large", .meta = &meta, .sha512 = sha},
    {.kind = RECORD_PARTS, .when = NOW, .of = 9, .upload_id = "id"},
    {.kind = RECORD_PARTS, .when = NOW, .of = 9, .upload_id = "id", .parts = parts, .n_parts = 3},
    {.kind = RECORD_FINISH, .when = NOW, .of = 9, .key = "large", .upload_id = "id", .size = PARTS_SIZE, .parts = parts, .n_parts = 3,
     .crc64nvme = &crc, .sha512 = sha, .meta = &meta, .cond = RECORD_IF_MATCH, .cond_etag = "e"},
    {.kind = RECORD_BEGUN, .when = NOW, .of = 9},
    {.kind = RECORD_DONE, .of = 9, .how = RECORD_SENT, .version_etag = "e2", .version_size = 5, .version_mtime = NOW},
    {.kind = RECORD_DONE, .of = 9, .how = RECORD_MERGED, .into = 12, .version_etag = ""},
    {.kind = RECORD_DONE, .of = UINT64_MAX, .how = RECORD_DISCARDED, .version_etag = ""},
    {.kind = RECORD_FAILED, .when = NOW, .of = 9, .code = ERR_ACCESS, .text = "refused", .attempts = 17},
    {.kind = RECORD_MEMBER, .key = "d/a", .etag = "e", .size = 7, .mtime = &long_ago},
    {.kind = RECORD_CONFLICT, .when = NOW, .of = 9, .key = "a (conflict HOST DATE)", .version_etag = "e3", .version_size = 5},
};

static void same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a)
        assert_string_equal(a, b);
}

static void same_pairs(const struct meta_pair *a, size_t n, const struct meta_pair *b, size_t m)
{
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(a[i].name, b[i].name);
        assert_int_equal(a[i].len, b[i].len);
        assert_memory_equal(a[i].value, b[i].value, a[i].len);
    }
}

static void same_meta(const struct meta_fields *a, const struct meta_fields *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (!a)
        return;
    assert_int_equal(a->has, b->has);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->uid, b->uid);
    assert_int_equal(a->gid, b->gid);
    assert_memory_equal(&a->mtime, &b->mtime, sizeof(a->mtime));
    assert_memory_equal(&a->atime, &b->atime, sizeof(a->atime));
    assert_memory_equal(&a->ctime, &b->ctime, sizeof(a->ctime));
    same_pairs(a->xattrs, a->n_xattrs, b->xattrs, b->n_xattrs);
    same_pairs(a->props, a->n_props, b->props, b->n_props);
}

static void same_parts(const struct record *a, const struct record *b)
{
    assert_int_equal(a->n_parts, b->n_parts);
    for (size_t i = 0; i < a->n_parts; i++) {
        assert_int_equal(a->parts[i].number, b->parts[i].number);
        assert_int_equal(a->parts[i].size, b->parts[i].size);
        assert_int_equal(a->parts[i].crc64nvme, b->parts[i].crc64nvme);
        assert_int_equal(a->parts[i].unsummed, b->parts[i].unsummed);
        assert_string_equal(a->parts[i].etag, b->parts[i].etag);
    }
}

static void same_bytes(const void *a, const void *b, size_t len)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a)
        assert_memory_equal(a, b, len);
}

static void same(const struct record *a, const struct record *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_memory_equal(&a->when, &b->when, sizeof(a->when));
    assert_int_equal(a->of, b->of);
    same_text(a->key, b->key);
    same_text(a->to, b->to);
    same_text(a->etag, b->etag);
    assert_int_equal(a->cond, b->cond);
    same_text(a->cond_etag, b->cond_etag);
    assert_int_equal(a->size, b->size);
    same_meta(a->meta, b->meta);
    same_bytes(a->mtime, b->mtime, sizeof(*a->mtime));
    same_bytes(a->sha512, b->sha512, 64);
    same_bytes(a->crc64nvme, b->crc64nvme, 8);
    if (a->body)
        assert_memory_equal(a->body, b->body, a->size);
    same_text(a->file, b->file);
    assert_int_equal(a->tree, b->tree);
    same_text(a->name, b->name);
    assert_int_equal(a->value_len, b->value_len);
    same_bytes(a->value, b->value, a->value_len);
    same_text(a->upload_id, b->upload_id);
    same_parts(a, b);
    assert_int_equal(a->how, b->how);
    assert_int_equal(a->into, b->into);
    same_text(a->version_etag, b->version_etag);
    assert_int_equal(a->version_size, b->version_size);
    assert_memory_equal(&a->version_mtime, &b->version_mtime, sizeof(a->version_mtime));
    assert_int_equal(a->code, b->code);
    same_text(a->text, b->text);
    assert_int_equal(a->attempts, b->attempts);
}

static void every_record_comes_back_as_it_was(void **state)
{
    struct err e = ERR_INIT;
    memset(sha, 0xa5, sizeof(sha));
    memset(inline_bytes, 0x5a, sizeof(inline_bytes));
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        BUF(b, WAL_RECORD_MAX);
        assert_int_equal(record_encode(&shapes[i], &b, &e), ERR_OK);
        CLEANUP(record_free) struct record *r = record_decode(b.data, b.len, &e);
        if (!r)
            fail_msg("%s: %s", record_kind_name(shapes[i].kind), e.msg);
        same(&shapes[i], r);
    }
}

/* On the heap and of exactly that length, so that reading behind the end shows. */
static enum err_code decode(const void *p, size_t len, struct err *e)
{
    CLEANUP(free) void *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, p, len);
    *e = (struct err)ERR_INIT;
    CLEANUP(record_free) struct record *r = record_decode(exact, len, e);
    return r ? ERR_OK : e->code;
}

static void a_record_that_is_cut_off_or_too_long_is_refused(void **state)
{
    struct err e = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        BUF(b, WAL_RECORD_MAX);
        assert_int_equal(record_encode(&shapes[i], &b, &e), ERR_OK);
        size_t step = b.len > 4096 ? 97 : 1;
        for (size_t len = 0; len < b.len; len += step)
            assert_int_equal(decode(buf_str(&b), len, &e), ERR_PROTO);
        buf_add_char(&b, 0);
        assert_int_equal(decode(b.data, b.len, &e), ERR_PROTO);
    }
}

static void a_newer_version_is_told_from_garbage(void **state)
{
    struct err e;
    assert_int_equal(decode("\x02\x01", 2, &e), ERR_UNSUPPORTED);
    assert_int_equal(decode("\x00\x01", 2, &e), ERR_PROTO);
    assert_int_equal(decode("\x01\x00", 2, &e), ERR_PROTO);
    assert_int_equal(decode("\x01\x0d", 2, &e), ERR_PROTO);
    assert_int_equal(decode("", 0, &e), ERR_PROTO);
}

static void every_flipped_bit_is_refused_or_gives_a_legal_record(void **state)
{
    struct err e = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        BUF(b, WAL_RECORD_MAX);
        assert_int_equal(record_encode(&shapes[i], &b, &e), ERR_OK);
        for (size_t bit = 0; bit < 8 * (b.len < 700 ? b.len : 700); bit++) {
            b.data[bit / 8] ^= (char)(1 << bit % 8);
            enum err_code code = decode(b.data, b.len, &e);
            assert_true(code == ERR_OK || code == ERR_PROTO || code == ERR_UNSUPPORTED);
            b.data[bit / 8] ^= (char)(1 << bit % 8);
        }
    }
}

static void counts_beyond_what_is_there_take_no_memory(void **state)
{
    struct err e = ERR_INIT;
    const struct record r = {.kind = RECORD_PARTS, .when = NOW, .of = 1, .upload_id = "id", .parts = parts, .n_parts = 1};
    BUF(b, WAL_RECORD_MAX);
    assert_int_equal(record_encode(&r, &b, &e), ERR_OK);
    size_t at = 2 + 12 + 8 + 4 + 3; /* of the number of parts */
    for (unsigned n = 2; n; n <<= 1) {
        memcpy(b.data + at, &n, sizeof(n));
        assert_int_equal(decode(b.data, b.len, &e), ERR_PROTO);
    }
}

static void what_is_no_operation_is_not_encoded(void **state)
{
    static char long_key[RECORD_KEY_MAX + 2], long_id[RECORD_ID_MAX + 2], long_etag[RECORD_ETAG_MAX + 2], long_file[257];
    static const struct record_part twice[] = {{1, 1, "a", 0, false}, {1, 1, "b", 0, false}};
    static const struct record_part nameless[] = {{1, 1, "", 0, false}}, high[] = {{10001, 1, "a", 0, false}};
    static const struct record_part huge[] = {{1, UINT64_MAX, "a", 0, false}, {2, 1, "b", 0, false}};
    static const struct meta_fields unknown_time = {.has = 0x40}, no_time = {.mtime = {.tv_nsec = 1000000000}};
    memset(long_key, 'k', sizeof(long_key) - 1);
    memset(long_id, 'i', sizeof(long_id) - 1);
    memset(long_etag, 'e', sizeof(long_etag) - 1);
    memset(long_file, 'f', sizeof(long_file) - 1);
    const struct record bad[] = {
        {.kind = 0, .key = "a"},
        {.kind = 14, .key = "a"},
        {.kind = RECORD_PUT},
        {.kind = RECORD_PUT, .key = ""},
        {.kind = RECORD_PUT, .key = long_key},
        {.kind = RECORD_PUT, .key = "\xff"},
        {.kind = RECORD_PUT, .key = "a", .when = {.tv_nsec = -1}},
        {.kind = RECORD_PUT, .key = "a", .size = 1},
        {.kind = RECORD_PUT, .key = "a", .size = RECORD_INLINE_MAX + 1, .body = inline_bytes},
        {.kind = RECORD_PUT, .key = "a", .size = 1, .body = "x", .file = "f"},
        {.kind = RECORD_PUT, .key = "a", .file = "f"},
        {.kind = RECORD_PUT, .key = "a", .size = 1, .file = ""},
        {.kind = RECORD_PUT, .key = "a", .size = 1, .file = ".."},
        {.kind = RECORD_PUT, .key = "a", .size = 1, .file = "../f"},
        {.kind = RECORD_PUT, .key = "a", .size = 1, .file = "/etc/passwd"},
        {.kind = RECORD_PUT, .key = "a", .size = 1, .file = long_file},
        {.kind = RECORD_PUT, .key = "a", .cond = 3},
        {.kind = RECORD_PUT, .key = "a", .cond = RECORD_IF_MATCH},
        {.kind = RECORD_PUT, .key = "a", .cond = RECORD_IF_MATCH, .cond_etag = long_etag},
        {.kind = RECORD_PUT, .key = "a", .cond = RECORD_ALWAYS, .cond_etag = "e"},
        {.kind = RECORD_PUT, .key = "a", .meta = &unknown_time},
        {.kind = RECORD_PUT, .key = "a", .meta = &no_time},
        {.kind = RECORD_COPY, .key = "a"},
        {.kind = RECORD_COPY, .key = "a", .to = "b", .etag = ""},
        {.kind = RECORD_RENAME, .key = "a/", .to = "b", .tree = true},
        {.kind = RECORD_RENAME, .key = "a/", .to = "a/b/", .tree = true},
        {.kind = RECORD_PROPERTY, .key = "a"},
        {.kind = RECORD_PARTS, .upload_id = "id"},
        {.kind = RECORD_PARTS, .of = 1, .upload_id = ""},
        {.kind = RECORD_PARTS, .of = 1, .upload_id = long_id},
        {.kind = RECORD_PARTS, .of = 1, .upload_id = "id", .parts = twice, .n_parts = 2},
        {.kind = RECORD_PARTS, .of = 1, .upload_id = "id", .parts = nameless, .n_parts = 1},
        {.kind = RECORD_PARTS, .of = 1, .upload_id = "id", .parts = high, .n_parts = 1},
        {.kind = RECORD_FINISH, .of = 1, .key = "a", .upload_id = "id"},
        {.kind = RECORD_FINISH, .of = 1, .key = "a", .upload_id = "id", .size = PARTS_SIZE + 1, .parts = parts, .n_parts = 3},
        {.kind = RECORD_FINISH, .of = 1, .key = "a", .upload_id = "id", .size = 0, .parts = huge, .n_parts = 2},
        {.kind = RECORD_BEGUN},
        {.kind = RECORD_DONE, .of = 1, .version_etag = ""},
        {.kind = RECORD_DONE, .of = 1, .how = RECORD_MERGED, .version_etag = ""},
        {.kind = RECORD_DONE, .of = 1, .how = RECORD_MERGED, .into = 1, .version_etag = ""},
        {.kind = RECORD_DONE, .of = 1, .how = RECORD_SENT, .into = 2, .version_etag = ""},
        {.kind = RECORD_DONE, .of = 1, .how = RECORD_SENT},
        {.kind = RECORD_FAILED, .of = 1, .text = ""},
        {.kind = RECORD_FAILED, .of = 1, .code = ERR_COUNT, .text = ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = ERR_INIT;
        BUF(b, WAL_RECORD_MAX);
        if (record_encode(&bad[i], &b, &e) != ERR_INVAL)
            fail_msg("the %zu. was encoded", i);
        assert_int_equal(b.len, 0);
    }
}

static void the_largest_upload_fits_into_a_record(void **state)
{
    static struct record_part all[RECORD_PARTS_MAX];
    static char etag[RECORD_ETAG_MAX + 1], id[RECORD_ID_MAX + 1], key[RECORD_KEY_MAX + 1];
    memset(etag, 'e', sizeof(etag) - 1);
    memset(id, 'i', sizeof(id) - 1);
    memset(key, 'k', sizeof(key) - 1);
    for (unsigned i = 0; i < RECORD_PARTS_MAX; i++)
        all[i] = (struct record_part){i + 1, 5ULL << 40 >> 13, etag, i, false};
    const struct record r = {.kind = RECORD_FINISH, .of = 1, .key = key, .upload_id = id, .size = (5ULL << 40 >> 13) * RECORD_PARTS_MAX,
                             .parts = all, .n_parts = RECORD_PARTS_MAX, .meta = &meta};
    struct err e = ERR_INIT;
    BUF(b, WAL_RECORD_MAX);
    assert_int_equal(record_encode(&r, &b, &e), ERR_OK);
    CLEANUP(record_free) struct record *back = record_decode(b.data, b.len, &e);
    assert_non_null(back);
    same(&r, back);
}

static void an_error_of_another_version_is_still_an_error(void **state)
{
    struct err e = ERR_INIT;
    const struct record r = {.kind = RECORD_FAILED, .when = NOW, .of = 1, .code = ERR_QUOTA, .text = "", .attempts = 1};
    BUF(b, 1024);
    assert_int_equal(record_encode(&r, &b, &e), ERR_OK);
    char *name = memmem(b.data, b.len, err_name(ERR_QUOTA), strlen(err_name(ERR_QUOTA)));
    assert_non_null(name);
    *name = 'X';
    CLEANUP(record_free) struct record *back = record_decode(b.data, b.len, &e);
    assert_non_null(back);
    assert_int_equal(back->code, ERR_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_record_comes_back_as_it_was),
        cmocka_unit_test(a_record_that_is_cut_off_or_too_long_is_refused),
        cmocka_unit_test(a_newer_version_is_told_from_garbage),
        cmocka_unit_test(every_flipped_bit_is_refused_or_gives_a_legal_record),
        cmocka_unit_test(counts_beyond_what_is_there_take_no_memory),
        cmocka_unit_test(what_is_no_operation_is_not_encoded),
        cmocka_unit_test(the_largest_upload_fits_into_a_record),
        cmocka_unit_test(an_error_of_another_version_is_still_an_error),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
