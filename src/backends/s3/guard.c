/*
 * Conditions on a server that does not honour them: what is there is looked at right before. Between that HEAD and the
 * request that follows somebody else may still write; that window is all that can be closed from here, and the log says
 * at the mount that it is open.
 */
#include "backends/s3/impl.h"

#include <string.h>

enum err_code s3_guard(struct s3_store *s, const char *key, const struct store_cond *cond, enum s3_trait trait,
                       const struct store_call *call, struct err *e)
{
    CLEANUP_RELEASE(store_object_release) struct store_object there = {0};
    struct err local = ERR_INIT;
    if (cond->kind == STORE_ALWAYS)
        return ERR_OK;
    s3_find_out(s, call);
    if (s3_traits_get(s->traits, trait) == S3_YES)
        return ERR_OK;
    enum err_code code = s3_stat(s, key, call, &there, &local);
    if (code != ERR_OK && code != ERR_NOT_FOUND)
        return err_copy(e, &local);
    if (cond->kind == STORE_IF_ABSENT)
        return code == ERR_NOT_FOUND ? ERR_OK : err_set(e, ERR_CONFLICT, "%s: somebody else made it", key);
    if (code == ERR_NOT_FOUND)
        return err_copy(e, &local);
    return strcmp(there.version.etag, cond->etag) == 0 ? ERR_OK
                                                       : err_set(e, ERR_CONFLICT, "%s: somebody else changed it", key);
}
