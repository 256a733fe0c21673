#include "cli/mount.h"

#include "cache/cache.h"
#include "cli/config.h"
#include "cli/control.h"
#include "cli/daemon.h"
#include "cli/environment.h"
#include "cli/mounts.h"
#include "cli/options.h"
#include "cli/sdnotify.h"
#include "cli/source.h"
#include "cli/stack.h"
#include "cli/unsent.h"
#include "fuse/session.h"
#include "util/cancel.h"
#include "util/clock.h"
#include "util/json.h"
#include "util/log.h"
#include "vfs/vfs.h"
#include "writeback/writeback.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* What a mount is made of while it lives. */
struct mounted {
    struct stack stack;
    struct daemon daemon;
    struct control *control;
    struct environment environment;
};

static void on_ready(void *arg)
{
    struct mounted *m = arg;

    LOG_INFO("mount", "%s is mounted at %s", m->stack.source->text, m->stack.mountpoint);
    daemon_ready(&m->daemon);
    sd_tell("READY=1\nMAINPID=%d\nSTATUS=serving %s", (int)getpid(), m->stack.source->text);
}

static void on_stopping(void *arg, const char *what)
{
    struct mounted *m = arg;

    atomic_store(&m->stack.ending, true);
    LOG_INFO("mount", "%s", what);
    sd_tell("STOPPING=1\nSTATUS=%s", what);
}

/* A signal ends a drain that would go on for ever. All threads have them blocked. */
static bool signal_came(void)
{
    static const struct timespec now = {0};
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return sigtimedwait(&set, NULL, &now) > 0;
}

static void tell_progress(void *arg, uint64_t files, uint64_t bytes)
{
    if (arg && signal_came())
        cancel_fire(arg);
    sd_tell("STATUS=sending: %llu files, %llu MiB left", (unsigned long long)files, (unsigned long long)bytes >> 20);
}

static void control_status(void *arg, struct buf *out)
{
    stack_status(arg, out);
}

static void control_retry(void *arg, const char *record)
{
    const struct stack *s = arg;

    if (record)
        vfs_retry(s->vfs, record);
    else if (s->writeback)
        writeback_retry(s->writeback);
}

static void control_changed(void *arg, const char *key)
{
    const struct stack *s = arg;

    vfs_changed(s->vfs, key);
}

static enum err_code control_flush(void *arg, void (*progress)(void *p, uint64_t files, uint64_t bytes), void *p,
                                   struct err *e)
{
    struct stack *s = arg;

    return unsent_drain(s, false, NULL, progress, p, e);
}

static uint64_t control_kept(void *arg)
{
    const struct stack *s = arg;

    return vfs_kept(s->vfs);
}

static void control_settle(void *arg)
{
    struct stack *s = arg;

    uint64_t until_ms = clock_mono_ms() + SESSION_SETTLE_MS;
    vfs_settle_cache(s->vfs, SESSION_SETTLE_MS);
    uint64_t now_ms = clock_mono_ms();
    (void)cache_settle(s->cache, now_ms < until_ms ? until_ms - now_ms : 0);
}

static struct session *make_session(struct mounted *m, struct err *e)
{
    const struct options *o = m->stack.options;
    const struct session_config config = {
        .mountpoint = m->stack.mountpoint,
        .source = m->stack.source->text,
        .read_only = o->read_only,
        .secret = m->stack.source->is_ssm,
        .allow_other = o->allow_other,
        .noexec = o->noexec,
        .noatime = o->noatime,
        .nodiratime = o->nodiratime,
        .sync = o->sync,
        .dirsync = o->dirsync,
        .passthrough = o->passthrough == PASSTHROUGH_AUTO && m->stack.cache,
        .ready = on_ready,
        .stopping = on_stopping,
        .arg = m,
    };

    environment_hide(&m->environment);
    struct session *s = session_new(m->stack.vfs, m->stack.notify, &config, e);
    environment_restore(&m->environment);
    return s;
}

/* From the mount to its end. */
static enum err_code serve(struct mounted *m, struct err *e)
{
    struct stack *s = &m->stack;
    const struct control_ops ops = {.status = control_status, .flush = control_flush, .retry = control_retry, .changed = control_changed,
                                    .settle = control_settle, .kept = control_kept, .arg = s};
    struct err detail = ERR_INIT;

    s->session = make_session(m, e);
    if (!s->session)
        return e->code;
    m->control = control_new(s->mountpoint, &ops, &detail);
    if (!m->control)
        LOG_WARN("mount", "no status for this mount: %s", detail.msg);
    enum err_code code = session_run(s->session, e);
    vfs_let_go(s->vfs);
    /* After an unmount nobody waits for the daemon; who sent a signal does. */
    CLEANUP(cancel_unref) struct cancel *told = cancel_new();
    enum err_code drained = unsent_drain(s, !session_told_to_end(s->session), told, tell_progress, told, &detail);
    if (!drained)
        drained = vfs_check_told(s->vfs, &detail);
    if (drained) {
        LOG_ERROR("mount", "not everything could be sent: %s", detail.msg);
        if (code == ERR_OK)
            code = err_copy(e, &detail);
    }
    control_free(TAKE(m->control));
    session_free(TAKE(s->session));
    return code;
}

static void raise_limits(void)
{
    struct rlimit files;

    /* Each file being written has a descriptor, and so has each connection. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0)
            LOG_DEBUG("mount", "RLIMIT_NOFILE stays as it is");
    }
    umask(077);
}

static void say_slow(void *arg)
{
    stack_say_waiting(arg);
}

/* In the process that will serve. */
static int run_daemon(struct mounted *m, const struct mount_request *r)
{
    const struct options *o = m->stack.options;
    const char *log = o->log ? o->log : r->foreground ? "stderr" : "syslog";
    struct err e = ERR_INIT;

    enum err_code code = log_open(log, (enum log_level)o->log_level, &e);
    if (code == ERR_OK)
        code = daemon_leave(&m->daemon, &e);
    if (code != ERR_OK)
        return daemon_failed(&m->daemon, r->fail_status, e.msg);
    raise_limits();
    session_block_signals();
    json_init();
    m->daemon.slow = say_slow;
    m->daemon.slow_arg = &m->stack;
    daemon_guard(&m->daemon, r->fail_status);
    code = stack_build(&m->stack, &e);
    daemon_unguard(&m->daemon);
    if (code == ERR_OK)
        code = r->only_check ? ERR_OK : serve(m, &e);
    bool served = atomic_load(&m->stack.ending);
    stack_release(&m->stack);
    environment_release(&m->environment);
    if (code == ERR_OK) {
        daemon_ready(&m->daemon); /* no news where only_check */
        log_close();
        return 0;
    }
    /* What the command can tell its user is not told to the log too. */
    if (served)
        LOG_ERROR("mount", "%s", e.msg);
    log_close();
    return served ? r->fail_status : daemon_failed(&m->daemon, r->fail_status, e.msg);
}

static int complain(const struct err *e, int status)
{
    fprintf(stderr, "awsfs: %s\n", e->msg);
    return status;
}

int mount_run(const struct mount_request *r)
{
    CLEANUP_RELEASE(source_release) struct source source = {0};
    CLEANUP_RELEASE(options_release) struct options options = {0};
    char mountpoint[PATH_MAX];
    struct err e = ERR_INIT;

    if (source_parse(r->source, &source, &e) != ERR_OK ||
        options_read(&options, r->lists, r->n_lists, r->sloppy, source.text, source.is_ssm, &e) != ERR_OK)
        return complain(&e, r->usage_status);
    if (mounts_check_target(r->dir, mountpoint, &e) != ERR_OK)
        return complain(&e, r->fail_status);
    if (r->verbose)
        fprintf(stderr, "awsfs: mounting %s at %s\n", source.text, mountpoint);
    struct mounted m = {.stack = {.options = &options, .source = &source, .mountpoint = mountpoint,
                                  .lists = r->lists, .n_lists = r->n_lists, .state = STATE_INIT}};
    int status = daemon_start(&m.daemon, r->foreground);
    return status >= 0 ? status : run_daemon(&m, r);
}
