#include "vfs/refresh.h"

#include "util/clock.h"
#include "util/digest.h"
#include "util/log.h"
#include "vfs/inode.h"
#include "vfs/list.h"

#include <stdlib.h>

#define SLOTS        8
#define TTL_LEAST_MS 5000 /* below that a listing more costs more than it saves */

/* A directory whose listing is kept young. */
struct slot {
    struct inode *dir; /* counted; NULL: free */
    uint64_t due_ms;
    uint64_t uses; /* when it was listed */
};

struct refresh {
    struct vfs *v;
    struct timer timer;
    struct slot slots[SLOTS];
    uint64_t uses;
    bool ended;
};

struct task {
    struct refresh *r;
    struct inode *dir; /* counted */
};

struct refresh *refresh_new(struct vfs *v, struct err *e)
{
    struct refresh *r = calloc(1, sizeof(*r));
    if (!r) {
        (void)err_set(e, ERR_NOMEM, "out of memory");
        return NULL;
    }
    r->v = v;
    return r;
}

void refresh_free(struct refresh *r)
{
    free(r);
}

uint64_t refresh_after_ms(uint64_t ttl_ms, uint64_t took_ms, uint32_t chance)
{
    if (ttl_ms == VFS_TTL_INF || ttl_ms < TTL_LEAST_MS || took_ms > ttl_ms / 4)
        return 0;
    uint64_t latest = ttl_ms - ttl_ms / 10 - 2 * took_ms;
    return latest - (uint64_t)chance * (ttl_ms / 4) / UINT32_MAX;
}

static void timer_fired(void *arg);

static void arm_locked(struct refresh *r)
{
    uint64_t due = UINT64_MAX;
    for (size_t k = 0; k < SLOTS; k++)
        if (r->slots[k].dir && r->slots[k].due_ms < due)
            due = r->slots[k].due_ms;
    if (due != UINT64_MAX && !r->ended)
        timer_arm(r->v->timers, &r->timer, due, timer_fired, r);
}

static void drop_locked(struct refresh *r, struct slot *s)
{
    struct inode *dir = s->dir;
    *s = (struct slot){0};
    if (dir)
        inode_unref_locked(r->v, dir);
}

static void run(void *arg)
{
    CLEANUP(free) struct task *t = arg;
    struct vfs *v = t->r->v;
    struct err why = ERR_INIT;
    (void)!list_again(v, t->dir, &why); /* what is known stays as old as it is */
    LOCK_SCOPE(&v->tree);
    inode_unref_locked(v, t->dir);
    v->background--;
    cond_broadcast(&v->changed);
}

/* One that nothing was used of is left to grow old. */
static void begin_locked(struct refresh *r, struct slot *s)
{
    struct inode *dir = s->dir;
    bool wanted = s->uses != r->uses && !inode_removed_locked(dir) && dir->dir->listed;
    CLEANUP(free) struct task *t = wanted ? malloc(sizeof(*t)) : NULL;
    if (t) {
        *t = (struct task){.r = r, .dir = dir};
        if (pool_submit(r->v->pool, run, t, NULL) == ERR_OK) {
            inode_ref_locked(dir);
            r->v->background++;
            t = NULL;
        }
    }
    drop_locked(r, s);
}

static void timer_fired(void *arg)
{
    struct refresh *r = arg;
    LOCK_SCOPE(&r->v->tree);
    uint64_t now = clock_mono_ms();
    for (size_t k = 0; k < SLOTS && !r->ended; k++)
        if (r->slots[k].dir && r->slots[k].due_ms <= now)
            begin_locked(r, &r->slots[k]);
    arm_locked(r);
}

void refresh_end(struct refresh *r)
{
    if (!r)
        return;
    lock_take(&r->v->tree);
    r->ended = true;
    for (size_t k = 0; k < SLOTS; k++)
        drop_locked(r, &r->slots[k]);
    lock_drop(&r->v->tree);
    if (r->v->timers)
        (void)timer_disarm(r->v->timers, &r->timer);
}

void refresh_used_locked(struct refresh *r)
{
    r->uses++;
}

static bool is_below(const struct inode *i, const struct inode *dir)
{
    while (i && i != dir)
        i = i->parent;
    return i;
}

void refresh_listed_locked(struct refresh *r, struct inode *dir, uint64_t took_ms)
{
    lock_assert_held(&r->v->tree);
    uint32_t chance;
    struct slot *at = NULL;
    for (size_t k = 0; k < SLOTS; k++) {
        struct slot *s = &r->slots[k];
        if (s->dir && is_below(s->dir, dir))
            drop_locked(r, s);
        if (!s->dir)
            at = s;
    }
    random_bytes(&chance, sizeof(chance));
    uint64_t after = refresh_after_ms(r->v->cfg.ttl_ms, took_ms, chance);
    if (after == 0 || !at || r->ended)
        return;
    LOG_DEBUG("vfs", "a listing that is used is renewed in %llu ms, by chance %llu ms earlier than it could be", (unsigned long long)after,
              (unsigned long long)(refresh_after_ms(r->v->cfg.ttl_ms, took_ms, 0) - after));
    *at = (struct slot){.dir = inode_ref_locked(dir), .due_ms = clock_mono_ms() + after, .uses = r->uses};
    arm_locked(r);
}
