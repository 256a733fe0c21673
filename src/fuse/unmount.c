/* Removing a mount, with or without the daemon that serves it. */
#include "fuse/machine.h"
#include "fuse/session.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static enum err_code unmount_as_root(const char *mountpoint, int flags, struct err *e)
{
    if (umount2(mountpoint, UMOUNT_NOFOLLOW | flags) == 0)
        return ERR_OK;
    switch (errno) {
    case EBUSY:
        return err_set(e, ERR_BUSY, "%s is in use: a program has a file open or its working directory there", mountpoint);
    case EINVAL:
        return err_set(e, ERR_INVAL, "nothing is mounted at %s", mountpoint);
    default:
        return err_sys(e, errno, "umount %s", mountpoint);
    }
}

/* fusermount3 is setuid root; it gets a clean environment, so that no credentials of ours show in it. */
static enum err_code unmount_as_user(const char *mountpoint, bool lazy, struct err *e)
{
    char *with_lazy[] = {"fusermount3", "-u", "-q", "-z", "--", (char *)mountpoint, NULL};
    char *plain[] = {"fusermount3", "-u", "-q", "--", (char *)mountpoint, NULL};
    char *env[] = {"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
    const char *program = machine_fusermount();
    pid_t pid;
    int status, rc = program ? posix_spawn(&pid, program, NULL, NULL, lazy ? with_lazy : plain, env) : ENOENT;

    if (rc)
        return err_sys(e, rc, "fusermount3");
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_sys(e, errno, "fusermount3");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return ERR_OK;
    return err_set(e, ERR_BUSY, "fusermount3 could not unmount %s: it is in use, or not yours", mountpoint);
}

enum err_code session_unmount(const char *mountpoint, bool lazy, struct err *e)
{
    return geteuid() == 0 ? unmount_as_root(mountpoint, lazy ? MNT_DETACH : 0, e) : unmount_as_user(mountpoint, lazy, e);
}

enum err_code session_unmount_dead(const char *mountpoint, struct err *e)
{
    return geteuid() == 0 ? unmount_as_root(mountpoint, MNT_FORCE, e) : unmount_as_user(mountpoint, false, e);
}
