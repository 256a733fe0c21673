/* Percent-encoding, base64, hex, numbers and sizes, UTF-8. */
#include "fuzz.h"

#include "util/str.h"

#include <string.h>

#define LIMIT (1 << 20)

static bool same(const struct buf *b, const char *s, size_t len)
{
    return b->len == len && (len == 0 || memcmp(b->data, s, len) == 0);
}

static void check_uri(const char *s, size_t len, bool plus_is_space)
{
    BUF(decoded, LIMIT);
    if (!uri_decode(&decoded, s, len, plus_is_space)) {
        FUZZ_CHECK(decoded.len == 0);
        return;
    }
    FUZZ_CHECK(decoded.len <= len && !memchr(buf_str(&decoded), '\0', decoded.len));
    BUF(encoded, LIMIT);
    uri_encode(&encoded, decoded.data, decoded.len, false);
    BUF(again, LIMIT);
    FUZZ_CHECK(uri_decode(&again, encoded.data, encoded.len, plus_is_space));
    FUZZ_CHECK(same(&again, decoded.data, decoded.len));
}

/* There is one encoding of a value: what decodes is what encoding gives. */
static void check_base64(const char *s, size_t len)
{
    BUF(decoded, LIMIT);
    BUF(encoded, LIMIT);
    if (base64_decode(&decoded, s, len)) {
        base64_encode(&encoded, decoded.data, decoded.len);
        FUZZ_CHECK(same(&encoded, s, len));
    }
    buf_clear(&decoded);
    buf_clear(&encoded);
    base64_encode(&encoded, s, len);
    FUZZ_CHECK(base64_decode(&decoded, encoded.data, encoded.len));
    FUZZ_CHECK(same(&decoded, s, len));
}

static void check_numbers(const char *text)
{
    uint64_t u;
    int64_t i;
    char written[32], bytes[8];
    if (str_parse_u64(text, &u)) {
        snprintf(written, sizeof(written), "%llu", (unsigned long long)u);
        FUZZ_CHECK(str_ends(text, written));
    }
    if (str_parse_i64(text, &i)) {
        snprintf(written, sizeof(written), "%lld", (long long)i);
        FUZZ_CHECK(str_ends(text, i < 0 ? written + 1 : written));
    }
    (void)str_parse_size(text, &u);
    (void)hex_decode(text, bytes, sizeof(bytes));
    FUZZ_CHECK(str_distance(text, text, 3) == (strlen(text) > 64 ? 4 : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *s = (const char *)data;
    check_uri(s, size, false);
    check_uri(s, size, true);
    check_base64(s, size);
    (void)utf8_valid(s, size);
    CLEANUP(free) char *text = str_ndup(s, size);
    if (text)
        check_numbers(text);
    return 0;
}
