#include "vfs/names.h"

#include "util/digest.h"
#include "util/str.h"

#include <string.h>

#define HASH_MARK "%~"
#define HASH_DIGITS 32
#define HASH_PREFIX_MAX 200

static bool is_hash_form(const char *s, size_t len)
{
    size_t tail = strlen(HASH_MARK) + HASH_DIGITS;
    if (len < tail || memcmp(s + len - tail, HASH_MARK, strlen(HASH_MARK)) != 0)
        return false;
    for (size_t i = len - HASH_DIGITS; i < len; i++)
        if (!((s[i] >= '0' && s[i] <= '9') || (s[i] >= 'a' && s[i] <= 'f')))
            return false;
    return len - tail <= HASH_PREFIX_MAX;
}

static bool equals(const char *s, size_t len, const char *lit)
{
    return len == strlen(lit) && memcmp(s, lit, len) == 0;
}

/* Every '%' as "%25". */
static void percent_escape(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] == '%')
            buf_add_str(out, "%25");
        else
            buf_add_char(out, s[i]);
    }
}

/* The inverse; false if some '%' is not followed by "25" or there is none at all. */
static bool percent_unescape(struct buf *out, const char *s, size_t len)
{
    bool any = false;
    for (size_t i = 0; i < len; i++) {
        buf_add_char(out, s[i]);
        if (s[i] != '%')
            continue;
        if (i + 2 >= len || s[i + 1] != '2' || s[i + 2] != '5')
            return false;
        any = true;
        i += 2;
    }
    return any;
}

/* A component that would be taken for an escape, whatever stands beside it. What the escaping of such a component yields is one
 * too, hence the recursion; it ends because each step removes two characters a '%'. */
static bool is_reserved(const char *s, size_t len)
{
    if (equals(s, len, "%") || equals(s, len, "%2E") || equals(s, len, "%2E%2E") || is_hash_form(s, len))
        return true;
    BUF(inner, 4096);
    return percent_unescape(&inner, s, len) && !inner.failed && is_reserved(buf_str(&inner), inner.len);
}

/* The digest is of the whole. */
static void add_hashed(struct buf *out, const char *s, size_t len)
{
    size_t keep = len < HASH_PREFIX_MAX ? len : HASH_PREFIX_MAX;
    while (keep > 0 && keep < len && ((unsigned char)s[keep] & 0xC0) == 0x80)
        keep--;
    char hex[2 * DIGEST_MAX + 1];
    if (digest_hex(DIGEST_SHA512, s, len, hex, NULL)) {
        out->failed = true;
        return;
    }
    buf_add(out, s, keep);
    buf_add_str(out, HASH_MARK);
    buf_add(out, hex, HASH_DIGITS);
}

/* Shortens what is longer than a name may be. */
static void add_shortened(struct buf *out, const char *s, size_t len)
{
    if (len <= NAME_BYTES_MAX)
        buf_add(out, s, len);
    else
        add_hashed(out, s, len);
}

void name_of_component(struct buf *out, const char *component, size_t len, bool percent_taken)
{
    if (len == 0) {
        buf_add_str(out, "%");
    } else if (equals(component, len, ".")) {
        buf_add_str(out, "%2E");
    } else if (equals(component, len, "..")) {
        buf_add_str(out, "%2E%2E");
    } else if (percent_taken || is_reserved(component, len)) {
        BUF(escaped, 8192);
        percent_escape(&escaped, component, len);
        add_shortened(out, buf_str(&escaped), escaped.len);
    } else {
        add_shortened(out, component, len);
    }
}

void name_beside_dir(struct buf *out, const char *component, size_t len)
{
    BUF(name, 8192);
    name_of_component(&name, component, len, false);
    bool hashed = is_hash_form(buf_str(&name), name.len);
    buf_add_char(&name, '%');
    /* Only the hash form is reserved: another key must not have the name that a '%' behind it would make. */
    if (hashed)
        add_hashed(out, buf_str(&name), name.len);
    else
        add_shortened(out, buf_str(&name), name.len);
}

/* ---- Names that depend on what else is there */

/* Undoes the writing of '%' as "%25" as often as it may have been done. */
static void innermost(struct buf *out, const char *s, size_t len)
{
    buf_add(out, s, len);
    for (;;) {
        BUF(inner, 4096);
        if (!percent_unescape(&inner, buf_str(out), out->len) || inner.failed)
            return;
        buf_clear(out);
        buf_add(out, buf_str(&inner), inner.len);
    }
}

bool name_may_be_taken(const char *component, size_t len)
{
    BUF(inner, 4096);
    innermost(&inner, component, len);
    return inner.len > 1 && inner.data[inner.len - 1] == '%';
}

bool name_is_taken(const char *component, size_t len, bool (*doubled)(void *arg, const char *component, size_t len),
                   void *arg)
{
    BUF(inner, 4096);
    innermost(&inner, component, len);
    if (inner.len < 2 || inner.data[inner.len - 1] != '%')
        return false;
    /* The name before the '%' is that of one of these components. */
    BUF(base, 4096);
    buf_add(&base, inner.data, inner.len - 1);
    if (equals(base.data, base.len, "%") && doubled(arg, "", 0))
        return true;
    if (equals(base.data, base.len, "%2E") && doubled(arg, ".", 1))
        return true;
    if (equals(base.data, base.len, "%2E%2E") && doubled(arg, "..", 2))
        return true;
    for (;;) {
        if (doubled(arg, buf_str(&base), base.len))
            return true;
        BUF(next, 4096);
        if (!percent_unescape(&next, buf_str(&base), base.len) || next.failed)
            return false;
        buf_clear(&base);
        buf_add(&base, buf_str(&next), next.len);
    }
}

enum name_meaning name_to_component(const char *name, struct buf *component)
{
    size_t len = strlen(name);
    if (len == 0 || strchr(name, '/') || !utf8_valid(name, len))
        return NAME_BAD;
    if (!strchr(name, '%'))
        return NAME_LITERAL;
    if (equals(name, len, "%"))
        return NAME_ESCAPE;
    if (equals(name, len, "%2E") || equals(name, len, "%2E%2E")) {
        buf_add_str(component, len == 3 ? "." : "..");
        return NAME_ESCAPE;
    }
    if (is_hash_form(name, len) || name[len - 1] == '%')
        return NAME_DEPENDS;
    BUF(inner, 4096);
    if (percent_unescape(&inner, name, len)) {
        if (is_reserved(buf_str(&inner), inner.len)) {
            buf_add(component, buf_str(&inner), inner.len);
            return NAME_ESCAPE;
        }
    }
    if (name_may_be_taken(name, len)) /* or what an escape of such a one yields */
        return NAME_DEPENDS;
    return NAME_LITERAL;
}

bool name_for_new(const char *name, bool (*doubled)(void *arg, const char *component, size_t len), void *arg,
                  struct buf *component)
{
    size_t len = strlen(name);
    if (is_hash_form(name, len))
        return false;
    BUF(inner, 4096);
    bool escape = percent_unescape(&inner, name, len) && name_is_taken(buf_str(&inner), inner.len, doubled, arg);
    buf_add(component, escape ? buf_str(&inner) : name, escape ? inner.len : len);
    return true;
}

/* The length of the last character of s, which is valid UTF-8 and not empty. */
static size_t last_char(const char *s, size_t len)
{
    size_t n = 1;
    while (n < len && ((unsigned char)s[len - n] & 0xC0) == 0x80)
        n++;
    return n;
}

void name_list_start(struct buf *out, const char *prefix, const char *component)
{
    buf_add_str(out, prefix);
    size_t len = strlen(component);
    if (len == 0)
        return;
    size_t n = last_char(component, len);
    buf_add(out, component, len - n);
    unsigned char c = (unsigned char)component[len - 1];
    /* One below an ASCII character other than the lowest printable one, then the highest code point: what sorts between that
     * and the name itself is next to nothing. Elsewhere the prefix alone is behind fewer names, and still right. */
    if (n == 1 && c > ' ') {
        buf_add_char(out, (char)(c - 1));
        buf_add_str(out, "\xF4\x8F\xBF\xBF");
    }
}
