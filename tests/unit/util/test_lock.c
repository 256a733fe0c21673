#include "util/lock.h"

#include "util/clock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Runs fn in a child process without a word on stderr; true when it aborted. */
static bool aborts(void (*fn)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        fn();
        _exit(0);
    }
    int status = 0;
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static struct lock tree = LOCK_INIT("tree", LOCK_VFS_TREE);
static struct lock inode = LOCK_INIT("inode", LOCK_VFS_INODE);
static struct lock inode_too = LOCK_INIT("inode too", LOCK_VFS_INODE);
static struct lock leaf = LOCK_INIT("leaf", LOCK_LEAF);

static void take_rising(void)
{
    lock_take(&tree);
    lock_take(&inode);
    lock_take(&leaf);
    lock_drop(&inode);
    lock_drop(&leaf);
    lock_take(&inode);
    lock_drop(&inode);
    lock_drop(&tree);
    lock_take(&tree);
    lock_drop(&tree);
}

static void locks_are_taken_in_rising_rank(void **state)
{
    assert_false(aborts(take_rising));
}

static void assert_not_held(void)
{
    lock_assert_held(&tree);
}

static void wait_without_the_lock(void)
{
    struct cond c;
    cond_init(&c);
    cond_wait(&c, &tree, clock_mono_ms() + 1);
}

static void an_assertion_fails_without_the_lock(void **state)
{
    lock_take(&tree);
    lock_assert_held(&tree);
    lock_drop(&tree);
    assert_true(aborts(assert_not_held));
    assert_true(aborts(wait_without_the_lock));
}

#ifndef NDEBUG_LOCKS
static void take_falling(void)
{
    lock_take(&inode);
    lock_take(&tree);
}

static void take_two_of_one_rank(void)
{
    lock_take(&inode);
    lock_take(&inode_too);
}

static void take_twice(void)
{
    lock_take(&tree);
    lock_take(&tree);
}

static void drop_what_is_not_held(void)
{
    lock_drop(&tree);
}

static void wait_on_an_outer_lock(void)
{
    struct cond c;
    cond_init(&c);
    lock_take(&tree);
    lock_take(&inode);
    cond_wait(&c, &tree, clock_mono_ms() + 1);
}

static void a_wrong_order_aborts(void **state)
{
    assert_true(aborts(take_falling));
    assert_true(aborts(take_two_of_one_rank));
    assert_true(aborts(take_twice));
    assert_true(aborts(drop_what_is_not_held));
    assert_true(aborts(wait_on_an_outer_lock));
}
#endif

static void a_scope_drops_its_lock_at_the_end(void **state)
{
    {
        LOCK_SCOPE(&tree);
        lock_assert_held(&tree);
    }
    assert_true(aborts(assert_not_held));
    lock_take(&tree);
    lock_drop(&tree);
}

struct counter {
    struct lock lock;
    struct cond changed;
    unsigned value;
    bool go;
};

static void *count(void *arg)
{
    struct counter *c = arg;
    LOCK_SCOPE(&c->lock);
    while (!c->go)
        cond_wait(&c->changed, &c->lock, UINT64_MAX);
    for (int i = 0; i < 10000; i++) {
        c->value++;
        lock_drop(&c->lock);
        lock_take(&c->lock);
    }
    cond_broadcast(&c->changed);
    return NULL;
}

static void threads_exclude_and_wake_each_other(void **state)
{
    struct counter c = {.value = 0};
    lock_init(&c.lock, "counter", LOCK_LEAF);
    cond_init(&c.changed);
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count, &c), 0);
    lock_take(&c.lock);
    c.go = true;
    cond_broadcast(&c.changed);
    while (c.value < 40000)
        assert_true(cond_wait(&c.changed, &c.lock, clock_mono_ms() + 30000));
    lock_drop(&c.lock);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cond_release(&c.changed);
    lock_release(&c.lock);
}

static void a_wait_ends_at_its_deadline(void **state)
{
    struct cond c;
    cond_init(&c);
    lock_take(&leaf);
    uint64_t start = clock_mono_ms();
    while (cond_wait(&c, &leaf, start + 50))
        ;
    assert_in_range(clock_mono_ms() - start, 50, 5000);
    assert_false(cond_wait(&c, &leaf, start));
    assert_false(cond_wait(&c, &leaf, 0));
    lock_assert_held(&leaf);
    lock_drop(&leaf);
    cond_release(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(locks_are_taken_in_rising_rank),
        cmocka_unit_test(an_assertion_fails_without_the_lock),
#ifndef NDEBUG_LOCKS
        cmocka_unit_test(a_wrong_order_aborts),
#endif
        cmocka_unit_test(a_scope_drops_its_lock_at_the_end),
        cmocka_unit_test(threads_exclude_and_wake_each_other),
        cmocka_unit_test(a_wait_ends_at_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
