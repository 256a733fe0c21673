#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err_code copy(struct suite *s, const struct store_copy *c, struct store_version *out)
{
    struct err e = ERR_INIT;
    enum err_code code = store_copy(s->store, c, NULL, out, &e);
    if (code != ERR_OK)
        print_message("    copy: %s\n", e.msg);
    return code;
}

static void a_copy_has_bytes_and_metadata(struct suite *s)
{
    struct store_meta *m = store_meta_new();
    struct err e = ERR_INIT;
    m->has = STORE_HAS_MODE | STORE_HAS_MTIME;
    m->mode = 0100700;
    m->mtime = (struct timespec){1500000000, 123456789};
    assert_ok(store_meta_set_prop(m, "content-type", "text/copy", 9, &e), &e);
    assert_ok(store_meta_set_prop(m, "meta.k", "v", 1, &e), &e);
    struct store_version v = put_meta(s, key_of(s, "from"), "content", m), w;
    store_meta_unref(m);
    struct store_copy c = {.from = key_of(s, "from"), .from_etag = v.etag, .size = 7, .to = key_of(s, "to +%.txt")};
    assert_int_equal(copy(s, &c, &w), ERR_OK);
    assert_content(s, key_of(s, "to +%.txt"), "content");
    struct store_object o;
    stat_ok(s, key_of(s, "to +%.txt"), &o);
    assert_string_equal(o.version.etag, w.etag);
    assert_int_equal(o.meta->mode, 0100700);
    assert_int_equal(o.meta->mtime.tv_nsec, 123456789);
    assert_string_equal(store_meta_prop(o.meta, "content-type", NULL), "text/copy");
    assert_string_equal(store_meta_prop(o.meta, "meta.k", NULL), "v");
    store_object_release(&o);
    assert_content(s, key_of(s, "from"), "content");
}

static void odd_keys_can_be_copied(struct suite *s)
{
    static const char *const names[] = {"100%", "a +b", "q?x=1&y", "h#h", "\xc3\xa9\xe4\xb8\xad",
                                        "%2E",  "a;b",  "x=y",     NULL};
    for (int i = 0; names[i] != NULL; i++) {
        (void)put_str(s, key_of(s, names[i]), names[i]);
        char to[64];
        (void)snprintf(to, sizeof(to), "copy/%s", names[i]);
        struct store_copy c = {.from = key_of(s, names[i]), .size = strlen(names[i]), .to = key_of(s, to)};
        struct store_version v;
        assert_int_equal(copy(s, &c, &v), ERR_OK);
        assert_content(s, key_of(s, to), names[i]);
    }
}

static void a_copy_of_nothing_is_not_found(struct suite *s)
{
    struct store_copy c = {.from = key_of(s, "none"), .size = 1, .to = key_of(s, "to")};
    struct store_version v;
    assert_int_equal(copy(s, &c, &v), ERR_NOT_FOUND);
    assert_absent(s, key_of(s, "to"));
}

static void a_copy_of_another_version_is_a_conflict(struct suite *s)
{
    struct store_version old = put_str(s, key_of(s, "from"), "old"), v;
    (void)put_str(s, key_of(s, "from"), "new");
    struct store_copy c = {.from = key_of(s, "from"), .from_etag = old.etag, .size = 3, .to = key_of(s, "to")};
    assert_int_equal(copy(s, &c, &v), ERR_CONFLICT);
    assert_absent(s, key_of(s, "to"));
}

static void a_copy_over_what_is_there_is_refused(struct suite *s)
{
    (void)put_str(s, key_of(s, "from"), "from");
    struct store_version there = put_str(s, key_of(s, "to"), "to"), v;
    struct store_copy c = {
        .from = key_of(s, "from"), .size = 4, .to = key_of(s, "to"), .cond = {.kind = STORE_IF_ABSENT}};
    assert_int_equal(copy(s, &c, &v), ERR_CONFLICT);
    assert_content(s, key_of(s, "to"), "to");
    c.cond = (struct store_cond){.kind = STORE_IF_MATCH, .etag = "0123456789abcdef0123456789abcdef"};
    assert_int_equal(copy(s, &c, &v), ERR_CONFLICT);
    assert_content(s, key_of(s, "to"), "to");
    c.cond.etag = there.etag;
    assert_int_equal(copy(s, &c, &v), ERR_OK);
    assert_content(s, key_of(s, "to"), "from");
    c.to = key_of(s, "free");
    c.cond = (struct store_cond){.kind = STORE_IF_ABSENT};
    assert_int_equal(copy(s, &c, &v), ERR_OK);
}

static void a_marker_can_be_copied(struct suite *s)
{
    struct store_meta *m = store_meta_new();
    m->has = STORE_HAS_MODE;
    m->mode = 040750;
    (void)put_meta(s, key_of(s, "dir/"), "", m);
    store_meta_unref(m);
    struct store_copy c = {.from = key_of(s, "dir/"), .size = 0, .to = key_of(s, "moved/")};
    struct store_version v;
    assert_int_equal(copy(s, &c, &v), ERR_OK);
    struct store_object o;
    stat_ok(s, key_of(s, "moved/"), &o);
    assert_int_equal(o.meta->mode, 040750);
    store_object_release(&o);
}

/* `again` takes everything of 1 byte and more by parts. */
static void a_copy_by_parts_has_bytes_and_metadata(struct suite *s)
{
    size_t len = 11 * 1024 * 1024 + 3;
    char *p = pattern(len);
    struct bytes b;
    struct store_version v, w;
    struct err e = ERR_INIT;
    struct store_meta *m = store_meta_new();
    m->has = STORE_HAS_MODE;
    m->mode = 0100604;
    assert_ok(store_meta_set_prop(m, "content-type", "text/copy", 9, &e), &e);
    assert_ok(store_meta_set_prop(m, "meta.k", "v", 1, &e), &e);
    assert_ok(store_put(s->store, key_of(s, "from"), body_of(&b, p, len), m, NULL, NULL, &v, &e), &e);
    store_meta_unref(m);
    struct store_copy c = {.from = key_of(s, "from"), .from_etag = v.etag, .size = len, .to = key_of(s, "to")};
    assert_ok(store_copy(s->again, &c, NULL, &w, &e), &e);
    struct store_object o;
    stat_ok(s, key_of(s, "to"), &o);
    assert_int_equal(o.version.size, len);
    assert_string_equal(o.version.etag, w.etag);
    assert_int_equal(o.meta->mode, 0100604);
    assert_string_equal(store_meta_prop(o.meta, "content-type", NULL), "text/copy");
    assert_string_equal(store_meta_prop(o.meta, "meta.k", NULL), "v");
    store_object_release(&o);
    struct got g;
    read_range(s, key_of(s, "to"), NULL, 0, len, &g);
    assert_int_equal(g.code, ERR_OK);
    assert_memory_equal(g.bytes.data, p, len);
    got_release(&g);
    free(p);
}

static void a_copy_by_parts_of_another_version_is_a_conflict(struct suite *s)
{
    size_t len = 6 * 1024 * 1024;
    char *p = pattern(len);
    struct bytes b;
    struct store_version v, w;
    struct err e = ERR_INIT;
    assert_ok(store_put(s->store, key_of(s, "from"), body_of(&b, p, len), NULL, NULL, NULL, &v, &e), &e);
    p[0] ^= 1;
    assert_ok(store_put(s->store, key_of(s, "from"), body_of(&b, p, len), NULL, NULL, NULL, &w, &e), &e);
    free(p);
    struct store_copy c = {.from = key_of(s, "from"), .from_etag = v.etag, .size = len, .to = key_of(s, "to")};
    assert_int_equal(store_copy(s->again, &c, NULL, &w, &e), ERR_CONFLICT);
    assert_absent(s, key_of(s, "to"));
}

/* One that has no time of its own, and one that has. */
static void a_copy_stores_a_time_where_there_is_none(struct suite *s)
{
    const struct timespec old = {.tv_sec = 1234567890, .tv_nsec = 5}, own = {.tv_sec = 1111111111};
    for (int k = 0; k < 4; k++) {
        bool has = k & 1, large = k & 2;
        struct store_version v, w;
        struct err e = ERR_INIT;
        struct bytes b;
        size_t len = large ? 6 * 1024 * 1024 : 10;
        CLEANUP(free) char *p = pattern(len);
        struct store_meta *m = store_meta_new();
        assert_ok(store_meta_set_prop(m, "content-type", "text/copy", 9, &e), &e);
        assert_ok(store_meta_set_prop(m, "meta.k", "v", 1, &e), &e);
        m->has = has ? STORE_HAS_MTIME : 0;
        m->mtime = own;
        assert_ok(store_put(s->store, key_of(s, "from"), body_of(&b, p, len), m, NULL, NULL, &v, &e), &e);
        store_meta_unref(m);
        const struct store_copy c = {
            .from = key_of(s, "from"), .from_etag = v.etag, .size = len, .to = key_of(s, "to"), .mtime = &old};
        assert_ok(store_copy(s->again, &c, NULL, &w, &e), &e);
        struct store_object o;
        stat_ok(s, c.to, &o);
        assert_true(o.meta->has & STORE_HAS_MTIME);
        assert_int_equal(o.meta->mtime.tv_sec, has ? own.tv_sec : old.tv_sec);
        assert_int_equal(o.meta->mtime.tv_nsec, has ? own.tv_nsec : old.tv_nsec);
        assert_string_equal(store_meta_prop(o.meta, "content-type", NULL), "text/copy");
        assert_string_equal(store_meta_prop(o.meta, "meta.k", NULL), "v");
        store_object_release(&o);
    }
}

struct told {
    unsigned begun, finished, left, answered;
    char intent[256], key[256], id[STORE_ID_SIZE];
    bool refuse;
};

static enum err_code intend(void *arg, const char *key, char intent[STORE_INTENT_SIZE], struct err *e)
{
    struct told *t = arg;
    assert_int_equal(t->begun, 0);
    (void)snprintf(t->intent, sizeof(t->intent), "%s", key);
    (void)snprintf(intent, STORE_INTENT_SIZE, "intent");
    return ERR_OK;
}

static void answered(void *arg, const char *key, const char *intent)
{
    struct told *t = arg;
    assert_string_equal(key, t->intent);
    assert_string_equal(intent, "intent");
    t->answered += t->begun; /* not before its id is known */
}

static enum err_code begun(void *arg, const char *key, const char *upload_id, struct err *e)
{
    struct told *t = arg;
    t->begun++;
    (void)snprintf(t->key, sizeof(t->key), "%s", key);
    (void)snprintf(t->id, sizeof(t->id), "%s", upload_id);
    return t->refuse ? err_set(e, ERR_NOSPC, "no room for a record") : ERR_OK;
}

static void ended(void *arg, const char *key, const char *upload_id, bool finished)
{
    struct told *t = arg;
    assert_string_equal(key, t->key);
    assert_string_equal(upload_id, t->id);
    t->finished += finished;
    t->left += !finished;
}

static void a_copy_by_parts_tells_of_its_upload(struct suite *s)
{
    size_t len = 11 * 1024 * 1024;
    char *p = pattern(len);
    struct bytes b;
    struct store_version v, w;
    struct err e = ERR_INIT;
    struct told told = {.refuse = true};
    const struct store_uploads uploads = {.intend = intend, .answered = answered, .begun = begun, .ended = ended, .arg = &told};
    assert_ok(store_put(s->store, key_of(s, "from"), body_of(&b, p, len), NULL, NULL, NULL, &v, &e), &e);
    free(p);
    const struct store_copy c = {
        .from = key_of(s, "from"), .from_etag = v.etag, .size = len, .to = key_of(s, "to"), .uploads = &uploads};
    assert_int_equal(store_copy(s->again, &c, NULL, &w, &e), ERR_NOSPC);
    assert_int_equal(told.begun, 1);
    assert_int_equal(told.answered, 1);
    assert_int_equal(told.left, 1);
    assert_string_equal(told.key, c.to);
    assert_ok(store_upload_abort(s->again, told.key, told.id, NULL, &e), &e);
    assert_absent(s, c.to);

    told = (struct told){0};
    assert_ok(store_copy(s->again, &c, NULL, &w, &e), &e);
    assert_int_equal(told.begun, 1);
    assert_int_equal(told.finished, 1);
    assert_int_equal(told.left, 0);
}

const struct suite_case copy_cases[] = {
    {"a copy has bytes and metadata", a_copy_has_bytes_and_metadata, 0},
    {"odd keys can be copied", odd_keys_can_be_copied, 0},
    {"a copy of nothing is not found", a_copy_of_nothing_is_not_found, 0},
    {"a copy of another version is a conflict", a_copy_of_another_version_is_a_conflict, NEED_COPY_SOURCE},
    {"a copy over what is there is refused", a_copy_over_what_is_there_is_refused, NEED_COPY_TARGET},
    {"a directory marker can be copied", a_marker_can_be_copied, NEED_COPY_MARKER},
    {"a copy by parts has bytes and metadata", a_copy_by_parts_has_bytes_and_metadata, 0},
    {"a copy by parts of another version is a conflict", a_copy_by_parts_of_another_version_is_a_conflict,
     NEED_SOURCE_PART},
    {"a copy stores a time where there is none", a_copy_stores_a_time_where_there_is_none, 0},
    {"a copy by parts tells of its upload", a_copy_by_parts_tells_of_its_upload, NEED_AT_ONCE},
    {NULL, NULL, 0},
};
