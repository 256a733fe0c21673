#include "journal/stage.h"
#include "util/log.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define INFO ".info"

static bool has_info(int dir, const char *name)
{
    char info[NAME_MAX + 8];
    snprintf(info, sizeof(info), "%s" INFO, name);
    return faccessat(dir, info, F_OK, 0) == 0;
}

size_t stage_report_left(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return 0;
    size_t n = 0;
    for (struct dirent *entry; (entry = readdir(d));) {
        struct stat st;
        if (!str_starts(entry->d_name, "stage-") || str_ends(entry->d_name, INFO) || has_info(dirfd(d), entry->d_name))
            continue;
        if (fstatat(dirfd(d), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
            continue;
        LOG_WARN("journal", "%s/%s: %lld bytes that were being written when an earlier mount was killed; nothing uses them",
                 dir, entry->d_name, (long long)st.st_size);
        n++;
    }
    closedir(d);
    return n;
}
