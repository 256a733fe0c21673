/* Lookups that are answered before all of their page has come. */
#include "support.h"

#include "util/clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define WAIT_MS   60000
#define JUDGED_MS 1500 /* longer than this others do not wait for a page */

/* A mount whose listings have told what they found, and do not end before they may. */
struct scene {
    struct rig r;
    atomic_bool held, fails;
    atomic_uint known;       /* how often somebody was told */
    struct vfs_entry early;  /* what that one found */
};

static enum err_code hold_pages(void *arg, const struct mem_event *ev, struct err *e)
{
    struct scene *s = arg;
    uint64_t end = clock_mono_ms() + WAIT_MS;
    if (ev->op != MEM_LIST || ev->phase != MEM_AFTER)
        return ERR_OK;
    while (atomic_load(&s->held) && clock_mono_ms() < end)
        usleep(1000);
    return atomic_load(&s->fails) ? err_set(e, ERR_NET, "made to fail") : ERR_OK;
}

static void scene_start(struct scene *s, enum vfs_attrs attrs)
{
    *s = (struct scene){0};
    rig_start(&s->r, &(struct rig_kind){.attrs = attrs});
    mem_store_set_hook(s->r.mem, (struct mem_hook){hold_pages, s});
    atomic_store(&s->held, true);
}

static void on_known(void *arg)
{
    struct scene *s = arg;
    struct vfs_caller who = s->r.who;
    who.nowait = true;
    if (vfs_lookup(s->r.v, VFS_ROOT, "b", &who, &s->early, NULL) == ERR_OK)
        atomic_fetch_add(&s->known, 1);
}

/* A lookup in the root, on a thread of its own. */
struct asker {
    struct scene *s;
    const char *name;
    bool early;
    pthread_t thread;
    enum err_code code;
    struct vfs_entry entry;
};

static void *ask(void *arg)
{
    struct asker *a = arg;
    struct vfs_caller who = a->s->r.who;
    if (a->early) {
        who.known = on_known;
        who.known_arg = a->s;
    }
    a->code = vfs_lookup(a->s->r.v, VFS_ROOT, a->name, &who, &a->entry, NULL);
    return NULL;
}

static void ask_start(struct asker *a)
{
    assert_int_equal(pthread_create(&a->thread, NULL, ask, a), 0);
}

static void wait_known(struct scene *s)
{
    uint64_t end = clock_mono_ms() + WAIT_MS;
    while (!atomic_load(&s->known) && clock_mono_ms() < end)
        usleep(1000);
    assert_int_equal(atomic_load(&s->known), 1);
}

static void a_file_is_known_before_all_of_its_page_has_come(void **state)
{
    struct scene s;
    scene_start(&s, VFS_ATTRS_LIST);
    others_put(&s.r, "b", "22");
    others_put(&s.r, "c", "333");
    struct asker a = {.s = &s, .name = "b", .early = true};
    ask_start(&a);
    wait_known(&s);
    assert_true(s.early.ino != 0);
    assert_int_equal(s.early.attr.st.st_size, 2);
    atomic_store(&s.held, false);
    pthread_join(a.thread, NULL);
    assert_int_equal(a.code, ERR_OK);
    assert_int_equal(a.entry.ino, s.early.ino);
    rig_mark(&s.r);
    assert_int_equal(stat_of(&s.r, "c").st_size, 3);
    assert_int_equal(rig_requests(&s.r), 0);
    rig_stop(&s.r);
}

static void it_takes_the_answer_of_the_head_beside_the_listing_as_well(void **state)
{
    struct scene s;
    scene_start(&s, VFS_ATTRS_AUTO);
    others_put_meta(&s.r, "b", "22", meta_of(S_IFREG | 0600, NULL));
    others_put(&s.r, "c", "333");
    mem_store_hold(s.r.mem, MEM_STAT, "b");
    struct asker a = {.s = &s, .name = "b", .early = true};
    ask_start(&a);
    assert_true(mem_store_wait_held(s.r.mem, MEM_STAT, 1, WAIT_MS));
    assert_int_equal(atomic_load(&s.known), 0);
    mem_store_unhold(s.r.mem, MEM_STAT);
    wait_known(&s);
    assert_int_equal(s.early.attr.st.st_mode, S_IFREG | 0600);
    atomic_store(&s.held, false);
    pthread_join(a.thread, NULL);
    assert_int_equal(a.code, ERR_OK);
    rig_stop(&s.r);
}

/* False: the machine was too slow for the page to be waited for. */
static bool neighbours_wait(void)
{
    struct scene s;
    scene_start(&s, VFS_ATTRS_LIST);
    others_put(&s.r, "b", "22");
    others_put(&s.r, "c", "333");
    others_put(&s.r, "d/x", "4");
    rig_mark(&s.r);
    uint64_t begun = clock_mono_ms();
    struct asker a = {.s = &s, .name = "b", .early = true}, b = {.s = &s, .name = "c"}, c = {.s = &s, .name = "d"};
    ask_start(&a);
    wait_known(&s);
    ask_start(&b);
    ask_start(&c);
    usleep(50000); /* so that they mostly wait; which of them do is of no concern */
    atomic_store(&s.held, false);
    bool judged = clock_mono_ms() - begun < JUDGED_MS;
    pthread_join(a.thread, NULL);
    pthread_join(b.thread, NULL);
    pthread_join(c.thread, NULL);
    assert_int_equal(b.entry.attr.st.st_size, 3);
    assert_true(S_ISDIR(c.entry.attr.st.st_mode));
    expect_names(&s.r, "d", "x\n");
    if (judged)
        assert_int_equal(rig_count(&s.r, MEM_LIST), 1);
    rig_stop(&s.r);
    return judged;
}

static void who_needs_a_name_that_comes_with_it_does_not_ask(void **state)
{
    for (int tries = 0; tries < 100; tries++)
        if (neighbours_wait())
            return;
    fail_msg("no try was quick enough");
}

static void what_only_the_whole_page_can_tell_waits_for_it(void **state)
{
    static const struct {
        const char *keys[3];
        const char *shown;
    } cases[] = {
        {{"c"}, "c\n"},                  /* nothing is there */
        {{"b/x", "c"}, "b\nc\n"},        /* a directory */
        {{"b", "b/x", "c"}, "b%\nb\nc\n"}, /* both */
        {{"a", "b"}, "a\nb\n"},          /* nothing behind it */
    };
    for (size_t k = 0; k < sizeof(cases) / sizeof(cases[0]); k++) {
        struct scene s;
        scene_start(&s, VFS_ATTRS_LIST);
        atomic_store(&s.held, false);
        for (size_t n = 0; n < 3 && cases[k].keys[n]; n++)
            others_put(&s.r, cases[k].keys[n], "x");
        struct asker a = {.s = &s, .name = "b", .early = true};
        ask_start(&a);
        pthread_join(a.thread, NULL);
        assert_int_equal(a.code, ERR_OK);
        assert_int_equal(atomic_load(&s.known), 0);
        expect_names(&s.r, "", cases[k].shown);
        rig_stop(&s.r);
    }
}

static void a_page_that_breaks_off_takes_nothing_back(void **state)
{
    struct scene s;
    scene_start(&s, VFS_ATTRS_LIST);
    others_put(&s.r, "b", "22");
    others_put(&s.r, "c", "333");
    atomic_store(&s.fails, true);
    struct asker a = {.s = &s, .name = "b", .early = true};
    ask_start(&a);
    wait_known(&s);
    atomic_store(&s.held, false);
    pthread_join(a.thread, NULL);
    assert_int_equal(a.code, ERR_NET);
    atomic_store(&s.fails, false);
    rig_mark(&s.r);
    assert_int_equal(stat_of(&s.r, "b").st_size, 2);
    assert_int_equal(rig_requests(&s.r), 0);
    assert_int_equal(stat_of(&s.r, "c").st_size, 3);
    assert_int_equal(rig_count(&s.r, MEM_LIST), 1);
    rig_stop(&s.r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_known_before_all_of_its_page_has_come),
        cmocka_unit_test(it_takes_the_answer_of_the_head_beside_the_listing_as_well),
        cmocka_unit_test(who_needs_a_name_that_comes_with_it_does_not_ask),
        cmocka_unit_test(what_only_the_whole_page_can_tell_waits_for_it),
        cmocka_unit_test(a_page_that_breaks_off_takes_nothing_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
