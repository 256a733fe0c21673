/* The values of options: each kind's parser, and what an error says is legal. */
#include "cli/option_table.h"

#include "aws/region.h"
#include "net/url.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <string.h>

bool duration_parse(const char *s, uint64_t *ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(s, "0123456789");
    char number[24];
    uint64_t n;

    if (strcmp(s, "inf") == 0) {
        *ms = UINT64_MAX;
        return true;
    }
    if (!digits || digits >= sizeof(number))
        return false;
    memcpy(number, s, digits);
    number[digits] = '\0';
    if (!str_parse_u64(number, &n))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strcmp(s + digits, units[i].unit) == 0)
            return !__builtin_mul_overflow(n, units[i].ms, ms) && *ms != UINT64_MAX;
    return false;
}

static enum err_code set_text(struct options *o, const struct option_row *row, const char *value, struct err *e)
{
    char **at = (char **)((char *)o + row->offset);
    char *copy = strdup(value);

    if (!copy)
        return err_set(e, ERR_NOMEM, "no memory for option %s", row->name);
    free(*at);
    *at = copy;
    return ERR_OK;
}

/* The daemon works in "/", so paths are taken from where the command was given. */
static enum err_code set_path(struct options *o, const struct option_row *row, const char *value, struct err *e)
{
    char cwd[PATH_MAX];

    if (value[0] == '/' || (row->word && strcmp(value, row->word) == 0))
        return set_text(o, row, value, e);
    if (!getcwd(cwd, sizeof(cwd)))
        return err_sys(e, errno, "current directory");
    CLEANUP(free) char *path = str_printf("%s/%s", cwd, value);
    return path ? set_text(o, row, path, e) : err_set(e, ERR_NOMEM, "no memory for option %s", row->name);
}

static enum err_code set_url(struct options *o, const struct option_row *row, const char *value, struct err *e)
{
    struct url u;
    enum err_code code = url_parse(value, &u, e);

    if (code != ERR_OK)
        return err_prefix(e, code, "option %s", row->name);
    url_release(&u);
    return set_text(o, row, value, e);
}

/* The place of `value` in "a|b|c", or -1. */
static int choice_index(const char *choices, const char *value)
{
    size_t len = strlen(value);
    int i = 0;

    for (const char *c = choices;; i++) {
        size_t n = strcspn(c, "|");
        if (n == len && memcmp(c, value, n) == 0)
            return i;
        if (!c[n])
            return -1;
        c += n + 1;
    }
}

static bool parse_octal(const char *s, uint64_t *out)
{
    if (!*s || strlen(s) > 5 || strspn(s, "01234567") != strlen(s))
        return false;
    *out = strtoul(s, NULL, 8);
    return true;
}

static bool parse_user(const char *s, uint64_t *out)
{
    if (str_parse_u64(s, out))
        return *out < UINT32_MAX;
    const struct passwd *p = getpwnam(s);
    if (p)
        *out = p->pw_uid;
    return p != NULL;
}

static bool parse_group(const char *s, uint64_t *out)
{
    if (str_parse_u64(s, out))
        return *out < UINT32_MAX;
    const struct group *g = getgrnam(s);
    if (g)
        *out = g->gr_gid;
    return g != NULL;
}

static enum err_code set_number(struct options *o, const struct option_row *row, const char *value, struct err *e)
{
    uint64_t n, max = row->max;
    bool ok;

    switch (row->kind) {
    case OPTION_SIZE:
        ok = str_parse_size(value, &n);
        break;
    case OPTION_DURATION:
        ok = duration_parse(value, &n);
        break;
    case OPTION_MODE:
        ok = parse_octal(value, &n);
        break;
    case OPTION_USER:
        ok = parse_user(value, &n);
        max = UINT32_MAX;
        break;
    case OPTION_GROUP:
        ok = parse_group(value, &n);
        max = UINT32_MAX;
        break;
    default:
        ok = str_parse_u64(value, &n);
    }
    if (!ok || n < row->min || n > max)
        return option_illegal(row, value, e);
    *(uint64_t *)((char *)o + row->offset) = n;
    return ERR_OK;
}

static enum err_code set_flag(struct options *o, const struct option_row *row, const char *value, struct err *e)
{
    static const char *const yes[] = {"yes", "true", "on", "1"}, *const no[] = {"no", "false", "off", "0"};
    bool *at = (bool *)((char *)o + row->offset);

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (!value || str_ieq(value, yes[i])) {
            *at = true;
            return ERR_OK;
        }
        if (str_ieq(value, no[i])) {
            *at = false;
            return ERR_OK;
        }
    }
    return option_illegal(row, value, e);
}

static enum err_code set_choice(struct options *o, const struct option_row *row, const char *value, struct err *e)
{
    int i = choice_index(row->choices, value);

    if (i < 0)
        return option_illegal(row, value, e);
    if (row->later && strcmp(row->later, value) == 0)
        return err_set(e, ERR_UNSUPPORTED, "option %s=%s: not available in this version", row->name, value);
    *(int *)((char *)o + row->offset) = i;
    return ERR_OK;
}

enum err_code option_store(struct options *o, const struct option_row *row, const char *value, struct err *e)
{
    if (row->kind == OPTION_FLAG)
        return set_flag(o, row, value, e);
    if (!value || !*value)
        return option_illegal(row, NULL, e);
    switch (row->kind) {
    case OPTION_TEXT:
        return set_text(o, row, value, e);
    case OPTION_PATH:
        return set_path(o, row, value, e);
    case OPTION_URL:
        return set_url(o, row, value, e);
    case OPTION_REGION:
        return aws_region_valid(value) ? set_text(o, row, value, e) : option_illegal(row, value, e);
    case OPTION_WORD:
        return choice_index(row->choices, value) >= 0 ? set_text(o, row, value, e) : option_illegal(row, value, e);
    case OPTION_CHOICE:
        return set_choice(o, row, value, e);
    default:
        return set_number(o, row, value, e);
    }
}
