#include "suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void assert_object(struct suite *s, const char *key, const char *bytes, size_t len)
{
    struct got g;
    read_range(s, key, NULL, 0, len, &g);
    assert_int_equal(g.code, ERR_OK);
    assert_int_equal(g.version.size, len);
    assert_memory_equal(g.bytes.data, bytes, len);
    got_release(&g);
}

static size_t part_size(struct suite *s)
{
    return store_caps(s->store)->part_min;
}

static void parts_become_one_object(struct suite *s)
{
    size_t part = part_size(s), len = 2 * part + 100;
    char *p = pattern(len);
    struct store_version v;
    assert_int_equal(upload(s, key_of(s, "f"), p, len, part, NULL, &v), ERR_OK);
    assert_int_equal(v.size, len);
    assert_object(s, key_of(s, "f"), p, len);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    assert_string_equal(o.version.etag, v.etag);
    store_object_release(&o);
    free(p);
}

struct part_job {
    struct suite *s;
    const char *key, *id;
    struct bytes bytes;
    struct store_part part;
    enum err_code code;
    pthread_t thread;
};

static void *send_part(void *arg)
{
    struct part_job *j = arg;
    struct err e = ERR_INIT;
    j->code = store_upload_part(j->s->store, j->key, j->id, &j->bytes.body, NULL, &j->part, &e);
    return NULL;
}

static void parts_may_come_in_parallel_and_in_any_order(struct suite *s)
{
    enum { N = 4 };
    size_t part = part_size(s);
    char *p = pattern(part * N);
    char id[STORE_ID_SIZE], key[128];
    struct err e = ERR_INIT;
    (void)snprintf(key, sizeof(key), "%s", key_of(s, "f"));
    assert_ok(store_upload_begin(s->store, key, NULL, NULL, NULL, id, &e), &e);
    struct part_job jobs[N];
    for (int i = N - 1; i >= 0; i--) {
        jobs[i] = (struct part_job){.s = s, .key = key, .id = id, .part = {.number = (unsigned)i + 1}};
        (void)body_of(&jobs[i].bytes, p + part * (size_t)i, part);
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, send_part, &jobs[i]), 0);
    }
    struct store_part parts[N];
    for (int i = 0; i < N; i++) {
        pthread_join(jobs[i].thread, NULL);
        assert_int_equal(jobs[i].code, ERR_OK);
        parts[i] = jobs[i].part;
    }
    struct store_version v;
    assert_ok(store_upload_finish(s->store, key, id, parts, N, NULL, NULL, NULL, &v, &e), &e);
    assert_object(s, key, p, part * N);
    free(p);
}

/* The middle part is the server's own copy of what an object has; its bytes pass nobody. */
static void a_part_may_be_a_range_of_an_object(struct suite *s)
{
    size_t part = part_size(s);
    char *p = pattern(3 * part);
    char id[STORE_ID_SIZE], from[128], key[128];
    struct err e = ERR_INIT;
    struct store_version v;
    (void)snprintf(from, sizeof(from), "%s", key_of(s, "from"));
    (void)snprintf(key, sizeof(key), "%s", key_of(s, "to"));
    assert_int_equal(upload(s, from, p, 3 * part, part, NULL, &v), ERR_OK);
    assert_ok(store_upload_begin(s->store, key, NULL, NULL, NULL, id, &e), &e);
    struct bytes b;
    struct store_part parts[3] = {{.number = 1, .size = part}, {.number = 2, .size = part}, {.number = 3}};
    struct store_part_source source = {from, v.etag, part};
    assert_ok(store_upload_part(s->store, key, id, body_of(&b, p, part), NULL, &parts[0], &e), &e);
    enum err_code code = store_upload_copy(s->store, key, id, &source, NULL, &parts[1], &e);
    if (code == ERR_UNSUPPORTED) {
        assert_ok(store_upload_abort(s->store, key, id, NULL, &e), &e);
        free(p);
        return;
    }
    assert_ok(code, &e);
    assert_ok(store_upload_part(s->store, key, id, body_of_str(&b, "end"), NULL, &parts[2], &e), &e);
    source.etag = "0123456789abcdef0123456789abcdef";
    assert_int_equal(store_upload_copy(s->store, key, id, &source, NULL, &parts[1], &e), ERR_CONFLICT);
    assert_ok(store_upload_finish(s->store, key, id, parts, 3, NULL, NULL, NULL, &v, &e), &e);
    assert_int_equal(v.size, 2 * part + 3);
    memcpy(p + 2 * part, "end", 3);
    assert_object(s, key, p, 2 * part + 3);
    free(p);
}

static void nothing_shows_before_the_end(struct suite *s)
{
    char id[STORE_ID_SIZE];
    struct err e = ERR_INIT;
    const char *key = key_of(s, "f");
    assert_ok(store_upload_begin(s->store, key, NULL, NULL, NULL, id, &e), &e);
    struct bytes b;
    struct store_part part = {.number = 1};
    assert_ok(store_upload_part(s->store, key, id, body_of_str(&b, "bytes"), NULL, &part, &e), &e);
    assert_absent(s, key);
    assert_ok(store_upload_abort(s->store, key, id, NULL, &e), &e);
    assert_absent(s, key);
    assert_ok(store_upload_abort(s->store, key, id, NULL, &e), &e);
}

static void an_upload_that_was_aborted_cannot_be_finished(struct suite *s)
{
    char id[STORE_ID_SIZE];
    struct err e = ERR_INIT;
    const char *key = key_of(s, "f");
    assert_ok(store_upload_begin(s->store, key, NULL, NULL, NULL, id, &e), &e);
    struct bytes b;
    struct store_part part = {.number = 1};
    assert_ok(store_upload_part(s->store, key, id, body_of_str(&b, "bytes"), NULL, &part, &e), &e);
    assert_ok(store_upload_abort(s->store, key, id, NULL, &e), &e);
    struct store_version v;
    assert_int_equal(store_upload_finish(s->store, key, id, &part, 1, NULL, NULL, NULL, &v, &e), ERR_NOT_FOUND);
    assert_absent(s, key);
}

struct ids {
    char text[4 * STORE_ID_SIZE];
    unsigned n;
};

static void note_id(void *arg, const char *upload_id, time_t begun)
{
    struct ids *ids = arg;
    size_t at = strlen(ids->text);
    (void)snprintf(ids->text + at, sizeof(ids->text) - at, "%s\n", upload_id);
    ids->n++;
}

static struct ids ids_of(struct suite *s, const char *key)
{
    struct ids ids = {.n = 0};
    struct err e = ERR_INIT;
    assert_ok(store_upload_list(s->store, key, NULL, note_id, &ids, &e), &e);
    return ids;
}

static void uploads_are_listed_by_their_key(struct suite *s)
{
    char first[STORE_ID_SIZE], second[STORE_ID_SIZE], other[STORE_ID_SIZE];
    struct err e = ERR_INIT;
    const char *key = key_of(s, "dir/f \xC3\xB6+%&<"), *longer = key_of(s, "dir/f \xC3\xB6+%&<2");
    assert_int_equal(ids_of(s, key).n, 0);
    assert_ok(store_upload_begin(s->store, key, NULL, NULL, NULL, first, &e), &e);
    assert_ok(store_upload_begin(s->store, longer, NULL, NULL, NULL, other, &e), &e);
    assert_ok(store_upload_begin(s->store, key, NULL, NULL, NULL, second, &e), &e);
    struct ids ids = ids_of(s, key);
    assert_int_equal(ids.n, 2);
    assert_true(strstr(ids.text, first) && strstr(ids.text, second) && !strstr(ids.text, other));
    assert_ok(store_upload_abort(s->store, key, first, NULL, &e), &e);
    ids = ids_of(s, key);
    assert_int_equal(ids.n, 1);
    assert_non_null(strstr(ids.text, second));
    assert_ok(store_upload_abort(s->store, key, second, NULL, &e), &e);
    assert_ok(store_upload_abort(s->store, longer, other, NULL, &e), &e);
    assert_int_equal(ids_of(s, key).n, 0);
}

static void metadata_go_with_the_upload(struct suite *s)
{
    struct store_meta *m = store_meta_new();
    struct err e = ERR_INIT;
    m->has = STORE_HAS_MODE;
    m->mode = 0100711;
    assert_ok(store_meta_set_prop(m, "content-type", "video/mp4", 9, &e), &e);
    uint8_t sha[64] = {1, 2, 3};
    char id[STORE_ID_SIZE];
    const char *key = key_of(s, "f");
    assert_ok(store_upload_begin(s->store, key, m, sha, NULL, id, &e), &e);
    store_meta_unref(m);
    struct bytes b;
    struct store_part part = {.number = 1};
    assert_ok(store_upload_part(s->store, key, id, body_of_str(&b, "bytes"), NULL, &part, &e), &e);
    struct store_version v;
    assert_ok(store_upload_finish(s->store, key, id, &part, 1, sha, NULL, NULL, &v, &e), &e);
    struct store_object o;
    stat_ok(s, key, &o);
    assert_int_equal(o.meta->mode, 0100711);
    assert_string_equal(store_meta_prop(o.meta, "content-type", NULL), "video/mp4");
    const char *told = store_meta_prop(o.meta, "sha512", NULL);
    assert_non_null(told);
    assert_memory_equal(told, "01020300", 8);
    store_object_release(&o);
}

static void an_upload_over_a_new_object_is_refused(struct suite *s)
{
    struct store_version v;
    struct store_cond absent = {.kind = STORE_IF_ABSENT};
    assert_int_equal(upload(s, key_of(s, "new"), "abc", 3, 3, &absent, &v), ERR_OK);
    assert_int_equal(upload(s, key_of(s, "new"), "def", 3, 3, &absent, &v), ERR_CONFLICT);
    assert_content(s, key_of(s, "new"), "abc");
}

static void an_upload_over_another_version_is_refused(struct suite *s)
{
    struct store_version v, v2;
    assert_int_equal(upload(s, key_of(s, "f"), "abc", 3, 3, NULL, &v), ERR_OK);
    struct store_cond match = {.kind = STORE_IF_MATCH, .etag = v.etag};
    assert_int_equal(upload(s, key_of(s, "f"), "def", 3, 3, &match, &v2), ERR_OK);
    assert_int_equal(upload(s, key_of(s, "f"), "ghi", 3, 3, &match, &v2), ERR_CONFLICT);
    assert_content(s, key_of(s, "f"), "def");
}

static void a_part_sent_again_replaces_the_first(struct suite *s)
{
    char id[STORE_ID_SIZE];
    struct err e = ERR_INIT;
    const char *key = key_of(s, "f");
    assert_ok(store_upload_begin(s->store, key, NULL, NULL, NULL, id, &e), &e);
    struct bytes b;
    struct store_part part = {.number = 1};
    assert_ok(store_upload_part(s->store, key, id, body_of_str(&b, "first"), NULL, &part, &e), &e);
    assert_ok(store_upload_part(s->store, key, id, body_of_str(&b, "second"), NULL, &part, &e), &e);
    assert_int_equal(part.size, 6);
    struct store_version v;
    assert_ok(store_upload_finish(s->store, key, id, &part, 1, NULL, NULL, NULL, &v, &e), &e);
    assert_content(s, key, "second");
}

static void small_parts_are_refused(struct suite *s)
{
    struct store_version v;
    assert_int_equal(upload(s, key_of(s, "f"), "abcdef", 6, 2, NULL, &v), ERR_INVAL);
    assert_absent(s, key_of(s, "f"));
}

static void wrong_part_lists_are_refused_before_a_request(struct suite *s)
{
    struct store_part parts[2] = {{.number = 2, .size = 1, .etag = "x"}, {.number = 1, .size = 1, .etag = "y"}};
    struct store_version v;
    struct err e = ERR_INIT;
    assert_int_equal(store_upload_finish(s->store, key_of(s, "f"), "id", parts, 2, NULL, NULL, NULL, &v, &e),
                     ERR_INVAL);
    assert_int_equal(store_upload_finish(s->store, key_of(s, "f"), "id", parts, 0, NULL, NULL, NULL, &v, &e),
                     ERR_INVAL);
    parts[0].number = 100000;
    assert_int_equal(store_upload_finish(s->store, key_of(s, "f"), "id", parts, 1, NULL, NULL, NULL, &v, &e),
                     ERR_TOO_BIG);
}

const struct suite_case multipart_cases[] = {
    {"parts become one object", parts_become_one_object, NEED_PARTS},
    {"parts may come in parallel and in any order", parts_may_come_in_parallel_and_in_any_order, NEED_PARTS},
    {"a part may be a range of an object", a_part_may_be_a_range_of_an_object, NEED_PARTS},
    {"nothing of an upload shows before its end", nothing_shows_before_the_end, NEED_PARTS},
    {"an upload that was aborted cannot be finished", an_upload_that_was_aborted_cannot_be_finished, NEED_GONE_UPLOAD | NEED_PARTS},
    {"uploads are listed by their key", uploads_are_listed_by_their_key, NEED_PARTS},
    {"metadata go with the upload", metadata_go_with_the_upload, NEED_PARTS},
    {"an upload of a new object is refused where one is", an_upload_over_a_new_object_is_refused, NEED_PARTS},
    {"an upload over another version is refused", an_upload_over_another_version_is_refused, NEED_FINISH_MATCH | NEED_PARTS},
    {"a part sent again replaces the first", a_part_sent_again_replaces_the_first, NEED_PARTS},
    {"parts that are too small are refused", small_parts_are_refused, NEED_MULTIPART_RULES | NEED_PARTS},
    {"wrong lists of parts are refused before a request", wrong_part_lists_are_refused_before_a_request, NEED_PARTS},
    {NULL, NULL, 0},
};
