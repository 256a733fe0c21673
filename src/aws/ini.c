#include "aws/ini.h"

#include "aws/secret_file.h"
#include "util/log.h"
#include "util/secret.h"
#include "util/str.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

struct ini_section {
    const char *name;
    size_t first, count; /* its entries */
    unsigned line;
};

/* Pointers into the text, which is cut up in place. */
struct ini_entry {
    const char *key;
    const char *sub; /* NULL: an entry of the section itself */
    const char *value;
    unsigned line;
    size_t indent; /* of its line: what is indented more goes on with it */
};

struct ini {
    char *text; /* secret memory */
    char *name;
    const char *problem;
    bool present, unreadable;
    struct ini_section *sections;
    size_t n_sections;
    struct ini_entry *entries;
    size_t n_entries;
};

void ini_free(struct ini *ini)
{
    if (!ini)
        return;
    secret_free(ini->text);
    free(ini->name);
    free(ini->sections);
    free(ini->entries);
    free(ini);
}

static struct ini *ini_new(const char *name, struct err *e)
{
    struct ini *ini = calloc(1, sizeof(*ini));

    if (!ini || !(ini->name = strdup(name))) {
        err_set(e, ERR_NOMEM, "no memory to read %s", name);
        ini_free(ini);
        return NULL;
    }
    ini->problem = "";
    return ini;
}

/* Room for one more element in an array that doubles from 16. */
static bool grow(void **array, size_t n, size_t size)
{
    if (n & (n - 1) || (n && n < 16))
        return true;
    void *p = reallocarray(*array, n ? 2 * n : 16, size);
    if (p)
        *array = p;
    return p;
}

static enum err_code bad_line(const struct ini *ini, unsigned line, struct err *e, const char *what)
{
    return err_set(e, ERR_INVAL, "%s line %u: %s", ini->name, line, what);
}

static char *trim(char *s)
{
    while (isspace((unsigned char)*s))
        s++;
    size_t len = strlen(s);
    while (len && isspace((unsigned char)s[len - 1]))
        len--;
    s[len] = '\0';
    return s;
}

static enum err_code add_section(struct ini *ini, char *text, unsigned line, struct err *e)
{
    char *end = strchr(text, ']');

    if (!end)
        return bad_line(ini, line, e, "a section begins with '[' and ends with ']'");
    if (*trim(end + 1) && !strchr("#;", *trim(end + 1)))
        return bad_line(ini, line, e, "there is text behind the section's ']'");
    *end = '\0';
    char *name = trim(text + 1);
    if (!*name)
        return bad_line(ini, line, e, "the section has no name");
    for (size_t i = 0; i < ini->n_sections; i++)
        if (!strcmp(ini->sections[i].name, name))
            return err_set(e, ERR_INVAL, "%s line %u: section [%s] was there before, in line %u", ini->name, line, name,
                           ini->sections[i].line);
    if (ini->n_sections == INI_SECTIONS_MAX)
        return bad_line(ini, line, e, "too many sections");
    if (!grow((void **)&ini->sections, ini->n_sections, sizeof(*ini->sections)))
        return err_set(e, ERR_NOMEM, "no memory to read %s", ini->name);
    ini->sections[ini->n_sections++] = (struct ini_section){name, ini->n_entries, 0, line};
    return ERR_OK;
}

static const struct ini_entry *find(const struct ini *ini, size_t section, const char *key, const char *sub)
{
    const struct ini_section *s = &ini->sections[section];

    for (size_t i = 0; i < s->count; i++) {
        const struct ini_entry *entry = &ini->entries[s->first + i];

        if (str_ieq(entry->key, key) && (sub ? entry->sub && str_ieq(entry->sub, sub) : !entry->sub))
            return entry;
    }
    return NULL;
}

/* Where "key = value" is cut, the key in lower case; NULL and `e` when it is nothing of the kind. A nested block knows
 * only
 * '='. */
static enum err_code cut_entry(const struct ini *ini, char *text, const char *separators, unsigned line, char **key,
                               char **value, struct err *e)
{
    char *separator = strpbrk(text, separators);

    if (!separator)
        return bad_line(ini, line, e, "this is no 'key = value', no [section] and no comment");
    *separator = '\0';
    *key = trim(text);
    *value = trim(separator + 1);
    if (!**key)
        return bad_line(ini, line, e, "there is no key before the '='");
    for (char *p = *key; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return ERR_OK;
}

static enum err_code append_entry(struct ini *ini, const struct ini_entry *entry, struct err *e)
{
    if (ini->n_entries == INI_ENTRIES_MAX)
        return bad_line(ini, entry->line, e, "too many lines");
    if (!grow((void **)&ini->entries, ini->n_entries, sizeof(*ini->entries)))
        return err_set(e, ERR_NOMEM, "no memory to read %s", ini->name);
    ini->entries[ini->n_entries++] = *entry;
    ini->sections[ini->n_sections - 1].count++;
    return ERR_OK;
}

static enum err_code add_entry(struct ini *ini, char *text, size_t indent, unsigned line, struct err *e)
{
    char *key, *value;
    enum err_code code = cut_entry(ini, text, "=:", line, &key, &value, e);

    if (code)
        return code;
    if (!ini->n_sections)
        return bad_line(ini, line, e, "the first line must be a [section]");
    if (find(ini, ini->n_sections - 1, key, NULL))
        return bad_line(ini, line, e, "this key was there before in the same section");
    return append_entry(ini, &(struct ini_entry){key, NULL, value, line, indent}, e);
}

/* In a nested block the last of two equal keys holds. */
static enum err_code add_nested(struct ini *ini, const char *parent, char *text, unsigned line, struct err *e)
{
    char *key, *value;
    enum err_code code = cut_entry(ini, text, "=", line, &key, &value, e);
    struct ini_entry *before;

    if (code)
        return code;
    before = (struct ini_entry *)find(ini, ini->n_sections - 1, parent, key);
    if (!before)
        return append_entry(ini, &(struct ini_entry){parent, key, value, line, 0}, e);
    before->value = value;
    before->line = line;
    return ERR_OK;
}

/* The entry of the section itself that an indented line belongs to, NULL if there is none. */
static struct ini_entry *open_entry(struct ini *ini)
{
    if (!ini->n_sections || !ini->sections[ini->n_sections - 1].count)
        return NULL;
    struct ini_entry *entry = &ini->entries[ini->n_entries - 1];
    while (entry->sub)
        entry--;
    return entry;
}

/* An indented line: an element of a nested block below an empty value, else one more line of the value. */
static enum err_code add_indented(struct ini *ini, struct ini_entry *entry, char *text, unsigned line, struct err *e)
{
    if (!*entry->value)
        return add_nested(ini, entry->key, text, line, e);
    /* Behind the value's end in the same text there is always room: this line lies further on. */
    char *end = (char *)entry->value + strlen(entry->value);
    *end++ = '\n';
    memmove(end, text, strlen(text) + 1);
    return ERR_OK;
}

static enum err_code parse_line(struct ini *ini, char *text, unsigned line, struct err *e)
{
    char *content = trim(text);
    size_t indent = (size_t)(content - text);
    struct ini_entry *entry = open_entry(ini);

    if (!*content || *content == '#' || *content == ';')
        return ERR_OK;
    if (entry && indent > entry->indent)
        return add_indented(ini, entry, content, line, e);
    if (*content == '[')
        return add_section(ini, content, line, e);
    return add_entry(ini, content, indent, line, e);
}

/* Line by line through ini->text, which has `len` bytes and a NUL. */
static enum err_code parse_text(struct ini *ini, size_t len, struct err *e)
{
    char *p = ini->text, *end = ini->text + len;
    enum err_code code = ERR_OK;

    if (len >= 3 && !memcmp(p, "\xef\xbb\xbf", 3))
        p += 3;
    for (unsigned line = 1; !code && p < end; line++) {
        char *newline = memchr(p, '\n', (size_t)(end - p));
        char *stop = newline ? newline : end;

        if (memchr(p, '\0', (size_t)(stop - p)))
            return bad_line(ini, line, e, "there is a NUL character");
        if (!utf8_valid(p, (size_t)(stop - p)))
            return bad_line(ini, line, e, "this is not UTF-8 text");
        *stop = '\0';
        code = parse_line(ini, p, line, e);
        p = stop + 1;
    }
    return code;
}

struct ini *ini_parse(const char *name, const char *text, size_t len, struct err *e)
{
    CLEANUP(ini_free) struct ini *ini = ini_new(name, e);

    if (!ini)
        return NULL;
    if (len > INI_FILE_MAX) {
        err_set(e, ERR_TOO_BIG, "%s is larger than %d bytes", name, INI_FILE_MAX);
        return NULL;
    }
    ini->text = secret_dup(text, len);
    if (!ini->text) {
        err_set(e, ERR_NOMEM, "no memory to read %s", name);
        return NULL;
    }
    ini->present = true;
    return parse_text(ini, len, e) ? NULL : TAKE(ini);
}

struct ini *ini_load(const char *path, bool secret, struct err *e)
{
    BUF_SECRET(text, INI_FILE_MAX);
    struct err local = ERR_INIT;
    enum err_code code = secret_file_read(path, secret, &text, &local);

    if (!code)
        return ini_parse(path, buf_str(&text), text.len, e);
    if (code == ERR_NOMEM || code == ERR_TOO_BIG) {
        err_copy(e, &local);
        return NULL;
    }
    bool unreadable = code != ERR_NOT_FOUND;
    if (unreadable)
        LOG_WARN("aws", "%s", local.msg);
    struct ini *missing = ini_new(path, e);
    if (missing) {
        missing->problem = unreadable ? "cannot be read" : "does not exist";
        missing->unreadable = unreadable;
    }
    return missing;
}

bool ini_unreadable(const struct ini *ini)
{
    return ini->unreadable;
}

bool ini_present(const struct ini *ini)
{
    return ini->present;
}

const char *ini_problem(const struct ini *ini)
{
    return ini->problem;
}

size_t ini_sections(const struct ini *ini)
{
    return ini->n_sections;
}

const char *ini_section_name(const struct ini *ini, size_t section)
{
    return ini->sections[section].name;
}

unsigned ini_section_line(const struct ini *ini, size_t section)
{
    return ini->sections[section].line;
}

const char *ini_get(const struct ini *ini, size_t section, const char *key, const char *sub)
{
    const struct ini_entry *entry = find(ini, section, key, sub);

    return entry ? entry->value : NULL;
}

unsigned ini_line(const struct ini *ini, size_t section, const char *key, const char *sub)
{
    const struct ini_entry *entry = find(ini, section, key, sub);

    return entry ? entry->line : 0;
}
