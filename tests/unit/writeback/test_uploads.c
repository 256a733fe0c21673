/* Uploads by parts: at every moment the record has what a kill at that moment would leave in the store. */
#include "support.h"

#include "util/cleanup.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

/* Looks at the record's directory from now on. */
static int watch(const struct fixture *f)
{
    char dir[128];
    (void)snprintf(dir, sizeof(dir), "%s/uploads", f->dir);
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    assert_true(fd >= 0 && inotify_add_watch(fd, dir, IN_MOVED_TO | IN_DELETE) >= 0);
    return fd;
}

static const char *step_of(const struct inotify_event *ev)
{
    const char *end = strrchr(ev->name, '.');
    bool made = ev->mask & IN_MOVED_TO;
    if (!end || (strcmp(end, ".intent") != 0 && strcmp(end, ".upload") != 0))
        return "";
    return strcmp(end, ".intent") == 0 ? made ? "+intent " : "-intent " : made ? "+id " : "-id ";
}

/* What has come to the record and what has gone, in order. */
static void steps(int fd, char out[256])
{
    char buf[16 * (sizeof(struct inotify_event) + NAME_MAX + 1)] __attribute__((aligned(__alignof__(struct inotify_event))));
    ssize_t n;
    *out = 0;
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        for (char *p = buf; p < buf + n; p += sizeof(struct inotify_event) + ((struct inotify_event *)p)->len)
            (void)strncat(out, step_of((struct inotify_event *)p), 255 - strlen(out));
}

static char *large(size_t len)
{
    char *p = malloc(len + 1);
    memset(p, 'u', len);
    p[len] = 0;
    return p;
}

static void an_intent_stays_until_the_id_is_recorded(void **state)
{
    struct fixture f = {.put_target = 4096};
    CLEANUP(free) char *text = large(10000);
    char seen[256];
    fixture_make(&f);
    CLEANUP(close) int fd = watch(&f);
    put_ok(f.s, "doc", text, "");
    drain_ok(&f);
    assert_int_equal(sent(&f, MEM_UPLOAD_FINISH), 1);
    steps(fd, seen);
    assert_string_equal(seen, "+intent +id -intent -id ");
    fixture_remove(&f);
}

static void limit_files(rlim_t size)
{
    const struct rlimit limit = {size, RLIM_INFINITY};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* From the answer to the beginning on no file can be written, and the upload cannot be aborted. */
static enum err_code spoil(void *arg, const struct mem_event *ev, struct err *e)
{
    if (ev->op == MEM_UPLOAD_ABORT && ev->phase == MEM_BEFORE)
        return err_set(e, ERR_TIMEOUT, "a fault of the test");
    if (ev->op == MEM_UPLOAD_BEGIN && ev->phase == MEM_AFTER)
        limit_files(0);
    return ERR_OK;
}

static void an_id_that_cannot_be_recorded_leaves_its_intent(void **state)
{
    struct fixture f = {.put_target = 4096, .linger_ms = 60000, .patience_ms = 300};
    struct err e = ERR_INIT;
    CLEANUP(free) char *text = large(10000);
    char seen[256];
    fixture_make(&f);
    CLEANUP(close) int fd = watch(&f);
    put_ok(f.s, "doc", text, "");
    (void)signal(SIGXFSZ, SIG_IGN);
    mem_store_set_hook(f.mem, (struct mem_hook){spoil, NULL});
    assert_int_not_equal(writeback_drain(f.w, false, NULL, NULL, NULL, &e), ERR_OK);
    mem_store_set_hook(f.mem, (struct mem_hook){NULL, NULL});
    limit_files(RLIM_INFINITY);
    steps(fd, seen);
    assert_string_equal(seen, "+intent ");
    assert_int_equal(mem_store_uploads(f.mem), 1);
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_intent_stays_until_the_id_is_recorded),
        cmocka_unit_test(an_id_that_cannot_be_recorded_leaves_its_intent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
