#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/left.h"
#include "journal/stage.h"
#include "scratch.h"
#include "util/json.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What the next test has left. */
static void expect_all(void *arg, const struct left_file *file)
{
    *(bool *)arg = true;
    assert_string_equal(file->about.key, "dir/\"k\xC3\xB6y\"");
    assert_int_equal(file->about.origin, STAGE_OF_VERSION);
    assert_string_equal(file->about.etag, "e-1");
    assert_int_equal(file->about.mode, 0100640);
    assert_int_equal(file->about.uid, 5);
    assert_int_equal(file->about.gid, 6);
    assert_int_equal(file->about.mtime.tv_sec, -7);
    assert_int_equal(file->about.mtime.tv_nsec, 8);
    assert_int_equal(file->size, 23);
    assert_int_equal(file->n_unfetched, 1);
    assert_int_equal(file->unfetched[0].offset, 3);
    assert_int_equal(file->unfetched[0].length, 9);
}

static void what_is_abandoned_is_left_with_a_description(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    char path[256], info[300];
    size_t len;
    scratch_make(&d);
    const struct stage_about about = {.key = "dir/\"k\xC3\xB6y\"", .reason = "403 \xC3", .origin = STAGE_OF_VERSION, .etag = "e-1",
                                      .mode = 0100640, .uid = 5, .gid = 6, .mtime = {.tv_sec = -7, .tv_nsec = 8}};
    struct stage *s = stage_new(d.path, 12, 0, &e);
    assert_non_null(s);
    assert_int_equal(stage_write(s, 0, "abc", 3, &e), ERR_OK);
    assert_int_equal(stage_freeze(s, &e), ERR_OK);
    assert_int_equal(stage_write(s, 20, "end", 3, &e), ERR_OK);
    assert_int_equal(stage_abandon(s, &about, path, sizeof(path), &e), ERR_OK);
    char *bytes = scratch_read(path, &len);
    assert_int_equal(len, 23);
    assert_memory_equal(bytes, "abc", 3);
    for (size_t i = 12; i < 20; i++)
        assert_int_equal(bytes[i], 0);
    assert_memory_equal(bytes + 20, "end", 3);
    free(bytes);
    snprintf(info, sizeof(info), "%s.info", path);
    bytes = scratch_read(info, &len);
    struct json_doc *doc = json_parse(bytes, len, &e);
    assert_non_null(doc);
    int64_t n = 0;
    assert_string_equal(json_get_str(json_root(doc), "key"), "dir/\"k\xC3\xB6y\"");
    assert_string_equal(json_get_str(json_root(doc), "reason"), "403 ?");
    assert_true(json_int(json_get(json_root(doc), "size"), &n) && n == 23);
    assert_true(json_int(json_get(json_root(doc), "unfetched_bytes"), &n) && n == 9);
    assert_true(json_int(json_at(json_at(json_get(json_root(doc), "unfetched"), 0), 0), &n) && n == 3);
    assert_non_null(json_get_str(json_root(doc), "time"));
    json_doc_free(doc);
    free(bytes);
    assert_int_equal(scratch_count(&d, "", NULL, 0), 2);
    bool seen = false;
    left_each(d.path, expect_all, &seen);
    assert_true(seen);
    assert_int_equal(left_remove(path, &e), ERR_OK);
    assert_int_equal(scratch_count(&d, "", NULL, 0), 0);
    scratch_remove(&d);
}

static void make_file(const char *dir, const char *name, const char *bytes)
{
    char path[300];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, strlen(bytes)), strlen(bytes));
    close(fd);
}

static void what_a_killed_mount_left_is_reported_unless_it_is_empty(void **state)
{
    char dir[] = "/tmp/awsfs-left-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    make_file(dir, "stage-0123", "bytes");
    make_file(dir, "stage-4567", "bytes");
    make_file(dir, "stage-4567.info", "");
    make_file(dir, "stage-89ab", ""); /* gone afterwards */
    make_file(dir, "stage-cdef", "");
    make_file(dir, "stage-cdef.info", "");
    make_file(dir, "other", "");
    assert_int_equal(left_report(dir), 1);
    static const char *const names[] = {"stage-0123", "stage-4567", "stage-4567.info", "stage-cdef", "stage-cdef.info", "other"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(left_report("/nowhere/at/all"), 0);
}

static void note_left(void *arg, const struct left_file *left)
{
    const char *slash = strrchr(left->path, '/');
    size_t at = strlen(arg);
    snprintf((char *)arg + at, 400 - at, "%s|%s|%s|%d|%llu\n", slash ? slash + 1 : "", left->about.key, left->about.reason,
             *left->time != '\0', (unsigned long long)left->size);
}

static void put_text(const struct scratch *d, const char *name, const char *text)
{
    char path[400];
    snprintf(path, sizeof(path), "%s/%s", d->path, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void what_was_abandoned_is_found_again_whatever_became_of_its_description(void **state)
{
    static const struct {
        const char *bytes, *info, *expected;
    } cases[] = {
        {"abc", "{\"key\":\"k\",\"reason\":\"403\",\"time\":\"now\"}", "stage-1|k|403|1|3\n"},
        {"abc", "", "stage-1|||0|3\n"},
        {"abc", "{\"key\":\"k\"", "stage-1|||0|3\n"},
        {"abc", "[1,2]", "stage-1|||0|3\n"},
        {"abc", "{\"key\":7,\"reason\":{}}", "stage-1|||0|3\n"},
        {NULL, "{\"key\":\"k\"}", ""}, /* its owner has taken the bytes */
        {"abc", NULL, ""},              /* being written */
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scratch d;
        char told[400] = "";
        scratch_make(&d);
        if (cases[i].bytes)
            put_text(&d, "stage-1", cases[i].bytes);
        if (cases[i].info)
            put_text(&d, "stage-1.info", cases[i].info);
        put_text(&d, "other.info", "{}");
        left_each(d.path, note_left, told);
        assert_string_equal(told, cases[i].expected);
        scratch_remove(&d);
    }
    left_each("/nowhere/at/all", note_left, NULL);
}

static void note_origin(void *arg, const struct left_file *file)
{
    char *out = arg;
    size_t at = (size_t)snprintf(out, 400, "%s", left_origin_name(file->about.origin));
    for (size_t i = 0; i < file->n_unfetched; i++)
        at += (size_t)snprintf(out + at, 400 - at, " %llu+%llu", (unsigned long long)file->unfetched[i].offset,
                               (unsigned long long)file->unfetched[i].length);
}

/* Whoever retries relies on it: nothing is put unconditionally, and no zeros where bytes are missing, because of a bad description. */
static void a_description_that_is_not_understood_promises_nothing(void **state)
{
    static const struct {
        const char *info, *expected;
    } cases[] = {
        {"{\"origin\":\"any\",\"unfetched\":[]}", "any"},
        {"{\"origin\":\"new\",\"unfetched\":[]}", "new"},
        {"{\"origin\":\"version\",\"etag\":\"e\",\"unfetched\":[[0,2],[5,100]]}", "version 0+2 5+5"},
        {"{\"origin\":\"version\",\"unfetched\":[]}", "unknown"},
        {"{\"origin\":\"others\",\"unfetched\":[]}", "unknown"},
        {"{\"unfetched\":[]}", "unknown"},
        {"{\"origin\":\"new\"}", "unknown 0+10"},
        {"{\"origin\":\"new\",\"unfetched\":7}", "unknown 0+10"},
        {"{\"origin\":\"new\",\"unfetched\":[[0]]}", "unknown 0+10"},
        {"{\"origin\":\"new\",\"unfetched\":[[-1,2]]}", "unknown 0+10"},
        {"{\"origin\":\"new\",\"unfetched\":[[10,1]]}", "unknown 0+10"},
        {"{\"origin\":\"new\",\"unfetched\":[[0,0]]}", "unknown 0+10"},
        {"{\"origin\":\"new\",\"unfetched\":[[0,1]],\"unfetched_more\":1}", "unknown 0+10"},
        {"{\"origin\":\"version\",\"etag\":\"e\",\"unfetched\":[[0,1]],\"unfetched_more\":1}", "unknown 0+10"},
        {"{\"origin\":\"version\",\"etag\":\"e\",\"unfetched\":[[0,2]],\"upload\":\"u\",\"parts\":[[1,1]]}", "unknown 0+2"},
        {"", "unknown 0+10"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scratch d;
        char told[400] = "";
        scratch_make(&d);
        put_text(&d, "stage-1", "0123456789");
        put_text(&d, "stage-1.info", cases[i].info);
        left_each(d.path, note_origin, told);
        assert_string_equal(told, cases[i].expected);
        scratch_remove(&d);
    }
}

static void note_moved(void *arg, const struct left_file *file)
{
    char *out = arg;
    snprintf(out, 400, "%s: %s, %llu bytes, %s", file->about.key, file->about.reason, (unsigned long long)file->size,
             left_origin_name(file->about.origin));
    assert_int_equal(file->n_unfetched, 0);
    assert_int_equal(strlen(file->time), strlen("2026-01-02T03:04:05Z"));
}

static void what_was_moved_aside_is_described_and_removed_with_its_description(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    char path[300], told[400] = "";
    scratch_make(&d);
    put_text(&d, "body.damaged", "0123456789");
    assert_false(left_one(d.path, "body.damaged", note_moved, told));
    snprintf(path, sizeof(path), "%s/body.damaged", d.path);
    assert_int_equal(left_describe(path, "dir/\"key\"", 10, "its bytes are others\xC3", &e), ERR_OK);
    assert_true(left_one(d.path, "body.damaged", note_moved, told));
    assert_string_equal(told, "dir/\"key\": its bytes are others?, 10 bytes, unknown");
    assert_int_equal(left_remove(path, &e), ERR_OK);
    assert_false(left_one(d.path, "body.damaged", note_moved, told));
    assert_int_equal(rmdir(d.path), 0);
}

static void note_parts(void *arg, const struct left_file *file)
{
    char *out = arg;
    size_t at = (size_t)snprintf(out, 400, "%s", file->about.upload_id ? file->about.upload_id : "none");
    for (size_t i = 0; i < file->about.n_sent; i++) {
        const struct stage_sent *p = &file->about.sent[i];
        at += (size_t)snprintf(out + at, 400 - at, " %llu+%llu", (unsigned long long)p->start, (unsigned long long)p->size);
        if (p->etag)
            at += (size_t)snprintf(out + at, 400 - at, "=%s/%llx", p->etag, (unsigned long long)p->crc64nvme);
    }
}

/* An upload is completed by it: parts that are not all there, or not those, would be another file. */
static void parts_of_an_upload_are_all_known_or_none(void **state)
{
    static const struct {
        const char *info, *expected;
    } cases[] = {
        {"\"upload\":\"u\",\"parts\":[[0,5,\"00000000000000ff\",\"e\"],[5,3]]", "u 0+5=e/ff 5+3"},
        {"\"upload\":\"u\",\"parts\":[[0,10,\"f000000000000000\",\"e\"]]", "u 0+10=e/f000000000000000"},
        {"\"parts\":[[0,5]]", "none"},
        {"\"upload\":\"\",\"parts\":[[0,5]]", "none"},
        {"\"upload\":7,\"parts\":[[0,5]]", "none"},
        {"\"upload\":\"u\"", "none"},
        {"\"upload\":\"u\",\"parts\":[]", "none"},
        {"\"upload\":\"u\",\"parts\":{}", "none"},
        {"\"upload\":\"u\",\"parts\":[[1,5]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,5],[6,2]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,5],[4,2]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,0]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,-1]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,11]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,5],[5,9223372036854775807]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,5,\"ff\",\"e\"]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,5,\"00000000000000fg\",\"e\"]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,5,\"00000000000000ff\",\"\"]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,5,\"00000000000000ff\"]]", "none"},
        {"\"upload\":\"u\",\"parts\":[[0,5,null,\"e\"]]", "none"},
        {"\"upload\":\"u\",\"parts\":[7]", "none"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct scratch d;
        char info[400], told[400] = "";
        scratch_make(&d);
        put_text(&d, "stage-1", "0123456789");
        snprintf(info, sizeof(info), "{\"key\":\"k\",\"unfetched\":[],%s}", cases[i].info);
        put_text(&d, "stage-1.info", info);
        left_each(d.path, note_parts, told);
        assert_string_equal(told, cases[i].expected);
        scratch_remove(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_abandoned_is_left_with_a_description),
        cmocka_unit_test(what_a_killed_mount_left_is_reported_unless_it_is_empty),
        cmocka_unit_test(what_was_abandoned_is_found_again_whatever_became_of_its_description),
        cmocka_unit_test(a_description_that_is_not_understood_promises_nothing),
        cmocka_unit_test(parts_of_an_upload_are_all_known_or_none),
        cmocka_unit_test(what_was_moved_aside_is_described_and_removed_with_its_description),
    };
    return cmocka_run_group_tests_name("left", tests, NULL, NULL);
}
