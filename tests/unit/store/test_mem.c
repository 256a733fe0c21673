#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/mem.h"
#include "store/meta.h"
#include "util/buf.h"
#include "util/cancel.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    struct store *s;
    struct mem_store *m;
};

static struct fixture fixture_new(struct mem_options options)
{
    struct fixture f;
    struct err e = ERR_INIT;
    f.s = mem_store_new(&options, &f.m, &e);
    assert_non_null(f.s);
    return f;
}

static ssize_t read_text(void *arg, uint64_t offset, void *buf, size_t len)
{
    const char *text = arg;
    size_t n = strlen(text) - offset < len ? strlen(text) - offset : len;
    memcpy(buf, text + offset, n);
    return (ssize_t)n;
}

static enum err_code put(struct store *s, const char *key, const char *text)
{
    struct store_body body = {.size = strlen(text), .read = read_text, .arg = (void *)text};
    struct store_version v;
    struct err e = ERR_INIT;
    return store_put(s, key, &body, NULL, NULL, NULL, &v, &e);
}

struct outcome {
    char bytes[64];
    size_t len;
    enum err_code code; /* atomic; ERR_COUNT before the end */
};

static bool on_data(void *arg, const void *p, size_t len)
{
    struct outcome *o = arg;
    memcpy(o->bytes + o->len, p, len);
    o->len += len;
    return true;
}

static void on_done(void *arg, enum err_code code, const struct store_object *object, const struct err *e)
{
    __atomic_store_n(&((struct outcome *)arg)->code, code, __ATOMIC_RELEASE);
}

static void get(struct store *s, const char *key, uint64_t length, struct store_call call, struct outcome *o)
{
    *o = (struct outcome){.code = ERR_COUNT};
    struct store_get g = {.key = key, .length = length, .call = call, .data = on_data, .done = on_done, .arg = o};
    struct err e = ERR_INIT;
    assert_int_equal(store_get(s, &g, &e), ERR_OK);
}

static enum err_code ended(struct outcome *o)
{
    for (int i = 0; i < 1000; i++) {
        enum err_code code = __atomic_load_n(&o->code, __ATOMIC_ACQUIRE);
        if (code != ERR_COUNT)
            return code;
        usleep(5000);
    }
    return ERR_COUNT;
}

static void a_synchronous_get_has_ended_when_it_returns(void **state)
{
    struct fixture f = fixture_new((struct mem_options){0});
    struct outcome o;
    assert_int_equal(put(f.s, "k", "hello"), ERR_OK);
    get(f.s, "k", 5, (struct store_call){0}, &o);
    assert_int_equal(o.code, ERR_OK);
    assert_memory_equal(o.bytes, "hello", 5);
    store_free(f.s);
}

static void a_held_get_waits_for_its_release(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true});
    struct outcome held, other;
    assert_int_equal(put(f.s, "k", "hello"), ERR_OK);
    assert_int_equal(put(f.s, "other", "world"), ERR_OK);
    mem_store_hold(f.m, MEM_GET, "k");
    get(f.s, "k", 5, (struct store_call){0}, &held);
    get(f.s, "other", 5, (struct store_call){0}, &other);
    assert_int_equal(ended(&other), ERR_OK);
    assert_true(mem_store_wait_held(f.m, MEM_GET, 1, 60000));
    assert_int_equal(__atomic_load_n(&held.code, __ATOMIC_ACQUIRE), ERR_COUNT);
    assert_false(mem_store_release_one(f.m, MEM_GET, "other"));
    assert_true(mem_store_release_one(f.m, MEM_GET, "k"));
    assert_int_equal(ended(&held), ERR_OK);
    assert_int_equal(mem_store_held(f.m, MEM_GET), 0);
    assert_int_equal(mem_store_count(f.m, MEM_GET), 2);
    store_free(f.s);
}

static void a_held_get_ends_when_it_is_cancelled_or_too_late(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true});
    struct outcome canceled, late;
    struct cancel *c = cancel_new();
    assert_int_equal(put(f.s, "k", "hello"), ERR_OK);
    mem_store_hold(f.m, MEM_GET, NULL);
    get(f.s, "k", 5, (struct store_call){.cancel = c}, &canceled);
    get(f.s, "k", 5, (struct store_call){.timeout_ms = 50}, &late);
    assert_int_equal(ended(&late), ERR_TIMEOUT);
    assert_int_equal(__atomic_load_n(&canceled.code, __ATOMIC_ACQUIRE), ERR_COUNT);
    cancel_fire(c);
    assert_int_equal(ended(&canceled), ERR_CANCELED);
    cancel_unref(c);
    store_free(f.s);
}

static void the_end_of_the_store_cancels_what_is_held(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.async = true});
    struct outcome o;
    assert_int_equal(put(f.s, "k", "hello"), ERR_OK);
    mem_store_hold(f.m, MEM_GET, NULL);
    get(f.s, "k", 5, (struct store_call){0}, &o);
    store_free(f.s);
    assert_int_equal(o.code, ERR_CANCELED);
}

struct putter {
    struct fixture f;
    enum err_code code;
};

static void *put_k(void *arg)
{
    struct putter *p = arg;
    p->code = put(p->f.s, "k", "hello");
    return NULL;
}

static void any_call_can_be_held(void **state)
{
    struct putter p = {fixture_new((struct mem_options){0}), ERR_COUNT};
    pthread_t t;
    mem_store_hold(p.f.m, MEM_PUT, "k");
    assert_int_equal(pthread_create(&t, NULL, put_k, &p), 0);
    assert_true(mem_store_wait_held(p.f.m, MEM_PUT, 1, 60000));
    assert_int_equal(mem_store_objects(p.f.m), 0);
    mem_store_unhold(p.f.m, MEM_PUT);
    pthread_join(t, NULL);
    assert_int_equal(p.code, ERR_OK);
    assert_int_equal(mem_store_objects(p.f.m), 1);
    store_free(p.f.s);
}

struct plan {
    enum mem_op op;
    enum mem_phase phase;
    uint64_t offset;
    enum err_code code;
};

static enum err_code follow(void *arg, const struct mem_event *ev, struct err *e)
{
    const struct plan *p = arg;
    if (ev->op == p->op && ev->phase == p->phase && ev->offset >= p->offset)
        return err_set(e, p->code, "as planned");
    return ERR_OK;
}

static void a_hook_can_fail_a_call_before_and_after_it_took_effect(void **state)
{
    struct fixture f = fixture_new((struct mem_options){0});
    struct plan plan = {MEM_PUT, MEM_BEFORE, 0, ERR_NET};
    mem_store_set_hook(f.m, (struct mem_hook){follow, &plan});
    assert_int_equal(put(f.s, "k", "hello"), ERR_NET);
    assert_int_equal(mem_store_objects(f.m), 0);
    plan.phase = MEM_AFTER;
    assert_int_equal(put(f.s, "k", "hello"), ERR_NET);
    assert_int_equal(mem_store_objects(f.m), 1);
    store_free(f.s);
}

static void a_hook_can_break_a_get_off(void **state)
{
    struct fixture f = fixture_new((struct mem_options){.chunk = 2});
    struct plan plan = {MEM_GET, MEM_DATA, 4, ERR_NET};
    struct outcome o;
    assert_int_equal(put(f.s, "k", "hello world"), ERR_OK);
    mem_store_set_hook(f.m, (struct mem_hook){follow, &plan});
    get(f.s, "k", 11, (struct store_call){0}, &o);
    assert_int_equal(o.code, ERR_NET);
    assert_int_equal(o.len, 4);
    store_free(f.s);
}

static bool is_local(const char *name)
{
    return strcmp(name, "4913") == 0;
}

static void it_can_claim_to_be_another_store(void **state)
{
    struct store_caps caps;
    mem_default_caps(&caps);
    caps.flags = STORE_LIST_CONTENT | STORE_LIST_SUBTREE | STORE_SECRET | STORE_EMPTY_REFUSED;
    caps.put_max = caps.max_object = 8;
    struct fixture f = fixture_new((struct mem_options){.caps = &caps, .stays_local = is_local});
    assert_int_equal(put(f.s, "a/b", "value"), ERR_OK);
    assert_int_equal(put(f.s, "a/b", "too long a value"), ERR_TOO_BIG);
    assert_int_equal(put(f.s, "a/b", ""), ERR_INVAL);
    assert_true(store_stays_local(f.s, "4913"));
    assert_false(store_stays_local(f.s, "b"));
    struct store_list l = {.prefix = "a/"};
    struct store_page page;
    struct err e = ERR_INIT;
    assert_int_equal(store_list(f.s, &l, NULL, &page, &e), ERR_OK);
    assert_int_equal(page.n, 1);
    assert_memory_equal(page.entries[0].object.content, "value", 5);
    assert_non_null(page.entries[0].object.meta);
    store_page_release(&page);
    l.start_after = "a/";
    assert_int_equal(store_list(f.s, &l, NULL, &page, &e), ERR_UNSUPPORTED);
    char id[STORE_ID_SIZE];
    assert_int_equal(store_upload_begin(f.s, "k", NULL, NULL, NULL, id, &e), ERR_UNSUPPORTED);
    store_free(f.s);
}

static void a_rename_is_one_step_where_the_store_has_it(void **state)
{
    struct store_caps caps;
    mem_default_caps(&caps);
    caps.flags |= STORE_RENAME;
    struct fixture f = fixture_new((struct mem_options){.caps = &caps});
    struct err e = ERR_INIT;
    assert_int_equal(put(f.s, "a", "x"), ERR_OK);
    struct store_copy c = {.from = "a", .to = "b", .cond = {.kind = STORE_IF_ABSENT}};
    assert_int_equal(store_rename(f.s, &c, NULL, &e), ERR_OK);
    struct store_object o = {0};
    assert_int_equal(store_stat(f.s, "a", NULL, &o, &e), ERR_NOT_FOUND);
    assert_int_equal(mem_store_objects(f.m), 1);
    store_free(f.s);
}

static void a_read_only_store_changes_nothing(void **state)
{
    struct store_caps caps;
    mem_default_caps(&caps);
    caps.flags |= STORE_READ_ONLY;
    struct fixture f = fixture_new((struct mem_options){.caps = &caps});
    struct err e = ERR_INIT;
    assert_int_equal(put(f.s, "a", "x"), ERR_READ_ONLY);
    assert_int_equal(store_remove(f.s, "a", NULL, NULL, &e), ERR_READ_ONLY);
    store_free(f.s);
}

static void count_puts(void *arg, const char *kind, uint64_t count)
{
    if (strcmp(kind, "put") == 0)
        *(uint64_t *)arg += count;
}

static void calls_are_counted_by_kind(void **state)
{
    struct fixture f = fixture_new((struct mem_options){0});
    uint64_t puts = 0;
    assert_int_equal(put(f.s, "a", "x"), ERR_OK);
    assert_int_equal(put(f.s, "b", "x"), ERR_OK);
    store_each_count(f.s, count_puts, &puts);
    assert_int_equal(puts, 2);
    store_free(f.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_synchronous_get_has_ended_when_it_returns),
        cmocka_unit_test(a_held_get_waits_for_its_release),
        cmocka_unit_test(a_held_get_ends_when_it_is_cancelled_or_too_late),
        cmocka_unit_test(the_end_of_the_store_cancels_what_is_held),
        cmocka_unit_test(any_call_can_be_held),
        cmocka_unit_test(a_hook_can_fail_a_call_before_and_after_it_took_effect),
        cmocka_unit_test(a_hook_can_break_a_get_off),
        cmocka_unit_test(it_can_claim_to_be_another_store),
        cmocka_unit_test(a_rename_is_one_step_where_the_store_has_it),
        cmocka_unit_test(a_read_only_store_changes_nothing),
        cmocka_unit_test(calls_are_counted_by_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
