#include "cli/mounts.h"

#include "util/cleanup.h"
#include "util/str.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Undoes the kernel's octal escapes ("\040" for a blank), in place. */
static void unescape(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* Fields of mountinfo (proc(5)): id parent major:minor root MOUNTPOINT options [optional...] - TYPE SOURCE superoptions */
static bool parse_line(char *line, const char *path, struct mount_entry *out)
{
    char *save, *point = NULL, *dash = strstr(line, " - "), *field;

    if (!dash)
        return false;
    *dash = '\0';
    field = strtok_r(line, " ", &save);
    for (int i = 0; field && i < 5; i++) {
        point = field;
        field = strtok_r(NULL, " ", &save);
    }
    if (!point)
        return false;
    unescape(point);
    if (strcmp(point, path) != 0)
        return false;
    char *type = strtok_r(dash + 3, " ", &save), *source = type ? strtok_r(NULL, " ", &save) : NULL;
    if (!source)
        return false;
    unescape(source);
    snprintf(out->type, sizeof(out->type), "%s", type);
    snprintf(out->source, sizeof(out->source), "%s", source);
    return true;
}

bool mounts_find(const char *path, struct mount_entry *out)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    CLEANUP(free) char *line = NULL;
    size_t cap = 0;
    bool found = false;

    if (!f)
        return false;
    /* Later lines are mounted over earlier ones. */
    while (getline(&line, &cap, f) > 0)
        found |= parse_line(line, path, out);
    fclose(f);
    return found;
}

/* `dir` with its parent resolved: "/a/b/NAME". */
static bool resolve_parent(const char *dir, char out[PATH_MAX])
{
    char copy[PATH_MAX], parent[PATH_MAX];
    size_t len = strlen(dir);

    while (len > 1 && dir[len - 1] == '/')
        len--;
    if (!len || len >= sizeof(copy))
        return false;
    memcpy(copy, dir, len);
    copy[len] = '\0';
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    if (slash == copy)
        snprintf(parent, sizeof(parent), "/");
    else if (slash)
        *slash = '\0';
    if (slash != copy && !realpath(slash ? copy : ".", parent))
        return false;
    int n = snprintf(out, PATH_MAX, "%s%s%s", parent, strcmp(parent, "/") == 0 ? "" : "/", name);
    return n > 0 && n < PATH_MAX;
}

static bool is_awsfs(const struct mount_entry *m)
{
    return strcmp(m->type, "fuse.awsfs") == 0;
}

enum err_code mounts_resolve(const char *dir, char out[PATH_MAX], struct err *e)
{
    CLEANUP(free) struct mount_entry *m = malloc(sizeof(*m));

    if (m && resolve_parent(dir, out) && mounts_find(out, m) && is_awsfs(m))
        return ERR_OK;
    if (!realpath(dir, out))
        return err_sys(e, errno, "%s", dir);
    return ERR_OK;
}

static enum err_code check_empty(const char *path, struct err *e)
{
    DIR *d = opendir(path);
    const struct dirent *entry;
    unsigned n = 0;

    if (!d)
        return err_sys(e, errno, "mount point %s", path);
    while (n < 3 && (entry = readdir(d)))
        n++;
    closedir(d);
    if (n > 2)
        return err_set(e, ERR_NOT_EMPTY, "mount point %s is not empty: what is in it would be hidden; use an empty directory",
                       path);
    return ERR_OK;
}

enum err_code mounts_check_target(const char *dir, char out[PATH_MAX], struct err *e)
{
    CLEANUP(free) struct mount_entry *m = calloc(1, sizeof(*m));
    char parent_resolved[PATH_MAX];
    struct stat st;

    if (!m)
        return err_set(e, ERR_NOMEM, "no memory");
    if (resolve_parent(dir, parent_resolved) && mounts_find(parent_resolved, m) && is_awsfs(m)) {
        if (stat(parent_resolved, &st) != 0 && errno == ENOTCONN)
            return err_set(e, ERR_BUSY, "mount point %s is a mount of %s whose daemon is gone: remove it with fusermount3 -u %s",
                           dir, m->source, dir);
        return err_set(e, ERR_BUSY, "mount point %s is in use: %s is mounted there", dir, m->source);
    }
    if (!realpath(dir, out) || stat(out, &st) != 0)
        return err_sys(e, errno, "mount point %s", dir);
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ERR_NOT_DIR, "mount point %s is not a directory", dir);
    if (mounts_find(out, m) && is_awsfs(m))
        return err_set(e, ERR_BUSY, "mount point %s is in use: %s is mounted there", dir, m->source);
    /* To open an automount point would ask for the mount that is being made. */
    if (strcmp(m->type, "autofs") == 0)
        return ERR_OK;
    return check_empty(out, e);
}
