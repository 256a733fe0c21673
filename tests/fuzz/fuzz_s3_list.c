/* Replies to ListObjectsV2: whatever they are, a page that is accepted is in order and complete. */
#include "fuzz.h"

#include "backends/s3/xml_list.h"
#include "store/meta.h"
#include "util/str.h"

#include <string.h>

static void check_beginning(const char *data, size_t size, const char *strip)
{
    struct store_page page;
    struct err e = ERR_INIT;
    if (s3_list_parse_beginning(data, size, strip, &page, &e) != ERR_OK)
        return;
    for (size_t i = 0; i < page.n; i++)
        FUZZ_CHECK(page.entries[i].key[0] != 0 && utf8_valid(page.entries[i].key, strlen(page.entries[i].key)));
    FUZZ_CHECK(page.next == NULL);
    store_page_release(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const strips[] = {"", "p/"};
    for (size_t s = 0; s < 2; s++) {
        struct store_page page;
        struct err e = ERR_INIT;
        check_beginning((const char *)data, size, strips[s]);
        if (s3_list_parse((const char *)data, size, strips[s], &page, &e) != ERR_OK)
            continue;
        for (size_t i = 0; i < page.n; i++) {
            const struct store_entry *entry = &page.entries[i];
            FUZZ_CHECK(entry->key[0] != 0 && utf8_valid(entry->key, strlen(entry->key)));
            FUZZ_CHECK(i == 0 || strcmp(page.entries[i - 1].key, entry->key) < 0);
            FUZZ_CHECK(entry->is_prefix == (entry->object.version.etag[0] == 0));
            FUZZ_CHECK(entry->object.version.size <= INT64_MAX);
        }
        FUZZ_CHECK(page.next == NULL || page.next[0] != 0);
        store_page_release(&page);
    }
    return 0;
}
