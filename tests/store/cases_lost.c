/* Answers that never came although the server did what was asked: the second attempt must not take its own work for a
 * stranger's. */
#include "suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static enum err_code put_known(struct suite *s, const char *key, const char *text, const struct store_cond *cond,
                               struct store_version *out)
{
    struct bytes b;
    struct err e = ERR_INIT;
    struct store_body body = *body_of_str(&b, text);
    uint8_t sha[64];
    assert_int_equal(strlen(text), 11); /* hello world */
    static const char hex[] = "309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f989dd35bc5ff499670da3425"
                              "5b45b0cfd830e81f605dcf7dc5542e93"
                              "ae9cd76f";
    for (int i = 0; i < 64; i++) {
        unsigned byte;
        (void)sscanf(hex + 2 * i, "%2x", &byte);
        sha[i] = (uint8_t)byte;
    }
    body.sha512 = sha;
    enum err_code code = store_put(s->store, key, &body, NULL, cond, NULL, out, &e);
    if (code != ERR_OK)
        print_message("%s\n", e.msg);
    return code;
}

static void a_put_whose_answer_was_lost_succeeds(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_cond absent = {.kind = STORE_IF_ABSENT};
    struct store_version v;
    origin_fault(s, "PutObject", key, "{\"execute_then_reset\":true}");
    assert_int_equal(put_known(s, key, "hello world", &absent, &v), ERR_OK);
    origin_clear(s);
    struct store_object o;
    stat_ok(s, key, &o);
    assert_string_equal(o.version.etag, v.etag);
    store_object_release(&o);
}

static void an_overwrite_whose_answer_was_lost_succeeds(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_version old = put_str(s, key, "old"), v;
    struct store_cond match = {.kind = STORE_IF_MATCH, .etag = old.etag};
    origin_fault(s, "PutObject", key, "{\"execute_then_reset\":true}");
    assert_int_equal(put_known(s, key, "hello world", &match, &v), ERR_OK);
    origin_clear(s);
    assert_content(s, key, "hello world");
}

static void a_stranger_after_a_lost_request_is_still_a_conflict(struct suite *s)
{
    const char *key = key_of(s, "f");
    (void)put_str(s, key, "a stranger's");
    struct store_cond absent = {.kind = STORE_IF_ABSENT};
    struct store_version v;
    origin_fault(s, "PutObject", key, "{\"reset\":true}");
    assert_int_equal(put_known(s, key, "hello world", &absent, &v), ERR_CONFLICT);
    origin_clear(s);
    assert_content(s, key, "a stranger's");
}

static void an_upload_whose_answer_was_lost_succeeds(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_cond absent = {.kind = STORE_IF_ABSENT};
    struct store_version v;
    origin_fault(s, "CompleteMultipartUpload", key, "{\"execute_then_reset\":true}");
    assert_int_equal(upload(s, key, "some bytes", 10, 10, &absent, &v), ERR_OK);
    origin_clear(s);
    struct store_object o;
    stat_ok(s, key, &o);
    assert_string_equal(o.version.etag, v.etag);
    assert_int_equal(v.size, 10);
    store_object_release(&o);
}

static void a_copy_whose_answer_was_lost_succeeds(struct suite *s)
{
    const char *from = key_of(s, "from"), *to = key_of(s, "to");
    struct store_version f = put_str(s, from, "bytes"), v;
    struct store_copy c = {.from = from, .from_etag = f.etag, .size = 5, .to = to, .cond = {.kind = STORE_IF_ABSENT}};
    struct err e = ERR_INIT;
    origin_fault(s, "CopyObject", to, "{\"execute_then_reset\":true}");
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    origin_clear(s);
    assert_content(s, to, "bytes");
}

static void a_removal_whose_answer_was_lost_succeeds(struct suite *s)
{
    const char *key = key_of(s, "f");
    struct store_version v = put_str(s, key, "x");
    struct err e = ERR_INIT;
    origin_fault(s, "DeleteObject", key, "{\"execute_then_reset\":true}");
    assert_ok(store_remove(s->store, key, v.etag, NULL, &e), &e);
    origin_clear(s);
    assert_absent(s, key);
}

static void a_broken_body_is_continued(struct suite *s)
{
    static const char *const breaks[] = {"{\"cut_after\":100000}", "{\"reset_after\":100000}", "{\"status\":503}",
                                         "{\"reset\":true}", "{\"lie_length\":-1000}"};
    size_t len = 300000;
    char *p = pattern(len);
    struct bytes b;
    struct store_version v;
    struct err e = ERR_INIT;
    const char *key = key_of(s, "f");
    assert_ok(store_put(s->store, key, body_of(&b, p, len), NULL, NULL, NULL, &v, &e), &e);
    for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
        struct got g;
        origin_fault(s, "GetObject", key, breaks[i]);
        read_range(s, key, v.etag, 0, len, &g);
        origin_clear(s);
        assert_int_equal(g.code, ERR_OK);
        assert_int_equal(g.bytes.len, len);
        assert_memory_equal(g.bytes.data, p, len);
        got_release(&g);
        origin_fault(s, "GetObject", key, breaks[i]);
        read_range(s, key, v.etag, 1000, 250000, &g);
        origin_clear(s);
        assert_int_equal(g.code, ERR_OK);
        assert_int_equal(g.bytes.len, 250000);
        assert_memory_equal(g.bytes.data, p + 1000, 250000);
        got_release(&g);
    }
    free(p);
}

static void a_wrong_range_is_never_believed(struct suite *s)
{
    static const char *const lies[] = {"{\"wrong_range\":true}", "{\"wrong_range\":\"whole\"}",
                                       "{\"lie_etag\":\"00000000000000000000000000000000\"}", "{\"empty_200\":true}"};
    const char *key = key_of(s, "f");
    struct store_version v = put_str(s, key, "0123456789");
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct got g;
        origin_fault(s, "GetObject", key, lies[i]);
        read_range(s, key, v.etag, 3, 4, &g);
        origin_clear(s);
        if (g.code == ERR_OK)
            assert_memory_equal(g.bytes.data, "3456", 4);
        else
            assert_int_not_equal(g.code, ERR_NOT_FOUND);
        got_release(&g);
    }
}

static void a_listing_that_lies_is_an_error(struct suite *s)
{
    static const char *const lies[] = {"{\"malformed_xml\":true}", "{\"huge_xml\":20000000}", "{\"entity_xml\":true}",
                                       "{\"empty_200\":true}"};
    for (int i = 0; i < 5; i++)
        (void)put_str(s, key_of(s, (const char *[]){"a", "b", "c", "d", "e"}[i]), "x");
    struct store_list l = {.prefix = s->base, .delimiter = true};
    struct store_call call = {.timeout_ms = 3000};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        struct store_page page;
        struct err e = ERR_INIT;
        origin_fault(s, "ListObjectsV2", "*", lies[i]);
        enum err_code code = store_list(s->store, &l, &call, &page, &e);
        origin_clear(s);
        if (code == ERR_OK) { /* a second attempt was not lied to */
            assert_int_equal(page.n, 5);
            store_page_release(&page);
        }
        assert_int_not_equal(code, ERR_NOT_FOUND);
    }
}

static void an_error_inside_a_200_is_an_error(struct suite *s)
{
    const char *key = key_of(s, "f");
    (void)put_str(s, key, "x");
    struct store_copy c = {.from = key, .size = 1, .to = key_of(s, "g")};
    struct store_version v;
    struct err e = ERR_INIT;
    origin_fault(s, "CopyObject", "*", "{\"error_in_200\":true}");
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    origin_clear(s);
    assert_content(s, key_of(s, "g"), "x");
}

static void an_error_inside_every_200_ends_by_the_time_out(struct suite *s)
{
    const char *key = key_of(s, "f");
    (void)put_str(s, key, "x");
    const struct store_copy c = {.from = key, .size = 1, .to = key_of(s, "g")};
    const struct store_call call = {.timeout_ms = 2000};
    struct store_version v;
    struct err e = ERR_INIT;
    origin_fault_always(s, "CopyObject", "*", "{\"error_in_200\":true}");
    time_t start = time(NULL);
    enum err_code code = store_copy(s->store, &c, &call, &v, &e);
    origin_clear(s);
    assert_int_not_equal(code, ERR_OK);
    assert_true(time(NULL) - start <= 5);
    assert_absent(s, key_of(s, "g"));
}

/* The server takes longer than the time-out before it says anything. */
static void a_copy_that_takes_long_is_waited_for(struct suite *s)
{
    const char *key = key_of(s, "f");
    (void)put_str(s, key, "x");
    const struct store_copy c = {.from = key, .size = 1, .to = key_of(s, "g")};
    const struct store_call call = {.timeout_ms = 1000};
    struct store_version v;
    struct err e = ERR_INIT;
    origin_fault(s, "CopyObject", "*", "{\"delay_ms\":3000}");
    assert_ok(store_copy(s->store, &c, &call, &v, &e), &e);
    origin_clear(s);
}

const struct suite_case lost_cases[] = {
    {"a put whose answer was lost succeeds", a_put_whose_answer_was_lost_succeeds, NEED_LOST_ANSWER},
    {"an overwrite whose answer was lost succeeds", an_overwrite_whose_answer_was_lost_succeeds, NEED_LOST_ANSWER},
    {"a stranger after a lost request is still a conflict", a_stranger_after_a_lost_request_is_still_a_conflict,
     NEED_LOST_ANSWER},
    {"an upload whose answer was lost succeeds", an_upload_whose_answer_was_lost_succeeds, NEED_LOST_ANSWER},
    {"a copy whose answer was lost succeeds", a_copy_whose_answer_was_lost_succeeds, NEED_LOST_ANSWER | NEED_MD5},
    {"a removal whose answer was lost succeeds", a_removal_whose_answer_was_lost_succeeds, NEED_LOST_ANSWER},
    {"a body that breaks off is continued", a_broken_body_is_continued, NEED_BROKEN_BODY},
    {"a wrong range is never believed", a_wrong_range_is_never_believed, NEED_BROKEN_BODY},
    {"a listing that lies is an error", a_listing_that_lies_is_an_error, NEED_BROKEN_BODY},
    {"an error inside a 200 is an error", an_error_inside_a_200_is_an_error, NEED_BROKEN_BODY},
    {"an error inside every 200 ends by the time-out", an_error_inside_every_200_ends_by_the_time_out,
     NEED_BROKEN_BODY},
    {"a copy that takes long is waited for", a_copy_that_takes_long_is_waited_for, NEED_BROKEN_BODY},
    {NULL, NULL, 0},
};
