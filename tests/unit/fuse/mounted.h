/* The fixture: a mount of the double, served by a thread of the test. */
#ifndef TESTS_MOUNTED_H
#define TESTS_MOUNTED_H

#include "fuse/notify.h"
#include "fuse/session.h"
#include "vfs_double.h"

#include <pthread.h>
#include <sys/stat.h>

struct mounted {
    char dir[64];
    struct notify *notify;
    struct vfs *vfs;
    struct session *session; /* NULL: no /dev/fuse here */
    pthread_t thread;
    enum err_code ended;
};

extern struct mounted m;

/* Set-up and teardown. A hang ends the program after a minute, which ends the mount. */
int start(void **state);
int start_with_one_waiter(void **state);
int start_without_passthrough(void **state);
int stop(void **state);

#define MOUNTED(test) cmocka_unit_test_setup_teardown(test, start, stop)

/* A stat of the root, so that INIT has been answered. */
#define NEED_MOUNT                                                                                                         \
    do {                                                                                                                   \
        struct stat root_;                                                                                                 \
        if (!m.session)                                                                                                    \
            skip();                                                                                                        \
        assert_int_equal(stat(m.dir, &root_), 0);                                                                          \
    } while (0)

/* A path in the mount; good until the fourth call after it. */
const char *at(const char *name);

int64_t now_ms(void);

/* Asks for up to five seconds. */
bool eventually(bool (*holds)(void *arg), void *arg);

/* double_waiting() == (unsigned)arg */
bool waiting_is(void *arg);

/* A child that keeps no descriptor but `keep`: one of /dev/fuse would keep the connection of a failed test alive. */
pid_t fork_alone(int keep);

#endif
