#include "aws/profile.h"

#include "aws/ini.h"
#include "util/shlex.h"
#include "util/str.h"

#include <ctype.h>
#include <limits.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

struct profiles {
    struct ini *files[2]; /* by enum profile_file */
    char *paths[2];
    char *active;
    bool is_explicit;
};

const char *env_get(const char *name)
{
    const char *value = getenv(name);

    return value && *value ? value : NULL;
}

bool config_is_true(const char *value)
{
    return value && str_ieq(value, "true");
}

/* The home directory for "~" (`name` empty) or "~name"; false when there is none. */
static bool add_home(struct buf *out, const char *name)
{
    const char *home = *name ? NULL : env_get("HOME");
    char text[4096];
    struct passwd entry, *found = NULL;

    if (home) {
        buf_add_str(out, home);
        return true;
    }
    int rc = *name ? getpwnam_r(name, &entry, text, sizeof(text), &found)
                   : getpwuid_r(getuid(), &entry, text, sizeof(text), &found);
    if (rc || !found)
        return false;
    buf_add_str(out, found->pw_dir);
    return true;
}

/* At a '$': appends the variable's value and returns how many bytes of `s` it stood for; 0 where there is no such
 * thing. */
static size_t add_variable(struct buf *out, const char *s)
{
    char name[128];
    size_t braces = s[1] == '{', len = 0;
    const char *begin = s + 1 + braces;

    while (isalnum((unsigned char)begin[len]) || begin[len] == '_')
        len++;
    if (!len || len >= sizeof(name) || (braces && begin[len] != '}'))
        return 0;
    memcpy(name, begin, len);
    name[len] = '\0';
    const char *value = getenv(name);
    if (!value)
        return 0;
    buf_add_str(out, value);
    return 1 + len + 2 * braces;
}

void profile_expand_path(struct buf *out, const char *path)
{
    if (*path == '~') {
        size_t len = strcspn(path + 1, "/");
        char name[256];

        if (len < sizeof(name)) {
            memcpy(name, path + 1, len);
            name[len] = '\0';
            if (add_home(out, name))
                path += 1 + len;
        }
    }
    while (*path) {
        size_t used = *path == '$' ? add_variable(out, path) : 0;

        if (!used)
            buf_add_char(out, *path);
        path += used ? used : 1;
    }
}

/* Whether a section of the config file is `[KIND NAME]`, split into words as a shell does. */
static bool section_is(const char *section, const char *kind, const char *name)
{
    BUF(words, 2048);
    size_t len = strlen(kind), second;

    if (!str_starts(section, kind) || shlex_next(&section, &words) != SHLEX_WORD || words.len != len)
        return false;
    second = words.len;
    if (shlex_next(&section, &words) != SHLEX_WORD || words.failed || strcmp(buf_str(&words) + second, name))
        return false;
    return shlex_next(&section, &words) == SHLEX_END;
}

/* The section of a profile; [profile default] goes before [default]. -1: none. */
static ssize_t find_section(const struct profiles *p, enum profile_file file, const char *profile)
{
    const struct ini *ini = p->files[file];
    ssize_t plain = -1;

    for (size_t i = 0; i < ini_sections(ini); i++) {
        const char *name = ini_section_name(ini, i);

        if (file == PROFILE_CONFIG && section_is(name, "profile", profile))
            return (ssize_t)i;
        if ((file == PROFILE_CREDENTIALS || !strcmp(profile, "default")) && !strcmp(name, profile))
            plain = (ssize_t)i;
    }
    return plain;
}

bool profiles_has(const struct profiles *p, const char *profile)
{
    return find_section(p, PROFILE_CONFIG, profile) >= 0 || find_section(p, PROFILE_CREDENTIALS, profile) >= 0;
}

static const char *get(const struct profiles *p, enum profile_file file, const char *profile, const char *key,
                       const char *sub)
{
    ssize_t section = find_section(p, file, profile);
    const char *value = section < 0 ? NULL : ini_get(p->files[file], (size_t)section, key, sub);

    return value && *value ? value : NULL;
}

const char *profiles_get(const struct profiles *p, const char *profile, const char *key, const char *sub)
{
    const char *value = get(p, PROFILE_CREDENTIALS, profile, key, sub);

    return value ? value : get(p, PROFILE_CONFIG, profile, key, sub);
}

const char *profiles_get_from(const struct profiles *p, enum profile_file file, const char *profile, const char *key)
{
    return get(p, file, profile, key, NULL);
}

enum err_code profiles_service_get(const struct profiles *p, const char *profile, const char *service, const char *key,
                                   const char **value, struct err *e)
{
    const char *services = profiles_get(p, profile, "services", NULL);
    const struct ini *ini = p->files[PROFILE_CONFIG];

    *value = NULL;
    if (!services)
        return ERR_OK;
    for (size_t i = 0; i < ini_sections(ini); i++) {
        if (!section_is(ini_section_name(ini, i), "services", services))
            continue;
        const char *found = ini_get(ini, i, service, key);
        *value = found && *found ? found : NULL;
        return ERR_OK;
    }
    return err_set(e, ERR_INVAL, "profile %s names services = %s, but %s has no section [services %s]", profile,
                   services, p->paths[PROFILE_CONFIG], services);
}

/* -1: none */
static ssize_t find_session(const struct profiles *p, const char *name)
{
    const struct ini *ini = p->files[PROFILE_CONFIG];

    for (size_t i = 0; i < ini_sections(ini); i++)
        if (section_is(ini_section_name(ini, i), "sso-session", name))
            return (ssize_t)i;
    return -1;
}

bool profiles_has_session(const struct profiles *p, const char *name)
{
    return find_session(p, name) >= 0;
}

const char *profiles_session_get(const struct profiles *p, const char *name, const char *key)
{
    ssize_t section = find_session(p, name);
    const char *value = section < 0 ? NULL : ini_get(p->files[PROFILE_CONFIG], (size_t)section, key, NULL);

    return value && *value ? value : NULL;
}

void profiles_free(struct profiles *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < ARRAY_LEN(p->files); i++) {
        ini_free(p->files[i]);
        free(p->paths[i]);
    }
    free(p->active);
    free(p);
}

static enum err_code load_file(struct profiles *p, enum profile_file file, struct err *e)
{
    static const struct {
        const char *variable, *path;
    } places[] = {[PROFILE_CREDENTIALS] = {"AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"},
                  [PROFILE_CONFIG] = {"AWS_CONFIG_FILE", "~/.aws/config"}};
    const char *path = env_get(places[file].variable);
    BUF(expanded, PATH_MAX);
    struct err local = ERR_INIT;

    profile_expand_path(&expanded, path ? path : places[file].path);
    enum err_code code = buf_check(&expanded, places[file].variable, e);
    if (code)
        return code;
    p->paths[file] = buf_take(&expanded);
    if (!p->paths[file])
        return err_set(e, ERR_NOMEM, "no memory for a path");
    p->files[file] = ini_load(p->paths[file], file == PROFILE_CREDENTIALS, &local);
    return p->files[file] ? ERR_OK : err_copy(e, &local);
}

static enum err_code choose(struct profiles *p, const char *option, struct err *e)
{
    const char *variable = env_get("AWS_DEFAULT_PROFILE") ? "AWS_DEFAULT_PROFILE" : "AWS_PROFILE";
    const char *name = option ? option : env_get(variable);

    p->is_explicit = option;
    p->active = strdup(name ? name : "default");
    if (!p->active)
        return err_set(e, ERR_NOMEM, "no memory for the profile's name");
    if (!name || profiles_has(p, name))
        return ERR_OK;
    return err_set(e, ERR_INVAL, "profile '%s' (%s) is in neither %s%s%s nor %s%s%s", name,
                   option ? "option profile=" : variable, p->paths[PROFILE_CONFIG],
                   *profiles_problem(p, PROFILE_CONFIG) ? ", which " : "", profiles_problem(p, PROFILE_CONFIG),
                   p->paths[PROFILE_CREDENTIALS], *profiles_problem(p, PROFILE_CREDENTIALS) ? ", which " : "",
                   profiles_problem(p, PROFILE_CREDENTIALS));
}

struct profiles *profiles_load(const char *option, struct err *e)
{
    CLEANUP(profiles_free) struct profiles *p = calloc(1, sizeof(*p));

    if (!p) {
        err_set(e, ERR_NOMEM, "no memory for profiles");
        return NULL;
    }
    if (load_file(p, PROFILE_CREDENTIALS, e) || load_file(p, PROFILE_CONFIG, e) || choose(p, option, e))
        return NULL;
    return TAKE(p);
}

const char *profiles_active(const struct profiles *p)
{
    return p->active;
}

bool profiles_explicit(const struct profiles *p)
{
    return p->is_explicit;
}

const char *profiles_path(const struct profiles *p, enum profile_file file)
{
    return p->paths[file];
}

const char *profiles_problem(const struct profiles *p, enum profile_file file)
{
    return ini_problem(p->files[file]);
}

bool profiles_unreadable(const struct profiles *p, enum profile_file file)
{
    return ini_unreadable(p->files[file]);
}
