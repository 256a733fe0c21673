#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "journal/uploads.h"
#include "scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- A small disk: these take the place of libc's */

static int64_t room = INT64_MAX; /* bytes */

int fallocate(int fd, int mode, off_t at, off_t len)
{
    if (mode & FALLOC_FL_PUNCH_HOLE) {
        room += len;
        return 0;
    }
    if (len > room) {
        errno = ENOSPC;
        return -1;
    }
    room -= len;
    return 0;
}

int fsync(int fd)
{
    if (room > 0)
        return 0;
    errno = ENOSPC;
    return -1;
}

struct seen {
    unsigned n;
    const char *refuse; /* this key; NULL: none */
    char keys[8][64], ids[8][64];
};

static bool see(void *arg, const char *key, const char *upload_id, int64_t since)
{
    struct seen *s = arg;
    upload_id = upload_id ? upload_id : "(none)";
    assert_true(since > 1700000000);
    assert_true(s->n < 8);
    snprintf(s->keys[s->n], sizeof(s->keys[0]), "%s", key);
    snprintf(s->ids[s->n], sizeof(s->ids[0]), "%s", upload_id);
    s->n++;
    return !s->refuse || strcmp(key, s->refuse) != 0;
}

static struct uploads *open_uploads(const struct scratch *d)
{
    struct err e = ERR_INIT;
    struct uploads *u = uploads_open(d->path, &e);
    if (!u)
        fail_msg("%s", e.msg);
    return u;
}

static void add(struct uploads *u, const char *key, const char *id)
{
    struct err e = ERR_INIT;
    assert_int_equal(uploads_add(u, key, id, &e), ERR_OK);
}

static struct seen look(struct uploads *u)
{
    struct seen s = {0};
    struct err e = ERR_INIT;
    assert_int_equal(uploads_each_left(u, see, &s, &e), ERR_OK);
    return s;
}

static void note_kept(void *arg, const struct upload_note *note)
{
    struct seen *s = arg;
    snprintf(s->keys[s->n], sizeof(s->keys[0]), "%s", note->key);
    snprintf(s->ids[s->n++], sizeof(s->ids[0]), "%s", note->kept ? "kept" : note->upload_id);
}

static void what_is_kept_is_told_to_no_mount_and_shown(void **state)
{
    struct scratch d;
    struct seen s = {0};
    scratch_make(&d);
    struct uploads *u = open_uploads(&d);
    add(u, "needed", "id-1");
    uploads_keep(u, "id-1");
    uploads_keep(u, "id-1"); /* who abandons the file, and who drops the upload */
    uploads_keep(u, "never-there");
    assert_true(uploads_has(u, "id-1"));
    uploads_free(u);
    u = open_uploads(&d);
    assert_int_equal(look(u).n, 0);
    uploads_each(d.path, note_kept, &s);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.keys[0], "needed");
    assert_string_equal(s.ids[0], "kept");
    uploads_free(u);
    scratch_remove(&d);
}

static void only_what_a_dead_mount_left_is_told(void **state)
{
    struct scratch d;
    scratch_make(&d);
    struct uploads *u = open_uploads(&d);
    add(u, "dir/\"key\" \xC3\xB6\n", "id/../+1");
    add(u, "finished", "id-2");
    uploads_remove(u, "id-2");
    uploads_remove(u, "never-there");
    assert_int_equal(look(u).n, 0);
    uploads_free(u);

    u = open_uploads(&d);
    add(u, "new", "id-3");
    struct seen s = look(u);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.keys[0], "dir/\"key\" \xC3\xB6\n");
    assert_string_equal(s.ids[0], "id/../+1");
    assert_int_equal(look(u).n, 0);
    assert_int_equal(scratch_count(&d, "", NULL, 0), 1);
    uploads_free(u);
    scratch_remove(&d);
}

static void an_intent_without_an_answer_is_told_after_the_uploads(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    char answered[UPLOADS_INTENT_SIZE], cut_off[UPLOADS_INTENT_SIZE], later[UPLOADS_INTENT_SIZE];
    scratch_make(&d);
    struct uploads *u = open_uploads(&d);
    assert_int_equal(uploads_intend(u, "answered", answered, &e), ERR_OK);
    assert_int_equal(uploads_intend(u, "cut off", cut_off, &e), ERR_OK);
    uploads_answered(u, answered);
    for (int k = 0; k < 5; k++)
        add(u, "known", (char[]){(char)('1' + k), 0});
    assert_true(uploads_has(u, "3"));
    assert_false(uploads_has(u, "6"));
    uploads_free(u);
    u = open_uploads(&d);
    assert_int_equal(uploads_intend(u, "later", later, &e), ERR_OK);
    struct seen s = {.refuse = "cut off"};
    assert_int_equal(uploads_each_left(u, see, &s, &e), ERR_OK);
    assert_int_equal(s.n, 6);
    assert_string_equal(s.keys[5], "cut off");
    assert_string_equal(s.ids[5], "(none)");
    assert_int_equal(scratch_count(&d, ".intent", NULL, 0), 2);
    uploads_free(u);
    u = open_uploads(&d);
    assert_int_equal(look(u).n, 2);
    assert_int_equal(scratch_count(&d, "", NULL, 0), 0);
    uploads_free(u);
    scratch_remove(&d);
}

static void a_refusal_keeps_its_record_and_not_the_others(void **state)
{
    struct scratch d;
    scratch_make(&d);
    struct uploads *u = open_uploads(&d);
    add(u, "a", "1");
    add(u, "b", "2");
    add(u, "c", "3");
    uploads_free(u);
    u = open_uploads(&d);
    struct seen s = {.refuse = "b"};
    struct err e = ERR_INIT;
    assert_int_equal(uploads_each_left(u, see, &s, &e), ERR_OK);
    assert_int_equal(s.n, 3);
    assert_int_equal(scratch_count(&d, ".upload", NULL, 0), 1);
    assert_int_equal(look(u).n, 0);
    uploads_free(u);
    u = open_uploads(&d);
    s = look(u);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.keys[0], "b");
    assert_int_equal(scratch_count(&d, ".upload", NULL, 0), 0);
    uploads_free(u);
    scratch_remove(&d);
}

static void damaged_records_are_set_aside(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"key\":\"a\"}",
        "{\"key\":\"\",\"upload_id\":\"1\"}",
        "{\"key\":1,\"upload_id\":\"1\"}",
        "{\"key\":\"a\",\"upload_id\":\"1\"} x",
        "{\"key\":\"a\\u0000b\",\"upload_id\":\"1\"}",
        "\xFF\xFE",
    };
    struct scratch d;
    scratch_make(&d);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%zu.upload", d.path, i);
        scratch_write(path, bad[i], strlen(bad[i]));
    }
    char path[256], *huge = calloc(1, 100000);
    snprintf(path, sizeof(path), "%s/huge.upload", d.path);
    scratch_write(path, memset(huge, ' ', 100000), 100000);
    free(huge);
    snprintf(path, sizeof(path), "%s/link.upload", d.path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    snprintf(path, sizeof(path), "%s/half.upload.tmp", d.path);
    scratch_write(path, "{", 1);
    struct uploads *u = open_uploads(&d);
    add(u, "good", "1");
    uploads_free(u);
    u = open_uploads(&d);
    assert_int_equal(look(u).n, 1);
    assert_int_equal(scratch_count(&d, ".bad", NULL, 0), 11);
    assert_int_equal(scratch_count(&d, "", NULL, 0), 11);
    uploads_free(u);
    scratch_remove(&d);
}

static void a_directory_that_is_not_there_is_an_error(void **state)
{
    struct err e = ERR_INIT;
    assert_null(uploads_open("/nonexistent/uploads", &e));
    assert_int_equal(e.code, ERR_IO);
}

static void on_a_full_disk_an_upload_is_recorded_where_room_was_set_aside(void **state)
{
    struct scratch d;
    struct err e = ERR_INIT;
    char intent[UPLOADS_INTENT_SIZE];
    scratch_make(&d);
    room = 1 << 20;
    struct uploads *u = open_uploads(&d);
    uploads_set_aside(u);
    int64_t set_aside = (1 << 20) - room;
    assert_true(set_aside > 0);
    room = 0;
    assert_int_equal(uploads_intend(u, "key", intent, &e), ERR_OK);
    add(u, "key", "id");
    unsigned n = 0;
    for (; n < 1000; n++) {
        room = 0;
        if (uploads_add(u, "more", "other", &e))
            break;
    }
    assert_true(n > 0 && n < 1000);
    assert_int_equal(e.code, ERR_NOSPC);
    room = 1 << 20;
    uploads_remove(u, "id");
    assert_true((1 << 20) - room >= set_aside);
    room = INT64_MAX;
    uploads_free(u);
    char path[80];
    snprintf(path, sizeof(path), "%s.room", d.path);
    assert_int_equal(unlink(path), 0);
    scratch_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_a_dead_mount_left_is_told),
        cmocka_unit_test(what_is_kept_is_told_to_no_mount_and_shown),
        cmocka_unit_test(an_intent_without_an_answer_is_told_after_the_uploads),
        cmocka_unit_test(a_refusal_keeps_its_record_and_not_the_others),
        cmocka_unit_test(damaged_records_are_set_aside),
        cmocka_unit_test(a_directory_that_is_not_there_is_an_error),
        cmocka_unit_test(on_a_full_disk_an_upload_is_recorded_where_room_was_set_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
