#include "fuse/machine.h"

#include "util/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#define DEVICE         "/dev/fuse"
#define CAP_SYS_ADMIN_ 21 /* linux/capability.h */

/* The wire, as in linux/fuse.h: the header of a request is 40 bytes; INIT's body begins with major, minor,
 * max_readahead, flags and flags2 (bits 32 and up), each of 32 bits. */
enum { HEADER_SIZE = 40, INIT_FLAGS = 12, INIT_FLAGS2 = 16, OPCODE_INIT = 26, WAIT_MS = 1000 };
#define INIT_EXT_BIT    30 /* flags2 is valid */
#define PASSTHROUGH_BIT (37 - 32)

const char *machine_fusermount(void)
{
    static const char *const places[] = {"/usr/bin/fusermount3", "/bin/fusermount3", "/usr/local/bin/fusermount3"};

    for (size_t i = 0; i < ARRAY_LEN(places); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    return NULL;
}

/* Effective capabilities, from /proc: a root of a container often has not this one. */
static bool may_administrate(void)
{
    unsigned long long caps = 0;
    char line[256];
    FILE *f = fopen("/proc/self/status", "re");

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "CapEff: %llx", &caps) == 1)
            break;
    if (f)
        fclose(f);
    return caps >> CAP_SYS_ADMIN_ & 1;
}

enum err_code machine_can_mount(struct err *e)
{
    if (access(DEVICE, F_OK) != 0)
        return err_set(e, ERR_IO,
                       "no " DEVICE " here: load the kernel's module (modprobe fuse); in a container, give it the "
                       "device (--device " DEVICE ")");
    CLEANUP(close) int fd = open(DEVICE, O_RDWR | O_CLOEXEC); /* fusermount3 opens it with the user's rights too */
    if (fd < 0 && errno == EACCES)
        return err_set(e, ERR_PERM, "this user may not open " DEVICE " (Permission denied): root can allow it by chmod 666 " DEVICE);
    if (fd < 0)
        return err_sys(e, errno, DEVICE);
    if (geteuid() != 0)
        return machine_fusermount() ? ERR_OK
                                    : err_set(e, ERR_IO,
                                              "no fusermount3 here, which mounts for users other than root: "
                                              "install the package fuse3");
    if (!may_administrate())
        return err_set(e, ERR_PERM,
                       "root may not mount here (CAP_SYS_ADMIN is missing): give it to the container "
                       "(--cap-add SYS_ADMIN)");
    return ERR_OK;
}

enum err_code machine_allows_other(struct err *e)
{
    CLEANUP(free) char *line = NULL;
    size_t cap = 0;
    bool allowed = geteuid() == 0;
    FILE *f = allowed ? NULL : fopen("/etc/fuse.conf", "re");

    while (f && !allowed && getline(&line, &cap, f) > 0)
        allowed = strncmp(line, "user_allow_other", strlen("user_allow_other")) == 0;
    if (f)
        fclose(f);
    return allowed
               ? ERR_OK
               : err_set(e, ERR_PERM, "for users other than root it needs the line user_allow_other in /etc/fuse.conf");
}

/* ---- Passthrough */

/* A FUSE file system in memory, attached nowhere: the kernel sends INIT to `device` when it is created (fsopen(2)). */
static int make_superblock(int device)
{
    CLEANUP(close) int fs = (int)syscall(SYS_fsopen, "fuse", FSOPEN_CLOEXEC);
    char fd[16], id[16], group[16];
    const char *const options[][2] = {
        {"source", "awsfs-check"}, {"fd", fd}, {"rootmode", "40000"}, {"user_id", id}, {"group_id", group}};

    snprintf(fd, sizeof(fd), "%d", device);
    snprintf(id, sizeof(id), "%u", (unsigned)geteuid());
    snprintf(group, sizeof(group), "%u", (unsigned)getegid());
    if (fs < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0) != 0)
            return -1;
    if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
        return -1;
    int made = fs;
    fs = -1;
    return made;
}

static uint32_t u32_at(const unsigned char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* The kernel's INIT request, of which only the flags count. */
static enum err_code read_init(int device, bool *passes, struct err *e)
{
    struct pollfd ready = {.fd = device, .events = POLLIN};
    CLEANUP(free) unsigned char *request = malloc(1 << 20);

    if (!request)
        return err_set(e, ERR_NOMEM, "no memory");
    if (poll(&ready, 1, WAIT_MS) != 1)
        return err_set(e, ERR_IO, "the kernel began no session");
    ssize_t n = read(device, request, 1 << 20);
    if (n < HEADER_SIZE + INIT_FLAGS + 4 || u32_at(request + 4) != OPCODE_INIT)
        return err_set(e, ERR_IO, "the kernel began no session");
    bool extended = u32_at(request + HEADER_SIZE + INIT_FLAGS) >> INIT_EXT_BIT & 1;
    *passes = extended && n >= HEADER_SIZE + INIT_FLAGS2 + 4 &&
              (u32_at(request + HEADER_SIZE + INIT_FLAGS2) >> PASSTHROUGH_BIT & 1);
    return ERR_OK;
}

static bool kernel_before(unsigned major, unsigned minor, struct utsname *name)
{
    unsigned a = 0, b = 0;

    if (uname(name) != 0 || sscanf(name->release, "%u.%u", &a, &b) != 2)
        return false;
    return a < major || (a == major && b < minor);
}

enum err_code machine_grants_passthrough(struct err *e)
{
    struct utsname name;

    if (kernel_before(6, 9, &name))
        return err_set(e, ERR_UNSUPPORTED, "Linux %.40s: it needs 6.9 or newer", name.release);
    if (!may_administrate())
        return err_set(e, ERR_PERM, "the kernel grants it to root only (CAP_SYS_ADMIN)");
    return ERR_OK;
}

enum err_code machine_passes_through(struct err *e)
{
    bool passes = false;
    enum err_code code = machine_grants_passthrough(e);

    if (code != ERR_OK)
        return code;
    CLEANUP(close) int device = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (device < 0)
        return err_sys(e, errno, DEVICE);
    CLEANUP(close) int fs = make_superblock(device);
    if (fs < 0)
        return err_sys(e, errno, "it cannot be tried here");
    code = read_init(device, &passes, e);
    if (code != ERR_OK || passes)
        return code;
    return err_set(e, ERR_UNSUPPORTED, "the kernel is built without it (CONFIG_FUSE_PASSTHROUGH)");
}
