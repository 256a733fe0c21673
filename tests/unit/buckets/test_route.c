/* Keys of the store of all buckets lead to the buckets' own stores. */
#include "fake.h"

#include "util/pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static struct store *three(void)
{
    static const char *const keys[] = {"one/a", "one/d/b", "one-1/a", "two/a", "two/c"};
    struct store *s = fake_buckets(NULL, NULL, false);
    struct err e = ERR_INIT;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        assert_int_equal(fake_put(s, keys[i], keys[i], &e), ERR_OK);
    return s;
}

static void a_key_is_an_object_of_its_bucket(void **state)
{
    struct store *s = three();
    struct store_object o = {0};
    struct err e = ERR_INIT;
    assert_int_equal(fake_stores(), 3);
    assert_int_equal(store_stat(s, "one/d/b", NULL, &o, &e), ERR_OK);
    assert_int_equal(o.version.size, strlen("one/d/b"));
    store_object_release(&o);
    assert_int_equal(store_stat(s, "two/d/b", NULL, &o, &e), ERR_NOT_FOUND);
    assert_int_equal(store_stat(s, "one", NULL, &o, &e), ERR_NOT_FOUND);
    store_free(s);
    assert_int_equal(fake_clients(), 0);
}

static void a_listing_has_the_keys_of_one_bucket(void **state)
{
    static const struct {
        const char *prefix, *after, *keys;
        bool delimiter;
    } cases[] = {
        {"one/", NULL, "one/a one/d/b ", false}, {"one/", NULL, "one/a one/d/ ", true}, {"one/", "one/a", "one/d/b ", false},
        {"one/", "one/", "one/a one/d/b ", false}, {"one/", "on", "one/a one/d/b ", false}, {"one/", "one", "one/a one/d/b ", false},
        {"one/", "one-", "one/a one/d/b ", false}, {"one/", "one0", "", false}, {"one/", "two/a", "", false},
        {"one/d/", NULL, "one/d/b ", true}, {"none-yet/", NULL, "", true}, {"no bucket/", NULL, "", true}, {"/", NULL, "", true},
    };
    struct store *s = three();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char out[200] = "";
        struct store_page page = {0};
        struct err e = ERR_INIT;
        const struct store_list l = {
            .prefix = cases[i].prefix, .start_after = cases[i].after, .delimiter = cases[i].delimiter};
        if (store_list(s, &l, NULL, &page, &e) != ERR_OK)
            fail_msg("%s: %s", l.prefix, e.msg);
        for (size_t k = 0; k < page.n; k++)
            snprintf(out + strlen(out), sizeof(out) - strlen(out), "%s ", page.entries[k].key);
        store_page_release(&page);
        assert_string_equal(out, cases[i].keys);
    }
    store_free(s);
}

static void objects_of_all_buckets_are_not_listed_at_once(void **state)
{
    struct store *s = three();
    struct store_page page = {0};
    struct err e = ERR_INIT;
    const struct store_list l = {.prefix = ""};
    assert_int_equal(store_list(s, &l, NULL, &page, &e), ERR_UNSUPPORTED);
    store_free(s);
}

static void nothing_is_copied_from_one_bucket_to_another(void **state)
{
    struct store *s = three();
    struct store_version v;
    struct err e = ERR_INIT;
    struct store_copy c = {.from = "one/a", .to = "two/b", .size = 5};
    assert_int_equal(store_copy(s, &c, NULL, &v, &e), ERR_CROSS);
    c.to = "one/b";
    assert_int_equal(store_copy(s, &c, NULL, &v, &e), ERR_OK);
    c.to = "file";
    assert_int_equal(store_copy(s, &c, NULL, &v, &e), ERR_PERM);
    c.to = "two/";
    assert_int_equal(store_copy(s, &c, NULL, &v, &e), ERR_PERM);
    store_free(s);
}

static void a_removal_of_many_may_be_of_several_buckets(void **state)
{
    static const char *const keys[] = {"two/c", "one/a", "two/a", "one/d/b", "one/none"};
    static const char *const etags[] = {NULL, NULL, "another", NULL, NULL};
    struct store *s = three();
    enum err_code results[5];
    struct store_object o = {0};
    struct err e = ERR_INIT;
    assert_int_equal(store_remove_many(s, keys, etags, 5, NULL, results, &e), ERR_OK);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(results[i], i == 2 ? ERR_CONFLICT : ERR_OK);
        assert_int_equal(store_stat(s, keys[i], NULL, &o, &e), i == 2 ? ERR_OK : ERR_NOT_FOUND);
        store_object_release(&o);
    }
    store_free(s);
}

static void an_upload_belongs_to_its_bucket(void **state)
{
    struct store *s = three();
    char id[STORE_ID_SIZE];
    struct err e = ERR_INIT;
    assert_int_equal(store_upload_begin(s, "one/big", NULL, NULL, NULL, id, &e), ERR_OK);
    assert_int_equal(store_upload_abort(s, "one/big", id, NULL, &e), ERR_OK);
    assert_int_equal(store_upload_begin(s, "file", NULL, NULL, NULL, id, &e), ERR_PERM);
    assert_int_equal(store_upload_begin(s, "one/", NULL, NULL, NULL, id, &e), ERR_PERM);
    store_free(s);
}

static void a_bucket_that_cannot_be_opened_says_why_and_is_tried_again(void **state)
{
    struct store *s = fake_buckets(NULL, NULL, false);
    struct err e = ERR_INIT;
    fake_slow_stores(0, true);
    assert_int_equal(fake_put(s, "one/a", "x", &e), ERR_INVAL);
    assert_non_null(strstr(e.msg, "one"));
    assert_non_null(strstr(e.msg, "an option is wrong"));
    assert_int_equal(fake_clients(), 0);
    fake_slow_stores(0, false);
    assert_int_equal(fake_put(s, "one/a", "x", &e), ERR_OK);
    store_free(s);
}

static void *put_one(void *arg)
{
    struct err e = ERR_INIT;
    static atomic_uint number;
    char key[32];
    snprintf(key, sizeof(key), "one/%u", number++);
    assert_int_equal(fake_put(arg, key, "x", &e), ERR_OK);
    return NULL;
}

static void a_bucket_is_opened_once_by_however_many_threads(void **state)
{
    struct store *s = fake_buckets(NULL, NULL, false);
    pthread_t threads[16];
    fake_slow_stores(50, false);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_one, s), 0);
    for (size_t i = 0; i < 16; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(fake_stores(), 1);
    assert_int_equal(fake_clients(), 1);
    store_free(s);
}

static void add(void *arg, const char *kind, uint64_t count)
{
    *(uint64_t *)arg += count;
    if (strcmp(kind, "request") == 0)
        ((uint64_t *)arg)[1] += count;
}

static void counts_are_those_of_all_buckets_also_of_names_that_were_none(void **state)
{
    static const struct step steps[] = {{.bucket = "none", .op = "HeadBucket", .status = 404},
                                        {.op = "ListBuckets", .text = "max", .status = 403, .reply = S3_ERROR("AccessDenied")},
                                        {.op = NULL}};
    struct store *s = three();
    struct store_object o = {0};
    struct err e = ERR_INIT;
    uint64_t counts[2] = {0, 0};
    store_each_count(s, add, counts);
    assert_int_equal(counts[0], 5); /* the puts */
    fake_script(steps);
    assert_int_equal(store_stat(s, "none/", NULL, &o, &e), ERR_NOT_FOUND);
    assert_int_equal(store_probe(s, NULL, &e), ERR_OK);
    counts[0] = counts[1] = 0;
    store_each_count(s, add, counts);
    assert_int_equal(counts[0], 7);
    assert_int_equal(counts[1], 2);
    store_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_an_object_of_its_bucket),
        cmocka_unit_test(a_listing_has_the_keys_of_one_bucket),
        cmocka_unit_test(objects_of_all_buckets_are_not_listed_at_once),
        cmocka_unit_test(nothing_is_copied_from_one_bucket_to_another),
        cmocka_unit_test(a_removal_of_many_may_be_of_several_buckets),
        cmocka_unit_test(an_upload_belongs_to_its_bucket),
        cmocka_unit_test(a_bucket_that_cannot_be_opened_says_why_and_is_tried_again),
        cmocka_unit_test(a_bucket_is_opened_once_by_however_many_threads),
        cmocka_unit_test(counts_are_those_of_all_buckets_also_of_names_that_were_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
