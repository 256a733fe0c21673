/* The daemon's side of the control socket. accept4(), poll() and pthread_join() are wrapped: a test decides what a look finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/control.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stopping;    /* the thread that listens has been told to end */
    unsigned aborted; /* connections that are gone when they are accepted, from then on */
    unsigned full;    /* calls that still find no descriptor free */
    unsigned pauses;  /* without a look at who connects */
} stage = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

int __real_accept4(int fd, struct sockaddr *at, socklen_t *len, int flags);
int __wrap_accept4(int fd, struct sockaddr *at, socklen_t *len, int flags);
int __real_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int __real_pthread_join(pthread_t thread, void **out);
int __wrap_pthread_join(pthread_t thread, void **out);

int __wrap_accept4(int fd, struct sockaddr *at, socklen_t *len, int flags)
{
    pthread_mutex_lock(&stage.lock);
    if (stage.full > 0) {
        stage.full--;
        pthread_mutex_unlock(&stage.lock);
        errno = EMFILE;
        return -1;
    }
    bool early = !stage.stopping, aborted = !early && stage.aborted > 0;
    while (!stage.stopping)
        pthread_cond_wait(&stage.changed, &stage.lock);
    stage.aborted -= aborted;
    pthread_mutex_unlock(&stage.lock);
    if (!early && !aborted)
        return __real_accept4(fd, at, len, flags);
    errno = early ? EAGAIN : ECONNABORTED;
    return -1;
}

int __wrap_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    pthread_mutex_lock(&stage.lock);
    stage.pauses += n == 1;
    pthread_mutex_unlock(&stage.lock);
    return __real_poll(fds, n, timeout_ms);
}

int __wrap_pthread_join(pthread_t thread, void **out)
{
    pthread_mutex_lock(&stage.lock);
    stage.stopping = true;
    pthread_cond_broadcast(&stage.changed);
    pthread_mutex_unlock(&stage.lock);
    return __real_pthread_join(thread, out);
}

static void status(void *arg, struct buf *out)
{
    buf_add_str(out, arg);
}

static int connect_to(const char *mountpoint)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    char path[PATH_MAX];
    assert_int_equal(control_path(mountpoint, path, NULL), ERR_OK);
    assert_true(strlen(path) < sizeof(at.sun_path));
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    return fd;
}

static void who_connected_before_the_end_is_answered_whoever_else_went_away(void **state)
{
    const struct control_ops ops = {.status = status, .arg = "{}"};
    struct err e = ERR_INIT;
    char mountpoint[64], answer[16];
    stage.aborted = 2;
    snprintf(mountpoint, sizeof(mountpoint), "/test-control-%d", (int)getpid());
    struct control *c = control_new(mountpoint, &ops, &e);
    if (!c)
        fail_msg("%s", e.msg);
    int fd = connect_to(mountpoint);
    assert_int_equal(send(fd, "status\n", 7, 0), 7);
    control_free(c);
    assert_int_equal(recv(fd, answer, sizeof(answer), 0), 3);
    assert_memory_equal(answer, "{}\n", 3);
    close(fd);
}

/* ---- Requests */

static char told[CONTROL_LINE_MAX + 16];

static void retry(void *arg, const char *record)
{
    snprintf(told, sizeof(told), "retry %s", record ? record : "all that is journaled");
}

static void changed(void *arg, const char *key)
{
    snprintf(told, sizeof(told), "changed %s", key);
}

static enum err_code flush(void *arg, void (*progress)(void *p, uint64_t files, uint64_t bytes), void *p, struct err *e)
{
    return ERR_OK;
}

static uint64_t kept(void *arg)
{
    return 3;
}

static void a_request_says_what_it_is_for(void **state)
{
    static const struct {
        const char *request, *told, *answer;
    } rows[] = {
        {"retry\n", "retry all that is journaled", "done\n"},
        {"retry 00ff\n", "retry 00ff", "done\n"},
        {"changed a b/c\n", "changed a b/c", "done\n"},
        {"changed a", "", ""},
        {"unknown\n", "", ""},
        {"status\n", "", "{}\n"},
        {"flush\n", "", "kept 3\ndone\n"},
    };
    const struct control_ops ops = {.status = status, .retry = retry, .changed = changed, .flush = flush, .kept = kept, .arg = "{}"};
    struct err e = ERR_INIT;
    char mountpoint[64], answer[32];
    stage.stopping = true; /* nothing is held */
    stage.aborted = 0;
    snprintf(mountpoint, sizeof(mountpoint), "/test-control-%d", (int)getpid());
    struct control *c = control_new(mountpoint, &ops, &e);
    if (!c)
        fail_msg("%s", e.msg);
    for (size_t k = 0; k < sizeof(rows) / sizeof(rows[0]); k++) {
        told[0] = '\0';
        int fd = connect_to(mountpoint);
        size_t len = strlen(rows[k].request);
        assert_int_equal(send(fd, rows[k].request, len, 0), len);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_WAITALL);
        answer[n > 0 ? n : 0] = '\0';
        assert_string_equal(answer, rows[k].answer);
        assert_string_equal(told, rows[k].told);
        close(fd);
    }
    control_free(c);
}

static void who_comes_when_no_descriptor_is_free_is_answered_later_and_costs_little_until_then(void **state)
{
    const struct control_ops ops = {.status = status, .arg = "{}"};
    struct err e = ERR_INIT;
    char mountpoint[64], answer[16];
    stage.stopping = true;
    stage.full = 3;
    stage.pauses = 0;
    snprintf(mountpoint, sizeof(mountpoint), "/test-control-%d", (int)getpid());
    struct control *c = control_new(mountpoint, &ops, &e);
    if (!c)
        fail_msg("%s", e.msg);
    int fd = connect_to(mountpoint);
    assert_int_equal(send(fd, "status\n", 7, 0), 7);
    assert_int_equal(recv(fd, answer, sizeof(answer), 0), 3);
    close(fd);
    control_free(c);
    assert_int_equal(stage.full, 0);
    assert_in_range(stage.pauses, 3, 4); /* the end may come in one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_connected_before_the_end_is_answered_whoever_else_went_away),
        cmocka_unit_test(a_request_says_what_it_is_for),
        cmocka_unit_test(who_comes_when_no_descriptor_is_free_is_answered_later_and_costs_little_until_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
