#include "suite.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void a_put_is_there_at_once(struct suite *s)
{
    struct store_version v = put_str(s, key_of(s, "f"), "one");
    assert_int_equal(v.size, 3);
    assert_content(s, key_of(s, "f"), "one");
    (void)put_str(s, key_of(s, "f"), "twice");
    assert_content(s, key_of(s, "f"), "twice");
}

static void an_empty_object_can_be_put(struct suite *s)
{
    struct store_version v = put_str(s, key_of(s, "f"), "");
    assert_int_equal(v.size, 0);
    struct store_object o;
    stat_ok(s, key_of(s, "f"), &o);
    assert_int_equal(o.version.size, 0);
    assert_string_equal(o.version.etag, v.etag);
    store_object_release(&o);
}

static void a_new_object_is_refused_where_one_is(struct suite *s)
{
    struct store_version v;
    assert_int_equal(put_if(s, key_of(s, "f"), "first", STORE_IF_ABSENT, NULL, &v), ERR_OK);
    assert_int_equal(put_if(s, key_of(s, "f"), "second", STORE_IF_ABSENT, NULL, &v), ERR_CONFLICT);
    assert_content(s, key_of(s, "f"), "first");
}

static void an_overwrite_is_refused_when_others_were_faster(struct suite *s)
{
    struct store_version a = put_str(s, key_of(s, "f"), "mine"), b;
    assert_int_equal(put_if(s, key_of(s, "f"), "mine 2", STORE_IF_MATCH, a.etag, &b), ERR_OK);
    assert_string_not_equal(a.etag, b.etag);
    assert_int_equal(put_if(s, key_of(s, "f"), "late", STORE_IF_MATCH, a.etag, &a), ERR_CONFLICT);
    assert_content(s, key_of(s, "f"), "mine 2");
}

static void an_overwrite_of_what_is_gone_is_a_conflict(struct suite *s)
{
    struct store_version v = put_str(s, key_of(s, "f"), "x");
    struct err e = ERR_INIT;
    assert_ok(store_remove(s->store, key_of(s, "f"), NULL, NULL, &e), &e);
    assert_int_equal(put_if(s, key_of(s, "f"), "y", STORE_IF_MATCH, v.etag, &v), ERR_CONFLICT);
    assert_absent(s, key_of(s, "f"));
}

struct racer {
    struct suite *s;
    char key[128];
    char text[32];
    enum err_code code;
    pthread_t thread;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    struct bytes b;
    struct store_version v;
    struct err e = ERR_INIT;
    struct store_cond cond = {.kind = STORE_IF_ABSENT};
    r->code = store_put(r->s->store, r->key, body_of_str(&b, r->text), NULL, &cond, NULL, &v, &e);
    return NULL;
}

static void of_parallel_creators_exactly_one_wins(struct suite *s)
{
    struct racer racers[6];
    for (int i = 0; i < 6; i++) {
        racers[i].s = s;
        (void)snprintf(racers[i].key, sizeof(racers[i].key), "%s", key_of(s, "raced"));
        (void)snprintf(racers[i].text, sizeof(racers[i].text), "racer %d", i);
        assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
    }
    int won = -1;
    for (int i = 0; i < 6; i++) {
        pthread_join(racers[i].thread, NULL);
        if (racers[i].code == ERR_OK) {
            assert_int_equal(won, -1);
            won = i;
        } else {
            assert_int_equal(racers[i].code, ERR_CONFLICT);
        }
    }
    assert_int_not_equal(won, -1);
    assert_content(s, key_of(s, "raced"), racers[won].text);
}

static void removing_takes_it_away(struct suite *s)
{
    (void)put_str(s, key_of(s, "f"), "x");
    struct err e = ERR_INIT;
    assert_ok(store_remove(s->store, key_of(s, "f"), NULL, NULL, &e), &e);
    assert_absent(s, key_of(s, "f"));
    assert_ok(store_remove(s->store, key_of(s, "f"), NULL, NULL, &e), &e);
}

static void removing_another_version_is_a_conflict(struct suite *s)
{
    struct store_version old = put_str(s, key_of(s, "f"), "old");
    struct store_version now = put_str(s, key_of(s, "f"), "now");
    struct err e = ERR_INIT;
    assert_int_equal(store_remove(s->store, key_of(s, "f"), old.etag, NULL, &e), ERR_CONFLICT);
    assert_content(s, key_of(s, "f"), "now");
    assert_ok(store_remove(s->store, key_of(s, "f"), now.etag, NULL, &e), &e);
    assert_absent(s, key_of(s, "f"));
}

static void removing_a_version_of_what_is_gone_is_fine(struct suite *s)
{
    struct store_version v = put_str(s, key_of(s, "f"), "x");
    struct err e = ERR_INIT;
    assert_ok(store_remove(s->store, key_of(s, "f"), NULL, NULL, &e), &e);
    assert_ok(store_remove(s->store, key_of(s, "f"), v.etag, NULL, &e), &e);
}

static void many_are_removed_in_one_call(struct suite *s)
{
    enum { N = 25 };
    char keys[N][96];
    const char *list[N + 2];
    for (int i = 0; i < N; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "%smany/%02d & <x> \"y\" +%%41", s->base, i);
        list[i] = keys[i];
        (void)put_str(s, keys[i], "x");
    }
    (void)put_str(s, key_of(s, "kept"), "k");
    list[N] = key_of(s, "never was");
    enum err_code results[N + 1];
    struct err e = ERR_INIT;
    assert_ok(store_remove_many(s->store, list, NULL, N + 1, NULL, results, &e), &e);
    for (int i = 0; i <= N; i++)
        assert_int_equal(results[i], ERR_OK);
    assert_absent(s, keys[0]);
    assert_absent(s, keys[N - 1]);
    assert_content(s, key_of(s, "kept"), "k");
}

static void of_many_another_version_stays(struct suite *s)
{
    enum { CHANGED, SAME, GONE, ANY, NEVER, N };
    struct store_version v[N] = {0};
    const char *keys[N], *etags[N] = {NULL};
    static const char *const names[N] = {"changed", "same", "gone", "any", "never-was"};
    for (int i = 0; i < N; i++)
        keys[i] = key_of(s, names[i]);
    for (int i = CHANGED; i <= ANY; i++)
        v[i] = put_str(s, keys[i], names[i]);
    for (int i = CHANGED; i <= GONE; i++)
        etags[i] = v[i].etag;
    (void)put_str(s, keys[CHANGED], "newer");
    (void)put_str(s, keys[ANY], "newer, too");
    struct err e = ERR_INIT;
    assert_ok(store_remove(s->store, keys[GONE], NULL, NULL, &e), &e);
    enum err_code results[N];
    assert_ok(store_remove_many(s->store, keys, etags, N, NULL, results, &e), &e);
    for (int i = 0; i < N; i++)
        assert_int_equal(results[i], i == CHANGED ? ERR_CONFLICT : ERR_OK);
    assert_content(s, keys[CHANGED], "newer");
    assert_absent(s, keys[SAME]);
    assert_absent(s, keys[ANY]);
}

static void each_of_the_simple_things_is_one_request(struct suite *s)
{
    const char *key = key_of(s, "f"), *to = key_of(s, "g");
    struct store_version v, w;
    struct store_object o;
    struct got g;
    struct err e = ERR_INIT;
    (void)put_str(s, key_of(s, "first"), "x"); /* what is found out once is found out here */
    uint64_t before = requests_so_far(s);
    assert_int_equal(put_if(s, key, "hello", STORE_IF_ABSENT, NULL, &v), ERR_OK);
    assert_int_equal(requests_so_far(s) - before, 1);
    read_whole(s, key, v.etag, 5, &g);
    got_release(&g);
    assert_int_equal(requests_so_far(s) - before, 2);
    stat_ok(s, key, &o);
    store_object_release(&o);
    assert_int_equal(requests_so_far(s) - before, 3);
    struct store_copy c = {.from = key, .from_etag = v.etag, .size = 5, .to = to};
    assert_ok(store_copy(s->store, &c, NULL, &w, &e), &e);
    assert_int_equal(requests_so_far(s) - before, 4);
    assert_ok(store_remove(s->store, key, v.etag, NULL, &e), &e);
    assert_int_equal(requests_so_far(s) - before, 5);
    c = (struct store_copy){.from = to, .from_etag = w.etag, .size = 5, .to = key};
    assert_ok(store_copy(s->store, &c, NULL, &v, &e), &e);
    assert_int_equal(requests_so_far(s) - before, 6);
}

static void keys_that_no_store_holds_are_refused_before_a_request(struct suite *s)
{
    struct store_version v;
    struct bytes b;
    struct err e = ERR_INIT;
    char longest[4096];
    memset(longest, 'k', sizeof(longest));
    longest[store_caps(s->store)->max_key + 1] = 0;
    assert_int_equal(store_put(s->store, longest, body_of_str(&b, "x"), NULL, NULL, NULL, &v, &e), ERR_NAME_TOO_LONG);
    assert_int_equal(store_put(s->store, "bad\xff", body_of_str(&b, "x"), NULL, NULL, NULL, &v, &e), ERR_BAD_NAME);
    assert_int_equal(store_put(s->store, "", body_of_str(&b, "x"), NULL, NULL, NULL, &v, &e), ERR_INVAL);
    assert_int_equal(store_check(s->store, longest, false, NULL, &e), ERR_NAME_TOO_LONG);
    assert_int_equal(store_check(s->store, key_of(s, "fine"), false, body_of_str(&b, "x"), &e), ERR_OK);
}

static ssize_t broken_read(void *arg, uint64_t offset, void *buf, size_t len)
{
    return -1;
}

static void a_body_that_cannot_be_read_puts_nothing(struct suite *s)
{
    struct store_body body = {.size = 10, .read = broken_read};
    struct store_version v;
    struct err e = ERR_INIT;
    assert_int_equal(store_put(s->store, key_of(s, "f"), &body, NULL, NULL, NULL, &v, &e), ERR_IO);
    assert_absent(s, key_of(s, "f"));
}

const struct suite_case write_cases[] = {
    {"a put is there at once", a_put_is_there_at_once, 0},
    {"an empty object can be put", an_empty_object_can_be_put, 0},
    {"a new object is refused where one is", a_new_object_is_refused_where_one_is, 0},
    {"an overwrite is refused when others were faster", an_overwrite_is_refused_when_others_were_faster, 0},
    {"an overwrite of what is gone is a conflict", an_overwrite_of_what_is_gone_is_a_conflict, 0},
    {"of parallel creators exactly one wins", of_parallel_creators_exactly_one_wins, 0 | NEED_ONE_CREATOR},
    {"removing takes it away", removing_takes_it_away, 0},
    {"removing another version is a conflict", removing_another_version_is_a_conflict, NEED_REMOVE_MATCH},
    {"removing a version of what is gone is fine", removing_a_version_of_what_is_gone_is_fine, 0},
    {"many are removed in one call", many_are_removed_in_one_call, 0},
    {"of many another version stays", of_many_another_version_stays, NEED_REMOVE_MATCH},
    {"each of the simple things is one request", each_of_the_simple_things_is_one_request, NEED_S3 | NEED_HONOURED},
    {"keys that no store holds are refused before a request", keys_that_no_store_holds_are_refused_before_a_request, 0},
    {"a body that cannot be read puts nothing", a_body_that_cannot_be_read_puts_nothing, 0},
    {NULL, NULL, 0},
};
