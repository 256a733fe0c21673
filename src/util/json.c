/* jansson has a function json_real() too; ours is another one. */
#define json_real jansson_json_real
#include <jansson.h>
#undef json_real

#include "util/json.h"

#include "util/secret.h"
#include "util/str.h"

#include <string.h>

#define DEPTH_MAX 32

void json_init(void)
{
    json_set_alloc_funcs(secret_alloc, secret_free);
    json_object_seed(0);
}

/* A document is jansson's root value, and `struct json` is json_t. */
static const json_t *value_of(const struct json *v)
{
    return (const json_t *)v;
}

/* Counts the brackets outside of strings, before jansson recurses into them. */
static bool too_deep(const char *p, size_t len)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        if (in_string) {
            if (p[i] == '\\')
                i++;
            else if (p[i] == '"')
                in_string = false;
        } else if (p[i] == '"') {
            in_string = true;
        } else if (p[i] == '{' || p[i] == '[') {
            if (++depth > DEPTH_MAX)
                return true;
        } else if ((p[i] == '}' || p[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

struct json_doc *json_parse(const char *p, size_t len, struct err *e)
{
    if (too_deep(p, len)) {
        err_set(e, ERR_PROTO, "JSON reply refused: it is nested too deeply");
        return NULL;
    }
    json_error_t why;
    json_t *root = json_loadb(len ? p : "", len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &why);
    if (root)
        return (struct json_doc *)root;
    /* jansson's text quotes what it met, which may be a secret: only the place is told. */
    if (json_error_code(&why) == json_error_out_of_memory)
        err_set(e, ERR_NOMEM, "out of memory");
    else
        err_set(e, ERR_PROTO, "JSON reply malformed at byte %d", why.position);
    return NULL;
}

void json_doc_free(struct json_doc *d)
{
    json_decref((json_t *)d);
}

const struct json *json_root(const struct json_doc *d)
{
    return (const struct json *)d;
}

const struct json *json_get(const struct json *v, const char *name)
{
    const json_t *member = json_object_get(value_of(v), name);
    return member && !json_is_null(member) ? (const struct json *)member : NULL;
}

bool json_list(const struct json *v)
{
    return json_is_array(value_of(v));
}

size_t json_len(const struct json *v)
{
    return json_array_size(value_of(v));
}

const struct json *json_at(const struct json *v, size_t i)
{
    return (const struct json *)json_array_get(value_of(v), i);
}

const char *json_str(const struct json *v, size_t *len)
{
    const char *s = json_string_value(value_of(v));
    if (!s)
        return NULL;
    size_t bytes = json_string_length(value_of(v));
    if (len)
        *len = bytes;
    else if (strlen(s) != bytes)
        return NULL;
    return s;
}

const char *json_get_str(const struct json *v, const char *name)
{
    return json_str(json_get(v, name), NULL);
}

bool json_int(const struct json *v, int64_t *out)
{
    const json_t *j = value_of(v);
    if (json_is_integer(j)) {
        *out = json_integer_value(j);
        return true;
    }
    /* 1.7e9, as some servers write whole numbers. */
    if (!json_is_real(j))
        return false;
    double real = json_real_value(j);
    if (!(real >= -9007199254740992.0 && real <= 9007199254740992.0) || real != (double)(int64_t)real)
        return false;
    *out = (int64_t)real;
    return true;
}

bool json_real(const struct json *v, double *out)
{
    if (!json_is_number(value_of(v)))
        return false;
    *out = json_number_value(value_of(v));
    return true;
}

bool json_bool(const struct json *v, bool *out)
{
    if (!json_is_boolean(value_of(v)))
        return false;
    *out = json_is_true(value_of(v));
    return true;
}

/* UTF-8 in which NUL is allowed. */
static bool text_valid(const char *s, size_t len)
{
    while (len) {
        const char *nul = memchr(s, '\0', len);
        size_t part = nul ? (size_t)(nul - s) : len;
        if (!utf8_valid(s, part))
            return false;
        size_t step = part + (nul != NULL);
        s += step;
        len -= step;
    }
    return true;
}

void json_quote(struct buf *out, const char *s, size_t len)
{
    if (out->failed)
        return;
    if (!text_valid(s, len)) {
        out->failed = true;
        out->why = ERR_INVAL;
        return;
    }
    buf_add_char(out, '"');
    for (size_t i = 0; i < len && !out->failed; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\') {
            buf_add_char(out, '\\');
            buf_add_char(out, (char)c);
        } else if (c < 0x20 || c == 0x7F) {
            buf_addf(out, "\\u%04x", c);
        } else {
            buf_add_char(out, (char)c);
        }
    }
    buf_add_char(out, '"');
}
