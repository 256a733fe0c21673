/* Headers of an object, one a line: what is read from them and written again reads the same. */
#include "fuzz.h"

#include "backends/s3/acl.h"
#include "backends/s3/headers.h"
#include "store/meta.h"

#include <string.h>

static void add_line(struct params *h, const char *line, size_t len)
{
    BUF(text, 1 << 17);
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)line[i] >= ' ' && line[i] != 0x7f)
            buf_add_char(&text, line[i]);
    char *colon = text.len > 0 ? strchr(text.data, ':') : NULL;
    if (colon == NULL || colon == text.data)
        return;
    *colon = 0;
    params_add(h, text.data, colon + 1 + strspn(colon + 1, " "));
}

static bool headers_of(const struct store_meta *m, struct params *out)
{
    struct err e = ERR_INIT;
    return s3_meta_write(m, "k", NULL, S3_WRITE_SAME_BYTES, out, &e) == ERR_OK;
}

static void check_round(const struct params *h)
{
    CLEANUP(store_meta_unref) struct store_meta *first = NULL;
    CLEANUP(store_meta_unref) struct store_meta *second = NULL;
    PARAMS(one);
    PARAMS(two);
    struct err e = ERR_INIT;
    if (h->failed != ERR_OK || s3_meta_read(h, "k", &first, &e) != ERR_OK || !headers_of(first, &one))
        return;
    FUZZ_CHECK(s3_meta_read(&one, "k", &second, &e) == ERR_OK);
    FUZZ_CHECK(headers_of(second, &two));
    for (size_t i = 0; i < one.n; i++) {
        const char *again = params_get(&two, one.items[i].name);
        if (again == NULL || strcmp(again, one.items[i].value) != 0)
            fprintf(stderr, "%s: '%s', then '%s'\n", one.items[i].name, one.items[i].value,
                    again != NULL ? again : "none");
        FUZZ_CHECK(again != NULL && strcmp(again, one.items[i].value) == 0);
    }
    FUZZ_CHECK(one.n == two.n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    PARAMS(h);
    struct store_version v;
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(data + at, '\n', size - at);
        size_t len = end != NULL ? (size_t)(end - data) - at : size - at;
        add_line(&h, (const char *)data + at, len);
        at += len + 1;
    }
    (void)!s3_version_read(&h, &v, NULL);
    check_round(&h);
    BUF(text, 1 << 20);
    PARAMS(grants);
    bool is_default;
    if (s3_acl_parse((const char *)data, size, &text, &is_default, NULL) == ERR_OK)
        (void)!s3_acl_headers(buf_str(&text), &grants, NULL);
    return 0;
}
