/* The first level: buckets as directories. Each is its own marker, which has no bytes and no attributes. */
#include "backends/buckets/impl.h"

#include <stdio.h>
#include <string.h>

/* Nothing depends on it: it never changes, and is no condition of any request. */
#define BUCKET_ETAG "bucket"

static void fill_version(struct store_version *out)
{
    *out = (struct store_version){.etag = BUCKET_ETAG};
}

enum err_code root_stat(struct buckets *s, const char *name, const struct store_call *call, struct store_object *out,
                        struct err *e)
{
    bool usable;
    char region[AWS_REGION_SIZE];
    /* What programs look for everywhere (".git", ".Trash") costs no request. */
    if (name[0] == '.' && !table_knows(s, name, NULL))
        return err_set(e, ERR_NOT_FOUND, "no bucket is called %s", name);
    enum err_code code = account_head(s, name, call, &usable, region, e);
    if (code == ERR_OK) {
        fill_version(&out->version);
        out->version.mtime = table_made(s, name);
    }
    return code;
}

enum err_code root_put(struct buckets *s, const char *name, const struct store_cond *cond, const struct store_call *call,
                       struct store_version *out, struct err *e)
{
    if (cond->kind != STORE_IF_ABSENT)
        return err_set(e, ERR_PERM, "bucket %s: a bucket is made, never replaced", name);
    enum err_code code = bucket_name_check_new(name, e);
    if (code == ERR_OK)
        code = account_create(s, name, call, e);
    if (code == ERR_OK)
        fill_version(out);
    return code;
}

enum err_code root_property_get(struct buckets *s, const char *name, const char *property, const struct store_call *call,
                                struct buf *out, struct err *e)
{
    char region[AWS_REGION_SIZE];
    bool usable;
    if (strcmp(property, "region") != 0)
        return err_set(e, ERR_NO_ATTR, "bucket %s: no property %s", name, property);
    (void)table_knows(s, name, region);
    enum err_code code = region[0] ? ERR_OK : account_head(s, name, call, &usable, region, e);
    if (code == ERR_OK)
        buf_add_str(out, region);
    return code;
}
