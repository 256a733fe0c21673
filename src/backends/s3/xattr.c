#include "backends/s3/xattr.h"

#include "store/meta.h"
#include "util/str.h"

#include <string.h>

#define HEADER_MAX 65536
#define BASE64     "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="

static enum err_code add(struct store_meta *m, const char *name, const struct buf *value, struct err *e)
{
    if (str_starts(name, "user."))
        return store_meta_set_xattr(m, name, buf_str(value), value->len, e);
    BUF(prop, 1024);
    buf_addf(&prop, "xattr.%s", name);
    enum err_code code = buf_check(&prop, "attribute name", e);
    return code == ERR_OK ? store_meta_set_prop(m, buf_str(&prop), buf_str(value), value->len, e) : code;
}

/* The end of the name that begins at `p`: where `":"`, base64, `"` and a comma or brace follow. Names are not escaped,
 * so nothing simpler is right. NULL if there is none. */
static const char *name_end(const char *p, size_t *value_len)
{
    for (const char *q = strstr(p, "\":\""); q != NULL; q = strstr(q + 1, "\":\"")) {
        size_t n = strspn(q + 3, BASE64);
        if (q[3 + n] == '"' && (q[4 + n] == ',' || q[4 + n] == '}')) {
            *value_len = n;
            return q;
        }
    }
    return NULL;
}

/* Reads `"name":"value"` at *p and moves behind it and its comma. False at the end or where it is malformed. */
static bool next_pair(const char **p, struct store_meta *m, enum err_code *code, struct err *e)
{
    size_t value_len;
    if (**p != '"')
        return false;
    const char *name = *p + 1, *end = name_end(name, &value_len);
    if (end == NULL || end == name)
        return false;
    BUF(own_name, HEADER_MAX);
    BUF(value, HEADER_MAX);
    buf_add(&own_name, name, (size_t)(end - name));
    if (!base64_decode(&value, end + 3, value_len))
        return false;
    *code = buf_check(&own_name, "attribute", e);
    if (*code == ERR_OK)
        *code = buf_check(&value, "attribute", e);
    if (*code == ERR_OK)
        *code = add(m, buf_str(&own_name), &value, e);
    *p = end + 4 + value_len;
    if (**p == ',')
        (*p)++;
    return *code == ERR_OK;
}

enum err_code s3_xattr_read(const char *value, struct store_meta *m, struct err *e)
{
    BUF(text, HEADER_MAX);
    enum err_code code = ERR_OK;
    if (!uri_decode(&text, value, strlen(value), false) || text.failed || text.len < 2 || text.data[0] != '{' ||
        strlen(text.data) != text.len)
        return ERR_OK;
    const char *p = text.data + 1;
    while (next_pair(&p, m, &code, e))
        ;
    return code;
}

static void write_pair(struct buf *json, const char *name, const struct meta_pair *pair)
{
    buf_addf(json, "%s\"%s\":\"", json->len > 1 ? "," : "", name);
    base64_encode(json, pair->value, pair->len);
    buf_add_char(json, '"');
}

void s3_xattr_write(const struct store_meta *m, struct buf *out)
{
    BUF(json, HEADER_MAX);
    buf_add_char(&json, '{');
    /* Both lists are sorted, and everything else that s3fs stores (system., security., trusted.) sorts before "user.".
     */
    for (size_t i = 0; i < m->n_props; i++)
        if (str_starts(m->props[i].name, "xattr."))
            write_pair(&json, m->props[i].name + strlen("xattr."), &m->props[i]);
    for (size_t i = 0; i < m->n_xattrs; i++)
        write_pair(&json, m->xattrs[i].name, &m->xattrs[i]);
    buf_add_char(&json, '}');
    if (json.failed)
        out->failed = true;
    else if (json.len > 2)
        uri_encode(out, json.data, json.len, true);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_q(const char *p, size_t len, struct buf *out)
{
    for (size_t i = 0; i < len; i++) {
        if (p[i] != '=') {
            buf_add_char(out, p[i] == '_' ? ' ' : p[i]);
            continue;
        }
        int hi = i + 2 < len ? hex_digit(p[i + 1]) : -1, lo = i + 2 < len ? hex_digit(p[i + 2]) : -1;
        if (hi < 0 || lo < 0)
            return false;
        buf_add_char(out, (char)(hi * 16 + lo));
        i += 2;
    }
    return true;
}

/* Decodes one word at *p ("=?UTF-8?B?...?=") and moves behind it. */
static bool decode_word(const char **p, struct buf *out)
{
    static const char charset[] = "=?utf-8?";
    size_t n = strlen(charset);
    for (size_t i = 0; i < n; i++) {
        char c = (*p)[i] >= 'A' && (*p)[i] <= 'Z' ? (char)((*p)[i] | 0x20) : (*p)[i];
        if (c != charset[i])
            return false;
    }
    const char *kind = *p + n;
    const char *end = kind[0] != 0 && kind[1] == '?' ? strstr(kind + 2, "?=") : NULL;
    if (end == NULL)
        return false;
    bool ok;
    if (kind[0] == 'B' || kind[0] == 'b')
        ok = base64_decode(out, kind + 2, (size_t)(end - kind - 2));
    else
        ok = (kind[0] == 'Q' || kind[0] == 'q') && decode_q(kind + 2, (size_t)(end - kind - 2), out);
    *p = end + 2;
    return ok;
}

void s3_text_decode(const char *value, struct buf *out)
{
    BUF(text, HEADER_MAX);
    const char *p = value;
    bool ok = str_starts(p, "=?");
    while (ok && *p != 0) {
        ok = decode_word(&p, &text);
        p += strspn(p, " \t");
    }
    if (ok && !text.failed && utf8_valid(buf_str(&text), text.len))
        buf_add(out, buf_str(&text), text.len);
    else
        buf_add_str(out, value);
}

/* True when a reader would take the text for encoded words. */
static bool looks_encoded(const char *text, size_t len)
{
    if (len < 2 || text[0] != '=' || text[1] != '?')
        return false;
    BUF(own, HEADER_MAX);
    BUF(decoded, HEADER_MAX);
    buf_add(&own, text, len);
    s3_text_decode(buf_str(&own), &decoded);
    return own.failed || decoded.failed || strcmp(buf_str(&own), buf_str(&decoded)) != 0;
}

void s3_text_encode(const char *text, size_t len, struct buf *out)
{
    bool plain = len == 0 || (text[0] != ' ' && text[len - 1] != ' ' && !looks_encoded(text, len));
    for (size_t i = 0; i < len; i++)
        plain &= text[i] >= ' ' && text[i] < 0x7f;
    if (plain || !utf8_valid(text, len)) {
        buf_add(out, text, len);
        return;
    }
    buf_add_str(out, "=?UTF-8?B?");
    base64_encode(out, text, len);
    buf_add_str(out, "?=");
}
