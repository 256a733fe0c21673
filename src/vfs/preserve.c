/*
 * A file that is removed or replaced while it is open. On a disk its readers keep it; here the object goes, so what they have not
 * read is brought into a staging file first, while the remover waits. The rule: at most preserve_max bytes are fetched for that. Of
 * a file that lacks more than that nothing is fetched (a removal of 50 GiB is not to wait for 50 GiB): its readers go on with what
 * is held of it, and get ERR_CONFLICT (ESTALE) for the rest.
 */
#include "vfs/remove.h"
#include "vfs/stage_use.h"

#include <inttypes.h>

#define PRESERVE_MAX (64ULL << 20)

static uint64_t lacking(struct stage *s)
{
    uint64_t sum = 0, off = 0, len = 0;
    for (enum stage_extent x; (x = stage_extent_at(s, off, false, &len)) != STAGE_END; off += len)
        sum += x == STAGE_BASE ? len : 0;
    return sum;
}

/* Bytes to fetch; 0: none, or nobody would miss them. */
static uint64_t wanted(struct vfs *v, const struct inode *i)
{
    LOCK_SCOPE(&v->tree);
    if (i->kind != INODE_FILE || !i->active || i->active->opens == 0 || (i->flags & INODE_NEW))
        return 0;
    if (i->active->mode.state == OPEN_PASSTHROUGH) /* they have all of it */
        return 0;
    return i->active->stage ? lacking(i->active->stage) : i->size;
}

static enum err_code fetch(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    enum err_code code = stage_open(v, i, false, e);
    if (code)
        return code;
    lock_take(&v->tree);
    struct stage *s = i->active->stage;
    CLEANUP(content_unref) struct content *content = i->content ? content_ref(i->content) : NULL;
    lock_drop(&v->tree);
    return s ? stage_complete_from(s, content, false, c ? c->cancel : NULL, e) : ERR_OK;
}

enum err_code preserve(struct vfs *v, struct inode *i, const struct vfs_caller *c, struct err *e)
{
    uint64_t want = wanted(v, i), max = v->cfg.preserve_max ? v->cfg.preserve_max : PRESERVE_MAX;
    if (want == 0)
        return ERR_OK;
    if (want > max) {
        LOG_INFO("vfs", "a file that is removed while it is open lacks %" PRIu64 " bytes here: its readers do not get them", want);
        return ERR_OK;
    }
    struct err err = ERR_INIT;
    enum err_code code = fetch(v, i, c, &err);
    if (code == ERR_CONFLICT) { /* others have replaced it already: the removal takes nothing away from its readers */
        LOG_INFO("vfs", "%s", err.msg);
        return ERR_OK;
    }
    return code ? err_copy(e, &err) : ERR_OK;
}
