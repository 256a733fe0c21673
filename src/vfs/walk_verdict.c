#include "vfs/walk_verdict.h"

#include "vfs/walk.h"

#define SHARED_MAX 128 /* directories that go by one sample */

static struct verdict *find(struct verdicts *all, uint32_t number)
{
    for (unsigned k = 0; number && k < VERDICTS; k++)
        if (all->v[k].number == number)
            return &all->v[k];
    return NULL;
}

enum posix_state walk_verdict_locked(struct vfs *v, uint32_t number, bool counts)
{
    lock_assert_held(&v->tree);
    struct verdict *x = find(walks_verdicts(v->walks), number);
    if (!x)
        return POSIX_UNKNOWN;
    if (x->state == POSIX_NO && counts && x->shared++ >= SHARED_MAX)
        return POSIX_UNKNOWN;
    return x->state;
}

void walk_judge_locked(struct vfs *v, uint32_t number, bool posix)
{
    lock_assert_held(&v->tree);
    struct verdicts *all = walks_verdicts(v->walks);
    if (!number)
        return;
    struct verdict *x = find(all, number);
    if (!x) {
        x = &all->v[all->next];
        all->next = (all->next + 1) % VERDICTS;
        *x = (struct verdict){.number = number, .state = POSIX_NO};
    }
    x->shared = 0;
    if (posix)
        x->state = POSIX_YES;
}
