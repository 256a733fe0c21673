/* What renames on a store are made of: a copy, a comparison. */
#include "store/fetch.h"
#include "store/meta.h"
#include "util/str.h"
#include "vfs/move.h"

#include <string.h>

char *move_target(const struct rename_plan *plan, const char *key)
{
    return str_printf("%s%s", plan->to, key + strlen(plan->from));
}

/* ---- A copy */

static ssize_t read_nothing(void *arg, uint64_t offset, void *buf, size_t len)
{
    return 0;
}

static enum err_code put_marker(struct store *store, const struct store_copy *copy, const struct store_call *call,
                                struct store_version *out, struct err *e)
{
    struct store_object marker = {0};
    enum err_code code = store_stat(store, copy->from, call, &marker, e);
    struct store_body body = {.read = read_nothing};
    if (!code)
        code = store_put(store, copy->to, &body, marker.meta, &copy->cond, call, out, e);
    store_object_release(&marker);
    return code;
}

enum err_code move_copy(struct store *store, const struct store_copy *copy, const struct store_call *call, struct store_version *out,
                        struct err *e)
{
    if (copy->size == 0 && str_ends(copy->from, "/"))
        return put_marker(store, copy, call, out, e);
    return store_copy(store, copy, call, out, e);
}

/* ---- A comparison */

enum err_code move_same(const struct move *m, const char *a_key, const struct store_version *a, const char *b_key,
                        const struct store_version *b, bool *same, struct err *e)
{
    *same = a->size == b->size && strcmp(a->etag, b->etag) == 0;
    return *same ? ERR_OK : store_same_bytes(m->store, a_key, a, b_key, b, m->cancel, same, e);
}
