#include "vfs/open_mode.h"

#include <assert.h>

bool open_mode_allows(const struct open_mode *m, enum open_state way)
{
    return m->state == OPEN_CLOSED || m->state == way;
}

void open_mode_enter(struct open_mode *m, enum open_state way, uint64_t id)
{
    assert(way != OPEN_CLOSED && open_mode_allows(m, way));
    if (m->state == OPEN_CLOSED)
        m->id = way == OPEN_PASSTHROUGH ? id : 0;
    m->state = way;
    m->handles++;
}

void open_mode_leave(struct open_mode *m)
{
    assert(m->handles > 0);
    if (--m->handles == 0)
        *m = (struct open_mode){0};
}

void open_mode_refuse(struct open_mode *m)
{
    if (m->state == OPEN_PASSTHROUGH)
        *m = (struct open_mode){.state = OPEN_COPIED, .handles = m->handles};
}
