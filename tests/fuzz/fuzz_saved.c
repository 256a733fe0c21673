/* Listings that an earlier mount kept: whatever the bytes are, what is accepted is a page that a store could have given. */
#include "fuzz.h"

#include "store/checks.h"
#include "vfs/saved_pack.h"

#include <string.h>

#define PREFIX "dir/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    struct store_page page = {0}, again = {0};
    if (saved_unpack(data, size, PREFIX, &page, &e)) {
        FUZZ_CHECK(e.code == ERR_PROTO || e.code == ERR_UNSUPPORTED);
        return 0;
    }
    const struct store_caps caps = {0};
    const struct store_list asked = {.prefix = PREFIX, .delimiter = true};
    FUZZ_CHECK(store_check_page(&caps, &asked, &page, &e) == ERR_OK);
    BUF(out, 1 << 20);
    struct saved_pack p = {.out = &out};
    for (size_t i = 0; i < page.n; i++) {
        const char *name = page.entries[i].key + strlen(PREFIX);
        saved_pack_add(&p, name, strlen(name) - page.entries[i].is_prefix, page.entries[i].is_prefix ? NULL : &page.entries[i].object.version);
    }
    saved_pack_end(&p);
    FUZZ_CHECK(!out.failed && saved_unpack(out.data, out.len, PREFIX, &again, &e) == ERR_OK && again.n == page.n);
    for (size_t i = 0; i < page.n; i++) {
        const struct store_entry *a = &page.entries[i], *b = &again.entries[i];
        FUZZ_CHECK(strcmp(a->key, b->key) == 0 && a->is_prefix == b->is_prefix);
        FUZZ_CHECK(strcmp(a->object.version.etag, b->object.version.etag) == 0 && a->object.version.size == b->object.version.size);
        FUZZ_CHECK(memcmp(&a->object.version.mtime, &b->object.version.mtime, sizeof(struct timespec)) == 0);
    }
    store_page_release(&page);
    store_page_release(&again);
    return 0;
}
