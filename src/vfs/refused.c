/*
 * Renames that were refused with ERR_CONFLICT. The kernel repeats a rename that fails with ESTALE once, after looking both names
 * up again: that would replace the very object that the first attempt refused to replace. So the repetition is refused too, and
 * the program learns of the conflict. What it does then is its own decision.
 */
#include "vfs/refused.h"

#include "util/clock.h"
#include "vfs/inode.h"

#include <string.h>

#define REPEATED_MS 2000

static uint64_t identity(pid_t pid, const struct refused_rename *r)
{
    BUF(text, 4096);
    buf_addf(&text, "%d %llu %llu %s/%s", (int)pid, (unsigned long long)r->parent, (unsigned long long)r->new_parent, r->name,
             r->new_name);
    return text.failed ? 0 : inode_number(buf_str(&text), text.len);
}

static struct refused *slot(struct vfs *v, uint64_t id)
{
    return &v->refused[id % VFS_REFUSED_SLOTS];
}

void refused_add(struct vfs *v, pid_t pid, const struct refused_rename *r)
{
    uint64_t id = identity(pid, r);
    LOCK_SCOPE(&v->tree);
    *slot(v, id) = (struct refused){.id = id, .at_ms = clock_mono_ms()};
}

bool refused_take(struct vfs *v, pid_t pid, const struct refused_rename *r)
{
    uint64_t id = identity(pid, r);
    LOCK_SCOPE(&v->tree);
    struct refused *s = slot(v, id);
    bool again = id && s->id == id && clock_mono_ms() - s->at_ms < REPEATED_MS;
    if (again)
        s->id = 0;
    return again;
}
