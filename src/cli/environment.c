#include "cli/environment.h"

#include "util/cleanup.h"
#include "util/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* open() takes the lowest number that is free: those below are open by then. */
static enum err_code open_standard(struct err *e)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0)
            return err_sys(e, errno, "/dev/null");
    return ERR_OK;
}

/* "~" and "$NAME" at the beginning are replaced where the variable is used. */
static enum err_code make_absolute(const char *name, struct err *e)
{
    const char *value = getenv(name);
    char cwd[PATH_MAX];

    if (!value || !*value || strchr("/~$", *value))
        return ERR_OK;
    if (!getcwd(cwd, sizeof(cwd)))
        return err_sys(e, errno, "current directory, in which %s begins", name);
    CLEANUP(free) char *path = str_printf("%s/%s", cwd, value);
    return path && setenv(name, path, 1) == 0 ? ERR_OK : err_set(e, ERR_NOMEM, "no memory for %s", name);
}

enum err_code environment_settle(struct err *e)
{
    static const char *const paths[] = {"AWS_CONFIG_FILE",
                                        "AWS_SHARED_CREDENTIALS_FILE",
                                        "AWS_WEB_IDENTITY_TOKEN_FILE",
                                        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                        "AWS_LOGIN_CACHE_DIRECTORY",
                                        "AWS_CREDENTIAL_FILE",
                                        "BOTO_CONFIG",
                                        "AWS_CA_BUNDLE",
                                        "REQUESTS_CA_BUNDLE",
                                        "CURL_CA_BUNDLE",
                                        "SSL_CERT_FILE",
                                        "SSL_CERT_DIR"};
    enum err_code code = open_standard(e);

    signal(SIGCHLD, SIG_DFL);
    for (size_t i = 0; code == ERR_OK && i < ARRAY_LEN(paths); i++)
        code = make_absolute(paths[i], e);
    return code;
}

static bool holds_credentials(const char *entry)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY=", "AWS_SESSION_TOKEN=",
                                        "AWS_SECURITY_TOKEN=", "AWS_CONTAINER_AUTHORIZATION_TOKEN="};

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_starts(entry, names[i]))
            return true;
    return false;
}

void environment_hide(struct environment *e)
{
    size_t n = 0, kept = 0;

    e->full = environ;
    while (environ && environ[n])
        n++;
    e->clean = calloc(n + 1, sizeof(*e->clean));
    if (!e->clean)
        return;
    for (size_t i = 0; i < n; i++)
        if (!holds_credentials(environ[i]))
            e->clean[kept++] = environ[i];
    environ = e->clean;
}

void environment_restore(struct environment *e)
{
    environ = e->full;
}

void environment_release(struct environment *e)
{
    free(TAKE(e->clean));
}
