#include "cli/state.h"

#include "journal/durable.h"
#include "util/cleanup.h"
#include "util/digest.h"
#include "util/json.h"
#include "util/log.h"
#include "util/private_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define OPTIONS_MAX_BYTES (64 * 1024)

enum err_code state_default(char out[PATH_MAX], struct err *e)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n;

    if (geteuid() == 0)
        n = snprintf(out, PATH_MAX, "/var/lib/awsfs");
    else if (state && state[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/awsfs", state);
    else if (home && home[0] == '/')
        n = snprintf(out, PATH_MAX, "%s/.local/state/awsfs", home);
    else
        return err_set(e, ERR_INVAL, "no HOME in the environment: give option state=DIR");
    return n < PATH_MAX ? ERR_OK : err_set(e, ERR_NAME_TOO_LONG, "the state directory's path is too long");
}

static bool has_text(const char *path, const char *text, size_t len)
{
    CLEANUP(free) char *there = malloc(len + 1);
    CLEANUP(close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return there && fd >= 0 && read(fd, there, len + 1) == (ssize_t)len && memcmp(there, text, len) == 0;
}

/* Without these two files the journal can only be read by a mount: they are as durable as it is. What is there with the right bytes was
 * synced before it got its name. */
static void write_text(const char *dir, const char *name, const char *text, size_t len)
{
    char path[PATH_MAX];
    struct err e = ERR_INIT;

    if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
        return;
    if (!has_text(path, text, len) && durable_put(path, text, len, &e))
        LOG_WARN("state", "awsfs journal needs a mount to send what is here: %s", e.msg);
}

#define HEX4 "[0-9a-f][0-9a-f][0-9a-f][0-9a-f]"

enum err_code state_make_root(const char *root, struct err *e)
{
    static const char *const own[] = {"servers", HEX4 HEX4 HEX4 HEX4, NULL};

    return private_dir_given(root, own, e);
}

enum err_code state_open(struct state *s, const char *root, const char *identity, void (*waiting)(void *arg), void *arg,
                         struct err *e)
{
    char hex[2 * DIGEST_MAX + 1], path[PATH_MAX];
    enum err_code code = state_make_root(root, e);

    if (code == ERR_OK)
        code = digest_hex(DIGEST_SHA256, identity, strlen(identity), hex, e);
    if (code == ERR_OK && snprintf(s->dir, sizeof(s->dir), "%s/%.16s", root, hex) >= (int)sizeof(s->dir) - 16)
        code = err_set(e, ERR_NAME_TOO_LONG, "the state directory's path is too long");
    if (code == ERR_OK)
        code = private_dir(s->dir, e);
    if (code != ERR_OK)
        return err_prefix(e, code, "option state");
    snprintf(path, sizeof(path), "%.*s/lock", PATH_MAX - 16, s->dir);
    CLEANUP(close) int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "option state: %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        waiting(arg);
        while (flock(fd, LOCK_EX) != 0)
            if (errno != EINTR)
                return err_sys(e, errno, "option state: %s", path);
    }
    write_text(s->dir, "mount", identity, strlen(identity));
    s->lock_fd = fd;
    fd = -1;
    return ERR_OK;
}

pid_t state_holder(const char *dir)
{
    char path[PATH_MAX];
    struct stat st;
    CLEANUP(free) char *line = NULL;
    size_t cap = 0;
    int pid = 0;
    bool found = false;

    if (snprintf(path, sizeof(path), "%s/lock", dir) >= (int)sizeof(path) || stat(path, &st) != 0)
        return 0;
    FILE *f = fopen("/proc/locks", "re");
    /* Documentation/filesystems/proc.rst; those that wait have "->" before FLOCK. */
    while (f && !found && getline(&line, &cap, f) > 0) {
        unsigned at_major, at_minor;
        unsigned long long ino;
        found = sscanf(line, "%*u: FLOCK %*s WRITE %d %x:%x:%llu", &pid, &at_major, &at_minor, &ino) == 4 && at_major == major(st.st_dev) &&
                at_minor == minor(st.st_dev) && ino == st.st_ino;
    }
    if (f)
        fclose(f);
    return found && pid > 0 ? pid : 0;
}

void state_write_options(const struct state *s, const char *const *lists, size_t n)
{
    BUF(text, OPTIONS_MAX_BYTES);

    buf_add_char(&text, '[');
    for (size_t i = 0; i < n; i++) {
        buf_add_str(&text, i ? "," : "");
        json_quote(&text, lists[i], strlen(lists[i]));
    }
    buf_add_str(&text, "]\n");
    if (!text.failed)
        write_text(s->dir, "options", text.data, text.len);
}

void state_read_options(const char *dir, char ***lists, size_t *n)
{
    char path[PATH_MAX];
    CLEANUP(free) char *text = malloc(OPTIONS_MAX_BYTES);

    *lists = NULL;
    *n = 0;
    if (!text || snprintf(path, sizeof(path), "%s/options", dir) >= (int)sizeof(path))
        return;
    CLEANUP(close) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, OPTIONS_MAX_BYTES);
    CLEANUP(json_doc_free) struct json_doc *doc = len > 0 ? json_parse(text, (size_t)len, NULL) : NULL;
    size_t count = doc ? json_len(json_root(doc)) : 0;
    char **out = count ? calloc(count, sizeof(*out)) : NULL;
    for (size_t i = 0; out && i < count; i++) {
        const char *list = json_str(json_at(json_root(doc), i), NULL);
        if (list && (out[*n] = strdup(list)))
            ++*n;
    }
    *lists = out;
}

void state_close(struct state *s)
{
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    s->lock_fd = -1;
}
