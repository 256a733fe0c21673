#include "fuzz.h"

#include "util/buf.h"
#include "util/str.h"
#include "util/xml.h"

#include <string.h>

static size_t walk(const struct xml_node *n, unsigned depth)
{
    size_t elements = 1;
    FUZZ_CHECK(depth <= 16);
    FUZZ_CHECK(xml_name(n)[0] != '\0');
    FUZZ_CHECK(strlen(xml_text(n)) <= 65536);
    FUZZ_CHECK(utf8_valid(xml_text(n), strlen(xml_text(n))));
    for (const struct xml_node *c = xml_first(n); c; c = xml_following(c)) {
        FUZZ_CHECK(xml_child(n, xml_name(c)));
        elements += walk(c, depth + 1);
    }
    return elements;
}

static bool holds_only_xml_characters(const char *s, size_t len)
{
    if (!utf8_valid(s, len))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)s[i] < 0x20 && !strchr("\t\n\r", s[i])) || strncmp(s + i, "\xef\xbf\xbe", 3) == 0 ||
            strncmp(s + i, "\xef\xbf\xbf", 3) == 0)
            return false;
    }
    return true;
}

/* Text that XML can hold comes back as it was. */
static void check_escaped(const char *s, size_t len)
{
    if (len > 65536 || !holds_only_xml_characters(s, len))
        return;
    BUF(b, 1 << 20);
    buf_add_str(&b, "<a>");
    xml_escape(&b, s, len);
    buf_add_str(&b, "</a>");
    CLEANUP(xml_doc_free) struct xml_doc *d = xml_parse(b.data, b.len, NULL);
    FUZZ_CHECK(d);
    FUZZ_CHECK(strcmp(xml_text(xml_root(d)), s) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    CLEANUP(xml_doc_free) struct xml_doc *d = xml_parse((const char *)data, size, &e);
    if (d)
        FUZZ_CHECK(walk(xml_root(d), 1) <= 100000);
    else
        FUZZ_CHECK(e.code == ERR_PROTO && e.msg[0]);
    CLEANUP(free) char *text = str_ndup((const char *)data, size);
    if (text)
        check_escaped(text, size);
    return 0;
}
