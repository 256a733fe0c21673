#include "cli/environment.h"

#include "util/cleanup.h"
#include "util/str.h"

#include <stdbool.h>
#include <unistd.h>

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
    free(e->clean);
    e->clean = NULL;
}
