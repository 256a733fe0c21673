#include "util/secret.h"

#include "util/log.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The "VmFlags:" of the mapping that holds `p`. */
static void read_flags(const void *p, char out[1000])
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[1000];
    unsigned long from, to;
    int inside = 0;
    assert_non_null(maps);
    out[0] = '\0';
    while (fgets(line, sizeof(line), maps)) {
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (uintptr_t)p >= from && (uintptr_t)p < to;
        if (inside && strncmp(line, "VmFlags:", 8) == 0)
            memcpy(out, line, sizeof(line));
    }
    fclose(maps);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MLOCK_IS_EMPTY 1 /* the sanitizers' run-time replaces mlock() with nothing */
#else
#define MLOCK_IS_EMPTY 0
#endif

static void memory_is_locked_and_left_out_of_dumps_and_children(void **state)
{
    static const size_t sizes[] = {1, 100, 8193, 100000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        CLEANUP(secret_free) char *p = secret_alloc(sizes[i]);
        char flags[1000];
        assert_non_null(p);
        read_flags(p, flags);
        assert_non_null(strstr(flags, " dd"));
        assert_non_null(strstr(flags, " dc"));
        if (!MLOCK_IS_EMPTY)
            assert_non_null(strstr(flags, " lo"));
    }
}

static void memory_is_zeroed_aligned_and_apart(void **state)
{
    char *p[400] = {NULL};
    size_t size[400];
    unsigned seed = 1;
    for (int round = 0; round < 5000; round++) {
        int i = rand_r(&seed) % 400;
        if (p[i]) {
            for (size_t k = 0; k < size[i]; k++)
                assert_int_equal(p[i][k], (char)i);
            secret_free(p[i]);
        }
        size[i] = (size_t)rand_r(&seed) % (round % 50 ? 500 : 40000);
        p[i] = secret_alloc(size[i]);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t k = 0; k < size[i]; k++)
            assert_int_equal(p[i][k], 0);
        memset(p[i], i, size[i]);
    }
    for (int i = 0; i < 400; i++)
        secret_free(p[i]);
}

static void freed_memory_is_wiped_and_used_again(void **state)
{
    char *a = secret_dup("hunter2-hunter2-hunter2-hunter2", 31);
    assert_string_equal(a, "hunter2-hunter2-hunter2-hunter2");
    secret_free(a);
    /* The arena keeps the block mapped; its first bytes hold the link of the free list. */
    for (size_t i = sizeof(void *); i < 32; i++)
        assert_int_equal(((volatile char *)a)[i], 0);
    char *b = secret_alloc(32);
    assert_ptr_equal(a, b);
    secret_free(b);
    secret_free(NULL);
}

static void small_values_share_pages(void **state)
{
    char *p[100];
    size_t pages = 0;
    uintptr_t last = 0;
    for (int i = 0; i < 100; i++) {
        p[i] = secret_alloc(20);
        pages += ((uintptr_t)p[i] >> 12) != last;
        last = (uintptr_t)p[i] >> 12;
    }
    assert_in_range(pages, 1, 20);
    for (int i = 0; i < 100; i++)
        secret_free(p[i]);
}

static void impossible_sizes_give_null(void **state)
{
    assert_null(secret_alloc(SIZE_MAX));
    assert_null(secret_alloc(SIZE_MAX - 16));
    assert_null(secret_alloc(SIZE_MAX - 5000));
    assert_null(secret_dup("", SIZE_MAX));
    CLEANUP(secret_free) char *empty = secret_dup(NULL, 0);
    assert_string_equal(empty, "");
}

static void *allocate(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < 3000; i++) {
        size_t size = 1 + (size_t)rand_r(&seed) % 3000;
        char *p = secret_alloc(size);
        if (!p)
            return arg;
        memset(p, 'x', size);
        secret_free(p);
    }
    return NULL;
}

static void threads_share_the_arena(void **state)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, allocate, (void *)(i + 1)), 0);
    for (int i = 0; i < 4; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static void wiping_leaves_zeros(void **state)
{
    char text[] = "hunter2";
    secret_wipe(text, sizeof(text));
    assert_memory_equal(text, "\0\0\0\0\0\0\0\0", 8);
    secret_wipe(NULL, 0);
}

/* In a child, because it cannot be taken back. */
static void no_core_is_for_the_whole_process(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit core = {1, 1};
        bool ok = secret_init(false, true, NULL) == ERR_OK && getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0;
        _exit(ok ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_child_begins_with_nothing_of_its_parent(void **state)
{
    secret_free(secret_alloc(20));
    pid_t pid = fork();
    if (pid == 0) {
        char *p = secret_dup("child", 5);
        _exit(p && strcmp(p, "child") == 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool lose_privileges(void)
{
    struct rlimit none = {0, 0};
    return setrlimit(RLIMIT_MEMLOCK, &none) == 0 && (geteuid() != 0 || setuid(65534) == 0);
}

/* In a child where nothing can be locked: what secret_alloc() gives. The limit is there before secret_init() or comes after
 * it, when memory was already known to be lockable. */
static bool child_gets_memory(bool require_lock, bool limited_before)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct err e;
        if (log_open("/dev/null", LOG_LEVEL_ERROR, &e) != ERR_OK || (limited_before && !lose_privileges()) ||
            secret_init(require_lock, false, &e) != ERR_OK || (!limited_before && !lose_privileges()))
            _exit(2);
        _exit(secret_alloc(100000) ? 1 : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 2);
    return WEXITSTATUS(status) == 1;
}

static void memory_that_cannot_be_locked_is_refused_only_where_no_limit_is_the_reason(void **state)
{
    if (MLOCK_IS_EMPTY || geteuid() != 0)
        skip();
    assert_true(child_gets_memory(false, true));
    assert_true(child_gets_memory(false, false));
    assert_true(child_gets_memory(true, true));
    struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    if (setrlimit(RLIMIT_MEMLOCK, &none) == 0)
        assert_false(child_gets_memory(true, false));
}

/* On the real stack, also under the address sanitizer. Returns where it was. */
__attribute__((noinline, no_sanitize_address)) static uintptr_t leave_on_stack(void)
{
    volatile char key[64];

    for (size_t i = 0; i < sizeof(key); i++)
        key[i] = 'K';
    return (uintptr_t)key;
}

__attribute__((noinline, no_sanitize_address)) static unsigned keys_left_at(uintptr_t at)
{
    unsigned n = 0;

    for (size_t i = 0; i < 64; i++)
        n += *(volatile char *)(at + i) == 'K';
    return n;
}

static void what_calls_left_on_the_stack_is_wiped(void **state)
{
    (void)state;
    uintptr_t at = leave_on_stack();
    secret_wipe_stack(16384);
    assert_int_equal(keys_left_at(at), 0);
}

int main(void)
{
    if (secret_init(false, false, NULL) != ERR_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_values_share_pages),
        cmocka_unit_test(memory_is_locked_and_left_out_of_dumps_and_children),
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(freed_memory_is_wiped_and_used_again),
        cmocka_unit_test(impossible_sizes_give_null),
        cmocka_unit_test(threads_share_the_arena),
        cmocka_unit_test(wiping_leaves_zeros),
        cmocka_unit_test(a_child_begins_with_nothing_of_its_parent),
        cmocka_unit_test(no_core_is_for_the_whole_process),
        cmocka_unit_test(memory_that_cannot_be_locked_is_refused_only_where_no_limit_is_the_reason),
        cmocka_unit_test(what_calls_left_on_the_stack_is_wiped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
