/*
 * awsfs-powerloss DIR: a file system in memory whose power can be cut, mounted at DIR. What it models stands in disk.h.
 *
 * It is told what to do by lines of its standard input, and tells what has happened by lines of its standard output:
 *   (at the start)                        mounted
 *   lose HOW SEED AFTER PID[,PID...]      armed
 *       AFTER more changes later          lost {"names_lost": N, ...}
 *   mount                                 mounted           with what has survived
 *   lie                                   lying             from now on nothing is durable by fsync, which says that it is
 * HOW is all, none or some: what is lost of that which was not made durable. The processes are killed in that moment (0: none; -1:
 * who asks for the change before which it goes); all that is asked of the file system afterwards is EIO, until it is mounted
 * again. Another `lose` replaces one that was not due yet, and does nothing when the power is gone. It ends at the end of its input.
 */
#include "fs.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE = 256, PIDS = 8 };

static struct power {
    struct fs fs;
    enum loss loss;
    uint64_t seed;
    pid_t pids[PIDS];
    unsigned n_pids;
    struct fuse_session *session;
    const char *dir;
} power;

static void say_lost(void)
{
    const struct counts *c = &power.fs.disk->counts;
    printf("lost {\"names_lost\": %llu, \"names_kept\": %llu, \"pages_lost\": %llu, \"pages_kept\": %llu, \"pages_torn\": %llu, "
           "\"sizes_lost\": %llu, \"truncations_lost\": %llu}\n",
           (unsigned long long)c->names_lost, (unsigned long long)c->names_kept, (unsigned long long)c->pages_lost,
           (unsigned long long)c->pages_kept, (unsigned long long)c->pages_torn, (unsigned long long)c->sizes_lost,
           (unsigned long long)c->truncations_lost);
}

static void lose(struct fs *fs)
{
    for (unsigned k = 0; k < power.n_pids; k++)
        if (power.pids[k] > 0 || fs->asker > 0)
            kill(power.pids[k] > 0 ? power.pids[k] : fs->asker, SIGKILL);
    disk_lose(fs->disk, power.loss, power.seed);
    fs->armed = false;
    fs->lost = true;
    say_lost();
}

static void mount_it(void)
{
    char *argv[] = {(char *)"awsfs-powerloss", (char *)"-ofsname=powerloss", NULL}; /* copied before they change */
    struct fuse_args args = FUSE_ARGS_INIT(2, argv);
    power.session = fuse_session_new(&args, &fs_ops, sizeof(fs_ops), &power.fs);
    if (!power.session || fuse_session_mount(power.session, power.dir) != 0)
        errx(1, "cannot mount at %s", power.dir);
    fuse_opt_free_args(&args);
    puts("mounted");
}

/* Who still waits for an answer gets an error with the end of the connection. */
static void umount_it(void)
{
    fuse_session_unmount(power.session);
    fuse_session_destroy(power.session);
    power.session = NULL;
    fs_forget_all(&power.fs);
}

static void arm(char *line)
{
    char how[8] = "";
    unsigned long long seed = 0, after = 0;
    int at = 0;
    if (sscanf(line, "lose %7s %llu %llu %n", how, &seed, &after, &at) != 3)
        errx(1, "not understood: %s", line);
    if (power.fs.lost)
        return;
    power.loss = strcmp(how, "all") == 0 ? LOSE_ALL : strcmp(how, "none") == 0 ? LOSE_NONE : LOSE_SOME;
    power.seed = seed;
    power.n_pids = 0;
    for (char *pid = strtok(line + at, ","); pid && power.n_pids < PIDS; pid = strtok(NULL, ","))
        if (atoi(pid) != 0)
            power.pids[power.n_pids++] = atoi(pid);
    power.fs.after = after;
    power.fs.armed = true;
    puts("armed");
    if (after == 0 && power.n_pids > 0 && power.pids[0] == -1)
        return;
    if (after == 0)
        lose(&power.fs);
}

/* False at the end. */
static bool obey(void)
{
    char line[LINE];
    if (!fgets(line, sizeof(line), stdin))
        return false;
    if (strncmp(line, "lose ", 5) == 0) {
        arm(line);
    } else if (strcmp(line, "mount\n") == 0) {
        umount_it();
        power.fs.lost = false;
        mount_it();
    } else if (strcmp(line, "lie\n") == 0) {
        power.fs.lies = true;
        puts("lying");
    } else {
        errx(1, "not understood: %s", line);
    }
    return true;
}

/* False when it was unmounted. */
static bool answer(struct fuse_buf *buf)
{
    int n = fuse_session_receive_buf(power.session, buf);
    if (n > 0)
        fuse_session_process_buf(power.session, buf);
    return n > 0 || n == -EINTR || n == -EAGAIN;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        errx(2, "usage: awsfs-powerloss DIR");
    setvbuf(stdout, NULL, _IOLBF, 0);
    setvbuf(stdin, NULL, _IONBF, 0); /* poll() knows nothing of a buffer */
    power.dir = argv[1];
    power.fs.lose = lose;
    power.fs.disk = disk_new(1);
    if (!power.fs.disk)
        errx(1, "no memory");
    mount_it();
    struct fuse_buf buf = {0};
    for (bool on = true; on;) {
        struct pollfd fds[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fuse_session_fd(power.session), .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[0].revents)
            on = obey();
        else if (fds[1].revents)
            on = answer(&buf);
    }
    umount_it();
    free(buf.mem);
    return 0;
}
