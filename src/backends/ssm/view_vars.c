/*
 * Variables: KEY="value" in the dialects of sh, systemd, dotenv, docker and Terraform. The key is the parameter's name with
 * '-' and '.' as '_', in upper case but for Terraform.
 */
#include "backends/ssm/names.h"
#include "backends/ssm/view_impl.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

#define TERRAFORM_PREFIX "tf_var_"

/* An identifier and the item that it was made of. */
struct var {
    const struct view_item *item;
    char key[SSM_ARN_MAX + 1];
};

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* False when the name makes no identifier. */
static bool make_key(enum view_format format, const char *name, char *out, size_t size)
{
    bool terraform = format == VIEW_TFVARS;
    if (terraform && str_starts(name, TERRAFORM_PREFIX))
        name += strlen(TERRAFORM_PREFIX);
    size_t len = strlen(name);
    if (len == 0 || len >= size)
        return false;
    for (size_t i = 0; i <= len; i++) {
        char c = name[i] == '-' || name[i] == '.' ? '_' : name[i];
        bool lower = c >= 'a' && c <= 'z';
        out[i] = lower && !terraform ? (char)(c - 'a' + 'A') : c;
        bool digit = c >= '0' && c <= '9';
        if (i < len && !letter(c) && (!digit || i == 0))
            return false;
    }
    return true;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const struct var *const *)a)->key, (*(const struct var *const *)b)->key);
}

/* Two names of one key would make one of them disappear. */
static enum err_code check_unique(const struct var *vars, size_t n, struct err *e)
{
    CLEANUP(free) const struct var **sorted = calloc(n + 1, sizeof(struct var *));
    if (sorted == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for a view");
    for (size_t i = 0; i < n; i++)
        sorted[i] = &vars[i];
    qsort(sorted, n, sizeof(struct var *), by_key);
    for (size_t i = 1; i < n; i++)
        if (strcmp(sorted[i - 1]->key, sorted[i]->key) == 0)
            return err_set(e, ERR_INVAL, "\"%.100s\" and \"%.100s\" are both the variable %.80s",
                           sorted[i - 1]->item->name, sorted[i]->item->name, sorted[i]->key);
    return ERR_OK;
}

/* What the dialect has no way to write. */
static enum err_code check_value(enum view_format format, const struct view_item *item, struct err *e)
{
    if (format != VIEW_TFVARS && memchr(item->value, '\0', item->len) != NULL)
        return err_set(e, ERR_INVAL, "the value of \"%.100s\" has a NUL byte, which no variable can have", item->name);
    bool breaks = memchr(item->value, '\n', item->len) != NULL || memchr(item->value, '\r', item->len) != NULL;
    if (format == VIEW_DOCKER && breaks)
        return err_set(e, ERR_INVAL, "the value of \"%.100s\" has a line break, which docker --env-file cannot have",
                       item->name);
    return ERR_OK;
}

/* In double quotes; LF and CR as they are, or as \n and \r. */
static void add_quoted(const struct view_item *item, bool escape_breaks, struct buf *out)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < item->len; i++) {
        char c = item->value[i];
        if (escape_breaks && (c == '\n' || c == '\r')) {
            buf_add_str(out, c == '\n' ? "\\n" : "\\r");
            continue;
        }
        if (c == '"' || c == '\\' || c == '$' || c == '`')
            buf_add_char(out, '\\');
        buf_add_char(out, c);
    }
    buf_add_char(out, '"');
}

/* A word of the shell: in single quotes unless every character is known to be safe. */
static void add_word(const struct view_item *item, struct buf *out)
{
    bool safe = item->len > 0;
    for (size_t i = 0; safe && i < item->len; i++) {
        char c = item->value[i];
        safe = c != '\0' && (letter(c) || (c >= '0' && c <= '9') || strchr("@%+=:,./-", c) != NULL);
    }
    if (safe) {
        buf_add(out, item->value, item->len);
        return;
    }
    buf_add_char(out, '\'');
    for (size_t i = 0; i < item->len; i++) {
        if (item->value[i] == '\'')
            buf_add_str(out, "'\"'\"'");
        else
            buf_add_char(out, item->value[i]);
    }
    buf_add_char(out, '\'');
}

/* A string of HCL. Its escapes are \n \r \t \" \\ and \uNNNN; "${" and "%{" begin a template, which a code point in the place
 * of their first character does not (specification of HCL's native syntax, "Quoted templates"). */
static void add_terraform(const struct view_item *item, struct buf *out)
{
    buf_add_char(out, '"');
    for (size_t i = 0; i < item->len; i++) {
        char c = item->value[i];
        char next = i + 1 < item->len ? item->value[i + 1] : '\0';
        if (c == '\n' || c == '\r')
            buf_add_str(out, c == '\n' ? "\\n" : "\\r");
        else if (c == '\0' || ((c == '$' || c == '%') && next == '{'))
            buf_addf(out, "\\u%04x", (unsigned)c);
        else if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", c);
        else
            buf_add_char(out, c);
    }
    buf_add_char(out, '"');
}

static void add_line(enum view_format format, const struct var *var, struct buf *out)
{
    if (format == VIEW_EXPORT)
        buf_add_str(out, "export ");
    buf_add_str(out, var->key);
    buf_add_str(out, format == VIEW_TFVARS ? " = " : "=");
    if (format == VIEW_EXPORT)
        add_word(var->item, out);
    else if (format == VIEW_DOCKER)
        buf_add(out, var->item->value, var->item->len);
    else if (format == VIEW_TFVARS)
        add_terraform(var->item, out);
    else
        add_quoted(var->item, format == VIEW_DOTENV, out);
    buf_add_char(out, '\n');
}

enum err_code view_vars(enum view_format format, const struct view_item *items, size_t n, struct buf *out,
                        struct err *e)
{
    CLEANUP(free) struct var *vars = calloc(n + 1, sizeof(*vars));
    if (vars == NULL)
        return err_set(e, ERR_NOMEM, "out of memory for a view");
    for (size_t i = 0; i < n; i++) {
        vars[i].item = &items[i];
        if (!make_key(format, items[i].name, vars[i].key, sizeof(vars[i].key)))
            return err_set(e, ERR_INVAL, "\"%.100s\" does not make the name of a variable", items[i].name);
        enum err_code code = check_value(format, &items[i], e);
        if (code != ERR_OK)
            return code;
    }
    enum err_code code = check_unique(vars, n, e);
    for (size_t i = 0; code == ERR_OK && i < n; i++)
        add_line(format, &vars[i], out);
    return code;
}
