/* Making the connection to the kernel: what is asked of it at INIT, and the mount itself. */
#include "fuse/inside.h"
#include "fuse/machine.h"
#include "fuse/notify.h"
#include "fuse/retrieve.h"
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_WRITE    (1 << 20)
#define READAHEAD_KB 1024
#define MAX_REQUEST  (MAX_WRITE + (64 << 10)) /* with its header, names and attributes */

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct session *s = userdata;
    const unsigned wanted = FUSE_CAP_ASYNC_READ | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_READDIRPLUS |
                            FUSE_CAP_PARALLEL_DIROPS;
    /* Readdirplus always: a listing brings the attributes at no cost. No splice: it is slower. Both kinds of locks stay in
     * the kernel. Cached pages are dropped by notification, not by a changed mtime: an upload sets the server's. With ASYNC_DIO who waits in O_DIRECT could not be killed: the kernel
     * waits uninterruptibly and sends no INTERRUPT. */
    const unsigned unwanted = FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE |
                              FUSE_CAP_SPLICE_MOVE | FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_EXPORT_SUPPORT |
                              FUSE_CAP_FLOCK_LOCKS | FUSE_CAP_POSIX_LOCKS | FUSE_CAP_DONT_MASK | FUSE_CAP_POSIX_ACL |
                              FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_IOCTL_DIR |
                              FUSE_CAP_ASYNC_DIO;

    conn->want = (conn->want | (wanted & conn->capable)) & ~unwanted;
    conn->max_write = MAX_WRITE;
    /* Buffered reads count as background requests: a low limit would let parked ones stall the whole mount. */
    conn->max_background = 65535;
    conn->congestion_threshold = 65535;
    conn->time_gran = 1;
    /* The kernel takes the smaller of this and the device's, which raise_readahead() has set. */
    conn->max_readahead = READAHEAD_KB << 10;
    backings_ask(s, conn);
    if (s->config.ready)
        s->config.ready(s->config.arg);
}

static void log_libfuse(enum fuse_log_level level, const char *fmt, va_list ap)
{
    char line[400];

    vsnprintf(line, sizeof(line), fmt, ap);
    line[strcspn(line, "\n")] = '\0';
    log_line(level <= FUSE_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN, "libfuse", "%s", line);
}

static enum err_code mount_args(const struct session_config *c, struct fuse_args *args, struct err *e)
{
    CLEANUP(free) char *fsname = NULL;
    char *opts = NULL;
    const struct {
        bool on;
        const char *name;
    } flags[] = {{c->read_only, "ro"},   {c->allow_other, "allow_other"}, {c->noexec, "noexec"}, {c->noatime, "noatime"},
                 {c->nodiratime, "nodiratime"}, {c->sync, "sync"},        {c->dirsync, "dirsync"}};

    bool ok = asprintf(&fsname, "fsname=%s", c->source) >= 0;
    ok = ok && fuse_opt_add_opt(&opts, "default_permissions,nosuid,nodev,subtype=awsfs") == 0;
    ok = ok && fuse_opt_add_opt_escaped(&opts, fsname) == 0;
    for (size_t i = 0; ok && i < ARRAY_LEN(flags); i++)
        ok = !flags[i].on || fuse_opt_add_opt(&opts, flags[i].name) == 0;
    ok = ok && fuse_opt_add_arg(args, "awsfs") == 0 && fuse_opt_add_arg(args, "-o") == 0 &&
         fuse_opt_add_arg(args, opts) == 0;
    free(opts);
    return ok ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for the mount's options");
}

/* The kernel reads 128 KiB ahead unless root raises it for the mounted device, before INIT is answered. Asked with
 * AT_STATX_DONT_SYNC, so no request comes of it: nobody serves yet. */
static void raise_readahead(const char *mountpoint)
{
    struct statx st;
    char path[64];

    if (geteuid() != 0 || statx(AT_FDCWD, mountpoint, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE, &st) != 0)
        return;
    snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major, st.stx_dev_minor);
    FILE *f = fopen(path, "we");
    bool ok = f && fprintf(f, "%d\n", READAHEAD_KB) > 0;
    if (f && fclose(f) != 0)
        ok = false;
    if (!ok)
        LOG_DEBUG("fuse", "%s: %s; the kernel reads ahead 128 KiB", path, strerror(errno));
}

/* What fusermount3 would refuse with a line of its own. */
static enum err_code check_user(const struct session_config *c, struct err *e)
{
    if (geteuid() != 0 && access(c->mountpoint, W_OK) != 0)
        return err_sys(e, errno, "mount point %s: who is not root must be allowed to write to it", c->mountpoint);
    enum err_code code = c->allow_other ? machine_allows_other(e) : ERR_OK;
    return code == ERR_OK ? ERR_OK : err_prefix(e, code, "option allow_other");
}

static void watch_over(struct session *s)
{
    struct err e = ERR_INIT;

    if (watchdog_start(&s->watchdog, fuse_session_fd(s->se), MAX_REQUEST, &e) != ERR_OK)
        LOG_WARN("fuse", "%s; were this daemon killed, programs could wait until awsfs umount", e.msg);
}

enum err_code session_connect(struct session *s, struct err *e)
{
    struct fuse_lowlevel_ops ops = {.init = op_init};
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);

    names_ops(&ops);
    attrs_ops(&ops);
    files_ops(&ops);
    dirs_ops(&ops);
    xattrs_ops(&ops);
    retrieve_ops(&ops);
    enum err_code code = machine_can_mount(e);
    if (code == ERR_OK)
        code = check_user(&s->config, e);
    if (code == ERR_OK)
        code = mount_args(&s->config, &args, e);
    if (code == ERR_OK) {
        fuse_set_log_func(log_libfuse);
        s->se = fuse_session_new(&args, &ops, sizeof(ops), s);
        if (!s->se)
            code = err_set(e, ERR_IO, "libfuse refuses the mount's options (see the log)");
    }
    fuse_opt_free_args(&args);
    if (code != ERR_OK)
        return code;
    errno = 0;
    if (fuse_session_mount(s->se, s->mountpoint) != 0) {
        int why = errno;
        fuse_session_destroy(TAKE(s->se));
        if (!why)
            return err_set(e, ERR_IO, "mount %s: refused (see the line before)", s->mountpoint);
        return err_sys(e, why, "mount %s", s->mountpoint);
    }
    int failed = wire_install(s->se);
    if (failed)
        return err_sys(e, failed < 0 ? -failed : failed, "fuse_session_custom_io");
    raise_readahead(s->mountpoint);
    notify_attach(s->notify, s->se);
    watch_over(s);
    return ERR_OK;
}
