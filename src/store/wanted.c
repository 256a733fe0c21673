#include "store/wanted.h"

#include "util/str.h"

#include <string.h>

/* Whether the key stands behind everything that is below `wanted`/. */
static bool is_behind(const char *key, const char *wanted, size_t len)
{
    int order = strncmp(key, wanted, len);
    return order > 0 || (order == 0 && (unsigned char)key[len] > '/');
}

const struct store_object *store_wanted(const char *wanted, const struct store_entry *entries, size_t n, bool *over)
{
    const struct store_object *object = NULL;
    size_t len = strlen(wanted);
    bool passed = false, below = false;
    for (size_t i = 0; i < n && !below; i++) {
        const char *key = entries[i].key;
        below = entries[i].is_prefix || (str_starts(key, wanted) && key[len] == '/');
        if (strcmp(key, wanted) == 0)
            object = &entries[i].object;
        passed = passed || is_behind(key, wanted, len);
    }
    if (over)
        *over = passed || below;
    return passed && !below && object != NULL && object->version.etag[0] != 0 ? object : NULL;
}
