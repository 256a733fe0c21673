#include "cli/options.h"

#include "cli/option_table.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <string.h>

enum err_code options_init(struct options *o, struct err *e)
{
    size_t n;
    const struct option_row *rows = option_table(&n);

    memset(o, 0, sizeof(*o));
    for (size_t i = 0; i < n; i++) {
        enum err_code code = rows[i].preset ? option_store(o, &rows[i], rows[i].preset, e) : ERR_OK;
        if (code != ERR_OK) {
            options_release(o);
            return code;
        }
    }
    return ERR_OK;
}

static bool is_text(enum option_kind kind)
{
    return kind == OPTION_TEXT || kind == OPTION_PATH || kind == OPTION_URL || kind == OPTION_REGION || kind == OPTION_WORD;
}

void options_release(struct options *o)
{
    size_t n;
    const struct option_row *rows = option_table(&n);

    for (size_t i = 0; i < n; i++) {
        if (!is_text(rows[i].kind))
            continue;
        char **at = (char **)((char *)o + rows[i].offset);
        free(*at);
        *at = NULL;
    }
}

static enum err_code unknown(const char *name, struct err *e)
{
    const struct option_row *best = option_nearest(name);

    if (best)
        return err_set(e, ERR_INVAL, "unknown option %.64s; the nearest is %s (%s); awsfs --help lists all", name, best->name,
                       best->help);
    return err_set(e, ERR_INVAL, "unknown option %.64s; awsfs --help lists all", name);
}

enum err_code options_set(struct options *o, const char *name, const char *value, struct err *e)
{
    size_t n;
    const struct option_row *rows = option_table(&n), *row = option_find(name);

    if (str_starts(name, "x-") || str_starts(name, "X-"))
        return ERR_OK; /* of user-space programs among themselves */
    if (strcmp(name, "suid") == 0 || strcmp(name, "dev") == 0)
        return err_set(e, ERR_INVAL, "option %s: a mount of awsfs is always nosuid and nodev", name);
    if (!row)
        return o->sloppy ? ERR_OK : unknown(name, e);
    if (row->kind == OPTION_IGNORED) {
        if (strcmp(name, "rw") == 0)
            o->read_only = false;
        return ERR_OK;
    }
    enum err_code code = option_store(o, row, value, e);
    if (code == ERR_OK)
        o->given[row - rows] = true;
    return code;
}

bool options_given(const struct options *o, const char *name)
{
    size_t n;
    const struct option_row *rows = option_table(&n);

    return o->given[option_find(name) - rows];
}

static bool has_word(const char *list, const char *word)
{
    for (size_t n; *list; list += n + (list[n] == ',')) {
        n = strcspn(list, ",");
        if (n == strlen(word) && strncmp(list, word, n) == 0)
            return true;
    }
    return false;
}

enum err_code options_parse_list(struct options *o, const char *list, struct err *e)
{
    BUF(item, 65536);

    /* First of all: mount -o remount also hands over what the kernel shows of the mount, which are no options of awsfs. */
    if (has_word(list, "remount"))
        return err_set(e, ERR_UNSUPPORTED, "option remount: a mount keeps its options: unmount it, then mount it with others");
    for (const char *p = list;; p++) {
        if (*p && *p != ',') {
            if (*p == '\\' && p[1])
                p++;
            buf_add_char(&item, *p);
            continue;
        }
        enum err_code code = buf_check(&item, "option list", e);
        if (code == ERR_OK && item.len) {
            char *value = strchr(item.data, '=');
            if (value)
                *value++ = '\0';
            code = options_set(o, item.data, value, e);
        }
        if (code != ERR_OK || !*p)
            return code;
        buf_clear(&item);
    }
}

static enum err_code check_scope(const struct options *o, bool is_ssm, struct err *e)
{
    size_t n;
    const struct option_row *rows = option_table(&n);

    for (size_t i = 0; i < n; i++) {
        if (!o->given[i] || rows[i].scope == FOR_ALL || (rows[i].scope == FOR_SSM) == is_ssm)
            continue;
        return err_set(e, ERR_INVAL, "option %s is for %s sources", rows[i].name, is_ssm ? "s3://" : "ssm:");
    }
    return ERR_OK;
}

/* What contradicts write=back. */
static enum err_code check_back(const struct options *o, bool is_ssm, struct err *e)
{
    if (o->write != WRITE_BACK)
        return ERR_OK;
    if (is_ssm)
        return err_set(e, ERR_INVAL, "option write=back: not for parameters, of which nothing may be on a disk; legal: through");
    if (o->excl == EXCL_OPEN)
        return err_set(e, ERR_INVAL, "options write=back and excl=open contradict each other: only the server knows who is first");
    return ERR_OK;
}

static enum err_code check_pairs(const struct options *o, struct err *e)
{
    static const struct {
        const char *a, *b;
    } pairs[] = {{"anonymous", "profile"}, {"endpoint", "dualstack"}, {"endpoint", "fips"}};

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (options_given(o, pairs[i].a) && options_given(o, pairs[i].b))
            return err_set(e, ERR_INVAL, "options %s and %s contradict each other: give one of them", pairs[i].a, pairs[i].b);
    if (o->sse_kms_key && o->sse != SSE_KMS)
        return err_set(e, ERR_INVAL, "option sse_kms_key needs sse=kms");
    if ((o->sse == SSE_C) != (o->sse_c_key_file != NULL))
        return err_set(e, ERR_INVAL, "options sse=c and sse_c_key_file=FILE need each other");
    return ERR_OK;
}

enum err_code options_finish(struct options *o, bool is_ssm, struct err *e)
{
    enum err_code code = check_scope(o, is_ssm, e);

    if (code == ERR_OK)
        code = check_pairs(o, e);
    if (code == ERR_OK)
        code = check_back(o, is_ssm, e);
    if (code == ERR_OK && !options_given(o, "ttl"))
        o->ttl_ms = is_ssm ? 60000 : 5000;
    return code;
}

void options_help(FILE *out)
{
    size_t n;
    const struct option_row *rows = option_table(&n);

    for (size_t i = 0; i < n; i++) {
        const struct option_row *r = &rows[i];
        if (!r->help)
            continue;
        BUF(left, 256);
        buf_addf(&left, "%s%s", r->name, r->choices || r->value ? "=" : "");
        if (r->choices && strlen(r->choices) < 22)
            option_choices(r, "|", &left);
        else
            buf_add_str(&left, r->choices ? "NAME" : r->value ? r->value : "");
        fprintf(out, "  %-30s %s%s%s%s\n", buf_str(&left), r->help, r->preset ? " [" : "", r->preset ? r->preset : "",
                r->preset ? "]" : "");
    }
}
