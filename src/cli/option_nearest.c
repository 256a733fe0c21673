/* What somebody who wrote an unknown option may have meant. */
#include "cli/option_table.h"
#include "util/cleanup.h"
#include "util/str.h"

#include <string.h>

/* What other tools call it. */
static const struct {
    const char *name, *ours;
} others[] = {
    {"url", "endpoint"},          {"endpoint_url", "endpoint"},  {"readonly", "ro"},
    {"read_only", "ro"},          {"debug", "log_level"},        {"dbglevel", "log_level"},
    {"iam_role", "profile"},      {"passwd_file", "profile"},    {"public_bucket", "anonymous"},
    {"no_sign_request", "anonymous"}, {"no_check_certificate", "insecure_tls"},
    {"use_path_request_style", "addressing"}, {"path_style", "addressing"}, {"kms_key", "sse_kms_key"},
};

/* One mistake in three letters, three at most. */
static const struct option_row *by_distance(const char *name)
{
    size_t n;
    const struct option_row *rows = option_table(&n), *best = NULL;
    unsigned limit = strlen(name) < 3 ? 0 : strlen(name) / 3 < 3 ? (unsigned)strlen(name) / 3 : 3;

    for (size_t i = 0; i < n; i++) {
        unsigned d = rows[i].help ? str_distance(name, rows[i].name, limit) : limit + 1;
        if (d <= limit && (!best || d < limit || !d)) {
            best = &rows[i];
            limit = d;
        }
    }
    return best;
}

/* `part` is whole words of `text`, at its beginning or end. */
static bool is_words_of(const char *part, const char *text)
{
    size_t n = strlen(part), len = strlen(text);

    if (n < 3 || n >= len)
        return false;
    return (str_starts(text, part) && text[n] == '_') || (str_ends(text, part) && text[len - n - 1] == '_');
}

/* The beginning of one option's name only, or an option's name with words about it. */
static const struct option_row *by_words(const char *name)
{
    size_t n;
    const struct option_row *rows = option_table(&n), *begun = NULL, *words = NULL;
    unsigned beginnings = 0;

    for (size_t i = 0; i < n; i++) {
        if (!rows[i].help)
            continue;
        if (strlen(name) >= 3 && str_starts(rows[i].name, name)) {
            begun = &rows[i];
            beginnings++;
        }
        if (!words && (is_words_of(rows[i].name, name) || is_words_of(name, rows[i].name)))
            words = &rows[i];
    }
    return beginnings == 1 ? begun : words;
}

const struct option_row *option_nearest(const char *name)
{
    CLEANUP(free) char *plain = strdup(name);

    if (!plain)
        return NULL;
    for (char *p = plain; *p; p++)
        *p = *p == '-' ? '_' : *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (strcmp(plain, others[i].name) == 0)
            return option_find(others[i].ours);
    const struct option_row *row = by_distance(plain);
    return row ? row : by_words(plain);
}
