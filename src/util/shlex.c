#include "util/shlex.h"

#include <stdbool.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* From behind the opening quote to behind the closing one. */
static enum shlex read_quoted(const char **text, char quote, struct buf *word)
{
    const char *s = *text;

    for (; *s != quote; s++) {
        if (!*s)
            return SHLEX_OPEN_QUOTE;
        if (*s == '\\' && quote == '"') {
            if (!s[1])
                return SHLEX_BARE_BACKSLASH;
            if (s[1] == '"' || s[1] == '\\')
                s++;
        }
        buf_add_char(word, *s);
    }
    *text = s + 1;
    return SHLEX_WORD;
}

enum shlex shlex_next(const char **text, struct buf *word)
{
    const char *s = *text;

    while (is_blank(*s))
        s++;
    if (!*s) {
        *text = s;
        return SHLEX_END;
    }
    while (*s && !is_blank(*s)) {
        char c = *s++;

        if (c == '\'' || c == '"') {
            enum shlex result = read_quoted(&s, c, word);
            if (result != SHLEX_WORD)
                return result;
            continue;
        }
        if (c == '\\') {
            if (!*s)
                return SHLEX_BARE_BACKSLASH;
            c = *s++;
        }
        buf_add_char(word, c);
    }
    *text = s;
    return SHLEX_WORD;
}
