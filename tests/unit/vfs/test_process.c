#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vfs/process.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *of_this_thread(void *arg)
{
    *(pid_t *)arg = process_of((pid_t)syscall(SYS_gettid));
    return NULL;
}

static void a_thread_is_of_its_process(void **state)
{
    pid_t found = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, of_this_thread, &found), 0);
    pthread_join(thread, NULL);
    assert_int_equal(found, getpid());
    assert_int_equal(process_of(getpid()), getpid());
    assert_int_equal(process_of(0), 0);
}

static void a_process_that_has_ended_is_none_and_one_that_is_not_waited_for_does_not_live(void **state)
{
    pid_t child = fork();
    siginfo_t info;
    if (child == 0)
        _exit(0);
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
    assert_false(process_lives(child));
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(process_of(child), 0);
    assert_true(process_lives(getpid()));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_is_of_its_process),
        cmocka_unit_test(a_process_that_has_ended_is_none_and_one_that_is_not_waited_for_does_not_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
