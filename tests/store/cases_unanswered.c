/* Calls that gave up without an answer although the server did what was asked, and what the calls after them make of
 * it. */
#include "suite.h"

#include <stdio.h>
#include <string.h>

#define DONE_UNANSWERED "{\"execute_then_reset\":true}"

static const struct store_cond absent = {.kind = STORE_IF_ABSENT};
static const struct store_call soon = {.timeout_ms = 1000};

static enum err_code put(struct suite *s, const char *key, const char *text, const struct store_meta *meta,
                         const struct store_cond *cond, struct store_version *out)
{
    struct bytes b;
    struct err e = ERR_INIT;
    return store_put(s->store, key, body_of_str(&b, text), meta, cond, &soon, out, &e);
}

/* The put fails, with `action` as what becomes of each of its attempts. */
static void give_up(struct suite *s, const char *key, const char *text, const struct store_cond *cond,
                    const char *action)
{
    struct store_version v;
    origin_fault_always(s, "PutObject", key, action);
    enum err_code code = put(s, key, text, NULL, cond, &v);
    origin_clear(s);
    assert_int_not_equal(code, ERR_OK);
    assert_int_not_equal(code, ERR_CONFLICT);
}

static void the_next_put_of_the_same_is_no_conflict(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_version v;
    give_up(s, key, "bytes", &absent, DONE_UNANSWERED);
    assert_content(s, key, "bytes");
    assert_int_equal(put(s, key, "bytes", NULL, &absent, &v), ERR_OK);
    struct store_object o;
    stat_ok(s, key, &o);
    assert_string_equal(o.version.etag, v.etag);
    store_object_release(&o);
    assert_int_equal(put(s, key, "bytes", NULL, &absent, &v), ERR_CONFLICT);
}

static void the_next_put_of_other_bytes_replaces_them(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_version v, old = put_str(s, key, "old");
    const struct store_cond match = {.kind = STORE_IF_MATCH, .etag = old.etag};
    give_up(s, key, "one", &match, DONE_UNANSWERED);
    give_up(s, key, "and two", &match, DONE_UNANSWERED); /* refused, but that was not heard either */
    assert_content(s, key, "one");
    assert_int_equal(put(s, key, "three", NULL, &match, &v), ERR_OK);
    assert_content(s, key, "three");
}

static void the_next_puts_metadata_are_there(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_version v;
    CLEANUP(store_meta_unref) struct store_meta *meta = store_meta_new();
    give_up(s, key, "bytes", &absent, DONE_UNANSWERED);
    meta->mode = 0100600;
    meta->has = STORE_HAS_MODE;
    assert_int_equal(put(s, key, "bytes", meta, &absent, &v), ERR_OK);
    struct store_object o;
    stat_ok(s, key, &o);
    assert_int_equal(o.meta->mode, 0100600);
    store_object_release(&o);
}

static void a_stranger_is_still_a_conflict(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_version v;
    give_up(s, key, "bytes", &absent, "{\"reset\":true}");
    /* By another store: what this one puts voids what it remembers. */
    struct bytes b;
    struct err e = ERR_INIT;
    assert_ok(store_put(s->again, key, body_of_str(&b, "a stranger's"), NULL, NULL, NULL, &v, &e), &e);
    assert_int_equal(put(s, key, "bytes", NULL, &absent, &v), ERR_CONFLICT);
    assert_content(s, key, "a stranger's");
}

/* Who knows another version has seen what came of the attempt: what is there since is not explained by it. */
static void a_call_on_another_condition_is_still_refused(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_version v;
    const struct store_cond match = {.kind = STORE_IF_MATCH, .etag = "00000000000000000000000000000000"};
    give_up(s, key, "bytes", &absent, DONE_UNANSWERED);
    assert_int_equal(put(s, key, "other", NULL, &match, &v), ERR_CONFLICT);
    assert_content(s, key, "bytes");
}

static void what_cannot_be_compared_is_no_conflict(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_version v;
    give_up(s, key, "bytes", &absent, DONE_UNANSWERED);
    origin_fault_always(s, "HeadObject", key, "{\"status\":503}");
    enum err_code code = put(s, key, "bytes", NULL, &absent, &v);
    origin_clear(s);
    assert_int_not_equal(code, ERR_OK);
    assert_int_not_equal(code, ERR_CONFLICT);
    assert_int_equal(put(s, key, "bytes", NULL, &absent, &v), ERR_OK);
}

static void a_removal_that_cannot_be_compared_is_no_conflict(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct err e = ERR_INIT;
    struct store_version v = put_str(s, key, "x");
    origin_fault(s, "DeleteObject", key, DONE_UNANSWERED);
    origin_fault_always(s, "HeadObject", key, "{\"status\":503}");
    enum err_code code = store_remove(s->store, key, v.etag, &soon, &e);
    origin_clear(s);
    assert_int_not_equal(code, ERR_CONFLICT);
    assert_ok(store_remove(s->store, key, v.etag, NULL, &e), &e);
    assert_absent(s, key);
}

static enum err_code upload_soon(struct suite *s, const char *key, const char *text, const struct store_cond *cond)
{
    char id[STORE_ID_SIZE];
    struct err e = ERR_INIT;
    struct bytes b;
    struct store_part part = {.number = 1};
    struct store_version v;
    assert_ok(store_upload_begin(s->store, key, NULL, NULL, NULL, id, &e), &e);
    assert_ok(store_upload_part(s->store, key, id, body_of_str(&b, text), NULL, &part, &e), &e);
    enum err_code code = store_upload_finish(s->store, key, id, &part, 1, NULL, cond, &soon, &v, &e);
    if (code != ERR_OK)
        assert_ok(store_upload_abort(s->store, key, id, NULL, &e), &e);
    return code;
}

static void the_next_upload_is_no_conflict(struct suite *s)
{
    const char *key = key_of(s, "f");
    origin_fault_always(s, "CompleteMultipartUpload", key, DONE_UNANSWERED);
    enum err_code code = upload_soon(s, key, "bytes", &absent);
    origin_clear(s);
    assert_int_not_equal(code, ERR_OK);
    assert_content(s, key, "bytes");
    assert_int_equal(upload_soon(s, key, "more bytes", &absent), ERR_OK);
    assert_content(s, key, "more bytes");
    assert_int_equal(upload_soon(s, key, "bytes", &absent), ERR_CONFLICT);
}

static void the_next_copy_is_no_conflict(struct suite *s)
{
    const char *from = key_of(s, "from"), *to = key_of(s, "to");
    struct store_version f = put_str(s, from, "bytes"), v;
    const struct store_copy c = {
        .from = from, .from_etag = f.etag, .size = 5, .to = to, .cond = {.kind = STORE_IF_ABSENT}};
    struct err e = ERR_INIT;
    origin_fault_always(s, "CopyObject", to, DONE_UNANSWERED);
    enum err_code code = store_copy(s->store, &c, &soon, &v, &e);
    origin_clear(s);
    assert_int_not_equal(code, ERR_OK);
    assert_content(s, to, "bytes");
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    assert_int_equal(store_copy(s->store, &c, NULL, &v, &e), ERR_CONFLICT);
}

/* A key that this store has emptied since: what is there now is not what it once sent, even where the bytes are the same. */
static void a_removal_of_many_ends_what_was_sent_before(struct suite *s)
{
    const char *key = key_of(s, "f");
    const char *const keys[] = {key};
    enum err_code result = ERR_IO;
    struct store_version v;
    struct bytes b;
    struct err e = ERR_INIT;
    give_up(s, key, "bytes", &absent, DONE_UNANSWERED);
    assert_ok(store_remove_many(s->store, keys, NULL, 1, NULL, &result, &e), &e);
    assert_int_equal(result, ERR_OK);
    assert_ok(store_put(s->again, key, body_of_str(&b, "bytes"), NULL, NULL, NULL, &v, &e), &e);
    assert_int_equal(put(s, key, "ours", NULL, &absent, &v), ERR_CONFLICT);
    assert_content(s, key, "bytes");
}

const struct suite_case unanswered_cases[] = {
    {"after an unanswered put, the next put of the same is no conflict", the_next_put_of_the_same_is_no_conflict,
     NEED_LOST_ANSWER | NEED_MD5},
    {"after unanswered puts, the next put of other bytes replaces them", the_next_put_of_other_bytes_replaces_them,
     NEED_LOST_ANSWER | NEED_MD5},
    {"after an unanswered put, the next put's metadata are there", the_next_puts_metadata_are_there,
     NEED_LOST_ANSWER | NEED_MD5},
    {"after an unanswered put, a stranger is still a conflict", a_stranger_is_still_a_conflict, NEED_LOST_ANSWER},
    {"after an unanswered put, a call on another condition is still refused",
     a_call_on_another_condition_is_still_refused, NEED_LOST_ANSWER},
    {"what cannot be compared is no conflict", what_cannot_be_compared_is_no_conflict, NEED_LOST_ANSWER | NEED_MD5},
    {"a removal that cannot be compared is no conflict", a_removal_that_cannot_be_compared_is_no_conflict,
     NEED_LOST_ANSWER},
    {"after an unanswered complete, the next upload is no conflict", the_next_upload_is_no_conflict, NEED_LOST_ANSWER},
    {"after an unanswered copy, the next copy is no conflict", the_next_copy_is_no_conflict,
     NEED_LOST_ANSWER | NEED_MD5},
    {"a removal of many keys ends what was sent to them before", a_removal_of_many_ends_what_was_sent_before,
     NEED_LOST_ANSWER | NEED_MD5},
    {NULL, NULL, 0},
};
