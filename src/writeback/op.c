#include "util/digest.h"
#include "util/str.h"
#include "writeback/inside.h"

#include <string.h>

struct op *op_new(enum op_kind kind)
{
    struct op *o = calloc(1, sizeof(*o));
    if (o)
        o->kind = kind;
    return o;
}

void op_free(struct op *o)
{
    if (!o)
        return;
    free(o->cond_etag);
    free(o->etag);
    free(o->from_etag);
    free(o->sha512);
    free(o->error);
    store_meta_unref(o->meta);
    body_unref(o->body);
    free(o);
}

void op_version(const struct op *o, struct store_version *out)
{
    *out = (struct store_version){.size = o->size, .mtime = o->when};
    memcpy(out->etag, o->etag, strnlen(o->etag, sizeof(out->etag) - 1));
}

enum err_code op_name_version(struct op *o, struct err *e)
{
    char hex[2 * DIGEST_MAX + 1];
    if (o->body->file)
        o->etag = str_printf(STORE_UNSENT "%s", o->body->file);
    else if (digest_hex(DIGEST_MD5, o->body->bytes, (size_t)o->size, hex, NULL) == ERR_OK)
        o->etag = strdup(hex);
    else
        o->etag = str_printf(STORE_UNSENT "%lld-%09ld", (long long)o->when.tv_sec, o->when.tv_nsec);
    return o->etag ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");
}
