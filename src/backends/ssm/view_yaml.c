/*
 * YAML: a mapping in block style. A text is plain where no reader, by the rules of YAML 1.1 or of 1.2, takes it for anything
 * else; in double quotes otherwise; one of several lines that needs no quotes is a literal block. What chamber's library
 * (goccy/go-yaml) puts in quotes is put in quotes too.
 */
#include "backends/ssm/view_impl.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <string.h>

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* ---- What would be read as something other than text */

static bool is_word(const char *s, size_t len)
{
    static const char *const words[] = {
        "null", "Null", "NULL", "~",    "true", "True", "TRUE",  "false", "False", "FALSE", "y",    "Y",     "yes",  "Yes",
        "YES",  "n",    "N",    "no",   "No",   "NO",   "on",    "On",    "ON",    "off",   "Off",  "OFF",   "=",    "<<",
        ".nan", ".NaN", ".NAN", "---",  "...",  "-",    ".inf",  ".Inf",  ".INF",  "-.inf", "-.Inf", "-.INF", "+.inf", "+.Inf",
        "+.INF"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (strlen(words[i]) == len && memcmp(words[i], s, len) == 0)
            return true;
    return false;
}

static size_t span(const char *s, size_t len, const char *set)
{
    size_t n = 0;
    while (n < len && s[n] != '\0' && strchr(set, s[n]) != NULL)
        n++;
    return n;
}

/* "1:30", "190:20:30.15": base 60 in YAML 1.1. `at` is behind the first digits. */
static bool is_base60(const char *s, size_t len, size_t at)
{
    size_t parts = 0;
    for (; at < len && s[at] == ':'; parts++) {
        size_t digits = span(s + at + 1, len - at - 1, "0123456789");
        if (digits == 0 || digits > 2 || (digits == 2 && s[at + 1] > '5'))
            return false;
        at += 1 + digits;
    }
    if (parts > 0 && at < len && s[at] == '.')
        at += 1 + span(s + at + 1, len - at - 1, "0123456789_");
    return parts > 0 && at == len;
}

/* Integers and floats of both versions, in every base, also with a wrong digit for it ("089"). */
static bool is_number(const char *s, size_t len)
{
    size_t sign = span(s, len < 1 ? len : 1, "+-");
    s += sign;
    len -= sign;
    if (len > 2 && s[0] == '0' && strchr("xob", s[1]) != NULL)
        return span(s + 2, len - 2, s[1] == 'x' ? "0123456789abcdefABCDEF_" : "01234567_") == len - 2;
    if (len == 0 || s[0] == '_')
        return false;
    size_t at = span(s, len, "0123456789_"), digits = at;
    if (at > 0 && is_base60(s, len, at))
        return true;
    if (at < len && s[at] == '.') {
        size_t fraction = span(s + at + 1, len - at - 1, "0123456789_");
        at += 1 + fraction;
        digits += fraction;
    }
    if (digits == 0)
        return false;
    if (at < len && (s[at] == 'e' || s[at] == 'E')) {
        at++;
        at += span(s + at, len - at < 1 ? len - at : 1, "+-");
        size_t power = span(s + at, len - at, "0123456789");
        at += power;
        digits = power;
    }
    return digits > 0 && at == len;
}

/* "2001-12-14", "2001-12-14t21:59:43.10-05:00", "2001-1-4 1:59:43": dates, whatever follows their hour. */
static bool is_date(const char *s, size_t len)
{
    if (span(s, len, "0123456789") != 4 || len < 8 || s[4] != '-')
        return false;
    size_t month = span(s + 5, len - 5, "0123456789");
    size_t at = 5 + month;
    if (month == 0 || month > 2 || at >= len || s[at] != '-')
        return false;
    size_t day = span(s + at + 1, len - at - 1, "0123456789");
    at += 1 + day;
    if (day == 0 || day > 2)
        return false;
    if (at == len)
        return month == 2 && day == 2;
    return strchr("Tt ", s[at]) != NULL && at + 1 < len && (digit(s[at + 1]) || s[at + 1] == ' ');
}

/* ---- What would end, or not begin, a plain text */

static bool has_indicator(const char *s, size_t len)
{
    if (strchr("*&[{}],!|>%'\"@ `", s[0]) != NULL || s[len - 1] == ':' || s[len - 1] == ' ')
        return true;
    for (size_t i = 0; i < len; i++) {
        bool before_space = i + 1 < len && s[i + 1] == ' ';
        if (s[i] == '#' || s[i] == '\\' || ((s[i] == ':' || s[i] == '-') && before_space))
            return true;
    }
    return false;
}

/* Characters that a reader refuses, or that are not seen: only in quotes, as their number. */
static bool must_be_escaped(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || (c >= 0xe000 && c <= 0xf8ff) || c == 0xfeff ||
           (c & 0xfffe) == 0xfffe;
}

/* Other blanks than that of ASCII: in quotes chamber's library has them as their number. */
static bool is_blank(unsigned c)
{
    return c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x202f || c == 0x205f || c == 0x3000;
}

static bool is_visible(const char *s, size_t len, const char *besides)
{
    for (size_t i = 0, bytes; i < len; i += bytes) {
        unsigned c = view_rune(s + i, len - i, &bytes);
        if (must_be_escaped(c) && (c == 0 || c > 0x7f || strchr(besides, (int)c) == NULL))
            return false;
    }
    return true;
}

/* What chamber's library would not put in quotes. */
static bool is_bare(const char *s, size_t len)
{
    return len > 0 && !is_word(s, len) && !is_number(s, len) && !is_date(s, len) && !has_indicator(s, len);
}

static bool is_plain(const char *s, size_t len)
{
    return is_bare(s, len) && !(s[0] == '?' && (len == 1 || s[1] == ' '));
}

/* A literal block takes its indentation from its first line that is not empty. */
static bool is_block(const char *s, size_t len)
{
    size_t first = span(s, len, "\n");
    if (first == len || s[first] == ' ' || s[first] == '\t' || memchr(s, '\n', len) == NULL)
        return false;
    return is_bare(s, len) && is_visible(s, len, "\n\t");
}

/* ---- Writing */

static void add_quoted(const char *s, size_t len, struct buf *out)
{
    buf_add_char(out, '"');
    for (size_t i = 0, bytes; i < len; i += bytes) {
        unsigned c = view_rune(s + i, len - i, &bytes);
        const char *at = c >= '\a' && c <= '\r' ? strchr("\aa\bb\tt\nn\vv\ff\rr", (int)c) : NULL;
        if (c == '"' || c == '\\')
            buf_addf(out, "\\%c", (int)c);
        else if (at != NULL)
            buf_addf(out, "\\%c", at[1]);
        else if (!must_be_escaped(c) && !is_blank(c))
            buf_add(out, s + i, bytes);
        else
            buf_addf(out, c < 0x80 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
    }
    buf_add_char(out, '"');
}

static void add_scalar(const char *s, size_t len, struct buf *out)
{
    if (is_plain(s, len) && is_visible(s, len, ""))
        buf_add(out, s, len);
    else
        add_quoted(s, len, out);
}

static void indent(unsigned depth, struct buf *out)
{
    for (unsigned i = 0; i < depth; i++)
        buf_add_str(out, "  ");
}

/* Line feeds at the end: none, one, or all that there are. The last line of those has no indentation. */
static void add_block(const char *s, size_t len, unsigned depth, struct buf *out)
{
    bool ends = s[len - 1] == '\n';
    bool keep = ends && len > 1 && s[len - 2] == '\n';
    buf_add_str(out, keep ? "|+\n" : ends ? "|\n" : "|-\n");
    size_t end = len - ends;
    for (size_t at = 0; at <= end;) {
        const char *lf = memchr(s + at, '\n', end - at);
        size_t line = lf ? (size_t)(lf - s) - at : end - at;
        if (!keep || at < end)
            indent(depth, out);
        buf_add(out, s + at, line);
        buf_add_char(out, '\n');
        at += line + 1;
    }
}

/* What stands behind a name's colon. */
static void add_value(const struct view_item *item, bool as_list, unsigned depth, struct buf *out)
{
    const char *part;
    size_t len;
    if (!as_list) {
        buf_add_char(out, ' ');
        if (is_block(item->value, item->len)) {
            add_block(item->value, item->len, depth + 1, out);
            return;
        }
        add_scalar(item->value, item->len, out);
        buf_add_char(out, '\n');
        return;
    }
    buf_add_char(out, '\n');
    for (size_t at = 0; view_list_next(item, &at, &part, &len);) {
        indent(depth, out);
        buf_add_str(out, "- ");
        add_scalar(part, len, out);
        buf_add_char(out, '\n');
    }
}

/* Recursive: a name has at most SSM_LEVELS_MAX levels. */
static void add_level(const struct view_level *l, const struct view_item *self, bool tree, unsigned depth, struct buf *out)
{
    struct view_node node;
    if (self != NULL) {
        indent(depth, out);
        buf_add_str(out, "\"" VIEW_SELF "\":");
        add_value(self, self->list, depth, out);
    }
    for (size_t at = 0; view_level_next(l, &at, &node);) {
        indent(depth, out);
        add_scalar(node.name, node.len, out);
        buf_add_char(out, ':');
        if (node.below.n > 0) {
            buf_add_char(out, '\n');
            add_level(&node.below, node.value, tree, depth + 1, out);
        } else {
            add_value(node.value, tree && node.value->list, depth, out);
        }
    }
}

void view_yaml(bool tree, const struct view_item *items, size_t n, struct buf *out)
{
    const struct view_level top = {items, n, 0};
    if (n == 0)
        buf_add_str(out, "{}\n");
    add_level(&top, NULL, tree, 0, out);
}
