/*
 * Bytes that are taken in before the disk has them: their writer goes on while they are written. Meanwhile `arriving` is set, and
 * whoever wants the stage's lock waits until it is not: nobody sees the state in between but for the size. At most one write at a time
 * is under way so, behind everything that is there, and only where the main file may be changed and its disk has room: what it then
 * still refuses is LOST, and known as such.
 */
#include "journal/stage_impl.h"

#include <assert.h>

/* With so much left, who else writes to that disk does not fill it in between. */
#define ROOM (64ULL << 20)

void stage_settle_locked(struct stage *s)
{
    lock_assert_held(&s->lock);
    while (s->arriving)
        cond_wait(&s->arrived, &s->lock, UINT64_MAX);
}

void stage_wait_for(struct stage *s, uint64_t end)
{
    LOCK_SCOPE(&s->lock);
    while (s->arriving && s->arriving_at < end)
        cond_wait(&s->arrived, &s->lock, UINT64_MAX);
}

static bool may_arrive_locked(struct stage *s, uint64_t offset, size_t len)
{
    lock_assert_held(&s->lock);
    bool fits = offset <= s->size_max && len <= s->size_max - offset;
    return fits && !s->is_frozen && !s->lent && s->live.bytes[MAP_LOST] == 0 && offset == s->live.size;
}

static bool begin_locked(struct stage *s, uint64_t offset, size_t len)
{
    lock_assert_held(&s->lock);
    LOCK_SCOPE(&s->map_lock);
    if (stage_map_reserve(&s->live, 2, NULL)) /* it may be LOST */
        return false;
    stage_map_set(&s->live, offset, len, MAP_HELD);
    s->arriving = len;
    s->arriving_at = offset;
    return true;
}

bool stage_arrive(struct stage *s, size_t len, bool append, uint64_t *offset)
{
    if (len == 0 || !s->dir || stage_disk_room(s) < ROOM)
        return false;
    STAGE_SCOPE(s);
    uint64_t at = append ? s->live.size : *offset;
    if (!may_arrive_locked(s, at, len) || !begin_locked(s, at, len))
        return false;
    stage_touch_locked(s, at, at + len); /* who reads them from now on gets them */
    *offset = at;
    return true;
}

static void end_locked(struct stage *s)
{
    lock_assert_held(&s->lock);
    lock_take(&s->map_lock);
    s->arriving = 0;
    lock_drop(&s->map_lock);
    cond_broadcast(&s->arrived);
}

enum err_code stage_arrived(struct stage *s, const void *p, struct err *e)
{
    uint64_t offset = s->arriving_at; /* nobody changes them now */
    size_t len = s->arriving;
    assert(len > 0);
    enum err_code code = stage_bytes_write(&s->main, offset, p, len, e);
    if (code)
        return err_prefix(e, code, "%s", s->dir);
    LOCK_SCOPE(&s->lock);
    stage_sums_wrote_locked(s, offset, p, len);
    end_locked(s);
    return ERR_OK;
}

static void lose_locked(struct stage *s, uint64_t offset, size_t len)
{
    lock_assert_held(&s->lock);
    (void)stage_bytes_drop(&s->main, offset, len);
    LOCK_SCOPE(&s->map_lock);
    stage_map_set(&s->live, offset, len, MAP_LOST);
}

void stage_lose(struct stage *s, const struct err *why)
{
    LOCK_SCOPE(&s->lock);
    assert(s->arriving > 0);
    s->lost = *why;
    stage_sums_wrote_locked(s, s->arriving_at, NULL, s->arriving);
    lose_locked(s, s->arriving_at, s->arriving);
    end_locked(s);
}

enum err_code stage_check_whole(struct stage *s, struct err *e)
{
    STAGE_SCOPE(s);
    return stage_check_whole_locked(s, e);
}

enum err_code stage_check_whole_locked(const struct stage *s, struct err *e)
{
    lock_assert_held(&s->lock);
    return s->live.bytes[MAP_LOST] > 0 ? err_copy(e, &s->lost) : ERR_OK;
}
