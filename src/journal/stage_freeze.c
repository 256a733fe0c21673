/* The freeze: a copy of the map, and an overlay for what is written meanwhile, which is merged afterwards. */
#include "journal/stage_impl.h"
#include "util/log.h"

#include <assert.h>

/* Others get their turn between pieces of this size. */
#define MERGE_PIECE (4u * 1024 * 1024)
#define MERGE_STEP  (256u * 1024)

static enum err_code merge_extent_locked(struct stage *s, uint64_t offset, uint64_t len, struct err *e)
{
    for (uint64_t done = 0; done < len;) {
        size_t n = len - done < MERGE_STEP ? (size_t)(len - done) : MERGE_STEP;
        enum err_code code = stage_bytes_copy(&s->main, &s->over, offset + done, n, e);
        if (code)
            return code;
        LOCK_SCOPE(&s->map_lock);
        code = stage_map_reserve(&s->live, 1, e);
        if (code)
            return code;
        stage_map_set(&s->live, offset + done, n, MAP_HELD);
        done += n;
    }
    return ERR_OK;
}

enum err_code stage_merge_locked(struct stage *s, uint64_t budget, bool *more, struct err *e)
{
    lock_assert_held(&s->lock);
    assert(!s->is_frozen);
    enum err_code own = s->live.bytes[MAP_OVER] > 0 ? stage_own_locked(s, e) : ERR_OK;
    if (own)
        return own;
    for (uint64_t offset = 0, len; budget > 0 && s->live.bytes[MAP_OVER] > 0; offset += len) {
        enum map_kind kind = stage_map_at(&s->live, offset, &len);
        assert(kind != MAP_KINDS);
        if (kind != MAP_OVER)
            continue;
        len = len < budget ? len : budget;
        enum err_code code = merge_extent_locked(s, offset, len, e);
        if (code)
            return code;
        budget -= len;
    }
    *more = s->live.bytes[MAP_OVER] > 0;
    if (!*more && s->over_open) {
        stage_bytes_release(&s->over);
        s->over_open = false;
    }
    return ERR_OK;
}

enum err_code stage_freeze(struct stage *s, struct err *e)
{
    STAGE_SCOPE(s);
    assert(!s->is_frozen);
    bool more;
    enum err_code code = stage_check_whole_locked(s, e);
    if (!code)
        code = stage_merge_locked(s, UINT64_MAX, &more, e);
    if (code)
        return code;
    lock_take(&s->map_lock);
    code = stage_map_copy(&s->frozen, &s->live, e);
    s->is_frozen = code == ERR_OK;
    s->low = s->live.size;
    stage_sums_freeze_locked(s);
    stage_same_freeze_locked(s);
    for (size_t i = 0; i < s->n_parts; i++)
        s->parts[i].frozen_touched = s->parts[i].touched;
    lock_drop(&s->map_lock);
    return code;
}

/* Below `low` the main file is what both states have in common; above it, only the frozen one had bytes there. */
void stage_unfreeze_locked(struct stage *s)
{
    lock_assert_held(&s->lock);
    lock_take(&s->map_lock);
    s->is_frozen = false;
    stage_sums_thaw_locked(s);
    stage_same_thaw_locked(s);
    stage_map_release(&s->frozen);
    lock_drop(&s->map_lock);
    if (!s->lent)
        stage_bytes_cut(&s->main, s->low);
}

enum err_code stage_thaw(struct stage *s, struct err *e)
{
    lock_take(&s->lock);
    assert(s->is_frozen);
    stage_unfreeze_locked(s);
    lock_drop(&s->lock);
    for (bool more = true; more;) {
        struct err why = ERR_INIT;
        STAGE_SCOPE(s);
        if (s->is_frozen || s->lent) /* then the next freeze merges */
            break;
        if (stage_merge_locked(s, MERGE_PIECE, &more, &why)) {
            LOG_WARN("journal", "what was written during an upload stays in a file of its own: %s", why.msg);
            break;
        }
    }
    return ERR_OK;
}
