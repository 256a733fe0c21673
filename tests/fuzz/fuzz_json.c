#include "fuzz.h"

#include "util/json.h"
#include "util/str.h"

#include <string.h>

static void walk(const struct json *v, unsigned depth)
{
    int64_t i;
    double r;
    bool b;
    size_t len;
    FUZZ_CHECK(depth <= 33);
    (void)json_int(v, &i);
    (void)json_real(v, &r);
    (void)json_bool(v, &b);
    const char *s = json_str(v, &len);
    if (s)
        FUZZ_CHECK(s[len] == '\0');
    if (json_str(v, NULL))
        FUZZ_CHECK(strlen(s) == len && utf8_valid(s, len));
    static const char *const names[] = {"Parameters", "Parameter", "Name", "Value", "Version", "NextToken", "a", ""};
    for (size_t n = 0; n < ARRAY_LEN(names); n++) {
        const struct json *member = json_get(v, names[n]);
        if (member)
            walk(member, depth + 1);
    }
    for (size_t k = 0; k < json_len(v); k++)
        walk(json_at(v, k), depth + 1);
}

/* Text that is quoted comes back as it was. */
static void check_quoted(const char *s, size_t len)
{
    BUF(b, 1 << 20);
    buf_add_char(&b, '[');
    json_quote(&b, s, len);
    buf_add_char(&b, ']');
    if (b.failed) {
        FUZZ_CHECK(!utf8_valid(s, len));
        return;
    }
    CLEANUP(json_doc_free) struct json_doc *d = json_parse(b.data, b.len, NULL);
    FUZZ_CHECK(d);
    size_t back_len;
    const char *back = json_str(json_at(json_root(d), 0), &back_len);
    FUZZ_CHECK(back && back_len == len && (len == 0 || memcmp(back, s, len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready)
        json_init();
    ready = true;
    struct err e = ERR_INIT;
    CLEANUP(json_doc_free) struct json_doc *d = json_parse((const char *)data, size, &e);
    if (d)
        walk(json_root(d), 1);
    else
        FUZZ_CHECK(e.code == ERR_PROTO && e.msg[0]);
    check_quoted((const char *)data, size);
    return 0;
}
