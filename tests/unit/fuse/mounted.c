#include "mounted.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct mounted m;

static void *run(void *arg)
{
    m.ended = session_run(m.session, NULL);
    return NULL;
}

static int start_with(unsigned waiters, bool passthrough)
{
    struct err e = ERR_INIT;

    if (access("/dev/fuse", R_OK | W_OK) != 0)
        return 0;
    snprintf(m.dir, sizeof(m.dir), "/tmp/awsfs-test-XXXXXX");
    if (!mkdtemp(m.dir))
        return -1;
    m.notify = notify_new(&e);
    const struct vfs_config vc = {.notify = notify_callbacks(m.notify)};
    m.vfs = vfs_new(NULL, &vc, &e);
    const struct session_config sc = {.mountpoint = m.dir, .source = "test,with a comma", .allow_other = true, .waiters = waiters,
                                      .passthrough = passthrough};
    m.session = session_new(m.vfs, m.notify, &sc, &e);
    if (!m.session)
        fail_msg("%s", e.msg);
    alarm(60); /* a hang ends the program, which ends the mount */
    return pthread_create(&m.thread, NULL, run, NULL);
}

int start(void **state)
{
    return start_with(0, true);
}

int start_with_one_waiter(void **state)
{
    return start_with(1, true);
}

int start_without_passthrough(void **state)
{
    return start_with(0, false);
}

int stop(void **state)
{
    if (!m.session)
        return 0;
    double_let_go();
    if (m.thread) {
        session_stop(m.session);
        pthread_join(m.thread, NULL);
    }
    session_free(m.session);
    vfs_free(m.vfs);
    notify_free(m.notify);
    int failed = rmdir(m.dir);
    memset(&m, 0, sizeof(m));
    alarm(0);
    return failed;
}

const char *at(const char *name)
{
    static _Thread_local char paths[4][128];
    static _Thread_local unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, 128, "%s/%s", m.dir, name);
    return path;
}

int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool eventually(bool (*holds)(void *arg), void *arg)
{
    for (int i = 0; i < 500; i++) {
        if (holds(arg))
            return true;
        usleep(10000);
    }
    return false;
}

bool waiting_is(void *arg)
{
    return double_waiting() == (unsigned)(uintptr_t)arg;
}

pid_t fork_alone(int keep)
{
    pid_t pid = fork();

    if (pid == 0)
        for (int fd = 3; fd < 256; fd++)
            if (fd != keep)
                close(fd);
    return pid;
}
