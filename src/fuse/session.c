#include "fuse/session.h"

#include "fuse/inside.h"
#include "fuse/notify.h"
#include "util/clock.h"
#include "util/log.h"
#include "util/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define WORKERS 10
#define WAITERS 64

/* At a SIGTERM the mount is detached; programs that still use it have this long to let go. */
#define LINGER_MS 5000
/* ---- Beginning */

struct session *session_new(struct vfs *vfs, struct notify *notify, const struct session_config *config, struct err *e)
{
    CLEANUP(session_free) struct session *s = calloc(1, sizeof(*s));
    if (!s) {
        err_set(e, ERR_NOMEM, "no memory for a mount");
        return NULL;
    }
    lock_init(&s->lock, "session", LOCK_LEAF);
    cond_init(&s->landed);
    s->vfs = vfs;
    s->notify = notify;
    s->config = *config;
    s->config.mountpoint = s->mountpoint = strdup(config->mountpoint);
    s->config.source = s->source = strdup(config->source);
    s->config.workers = config->workers ? config->workers : WORKERS;
    unsigned waiters = config->waiters ? config->waiters : WAITERS;
    s->pool = pool_new("awsfs-wait", waiters, e);
    s->changes = pool_new("awsfs-change", waiters, e);
    if (backings_init(&s->backings, e) != ERR_OK || !s->pool || !s->changes || interrupt_start(s, e) != ERR_OK)
        return NULL;
    if (!s->mountpoint || !s->source) {
        err_set(e, ERR_NOMEM, "no memory for a mount");
        return NULL;
    }
    if (session_connect(s, e) != ERR_OK)
        return NULL;
    return TAKE(s);
}

/* ---- Running and ending */

static enum err_code loop(struct session *s, struct err *e)
{
    struct fuse_loop_config *cfg = fuse_loop_cfg_create();

    if (!cfg)
        return err_set(e, ERR_NOMEM, "no memory for the workers");
    fuse_loop_cfg_set_clone_fd(cfg, 1);
    fuse_loop_cfg_set_max_threads(cfg, s->config.workers);
    fuse_loop_cfg_set_idle_threads(cfg, s->config.workers);
    int rc = fuse_session_loop_mt(s->se, cfg);
    fuse_loop_cfg_destroy(cfg);
    if (rc < 0 && rc != -ENODEV)
        return err_sys(e, -rc, "the connection to the kernel");
    return ERR_OK;
}

/* Cancels what waits, now and from now on: nobody is there to take its answer. Bytes written are kept by the vfs. */
static void cancel_flights(struct session *s)
{
    struct cancel *open[64];
    size_t n;

    do {
        n = 0;
        lock_take(&s->lock);
        s->canceling = true;
        for (struct flight *f = s->flights; f && n < ARRAY_LEN(open); f = f->next)
            if (!cancel_fired(f->cancel))
                open[n++] = cancel_ref(f->cancel);
        lock_drop(&s->lock);
        for (size_t i = 0; i < n; i++) {
            cancel_fire(open[i]);
            cancel_unref(open[i]);
        }
    } while (n);
}

/* The loop has ended: returns when no request is under way. */
static void land_all(struct session *s)
{
    cancel_flights(s);
    LOCK_SCOPE(&s->lock);
    s->ended = true;
    while (s->n_flights)
        cond_wait(&s->landed, &s->lock, UINT64_MAX);
}

static void say_stopping(struct session *s, const char *what)
{
    lock_take(&s->lock);
    bool first = !s->stopping;
    s->stopping = true;
    lock_drop(&s->lock);
    if (first && s->config.stopping)
        s->config.stopping(s->config.arg, what);
}

static bool has_ended(struct session *s)
{
    LOCK_SCOPE(&s->lock);
    return s->ended;
}

static void stop_serving(struct session *s)
{
    struct err e = ERR_INIT;

    lock_take(&s->lock);
    s->told = true;
    lock_drop(&s->lock);
    say_stopping(s, "finishing what is being written");
    if (vfs_drain(s->vfs, NULL, NULL, &e) != ERR_OK)
        LOG_ERROR("fuse", "at the end of the mount: %s", e.msg);
    vfs_settle_cache(s->vfs, SESSION_SETTLE_MS);
    if (!has_ended(s)) {
        if (session_unmount(s->mountpoint, true, &e) != ERR_OK)
            LOG_WARN("fuse", "%s", e.msg);
        else
            s->detached = true;
    }
    /* With nobody inside, the kernel ends the loop by itself. */
    uint64_t until = clock_mono_ms() + LINGER_MS;
    while (!has_ended(s)) {
        if (clock_mono_ms() > until) {
            /* A notification can stand behind a request: so it must end while requests are still read and answered. */
            cancel_flights(s);
            if (!notify_detach(s->notify, LINGER_MS))
                LOG_WARN("fuse", "a notification of the kernel does not end");
            fuse_session_exit(s->se);
            pthread_kill(s->main, SIGUSR1); /* its sem_wait() ends with EINTR and sees the flag */
        }
        struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL);
    }
}

/* libfuse unmounts by path at its end unless its descriptor says that the connection has ended. Where the mount was detached
 * before, a successor's may be at that path by now: so the descriptor is replaced by one that says so, a pipe without reader. */
static void let_go_of_mount(struct session *s)
{
    int ends[2];

    if (s->detached && pipe2(ends, O_CLOEXEC) == 0) {
        close(ends[0]);
        dup2(ends[1], fuse_session_fd(s->se));
        close(ends[1]);
    }
    fuse_session_unmount(s->se);
}

static void *watch_signals(void *arg)
{
    struct session *s = arg;
    sigset_t set;
    int sig;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    while (sigwait(&set, &sig) == 0 && !has_ended(s)) {
        if (sig == SIGHUP)
            log_reopen();
        else if (sig != SIGUSR1)
            stop_serving(s);
    }
    return NULL;
}

static void on_wake(int sig)
{
}

void session_block_signals(void)
{
    const int blocked[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct sigaction ignore = {.sa_handler = SIG_IGN}, wake = {.sa_handler = on_wake};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LEN(blocked); i++)
        sigaddset(&set, blocked[i]);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGUSR1, &wake, NULL);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

enum err_code session_run(struct session *s, struct err *e)
{
    sigset_t usr1;

    s->main = pthread_self();
    if (pthread_create(&s->signals, NULL, watch_signals, s) != 0)
        return err_set(e, ERR_NOMEM, "cannot start the thread that waits for signals");
    lock_take(&s->lock);
    s->signals_running = true;
    if (s->stop_wanted)
        pthread_kill(s->signals, SIGTERM);
    lock_drop(&s->lock);
    /* Open for this thread only while it serves: it is how stop_serving() wakes it. */
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
    enum err_code code = loop(s, e);
    pthread_sigmask(SIG_BLOCK, &usr1, NULL);

    watchdog_begin(&s->watchdog);
    land_all(s);
    say_stopping(s, "unmounted: finishing what is being written");
    notify_detach(s->notify, LINGER_MS);
    lock_take(&s->lock);
    s->signals_running = false;
    pthread_kill(s->signals, SIGUSR1);
    lock_drop(&s->lock);
    pthread_join(s->signals, NULL);
    let_go_of_mount(s);
    return code;
}

void session_stop(struct session *s)
{
    LOCK_SCOPE(&s->lock);
    s->stop_wanted = true;
    if (s->signals_running)
        pthread_kill(s->signals, SIGTERM);
}

bool session_told_to_end(struct session *s)
{
    LOCK_SCOPE(&s->lock);
    return s->told;
}

void session_stats(struct session *s, struct session_stats *out)
{
    LOCK_SCOPE(&s->lock);
    *out = (struct session_stats){
        .served = atomic_load(&s->served),
        .deferred = atomic_load(&s->deferred),
        .interrupted = atomic_load(&s->interrupted),
        .waiting = s->n_flights,
        .killpriv = atomic_load(&s->wire.kill_suidgid),
        .passthrough = atomic_load(&s->backings.on),
        .passthrough_opens = atomic_load(&s->backings.opens),
    };
}

void session_free(struct session *s)
{
    if (!s)
        return;
    pool_free(s->pool);
    pool_free(s->changes);
    interrupt_stop(s);
    if (s->se) {
        fuse_session_unmount(s->se);
        watchdog_begin(&s->watchdog);
        /* Should a notification still hang, leaving the session alone is all that is safe; the watchdog ends with the process then. */
        if (notify_detach(s->notify, LINGER_MS)) {
            watchdog_stop(&s->watchdog);
            fuse_session_destroy(s->se);
        }
    }
    backings_release(&s->backings);
    cond_release(&s->landed);
    lock_release(&s->lock);
    free(s->mountpoint);
    free(s->source);
    free(s);
}
