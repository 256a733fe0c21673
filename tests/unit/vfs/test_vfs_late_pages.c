/* Pages that come late: what began before something else was learnt tells nothing that is newer. */
#include "support.h"

#include <stdio.h>

#define FILES 6

/* Keeps the reply of one listing of everything below the root, after it was made, until it is told to let go. */
struct late {
    struct rig r;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool armed, kept, let_go;
};

static enum err_code keep(void *arg, const struct mem_event *ev, struct err *e)
{
    struct late *l = arg;
    pthread_mutex_lock(&l->mutex);
    if (l->armed && ev->op == MEM_LIST && ev->phase == MEM_AFTER && *ev->key == 0) {
        l->armed = false;
        l->kept = true;
        pthread_cond_broadcast(&l->changed);
        while (!l->let_go)
            pthread_cond_wait(&l->changed, &l->mutex);
    }
    pthread_mutex_unlock(&l->mutex);
    return ERR_OK;
}

/* Directories "a", "b" and "c" in the store, and the name of "b" is known, of what is in it a part. */
static void start(struct late *l)
{
    char key[16];
    *l = (struct late){.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    rig_start(&l->r, &(struct rig_kind){.ttl_ms = 300000, .page_size = 4, .attrs = VFS_ATTRS_LIST});
    mem_store_set_hook(l->r.mem, (struct mem_hook){keep, l});
    for (const char *dir = "abc"; *dir; dir++)
        for (int k = 0; k < (*dir == 'a' ? 1 : FILES); k++) {
            snprintf(key, sizeof(key), "%c/f%d", *dir, k);
            others_put(&l->r, key, key);
        }
    (void)walk(&l->r, "a"); /* a/f0, b/f0, b/f1, b/f2 */
    (void)walk(&l->r, "b");
    assert_int_equal(rig_count(&l->r, MEM_LIST), 1);
    mem_store_set_page_size(l->r.mem, 1000);
}

/* A lookup whose page, which has all keys of the bucket, was made by the store and does not come yet. */
static void look_late(struct late *l, struct call *c)
{
    *c = (struct call){.r = &l->r, .kind = CALL_LOOKUP, .a = "0"};
    pthread_mutex_lock(&l->mutex);
    l->armed = true;
    call_start(c);
    while (!l->kept)
        pthread_cond_wait(&l->changed, &l->mutex);
    pthread_mutex_unlock(&l->mutex);
}

static void let_come(struct late *l, struct call *c)
{
    pthread_mutex_lock(&l->mutex);
    l->let_go = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->mutex);
    expect_ok(&l->r, call_end(c));
    rig_mark(&l->r);
}

static void stop(struct late *l)
{
    rig_stop(&l->r);
    pthread_mutex_destroy(&l->mutex);
    pthread_cond_destroy(&l->changed);
}

static void a_page_older_than_a_directorys_listing_hides_none_of_its_names(void **state)
{
    struct late l;
    struct call c;
    char path[16];
    start(&l);
    look_late(&l, &c);
    expect_names(&l.r, "b", "f0\nf1\nf2\nf3\nf4\nf5\n");
    let_come(&l, &c);
    for (int k = 0; k < FILES; k++) {
        snprintf(path, sizeof(path), "b/f%d", k);
        (void)walk(&l.r, path);
    }
    expect_names(&l.r, "b", "f0\nf1\nf2\nf3\nf4\nf5\n");
    (void)walk(&l.r, "c/f3"); /* of other directories it tells what it always did */
    assert_int_equal(rig_requests(&l.r), 0);
    stop(&l);
}

static void a_page_older_than_a_directorys_listing_takes_none_of_its_news_back(void **state)
{
    struct late l;
    struct call c;
    start(&l);
    look_late(&l, &c);
    others_remove(&l.r, "b/f1");
    others_put(&l.r, "b/f2", "another version");
    others_put(&l.r, "b/new", "new");
    expect_names(&l.r, "b", "f0\nf2\nf3\nf4\nf5\nnew\n");
    let_come(&l, &c);
    expect_absent(&l.r, "b/f1");
    assert_int_equal(stat_of(&l.r, "b/f2").st_size, strlen("another version"));
    (void)walk(&l.r, "b/new");
    expect_names(&l.r, "b", "f0\nf2\nf3\nf4\nf5\nnew\n");
    assert_int_equal(rig_requests(&l.r), 0);
    stop(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_older_than_a_directorys_listing_hides_none_of_its_names),
        cmocka_unit_test(a_page_older_than_a_directorys_listing_takes_none_of_its_news_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
