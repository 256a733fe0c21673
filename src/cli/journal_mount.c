#include "cli/journal_mount.h"

#include "cli/state.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define MOUNT_FILE_MAX 16384

void journal_mount_free(struct journal_mount *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->n_lists; i++)
        free(m->lists[i]);
    free(m->lists);
    journal_log_free(m->log);
    free(m->dir);
    free(m->source);
    free(m->endpoint);
    free(m->mountpoint);
    close_cleanup(&m->lock_fd);
    free(m);
}

/* The lines of the file `mount`: source, endpoint, mount point. */
static void read_identity(struct journal_mount *m)
{
    char path[PATH_MAX], text[MOUNT_FILE_MAX] = "";
    char **const lines[] = {&m->source, &m->endpoint, &m->mountpoint};
    snprintf(path, sizeof(path), "%s/mount", m->dir);
    CLEANUP(close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    char *at = text;
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        size_t len = strcspn(at, "\n");
        *lines[i] = str_ndup(at, len);
        at += len + (at[len] == '\n');
    }
}

static bool is_alive(const char *dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/lock", dir);
    CLEANUP(close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;
}

enum err_code journal_hold(struct journal_mount *m, struct err *e)
{
    char path[PATH_MAX];
    if (m->lock_fd >= 0)
        return ERR_OK;
    snprintf(path, sizeof(path), "%s/lock", m->dir);
    CLEANUP(close) int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "%s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return err_set(e, ERR_BUSY, "the mount at %s is using it", m->mountpoint);
    m->lock_fd = fd;
    fd = -1;
    m->alive = false;
    return ERR_OK;
}

struct journal_mount *journal_mount_new(const char *root, const char *name)
{
    CLEANUP(journal_mount_free) struct journal_mount *m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->lock_fd = -1;
    m->dir = str_printf("%s/%s", root, name);
    if (!m->dir || strlen(m->dir) > PATH_MAX - 64)
        return NULL;
    read_identity(m);
    state_read_options(m->dir, &m->lists, &m->n_lists);
    m->alive = is_alive(m->dir);
    return m->source && m->endpoint && m->mountpoint ? TAKE(m) : NULL;
}
