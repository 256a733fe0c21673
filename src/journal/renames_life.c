/* Records that hold as long as the machine runs, and no longer. */
#include "journal/renames_file.h"
#include "util/cleanup.h"
#include "util/digest.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint32_t boot(void)
{
    char id[64];
    CLEANUP(close) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, id, sizeof(id));
    return crc32c(0, id, n > 0 ? (size_t)n : 0);
}

bool renames_life(int fd, char out[RENAMES_LIFE])
{
    struct stat st;
    if (fstat(fd, &st))
        return false;
    (void)snprintf(out, RENAMES_LIFE, "-%08x-%llx", boot(), (unsigned long long)st.st_ino);
    return true;
}

const char *renames_life_in(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strchr(slash ? slash : path, '-');
}

bool renames_is_past(const char *path, int fd)
{
    char now[RENAMES_LIFE];
    const char *life = renames_life_in(path);
    if (!life || !renames_life(fd, now))
        return false;
    size_t len = strlen(now);
    return strncmp(life, now, len) != 0 || life[len] != '.';
}
