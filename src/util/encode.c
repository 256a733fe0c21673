/* Hex, base64 and percent-encoding: the part of util/str.h that turns bytes into text and back. */
#include "util/str.h"

#include <string.h>

void hex_encode(const void *p, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = p;
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * len] = '\0';
}

/* -1 where `c` is no hex digit. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool all_hex(const char *s, size_t digits)
{
    for (size_t i = 0; i < digits; i++) {
        if (hex_value(s[i]) < 0)
            return false;
    }
    return s[digits] == '\0';
}

bool hex_decode(const char *s, void *out, size_t len)
{
    unsigned char *bytes = out;
    if (len > SIZE_MAX / 2 || !all_hex(s, 2 * len))
        return false;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (unsigned char)(hex_value(s[2 * i]) << 4 | hex_value(s[2 * i + 1]));
    return true;
}

static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *p, size_t len)
{
    const unsigned char *in = p;
    for (size_t i = 0; i < len && !out->failed; i += 3) {
        size_t n = len - i < 3 ? len - i : 3;
        unsigned word = (unsigned)in[i] << 16;
        if (n > 1)
            word |= (unsigned)in[i + 1] << 8;
        if (n > 2)
            word |= in[i + 2];
        char quad[4] = {base64_digits[word >> 18], base64_digits[word >> 12 & 63],
                        n > 1 ? base64_digits[word >> 6 & 63] : '=', n > 2 ? base64_digits[word & 63] : '='};
        buf_add(out, quad, sizeof(quad));
    }
}

/* -1 where `c` is no base64 digit. */
static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+')
        return 62;
    if (c == '/')
        return 63;
    return -1;
}

/* Adds the one to three bytes of four digits, of which `digits` are no padding. */
static bool decode_quad(struct buf *out, const char *s, size_t digits)
{
    unsigned word = 0;
    for (size_t i = 0; i < 4; i++) {
        int value = i < digits ? base64_value(s[i]) : 0;
        if (value < 0)
            return false;
        word = word << 6 | (unsigned)value;
    }
    unsigned char bytes[3] = {(unsigned char)(word >> 16), (unsigned char)(word >> 8), (unsigned char)word};
    /* The bits that a shorter group leaves over must be zero, so that a value has one encoding. */
    for (size_t i = digits - 1; i < 3; i++) {
        if (bytes[i])
            return false;
    }
    buf_add(out, bytes, digits - 1);
    return true;
}

/* Takes back what was added since the buffer had `len` bytes. */
static bool take_back(struct buf *b, size_t len)
{
    b->len = len;
    if (b->data)
        b->data[len] = '\0';
    return false;
}

bool base64_decode(struct buf *out, const char *s, size_t len)
{
    size_t start = out->len;
    if (len % 4 != 0)
        return false;
    for (size_t i = 0; i < len && !out->failed; i += 4) {
        size_t digits = 4;
        if (i + 4 == len && s[i + 3] == '=')
            digits = s[i + 2] == '=' ? 2 : 3;
        if (!decode_quad(out, s + i, digits))
            return take_back(out, start);
    }
    return !out->failed;
}

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
           c == '.' || c == '~';
}

void uri_encode(struct buf *out, const char *s, size_t len, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < len && !out->failed; i++) {
        unsigned char c = (unsigned char)s[i];
        if (is_unreserved(s[i]) || (c == '/' && keep_slash)) {
            buf_add_char(out, s[i]);
        } else {
            char escape[3] = {'%', digits[c >> 4], digits[c & 15]};
            buf_add(out, escape, sizeof(escape));
        }
    }
}

bool uri_decode(struct buf *out, const char *s, size_t len, bool plus_is_space)
{
    size_t start = out->len;
    for (size_t i = 0; i < len && !out->failed; i++) {
        char c = s[i];
        if (c == '%') {
            int high = len - i > 2 ? hex_value(s[i + 1]) : -1;
            int low = len - i > 2 ? hex_value(s[i + 2]) : -1;
            if (high < 0 || low < 0)
                return take_back(out, start);
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        if (c == '\0')
            return take_back(out, start);
        buf_add_char(out, c);
    }
    return !out->failed;
}
