#include "backends/ssm/names.h"

#include "backends/ssm/derived.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define ACCOUNT_LEN        12
#define SHORTEST_REGION    9 /* "eu-west-1" */
#define ARN_PREFIX_LEN_MAX 128

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
}

/* One component, `len` bytes at `p`, of the name `name`. */
static enum err_code check_component(const char *name, const char *p, size_t len, struct err *e)
{
    if (len == 0)
        return err_set(e, ERR_INVAL, "%s: a parameter's name has no empty components", name);
    for (size_t i = 0; i < len; i++)
        if (!name_char(p[i]))
            return err_set(e, ERR_BAD_NAME, "%s: a parameter's name has only a-z, A-Z, 0-9, '.', '-', '_' and '/'",
                           name);
    return ERR_OK;
}

/* Every component of `name`, which begins with a slash. Counts them. */
static enum err_code check_components(const char *name, unsigned *levels, struct err *e)
{
    *levels = 0;
    for (const char *p = name; *p == '/';) {
        size_t len = strcspn(p + 1, "/");
        enum err_code code = check_component(name, p + 1, len, e);
        if (code != ERR_OK)
            return code;
        (*levels)++;
        p += 1 + len;
    }
    return ERR_OK;
}

enum err_code ssm_path_make(const char *path, char *out, size_t size, struct err *e)
{
    size_t len = strlen(path);
    if (path[0] != '/')
        return err_set(e, ERR_INVAL, "path '%s': must begin with '/'", path);
    if (path[len - 1] == '/')
        len--;
    if (len >= size || len >= SSM_ARN_MAX)
        return err_set(e, ERR_INVAL, "path '%.60s...': longer than a parameter's name can be", path);
    CLEANUP(free) char *own = str_ndup(path, len);
    if (own == NULL)
        return err_set(e, ERR_NOMEM, "path");
    unsigned levels;
    struct err why = ERR_INIT;
    if (check_components(own, &levels, &why) != ERR_OK)
        return err_set(e, ERR_INVAL, "path %s", why.msg);
    if (levels >= SSM_LEVELS_MAX)
        return err_set(e, ERR_INVAL, "path %s: has %u levels, at most %u have room for parameters below", own, levels,
                       SSM_LEVELS_MAX - 1);
    memcpy(out, own, len + 1);
    return ERR_OK;
}

enum err_code ssm_name_join(const char *path, const char *key, size_t key_len, struct ssm_name *out, struct err *e)
{
    size_t path_len = strlen(path);
    if (key_len >= SSM_ARN_MAX || path_len + 1 + key_len > SSM_ARN_MAX)
        return err_set(e, ERR_NAME_TOO_LONG, "%.80s...: a parameter's name has at most %d characters, its ARN included",
                       key, SSM_ARN_MAX);
    snprintf(out->text, sizeof(out->text), "%s/%.*s", path, (int)key_len, key);
    out->selector = false;
    return ERR_OK;
}

bool ssm_selector_legal(const char *s)
{
    size_t len = strlen(s);
    if (len == 0 || len > SSM_LABEL_MAX)
        return false;
    if (strspn(s, "0123456789") == len)
        return len <= 18;
    if (s[0] >= '0' && s[0] <= '9')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!name_char(s[i]))
            return false;
    return true;
}

static enum err_code make_readable(const char *path, const char *key, struct ssm_name *out, struct err *e)
{
    size_t base;
    const char *version;
    if (ssm_history_parse(key, &base, &version) && version != NULL) {
        BUF(as_version, SSM_NAME_SIZE);
        buf_add(&as_version, key, base);
        buf_addf(&as_version, "@%s", version);
        enum err_code code = buf_check(&as_version, key, e);
        return code == ERR_OK ? make_readable(path, buf_str(&as_version), out, e) : code;
    }
    if (str_starts(key, SSM_SECRETS)) {
        if (!ssm_secret_name(key, out->text, sizeof(out->text)))
            return err_set(e, ERR_INVAL, "%s: no secret has this name (a slash in it is %%2F)", key);
        out->selector = strchr(out->text, ':') != NULL;
        return ERR_OK;
    }
    if (ssm_is_public(key)) {
        if (!str_starts(key, SSM_PUBLIC "service/"))
            return err_set(e, ERR_INVAL, "%s: AWS provides nothing there", key);
        path = "";
        key++;
    }
    const char *slash = strrchr(key, '/');
    const char *at = strrchr(slash ? slash : key, '@');
    enum err_code code = ssm_name_join(path, key, at ? (size_t)(at - key) : strlen(key), out, e);
    unsigned levels;
    if (code == ERR_OK)
        code = check_components(out->text, &levels, e);
    if (code != ERR_OK || !at)
        return code;
    if (!ssm_selector_legal(at + 1))
        return err_set(e, ERR_INVAL, "%s: neither a version nor a label behind '@'", key);
    size_t len = strlen(out->text);
    snprintf(out->text + len, sizeof(out->text) - len, ":%s", at + 1);
    out->selector = true;
    return ERR_OK;
}

enum err_code ssm_name_for_read(const char *path, const char *key, struct ssm_name *out, struct err *e)
{
    struct err why = ERR_INIT;
    struct ssm_name name;
    if (make_readable(path, key, &name, &why) != ERR_OK)
        return err_set(e, ERR_NOT_FOUND, "no parameter can have this name: %s", why.msg);
    *out = name;
    return ERR_OK;
}

static bool reserved(const char *name)
{
    return strncasecmp(name + 1, "aws", 3) == 0 || strncasecmp(name + 1, "ssm", 3) == 0;
}

enum err_code ssm_name_for_write(const char *path, const char *key, bool is_dir, size_t arn_prefix,
                                 struct ssm_name *out, struct err *e)
{
    struct ssm_name name;
    size_t key_len = strlen(key);
    if (is_dir && key_len > 0 && key[key_len - 1] == '/')
        key_len--;
    enum err_code code = ssm_name_join(path, key, key_len, &name, e);
    unsigned levels = 0;
    if (code == ERR_OK)
        code = check_components(name.text, &levels, e);
    if (code != ERR_OK)
        return code;
    /* The shortest parameter in a directory is a slash and one character longer. */
    size_t room = is_dir ? 2 : 0;
    if (arn_prefix + strlen(name.text) + room > SSM_ARN_MAX)
        return err_set(e, ERR_NAME_TOO_LONG, "%.80s...: a name has at most %d characters, with the %zu of its ARN",
                       name.text, SSM_ARN_MAX, arn_prefix);
    if (levels + is_dir > SSM_LEVELS_MAX)
        return err_set(e, ERR_NAME_TOO_LONG, "%s: a parameter's name has at most %d levels", name.text, SSM_LEVELS_MAX);
    if (reserved(name.text))
        return err_set(e, ERR_INVAL, "%s: a parameter's name must not begin with aws or ssm", name.text);
    *out = name;
    return ERR_OK;
}

const char *ssm_key_of(const char *path, const char *name)
{
    if (path[0] == '\0')
        name += name[0] == '/';
    else if (str_starts(name, path) && name[strlen(path)] == '/')
        name += strlen(path) + 1;
    else
        return NULL;
    return name[0] ? name : NULL;
}

bool ssm_name_equal(const char *a, const char *b)
{
    return strcmp(a + (a[0] == '/'), b + (b[0] == '/')) == 0;
}

size_t ssm_arn_prefix_of_region(const char *region)
{
    const char *partition = str_starts(region, "cn-") ? "aws-cn" : str_starts(region, "us-gov-") ? "aws-us-gov" : "aws";
    size_t region_len = region[0] ? strlen(region) : SHORTEST_REGION;
    return strlen("arn:") + strlen(partition) + strlen(":ssm:") + region_len + 1 + ACCOUNT_LEN + strlen(":parameter");
}

size_t ssm_arn_prefix_of_arn(const char *arn)
{
    const char *found = str_starts(arn, "arn:") ? strstr(arn, ":parameter/") : NULL;
    size_t len = found ? (size_t)(found - arn) + strlen(":parameter") : 0;
    return len <= ARN_PREFIX_LEN_MAX ? len : 0;
}

enum err_code ssm_value_check(const char *name, const void *value, uint64_t len, uint64_t max, struct err *e)
{
    if (len == 0)
        return err_set(e, ERR_INVAL, "%s: a parameter's value must not be empty", name);
    if (len > max)
        return err_set(e, ERR_TOO_BIG, "%s: a value of %llu bytes, at most %llu in its tier", name,
                       (unsigned long long)len, (unsigned long long)max);
    if (memchr(value, '\0', len) != NULL)
        return err_set(e, ERR_INVAL, "%s: the value has a NUL byte, a parameter is text", name);
    if (!utf8_valid(value, len))
        return err_set(e, ERR_BAD_NAME, "%s: the value is not UTF-8, a parameter is text", name);
    if (memmem(value, len, "{{", 2) != NULL)
        return err_set(e, ERR_INVAL, "%s: the value has \"{{\", which Parameter Store refuses", name);
    return ERR_OK;
}

bool ssm_name_stays_local(const char *name)
{
    /* vim makes ".NAME.swpx" for a moment, to see whether the file system cuts names. */
    static const char *const patterns[] = {".*.sw?", ".*.sw?x",   "*~",               "4913",         ".#*",
                                           "#*#",    "sed??????", ".goutputstream-*", ".fuse_hidden*"};
    for (size_t i = 0; i < ARRAY_LEN(patterns); i++)
        if (fnmatch(patterns[i], name, 0) == 0)
            return true;
    return false;
}
