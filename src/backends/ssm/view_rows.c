/* A row a parameter: CSV and TSV (RFC 4180), .properties (java.util.Properties, load()). */
#include "backends/ssm/view_impl.h"

#include <string.h>

/* White space at the beginning, which some readers drop: that of Unicode, in all its lengths. */
static bool begins_with_space(const char *s, size_t len)
{
    size_t bytes;
    unsigned c = len > 0 ? view_rune(s, len, &bytes) : 0;
    return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) ||
           c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

/* "\." alone ends the data for PostgreSQL's COPY. */
static bool needs_quotes(const char *s, size_t len, char separator)
{
    if (len == 2 && memcmp(s, "\\.", 2) == 0)
        return true;
    for (size_t i = 0; i < len; i++)
        if (s[i] == separator || s[i] == '"' || s[i] == '\r' || s[i] == '\n')
            return true;
    return begins_with_space(s, len);
}

static void add_field(const char *s, size_t len, char separator, struct buf *out)
{
    if (!needs_quotes(s, len, separator)) {
        buf_add(out, s, len);
        return;
    }
    buf_add_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '"')
            buf_add_char(out, '"');
        buf_add_char(out, s[i]);
    }
    buf_add_char(out, '"');
}

/* ISO 8859-1 has all that is not ASCII as \uNNNN, what is beyond 16 bits as two surrogates; a space at the beginning would be
 * part of the separator. */
static void add_property_value(const char *s, size_t len, struct buf *out)
{
    static const char short_form[][3] = {['\t'] = "\\t", ['\n'] = "\\n", ['\f'] = "\\f", ['\r'] = "\\r", ['\\'] = "\\\\"};
    for (size_t i = 0, bytes; i < len; i += bytes) {
        unsigned c = view_rune(s + i, len - i, &bytes);
        if (c < sizeof(short_form) / sizeof(short_form[0]) && short_form[c][0])
            buf_add_str(out, short_form[c]);
        else if (c == ' ' && i == 0)
            buf_add_str(out, "\\ ");
        else if (c >= 0x10000)
            buf_addf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
        else if (c >= 0x80)
            buf_addf(out, "\\u%04x", c);
        else
            buf_add(out, s + i, bytes);
    }
}

void view_rows(enum view_format format, const struct view_item *items, size_t n, struct buf *out)
{
    char separator = format == VIEW_CSV ? ',' : '\t';
    for (size_t i = 0; i < n; i++) {
        if (format == VIEW_PROPERTIES) {
            buf_add_str(out, items[i].name);
            buf_add_str(out, " = ");
            add_property_value(items[i].value, items[i].len, out);
        } else {
            add_field(items[i].name, strlen(items[i].name), separator, out);
            buf_add_char(out, separator);
            add_field(items[i].value, items[i].len, separator, out);
        }
        buf_add_char(out, '\n');
    }
}
